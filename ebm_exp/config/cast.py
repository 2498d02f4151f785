"""One value of a config as the type that it is for.

Values come from YAML and from the command line, where 1.0, "1" and true look like 1. A number may be written as any of
the first two; true is no number, and what is a text stays one.
"""

from typing import Any

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError
from pydantic_core import PydanticKnownError, SchemaValidator, core_schema


def cast_value(annotation: Any, value: Any, recorded: Any = None) -> Any:
    """A value as the annotation's type, in the form in which it stands in a config.

    Args:
        annotation: with ranges.
        value: of a config.
        recorded: what a run has there that is read again. A run may have trained with true for 1: it stays readable.

    Raises:
        ValidationError: when it does not fit.
    """
    try:
        return _plain(coerce(annotation, value), value)
    except ValidationError:
        as_then = _true_as_one(value)
        if as_then == value == recorded and str(as_then) != str(value):
            return _plain(coerce(annotation, as_then), as_then)
        raise


def coerce(annotation: Any, value: Any) -> Any:
    """The value as the annotation's type: 1.0 and the text "1" are whole numbers, true is no number.

    Raises:
        ValidationError: when it does not fit.
    """
    try:
        schema = TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True)).core_schema
    except (PydanticSchemaGenerationError, PydanticUserError):  # a third party's own kind of hint
        return value
    return SchemaValidator(_where_true_is_no_number(schema)).validate_python(value)


def _where_true_is_no_number(schema: Any) -> Any:
    """Pydantic's schema of a type, which takes true for 1 wherever a number may stand, without that."""
    if isinstance(schema, list | tuple):
        return type(schema)(map(_where_true_is_no_number, schema))
    if not isinstance(schema, dict):
        return schema
    strict: Any = {key: _where_true_is_no_number(value) for key, value in schema.items()}
    of = strict.get("type")
    if of not in ("int", "float", "literal"):
        return strict

    def refuse(value: Any) -> Any:
        if not isinstance(value, bool):
            return value
        if of == "literal":
            return value if value in [each for each in strict["expected"] if isinstance(each, bool)] else str(value)
        raise PydanticKnownError("int_type" if of == "int" else "float_type")

    return core_schema.no_info_before_validator_function(refuse, strict)


def _true_as_one(value: Any) -> Any:
    """true and false as 1 and 0, also in lists."""
    if isinstance(value, list):
        return [_true_as_one(each) for each in value]
    return int(value) if isinstance(value, bool) else value


def _plain(cast: Any, value: Any) -> Any:
    """What was cast as a config holds it: lists for tuples, and as it was what YAML has no word for."""
    if isinstance(cast, list | tuple) and isinstance(value, list):
        return [_plain(*each) for each in zip(cast, value, strict=True)]
    return cast if isinstance(cast, str | int | float | None) else value


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
