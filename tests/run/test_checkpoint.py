import os
import pickle
from pathlib import Path

import pytest
import torch

from ebm_exp.config.errors import UserError
from ebm_exp.config.run_config import FORMAT
from ebm_exp.run.checkpoint import KEYS, latest, load, prune, read_state, save
from ebm_exp.run.directory import RunDirectory
from ebm_exp.trainer.build import build
from ebm_exp.trainer.session import Session
from tests.config.test_conf import composed


def state(step: int) -> dict:
    parts = {"energy": {"w": torch.arange(1000.0) + step}}
    own = {
        "format": FORMAT,
        "step": step,
        "elapsed": 1.5,
        "parts": parts,
        "ema": {},
        "best": {"metric": "eval/x", "value": 0.5, "step": 20, "better": "lower"},
    }
    return dict.fromkeys(KEYS) | own


def step_path(run: Path, step: int) -> Path:
    return RunDirectory(run).checkpoint(step)


def steps(run: Path) -> list[int]:
    return sorted(int(p.stem.removeprefix("step_")) for p in (run / "checkpoints").glob("step_*.pt"))


def test_round_trip(tmp_path: Path) -> None:
    path = step_path(tmp_path, 1000)
    assert path == tmp_path / "checkpoints" / "step_00001000.pt"
    save(path, state(1000))
    read = load(path)
    torch.testing.assert_close(read.pop("parts"), state(1000).pop("parts"), rtol=0, atol=0)
    assert read == {k: v for k, v in state(1000).items() if k != "parts"}
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_failing_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = step_path(tmp_path, 5)
    save(path, state(5))
    before = path.read_bytes()

    def half_a_write(value: object, file: object) -> None:
        file.write(b"half")
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", half_a_write)
        with pytest.raises(OSError, match="no space left"):
            save(path, state(6))
        with pytest.raises(OSError, match="no space left"):
            save(step_path(tmp_path, 6), state(6))
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert load(path)["step"] == 5


def test_the_target_is_replaced_only_when_the_new_file_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = step_path(tmp_path, 5)
    save(path, state(5))
    synced: list[int] = []
    replace = os.replace

    def checked_replace(source: Path, target: Path) -> None:
        assert synced
        assert Path(source).parent == Path(target).parent
        assert torch.load(source, weights_only=True)["step"] == 6
        assert load(target)["step"] == 5
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced.append)
    monkeypatch.setattr(os, "replace", checked_replace)
    save(path, state(6))
    assert load(path)["step"] == 6


def test_latest_is_the_highest_step_and_ignores_what_is_no_checkpoint(tmp_path: Path) -> None:
    assert latest(RunDirectory(tmp_path / "nowhere")) is None
    assert latest(RunDirectory(tmp_path)) is None
    for step in (1000, 20, 300):
        save(step_path(tmp_path, step), state(step))
    for other in (".step_00009999.pt.tmp", "step_00009999.pt.tmp", "last.pt", "step_9999.pt", "step_00009999.txt"):
        (tmp_path / "checkpoints" / other).write_bytes(b"")
    step_path(tmp_path, 8888).mkdir()
    assert latest(RunDirectory(tmp_path)) == step_path(tmp_path, 1000)
    save(step_path(tmp_path, 123_456_789), state(0))  # nine digits sort as numbers, too
    assert latest(RunDirectory(tmp_path)) == step_path(tmp_path, 123_456_789)


