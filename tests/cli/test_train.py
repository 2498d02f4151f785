"""train.py as a user starts it: a short run's files, overrides, bad input, resume after a kill, multirun."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ebm_exp.config.errors import UserError
from ebm_exp.run import LoadedRun, load_run
from tests.warm import Child, Warm, begins_with, environment, leet_inspect

Cli = Callable[..., subprocess.CompletedProcess[str]]
TINY = [
    *("energy.widths=[16]", "sampler.n_steps=3", "sampling.n_steps=5", "trainer.batch_size=16", "buffer.size=64"),
    *("evaluator=none", "trainer.log_every_steps=2", "logger.mode=offline", "device=cpu"),
    "trainer.image_samples=4",
]


def wandb_row(wandb_dir: Path) -> list[dict]:
    """What ``wandb leet`` reads from every offline run below a folder."""
    runs = []
    for folder in sorted((wandb_dir / "wandb").glob("offline-run-*")):
        (file,) = folder.glob("*.wandb")
        runs.append({"id": file.stem.removeprefix("run-"), "text": leet_inspect(file)})
    return runs


def test_a_run_leaves_what_it_promises(cli: Cli, tmp_path: Path) -> None:
    run = tmp_path / "run"
    arguments = (*TINY, "trainer.max_steps=6", f"hydra.run.dir={run}", "sampler.step_size=0.5")
    done = cli("train.py", *arguments)
    assert done.returncode == 0, done.stderr
    for line in ("run directory", "last image", "python sample.py run=", "wandb leet"):
        assert line in done.stdout
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [2, 4, 6]
    assert {"train/loss", "train/energy_gap", "chain/grad_norm", "chain/clamped", "buffer/age"} <= set(rows[-1])
    summary = json.loads((run / "summary.json").read_text())
    assert summary["state"] == "finished"
    assert summary["step"] == 6
    assert summary["temperature"] == pytest.approx(0.02**2 / 0.5)
    assert (run / "samples" / "step_00000006.png").stat().st_size > 1000
    assert (run / "samples" / "energy_00000006.png").stat().st_size > 1000
    loaded = load_run(run, device="cpu")
    assert loaded.step == 6
    assert loaded.config["sampler"]["step_size"] == 0.5
    assert loaded.draw(3).x.shape == (3, 1, 8, 8)
    changed = loaded.config | {"energy": loaded.config["energy"] | {"input_scale": 1.5}}
    weights = LoadedRun(run, changed).energy.state_dict()  # another setting now leaves no part of the run untrained
    assert all(torch.equal(weights[name], w) for name, w in loaded.energy.state_dict().items())
    assert load_run(run, device="cpu", checkpoint=6).step == 6
    with pytest.raises(UserError, match=r"run: .* has no checkpoint of step 5"):
        load_run(run, device="cpu", checkpoint=5)
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    again = cli("train.py", *TINY, "trainer.max_steps=6", "seed=1", f"hydra.run.dir={tmp_path}/run")
    assert again.returncode == 2
    assert "holds a run already" in again.stderr
    assert before == {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("sampler.step_size=-1", ["sampler.step_size", "> 0"]),
        ("sampler.step_size=abc", ["sampler.step_size", "number"]),
        ("sampler.stepsize=1", ["sampler.stepsize", "step_size"]),
        ("dataset=foo", ["dataset", "digits"]),
        ("datset=digits", ["datset", "dataset"]),
        ("resume=/nowhere", ["resume", "/nowhere"]),
        ("init_from=/nowhere", ["init_from", "/nowhere"]),
        ("augmentation=flip", ["augmentation", "crop_flip"]),
        ("objective=improved_cd objective.terms.kl.through=21", ["objective: kl: through", "sampler.n_steps, 20"]),
        ("objective=improved_cd buffer.size=900", ["objective: entropy", "buffer.size is 900"]),
        ("objective=improved_cd objective.terms.entropy.eps=0", ["objective.terms.entropy.eps", "> 0"]),
        ("resume=", ["resume: is empty (unset variable?)"]),
        ("dataset=image_folder", ["dataset.root: is required"]),
        ("optimized_metric=eval/typo", ["optimized_metric: eval/typo", "eval/frechet_pixels"]),
        ("energy=multiscale", ["energy: channels", "at most 4 widths"]),
        ("trainer.max_steps=-5", ["trainer.max_steps", "> 0"]),
        ("trainer.batch_size=5000", ["trainer: batch_size", "1797"]),
        ("sampler.step_size=[", ["sampler.step_size"]),
        ("trainer.batch_size=true", ["trainer.batch_size: must be a whole number, got True"]),
        ("seed=0,1", ["seed=0,1: is several values", "add -m", "seed=[0,1]", "seed='0,1'"]),
    ],
)
def test_bad_input_is_two_lines_and_exit_code_2(cli: Cli, tmp_path: Path, argument: str, words: list[str]) -> None:
    arguments = (*argument.split(), f"hydra.run.dir={tmp_path}/run", "logger.mode=disabled")
    done = cli("train.py", *arguments, timeout=60, process=argument == "sampler.step_size=-1")
    assert done.returncode == 2, done.stderr
    lines = done.stderr.strip().splitlines()
    assert 1 <= len(lines) <= 3
    assert "Error executing" not in done.stderr  # Hydra's own line
    for word in words:
        assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run" / "summary.json").exists()


def test_the_same_seed_gives_the_same_numbers_and_another_does_not(cli: Cli, tmp_path: Path) -> None:
    written = []
    same = {"a": [], "b": ["seed=0.0"], "deterministic": ["deterministic=true"]}
    for name, more in (same | {"other": ["seed=1"]}).items():
        run, more = tmp_path / name, [*more, "logger.mode=disabled"]
        score = ("evaluator=frechet", "evaluator.frechet.n_samples=50", "trainer.evaluate_every_steps=3")
        scored = [argument for argument in TINY if argument != "evaluator=none"] + [*score]
        done = cli("train.py", *scored, "trainer.max_steps=6", *more, f"hydra.run.dir={run}")
        assert done.returncode == 0, done.stderr
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        written.append([{k: v for k, v in row.items() if not k.startswith("time/")} for row in rows])
        assert "\nseed: 1\n" if name == "other" else "\nseed: 0\n" in (run / ".hydra" / "config.yaml").read_text()
    assert "eval/frechet_pixels" in written[0][-1]
    assert written[0] == written[1] == written[2] != written[3]


def test_config_is_shown_without_work(cli: Cli) -> None:
    done = cli("train.py", "--cfg", "job", "--resolve", process=True)
    assert done.returncode == 0, done.stderr
    assert "step_size: 2.0" in done.stdout


def signal_at(checkpoint: Path, process: Child, by: signal.Signals) -> None:
    """Send a training a signal once the checkpoint is there, and wait for its end."""
    deadline = time.monotonic() + 120
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(by)
    process.wait(120)
    assert checkpoint.exists()


IMPROVED = [
    *("objective=improved_cd", "buffer=reservoir", "augmentation=crop_flip", "objective.terms.kl.through_chains=8"),
    "objective.terms.kl.through=2",
    *("objective.terms.entropy.bank_size=8", "objective.terms.entropy.min_filled=40"),
]


@pytest.mark.parametrize(
    ("choices", "process"),
    [
        (["buffer=in_place", "sampler=jump", "sampler.n_local=2"], False),
        (["buffer=fifo", "regularization=du2019"], False),
        (IMPROVED, True),  # what is killed and what goes on share nothing: hashes of another seed, imports of their own
    ],
)
def test_kill_and_resume_equals_an_uninterrupted_run(
    cli: Cli, warm: Warm, tmp_path: Path, choices: list[str], process: bool
) -> None:
    common = [*TINY, *choices, "trainer.checkpoint_every_steps=10", "trainer.log_every_steps=4", "seed=3"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    done = cli("train.py", *common, "logger.mode=disabled", "trainer.max_steps=20", f"hydra.run.dir={whole}")
    assert done.returncode == 0, done.stderr
    # The chain is made long after nothing: the process dies with step 10 saved and the rest lost.
    common += [] if process else ["logger.mode=disabled"]
    slow = [*common, "trainer.max_steps=20", f"hydra.run.dir={broken}", f"logger.dir={tmp_path}"]
    command, null = ["train.py", *slow], Path(os.devnull)
    running = warm.start(command, environment(), null, null)
    signal_at(broken / "checkpoints" / "step_00000010.pt", running, signal.SIGKILL)
    (broken / "checkpoints" / "step_00000020.pt").unlink(missing_ok=True)
    hydra_before = {f.name: f.read_bytes() for f in (broken / ".hydra").iterdir()}
    id_before = json.loads((broken / "summary.json").read_text())["wandb_id"]
    done = cli("train.py", f"resume={broken}", process=process)
    assert done.returncode == 0, done.stderr
    assert hydra_before == {f.name: f.read_bytes() for f in (broken / ".hydra").iterdir()}
    a, b = (torch.load(d / "checkpoints" / "step_00000020.pt", weights_only=True) for d in (whole, broken))
    assert b["wandb_id"] == id_before == json.loads((broken / "summary.json").read_text())["wandb_id"]
    assert {"energy", "objective", "optimizer", "buffer", "sampler"} <= set(a["parts"])
    for part in ("parts", "ema", "meter"):
        torch.testing.assert_close(a[part], b[part], rtol=0, atol=0, equal_nan=False)
    rows = [
        [
            {k: v for k, v in json.loads(line).items() if not k.startswith("time/")}
            for line in f.read_text().splitlines()
        ]
        for f in (whole / "metrics.jsonl", broken / "metrics.jsonl")
    ]
    assert rows[0] == rows[1]


def test_a_flow_goes_on_exactly_and_is_drawn_from(cli: Cli, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    common = ["experiment=flow/digits", "energy.channels=[4,4]", "energy.strides=[1,2]", "energy.width=8"]
    common += ["trainer.batch_size=16", "evaluator=none", "sampling.n_steps=3", "trainer.log_every_steps=2"]
    common += ["logger.mode=disabled", "device=cpu", "schedule.decay_steps=8"]
    assert cli("train.py", *common, "trainer.max_steps=8", f"hydra.run.dir={whole}").returncode == 0
    assert cli("train.py", *common, "trainer.max_steps=4", f"hydra.run.dir={broken}").returncode == 0
    assert cli("train.py", f"resume={broken}", "trainer.max_steps=8").returncode == 0
    a, b = (torch.load(d / "checkpoints" / "step_00000008.pt", weights_only=True) for d in (whole, broken))
    assert not {"buffer", "sampler"} & set(a["parts"])
    for part in ("parts", "ema"):
        torch.testing.assert_close(a[part], b[part], rtol=0, atol=0)
    drawn = cli("sample.py", f"run={whole}", "n_samples=8", f"output_dir={tmp_path}/drawn")
    assert drawn.returncode == 0, drawn.stderr
    assert drawn.stdout.startswith("3 heun steps of the flow from normal noise, ema weights of step 8\n")
    refused = cli("sample.py", f"run={whole}", "mode=inpaint", f"output_dir={tmp_path}/inpaint")
    assert (refused.returncode, refused.stderr) == (
        *(2, "sampling: this mode needs sampling=levels or sampling=chains, the run has Flow\n"),
    )
    chains = ("sampling=chains", "mode=inpaint")  # on the density at t_density
    through = [("sampling=levels", f"mode={mode}", "sampling.n_levels=3") for mode in ("inpaint", "denoise", "chain")]
    for i, ways in enumerate([chains, *through, ("mode=chain",)]):
        more = () if ways == ("mode=chain",) else ("sampler=mala", "n_steps=5")
        done = cli("sample.py", f"run={whole}", *ways, *more, "n_samples=8", f"output_dir={tmp_path}/{i}")
        assert done.returncode == 0, done.stderr
        assert ("temperature 1" in done.stdout) == bool(more)
    film = json.loads((tmp_path / "4" / "diagnostics.json").read_text())
    assert film.keys() == {"flow/velocity"}
    both = (f"run=[{whole},{whole}]", "mode=compose", "n_samples=8")
    done = cli("sample.py", *both, *through[0][::2], "sampler=mala", "n_steps=5", f"output_dir={tmp_path}/both")
    assert done.returncode == 0, done.stderr
    mixed = cli("sample.py", *both, "sampling=levels", "mode.operation=mixture", f"output_dir={tmp_path}/mixed")
    assert (mixed.returncode, mixed.stderr) == (
        *(2, "sampling: levels knows no masses between data and noise, a mixture needs sampling=chains\n"),
    )


def test_noise_levels_go_on_exactly_and_are_drawn_from_without_the_data(cli: Cli, tmp_path: Path) -> None:
    whole, broken, table = tmp_path / "whole", tmp_path / "broken", tmp_path / "rows.csv"
    table.write_text("a,b\n" + "".join(f"{i % 7},{i * i % 11}\n" for i in range(60)))
    common = ["dataset=table", f"dataset.path={table}", "energy=mlp", "energy.widths=[8]", "energy.timed=true"]
    common += ["noise=edm", "objective=dsm", "normaliser=time_score", "normaliser.n_steps=8", "sampling=flow"]
    common += ["regularization=none", "trainer.batch_size=8", "evaluator=none", "optimized_metric=null"]
    common += ["sampling.n_steps=3", "logger.mode=disabled", "device=cpu", "schedule.decay_steps=8"]
    assert cli("train.py", *common, "trainer.max_steps=8", f"hydra.run.dir={whole}").returncode == 0
    assert cli("train.py", *common, "trainer.max_steps=1", f"hydra.run.dir={broken}").returncode == 0
    assert cli("train.py", f"resume={broken}", "trainer.max_steps=8").returncode == 0
    a, b = (torch.load(d / "checkpoints" / "step_00000008.pt", weights_only=True) for d in (whole, broken))
    assert {"mean", "scale", "bounds"} == {*a["parts"]["noise"]}
    for part in ("parts", "ema"):
        torch.testing.assert_close(a[part], b[part], rtol=0, atol=0)
    table.unlink()
    drawn = cli("sample.py", f"run={whole}", "n_samples=8", f"output_dir={tmp_path}/drawn", "noise.sigma_min=0.1")
    assert drawn.returncode == 0, drawn.stderr
    other = cli("sample.py", f"run={whole}", "noise=flow", f"output_dir={tmp_path}/other")
    said = "noise: must be the run's own, ebm_exp.noise.EDM, to which its energy is fitted, got ebm_exp.noise.Flow\n"
    assert other.returncode == 2
    assert other.stderr.endswith(said)


def test_a_stop_by_a_signal_leaves_no_trace_in_the_rows(cli: Cli, warm: Warm, tmp_path: Path) -> None:
    common = [*TINY, "logger.mode=disabled", "trainer.checkpoint_every_steps=100", "trainer.log_every_steps=30"]
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    common += ["trainer.max_steps=300", "sampler.n_steps=8"]
    assert cli("train.py", *common, f"hydra.run.dir={whole}").returncode == 0
    command, null = ["train.py", *common, f"hydra.run.dir={stopped}"], Path(os.devnull)
    running = warm.start(command, environment(), null, null)
    signal_at(stopped / "checkpoints" / "step_00000100.pt", running, signal.SIGTERM)
    summary = json.loads((stopped / "summary.json").read_text())
    assert summary["state"] == "stopped"
    assert 100 <= summary["step"] < 300
    assert (stopped / "checkpoints" / f"step_{summary['step']:08d}.pt").is_file()
    assert cli("train.py", f"resume={stopped}").returncode == 0
    rows = [
        [{k: v for k, v in row.items() if not k.startswith("time/")} for row in load_run(run, device="cpu").metrics()]
        for run in (whole, stopped)
    ]
    assert rows[0] == rows[1]


def test_resume_refuses_what_changes_the_mathematics(cli: Cli, trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    done = cli("train.py", f"resume={run}", "sampler.step_size=0.1")
    assert done.returncode == 2
    assert "sampler.step_size" in done.stderr
    assert "2.0" in done.stderr
    more = cli("train.py", f"resume={run}", "trainer.max_steps=5")
    assert more.returncode == 0, more.stderr
    assert json.loads((run / "summary.json").read_text())["step"] == 5


def test_multirun_gives_runs_of_their_own_in_one_group(cli: Cli, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    done = cli(
        *("train.py", "-m", "energy=mlp,conv", "regularization=none,du2019", "trainer.max_steps=3"),
        *(
            f"hydra.sweep.dir={sweep}",
            "sampler.n_steps=2",
            "sampling.n_steps=2",
            "trainer.batch_size=16",
            "evaluator=none",
            "logger.mode=offline",
        ),
    )
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in sweep.iterdir() if p.is_dir() and p.name != ".locks") == ["0", "1", "2", "3"]
    ids = {json.loads((sweep / str(i) / "summary.json").read_text())["wandb_id"] for i in range(4)}
    runs = wandb_row(tmp_path)
    assert len(ids) == 4
    assert {run["id"] for run in runs} == ids
    assert all(str(sweep) in run["text"] for run in runs)


def test_a_run_ended_by_the_clock_goes_on_as_printed(cli: Cli, tmp_path: Path) -> None:
    run = tmp_path / "a run, by=the clock"
    limits = ("trainer.max_steps=100000", "trainer.max_minutes=0.02", "schedule=constant", "logger.mode=disabled")
    done = cli("train.py", *TINY, *limits, f"hydra.run.dir='{run}'")
    assert done.returncode == 0, done.stderr
    step = json.loads((run / "summary.json").read_text())["step"]
    (printed,) = [line for line in done.stdout.splitlines() if line.startswith("go on")]
    arguments = shlex.split(printed)[4:]
    assert cli("train.py", *arguments).returncode == 0
    assert json.loads((run / "summary.json").read_text())["step"] > step


def test_a_terminal_without_unicode(cli: Cli, tmp_path: Path) -> None:
    """As PYTHONIOENCODING=ascii opens the streams."""
    ascii = "import sys\nsys.stdout.reconfigure(encoding='ascii'), sys.stderr.reconfigure(encoding='ascii')"
    short = (*TINY, "logger.mode=disabled", "trainer.max_steps=2", f"hydra.run.dir={tmp_path}/run")
    done = cli(begins_with(ascii, tmp_path), "train.py", *short)
    assert done.returncode == 0, done.stderr
    assert "1?8?8" in done.stdout


def test_a_non_finite_run_diverges_and_says_where(cli: Cli, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = cli(
        *("train.py", *TINY, "trainer.max_steps=40", "optimizer=sgd", "optimizer.lr=1e30"),
        *("trainer.gradient_norm_clip=null", f"hydra.run.dir={run}"),
    )
    assert done.returncode == 3
    (line,) = done.stderr.strip().splitlines()
    summary = json.loads((run / "summary.json").read_text())
    assert summary["state"] == "diverged"
    assert line == f"diverged: {summary['reason']} See {run}"
    assert ".;" not in line
    assert summary["failed_step"] >= 1
    assert summary["failed_metric"].startswith(("train/", "chain/"))
    assert str(summary["failed_step"]) in summary["reason"]


def test_init_from_another_data_set_of_the_same_shape(cli: Cli, tmp_path: Path) -> None:
    """Weights cross from one data set to another; what does not fit is said in a line before any work."""
    first, second = tmp_path / "first", tmp_path / "second"
    run = (*TINY, "logger.mode=disabled", "stand_in=true", "trainer.max_steps=2", "optimizer.lr=1e-9")
    done = cli("train.py", *run, "dataset=mnist", f"hydra.run.dir={first}")
    assert done.returncode == 0, done.stderr
    done = cli("train.py", *run, "dataset=fashion_mnist", f"init_from={first}", f"hydra.run.dir={second}")
    assert done.returncode == 0, done.stderr
    before, after = (load_run(path).energy.state_dict() for path in (first, second))
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor, atol=1e-6, rtol=1e-6)
    for other in ("dataset=cifar10", "energy.conditional=true"):
        refused = cli("train.py", *run, other, f"init_from={first}", f"hydra.run.dir={tmp_path}/third")
        assert refused.returncode == 2, refused.stderr
        assert refused.stderr.strip().splitlines()[-1].startswith("init_from: ")


def test_debug_modes(cli: Cli, tmp_path: Path) -> None:
    small = ("energy.widths=[16]", "sampler.n_steps=3", "sampling.n_steps=5", "evaluator=none", "device=cpu")
    done = cli("train.py", *small, "debug=profile", f"hydra.run.dir={tmp_path}/profile")
    assert done.returncode == 0, done.stderr
    assert "Self CPU" in done.stdout
    assert json.loads((tmp_path / "profile" / "profile.json").read_text())["traceEvents"]
    one_batch = (*small, "debug=overfit", "trainer.max_steps=20", "trainer.batch_size=16")
    done = cli("train.py", *one_batch, f"hydra.run.dir={tmp_path}/overfit")
    assert done.returncode == 0, done.stderr
    assert len(load_run(tmp_path / "overfit").metrics()) >= 2
