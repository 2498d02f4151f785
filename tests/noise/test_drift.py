"""∂Ẽ/∂t and ∂ log p(x_t | x)/∂t in closed form, against autograd."""

import pytest
import torch
from torch import Tensor

from ebm_exp.dataset import Gaussian
from ebm_exp.energy import MLP
from ebm_exp.energy.base import slopes
from ebm_exp.noise import EDM, Flow, NoiseProcess

CPU = torch.device("cpu")
S, D = 0.7, 2


def processes() -> list[NoiseProcess]:
    edm = EDM(Gaussian("gaussian", CPU, 0, 5.0, n_train=100, n_test=10))
    edm.load_state_dict({"mean": torch.tensor([0.5, -1.0]), "scale": S})
    return [Flow(), edm]


def times(noise: NoiseProcess, n: int) -> Tensor:
    return noise.sample_wide(n, torch.Generator().manual_seed(0), CPU).double()


@pytest.mark.parametrize("noise", processes(), ids=["flow", "edm"])
def test_the_drift_is_the_derivative_by_time(noise: NoiseProcess) -> None:
    torch.manual_seed(0)
    energy = MLP((D,), (16, 16), timed=True, standard=noise.standard).double()
    n = 200
    t, data, z = times(noise, n), torch.randn(n, D).double(), torch.randn(n, D).double()
    x = noise.perturb(data, t, z)
    fit = noise.fit(data, t, z)
    t_ = t.clone().requires_grad_()
    (rate,) = torch.autograd.grad(noise.densities(energy)(x, t=t_).sum(), t_)
    torch.testing.assert_close(noise.drift(x, t, slopes(energy, fit.x, fit.t)), noise.pace(t) * rate)


@pytest.mark.parametrize("noise", processes(), ids=["flow", "edm"])
def test_the_drift_of_noise_is_that_of_the_point_given_its_data(noise: NoiseProcess) -> None:
    n = 200
    t, data, z = times(noise, n), torch.randn(n, D).double(), torch.randn(n, D).double()
    x, t_ = noise.perturb(data, t, z), t.clone().requires_grad_()
    width, mean = noise.width(t_), noise.share(t_)[:, None] * data
    log_p = -(x - mean).square().sum(1) / (2 * width**2) - D * width.log()
    (rate,) = torch.autograd.grad(log_p.sum(), t_)
    torch.testing.assert_close(noise.drift_of_noise(data, z), noise.pace(t) * rate)
