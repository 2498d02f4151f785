"""W&B: offline runs read back, its variables, what it refuses, and a training that goes on whatever becomes of it."""

import json
import logging
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ebm_exp.logger import WandbRun, wandb_logger
from tests.warm import leet_inspect

KEY = "k" * 40  # as long as W&B wants it; no test goes online
SESSIONS = 1.1  # seconds between two sessions: the names of their folders have whole ones


@pytest.fixture(autouse=True)
def nothing_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("WANDB_") and name != "WANDB_SERVICE":
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The warnings of ebm_exp so far."""
    return lambda: [
        r.getMessage() for r in caplog.records if r.name.startswith("ebm_exp") and r.levelno >= logging.WARNING
    ]


def inspect(file: Path) -> dict[str, list[dict[str, Any]]]:
    """The records of an offline run by type, as ``wandb leet inspect --json`` prints them."""
    records: dict[str, list[dict[str, Any]]] = {}
    for record in map(json.loads, leet_inspect(file).splitlines()):
        records.setdefault(record["type"], []).append(record[record["type"]])
    return records


def read_back(folder: Path, run_id: str) -> list[dict[str, list[dict[str, Any]]]]:
    """The records of every session of a run, the first one first."""
    return [inspect(file) for file in sorted(folder.glob(f"wandb/offline-run-*-{run_id}/*.wandb"))]


def session(run: WandbRun, run_dir: Path, run_id: str | None = None, **arguments: Any) -> str:
    """A whole session of one row; the run's id."""
    run.start({}, run_id, **{"name": "own name", "group": "own group", "run_dir": run_dir} | arguments)
    run.log({"train/loss": 0.5}, 1)
    run.finish(0)
    assert run.id is not None
    return run.id


def test_offline_runs_are_read_back(tmp_path: Path) -> None:
    ids = []
    for i in range(2):
        run = WandbRun("auto", dir=str(tmp_path))
        run.start({"optimizer": {"lr": 0.125}}, None, f"run {i}", "my-group", tmp_path)
        assert run.mode_used == "offline"
        run.log({"train/loss": 1.5 + i}, 10)
        run.log({"train/loss": 0.5}, 20)
        run.summary({"best": 0.25})
        run.finish(i)
        ids.append(run.id)
        assert run.hint()[0] == f"wandb leet {tmp_path}/wandb"
        assert run.hint()[1].startswith(f"wandb sync {tmp_path}/wandb/offline-run-")
        assert run.hint()[1].endswith(run.id or "?")
        assert len(run.hint()) == 2
    assert len(set(ids)) == 2
    files = sorted(tmp_path.glob("wandb/offline-run-*/*.wandb"))
    assert {file.stem.removeprefix("run-") for file in files} == set(ids)
    for i, run_id in enumerate(ids):
        (records,) = read_back(tmp_path, run_id or "")
        (run_record,) = records["run"]
        assert (run_record["run_id"], run_record["run_group"]) == (run_id, "my-group")
        assert (run_record["display_name"], run_record["project"]) == (f"run {i}", "ebm-exp")
        assert run_record["job_type"] == "train"
        assert run_record["config"]["update"]["optimizer"] == {"lr": 0.125}
        rows = [(row["item"]["step"], row["item"]["train/loss"]) for row in records["history"]]
        assert rows == [(10, 1.5 + i), (20, 0.5)]
        assert [(m["glob_name"], m["step_metric"]) for m in records["metric"]] == [("*", "step")]
        assert any(s.get("update", {}).get("best") == 0.25 for s in records["summary"])
        assert [e.get("exit_code", 0) for e in records["exit"]] == [i]


