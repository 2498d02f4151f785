"""What every data set is: tensors on the device, a domain, and batches that are a function of the step."""

import torch
from torch import Tensor

from ebm_exp.dataset.domain import Domain
from ebm_exp.random import generator as derived_generator
from ebm_exp.types import Minibatch, PerSample


class Dataset:
    """Points, labels and their domain, resident on the device.

    Args:
        name: the word of the command line; it names the run's directory.
        domain: the box the data lies in, which gives the event shape too.
        train, test: points ``[n, *event]``, float in the domain, or uint8 levels 0 … n_levels − 1.
        train_labels, test_labels: ``[n]`` integers, or None.
        n_levels: number of grey levels of uint8 data; level k stands for low + k·(high − low)/(n_levels − 1).
        n_classes: number of classes, 0 without labels.
        noise_std: Gaussian noise added to every training batch, in units of the domain.
        dequantize: add uniform noise of one level's width, so that the levels tile the domain evenly.
        clamp_noise: clamp noisy points to the domain (a picture's value range; not a toy's plotting box).
        device: where the tensors live.
    """

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
        noise_std: float = 0.0,
        dequantize: bool = False,
        clamp_noise: bool = True,
        device: torch.device | str = "cpu",
    ) -> None:
        if dequantize and train.dtype != torch.uint8:
            raise ValueError("dequantize=true needs data stored in levels")
        self.name, self.domain, self.n_classes = name, domain, n_classes
        self.device = torch.device(device)
        self.n_levels, self.noise_std = n_levels, noise_std
        self.dequantize, self.clamp_noise = dequantize, clamp_noise
        self._train, self._test = train.to(self.device), test.to(self.device)
        self.train_labels = None if train_labels is None else train_labels.to(self.device)
        self.test_labels = None if test_labels is None else test_labels.to(self.device)
        self._order: tuple[tuple[int, int, int], Tensor] | None = None

    @property
    def event_shape(self) -> tuple[int, ...]:
        return self.domain.event_shape

    @property
    def n_train(self) -> int:
        return len(self._train)

    @property
    def n_test(self) -> int:
        return len(self._test)

    def train(self, n: int | None = None) -> Tensor:
        """The first n training points ``[n, *event]`` (all by default), without noise."""
        return self._decode(self._train[:n])

    def test(self, n: int | None = None) -> Tensor:
        """The first n held-out points ``[n, *event]`` (all by default), without noise."""
        return self._decode(self._test[:n])

    def batch(self, step: int, size: int, seed: int, rank: int = 0) -> Minibatch:
        """The training batch of one step, with its noise: a pure function of the arguments.

        Each epoch is a permutation of its own, so no point is seen twice before all are seen once
        (the last n_train mod size points of a permutation sit out that epoch).

        Raises:
            ValueError: when the batch is larger than the training set.
        """
        if size > self.n_train:
            raise ValueError(f"trainer.batch_size: must be at most {self.n_train}, the training points, got {size}")
        epoch, position = divmod(step, self.n_train // size)
        if self._order is None or self._order[0] != (epoch, seed, rank):
            order = torch.randperm(
                self.n_train, generator=derived_generator(self.device, "epoch", seed, rank, epoch), device=self.device
            )
            self._order = (epoch, seed, rank), order
        index = self._order[1][position * size : (position + 1) * size]
        noise = derived_generator(self.device, "data noise", seed, rank, step)
        y = None if self.train_labels is None else self.train_labels[index]
        return Minibatch(self._perturb(self._train[index], noise), y)

    def noisy(self, n: int, generator: torch.Generator) -> Tensor:
        """n random training points ``[n, *event]`` with the noise of training, e.g. to start chains from."""
        index = torch.randint(self.n_train, (n,), generator=generator, device=self.device)
        return self._perturb(self._train[index], generator)

    def log_prob(self, x: Tensor) -> PerSample:
        """Log-density ``[batch]`` of the data's law in nats; ``has_density`` tells whether it is known.

        Raises:
            TypeError: for data of unknown law.
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

    def _perturb(self, x: Tensor, generator: torch.Generator) -> Tensor:
        levels = torch.rand(x.shape, generator=generator, device=x.device) if self.dequantize else None
        x = self._decode(x, levels)
        if self.noise_std:
            x = x + self.noise_std * torch.randn(x.shape, generator=generator, device=x.device)
            if self.clamp_noise:
                x = x.clamp_(self.domain.low, self.domain.high)
        return x
