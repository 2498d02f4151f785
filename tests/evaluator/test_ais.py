"""Likelihood by annealed importance sampling, as an evaluator: closed forms, quadrature, bits per dimension."""

import math
from pathlib import Path

import pytest
import torch

from ebm_exp.dataset import Dataset, Domain, GrayCode, Table
from ebm_exp.energy import MLP, Energy, Tilted, Whitened
from ebm_exp.energy.analytic import Gaussian
from ebm_exp.engine import Eager
from ebm_exp.evaluator import AIS, Grid, Model, Score
from ebm_exp.evaluator.baselines import fit_baselines
from ebm_exp.evaluator.evidence import judge
from ebm_exp.random import Stream, seed_global
from ebm_exp.sampler import HMC, GibbsWithGradients, Jump
from ebm_exp.sampling import Chains
from ebm_exp.start import Bits, Data, Independent, Mixture, Uniform
from ebm_exp.trainer.outcome import best_of
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


@pytest.mark.parametrize(
    ("evidence", "verdict"),
    [
        ({"gap": (-9.6, 0.6), "r_hat": (1.26, None)}, "no (gap -9.60 ± 0.60, R̂ 1.26)"),
        ({"gap": (0.02, 0.01), "r_hat": (1.01, None), "drift": (-0.03, 0.02)}, "yes (gap"),
        ({"gap": (9.6, 0.6), "r_hat": (1.0, None)}, "yes (gap 9.60 ± 0.60, R̂ 1.00)"),  # far apart, and true
        ({"gap": (-0.05, 0.001)}, "yes (gap -0.0500 ± 0.0010)"),  # no chance, and no matter
        ({"gap": (-9.6, 6.0)}, "yes (gap -9.6 ± 6.0)"),  # it may be chance
        ({"gap": (0.0, 0.1), "drift": (3.0, 0.2)}, "no (drift 3.00 ± 0.20)"),
        ({"gap": (math.nan, math.nan)}, "no (gap nan ± nan)"),
        ({"gap": (0.0, 0.1), "kl": (-0.3, 0.1)}, "no (KL -0.30 ± 0.10)"),  # better than the data's own distribution
        ({"kl": (-0.15, 0.1)}, "yes (KL -0.15 ± 0.10)"),
        ({"kl": (math.nan, 0.1)}, "no (KL nan"),
    ],
)
def test_the_verdict_is_that_of_the_evidence(evidence: dict[str, tuple[float, float | None]], verdict: str) -> None:
    score, said = judge({f"ais_{name}": Score(*each, better=None) for name, each in evidence.items()})
    assert said["verdict"].startswith(f"equilibrated: {verdict}")
    assert said["refuted"] == verdict.startswith("no") == (score.value == 0)


def test_chains_that_stay_in_their_wells_refute_their_number() -> None:
    """Two wells far apart, the data in one of them: the chains of reverse weights never see the other."""
    ais = AIS(DATA, ENGINE, kernel(BOX, 0.1), Uniform(DATA), n_chains=200, n_betas=60, n_equilibrate=100)
    found = scores(ais, Wells())
    assert found["ais_gap"].value < -0.5
    assert found["ais_equilibrated"].value == 0
    nll = found["ais_nll_reverse"]
    assert nll.refuted
    assert nll.verdict is not None
    assert nll.verdict.startswith("equilibrated: no (gap -")
    assert nll.unit == "nats per point"
    assert best_of(None, "eval/ais_nll_reverse", found, 1) is None


class Wells(Energy):
    """Two wells in a plane: a tenth of the mass where the data are, the rest far from it."""

    def forward(self, x: torch.Tensor, **context: torch.Tensor) -> torch.Tensor:
        near, far = x.square().sum(1), (x - 2.4).square().sum(1)
        return -torch.logaddexp(math.log(0.1) - near / 0.1, math.log(0.9) - far / 0.1)


