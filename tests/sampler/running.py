"""Chains for tests: the kernel alone, at a temperature, on an energy that is frozen meanwhile."""

from collections.abc import Callable
from typing import Any

import torch

from ebm_exp.dataset import Dataset
from ebm_exp.energy.base import freeze
from ebm_exp.sampler import Chain, Jump, Sampler
from ebm_exp.sampler import chain as chains
from ebm_exp.sampler.chain import Generators, start_control
from ebm_exp.start import Mixture, Uniform
from ebm_exp.types import EnergyFn


def run_chain(
    sampler: Sampler,
    energy: EnergyFn,
    x: torch.Tensor,
    generator: Generators,
    n_steps: int | None = None,
    callback: Callable[[int, Any, Any], None] | None = None,
    n_adapt: int = 0,
    temperature: float = 1.0,
) -> Chain:
    """``sampler.chain.run_chain`` at T, for a kernel without one of its own."""
    control = start_control(sampler, temperature, x.device)
    watch = None if callback is None else lambda step, _, state, info: callback(step, state, info)
    with freeze(energy):
        return chains.run_chain(sampler, energy, x, generator, control, n_steps, watch, n_adapt)


def jump(
    kernel: Sampler, n_steps: int, data: Dataset, proposal: str = "uniform", n_components: int = 2, **more: Any
) -> Jump:
    """``Jump`` with proposals from a data set."""
    start = Uniform(data) if proposal == "uniform" else Mixture(data, n_components)
    return Jump(kernel, n_steps, start, data.domain, **more)
