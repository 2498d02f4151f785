"""A noise level's density exp(−Ẽ − a) against the exact one, p, by weights w = exp(−Ẽ(x) − a)/p(x) of exact points.

    log Z    log mean w, log ∫ exp(−Ẽ − a): 0 where a is its constant             (in the plane by quadrature, ``grid``)
    ESS/n    (Σw)²/(n Σw²): 1 where the densities are the same, but for a constant
    KL       KL(p‖model) = log Z − mean log w, whatever the constant
    score    √(E‖s − s*‖²/E‖s*‖²), s = −∇Ẽ, s* = ∇ log p
    modes    of a mixture: the model's weight of each, ŵ_k ∝ w_k · mean over mode k of w

log Z is from below where few points have most of the weight, and KL with it: ESS/n says so.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ebm_exp.dataset.mixture import Mixture
from ebm_exp.energy.base import Energy, energy_gradient
from ebm_exp.evaluator.annealing import effective_size, log_mean
from ebm_exp.evaluator.base import Score
from ebm_exp.noise import NoiseProcess
from ebm_exp.random import normal_like
from ebm_exp.types import Batch

BLOCK = 2**10  # points whose energies are differentiated at once


class Level(NamedTuple):
    """A noise level of a model and of the truth.

    Attributes:
        noise: the process.
        truth: the exact density of its data.
        t: the time of the level.
        energy: Ẽ at this time, at rest.
        constant: a.
    """

    noise: NoiseProcess
    truth: Mixture
    t: float
    energy: Energy
    constant: float

    def points(self, x: Batch, generator: torch.Generator) -> Batch:
        """Exact points of the level, of points of the data ``[n, d]``."""
        return self.noise.share(self.t) * x + self.noise.width(self.t) * normal_like(x, generator)

    def weigh(self, x: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """log w ``[n]`` at points of the level, ‖s − s*‖² and ‖s*‖² there; all float64."""
        share, width = self.noise.share(self.t), self.noise.width(self.t)
        parts: list[tuple[Tensor, Tensor, Tensor]] = []
        with torch.no_grad():
            for block in x.split(BLOCK):
                e, slope = energy_gradient(self.energy, block)
                wide = block.double()
                log_w = -e.double() - self.constant - self.truth.log_prob_noised(wide, share, width)
                exact = self.truth.score_noised(wide, share, width)
                parts.append((log_w, (slope.double() + exact).square().sum(1), exact.square().sum(1)))
        log_w, errors, squares = (torch.cat(each) for each in zip(*parts, strict=True))
        return log_w, errors, squares


def compare(level: Level, n: int, generator: torch.Generator, log_z: Score | None = None) -> dict[str, Score]:
    """``ess``, ``kl``, ``log_z`` and ``score_error`` of a level, by n exact points.

    Args:
        level: which.
        n: at least 2.
        generator: of the points.
        log_z: by quadrature, where it is known.
    """
    x = level.points(level.truth.sample(n, generator), generator)
    log_w, errors, squares = level.weigh(x)
    mean = log_mean(log_w) if log_z is None else log_z
    spread = log_w if log_z is not None else log_w - (log_w - mean.value).exp()  # of both means together
    kl = Score(mean.value - float(log_w.mean()), float(spread.std()) / math.sqrt(n), better=None, n=n, unit="nats")
    return {
        "ess": Score(effective_size(log_w) / n, better=None, n=n),
        "kl": kl,
        "score_error": _root_of_ratio(errors, squares),
        "log_z": mean._replace(unit="nats"),
    }


def compare_modes(level: Level, n: int, generator: torch.Generator) -> dict[str, Score]:
    """``weight_error``, the largest |ŵ_k − w_k|, and ``weight_ess``, the smallest ESS/n of a mode, of a level.

    Args:
        level: which.
        n: exact points of all modes together, the same number of each.
        generator: of the points.
    """
    truth, device = level.truth, generator.device
    k = len(truth.weights)
    each = max(2, n // k)
    means, stds = truth.means.to(device).float(), truth.stds.to(device).float()
    modes = means.repeat_interleave(each, 0)
    x = modes + stds.repeat_interleave(each)[:, None] * normal_like(modes, generator)
    log_w = level.weigh(level.points(x, generator))[0].view(k, each)
    weights = truth.weights.to(log_w)
    found = (weights.log() + log_w.logsumexp(1)).softmax(0)
    ess = min(effective_size(of_mode) / each for of_mode in log_w)
    error = (found - weights).abs().max()
    return {
        "weight_error": Score(float(error), better=None, n=k * each),
        "weight_ess": Score(ess, better=None, n=each),
    }


def _root_of_ratio(above: Tensor, below: Tensor) -> Score:
    """√(mean above/mean below) of numbers ``[n]``, with its standard error by the delta method."""
    ratio, n = float(above.mean() / below.mean()), len(above)
    se = float((above - ratio * below).std() / below.mean()) / math.sqrt(n)
    root = math.sqrt(ratio)
    return Score(root, se / (2 * root) if root > 0 else 0.0, better=None, n=n)
