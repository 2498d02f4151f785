"""Likelihood by annealed importance sampling, as an evaluator: closed forms, quadrature, bits per dimension."""

import math

import pytest
import torch

from ebm_exp.dataset import Dataset, Domain
from ebm_exp.energy import MLP
from ebm_exp.energy.analytic import Gaussian
from ebm_exp.engine import Eager
from ebm_exp.evaluator import AIS, Grid, Model
from ebm_exp.random import Stream
from ebm_exp.sampler import HMC
from ebm_exp.sampling import Chains
from ebm_exp.start import Data, Independent, Uniform
from ebm_exp.types import Points

CPU = torch.device("cpu")
BOX = Domain(-3, 3, (2,))
TRAIN = 0.6 * torch.randn(2000, 2, generator=torch.Generator().manual_seed(0)).clamp(-4, 4)
DATA = Dataset(name="normal", domain=BOX, train=TRAIN, test=TRAIN[:500].clone())
ENGINE = Eager(CPU)


def kernel(domain: Domain, size: float = 0.3) -> HMC:
    return HMC(size, 1, domain, n_leapfrog=5)


def scores(evaluator: AIS, energy) -> dict:
    sampling = Chains(evaluator.kernel, ENGINE, evaluator.dataset, Uniform(evaluator.dataset), 1)
    return evaluator(Model(energy, sampling, Stream(0)))


def test_a_known_density_from_both_sides() -> None:
    energy = Gaussian((2,), 0.2, 0.5)
    ais = AIS(DATA, ENGINE, kernel(BOX), Uniform(DATA), n_chains=2000, n_betas=100)
    found = scores(ais, energy)
    truth = math.log(2 * math.pi * 0.25)
    with torch.no_grad():
        e = energy(DATA.test())
    nll = float(e.mean()) + truth
    for way in ("", "_reverse"):
        log_z, surprise = found[f"ais_log_z{way}"], found[f"ais_nll{way}"]
        assert abs(log_z.value - truth) < 4 * log_z.se
        assert abs(surprise.value - nll) < 4 * log_z.se
        assert surprise.se == pytest.approx(math.hypot(float(e.std()) / math.sqrt(500), log_z.se))
    assert abs(found["ais_gap"].value) < 4 * found["ais_gap"].se
    assert 500 < found["ais_ess"].value <= 2000
    assert "ais_r_hat" not in found  # its reverse weights begin at exact samples
    assert set(ais.gives()) == {"ais_nll", "ais_nll_reverse"}


def test_the_same_seed_gives_the_same_numbers() -> None:
    torch.manual_seed(0)
    energy = MLP((2,), (32,)).eval()
    ais = AIS(DATA, ENGINE, kernel(BOX), Independent(DATA), n_chains=50, n_betas=10, n_equilibrate=40)
    found, again = scores(ais, energy), scores(ais, energy)
    assert {name: score.value for name, score in again.items()} == {name: s.value for name, s in found.items()}


def test_a_network_against_quadrature_at_its_temperature() -> None:
    torch.manual_seed(0)
    energy = MLP((2,), (32,)).eval()
    with torch.no_grad():
        energy.head.weight.mul_(30)
    t = 0.7
    grid = Grid(DATA, t, 300)(Model.of(energy, Points(DATA.test())))
    ais = AIS(DATA, ENGINE, kernel(BOX), Independent(DATA), t, n_chains=500, n_betas=100, n_equilibrate=400)
    found = scores(ais, energy)
    for way in ("", "_reverse"):
        log_z = found[f"ais_log_z{way}"]
        assert abs(log_z.value - grid["log_z"].value) < 4 * log_z.se + 1e-3
        assert found[f"ais_nll{way}"].value == pytest.approx(grid["nll"].value, abs=4 * log_z.se + 1e-3)
    assert found["ais_r_hat"].value < 1.1
    assert abs(found["ais_drift"].value) < 4 * found["ais_drift"].se


def test_bits_per_dimension() -> None:
    """A uniform density on levels that are uniform costs log₂ 17 bits each."""
    levels = torch.randint(17, (200, 1, 4, 4), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    box = Domain(-1, 1, (1, 4, 4))
    data = Dataset(name="levels", domain=box, train=levels, test=levels[:50].clone(), n_levels=17, dequantize=True)
    flat = MLP((1, 4, 4), (8,)).eval()
    for p in flat.parameters():
        torch.nn.init.zeros_(p)
    ais = AIS(data, ENGINE, kernel(box, 0.5), Uniform(data), n_chains=64, n_betas=10, n_equilibrate=4)
    found = scores(ais, flat)
    assert found["ais_bpd"].value == pytest.approx(math.log2(17), abs=1e-5)
    assert found["ais_bpd_reverse"].value == pytest.approx(math.log2(17), abs=1e-5)
    assert found["ais_ess"].value == pytest.approx(64, abs=1e-6)
    assert set(ais.gives()) == {f"ais_{name}{way}" for name in ("nll", "bpd") for way in ("", "_reverse")}
    held = data.held_out(torch.Generator().manual_seed(3))
    assert ((held - data.test()).abs() < 2 / 16).all()
    assert not torch.equal(held, data.test())


def test_what_has_no_likelihood_is_refused() -> None:
    def made(**changed) -> AIS:
        return AIS(**({"dataset": DATA, "engine": ENGINE, "kernel": kernel(BOX), "start": Uniform(DATA)} | changed))

    with pytest.raises(ValueError, match="this one takes labels"):
        made(conditional=True)
    with pytest.raises(ValueError, match="a clamp acts on the chains of this run"):
        made(clamped=True)
    with pytest.raises(ValueError, match="T is 0 here"):
        made(temperature=0.0)
    with pytest.raises(ValueError, match="start: needs a known density, data has none"):
        made(start=Data(DATA))
    with pytest.raises(ValueError, match=r"kernel.temperature: must be null"):
        made(kernel=HMC(0.1, 1, BOX, temperature=2.0))
    assert set(made(n_equilibrate=0).gives()) == {"ais_nll"}
