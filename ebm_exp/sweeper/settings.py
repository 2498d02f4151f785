"""The settings of a search, ``hydra.sweeper``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ebm_exp.config.errors import UserError
from ebm_exp.types import NonNegativeInt, PositiveInt


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The keys of ``hydra.sweeper``; null is the default.

    Attributes:
        n_trials: complete and pruned ones in all.
        max_failed: so many failed or diverged ones end the search.
        params: what is searched, ``{key: "interval(…)"}``; keys on the command line come to them, or win.
        when: params of some choices alone, ``{"sampler=hmc": {key: "range(…)"}}``.
        metrics: what is optimized; none: ``optimized_metric``. Several: their Pareto front.
        directions: ``lower`` or ``higher`` by metric; where it is missing, as the evaluators say.
        sampler: ``{name: tpe | gp | random | nsga2 | cmaes, …}``, the rest for Optuna's class.
        pruner: ``{name: median | hyperband | halving | none, …}``, likewise.
        seed: of the proposals.
        enqueue_default: the first trial has the values that hold without the search.
        at_once: trials that a parallel launcher gets at once; None: its n_jobs.
    """

    n_trials: PositiveInt
    max_failed: PositiveInt = 8
    params: dict[str, str] = field(default_factory=dict)
    when: dict[str, dict[str, str]] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()
    directions: dict[str, Literal["lower", "higher"]] = field(default_factory=dict)
    sampler: dict[str, Any] = field(default_factory=lambda: {"name": "tpe"})
    pruner: dict[str, Any] = field(default_factory=lambda: {"name": "median"})
    seed: NonNegativeInt = 0
    enqueue_default: bool = True
    at_once: PositiveInt | None = None


def settings_of(values: Mapping[str, Any]) -> Settings:
    """The settings, checked.

    Raises:
        UserError: with a line for each wrong key.
    """
    from ebm_exp.config.cast import coerce
    from ebm_exp.config.signature import arguments
    from ebm_exp.config.validate import check_arguments

    given, errors = {key: value for key, value in values.items() if value is not None}, list[str]()
    check_arguments("hydra.sweeper.", Settings, given, errors)
    if errors:
        raise UserError("\n".join(errors[:3]))
    known = arguments(Settings)
    return Settings(**{key: coerce(known[key].annotation, value) for key, value in given.items()})
