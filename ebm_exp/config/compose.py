"""How Hydra composes our configs: once for each start, and with what only the classes know of their keys.

Between the choice of groups and the first value that was typed, three things are mended in what Hydra has merged: what
an experiment says of another choice than the one that was typed beside it is left out; so is what a typed ``_target_``
does not take; and a key that a file leaves to its constructor's default may be typed as one that stands there.
"""

from collections.abc import Iterator
from typing import Any

from hydra._internal import hydra as hydra_itself
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from ebm_exp.config.errors import UserError
from ebm_exp.config.explain import explain
from ebm_exp.config.keys import GROUPS, SUGGESTED


class Loader(ConfigLoaderImpl):
    """Hydra's loader of configs, with our mends.

    Attributes:
        notes: a line on each key that was left out of the newest config.
    """

    notes: tuple[str, ...] = ()
    _parsed: list[Override]
    _merged: DictConfig | None = None
    _ahead: tuple[tuple[Any, ...], DictConfig] | None = None

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
        asked = (config_name, *overrides)
        ahead, self._ahead = self._ahead, None
        try:
            mode = f"hydra.mode={run_mode.name}"
            if ahead is not None and asked in (ahead[0], (*ahead[0], mode)):
                self.validate_sweep_overrides_legal(self._parsed, run_mode, from_shell)
                config = ahead[1]
                if config.hydra.mode is None:
                    config.hydra.mode = run_mode
                    config.hydra.overrides.hydra.append(mode)
                return config
            self._merged = None
            if validate_sweep_overrides:
                return super().load_configuration(config_name, overrides, run_mode, from_shell)
            config = super().load_configuration(config_name, overrides, RunMode.RUN, from_shell, False)
        except (HydraException, OmegaConfBaseException) as error:
            merged = {} if self._merged is None else _plain(self._merged)
            raise UserError("\n".join(explain(error, overrides, merged))) from error
        self._ahead = asked, config
        return config

    def _parse_overrides_and_create_caching_repo(self, config_name: str | None, overrides: list[str]) -> Any:
        self._parsed, repository = super()._parse_overrides_and_create_caching_repo(config_name, overrides)
        return self._parsed, repository

    def _compose_config_from_defaults_list(self, defaults: list[Any], repo: Any) -> DictConfig:
        self._merged = config = super()._compose_config_from_defaults_list(defaults, repo)
        leftovers = list(_leftovers(config, self._parsed, defaults, repo))
        self.notes = tuple(line for _, line in leftovers)
        for path, key in (place for place, _ in leftovers):
            _delete(config, path, key)
        for path, key in list(_untaken(config, self._parsed)):
            _delete(config, path, key)
        for override in self._parsed:
            if override.type == OverrideType.CHANGE and _is_left_to_default(config, override, self._parsed):
                override.type = OverrideType.FORCE_ADD
        return config


def install() -> None:
    """Let Hydra use this loader in this process; it offers no way to hand it one."""
    hydra_itself.ConfigLoaderImpl = Loader  # type: ignore[misc]


def _leftovers(
    config: DictConfig, typed: list[Override], defaults: list[Any], repo: Any
) -> Iterator[tuple[tuple[str, str], str]]:
    """What an experiment says of a group whose choice was typed beside it: group and key, and a line on each.

    An experiment's keys stand on top of the choice, whichever it is: ``experiment=… optimizer=adam`` would otherwise
    be refused for keys of the experiment's own optimizer.
    """
    experiment = next((each.value() for each in typed if each.key_or_group == "experiment"), None)
    for choice in typed if experiment is not None else ():
        group = choice.key_or_group
        node = _node(config, group)
        if group not in GROUPS or choice.package is not None or node is None:
            continue
        said: set[str] = set()
        own: set[str] = set()
        for each in defaults:
            if str(each.config_path).startswith("experiment/"):
                said |= _keys(repo, each.config_path, group)
            elif each.package == group:
                own |= _keys(repo, each.config_path, "")
        beside = (said - own) & set(node)
        target = node.get("_target_")
        if target is not None:
            gone = _foreign(group, target, beside, typed) if beside else []
        else:  # a group of several: what remains of one that is not there
            gone = sorted(key for key in beside if (item := _node(node, key)) is not None and "_target_" not in item)
        for key in gone:
            line = f"{group}.{key}: left out; experiment={experiment} sets it, {choice.input_line} has no such key"
            yield (group, key), line


def _untaken(config: DictConfig, typed: list[Override]) -> Iterator[tuple[str, str]]:
    """Paths and keys of nodes that a typed ``_target_`` does not take: those of the class whose node it takes over."""
    for override in typed:
        path, _, last = override.key_or_group.rpartition(".")
        if last == "_target_" and isinstance(override.value(), str) and (node := _node(config, path)) is not None:
            yield from ((path, key) for key in _foreign(path, override.value(), set(node), typed))


def _is_left_to_default(config: DictConfig, override: Override, typed: list[Override]) -> bool:
    """Whether an override sets a key that a file leaves to its constructor's default."""
    path, _, name = override.key_or_group.rpartition(".")
    node = _node(config, path)
    if not path or node is None or name in set(node) or override.package is not None:
        return False
    from ebm_exp.config import signature, validate  # late: it imports torch, which a look needs for such a key alone

    given = [each.value() for each in typed if each.key_or_group == f"{path}._target_"]
    target = given[-1] if given else node.get("_target_")
    return target is not None and name in signature.settable(validate.locate(path, target))


def _foreign(path: str, target: Any, keys: set[str], typed: list[Override]) -> list[str]:
    """Those of the keys that a class does not take, and nobody typed."""
    from ebm_exp.config import signature, validate

    parameters = signature.arguments(validate.locate(path, target))
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return []
    given = {each.key_or_group for each in typed}
    left = sorted(keys - set(parameters) - validate.OWN - SUGGESTED)
    return [key for key in left if f"{path}.{key}" not in given]


def _keys(repo: Any, config_path: str, group: str) -> set[str]:
    """The keys that one file says of a group; of a file of the group itself, all of its keys."""
    loaded = repo.load_config(config_path=config_path)
    node = None if loaded is None else _node(loaded.config, group)
    return set() if node is None else {str(key) for key in node} - {"defaults"}


def _node(config: DictConfig, path: str) -> DictConfig | None:
    """The mapping at a path, nothing in it resolved; None where there is none."""
    node: Any = config
    for part in filter(None, path.split(".")):
        node = node._get_node(part) if _is_mapping(node) else None
    return node if _is_mapping(node) else None


def _is_mapping(node: Any) -> bool:
    return isinstance(node, DictConfig) and not (node._is_none() or node._is_missing() or node._is_interpolation())


def _plain(config: DictConfig) -> dict[str, Any]:
    """A config unresolved, without Hydra's part."""
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items() if key != "hydra"}


def _delete(config: DictConfig, path: str, key: str) -> None:
    node = _node(config, path)
    assert node is not None
    with open_dict(node):
        del node[key]
