"""What every evaluator is: a function of an energy and of samples drawn from it."""

from abc import ABC, abstractmethod

from ebm_exp.energy import Energy
from ebm_exp.types import Batch, Labels


class Evaluator(ABC):
    """Judges samples, lower is better unless the docstring of an evaluator says otherwise.

    Attributes:
        produces: names of its numbers, where they are known before it runs: an unknown ``optimized_metric`` is then
            refused before training.
        n_samples: how many samples it wants; sample-based distances depend on it, so numbers compare at the same one.
    """

    n_samples: int
    produces: tuple[str, ...] = ()

    @property
    @abstractmethod
    def protocol(self) -> str:
        """What makes its numbers comparable, in a few words: features, number of samples, reference."""

    @abstractmethod
    def __call__(self, energy: Energy, samples: Batch, labels: Labels | None = None) -> dict[str, float]:
        """Results by name, without the prefix ``eval/`` that logs add.

        Args:
            energy: the energy that is judged.
            samples: ``[n, *event]`` points drawn from it.
            labels: ``[n]``, the classes they were drawn under; None for an energy without labels.
        """


def check_samples(samples: Batch, event_shape: tuple[int, ...]) -> None:
    """Refuse what no two-sample distance can take.

    Raises:
        ValueError: when there are fewer than two samples, or they are not of the data's shape.
    """
    if len(samples) < 2 or tuple(samples.shape[1:]) != event_shape:
        raise ValueError(f"samples must be at least 2 of shape {event_shape}, got {tuple(samples.shape)}")
