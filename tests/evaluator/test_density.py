"""log p in one pass: exact energies of noise levels have exact numbers, others the closed forms of what they miss."""

import math

import pytest
import torch

from ebm_exp.dataset import Dataset, Digits, Gaussian
from ebm_exp.energy import MLP, Energy
from ebm_exp.engine import Eager
from ebm_exp.evaluator import Density, Score
from ebm_exp.noise import Flow, NoiseProcess
from ebm_exp.normaliser import NoNormaliser, Normaliser, TimeScore
from ebm_exp.trainer.outcome import best_of
from tests.evaluator.scoring import model_of
from tests.noise.exact import CPU, Exact, mixture, processes

ENGINE = Eager(CPU)
BOTH = pytest.mark.parametrize("name", ["flow", "edm"])


def scores(
    energy: Energy, data: Dataset, noise: NoiseProcess, normaliser: Normaliser | None = None, **settings: int
) -> dict[str, Score]:
    settings = {"n": 500, "n_levels": 3, "n_cells": 150} | settings
    return Density(data, ENGINE, noise, normaliser or TimeScore(), **settings)(model_of(energy))


def far(score: Score, value: float) -> float:
    """How many standard errors it is away."""
    assert score.se is not None
    return abs(score.value - value) / score.se


@BOTH
@pytest.mark.parametrize("d", [2, 5])
def test_the_truth_has_exact_numbers(name: str, d: int) -> None:
    """Moved by a constant, which for edm is measured; the potential of a flow has none to move."""
    data = mixture(d)
    noise = processes(data)[name]
    moved = 0.0 if name == "flow" else 3.0
    found = scores(Exact(noise, data, lambda t: torch.full_like(t, moved)), data, noise)
    assert found["log_p_constant"].value == pytest.approx(-moved, abs=2e-3)
    for k in (1, 2, 3):
        assert found[f"log_p_ess_{k}"].value == pytest.approx(1, abs=1e-4)
        for what in ("kl", "log_z", "score_error"):
            assert found[f"log_p_{what}_{k}"].value == pytest.approx(0, abs=2e-3)
    assert found["log_p_weight_error"].value < 1e-4
    assert found["log_p_weight_ess"].value > 0.999
    assert found["log_p_fokker_planck"].value < 1e-3
    t = noise.t_density
    share, width = noise.share(t), noise.width(t)
    clean = data.log_prob_noised(share * data.test(), share, width) + d * math.log(share)
    assert found["log_p_clean"].value == pytest.approx(float(clean.mean()), abs=2e-3)
    noised = found["log_p_noised"]
    assert (noised.better, noised.unit, noised.n, noised.refuted) == ("higher", "nats per point", 1000, False)
    blurred = data.sample(20_000, torch.Generator().manual_seed(1))
    blurred = share * blurred + width * torch.randn(blurred.shape, generator=torch.Generator().manual_seed(2))
    entropy = -data.log_prob_noised(blurred, share, width).mean() - d * math.log(share)
    assert far(noised, -float(entropy)) < 4


@BOTH
def test_constants_of_their_own_are_seen(name: str) -> None:
    """exp(−Ẽ) times 1/t: so is its integral, but for the constant that is measured, and likelihoods are as far off."""
    data = mixture(3)
    noise = processes(data)[name]
    exact, off = (scores(Exact(noise, data, shift), data, noise) for shift in (torch.zeros_like, torch.log))
    a = 0.0 if name == "flow" else math.log(noise.span[0])
    for k, t in enumerate(noise.levels(3), 1):
        assert off[f"log_p_log_z_{k}"].value == pytest.approx(a - math.log(t), abs=3e-3)
        assert off[f"log_p_kl_{k}"].value == pytest.approx(0, abs=3e-3)  # whatever the constant
        assert off[f"log_p_ess_{k}"].value == pytest.approx(1, abs=1e-3)
    by = a - math.log(noise.t_density)
    for which in ("clean", "noised"):
        assert str(exact[f"log_p_{which}"].verdict).startswith("normalised: yes (log Z ")
        assert not exact[f"log_p_{which}"].refuted
        assert str(off[f"log_p_{which}"].verdict).startswith("normalised: no (log Z ") == (abs(by) > 0.1)
        assert off[f"log_p_{which}"].refuted == (abs(by) > 0.1)
        assert off[f"log_p_{which}"].value - exact[f"log_p_{which}"].value == pytest.approx(by, abs=3e-3)
    assert off["log_p_fokker_planck"].value > 0.05


