"""Whether what a flow draws and what long chains draw are of the same density, that of one pass, at the least level.

The flow is sampled in many steps to the time of the least level, the chains are MALA on all of space from held-out
points noised so much. In the plane each is compared with the gridded density, KL of cells of equal mass less its bias.
"""

import math

import torch
from torch import Tensor

from ebm_exp.energy import Energy
from ebm_exp.engine.base import Run
from ebm_exp.noise.base import NoiseProcess
from ebm_exp.random import generator, normal_like
from ebm_exp.run.loaded import LoadedRun
from ebm_exp.sampler import MALA
from ebm_exp.sampling import Flow
from ebm_exp.types import Batch

N, N_STEPS = 20_000, 1_000  # points, and steps of chains
N_SIDE = 8  # strips of equal mass, and cells of each
N_CELLS = 800  # of the grid, per side
REACH = 6.0  # deviations of noise that the grid goes beyond the box


def compare_draws(run: LoadedRun) -> dict[str, float]:
    """``kl_of_cells`` of both, in the plane."""
    return {"flow": kl_of_cells(run, draw_flow(run, N)), "mala": kl_of_cells(run, draw_chains(run, N, N_STEPS))}


def draw_flow(run: LoadedRun, n: int, n_steps: int = 200) -> Batch:
    """n points ``[n, *event]`` of the least level along the flow."""
    parts = run.parts
    noise: NoiseProcess = parts["noise"]
    ends = {} if noise.share(noise.t_density) == 1 else {"t_end": noise.t_density}
    sampling = Flow(engine=parts["engine"], dataset=parts["dataset"], noise=noise, n_steps=n_steps, **ends)
    return run.draw(n, sampling=sampling).x


def draw_chains(run: LoadedRun, n: int, n_steps: int, block: int = 5000) -> Batch:
    """The ends ``[n, *event]`` of chains at the least level, begun at held-out points."""
    parts = run.parts
    noise: NoiseProcess = parts["noise"]
    t, dataset, g = noise.t_density, parts["dataset"], generator("cpu", "consistency", "chains", 0)
    held_out = dataset.test()
    x = held_out[torch.randint(len(held_out), (n,), generator=g)]
    x = noise.share(t) * x + noise.width(t) * normal_like(x, g)
    density = noise.of_data(run.energy)
    kernel = MALA(step_size=noise.width(t) ** 2, n_steps=n_steps, domain=dataset.domain, reflect=False)
    how = Run(temperature=1.0, n_steps=n_steps, n_adapt=n_steps // 4)
    target = parts["engine"].target(density)
    ends = [parts["engine"].run(kernel, target, each, g, how).x for each in x.split(block)]
    return torch.cat(ends)


@torch.no_grad()
def kl_of_cells(run: LoadedRun, x: Batch) -> float:
    """KL in nats of points ``[n, 2]`` from the density in cells of equal mass, less its bias (cells − 1)/2n."""
    noise: NoiseProcess = run.parts["noise"]
    masses, edges = _grid(noise.of_data(run.energy), run)
    columns = _equal(masses.sum(1), edges)
    strip = torch.bucketize(x[:, 0].double(), columns)
    counts = torch.zeros(N_SIDE, N_SIDE)
    middle = (edges[1:] + edges[:-1]) / 2
    of_column = torch.bucketize(middle, columns)
    for k in range(N_SIDE):
        rows = _equal(masses[of_column == k].sum(0), edges)
        counts[k] = torch.bincount(torch.bucketize(x[strip == k, 1].double(), rows), minlength=N_SIDE)
    shares, n = counts.flatten().double() / len(x), N_SIDE**2
    return float(torch.xlogy(shares, shares * n).sum()) - (n - 1) / (2 * len(x))


def _grid(density: Energy, run: LoadedRun) -> tuple[Tensor, Tensor]:
    noise, domain = run.parts["noise"], run.parts["dataset"].domain
    t = noise.t_density
    beyond = REACH * noise.width(t)
    edges = torch.linspace(
        noise.share(t) * domain.low - beyond, noise.share(t) * domain.high + beyond, N_CELLS + 1, dtype=torch.float64
    )
    middle = (edges[1:] + edges[:-1]) / 2
    points = torch.stack(torch.meshgrid(middle, middle, indexing="ij"), -1).view(-1, 2).float()
    e = torch.cat([density(block).double() for block in points.split(2**15)])
    return (-e).softmax(0).view(N_CELLS, N_CELLS), edges


def _equal(mass: Tensor, edges: Tensor) -> Tensor:
    """Where a density of the masses ``[n]`` between edges ``[n + 1]`` is cut into parts of equal mass."""
    total = torch.cat([mass.new_zeros(1), mass.cumsum(0)])
    wanted = torch.arange(1, N_SIDE, dtype=torch.float64) / N_SIDE * total[-1]
    i = torch.searchsorted(total, wanted).clamp(1, len(mass))
    inside = (wanted - total[i - 1]) / (total[i] - total[i - 1]).clamp(min=math.ulp(0))
    return edges[i - 1] + inside * (edges[i] - edges[i - 1])
