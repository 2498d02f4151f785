"""Kernels on distributions that are known, beside those of ebmkit and torchebm: ``python -m benchmarks.samplers``.

4,096 chains from uniform points of the box ±3, 1,000 gradients each, of which the first half is burn-in. Every kernel
begins with the step size that ours of its kind adapted to in a run before; ours go on adapting in burn-in, the others
have no such thing. Bias: the largest of six moments' distances from the exact ones at the last step, in standard errors
of 4,096 independent points: below 5 is none; "diverged" is a point that left the floating-point numbers. Effective
sample size: of x₁, bulk, of 512 chains together (chains that do not agree count little). Seconds: median of three,
kernels taking turns; these energies cost next to nothing, so it is the kernels' own arithmetic that is timed.
"""

import math
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.results import add, machine, table, write_block
from ebm_exp.dataset import Dataset, Domain
from ebm_exp.energy import DoubleWell, Energy, Funnel, Gaussian, Mixture
from ebm_exp.energy.base import freeze
from ebm_exp.random import generator
from ebm_exp.sampler import HMC, MALA, Jump, Langevin, Sampler, Tempering, Underdamped, run_chain
from ebm_exp.sampler.chain import start_control
from ebm_exp.sampler.diagnostics import mixing
from ebm_exp.start import Uniform

N_CHAINS, N_GRADIENTS, LEAPFROG = 4096, 1000, 10
BOX = Domain(-6, 6, (2,))
TARGETS: dict[str, Callable[[], Energy]] = {
    "correlated Gaussian": lambda: Gaussian((2,), std=(1.0, 0.5), correlation=0.9),
    "mixture": lambda: Mixture((2,), centres=((-3.0, 0.0), (3.0, 0.0)), std=0.5, weights=(0.7, 0.3)),
    "double well": lambda: DoubleWell((2,), barrier=3.0, position=1.0),
    "funnel": lambda: Funnel((2,), std=1.0),
}


class Made(NamedTuple):
    """A trajectory ``[n_kept, chains, 2]`` of the second half, the last acceptance, and the gradients it took."""

    x: Tensor
    acceptance: float
    gradients: int


def moments(x: Tensor) -> Tensor:
    """Six functions of points ``[…, 2]``: ``[…, 6]``."""
    a, b = x[..., 0], x[..., 1]
    return torch.stack([a, b, a.square(), b.square(), a * b, (a > 0).to(x.dtype)], -1)


@torch.no_grad()
def bias(energy: Energy, x: Tensor) -> float:
    """The largest distance of a moment from its exact value on the box, in standard errors."""
    edges = torch.linspace(BOX.low, BOX.high, 1601, dtype=torch.float64)
    middle = (edges[1:] + edges[:-1]) / 2
    points = torch.stack(torch.meshgrid(middle, middle, indexing="ij"), -1).view(-1, 2)
    p = (-energy(points.float()).double()).softmax(0).unsqueeze(1)
    f = moments(points)
    mean = (p * f).sum(0)
    std = ((p * f.square()).sum(0) - mean.square()).sqrt()
    return float(((moments(x.double()).mean(0) - mean) / (std / math.sqrt(len(x)))).abs().max())


def ours(make: Callable[[], Sampler], per_step: int) -> Callable[[Energy, Tensor], Made]:
    """A kernel of this project that takes so many gradients a step."""

    def run(energy: Energy, start: Tensor) -> Made:
        n_steps = N_GRADIENTS // per_step
        kept: list[Tensor] = []
        sampler = make()
        with freeze(energy):
            chain = run_chain(
                sampler, energy, start, generator("cpu", 0), start_control(sampler, 1.0, start.device), n_steps,
                lambda step, _, state, info: kept.append(state.x) if step > n_steps // 2 else None, n_steps // 2,
            )  # fmt: skip
        assert chain.info is not None
        metrics = chain.info.metrics()
        return Made(
            torch.stack(kept), float(metrics.get("chain/acceptance", torch.tensor(math.nan))), n_steps * per_step
        )

    return run


def adapted_step(make: Callable[[], Sampler], energy: Energy, start: Tensor) -> float:
    """The median step size that chains adapt to."""
    sizes: list[Tensor] = []

    def watch(step: int, energy: Any, state: Any, info: Any) -> None:
        sizes.append(info.step_size)

    sampler = make()
    with freeze(energy):
        control = start_control(sampler, 1.0, start.device)
        run_chain(sampler, energy, start[:512], generator("cpu", 1), control, 400, watch, 400)
    return float(sizes[-1].median())


