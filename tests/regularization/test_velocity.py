"""The loss of flow matching as a term: it is that of the objective, and an exact potential has the least of it."""

import pytest
import torch

from ebm_exp.energy import MLP
from ebm_exp.engine import Eager
from ebm_exp.noise import Flow
from ebm_exp.objective import FlowMatching
from ebm_exp.regularization import Phase, Step, Velocity
from ebm_exp.types import Points

CPU = torch.device("cpu")


@pytest.mark.parametrize("pairs", ["random", "transport"])
def test_it_is_the_loss_of_the_objective(pairs: str) -> None:
    torch.manual_seed(0)
    energy, x, noise, engine = MLP((2,), (16,)), torch.randn(32, 2), Flow("uniform"), Eager(CPU)
    objective = FlowMatching(engine, noise, {}, pairs)
    expected = objective(energy, Points(x), 0, torch.Generator().manual_seed(3)).total()
    now = Step(Phase(x, energy(x), energy), engine, torch.Generator().manual_seed(3))
    value = Velocity(noise, 0.5, pairs)(now)
    torch.testing.assert_close(value.mean(), 0.5 * expected)
    value.mean().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in energy.parameters())
