"""Check a whole config against the signatures it will be handed to, and cast it, before anything is built.

A node is a mapping with ``_target_``; its other keys are arguments of that constructor. The constructor's type hints
are the schema, ranges included, so there is no second one to keep in step. All that comes afterwards gets the values
as they were cast: what is trained is what is recorded.
"""

import importlib
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from ebm_exp.config.cast import cast_value, explain_value
from ebm_exp.config.errors import UserError, nearest
from ebm_exp.config.keys import COLLECTIONS, PARTS, SUGGESTED
from ebm_exp.config.signature import arguments, source
from ebm_exp.config.top import level
from ebm_exp.config.tree import look_up
from ebm_exp.config.trust import OURS, Allowed
from ebm_exp.part import Part

_NAME = re.compile(r"\w[\w.-]*")
OWN = {"_target_", "_partial_"}  # keys of a node that are no arguments
_HOMES = {"ebm_exp.trainer.loop.Trainer": "ebm_exp.trainer.settings.Trainer"}  # where what is named needs no torch
_WITHOUT_TORCH = ("trainer", "logger")  # looked at first: if one is wrong, nothing need wait for torch
GIVEN = {"optimizer": {"params"}}  # arguments that the builder hands to a third party's constructor


def locate(path: str, target: Any) -> Callable[..., Any]:
    """The object that ``_target_`` names.

    Raises:
        UserError: naming the config path, when it cannot be imported or called.
    """
    module_name, _, attribute = _HOMES.get(str(target), str(target)).rpartition(".")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"{path}._target_: cannot import {target} ({error})") from None
    if not callable(found):
        raise UserError(f"{path}._target_: {target} is not a class or function")
    if inspect.isabstract(found):
        raise UserError(f"{path}._target_: {target} is abstract, choose a class of its kind")
    return found


def arguments_of(path: str, node: Mapping[str, Any], target: Any) -> dict[str, Any]:
    """What a node gives its constructor, without what a data set suggests to others."""
    suggests = path == "dataset" or (inspect.isclass(target) and issubclass(target, Part) and target.suggests)
    hidden = OWN | SUGGESTED if suggests else OWN
    return {key: value for key, value in node.items() if key not in hidden}


def is_node(value: Any) -> bool:
    """Whether a value of a config is to be built."""
    return isinstance(value, Mapping) and "_target_" in value


def _is_part(value: Any) -> bool:
    """Whether it is a node that gives a part, and no constructor of one."""
    return is_node(value) and not value.get("_partial_")


