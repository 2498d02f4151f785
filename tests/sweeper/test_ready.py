"""The searches of conf/hparams_search: every value that one may propose is allowed, and the default is among them."""

from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import CategoricalDistribution

from ebm_exp.config.compose import resolve
from ebm_exp.config.tree import look_up
from ebm_exp.config.trust import CONF
from ebm_exp.sweeper.settings import settings_of
from ebm_exp.sweeper.space import Space
from ebm_exp.trainer.build import check

SEARCHES = sorted(file.stem for file in (CONF / "hparams_search").glob("*.yaml"))


def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", overrides=[*overrides, "device=cpu"], return_hydra_config=True)


def space_of(config: DictConfig) -> Space:
    sweeper: Any = OmegaConf.to_container(config.hydra.sweeper)
    settings = settings_of({key: value for key, value in sweeper.items() if key != "_target_"})
    return Space.parse([f"{key}={text}" for key, text in settings.params.items()], settings.when)


@pytest.mark.parametrize("name", SEARCHES)
def test_all_values_are_allowed_and_the_default_is_tried(name: str) -> None:
    config = composed(f"hparams_search={name}")
    assert config.hydra.mode.name == "MULTIRUN"
    space, plain = space_of(config), resolve(config)
    space.trial_of({key: look_up(plain, key) for key in space.keys})
    for key, each in space.parameters.items():
        ends = each.choices if isinstance(each, CategoricalDistribution) else (each.low, each.high)
        for value in ends:
            check(resolve(composed(f"hparams_search={name}", f"{key}={value}")))
