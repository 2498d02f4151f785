"""Parts of the user's own: a folder with a module and conf/, named by --config-dir, and nothing of ours edited."""

import json
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Cli = Callable[..., subprocess.CompletedProcess[str]]
SMALL = (
    "trainer.batch_size=16",
    "logger.mode=disabled",
    "device=cpu",
    "sampler.n_steps=3",
    "trainer.log_every_steps=1",
    "trainer.image_samples=4",
)
BARE = ("evaluator=none", "optimized_metric=null")
SHORT = ("sampling.n_steps=3",)
GUIDE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")
OWN = Path(__file__).parent / "own"


def block(language: str, start: str) -> str:
    """The first block of the guide in a language that begins in this way."""
    blocks = [each.split("```")[0] for each in GUIDE.split(f"```{language}\n")[1:]]
    return next(each for each in blocks if each.startswith(start))


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of docs/extending.md, as it stands there."""
    folder = tmp_path / "my_code"
    (folder / "conf" / "energy").mkdir(parents=True)
    (folder / "my_pkg.py").write_text(block("python", "# my_code/my_pkg.py"), encoding="utf-8")
    (folder / "conf" / "energy" / "mine.yaml").write_text(
        block("yaml", "# my_code/conf/energy/mine.yaml"), encoding="utf-8"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


def test_the_guides_commands_as_printed(cli: Cli, example: Path, tmp_path: Path) -> None:
    commands = block("bash", "export PYTHONPATH").splitlines()
    assert commands.pop(0) == "export PYTHONPATH=~/my_code"
    run, energies = tmp_path / "run", []
    for command in commands:
        printed = command.replace("~/my_code", str(example)).replace("outputs/digits/<stamp>", str(run))
        _, script, *arguments = shlex.split(printed)
        fresh = script == "train.py" and not any(a.startswith("resume=") for a in arguments)
        if fresh:
            folder = f"hydra.sweep.dir={tmp_path}/sweep" if "-m" in arguments else f"hydra.run.dir={run}"
            arguments += [*SMALL, *SHORT, *BARE, "trainer.max_steps=2", folder]
        arguments = [a.replace("max_steps=6000", "max_steps=4") for a in arguments]
        done = cli(script, *arguments, *([] if fresh or script == "train.py" else ["n_samples=4"]))
        assert done.returncode == 0, (command, done.stderr)
        jobs = sorted((tmp_path / "sweep").glob("*/train.log")) if "-m" in arguments else []
        said = "\n".join([done.stdout, *(file.read_text(encoding="utf-8") for file in jobs)])
        energies += [line for line in said.splitlines() if line.startswith("energy    MyEnergy")]
    assert "MyEnergy: 24,832 parameters" in energies[0]  # 64·128 + 128 + 128·128 + 128
    assert len(energies) == 1 + 4 + 1
    assert json.loads((run / "summary.json").read_text())["step"] == 4


def test_without_a_yaml_and_only_the_user_may_name_it(cli: Cli, example: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    typed = ("energy._target_=my_pkg.MyEnergy", "energy.width=8")
    done = cli("train.py", *typed, *SMALL, *SHORT, *BARE, "trainer.max_steps=3", f"hydra.run.dir={run}")
    assert done.returncode == 0, done.stderr
    assert "MyEnergy: 592 parameters" in done.stdout  # 64·8 + 8 + 8·8 + 8
    refused = cli("sample.py", f"run={run}", "n_samples=4")
    assert refused.returncode == 2
    assert "energy._target_: 'my_pkg.MyEnergy', which is no part of this project" in refused.stderr
    assert cli("train.py", f"resume={run}", "trainer.max_steps=4").returncode == 2
    trusted = cli("sample.py", f"run={run}", "n_samples=4", "trust=true", f"output_dir={tmp_path}/drawn")
    assert trusted.returncode == 0, trusted.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("energy._target_=my_pkg.MyEnergy", "energy.width=-1"), "energy.width: must be > 0, got -1"),
        (("energy._target_=my_pkg.Nothing",), "energy._target_: cannot import my_pkg.Nothing"),
        (("--config-dir", "{}/conf", "energy=mine", "energy.width=-1"), "energy.width: must be > 0, got -1"),
        (
            ("--config-dir", "{}/conf", "energy=mine", "energy.widht=3"),
            "energy.widht: unknown key; nearest is width; choose from width",
        ),
        (("--config-dir", "{}/conf", "energy=mien"), "energy: there is no 'mien'; nearest is mine"),
        (("--config-dir", "{}/no", "energy=mine"), "Additional config directory '{}/no' not found"),
    ],
)
def test_its_hints_are_the_schema(cli: Cli, example: Path, arguments: tuple[str, ...], said: str) -> None:
    wrong = cli("train.py", *(a.replace("{}", str(example)) for a in arguments), f"hydra.run.dir={example}/run")
    assert wrong.returncode == 2
    assert wrong.stderr.strip().splitlines()[-1].startswith(said.replace("{}", str(example)))


PLANE = ("energy=mlp", "energy.widths=[8]")
ALL = (
    *("dataset=cross", "objective=denoising", "sampler=random_walk", "evaluator=inside"),
    *("regularization=mean_energy", "sampling=cells", "optimized_metric=eval/inside"),
)
CASES = {  # each kind beside parts of ours, and all together
    "data set": ("dataset=cross", *PLANE, *BARE, *SHORT),
    "objective": ("objective=denoising", *BARE, *SHORT),
    "sampler": ("sampler=random_walk", *BARE, *SHORT),
    "evaluator": ("evaluator=inside", "optimized_metric=eval/inside", *SHORT),
    "term": ("objective=cd", "regularization=mean_energy", *BARE, *SHORT),
    "sampling": ("dataset=two_moons", "dataset.n_train=100", *PLANE, "sampling=cells", *BARE),
    "all": (*ALL, *PLANE),
}


@pytest.mark.parametrize("kind", CASES)
def test_a_part_of_each_kind_trains_resumes_samples_and_evaluates(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    folder, run = tmp_path / "elsewhere", tmp_path / "run"
    shutil.copytree(OWN, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    own = ("--config-dir", str(folder / "conf"))
    resumed = [("train.py", *own, f"resume={run}", "trainer.max_steps=5")] if kind == "all" else []
    for arguments in (
        ("train.py", *own, *CASES[kind], *SMALL, "trainer.max_steps=3", f"hydra.run.dir={run}"),
        *resumed,
        ("sample.py", *own, f"run={run}", "n_samples=4", f"output_dir={tmp_path}/drawn"),
    ):
        done = cli(*arguments)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "drawn" / "samples.png").is_file()
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["state"], summary["step"]) == ("finished", 5 if resumed else 3)
    row = summary["metrics"]
    if "evaluator=inside" in CASES[kind]:
        assert 0 <= row["eval/inside"] <= 1
        assert row["eval/inside_se"] >= 0
        assert summary["best"]["better"] == "higher"
    if "objective=denoising" in CASES[kind]:
        assert row["train/dsm"] > 0
        assert "train/energy_neg" not in row
    if "regularization=mean_energy" in CASES[kind]:
        assert row["train/mean_energy"] >= 0
    if kind == "all":
        assert done.stdout.startswith("50² cells, ema weights of step 5")
    if "sampling=cells" in CASES[kind]:
        for refused, said in (
            ("mode=drift", "sampling: this mode needs sampling=chains, the run has Cells"),
            ("n_steps=9", "n_steps: my_parts.Cells takes none"),
        ):
            done = cli("sample.py", *own, f"run={run}", refused, f"output_dir={tmp_path}/no")
            assert (done.returncode, done.stderr.strip().splitlines()[-1]) == (2, said)
