"""Short-run contrastive divergence: chains start anew in each step (Nijkamp et al. 2019)."""

from typing import Unpack

import torch

from ebm_exp.objective.contrastive_divergence import ChainOptions, ContrastiveDivergence
from ebm_exp.start.base import Start
from ebm_exp.types import Points


class ShortRun(ContrastiveDivergence):
    """Chains start at the same distribution every time, as a rule at noise.

    Args:
        start: the distribution.
        options: see ``ChainOptions``.
    """

    def __init__(self, start: Start, **options: Unpack[ChainOptions]) -> None:
        super().__init__(**options)
        self.from_start = start

    def start(self, batch: Points, generator: torch.Generator) -> Points:
        return Points(self.from_start.draw(len(batch.x), generator).x, batch.y)

    def begins_at(self) -> Start | None:
        return self.from_start
