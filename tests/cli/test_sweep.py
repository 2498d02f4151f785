"""``-m`` as a user types it: a grid that goes on after a kill, a stop, an edit; what is refused; what fails."""

import hashlib
import json
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from ebm_exp.sweep.directory import SweepDirectory
from ebm_exp.sweeper.study import NAME, storage
from tests.warm import SMALL, Child, Warm, begins_beside, environment

Cli = Callable[..., subprocess.CompletedProcess[str]]
TINY = (*SMALL[:4], SMALL[5], "evaluator=mmd", "dataset.suggest.n_samples=16", "logger.mode=disabled", "device=cpu")
EVERY = ("trainer.evaluate_every_steps=10000", "trainer.image_every_steps=10000", "trainer.checkpoint_every_steps=50")
GRID = (
    "seed=1,2",
    "sampler.step_size=0.5,2",
    *TINY,
    "optimized_metric=eval/mmd2",
    "evaluator.mmd.bandwidths=[1]",
    *EVERY,
)
GRID += ("guard.on_divergence=warn",)  # three steps of a chain cannot follow


def contents(folder: Path) -> dict[str, str]:
    """Every file of a folder by its hash."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def rows(folder: Path) -> list[dict]:
    """What a run logged but the times."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if not k.startswith("time/")} for line in lines]


def state(folder: Path) -> str:
    return json.loads((folder / "summary.json").read_text())["state"]


def signal_when(process: Child, file: Path, number: signal.Signals) -> None:
    """Send a signal once a file is there."""
    ends = time.monotonic() + 60
    while not file.exists():
        assert process.poll() is None
        assert time.monotonic() < ends
        time.sleep(0.01)
    process.send_signal(number)


