"""Data with more and more noise, in the form of Karras et al. 2022 ("EDM", arXiv 2206.00364).

x_σ = x + σ z,  z ~ N(0, I),  σ from σ_max (noise) to σ_min (data)

With the data's mean m, and s² the mean of its variances over coordinates, the Gaussian N(m, V I), V = σ² + s², is what
is known beforehand, and E is fitted to the rest. D is the denoised point (Table 1, with −∇E for the network):

D(x, σ) = m + (s²/V)(x − m) − (σs/√V) ∇E(u, c(σ)),  u = (x − m)/√V,
‖−∇E − ((x − m) − (s²/V)(x_σ − m)) √V/(σs)‖² / d,  the error of D weighted by V/(σs)².

c(σ) says where log σ stands between the bounds of training: 0 at σ_min, 1 at σ_max. As ∇ log p_σ = (D − x)/σ²,

p_σ = exp(−Ẽ − c),  Ẽ(x, σ) = ½‖u‖² + (s/σ) E(u, c(σ)) + (d/2) log 2πV,

where E = 0 is that Gaussian. dx/dσ = σ ∇Ẽ carries each density to the next (Equation 1).
"""

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.energy.base import Energy, Slopes, Standard
from ebm_exp.noise.base import Course, Fit, NoiseProcess, Time
from ebm_exp.types import Batch, Finite, PerSample, Positive, Provided, per_point

RHO = 7.0  # how the steps of a course crowd at its end (Equation 5)
BLOCK = 2**12  # points that are looked at together


