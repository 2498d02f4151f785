"""From a config to objects: the only place that instantiates.

A constructor receives what the config says under its node. Beside that, a parameter marked with ``From`` (or
``Provided``) is filled from the rest of the experiment: a part, or an attribute of one. Each part is built once, and
only when somebody asks for it.
"""

import functools
import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any, get_args

import torch
from pydantic import ValidationError
from torch import nn

from ebm_exp.config.cast import coerce, explain_value
from ebm_exp.config.device import choose_device
from ebm_exp.config.errors import UNFIT, UserError, unfit
from ebm_exp.config.optimizer_state import check_state
from ebm_exp.config.signature import arguments, source
from ebm_exp.config.suggestions import Suggestions
from ebm_exp.config.trust import OURS, Allowed
from ebm_exp.config.validate import arguments_of, is_node, locate
from ebm_exp.part import Part
from ebm_exp.random import Stream, seed_global
from ebm_exp.ranks import ALONE

_LOG = logging.getLogger(__name__)
_MISSING = object()
_LEVELS = {  # what is said where the data do not have those that a part is for
    "binary": "needs points of two levels (dataset=binary_digits), the data set has others",
    "continuous": "needs points of a continuous box, the data have two levels; for those there are "
    "objective=pseudo_likelihood, ratio_matching, energy_discrepancy_binary and sampler=gibbs_with_gradients",
}
# What has no node of its own.
_MADE_FROM = {"ranks": "seed", "stream": "seed", "suggest": "dataset", "temperature": "objective"}