@pytest.fixture(scope="module")
def whole(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grid of four jobs that nothing interrupted, to be read."""
    folder = tmp_path_factory.mktemp("whole")
    done = warm.run(
        ["train.py", "-m", *GRID, "trainer.max_steps=150", f"hydra.sweep.dir={folder}/s"], environment(), folder, 240
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"sweep   {folder}/s (new, 4 jobs)"
    assert [line[:5] for line in lines[1:5]] == ["[1/4]", "[2/4]", "[3/4]", "[4/4]"]
    assert len(lines) <= 1 + 4 + 1 + 12 + 1
    return folder / "s"


def test_a_finished_grid_is_left_alone(cli: Cli, whole: Path) -> None:
    before = contents(whole)
    again = cli("train.py", "-m", *GRID, "trainer.max_steps=150", f"hydra.sweep.dir={whole}")
    assert again.returncode == 0, again.stderr
    assert "goes on, 4 of 4 jobs done" in again.stdout
    assert contents(whole) == before


def test_every_job_is_a_run_with_its_whole_output_in_its_log(cli: Cli, whole: Path, tmp_path: Path) -> None:
    for number in range(4):
        log = (whole / str(number) / "train.log").read_text()
        assert log.startswith("run       ")
        assert "finished at step 150" in log
        assert {"config.yaml", "hydra.yaml", "overrides.yaml"} == set(os.listdir(whole / str(number) / ".hydra"))
    drawn = cli("sample.py", f"run={whole}/0", "n_samples=4", f"output_dir={tmp_path}/drawn")
    assert drawn.returncode == 0, drawn.stderr
    more = tmp_path / "more"
    subprocess.run(["cp", "-r", whole / "1", more], check=True)
    assert cli("train.py", f"resume={more}", "trainer.max_steps=152").returncode == 0
    assert json.loads((more / "summary.json").read_text())["group"] == str(whole)


def test_a_killed_grid_goes_on_and_equals_one_that_was_not(cli: Cli, warm: Warm, whole: Path, tmp_path: Path) -> None:
    sweep, null = tmp_path / "s", Path(os.devnull)
    command = ["train.py", "-m", *GRID, "trainer.max_steps=150", f"hydra.sweep.dir={sweep}"]
    running = warm.start(command, environment(), null, null)
    signal_when(running, sweep / "2" / "checkpoints" / "step_00000100.pt", signal.SIGKILL)
    running.wait()
    before = [contents(sweep / str(number)) for number in range(2)]
    assert state(sweep / "2") == "running"
    done = cli(*command)
    assert done.returncode == 0, done.stderr
    assert "goes on, 2 of 4 jobs done" in done.stdout
    assert [contents(sweep / str(number)) for number in range(2)] == before
    assert [rows(sweep / str(number)) for number in range(4)] == [rows(whole / str(number)) for number in range(4)]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_sweep_and_the_printed_command_goes_on(
    cli: Cli, warm: Warm, whole: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    sweep, out = tmp_path / "s", tmp_path / "out"
    command = ["train.py", "-m", *GRID, "trainer.max_steps=150", f"hydra.sweep.dir={sweep}"]
    running = warm.start(command, environment(), out, Path(os.devnull))
    signal_when(running, sweep / "1" / "checkpoints" / "step_00000050.pt", number)
    assert running.wait(10) == code
    assert (state(sweep / "0"), state(sweep / "1"), (sweep / "2").exists()) == ("finished", "stopped", False)
    lines = out.read_text().splitlines()
    assert "stopped: 3 jobs left; go on with" in lines
    _, *printed = shlex.split(lines[-1])
    if number == signal.SIGINT:  # the command is the same after any
        assert cli(*printed).returncode == 0
        assert [rows(sweep / str(i)) for i in range(4)] == [rows(whole / str(i)) for i in range(4)]


LATE = """
import os, signal
from ebm_exp.evaluator import Evaluator, Score

class Late(Evaluator):
    n_samples = 0
    produces = {"late": "lower"}
    protocol = "none"

    def __call__(self, model):
        os.kill(os.getpid(), signal.SIGINT)
        return {"late": Score(1.0)}
"""


def test_a_signal_during_the_last_evaluation_ends_the_sweep_too(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The evaluation is left at once and done when the sweep goes on; the next job does not begin."""
    (tmp_path / "late.py").write_text(LATE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    own = ("evaluator=none", "+evaluator.late._target_=late.Late", "optimized_metric=eval/late")
    sweep = tmp_path / "s"
    done = cli("train.py", "-m", "seed=1,2", *TINY[:4], *SMALL[-3:], *own, f"hydra.sweep.dir={sweep}")
    assert done.returncode == 130, done.stderr
    assert "stopped: 2 jobs left; go on with" in done.stdout
    assert (state(sweep / "0"), (sweep / "1").exists()) == ("stopped", False)


def test_the_search_of_the_page_as_printed(cli: Cli, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "sweeps.md").read_text(encoding="utf-8")
    (printed,) = re.findall(r"^python (train\.py -m hydra/sweeper=search .*)$", page, re.MULTILINE)
    small = ("hydra.sweeper.n_trials=2", *SMALL[1:4], *SMALL[-3:], "evaluator=mmd", "evaluator.mmd.n_samples=16")
    metric = ("optimized_metric=eval/mmd2", f"hydra.sweep.dir={tmp_path}/s")
    done = cli(*shlex.split(printed, comments=True), *small, *metric)
    assert done.returncode == 0, done.stderr
    assert "[2] step_size=" in done.stdout
    assert "2 finished" in done.stdout


def test_a_search_repeats_each_proposal_with_all_seeds(cli: Cli, tmp_path: Path) -> None:
    """So the luckiest seed wins nothing: a proposal is as good as the mean."""
    space = ("hydra/sweeper=search", "hydra.sweeper.n_trials=2", "optimizer.lr=interval(1e-4,1e-3)", "seed=0,1")
    small = (*SMALL, "evaluator=mmd", "evaluator.mmd.n_samples=16")
    done = cli("train.py", "-m", *space, *small, f"hydra.sweep.dir={tmp_path}/s")
    assert done.returncode == 0, done.stderr
    assert "[4] lr=" in done.stdout
    assert done.stdout.splitlines()[-2] == "4 finished"
    jobs = SweepDirectory(tmp_path / "s").jobs()
    assert [job.values["seed"] for job in jobs] == ["0", "1", "0", "1"]
    assert len({job.values["optimizer.lr"] for job in jobs}) == 2
    told = optuna.load_study(study_name=NAME, storage=storage(SweepDirectory(tmp_path / "s"))).trials
    assert [trial.value for trial in told] == [
        pytest.approx((a.best["value"] + b.best["value"]) / 2) for a, b in (jobs[:2], jobs[2:])
    ]


def test_two_terminals_are_one_sweep(cli: Cli, whole: Path, tmp_path: Path) -> None:
    """The same command twice at once, its folder not typed: each job is done once, and both know of all."""
    script = tmp_path / "here.py"
    script.write_text(f"import os\nos.chdir({str(tmp_path)!r})\nfrom ebm_exp.cli.commands import train\ntrain()\n")
    done = cli(begins_beside(tmp_path, 0), str(script), "-m", *GRID, "trainer.max_steps=150")
    assert (done.returncode, (tmp_path / "code").read_text()) == (0, "0"), done.stderr
    said = [done.stdout, (tmp_path / "other").read_text()]
    assert sorted(re.findall(r"\((new|goes on),", " ".join(text.splitlines()[0] for text in said))) == [
        "goes on",
        "new",
    ]
    (sweep,) = (tmp_path / "outputs" / "multirun").glob("*/[!.]*")
    told = [line for text in said for line in text.splitlines() if line.startswith("[")]
    assert len({line[:5] for line in told}) == 4
    assert [rows(sweep / str(i)) for i in range(4)] == [rows(whole / str(i)) for i in range(4)]


def test_a_torn_file_of_one_costs_no_other(cli: Cli, tmp_path: Path) -> None:
    """An empty record of another sweep is passed over; a torn one of a job, too, and what is there of it is kept."""
    script, multirun = tmp_path / "here.py", tmp_path / "outputs" / "multirun" / "digits"
    script.write_text(f"import os\nos.chdir({str(tmp_path)!r})\nfrom ebm_exp.cli.commands import train\ntrain()\n")
    (multirun / "2020-01-01_00-00-00").mkdir(parents=True)
    (multirun / "2020-01-01_00-00-00" / "sweep.json").touch()
    command = (str(script), "-m", "seed=1,2,3", *SMALL, "optimized_metric=null")
    assert "2020-01-01_00-00-00/sweep.json cannot be read and is passed over" in cli(*command).stdout
    (sweep,) = multirun.glob("202[1-9]*")
    before = contents(sweep / "0")
    (sweep / "1" / "job.json").write_text('{"number": 1, "over')
    (sweep / "2" / "summary.json").write_text("")
    done = cli(*command)
    assert done.returncode == 0, done.stderr
    assert "job 1 cannot be read, is kept beside it and done anew" in done.stdout
    assert contents(sweep / "0") == before
    assert [state(sweep / str(i)) for i in range(3)] == ["finished"] * 3
    assert (sweep / "1.old" / "checkpoints" / "step_00000003.pt").is_file()


def test_a_job_whose_config_was_edited_is_named_and_done_anew(cli: Cli, tmp_path: Path) -> None:
    conf, sweep = tmp_path / "conf" / "energy", tmp_path / "s"
    conf.mkdir(parents=True)
    for name in ("wide", "narrow"):
        (conf / f"{name}.yaml").write_text("# An energy\n_target_: ebm_exp.energy.MLP\nwidths: [8]\n")
    command = [
        *("train.py", "--config-dir", str(conf.parent), "-m", "energy=wide,narrow", *TINY[1:], "trainer.max_steps=2"),
        *("optimized_metric=eval/mmd2", f"hydra.sweep.dir={sweep}"),
    ]
    assert cli(*command).returncode == 0
    before = contents(sweep / "1")
    (conf / "wide.yaml").write_text("# An energy\n_target_: ebm_exp.energy.MLP\nwidths: [16]\n")
    done = cli(*command)
    assert done.returncode == 0, done.stderr
    assert "job 0 was another run and is done anew: energy.widths [8] → [16]" in done.stdout
    assert contents(sweep / "1") == before
    assert json.loads((sweep / "0.old" / "job.json").read_text())["config"]["energy"]["widths"] == [8]
    assert json.loads((sweep / "0" / "job.json").read_text())["config"]["energy"]["widths"] == [16]


def test_what_is_wrong_in_the_last_job_is_said_before_the_first_begins(cli: Cli, tmp_path: Path) -> None:
    sweep = tmp_path / "s"
    for last, line in (
        ("sampler.step_size=1,-1", "sampler.step_size: must be > 0, got -1"),
        ("energy.widths=[8],[no]", "energy.widths[0]: must be a whole number, got ['no']"),
        ("trainer.accumulate_steps=1,3", "trainer: accumulate_steps must divide batch_size, 16, got 3"),
        ("energy=mlp,mpl", "energy: there is no 'mpl'"),
        ("sampler.stepsize=1,2", "sampler.stepsize: unknown key; nearest is step_size"),
        ("sampler.step_size=2.0,2", "sampler.step_size=2.0 and sampler.step_size=2 are one and the same job"),
        ("sampler.step_size=interval(1,2)", "sampler.step_size: an interval needs a search"),
        ("seed=3", "seed: varies, and is typed again: seed=1,2 and seed=3"),
        ("hydra.sweeper.storage=x", "hydra.sweeper.storage: unknown key; a grid has no settings, a search has: "),
        ("sweep=old", "sweep: must be auto or new, got 'old'"),
        (
            "optimized_metric=eval/mdm2",
            "optimized_metric: eval/mdm2 is no score that can be optimized; nearest is eval/mmd2",
        ),
    ):
        refused = cli("train.py", "-m", "seed=1,2", *TINY[1:], last, f"hydra.sweep.dir={sweep}")
        assert refused.returncode == 2, (last, refused.stderr)
        assert refused.stderr.startswith(line), refused.stderr
        assert len(refused.stderr.splitlines()) <= 3
        assert not sweep.exists()


def test_a_key_without_a_default_and_an_evaluator_with_a_score_of_its_own(cli: Cli, tmp_path: Path) -> None:
    """``dataset.path`` has no default to compare with; the data set suggests a metric that the evaluator has not."""
    for name in ("a", "b"):
        rows = (f"{i % 7 / 10},{i % 5 / 10}" for i in range(40))
        (tmp_path / f"{name}.csv").write_text("x,y\n" + "\n".join(rows))
    words = (
        f"dataset.path={tmp_path}/a.csv,{tmp_path}/b.csv",
        "dataset=table",
        *SMALL,
        "evaluator=frechet",
        "evaluator.frechet.n_samples=16",
    )
    done = cli("train.py", "-m", *words, f"hydra.sweep.dir={tmp_path}/s")
    assert done.returncode == 0, done.stderr
    assert "optimized_metric: eval/frechet_pixels, for the only evaluator gives no eval/mmd2" in done.stderr
    assert "eval/frechet_pixels (lower is better)" in done.stdout
    assert "2 finished" in done.stdout


def test_a_folder_of_another_command_is_refused_untouched(cli: Cli, whole: Path, tmp_path: Path) -> None:
    before = contents(whole)
    refused = cli("train.py", "-m", "seed=1,2,3", *TINY, f"hydra.sweep.dir={whole}")
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"hydra.sweep.dir: {whole} holds the sweep of another command")
    assert contents(whole) == before


def test_what_fails_and_diverges_stands_with_its_reason_and_is_left_or_redone(cli: Cli, tmp_path: Path) -> None:
    sweep = tmp_path / "s"
    command = [
        *("train.py", "-m", "trainer.batch_size=16,9999", "optimizer=sgd", "optimizer.lr=1e-3,1e30", *TINY[:2]),
        *("evaluator=none", "logger.mode=disabled", "trainer.max_steps=4", "trainer.gradient_norm_clip=null"),
        f"hydra.sweep.dir={sweep}",
    ]
    done = cli(*command)
    assert done.returncode == 1
    assert [state(sweep / str(i)) for i in range(4)] == ["finished", "diverged", "failed", "failed"]
    reason = json.loads((sweep / "2" / "summary.json").read_text())["reason"]
    assert reason == "trainer: batch_size must be at most 1797, the training points, got 9999"
    assert reason in done.stdout
    assert str(sweep / "2" / "train.log") in done.stdout
    assert reason in (sweep / "2" / "train.log").read_text()
    before = contents(sweep)
    left = cli(*command)
    assert left.returncode == 1
    assert contents(sweep) == before
    assert cli(*command, "retry_failed=true").returncode == 1
    assert {f"{i}.old" for i in (1, 2, 3)} <= set(os.listdir(sweep))
    assert "0.old" not in os.listdir(sweep)


def test_one_sweep_is_one_directory_and_one_group_whatever_is_swept(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found again without being named, from its own folder of outputs."""
    where = f"hydra.sweep.dir={tmp_path}/${{name}}/s"
    done = cli("train.py", "-m", "dataset=digits,synthetic", *SMALL, "optimized_metric=null", where)
    assert done.returncode == 0, done.stderr
    (sweep,) = tmp_path.glob("*/s")
    groups = {json.loads((sweep / str(i) / "summary.json").read_text())["group"] for i in range(2)}
    assert groups == {str(sweep)}


def test_without_a_directory_the_same_command_finds_its_sweep(warm: Warm, tmp_path: Path) -> None:
    (tmp_path / "outputs").mkdir()
    script = tmp_path / "train.py"
    script.write_text("import os\nos.chdir(os.environ['HERE'])\nfrom ebm_exp.cli.commands import train\ntrain()\n")
    here = environment() | {"HERE": str(tmp_path)}
    small = (*SMALL, "optimized_metric=null")

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        return warm.run([str(script), "-m", "dataset=digits,synthetic", *small, *more], here, tmp_path, 120)

    first = run()
    assert first.returncode == 0, first.stderr
    (sweep,) = (tmp_path / "outputs" / "multirun").glob("*/[!.]*")
    assert sweep.parent.name == "digits+synthetic"
    assert "goes on, 2 of 2" in run().stdout
    assert "goes on, 2 of 2" in run("logger.name=other").stdout
    assert "(new, 2 jobs)" in run("sweep=new").stdout
    assert "(new, 2 jobs)" in run("seed=3").stdout
    assert len(list((tmp_path / "outputs" / "multirun").glob("*/[!.]*"))) == 3
