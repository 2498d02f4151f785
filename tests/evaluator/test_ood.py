"""Detection of points unlike the data: closed forms, scikit-learn's numbers, and standard errors by repetition."""

import math

import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from ebm_exp.config.build import Parts
from ebm_exp.config.errors import UserError
from ebm_exp.config.validate import validate
from ebm_exp.dataset import Gaussian as GaussianData
from ebm_exp.dataset import Synthetic
from ebm_exp.energy import Energy, Gaussian
from ebm_exp.energy.joint import Labelled
from ebm_exp.engine import Eager
from ebm_exp.evaluator import OOD, Against, Model
from ebm_exp.evaluator.ood import auroc_error, detection
from ebm_exp.evaluator.unlike import make
from ebm_exp.types import Points
from tests.config.test_conf import composed
from tests.energy.test_joint import CPU, bumps
from tests.evaluator.scoring import scored

DATA = GaussianData("gaussian", CPU, 0, half_width=5.0, noise=1.0, n_train=10, n_test=4000)
ENGINE = Eager(CPU)


def phi(z: float) -> float:
    return (1 + math.erf(z / math.sqrt(2))) / 2


def test_two_gaussians() -> None:
    """Scores N(1, 1) of the data against N(0, 1): AUROC Φ(1/√2), FPR95 = 1 − Φ(z − …) in closed form."""
    g = torch.Generator().manual_seed(0)
    data, other = torch.randn(4000, generator=g) + 1, torch.randn(3000, generator=g)
    found = detection(data, other)
    auroc = found["auroc"]
    assert abs(auroc.value - phi(1 / math.sqrt(2))) < 5 * auroc.se
    labels = [1] * 4000 + [0] * 3000
    assert auroc.value == pytest.approx(roc_auc_score(labels, torch.cat([data, other])), abs=1e-12)
    assert found["fpr95"].value == pytest.approx(1 - phi(1 - 1.6449), abs=0.03)
    assert [found[k].better for k in ("auroc", "aupr", "fpr95")] == ["higher", "higher", "lower"]
    assert auroc.n == 7000


def test_aupr_against_its_integral() -> None:
    """∫ precision d recall of N(2, 1) against N(0, 1) on a grid of thresholds."""
    g = torch.Generator().manual_seed(0)
    found = detection(torch.randn(20_000, generator=g) + 2, torch.randn(20_000, generator=g))
    t = torch.linspace(8, -6, 20_001, dtype=torch.float64)
    normal = torch.distributions.Normal(0.0, 1.0)
    recall, false = 1 - normal.cdf(t - 2), 1 - normal.cdf(t)
    precision = recall / (recall + false)
    expected = (precision[1:] * recall.diff()).nansum()
    assert found["aupr"].value == pytest.approx(float(expected), abs=0.005)


def test_separated_tied_and_swapped() -> None:
    low, high = torch.zeros(10), torch.ones(20)
    best = detection(high, low)
    assert [best[k].value for k in ("auroc", "aupr", "fpr95")] == [1, 1, 0]
    assert best["auroc"].se == 0
    tied = detection(torch.ones(10), high)
    assert [tied[k].value for k in ("auroc", "fpr95")] == [0.5, 1]
    assert detection(low, high)["auroc"].value == 0


def test_a_nan_stays_one() -> None:
    found = detection(torch.tensor([1.0, math.nan]), torch.ones(3))
    assert all(math.isnan(score.value) for score in found.values())


@pytest.mark.parametrize("rounded", [False, True])
def test_the_standard_error_is_the_spread_of_repetitions(rounded: bool) -> None:
    g, found, errors = torch.Generator().manual_seed(0), [], []
    for _ in range(400):
        data, other = torch.randn(80, generator=g) + 1, 1.5 * torch.randn(50, generator=g)
        data, other = (data.round(), other.round()) if rounded else (data, other)
        found.append(detection(data, other)["auroc"].value)
        errors.append(auroc_error(data, other))
    spread = float(torch.tensor(found).std())
    # The spread of 400 has a relative error of 1/√800.
    assert abs(float(torch.tensor(errors).square().mean().sqrt()) / spread - 1) < 5 / math.sqrt(800)


class Shifted(Energy):
    def forward(self, x: Tensor, **context: Tensor) -> Tensor:
        return (x - 1).square().sum(1) / 2


def test_energy_and_slope_of_a_gaussian() -> None:
    """Uniform on ±5 against N(0, I): −|x|²/2 and −|x| rank points alike, by their radius."""
    values = scored(OOD(DATA, ENGINE, 4000), Gaussian((2,)))
    x, u = DATA.test(), make("uniform", DATA.test(), DATA.domain)
    expected = roc_auc_score([1] * 4000 + [0] * 4000, -torch.cat([x, u]).norm(dim=1))
    assert values["ood_auroc_uniform_energy"] == pytest.approx(expected, abs=1e-6)
    assert values["ood_auroc_uniform_gradient"] == pytest.approx(expected, abs=1e-6)
    # P(|x| < r) = 1 − exp(−r²/2), and of a uniform point π r²/100: the data passes its 95 % at r² = −2 log .05.
    fpr = math.pi * -2 * math.log(0.05) / 100
    assert abs(values["ood_fpr95_uniform_energy"] - fpr) < 5 * math.sqrt(fpr * (1 - fpr) / 4000) + 0.01
    assert abs(values["ood_auroc_inverted_energy"] - 0.5) < 1e-6  # a symmetric density does not see it
    assert "ood_auroc_uniform_confidence" not in values
    assert "ood_auroc_uniform_ratio" not in values


