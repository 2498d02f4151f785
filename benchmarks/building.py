"""The experiment of a command line, built for a measurement that trains it by hand."""

from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ebm_exp.config.build import Parts
from ebm_exp.config.trust import CONF
from ebm_exp.config.validate import validate
from ebm_exp.trainer.build import build
from ebm_exp.trainer.experiment import Experiment


def built(*overrides: str) -> tuple[dict[str, Any], Parts, Experiment]:
    """Its resolved config, its parts, and those that train; nothing is logged."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = compose("train", [*overrides, "logger.mode=disabled"])
    config: Any = OmegaConf.to_container(composed, resolve=True)
    validate(config)
    return config, *build(config)
