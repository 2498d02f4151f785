"""Pages of the site that are made when it is built: one for each config group but experiments (docs/recipes.py).

Nothing of it is written by hand: choices and defaults are those of conf/, what is allowed and what it means those of
the constructors that conf/ names.
"""

import inspect
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tables
import yaml
from annotated_types import Ge, Gt, Le, Lt

from ebm_exp.config import signature
from ebm_exp.config.validate import locate

ROOT = Path(__file__).resolve().parents[1]
CONF = ROOT / "conf"
SECTION = re.compile(r"<details>\n<summary><code>(\w+)</code>: (.*?)</summary>\n(.*?)</details>", re.DOTALL)
ELSEWHERE = {"mode": "what else is drawn", "hparams_search": "ready searches"}
BOUNDS = ((Gt, ">", "gt"), (Ge, "≥", "ge"), (Lt, "<", "lt"), (Le, "≤", "le"))
KINDS = {bool: "true, false", int: "whole number", float: "number", str: "text", types.NoneType: "null"}


def pages() -> dict[str, str]:
    """All pages, by path."""
    return {f"reference/{group}.md": of_group(group) for group in groups()}


def groups() -> list[str]:
    """The groups of conf/ that a user chooses from."""
    unlisted = tables.UNLISTED | {"experiment"}
    return sorted(folder.name for folder in CONF.iterdir() if folder.is_dir() and folder.name not in unlisted)


def sections() -> dict[str, tuple[str, str]]:
    """Of docs/choices.md, by group: its title, and what stands before and after its table."""
    page = (ROOT / "docs" / "choices.md").read_text(encoding="utf-8")
    return {group: (title, tables.TABLE.sub("", body).strip()) for group, title, body in SECTION.findall(page)}


def of_group(group: str) -> str:
    """The page of one group."""
    title, text = sections().get(group, (ELSEWHERE.get(group, ""), ""))
    text = re.sub(r"\]\((?!http)", "](../", text)
    page = [f"# {group}: {title}", "", text, "", tables.table(CONF, group), ""]
    for file in tables.files(CONF, group):
        page += _of_choice(group, file)
    return "\n".join(page)


def _of_choice(group: str, file: Path) -> Iterator[str]:
    name = file.relative_to(CONF / group).with_suffix("").as_posix()
    yield from (f"## {name}", "", plain(tables.header(file)) + ".", "")
    node = read(file)
    parts = {"": node} if "_target_" in node else {key: part for key, part in node.items() if _is_part(part)}
    for key, part in parts.items():
        yield from _of_part(".".join(filter(None, (group, key))), part)
    yield from quoted(file)


def quoted(file: Path) -> Iterator[str]:
    """A file of conf/, folded."""
    yield from (f'??? quote "{file.relative_to(ROOT).as_posix()}"', "", "    ```yaml")
    yield from (f"    {line}".rstrip() for line in file.read_text(encoding="utf-8").splitlines())
    yield from ("    ```", "")


def read(file: Path) -> dict[str, Any]:
    """What a file of conf/ says with the defaults that it begins with; choices inside of it by their names."""
    own = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    entries, found = own.pop("defaults", []), {}
    for entry in entries:
        if isinstance(entry, dict):
            ((where, choice),) = entry.items()
            if not where.startswith("override "):
                group, _, key = where.strip("/").partition("@")
                outer, _, inner = (key or group).partition(".")
                chosen = f"{group}={choice}"
                found[outer] = {**found.get(outer, {}), inner: chosen} if inner else chosen
        elif entry != "_self_":
            inherited = entry.partition("@")[0]
            folder = CONF if inherited.startswith("/") else file.parent
            found |= read(folder / f"{inherited.strip('/')}.yaml")
    return found | own


def _is_part(value: Any) -> bool:
    return isinstance(value, dict) and "_target_" in value


