"""Do the run's chains sample what they claim to? They agree with each other, move, and stay off the walls.

R̂ and effective size are of the energy over the second half of fresh chains (Vehtari et al. 2021, by ArviZ). The
acceptance that a Metropolis correction of the training kernel's step would have (MALA: Roberts & Tweedie 1996) tells
how far unadjusted chains are from their density: near 1 its bias is small, near 0 the step is too long for the energy.
"""

from math import nan
from typing import Annotated

import torch
from torch import Tensor

from ebm_exp.buffer import Buffer
from ebm_exp.dataset.base import Dataset
from ebm_exp.engine import Engine, Run
from ebm_exp.evaluator.base import HIGHER, LOWER, Evaluator, Kind, Model, Score
from ebm_exp.random import generator
from ebm_exp.sampler import MALA, Langevin, Sampler
from ebm_exp.sampler.base import Control, Info, State
from ebm_exp.sampler.diagnostics import mixing
from ebm_exp.sampling import Chains, Sampling
from ebm_exp.types import EnergyFn, From, NonNegative, PositiveInt, Provided

WALL = 1e-3  # distance from the boundary, in widths of the domain, that counts as on it
STILL = 1 / 255  # of the width: what a component moved by more than has moved


class ChainHealth(Evaluator):
    """``chain_r_hat`` of fresh chains (1 is best), ``chain_ess``: effective draws a chain in the second half of its
    steps, ``chain_saturated``: share of their components at the boundary, less the data's share; for a Langevin kernel
    ``chain_acceptance``, that of an exact correction of its step; with a buffer ``buffer_moved``: share of the
    components of held points that one more training chain moves by more than 1/255 of the width.

    Args:
        dataset: gives the domain and the data's own share at the boundary.
        engine: runs the chains.
        sampler: the training kernel.
        sampling: must be chains.
        n_chains: fresh chains.
        temperature: T of the density exp(−E/T)/Z.
        buffer: of the run, if it has one.

    Raises:
        ValueError: when samples do not come from chains of one density.
    """

    def __init__(
        self,
        dataset: Provided[Dataset],
        engine: Provided[Engine],
        sampler: Provided[Sampler],
        sampling: Provided[Sampling],
        n_chains: PositiveInt = 64,
        temperature: Annotated[NonNegative, From("temperature")] = 1.0,
        buffer: Annotated[Buffer | None, From("objective.buffer")] = None,
    ) -> None:
        if not isinstance(sampling, Chains):
            raise ValueError(
                f"chain_health needs sampling=chains, the experiment has {type(sampling).__name__}; "
                "remove it with ~evaluator.chain_health"
            )
        self.dataset = dataset
        self.engine = engine
        self.sampler = sampler
        self.sampling = sampling
        self.n_chains = n_chains
        self.temperature = temperature
        self.buffer = buffer
        self.n_samples = 0  # its chains are watched, so they are its own

    def gives(self) -> dict[str, Kind]:
        kinds = {"chain_r_hat": LOWER, "chain_ess": HIGHER}
        return kinds if self.buffer is None else kinds | {"buffer_moved": HIGHER}

    @property
    def protocol(self) -> str:
        return (
            f"{self.n_chains:,} fresh chains, energies of the second half of {self.sampling.n_steps:,} steps; kernel "
            f"{type(self.sampler).__name__}, T = {self.temperature:g}"
        )

    @torch.no_grad()
    def __call__(self, model: Model) -> dict[str, Score]:
        """The scores of the chains; R̂ and effective size are NaN where half of them has fewer than four steps."""
        trace: list[Tensor] = []
        half = self.sampling.n_steps // 2

        def watch(step: int, energy: EnergyFn, state: State, info: Info) -> None:
            if step > half:
                trace.append(energy(state.x))

        ends = model.sampling.draw(model.energy, self.n_chains, model.stream, watch=watch)
        kept = torch.stack(trace)
        found = mixing(kept) if len(kept) >= 4 else None  # too short for either number
        data = self.dataset.train(max(self.n_chains, 1000))
        scores = {
            "chain_r_hat": Score(found.r_hat if found else nan, better="lower", n=kept.shape[1]),
            "chain_ess": Score(found.ess / kept.shape[1] if found else nan, better="higher", n=kept.shape[1]),
            "chain_saturated": Score(
                self._measure_saturation(ends.x) - self._measure_saturation(data), better=None, n=self.n_chains
            ),
        }
        if isinstance(self.sampler, Langevin) and self.temperature > 0:
            scores["chain_acceptance"] = self._acceptance(model, ends.x, ends.y)
        if self.buffer is not None:
            scores["buffer_moved"] = self._measure_moves(model, self.buffer)
        return scores

    def _measure_saturation(self, x: Tensor) -> float:
        domain = self.dataset.domain
        near = WALL * (domain.high - domain.low)
        return float(((x <= domain.low + near) | (x >= domain.high - near)).float().mean())

    def _acceptance(self, model: Model, x: Tensor, y: Tensor | None) -> Score:
        assert isinstance(self.sampler, Langevin)
        kernel = MALA(self.sampler.step_size, 1, self.dataset.domain).to(x.device)
        energy = self.engine.target(model.energy).energy.density(y=y)
        state, noise = kernel.init(energy, x), kernel.draw(generator(x.device, "health", model.stream.seed), x)
        one = torch.ones((), device=x.device)
        _, info = kernel.step(energy, state, noise, Control(one * self.temperature, one))
        return Score.mean(info.acceptance, None)

    def _measure_moves(self, model: Model, buffer: Buffer) -> Score:
        held = buffer.recent(self.n_chains)
        g = generator(self.engine.device, "health buffer", model.stream.seed)
        target = self.engine.target(model.energy)
        end = self.engine.run(self.sampler, target, held.x, g, Run(self.temperature), y=held.y).x
        level = STILL * (self.dataset.domain.high - self.dataset.domain.low)
        return Score.mean(((end - held.x).abs() > level).float().flatten(1).mean(1), "higher")
