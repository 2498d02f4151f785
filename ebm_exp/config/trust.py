"""Reading the config of a run. A run directory is data, not code: it may come from anywhere.

Its YAML holds plain values alone (``plain.py``), and what is built of it may be only parts of this project (``Part``),
a few known kinds of torch's and torchvision's classes, and what the user's own ``conf/`` or command line names.
``trust=true`` lifts that.
"""

import importlib
import inspect
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ebm_exp.config import plain
from ebm_exp.config.errors import UserError

FORMAT = 3  # of a run's config, summary and checkpoints; a run of another format cannot be read
_INSTALLED = Path(__file__).resolve().parents[1] / "conf"  # in a wheel it travels inside of the package
CONF = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).resolve().parents[2] / "conf"
_TARGET = re.compile(r"^\s*_target_:\s*([\w.]+)\s*$", re.MULTILINE)
_TYPED = re.compile(r"_target_['\"]?\s*[=:]\s*['\"]?([\w.]+)")


@dataclass(frozen=True)
class Allowed:
    """What a config may build beside the project's own parts and the known kinds of torch and torchvision.

    Attributes:
        names: of ``_target_``; None: any.
        whence: where the config comes from, for the message.
    """

    names: frozenset[str] | None = frozenset()
    whence: str = "the config"

    def check(self, node: Any, path: str = "") -> None:
        """Refuse a node with a ``_target_`` that may not be built, at any depth, before anything is imported.

        Raises:
            UserError: naming it.
        """
        for where, target in _targets(node, path):
            if not self._allows(target):
                raise UserError(
                    f"{self.whence} names {where}: {target!r}, which is no part of this project; nothing was built (if "
                    "you trust the run: trust=true, or the --config-dir whose files name it)"
                )

    def _allows(self, target: Any) -> bool:
        if self.names is None:
            return True
        return isinstance(target, str) and (target in self.names or _is_known_kind(target))


_APPENDED = ("metrics.jsonl", "train.log", "sample.log")  # what is written in place
# What a run's config may say and another run does not follow: what is sent, fetched and written elsewhere is the user's
# to say. Keys anywhere, and below logger alone.
SIDE_EFFECTS: dict[str, Any] = {"cache_dir": "outputs/cache", "download": False}
OF_LOGGER: dict[str, Any] = {"entity": None, "dir": None}
OURS = Allowed()
ANY = Allowed(None)


def allowed_by(
    run: str | Path, arguments: Iterable[str] = (), folders: Iterable[Path] = (), key: str = "run"
) -> Allowed:
    """What the config of a run may build: also what the user's ``conf/`` and folders name, or the command line.

    Args:
        run: the run directory, for the message.
        arguments: as typed.
        folders: of YAML files that the user named beside ``conf/``.
        key: the command-line key that gave the directory, for the message.
    """
    typed = {target for argument in arguments for target in _TYPED.findall(argument)}
    names = frozenset(_targets_in([CONF, *folders]) | typed)
    return Allowed(names, f"{key}: {Path(run) / '.hydra' / 'config.yaml'}")