class EDM(NoiseProcess):
    """Data with noise of standard deviation σ, which is its time; bounds and times of training are in units of s.

    Args:
        dataset: gives m and s, which a run remembers, as it does the bounds.
        times: of training: ``log_normal``, or ``wide``, even in log σ between the bounds.
        sigma_min: σ of the density that images and evaluators mean.
        sigma_max: σ where it begins.
        log_mean: of ``log_normal``, the mean of log σ.
        log_std: its standard deviation.

    Raises:
        ValueError: when ``sigma_min`` is not below ``sigma_max``.
    """

    potential = "residual"

    def __init__(
        self,
        dataset: Provided[Dataset],
        times: Literal["log_normal", "wide"] = "log_normal",
        sigma_min: Positive = 0.02,
        sigma_max: Positive = 40.0,
        log_mean: Finite = -0.5,
        log_std: Positive = 1.2,
    ) -> None:
        if sigma_min >= sigma_max:
            raise ValueError(f"sigma_min: must be below sigma_max, {sigma_max:g}, got {sigma_min:g}")
        self.dataset = dataset
        self.times, self.log_mean, self.log_std = times, log_mean, log_std
        self.sigma_min, self.sigma_max = sigma_min, sigma_max
        self._trained_in = sigma_max, sigma_min
        self._known: tuple[Tensor, float] | None = None

    @property
    def mean(self) -> Tensor:
        """m ``[*event]``."""
        return self._moments()[0]

    @property
    def scale(self) -> float:
        """s."""
        return self._moments()[1]

    def _moments(self) -> tuple[Tensor, float]:
        if self._known is None:
            self._known = _find_moments(self.dataset)
        return self._known

    def state_dict(self) -> dict[str, Any]:
        """m and s, for a run is sampled without its data, and the bounds, for it may be sampled within others."""
        return {"mean": self.mean, "scale": self.scale, "bounds": self._trained_in}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over m, s and the bounds of training.

        Raises:
            ValueError: when m is of another shape, or σ would go beyond them.
        """
        mean = state["mean"].to(self.dataset.device)
        if mean.shape != self.dataset.event_shape:
            raise ValueError(f"mean: must be of shape {list(self.dataset.event_shape)}, got {list(mean.shape)}")
        most, least = state.get("bounds", self._trained_in)
        if not least <= self.sigma_min < self.sigma_max <= most:
            raise ValueError(f"sigma_min, sigma_max: must be within those of training, {least:g} and {most:g}")
        self._known, self._trained_in = (mean, float(state["scale"])), (most, least)

    def __deepcopy__(self, memo: dict[int, Any]) -> "EDM":
        """Itself: it changes no more, and holds the data set."""
        return self

    @property
    def span(self) -> tuple[float, float]:
        return self.sigma_max * self.scale, self.sigma_min * self.scale

    def sample_t(self, n: int, generator: torch.Generator, device: torch.device) -> PerSample:
        if self.times == "wide":
            return self.sample_wide(n, generator, device)
        log_sigma = self.log_mean + self.log_std * torch.randn(n, generator=generator, device=device)
        return log_sigma.exp() * self.scale

    def sample_wide(self, n: int, generator: torch.Generator, device: torch.device) -> PerSample:
        """Evenly in log σ."""
        first, last = (math.log(sigma) for sigma in self.span)
        return (first + (last - first) * torch.rand(n, generator=generator, device=device)).exp()

    def levels(self, n: int, first: float | None = None) -> list[float]:
        """Evenly in log σ."""
        most, least = self.span
        begin, end = math.log(most if first is None else first), math.log(least)
        return [math.exp(end - (end - begin) * i / max(1, n - 1)) for i in reversed(range(n))]

    def course(self, n: int, t_end: float = 1.0) -> Course:
        """σ_i = (σ_max^(1/ρ) + (i/n)(σ_min^(1/ρ) − σ_max^(1/ρ)))^ρ, ρ = 7 (Equation 5, ended at σ_min)."""
        if t_end != 1:
            raise ValueError(f"t_end: must be 1 with noise=edm, whose course ends at noise.sigma_min, got {t_end:g}")
        begin, end = (sigma ** (1 / RHO) for sigma in self.span)
        times = [(begin + i / n * (end - begin)) ** RHO for i in range(n + 1)]
        return Course(times, [later - t for t, later in pairwise(times)])

    def gaussian(self, t: Time) -> tuple[Tensor, Time]:
        return self.mean, (t**2 + self.scale**2) ** 0.5

    def share(self, t: Time) -> Time:
        return t * 0 + 1

    def width(self, t: Time) -> Time:
        return t

    def is_late(self, t: Tensor) -> Tensor:
        return t < self.scale

    def time_of(self, noise_std: float) -> float:
        return noise_std

    def position(self, t: PerSample) -> PerSample:
        """c(σ)."""
        most, least = self._trained_in
        return (t / (least * self.scale)).log() / math.log(most / least)

    def fit(self, x: Batch, t: PerSample, z: Batch) -> Fit:
        """−∇E is the rest of the data that the Gaussian leaves, in units of its deviation."""
        sigma, s = per_point(t, x), self.scale
        variance, noised = sigma**2 + s**2, self.perturb(x, t, z)
        rest = (x - self.mean) - s**2 / variance * (noised - self.mean)
        aim = rest * variance.sqrt() / (sigma * s)
        return Fit((noised - self.mean) / variance.sqrt(), self.position(t), aim)

    def of_no_noise(self, x: Batch) -> tuple[Batch, PerSample]:
        return self.fit(x, x.new_full((len(x),), self.span[1]), torch.zeros_like(x))[:2]

    def densities(self, energy: Energy) -> Energy:
        return _Densities(energy, self)

    def standard(self, t: PerSample) -> Standard:
        """E = 0, of variance 1."""
        none, (most, least) = torch.zeros_like(t), self._trained_in
        return Standard(least * (most / least) ** t, none, none, none + 1)

    def carrier(self, energy: Energy) -> Energy:
        return _Carrier(_Densities(energy, self))

    def scaled_score(self, x: Batch, velocity: Batch, t: float) -> Batch:
        return -velocity

    def pace(self, t: Time) -> Time:
        return t

    def drift(self, x: Batch, t: PerSample, slopes: Slopes) -> PerSample:
        """σ²(d − ‖u‖²)/V − (s/σ)(E + σ²⟨∇E, u⟩/V − ∂E/∂c · σ dc/dσ)."""
        most, least = self._trained_in
        s, d, share = self.scale, x[0].numel(), t**2 / (t**2 + self.scale**2)
        u = (x - self.mean).flatten(1) / (t**2 + s**2).sqrt()[:, None]
        along = (slopes.x.flatten(1) * u).sum(1)
        of_energy = slopes.e + share * along - slopes.t / math.log(most / least)
        return share * (d - u.square().sum(1)) - s / t * of_energy

    def drift_of_noise(self, x: Batch, z: Batch) -> PerSample:
        """‖z‖² − d."""
        return z.flatten(1).square().sum(1) - z[0].numel()


class _Densities(Energy):
    """Ẽ(x, σ) of an energy E(u, c)."""

    def __init__(self, energy: Energy, noise: EDM) -> None:
        super().__init__()
        self.energy, self.noise = energy, noise
        self.context = energy.context
        self.optional = energy.optional

    def forward(self, x: Batch, **context: Tensor) -> PerSample:
        sigma, s, d = context["t"], self.noise.scale, x[0].numel()
        variance = sigma**2 + s**2
        u = (x - self.noise.mean) / per_point(variance.sqrt(), x)
        e = self.energy(u, **context | {"t": self.noise.position(sigma)})
        return 0.5 * u.flatten(1).square().sum(1) + s / sigma * e + 0.5 * d * (2 * math.pi * variance).log()


class _Carrier(Energy):
    """−σ Ẽ(x, σ)."""

    def __init__(self, densities: Energy) -> None:
        super().__init__()
        self.densities = densities
        self.context, self.optional = densities.context, densities.optional

    def forward(self, x: Batch, **context: Tensor) -> PerSample:
        return -context["t"] * self.densities(x, **context)


def _find_moments(dataset: Dataset) -> tuple[Tensor, float]:
    """The mean of training points ``[*event]``, and the root of the mean of their variances over coordinates."""
    n, first, second = 0, torch.zeros((), device=dataset.device), torch.zeros((), device=dataset.device)
    for x, _ in dataset.blocks("train", BLOCK):
        n, wide = n + len(x), x.double()
        first, second = first + wide.sum(0), second + wide.square().sum(0)
    mean = first / n
    variance = (second / n - mean.square()).mean()
    if variance.is_meta:
        return mean.float(), 1.0
    if not variance > 0:
        raise ValueError("noise=edm needs data that vary, and all training points are the same")
    return mean.float(), float(variance.sqrt())
