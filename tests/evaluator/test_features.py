"""Features: what images become, what is refused, and the Inception path with random weights in a file of its format."""

import importlib.util
import math
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ebm_exp.dataset import Digits, Gaussian
from ebm_exp.dataset.base import Dataset
from ebm_exp.dataset.domain import Domain
from ebm_exp.energy import MLP
from ebm_exp.evaluator import KID, Frechet, InceptionScore, Manifold, Memorization, Model
from ebm_exp.evaluator import features as module
from ebm_exp.evaluator.base import DISTANCE
from ebm_exp.evaluator.features import FeatureSpace, Inception
from ebm_exp.types import Points
from tests.evaluator.scoring import scored

CPU = torch.device("cpu")
energy = MLP((1, 8, 8), (4,))  # not called


def images(n: int, channels: int = 1, seed: int = 0) -> Tensor:
    return torch.rand(n, channels, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def dataset(train: Tensor, test: Tensor | None = None) -> Dataset:
    domain = Domain(-1, 1, tuple(train.shape[1:]))
    return Dataset(name="made up", domain=domain, train=train, test=train if test is None else test)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The state dict of the network with random numbers of its own names, shapes and types, of a size that lasts."""
    from torch_fidelity import feature_extractor_inceptionv3 as network

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(network.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        state = network.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"]).state_dict()
    g = torch.Generator().manual_seed(0)
    for name, value in state.items():
        if name.endswith("conv.weight"):
            state[name] = torch.randn(value.shape, generator=g) * math.sqrt(2 / value[0].numel())
    path = tmp_path_factory.mktemp("weights") / "stand_in.pth"
    torch.save(state, path)
    yield path
    path.unlink()


class Recorder(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor]:
        self.seen = x
        return (x.flatten(1).float(),)


def test_inception_sees_the_levels_that_images_came_from(weights: Path) -> None:
    levels = torch.arange(256, dtype=torch.uint8).view(4, 1, 8, 8)
    data = Dataset(name="levels", domain=Domain(-1, 1, (1, 8, 8)), train=levels, test=levels)
    network = Inception(weights, data.domain)
    network.network = Recorder()
    features = network(data.train())
    assert features.dtype == torch.float64
    assert torch.equal(network.network.seen, levels.expand(-1, 3, -1, -1))
    network(torch.tensor([-3.0, -1, 0.999, 5]).view(1, 1, 2, 2))  # samples beyond the domain do not wrap around
    assert network.network.seen[0, 0].flatten().tolist() == [0, 0, 255, 255]


def test_inception_features_and_logits_are_those_of_the_network(weights: Path) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    x = images(2)
    published = FeatureExtractorInceptionV3("inception-v3-compat", ["2048", "logits_unbiased"], str(weights))
    levels = torch.from_numpy(np.rint((x.numpy() + 1) / 2 * 255).astype(np.uint8)).repeat(1, 3, 1, 1)
    features, logits = published(levels)
    assert features.std() > 1e-3
    space = FeatureSpace("inception", dataset(x), "nowhere", str(weights))
    assert torch.equal(space.of(x), features.double())
    model = Model.of(energy, Points(x))
    assert torch.equal(space.embed_samples(model, 2), features.double())
    assert torch.equal(space.embed_samples(model, 2, logits=True), logits.double())


def test_scores_by_inception_have_names_of_their_own_and_say_whose_weights(weights: Path, tmp_path: Path) -> None:
    x, common = images(4), {"features": "inception", "weights": str(weights), "cache_dir": str(tmp_path)}
    data = dataset(x, images(4, seed=1))
    each = [part(data, 4, **common) for part in (Frechet, KID, InceptionScore, Memorization)]
    each.append(Manifold(data, 4, k=2, **common))
    names = [name for evaluator in each for name in evaluator.gives()]
    assert names == ["fid", "kid_inception", "inception_score", "memorization_share", *names[4:]]
    assert names[4:] == ["precision_inception", "recall_inception", "density_inception", "coverage_inception"]
    for evaluator in each:
        assert "NOT the published ones" in evaluator.protocol
        assert "images as uint8" in evaluator.protocol
    assert scored(each[1], energy, x[[1, 0, 2, 3]])["kid_inception"] < 1e-3


@pytest.mark.slow  # eigenvalues of a matrix of 2,048 columns
def test_fid_by_the_network_is_the_closed_form(weights: Path, tmp_path: Path) -> None:
    """tr (Σ₁Σ₂)^½ is the nuclear norm of the centred features' product, over n − 1."""
    train, x = images(12), images(10, seed=1) ** 3
    evaluator = Frechet(dataset(train), 10, "inception", weights=str(weights), cache_dir=str(tmp_path))
    value = scored(evaluator, energy, x)["fid"]
    a, b = (evaluator.space.of(each).numpy() for each in (train, x))
    ca, cb = ((each - each.mean(0)) / math.sqrt(len(each) - 1) for each in (a, b))
    nuclear = np.linalg.svd(ca @ cb.T, compute_uv=False).sum()
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + (ca**2).sum() + (cb**2).sum() - 2 * nuclear
    assert expected > 0
    assert value == pytest.approx(expected, rel=1e-3)


class Harmful:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return exec, ("raise SystemExit('code of a weights file ran')",)


def test_a_file_of_weights_that_is_none_is_told_and_runs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    for write in (
        lambda: path.write_bytes(b"no archive"),
        lambda: torch.save({"fc.weight": torch.zeros(2, 2)}, path),
        lambda: torch.save([1, 2], path),
        lambda: torch.save({"fc.weight": Harmful()}, path),
        lambda: path.write_bytes(pickle.dumps(Harmful())),
    ):
        write()
        space = FeatureSpace("inception", dataset(images(4)), "nowhere", str(path))
        with pytest.raises(ValueError, match=r"w\.pth is not the state dict .* published file is pt_inception-2015"):
            space.of(images(2))


def test_what_inception_needs_is_told_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, file = dataset(images(4)), str(tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"^weights: must be the path of pt_inception-2015-12-05-6726825d\.pth"):
        Frechet(data, 4, "inception")
    with pytest.raises(ValueError, match=r"^weights: there is no file .*w\.pth"):
        KID(data, 4, "inception", weights=file)
    with pytest.raises(ValueError, match=r"^weights: must be null for features=pixels"):
        Frechet(data, 4, weights=file)
    for other in (images(4, channels=2), torch.zeros(4, 2)):
        with pytest.raises(ValueError, match=r"^features: inception needs images of 1 or 3 channels"):
            Manifold(dataset(other), 4, "inception", k=2, weights=file)
    (tmp_path / "w.pth").touch()
    assert Frechet(data, 4, "inception", weights=file).gives() == {"fid": DISTANCE}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"needs torch-fidelity; pip install '\.\[fid\]' where this project is"):
        Frechet(data, 4, "inception", weights=file)