def read_run_config(
    run: str | Path, trust: bool = False, key: str = "run", live: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The config that a run directory was composed from, its references resolved: nothing in it refers any more.

    A value that calls a resolver (``${oc.env:…}``) is ``???``: only the user can fill it. What has side effects is as
    by default (``SIDE_EFFECTS``).

    Args:
        run: the run directory.
        trust: call resolvers, and follow it in its side effects.
        key: the command-line key that gave the directory, for the message.
        live: keys at the top below which references to the same key stay.

    Raises:
        UserError: when it is no run directory, or its config is not plain.
    """
    if not trust:
        refuse_links(run, key)
    config = _read(run, key)
    if trust:
        from omegaconf import OmegaConf

        resolved = OmegaConf.to_container(OmegaConf.create(config), resolve=True)
        assert isinstance(resolved, dict)
        return {str(name): value for name, value in resolved.items()}
    try:
        return dict(_without_side_effects(plain.resolve(config, live), SIDE_EFFECTS))
    except plain.PlainError as error:
        raise UserError(f"{key}: {Path(run) / '.hydra' / 'config.yaml'} {error}") from None


def refuse_links(run: str | Path, key: str) -> None:
    """Refuse a run with a link in it, or anything that is no file or folder: it leads out of the run.

    Args:
        run: the run directory.
        key: the command-line key that gave the directory, for the message.

    Raises:
        UserError: naming the first.
    """
    for folder, folders, files in os.walk(run):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            try:
                found = os.lstat(path)
            except FileNotFoundError:
                continue  # another process replaces it
            if not (stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode)):
                kind = "a link" if stat.S_ISLNK(found.st_mode) else "no file or folder"
            elif name in _APPENDED and found.st_nlink > 1:
                kind = "a file that has another name elsewhere"
            else:
                continue
            raise UserError(f"{key}: {path} is {kind}, and a run may not lead out of itself; trust=true follows it")


def side_effects(run: str | Path, key: str = "run") -> dict[str, Any]:
    """What the config of a run says of side effects that ``read_run_config`` does not follow, by key."""
    config = _read(run, key)
    return dict(_differences(config, _without_side_effects(config, SIDE_EFFECTS), ""))


def _without_side_effects(value: Any, defaults: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_without_side_effects(item, defaults) for item in value]
    if not isinstance(value, dict):
        return value
    own = {key: defaults[key] for key in value if key in defaults}
    logger = defaults | OF_LOGGER
    rest = {k: _without_side_effects(v, logger if k == "logger" else defaults) for k, v in value.items()}
    return rest | own


def _differences(before: Any, after: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(before, dict):
        for key, item in before.items():
            yield from _differences(item, after[key], f"{path}.{key}" if path else key)
    elif before != after and before is not None:
        yield path, before


def check_format(run: str | Path, key: str = "run") -> None:
    """Refuse a run that was written in another format.

    Raises:
        UserError: naming both.
    """
    file = Path(run) / "summary.json"
    try:
        summary = json.loads(file.read_text(encoding="utf-8") or "{}") if file.is_file() else {}
    except (ValueError, RecursionError, OSError) as error:
        raise UserError(f"{key}: {file} cannot be read ({type(error).__name__}: {error})") from None
    if not isinstance(summary, dict):
        raise UserError(f"{key}: {file} is no summary of a run")
    if summary and summary.get("format") != FORMAT:
        raise UserError(f"{key}: {run} has format {summary.get('format', 1)}, this version reads {FORMAT}")


def resolver_at(run: str | Path, key: str) -> str | None:
    """The key at which the config of a run calls a resolver, when a value wants it: this one or one it refers to."""
    node: Any = _read(run, "run")
    for part in key.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    if not isinstance(node, str):
        return None
    if "${" in plain.REFERENCE.sub("", node):
        return key
    found = (resolver_at(run, reference) for reference in plain.REFERENCE.findall(node))
    return next((each for each in found if each), None)


def _read(run: str | Path, key: str) -> dict[str, Any]:
    check_format(run, key)
    path = Path(run) / ".hydra" / "config.yaml"
    if not path.is_file():
        raise UserError(f"{key}: {run} is not a run directory (it has no .hydra/config.yaml)")
    try:
        config = plain.read(path)
    except (plain.PlainError, OSError) as error:
        raise UserError(f"{key}: {path} {error}") from None
    if not isinstance(config, dict):
        raise UserError(f"{key}: {path} holds no config")
    if "hydra" in config or _holds_defaults(config):  # they speak to Hydra, which composes it
        raise UserError(f"{key}: {path} is not the config of a run (it has a hydra or defaults key)")
    return config


def _holds_defaults(value: Any) -> bool:
    if isinstance(value, dict):
        return "defaults" in value or any(_holds_defaults(item) for item in value.values())
    return isinstance(value, list) and any(_holds_defaults(item) for item in value)


def _targets(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    prefix = f"{path}." if path else ""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key == "_target_":
                yield f"{prefix}_target_", item
            else:
                yield from _targets(item, f"{prefix}{key}")
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _targets(item, f"{prefix}{i}")


def _targets_in(folders: Iterable[Path]) -> set[str]:
    files = [file for folder in folders for file in folder.rglob("*.yaml")]
    return {target for file in files for target in _TARGET.findall(file.read_text(encoding="utf-8"))}


def _is_known_kind(target: str) -> bool:
    """A part of this project (``Part``), or a public layer, optimizer, scheduler or v2 transform."""
    if not re.fullmatch(r"[A-Za-z]\w*(\.[A-Za-z]\w*)+", target):
        return False
    module_name, _, name = target.rpartition(".")
    kinds = {
        "ebm_exp": lambda: [importlib.import_module("ebm_exp.part").Part],
        "torch.nn": lambda: [importlib.import_module("torch.nn").Module],
        "torch.optim": lambda: [importlib.import_module("torch.optim").Optimizer],
        "torch.optim.lr_scheduler": lambda: [importlib.import_module("torch.optim.lr_scheduler").LRScheduler],
        "torchvision.transforms.v2": lambda: [importlib.import_module("torchvision.transforms.v2").Transform],
    }
    # A module of ours may be named in full; of a library only the public package itself, which runs nothing on import.
    family = "ebm_exp" if module_name.split(".")[0] == "ebm_exp" else module_name
    if family not in kinds:
        return False
    try:
        found = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError):
        return False
    home = getattr(found, "__module__", "")
    return (
        inspect.isclass(found)
        and (home == family or home.startswith(family + "."))
        and issubclass(found, tuple(kinds[family]()))
    )