def ebmkit(make: Callable[[], Any], per_step: int) -> Callable[[Energy, Tensor], Made]:
    """A sampler of ebmkit."""

    def run(energy: Energy, start: Tensor) -> Made:
        torch.manual_seed(0)
        sampler, n_steps = make(), N_GRADIENTS // per_step
        x = sampler.sample(energy, start, steps=n_steps, return_trajectory=True)
        rate = sampler.last_accept_rate
        return Made(x[1 + n_steps // 2 :], math.nan if rate is None else rate, n_steps * per_step)

    return run


def torchebm(make: Callable[[object], Any], per_step: int) -> Callable[[Energy, Tensor], Made]:
    """A sampler of torchebm."""

    def run(energy: Energy, start: Tensor) -> Made:
        from torchebm.core import BaseModel

        class Model(BaseModel):
            def forward(self, x: Tensor) -> Tensor:
                return energy(x)

        torch.manual_seed(0)
        n_steps = N_GRADIENTS // per_step
        x, told = make(Model()).sample(
            x=start.clone(), n_steps=n_steps, return_trajectory=True, return_diagnostics=True
        )
        rate = told.get("acceptance_rate")
        kept = x.transpose(0, 1)[n_steps // 2 :]
        return Made(kept, math.nan if rate is None else float(rate[-1]), n_steps * per_step)

    return run


def kernels(energy: Energy, start: Tensor) -> dict[str, Callable[[Energy, Tensor], Made]]:
    """Ours and the peers', with the same step sizes."""
    import ebm
    import torchebm.samplers as peer

    mala = adapted_step(lambda: MALA(0.1, 1, BOX), energy, start)  # λ
    hmc = adapted_step(lambda: HMC(0.1, 1, BOX, n_leapfrog=LEAPFROG), energy, start)
    slow = adapted_step(lambda: Underdamped(0.1, 1, BOX), energy, start)
    ula = mala / 4
    data = Dataset(name="box", domain=BOX, train=start[:500], test=start[:500])
    quiet: dict[str, Any] = {"learn_rate": 0.0}
    return {
        "langevin": ours(lambda: Langevin(ula, 1, BOX), 1),
        "langevin (ebmkit)": ebmkit(lambda: ebm.samplers.LangevinDynamics(ula / 2), 1),
        "langevin (torchebm)": torchebm(lambda model: peer.LangevinDynamics(model, step_size=ula / 2), 1),
        "underdamped": ours(lambda: Underdamped(slow, 1, BOX, **quiet), 1),
        "underdamped (ebmkit)": ebmkit(lambda: ebm.samplers.UnderdampedLangevin(slow), 1),
        "mala": ours(lambda: MALA(mala, 1, BOX, **quiet), 1),
        "mala (ebmkit)": ebmkit(lambda: ebm.samplers.MALA(mala / 2), 2),
        "hmc": ours(lambda: HMC(hmc, 1, BOX, n_leapfrog=LEAPFROG, **quiet), LEAPFROG),
        "hmc (ebmkit)": ebmkit(lambda: ebm.samplers.HMC(hmc, LEAPFROG), LEAPFROG + 1),
        "hmc (torchebm)": torchebm(lambda model: peer.HamiltonianMonteCarlo(model, hmc, LEAPFROG), LEAPFROG + 1),
        "jump (mala, uniform)": ours(lambda: Jump(MALA(mala, 1, BOX, **quiet), 1, Uniform(data), BOX, n_local=4), 5),
        "tempering (mala, 5 replicas, ebmkit)": ebmkit(
            lambda: ebm.samplers.ParallelTempering(
                ebm.samplers.MALA(mala / 2), (1.0, 2.0, 4.0, 8.0, 16.0), swap_every=3
            ),
            10,
        ),
        "tempering (mala, 5 replicas)": ours(lambda: Tempering(MALA(mala, 1, BOX, **quiet), 1, n_local=3), 20),
    }


def main() -> None:
    """Measure, keep and report."""
    start = Domain(-3, 3, (2,)).uniform(N_CHAINS, generator("cpu", "start"))
    rows = {}
    for name, target in TARGETS.items():
        energy = target()
        chosen = kernels(energy, start)
        seconds: dict[str, list[float]] = {kernel: [] for kernel in chosen}
        made = {}
        for _ in range(3):
            for kernel, run in chosen.items():
                began = time.perf_counter()
                made[kernel] = run(energy, start)
                seconds[kernel].append(time.perf_counter() - began)
        for kernel, m in made.items():
            finite = bool(m.x.isfinite().all())
            ess = (
                mixing(m.x[:, :512, 0]).ess * N_CHAINS / 512 * 2 if finite else math.nan
            )  # as if both halves were kept
            rows[f"{name}/{kernel}"] = {
                "bias": bias(energy, m.x[-1]) if finite else math.nan,
                "acceptance": m.acceptance,
                "ess_per_1000_gradients": 1000 * ess / N_CHAINS / m.gradients,
                "ess_per_s": ess / statistics.median(seconds[kernel]),
                "machine": machine(),
            }
            print(name, kernel, rows[f"{name}/{kernel}"], flush=True)
    write_block("samplers", told(add("samplers", rows)))


def told(rows: Mapping[str, Any]) -> str:
    """The block of RESULTS.md."""
    order = list(TARGETS)
    lines = []
    for key in sorted(rows, key=lambda key: order.index(key.split("/")[0])):
        r, (target, kernel) = rows[key], key.split("/")
        acceptance = "" if math.isnan(r["acceptance"]) else f"{r['acceptance']:.2f}"
        cells = (
            ["diverged", acceptance, "", ""]
            if math.isnan(r["bias"])
            else [f"{r['bias']:.1f}", acceptance, f"{r['ess_per_1000_gradients']:.1f}", f"{r['ess_per_s']:,.0f}"]
        )
        lines.append([target, kernel, *cells])
    header = ["target", "kernel", "bias (s.e.)", "acceptance", "ESS per chain and 1,000 gradients", "ESS per second"]
    text = " ".join((__doc__ or "").split("``.", 1)[1].split())
    machines = "; ".join(sorted({r["machine"] for r in rows.values()}))
    return f"{text} `python -m benchmarks.samplers`, {machines}.\n\n{table(header, lines)}"


if __name__ == "__main__":
    main()
