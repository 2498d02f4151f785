"""E(x): the energy, low where data is; p_T(x) ∝ exp(−E(x)/T)."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import parametrize

from ebm_exp.part import Part
from ebm_exp.types import Batch, EnergyFn, PerSample

_WORDS = {"y": "labels (y)", "t": "noise levels (t)"}  # what a message calls the context

_WITHOUT = {"t": "energy.timed=false"}  # what makes an energy that needs none

_EDGES = (nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ReLU6, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid)


class Noised(Protocol):
    """What knows the density that an energy of noise levels stands for: a noise process."""

    def of_data(self, energy: "Energy") -> "Energy":
        """The energy of the density nearest to the data, without a noise level."""
        ...

    def densities(self, energy: "Energy") -> "Energy":
        """The energies of the densities of all noise levels."""
        ...


class Energy(nn.Module, Part, ABC):
    """A network from points ``[batch, *event]`` to energies ``[batch]``.

    Attributes:
        context: what forward needs beside x and must be bound: ``y`` (labels), ``t`` (noise level or time), …
        optional: what may be asked for beside (a joint classifier: ``y``); nothing binds it by itself.
        noised: of an energy of noise levels: the noise process it is fitted to.
        no_label: the y that stands for none, of an energy that is fitted with and without labels.
        classifies: it has class scores, ``logits(x)`` (``joint.Joint``).
    """

    context: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    noised: Noised | None = None
    no_label: int | None = None
    classifies: bool = False

    @abstractmethod
    def forward(self, x: Batch, **context: Tensor) -> PerSample:
        """Energies ``[batch]``, in nats at temperature 1."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As ``forward``, in float32 at least: an autocast leaves the sum of a layer's outputs in bf16."""
        e = super().__call__(*args, **kwargs)
        return e.to(torch.promote_types(e.dtype, torch.float32))

    @property
    def conditional(self) -> bool:
        """Whether chains on it run under labels."""
        return "y" in self.context

    def bind(self, **available: Tensor | None) -> EnergyFn:
        """The energy as a function of x alone; of what is available it takes what it names in ``context``.

        Raises:
            ValueError: when something that it needs is not there (a class-conditional energy on data without labels).
        """
        missing = [name for name in self.context if available.get(name) is None]
        if missing:
            needed = " and ".join(_WORDS.get(name, name) for name in missing)
            raise ValueError(f"{type(self).__name__} needs {needed}, none are given here")
        bound = {name: tensor for name in self.context if (tensor := available[name]) is not None}
        return Bound(self, bound) if bound else self

    def check_context(self, given: Collection[str], giver: str) -> None:
        """Refuse one who does not give all that it needs bound.

        Args:
            given: what will be bound.
            giver: who binds it, for the message.

        Raises:
            ValueError: naming what is missing, and the key by which none is needed.
        """
        missing = [name for name in self.context if name not in given]
        if missing:
            hints = [f"{_WITHOUT[name]} needs none" for name in missing if name in _WITHOUT]
            raise ValueError("; ".join([f"energy: needs {' and '.join(missing)}, which {giver} does not give", *hints]))

    def of_data(self) -> "Energy":
        """The energy whose density exp(−E/T)/Z is that of the data, without a noise level: as a rule this one."""
        return self if self.noised is None else self.noised.of_data(self)

    def density(self, **available: Tensor | None) -> EnergyFn:
        """The E of exp(−E/T)/Z that images and evaluators mean: of x alone, under what is available (labels)."""
        return self.of_data().bind(**available)


class Bound(nn.Module):
    """An energy with its context bound: a module of x alone."""

    def __init__(self, energy: Energy, context: dict[str, Tensor]) -> None:
        super().__init__()
        self.energy = energy
        self.context = context

    def forward(self, x: Batch) -> PerSample:
        return self.energy(x, **self.context)


def tile(energy: EnergyFn, k: int) -> EnergyFn:
    """The energy for k points in place of each: what is bound is repeated to ``[batch·k]``, point by point."""
    if not isinstance(energy, Bound):
        return energy
    return Bound(energy.energy, {name: each.repeat_interleave(k, 0) for name, each in energy.context.items()})


@contextmanager
def rest(energy: EnergyFn | nn.Module) -> Iterator[None]:
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
def freeze(energy: EnergyFn | nn.Module) -> Iterator[None]:
    """At rest, and no gradient to parameters."""
    parameters = energy.parameters() if isinstance(energy, nn.Module) else ()
    taking_gradient = [p for p in parameters if p.requires_grad]
    with rest(energy):
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
    # Fused attention has no double backward pass.
    attention = sdpa_kernel(SDPBackend.MATH) if differentiable else nullcontext()
    with torch.enable_grad(), attention:
        if not (differentiable and x.requires_grad):
            x = x.detach().requires_grad_()
        e = energy(x)
        (gradient,) = torch.autograd.grad(e, x, torch.ones_like(e), create_graph=differentiable)  # of the sum
    return (e if differentiable else e.detach()), gradient


class Slopes(NamedTuple):
    """An energy of time and its derivatives, where and as it sees points and times."""

    e: PerSample
    x: Batch  # ∇ₓE
    t: PerSample  # ∂E/∂t


class Standard(NamedTuple):
    """What a noise process makes of standard normal data at times ``[batch]``, where and as an energy sees the points.

    E = d height + ½ curvature ‖x‖² is that of their density: Ẽ is −log N(x; 0, variance I).
    """

    scale: PerSample  # what 1 of Ẽ is in E
    height: PerSample
    curvature: PerSample
    variance: PerSample


def slopes(energy: Energy, x: Batch, t: PerSample) -> Slopes:
    """E(x, t), ∇ₓE and ∂E/∂t at points ``[batch, *event]`` and times ``[batch]``, all with a graph."""
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):  # fused attention has no double backward pass
        x, t = x.detach().requires_grad_(), t.detach().requires_grad_()
        e = energy(x, t=t)
        along_x, along_t = torch.autograd.grad(e, (x, t), torch.ones_like(e), create_graph=True)
    return Slopes(e, along_x, along_t)


def edges(energy: nn.Module) -> list[str]:
    """Its activations that are not smooth: their slope jumps, and what only moves the jumps takes no gradient of ∇E."""
    return sorted({type(module).__name__ for module in energy.modules() if isinstance(module, _EDGES)})


def count_parameters(energy: nn.Module) -> int:
    """Number of scalars that training moves."""
    return sum(p.numel() for p in energy.parameters() if p.requires_grad)
