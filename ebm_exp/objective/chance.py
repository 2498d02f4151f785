"""How healthy a step is of a loss that tells data from other points: against the same loss of a constant energy."""

import math

from torch import Tensor

from ebm_exp.guard.rule import Rule

CHANCE_RULES = (
    Rule(
        name="loss_exploded",
        signal="unexplained",
        low=0.0,
        high=1.5,
        says="the loss is {value} times that of a constant energy: worse than to know nothing",
        causes=("a learning rate that is too high",),
        knobs=("a smaller optimizer.lr", "trainer.gradient_norm_clip<=1", "more schedule.warmup_steps"),
        remedy=("learning_rate", "clip"),
        after=500,  # one that begins far from its noise has to come down first
    ),
)


def tell_easy(what: str, causes: tuple[str, ...], knobs: tuple[str, ...]) -> Rule:
    """The rule of a loss that compares data with points of its own making: they must not be told at a glance.

    Args:
        what: these points.
        causes: see ``Rule``.
        knobs: see ``Rule``.
    """
    return Rule(
        name="told_too_easily",
        signal="unexplained",
        low=0.05,
        high=math.inf,
        says=f"the loss is {{value}} times that of a constant energy: {what} is told too easily from the data, and "
        "teaches little of their density",
        causes=causes,
        knobs=knobs,
        remedy=(),
        after=500,
    )


def against_chance(loss: Tensor, chance: float) -> dict[str, Tensor]:
    """``unexplained``: the mean of the loss, of any shape, in units of ``chance``, what a constant energy has."""
    return {"unexplained": loss.detach().mean() / chance}