def test_baselines_are_those_of_the_training_split() -> None:
    """A Gaussian with a correlation of .9: one Gaussian has its entropy, independent normals the mutual part more."""
    g = torch.Generator().manual_seed(1)
    chol = torch.linalg.cholesky(torch.tensor([[0.25, 0.225], [0.225, 0.25]]))
    x = (torch.randn(6000, 2, generator=g) @ chol.T).clamp(-3, 3)
    data = Dataset(name="pair", domain=BOX, train=x[:3000], test=x[3000:])
    ais = AIS(data, ENGINE, kernel(BOX), Uniform(data), n_chains=8, n_betas=4, n_equilibrate=0)
    found = scores(ais, Gaussian((2,), 0.0, 0.5))
    entropy = 1 + math.log(2 * math.pi) + float(chol.diagonal().log().sum())
    mutual = -0.5 * math.log(1 - 0.9**2)
    one, apart = found["ais_nll_gaussian"], found["ais_nll_independent"]
    assert abs(one.value - entropy) < 4 * one.se + 1e-3
    assert abs(apart.value - entropy - mutual) < 4 * apart.se + 1e-3
    assert (one.better, one.unit, one.verdict) == (None, "nats per point", None)


def test_a_gain_is_the_mean_of_paired_differences() -> None:
    """The truth itself as the model: its gain over a Gaussian fitted to 40 points, and its error, in closed form."""
    x = 0.6 * torch.randn(440, 2, generator=torch.Generator().manual_seed(1)).clamp(-4, 4)
    data = Dataset(name="few points", domain=BOX, train=x[:40], test=x[40:])
    truth = Gaussian((2,), 0.0, 0.6)
    ais = AIS(data, ENGINE, kernel(BOX), Independent(data), n_chains=300, n_betas=10, n_equilibrate=8)
    found = scores(ais, truth)
    with torch.no_grad():
        better = -truth(x[40:]) - float(truth.log_z) - fit_baselines(data)["gaussian"].log_prob(x[40:])
    gain, log_z = found["ais_gain_gaussian"], found["ais_log_z_reverse"]
    assert abs(gain.value - float(better.mean())) < 4 * log_z.se + 1e-3
    assert gain.se == pytest.approx(math.hypot(float(better.std()) / 20, log_z.se), rel=1e-3)
    assert gain.se < found["ais_nll_reverse"].se  # what all densities find surprising is no error of a difference
    assert (gain.better, gain.verdict, gain.n) == (None, found["ais_nll_reverse"].verdict, 400)
    assert "ais_nll_own_units" not in found  # they are the points themselves