@BOTH
@pytest.mark.parametrize("d", [2, 4])
def test_one_gaussian_for_another(name: str, d: int) -> None:
    data, wider = (mixture(d, n_modes=1, weights=None, means=((0.5,),), stds=std) for std in (0.5, 0.6))
    noise = processes(data)[name]
    found = scores(Exact(noise, wider), data, noise, n=6000)
    t = noise.levels(3)[-1]
    p, q = (noise.share(t) ** 2 * std**2 + noise.width(t) ** 2 for std in (0.5, 0.6))  # variances
    assert far(found["log_p_kl_3"], d / 2 * (p / q - 1 + math.log(q / p))) < 4
    error = found["log_p_score_error_3"]
    assert error.value == pytest.approx(1 - p / q, abs=1e-3)
    ess = (2 * q / p - (q / p) ** 2) ** (d / 2)  # 1/E w² under p, of w = N(0, q)/N(0, p), q < 2 p
    assert found["log_p_ess_3"].value == pytest.approx(ess, abs=0.03)


def test_weights_of_modes_are_the_models() -> None:
    means = ((-2.0,), (3.0,))
    data, other = (mixture(16, n_modes=2, means=means, weights=w) for w in ((0.2, 0.8), (0.5, 0.5)))
    found = scores(Exact(Flow(), other), data, Flow())
    assert found["log_p_weight_error"].value == pytest.approx(0.3, abs=1e-4)
    assert found["log_p_weight_ess"].value == pytest.approx(1, abs=1e-4)  # it is the same within a mode
    assert found["log_p_log_z_3"].value == pytest.approx(0, abs=0.05)
    # p of a fifth of the points is 2.5 times as large, of the others .625 times
    assert found["log_p_ess_3"].value == pytest.approx(1 / (0.2 * 2.5**2 + 0.8 * 0.625**2), abs=0.05)


def test_bits_are_of_the_width_of_a_level() -> None:
    data = Digits("digits", dequantize=True, test_share=0.2, device=CPU)
    torch.manual_seed(0)
    noise = Flow()
    energy = MLP((1, 8, 8), (16,), timed=True, standard=noise.standard).eval()
    found = scores(energy, data, noise)
    bits, width = 64 * math.log(2), 2 / 17
    for which in ("noised", "clean"):
        nats, of_levels = found[f"log_p_{which}"], found[f"log_p_bpd_{which}"]
        assert of_levels.value == pytest.approx(-(nats.value + 64 * math.log(width)) / bits)
        assert of_levels.se == pytest.approx((nats.se or 0) / bits)
        assert (of_levels.better, of_levels.unit) == ("lower", "bits per dimension")
    x = data.held_out(torch.Generator())
    assert "log_p_ess_1" not in found
    assert "log_p_log_z_1" not in found
    plain = Density(Digits("digits", dequantize=False, device=CPU), ENGINE, noise, TimeScore())
    assert set(plain.gives()) == {"log_p_noised", "log_p_clean", "log_p_bpd_noised"}  # no bound without
    with torch.no_grad():
        torch.testing.assert_close(
            noise.log_density(energy, x, 0.9, 2.0),
            -noise.energy_at(energy, 0.9)(0.9 * x).double() - 2 + 64 * math.log(0.9),
        )


def test_in_the_plane_the_integral_is_known_of_any_data() -> None:
    data = Gaussian("gaussian", CPU, 0, 5.0, n_train=200, n_test=50)
    torch.manual_seed(0)
    found = scores(MLP((2,), (16,), timed=True, standard=Flow().standard).eval(), data, Flow())
    assert found["log_p_log_z_1"].unit == "nats"
    assert "log_p_kl_1" not in found


@BOTH
def test_a_run_without_a_normaliser_is_never_the_best(name: str) -> None:
    data = mixture(3)
    noise = processes(data)[name]
    without = Density(data, ENGINE, noise, NoNormaliser(), n=20, n_levels=2)
    found = without(model_of(Exact(noise, data)))
    for which in ("noised", "clean"):
        assert found[f"log_p_{which}"].refuted
        assert str(found[f"log_p_{which}"].verdict).startswith("not normalised: each noise level has a constant")
    assert best_of(None, "eval/log_p_noised", found, 1) is None
    assert "not normalised" in without.protocol
    assert "normaliser=time_score" in Density(data, ENGINE, noise, TimeScore()).protocol
    assert ("constant known" in without.protocol) == (name == "flow")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"context": ()},
            r"energy of noise levels \(experiment=flow; .*energy.timed=true\); remove it with ~evaluator",
        ),
        ({"conditional": True}, r"energy of the point alone, .* \(energy.conditional=false\); remove"),
        ({"temperature": 0.5}, r"T = 1 \(objective.temperature=1\), got 0.5; remove"),
        ({"pairs": "transport"}, r"independent noise and data \(objective.pairs=random\), got transport; remove"),
        ({"n": 1}, "n: must be at least 2, got 1"),
    ],
)
def test_what_has_no_density_is_refused(settings: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Density(mixture(), ENGINE, Flow(), TimeScore(), **settings)
