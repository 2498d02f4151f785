"""Four decays; t = min(1, step/decay_steps).

constant 1 · linear 1 − t · cosine (1 + cos πt)/2 (Loshchilov & Hutter 2017, Eq. 5, one period) · staircase
rate^⌊step/decay_steps⌋. Linear and cosine reach exactly 0 at ``decay_steps`` and stay there.
"""

import math

from ebm_exp.schedule.base import Schedule
from ebm_exp.types import NonNegativeInt, PositiveInt, Probability


class Constant(Schedule):
    """The learning rate stays.

    Args:
        warmup_steps: steps until the whole learning rate is used.
    """

    def __init__(self, warmup_steps: NonNegativeInt = 0) -> None:
        self.warmup_steps = warmup_steps

    def decay(self, step: int) -> float:
        return 1.0


class Linear(Schedule):
    """Linearly to 0.

    Args:
        decay_steps: the step at which it is 0.
        warmup_steps: steps until the whole learning rate is used.
    """

    def __init__(self, decay_steps: PositiveInt, warmup_steps: NonNegativeInt = 0) -> None:
        self.decay_steps = decay_steps
        self.warmup_steps = warmup_steps
        self.ends_at = decay_steps

    def decay(self, step: int) -> float:
        return 1 - min(1.0, step / self.decay_steps)


class Cosine(Schedule):
    """Half a period of a cosine to 0.

    Args:
        decay_steps: the step at which it is 0.
        warmup_steps: steps until the whole learning rate is used.
    """

    def __init__(self, decay_steps: PositiveInt, warmup_steps: NonNegativeInt = 0) -> None:
        self.decay_steps = decay_steps
        self.warmup_steps = warmup_steps
        self.ends_at = decay_steps

    def decay(self, step: int) -> float:
        return (1 + math.cos(math.pi * min(1.0, step / self.decay_steps))) / 2


class Staircase(Schedule):
    """Multiplied by a rate every so many steps.

    Args:
        decay_steps: length of a stair.
        decay_rate: factor from one to the next.
        warmup_steps: steps until the whole learning rate is used.
    """

    def __init__(self, decay_steps: PositiveInt, decay_rate: Probability, warmup_steps: NonNegativeInt = 0) -> None:
        self.decay_steps = decay_steps
        self.decay_rate = decay_rate
        self.warmup_steps = warmup_steps

    def decay(self, step: int) -> float:
        return self.decay_rate ** (step // self.decay_steps)
