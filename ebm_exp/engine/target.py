"""What chains run on: an energy at rest, whose weights stand in fixed storage."""

import copy
import weakref

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ebm_exp.energy.base import Energy
from ebm_exp.types import EnergyFn


class Target:
    """A twin of an energy in evaluation mode, without gradients to parameters.

    Its weights are the energy's own storage, so an optimizer's step is seen at once; those that are computed from
    others (spectral norms, …) have storage of their own, which ``refresh`` fills.

    Args:
        energy: the live energy; the twin does not keep it alive.
    """

    def __init__(self, energy: Energy) -> None:
        self._live = weakref.ref(energy)
        shared: dict[int, Tensor] = {id(p): nn.Parameter(p.detach(), requires_grad=False) for p in energy.parameters()}
        shared |= {id(b): b.detach() for b in energy.buffers()}
        # As its modules keep them, found once: before each chain it is asked whether they are where they were.
        self._places = [(of, name) for m in energy.modules() for of in (m._parameters, m._buffers) for name in of]
        self._pointers = self._find()
        self.energy: Energy = copy.deepcopy(energy, shared).eval()
        self._computed: list[tuple[nn.Module, Tensor]] = []  # (what computes a weight, where it goes)
        for live, twin in zip(energy.modules(), list(self.energy.modules()), strict=True):
            if parametrize.is_parametrized(live):
                self._computed += _make_plain(live, twin)

    @property
    def live(self) -> Energy:
        """The energy in training."""
        energy = self._live()
        assert energy is not None
        return energy

    def bind(self, **available: Tensor | None) -> EnergyFn:
        """The twin as a function of x alone, see ``Energy.bind``."""
        return self.energy.bind(**available)

    @torch.no_grad()
    def refresh(self) -> None:
        """Compute the weights that follow from others anew; no host synchronisation."""
        for compute, tensor in self._computed:
            modes = [(module, module.training) for module in compute.modules()]
            compute.eval()  # spectral norms do not iterate here
            tensor.copy_(compute())
            for module, training in modes:
                module.training = training

    def is_current(self) -> bool:
        """Whether the energy's weights still stand where they stood (they move with ``energy.to(device)``)."""
        return self._pointers == self._find()

    def _find(self) -> list[int | None]:
        """Where each stands; None: nowhere any more."""
        tensors = [of.get(name) for of, name in self._places]
        return [None if tensor is None else tensor.data_ptr() for tensor in tensors]


def _make_plain(live: nn.Module, twin: nn.Module) -> list[tuple[nn.Module, Tensor]]:
    """Give a layer of the twin plain weights in place of those that are computed."""
    computed = dict(live.parametrizations.items())  # type: ignore[operator, union-attr]
    # Not by remove_parametrizations: it changes the class, which a copy shares with the live layer.
    twin.__class__ = type(twin).__bases__[0]
    del twin.parametrizations
    for name, compute in computed.items():
        with torch.no_grad():
            weight = torch.empty_like(compute.original)
        twin.register_parameter(name, nn.Parameter(weight, requires_grad=False))
    return [(compute, getattr(twin, name)) for name, compute in computed.items()]
