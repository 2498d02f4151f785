"""Frozen networks by name: what they see and compute, which files they take, and scores in their features.

The weights are made up, in files of the published form whose checksum the table is given.
"""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor
from torchvision.transforms.v2 import functional as vision

from benchmarks import results
from ebm_exp.config.trust import CONF
from ebm_exp.dataset.base import Dataset
from ebm_exp.dataset.domain import Domain
from ebm_exp.energy import MLP
from ebm_exp.evaluator import KID, Frechet, InceptionScore, Manifold, Memorization, Model, frozen, published
from ebm_exp.evaluator.features import FeatureSpace
from ebm_exp.evaluator.networks import CifarResNet, EfficientNetLite0, LeNet
from ebm_exp.evaluator.published import NETWORKS, PublishedName
from ebm_exp.types import Points
from tests.evaluator.scoring import scored

energy = MLP((3, 32, 32), (4,))  # not called
RESNET, LENET = "resnet20_cifar10", "lenet_mnist"


def images(n: int, seed: int, shape: tuple[int, ...] = (3, 32, 32)) -> Tensor:
    return torch.randint(0, 256, (n, *shape), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def dataset(train: Tensor, test: Tensor | None = None) -> Dataset:
    domain = Domain(-1, 1, tuple(train.shape[1:]))
    return Dataset(name="made up", domain=domain, train=train, test=train if test is None else test)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where files of made-up weights lie as if they had been fetched."""
    for name in (RESNET, LENET):
        net = NETWORKS[name]
        with torch.random.fork_rng():
            torch.manual_seed(0)
            state = net.make().state_dict()
        named = {net.prefixes[0] + key: value for key, value in state.items()}
        torch.save({"state_dict": named, "best_prec1": 9.0} if name == RESNET else named, tmp_path / net.file)
        changed = dataclasses.replace(net, sha256=published.digest(tmp_path / net.file))
        monkeypatch.setitem(NETWORKS, name, changed)
    return tmp_path


def test_every_name_has_a_network_and_a_choice() -> None:
    assert set(NETWORKS) == set(get_args(PublishedName))
    for name, net in NETWORKS.items():
        assert len(net.sha256) == 64
        assert (net.url is None) == bool(net.packages)
        assert net.url is None or net.url.endswith(f"/{net.file}")
        nodes = yaml.safe_load((CONF / "evaluator" / f"{name}.yaml").read_text(encoding="utf-8"))
        assert list(nodes) == [f"{what}_{name}" for what in ("frechet", "kid", "manifold")]
        assert {node["features"] for node in nodes.values()} == {name}


def test_the_accuracy_that_a_protocol_tells_was_measured() -> None:
    measured = results.read("features")
    assert {name: row["right"] for name, row in measured.items()} == {n: net.right for n, net in NETWORKS.items()}
    for name, net in NETWORKS.items():
        assert f"{measured[name]['of']:,}" in net.test


def test_a_resnet_whose_blocks_add_nothing_hands_its_first_maps_on() -> None:
    """Of 6n + 2 layers; shortcuts take every second pixel and put new channels on either side."""
    network = CifarResNet(3).eval()
    layers = [name for name in network.state_dict() if name.endswith("weight") and "bn" not in name]
    assert len(layers) == 20
    assert sum(p.numel() for p in network.parameters()) == 269_722  # .27 M
    for name, value in network.named_parameters():
        if "layer" in name and "bn2" in name:
            value.data.zero_()
    x = torch.randn(2, 3, 32, 32)
    maps = torch.relu(network.bn1(network.conv1(x)))[:, :, ::4, ::4].mean((2, 3))
    expected = torch.zeros(2, 64)
    expected[:, 24:40] = maps
    torch.testing.assert_close(network.features(x), expected)


def test_lenet_is_its_layers_one_after_the_other() -> None:
    network, x = LeNet().eval(), torch.rand(2, 1, 32, 32)
    state = {name: value.double() for name, value in network.state_dict().items()}
    maps = x.double()
    for name in ("c1", "c3", "c5"):
        maps = torch.conv2d(maps, state[f"convnet.{name}.weight"], state[f"convnet.{name}.bias"]).tanh()
        maps = maps if name == "c5" else maps.unfold(2, 2, 2).unfold(3, 2, 2).amax((4, 5))
    features = (maps.flatten(1) @ state["fc.f6.weight"].T + state["fc.f6.bias"]).tanh()
    torch.testing.assert_close(network.features(x).double(), features, rtol=1e-5, atol=1e-6)
    assert network.head(network.features(x)).shape == (2, 10)


@pytest.mark.parametrize(("name", "shape"), [(RESNET, (3, 20, 40)), (RESNET, (1, 64, 64)), (LENET, (1, 28, 28))])
def test_images_of_another_size_are_resized_with_antialiasing(cache: Path, name: str, shape: tuple[int, ...]) -> None:
    net, levels = NETWORKS[name], images(2, 0, shape)
    module = frozen.Frozen(net, cache / net.file, Domain(-1, 1, shape))
    how = {"bicubic": vision.InterpolationMode.BICUBIC, "bilinear": vision.InterpolationMode.BILINEAR}[net.resize]
    there = vision.resize(levels.float() / 255, [32, 32], interpolation=how, antialias=True).clamp(0, 1)
    there = vision.normalize(there.expand(-1, net.channels, -1, -1), list(net.mean), list(net.deviation))
    torch.testing.assert_close(module.see(levels / 127.5 - 1), there, rtol=0, atol=1e-5)
    beyond = torch.full((1, *shape), 7.0)
    torch.testing.assert_close(module.see(beyond), module.see(torch.ones(1, *shape)))
    space = FeatureSpace(name, dataset(levels), str(cache))
    assert f"resized from {shape[1]}×{shape[2]} to 32×32, {net.resize}, antialiased" in space.description
    assert ("three equal channels" in space.description) == (shape[0] < net.channels)


def test_features_and_scores_of_classes_are_those_of_the_network(cache: Path) -> None:
    levels = images(6, 0)
    data, net = dataset(levels), NETWORKS[RESNET]
    network = CifarResNet(3).eval()
    state = torch.load(cache / net.file, weights_only=True)["state_dict"]
    network.load_state_dict({name.removeprefix("module."): value for name, value in state.items()})
    seen = vision.normalize(levels.float() / 255, list(net.mean), list(net.deviation))
    features = network.features(seen)
    assert features.std() > 1e-3
    space = FeatureSpace(RESNET, data, str(cache))
    of = space.of(data.train())
    assert of.dtype == torch.float64
    torch.testing.assert_close(of.float(), features, rtol=1e-4, atol=1e-6)
    logits = space.embed_samples(Model.of(energy, Points(data.train())), 6, logits=True)
    torch.testing.assert_close(logits.float(), network.head(features), rtol=1e-4, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(space.of(data.train()), of)


def test_each_evaluator_names_the_network_and_says_how_it_sees(cache: Path) -> None:
    data, common = dataset(images(40, 0), images(12, 1)), {"features": RESNET, "cache_dir": str(cache)}
    each = [Frechet(data, 12, **common, n_reference=30), *(part(data, 12, **common) for part in (KID, InceptionScore))]
    each += [Memorization(data, 12, **common), Manifold(data, 12, k=2, **common)]
    names = [name for evaluator in each for name in evaluator.gives()]
    assert names[:4] == [f"frechet_{RESNET}", f"kid_{RESNET}", f"inception_score_{RESNET}", "memorization_share"]
    assert names[4:] == [f"{name}_{RESNET}" for name in ("precision", "recall", "density", "coverage")]
    for evaluator in each:
        said = "ResNet-20 of CIFAR-10, the 64 of the layer before its scores; uint8 images, 32×32; mean 0.485 0.456 0.4"
        assert said in evaluator.protocol
        digest = NETWORKS[RESNET].sha256[:8]
        assert f"weights {digest}; right on 9,173 of CIFAR-10's 10,000 test images)" in evaluator.protocol
        assert set(scored(evaluator, energy, data.test())) >= set(evaluator.gives())
    assert each[0].protocol.endswith(
        ", 12 samples against 30 points of the train split, floor: as many points of the test split"
    )


def moments(x: Tensor) -> tuple[Any, Any]:
    return x.numpy().mean(0), np.cov(x.numpy().T)


def test_distance_and_floor_are_the_formula_on_the_same_features(cache: Path) -> None:
    """In double precision, also as torchmetrics has it; the floor is the distance of the other split's points."""
    from torchmetrics.image.fid import _compute_fid

    data = dataset(images(150, 0), images(90, 1))
    evaluator = Frechet(data, 80, RESNET, cache_dir=str(cache))
    x = (data.test(80) * 0.7).contiguous()
    found = scored(evaluator, energy, x)
    space = FeatureSpace(RESNET, data, str(cache))
    (mean, covariance), real = moments(space.of(data.train())), space.drawn("test", 80)
    for name, features in ((f"frechet_{RESNET}", space.of(x)), (f"frechet_{RESNET}_floor", real)):
        m, c = moments(features)
        values, vectors = np.linalg.eigh(c)
        root = vectors * np.sqrt(values.clip(0)) @ vectors.T
        trace = np.sqrt(np.linalg.eigvalsh(root @ covariance @ root).clip(0)).sum()
        expected = ((m - mean) ** 2).sum() + np.trace(c) + np.trace(covariance) - 2 * trace
        assert found[name] == pytest.approx(expected, rel=1e-6)
        theirs = _compute_fid(*map(torch.from_numpy, (mean, covariance, m, c)))
        assert found[name] == pytest.approx(float(theirs), rel=1e-6)
    assert found[f"frechet_{RESNET}"] > found[f"frechet_{RESNET}_floor"] > 0
    kid = scored(KID(data, 80, RESNET, cache_dir=str(cache)), energy, data.test(80))
    of_them = FeatureSpace(RESNET, data, str(cache)).of(data.test(80))
    assert set(kid) == {f"kid_{RESNET}{end}" for end in ("", "_se", "_floor", "_floor_se")}
    assert of_them.shape == (80, 64)


def test_there_is_a_floor_where_as_many_points_are_held_out(cache: Path) -> None:
    x, z, few = images(30, 0), images(20, 1), {"features": RESNET, "cache_dir": str(cache)}
    for data, n, options, there in (
        (dataset(x, z), 20, {}, True),
        (dataset(x, z), 21, {}, False),
        (dataset(x, z), 21, {"reference": "test"}, True),
        (dataset(x), 10, {}, False),  # nothing is held out
        (dataset(x, z), 20, {"features": "pixels"}, False),
    ):
        evaluator = Frechet(data, n, **(few | options))
        found = scored(evaluator, energy, data.train(n))
        assert [name for name in found if name.endswith("_floor")] == [f"frechet_{RESNET}_floor"] * there
        assert ("floor: as many" in evaluator.protocol) == there
    broken = data.train(20).clone()
    broken[0, 0, 0, 0] = math.nan
    assert np.isnan(list(scored(Frechet(dataset(x, z), 20, **few), energy, broken).values())).all()


def test_what_is_made_of_data_is_kept_and_shared(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    see = frozen.Frozen.see
    monkeypatch.setattr(frozen.Frozen, "see", lambda module, x: (seen.append(len(x)), see(module, x))[1])
    data, common = dataset(images(40, 0), images(12, 1)), {"features": RESNET, "cache_dir": str(cache)}
    model = Model.of(energy, Points(data.test() * 0.5))
    first = {**Frechet(data, 12, **common)(model), **KID(data, 12, **common)(model)}
    assert seen == [12, 40, 12]  # samples, reference, floor
    again = {**Frechet(data, 12, **common)(model), **KID(data, 12, **common)(model)}
    assert again == first
    assert seen == [12, 40, 12]
    other = dataset(images(40, 2), images(12, 1))
    assert Frechet(other, 12, **common)(model) != {name: first[name] for name in first if "frechet" in name}
    assert seen[3:] == [40, 12]
    memorization = Memorization(data, 12, **common)
    memorization(model)
    memorization.panels(model)
    assert seen[5:] == [12, 12, 12, 12]  # held-out points, and what is nearest to those and to samples, twice
    del seen[5:]
    for file in cache.glob("features-*"):
        file.write_bytes(b"torn")
    assert Frechet(data, 12, **common)(model).keys() <= first.keys()
    assert seen[5:] == [40, 12]


def test_features_that_cannot_be_kept_cost_no_score(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    file, data = cache / NETWORKS[RESNET].file, dataset(images(8, 0), images(4, 1))
    nowhere = {"cache_dir": str(file / "below"), "weights": str(file)}  # below a file
    found = scored(Frechet(data, 4, RESNET, **nowhere), energy, data.test())
    assert found == scored(Frechet(data, 4, RESNET, cache_dir=str(cache)), energy, data.test())
    assert [each.getMessage()[:52] for each in caplog.records] == [
        "cache_dir: features of the data are not kept ([Errno"
    ] * 2


class Harmful:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return exec, ("raise SystemExit('code of a weights file ran')",)


def test_a_file_of_another_checksum_or_content_is_refused(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, path = dataset(images(4, 0)), cache / "other.th"
    torch.save({"fc.weight": Harmful()}, path)
    there = NETWORKS[RESNET].sha256[:8]
    with pytest.raises(ValueError, match=rf"^weights: \S+other\.th is not resnet20-\S+ as it was .* must be {there}$"):
        KID(data, 4, RESNET, cache_dir=str(cache), weights=str(path))
    changed = dataclasses.replace(NETWORKS[RESNET], sha256=published.digest(path))
    monkeypatch.setitem(NETWORKS, RESNET, changed)
    with pytest.raises(ValueError, match=r"^weights: \S+other\.th is no state dict of ResNet-20 \("):
        FeatureSpace(RESNET, data, str(cache), str(path)).of(data.train())


def test_what_a_network_needs_is_told_before_training(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, at = dataset(images(4, 0)), {"cache_dir": str(tmp_path / "none")}
    with pytest.raises(
        ValueError, match=r"^features: resnet20_cifar10 needs resnet20-12fca82f\.th, .* ebm_exp\.cli\.fetch"
    ):
        Frechet(data, 4, RESNET, **at)
    with pytest.raises(
        ValueError, match=r"^weights: there is no file w\.th; features=resnet20_cifar10 reads resnet20-12"
    ):
        Manifold(data, 4, RESNET, k=2, weights="w.th", **at)
    with pytest.raises(ValueError, match=r"^features: lenet_mnist needs images of 1 channel, the data set has \[3, 32"):
        KID(data, 4, LENET, cache_dir=str(cache))
    with pytest.raises(ValueError, match=r"^features: resnet20_cifar10 needs images of 1 or 3 channels, the data set"):
        InceptionScore(dataset(images(4, 0, (2, 8, 8))), 4, RESNET, cache_dir=str(cache))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"^features: efficientnet_lite0 needs packages .* install '\.\[features\]'"):
        Memorization(data, 4, "efficientnet_lite0", **at)


def test_efficientnet_by_its_package() -> None:
    package = pytest.importorskip("efficientnet_lite_pytorch")
    network, x = EfficientNetLite0().eval(), torch.randn(1, 3, 224, 224)
    theirs = package.EfficientNet.from_name("efficientnet-lite0").eval()
    theirs.load_state_dict({name.removeprefix("network."): value for name, value in network.state_dict().items()})
    features = network.features(x)
    assert features.shape == (1, NETWORKS["efficientnet_lite0"].num_features)
    torch.testing.assert_close(network.head(features), theirs(x))
