"""Check a whole config against the signatures it will be handed to, before anything is built.

A node is a mapping with ``_target_``; its other keys are arguments of that constructor. The constructor's type hints
are the schema, ranges included, so there is no second one to keep in step.
"""

import importlib
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError

from ebm_exp.config.errors import UserError, nearest
from ebm_exp.config.keys import COLLECTIONS, PARTS, SUGGESTED
from ebm_exp.config.signature import arguments, source
from ebm_exp.config.top import level
from ebm_exp.config.trust import OURS, Allowed
from ebm_exp.part import Part

OWN = {"_target_", "_partial_"}  # keys of a node that are no arguments
GIVEN = {"optimizer": {"params"}}  # arguments that the builder hands to a third party's constructor


def locate(path: str, target: Any) -> Callable[..., Any]:
    """The object that ``_target_`` names.

    Raises:
        UserError: naming the config path, when it cannot be imported or called.
    """
    module_name, _, attribute = str(target).rpartition(".")
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


def coerce(annotation: Any, value: Any) -> Any:
    """The value as the annotation's type.

    Raises:
        ValidationError: when it does not fit.
    """
    try:
        adapter = TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
    except (PydanticSchemaGenerationError, PydanticUserError):  # a third party's own kind of hint
        return value
    return adapter.validate_python(value)


def validate(config: Mapping[str, Any], allowed: Allowed = OURS) -> None:
    """Check every node and every top-level key of a resolved config.

    Args:
        config: resolved.
        allowed: what it may build, checked before anything is imported.

    Raises:
        UserError: with one line per wrong key, three at most.
    """
    allowed.check(config)
    errors: list[str] = []
    own = {key: value for key, value in config.items() if not isinstance(value, Mapping)}
    check_arguments("", level(config), own, errors)
    for key, value in config.items():
        if key in PARTS and not _is_part(value):
            errors.append(f"{key}: must be a part with a _target_, got {value!r:.80}")
        elif key in COLLECTIONS and not (isinstance(value, Mapping) and all(map(_is_part, value.values()))):
            errors.append(f"{key}: must be a mapping of parts with a _target_ each, got {value!r:.80}")
        elif isinstance(value, Mapping):
            _check(key, value, errors)
            if not is_node(value):
                for name, item in value.items():
                    _check_class(f"{key}.{name}", _kind_of(key), item, errors)
    if errors:
        raise UserError("\n".join(errors[:3]))


def _check(path: str, value: Any, errors: list[str]) -> None:
    if is_node(value):
        try:
            target = locate(path, value["_target_"])
        except UserError as error:
            errors.append(str(error))
            return
        unknown = [k for k in value if str(k).startswith("_") and k not in OWN]
        if unknown:
            errors.append(f"{path}.{unknown[0]}: is not supported; choose from {', '.join(sorted(OWN))}")
            return
        check_arguments(path + ".", target, arguments_of(path, value, target), errors, bool(value.get("_partial_")))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _check(f"{path}.{key}", item, errors)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            _check(f"{path}[{i}]", item, errors)


def check_arguments(
    prefix: str, target: Callable[..., Any], given: Mapping[str, Any], errors: list[str], partial: bool = False
) -> None:
    """Check what a constructor is given, a line for each wrong key.

    Args:
        prefix: of the keys in the lines.
        target: the constructor.
        given: its arguments.
        errors: takes the lines.
        partial: arguments may be missing.
    """
    parameters = arguments(target)
    open_ended = next((p for p in parameters.values() if p.kind is p.VAR_KEYWORD), None)
    named = {n: p for n, p in parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    settable = {name for name, parameter in named.items() if source(name, parameter) is None}
    handed = GIVEN.get(prefix.removesuffix("."), set())
    for key, value in given.items():
        parameter = named.get(key, open_ended)
        if parameter is None:
            errors.append(f"{prefix}{key}: unknown key; {nearest(key, settable)}")
        elif (
            is_node(value) or isinstance(value, Mapping) or (isinstance(value, list) and any(is_node(v) for v in value))
        ):
            _check(prefix + key, value, errors)
            _check_class(prefix + key, parameter.annotation, value, errors)
        elif parameter is open_ended:
            errors.append(f"{prefix}{key}: must be a part with a _target_, got {value!r}")
        else:
            try:
                coerce(parameter.annotation, value)
            except ValidationError as error:
                errors.append(explain_value(prefix + key, value, error))
    for key in settable - set(given) - handed:
        if named[key].default is inspect.Parameter.empty and not partial:
            errors.append(f"{prefix}{key}: is required")


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


def explain_value(path: str, value: Any, error: ValidationError) -> str:
    """What is wrong with a value, in one line."""
    detail = error.errors()[0]
    context = detail.get("ctx", {})
    where = path + "".join(f"[{part}]" for part in detail["loc"] if isinstance(part, int))
    rules = {
        "greater_than": "must be > {gt:g}",
        "greater_than_equal": "must be ≥ {ge:g}",
        "less_than": "must be < {lt:g}",
        "less_than_equal": "must be ≤ {le:g}",
        "literal_error": "must be one of {expected}",
        "float_parsing": "must be a number",
        "float_type": "must be a number",
        "finite_number": "must be a finite number",
        "int_parsing": "must be a whole number",
        "int_from_float": "must be a whole number",
        "int_type": "must be a whole number",
        "bool_parsing": "must be true or false",
        "bool_type": "must be true or false",
        "string_type": "must be text",
        "tuple_type": "must be a list",
    }
    rule = rules.get(detail["type"])
    said = rule.format(**context) if rule else detail["msg"][0].lower() + detail["msg"][1:]
    return f"{where}: {said}, got {value!r}" if value is not None else f"{where}: {said}, got null"
