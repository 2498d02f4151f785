"""Chains dealt anew, where other processes go on than those that ran them."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ebm_exp.ranks import Ranks


def deal(states: Sequence[Mapping[str, Any]], ranks: Ranks, generator: torch.Generator) -> dict[str, Any]:
    """This rank's part of the chains of some buffers, mixed: each slot of theirs goes to one of the ranks.

    Args:
        states: of the buffers, one for each rank that filled them.
        ranks: who goes on.
        generator: of the CPU; the same on every rank.

    Raises:
        ValueError: when there are fewer slots than ranks.
    """
    stored = sum(int(state["_extra_state"]["n_stored"]) for state in states)
    sizes = [len(state["age"]) for state in states]
    is_held = torch.cat([
        torch.arange(size) < int(state["_extra_state"]["n_stored"]) for size, state in zip(sizes, states, strict=True)
    ])  # fmt: skip
    order = torch.randperm(sum(sizes), generator=generator)
    order = order[(~is_held[order]).sort(stable=True).indices]  # slots that hold chains first, as in every buffer
    mine = order[ranks.rank : len(order) // ranks.n * ranks.n : ranks.n]
    if not len(mine):
        raise ValueError(f"{sum(sizes)} slots cannot be dealt to {ranks.n} processes")
    columns = [name for name in states[0] if name != "_extra_state"]
    writes = max(int(state["_extra_state"]["n_writes"]) for state in states)
    dealt = {name: torch.cat([state[name] for state in states])[mine] for name in columns}
    return dealt | {"_extra_state": {"n_stored": stored // ranks.n, "n_writes": writes}}
