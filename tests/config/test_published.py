"""The published recipes, held against what the experiments compose to, value by value."""

import math
from typing import Any

import pytest
from omegaconf import OmegaConf

from ebm_exp.config.suggestions import Suggestions
from ebm_exp.config.trust import CONF
from tests.config.published import CARRIED, PUBLISHED
from tests.config.test_conf import EXPERIMENTS, composed

WHERE = {  # the key that holds each
    "K": "sampler.n_steps",
    "noise": "sampler.noise_std",
    "noise_first": "sampler.noise_first",
    "gradient_clamp": "sampler.gradient_clamp",
    "clamp": "sampler.clamp",
    "value_range": "dataset.value_range",
    "dequantize": "dataset.dequantize",
    "data_noise": "dataset.noise_std",
    "flip": "dataset.horizontal_flip",
    "size": "dataset.size",
    "buffer_size": "buffer.size",
    "storage": "buffer.storage",
    "restarts": "buffer.reinit_probability",
    "energy_l2": "regularization.energy_l2.weight",
    "spectral_norm": "regularization.spectral_norm.layers",
    "lr": "optimizer.lr",
    "n_std": "optimizer.n_std",
    "floor": "optimizer.floor",
    "betas": "optimizer.betas",
    "batch": "trainer.batch_size",
    "max_steps": "trainer.max_steps",
    "kl_weight": "objective.terms.kl.weight",
    "kl_batch": "objective.terms.kl.through_chains",
    "kl_steps": "objective.terms.kl.through",
    "entropy_weight": "objective.terms.entropy.weight",
    "entropy_k": "objective.terms.entropy.k",
    "bank_size": "objective.terms.entropy.bank_size",
    "min_filled": "objective.terms.entropy.min_filled",
    "leak": "energy.activation.negative_slope",
    **{key: f"trainer.{key}" for key in ("ema_rate", "gradient_norm_clip")},
    **{key: f"schedule.{key}" for key in ("warmup_steps", "decay_rate", "decay_steps")},
    **{key: f"augmentation.{key}" for key in ("crop_scale", "flip_probability", "jitter", "jitter_probability")},
    **{key: f"augmentation.{key}" for key in ("grey_probability", "blur_kernel")},
    **{key: f"energy.{key}" for key in ("channels", "blocks", "dropout", "pool", "conditional", "width")},
    **{key: f"energy.{key}" for key in ("n_scales", "attention_after")},
}
RECIPES = PUBLISHED | CARRIED
ROWS = [(name, key, value) for name, row in RECIPES.items() for key, value in row.items()]
HEADED = [
    name
    for name in (choice.removeprefix("experiment=") for choice in EXPERIMENTS)
    if name in RECIPES or name.endswith("_small")
]


@pytest.fixture(scope="module")
def configs() -> dict[str, Any]:
    return {name: OmegaConf.create(composed(f"experiment={name}")) for name in RECIPES}


@pytest.mark.parametrize(("experiment", "key", "value"), ROWS)
def test_value(experiment: str, key: str, value: Any, configs: dict[str, Any]) -> None:
    config = configs[experiment]
    if key == "coefficient":
        found = OmegaConf.select(config, "sampler.step_size") / 2
    elif key == "temperature":
        found = Suggestions(config.dataset.suggest).temperature
    elif key in ("buffer", "objective", "augmentation", "optimizer", "schedule", "restart_from"):
        node = config.buffer.start if key == "restart_from" else config[key]
        found = node["_target_"].rpartition(".")[2]
    elif key == "terms":
        found = {name: node["_target_"].rpartition(".")[2] for name, node in config.objective.terms.items()}
    else:
        found = OmegaConf.select(config, WHERE[key])
    found = OmegaConf.to_container(found) if OmegaConf.is_config(found) else found
    if isinstance(value, float):
        assert math.isclose(found, value, rel_tol=1e-9), (found, value)
    else:
        assert found == value


@pytest.mark.parametrize("experiment", RECIPES)
def test_the_temperature_is_that_of_the_chain(experiment: str, configs: dict[str, Any]) -> None:
    chain, sampler = configs[experiment].dataset.suggest, configs[experiment].sampler
    assert Suggestions(chain).temperature == pytest.approx(sampler.noise_std**2 / sampler.step_size, rel=1e-3)
    assert chain.step_size == sampler.step_size


@pytest.mark.parametrize("experiment", HEADED)
def test_a_header_says_where_its_values_are_from(experiment: str) -> None:
    lines = (CONF / "experiment" / f"{experiment}.yaml").read_text(encoding="utf-8").splitlines()
    header = [line for line in lines if line.startswith("#")]
    for word in ("Values", "Ours", "Cost", "Expected"):
        assert any(line.startswith(f"#   {word} ") for line in header), word
