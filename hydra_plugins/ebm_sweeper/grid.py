"""``python train.py -m seed=1,2,3 sampler.step_size=0.5,2``: every combination, and the same command goes on."""

from typing import Any

from ebm_exp.cli.plugin import CommandSweeper


class GridSweeper(CommandSweeper):
    """Runs every combination of the values that vary."""

    def run(self, command: Any) -> Any:
        """Plan all jobs, then run those that are left."""
        from ebm_exp.sweeper.grid import run

        return run(command)
