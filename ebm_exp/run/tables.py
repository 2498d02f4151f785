"""Evaluated runs as tables on the screen: of one its scores; of several settings, values ± s.e., means over seeds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from ebm_exp.files import show_path
from ebm_exp.run.comparison import SEED, Comparison, Entry, mean_over
from ebm_exp.run.evaluation import NAME, Evaluation
from ebm_exp.terminal import console
from ebm_exp.text import brief, number, short_keys, with_error

_ARROWS = {"lower": "↓", "higher": "↑"}
_WIDEST = 240  # characters of a line of the table of one: nothing of it is cut


def tell_evaluation(evaluation: Evaluation) -> None:
    """The numbers as a table, and where they are kept."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    heads = (("score", "left"), ("value ± s.e.", "right"), ("unit", "left"), ("n", "right"), ("", "left"), ("", "left"))
    for title, justify in heads:
        table.add_column(title, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for name, score in evaluation.scores.items():
        n, better = score.get("n"), _ARROWS.get(score.get("better", ""), "")
        doubt = "refuted" if score.get("refuted") else ""
        table.add_row(name, _show_score(score), score.get("unit", ""), f"{n:,}" if n else "", better, doubt)
    screen = console(highlight=False, soft_wrap=True, markup=False, width=_WIDEST)
    screen.print()
    screen.print(table)
    print()
    for name, verdict in dict.fromkeys(
        (s["evaluator"], s["verdict"]) for s in evaluation.scores.values() if "verdict" in s
    ):
        print(f"{name:<20} {verdict}")
    for name, reason in evaluation.failed.items():
        print(f"{name} failed: {reason}")
    for name, path in evaluation.pictures.items():
        print(f"{name:<20} {show_path(path)}")
    print(f"{'kept':<20} {show_path(Path(evaluation.made['run']) / NAME)}, {show_path(evaluation.folder / NAME)}")
    for line in evaluation.dashboard:
        print(f"dashboard   {line}")


def tell_comparison(comparison: Comparison) -> None:
    """The table of runs, that of means over seeds, and what there is to know of both."""
    entries, names, groups = comparison.entries, comparison.names(), comparison.groups()
    keys = list(dict.fromkeys(key for entry in entries for key in entry.settings))
    shown, labels, facts = [short_keys(keys)[key] for key in keys], _labels(entries), _facts(entries)
    some = {name: score for entry in entries for name, score in entry.scores.items()}
    heads = [
        " ".join(filter(None, (name, _unit(some[name]), _ARROWS.get(some[name].get("better", ""))))) for name in names
    ]
    rows = [
        [label, *_settings(entry, keys), *(column[i] for column in facts.values())]
        for i, (label, entry) in enumerate(zip(labels, entries, strict=True))
    ]
    _print_table(
        ["run", *shown, *facts], rows, heads, [[entry.scores.get(name) for name in names] for entry in entries]
    )
    if groups:
        rows = [[f"{len(group)} seeds", *_settings(group[0], keys)] for group in groups]
        means = [[mean_over(group, name) for name in names] for group in groups]
        _print_table(["mean over", *shown], rows, heads, means)
    print()
    if "data" in facts:
        print("the runs were evaluated on different data: their numbers do not compare across data sets")
    if comparison.left_out:
        print(f"left out: {', '.join(f'{n} {state}' for state, n in comparison.left_out.items())}")
    for label, entry in zip(labels, entries, strict=True):
        for name, score in entry.scores.items():
            if score.get("refuted"):
                print(f"{label} {name} is refuted: {score['verdict']}")
        failed = {} if entry.evaluation is None else entry.evaluation.failed
        for name, reason in ({"": entry.reason} if entry.reason else failed).items():
            print(f"{' '.join(filter(None, (label, name)))} failed: {reason}")
    print(f"kept        {show_path(comparison.file)}, and in each run")
    hints = [hint for entry in entries if entry.evaluation is not None for hint in entry.evaluation.dashboard]
    for hint in dict.fromkeys(hints):
        print(f"dashboard   {hint}")


def _labels(entries: Sequence[Entry]) -> list[str]:
    """Runs of one folder by their name, which is a job's number; others by the end of their path."""
    paths = [entry.run.resolve() for entry in entries]
    n = 1 if len({path.parent for path in paths}) == 1 else 2
    return ["/".join(path.parts[-n:]) for path in paths]


def _unit(score: Mapping[str, Any]) -> str:
    return f"[{score['unit']}]" if "unit" in score else ""


def _show_score(score: Mapping[str, Any]) -> str:
    """A score with its standard error, where it has one."""
    value, se = score["value"], score.get("se")
    return number(value) if se is None else with_error(value, se)


def _show(score: Mapping[str, Any] | None) -> str:
    return "—" if score is None else _show_score(score) + " refuted" * bool(score.get("refuted"))


def _facts(entries: Sequence[Entry]) -> dict[str, list[str]]:
    """Seed, step and data of each, where they differ."""
    columns = {
        SEED: [str(entry.config.get(SEED)) for entry in entries],
        "step": [f"{entry.made('step'):,}" if entry.scores else "" for entry in entries],
        "data": [entry.data for entry in entries],
    }
    return {name: column for name, column in columns.items() if len({*column} - {""}) > 1}


def _settings(entry: Entry, keys: Sequence[str]) -> list[str]:
    values = [entry.settings.get(key) for key in keys]
    return ["" if value is None else brief(str(value)) for value in values]


def _print_table(
    head: Sequence[str], rows: Sequence[Sequence[str]], names: Sequence[str], scores: Sequence[Sequence[Any]]
) -> None:
    """Rows with their scores; those that a line of the terminal has no room for stand in further tables below."""
    screen, first = console(highlight=False, soft_wrap=True, markup=False, emoji=False), 0
    wide = screen.options.update(width=10_000)
    if not screen.is_terminal:
        screen.width = 10_000  # a file has room
    while True:
        for last in range(len(names), first, -1) or [first]:
            table = Table(box=None, pad_edge=False, header_style="bold")
            for title in head:
                table.add_column(title)
            for title in names[first:last]:
                table.add_column(title, justify="right")
            for row, found in zip(rows, scores, strict=True):
                table.add_row(*row, *map(_show, found[first:last]))
            if screen.measure(table, options=wide).maximum <= screen.width:
                break
        screen.print()
        screen.print(table)
        first = last
        if first >= len(names):
            break
