"""Likelihood in the plane, with log Z by quadrature.

log Z = log ∫ exp(−E(x)/T) dx over the domain, by the midpoint rule on n² cells; its error is estimated by the rule on
(n/2)² cells, whose error is four times as large for a smooth energy. Then NLL = mean E(x)/T + log Z over held-out
points, and where the data's distribution p is known, KL(p‖model) = mean log p(x) + NLL.
"""

import math
from typing import Annotated

import torch
from torch import Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.evaluator.base import LOWER, Evaluator, Kind, Model, Score
from ebm_exp.types import Batch, Conditional, EnergyFn, From, Positive, PositiveInt, Provided

BLOCK = 2**16  # points whose energies are computed at once


class Grid(Evaluator):
    """``nll`` and ``kl``, lower is better, ``log_z`` and the estimate of its error ``log_z_error``, in nats.

    It looks at the energy, not at samples.

    Args:
        dataset: gives held-out points and the domain, and p where it is known (else there is no ``kl``).
        temperature: T of the density exp(−E/T)/Z.
        n: cells per side.
        conditional: whether the energy takes labels, so that it is no function of the point alone.

    Raises:
        ValueError: when points are not in the plane, the energy takes labels, or T is 0.
    """

    n_samples = 0

    def __init__(
        self,
        dataset: Provided[Dataset],
        temperature: Annotated[Positive, From("temperature")] = 1.0,
        n: PositiveInt = 600,
        conditional: Conditional = False,
    ) -> None:
        if conditional:
            raise ValueError(
                "a grid needs an energy of the point alone, this one takes labels; remove it with ~evaluator.grid"
            )
        if dataset.event_shape != (2,):
            raise ValueError(f"a grid needs points in the plane, {dataset.name} has points {dataset.event_shape}")
        if temperature <= 0:
            raise ValueError(
                "a grid needs a density exp(−E/T), and T is 0 here: chains without noise descend the energy; "
                "sampler.noise_std=null is the noise of T = 1"
            )
        self.dataset = dataset
        self.temperature = temperature
        self.n = n
        # The two differ by the entropy of the data, whatever the model.
        self.instead = {} if dataset.has_density else {"kl": "nll"}

    def gives(self) -> dict[str, Kind]:
        return {"nll": LOWER, "kl": LOWER} if self.dataset.has_density else {"nll": LOWER}

    @property
    def protocol(self) -> str:
        return f"log Z on {self.n:,}² cells, {self.dataset.n_test:,} points of the test split, T = {self.temperature:g}"

    def __call__(self, model: Model) -> dict[str, Score]:
        """The scores of the energy; no sample is drawn."""
        energy = model.energy.of_data()
        z = log_z(energy, self.dataset, self.temperature, self.n)
        x = self.dataset.test()
        surprise = _energies(energy, x) / self.temperature + z
        coarse = log_z(energy, self.dataset, self.temperature, self.n // 2)
        scores = {
            "log_z": Score(float(z), better=None, unit="nats"),
            "log_z_error": Score(float((z - coarse).abs() / 3), better=None, unit="nats"),
            "nll": Score.mean(surprise, "lower")._replace(unit="nats per point"),
        }
        if self.dataset.has_density:
            kl = Score.mean(surprise + self.dataset.log_prob(x).double(), "lower")
            scores["kl"] = kl._replace(unit="nats per point")
        return scores


def log_z(energy: EnergyFn, dataset: Dataset, temperature: float, n: int) -> Tensor:
    """log ∫ exp(−E/T) over the domain by the midpoint rule on n² cells, a float64 scalar."""
    domain = dataset.domain
    return log_integral(energy, domain.low, domain.high, n, dataset.device, temperature)


def log_integral(
    energy: EnergyFn, low: float, high: float, n: int, device: torch.device, temperature: float = 1.0
) -> Tensor:
    """log ∫ exp(−E/T) over [low, high]² by the midpoint rule on n² cells, a float64 scalar."""
    edges = torch.linspace(low, high, n + 1, dtype=torch.float64, device=device)
    middle = (edges[1:] + edges[:-1]) / 2
    points = torch.stack(torch.meshgrid(middle, middle, indexing="ij"), -1).view(-1, 2).float()
    cell = 2 * math.log((high - low) / n)
    return torch.logsumexp(-_energies(energy, points) / temperature, 0) + cell


@torch.no_grad()
def _energies(energy: EnergyFn, x: Batch) -> Tensor:
    return torch.cat([energy(block).double() for block in x.split(BLOCK)])
