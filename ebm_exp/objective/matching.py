"""What regressions of −∇E at noised data share: times and noise, labels that are dropped, terms, and a normaliser."""

from abc import ABC
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ebm_exp.energy import Energy
from ebm_exp.energy.base import edges, slopes
from ebm_exp.engine.base import Engine
from ebm_exp.metrics import ERROR_EARLY, ERROR_LATE
from ebm_exp.noise.base import Fit, NoiseProcess
from ebm_exp.normaliser.base import NoNormaliser, Normaliser, Seen
from ebm_exp.objective.base import Loss, Objective
from ebm_exp.precision import full_precision
from ebm_exp.random import Source, draw_rows, normal_like, uniform
from ebm_exp.regularization.base import Phase, Step, Term, Terms
from ebm_exp.types import Batch, PerSample, Points, Probability


class Normalised(NamedTuple):
    """A batch of a step at which the normaliser is at work."""

    batch: Points


class Matching(Objective, ABC):
    """Regression of −∇E on what a noise process aims at.

    Args:
        name: of the objective, and of its term.
        engine: differentiates the energy.
        noise: the noise process.
        regularization: terms beside the loss; of data alone, no samples are drawn.
        normaliser: of the densities of all times.
        label_dropping: share of the points that are shown without their label (Ho & Salimans 2022, arXiv 2207.12598).

    Raises:
        ValueError: when a term of the regularization needs samples.
    """

    gives = frozenset({"labels"})
    binds = frozenset({"y", "t"})
    normalises = True

    def __init__(
        self,
        name: str,
        engine: Engine,
        noise: NoiseProcess,
        regularization: dict[str, Term],
        normaliser: Normaliser | None,
        label_dropping: Probability,
    ) -> None:
        super().__init__()
        self.name = name
        self.engine = engine
        self.noise = noise
        self.terms = Terms(name, self.gives, regularization)
        self.pure = self.terms.pure
        self.normaliser = NoNormaliser() if normaliser is None else normaliser
        self.label_dropping = label_dropping
        self.drops_labels = label_dropping > 0

    def describe(self) -> dict[str, str]:
        told = self.terms.describe(self.name)
        return told | {"log Z": self.normaliser.describe()} if self.normaliser.active else told

    def warnings(self, energy: Energy) -> list[str]:
        named = ", ".join(edges(energy))
        told = f"{named} is not smooth: a loss on ∇E gives biases no gradient; energy.activation"
        return [told] if named else []

    def check(self, experiment: Any) -> None:
        super().check(experiment)
        if not self.normaliser.active:
            return
        if "t" not in experiment.energy.context:
            raise ValueError("normaliser: must be none for an energy without time (energy.timed=true has one)")
        if experiment.energy.conditional:
            raise ValueError("normaliser: must be none under labels, each of which has a constant of its own")

    def gather(self, energy: Energy, batch: Points, step: int, generator: torch.Generator) -> tuple[Any, Any]:
        return Normalised(batch) if self.normaliser.at_work(step) else batch, None

    def loss(self, energy: Energy, given: Points | Normalised, source: Source) -> Loss:
        batch = given.batch if isinstance(given, Normalised) else given
        x, y = batch.x, self._labels(energy, batch, source)
        z = self._draw_noise(x, source)
        values: dict[str, Tensor] = {}
        if isinstance(given, Normalised):
            with full_precision(x.device):  # differences of large numbers
                t = self.normaliser.sample_t(self.noise, x, source)
                fit = self._fit(x, t, z)
                found = slopes(energy, fit.x, fit.t)
                seen = Seen(self.noise.perturb(x, t, z), t, x, z, found)
                more = self.normaliser.loss(energy, self.noise, seen, source)
                values[self.normaliser.name] = self.normaliser.weight * more
                field = -found.x
        else:
            t = draw_rows(len(x), source, lambda n, g: self.noise.sample_t(n, g, x.device)).to(x.dtype)
            fit = self._fit(x, t, z)
            field = -self.engine.gradient(energy.bind(t=fit.t, y=y), fit.x, create_graph=True)
        error = (field - fit.aim).square().flatten(1).mean(1)
        values = {self.name: error} | values
        if self.terms:
            clean, last = self.noise.of_no_noise(x)
            at_data = energy.bind(t=last, y=y)
            now = Step(Phase(clean, at_data(clean), at_data, y), self.engine, source)
            values |= self.terms(now)
        late = self.noise.is_late(t)
        apart = {ERROR_EARLY: ~late, ERROR_LATE: late}
        metrics = {k: (error.detach() * m).sum() / m.sum().clamp(min=1) for k, m in apart.items()}
        return Loss(values, metrics, {}, {"aim": fit.aim})

    def signals(self, loss: Loss) -> dict[str, Tensor]:
        return {"unexplained": loss.terms[self.name].detach().mean() / loss.points["aim"].square().mean()}

    def _draw_noise(self, x: Batch, source: Source) -> Batch:
        """Standard normal z ``[batch, *event]`` in the order of the x they go with."""
        return normal_like(x, source)

    def _fit(self, x: Batch, t: PerSample, z: Batch) -> Fit:
        return self.noise.fit(x, t, z)

    def _labels(self, energy: Energy, batch: Points, source: Source) -> Tensor | None:
        if not self.label_dropping:
            return batch.y
        assert energy.no_label is not None  # else refused before training
        assert batch.y is not None
        dropped = uniform((len(batch.y),), source, batch.y.device) < self.label_dropping
        return batch.y.masked_fill(dropped, energy.no_label)
