"""Likelihood in any dimension, with log Z by annealed importance sampling, from below and from above.

NLL = mean E(x)/T + log Z over held-out points, of a density on the domain, or on all of space (``paths.py``). Forward
weights bound log Z from below, so their NLL is optimistic; reverse ones bound it from above where they begin at exact
samples (Burda et al. 2015; Grosse et al. 2015). A trained model has none: there they begin at the ends of long
Metropolis chains, and the bound holds as far as these have reached their target. For levels that are dequantized,
log P(level) ≥ mean log p(x) + d log(width of a level), so

    bits per dimension = (NLL − d log width)/(d log 2)                                 (Theis et al. 2016, section 3.1).

Of data of two levels all of it is about probabilities: Z is a sum over the 2^d points, the path begins at independent
bits, and the kernel flips bits.
"""

import math
from typing import Annotated, Literal

import torch
from torch import Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.energy import Energy
from ebm_exp.energy.analytic import Analytic
from ebm_exp.engine import Engine
from ebm_exp.evaluator.annealing import anneal, effective_size, log_mean, pilot, reverse
from ebm_exp.evaluator.base import LOWER, Evaluator, Kind, Model, Score
from ebm_exp.evaluator.baselines import fit_baselines
from ebm_exp.evaluator.baselines import surprise as find_surprise
from ebm_exp.evaluator.evidence import judge
from ebm_exp.evaluator.paths import Box, Levels, ToData
from ebm_exp.noise.base import NoiseProcess
from ebm_exp.random import generator
from ebm_exp.sampler.base import Info, Sampler, State
from ebm_exp.sampler.chain import run_chain, start_control
from ebm_exp.sampler.diagnostics import mixing
from ebm_exp.start import Start
from ebm_exp.types import Batch, Conditional, EnergyFn, From, NonNegative, NonNegativeInt, PositiveInt, Provided

BLOCK = 2**12  # points whose energies are computed at once
KEPT = 200  # steps of the long chains whose energies are kept


