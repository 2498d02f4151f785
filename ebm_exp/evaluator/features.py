"""Where samples and data are compared: points as features, under a name that each score carries.

No distance in one space compares with that in another: only features of the published Inception network give an FID.
"""

import hashlib
import logging
from collections.abc import Iterator
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Literal, TypedDict

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from ebm_exp.dataset.base import Dataset
from ebm_exp.evaluator import published
from ebm_exp.evaluator.base import Model, check_samples
from ebm_exp.evaluator.classifier import Features, Network, load_or_train, read_kept
from ebm_exp.evaluator.frozen import Frozen
from ebm_exp.evaluator.inception import PUBLISHED, Inception, check_inception
from ebm_exp.evaluator.published import NETWORKS, PublishedName
from ebm_exp.files import replacing
from ebm_exp.random import generator
from ebm_exp.types import Batch

ClassifierName = Literal["classifier", "inception", PublishedName]  # those that have scores of classes
FeatureName = Literal["pixels", ClassifierName]
Split = Literal["train", "test"]
_LOG = logging.getLogger(__name__)

BLOCK = 1024  # points whose features are in memory at once
LARGE_BLOCK = 64  # images that a network sees at 224×224 and more
MOST = 1024  # pixels that are compared; the cost of a Fréchet distance grows as their cube


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


class FeatureOptions(TypedDict, total=False):
    """Where the network of a feature space comes from: what every evaluator that compares features hands on to it."""

    cache_dir: str  # where the classifier is kept, weights that were fetched, and what frozen networks make of data
    weights: str | None  # the file of a frozen network; null: where it was fetched to, and for other features


class FeatureSpace:
    """A space by name, for the points of a data set; its network is loaded or trained at the first use.

    Args:
        name: ``pixels`` (see ``Pixels``); ``classifier``: the 128 features of a small classifier of the data set's own
            labels; or those of a frozen network: ``inception`` (see ``Inception``), or one of ``published.NETWORKS``.
        dataset: whose points are compared.
        cache_dir, weights: see ``FeatureOptions``.

    Attributes:
        frozen: the network is a public one, the same for all data; features of data are kept in a file.

    Raises:
        ValueError: for a classifier of data without labels; for a frozen network without images that it can see, the
            packages that it needs, or its file.
    """

    def __init__(
        self, name: FeatureName, dataset: Dataset, cache_dir: str = "outputs/cache", weights: str | None = None
    ) -> None:
        if name == "classifier" and dataset.n_classes < 2:
            raise ValueError(
                f"features: classifier needs labels, {dataset.name} has none; use features=pixels, or evaluator=frechet"
            )
        self.frozen = name == "inception" or name in NETWORKS
        if weights is not None and not self.frozen:
            raise ValueError(f"weights: must be null for features={name}, got {weights}; frozen networks read them")
        self.name = name
        self.dataset = dataset
        self.cache_dir = Path(cache_dir)
        self.weights = None if weights is None else Path(weights)
        self.block = BLOCK
        if name == "inception":
            check_inception(dataset.event_shape, weights)
            self.block = LARGE_BLOCK
        elif name in NETWORKS:
            published.check_images(name, dataset.event_shape)
            self.weights = published.find(name, weights, self.cache_dir)
            self.block = LARGE_BLOCK if NETWORKS[name].size > 100 else BLOCK

    @cached_property
    def description(self) -> str:
        """What protocols say of the features."""
        if self.name in NETWORKS:
            return published.describe(self.name, self.dataset.event_shape)
        if self.name == "pixels":
            pool = Pixels(self.dataset.event_shape).pool
            return "pixels features" + (f" (means over {pool}×{pool})" if pool > 1 else "")
        if self.weights is None:
            return "classifier features"
        digest = published.digest(self.weights)[:8]
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
        if self.name in NETWORKS:
            assert self.weights is not None
            network = Frozen(NETWORKS[self.name], self.weights, self.dataset.domain, logits)
        elif self.weights is not None:
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

        def seen() -> Tensor:
            return self._through(self.logits if logits else self.network, x)

        return model.once((self.description, n, logits), seen) if self.frozen else seen()

    def reference(self, split: Split, most: int) -> Tensor:
        """Features ``[n, num_features]`` of at most so many points of a split, evenly spread over it."""
        return torch.cat([*self.reference_blocks(split, most)])

    def drawn(self, split: Split, n: int) -> Tensor:
        """Features ``[n, num_features]`` of n points of a split by chance, the same each time.

        Of data in the order of their classes, points that are evenly spread have all classes equally often: they lie
        nearer to the data than independent samples would.
        """
        order = torch.randperm(self.size(split), generator=generator("cpu", "floor", 0))
        return torch.cat([*self._blocks(split, order[:n].sort().values, "drawn")])

    def reference_blocks(self, split: Split, most: int) -> Iterator[Tensor]:
        """What ``reference`` gives, in blocks."""
        n = self.size(split)
        yield from self._blocks(split, torch.linspace(0, n - 1, min(n, most), dtype=torch.float64).long(), "spread")

    def _blocks(self, split: Split, chosen: Tensor, how: str) -> Iterator[Tensor]:
        """Features of the points at ascending places ``[n]``; a frozen network computes them once for all runs."""
        kept_in = self._file(split, f"{how}-{len(chosen)}") if self.frozen else None
        kept = None if kept_in is None else read_kept(kept_in)
        if kept is not None:
            yield from (block.to(self.dataset.device).double() for block in kept.split(self.block))
            return
        computed, first = [], 0
        for x, _ in self.dataset.blocks(split, self.block):
            here = chosen[(chosen >= first) & (chosen < first + len(x))] - first
            first += len(x)
            if len(here):
                block = self.of(x[here.to(x.device)])
                if kept_in is not None:
                    computed.append(block.float().cpu())  # a network's float32, told in double precision
                yield block
        if kept_in is not None:
            try:
                self.cache_dir.mkdir(parents=True, exist_ok=True)
                with replacing(kept_in) as file:
                    torch.save(torch.cat(computed), file)
            except OSError as error:  # what was computed is not lost with it
                _LOG.warning("cache_dir: features of the data are not kept (%s)", error)

    def _file(self, split: Split, which: str) -> Path:
        """Where features of points of a split are kept, named by network, how it sees images, and data."""
        said = f"{self.description} {self.dataset.domain} {self.dataset.fingerprint()}"
        digest = hashlib.sha256(said.encode()).hexdigest()[:12]
        return self.cache_dir / f"features-{self.name}-{digest}-{split}-{which}.pt"

    def size(self, split: Split) -> int:
        """How many points a split has."""
        return self.dataset.n_train if split == "train" else self.dataset.n_test
