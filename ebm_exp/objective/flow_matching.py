"""Flow matching with an explicit energy: −∇E is the velocity that carries noise to data.

L = E_{t, z, x} ‖−∇ₓE(x_t, t) − (x − z)‖² / d,  x_t = (1 − t) z + t x            (Lipman et al. 2023, arXiv 2210.02747)

No chain runs in training. A potential of time is the velocity of every time, and by its noise process the density of
every noised time. One without time (Balcerak et al. 2025, "Energy Matching", arXiv 2504.10612) is one landscape, whose
density at T = ε a second stage of contrastive divergence makes true.
"""

from typing import Literal

import torch
from torch import Tensor

from ebm_exp.energy import Energy
from ebm_exp.energy.base import edges
from ebm_exp.engine.base import Engine
from ebm_exp.guard.rule import Rule
from ebm_exp.metrics import ERROR_EARLY, ERROR_LATE
from ebm_exp.noise.base import NoiseProcess
from ebm_exp.noise.pairs import Pairs, draw_pairs
from ebm_exp.objective.base import Loss, Objective
from ebm_exp.random import Source, draw_rows, uniform
from ebm_exp.regularization.base import Phase, Step, Term, Terms
from ebm_exp.types import PerSample, Points, Positive, Probability, Provided, per_point

RULES = (
    Rule(
        name="loss_exploded",
        signal="unexplained",
        low=0.0,
        high=1.5,
        says="the error is {value} times the mean square of what is fitted: worse than no velocity at all",
        causes=("a learning rate that is too high",),
        knobs=("a smaller optimizer.lr", "trainer.gradient_norm_clip<=1", "more schedule.warmup_steps"),
        remedy=("learning_rate", "clip"),
    ),
    Rule(
        name="output_dead",
        signal="unexplained",
        low=0.0,
        high=0.97,
        says="the error is {value} of the mean square of what is fitted: −∇E explains nothing of it",
        causes=("a learning rate that is too low or too high", "an activation whose second derivative is 0"),
        knobs=("another optimizer.lr", "a smooth energy.activation"),
        remedy=("learning_rate",),
        after=1000,
    ),
)
_FADES_FROM = 0.8  # time from which the equilibrium's target falls
_FACTOR = 4.0  # before it


class FlowMatching(Objective):
    """Regression of −∇E on velocities.

    Args:
        engine: differentiates the energy.
        noise: the noise process.
        regularization: terms beside the loss; of data alone, no samples are drawn.
        pairs: of noise and data, see ``noise.pairs``: Ẽ of the noise process is exact for random ones.
        target: ``flow``: x − z; ``equilibrium``: x − z times 4 min(1, (1 − t)/.2), 0 at the data, for an energy without
            time (Wang & Du 2025, "Equilibrium Matching", arXiv 2510.02300).
        temperature: T of the density that is meant: 1 for an energy of time, a small ε for one without.
        label_dropping: share of the points that are shown without their label (Ho & Salimans 2022, arXiv 2207.12598).

    Raises:
        ValueError: when a term of the regularization needs samples.
    """

    gives = frozenset({"labels"})
    binds = frozenset({"y", "t"})
    rules = RULES

    def __init__(
        self,
        engine: Provided[Engine],
        noise: Provided[NoiseProcess],
        regularization: Provided[dict[str, Term]],
        pairs: Pairs = "random",
        target: Literal["flow", "equilibrium"] = "flow",
        temperature: Positive = 1.0,
        label_dropping: Probability = 0.0,
    ) -> None:
        super().__init__()
        self.engine = engine
        self.noise = noise
        self.terms = Terms("flow_matching", self.gives, regularization)
        self.pure = pairs == "random" and self.terms.pure  # other pairs are found on the host
        self.pairs = pairs
        self.target = target
        self.temperature = temperature
        self.label_dropping = label_dropping
        self.drops_labels = label_dropping > 0

    def describe(self) -> dict[str, str]:
        return self.terms.describe("flow_matching")

    def warnings(self, energy: Energy) -> list[str]:
        named = ", ".join(edges(energy))
        told = f"{named} is not smooth: a loss on ∇E gives biases no gradient; energy.activation"
        return [told] if named else []

    def loss(self, energy: Energy, batch: Points, source: Source) -> Loss:
        x, y = batch.x, self._labels(energy, batch, source)
        z = draw_pairs(x, source, self.pairs)
        t = draw_rows(len(x), source, lambda n, g: self.noise.sample_t(n, g, x.device)).to(x.dtype)
        point = self.noise.perturb(x, t, z)
        velocity = -self.engine.gradient(energy.bind(t=t, y=y), point, create_graph=True)
        aim = x - z if self.target == "flow" else (x - z) * per_point(_fading(t), x)
        error = (velocity - aim).square().flatten(1).mean(1)
        values: dict[str, Tensor] = {"flow_matching": error}
        if self.terms:
            at_data = energy.bind(t=torch.ones_like(t), y=y)
            now = Step(Phase(x, at_data(x), at_data, y), self.engine, source)
            values |= self.terms(now)
        late = t > 0.5
        apart = {ERROR_EARLY: ~late, ERROR_LATE: late}
        metrics = {k: (error.detach() * m).sum() / m.sum().clamp(min=1) for k, m in apart.items()}
        return Loss(values, metrics, {}, {"aim": aim})

    def signals(self, loss: Loss) -> dict[str, Tensor]:
        return {"unexplained": loss.terms["flow_matching"].detach().mean() / loss.points["aim"].square().mean()}

    def _labels(self, energy: Energy, batch: Points, source: Source) -> Tensor | None:
        if not self.label_dropping:
            return batch.y
        assert energy.no_label is not None  # else refused before training
        assert batch.y is not None
        dropped = uniform((len(batch.y),), source, batch.y.device) < self.label_dropping
        return batch.y.masked_fill(dropped, energy.no_label)


def _fading(t: PerSample) -> PerSample:
    """The factor of the equilibrium's target, 0 at the data."""
    return _FACTOR * ((1 - t) / (1 - _FADES_FROM)).clamp(max=1)
