"""After a divergence: on from the last healthy checkpoint, under a remedy and with other random numbers."""

import logging
from collections.abc import Mapping
from typing import Any

from ebm_exp.guard import Guard
from ebm_exp.guard.remedy import changes
from ebm_exp.ranks import ALONE, Ranks
from ebm_exp.run import attempt
from ebm_exp.run.checkpoint import read_state
from ebm_exp.run.directory import RunDirectory
from ebm_exp.trainer.outcome import Outcome

log = logging.getLogger(__name__)


def rollback(
    directory: RunDirectory, config: Mapping[str, Any], guard: Guard, outcome: Outcome, ranks: Ranks = ALONE
) -> tuple[dict[str, Any], dict[str, Any] | None] | None:
    """What a run goes on with: its config and the state of a checkpoint, None for its beginning.

    None where it does not: nothing diverged, no remedy is known, or it was tried often enough.
    """
    symptom = outcome.symptom
    if symptom is None or not symptom.remedy or guard.on_divergence != "rollback":
        return None
    if config.get("attempt", 0) >= guard.max_rollbacks:
        return None
    step = max((each for each in directory.checkpoint_steps() if each <= symptom.step), default=0)
    changed = changes(symptom.remedy, config)
    number = attempt.begin(directory, changed, step, symptom.name)
    told = ", ".join(f"{key}={value:.4g}" for key, value in changed.items())
    log.warning("attempt %d (of %d): from step %s, with %s", number, guard.max_rollbacks, f"{step:,}", told)
    state = read_state(directory, step, ranks=ranks) if step else None
    return attempt.in_force(directory, config), state
