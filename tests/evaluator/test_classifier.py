"""The classifier that judges: trained once, kept, and right about classes that can be told apart."""

import logging
from pathlib import Path

import pytest
import torch

from ebm_exp.dataset import Digits, Gaussian
from ebm_exp.energy import MLP
from ebm_exp.evaluator import ClassShare, Frechet, classifier
from tests.evaluator.scoring import scored

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits() -> Digits:
    return Digits("digits", CPU, test_share=0.2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def test_it_knows_the_digits_and_says_so(digits: Digits, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        network, accuracy = classifier.load_or_train(digits, folder)
    with torch.no_grad():
        right = (network(digits.test()).argmax(1) == digits.test_labels).float().mean()
    assert float(right) == pytest.approx(accuracy)
    assert accuracy > 0.95
    assert f"accuracy {accuracy:.3f} (test split)" in caplog.text


def test_it_is_trained_once(digits: Digits, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = classifier.load_or_train(digits, folder)
    monkeypatch.setattr(classifier, "_train", lambda *_: pytest.fail("trained again"))
    other_noise = Digits("digits", CPU, test_share=0.2, noise_std=0.3)  # judged by the same network
    second, _ = classifier.load_or_train(other_noise, folder)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_a_broken_file_is_made_anew(digits: Digits, folder: Path) -> None:
    _, accuracy = classifier.load_or_train(digits, folder)
    (file,) = folder.glob("classifier-digits-*.pt")
    file.write_bytes(file.read_bytes()[:1000])
    assert classifier.load_or_train(digits, folder)[1] == accuracy  # the same numbers: all randomness has a key


@pytest.mark.parametrize("context", ["no_grad", "inference_mode", "autocast"])
def test_it_is_trained_in_any_context_of_the_caller(
    context: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """evaluator=classifier without its Fréchet distance trains the classifier where samples are judged."""
    monkeypatch.setattr(classifier, "N_STEPS", 20)
    digits = Digits("digits", CPU, test_share=0.2)
    plain, accuracy = classifier.load_or_train(digits, tmp_path / "plain")
    contexts = {
        "no_grad": torch.no_grad,
        "inference_mode": torch.inference_mode,
        "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    }
    judge = ClassShare(digits, 50, str(tmp_path / context))
    with contexts[context]():
        values = scored(judge, MLP((1, 8, 8)), digits.test(50))
    assert sum(values[f"class_share_{k}"] for k in range(10)) == pytest.approx(1)
    network, same = classifier.load_or_train(digits, tmp_path / context)
    assert same == accuracy
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), plain.parameters(), strict=True))
    assert not any(p.is_inference() for p in judge._network.parameters())


def test_shares_of_real_digits(digits: Digits, folder: Path) -> None:
    energy, x, y = MLP((1, 8, 8)), digits.test(), digits.test_labels
    values = scored(ClassShare(digits, len(x), str(folder)), energy, x, y)
    share = torch.bincount(y, minlength=10) / len(y)
    assert [values[f"class_share_{k}"] for k in range(10)] == pytest.approx(share.tolist(), abs=0.02)
    assert sum(values[f"class_share_{k}"] for k in range(10)) == pytest.approx(1)
    assert values["class_agreement"] > 0.95
    assert values["class_confidence"] > 0.9
    only = scored(ClassShare(digits, 50, str(folder)), energy, x[y == 3][:30])
    assert only["class_share_3"] > 0.9
    assert only["class_smallest"] == 0
    assert "class_agreement" not in only


def test_its_features_tell_digits_from_a_gaussian_fitted_to_them(digits: Digits, folder: Path) -> None:
    """In pixels the fitted Gaussian looks perfect; in features it does not."""
    energy, n = MLP((1, 8, 8)), 1000
    x = digits.train().flatten(1)
    fitted = torch.distributions.MultivariateNormal(x.mean(0), x.T.cov() + 1e-4 * torch.eye(64))
    torch.manual_seed(0)
    gaussian, real = fitted.sample((n,)).view(n, 1, 8, 8), digits.train(n)
    pixels, features = Frechet(digits, n), Frechet(digits, n, "classifier", cache_dir=str(folder))
    assert scored(pixels, energy, gaussian)["frechet_pixels"] < 0.5
    near, far = (scored(features, energy, each)["frechet_classifier"] for each in (real, gaussian))
    assert far > 10 * near
    assert features.protocol == "classifier features, 1,000 samples against the train split"


def test_data_without_labels() -> None:
    toy = Gaussian("gaussian", CPU, 0, half_width=5.0, n_train=100, n_test=10)
    with pytest.raises(ValueError, match="features: classifier needs labels, gaussian has none; use features=pixels"):
        Frechet(toy, 10, "classifier")
    with pytest.raises(ValueError, match="class_share needs labels, gaussian has none"):
        ClassShare(toy, 10)
