"""Flow matching with an explicit energy: −∇E is the velocity that carries noise to data.

L = E_{t, z, x} ‖−∇ₓE(x_t, t) − (x − z)‖² / d,  x_t = (1 − t) z + t x            (Lipman et al. 2023, arXiv 2210.02747)

No chain runs in training. A potential of time is the velocity of every time, and by its noise process the density of
every noised time. One without time (Balcerak et al. 2025, "Energy Matching", arXiv 2504.10612) is one landscape, whose
density at T = ε a second stage of contrastive divergence makes true.
"""

from typing import Annotated, Literal

from ebm_exp.engine.base import Engine
from ebm_exp.guard.rule import Rule
from ebm_exp.noise.base import Fit, NoiseProcess
from ebm_exp.noise.pairs import Pairs, draw_pairs
from ebm_exp.normaliser.base import Normaliser
from ebm_exp.objective.matching import Matching
from ebm_exp.random import Source
from ebm_exp.regularization.base import Term
from ebm_exp.types import Batch, From, PerSample, Positive, Probability, Provided, per_point

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


class FlowMatching(Matching):
    """Regression of −∇E on velocities.

    Args:
        engine: differentiates the energy.
        noise: the noise process, ``flow``.
        regularization: terms beside the loss; of data alone, no samples are drawn.
        pairs: of noise and data, see ``noise.pairs``: Ẽ of the noise process is exact for random ones.
        target: ``flow``: x − z; ``equilibrium``: x − z times 4 min(1, (1 − t)/.2), 0 at the data, for an energy without
            time (Wang & Du 2025, "Equilibrium Matching", arXiv 2510.02300).
        temperature: T of the density that is meant: 1 for an energy of time, a small ε for one without.
        label_dropping: share of the points that are shown without their label (Ho & Salimans 2022, arXiv 2207.12598).
        normaliser: of the densities of all times.

    Raises:
        ValueError: when a term of the regularization needs samples, the noise process has no velocity, or there is a
            normaliser for what is no density.
    """

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
        normaliser: Annotated[Normaliser | None, From("normaliser")] = None,
    ) -> None:
        super().__init__("flow_matching", engine, noise, regularization, normaliser, label_dropping)
        if noise.potential != "velocity":
            raise ValueError("noise: must be flow for flow_matching; noise=edm goes with objective=dsm")
        if self.normaliser.active and pairs != "random":
            raise ValueError(f"pairs: must be random with a normaliser, got {pairs}")
        if self.normaliser.active and target != "flow":
            raise ValueError(f"target: must be flow with a normaliser, got {target}")
        self.pure = pairs == "random" and self.terms.pure  # other pairs are found on the host
        self.pairs = pairs
        self.target = target
        self.temperature = temperature

    def _draw_noise(self, x: Batch, source: Source) -> Batch:
        return draw_pairs(x, source, self.pairs)

    def _fit(self, x: Batch, t: PerSample, z: Batch) -> Fit:
        fit = self.noise.fit(x, t, z)
        return fit if self.target == "flow" else fit._replace(aim=fit.aim * per_point(_fading(t), x))


def _fading(t: PerSample) -> PerSample:
    """The factor of the equilibrium's target, 0 at the data."""
    return _FACTOR * ((1 - t) / (1 - _FADES_FROM)).clamp(max=1)
