"""Which setting won, by how much, and what to do with it."""

import shlex
from collections.abc import Mapping
from typing import Any

from ebm_exp.files import show_path
from ebm_exp.report.best import best_job, experiment, program, sample_from, train_again
from ebm_exp.report.difference import compare, doubt_length
from ebm_exp.report.page import Html, code, folded, join, note, section, table, tag
from ebm_exp.report.story import Story
from ebm_exp.sweep.settings import Setting
from ebm_exp.text import brief


def winner(story: Story) -> Html:
    """The section."""
    if not story.metric:
        return section("Which setting won", tag("p", "No metric was optimized: there is nothing to rank by."))
    if not story.ranked:
        return section("Which setting won", tag("p", f"No job has finished with a value of {story.metric} so far."))
    if story.results.several:
        return section("Which settings won", _front(story), _next_steps(story, "the first of them"))
    return section("Which setting won", _verdict(story), _cards(story), _caveats(story), _next_steps(story, "it"))


def _verdict(story: Story) -> Html:
    best, *others = story.ranked
    mean, side = best.means[story.metric], story.results.directions[story.metric]
    over = f" over {mean.n} seeds" if mean.n > 1 else ""
    said: list[Any] = [tag("b", story.label(best)), f" with {story.metric} {mean}{over} ({side} is better)"]
    if others:
        said.append(f", {_relate(story, best, others[0])} the next")
        said += [f", {story.label(others[0])}"] if len(story.results.keys) < 3 else []
    default = story.default
    if best.is_default:
        said.append("; these are the values that hold without the sweep")
    elif default is not None and default.means:
        is_next = others and default is others[0]
        said.append(", which is the default" if is_next else f", and {_relate(story, best, default)} the default")
    return tag("p", *said, ".", class_="verdict")


def _relate(story: Story, one: Setting, other: Setting) -> str:
    """``0.42 ± 0.31 ahead of``, or ``not told apart (0.42 ± 0.61) from``."""
    apart = compare(story, one, other)
    return f"not told apart ({apart}) from" if apart.is_told_apart is False else f"{apart} ahead of"


def _cards(story: Story) -> Html:
    best, *others = story.ranked
    default = story.default
    shown = [("best", best), *(("next", each) for each in others[:1])]
    if default is not None and default.means and all(default is not each for _, each in shown):
        shown.append(("default", default))
    cards = []
    for name, setting in shown:
        mean = setting.means[story.metric]
        title = f"{name} and default" if setting.is_default and name != "default" else name
        over = f"{mean.n} seeds" if mean.n > 1 else "1 seed"
        cards.append(_card(story, f"{title} · {over}", str(mean), setting.values, story.kind(setting)))
    if default is None and (values := story.results.record["defaults"]):
        given = {key: str(values[key]) for key in story.results.keys if key in values}
        cards.append(_card(story, "default · not in this sweep", "?", given, "default"))
    return tag("div", *cards, class_="cards")


def _card(story: Story, title: str, value: str, values: Mapping[str, str], kind: str) -> Html:
    best = story.ranked[0].values
    cells: list[Html] = []
    for key, text in values.items():
        cells.append(tag("dt", story.names.get(key, key), title=key))
        cells.append(tag("dd", brief(text), title=text, class_=None if best.get(key) == text else "differs"))
    head = tag("div", title, class_="what"), tag("div", value, class_="value")
    return tag("div", *head, tag("dl", *cells), class_=f"card {kind}".strip())


def _caveats(story: Story) -> Html:
    """What the difference does not say."""
    best, *others = story.ranked
    said = []
    apart = compare(story, best, others[0]) if others else None
    single = any(each.means[story.metric].n == 1 for each in (best, *others[:1]))
    if single and apart is not None and apart.se is not None:
        said.append("± is the error of one evaluation: with one seed, how far seeds lie apart is not in it.")
    elif single and others:
        said.append("One seed each: how much of the difference is chance, these runs cannot say.")
    elif apart is not None and apart.se is not None:
        said.append("± of a difference is its 95 % interval, by Student's t where seeds are few.")
    if apart is not None and apart.is_told_apart is False:
        said.append("What is not told apart may be chance; more seeds would tell.")
    if len(story.ranked) > 3:
        said.append(f"The best of {len(story.ranked)} settings looks better than it is; new seeds say by how much.")
    doubts = doubt_length(story, best, next(iter(others), None))
    if n := sum(job.is_ill for job in best.jobs):
        doubts.insert(
            0, f"{n} of the best's {len(best.jobs)} seeds failed or diverged: its mean is that of the others."
        )
    listed = tag("ul", *(tag("li", each, class_="warn") for each in doubts)) if doubts else None
    return join([note(" ".join(said)) if said else None, listed])


def _front(story: Story) -> Html:
    front, results = [each for each in story.ranked if each.in_front], story.results
    rows = [
        [*(s.means.get(m) for m in results.metrics), s.n, *(brief(s.values.get(key, "")) for key in results.keys)]
        for s in front
    ]
    sides = ", ".join(f"{m}: {results.directions[m]}" for m in results.metrics)
    said = (
        f"{len(front)} of {len(story.ranked)} settings are on the Pareto front: no other is better in one metric and "
        f"as good in all others ({sides} is better)."
    )
    heads = [*results.metrics, "seeds", *(story.names[key] for key in results.keys)]
    return join([tag("p", said, class_="verdict"), table(heads, rows, numeric=range(len(results.metrics) + 1))])


def _next_steps(story: Story, what: str) -> Html:
    results, best = story.results, story.ranked[0]
    job = best_job(results, best)
    file, kept = show_path(results.sweep.path) / "best.yaml", f"{results.record.get('name') or 'my'}_best"
    keep = f"cp {shlex.quote(str(file))} conf/experiment/{shlex.quote(kept)}.yaml"
    use = shlex.join([*program(results.record, "train"), f"experiment={kept}"])
    return join(
        [
            tag("h3", f"Train {what} again, with new seeds"),
            code(train_again(results, best)),
            tag("h3", f"Sample from its best run, job {job.number}"),
            code(sample_from(results, job)),
            folded(
                f"Keep {what} as an experiment: best.yaml",
                code(experiment(results, best)),
                note("The file lies beside this page. To use it by name:"),
                code(f"{keep} && {use}"),
                is_open=True,
            ),
        ]
    )
