"""What a sweep says at its end: settings with their seeds together, best first, and how many jobs ended how."""

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ebm_exp.sweep.directory import SweepDirectory
from ebm_exp.sweep.results import line, read, table
from ebm_exp.sweep.settings import score
from ebm_exp.text import brief, number, short_keys, with_error

KEYS = ["seed", "sampler.step_size"]
DEFAULTS = {"seed": 0, "sampler.step_size": 2.0}


def record(sweep: SweepDirectory, **more: Any) -> None:
    said = {"kind": "grid", "keys": KEYS, "defaults": DEFAULTS, "metrics": ["eval/mmd2"], "directions": {}, "n": 6}
    sweep.write_record(said | more)


def add(sweep: SweepDirectory, n: int, seed: int, size: str, state: str = "finished", **more: Any) -> None:
    """A job with ``value`` as its best, and whatever else its summary holds."""
    value, better = more.pop("value", None), more.pop("better", "lower")
    config = {"seed": seed, "sampler": {"step_size": float(size)}}
    sweep.claim(n, (f"seed={seed}", f"sampler.step_size={size}"), config)
    best = None if value is None else {"metric": "eval/mmd2", "value": value, "step": 150, "better": better}
    sweep.run(n).write_summary({"state": state, "best": best, "step": 200, "minutes": 0.12} | more)


@pytest.fixture
def sweep(tmp_path: Path) -> SweepDirectory:
    directory = SweepDirectory(tmp_path)
    record(directory)
    for n, (seed, size, value) in enumerate(
        [(1, "0.5", 7.0), (1, "2", 5.0), (2, "0.5", 7.5), (2, "2", 5.5), (3, "0.5", 8.0), (3, "2", 6.0)]
    ):
        add(directory, n, seed, size, value=value)
    return directory


def test_seeds_of_a_setting_are_one_row_with_its_mean_and_standard_error(sweep: SweepDirectory) -> None:
    results = read(sweep)
    best, other = results.settings
    assert (best.values, other.values) == ({"sampler.step_size": "2"}, {"sampler.step_size": "0.5"})
    assert (best.is_default, other.is_default) == (True, False)
    mean = best.means["eval/mmd2"]
    assert (mean.value, mean.se, mean.n) == (5.5, pytest.approx(0.5 / math.sqrt(3)), 3)
    assert results.directions == {"eval/mmd2": "lower"}
    assert table(results, 100) == [
        "eval/mmd2 (lower is better), mean ± s.e. over seeds",
        "  step_size  mmd2         seeds",
        "  2          5.50 ± 0.29  3      default",
        "  0.5        7.50 ± 0.29  3",
        "6 finished",
    ]


@pytest.mark.parametrize("said", [{"eval/mmd2": "higher"}, {}])
def test_higher_is_better_where_the_record_or_the_jobs_say_so(tmp_path: Path, said: dict[str, str]) -> None:
    sweep = SweepDirectory(tmp_path)
    record(sweep, directions=said)
    add(sweep, 0, 1, "0.5", value=1.0, better="higher")
    add(sweep, 1, 1, "2", value=3.0, better="higher")
    assert [s.values["sampler.step_size"] for s in read(sweep).settings] == ["2", "0.5"]
    assert "higher is better" in table(read(sweep), 100)[0]


def test_only_finished_jobs_count_in_a_mean_and_all_are_counted(sweep: SweepDirectory) -> None:
    add(sweep, 1, 1, "2", "pruned", value=0.1)
    add(sweep, 3, 2, "2", "diverged", reason="step 12: train/loss is not finite")
    add(sweep, 2, 2, "0.5", "stopped", value=0.2)
    sweep.run(5).summary_file.unlink()
    results = read(sweep)
    (only,) = [setting for setting in results.settings if setting.means]
    assert only.means["eval/mmd2"][::2] == (7.5, 2)
    assert results.counts == {"finished": 2, "pruned": 1, "diverged": 1, "stopped": 1, "waiting": 1}
    assert table(results, 100)[2:] == [
        "  0.5        7.50 ± 0.50  2 of 3",
        "2 finished, 1 pruned, 1 diverged, 1 stopped, 1 waiting",
        "retry_failed=true does the failed and diverged ones anew",
    ]


def test_at_most_twelve_lines_of_the_given_width(tmp_path: Path) -> None:
    sweep = SweepDirectory(tmp_path)
    record(sweep, n=100)
    for n in range(30):
        add(sweep, n, 1, str(0.001 * (n + 1)), "failed" if n > 25 else "finished", value=float(n))
    for width in (100, 20):
        lines = table(read(sweep), width)
        assert len(lines) == 12
        assert max(map(len, lines)) <= width
    assert "  … 19 more"[2:] in table(read(sweep), 100)
    assert "26 finished, 4 failed, 70 to come" in table(read(sweep), 100)


def test_what_its_own_evidence_refutes_is_no_score(sweep: SweepDirectory) -> None:
    """The last value of a job is taken where it has no best, but not one that was refused to be it."""
    refuted = {"eval/mmd2": "equilibrated: no (gap -9.6 ± 0.6)"}
    add(sweep, 1, 1, "2", metrics={"eval/mmd2": 0.1}, refuted=refuted)
    add(sweep, 3, 2, "2", metrics={"eval/mmd2": 0.2})
    assert [score(job, "eval/mmd2") for job in read(sweep).jobs][:4] == [7.0, None, 7.5, 0.2]