def test_the_group_of_the_config_wins_and_images_are_logged(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    run = WandbRun("offline", group="mine", dir=str(tmp_path))
    run.start({}, None, "x", "the-sweep", tmp_path)
    run.log_images({"samples/fresh": tmp_path / "a.png"}, 7)
    run.finish(0)
    (records,) = read_back(tmp_path, run.id or "")
    assert records["run"][0]["run_group"] == "mine"
    (row,) = records["history"]
    assert row["item"]["step"] == 7
    assert row["item"]["samples/fresh._type"] == "image-file"
    assert row["item"]["samples/fresh.width"] == 8


VARIABLES = {
    "WANDB_PROJECT": "a-project",
    "WANDB_ENTITY": "a-team",
    "WANDB_RUN_GROUP": "a-group",
    "WANDB_NAME": "a name",
    "WANDB_TAGS": "one, two,",
    "WANDB_JOB_TYPE": "a-job",
    "WANDB_NOTES": "some notes",
}
FIELDS = ("project", "entity", "run_group", "display_name", "tags", "job_type", "notes")


def identity(folder: Path, run_id: str) -> tuple[Any, ...]:
    """What the last session of a run was to W&B."""
    record = read_back(folder, run_id)[-1]["run"][0]
    return tuple(record.get(field) for field in FIELDS)


def test_the_variables_of_wandb_are_obeyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (VARIABLES | {"WANDB_DIR": str(tmp_path / "elsewhere"), "WANDB_MODE": " OFFLINE"}).items():
        monkeypatch.setenv(name, value)
    run_id = session(WandbRun(), tmp_path)
    expected = ("a-project", "a-team", "a-group", "a name", ["one", "two"], "a-job", "some notes")
    assert identity(tmp_path / "elsewhere", run_id) == expected
    assert os.environ["WANDB_TAGS"] == "one, two,"  # the environment is as it was


def test_our_keys_win_over_the_variables_of_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (VARIABLES | {"WANDB_DIR": "/dev/null/x", "WANDB_MODE": "nonsense", "WANDB_TAGS": ","}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WANDB_PROJECT", "what/W&B/refuses")
    keys = {"project": "p", "entity": "e", "group": "g", "name": "n", "tags": (), "job_type": "j", "notes": "t"}
    run_id = session(WandbRun("offline", dir=str(tmp_path), **keys), tmp_path)
    assert identity(tmp_path, run_id) == ("p", "e", "g", "n", None, "j", "t")


def test_blank_variables_are_no_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "WANDB_MODE", "WANDB_DIR", "WANDB_API_KEY"):
        monkeypatch.setenv(name, " " if name != "WANDB_API_KEY" else "")
    monkeypatch.chdir(tmp_path)
    run_id = session(WandbRun(), tmp_path)
    assert identity(tmp_path / "outputs", run_id) == ("ebm-exp", None, "own group", "own name", None, "train", None)


def test_a_run_that_goes_on_stays_what_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of the first shell are not those of the second; a key given then wins."""
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    run_id = session(WandbRun("offline", dir=str(tmp_path)), tmp_path, group="the sweep's")
    first = identity(tmp_path, run_id)
    for name in VARIABLES:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_PROJECT", "another")
    time.sleep(SESSIONS)
    session(WandbRun("offline", dir=str(tmp_path)), tmp_path, run_id)
    assert identity(tmp_path, run_id) == first
    time.sleep(SESSIONS)
    session(WandbRun("offline", dir=str(tmp_path), tags=("mine",)), tmp_path, run_id)
    assert identity(tmp_path, run_id) == (*first[:4], ["mine"], *first[5:])
    other = session(WandbRun("offline", dir=str(tmp_path)), tmp_path)  # a new run in the same directory
    assert identity(tmp_path, other)[0] == "another"


def test_the_hint_names_all_pieces_of_a_run_and_can_be_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "it's a=folder, with $HOME"
    elsewhere = tmp_path / "node 7"
    run_id = session(WandbRun("offline", dir=str(folder)), tmp_path)
    time.sleep(SESSIONS)
    session(WandbRun("offline", dir=str(folder)), tmp_path, run_id)
    time.sleep(SESSIONS)
    monkeypatch.setenv("WANDB_DIR", str(elsewhere))
    last = WandbRun("offline")
    session(last, tmp_path, run_id)
    session(WandbRun("offline"), tmp_path / "..")  # another run beside it
    leet, sync = last.hint()
    assert pasted(leet) == ["leet", str(elsewhere / "wandb")]
    assert pasted(sync) == [
        "sync",
        *map(str, sorted(folder.glob(f"wandb/offline-run-*-{run_id}"))),
        *map(str, elsewhere.glob(f"wandb/offline-run-*-{run_id}")),
    ]
    assert len(pasted(sync)) == 4
    first = next(folder.glob(f"wandb/offline-run-*-{run_id}"))
    (first / f"run-{run_id}.wandb.synced").touch()  # as wandb sync leaves it
    assert len(pasted(last.hint()[1])) == 3


def pasted(line: str) -> list[str]:
    """What bash makes of a printed command's arguments."""
    program, _, rest = line.partition(" ")
    assert program == "wandb"
    done = subprocess.run(["bash", "-c", f"printf '%s\\n' {rest}"], capture_output=True, text=True, check=True)
    assert shlex.split(rest) == done.stdout.splitlines()
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("mode", "environment", "netrc", "used"),
    [
        ("auto", {}, "", "offline"),
        ("auto", {"WANDB_API_KEY": KEY}, "", "online"),
        ("auto", {}, f"machine api.wandb.ai login user password {KEY}", "online"),
        ("auto", {}, f"machine elsewhere.org login user password {KEY}", "offline"),
        ("auto", {"WANDB_API_KEY": KEY, "WANDB_MODE": "offline"}, "", "offline"),
        ("auto", {"WANDB_API_KEY": KEY, "WANDB_MODE": "dryrun"}, "", "offline"),
        ("auto", {"WANDB_API_KEY": KEY, "WANDB_MODE": "disabled"}, "", "disabled"),
        ("auto", {"WANDB_API_KEY": KEY, "WANDB_MODE": "OFFLINE"}, "", "offline"),
        ("auto", {"WANDB_API_KEY": KEY, "WANDB_MODE": " Disabled\n"}, "", "disabled"),
        ("auto", {"WANDB_API_KEY": KEY, "WANDB_MODE": ""}, "", "online"),
        ("auto", {"WANDB_MODE": "online"}, "", "offline"),  # never a prompt
        ("online", {}, "", "offline"),
        ("offline", {"WANDB_API_KEY": KEY, "WANDB_MODE": "online"}, "", "offline"),
        ("offline", {"WANDB_API_KEY": "short", "WANDB_MODE": "nonsense"}, "", "offline"),
        ("disabled", {"WANDB_API_KEY": "short", "WANDB_BASE_URL": "nonsense"}, "", "disabled"),
    ],
)
def test_the_mode_follows_environment_and_key(
    mode: str, environment: dict[str, str], netrc: str, used: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "netrc").write_text(netrc)
    assert WandbRun(mode)._choose_mode() == used  # type: ignore[arg-type]


