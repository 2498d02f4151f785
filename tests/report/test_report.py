"""report.html: what it says of a sweep and a run, and that it needs nothing but itself."""

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from ebm_exp.config.errors import UserError
from ebm_exp.report import write_report
from ebm_exp.report.behaviour import nearest
from ebm_exp.report.key import share
from ebm_exp.report.svg import scale
from ebm_exp.run.directory import RunDirectory
from ebm_exp.sweep.directory import SweepDirectory

KEYS = ["seed", "sampler.step_size", "energy"]
DEFAULTS = {"seed": 0, "sampler.step_size": 2.0, "energy": "mlp"}
METRIC = "eval/mmd2"
EVIL = "<script>alert(\"1\")</script> & 'x'"


class _Page(HTMLParser):
    """What a page refers to, whether its tags close, and its text."""

    _VOID = frozenset({"meta", "link", "img", "rect"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for key, value in attrs if key in ("href", "src", "xlink:href", "action")]
        assert not any(key.startswith("on") for key, _ in attrs)
        if tag not in self._VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self._VOID:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data if self.open[-1:] != ["style"] else ""


def page(path: Path) -> _Page:
    """A report as it is read, once it is sure that nothing in it runs or asks a server."""
    text = path.read_text(encoding="utf-8")
    read = _Page(text)
    assert not {"script", "iframe", "object", "embed", "form"} & read.tags
    assert not [each for each in read.links if re.match(r"(https?:)?//|javascript:", each)]
    assert "@import" not in text
    assert "url(" not in text
    return read


def rows(seed: int, level: float) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"step": s, "train/energy_gap": level / s, "chain/grad_norm": seed, "chain/acceptance": 0.6} for s in (1, 2)
    ]
    return [*found, {"step": 2, METRIC: level, f"{METRIC}_se": 0.1}]


def image(file: Path) -> None:
    """Three panels under their titles, as training draws them."""
    file.parent.mkdir(parents=True, exist_ok=True)
    canvas = Image.new("RGB", (24 + 124 * 3, 172), "white")
    for i in range(3):
        canvas.paste(Image.new("RGB", (100, 100), (80 * i, 0, 0)), (24 + 124 * i, 48))
    canvas.save(file)


@pytest.fixture
def sweep(tmp_path: Path) -> SweepDirectory:
    directory = SweepDirectory(tmp_path / "a sweep")
    typed = ["seed=1,2", "sampler.step_size=0.5,2", "energy=mlp,conv", "trainer.max_steps=2", "logger.mode=disabled"]
    record = {
        "format": 1, "name": "digits", "kind": "grid", "command": ["python", "train.py", "-m", *typed],
        "overrides": typed, "arguments": typed, "keys": KEYS, "defaults": DEFAULTS, "metrics": [METRIC],
        "directions": {}, "n": 8, "began": "2026-11-25T16:40:00",
    }  # fmt: skip
    directory.write_record(record)
    return directory


def add(sweep: SweepDirectory, n: int, size: float, energy: str, seed: int, level: float | None, **more: Any) -> Path:
    """A job of a sweep with all its files."""
    config = {"seed": seed, "sampler": {"step_size": size}, "energy": {"widths": [8]}, "trainer": {"max_steps": 2}}
    sweep.claim(n, (f"seed={seed}", f"sampler.step_size={size:g}", f"energy={energy}"), config)
    folder = sweep.path / str(n)
    best = None if level is None else {"metric": METRIC, "value": level, "step": 2, "better": "lower"}
    summary = {
        "state": "finished", "best": best, "step": 2, "minutes": 0.1, "device": "cpu", "metrics": {METRIC: level},
        "protocol": {"mmd": "16 samples"}, "versions": {"torch": "2.14.1"}, "data": {"event_shape": [1, 8, 8]},
    }  # fmt: skip
    sweep.run(n).write_summary(summary | more)
    (folder / "train.log").write_text("log")
    if level is not None:
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(seed, level)))
        image(folder / "samples" / "step_00000002.png")
        image(folder / "samples" / "energy_00000002.png")
    return folder


