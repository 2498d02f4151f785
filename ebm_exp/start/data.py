"""Training points, with the noise of training."""

import torch

from ebm_exp.dataset.base import Dataset
from ebm_exp.start.base import Start
from ebm_exp.types import Conditional, Points, Provided


class Data(Start):
    """Noisy training points, under their own labels.

    Args:
        dataset: gives the points.
        conditional: keep their labels.
    """

    name = "data"

    def __init__(self, dataset: Provided[Dataset], conditional: Conditional = False) -> None:
        super().__init__()
        self.dataset, self.conditional = dataset, conditional

    def draw(self, n: int, generator: torch.Generator) -> Points:
        points = self.dataset.noisy(n, generator)
        return points if self.conditional else Points(points.x)