def test_a_ratio_is_against_the_other_run() -> None:
    other = Against(Shifted(), 0.5, "other")
    evaluator = OOD(DATA, ENGINE, 500, against=other, temperature=2.0)
    assert evaluator.protocol.endswith("ratio against other")
    values = scored(evaluator, Gaussian((2,)))
    x = DATA.test()[torch.arange(500) * 8]
    both = torch.cat([x, make("inverted", x, DATA.domain)])
    ratio = (both - 1).square().sum(1) / 2 / 0.5 - both.square().sum(1) / 2 / 2
    assert values["ood_auroc_inverted_ratio"] == pytest.approx(roc_auc_score([1] * 500 + [0] * 500, ratio))


def test_confidence_is_that_of_the_most_likely_class() -> None:
    data = Synthetic("points", CPU, 0, shape=(2,), classes=3, n_test=300, value_range=(-4.0, 4.0))
    energy = bumps()
    values = scored(OOD(data, ENGINE, 300, classifies=True), energy)
    both = torch.cat([data.test(), make("uniform", data.test(), data.domain)])
    labels = [1] * 300 + [0] * 300
    top = energy.logits(both).detach().double().softmax(1).amax(1)
    assert values["ood_auroc_uniform_confidence"] == pytest.approx(roc_auc_score(labels, top))
    e = energy(both).detach()
    assert values["ood_auroc_uniform_energy"] == pytest.approx(roc_auc_score(labels, -e), abs=1e-4)
    # The same as a class-conditional energy at T = 1.
    bound = scored(OOD(data, ENGINE, 300, conditional=True), Labelled(energy))
    assert bound == pytest.approx(values, abs=1e-3)


def test_energies_of_all_sets_are_drawn() -> None:
    model = Model.of(Gaussian((2,)), Points(torch.empty(0, 0)))
    evaluator = OOD(DATA, ENGINE, 100, {"more": DATA})
    (drawn,) = evaluator.histograms(model).values()
    assert set(drawn) == {"test", "constant", "uniform", "shuffled_pixels", "inverted", "interpolation", "more"}
    torch.testing.assert_close(drawn["test"], Gaussian((2,))(DATA.test()[torch.arange(100) * 40]))


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="sets: uniform is the name of a set that is made of the data"):
        OOD(DATA, ENGINE, 10, {"uniform": DATA})
    with pytest.raises(ValueError, match="n: needs at least 2 held-out points, there are 1"):
        OOD(DATA, ENGINE, 1)
    images = Synthetic("images", CPU, 0)
    with pytest.raises(ValueError, match="sets: images has points of 1×8×8, the data of 2; choose others"):
        OOD(DATA, ENGINE, 10, {"images": images})
    with pytest.raises(ValueError, match="need a density exp"):
        OOD(DATA, ENGINE, 10, temperature=0.0, conditional=True)


def test_other_data_sets_are_chosen_on_the_command_line() -> None:
    """With all that the YAML of a data set holds for others."""
    small = ("energy.widths=[8]", "evaluator=ood", "evaluator.ood.n=20", "optimized_metric=null")
    config = composed(
        *small, "+dataset@evaluator.ood.sets.patterns=synthetic", "+dataset@evaluator.ood.sets.more=digits"
    )
    validate(config)
    parts = Parts(config)
    ood = parts["evaluator"]["ood"]
    assert set(ood.sets) == {"patterns", "more"}
    values = scored(ood, parts["energy"])
    assert values["ood_auroc_more_energy"] == pytest.approx(0.5, abs=1e-6)  # the data itself
    assert 0 <= values["ood_auroc_patterns_gradient"] <= 1
    with pytest.raises(UserError, match=r"evaluator\.ood: sets: moons has points of 2, the data of 1×8×8"):
        Parts(composed(*small, "+dataset@evaluator.ood.sets.moons=two_moons"))["evaluator"]


def test_the_error_of_an_auroc_against_all_pairs() -> None:
    """DeLong et al. 1988: the variances of both sets' placements, each over its own number."""
    g = torch.Generator().manual_seed(0)
    data, other = torch.randn(40, generator=g) + 1, torch.randn(7, generator=g)
    above = (data[:, None] > other[None]).double()
    expected = float((above.mean(1).var() / 40 + above.mean(0).var() / 7).sqrt())
    assert auroc_error(data, other) == pytest.approx(expected)
