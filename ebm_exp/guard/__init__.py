"""What watches a training and says what is wrong with it."""

from ebm_exp.guard.guard import Guard
from ebm_exp.guard.meter import Meter, NonFiniteError
from ebm_exp.guard.rule import DivergedError, Rule, Symptom

__all__ = ["DivergedError", "Guard", "Meter", "NonFiniteError", "Rule", "Symptom"]
