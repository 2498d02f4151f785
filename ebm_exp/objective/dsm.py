"""Denoising score matching with an explicit energy (Vincent 2011; Song & Ermon 2019, arXiv 1907.05600).

Data x with noise, x_σ = x + σz, has the score ∇ log p_σ(x_σ) = E[−z/σ | x_σ], which −∇E is fitted to:

levels   all σ, E(x, σ) in EDM's form                     ``noise.edm``
single   one σ, E(x):  L = E ‖σ∇E(x_σ) − z‖² / d
sliced   one σ, E(x):  L = E [½(vᵀ∇E)² − vᵀ∇²E v],  vᵢ = ±1     (Song et al. 2019, arXiv 1905.07088, Equation 8)

The last two mean the density of data with this noise, exp(−E)/Z; the third knows nothing of z, and is for points.
"""

from typing import Annotated, Any, Literal

import torch

from ebm_exp.energy import Energy
from ebm_exp.energy.base import energy_gradient
from ebm_exp.engine.base import Engine
from ebm_exp.guard.rule import Rule
from ebm_exp.noise.base import NoiseProcess
from ebm_exp.normaliser.base import Normaliser
from ebm_exp.objective.base import Loss
from ebm_exp.objective.flow_matching import RULES as OF_FLOWS
from ebm_exp.objective.matching import Matching
from ebm_exp.precision import full_precision
from ebm_exp.random import Source, normal_like, uniform
from ebm_exp.regularization.base import Phase, Step, Term
from ebm_exp.types import From, Points, Positive, Probability, Provided

RULES: tuple[Rule, ...] = tuple(
    rule for rule in OF_FLOWS if rule.name == "loss_exploded"
)  # little noise, little to tell


class DSM(Matching):
    """Regression of −∇E on the scores of noisy data.

    Args:
        engine: differentiates the energy.
        noise: the noise process of all levels, ``edm``.
        regularization: terms beside the loss; of data alone, no samples are drawn.
        form: ``levels``, for an energy of time; ``single`` or ``sliced``, for one without.
        noise_std: σ of ``single`` and ``sliced``, in units of the domain.
        label_dropping: of ``levels``, see ``Matching``.
        normaliser: of the densities of all levels.

    Raises:
        ValueError: when a term of the regularization needs samples, or the noise process or the normaliser is not for
            this form.
    """

    rules = RULES

    def __init__(
        self,
        engine: Provided[Engine],
        noise: Provided[NoiseProcess],
        regularization: Provided[dict[str, Term]],
        form: Literal["levels", "single", "sliced"] = "levels",
        noise_std: Positive = 0.1,
        label_dropping: Probability = 0.0,
        normaliser: Annotated[Normaliser | None, From("normaliser")] = None,
    ) -> None:
        super().__init__("dsm", engine, noise, regularization, normaliser, label_dropping)
        if form == "levels" and noise.potential != "residual":
            raise ValueError("noise: must be edm for dsm; noise=flow goes with objective=flow_matching")
        self.form = form
        self.noise_std = noise_std
        if form != "levels":
            self.binds = frozenset({"y"})
        if form == "sliced":
            self.rules = ()  # its loss has no scale

    def check(self, experiment: Any) -> None:
        if self.form == "levels" and "t" not in experiment.energy.context:
            raise ValueError("form: levels needs an energy of time (energy.timed=true); single and sliced need none")
        super().check(experiment)

    def loss(self, energy: Energy, given: Any, source: Source) -> Loss:
        return super().loss(energy, given, source) if self.form == "levels" else self._at_one(energy, given, source)

    def _at_one(self, energy: Energy, batch: Points, source: Source) -> Loss:
        """``single`` and ``sliced``."""
        x, y, sigma = batch.x, self._labels(energy, batch, source), self.noise_std
        z = normal_like(x, source)
        noisy = (x + sigma * z).requires_grad_()
        bound = energy.bind(y=y)
        if self.form == "single":
            gradient = self.engine.gradient(bound, noisy, create_graph=True)
            values = {"dsm": (sigma * gradient - z).square().flatten(1).mean(1)}
        else:
            with full_precision(x.device):
                v = torch.where(uniform(tuple(x.shape), source, x.device) < 0.5, -1.0, 1.0).to(x.dtype)
                along = (energy_gradient(bound, noisy)[1] * v).flatten(1).sum(1)
                (bent,) = torch.autograd.grad(along.sum(), noisy, create_graph=True)
                values = {"dsm": 0.5 * along.square() - (bent * v).flatten(1).sum(1)}
        if self.terms:
            values |= self.terms(Step(Phase(x, bound(x), bound, y), self.engine, source))
        return Loss(values, {}, {}, {"aim": z})

    def signals(self, loss: Loss) -> dict[str, torch.Tensor]:
        return {} if self.form == "sliced" else super().signals(loss)