@pytest.fixture
def full(sweep: SweepDirectory) -> SweepDirectory:
    """step_size=0.5 with conv is best, the default is worse; one job diverged, one failed."""
    for n, (seed, size, energy, level) in enumerate(
        [(1, 0.5, "mlp", 3.0), (1, 0.5, "conv", 1.0), (1, 2.0, "mlp", 5.0), (2, 0.5, "mlp", 3.2), (2, 0.5, "conv", 1.2)]
    ):
        add(sweep, n, size, energy, seed, level)
    add(sweep, 5, 2.0, "mlp", 2, 5.4)
    add(sweep, 6, 2.0, "conv", 1, None, state="diverged", reason="step 2: train/loss is not finite", failed_step=2)
    (sweep.path / "6" / "metrics.jsonl").write_text(json.dumps({"step": 1, "train/energy_gap": "nan"}) + "\n")
    add(sweep, 7, 2.0, "conv", 2, None, state="failed", reason=EVIL)
    return sweep


def test_a_sweep_is_told_in_the_order_a_reader_asks(full: SweepDirectory) -> None:
    read = page(write_report(full.path))
    titles = [
        "Which setting won", "Can it be trusted", "Settings, seeds together", "What matters", "Did training behave",
        "Samples of the best", "All jobs", "Where it comes from",
    ]  # fmt: skip
    places = [read.text.index(title) for title in titles]
    assert places == sorted(places)
    assert "step_size=0.5 energy=conv with eval/mmd2 1.10 ± 0.10 over 2 seeds (lower is better)" in read.text
    # √(0.1² + 0.1²) times Student's t of 2 degrees of freedom, 4.303; √(0.1² + 0.2²) times that of 25/17, 6.2
    assert "2.00 ± 0.61 ahead of the next, step_size=0.5 energy=mlp" in read.text
    assert "4.1 ± 1.4 ahead of the default" in read.text
    assert "95 % interval, by Student's t where seeds are few" in read.text
    assert "python train.py -m seed=3,4,5 trainer.max_steps=2 logger.mode=disabled sampler.step_size=0.5" in read.text
    assert f"python sample.py \"run='{full.path}/1'\" n_samples=64" in read.text
    assert "step 2: train/loss is not finite" in read.text
    assert EVIL in read.text
    assert {"6/train.log", "7/train.log"} <= set(read.links)
    assert "1 failed before the first step" in read.text
    assert "chain/acceptance" in read.text
    assert sum(link.startswith("data:image/png;base64,") for link in read.links) == 7  # data once; three of two each


