"""What a search chooses from, in Hydra's own words: ``interval(0.5, 8)``, ``tag(log, …)``, ``range(1, 9)``, ``a,b``."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    check_distribution_compatibility,
)
from optuna.trial import Trial

from ebm_exp.config.errors import UserError
from ebm_exp.sweeper.plan import values_of


class Space:
    """Parameters and what each may be; some only where another has a certain value.

    Args:
        parameters: distribution by key.
        when: further parameters by the override, ``sampler=hmc``, that they belong to.
        keys_typed: how Hydra takes a key, where that is not the key itself (``+key``).
    """

    def __init__(
        self,
        parameters: Mapping[str, BaseDistribution],
        when: Mapping[str, Mapping[str, BaseDistribution]],
        keys_typed: Mapping[str, str],
    ) -> None:
        self.parameters = dict(parameters)
        self.when = {k: dict(v) for k, v in when.items()}
        self._typed = keys_typed
        self.keys = list(dict.fromkeys([*self.parameters, *(key for inner in self.when.values() for key in inner)]))

    @classmethod
    def parse(cls, overrides: Sequence[str], when: Mapping[str, Mapping[str, str]]) -> "Space":
        """The space of ``key=values`` texts.

        Args:
            overrides: parameters that every trial has.
            when: others, ``{"sampler=hmc": {"sampler.n_leapfrog": "range(2, 9)"}}``.

        Raises:
            UserError: naming the key.
        """
        parameters, typed = _parse(overrides)
        inner = {}
        for condition, more in when.items():
            key, _, value = condition.partition("=")
            choices = getattr(parameters.get(key), "choices", ())
            if value not in choices:
                raise UserError(f"hydra.sweeper.when: {condition} is no choice of the search")
            inner[condition], names = _parse([f"{name}={text}" for name, text in more.items()])
            typed |= names
        if not parameters:
            raise UserError("hydra.sweeper.params: a search needs one at least, as sampler.step_size: interval(1, 4)")
        space = cls(parameters, inner, typed)
        _check_inner(parameters, inner)
        return space

    def suggest(self, trial: Trial) -> tuple[str, ...]:
        """The overrides of a new trial.

        Raises:
            LookupError: as ``overrides``: a journal may hold what such a trial is to be.
        """
        return self.overrides(self._choose(trial._suggest))

    def overrides(self, params: Mapping[str, Any]) -> tuple[str, ...]:
        """The overrides of a trial with these values, made of the space's own keys and words alone.

        Raises:
            LookupError: naming the key that has no value, or one that lies outside of the space.
        """

        def take(key: str, distribution: BaseDistribution) -> Any:
            value = params.get(key)
            if isinstance(distribution, CategoricalDistribution):
                value = value if isinstance(value, str) and value in distribution.choices else None
            else:
                value = _fitting(value, distribution)
            if value is None:
                raise LookupError(f"{key}={params.get(key)}")
            return value

        return tuple(f"{self._typed[key]}={value}" for key, value in self._choose(take).items())

    def example(self) -> tuple[str, ...]:
        """The overrides of one trial: the first choices, the lowest numbers."""

        def take(key: str, distribution: BaseDistribution) -> Any:
            is_choice = isinstance(distribution, CategoricalDistribution)
            return distribution.choices[0] if is_choice else distribution.low  # type: ignore[attr-defined]

        return self.overrides(self._choose(take))

    def trial_of(self, defaults: Mapping[str, Any]) -> dict[str, Any]:
        """Default values as those of a trial.

        Raises:
            LookupError: naming the key whose default lies outside of the space.
        """

        def take(key: str, distribution: BaseDistribution) -> Any:
            value = _fitting(defaults.get(key), distribution)
            if value is None:
                raise LookupError(f"{key}={defaults.get(key)}")
            return value

        return self._choose(take)

    def _choose(self, value_of: Callable[[str, BaseDistribution], Any]) -> dict[str, Any]:
        values = {key: value_of(key, distribution) for key, distribution in self.parameters.items()}
        for condition, inner in self.when.items():
            key, _, chosen = condition.partition("=")
            if values[key] == chosen:
                values |= {name: value_of(name, distribution) for name, distribution in inner.items()}
        return values


def _check_inner(
    parameters: Mapping[str, BaseDistribution], when: Mapping[str, Mapping[str, BaseDistribution]]
) -> None:
    seen: dict[str, BaseDistribution] = {}
    for inner in when.values():
        for key, distribution in inner.items():
            if key in parameters:
                raise UserError(f"hydra.sweeper.when: {key} is a parameter of every trial already")
            try:
                check_distribution_compatibility(seen.setdefault(key, distribution), distribution)
            except ValueError:
                raise UserError(
                    f"hydra.sweeper.when: {key} must be of one kind under every choice: real, whole, both logarithmic "
                    "or neither, or the same list"
                ) from None


def _fitting(value: Any, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        parse = OverridesParser.create().parse_override
        return next((each for each in distribution.choices if parse(f"key={each}").value() == value), None)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    if isinstance(distribution, IntDistribution):
        if value != int(value):
            return None
        value = int(value)
    return value if distribution._contains(distribution.to_internal_repr(value)) else None


def _parse(overrides: Sequence[str]) -> tuple[dict[str, BaseDistribution], dict[str, str]]:
    parameters, typed = {}, {}
    for text in overrides:
        key = text.partition("=")[0]
        try:
            override = OverridesParser.create().parse_override(text)
        except HydraException as error:
            raise UserError(f"{key}: cannot be parsed ({str(error).splitlines()[0]})") from None
        name = override.get_key_element().lstrip("+")
        typed[name] = override.get_key_element()
        try:
            parameters[name] = _distribution(override)
        except ValueError as error:
            raise UserError(f"{name}: {error}") from None
    return parameters, typed


def _distribution(override: Override) -> BaseDistribution:
    value = override.value()
    log = "log" in getattr(value, "tags", ())
    if isinstance(value, ChoiceSweep) and not value.shuffle:
        return CategoricalDistribution(values_of(override))
    if isinstance(value, RangeSweep) and not value.shuffle:
        values = [float(each) for each in values_of(override)]
        low, high = min(values), max(values)
        whole = all(isinstance(each, int) for each in (value.start, value.stop, value.step))
        if log and not (whole and abs(int(value.step)) == 1):
            raise ValueError("a logarithmic range has whole numbers in steps of 1; tag(log, interval(…)) has all")
        if log and low <= 0:
            raise ValueError(f"a logarithmic range begins above 0, got {low:g}")
        if whole:
            return IntDistribution(int(low), int(high), step=abs(int(value.step)), log=log)
        return FloatDistribution(low, high, step=abs(float(value.step)))
    if isinstance(value, IntervalSweep):
        start, end = value.start, value.end
        assert start is not None
        assert end is not None
        if not (math.isfinite(start) and math.isfinite(end)):
            raise ValueError(f"an interval has two ends, got {start:g} to {end:g}")
        if start > end:
            raise ValueError(f"an interval goes up, got {start:g} to {end:g}")
        if log and start <= 0:
            raise ValueError(f"a logarithmic interval begins above 0, got {start:g}")
        if isinstance(start, int) and isinstance(end, int):
            return IntDistribution(start, end, log=log)
        return FloatDistribution(float(start), float(end), log=log)
    raise ValueError("a search takes interval(…), range(…), choice(…) and values with commas between")
