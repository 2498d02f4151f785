"""Names of numbers: spelled in one place, written by somebody, and each number of a run among them."""

import ast
import re
from pathlib import Path

from ebm_exp import metrics
from ebm_exp.metrics import FAMILIES, GROUPS, METRICS, SCORE, SCORE_ERROR, SIGNAL, TERM
from ebm_exp.report import behaviour
from ebm_exp.run.directory import RunDirectory

PACKAGE = Path(metrics.__file__).parent
TREES = {file: ast.parse(file.read_text(encoding="utf-8")) for file in PACKAGE.rglob("*.py")}
READERS = {"report", "cli", "logger", "sweep", "sweeper"}  # folders that show numbers, and compute none


def test_no_name_is_spelled_elsewhere() -> None:
    name = re.compile(rf"({'|'.join(GROUPS)})/\w*")
    spelled = [
        f"{file.relative_to(PACKAGE)}: {node.value}"
        for file, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and name.fullmatch(node.value)
        if file != PACKAGE / "metrics.py"
    ]
    assert spelled == []


def test_every_name_is_one_that_somebody_writes() -> None:
    written = {
        node.id
        for file, tree in TREES.items()
        if file.relative_to(PACKAGE).parts[0] not in READERS
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and file != PACKAGE / "metrics.py"
    }
    assert {key for key, value in vars(metrics).items() if value in (*METRICS, *FAMILIES)} - written == set()
    assert set(behaviour.SHOWN) <= set(METRICS)


def test_every_number_of_a_run_has_a_meaning(trained: Path) -> None:
    logged = {name for row in RunDirectory(trained).metrics() for name in row} - {"step"}
    assert len(logged & set(METRICS)) > 10
    terms, signals = {TERM("cd"), TERM("energy_l2")}, {name for name in logged if SIGNAL.holds(name)}
    assert logged - set(METRICS) == terms | signals


def test_a_family_makes_names_and_takes_them_apart() -> None:
    assert (SCORE("kl"), SCORE_ERROR("kl"), metrics.error_of("eval/kl")) == ("eval/kl", "eval/kl_se", "eval/kl_se")
    assert (SCORE.shorten("eval/kl"), SCORE_ERROR.shorten("eval/kl_se"), SCORE.shorten("kl")) == ("kl", "kl", "kl")
    assert [metrics.is_score(name) for name in ("eval/kl", "eval/kl_se", "eval/", "train/loss")] == [
        *(True, False, False, False)
    ]
