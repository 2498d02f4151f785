"""A small classifier of a data set's own labels: a feature space for distances, and a judge of the samples' classes.

Trained once per data set and kept in a file, so that all runs on it are judged by the same network.
"""

import copy
import hashlib
import logging
import math
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ebm_exp.dataset.base import Dataset
from ebm_exp.energy.convolution import Convolution
from ebm_exp.evaluator.base import HIGHER, Evaluator, Kind, Model, Score, check_samples
from ebm_exp.files import replacing
from ebm_exp.precision import full_precision
from ebm_exp.random import seed_global
from ebm_exp.types import Batch, Conditional, PositiveInt, Provided

BLOCK = 1024  # points that are classified at once
N_STEPS, N_EPOCHS, BATCH, LR = 1500, 30, 128, 3e-3  # whichever of steps and epochs ends first
NOISE = 0.05  # on its training data, in units of half the domain: samples are never quite clean
_LOG = logging.getLogger(__name__)
_SAID: set[Path] = set()  # files whose accuracy the log has told


class Network(nn.Module):
    """Three convolutions for images, two layers for other points, then 128 features and a linear head."""

    num_features = 128

    def __init__(self, event_shape: tuple[int, ...], n_classes: int) -> None:
        super().__init__()
        if len(event_shape) == 3:
            layers: list[nn.Module] = []
            for n_in, n_out, kernel in ((event_shape[0], 32, 5), (32, 64, 3), (64, 128, 3)):
                layers += [
                    Convolution(n_in, n_out, kernel, stride=2, padding=kernel // 2),
                    nn.BatchNorm2d(n_out),
                    nn.ReLU(),
                ]
            layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        else:
            layers = [nn.Flatten(), nn.Linear(math.prod(event_shape), 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(128, n_classes)

    def forward(self, x: Batch) -> Tensor:
        return self.head(self.features(x))


class Features(nn.Module):
    """A classifier's features in double precision ``[batch, 128]``, as a Fréchet distance takes them."""

    num_features = Network.num_features

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Batch) -> Tensor:
        return self.network.features(x).double()


@torch.inference_mode(False)
@torch.enable_grad()
def load_or_train(dataset: Dataset, folder: Path) -> tuple[Network, float]:
    """The classifier of a data set, from its file or trained now, and its accuracy on the test split.

    It is trained for 1,500 steps of 128 or 30 epochs on the training split with a fixed noise, whatever noise an
    energy is trained with. Where nothing is held out (``digits`` with ``test_share: 0``) the accuracy is that of the
    training data, and the log says so. Evaluators ask for it where no gradients are kept, or under autocast: neither
    reaches the training here.

    Raises:
        ValueError: for a data set without labels.
    """
    if dataset.n_classes < 2 or dataset.train_labels is None or dataset.test_labels is None:
        raise ValueError(
            f"features: classifier needs labels, {dataset.name} has none; use features=pixels, or evaluator=frechet"
        )
    name = re.sub(r"[^\w-]+", "-", dataset.name)
    path = folder / f"classifier-{name}-{_digest(dataset)}.pt"
    with seed_global("classifier", 0):
        network = Network(dataset.event_shape, dataset.n_classes).to(dataset.device)
    saved = read_kept(path)
    if saved is None:
        _LOG.info("training the classifier of %s, once for all runs, into %s", dataset.name, path)
        with full_precision(dataset.device):
            _train(network, dataset)
            saved = {"network": network.state_dict(), "accuracy": _accuracy(network, dataset)}
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            torch.save(saved, file)
    network.load_state_dict(saved["network"])
    if path not in _SAID:
        _SAID.add(path)
        split = "test split" if dataset.holds_out else "training data, nothing is held out"
        _LOG.info("classifier of %s: accuracy %.3f (%s)", dataset.name, saved["accuracy"], split)
    return network.eval().requires_grad_(False), saved["accuracy"]


def read_kept(path: Path) -> Any:
    """What a file of the cache holds, tensors alone; None where there is none, or a damaged one, which is told."""
    try:
        return torch.load(path, weights_only=True, map_location="cpu")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Exception as error:  # a damaged archive or pickle can raise nearly anything
        _LOG.warning("%s is damaged (%s), it is made anew", path, type(error).__name__)
        return None


def _digest(dataset: Dataset) -> str:
    """Names the points and labels that the classifier is made for: shapes, labels, and 256 of the points."""
    labels = dataset.train_labels
    assert labels is not None
    digest = hashlib.sha256(str((dataset.domain, dataset.n_train, dataset.n_classes)).encode())
    digest.update(labels.cpu().numpy().tobytes())
    digest.update(dataset.train(256).cpu().numpy().tobytes())
    return digest.hexdigest()[:12]


def _train(network: Network, dataset: Dataset) -> None:
    clean = copy.copy(dataset)  # the same points, without the noise and flips of this experiment
    clean.noise_std = NOISE * dataset.domain.half_width
    clean.dequantize = False
    clean.horizontal_flip = False
    size = min(BATCH, dataset.n_train)
    n_steps = min(N_STEPS, N_EPOCHS * (dataset.n_train // size))
    optimizer = torch.optim.AdamW(network.parameters(), lr=LR)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=n_steps)
    network.train()
    for step in range(n_steps):
        batch = clean.batch(step, size, seed=0)
        assert batch.y is not None
        optimizer.zero_grad(set_to_none=True)
        cross_entropy(network(batch.x), batch.y).backward()
        optimizer.step()
        schedule.step()
    network.eval()


@torch.no_grad()
def _accuracy(network: Network, dataset: Dataset) -> float:
    right = torch.zeros((), device=dataset.device)
    for x, y in dataset.blocks("test", BLOCK):
        right += (network(x).argmax(1) == y).sum()
    return float(right) / dataset.n_test


class ClassShare(Evaluator):
    """Which classes a classifier of the data sees in the samples.

    ``class_confidence``: mean top probability; ``class_smallest``: the share of the rarest class (1/n_classes is even);
    ``class_agreement``, for a conditional energy: the share of samples that are taken for the class they were drawn as.
    Of these, higher is better. ``class_share_<k>``: the share of each class, for up to 20.

    Args:
        dataset: gives labels to train the classifier on.
        n_samples: how many samples are judged.
        cache_dir: where the classifier is kept.
        conditional: whether the energy takes labels, so that samples have them.

    Raises:
        ValueError: for a data set without labels.
    """

    def __init__(
        self,
        dataset: Provided[Dataset],
        n_samples: PositiveInt,
        cache_dir: str = "outputs/cache",
        conditional: Conditional = False,
    ) -> None:
        if dataset.n_classes < 2:
            raise ValueError(
                f"class_share needs labels, {dataset.name} has none; remove it with ~evaluator.class_share"
            )
        self.dataset = dataset
        self.n_samples = n_samples
        self.cache_dir = Path(cache_dir)
        self.conditional = conditional
        self._network: Network | None = None

    def gives(self) -> dict[str, Kind]:
        agreement = ("class_agreement",) if self.conditional else ()
        return dict.fromkeys(("class_confidence", "class_smallest", *agreement), HIGHER)

    @property
    def protocol(self) -> str:
        return f"classes by a classifier of {self.dataset.name}, {self.n_samples:,} samples"

    @torch.no_grad()
    def __call__(self, model: Model) -> dict[str, Score]:
        """Shares as described above.

        Raises:
            ValueError: when samples are not of the data's shape.
        """
        samples, labels = model.samples(self.n_samples)
        check_samples(samples, self.dataset.event_shape)
        if self._network is None:
            self._network, _ = load_or_train(self.dataset, self.cache_dir)
        blocks = samples.to(self.dataset.device).split(BLOCK)
        top, seen = torch.cat([self._network(block).softmax(1) for block in blocks]).max(1)
        n = len(seen)
        share = torch.bincount(seen, minlength=self.dataset.n_classes) / n
        scores = {
            "class_confidence": Score.mean(top, "higher"),
            "class_smallest": Score(float(share.min()), better="higher", n=n),
        }
        if labels is not None:
            scores["class_agreement"] = Score.mean((seen == labels).float(), "higher")
        if self.dataset.n_classes <= 20:
            scores |= {f"class_share_{k}": Score(value, better=None, n=n) for k, value in enumerate(share.tolist())}
        return scores