def test_a_search_counts_what_is_complete(tmp_path: Path) -> None:
    sweep = SweepDirectory(tmp_path)
    record(sweep, kind="search", n=3)
    for n, state in enumerate(("finished", "failed", "pruned")):
        add(sweep, n, 1, "2", state, value=1.0)
    assert table(read(sweep), 100)[-1] == "1 finished, 1 pruned, 1 failed, 1 to come"


def test_a_search_whose_space_is_used_up_says_so(tmp_path: Path) -> None:
    sweep = SweepDirectory(tmp_path)
    record(sweep, kind="search", n=4, complete=True)
    add(sweep, 0, 1, "1", value=2.0)
    add(sweep, 1, 1, "2", "diverged", reason="no")
    assert table(read(sweep), 100)[-1] == "1 finished, 1 diverged, for 3 more there is nothing new in its space"
    assert read(sweep).to_come == 0
    assert line(sweep.job(1), 0, KEYS).startswith("[2] seed=1 step_size=2")


def test_the_front_of_several_metrics_comes_first(tmp_path: Path) -> None:
    sweep, metrics = SweepDirectory(tmp_path), ["eval/a", "eval/b"]
    record(sweep, metrics=metrics, directions={"eval/a": "lower", "eval/b": "higher"}, kind="search")
    for n, (a, b) in enumerate([(1.0, 1.0), (2.0, 0.5), (3.0, 9.0)]):
        add(sweep, n, 0, str(n + 1.0), metrics={"eval/a": a, "eval/b": b})
    results = read(sweep)
    assert [(s.jobs[0].number, s.in_front) for s in results.settings] == [(0, True), (2, True), (1, False)]
    lines = table(results, 100)
    assert lines[0] == "eval/a (lower is better), eval/b (higher is better); the 2 of the Pareto front first"
    assert lines[1].split() == ["step_size", "a", "b", "seeds"]


def test_a_line_for_each_end(sweep: SweepDirectory) -> None:
    def said(state: str, **more: Any) -> str:
        add(sweep, 2, 2, "2", state, **more)
        return line(sweep.job(2), 6, KEYS)

    log = sweep.path / "2" / "train.log"
    assert said("finished", value=5.39021) == "[3/6] seed=2 step_size=2  5.39 at step 150  7 s"
    assert said("finished") == "[3/6] seed=2 step_size=2  finished at step 200  7 s"
    assert said("failed", reason="a: b\nc") == f"[3/6] seed=2 step_size=2  failed: a: b  {log}"
    assert said("diverged", reason="step 2: x", value=1.0) == f"[3/6] seed=2 step_size=2  diverged: step 2: x  {log}"
    assert said("stopped") == "[3/6] seed=2 step_size=2  stopped at step 200  7 s"
    assert said("pruned", value=5.0) == "[3/6] seed=2 step_size=2  pruned at step 200  best 5 at step 150  7 s"


def test_keys_are_as_short_as_tells_them_apart() -> None:
    keys = ["seed", "sampler.step_size", "optimizer.lr", "a.objective.lr", "energy"]
    assert list(short_keys(keys).values()) == ["seed", "step_size", "optimizer.lr", "objective.lr", "energy"]


def test_a_mean_has_the_digits_that_its_error_leaves() -> None:
    assert with_error(5.39021, 0.1234) == "5.39 ± 0.12"
    assert with_error(1523.0, 210.0) == "1520 ± 210"
    assert with_error(3.1e-9, 2e-10) == "3.100e-09 ± 2.0e-10"
    assert with_error(9.99, 0.0996) == "9.99 ± 0.10"
    assert with_error(0.999997, 3.5e-6) == "0.9999970 ± 3.5e-06"
    assert number(12345678.0) == "1.235e+07"
    assert [brief(text) for text in ("7.427579810320023", "1e-3", "1234567890", "[256,256,256]")] == [
        "7.428", "1e-3", "1234567890", "[256,256,256]",
    ]  # fmt: skip


def test_torn_and_missing_files_leave_gaps(sweep: SweepDirectory) -> None:
    (sweep.path / "0" / "summary.json").write_text('{"state": "fini')
    (sweep.path / "1" / "job.json").write_text("[]")
    add(sweep, 2, 2, "0.5", best={"metric": "eval/mmd2", "value": "nan", "step": 1})
    (sweep.path / "3" / "summary.json").write_text("")
    results = read(sweep)
    assert results.counts == {"finished": 3, "waiting": 1, "unreadable": 2}
    assert [score(job, "eval/mmd2") for job in results.jobs] == [None, None, None, None, 8.0, 6.0]
    assert table(results, 100)
    sweep.file.write_text("{")
    assert [s.values["sampler.step_size"] for s in read(sweep).settings] == ["2", "0.5"]
    assert table(read(SweepDirectory(sweep.path / "none")), 100) == ["no jobs"]


def test_nothing_of_it_needs_torch() -> None:
    code = 'import sys, ebm_exp.sweep.results; print(sorted({"torch", "matplotlib"} & sys.modules.keys()))'
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
