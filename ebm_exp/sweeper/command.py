"""The command that a sweep was started with: its jobs, its record, and its directory follow from it."""

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig
from omegaconf.errors import MissingMandatoryValue

from ebm_exp.config.compose import resolve
from ebm_exp.config.errors import UserError
from ebm_exp.config.override import key_of
from ebm_exp.config.tree import look_up
from ebm_exp.shell import typed
from ebm_exp.sweep.directory import SweepDirectory
from ebm_exp.sweeper.plan import find, identity

FORMAT = 1


class Command:
    """The command of a sweep, which composes its jobs as its launcher will, and finds the sweep again.

    Args:
        context: what Hydra hands to a sweeper,
        task: with what a job runs,
        master: and the config of the sweep as a whole.
        arguments: the task's overrides.

    Attributes:
        fixed: overrides that all jobs have in common.
        varied: those that say what varies.
    """

    def __init__(self, context: HydraContext, task: TaskFunction, master: DictConfig, arguments: list[str]) -> None:
        self.context = context
        self.task = task
        self.master = master
        self.arguments = arguments
        self.overrides = self.parse(arguments)
        self.fixed = [each.input_line or "" for each in self.overrides if not each.is_sweep_override()]
        self.varied = [each.input_line or "" for each in self.overrides if each.is_sweep_override()]
        for i, word in enumerate(arguments):
            again = [each for each in arguments[i + 1 :] if key_of(each) == key_of(word)]
            if again and word in self.varied:
                raise UserError(f"{key_of(word)}: varies, and is typed again: {word} and {again[-1]}")

    def parse(self, arguments: Sequence[str]) -> list[Override]:
        """The overrides of a command line."""
        return OverridesParser.create(config_loader=self.context.config_loader).parse_overrides(list(arguments))

    def has(self, key: str) -> bool:
        """Whether its jobs are told a key."""
        return any(key_of(each) == key for each in self.arguments)

    def compose(self, arguments: Sequence[str]) -> DictConfig:
        """The whole config of one job, Hydra's part included.

        Raises:
            UserError: when it cannot be composed.
        """
        return self.context.config_loader.load_sweep_config(self.master, list(arguments))

    def describe(
        self,
        kind: str,
        config: Mapping[str, Any],
        keys: Sequence[str],
        metrics: Sequence[str | None],
        directions: Mapping[Any, str],
        **more: Any,
    ) -> dict[str, Any]:
        """What sweep.json says of a new sweep.

        Args:
            kind: ``grid`` or ``search``.
            config: of one of its jobs.
            keys: what varies.
            metrics: what is optimized.
            directions: of the metrics, ``lower`` or ``higher``, as far as they are known.
            more: what this kind has beside.
        """
        began = time.strftime("%Y-%m-%dT%H:%M:%S")
        return {
            "format": FORMAT, "name": config["name"], "kind": kind, "command": typed(),
            "overrides": identity(self.arguments), "arguments": self.arguments, "keys": keys,
            "defaults": self._defaults(keys), "metrics": metrics, "directions": directions, **more, "began": began,
        }  # fmt: skip

    def _defaults(self, keys: Iterable[str]) -> dict[str, Any]:
        """The values that keys have, and the choices that groups have, where the sweep does not set them."""
        try:
            composed = self.compose(self.fixed)
            config = resolve(composed)
        except (UserError, MissingMandatoryValue):  # no default, or what is fixed fits none: nothing to compare with
            return {}
        choices = composed.hydra.runtime.choices
        return {key: choices[key] if key in choices else look_up(config, key) for key in keys}

    def find(self, jobs: Sequence[DictConfig], config: Mapping[str, Any], new: bool) -> tuple[SweepDirectory, bool]:
        """The directory of a sweep, and whether it is there already.

        Args:
            jobs: composed.
            config: of one of them.
            new: ``sweep=new``.
        """
        return find(self._place(jobs), self.arguments, config, given=self._is_placed, new=new)

    def begin(
        self, jobs: Sequence[DictConfig], config: Mapping[str, Any], new: bool, record: Mapping[str, Any]
    ) -> tuple[SweepDirectory, bool]:
        """The directory of a sweep that was not there, with its record, and whether another process has begun it since.

        Processes that begin sweeps of one name do so one after the other, also on machines that share the folder.

        Args:
            jobs: composed.
            config: of one of them.
            new: ``sweep=new``.
            record: what sweep.json is to say.
        """
        place = self._place(jobs)
        with SweepDirectory(place if self._is_placed else place.parent).lock("start"):
            sweep, is_there = self.find(jobs, config, new)
            if not is_there:
                sweep.write_record(record)
        return sweep, is_there

    @property
    def _is_placed(self) -> bool:
        """Whether the directory was typed."""
        return any(re.match(r"\+*hydra\.sweep\.dir=", line) for line in self.master.hydra.overrides.hydra)

    def _place(self, jobs: Sequence[DictConfig]) -> Path:
        """Where a new sweep would lie."""
        folders = list(dict.fromkeys(Path(str(job.hydra.sweep.dir)) for job in jobs))
        names = list(dict.fromkeys(folder.parent.name for folder in folders))
        if len(names) == 1 or self._is_placed:
            return folders[0]
        name = "+".join(names) if len("+".join(names)) <= 60 else f"{names[0]}+{len(names) - 1}_more"
        return folders[0].parent.parent / name / folders[0].name
