"""``python -m ebm_exp.run.export``: averaged weights and config of a run, read as any run is."""

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ebm_exp import load_run
from ebm_exp.config.errors import UserError
from ebm_exp.energy import MLP
from ebm_exp.run import export as module
from ebm_exp.run.archive import read
from ebm_exp.run.checkpoint import load_initial_weights
from ebm_exp.run.directory import RunDirectory
from ebm_exp.run.export import export
from tests.warm import ROOT

DIGITS = ROOT / "examples" / "digits"
COMMAND = "python train.py"
CHECKSUM = "17b2a24ca214b43aec1f9b589cef9f659a1fbb7085ad983b6b608e6d13dc7e25"  # of its weights


@pytest.fixture(scope="module")
def handed_on(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(trained, tmp_path_factory.mktemp("exports") / "small")


def test_it_draws_what_the_run_draws(trained: Path, handed_on: Path) -> None:
    run, same = load_run(trained, device="cpu"), load_run(handed_on, device="cpu")
    assert torch.equal(run.draw(8).x, same.draw(8).x)
    assert same.step == run.step
    assert same.temperature == run.temperature
    assert same.metrics() == run.metrics()[-1:]
    expected = run.energy.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in same.energy.state_dict().items())


def test_it_holds_nothing_of_the_training_or_the_machine(trained: Path, handed_on: Path) -> None:
    names = {str(path.relative_to(handed_on)) for path in handed_on.rglob("*") if path.is_file()}
    assert names == {
        *(".hydra/config.yaml", ".hydra/overrides.yaml", "summary.json", "metrics.jsonl"),
        "checkpoints/step_00000003.pt",
    }
    state = read(handed_on / "checkpoints" / "step_00000003.pt")
    assert all(state["parts"][name] is None for name in ("energy", "objective", "optimizer", "buffer"))
    assert state["wandb_id"] is None
    before, after = (RunDirectory(each).summary() for each in (trained, handed_on))
    assert {"pid", "host"} <= set(before)
    assert not {"pid", "host", "started", "wandb_id", "group"} & set(after)
    assert after["data"] == before["data"]


def test_a_run_without_its_data_is_drawn_from(trained: Path, tmp_path: Path) -> None:
    """The data set's facts came along, so units are known."""
    gone = export(trained, tmp_path / "gone")
    config = gone / ".hydra" / "config.yaml"
    text = re.sub(r"dataset:\n(  .*\n)+", "", config.read_text())
    node = "dataset:\n  _target_: ebm_exp.dataset.ImageArray\n  name: mine\n  path: /nowhere.npy\n"
    suggested = re.search(r"  suggest:\n(    .*\n)+", config.read_text())
    assert suggested is not None
    config.write_text(text + node + suggested[0])
    run = load_run(gone, device="cpu")
    assert run.decode(run.draw(2).x).shape == (2, 8, 8)


def test_what_is_not_in_it_is_refused_by_a_line(
    handed_on: Path, cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    is_export = r"is an export, of averaged weights and config"
    with pytest.raises(UserError, match=f"^weights: .*{is_export}"):
        load_run(handed_on, device="cpu", weights="online")
    with pytest.raises(UserError, match=f"^buffer: .*{is_export}"):
        load_run(handed_on, device="cpu").buffer(4)
    before = sorted(handed_on.rglob("*"))
    for script, *words in (
        ("sample.py", f"run={handed_on}", "start@sampling.start=buffer"),
        ("sample.py", f"run={handed_on}", "weights=online"),
        ("train.py", f"resume={handed_on}"),
    ):
        done = cli(script, *words, "device=cpu")
        assert done.returncode == 2
        assert re.fullmatch(rf"\w+: .*{is_export}.*\n", done.stderr), done.stderr
    assert [path for path in sorted(handed_on.rglob("*")) if "draws" not in path.parts] == before


def test_an_export_that_does_not_say_so_cannot_be_resumed(
    handed_on: Path, tmp_path: Path, cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    shutil.copytree(handed_on, tmp_path / "silent")
    file = tmp_path / "silent" / "summary.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"exported": None}))
    done = cli("train.py", f"resume={tmp_path / 'silent'}", "trainer.max_steps=5")
    assert done.returncode == 2
    assert "is an export" in done.stderr


def test_weights_begin_a_new_run(handed_on: Path) -> None:
    energy = MLP((1, 8, 8), widths=(16,))
    load_initial_weights(energy, str(handed_on))
    expected = load_run(handed_on, device="cpu").energy.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in energy.state_dict().items())


def test_nothing_is_written_over(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("there", "link"):
        with pytest.raises(UserError, match="is there already"):
            export(trained, tmp_path / name)
    with pytest.raises(UserError, match=r"^to: .* is no folder"):
        export(trained, tmp_path / "a" / "b")
    with pytest.raises(UserError, match=r"^run: .* has no checkpoint of step 2"):
        export(trained, tmp_path / "new", 2)
    assert sorted(os.listdir(tmp_path)) == ["link", "there"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "run: is required"),
        (["run=a"], "to: is required"),
        (["runs=a", "to=b"], "runs: is unknown here; nearest is run"),
        (["run=a", "to=b", "checkpoint=last"], "checkpoint: must be latest, best or a step, got last"),
        (["run=a", "to=b"], "run: a is not there"),
    ],
)
def test_a_wrong_command_is_a_line(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["export", *words])
    with pytest.raises(SystemExit) as ended:
        module.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(said)


def test_it_explains_itself(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["export", "--help"])
    module.main()
    assert "run=<run directory> to=<new folder>" in capsys.readouterr().out


def test_the_command_exports(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["export", f"run={trained}", f"to={tmp_path / 'new'}", "checkpoint=3"])
    module.main()
    assert f"python sample.py run={tmp_path / 'new'}\n" in capsys.readouterr().out
    assert load_run(tmp_path / "new", device="cpu").step == 3


def test_the_digits_are_those_of_the_command() -> None:
    run = load_run(DIGITS, device="cpu")
    assert RunDirectory(DIGITS).summary()["command"] == COMMAND
    digest = hashlib.sha256()
    for weight in run.energy.state_dict().values():
        digest.update(weight.numpy().tobytes())
    assert digest.hexdigest() == CHECKSUM
    tracked = [path for path in DIGITS.rglob("*") if not {"draws", "evaluations"} & set(path.parts) and path.is_file()]
    assert sum(path.stat().st_size for path in tracked) <= 400_000
    images = run.draw(64, raw=True)
    assert images.shape == (64, 8, 8)
    assert 0.25 < (images > 8).mean() < 0.45  # ink
