"""The signature of a constructor, as the schema of its node: names, annotations, what the rest of the experiment fills.

What a family of constructors hands on to the same one is written once, as a typed mapping:

    class ImageOptions(TypedDict, total=False):  # Required[…] around the annotation of a key that must be given
        dequantize: bool

    class Digits(Dataset):
        def __init__(self, name: str, **options: Unpack[ImageOptions]) -> None:
            super().__init__(name=name, …, **options)  # has the defaults

Ranges and ``From`` marks are read from it as from any parameter.
"""

import inspect
import typing
from collections.abc import Callable
from typing import Any

from ebm_exp.ranges import From


def arguments(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters of a constructor, annotations resolved where they can be.

    ``**options: Unpack[Options]`` stands for the keys of the typed mapping, which a family of constructors hands on.
    """
    found: dict[str, inspect.Parameter] = {}
    hints = _hints(target.__init__ if inspect.isclass(target) else target)
    for name, parameter in inspect.signature(target).parameters.items():
        annotation = hints.get(name, Any)
        if typing.get_origin(annotation) is typing.Unpack and parameter.kind is parameter.VAR_KEYWORD:
            found |= _keys(typing.get_args(annotation)[0])
        else:
            found[name] = parameter.replace(annotation=annotation)
    return found


def _keys(options: Any) -> dict[str, inspect.Parameter]:
    """The keys of a typed mapping as parameters; the default of one that is not required is said where it ends up."""
    found, hints = {}, _hints(options)
    for key in options.__annotations__:
        annotation = hints.get(key, Any)
        if typing.get_origin(annotation) in (typing.Required, typing.NotRequired):
            (annotation,) = typing.get_args(annotation)
        default = inspect.Parameter.empty if key in options.__required_keys__ else ...
        found[key] = inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
    return found


def _hints(of: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(of, include_extras=True)
    except NameError:  # a third party's hints under TYPE_CHECKING
        return {}


def settable(target: Callable[..., Any]) -> set[str]:
    """The parameters of a constructor that a config may give and the rest of the experiment does not."""
    named = {n: p for n, p in arguments(target).items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    return {name for name, parameter in named.items() if source(name, parameter) is None}


def source(name: str, parameter: inspect.Parameter) -> str | None:
    """Where the rest of the experiment fills a parameter from (see ``From``); None: nowhere."""
    marks = [mark for mark in getattr(parameter.annotation, "__metadata__", ()) if isinstance(mark, From)]
    return (marks[0].path or name) if marks else None
