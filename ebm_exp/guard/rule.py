"""What may go wrong in a training, and what is said of it."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

ABSENT = object()  # the value of a setting that a training does not have

Cause = str | tuple[str, str]  # what leads there; (part, what leads there) where only trainings with a part have it
Settings = Callable[[str], Any]  # the value at a dotted key of what a training depends on, else ABSENT


@dataclass(frozen=True)
class Rule:
    """Limits of one signal, a number of a step, and what it means when it leaves them.

    Attributes:
        name: of the symptom.
        signal: of the objective's ``signals``, or the guard's own.
        low, high: within which the means of a window stay in a healthy training; a NaN is outside.
        says: what is seen, with ``{value}``.
        causes: what leads there, likeliest first.
        knobs: what helps, each ending with a key, ``a smaller optimizer.lr``, or an override. ``key>=value`` is told as
            ``key=value`` where the value in force is smaller, ``<=`` where it is larger or none.
        remedy: the names of those that ``rollback`` takes (``guard.remedy``).
        after: windows that end before this step are not looked at.
        better: times what a window had before, and less, is on its way back; 0: nothing is.
    """

    name: str
    signal: str
    low: float
    high: float
    says: str
    causes: tuple[Cause, ...]
    knobs: tuple[str, ...]
    remedy: tuple[str, ...]
    after: int = 0
    better: float = 0.9

    def broken_by(self, step: int, values: Mapping[str, float]) -> bool:
        """Whether a window that ends with a step breaks it."""
        if self.signal not in values or step <= self.after:
            return False
        return not self.low <= values[self.signal] <= self.high

    def heals(self, before: float, now: float) -> bool:
        """Whether the second of two windows that break it is on its way back."""
        return now < self.better * before if now > self.high else before < self.better * now


@dataclass(frozen=True)
class Symptom:
    """What was found.

    Attributes:
        name: of the rule, or ``non_finite``.
        step: the first step that shows it.
        seen: what is seen, a sentence.
        causes, knobs: why as a rule, and what helps; see ``Rule``.
        remedy: what ``rollback`` tries.
    """

    name: str
    step: int
    seen: str
    causes: tuple[Cause, ...] = ()
    knobs: tuple[str, ...] = ()
    remedy: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All of it, one paragraph."""
        said = [self.seen]
        if self.causes:
            said.append(f"Likely: {', or '.join(c if isinstance(c, str) else c[1] for c in self.causes)}")
        if self.knobs:
            said.append(f"What helps: {', '.join(re.sub('[<>]=', '=', knob) for knob in self.knobs)}")
        return ". ".join(said) + "."

    def within(self, setting: Settings) -> Self:
        """The same with those causes and knobs alone that a training has, and that are not in force already."""
        causes = [each for each in self.causes if isinstance(each, str) or setting(each[0]) is not ABSENT]
        knobs = [each for each in self.knobs if _helps(each, setting)]
        return replace(self, causes=tuple(causes), knobs=tuple(knobs))


def found(rule: Rule, step: int, value: float) -> Symptom:
    """The symptom of a rule that is broken."""
    number = "nan (all are alike)" if math.isnan(value) else f"{value:.3g}"
    seen = f"from step {step:,} on {rule.says.format(value=number)}"
    return Symptom(rule.name, step, seen, rule.causes, rule.knobs, rule.remedy)


def _helps(knob: str, setting: Settings) -> bool:
    """Whether a training has what a knob names, at a value that the knob would change."""
    match = re.fullmatch(r"(?:(\w+)@)?([\w.]+)(?:([<>]?=)(.*))?", knob.split()[-1])
    assert match is not None, knob
    group, key, sign, value = match.groups()
    now = setting(key)
    if now is ABSENT or sign is None:
        return now is not ABSENT
    if group or "." not in key:  # a choice
        target = str(setting(f"{key}._target_")).rpartition(".")[2]
        return setting(f"{key}.{value}") is ABSENT and target.lower() != value.replace("_", "")
    if sign == "=" or not isinstance(now, int | float):
        return True
    return now < float(value) if sign == ">=" else now > float(value)


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
