"""Several starts together, e.g. half data and half noise."""

import torch
from torch import Tensor, nn

from ebm_exp.start.base import Start, concatenate
from ebm_exp.types import Batch, PerSample, Points, Positive


class Mix(Start):
    """Each point is of one of several starts, chosen by weight.

    Args:
        starts: by name.
        weights: one for each, in their order, up to a factor; null: equal.

    Raises:
        ValueError: when there is no start, or the numbers of starts and weights differ.
    """

    weights: Tensor  # [starts]

    def __init__(self, starts: dict[str, Start], weights: tuple[Positive, ...] | None = None) -> None:
        super().__init__()
        if not starts:
            raise ValueError("starts: needs at least one")
        weights = (1.0,) * len(starts) if weights is None else tuple(weights)
        if len(weights) != len(starts):
            raise ValueError(f"weights: needs one for each of the {len(starts)} starts, got {list(weights)}")
        self.starts = nn.ModuleDict(starts)
        self.register_buffer("weights", torch.tensor(weights) / sum(weights), persistent=False)
        shares = zip(self.weights.tolist(), starts.values(), strict=True)
        self.name = " + ".join(f"{share:.0%} {start.name}" for share, start in shares)

    def draw(self, n: int, generator: torch.Generator) -> Points:
        each: list[Points] = [start.draw(n, generator) for start in self.starts.values()]  # type: ignore[operator]
        device = each[0].x.device
        which = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        everything = concatenate(each, n * len(each))
        rows = which * n + torch.arange(n, device=device)
        return Points(everything.x[rows], None if everything.y is None else everything.y[rows])

    @property
    def has_density(self) -> bool:
        return all(bool(start.has_density) for start in self.starts.values())

    def log_prob(self, x: Batch) -> PerSample:
        """log Σ w_i p_i(x) ``[batch]``."""
        parts = torch.stack([start.log_prob(x) for start in self.starts.values()], 1)  # type: ignore[operator]
        return torch.logsumexp(parts + self.weights.log(), 1)
