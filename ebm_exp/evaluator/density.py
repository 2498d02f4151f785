"""log p in one pass: the normalised density of an energy of noise levels, on held-out points and against the truth.

With a ``normaliser`` an energy of time gives log p(x, t) = −Ẽ(x, t) − a in one pass of the network, on all of space,
with one constant a for all levels: known for ``noise=flow``, measured where noise is most for ``noise=edm``. In the
data's coordinates p is that of the data with noise of deviation width/share (``NoiseProcess.log_density``).
"""

import math
from typing import Annotated, Any

import torch
from torch import Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.dataset.mixture import Mixture
from ebm_exp.dataset.units import Levels
from ebm_exp.energy.base import Energy
from ebm_exp.engine import Engine
from ebm_exp.evaluator.base import HIGHER, LOWER, Evaluator, Kind, Model, Score
from ebm_exp.evaluator.evidence import is_large
from ebm_exp.evaluator.grid import log_integral
from ebm_exp.evaluator.truth import Level, compare, compare_modes
from ebm_exp.noise import NoiseProcess
from ebm_exp.noise.constant import N_POINTS
from ebm_exp.noise.continuity import residuals
from ebm_exp.normaliser import Normaliser
from ebm_exp.random import generator, normal_like
from ebm_exp.types import Batch, Conditional, From, PositiveInt, Provided

BLOCK = 2**8  # points whose gradients are differentiated at once
N_RESIDUAL = 2**10  # held-out points at most
REACH = 6.0  # deviations of noise that an integral goes beyond the box
WITHOUT = "not normalised: each noise level has a constant of its own (normaliser=time_score or levels gives one)"