REFUSED = [
    ({"WANDB_MODE": "nonsense"}, {}, "WANDB_MODE must be online, offline or disabled, got 'nonsense'"),
    ({"WANDB_MODE": "on line"}, {}, "WANDB_MODE must be online, offline or disabled, got 'on line'"),
    ({"WANDB_BASE_URL": "nonsense"}, {}, "WANDB_BASE_URL is wrong: 'nonsense': Input should be a valid URL"),
    ({"WANDB_BASE_URL": ""}, {"mode": "offline"}, "WANDB_BASE_URL is wrong: ''"),
    ({"WANDB_API_KEY": "short"}, {}, "WANDB_API_KEY is wrong: API key must have 40"),
    ({"WANDB_API_KEY": "short"}, {"mode": "online"}, "logger.mode=offline needs none"),
    ({"WANDB_API_KEY": f" {KEY}"}, {}, "WANDB_API_KEY is wrong: API key cannot start or end with whitespace"),
    ({"WANDB_DIR": "/dev/null/runs"}, {}, "WANDB_DIR must be a folder that can be written to, got '/dev/null/runs'"),
    ({}, {"dir": "/dev/null"}, "dir must be a folder that can be written to, got '/dev/null'"),
    ({"WANDB_PROJECT": "a/b"}, {}, "WANDB_PROJECT is wrong: 'a/b': Invalid project name"),
    ({}, {"project": "a/b"}, "project is wrong: 'a/b': Invalid project name"),
    ({"WANDB_TAGS": "x" * 70}, {}, "WANDB_TAGS is wrong"),
    ({}, {"tags": ("",)}, "tags is wrong"),
    ({"WANDB_SILENT": "perhaps"}, {}, "WANDB_SILENT is wrong: 'perhaps': Input should be a valid boolean"),
    ({"WANDB_FINISH_TIMEOUT": "soon"}, {}, "WANDB_FINISH_TIMEOUT is wrong: 'soon': Input should be a valid number"),
]