class Parts:
    """The parts of one experiment, built lazily: ``Parts(config)["objective"]``.

    Args:
        config: a resolved and validated config.
        state: states of parts by name, which each takes over when it is built: of a checkpoint.
        absent: what is known of a data set whose files need not be there (``Dataset.facts``); None: they must.
        allowed: what may be built.
        given: parts that exist already, by name.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        state: Mapping[str, Any] | None = None,
        absent: Mapping[str, Any] | None = None,
        allowed: Allowed = OURS,
        **given: Any,
    ) -> None:
        self.allowed = allowed
        self.config = config
        self.state = state or {}
        self.absent = absent
        self._built = dict(given)
        self._building: list[str] = []
        self._derive: dict[str, Callable[[], Any]] = {
            "seed": lambda: self.config["seed"],
            "ranks": lambda: ALONE,
            "stream": lambda: Stream(self.config["seed"], self.config.get("attempt", 0), self["ranks"]),
            "device": lambda: choose_device(self.config["device"]),
            "suggest": lambda: Suggestions(self.config["dataset"].get("suggest", {})),
            "temperature": lambda: self["objective"].temperature,
            "dataset": self._dataset,
            "energy": self._energy,
            "optimizer": self._optimizer,
        }

    @torch.inference_mode(False)  # what a notebook has built within it may be differentiated later
    def __getitem__(self, name: str) -> Any:
        if name in self._built:
            return self._built[name]
        if name in self._building:
            circle = " → ".join([*self._building[self._building.index(name) :], name])
            raise UserError(f"{name}: a circle of parts, each needs the next: {circle}")
        self._building.append(name)
        try:
            with seed_global("weights" if name == "energy" else name, self.config["seed"]):
                part = self._derive[name]() if name in self._derive else self.construct(name, self._node(name))
        finally:
            self._building.pop()
        if isinstance(part, nn.Module):
            part = part.to(self["device"])
        if name in self.state:
            self._load(name, part)
        self._built[name] = part
        return part

    def _node(self, name: str) -> Any:
        if name not in self.config:
            raise UserError(f"{name}: the config has none")
        return self.config[name]

    def stateful(self) -> dict[str, Any]:
        """The built parts that have a state: what a checkpoint holds."""
        return {name: part for name, part in self._built.items() if hasattr(part, "load_state_dict")}

    def construct(self, path: str, node: Any, **handed: Any) -> Any:
        """The object of one node, its nested nodes first; a mapping or list without a target keeps its shape.

        Raises:
            UserError: when the constructor refuses its values (a ValueError), naming the path.
        """
        if isinstance(node, list):
            return [self.construct(f"{path}[{i}]", item) for i, item in enumerate(node)]
        if not isinstance(node, Mapping):
            return node
        if not is_node(node):
            return {key: self.construct(f"{path}.{key}", item) for key, item in node.items()}
        if self.config.get("stand_in") and is_node(node.get("stand_in")):
            return self._construct_or_stand_in(path, node)
        self.allowed.check({"_target_": node["_target_"]}, path)
        target = locate(path, node["_target_"])
        parameters = arguments(target)
        values: dict[str, Any] = dict(handed)
        for key, value in arguments_of(path, node, target).items():
            built = self.construct(f"{path}.{key}", value)
            if key in parameters and not isinstance(value, Mapping):
                try:
                    built = coerce(parameters[key].annotation, built)
                except ValidationError as error:
                    raise UserError(explain_value(f"{path}.{key}", built, error)) from None
            values[key] = built
        provided = {}
        for key, parameter in parameters.items():
            where = source(key, parameter)
            if where is not None and key not in values:
                found = self._find(where)
                if found is not _MISSING:
                    _check_kind(where, found, parameter.annotation)
                    provided[key] = found
                elif parameter.default is inspect.Parameter.empty:
                    raise UserError(f"{path}.{key}: is filled from {where}, which this experiment does not have")
        if node.get("_partial_"):
            return functools.partial(target, **values, **provided)
        self._check_levels(path, target)
        try:
            part = target(**values, **provided)
        except ValueError as error:
            raise UserError(f"{path}: {error}") from error
        if isinstance(part, nn.Module):
            _disown(part, provided)  # whoever holds it moves it to the device
            return part
        for value in values.values():
            if isinstance(value, nn.Module):
                value.to(self["device"])
        return part

    def _check_levels(self, path: str, target: Any) -> None:
        """Refuse a part for data of two levels, or of more, where the data are others (``Part.requires``)."""
        required = target.requires if inspect.isclass(target) and issubclass(target, Part) else None
        if required is not None and self._find(f"dataset.{required}") is False:
            raise UserError(f"{path}: {_LEVELS[required]}")

    def _find(self, where: str) -> Any:
        """What a path of ``From`` leads to, or ``_MISSING``."""
        name, *attributes = where.split(".")
        if name not in self._built and _MADE_FROM.get(name, name) not in self.config:
            return _MISSING
        found = self[name]
        for attribute in attributes:
            found = getattr(found, attribute, _MISSING)
        return found

    def _load(self, name: str, part: Any) -> None:
        if self.state[name] is None:
            raise UserError(f"{name}: the run is an export, of averaged weights and config; it has none of its own")
        settings = [dict(group) for group in getattr(part, "param_groups", ())]
        try:
            part.load_state_dict(self.state[name])
            if isinstance(part, torch.optim.Optimizer):
                check_state(part)
        except UNFIT as error:
            raise UserError(f"{name}: what the checkpoint holds does not fit ({unfit(error)})") from None
        for group, own in zip(getattr(part, "param_groups", ()), settings, strict=False):
            group |= {key: value for key, value in own.items() if key != "params"}  # the config's, not those of then

    def _dataset(self) -> Any:
        try:
            return self.construct("dataset", self._node("dataset"))
        except UserError as error:
            if self.absent is None:
                raise
            from ebm_exp.dataset.absent import Absent

            _LOG.warning("%s; the data are not needed to draw samples", error)
            return Absent(self.absent, self["device"], error)

    def _construct_or_stand_in(self, path: str, node: Mapping[str, Any]) -> Any:
        """A data set, or what stands in where its files are missing; nothing is fetched."""
        own = {key: value for key, value in node.items() if key != "stand_in"}
        try:
            return self.construct(path, own | {"download": False} if "download" in own else own)
        except UserError as error:
            _LOG.warning("%s; a synthetic data set stands in (stand_in=true)", error)
            return self.construct(f"{path}.stand_in", node["stand_in"])

    def _energy(self) -> nn.Module:
        energy: Any = self.construct("energy", self._node("energy"))
        for name, term in self["regularization"].items():
            try:
                energy = term.prepare(energy)
            except ValueError as error:
                raise UserError(f"regularization.{name}: {error}") from error
        if "t" in energy.context:
            energy.noised = self["noise"]
        # Weights of convolutions in channels-last: 1.2 × faster on CPUs.
        return energy.to(self["device"]).to(memory_format=torch.channels_last)

    def _optimizer(self) -> Any:
        groups = self["objective"].parameter_groups(self["energy"])
        optimizer = self.construct("optimizer", self._node("optimizer"), params=groups)
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]  # what a schedule scales, saved with the group
        return optimizer


def _check_kind(where: str, found: Any, annotation: Any) -> None:
    """Refuse a part of one kind, or a layer, where another kind is wanted: a config may name any."""
    wanted = get_args(annotation)[0] if get_args(annotation) else annotation
    is_kind = inspect.isclass(wanted) and issubclass(wanted, Part)
    if is_kind and isinstance(found, nn.Module | Part) and not isinstance(found, wanted):
        raise UserError(f"{where}: must be a {wanted.__name__}, got {type(found).__name__}")


def _disown(part: nn.Module, provided: Mapping[str, Any]) -> None:
    """Keep modules that were provided out of a part's own: they are trained and saved elsewhere, once."""
    elsewhere = {id(value) for value in provided.values() if isinstance(value, nn.Module)}
    for name, module in list(part._modules.items()):
        if id(module) in elsewhere:
            del part._modules[name]
            part.__dict__[name] = module