def told(sweep: SweepDirectory, best: dict[int, list[float]], other: dict[int, list[float]]) -> str:
    """What is said where two settings have these curves, a list of scores for each seed, over 4,000 steps."""
    number = 0
    for size, curves in ((0.5, best), (2.0, other)):
        for seed, scores in curves.items():
            steps = [4000 * (i + 1) // len(scores) for i in range(len(scores))]
            at = scores.index(min(scores))
            top = {"metric": METRIC, "value": scores[at], "step": steps[at], "better": "lower"}
            folder = add(sweep, number, size, "mlp", seed, None, best=top, step=4000)
            rows = [{"step": step, METRIC: score} for step, score in zip(steps, scores, strict=True)]
            (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
            number += 1
    return page(write_report(sweep.path)).text


def test_settings_that_seeds_do_not_tell_apart_are_called_so(sweep: SweepDirectory) -> None:
    """2.4 standard errors: enough for a normal distribution; for three seeds each it takes 2.8."""
    said = told(sweep, {1: [9, 1.0], 2: [9, 1.1], 3: [9, 1.2]}, {1: [9, 1.2], 2: [9, 1.3], 3: [9, 1.4]})
    assert "not told apart (0.20 ± 0.23) from the next, step_size=2" in said
    assert "may be chance; more seeds would tell" in said
    assert "0.20 ± 0.23, not told apart" in said


@pytest.mark.parametrize(
    ("best", "other", "sentence"),
    [
        ([5.0, 4.0, 3.0, 2.0], [5.0, 4.2, 3.5, 3.1], "of the best were still getting better, by 1 in the last quarter"),
        ([5.0, 2.0, 2.0, 2.0], [5.0, 5.0, 4.0, 2.5], "of the next were still getting better, by 1.5 in the last"),
        ([2.0, 4.0, 4.5, 4.6], [5.0, 4.9, 4.8, 4.7], "had its best scores early, at step 1,000 of 4,000, and 4.6"),
        ([5.0, 4.5, 4.0, 3.0], [4.9, 4.4, 3.9, 3.4], "cross, last at step 4,000: their order depends on the length"),
        ([2.0], [3.0], "One evaluation each: whether scores have settled cannot be seen"),
    ],
)
def test_curves_that_have_not_settled_or_cross_are_named(
    sweep: SweepDirectory, best: list[float], other: list[float], sentence: str
) -> None:
    text = told(sweep, {1: best, 2: best}, {1: other, 2: other})
    assert sentence in text
    last = all(scores.index(min(scores)) == len(scores) - 1 > 0 for scores in (best, other))  # of several evaluations
    assert ("were best at their last evaluation" in text) == last


def test_curves_that_have_settled_and_do_not_cross_raise_no_doubt(sweep: SweepDirectory) -> None:
    flat, other = {1: [3.0, 2.1, 2.0, 2.0], 2: [3.0, 2.1, 2.1, 2.0]}, {1: [5.0, 3.1, 3.1, 3.1], 2: [5.0, 3.1, 3.0, 3.0]}
    said = told(sweep, flat, other)
    assert not [
        each for each in ("getting better", "scores early", "two cross", "One evaluation", "told apart") if each in said
    ]


def test_the_best_setting_is_kept_as_an_experiment(full: SweepDirectory) -> None:
    write_report(full.path)
    text = (full.path / "best.yaml").read_text()
    assert text.startswith("# @package _global_\n# The best of 8 jobs of a sweep of digits: eval/mmd2 1.10 ± 0.10 over")
    assert yaml.safe_load(text) == {
        "defaults": [{"override /energy": "conv"}],
        "trainer": {"max_steps": 2},
        "sampler": {"step_size": 0.5},
    }
    assert "the default 5.20 ± 0.20" in " ".join(text.replace("#", "").split())


def test_a_job_that_went_on_otherwise_is_told_and_kept(full: SweepDirectory) -> None:
    job, evil = full.run(1), "gap\nrm: [-rf]"
    asked = {"attempt": 0, "step": 1, "why": "asked for", "changed": {"trainer.max_steps": [2, 40], "seed": [1, 30]}}
    guarded = {"attempt": 1, "step": 1, "why": evil, "changed": {"sampler.step_size": [0.5, 0.05]}}
    job.write_summary(job.summary() | {"attempts": [asked, guarded]})
    read = page(write_report(full.path))
    assert "Job 1 went on otherwise from step 1: trainer.max_steps 2 → 40, seed 1 → 30 (asked for)." in read.text
    assert (
        "python train.py -m seed=31,32,33 trainer.max_steps=40 logger.mode=disabled sampler.step_size=0.5" in read.text
    )
    text = (full.path / "best.yaml").read_text()
    assert "# job 1 went on otherwise from step 1: trainer.max_steps 2 → 40, seed 1 → 30 (asked for)\n" in text
    assert "# job 1 went on otherwise from step 1: sampler.step_size 0.5 → 0.05 (gap rm: [-rf])\n" in text
    assert yaml.safe_load(text) == {
        "defaults": [{"override /energy": "conv"}],
        "trainer": {"max_steps": 40},
        "sampler": {"step_size": 0.5},
    }
    folder = job.path / ".hydra"
    folder.mkdir()
    (folder / "overrides.yaml").write_text("[]\n")
    (folder / "hydra.yaml").write_text("hydra: {runtime: {choices: {energy: conv}}, mode: RUN}\n")
    alone = page(write_report(job.path)).text
    assert "Nothing was typed" not in alone
    assert "python train.py -m seed=31,32,33 trainer.max_steps=40" in alone
    assert "With the values that are in force now, from the first step on." in alone


def test_higher_is_better_where_the_sweep_says_so(full: SweepDirectory) -> None:
    full.write_record(full.record() | {"directions": {METRIC: "higher"}})
    text = page(write_report(full.path)).text
    assert "step_size=2 energy=mlp with eval/mmd2 5.20 ± 0.20 over 2 seeds (higher is better)" in text
    assert "these are the values that hold without the sweep" in text


def test_what_differs_between_jobs_is_named(full: SweepDirectory) -> None:
    said = full.run(0).summary()
    full.run(0).write_summary(said | {"protocol": {"mmd": "9 samples"}, "device": "cuda", "versions": {"torch": "1"}})
    text = page(write_report(full.path)).text
    assert "The protocol of mmd differs, its values do not compare" in text
    assert "device differs: cuda (jobs 0), cpu (jobs 1, 2, 3, 4, 5)" in text
    assert "version of torch differs" in text


def test_a_search_of_several_metrics_shows_its_front(full: SweepDirectory) -> None:
    for job in full.jobs():
        other = 1.0 if job.number in (0, 3) else 2.0
        metrics = {METRIC: job.best.get("value"), "eval/kl": other} if job.best else {}
        full.run(job.number).write_summary(job.summary | {"metrics": metrics})
    metrics = {"metrics": [METRIC, "eval/kl"], "directions": {METRIC: "lower", "eval/kl": "lower"}, "kind": "search"}
    full.write_record(full.record() | metrics)
    text = page(write_report(full.path)).text
    assert "2 of 3 settings are on the Pareto front" in text


def test_a_failed_or_empty_sweep_has_a_report(sweep: SweepDirectory) -> None:
    assert "No job has finished" in page(write_report(sweep.path)).text
    add(sweep, 0, 2.0, "mlp", 1, None, state="failed", reason="no")
    text = page(write_report(sweep.path)).text
    assert "7 to come" in text
    assert not (sweep.path / "best.yaml").exists()
    sweep.write_record(sweep.record() | {"metrics": [None]})
    assert "No metric was optimized" in page(write_report(sweep.path)).text


def test_torn_and_missing_files_leave_gaps(full: SweepDirectory) -> None:
    path = full.path
    (path / "0" / "metrics.jsonl").write_text('{"step": 1, "train/loss": "nan"}\n{"step": 2, "train/lo')
    (path / "1" / "metrics.jsonl").unlink()
    (path / "1" / "samples" / "step_00000002.png").write_bytes(b"\x89PNG torn")
    (path / "2" / "summary.json").write_text("")
    (path / "3" / "summary.json").write_text('{"state": "fin')
    (path / "4" / "job.json").write_text('{"number": 4, "overrides": ["seed=2"], "config": {}}')
    (path / "5" / "summary.json").write_text('{"state": "finished", "best": {"value": "nan"}, "metrics": null}')
    (path / "9").mkdir()
    text = page(write_report(path)).text
    assert "1 unreadable" in text
    for n in range(8):
        page(write_report(path / str(n)))


def test_what_its_user_wrote_of_a_sweep_stands_on_top(full: SweepDirectory) -> None:
    job = json.loads((full.path / "0" / "job.json").read_text())
    job["config"]["notes"] = "a smaller step?"
    (full.path / "0" / "job.json").write_text(json.dumps(job))
    text = page(write_report(full.path)).text
    assert text.index("a smaller step?") < text.index("Which setting won")


def test_a_run_has_a_report_of_its_own(full: SweepDirectory) -> None:
    folder = full.path / "1"
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "overrides.yaml").write_text(f"- seed=1\n- 'name={EVIL.replace(chr(39), chr(34))}'\n")
    (folder / ".hydra" / "hydra.yaml").write_text("hydra: {runtime: {choices: {energy: conv}}, mode: RUN}\n")
    (folder / ".hydra" / "config.yaml").write_text("seed: 1\nnotes: why it was run\n")
    read = page(write_report(folder))
    assert "why it was run" in read.text
    titles = ["How it ended", "Samples over time", "What to do", "Evaluation", "Did training behave", "What differs"]
    places = [read.text.index(title) for title in titles]
    assert places == sorted(places)
    assert "Finished at step 2 after 6 s, best eval/mmd2 1 at step 2 (lower is better)." in read.text
    assert "16 samples" in read.text
    assert "The last evaluation was the best" not in read.text  # it was the only one
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 1, METRIC: 2.0}) + "\n")
    assert "The last evaluation was the best" in page(write_report(folder)).text
    assert "../report.html" in read.links
    assert "<script>alert" in read.text
    assert sum(link.startswith("data:image/png;base64,") for link in read.links) == 3  # data, samples, energies
    diverged = page(write_report(full.path / "6"))
    assert "step 2: train/loss is not finite" in diverged.text


