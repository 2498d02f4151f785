"""What an evaluator is."""

from abc import ABC, abstractmethod

from ebm_exp.types import Batch, EnergyFn


class Evaluator(ABC):
    """A judgement of a model by its energy, by fresh chains drawn from it, or both.

    Attributes:
        n_samples: how many fresh chains it wants; they are drawn once and shared by all evaluators.
    """

    n_samples: int

    @abstractmethod
    def __call__(self, energy: EnergyFn, samples: Batch) -> dict[str, float]:
        """Values by name, logged as ``eval/<name>``; samples is ``[n_samples, *event]``."""
