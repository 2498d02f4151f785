"""What every evaluator is: a function of a model, an energy with samples of it, that returns scores."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Literal, NamedTuple, Self

from torch import Tensor

from ebm_exp.energy import Energy
from ebm_exp.metrics import SCORE, SCORE_ERROR
from ebm_exp.part import Part
from ebm_exp.random import Stream
from ebm_exp.sampling.base import Sampling
from ebm_exp.types import Batch, Points

Direction = Literal["lower", "higher"]


class Score(NamedTuple):
    """One number of an evaluator.

    Attributes:
        value: the number itself.
        se: its standard error, logged as ``<name>_se``; None: not known.
        better: ``lower`` or ``higher``; None: neither is, so it cannot be the optimized metric.
        n: of how many samples or points.
        unit: what it is measured in; None: it has none.
        verdict: what the evidence beside it says of it, in a few words; None: there is none.
        refuted: the evidence speaks against it, so it is never the best.
    """

    value: float
    se: float | None = None
    better: Direction | None = "lower"
    n: int | None = None
    unit: str | None = None
    verdict: str | None = None
    refuted: bool = False

    @classmethod
    def mean(cls, values: Tensor, better: Direction | None) -> Self:
        """The mean of independent values ``[n]``, n ≥ 2, with its standard error."""
        return cls(float(values.mean()), float(values.std()) / math.sqrt(len(values)), better, len(values))


class Kind(NamedTuple):
    """What is known of a score before it is computed.

    Attributes:
        better: ``lower`` or ``higher``.
        is_distance: it says how far samples are from the data, so samples that are farther than the points they began
            at show that a training is ill.
    """

    better: Direction
    is_distance: bool = False


LOWER, HIGHER, DISTANCE = Kind("lower"), Kind("higher"), Kind("lower", is_distance=True)


class Model:
    """What is evaluated: an energy, and fresh samples of it, which all evaluators share. Whatever else an evaluator
    needs (data set, engine, temperature) its constructor is provided with.

    Args:
        energy: as a rule the averaged one.
        sampling: draws its samples.
        stream: names their random numbers.
        n: the most that is asked for, if it is known: drawn at the first request.
    """

    def __init__(self, energy: Energy, sampling: Sampling, stream: Stream, n: int = 0) -> None:
        self.energy = energy
        self.sampling = sampling
        self.stream = stream
        self.n = n
        self._drawn: dict[tuple[tuple[str, Any], ...], Points] = {}
        self._made: dict[Hashable, Tensor] = {}

    @classmethod
    def of(cls, energy: Energy, samples: Points) -> Self:
        """A model whose samples ``[n, *event]`` were drawn elsewhere: no evaluator can have more, or others."""
        return cls(energy, Given(samples), Stream(0), len(samples.x))

    def samples(self, n: int, **changes: Any) -> Points:
        """n fresh samples ``[n, *event]``, the first of those of a larger request; each is drawn once.

        Args:
            n: how many.
            changes: settings of the sampling that are other than the run's, as ``n_steps=1000``.
        """
        key = tuple(sorted(changes.items()))
        if key not in self._drawn or len(self._drawn[key].x) < n:
            sampling = self.sampling.replace(**changes) if changes else self.sampling
            self._drawn[key] = sampling.draw(self.energy, max(n, self.n), self.stream)
        x, y = self._drawn[key]
        return Points(x[:n], None if y is None else y[:n])

    def once(self, key: Hashable, make: Callable[[], Tensor]) -> Tensor:
        """What takes long to make of its samples, made at the first request for that key and shared like them."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]


class Against(NamedTuple):
    """A second trained run that a model is compared with (``against=<run>`` of evaluate.py)."""

    energy: Energy
    temperature: float
    name: str


class Given(Sampling):
    """Samples that are there already."""

    def __init__(self, samples: Points) -> None:
        self.samples, self.n_steps = samples, 0

    def draw(self, energy: Energy, n: int, stream: Stream, **context: Any) -> Points:
        """All of them."""
        return self.samples

    def describe(self) -> str:
        """Start and length in a few words."""
        return f"{len(self.samples.x):,} given samples"


class Evaluator(Part, ABC):
    """Evaluates a model, in training and after it.

    Attributes:
        produces: what ``gives`` says, for an evaluator whose settings change nothing of it, and without distances.
        instead: what ranks models as a score does that it cannot give on these data, by that score's name.
        n_samples: how many samples it wants, 0: none. Distances of samples depend on it, so numbers compare at the
            same one.
    """

    n_samples: int
    produces: Mapping[str, Direction] = {}
    instead: Mapping[str, str] = {}

    def gives(self) -> dict[str, Kind]:
        """The scores that have a direction, by name, as its settings alone say.

        So another ``optimized_metric`` is refused before training, a search knows which end it looks for, and a guard
        what is a distance from the data. Empty: not known before it runs.
        """
        return {name: Kind(better) for name, better in self.produces.items()}

    @property
    @abstractmethod
    def protocol(self) -> str:
        """What makes its numbers comparable, in a few words: features, number of samples, reference."""

    @abstractmethod
    def __call__(self, model: Model) -> dict[str, Score]:
        """Scores by name, without the prefix ``eval/`` that logs add."""

    def panels(self, model: Model) -> dict[str, Points]:
        """Points to look at beside the scores, by title; as a rule none."""
        return {}

    def histograms(self, model: Model) -> dict[str, dict[str, Tensor]]:
        """Numbers ``[n]`` to draw beside the scores, by title and then by what they are of; as a rule none."""
        return {}


def check_samples(samples: Batch, event_shape: tuple[int, ...]) -> None:
    """Refuse what no two-sample distance can take.

    Raises:
        ValueError: when there are fewer than two samples, or they are not of the data's shape.
    """
    if len(samples) < 2 or tuple(samples.shape[1:]) != event_shape:
        raise ValueError(f"samples must be at least 2 of shape {event_shape}, got {tuple(samples.shape)}")


def refuted(scores: Mapping[str, Score]) -> dict[str, str]:
    """What speaks against scores, by their full names; of those that hold, nothing."""
    return {SCORE(name): score.verdict or "refuted" for name, score in scores.items() if score.refuted}


def as_row(scores: dict[str, Score]) -> dict[str, float]:
    """What logs hold of scores: ``eval/<name>``, and ``eval/<name>_se`` where it is known."""
    row: dict[str, float] = {}
    for name, score in scores.items():
        row[SCORE(name)] = score.value
        if score.se is not None:
            row[SCORE_ERROR(name)] = score.se
    return row
