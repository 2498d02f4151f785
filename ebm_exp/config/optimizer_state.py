"""Whether the state of an optimizer, which may come from anywhere, is one that its next step can work with."""

from collections import defaultdict

import torch


def check_state(optimizer: torch.optim.Optimizer) -> None:
    """Refuse a state that the next step could not work with: torch takes any. What a step makes is looked up in that of
    a twin on parameters without storage; of an optimizer that cannot take one, nothing is refused.

    Raises:
        ValueError: naming the entry.
    """
    groups = [{**group, "params": [torch.empty_like(p, device="meta").requires_grad_() for p in group["params"]]}
              for group in optimizer.param_groups]  # fmt: skip
    try:
        twin = object.__new__(type(optimizer))  # not made anew, which may sort parameters otherwise
        twin.__dict__ = optimizer.__dict__ | {"param_groups": groups, "state": defaultdict(dict)}
        for parameter in (p for group in twin.param_groups for p in group["params"]):
            parameter.grad = torch.empty_like(parameter)
        type(twin).step(twin)
    except Exception:  # not one of ours, or of torch's
        return
    mine, theirs = ([p for group in each.param_groups for p in group["params"]] for each in (optimizer, twin))
    for parameter, stand_in in zip(mine, theirs, strict=True):
        kept = optimizer.state.get(parameter) or {}
        for name, like in twin.state[stand_in].items() if kept else ():
            value = kept.get(name)
            shape = value.shape if isinstance(value, torch.Tensor) else () if isinstance(value, int | float) else None
            is_well = like is None or shape == getattr(like, "shape", ())
            if not is_well or (name == "step" and not float(value or 0) >= 0):
                what = type(value).__name__ + ("" if shape is None else f" {list(shape)}")
                raise ValueError(f"{name} of the optimizer is {what}")
