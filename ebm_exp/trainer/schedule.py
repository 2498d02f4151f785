"""The learning rate as a function of the optimizer step."""

import math
from typing import Literal


def lr_factor(step: int, warmup_steps: int, decay: Literal["none", "linear", "cosine"], decay_steps: int) -> float:
    """What the base learning rate is multiplied by at ``step`` (from 0), in [0, 1].

    Warm-up: (step + 1)/warmup_steps until it reaches 1. Decay, with u = min(step/decay_steps, 1): 1 − u (linear) or
    (1 + cos πu)/2 (cosine), so that the factor is 0 from ``decay_steps`` on. The two are multiplied.
    """
    warm = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
    u = min(step / decay_steps, 1.0)
    return warm * {"none": 1.0, "linear": 1 - u, "cosine": (1 + math.cos(math.pi * u)) / 2}[decay]
