"""E(x): the energy, low where data is; p_T(x) ∝ exp(−E(x)/T)."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ebm_exp.types import Batch, EnergyFn, PerSample


class Energy(nn.Module, ABC):
    """A network from points ``[batch, *event]`` to energies ``[batch]``."""

    context: tuple[str, ...] = ()  # what forward needs beside x: "y" (labels), "t" (noise level), …

    @abstractmethod
    def forward(self, x: Batch, **context: Tensor) -> PerSample:
        """Energies ``[batch]``, in nats at temperature 1."""

    def condition(self, **context: Tensor) -> "EnergyFn":
        """The energy as a function of x alone.

        Raises:
            TypeError: when the context is not exactly what this energy names.
        """
        if set(context) != set(self.context):
            raise TypeError(f"{type(self).__name__} takes the context {self.context}, got {tuple(context)}")
        return Conditioned(self, context) if context else self


class Conditioned(nn.Module):
    """An energy with its context bound: a module of x alone, so that a chain can freeze what lies behind it."""

    def __init__(self, energy: Energy, context: dict[str, Tensor]) -> None:
        super().__init__()
        self.energy = energy
        self.bound = context

    def forward(self, x: Batch) -> PerSample:
        return self.energy(x, **self.bound)


def tiled(energy: EnergyFn, k: int) -> EnergyFn:
    """The energy for k points in place of each: what is bound is repeated to ``[batch·k]``, point by point."""
    if not isinstance(energy, Conditioned):
        return energy
    return Conditioned(energy.energy, {name: each.repeat_interleave(k, 0) for name, each in energy.bound.items()})


@contextmanager
def at_rest(energy: EnergyFn | nn.Module) -> Iterator[None]:
    """Evaluation mode, and weights that are computed from others (spectral norms, …) computed once.

    Parameters take gradients as before. A plain function has nothing to rest and passes through.
    """
    if not isinstance(energy, nn.Module):
        yield
        return
    modes = [(module, module.training) for module in energy.modules()]
    with parametrize.cached():
        energy.eval()
        try:
            yield
        finally:
            for module, training in modes:
                module.training = training


@contextmanager
def frozen(energy: EnergyFn | nn.Module) -> Iterator[None]:
    """For as long as a chain runs: at rest, and no gradient to parameters."""
    parameters = energy.parameters() if isinstance(energy, nn.Module) else ()
    taking_gradient = [p for p in parameters if p.requires_grad]
    with at_rest(energy):
        for p in taking_gradient:
            p.requires_grad_(False)
        try:
            yield
        finally:
            for p in taking_gradient:
                p.requires_grad_(True)


def energy_gradient(energy: EnergyFn, x: Batch) -> tuple[PerSample, Batch]:
    """E(x) ``[batch]`` and ∇E(x) ``[batch, *event]``.

    The gradient carries a graph when the caller has gradients enabled (an objective that differentiates through the
    sampler's step) and none otherwise (every chain).
    """
    differentiable = torch.is_grad_enabled()
    with torch.enable_grad():
        if not (differentiable and x.requires_grad):
            x = x.detach().requires_grad_()
        e = energy(x)
        (gradient,) = torch.autograd.grad(e.sum(), x, create_graph=differentiable)
    return (e if differentiable else e.detach()), gradient


def count_parameters(energy: nn.Module) -> int:
    """Number of scalars that training moves."""
    return sum(p.numel() for p in energy.parameters() if p.requires_grad)


def context_of(energy: Energy, **available: Any) -> dict[str, Tensor]:
    """Those of the available tensors that the energy names as its context.

    Raises:
        ValueError: when one that it needs is not there (a class-conditional energy on data without labels).
    """
    missing = [name for name in energy.context if available.get(name) is None]
    if missing:
        raise ValueError(f"{type(energy).__name__} needs {', '.join(missing)}, which this data set does not give")
    return {name: available[name] for name in energy.context}
