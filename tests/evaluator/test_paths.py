"""Annealed importance sampling through the levels of a noise process, where the density of each is known."""

import math

import pytest
import torch
from torch import Tensor

from ebm_exp.config.errors import UserError
from ebm_exp.config.keys import kind_of
from ebm_exp.dataset import Dataset, Domain
from ebm_exp.energy import Energy
from ebm_exp.engine import Eager
from ebm_exp.evaluator import AIS, Model, Score
from ebm_exp.noise import EDM, Flow, NoiseProcess
from ebm_exp.random import Stream
from ebm_exp.sampler import HMC, Jump, Sampler
from ebm_exp.sampler.base import Control
from ebm_exp.sampling import Chains
from ebm_exp.start import Uniform
from ebm_exp.trainer.build import build
from tests.config.test_conf import composed
from tests.noise.test_edm import ExactResidual
from tests.noise.test_flow import MEANS, STD, WEIGHTS, Exact

CPU = torch.device("cpu")
BOX = Domain(-2.5, 2.5, (2,))  # noised points lie beyond it
N = 400


class ExactVelocity(Exact):
    """In the precision of a network."""

    def forward(self, x: Tensor, **context: Tensor) -> Tensor:
        return super().forward(x.double(), t=context["t"].double()).to(x.dtype)


@pytest.fixture(scope="module")
def data() -> Dataset:
    g = torch.Generator().manual_seed(0)
    which = torch.multinomial(WEIGHTS, 2000, replacement=True, generator=g)
    x = (MEANS[which] + STD * torch.randn(2000, 2, generator=g)).float()
    return Dataset(name="two modes", domain=BOX, train=x, test=x[:500].clone())


def exact(noise: NoiseProcess) -> Exact:
    """With its noise process."""
    energy = ExactResidual(noise) if isinstance(noise, EDM) else ExactVelocity(WEIGHTS, MEANS, STD)
    energy.noised = noise
    return energy


def scores(energy: Energy, noise: NoiseProcess, data: Dataset, kernel: Sampler | None = None) -> dict[str, Score]:
    kernel = HMC(0.2, 1, BOX, n_leapfrog=3) if kernel is None else kernel
    settings = {"path": "levels", "noise": noise, "context": energy.context}
    ais = AIS(data, Eager(CPU), kernel, Uniform(data), n_chains=N, n_betas=80, n_equilibrate=80, **settings)
    return ais(Model(energy, Chains(kernel, Eager(CPU), data, Uniform(data), 1), Stream(0)))


@pytest.mark.parametrize("process", ["flow", "edm"])
def test_the_density_of_the_least_noise_is_found_on_all_of_space(process: str, data: Dataset, unchecked: None) -> None:
    noise: NoiseProcess = Flow() if process == "flow" else EDM(data, sigma_min=0.1, sigma_max=10.0)
    energy, t, share = exact(noise), noise.t_density, noise.share(noise.t_density)
    found = scores(energy, noise, data)
    log_z = -math.log(2 * math.pi * (1 - t)) if process == "flow" else 0.0  # its energies are without the last term
    x = data.test().double()
    nll = -float(energy.log_p(share * x, torch.full((500,), t)).mean()) - 2 * math.log(share)
    for way in ("", "_reverse"):
        each = found[f"ais_log_z{way}"]
        assert each.se is not None
        assert each.se < 0.1, found
        assert abs(each.value - log_z) < 4 * each.se
        assert abs(found[f"ais_nll{way}"].value - nll) < 4 * each.se + 1e-3
    assert found["ais_ess"].value > N / 3
    assert found["ais_equilibrated"].value == 1


def test_jumps_leave_a_density_beyond_the_box_as_it_is() -> None:
    """Of a normal distribution a third of which lies outside: none comes in from there, none goes out."""
    small = Domain(-1, 1, (2,))
    uniform = Uniform(Dataset(name="box", domain=small, train=torch.zeros(2, 2), test=torch.zeros(2, 2)))
    kernel = Jump(HMC(0.3, 1, small, n_leapfrog=2), 1, uniform, small, n_local=1).unbounded()
    g = torch.Generator().manual_seed(0)
    x = 0.9 * torch.randn(4000, 2, generator=g)

    def energy(x: Tensor) -> Tensor:
        return x.square().sum(1) / (2 * 0.81)

    state, one = kernel.init(energy, x), torch.ones(())
    for _ in range(10):
        state, info = kernel.step(energy, state, kernel.draw(g, x), Control(one, one))
    outside = (state.x.abs() > 1).any(1).float().mean()
    assert float(info.metrics()["chain/jumped"]) > 0.2
    assert float(outside) == pytest.approx(1 - math.erf(1 / 0.9 / math.sqrt(2)) ** 2, abs=0.03)


def test_levels_are_those_of_an_energy_of_time(data: Dataset) -> None:
    given = {"dataset": data, "engine": Eager(CPU), "kernel": HMC(0.1, 1, BOX), "start": Uniform(data)}
    for settings in ({"noise": Flow()}, {"context": ("t",)}, {"noise": Flow(), "context": ("t",), "temperature": 0.5}):
        with pytest.raises(ValueError, match=r"path: levels needs an energy of time \(energy\.timed=true\)"):
            AIS(**given, path="levels", **settings)
    made = AIS(**given, path="levels", noise=Flow(), context=("t",))
    assert "1,000 noise levels × 1 HMC from normal noise" in made.protocol
    assert made.protocol.endswith("density on all of space, of data with noise of 0.0204, at points without")
    assert kind_of("evaluator.ais.path") == "mathematics"


def test_a_run_without_levels_is_refused() -> None:
    few = ("dataset=gaussian", "dataset.n_train=100", "dataset.n_test=20", "sampler=mala", "optimized_metric=null")
    with pytest.raises(UserError, match=r"^evaluator\.ais: path: levels needs an energy of time"):
        build(composed(*few, "evaluator=ais", "evaluator.ais.path=levels"))
