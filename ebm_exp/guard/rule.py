"""What may go wrong in a training, and what is said of it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

_BETTER = 0.9  # times what a window had before, and less, is on its way back


@dataclass(frozen=True)
class Rule:
    """Limits of one signal, a number of a step, and what it means when it leaves them.

    Attributes:
        name: of the symptom.
        signal: of the objective's ``signals``.
        low, high: within which the means of a window stay in a healthy training; a NaN is outside.
        says: what is seen, with ``{value}``.
        causes: what leads there, likeliest first.
        knobs: overrides that help, as typed.
        remedy: the names of those that ``rollback`` takes (``guard.remedy``).
        after: windows that end before this step are not looked at.
    """

    name: str
    signal: str
    low: float
    high: float
    says: str
    causes: str
    knobs: tuple[str, ...]
    remedy: tuple[str, ...]
    after: int = 0

    def broken_by(self, step: int, values: Mapping[str, float]) -> bool:
        """Whether a window that ends with a step breaks it."""
        if self.signal not in values or step <= self.after:
            return False
        return not self.low <= values[self.signal] <= self.high

    def heals(self, before: float, now: float) -> bool:
        """Whether the second of two windows that break it is on its way back."""
        return now < _BETTER * before if now > self.high else before < _BETTER * now

    def advice(self) -> str:
        """Why, and what helps."""
        return f"Likely: {self.causes}. What helps: {', '.join(self.knobs)}."


@dataclass(frozen=True)
class Symptom:
    """What was found.

    Attributes:
        name: of the rule, or ``non_finite``.
        step: the first step that shows it.
        text: what is seen, why as a rule, and what helps: one paragraph.
        remedy: what ``rollback`` tries.
    """

    name: str
    step: int
    text: str
    remedy: tuple[str, ...] = ()


def found(rule: Rule, step: int, value: float) -> Symptom:
    """The symptom of a rule that is broken."""
    number = "nan (all are alike)" if math.isnan(value) else f"{value:.3g}"
    text = f"from step {step:,} on {rule.says.format(value=number)}. {rule.advice()}"
    return Symptom(rule.name, step, text, rule.remedy)


class DivergedError(ArithmeticError):
    """A training is not healthy any more and ends.

    Attributes:
        symptom: what was found.
    """

    def __init__(self, symptom: Symptom) -> None:
        super().__init__(symptom)
        self.symptom = symptom

    def __str__(self) -> str:
        return self.symptom.text