@pytest.mark.parametrize(("environment", "keys", "message"), REFUSED)
def test_what_wandb_would_stop_at_is_refused_in_one_line(
    environment: dict[str, str], keys: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError) as error:
        WandbRun(**keys)
    assert str(error.value).startswith(message) or message in str(error.value)
    assert "\n" not in str(error.value)
    assert "short" not in str(error.value)  # nothing of a key is shown
    WandbRun("disabled")


def test_a_wrong_key_in_netrc_is_refused(tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password short")
    with pytest.raises(ValueError, match="W&B's key in the netrc file is wrong: API key must have 40"):
        WandbRun()
    (tmp_path / "netrc").write_text("what is this?")  # W&B says so and goes on
    assert WandbRun()._choose_mode() == "offline"


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(ValueError, match="dir must be a folder that can be written to"):
        WandbRun(dir=str(tmp_path / "locked" / "runs"))


@pytest.mark.parametrize("variable", ["WANDB_MODE=nonsense", "WANDB_BASE_URL=nonsense"])
def test_the_command_line_refuses_in_one_line(variable: str, tmp_path: Path) -> None:
    name, value = variable.split("=")
    command = [sys.executable, "train.py", f"hydra.run.dir={tmp_path}/run", "device=cpu"]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        command, cwd=root, env=os.environ | {name: value}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"logger: {name} ")
    assert len(done.stderr.splitlines()) <= 2  # Hydra's own before it
    assert not (tmp_path / "run").exists()


def test_an_unreachable_server_leaves_an_offline_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    warnings: Callable[[], list[str]],
    capfd: pytest.CaptureFixture[str],
) -> None:
    import wandb

    init = wandb.init

    def no_network(mode: str, **arguments: Any) -> Any:
        if mode == "online":
            raise wandb.errors.CommError("no route to host\nand more")
        return init(mode=mode, **arguments)

    monkeypatch.setattr(wandb, "init", no_network)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    run = WandbRun("auto", dir=str(tmp_path))
    session(run, tmp_path, "abcd1234")
    assert (run.id, run.mode_used) == ("abcd1234", "offline")
    assert warnings() == ["W&B cannot be used (no route to host); logging offline"]
    assert read_back(tmp_path, "abcd1234")[0]["history"][0]["item"]["train/loss"] == 0.5
    assert "wandb" not in "".join(capfd.readouterr())


def test_a_server_that_does_not_answer_leaves_an_offline_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: Callable[[], list[str]]
) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and says nothing
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setattr(wandb_logger, "_INIT_TIMEOUT", 1)
        run = WandbRun(dir=str(tmp_path))
        began = time.monotonic()
        session(run, tmp_path)
        assert time.monotonic() - began < 30
    assert run.mode_used == "offline"
    assert len(warnings()) == 1
    assert warnings()[0].endswith("logging offline")
    assert [line.split()[1] for line in run.hint()] == ["leet", "sync"]


