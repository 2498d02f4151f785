"""Reading the config of a run. A run directory is data, not code: it may come from anywhere.

Its ``_target_`` may name only what the project ships or a known harmless kind of class, and its interpolations may
only refer to other keys. What a person types on the command line is not restricted; ``trust=true`` lifts the rest.
"""

import importlib
import inspect
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from ebm_exp.config.errors import UserError

FORMAT = 3  # of a run's config, summary and checkpoints; a run of another format cannot be read
_INSTALLED = Path(__file__).resolve().parents[1] / "conf"  # in a wheel it travels inside of the package
CONF = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).resolve().parents[2] / "conf"
_REFERENCE = re.compile(r"\$\{[\w.\[\]]+\}")
_TARGET = re.compile(r"^\s*_target_:\s*([\w.]+)\s*$", re.MULTILINE)


def read_run_config(
    run: str | Path, trust: bool = False, key: str = "run", also: Iterable[Path] = ()
) -> dict[str, Any]:
    """The config that a run directory was composed from, interpolations unresolved.

    Args:
        run: the run directory.
        trust: accept any ``_target_`` and any resolver in it.
        key: the command-line key that gave the directory, for the message.
        also: folders of YAML files that the user named beside ``conf/``: what they name is allowed.

    Raises:
        UserError: when it is no run directory, or its config names what it may not.
    """
    config = _read(run, key)
    if trust:
        return config
    shipped = _targets_in([CONF, *also])
    for where, target in _targets(config, ""):
        if not (isinstance(target, str) and (target in shipped or _is_known_kind(target))):
            raise UserError(
                f"{key}: {Path(run) / '.hydra' / 'config.yaml'} names {where}: {target!r}, which is no part of this "
                "project; nothing was built (if you trust the run: trust=true, or the --config-dir whose files name it)"
            )
    return _without_resolvers(config)


def look_at_run_config(run: str | Path) -> dict[str, Any]:
    """The config of a run to compare with, from which nothing may be built; values of resolvers are left out."""
    return _without_resolvers(_read(run, "run"))


def check_format(run: str | Path, key: str = "run") -> None:
    """Refuse a run that was written in another format.

    Raises:
        UserError: naming both.
    """
    file = Path(run) / "summary.json"
    summary = json.loads(file.read_text(encoding="utf-8") or "{}") if file.is_file() else {}
    if summary and summary.get("format") != FORMAT:
        raise UserError(f"{key}: {run} has format {summary.get('format', 1)}, this version reads {FORMAT}")


def resolver_at(run: str | Path, key: str) -> str | None:
    """The key at which the config of a run calls a resolver, when a value wants it: this one or one it refers to."""
    node: Any = _read(run, "run")
    for part in key.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    if not isinstance(node, str):
        return None
    if "${" in _REFERENCE.sub("", node):
        return key
    found = (resolver_at(run, reference[2:-1]) for reference in _REFERENCE.findall(node))
    return next((each for each in found if each), None)


def _read(run: str | Path, key: str) -> dict[str, Any]:
    check_format(run, key)
    path = Path(run) / ".hydra" / "config.yaml"
    if not path.is_file():
        raise UserError(f"{key}: {run} is not a run directory (it has no .hydra/config.yaml)")
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{key}: {path} cannot be read as YAML ({str(error).splitlines()[0]})") from None
    if not isinstance(config, dict):
        raise UserError(f"{key}: {path} holds no config")
    return config


def _targets(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "_target_":
                yield f"{path}_target_", item
            else:
                yield from _targets(item, f"{path}{key}.")
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _targets(item, f"{path}{i}.")


def _targets_in(folders: Iterable[Path]) -> set[str]:
    files = [file for folder in folders for file in folder.rglob("*.yaml")]
    return {target for file in files for target in _TARGET.findall(file.read_text(encoding="utf-8"))}


def _is_known_kind(target: str) -> bool:
    """A public subclass of a part's abstract class, or a public layer, optimizer, scheduler or v2 transform."""
    if not re.fullmatch(r"[A-Za-z]\w*(\.[A-Za-z]\w*)+", target):
        return False
    module_name, _, name = target.rpartition(".")
    kinds = {
        "ebm_exp": _part_classes,
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


def _part_classes() -> list[type]:
    from ebm_exp.augmentation import Augmentation
    from ebm_exp.buffer import Buffer
    from ebm_exp.dataset import Dataset
    from ebm_exp.energy import Energy
    from ebm_exp.engine import Engine
    from ebm_exp.evaluator import Evaluator
    from ebm_exp.objective import Objective
    from ebm_exp.regularization import Term
    from ebm_exp.sampler import Sampler
    from ebm_exp.sampling import Sampling
    from ebm_exp.schedule import Schedule
    from ebm_exp.start import Start

    return [
        Augmentation,
        Buffer,
        Dataset,
        Energy,
        Engine,
        Evaluator,
        Objective,
        Sampler,
        Sampling,
        Schedule,
        Start,
        Term,
    ]


def _without_resolvers(value: Any) -> Any:
    """Replace values that call a resolver (``${oc.env:…}``) by a mandatory ``???``: only the user can fill them."""
    if isinstance(value, dict):
        return {key: _without_resolvers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_resolvers(item) for item in value]
    if isinstance(value, str) and "${" in _REFERENCE.sub("", value):
        return "???"
    return value
