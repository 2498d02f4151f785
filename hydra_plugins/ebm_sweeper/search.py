"""``python train.py -m hparams_search=digits``: a search by Optuna, and the same command goes on or joins it."""

from typing import Any

from omegaconf import OmegaConf

from ebm_exp.cli.plugin import CommandSweeper


class SearchSweeper(CommandSweeper):
    """Runs the trials that a search proposes; its settings are those of ``ebm_exp.sweeper.settings.Settings``."""

    def __init__(self, **settings: Any) -> None:
        self.settings: Any = OmegaConf.to_container(OmegaConf.create(settings), resolve=True)

    def run(self, command: Any) -> Any:
        """Search."""
        from ebm_exp.sweeper.trials import run

        return run(command, self.settings)
