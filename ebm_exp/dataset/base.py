"""What every data set is: tensors on the device, a domain, and batches that are a function of the step."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from ebm_exp import memory
from ebm_exp.dataset.check import check_labels, check_points, tell_unseen
from ebm_exp.dataset.domain import Domain
from ebm_exp.dataset.fingerprint import fingerprint
from ebm_exp.dataset.units import Levels, Units
from ebm_exp.dataset.units import Points as PlainPoints
from ebm_exp.part import Part
from ebm_exp.random import Source, for_batch, normal_like, take_rows, uniform
from ebm_exp.random import generator as derived_generator
from ebm_exp.ranks import ALONE, Ranks
from ebm_exp.types import PerSample, Points, Transform


class Dataset(Part):
    """Points, labels and their domain, resident on the device where they fit, streamed from the host otherwise.

    Args:
        name: the word of the command line; it names the run's directory.
        domain: the box the data lies in, which gives the event shape too.
        train, test: points ``[n, *event]``, float32 in the domain, or uint8 levels 0 … n_levels − 1.
        train_labels, test_labels: ``[n]`` integers 0 … n_classes − 1, or None.
        n_levels: number of grey levels of uint8 data; level k stands for low + k·(high − low)/(n_levels − 1).
        n_classes: number of classes, 0 without labels.
        class_names: what they are called; None: their numbers.
        units: what points are in units of their own; None: levels where there are such, else numbers.
        noise_std: Gaussian noise added to every training batch, in units of the domain.
        device: where batches are needed.
        dequantize, clamp_noise, horizontal_flip, resident: see ``ImageOptions``.

    Attributes:
        unseen_classes: names of those that no training point is of.

    Raises:
        ValueError: for points of another type or shape, NaN or infinite, outside the domain; for labels of another
            number or range.
    """

    suggests = True

    def __init__(
        self,
        *,
        name: str,
        domain: Domain,
        train: Tensor,
        test: Tensor,
        train_labels: Tensor | None = None,
        test_labels: Tensor | None = None,
        n_levels: int = 256,
        n_classes: int = 0,
        class_names: Sequence[str] | None = None,
        units: Units | None = None,
        noise_std: float = 0.0,
        dequantize: bool = False,
        clamp_noise: bool = True,
        horizontal_flip: bool = False,
        device: torch.device | str = "cpu",
        resident: bool | None = None,
    ) -> None:
        if horizontal_flip and len(domain.event_shape) != 3:
            raise ValueError("horizontal_flip: must be false for data that are not images [channels, height, width]")
        if dequantize and train.dtype != torch.uint8:
            raise ValueError("dequantize: must be false for data that are not stored as uint8 levels")
        for split, x, y in (("train", train, train_labels), ("test", test, test_labels)):
            if split == "train" or test is not train:
                check_points(split, x, domain, n_levels, clamp_noise)
            if y is not None:
                check_labels(f"{split}_labels", y, len(x), n_classes)
        self.name = name
        self.domain = domain
        self.n_classes = n_classes
        self.class_names = [str(k) for k in range(n_classes)] if class_names is None else list(class_names)
        self.unseen_classes = tell_unseen(train_labels, self.class_names)
        if units is None:
            units = Levels(domain, n_levels, dequantize) if train.dtype == torch.uint8 else PlainPoints(domain)
        self.units = units
        self.device = torch.device(device)
        self.n_levels, self.noise_std = n_levels, noise_std
        self.dequantize = dequantize
        self.clamp_noise = clamp_noise
        self.horizontal_flip = horizontal_flip
        self.holds_out = test is not train  # False: the training points stand in for a test split
        if resident is None:
            size = train.nbytes + test.nbytes
            resident = self.device.type != "cuda" or 2 * size <= memory.free(self.device)
        home = self.device if resident else torch.device("cpu")
        self._train, self._test = train.to(home), test.to(home)
        self.train_labels = None if train_labels is None else train_labels.to(self.device, torch.int64)
        self.test_labels = None if test_labels is None else test_labels.to(self.device, torch.int64)
        self._order: tuple[tuple[int, int], Tensor] | None = None

    @property
    def event_shape(self) -> tuple[int, ...]:
        return self.domain.event_shape

    @property
    def binary(self) -> bool:
        """Whether each component of the training points is one of two levels, the ends of the domain."""
        x = self._train
        if x.dtype == torch.uint8:
            return self.n_levels == 2
        return x.is_meta or bool(((x == self.domain.low) | (x == self.domain.high)).all())

    @property
    def continuous(self) -> bool:
        """Whether they have other levels than these two; what has no values (meta) passes for both."""
        return self._train.is_meta or not self.binary

    @property
    def n_train(self) -> int:
        return len(self._train)

    @property
    def n_test(self) -> int:
        return len(self._test)

    def train(self, n: int | None = None) -> Tensor:
        """The first n training points ``[n, *event]`` (all by default), without noise."""
        return self._decode(self._train[:n].to(self.device))

    def test(self, n: int | None = None) -> Tensor:
        """The first n held-out points ``[n, *event]`` (all by default), without noise."""
        return self._decode(self._test[:n].to(self.device))

    def held_out(self, generator: torch.Generator) -> Tensor:
        """All held-out points ``[n, *event]`` as a density sees them: levels dequantized where training ones are."""
        x = self._test.to(self.device)
        levels = torch.rand(x.shape, generator=generator, device=x.device) if self.dequantize else None
        return self._decode(x, levels)

    def blocks(self, split: Literal["train", "test"], size: int) -> Iterator[Points]:
        """A whole split in order, without noise, at most ``size`` points ``[size, *event]`` decoded at once."""
        points, labels = (self._train, self.train_labels) if split == "train" else (self._test, self.test_labels)
        for i in range(0, len(points), size):
            x = self._decode(points[i : i + size].to(self.device))
            yield Points(x, None if labels is None else labels[i : i + size])

    def batch(
        self, step: int, size: int, seed: int, augment: Transform | None = None, ranks: Ranks = ALONE, parts: int = 1
    ) -> Points:
        """The training batch of one step, augmented and then with its noise: a pure function of the arguments.

        Each epoch is a permutation of its own, so no point is seen twice before all are seen once
        (the last n_train mod size points of a permutation sit out that epoch). Of a batch that ranks share these are
        the rank's rows, in so many parts (``random.Rows``); ``size`` is that of all together.

        Raises:
            ValueError: when the batch is larger than the training set.
        """
        if size > self.n_train:
            raise ValueError(f"trainer.batch_size: must be at most {self.n_train}, the training points, got {size}")
        epoch, position = divmod(step, self.n_train // size)
        if self._order is None or self._order[0] != (epoch, seed):
            g = derived_generator("cpu", "epoch", seed, 0, epoch)  # wherever the data lives, the same order
            order = torch.randperm(self.n_train, generator=g).to(self._train.device)
            self._order = (epoch, seed), order
        source = for_batch(derived_generator(self.device, "data noise", seed, 0, step), ranks, parts)
        index = self._order[1][position * size : (position + 1) * size]
        return self._gather(take_rows(index, source), source, augment)

    def noisy(self, n: int, generator: torch.Generator) -> Points:
        """n random training points ``[n, *event]`` with the noise of training, e.g. to start chains from."""
        index = torch.randint(self.n_train, (n,), generator=generator, device=self.device)
        return self._gather(index.to(self._train.device), generator)

    def facts(self) -> dict[str, Any]:
        """What a run records of its data: enough to draw samples where the points are not at hand (see ``Absent``)."""
        counts: Any = [] if self.train_labels is None else torch.bincount(self.train_labels, minlength=self.n_classes)
        return {
            "name": self.name,
            "low": self.domain.low,
            "high": self.domain.high,
            "event_shape": list(self.event_shape),
            "n_classes": self.n_classes,
            "class_names": self.class_names,
            "class_counts": [int(k) for k in counts],
            "units": self.units.facts(),
            "n_train": self.n_train,
            "n_test": self.n_test,
            "fingerprint": self.fingerprint(),
        }

    def random_labels(self, n: int, generator: torch.Generator) -> Tensor:
        """n labels ``[n]`` of the training data's distribution.

        Raises:
            ValueError: for data without labels.
        """
        if self.train_labels is None:
            raise ValueError(f"the data set {self.name} has no labels")
        return self.train_labels[torch.randint(self.n_train, (n,), generator=generator, device=self.device)]

    def fingerprint(self) -> str:
        """12 hexadecimal digits that name the data: points and labels of both splits, as they are stored.

        Where they came from and where they are kept does not matter. Of a split of more than 256 MiB, its size and
        points spread evenly over it count.
        """
        held_out = [self._test, self.test_labels] if self.holds_out else []
        said = b"held out" if self.holds_out else b"no test split"
        return fingerprint(said, [self._train, self.train_labels, *held_out])

    def log_prob(self, x: Tensor) -> PerSample:
        """Log-density ``[batch]`` of the data's distribution in nats; ``has_density`` tells whether it is known.

        Raises:
            TypeError: for data of unknown distribution.
        """
        raise TypeError(f"the density of {self.name} is not known")

    @property
    def has_density(self) -> bool:
        return type(self).log_prob is not Dataset.log_prob

    def _decode(self, x: Tensor, level_noise: Tensor | None = None) -> Tensor:
        if x.dtype != torch.uint8:
            return x
        width = self.domain.high - self.domain.low
        if level_noise is None:
            return self.domain.low + x.float() * (width / (self.n_levels - 1))
        return self.domain.low + (x + level_noise) * (width / self.n_levels)

    def _gather(self, index: Tensor, source: Source, augmentation: Transform | None = None) -> Points:
        x = self._train[index]
        if x.device.type != self.device.type:  # cuda:0 is cuda
            x = x.pin_memory().to(self.device, non_blocking=True)
            index = index.pin_memory().to(self.device, non_blocking=True)
        x = self._perturb(self._redraw(x, index, source), source, augmentation)
        return Points(x, None if self.train_labels is None else self.train_labels[index])

    def _redraw(self, x: Tensor, index: Tensor, source: Source) -> Tensor:
        """Stored points ``[n, …]`` of places ``[n]``, with what of them is random drawn anew; as a rule nothing is."""
        return x

    def _perturb(self, x: Tensor, source: Source, augmentation: Transform | None) -> Tensor:
        if self.horizontal_flip:
            mirrored = uniform((len(x),), source, x.device) < 0.5
            x = torch.where(mirrored.view(-1, 1, 1, 1), x.flip(-1), x)
        levels = uniform(x.shape, source, x.device) if self.dequantize else None
        x = self._decode(x, levels)
        if augmentation is not None:
            x = augmentation(x, source, "data")
        if self.noise_std:
            x = x + self.noise_std * normal_like(x, source)
            if self.clamp_noise:
                x = x.clamp_(self.domain.low, self.domain.high)
        return x
