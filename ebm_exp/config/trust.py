"""What a config may build: parts of this project (``Part``), a few known kinds of torch's and torchvision's classes.

Of a run that somebody else made no more than that and what the user's own ``conf/`` or command line names;
``trust=true`` lifts that.
"""

import importlib
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ebm_exp.config.errors import UserError

_INSTALLED = Path(__file__).resolve().parents[1] / "conf"  # in a wheel it travels inside of the package
CONF = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).resolve().parents[2] / "conf"
_TARGET = re.compile(r"^\s*_target_:\s*([\w.]+)\s*$", re.MULTILINE)
_TYPED = re.compile(r"_target_['\"]?\s*[=:]\s*['\"]?([\w.]+)")

_KINDS = {  # the classes that a config may always name, by where they are
    "ebm_exp": "ebm_exp.part.Part",
    "torch.nn": "torch.nn.Module",
    "torch.optim": "torch.optim.Optimizer",
    "torch.optim.lr_scheduler": "torch.optim.lr_scheduler.LRScheduler",
    "torchvision.transforms.v2": "torchvision.transforms.v2.Transform",
}


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
    module_name = target.rpartition(".")[0]
    # A module of ours may be named in full; of a library only the public package itself, which runs nothing on import.
    family = "ebm_exp" if module_name.split(".")[0] == "ebm_exp" else module_name
    if family not in _KINDS:
        return False
    try:
        found = _import(target)
    except (ImportError, AttributeError):
        return False
    home = getattr(found, "__module__", "")
    return (
        inspect.isclass(found)
        and (home == family or home.startswith(family + "."))
        and issubclass(found, _import(_KINDS[family]))
    )


def _import(name: str) -> Any:
    module_name, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module_name), attribute)