class Density(Evaluator):
    """``log_p_noised``, of held-out points with noise of the least level, which is what the density is of, and
    ``log_p_clean``, of the points themselves, levels dequantized where training ones are; nats per point of the data's
    coordinates. Of data of levels ``log_p_bpd_noised``, and ``log_p_bpd_clean`` where they are dequantized, the bound
    of ``ais``: (−log p − d log width)/(d log 2) with the width of a level. ``log_p_constant``: a.

    ``log_p_fokker_planck``: root mean square per dimension of how far Ẽ is from one density that is carried from level
    to level (``continuity.py``), at held-out points of all levels.

    In the plane ``log_p_log_z_<k>`` is log ∫ exp(−Ẽ − a) by quadrature, k = 1 … ``n_levels`` from noise to the least
    level; 0 is right. Of ``dataset=mixture`` the truth is known, and for each level there are ``log_p_ess_<k>``,
    ``log_p_kl_<k>``, ``log_p_score_error_<k>``, ``log_p_log_z_<k>``; ``log_p_weight_error`` and ``log_p_weight_ess``
    are of the modes at the least level (``truth.py``).

    A run without a normaliser has these numbers too. Its likelihoods are never the best of anything, nor are those of a
    density whose log Z is known and further from 0 than .1 and chance.

    Args:
        dataset: gives held-out points, and the truth where it is known.
        engine: gives the energy at rest.
        noise: the noise process.
        normaliser: of the training.
        n_levels: levels that are looked at.
        n: exact points of each level.
        n_cells: of quadrature, per side.
        context: what the energy takes beside points.
        conditional: whether it takes labels.
        temperature: T, which is 1.
        pairs: of noise and data in training.

    Raises:
        ValueError: when the energy has no time, or takes labels, or is fitted to what is no density of noised data.
    """

    n_samples = 0

    def __init__(
        self,
        dataset: Provided[Dataset],
        engine: Provided[Engine],
        noise: Provided[NoiseProcess],
        normaliser: Annotated[Normaliser | None, From("normaliser")] = None,
        n_levels: PositiveInt = 8,
        n: PositiveInt = 4096,
        n_cells: PositiveInt = 400,
        context: Annotated[tuple[str, ...], From("energy.context")] = ("t",),
        conditional: Conditional = False,
        temperature: Annotated[float, From("temperature")] = 1.0,
        pairs: Annotated[str, From("objective.pairs")] = "random",
    ) -> None:
        remove = "; remove it with ~evaluator.density"
        if "t" not in context:
            told = (
                "density needs an energy of noise levels (experiment=flow; objective=dsm noise=edm energy.timed=true)"
            )
            raise ValueError(told + remove)
        if conditional:
            raise ValueError(
                "density needs an energy of the point alone, and each label of this one has a constant of its own "
                f"(energy.conditional=false){remove}"
            )
        if temperature != 1:
            raise ValueError(f"density needs T = 1 (objective.temperature=1), got {temperature:g}{remove}")
        if pairs != "random":
            raise ValueError(f"density needs independent noise and data (objective.pairs=random), got {pairs}{remove}")
        if n < 2:
            raise ValueError(f"n: must be at least 2, got {n}")
        self.dataset = dataset
        self.engine = engine
        self.noise = noise
        self.normaliser = normaliser
        self.n_levels = n_levels
        self.n = n
        self.n_cells = n_cells

    @property
    def is_normalised(self) -> bool:
        return self.normaliser is not None and self.normaliser.active

    def _of_levels(self) -> tuple[str, ...]:
        if not isinstance(self.dataset.units, Levels):
            return ()
        return ("noised", "clean") if self.dataset.dequantize else ("noised",)

    def gives(self) -> dict[str, Kind]:
        likelihoods = {f"log_p_{name}": HIGHER for name in ("noised", "clean")}
        return likelihoods | {f"log_p_bpd_{name}": LOWER for name in self._of_levels()}

    @property
    def protocol(self) -> str:
        t, split = self.noise.t_density, "test split" if self.dataset.holds_out else "training data"
        deviation = self.noise.width(t) / self.noise.share(t)
        known = "known" if self.noise.known_constant is not None else f"of {N_POINTS:,} noised training points"
        truth = f", {self.n:,} exact points at each of {self.n_levels} levels" * isinstance(self.dataset, Mixture)
        return (
            f"one pass, {self.dataset.n_test:,} points of the {split}, noised: by {deviation:.4g}, constant {known}, "
            f"{f'normaliser={self.normaliser.name}' if self.normaliser and self.is_normalised else WITHOUT}{truth}"
        )

    @torch.no_grad()
    def __call__(self, model: Model) -> dict[str, Score]:
        """The scores of the energy; the same seed gives the same."""
        seed, device = model.stream.seed, self.dataset.device

        def numbers(what: str) -> torch.Generator:
            return generator(device, "density", what, seed)

        energy = self.engine.target(model.energy).energy
        value, se = self.noise.log_constant(energy, self.dataset, numbers("constant"))
        a = Score(value, se or None, better=None, unit="nats")
        levels = self._of_each_level(energy, a, numbers("exact"))
        told = self._judge(levels.get(f"log_p_log_z_{self.n_levels}"))
        x = self.dataset.held_out(numbers("held out"))
        t, z = self.noise.t_density, normal_like(x, numbers("noise"))
        scores: dict[str, Score] = {}
        for name, points in (("noised", x + self.noise.width(t) / self.noise.share(t) * z), ("clean", x)):
            found = self._likelihood(name, self.noise.log_density(energy, points, t, a.value), a)
            scores |= {name: score._replace(**told) for name, score in found.items()}
        scores["log_p_constant"] = a
        scores["log_p_fokker_planck"] = self._residual(energy, x, numbers("residual"))
        return scores | levels

    def _judge(self, log_z: Score | None) -> dict[str, Any]:
        """``verdict`` and ``refuted`` of likelihoods, by log Z of the least level where it is known."""
        if not self.is_normalised:
            return {"verdict": WITHOUT, "refuted": True}
        if log_z is None:
            return {}
        holds = not is_large(abs(log_z.value), log_z.se)
        verdict = f"normalised: {'yes' if holds else 'no'} (log Z {log_z.value:.2f})"
        return {"verdict": verdict, "refuted": not holds}

    def _likelihood(self, name: str, log_p: Tensor, a: Score) -> dict[str, Score]:
        """The mean of log p ``[n]``, in nats and in bits."""
        mean = Score.mean(log_p, "higher")
        nats = mean._replace(se=math.hypot(mean.se or 0, a.se or 0), unit="nats per point")
        scores, units, d = {f"log_p_{name}": nats}, self.dataset.units, math.prod(self.dataset.event_shape)
        if isinstance(units, Levels) and name in self._of_levels():
            bits, width = d * math.log(2), d * math.log(units.width)
            found = nats._replace(value=-(nats.value + width) / bits, se=(nats.se or 0) / bits)
            scores[f"log_p_bpd_{name}"] = found._replace(better="lower", unit="bits per dimension")
        return scores

    def _residual(self, energy: Energy, x: Batch, g: torch.Generator) -> Score:
        x = x[torch.randperm(len(x), generator=g, device=x.device)[:N_RESIDUAL]]
        t = self.noise.sample_wide(len(x), g, x.device).to(x.dtype)
        y = self.noise.perturb(x, t, normal_like(x, g))
        blocks = zip(y.split(BLOCK), t.split(BLOCK), strict=True)
        products = [torch.mul(*residuals(self.noise, energy, points, times, g)) for points, times in blocks]
        squares = torch.cat(products).double()
        root = float(squares.mean().clamp(min=0).sqrt())  # below 0 by chance alone
        se = float(squares.std()) / math.sqrt(len(squares))
        return Score(root, se / (2 * root) if root else None, better=None, n=len(squares), unit="per dimension")

    def _of_each_level(self, energy: Energy, a: Score, g: torch.Generator) -> dict[str, Score]:
        scores: dict[str, Score] = {}
        in_plane = self.dataset.event_shape == (2,)
        truth = self.dataset if isinstance(self.dataset, Mixture) else None
        for k, t in enumerate(self.noise.levels(self.n_levels) if in_plane or truth else [], 1):
            density, log_z = self.noise.energy_at(energy, t), None
            if in_plane:
                low, high = (self.noise.share(t) * end for end in (self.dataset.domain.low, self.dataset.domain.high))
                beyond = REACH * self.noise.width(t)
                found = log_integral(density, low - beyond, high + beyond, self.n_cells, self.dataset.device)
                log_z = Score(float(found) - a.value, a.se, better=None, unit="nats")
                scores[f"log_p_log_z_{k}"] = log_z
            if truth is None:
                continue
            level = Level(self.noise, truth, t, density, a.value)
            of_level = compare(level, self.n, g, log_z)
            scores |= {f"log_p_{name}_{k}": score for name, score in of_level.items()}
            if k == self.n_levels:
                scores |= {f"log_p_{name}": score for name, score in compare_modes(level, self.n, g).items()}
        return scores
