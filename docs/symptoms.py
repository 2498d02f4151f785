"""The symptoms of the guard as a page of the site, made of the rules that a training is held against."""

import math
import re
import sys
from collections.abc import Iterator

import tables
from reference import CONF, read

from ebm_exp.config.validate import locate
from ebm_exp.evaluator import Score
from ebm_exp.guard.guard import NOTHING_LEARNED
from ebm_exp.guard.meter import NonFiniteError
from ebm_exp.guard.rule import Rule, Symptom
from ebm_exp.guard.scores import judge_scores


def page() -> str:
    """All symptoms of the guard: a table of symptom, first cause and first cure, then each with all that it says."""
    told: list[tuple[str, Symptom, str, str]] = []  # anchor, symptom, what is healthy, whose it is
    for rule, names in _rules().items():
        suffix = "" if [each.name for each in _rules()].count(rule.name) == 1 else f" ({names[0]})"
        said = Symptom(rule.name, 0, rule.says.format(value="*v*"), rule.causes, rule.knobs, rule.remedy)
        told.append((f"{rule.name}{suffix}", said, _healthy(rule), ", ".join(f"`{name}`" for name in names)))
    told += [(each.name, each, "", "all") for each in (NonFiniteError(3, "train/loss").symptom, *_of_scores())]
    lines = ["| symptom | likely | what helps |", "| --- | --- | --- |"]
    for title, symptom, _, _ in told:
        cause = symptom.causes[0] if isinstance(symptom.causes[0], str) else symptom.causes[0][1]
        lines.append(f"| [`{title}`](#{_slug(title)}) | {cause} | {_knob(symptom.knobs[0])} |")
    for title, symptom, healthy, names in told:
        causes = [each if isinstance(each, str) else f"{each[1]} (with a {each[0]})" for each in symptom.causes]
        lines += ["", f"## {title} {{: #{_slug(title)} }}", "", f"Seen: {symptom.seen}.", ""]
        lines += [f"- Healthy: {healthy}"] * bool(healthy)
        lines += [f"- Likely: {'; or '.join(causes)}", f"- What helps: {', '.join(map(_knob, symptom.knobs))}"]
        lines += [
            f"- `guard.on_divergence=rollback` changes: {', '.join(symptom.remedy).replace('_', ' ') or 'nothing'}"
        ]
        lines += [f"- Looked for with `objective=` {names}"]
    return "\n".join(lines)


def _rules() -> dict[Rule, list[str]]:
    """The rules of all objectives, each with the choices that have it."""
    found: dict[Rule, list[str]] = {}
    for file in tables.files(CONF, "objective"):
        target = read(file).get("_target_")
        for rule in locate("objective", target).rules if target else ():
            found.setdefault(rule, []).append(file.stem)
    return found | {NOTHING_LEARNED: ["all"]}


def _healthy(rule: Rule) -> str:
    low = f"≥ {rule.low:g}" if math.isfinite(rule.low) and rule.low != 0 else ""
    high = f"≤ {rule.high:g}" if math.isfinite(rule.high) else ""
    after = f", in windows that end after step {rule.after:,}" if rule.after else ""
    return f"`guard/{rule.signal}` {' and '.join(filter(None, (low, high)))}{after}"


def _of_scores() -> Iterator[Symptom]:
    """What evaluations are found by: one that is NaN, one worse than its start, one that stays there."""
    far, near = {"distance": Score(10.0)}, {"distance": Score(1.0)}

    def points(of: str) -> dict[str, Score]:
        return near if of == "data" else far

    nearest: dict[str, tuple[int, float]] = {}
    judge_scores(1000, far, ["distance"], points, nearest)
    for step, scores in ((1000, {"distance": Score(math.nan)}), (1000, {"distance": Score(20.0)}), (3000, far)):
        symptom = judge_scores(step, scores, ["distance"], points, dict(nearest))
        if symptom is None:
            sys.exit("docs/symptoms.py: the guard does not say any more what this page is made of")
        yield symptom


def _knob(knob: str) -> str:
    *words, key = re.sub("[<>]=", "=", knob).split()
    return " ".join([*words, f"`{key}`"])


def _slug(title: str) -> str:
    return re.sub(r"\W+", "-", title).strip("-")