def test_each_evaluator_refuses_a_classifier_of_data_without_labels() -> None:
    toy = Gaussian("gaussian", CPU, 0, half_width=5.0, n_train=100, n_test=10)
    for part in (KID, InceptionScore, Manifold, Memorization):
        with pytest.raises(ValueError, match="features: classifier needs labels, gaussian has none"):
            part(toy, 10, "classifier")


def test_a_reference_is_spread_evenly_over_its_split(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.arange(100.0)[:, None] / 100
    space = FeatureSpace("pixels", dataset(x), "nowhere")
    assert (space.reference("train", 12).flatten() * 100).round().tolist() == [9 * i for i in range(12)]
    assert torch.equal(space.reference("test", 1000), x.double())
    monkeypatch.setattr(module, "BLOCK", 7)
    in_blocks = FeatureSpace("pixels", dataset(x), "nowhere")
    assert torch.equal(in_blocks.reference("train", 12), space.reference("train", 12))
    assert torch.equal(in_blocks.of(x), space.of(x))


def test_samples_that_are_not_finite_have_no_features() -> None:
    digits = Digits("digits", CPU, test_share=0.2)
    x = digits.train(50).clone()
    x[3, 0, 1, 1] = math.nan
    for evaluator in (*(part(digits, 50) for part in (KID, Manifold, Memorization, InceptionScore)),):
        values = scored(evaluator, energy, x)
        assert set(values) >= set(evaluator.gives())
        assert all(math.isnan(value) for value in values.values())
        with pytest.raises(ValueError, match="at least 2 of shape"):
            scored(evaluator, energy, torch.randn(10, 3))
