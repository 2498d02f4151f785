"""``python train.py -m seed=1,2,3 sampler.step_size=0.5,2``: every combination, and the same command goes on."""

from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class GridSweeper(Sweeper):
    """Runs every combination of the values that vary."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take in what Hydra has composed."""
        self._handed = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> Any:
        """Plan all jobs, then run those that are left.

        Args:
            arguments: the task's overrides, but for those that were held back from Hydra.
        """
        from ebm_exp.cli.entry import Task
        from ebm_exp.sweeper.grid import run

        context, task, config = self._handed
        held = list(task.start.line.held) if isinstance(task, Task) else []
        return run(context, task, config, held or arguments)
