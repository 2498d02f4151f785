"""Where chains of what is missing begin: Gaussians fitted to the data, given what is there.

Of a mixture Σ_k π_k N(μ_k, Σ_k) the component is drawn by π_k N(x_o; μ_k, Σ_k), then x_m given x_o within it. A chain
moves in the components that are missing alone, so one that begins among the values that the rest allows stays there.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ebm_exp.dataset.absent import Absent
from ebm_exp.dataset.missing import Gaussian, fit_gaussian
from ebm_exp.run.loaded import LoadedRun
from ebm_exp.start import Mixture

N_FITTED = 10_000  # training points that a Gaussian is fitted to


def find_gaussians(run: LoadedRun) -> tuple[Tensor, list[Gaussian]] | None:
    """Weights ``[k]`` and k Gaussians of points ``[d]``: those that the run's chains begin at, else one that is fitted;
    None where the data are not there."""
    start = getattr(run.parts["sampling"], "start", None)
    if isinstance(start, Mixture) and not start.bounded:
        covariances = start.cholesky.double() @ start.cholesky.double().mT
        return start.weights.double(), [Gaussian(*each) for each in zip(start.means.double(), covariances, strict=True)]
    if isinstance(run.parts["dataset"], Absent):
        return None
    x = run.parts["dataset"].train(N_FITTED)
    return torch.ones(1, dtype=torch.float64, device=x.device), [fit_gaussian(x, torch.zeros_like(x, dtype=torch.bool))]


def draw_given(
    weights: Tensor, gaussians: Sequence[Gaussian], x: Tensor, missing: Tensor, generator: torch.Generator
) -> Tensor:
    """Points ``[n, d]``, those of x with what is missing drawn."""
    there, filled = (~missing).double(), x.double()
    log_p = torch.stack([each.log_prob(filled, there) for each in gaussians], 1) + weights.log()
    component = torch.multinomial(log_p.softmax(1), 1, generator=generator).squeeze(1)
    z = torch.randn(x.shape, generator=generator, device=x.device, dtype=torch.float64)
    for k, each in enumerate(gaussians):
        rows = component == k
        filled[rows] = each.fill(filled[rows], missing[rows], z[rows])
    return filled.to(x)
