"""``python train.py -m hparams_search=digits``: a search by Optuna, and the same command goes on or joins it."""

from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class SearchSweeper(Sweeper):
    """Runs the trials that a search proposes; its settings are those of ``ebm_exp.sweeper.trials.Settings``."""

    def __init__(self, **settings: Any) -> None:
        plain = OmegaConf.to_container(OmegaConf.create(settings), resolve=True)
        assert isinstance(plain, dict)
        self.settings = {str(key): value for key, value in plain.items()}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take in what Hydra has composed."""
        self._handed = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> Any:
        """Search.

        Args:
            arguments: the task's overrides, but for those that were held back from Hydra.
        """
        from ebm_exp.cli.entry import Task
        from ebm_exp.sweeper.trials import run

        context, task, config = self._handed
        held = list(task.start.line.held) if isinstance(task, Task) else []
        return run(context, task, config, held or arguments, self.settings)
