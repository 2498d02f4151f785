"""Configs and overrides changed at random: what is wrong is told in a few lines, and nothing foreign is built.

``EBM_FUZZ=2000`` tries so many of each; the seed of one that fails is printed.
"""

import copy
import math
import os
import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ebm_exp.cli.checks import CHECKS
from ebm_exp.cli.line import CommandLine
from ebm_exp.config import build as building
from ebm_exp.config import validate as validation
from ebm_exp.config.build import Parts
from ebm_exp.config.compose import Loader
from ebm_exp.config.errors import UserError, out_of_memory
from ebm_exp.config.explain import explain
from ebm_exp.config.run_config import read_run_config
from ebm_exp.config.trust import ANY, CONF, allowed_by
from tests.config.test_conf import composed

N = int(os.environ.get("EBM_FUZZ", "200"))
VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 3, 10**12, 2**63, 10**400, 1e-300, -0.5, 0.5, 1e300, math.nan, math.inf, -math.inf),
    *("", "auto", "???", "a", "ä", "none", "1", "1e-3", "../..", "/dev/zero", "x" * 10_000, "\x00", "\u202e"),
    *("${seed}", "${dataset}", "${nowhere.at.all}", "${oc.env:HOME}", "${", "}", "$", "{oc.env:HOME}"),
    *("${${a}}", "\\${seed}"),
    *([], {}, [[]], [1, "a", None], [{}], {"a": 1}, {"_target_": "os.system"}, {"_target_": None}, {"_target_": []}),
    *({"_target_": "ebm_exp.energy.MLP"}, {"_target_": "torch.nn.Linear"}, {"_target_": "torch.nn.Module"}),
    *({"_target_": "ebm_exp.energy.Energy"}, {"_target_": "ebm_exp.run.load_run"}, {"_target_": "torch.hub.load"}),
    *({"_target_": "ebm_exp.sampler.Langevin", "_partial_": True}, {"_target_": "subprocess.Popen", "args": ["ls"]}),
]  # fmt: skip
KEYS = [
    "_target_",
    "_partial_",
    "_args_",
    "_convert_",
    "defaults",
    "hydra",
    "suggest",
    "params",
    "x",
    "",
    "a.b",
    "size",
    "name",
]
BUILT = (
    "dataset",
    "energy",
    "sampler",
    "buffer",
    "objective",
    "sampling",
    "evaluator",
    "guard",
    "trainer",
    "optimizer",
)


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all values."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [each for key, item in items for each in ((*path, key), *places(item, (*path, key)))]


def at(config: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        config = config[key]
    return config


def mutated(config: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """One to three values replaced, moved, added or left out."""
    config = copy.deepcopy(config)
    for _ in range(chance.randint(1, 3)):
        path = chance.choice(places(config))
        parent, key = at(config, path[:-1]), path[-1]
        match chance.randrange(5):
            case 0 | 1:
                parent[key] = copy.deepcopy(chance.choice(VALUES))
            case 2:
                parent[key] = copy.deepcopy(at(config, chance.choice(places(config))))
            case 3 if isinstance(parent, dict):
                parent[chance.choice(KEYS)] = copy.deepcopy(chance.choice(VALUES))
            case _:
                del parent[key]
        if not config:
            break
    return config


@pytest.fixture
def located(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The targets that configs had imported."""
    seen: list[str] = []
    real = validation.locate

    def record(path: str, target: Any) -> Any:
        seen.append(str(target))
        return real(path, target)

    monkeypatch.setattr(validation, "locate", record)
    monkeypatch.setattr(building, "locate", record)
    return seen


def test_configs_of_runs(tmp_path: Path, located: list[str], unchecked: None) -> None:
    (tmp_path / ".hydra").mkdir()
    file = tmp_path / ".hydra" / "config.yaml"
    recipes = [composed(), composed("experiment=plane/two_moons"), composed("objective=improved_cd", "sampler=jump")]
    n_built = 0
    for seed in range(N):
        chance = random.Random(seed)
        config = mutated(chance.choice(recipes), chance)
        file.write_text(yaml.safe_dump(config, sort_keys=False))
        try:
            read = read_run_config(tmp_path).values
            allowed = allowed_by(tmp_path)
            validation.validate(read | {"device": "cpu"}, allowed)
            parts = Parts(read | {"device": "cpu"}, allowed=allowed)
            for name in BUILT:
                parts[name]
            n_built, lines = n_built + 1, ["good"]
        except UserError as error:
            lines = str(error).splitlines()
        except Exception as error:
            lines = [out_of_memory(error)]
            if lines == [None]:
                raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
        assert 1 <= len(lines) <= 3, f"seed {seed}"
    assert n_built > N / 50
    assert {name.partition(".")[0] for name in located} <= {"ebm_exp", "torch", "torchvision"}


GIVEN = """
seed device name optimized_metric dataset dataset.name dataset.noise_std energy energy.widths energy._target_
energy.activation sampler sampler.step_size sampler.n_steps buffer.size buffer objective objective.terms
regularization regularization.energy_l2.weight optimizer.lr trainer.max_steps start@buffer.start experiment debug
logger.mode guard.ignore sampling.n_steps evaluator nowhere hydra.run.dir hydra/launcher +x ++sampler.step_size
~buffer ~evaluator.frechet +energy.x --
"""
TYPED = """
null true 0 -1 1e-300 1e400 nan inf [] {} [1,2 {a:1} ' " ä = a=b mlp conv two_moons langevin none mala digits
${seed} ${nowhere} ${ \\${x} ${oc.env:HOME} os.system torch.nn.Tanh {_target_:torch.nn.Tanh} 1,2,3 range(3)
choice(a,b) glob(*) ../..
"""


def test_lines_of_overrides(unchecked: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hydra._internal.hydra.ConfigLoaderImpl", Loader)
    n_good, keys, values = 0, GIVEN.split(), [*TYPED.split(), "", "a b", "x" * 3000]
    for seed in range(N // 2):  # each composes the whole config
        chance = random.Random(seed)
        typed = [f"{chance.choice(keys)}={chance.choice(values)}" for _ in range(chance.randint(1, 3))]
        try:
            for check in CHECKS:
                check(CommandLine.read("train", typed))
            with initialize_config_dir(str(CONF), version_base="1.3"):
                config = OmegaConf.to_container(compose("train", typed), resolve=True, throw_on_missing=True)
            assert isinstance(config, dict)
            validation.validate({str(key): value for key, value in config.items()}, ANY)
            n_good, lines = n_good + 1, ["good"]
        except UserError as error:
            lines = str(error).splitlines()
        except (HydraException, OmegaConfBaseException) as error:
            lines = explain(error, typed)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {typed}: {type(error).__name__}: {error}") from error
        assert 1 <= len([line for line in lines if line][:3]) <= 3, f"seed {seed}: {typed}"
    assert n_good > N / 100
