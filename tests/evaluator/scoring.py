"""Evaluators on samples that are given."""

import torch
from torch import Tensor

from ebm_exp.energy import Energy
from ebm_exp.evaluator import Evaluator, Model, as_row
from ebm_exp.types import Points


def model_of(energy: Energy) -> Model:
    """One for an evaluator that looks at no samples."""
    return Model.of(energy, Points(torch.empty(0, 0)))


def scored(evaluator: Evaluator, energy: Energy, x: Tensor | None = None, y: Tensor | None = None) -> dict[str, float]:
    """Its numbers by name, as logs have them."""
    model = Model.of(energy, Points(torch.empty(0, 0) if x is None else x, y))
    return {name.removeprefix("eval/"): value for name, value in as_row(evaluator(model)).items()}