@pytest.mark.parametrize("damage", ["empty", "half", "middle", "text", "other"])
def test_a_damaged_newest_file_falls_back_to_the_one_before(tmp_path: Path, damage: str) -> None:
    for step in (10, 20):
        save(step_path(tmp_path, step), state(step))
    newest = step_path(tmp_path, 20)
    whole = newest.read_bytes()
    middle = whole.index(torch.tensor([220.0]).numpy().tobytes())  # inside the weights
    content = {
        "empty": b"",
        "half": whole[: len(whole) // 2],
        "middle": whole[:middle] + b"\xff" * 8 + whole[middle + 8 :],
        "text": b"not a checkpoint",
        "other": b"PK" + whole[2 : len(whole) // 3],
    }[damage]
    newest.write_bytes(content)
    with pytest.warns(UserWarning, match=r"step_00000020\.pt: .*; step 10 is used"):
        assert latest(RunDirectory(tmp_path)) == step_path(tmp_path, 10)
    with pytest.raises(ValueError, match=r"step_00000020\.pt: cannot be read"):
        load(newest)


def test_all_damaged_is_none(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    step_path(tmp_path, 1).write_bytes(b"")
    with pytest.warns(UserWarning, match="cannot be read"):
        assert latest(RunDirectory(tmp_path)) is None


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    path = step_path(tmp_path, 1)
    save(path, {k: v for k, v in state(1).items() if k not in ("parts", "ema")})
    with pytest.raises(ValueError, match=r"step_00000001\.pt: the checkpoint lacks parts, ema; it holds step"):
        load(path)
    assert load(path, keys=("step",))["step"] == 1
    torch.save([1, 2], path)
    with pytest.raises(ValueError, match=r"step_00000001\.pt: is not a checkpoint, it holds a list"):
        load(path)
    with pytest.raises(ValueError, match=r"step_00000002\.pt: cannot be read"):
        load(step_path(tmp_path, 2))


class Payload:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.marker),)


def test_a_file_that_carries_code_is_refused(tmp_path: Path) -> None:
    path, marker = step_path(tmp_path, 1), tmp_path / "code ran"
    path.parent.mkdir()
    torch.save(state(1) | {"best": Payload(marker)}, path)
    with pytest.raises(ValueError, match="cannot be read"):
        load(path)
    path.write_bytes(pickle.dumps(Payload(marker)))
    with pytest.raises(ValueError, match="cannot be read"):
        load(path)
    assert not marker.exists()


def test_prune_keeps_the_newest_and_the_protected(tmp_path: Path) -> None:
    for step in (10, 20, 30, 40, 50):
        save(step_path(tmp_path, step), state(step))
    notes = tmp_path / "checkpoints" / "notes.txt"
    notes.write_text("mine")
    leftover = tmp_path / "checkpoints" / ".step_00000045.pt.0123456789abcdef.tmp"
    leftover.write_bytes(b"half")
    prune(RunDirectory(tmp_path), keep=2, protect={20, 999})
    assert steps(tmp_path) == [20, 40, 50]
    assert notes.exists()
    assert not leftover.exists()
    prune(RunDirectory(tmp_path), keep=2)
    assert steps(tmp_path) == [40, 50]
    prune(RunDirectory(tmp_path), keep=5)
    assert steps(tmp_path) == [40, 50]
    with pytest.raises(ValueError, match="keep must be at least 1"):
        prune(RunDirectory(tmp_path), keep=0)


def test_prune_never_deletes_what_was_written_last(tmp_path: Path) -> None:
    """A run that fell back from a damaged step 1000 to 500 and stopped at 600 must be able to go on from 600."""
    for seconds, step in enumerate((500, 1000, 600)):
        save(step_path(tmp_path, step), state(step))
        os.utime(step_path(tmp_path, step), (10**9 + seconds, 10**9 + seconds))
    prune(RunDirectory(tmp_path), keep=1)
    assert steps(tmp_path) == [600, 1000]


def test_a_checkpoint_of_another_format_is_refused(tmp_path: Path) -> None:
    path = step_path(tmp_path, 1)
    for other, named in (({"format": 1}, 1), ({}, 1), ({"format": 99}, 99)):
        save(path, {k: v for k, v in state(1).items() if k != "format"} | other)
        with pytest.raises(ValueError, match=rf"step_00000001\.pt: has format {named}, this version reads {FORMAT}"):
            load(path)
        with pytest.raises(UserError, match=rf"resume: .*has format {named}"):
            read_state(RunDirectory(tmp_path), key="resume")


def test_the_state_of_a_step_the_best_and_the_latest(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    with pytest.raises(UserError, match=r"init_from: .* has no latest checkpoint"):
        read_state(run, key="init_from")
    for step in (10, 20, 30):
        save(run.checkpoint(step), state(step))
    with pytest.raises(UserError, match=r"run: .* has no best checkpoint"):
        read_state(run, "best")
    run.write_summary({"best": {"metric": "eval/x", "value": 0.5, "step": 20, "better": "lower"}})
    assert [read_state(run, which)["step"] for which in ("latest", "best", 10)] == [30, 20, 10]
    with pytest.raises(UserError, match=r"run: .* has no checkpoint of step 15; it has 10, 20"):
        read_state(run, 15)


def test_the_keys_are_those_a_trainer_saves(tmp_path: Path) -> None:
    config = composed("debug=smoke")
    parts, experiment = build(config)
    run = RunDirectory(tmp_path / "run")
    run.create()
    Session(parts["trainer"], experiment, run, parts["logger"]).run()
    saved = load(run.checkpoint(2))
    assert set(saved) == {"format", "unevaluated", "rows", "meter", *KEYS}
    assert set(saved["parts"]) == {"energy", "objective", "buffer", "optimizer", "sampler", "guard"}
