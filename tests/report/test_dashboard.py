"""The dashboard: it is built and reads back, and shows nothing that is not logged."""

import json
from pathlib import Path
from typing import Any

import pytest

from ebm_exp.metrics import FAMILIES, GROUPS, METRICS
from ebm_exp.report import dashboard
from ebm_exp.run.directory import RunDirectory
from tests.logger.offline import KEY, inspect
from tests.warm import Warm, environment

workspaces = pytest.importorskip("wandb_workspaces.workspaces", reason="the extra dashboard is not installed")
SMALL = (
    *("energy.widths=[16]", "trainer.batch_size=16", "buffer.size=128", "trainer.max_steps=2", "device=cpu"),
    *("trainer.log_every_steps=1", "trainer.evaluate_every_steps=2", "trainer.image_every_steps=2"),
    *("sampling.n_steps=3", "logger.mode=offline"),
)
RUNS = {
    "digits": ("dataset.suggest.n_samples=16", "sampler.n_steps=2"),
    "plane": ("experiment=plane", "evaluator.grid.n=60", "dataset.n_train=500", "dataset.n_test=100"),
}


@pytest.fixture(scope="module")
def logged(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The names in the W&B records of PCD on digits and in the plane, and the keys of their configs."""
    names: set[str] = set()
    keys: set[str] = set()
    for name, own in RUNS.items():
        folder = tmp_path_factory.mktemp(name)
        where = (f"hydra.run.dir={folder}/run", f"logger.dir={folder}")
        done = warm.run(["train.py", *own, *SMALL, *where], environment(), folder, 240)
        assert done.returncode == 0, done.stderr
        (file,) = folder.glob("wandb/offline-run-*/*.wandb")
        records = inspect(file)
        rows = [row["item"] for row in records["history"]] + [s.get("update", {}) for s in records["summary"]]
        names |= {key.removesuffix("._type") for row in rows for key in row}
        names |= {f"system/{key}" for stats in records["stats"] for key in stats["item"]}
        keys |= leaves(records["run"][0]["config"]["update"])
        written = {key for row in RunDirectory(folder / "run").metrics() for key in row} - {"step"}
        assert written <= names  # W&B has all that metrics.jsonl has
    return {"names": names, "keys": keys}


def leaves(node: dict[str, Any], path: str = "") -> set[str]:
    """The dotted keys of a config."""
    found: set[str] = set()
    for key, value in node.items():
        found |= leaves(value, f"{path}{key}.") if isinstance(value, dict) else {path + key}
    return found


def test_every_metric_it_shows_is_one_that_is_logged(logged: dict[str, set[str]]) -> None:
    assert set(dashboard.shown()) - logged["names"] == set()
    assert set(dashboard.KEYS) - logged["keys"] == set()
    of_ours = {name for name in logged["names"] if name.partition("/")[0] in GROUPS and "." not in name}
    assert [name for name in of_ours - set(METRICS) if not any(family.holds(name) for family in FAMILIES)] == []


def test_what_is_built_is_what_it_says_it_shows() -> None:
    """The names in the JSON that W&B gets are those that the test above holds against the logs."""
    built = json.loads(dashboard.as_json(dashboard.build("me", "ebm-exp")))
    assert [section["name"] for section in sections(built)] == list(dashboard.ORDER)
    assert all(section["panels"] for section in sections(built))
    shown: set[str] = set()
    for section in sections(built):
        for panel in section["panels"]:
            config = panel["config"]
            shown |= {name.removeprefix("summary_metrics.") for name in config.get("metrics") or []}
            shown |= set(config.get("mediaKeys") or [])
            shown |= {config["targetKey"]} if "targetKey" in config else set()
    assert shown <= set(dashboard.shown())
    assert shown >= {metric for plots in dashboard.LINES.values() for plot in plots for metric in plot.metrics}
    assert {"samples/fresh", "samples/buffer", "samples/data", "samples/density", "best/value"} <= shown


def sections(built: dict[str, Any]) -> list[dict[str, Any]]:
    """Of the JSON, those that are ours."""
    found = built["spec"]["section"]["panelBankConfig"]["sections"]
    return [section for section in found if section["name"] in dashboard.ORDER]


def test_it_reads_back() -> None:
    built = dashboard.build("me", "ebm-exp", ("sampler.step_size",), "best/mmd2")
    again = workspaces.Workspace._from_model(built._to_model())
    assert [(s.name, len(s.panels)) for s in again.sections] == [(s.name, len(s.panels)) for s in built.sections]
    text = dashboard.as_json(built)
    assert "config:sampler.value.step_size" in text
    assert "summary:best/mmd2" in text
    assert "optimizer" not in text


def test_without_a_key_it_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dashboard.main(["me/ebm-exp"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["entity"] == "me"
    assert said.err == "W&B has no key (`wandb login` stores one), so nothing was saved\n"
    assert dashboard.main(["me/ebm-exp", "--json", str(tmp_path / "dashboard.json")]) == 0
    assert json.loads((tmp_path / "dashboard.json").read_text())["project"] == "ebm-exp"
    assert capsys.readouterr().out == ""


def test_with_a_key_it_is_saved(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    saved: list[Any] = []

    class Saved:
        url = "https://wandb.ai/me/ebm-exp?nw=1"

    monkeypatch.setattr(workspaces.Workspace, "save", lambda self: saved.append(self) or Saved)
    assert dashboard.main(["me/ebm-exp", "--keys", "seed"]) == 0
    assert capsys.readouterr().out == f"{Saved.url}\n"
    assert saved[0].project == "ebm-exp"

    def refused(self: Any) -> None:
        raise ConnectionError("no route to host\nand more")

    monkeypatch.setattr(workspaces.Workspace, "save", refused)
    assert dashboard.main(["me/ebm-exp"]) == 1
    assert capsys.readouterr().err == "W&B did not save it: no route to host; --json writes it to a file\n"


@pytest.mark.parametrize("project", ["ebm-exp", "me/", "/x", "a/b/c"])
def test_a_project_needs_its_owner(project: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert dashboard.main([project]) == 2
    assert capsys.readouterr().err == f"project: must be <entity>/<project>, got {project!r}\n"


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(dashboard.importlib.util, "find_spec", lambda name: None)
    assert dashboard.main(["me/ebm-exp"]) == 2
    assert "pip install '.[dashboard]' where this project is" in capsys.readouterr().err
