"""What a rollback changes, by the symptom that led to it."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ebm_exp.config.tree import look_up

Change = Callable[[Mapping[str, Any]], dict[str, Any]]


def changes(remedy: Iterable[str], config: Mapping[str, Any]) -> dict[str, Any]:
    """New values by key; of what the config does not have, nothing.

    Args:
        remedy: names.
        config: resolved.
    """
    found: dict[str, Any] = {}
    for name in remedy:
        found |= REMEDIES[name](config)
    return found


def _scale(config: Mapping[str, Any], factors: Mapping[str, float]) -> dict[str, Any]:
    """The keys that are there, times their factors."""
    values = {key: look_up(config, key) for key in factors}
    return {key: value * factors[key] for key, value in values.items() if isinstance(value, int | float)}


def _clip(config: Mapping[str, Any]) -> dict[str, Any]:
    now = look_up(config, "trainer.gradient_norm_clip")
    return {"trainer.gradient_norm_clip": 1.0 if now is None or now > 1 else now / 2}


def _l2(factor: float) -> Change:
    return lambda config: _scale(config, {"regularization.energy_l2.weight": factor})


def _restarts(config: Mapping[str, Any]) -> dict[str, Any]:
    now = look_up(config, "buffer.reinit_probability")
    return {} if now is None else {"buffer.reinit_probability": max(0.05, 2 * now)}


REMEDIES: dict[str, Change] = {
    "learning_rate": lambda config: _scale(config, {"optimizer.lr": 0.5, "optimizer.adam_lr": 0.5}),
    "clip": _clip,
    "step_size": lambda config: _scale(config, {"sampler.step_size": 0.1, "sampler.noise_std": 0.1**0.5}),  # T stays
    "more_l2": _l2(10.0),
    "less_l2": _l2(1e-4),
    "restarts": _restarts,
}
