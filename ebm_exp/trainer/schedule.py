"""The learning rate's factor as a pure function of the step, so that a resumed run needs no scheduler state."""

import math
from typing import Literal


def lr_factor(step: int, warmup_steps: int, decay: Literal["none", "linear", "cosine"], decay_steps: int) -> float:
    """The share of the base learning rate that optimizer step ``step`` (from 0) uses, in [0, 1].

    factor = min(1, (step + 1)/warmup_steps) · d(t),  t = min(1, step/decay_steps),
    d(t) = 1 (none), 1 − t (linear), (1 + cos πt)/2 (cosine: Loshchilov & Hutter 2017, Eq. 5, one period).

    The first step moves already (1/warmup_steps), ``warmup_steps`` = 0 means no warm-up, and decay counts from step 0,
    warm-up included, to exactly 0 at ``decay_steps`` and after.

    Raises:
        ValueError: when ``step`` or ``warmup_steps`` is negative, ``decay_steps`` not positive or ``decay`` unknown.
    """
    if step < 0 or warmup_steps < 0 or decay_steps < 1:
        raise ValueError(f"step {step} and warmup_steps {warmup_steps} must be ≥ 0, decay_steps {decay_steps} ≥ 1")
    warmup = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
    t = min(1.0, step / decay_steps)
    if decay == "none":
        return warmup
    if decay == "linear":
        return warmup * (1 - t)
    if decay == "cosine":
        return warmup * (1 + math.cos(math.pi * t)) / 2
    raise ValueError(f"decay must be none, linear or cosine, got {decay!r}")
