"""Weak L2 on what a network adds to a known density: w · (N(x⁺)² + N(x⁻)²).

Where data are few it holds the model at q, which was fitted to them with care: a point's density moves by no more than
what several points say.
"""

from torch import Tensor

from ebm_exp.energy import Energy, Tilted
from ebm_exp.regularization.base import Phase, Step, Term
from ebm_exp.types import NonNegative


class TiltL2(Term):
    """Penalises the squared energies of the network of ``energy=tilted``, at the data and, where there are, at samples.

    Args:
        weight: w.
    """

    pure = True

    def __init__(self, weight: NonNegative) -> None:
        self.weight = weight

    def prepare(self, energy: Energy) -> Energy:
        """The energy as it is.

        Raises:
            ValueError: when it is no tilted density.
        """
        if not isinstance(energy, Tilted):
            raise ValueError("needs a network on top of a known density (energy=tilted)")
        self._base = energy.base
        return energy

    def __call__(self, now: Step) -> Tensor:
        squared = self._tilt(now.positive).square()
        if now.negative is not None:
            squared = squared + self._tilt(now.negative).square()
        return self.weight * squared

    def _tilt(self, phase: Phase) -> Tensor:
        """N(x) = E(x) + log q(x)."""
        return phase.e + self._base.log_prob(phase.x).float()
