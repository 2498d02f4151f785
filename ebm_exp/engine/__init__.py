"""Engines: how gradients are computed and chains are run."""

from ebm_exp.engine.base import Engine, Run, Work
from ebm_exp.engine.eager import Eager
from ebm_exp.engine.graphs import Graphs
from ebm_exp.engine.target import Target

__all__ = ["Eager", "Engine", "Graphs", "Run", "Target", "Work"]