def test_neither_torch_nor_a_network_is_needed(full: SweepDirectory) -> None:
    code = (
        "import runpy, sys\n"
        "sys.addaudithook(lambda event, a: sys.exit('network') if event == 'socket.connect' else None)\n"
        f"sys.argv[1:] = [{str(full.path)!r}, {str(full.path / '1')!r}]\n"
        "runpy.run_module('ebm_exp.logger.report', run_name='__main__')  # the door of older pages\n"
        "print(sorted({'torch', 'matplotlib', 'wandb', 'optuna', 'hydra'} & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"{full.path}/report.html", f"{full.path}/1/report.html", "[]"]


def test_rows_that_may_not_be_read_leave_gaps(full: SweepDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(run: RunDirectory, most: int) -> None:
        raise PermissionError(run.metrics_file)

    monkeypatch.setattr(RunDirectory, "metrics", refuse)
    assert "Which setting won" in page(write_report(full.path)).text
    assert "How it ended" in page(write_report(full.path / "1")).text


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run and no sweep is there"):
        write_report(tmp_path)


def test_importance_is_the_variance_between_groups() -> None:
    assert share(["a"] * 6 + ["b"] * 6, [*range(6), *range(10, 16)]) > 0.7
    assert share(["a", "b"] * 6, [i // 2 for i in range(12)]) == 0
    assert share(["a"] * 12, [float(i) for i in range(12)]) == 0
    assert share(["a"] * 6 + ["b"] * 6, [1.0] * 12) == 0


def test_axes_are_logarithmic_where_values_are_spread_that_way() -> None:
    assert scale([1e-4, 1e-3, 1e-2]).log
    assert not scale([0.001, 0.05, 0.1]).log
    assert not scale([-1.0, 1e3]).log
    assert scale([1e-4, 1e-3, 1e-2]).ticks() == pytest.approx([1e-4, 1e-3, 1e-2])
    for values in ([3.0], [0.0, 0.0], [1e30, 2e30], [5e-324, 1.0], [1.0, 1.0 + 1e-15]):
        axis = scale(values)
        assert all(axis.low <= tick <= axis.high for tick in axis.ticks())


def test_what_a_named_search_sets_belongs_to_its_best_setting(full: SweepDirectory, tmp_path: Path) -> None:
    (tmp_path / "conf" / "hparams_search").mkdir(parents=True)
    (tmp_path / "conf" / "hparams_search" / "mine.yaml").write_text(
        "# @package _global_\ndefaults: [/hydra/sweeper/search@hydra.sweeper, {override /buffer: fifo}, _self_]\n"
        "hydra: {mode: MULTIRUN}\ntrainer: {max_steps: 9, log_every_steps: 3}\nsampler: {step_size: 7}\n"
    )
    typed = ["hparams_search=mine", "trainer.max_steps=2"]
    command = ["python", "train.py", f"--config-dir={tmp_path}/conf", "-m", *typed]
    full.write_record(full.record() | {"arguments": typed, "overrides": typed, "command": command})
    said = page(write_report(full.path)).text
    assert (
        f"python train.py --config-dir={tmp_path}/conf -m seed=3,4,5 buffer=fifo trainer.log_every_steps=3 "
        "trainer.max_steps=2 sampler.step_size=0.5 energy=conv"
    ) in said
    assert yaml.safe_load((full.path / "best.yaml").read_text()) == {
        "defaults": [{"override /buffer": "fifo"}, {"override /energy": "conv"}],
        "trainer": {"log_every_steps": 3, "max_steps": 2},
        "sampler": {"step_size": 0.5},
    }


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
@pytest.mark.parametrize("width", [1200, 390])
def test_a_browser_has_nothing_to_complain_of(full: SweepDirectory, tmp_path: Path, width: int) -> None:
    for path in (full.path, full.path / "1"):
        report, shot = write_report(path), tmp_path / "shot.png"
        options = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--enable-logging=stderr",
            "--v=0",
        ]
        command = ["chromium", *options, f"--screenshot={shot}", f"--window-size={width},2000", report.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        assert "CONSOLE" not in done.stderr
        with Image.open(shot) as picture:
            assert picture.width == width
            assert len(picture.convert("L").getcolors()) > 20


def test_the_image_nearest_to_a_step_is_shown(tmp_path: Path) -> None:
    images = [(step, tmp_path / f"{step}.png") for step in (10, 20, 40)]
    assert [nearest(images, step)[0] for step in (None, 12, 15, 100)] == [40, 10, 20, 40]
