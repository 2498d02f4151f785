"""What a training consists of: the parts of one experiment, built."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import torch

from ebm_exp.augmentation import Augmentation
from ebm_exp.config.build import Parts
from ebm_exp.config.tree import look_up
from ebm_exp.dataset.base import Dataset
from ebm_exp.energy import Energy
from ebm_exp.engine.base import Engine
from ebm_exp.evaluator import Evaluator
from ebm_exp.guard import Guard
from ebm_exp.guard.rule import ABSENT
from ebm_exp.objective.base import Objective
from ebm_exp.random import Stream
from ebm_exp.ranks import ALONE, Ranks
from ebm_exp.sampling.base import Sampling
from ebm_exp.schedule.base import Schedule
from ebm_exp.types import Points


class Experiment(NamedTuple):
    """What is trained, of what and by what.

    Attributes:
        batch_size: training points of a step, of all ranks together.
        n_batches: only the first so many batches are trained on, again and again; None: all.
        stateful: the parts that a checkpoint holds, by name.
        config: that it was built of, resolved.
    """

    dataset: Dataset
    energy: Energy
    objective: Objective
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    engine: Engine
    sampling: Sampling
    evaluators: dict[str, Evaluator]
    data_augmentation: Augmentation
    stream: Stream
    guard: Guard
    optimized_metric: str | None
    batch_size: int
    n_batches: int | None
    stateful: Mapping[str, Any]
    config: Mapping[str, Any]

    @classmethod
    def of(cls, parts: Parts) -> Self:
        """The experiment that parts make; they are built where they are not yet."""
        trainer = parts["trainer"]
        return cls(
            dataset=parts["dataset"],
            energy=parts["energy"],
            objective=parts["objective"],
            optimizer=parts["optimizer"],
            schedule=parts["schedule"],
            engine=parts["engine"],
            sampling=parts["sampling"],
            evaluators=parts["evaluator"],
            data_augmentation=parts["data_augmentation"],
            stream=parts["stream"],
            guard=parts["guard"],
            optimized_metric=parts.config["optimized_metric"],
            batch_size=trainer.batch_size,
            n_batches=trainer.n_batches,
            stateful=parts.stateful(),  # once all are built
            config=parts.config,
        )

    @property
    def ranks(self) -> Ranks:
        """The processes that train it."""
        return self.stream.ranks

    def batch(self, step: int, parts: int = 1) -> Points:
        """This rank's training points of optimizer step ``step``, from 0: ``[batch_size / n_ranks, *event]``.

        Args:
            step: so many were taken before.
            parts: the batch is taken in so many parts, see ``random.Rows``.
        """
        return self._batch(step, self.ranks, parts)

    def whole_batch(self, step: int) -> Points:
        """The training points of all ranks: ``[batch_size, *event]``."""
        return self._batch(step, ALONE, 1)

    def _batch(self, step: int, ranks: Ranks, parts: int) -> Points:
        index = step if self.n_batches is None else step % self.n_batches
        seed, augmentation = self.stream.seed, self.data_augmentation
        return self.dataset.batch(index, self.batch_size, seed, augmentation, ranks, parts)

    def setting(self, key: str) -> Any:
        """The value at a dotted key of what the training depends on; ``ABSENT`` where it has no such part."""
        part = key.partition(".")[0]
        is_used = part not in ("sampler", "buffer", "noise", "normaliser") or hasattr(self.objective, part)
        return look_up(self.config, key, ABSENT) if is_used else ABSENT

    def state_dict(self) -> dict[str, Any]:
        """The states of its parts, for a checkpoint."""
        return {name: part.state_dict() for name, part in self.stateful.items()}