def test_nats_in_own_units_have_the_scale_of_the_units() -> None:
    levels = torch.randint(17, (200, 1, 2, 2), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    box = Domain(-1, 1, (1, 2, 2))
    data = Dataset(name="levels", domain=box, train=levels, test=levels[:50].clone(), n_levels=17)
    ais = AIS(data, ENGINE, kernel(box, 0.5), Uniform(data), n_chains=64, n_betas=10, n_equilibrate=0)
    found = scores(ais, Gaussian((1, 2, 2), 0.0, 0.5))
    own = found["ais_nll_own_units"]
    assert own.value == pytest.approx(found["ais_nll"].value - 4 * math.log(2 / 16))
    assert (own.unit, own.better) == ("nats per row in own units", None)


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


def test_a_table_of_two_columns_against_quadrature(tmp_path: Path) -> None:
    """A skewed column and one of whole numbers: what experiment=table makes of them, with a network that says much."""
    g = torch.Generator().manual_seed(0)
    z = torch.randn(150, 2, generator=g)
    rows = zip(z[:, 0].exp().tolist(), (20 + 5 * z.sum(1)).round().tolist(), strict=True)
    (tmp_path / "x.csv").write_text("x,y\n" + "".join(f"{x:.4f},{y:.0f}\n" for x, y in rows))
    data = Table("table", CPU, f"{tmp_path}/x.csv", test_share=0.3, noise_std=0.0)
    base = Mixture(data, None, uniform_share=0.0, variance_floor=None)
    torch.manual_seed(0)
    network = MLP((2,), (32,))
    with torch.no_grad():
        network.head.weight.mul_(10)
    energy = Tilted(Whitened(network, data), base).eval()
    hmc_and_jumps = Jump(HMC(0.3, 1, data.domain, n_leapfrog=2), 1, base, data.domain, n_local=1)
    found = scores(AIS(data, ENGINE, hmc_and_jumps, base, n_chains=200, n_betas=20, n_equilibrate=40), energy)
    grid = Grid(data, 1.0, 300)(Model.of(energy, Points(data.test())))
    assert abs(grid["log_z"].value) > 0.3
    for way in ("", "_reverse"):
        assert abs(found[f"ais_log_z{way}"].value - grid["log_z"].value) < 0.05
        assert abs(found[f"ais_nll{way}"].value - grid["nll"].value) < 0.05
    assert found["ais_equilibrated"].value == 1


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


def test_bits_have_probabilities() -> None:
    """Of 8 bits all 256 points are at hand: Z, and KL from the data's own distribution."""
    data = GrayCode("gray_code", CPU, 0, "eight_gaussians", n_bits=4, noise=2.0, n_train=4000, n_test=2000)
    with seed_global("weights", 0):
        energy = MLP((8,), widths=(16, 16), input_scale=4.0)
        energy.head.weight.data *= 6
    kernel = GibbsWithGradients(2, data.domain)
    ais = AIS(data, ENGINE, kernel, Bits(data), n_chains=300, n_betas=60, n_equilibrate=40, data_are_continuous=False)
    found = scores(ais, energy)
    every = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 8)
    with torch.no_grad():
        log_z = float((-energy(every).double()).logsumexp(0))
        nll = float(energy(data.test()).double().mean()) + log_z
    assert (-energy(every)).softmax(0).max() > 0.02  # far from even
    for way in ("", "_reverse"):
        assert abs(found[f"ais_log_z{way}"].value - log_z) < 4 * found[f"ais_log_z{way}"].se
        assert found[f"ais_nll{way}"].value == pytest.approx(nll, abs=4 * found[f"ais_log_z{way}"].se)
    kl, least = found["ais_kl"], found["ais_entropy"]
    assert kl.value == pytest.approx(found["ais_nll_reverse"].value - least.value)
    assert least.value == pytest.approx(-float(data.log_prob(data.test()).mean()), abs=1e-5)
    cell = 2 * 8.76 / 16
    assert found["ais_nll_own_units"].value == pytest.approx(found["ais_nll_reverse"].value + 2 * math.log(cell))
    assert "ais_nll_gaussian" not in found
    assert found["ais_nll_independent"].value < 8 * math.log(2)
    assert "density on {0, 1}^8, probabilities" in ais.protocol
    less = AIS(data, ENGINE, kernel, Bits(data), n_chains=9, n_betas=4, n_equilibrate=0, data_are_continuous=False)
    told = scores(less, energy)
    assert told["ais_kl"].value > 0
    assert "ais_equilibrated" not in told  # a KL above 0 says nothing of chains
    assert told["ais_nll"].verdict is None


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
    with pytest.raises(ValueError, match=r"kernel: must leave a continuous density .* GibbsWithGradients does not"):
        made(kernel=GibbsWithGradients(1, BOX))
    two_levels = r"two levels: ais needs sampler@evaluator.ais.kernel=gibbs_with_gradients .*start=bits; remove it"
    for wrong in ({}, {"kernel": GibbsWithGradients(1, BOX)}):
        with pytest.raises(ValueError, match=two_levels):
            made(data_are_continuous=False, **wrong)
    assert set(made(n_equilibrate=0).gives()) == {"ais_nll"}
