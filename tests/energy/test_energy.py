"""Energies: one number per point, whatever the order; smooth enough to differentiate twice."""

import pytest
import torch

from ebm_exp.energy import MLP, Conv, Energy
from ebm_exp.energy.base import energy_gradient

ENERGIES = {
    "mlp, points": (lambda: MLP((2,), (8, 8), input_scale=4.0), (2,)),
    "mlp, pictures": (lambda: MLP((1, 8, 8), (8,)), (1, 8, 8)),
    "conv, 8": (lambda: Conv((1, 8, 8)), (1, 8, 8)),
    "conv, 28": (lambda: Conv((1, 28, 28), (4, 8, 8, 8), 16), (1, 28, 28)),
    "conv, rgb": (lambda: Conv((3, 32, 32), (4, 8), 16), (3, 32, 32)),
}


@pytest.fixture(params=ENERGIES)
def energy_and_x(request: pytest.FixtureRequest) -> tuple[Energy, torch.Tensor]:
    make, shape = ENERGIES[request.param]
    torch.manual_seed(0)
    return make().double(), torch.randn(6, *shape, dtype=torch.float64)


def test_one_number_per_point(energy_and_x) -> None:
    energy, x = energy_and_x
    assert energy(x).shape == (6,)
    assert energy(x).dtype == torch.float32
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    torch.testing.assert_close(energy(x[order]), energy(x)[order])
    assert energy(x).std() > 0


def test_a_point_does_not_depend_on_its_neighbours(energy_and_x) -> None:
    energy, x = energy_and_x
    torch.testing.assert_close(energy(x[:1]), energy(x)[:1])


def test_gradient_and_double_backward(energy_and_x) -> None:
    energy, x = energy_and_x
    _, gradient = energy_gradient(energy, x)
    gradient.square().sum().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in energy.parameters())
    with torch.no_grad():
        e, flat = energy_gradient(energy, x)
    assert not (e.requires_grad)
    assert not (flat.requires_grad)
    torch.testing.assert_close(flat, gradient.detach())


def test_gradient_equals_finite_differences() -> None:
    energy = MLP((2,), (8,)).double()
    energy.forward = lambda x: energy.head(energy.activation(energy.layers[0](x))).squeeze(1)  # no cast to float32
    x, h = torch.randn(5, 2, dtype=torch.float64), 1e-5
    with torch.no_grad():
        _, gradient = energy_gradient(energy, x)
        for i in range(2):
            step = torch.zeros(2, dtype=torch.float64)
            step[i] = h
            torch.testing.assert_close(
                gradient[:, i], (energy(x + step) - energy(x - step)) / (2 * h), rtol=1e-6, atol=1e-8
            )


def test_conv_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match="conv needs pictures"):
        Conv((2,))
    with pytest.raises(ValueError, match="too many for pictures of"):
        Conv((1, 8, 8), (4, 4, 4, 4, 4))
    with pytest.raises(ValueError, match="at least one convolution"):
        Conv((1, 8, 8), ())


def test_context_must_be_exactly_what_is_named() -> None:
    energy = MLP((2,), (4,))
    assert energy.condition() is energy
    with pytest.raises(TypeError, match="takes the context"):
        energy.condition(y=torch.zeros(3))