def validate(
    config: Mapping[str, Any], allowed: Allowed = OURS, recorded: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    """Check every node and every top-level key of a resolved config.

    Args:
        config: resolved.
        allowed: what it may build, checked before anything is imported.
        recorded: the config as a run has it that is read again: what was a number there once stays one.

    Returns:
        The same config, each value as the type that it is for.

    Raises:
        UserError: with one line per wrong key, three at most; where keys at the top, trainer or logger are wrong, of
            those alone, for they can be refused without torch.
    """
    allowed.check(config)
    errors: list[str] = []
    own = {key: value for key, value in config.items() if not isinstance(value, Mapping)}
    cast: dict[str, Any] = dict(config) | check_arguments("", level(config), own, errors, recorded=recorded)
    for key, value in sorted(config.items(), key=lambda item: item[0] not in _WITHOUT_TORCH):
        if errors and key not in _WITHOUT_TORCH:
            break
        if key in PARTS and not _is_part(value):
            errors.append(f"{key}: must be a part with a _target_, got {value!r:.80}")
        elif key in COLLECTIONS and not (isinstance(value, Mapping) and all(map(_is_part, value.values()))):
            errors.append(f"{key}: must be a mapping of parts with a _target_ each, got {value!r:.80}")
        elif key in COLLECTIONS and (named := [name for name in value if not _NAME.fullmatch(str(name))]):
            errors.append(f"{key}: a part is named by letters, digits, . _ and -, got {named[0]!r:.80}")  # files are
        elif isinstance(value, Mapping):
            cast[key] = _check(key, value, errors, recorded)
            if not is_node(value):
                for name, item in value.items():
                    _check_class(f"{key}.{name}", _kind_of(key), item, errors)
    if errors:
        raise UserError("\n".join(errors[:3]))
    return cast


def _check(path: str, value: Any, errors: list[str], recorded: Mapping[str, Any]) -> Any:
    """The value, cast; a line is added to the errors for each wrong key in it."""
    if is_node(value):
        try:
            target = locate(path, value["_target_"])
        except UserError as error:
            errors.append(str(error))
            return value
        unknown = [k for k in value if str(k).startswith("_") and k not in OWN]
        if unknown:
            errors.append(f"{path}.{unknown[0]}: is not supported; choose from {', '.join(sorted(OWN))}")
            return value
        given, partial = arguments_of(path, value, target), bool(value.get("_partial_"))
        return dict(value) | check_arguments(path + ".", target, given, errors, partial, recorded)
    if isinstance(value, Mapping):
        return {key: _check(f"{path}.{key}", item, errors, recorded) for key, item in value.items()}
    if isinstance(value, list):
        return [_check(f"{path}[{i}]", item, errors, recorded) for i, item in enumerate(value)]
    return value


def check_arguments(
    prefix: str,
    target: Callable[..., Any],
    given: Mapping[str, Any],
    errors: list[str],
    partial: bool = False,
    recorded: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Check what a constructor is given, a line for each wrong key.

    Args:
        prefix: of the keys in the lines.
        target: the constructor.
        given: its arguments.
        errors: takes the lines.
        partial: arguments may be missing.
        recorded: see ``validate``.

    Returns:
        The arguments as the types that they are for; what is wrong stays as it is.
    """
    parameters = arguments(target)
    open_ended = next((p for p in parameters.values() if p.kind is p.VAR_KEYWORD), None)
    named = {n: p for n, p in parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    settable = {name for name, parameter in named.items() if source(name, parameter) is None}
    handed = GIVEN.get(prefix.removesuffix("."), set())
    cast = dict(given)

    def take(path: str, annotation: Any, value: Any) -> Any:
        try:
            return cast_value(annotation, value, look_up(recorded, path))
        except ValidationError as error:
            errors.append(explain_value(path, value, error))
            return value

    for key, value in given.items():
        path, parameter = prefix + key, named.get(key, open_ended)
        if parameter is None:
            errors.append(f"{path}: unknown key; {nearest(key, settable)}")
        elif isinstance(value, Mapping) and (kind := _kind_of_values(parameter.annotation)) is not None:
            cast[key] = {name: take(f"{path}.{name}", kind, item) for name, item in value.items()}
        elif isinstance(value, Mapping) or (isinstance(value, list) and any(is_node(v) for v in value)):
            cast[key] = _check(path, value, errors, recorded)
            _check_class(path, parameter.annotation, value, errors)
        elif parameter is open_ended:
            errors.append(f"{path}: must be a part with a _target_, got {value!r}")
        else:
            cast[key] = take(path, parameter.annotation, value)
    for key in settable - set(given) - handed:
        if named[key].default is inspect.Parameter.empty and not partial:
            errors.append(f"{prefix}{key}: is required")
    return cast


def _kind_of_values(annotation: Any) -> Any:
    """What the values of a mapping are for, where they are no parts; None for any other annotation."""
    kind = typing.get_args(annotation)[1] if typing.get_origin(annotation) is dict else None
    return None if inspect.isclass(kind) and issubclass(kind, Part) else kind


def _kind_of(part: str) -> Any:
    """What each item of a part that is a mapping of nodes must be."""
    from ebm_exp.evaluator import Evaluator
    from ebm_exp.regularization import Term

    return {"regularization": Term, "evaluator": Evaluator}.get(part, Any)


def _check_class(path: str, annotation: Any, value: Any, errors: list[str]) -> None:
    """Refuse a node, or an item of a mapping of nodes, whose class is not of the annotated kind."""
    if typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):  # X | None
        choices = [each for each in typing.get_args(annotation) if each is not type(None)]
        annotation = choices[0] if len(choices) == 1 else Any
    if not is_node(value):
        if isinstance(value, Mapping) and typing.get_origin(annotation) is dict:
            kind = typing.get_args(annotation)[1]
            for key, item in value.items():
                if inspect.isclass(kind) and issubclass(kind, Part) and not isinstance(item, Mapping):
                    errors.append(
                        f"{path}.{key}: must be a part with a _target_, got {item!r:.80}; ~{path}.{key} drops it"
                    )
                _check_class(f"{path}.{key}", kind, item, errors)
        elif isinstance(value, Mapping) and annotation not in (Any, dict):
            errors.append(f"{path}: must be no mapping without a _target_, got {dict(value)!r:.80}")
        return
    if typing.get_origin(annotation) in (dict, list, tuple):
        errors.append(f"{path}: must be a {typing.get_origin(annotation).__name__} of parts, got one")
        return
    try:
        target = locate(path, value["_target_"])
    except UserError:
        return  # reported already
    if annotation is Any or not inspect.isclass(annotation) or not inspect.isclass(target):
        return  # Any is a class, of nothing
    if value.get("_partial_"):
        errors.append(f"{path}._partial_: {annotation.__name__} is needed here, no constructor of one")
        return
    if not issubclass(target, annotation):
        article = "an" if annotation.__name__[0] in "AEIOU" else "a"
        errors.append(f"{path}._target_: must be {article} {annotation.__name__}, {value['_target_']} is not")
