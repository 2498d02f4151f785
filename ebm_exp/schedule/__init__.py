"""Schedules of the learning rate: pure functions of the step, so that a resumed run needs no state."""

from ebm_exp.schedule.base import Schedule
from ebm_exp.schedule.decays import Constant, Cosine, Linear, Staircase

__all__ = ["Constant", "Cosine", "Linear", "Schedule", "Staircase"]
