"""A run directory is data: what its config may name, and what not."""

from pathlib import Path

import pytest
import yaml

from ebm_exp.config.build import Parts
from ebm_exp.config.errors import UserError
from ebm_exp.config.run_config import read_run_config
from ebm_exp.config.trust import CONF, _is_known_kind, _targets_in, allowed_by
from ebm_exp.config.validate import validate


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
        "ebm_exp.config.run_config.read_run_config",
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
    run = run_with(tmp_path, config)
    for target_is_refused in (
        lambda: allowed_by(run).check(read_run_config(run).values),
        lambda: validate({**config, "name": "x", "seed": 0, "device": "cpu", "optimized_metric": None}),
        lambda: Parts(config).construct("energy", node),
    ):
        with pytest.raises(UserError, match=r"nothing was built|refers to energy.name"):
            target_is_refused()


def test_a_module_beside_the_run_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "evil_module.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    run = run_with(tmp_path, {"energy": {"_target_": "evil_module.Energy"}})
    with pytest.raises(UserError):
        allowed_by(run).check(read_run_config(run).values)


@pytest.mark.parametrize(
    "target",
    ["ebm_exp.energy.MLP", "ebm_exp.sampler.Langevin", "torch.nn.Tanh", "torch.nn.SiLU", "torch.optim.RMSprop"],
)
def test_parts_and_layers_pass(tmp_path: Path, target: str) -> None:
    run = run_with(tmp_path, {"energy": {"_target_": target}})
    allowed_by(run).check(read_run_config(run).values)


def test_all_that_is_shipped_is_a_part_or_of_a_known_kind() -> None:
    shipped = {target for target in _targets_in([CONF]) if not target.startswith("hydra_plugins.")}
    assert len(shipped) > 60
    assert [target for target in sorted(shipped) if not _is_known_kind(target)] == []


def test_what_its_user_names_passes(tmp_path: Path) -> None:
    run = run_with(tmp_path, {"energy": {"_target_": "my_package.MyEnergy"}})
    config = read_run_config(run).values
    for typed in ("energy._target_=my_package.MyEnergy", "+energy={_target_: my_package.MyEnergy}"):
        allowed_by(run, [typed]).check(config)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "my.yaml").write_text("_target_: my_package.MyEnergy\n")
    allowed_by(run, folders=[tmp_path / "mine"]).check(config)
    with pytest.raises(UserError, match=r"^run: .*config.yaml names energy._target_: 'my_package.MyEnergy'"):
        allowed_by(run, ["energy._target_=my_package.Other"]).check(config)


@pytest.mark.parametrize("text", ["${oc.env:HOME}", "${${a}:HOME}", "x${oc.env:HOME}y", "${ oc.env:HOME }"])
def test_resolvers_are_not_called(tmp_path: Path, text: str) -> None:
    config = {"dataset": {"root": text, "name": "${name}"}, "a": "oc.env", "b": "in ${dataset.root}", "name": "x"}
    read = read_run_config(run_with(tmp_path, config | {"c": "${dataset.root}", "d": "${c}", "e": "in ${d}"})).values
    assert read["dataset"] == {"root": "???", "name": "x"}
    assert (read["b"], read["c"], read["d"], read["e"]) == ("???", "${dataset.root}", "${dataset.root}", "???")


@pytest.mark.parametrize("second", ["{oc.env:HOME}", "{b}"])
def test_no_value_is_assembled_into_a_reference(tmp_path: Path, second: str) -> None:
    with pytest.raises(UserError, match="notes would be a reference once its references are resolved"):
        read_run_config(run_with(tmp_path, {"notes": "${a}${b}", "a": "$", "b": second}))


def test_side_effects_are_those_of_today(tmp_path: Path) -> None:
    node = {"mode": "auto", "entity": "theirs", "wandb": {"mode": "${logger.mode}", "dir": "/etc"}}
    dataset = {"download": True, "cache_dir": "/etc", "root": "/data", "entity": "mine"}
    run = run_with(tmp_path, {"logger": node, "dataset": dataset})
    read = read_run_config(run, live=("logger",))
    assert read.values == {
        "logger": {"mode": "auto", "entity": None, "wandb": {"mode": "${logger.mode}", "dir": None}},
        "dataset": {"download": False, "cache_dir": "outputs/cache", "root": "/data", "entity": "mine"},
    }
    assert read.not_taken == {
        "logger.entity": "theirs",
        "logger.wandb.dir": "/etc",
        "dataset.download": True,
        "dataset.cache_dir": "/etc",
    }
    assert read_run_config(run, trust=True).values["logger"]["entity"] == "theirs"


@pytest.mark.parametrize("config", [{"hydra": {}}, {"energy": {"defaults": []}}, {"a": [{"b": {"defaults": 1}}]}])
def test_nothing_speaks_to_hydra(tmp_path: Path, config: object) -> None:
    with pytest.raises(UserError, match="is not the config of a run"):
        read_run_config(run_with(tmp_path, config))


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"resume: .* is not a run directory"):
        read_run_config(tmp_path, key="resume")
