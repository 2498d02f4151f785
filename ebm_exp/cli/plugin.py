"""What Hydra hands to our sweepers, as the command that they run; ``hydra_plugins`` makes them known to it."""

from abc import abstractmethod
from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class CommandSweeper(Sweeper):
    """A sweeper that plans its jobs itself."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take in what Hydra has composed."""
        self._handed = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> Any:
        """Run all jobs that are left.

        Args:
            arguments: the task's overrides, but for those that were held back from Hydra.
        """
        from ebm_exp.cli.entry import Task
        from ebm_exp.sweeper.command import Command

        context, task, config = self._handed
        held = list(task.start.line.held) if isinstance(task, Task) else []
        return self.run(Command(context, task, config, held or arguments))

    @abstractmethod
    def run(self, command: Any) -> Any:
        """Run the sweep of a command."""
