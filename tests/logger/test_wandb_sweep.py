"""conf/wandb_sweep/: the command lines that ``wandb agent`` makes of them are ones that train.py takes."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from ebm_exp.config.trust import CONF
from ebm_exp.config.validate import validate
from ebm_exp.trainer.build import build
from tests.config.test_conf import composed
from tests.logger.test_wandb_runs import records
from tests.warm import Warm, environment

SWEEPS = {file.stem: yaml.safe_load(file.read_text()) for file in (CONF / "wandb_sweep").glob("*.yaml")}


def ends(parameter: dict[str, Any]) -> list[Any]:
    """The values at the ends of a range, or all of a list."""
    return parameter["values"] if "values" in parameter else [parameter["min"], parameter["max"]]


def command_line(sweep: dict[str, Any], values: dict[str, Any]) -> list[str]:
    """What ``wandb agent`` starts for these values (``Agent._command_run`` of W&B)."""
    parts = create_sweep_command_args({"args": {key: {"value": value} for key, value in values.items()}})
    parts |= {"env": ["/usr/bin/env"], "interpreter": ["python"], "program": [sweep["program"]]}
    line: list[str] = []
    for each in create_sweep_command(copy.deepcopy(sweep["command"])):
        macro = each.startswith("${") and each.endswith("}")
        line += parts[each[2:-1]] if macro else [each]
    return line


CORNERS = [
    (name, end, key)
    for name, sweep in SWEEPS.items()
    for key, parameter in sweep["parameters"].items()
    for end in range(len(ends(parameter)))
]


@pytest.mark.parametrize(("name", "end", "key"), CORNERS)
def test_both_ends_of_every_range_are_taken(name: str, end: int, key: str) -> None:
    sweep = SWEEPS[name]
    values = {each: ends(parameter)[0] for each, parameter in sweep["parameters"].items()}
    values[key] = ends(sweep["parameters"][key])[end]
    line = command_line(sweep, values)
    assert line[:3] == ["/usr/bin/env", "python", "train.py"]
    config = composed(*line[3:])
    validate(config)
    build(config | {"logger": config["logger"] | {"mode": "disabled"}, "device": "cpu"})
    for path, value in values.items():
        assert look_up(config, path) == value


@pytest.mark.parametrize("name", SWEEPS)
def test_a_sweep_varies_leaves_and_optimizes_what_is_evaluated(name: str) -> None:
    sweep = SWEEPS[name]
    config = composed(*command_line(sweep, {})[3:])
    produced = {f"eval/{score}" for each in build(config)[1].evaluators.values() for score in each.gives()}
    assert sweep["metric"]["name"] in produced
    assert config["trainer"]["max_steps"] > config["trainer"]["evaluate_every_steps"]
    for key in sweep["parameters"]:
        assert not isinstance(look_up(config, key), dict)


def test_an_agents_run_has_the_id_of_the_server(tmp_path: Path, warm: Warm) -> None:
    """As the agent starts it, offline here."""
    sweep = SWEEPS["digits"]
    values = {key: ends(parameter)[0] for key, parameter in sweep["parameters"].items()}
    small = ("trainer.max_steps=1", "evaluator=none", "sampling.n_steps=2", "device=cpu", "logger.mode=offline")
    where = (f"hydra.run.dir={tmp_path}/run", f"logger.dir={tmp_path}")
    line = [*command_line(sweep, values)[2:], *small, *where]
    done = warm.run(line, environment() | {"WANDB_RUN_ID": "agent123"}, tmp_path, 240)
    assert done.returncode == 0, done.stderr
    (record,) = records(tmp_path)
    assert record["run"][0]["run_id"] == "agent123"
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["wandb_id"] == "agent123"


def look_up(config: Any, path: str) -> Any:
    """A dotted key."""
    for part in path.split("."):
        config = config[part]
    return config