def test_nothing_of_wandb_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: Callable[[], list[str]]
) -> None:
    import wandb

    def broken(**arguments: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(wandb, "init", broken)
    run = WandbRun("offline", dir=str(tmp_path))
    run.start({}, "abcd1234", "x", None, tmp_path)
    run.log({"a": 1.0}, 1)
    run.summary({"b": 1.0})
    run.finish(0)
    assert (run.id, run.mode_used, run.hint()) == ("abcd1234", "disabled", [])
    assert warnings() == ["W&B cannot be used ([Errno 28] No space left on device); going on without it"]


@pytest.mark.parametrize("method", ["log", "log_images", "summary", "finish"])
def test_an_error_of_wandb_is_told_once_and_the_training_goes_on(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: Callable[[], list[str]]
) -> None:
    run = WandbRun("offline", dir=str(tmp_path))
    run.start({}, None, "x", None, tmp_path)

    class Broken:
        settings = run._run.settings

        def __getattr__(self, name: str) -> Any:
            raise ConnectionResetError("Connection lost\nand more")

    monkeypatch.setattr(run, "_run", Broken())
    image = tmp_path / "a.png"
    Image.new("L", (8, 8)).save(image)
    for _ in range(2):
        if method == "finish":
            run.finish(0)
        else:
            getattr(run, method)(*{"log_images": ({"a": image}, 1), "summary": ({"a": 1},)}.get(method, ({"a": 1}, 1)))
    verb = {"log": "log", "log_images": "log images", "summary": "keep a summary", "finish": "finish"}[method]
    assert warnings() == [f"W&B could not {verb} (Connection lost); going on without it"]
    run.finish(0)
    assert len(warnings()) == 1
    assert run.hint()[1].startswith("wandb sync ")  # what was written can be uploaded


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSTOP"])
def test_the_helper_process_of_wandb_dies_or_freezes(name: str, tmp_path: Path) -> None:
    """In a process of its own, whose end must be in order too, and in which a later run gets a helper of its own."""
    code = f"""
import logging, os, pathlib, signal, subprocess, sys
logging.basicConfig(format="%(message)s")
from ebm_exp.logger import WandbRun, wandb_logger
wandb_logger._CALL_TIMEOUT = 2
folder = pathlib.Path(sys.argv[1])
run = WandbRun("offline", dir=str(folder))
run.start({{}}, None, "x", None, folder)
run.log({{"a": 1.0}}, 1)
children = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())], capture_output=True, text=True)
(helper,) = [int(line.split()[0]) for line in children.stdout.splitlines() if "wandb-core" in line]
os.kill(helper, signal.{name})
print(helper, flush=True)
for step in range(2, 300):
    run.log({{f"metric {{i}}": float(step) for i in range(1000)}}, step)
run.finish(0)
other = WandbRun("offline", dir=str(folder))
other.start({{}}, None, "x", None, folder)
other.log({{"a": 1.0}}, 1)
other.finish(0)
assert other.mode_used == "offline"
"""
    out, err = tmp_path / "out.txt", tmp_path / "err.txt"  # no pipes: a frozen helper would hold them open
    with out.open("w") as stdout, err.open("w") as stderr:
        command = [sys.executable, "-c", code, str(tmp_path)]
        done = subprocess.run(command, stdout=stdout, stderr=stderr, timeout=90, check=False)
    if name == "SIGSTOP":
        os.kill(int(out.read_text().split()[0]), signal.SIGKILL)
    assert done.returncode == 0, err.read_text()
    (warning,) = err.read_text().splitlines()
    assert warning.startswith("W&B could not ")
    assert warning.endswith("going on without it")


def test_disabled_imports_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from ebm_exp.logger import WandbRun; r = WandbRun('disabled');"
        "r.start({}, None, 'x', None, pathlib.Path('.')); r.log({'a': 1.0}, 1); r.finish(0);"
        "assert 'wandb' not in sys.modules and r.hint() == []"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
