"""W&B: its variables, and what it would stop at in the middle of a start."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ebm_exp.logger import WandbRun
from tests.logger.offline import KEY, identity, session
from tests.warm import Warm, environment

VARIABLES = {
    "WANDB_PROJECT": "a-project",
    "WANDB_ENTITY": "a-team",
    "WANDB_RUN_GROUP": "a-group",
    "WANDB_NAME": "a name",
    "WANDB_TAGS": "one, two,",
    "WANDB_JOB_TYPE": "a-job",
    "WANDB_NOTES": "some notes",
}


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


@pytest.mark.parametrize(
    ("here", "home", "environment", "mode", "used"),
    [
        ("disabled", "", {}, "auto", "disabled"),  # `wandb disabled` in this folder
        ("offline", "", {}, "auto", "offline"),
        ("", "disabled", {}, "auto", "disabled"),
        ("", "offline", {}, "auto", "offline"),
        ("online", "disabled", {}, "auto", "online"),  # `wandb enabled` in this folder
        ("disabled", "", {"WANDB_MODE": "online"}, "auto", "online"),  # typed for this command
        ("disabled", "", {}, "online", "online"),
        ("disabled", "", {}, "offline", "offline"),
        ("", "", {"WANDB_DISABLED": "true"}, "auto", "disabled"),
        ("", "", {"WANDB_DISABLED": "false"}, "auto", "online"),
        ("dot", "", {}, "auto", "disabled"),
    ],
)
def test_what_wandbs_own_commands_left_is_the_users_word(
    here: str,
    home: str,
    environment: dict[str, str],
    mode: str,
    used: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in ({"WANDB_API_KEY": KEY} | environment).items():
        monkeypatch.setenv(name, value)
    work = tmp_path / "work"
    local = work / (".wandb" if here == "dot" else "wandb") / "settings"
    for file, said in ((local, here.replace("dot", "disabled")), (tmp_path / ".config" / "wandb" / "settings", home)):
        file.parent.mkdir(parents=True)
        file.write_text(f"[default]\nmode = {said}\n" if said else "")
    monkeypatch.chdir(work)
    assert WandbRun(mode)._choose_mode() == used  # type: ignore[arg-type]


def test_a_project_of_wandbs_settings_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "settings").write_text("[default]\nmode = offline\nproject = theirs\nentity = a-team\n")
    monkeypatch.chdir(tmp_path)
    run_id = session(WandbRun(), tmp_path)
    assert identity(tmp_path / "outputs", run_id)[:2] == ("theirs", "a-team")


def test_a_wrong_mode_of_wandbs_settings_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "settings").write_text("[default]\nmode = perhaps\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"^mode in W&B's settings must be online, offline or disabled, got 'perhaps'"):
        WandbRun()


def test_wandb_asks_no_repository_that_one_stands_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    name = ["-c", "user.name=a", "-c", "user.email=a@b"]
    (tmp_path / "a.py").write_text("1\n")
    for command in (["add", "."], [*name, "commit", "-qm", "one"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    (tmp_path / "a.py").write_text("2\n")
    with (tmp_path / ".git" / "config").open("a") as file:
        file.write(f'[diff]\n\texternal = "touch {tmp_path}/made; true"\n')
    monkeypatch.chdir(tmp_path)
    session(WandbRun("offline", dir=str(tmp_path)), tmp_path)
    assert not (tmp_path / "made").exists()


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
def test_the_command_line_refuses_in_one_line(variable: str, warm: Warm, tmp_path: Path) -> None:
    name, value = variable.split("=")
    command = ["train.py", f"hydra.run.dir={tmp_path}/run", "device=cpu"]
    done = warm.run(command, environment() | {name: value}, tmp_path, 120)
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"logger: {name} ")
    assert len(done.stderr.splitlines()) <= 2  # Hydra's own before it
    assert not (tmp_path / "run").exists()


def test_tags_and_notes_of_a_run_stand_beside_a_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"tags": ("digits", "mlp"), "notes": "typed"}
    run_id = session(WandbRun("offline", dir=str(tmp_path), tags=("mine", "mlp")), tmp_path, **own)
    assert identity(tmp_path, run_id)[4:] == (["digits", "mlp", "mine"], "train", "typed")
    monkeypatch.setenv("WANDB_NOTES", "of the shell")
    monkeypatch.setenv("WANDB_TAGS", "shell")
    run_id = session(WandbRun("offline", dir=str(tmp_path)), tmp_path, **own)
    assert identity(tmp_path, run_id)[4:] == (["digits", "mlp", "shell"], "train", "typed")
    run_id = session(WandbRun("offline", dir=str(tmp_path)), tmp_path)
    assert identity(tmp_path, run_id)[4:] == (["shell"], "train", "of the shell")


def test_an_id_of_the_environment_names_a_single_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: Callable[[], list[str]]
) -> None:
    monkeypatch.setenv("WANDB_RUN_ID", "mine1234")
    assert session(WandbRun("offline", dir=str(tmp_path)), tmp_path) == "mine1234"
    assert warnings() == []
    jobs = {session(WandbRun("offline", dir=str(tmp_path)), tmp_path, in_sweep=True) for _ in range(2)}
    assert len(jobs) == 2
    assert "mine1234" not in jobs
    assert set(warnings()) == {"WANDB_RUN_ID is ignored: it names a single run, and this one is of a sweep"}
    assert session(WandbRun("offline", dir=str(tmp_path)), tmp_path, "abcd1234") == "abcd1234"  # it goes on