class AIS(Evaluator):
    """``ais_log_z``, ``ais_nll`` and, for dequantized levels, ``ais_bpd``, from forward weights; ``…_reverse`` likewise
    from reverse ones; ``ais_levels_log_z`` of ``path=levels``. ``ais_gap``: reverse less forward log Z. Nats per point
    as the network sees the data, or bits per dimension.
    ``ais_nll_independent`` and ``ais_nll_gaussian`` (``ais_bpd_…``) are those of ``baselines`` of the same points;
    ``ais_gain_independent`` and ``ais_gain_gaussian``, by how much less the model's is, as the mean of paired
    differences; ``ais_nll_own_units``, the model's in units of the data's own, where these are others. Where the data's
    distribution p is known, ``ais_entropy`` is the least NLL there is, −log p of the same points, and ``ais_kl`` by how
    much the model's is more, likewise. All are by the reverse weights where there are such.

    The evidence: ``ais_ess``, the effective number of the forward chains; of the chains that reverse weights begin
    at, ``ais_r_hat`` of their energies (near 1: they agree with each other) and ``ais_drift``, how much their mean E/T
    still moved from the second quarter of their length to the last, in nats, with its standard error; and ``ais_kl``,
    which no model has below 0. The verdict on it is ``ais_equilibrated``, 1 or 0; what is refuted is never the best of
    anything.

    Args:
        dataset: gives held-out points and the domain.
        engine: gives the energy at rest.
        kernel: moves chains, and leaves a density exactly as it is (``hmc``, ``mala``, ``jump`` around one of them; of
            two levels ``gibbs_with_gradients``); the pilot finds its step size. Its ``n_steps`` are those at each β.
        start: q, where the path on the box begins, of known density; of two levels ``bits``.
        temperature: T of the density exp(−E/T)/Z.
        n_chains: in each direction.
        n_betas: steps of the path.
        n_equilibrate: steps of the chains that reverse weights begin at, from held-in data; 0: no reverse weights. An
            energy with exact samples takes those.
        path: ``box``; ``levels``, through those of the noise process, on all of space, see ``paths``.
        conditional: whether the energy takes labels, so that it is no function of the point alone.
        clamped: whether T is an effective temperature only.
        data_are_continuous: whether the data have more than two levels.
        noise: the noise process.
        context: what the energy takes beside points.

    Raises:
        ValueError: when the start has no density, the kernel a temperature of its own, the energy takes labels, T is 0,
            a clamp acts in training, kernel or start are not for the data's levels, or there are no noise levels, or T
            is not theirs.
    """

    n_samples = 0

    def __init__(
        self,
        dataset: Provided[Dataset],
        engine: Provided[Engine],
        kernel: Sampler,
        start: Start,
        temperature: Annotated[NonNegative, From("temperature")] = 1.0,
        n_chains: PositiveInt = 256,
        n_betas: PositiveInt = 1000,
        n_equilibrate: NonNegativeInt = 1000,
        path: Literal["box", "levels"] = "box",
        conditional: Conditional = False,
        clamped: Annotated[bool, From("objective.clamped")] = False,
        data_are_continuous: Annotated[bool, From("dataset.continuous")] = True,
        noise: Annotated[NoiseProcess | None, From("noise")] = None,
        context: Annotated[tuple[str, ...], From("energy.context")] = (),
    ) -> None:
        remove = "; remove it with ~evaluator.ais"
        if conditional:
            raise ValueError(f"ais needs an energy of the point alone, this one takes labels{remove}")
        if clamped:
            raise ValueError(
                "ais needs a density exp(−E/T)/Z, and a clamp acts on the chains of this run, so that its T is only an "
                f"effective temperature (sampler.clamp=false sampler.gradient_clamp=null train one){remove}"
            )
        if temperature <= 0:
            raise ValueError(f"ais needs a density exp(−E/T)/Z, and T is 0 here: chains without noise{remove}")
        if not (data_are_continuous or (kernel.binary and start.binary)):
            raise ValueError(
                "the data have two levels: ais needs sampler@evaluator.ais.kernel=gibbs_with_gradients "
                f"start@evaluator.ais.start=bits{remove}"
            )
        if not kernel.adjusted or kernel.binary != start.binary:
            name = type(kernel).__name__
            raise ValueError(f"kernel: must leave a continuous density as it is (hmc, mala, jump), {name} does not")
        if kernel.temperature is not None:
            raise ValueError(f"kernel.temperature: must be null, the path says it, got {kernel.temperature:g}")
        if path == "levels" and (noise is None or "t" not in context or temperature != 1):
            raise ValueError("path: levels needs an energy of time (energy.timed=true), whose densities are at T = 1")
        if path == "box" and not start.has_density:
            raise ValueError(f"start: needs a known density, {start.name} has none; try independent or uniform")
        self.dataset = dataset
        self.engine = engine
        self.kernel = kernel.unbounded() if path == "levels" else kernel
        self.start = start
        self.path, self.noise = path, noise
        self.temperature = temperature
        self.n_chains = n_chains
        self.n_betas = n_betas
        self.n_equilibrate = n_equilibrate
        self._baselines: dict[str, Start] = {}

    def _ways(self) -> tuple[str, ...]:
        return ("", "_reverse") if self.n_equilibrate else ("",)

    def gives(self) -> dict[str, Kind]:
        names = ("nll", "bpd") if self.dataset.dequantize else ("nll",)
        return {f"ais_{name}{way}": LOWER for way in self._ways() for name in names}

    @property
    def protocol(self) -> str:
        kernel, split = type(self.kernel).__name__, "test split" if self.dataset.holds_out else "training data"
        domain = self.dataset.domain
        upper = f"reverse from {self.n_equilibrate:,} steps from data (an upper bound only if equilibrated)"
        bound = "; own units: values of categories have probabilities, of which theirs is a lower bound"
        path = f"β × {self.kernel.n_steps} {kernel} from {self.start.name}"
        where = f"[{domain.low:g}, {domain.high:g}]^{math.prod(domain.event_shape)}, as the network sees the data"
        if self.start.binary:
            where = f"{{{domain.low:g}, {domain.high:g}}}^{math.prod(domain.event_shape)}, probabilities"
        if self.noise is not None and self.path == "levels":
            std = self.noise.width(self.noise.t_density) / self.noise.share(self.noise.t_density)
            path = f"noise levels × {self.kernel.n_steps} {kernel} from normal noise"
            where = f"all of space, of data with noise of {std:.3g}, at points without"
        return (
            f"{self.n_chains:,} chains, {self.n_betas:,} {path}, "
            f"{upper if self.n_equilibrate else 'forward only'}, {self.dataset.n_test:,} points of the {split}"
            f"{', levels dequantized' if self.dataset.dequantize else ''}, T = {self.temperature:g}; density on {where}"
            f"{bound if self.dataset.units.discrete else ''}"
        )

    @torch.no_grad()
    def __call__(self, model: Model) -> dict[str, Score]:
        """The scores of the energy; the same seed gives the same."""
        device, seed = self.engine.device, model.stream.seed
        path = self._lay(self.engine.target(model.energy).energy)
        begin = path.draw(self.n_chains, generator(device, "ais", "pilot", seed))
        schedule = pilot(self.kernel, path, begin, self.n_betas, generator(device, "ais", "pilot chains", seed))
        g = generator(device, "ais", "forward", seed)
        log_w = anneal(self.kernel, path, schedule, path.draw(self.n_chains, g), g).log_w
        x_test = self.dataset.held_out(generator(self.dataset.device, "ais", "held out", seed))
        surprise = torch.cat([path.surprise(block) for block in x_test.split(BLOCK)])
        cautious = lower = log_mean(log_w)
        scores = self._scores("", lower, surprise)
        evidence: dict[str, Score] = {}
        if self.n_equilibrate:
            x, evidence = self._equilibrate(model, path, seed)
            g = generator(device, "ais", "reverse", seed)
            log_inverse = log_mean(anneal(self.kernel, path, reverse(schedule), x, g).log_w)
            upper = log_inverse._replace(value=-log_inverse.value)
            cautious = upper
            gap = Score(upper.value - lower.value, math.hypot(upper.se or 0, lower.se or 0), better=None, unit="nats")
            scores |= self._scores("_reverse", upper, surprise)
            evidence = {"ais_gap": gap} | evidence
        if self.dataset.has_density:
            log_p = self.dataset.log_prob(x_test).double()
            evidence["ais_entropy"] = Score.mean(-log_p, None)._replace(unit="nats per point")
            evidence["ais_kl"] = _nll(surprise + log_p, cautious, "nats per point")
        own = self.dataset.units.log_scale(x_test)
        if own.any() and not self.dataset.dequantize:
            scores["ais_nll_own_units"] = _nll(surprise - own.to(surprise), cautious, "nats per row in own units")
        self._baselines = self._baselines or fit_baselines(self.dataset)
        theirs = {name: find_surprise(density, x_test, BLOCK) for name, density in self._baselines.items()}
        for name, each in theirs.items():
            less = _nll(surprise - each, cautious, "nats per point")
            scores[f"ais_gain_{name}"] = less._replace(value=-less.value)
        equilibrated, verdict = judge(evidence)
        if self.n_equilibrate or verdict["refuted"]:  # a KL alone may speak against them, for them it does not
            evidence["ais_equilibrated"] = equilibrated
            scores = {name: score._replace(**verdict) for name, score in scores.items()}
        for name, each in theirs.items():  # densities without a network have no best
            found = self._scores(f"_{name}", Score(0.0, 0.0), each)
            scores |= {key: score._replace(better=None) for key, score in found.items() if "log_z" not in key}
        return scores | {"ais_ess": Score(effective_size(log_w), better=None)} | evidence

    def _lay(self, energy: Energy) -> ToData:
        if self.noise is not None and self.path == "levels":
            return Levels(energy, self.noise, self.n_betas, self.dataset)
        return Box(energy.density(), self.temperature, self.start)

    def _scores(self, way: str, log_z: Score, surprise: Tensor) -> dict[str, Score]:
        nll = _nll(surprise, log_z, "nats per point")._replace(better="lower")
        name = "ais_levels_log_z" if self.path == "levels" else "ais_log_z"  # on the domain
        scores = {f"{name}{way}": log_z._replace(unit="nats"), f"ais_nll{way}": nll}
        if self.dataset.dequantize:
            domain, d = self.dataset.domain, math.prod(self.dataset.event_shape)
            width, bits = (domain.high - domain.low) / self.dataset.n_levels, d * math.log(2)
            value, se = (nll.value - d * math.log(width)) / bits, (nll.se or 0) / bits
            scores[f"ais_bpd{way}"] = nll._replace(value=value, se=se, unit="bits per dimension")
        return scores

    def _equilibrate(self, model: Model, path: ToData, seed: int) -> tuple[Batch, dict[str, Score]]:
        """Points near the model's density, and what tells how near."""
        device = self.engine.device
        exact = model.energy
        if isinstance(exact, Analytic) and self.temperature == 1 and not self.start.binary:
            return exact.sample(self.n_chains, generator(device, "ais", "exact", seed)), {}
        g = generator(device, "ais", "equilibrate", seed)
        x = path.begin_at(self.dataset.noisy(self.n_chains, g).x, g)
        trace: list[Tensor] = []
        half = self.n_equilibrate // 2
        every = max(1, self.n_equilibrate // KEPT)

        def watch(step: int, energy: EnergyFn, state: State, info: Info) -> None:
            if step % every == 0:
                trace.append(energy(state.x).double() / self.temperature)

        longer = path.reach(torch.ones((), dtype=torch.float64, device=device))
        control = start_control(self.kernel, self.temperature, device, longer)
        chain = run_chain(self.kernel, path.target, x, g, control, self.n_equilibrate, watch, n_adapt=half // 2)
        kept = torch.stack(trace)  # [steps, chains]
        quarter = len(kept) // 4
        moved = kept[3 * quarter :].mean(0) - kept[quarter : 2 * quarter].mean(0)
        evidence = {"ais_drift": Score.mean(moved, None)._replace(unit="nats")}
        if len(kept) >= 8:
            evidence["ais_r_hat"] = Score(mixing(kept[len(kept) // 2 :]).r_hat, better=None)
        return chain.x, evidence


def _nll(surprise: Tensor, log_z: Score, unit: str) -> Score:
    """The mean of E/T ``[n]``, or of what it is more than other surprises of the same points, and log Z."""
    mean = Score.mean(surprise, None)
    return mean._replace(value=mean.value + log_z.value, se=math.hypot(mean.se or 0, log_z.se or 0), unit=unit)
