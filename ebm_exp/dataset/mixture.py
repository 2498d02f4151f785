"""Round Gaussians in any number of dimensions, whose density and score are known at every noise level.

p(x) = Σ_k w_k N(x; m_k, s_k² I), and a x + b z, z ~ N(0, I), has the density Σ_k w_k N(a m_k, v_k I) with
v_k = a² s_k² + b².
"""

import math
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from ebm_exp import memory
from ebm_exp.dataset.base import Dataset
from ebm_exp.dataset.domain import Domain
from ebm_exp.random import generator
from ebm_exp.types import Batch, Finite, NonNegativeInt, PerSample, Points, Positive, PositiveInt, Provided

_WALL = 8  # deviations from a mean to the nearest wall of the box
_LEAST = 4  # of a box that is given
_N_MODES = 8  # where nothing says how many
_NUMBERS = 2**22  # in float64, of a block


class Mixture(Dataset):
    """Points ``[n_dims]`` in the box ±half_width, drawn once; no labels, so that energies are not conditional.

    Args:
        name: the run directory's name; names the draw of points too.
        device, seed: where the points live and which ones they are.
        n_dims: d.
        n_modes: K; None: as many as the lists below have, else 8.
        means: m, a list of up to d numbers per mode, the others are 0; None: drawn, uniform in [−spread, spread]^d.
        stds: s, one number for all modes or one for each; ``drawn``: log-uniform from a 20th to a 5th of the spread.
        weights: w, up to a factor; None: equal; ``drawn``: log-uniform within a factor of 4.
        spread: of means and deviations that are drawn.
        modes_seed: which modes are drawn: the same for every ``seed``.
        standardize: centre the mixture, and divide it by the root of its variance, the mean of all coordinates.
        half_width: the domain is [−half_width, half_width]^d; None: 8 deviations beyond the outermost mean.
        n_train, n_test: number of points.

    Attributes:
        weights, means, stds: w ``[K]``, m ``[K, d]``, s ``[K]`` as they are in the end, in float64 on the CPU.

    Raises:
        ValueError: when a list has another length than it should, or the box cuts through a mode.
    """

    def __init__(
        self,
        name: str,
        device: Provided[torch.device],
        seed: Provided[int],
        n_dims: PositiveInt = 2,
        n_modes: PositiveInt | None = None,
        means: tuple[tuple[Finite, ...], ...] | None = None,
        stds: Positive | tuple[Positive, ...] | Literal["drawn"] = 0.3,
        weights: tuple[Positive, ...] | Literal["drawn"] | None = None,
        spread: Positive = 4.0,
        modes_seed: NonNegativeInt = 0,
        standardize: bool = False,
        half_width: Positive | None = None,
        n_train: PositiveInt = 100_000,
        n_test: PositiveInt = 10_000,
    ) -> None:
        k = _count(n_modes, {"means": means, "stds": stds, "weights": weights})
        memory.refuse("n_dims", 3 * k * n_dims * 8)
        memory.refuse("n_train", 3 * (n_train + n_test) * n_dims * 4)  # points and what they are made of

        def uniform(what: str, *shape: int) -> Tensor:
            return torch.rand(shape, generator=generator("cpu", "mixture", what, modes_seed), dtype=torch.float64)

        if means is None:
            self.means = spread * (2 * uniform("means", k, n_dims) - 1)
        else:
            self.means = _rows(means, n_dims)
        if stds == "drawn":
            self.stds = spread / 20 * 4 ** uniform("stds", k)
        else:
            self.stds = torch.tensor(stds, dtype=torch.float64).expand(k).clone()
        if weights == "drawn":
            unnormalised = 4 ** uniform("weights", k)
        else:
            unnormalised = torch.tensor(weights or [1.0] * k, dtype=torch.float64)
        self.weights = unnormalised / unnormalised.sum()
        if standardize:
            self.means = self.means - self.weights @ self.means
            scale = (self.weights @ (self.means.square().mean(1) + self.stds.square())).sqrt()
            self.means, self.stds = self.means / scale, self.stds / scale
        reach = self._reach(half_width)
        x = self.sample(n_train + n_test, generator("cpu", "dataset", name, seed))
        super().__init__(
            name=name,
            domain=Domain(-reach, reach, (n_dims,)),
            train=x[:n_train],
            test=x[n_train:],
            clamp_noise=False,
            device=device,
        )

    def _reach(self, half_width: float | None) -> float:
        outermost = self.means.abs().amax(1)
        if half_width is None:
            return float((outermost + _WALL * self.stds).max())
        least = float((outermost + _LEAST * self.stds).max())
        if half_width < least:
            raise ValueError(f"half_width: must be at least {least:.4g}, {_LEAST} deviations beyond the outermost mean")
        return half_width

    def modes(self, n: int, g: torch.Generator) -> Points:
        """n independent points ``[n, d]`` of the distribution with their modes as labels, on the generator's device."""
        k = torch.multinomial(self.weights.to(g.device), n, replacement=True, generator=g)
        x = torch.randn(n, self.means.shape[1], generator=g, device=g.device)
        x.mul_(self.stds.to(x)[k, None]).add_(self.means.to(x)[k])
        return Points(x, k)

    def sample(self, n: int, g: torch.Generator) -> Batch:
        """n independent points ``[n, d]`` of the distribution, on the generator's device."""
        return self.modes(n, g).x

    def log_prob(self, x: Batch) -> PerSample:
        return self.log_prob_noised(x, 1.0, 0.0)

    def log_prob_noised(self, x: Batch, share: float | PerSample, width: float | PerSample) -> PerSample:
        """Log-density ``[batch]`` in nats of share · data + width · N(0, I); one noise level, or one of each point."""
        return torch.cat([log_p.logsumexp(1) for _, _, log_p, _ in self._blocks(x, share, width)]).to(x.dtype)

    def score_noised(self, x: Batch, share: float | PerSample, width: float | PerSample) -> Batch:
        """∇ₓ ``log_prob_noised``, ``[batch, d]``."""
        blocks = []
        for points, a, log_p, variance in self._blocks(x, share, width):
            pull = log_p.softmax(1) / variance  # [rows, K], of each mode
            blocks.append(a * (pull @ self.means.to(x.device)) - pull.sum(1, keepdim=True) * points)
        return torch.cat(blocks).to(x.dtype)

    def _blocks(
        self, x: Batch, share: float | PerSample, width: float | PerSample
    ) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Of points in blocks of bounded memory, in float64: themselves, a, log w_k N(x; a m_k, v_k) and v_k."""
        n, d = x.shape
        means, stds, weights = (each.to(x.device) for each in (self.means, self.stds, self.weights))
        at = (torch.as_tensor(each, dtype=torch.float64, device=x.device).expand(n) for each in (share, width))
        level = torch.stack([*at], 1)
        rows = max(1, _NUMBERS // max(d, len(means)))
        for points, each in zip(x.double().split(rows), level.split(rows), strict=True):
            a, b = each.split(1, 1)  # [rows, 1]
            variance = a.square() * stds.square() + b.square()
            length, inner = points.square().sum(1, keepdim=True), points @ means.T
            squared = (length - 2 * a * inner + a.square() * means.square().sum(1)).clamp(min=0)
            log_n = -squared / (2 * variance) - d / 2 * (2 * math.pi * variance).log()
            yield points, a, weights.log() + log_n, variance


def _count(n_modes: int | None, lists: dict[str, object]) -> int:
    """How many modes there are, which all that is a list must agree with."""
    lengths = {key: len(each) for key, each in lists.items() if isinstance(each, list | tuple)}
    k = n_modes if n_modes is not None else next(iter(lengths.values()), _N_MODES)
    said = "n_modes" if n_modes is not None else next(iter(lengths), "")
    for key, length in lengths.items():
        if length == 0 or length != k:
            raise ValueError(f"{key}: must have {k or 'at least 1'}, one for each mode ({said}), got {length}")
    return k


def _rows(means: tuple[tuple[float, ...], ...], d: int) -> Tensor:
    """Lists of up to d numbers as ``[K, d]``, the others 0."""
    longest = max(len(mean) for mean in means)
    if longest > d:
        raise ValueError(f"means: each must have at most {d} numbers (n_dims), got {longest}")
    return torch.tensor([[*mean, *[0.0] * (d - len(mean))] for mean in means], dtype=torch.float64)
