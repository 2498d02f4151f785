"""A run directory is data: what its config may name, and what not."""

from pathlib import Path

import pytest
import yaml

from ebm_exp.config.errors import UserError
from ebm_exp.config.trust import read_run_config


def run_with(tmp_path: Path, config: object) -> Path:
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "config.yaml").write_text(yaml.safe_dump(config))
    return tmp_path


@pytest.mark.parametrize(
    "target",
    [
        "torch.utils.collect_env.run",
        "os.system",
        "builtins.eval",
        "subprocess.Popen",
        "ebm_exp.config.trust.importlib.import_module",
        "ebm_exp.config.trust.read_run_config",
        "ebm_exp.run.load_run",
        "torch.nn.modules.module.Module.load_state_dict",
        "torch.nn.utils.parametrize.cached",
        "torch.load",
        "torch.hub.load",
        "torch.optim.lr_scheduler._LRScheduler",
        "tests.conftest.cli",
        "${energy.name}",
        ["os.system"],
        None,
    ],
)
@pytest.mark.parametrize("place", ["energy", "deep"])
def test_foreign_targets_are_refused(tmp_path: Path, target: object, place: str) -> None:
    node = {"_target_": target}
    config = {"energy": node} if place == "energy" else {"a": [{"b": node}]}
    with pytest.raises(UserError, match="nothing was built"):
        read_run_config(run_with(tmp_path, config))


def test_a_module_beside_the_run_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "evil_module.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError):
        read_run_config(run_with(tmp_path, {"energy": {"_target_": "evil_module.Energy"}}))


@pytest.mark.parametrize(
    "target",
    ["ebm_exp.energy.MLP", "ebm_exp.sampler.Langevin", "torch.nn.Tanh", "torch.nn.SiLU", "torch.optim.RMSprop"],
)
def test_parts_and_layers_pass(tmp_path: Path, target: str) -> None:
    config = {"energy": {"_target_": target}}
    assert read_run_config(run_with(tmp_path, config)) == config


def test_trust_lifts_the_rule(tmp_path: Path) -> None:
    config = {"energy": {"_target_": "my_package.MyEnergy"}}
    assert read_run_config(run_with(tmp_path, config), trust=True) == config


@pytest.mark.parametrize("text", ["${oc.env:HOME}", "${${a}:HOME}", "x${oc.env:HOME}y", "${ oc.env:HOME }"])
def test_resolvers_are_not_called(tmp_path: Path, text: str) -> None:
    config = {"dataset": {"root": text, "name": "${name}"}, "a": "oc.env"}
    read = read_run_config(run_with(tmp_path, config))
    assert read["dataset"] == {"root": "???", "name": "${name}"}


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"resume: .* is not a run directory"):
        read_run_config(tmp_path, key="resume")
