"""How Hydra composes our configs: once for each start, and with what only the classes know of their keys.

Between the choice of groups and the first value that was typed, three things are mended in what Hydra has merged: what
an experiment says of another choice than the one that was typed beside it is left out (what it chose inside of that
one: ``inside.py``); so is what a typed ``_target_`` does not take; and a key that a file leaves to its constructor's
default may be typed as one that stands there.
"""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import version
from hydra._internal import hydra as hydra_itself
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import Override, OverrideType
from hydra.core.utils import setup_globals
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from ebm_exp.config.errors import UserError
from ebm_exp.config.explain import explain
from ebm_exp.config.inside import leaving_out
from ebm_exp.config.keys import GROUPS, SUGGESTED
from ebm_exp.config.tree import look_up
from ebm_exp.config.trust import CONF


class Loader(ConfigLoaderImpl):
    """Hydra's loader of configs, with our mends.

    Attributes:
        before_run: told Hydra's part of the config of a single run, or of a sweep as a whole, before Hydra acts on it.
        notes: a line on each key that was left out of the newest config.
    """

    before_run: Callable[[DictConfig], None] = staticmethod(lambda hydra: None)
    notes: tuple[str, ...] = ()
    _parsed: list[Override]
    _inside: Sequence[str] = ()
    _merged: DictConfig | None = None
    _ahead: tuple[tuple[Any, ...], DictConfig] | None = None
    _listed: tuple[Any, dict[tuple[str, ObjectType | None], list[str]]] | None = None

    def load_configuration(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        """Compose. Hydra asks for ``hydra.mode`` first, without a check, then for the same config in the mode it found.

        Raises:
            UserError: for what Hydra refuses, in our words.
        """
        asked, ahead, mode = (config_name, *overrides), self._ahead, f"hydra.mode={run_mode.name}"
        self._ahead = None
        try:
            if ahead is not None and asked in (ahead[0], (*ahead[0], mode)):
                self.validate_sweep_overrides_legal(self._parsed, run_mode, from_shell)
                config = ahead[1]
                if config.hydra.mode is None:
                    config.hydra.mode = run_mode
                    config.hydra.overrides.hydra.append(mode)
                self.before_run(config.hydra)
                return config
            self._merged = None
            as_run = run_mode if validate_sweep_overrides else RunMode.RUN
            with leaving_out() as self._inside:
                config = super().load_configuration(
                    config_name, overrides, as_run, from_shell, validate_sweep_overrides
                )
        except (HydraException, OmegaConfBaseException) as error:
            raise UserError("\n".join(explain(error, overrides, _plain(self._merged, ())))) from error
        self._ahead = None if validate_sweep_overrides else (asked, config)
        return config

    def get_group_options(
        self,
        group_name: str,
        results_filter: ObjectType | None = ObjectType.CONFIG,
        config_name: str | None = None,
        overrides: list[str] | None = None,
    ) -> list[str]:
        """The choices of a group. For ``--hydra-help`` Hydra asks for each several times, and reads its folder anew."""
        if config_name or overrides:
            return super().get_group_options(group_name, results_filter, config_name, overrides)
        asked = (group_name, results_filter)
        if self._listed is None:
            self._listed = super()._parse_overrides_and_create_caching_repo(None, [])[1], {}
        repository, known = self._listed
        if asked not in known:
            known[asked] = repository.get_group_options(group_name, results_filter)
        return known[asked]

    def _parse_overrides_and_create_caching_repo(self, config_name: str | None, overrides: list[str]) -> Any:
        self._parsed, repository = super()._parse_overrides_and_create_caching_repo(config_name, overrides)
        return self._parsed, repository

    def _compose_config_from_defaults_list(self, defaults: list[Any], repo: Any) -> DictConfig:
        self._merged = config = super()._compose_config_from_defaults_list(defaults, repo)
        plain, typed = _plain(config), {_key(each): each.value() for each in self._parsed}
        left = _leftovers(plain, typed, defaults, repo) if "experiment" in typed else {}
        inside = {
            key: f"experiment={typed.get('experiment')} chooses it, inside of what the command replaces"
            for key in self._inside
        }
        self.notes = tuple(f"{key}: left out; {why}" for key, why in (inside | left).items())
        for key in {*left, *_untaken(plain, typed)}:
            path, _, last = key.rpartition(".")
            del OmegaConf.select(config, path)[last]
        for override in self._parsed:
            if override.type == OverrideType.CHANGE and _is_left_to_default(plain, override.key_or_group, typed):
                override.type = OverrideType.FORCE_ADD
        return config


def install(before_run: Callable[[DictConfig], None]) -> None:
    """Let Hydra use this loader in this process; it offers no way to hand it one."""
    ours = type("Loader", (Loader,), {"before_run": staticmethod(before_run)})
    hydra_itself.ConfigLoaderImpl = ours  # type: ignore[misc, assignment]


def compose_run(primary: str, words: Iterable[str], folders: Iterable[Path] = ()) -> tuple[DictConfig, tuple[str, ...]]:
    """A config with Hydra's part, as Hydra composes it for a single run, and a line on each key that was left out.

    What Hydra keeps in this process is afterwards as it was: somebody may use it for something else.

    Args:
        primary: the name of the primary config.
        words: overrides of it.
        folders: of YAML files beside ``conf/``.

    Raises:
        UserError: for what Hydra refuses.
    """
    searched = create_config_search_path(str(CONF))
    for folder in folders:  # as Hydra takes --config-dir
        searched.prepend("command-line", f"file://{folder}", anchor=SearchPathQuery(provider="schema"))
    base = version.VersionBase.instance()
    before = base.version_base
    version.setbase("1.3")
    if not OmegaConf.has_resolver("hydra"):
        setup_globals()
    try:
        loader = Loader(searched)
        config = loader.load_configuration(primary, list(words), RunMode.RUN)
    finally:
        base.version_base = before
    config.hydra.mode = RunMode.RUN
    return config, loader.notes


def compose(primary: str, overrides: Iterable[str], folders: Iterable[Path] = ()) -> DictConfig:
    """A config, without Hydra's part, composed beside what Hydra runs; see ``compose_run``."""
    return without_hydra(compose_run(primary, overrides, folders)[0])


def without_hydra(composed: DictConfig) -> DictConfig:
    """A copy of a composed config without Hydra's part."""
    task = copy.deepcopy(composed)
    with open_dict(task):
        task.pop("hydra", None)
    return task


def resolve(composed: DictConfig) -> dict[str, Any]:
    """A composed config as plain values, its references resolved, without Hydra's part."""
    plain: Any = OmegaConf.to_container(without_hydra(composed), resolve=True, throw_on_missing=True)
    return plain  # type: ignore[no-any-return]


def _key(override: Override) -> str:
    return override.key_or_group if override.package is None else f"{override.key_or_group}@{override.package}"


def _leftovers(
    config: Mapping[str, Any], typed: Mapping[str, Any], defaults: Iterable[Any], repo: Any
) -> dict[str, str]:
    """Keys that an experiment says of a group whose choice was typed beside it, and why each is left out.

    An experiment's keys stand on top of the choice, whichever it is: ``experiment=… optimizer=adam`` would otherwise
    be refused for keys of the experiment's own optimizer.
    """
    found: dict[str, str] = {}
    chosen = {key: key.partition("@")[2] or key for key in typed if key.partition("@")[0] in GROUPS}
    for choice, path in chosen.items():
        node = look_up(config, path)
        if not isinstance(node, dict):
            continue
        said, own = set(), set()
        for each in defaults:
            if each.package == path:
                own |= set(_plain(repo.load_config(each.config_path).config))
            elif str(each.config_path).startswith("experiment/"):
                said |= set(look_up(_plain(repo.load_config(each.config_path).config), path) or ())
        beside = {key for key in said - own if key in node}
        if "_target_" in node:
            gone = _foreign(path, node["_target_"], beside, typed) if beside else []
        else:  # a group of several: what remains of one that is not there
            gone = sorted(key for key in beside if isinstance(node[key], dict) and "_target_" not in node[key])
        why = f"experiment={typed['experiment']} sets it, {choice}={typed[choice]} has no such key"
        found |= {f"{path}.{key}": why for key in gone}
    return found


def _untaken(config: Mapping[str, Any], typed: Mapping[str, Any]) -> list[str]:
    """Keys that a typed ``_target_`` does not take: those of the class whose node it takes over."""
    targets = {key.rpartition(".")[0]: target for key, target in typed.items() if key.endswith("._target_")}
    nodes = {path: node for path in targets if isinstance(node := look_up(config, path), dict)}
    return [f"{path}.{key}" for path, node in nodes.items() for key in _foreign(path, targets[path], node, typed)]


def _is_left_to_default(config: Mapping[str, Any], key: str, typed: Mapping[str, Any]) -> bool:
    """Whether a key is one that a file leaves to its constructor's default."""
    path, _, name = key.rpartition(".")
    node = look_up(config, path) if path else None
    if not isinstance(node, dict) or name in node:
        return False
    target = typed.get(f"{path}._target_", node.get("_target_"))
    from ebm_exp.config import signature, validate  # late: it imports torch, which a look needs for such a key alone

    return target is not None and name in signature.settable(validate.locate(path, target))


def _foreign(path: str, target: Any, keys: Iterable[str], typed: Mapping[str, Any]) -> list[str]:
    """Those of the keys that a class does not take, and nobody typed."""
    from ebm_exp.config import signature, validate

    parameters = signature.arguments(validate.locate(path, target))
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return []
    taken = set(parameters) | validate.OWN | SUGGESTED
    return [key for key in sorted(keys) if key not in taken and f"{path}.{key}" not in typed]


def _plain(config: Any, without: tuple[str, ...] = ("hydra",)) -> dict[str, Any]:
    """A config unresolved, as a rule without Hydra's part; empty for none."""
    plain: Any = {} if config is None else OmegaConf.to_container(config, resolve=False)
    return {str(key): value for key, value in plain.items() if key not in without} if isinstance(plain, dict) else {}
