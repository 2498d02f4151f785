"""Where samples and data are compared: points as features, under a name that each score carries.

No distance in one space compares with that in another: only features of the published Inception network give an FID.
"""

import hashlib
import importlib.util
import io
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Literal, TypedDict

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from ebm_exp.dataset.base import Dataset
from ebm_exp.dataset.domain import Domain
from ebm_exp.evaluator.base import Model, check_samples
from ebm_exp.evaluator.classifier import Features, Network, load_or_train
from ebm_exp.types import Batch

FeatureName = Literal["pixels", "classifier", "inception"]
Split = Literal["train", "test"]

BLOCK = 1024  # points whose features are in memory at once
INCEPTION_BLOCK = 64  # images of 299×299
MOST = 1024  # pixels that are compared; the cost of a Fréchet distance grows as their cube
PUBLISHED = "6726825d"  # how the checksum (SHA-256) of the published weights begins
WEIGHTS = f"pt_inception-2015-12-05-{PUBLISHED}.pth"


class Pixels(nn.Module):
    """Features that are the components themselves, in double precision: ``[batch, *event]`` → ``[batch, d]``.

    Images of more than 1,024 components are averaged over squares of ``pool`` pixels, the smallest that leave so few.
    """

    def __init__(self, event_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.pool = 1
        if len(event_shape) == 3:
            channels, height, width = event_shape
            while channels * (height // self.pool) * (width // self.pool) > MOST:
                self.pool += 1
            event_shape = (channels, height // self.pool, width // self.pool)
        self.num_features = prod(event_shape)

    def forward(self, x: Batch) -> Tensor:
        x = x.double()
        return (x if self.pool == 1 else avg_pool2d(x, self.pool)).flatten(1)


class Logits(nn.Module):
    """A classifier's logits in double precision ``[batch, n_classes]``."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Batch) -> Tensor:
        return self.network(x).double()


class Inception(nn.Module):
    """The Inception network of the FID (Heusel et al. 2017), as torch-fidelity converted it from TensorFlow.

    Images ``[batch, C, H, W]`` of the domain become uint8 levels, one channel becomes three equal ones, and the network
    resizes them to 299×299 as TensorFlow 1 did; what comes is in double precision.

    Args:
        weights: a state dict in a file of tensors alone.
        domain: of the images.
        output: ``2048``, the features of the last pooling layer, or ``logits_unbiased``, 1,008 logits.

    Raises:
        ValueError: when the file is no state dict of this network.
    """

    num_features = 2048

    def __init__(self, weights: Path, domain: Domain, output: Literal["2048", "logits_unbiased"] = "2048") -> None:
        super().__init__()
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        again = io.BytesIO()  # the network unpickles whatever its file holds: it gets one of tensors that are read
        try:
            torch.save(torch.load(weights, map_location="cpu", weights_only=True), again)
            again.seek(0)
            self.network = FeatureExtractorInceptionV3("inception-v3-compat", [output], again)
        except Exception as error:  # a damaged archive or pickle can raise nearly anything
            raise ValueError(
                f"weights: {weights} is not the state dict of torch-fidelity's Inception network "
                f"({type(error).__name__}); the published file is {WEIGHTS}"
            ) from error
        self.low, self.high = domain.low, domain.high

    def forward(self, x: Batch) -> Tensor:
        levels = ((x - self.low) * (255 / (self.high - self.low))).round().clamp(0, 255).to(torch.uint8)
        return self.network(levels.expand(-1, 3, -1, -1))[0].double()


class FeatureOptions(TypedDict, total=False):
    """Where the network of a feature space comes from: what every evaluator that compares features hands on to it."""

    cache_dir: str  # where the classifier is kept
    weights: str | None  # the file of Inception's weights, see ``WEIGHTS``; null for other features


class FeatureSpace:
    """A space by name, for the points of a data set; its network is loaded or trained at the first use.

    Args:
        name: ``pixels`` (see ``Pixels``); ``classifier``: the 128 features of a small classifier of the data set's own
            labels; ``inception`` (see ``Inception``).
        dataset: whose points are compared.
        cache_dir, weights: see ``FeatureOptions``.

    Raises:
        ValueError: for a classifier of data without labels; for Inception without images of one or three channels,
            without torch-fidelity or without its file.
    """

    def __init__(
        self, name: FeatureName, dataset: Dataset, cache_dir: str = "outputs/cache", weights: str | None = None
    ) -> None:
        if name == "classifier" and dataset.n_classes < 2:
            raise ValueError(
                f"features: classifier needs labels, {dataset.name} has none; use features=pixels, or evaluator=frechet"
            )
        if name == "inception":
            _check_inception(dataset.event_shape, weights)
        elif weights is not None:
            raise ValueError(f"weights: must be null for features={name}, got {weights}; features=inception reads it")
        self.name = name
        self.dataset = dataset
        self.cache_dir = Path(cache_dir)
        self.weights = None if weights is None else Path(weights)
        self.block = INCEPTION_BLOCK if name == "inception" else BLOCK

    @cached_property
    def description(self) -> str:
        """What protocols say of the features."""
        if self.name == "pixels":
            pool = Pixels(self.dataset.event_shape).pool
            return "pixels features" + (f" (means over {pool}×{pool})" if pool > 1 else "")
        if self.weights is None:
            return "classifier features"
        with self.weights.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:8]
        whose = "the published weights" if digest == PUBLISHED else f"weights {digest}, NOT the published ones"
        return f"Inception features ({whose}; images as uint8, resized to 299×299 as by TensorFlow 1)"

    @cached_property
    def network(self) -> nn.Module:
        """From points ``[batch, *event]`` to features ``[batch, num_features]`` in double precision."""
        return self._made(logits=False)

    @cached_property
    def logits(self) -> nn.Module:
        """From points ``[batch, *event]`` to logits ``[batch, n]`` of classes in double precision; not of pixels."""
        return self._made(logits=True)

    def _made(self, logits: bool) -> nn.Module:
        network: nn.Module
        if self.weights is not None:
            network = Inception(self.weights, self.dataset.domain, "logits_unbiased" if logits else "2048")
        elif self.name == "classifier":
            classifier, _ = load_or_train(self.dataset, self.cache_dir)
            network = Logits(classifier) if logits else Features(classifier)
        else:
            network = Pixels(self.dataset.event_shape)
        return network.to(self.dataset.device)

    def of(self, x: Batch) -> Tensor:
        """Features ``[batch, num_features]`` of points, on the data set's device."""
        return self._through(self.network, x)

    @torch.no_grad()
    def _through(self, network: nn.Module, x: Batch) -> Tensor:
        return torch.cat([network(block) for block in x.to(self.dataset.device).split(self.block)])

    def embed_samples(self, model: Model, n: int, logits: bool = False) -> Tensor | None:
        """Features (or logits) of n of a model's samples ``[n, …]``; None when one of them is not finite.

        Raises:
            ValueError: when there are fewer than two samples or they are not of the data's shape.
        """
        x = model.samples(n).x
        check_samples(x, self.dataset.event_shape)
        if not x.isfinite().all():  # uint8 levels and ranks would hide it
            return None
        return self._through(self.logits if logits else self.network, x)

    def reference(self, split: Split, most: int) -> Tensor:
        """Features ``[n, num_features]`` of at most so many points of a split, evenly spread over it."""
        n = self.size(split)
        chosen = torch.linspace(0, n - 1, min(n, most), dtype=torch.float64).long()
        features, first = [], 0
        for x, _ in self.dataset.blocks(split, self.block):
            here = chosen[(chosen >= first) & (chosen < first + len(x))] - first
            if len(here):
                features.append(self.of(x[here.to(x.device)]))
            first += len(x)
        return torch.cat(features)

    def size(self, split: Split) -> int:
        """How many points a split has."""
        return self.dataset.n_train if split == "train" else self.dataset.n_test


def _check_inception(event_shape: tuple[int, ...], weights: str | None) -> None:
    if len(event_shape) != 3 or event_shape[0] not in (1, 3):
        raise ValueError(f"features: inception needs images of 1 or 3 channels, the data set has {list(event_shape)}")
    if importlib.util.find_spec("torch_fidelity") is None:
        raise ValueError("features: inception needs torch-fidelity; pip install '.[fid]' where this project is")
    if weights is None:
        raise ValueError(f"weights: must be the path of {WEIGHTS} for features=inception, got null")
    if not Path(weights).is_file():
        raise ValueError(f"weights: there is no file {weights}; features=inception reads {WEIGHTS}")