def _of_part(key: str, node: dict[str, Any]) -> Iterator[str]:
    """A paragraph of the constructor, and the table of its keys."""
    target = locate(key, node["_target_"])
    said = inspect.getdoc(target) or ""
    yield from (f"`{node['_target_']}`{_source(target)}", "")
    if target.__module__.startswith("ebm_exp"):
        yield from (plain(re.split(r"\n\s*\n(?:Args|Attributes|Raises|Returns):", said)[0]), "")
    meanings = meaning_of_arguments(target)
    rows = []
    for name, parameter in signature.arguments(target).items():
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL) or (
            signature.source(name, parameter) is not None and name not in node
        ):
            continue  # what the rest of the experiment fills is no key of a user
        value = node.get(name, parameter.default)
        cells = (
            f"`{key}.{name}`",
            _default(value),
            _cell(allowed(parameter.annotation)),
            _cell(meanings.get(name, "")),
        )
        rows.append(f"| {' | '.join(cells)} |")
    if rows:
        yield from ("| key | default | allowed | what it is |", "| --- | --- | --- | --- |", *rows, "")


def _source(target: Any) -> str:
    """Where a class of ours stands; nothing for one of a library."""
    try:
        file = Path(inspect.getsourcefile(target) or "")
        return f", {file.relative_to(ROOT).as_posix()}:{inspect.getsourcelines(target)[1]}"
    except (TypeError, ValueError, OSError):
        return ""


def meaning_of_arguments(target: Any) -> dict[str, str]:
    """What docstrings say of a constructor's arguments: its own, then those of the classes that it extends."""
    found: dict[str, str] = {}
    for each in getattr(target, "__mro__", (target,)):
        if not each.__module__.startswith("ebm_exp"):
            continue
        for text in (each.__doc__, each.__init__.__doc__):
            found = arguments_in(inspect.cleandoc(text or "")) | found
        found |= _shared(each)
    return found


def _shared(target: Any) -> dict[str, str]:
    """What the typed mapping that a constructor hands on says beside its keys."""
    found: dict[str, str] = {}
    for annotation in inspect.signature(target.__init__).parameters.values():
        options = typing.get_args(annotation.annotation)
        if typing.get_origin(annotation.annotation) is typing.Unpack:
            found |= dict(re.findall(r"^ {4}(\w+): .*?  # (.*)$", inspect.getsource(options[0]), re.MULTILINE))
    return found


def arguments_in(doc: str) -> dict[str, str]:
    """The lines ``name: what it is`` under Args or Attributes of a docstring; ``a, b: …`` is of both."""
    found: dict[str, str] = {}
    for block in re.findall(r"^(?:Args|Attributes):\n((?:(?: {4}.*)?\n?)*)", doc, re.MULTILINE):
        for names, text in re.findall(r"^ {4}(\w[\w, ]*): (.*(?:\n {5,}.*)*)", block, re.MULTILINE):
            found |= {name.strip(): " ".join(text.split()) for name in names.split(",")}
    return found


def allowed(annotation: Any) -> str:
    """What an annotation lets a key be, in words."""
    origin, inside = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        said = [f"{sign} {getattr(mark, name)}" for mark in inside[1:] for of, sign, name in BOUNDS if type(mark) is of]
        return " ".join([allowed(inside[0]), ", ".join(said)]).strip()
    if origin is typing.Literal:
        return ", ".join(map(str, inside))
    if origin in (typing.Union, types.UnionType):
        kinds = [str, int, float, bool, types.NoneType]
        return "name or number" if list(inside) == kinds else " or ".join(map(allowed, inside))
    if origin in (tuple, list):
        return f"list of {allowed(inside[0])}" if inside[-1] is ... else f"[{', '.join(map(allowed, inside))}]"
    if origin is dict:
        return f"mapping to {allowed(inside[1])}"
    if annotation in KINDS:
        return KINDS[annotation]
    return "" if annotation is Any else f"a {getattr(annotation, '__name__', str(annotation))}"


def _default(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return "required"
    if value is ...:
        return ""
    if _is_part(value):
        return f"`{value['_target_']}`"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True, sort_keys=False)
    shown = text.removesuffix("\n").removesuffix("...").strip().strip("'")
    return f"`{shown}`" if len(shown) < 80 else f"`{shown[:76]} …`"


def plain(text: str) -> str:
    """Text of a docstring as Markdown: < begins no tag, stars no emphasis, and ``x`` is code already."""
    pieces = re.split(r"(``.*?``|`[^`]+`)", text, flags=re.DOTALL)
    return "".join(re.sub(r"([<*_\[])", r"\\\1", piece) if n % 2 == 0 else piece for n, piece in enumerate(pieces))


def _cell(text: str) -> str:
    return plain(text).replace("|", r"\|").replace("\n", " ")
