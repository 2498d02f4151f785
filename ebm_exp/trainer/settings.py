"""The settings of a training: how long it goes on, how it steps, and how often it does what.

A config names it ``ebm_exp.trainer.loop.Trainer``.
"""

import math
from dataclasses import dataclass, replace
from typing import Self

from ebm_exp.part import Part
from ebm_exp.ranges import NonNegativeInt, Positive, PositiveInt, Probability


@dataclass(frozen=True, kw_only=True)
class Trainer(Part):
    """Numbers alone, as the config gives them.

    Args:
        max_steps: optimizer steps in all, resumed ones included.
        batch_size: training points, and chains, per step.
        max_epochs: no more steps than so many passes over the training points take; null: ``max_steps`` alone.
        max_minutes: stop after this much training time, resumed ones included; null: no limit.
        accumulate_steps: the batch is taken in so many parts, whose gradients add up; each draws its own chains.
        gradient_norm_clip: largest norm of the parameters' gradient; null: no clip.
        ema_rate: share of the new weights in the average, per step; 1 follows the weights.
        log_every_steps, evaluate_every_steps, image_every_steps, checkpoint_every_steps: intervals. Where images are
            due at all before the end, there is one after a minute, too.
        keep_checkpoints: the newest so many are kept, and the best.
        image_samples: points in each panel of an image; of points that are no images 500 or more are shown.
        n_batches: train on the first so many batches again and again (``debug=overfit``); null: on all data.
        profile_steps: record so many steps with torch's profiler (``debug=profile``).

    Raises:
        ValueError: when the batch cannot be taken in so many parts.
    """

    max_steps: PositiveInt
    batch_size: PositiveInt
    max_epochs: Positive | None = None
    max_minutes: Positive | None = None
    accumulate_steps: PositiveInt = 1
    gradient_norm_clip: Positive | None = None
    ema_rate: Probability = 0.002
    log_every_steps: PositiveInt = 50
    evaluate_every_steps: PositiveInt = 1000
    image_every_steps: PositiveInt = 1000
    checkpoint_every_steps: PositiveInt = 500
    keep_checkpoints: PositiveInt = 2
    image_samples: PositiveInt = 64
    n_batches: PositiveInt | None = None
    profile_steps: NonNegativeInt = 0

    def __post_init__(self) -> None:
        size, n = self.batch_size, self.accumulate_steps
        if size % n:
            raise ValueError(f"accumulate_steps must divide batch_size, {size}, got {n}")

    def of_length(self, n_train: int) -> Self:
        """These settings for so many training points: ``max_steps`` is the length, ``max_epochs`` why, if it is."""
        steps = math.inf if self.max_epochs is None else max(1, round(self.max_epochs * n_train / self.batch_size))
        by_steps = steps > self.max_steps
        return replace(self, max_epochs=None) if by_steps else replace(self, max_steps=int(steps))

    def longer(self, step: int) -> str:
        """What to type for twice the length that a training had which ended after a step."""
        if self.max_epochs is None:
            return f"trainer.max_steps={2 * step}"
        return f"trainer.max_epochs={2 * self.max_epochs:g}"
