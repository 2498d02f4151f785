"""The learning rate's factor as a pure function of the step, so that a resumed run needs no scheduler state."""

import math
from typing import Literal

Decay = Literal["none", "linear", "cosine", "step"]
TO_ZERO = ("linear", "cosine")  # decays after which nothing changes any more


def lr_factor(step: int, warmup_steps: int, decay: Decay, decay_steps: int, decay_rate: float = 1.0) -> float:
    """The share of the base learning rate that optimizer step ``step`` (from 0) uses, in [0, 1].

    factor = min(1, (step + 1)/warmup_steps) · d(t),  t = min(1, step/decay_steps),
    d(t) = 1 (none), 1 − t (linear), (1 + cos πt)/2 (cosine: Loshchilov & Hutter 2017, Eq. 5, one period),
    decay_rate^⌊step/decay_steps⌋ (step).

    The first step moves already (1/warmup_steps), ``warmup_steps`` = 0 means no warm-up, and decay counts from step 0,
    warm-up included; linear and cosine reach exactly 0 at ``decay_steps`` and stay there.

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
    if decay == "step":
        return warmup * decay_rate ** (step // decay_steps)
    raise ValueError(f"decay must be none, linear, cosine or step, got {decay!r}")
