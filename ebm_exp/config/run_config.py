"""Reading the config of a run. A run directory is data, not code: it may come from anywhere.

Its YAML holds plain values alone (``plain.py``), it does not lead out of itself, and what it says of side effects is
not followed. ``trust=true`` lifts that.
"""

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ebm_exp.config import plain
from ebm_exp.config.errors import UserError
from ebm_exp.config.keys import side_effect
from ebm_exp.config.no_run import refuse_call, refuse_no_run
from ebm_exp.config.summary import SummaryError, read_summary
from ebm_exp.config.tree import leaves, look_up
from ebm_exp.files import ARRAYS

FORMAT = 3  # of a run's config, summary and checkpoints; a run of another format cannot be read
_IN_PLACE = re.compile(r"metrics\.jsonl|\w+\.log|.*\.lock")  # what is not replaced when it is written
_SETTINGS = ("matplotlibrc", "wandb/settings", ".wandb/settings")  # of the folder that a command stands in


class RunConfig(NamedTuple):
    """What a run was composed from.

    Attributes:
        values: the config, its references resolved.
        not_taken: what it says of side effects and is not followed, by key.
        directory: of the run, absolute.
    """

    values: dict[str, Any]
    not_taken: dict[str, Any]
    directory: Path


def read_run_config(run: str | Path, trust: bool = False, key: str = "run", live: tuple[str, ...] = ()) -> RunConfig:
    """The config that a run directory was composed from, its references resolved: nothing in it refers any more.

    A value that calls a resolver (``${oc.env:…}``) is ``???``: only the user can fill it. What has side effects is as
    by default (``keys.side_effect``).

    Args:
        run: the run directory.
        trust: call resolvers, and follow it in its side effects.
        key: the command-line key that gave the directory, for the message.
        live: keys at the top below which references to the same key stay.

    Raises:
        UserError: when it is no run directory, or its config is not plain.
    """
    refuse_no_run(run, key)
    if not trust:
        refuse_links(run, key)
    config = _with_own_array(run, _read(run, key))
    if trust:
        from omegaconf import OmegaConf

        resolved = OmegaConf.to_container(OmegaConf.create(config), resolve=True)
        assert isinstance(resolved, dict)
        return RunConfig({str(name): value for name, value in resolved.items()}, {}, Path(os.path.abspath(run)))
    try:
        values = _without_side_effects(plain.resolve(config, live))
    except plain.PlainError as error:
        raise UserError(f"{key}: {Path(run) / '.hydra' / 'config.yaml'} {error}") from None
    not_taken = dict(_differences(config, _without_side_effects(config)))
    return RunConfig(values, not_taken, Path(os.path.abspath(run)))


def _with_own_array(run: str | Path, config: dict[str, Any]) -> dict[str, Any]:
    """The config with the array that the run itself keeps, wherever the run lies now."""
    path = look_up(config, "dataset.path")
    name = next((name for name in ARRAYS if isinstance(path, str) and Path(path).name == name), None)
    if name is None or not (Path(run) / name).is_file():
        return config
    return {**config, "dataset": {**config["dataset"], "path": os.path.abspath(Path(run) / name)}}


def refuse_links(
    folder: str | Path, key: str, what: str = "run", names: Iterable[str] | None = None, way: str = "trust=true"
) -> None:
    """Refuse a run, or a sweep, with a link in it, or anything that is no file or folder: it leads out of the folder.

    Parents of the folder may be links. Where the command stands in the folder, a file there that would set one of our
    tools is refused too.

    Args:
        folder: of the run or sweep.
        key: the command-line key that gave it, for the message.
        what: it is.
        names: look at these alone; None: at all that is in it, at any depth.
        way: to follow it all the same.

    Raises:
        UserError: naming the first.
    """
    but = f"and a {what} may not lead out of itself; {way} follows it"
    for path in _all_in(folder) if names is None else (os.path.join(folder, name) for name in names):
        try:
            found = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            continue  # another process replaces it
        if stat.S_ISLNK(found.st_mode):
            raise UserError(f"{key}: {path} is a link, {but}")
        if not (stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode)):
            raise UserError(f"{key}: {path} is no file or folder, {but}")
        if stat.S_ISREG(found.st_mode) and found.st_nlink > 1 and _IN_PLACE.fullmatch(os.path.basename(path)):
            raise UserError(f"{key}: {path} is a file that has another name elsewhere, {but}")
    here, root = Path.cwd(), Path(folder).resolve()
    for name in _SETTINGS if here == root or root in here.parents else ():
        if (here / name).exists():
            raise UserError(
                f"{key}: {here / name} would act on this command, which stands in the {what}; start it elsewhere"
            )


def _all_in(folder: str | Path) -> Iterator[str]:
    for inside, folders, files in os.walk(folder):
        yield from (os.path.join(inside, name) for name in (*folders, *files))


def _without_side_effects(value: Any, path: str = "") -> Any:
    """The same config, with what another run has in place of what would send, fetch or write elsewhere."""
    if instead := side_effect(path):
        return instead["value"]
    if isinstance(value, list):
        return [_without_side_effects(item, path) for item in value]
    if isinstance(value, dict):
        return {key: _without_side_effects(item, f"{path}.{key}" if path else str(key)) for key, item in value.items()}
    return value


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in leaves(before):
        if value is not None and value != look_up(after, key):
            yield key, value


def check_format(run: str | Path, key: str = "run") -> None:
    """Refuse a run that was written in another format.

    Raises:
        UserError: naming both.
    """
    file = Path(run) / "summary.json"
    try:
        summary = read_summary(file)
    except SummaryError as error:
        raise UserError(f"{key}: {file} {error}") from None
    if summary and summary.get("format") != FORMAT:
        raise UserError(f"{key}: {run} has format {summary.get('format', 1)}, this version reads {FORMAT}")


def resolver_at(run: str | Path, key: str) -> str | None:
    """The key at which the config of a run calls a resolver, when a value wants it: this one or one it refers to."""
    node = look_up(_read(run, "run"), key)
    if not isinstance(node, str):
        return None
    if "${" in plain.REFERENCE.sub("", node):
        return key
    found = (resolver_at(run, reference) for reference in plain.REFERENCE.findall(node))
    return next((each for each in found if each), None)


def _read(run: str | Path, key: str) -> dict[str, Any]:
    check_format(run, key)
    path = Path(run) / ".hydra" / "config.yaml"
    try:
        config = plain.read(path)
    except (plain.PlainError, OSError) as error:
        raise UserError(f"{key}: {path} {error}") from None
    if not isinstance(config, dict):
        raise UserError(f"{key}: {path} holds no config")
    if "hydra" in config or _holds_defaults(config):  # they speak to Hydra, which composes it
        raise UserError(f"{key}: {path} is not the config of a run (it has a hydra or defaults key)")
    refuse_call(run, config, key)
    return config


def _holds_defaults(value: Any) -> bool:
    if isinstance(value, dict):
        return "defaults" in value or any(_holds_defaults(item) for item in value.values())
    return isinstance(value, list) and any(_holds_defaults(item) for item in value)
