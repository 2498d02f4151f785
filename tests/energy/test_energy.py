"""Energies: one number per point, whatever the order; smooth enough to differentiate twice."""

import pytest
import torch

from ebm_exp.energy import MLP, Conv, Encoder, Energy, Radial, UNet
from ebm_exp.energy.base import count_parameters, energy_gradient

ENERGIES = {
    "mlp, points": (lambda: MLP((2,), (8, 8), input_scale=4.0), (2,)),
    "mlp, images": (lambda: MLP((1, 8, 8), (8,)), (1, 8, 8)),
    "conv, 8": (lambda: Conv((1, 8, 8)), (1, 8, 8)),
    "conv, 28": (lambda: Conv((1, 28, 28), (4, 8, 8, 8), 16), (1, 28, 28)),
    "conv, rgb": (lambda: Conv((3, 32, 32), (4, 8), 16), (3, 32, 32)),
    "conv, kernel 3": (lambda: Conv((1, 9, 6), (4, 8, 8, 8), 16, kernel=3), (1, 9, 6)),
    "encoder, one landscape": (lambda: Encoder((1, 8, 8), (4, 8), (1, 2), timed=False), (1, 8, 8)),
    "encoder, attention": (lambda: Encoder((1, 8, 8), (32, 64), (1, 2), attention=(1, 2)), (1, 8, 8)),
    "unet, dot": (lambda: UNet((1, 9, 6), "dot", (4, 8), (1, 2)), (1, 9, 6)),
    "unet, norm": (lambda: UNet((3, 8, 8), "norm", (4, 8), (2, 2), 6, 2, 2), (3, 8, 8)),
    "radial": (lambda: Radial(3), (5,)),
    "conv, no hidden layer": (lambda: Conv((1, 8, 8), (4, 8), None), (1, 8, 8)),
}


@pytest.fixture(params=ENERGIES)
def energy_and_x(request: pytest.FixtureRequest) -> tuple[Energy, torch.Tensor]:
    make, shape = ENERGIES[request.param]
    torch.manual_seed(0)
    return make().double(), torch.randn(6, *shape, dtype=torch.float64)


def test_one_number_per_point(energy_and_x) -> None:
    energy, x = energy_and_x
    assert energy(x).shape == (6,)
    assert energy.float()(x.float()).dtype == torch.float32
    energy.double()
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


def test_energies_are_float32_whatever_a_network_returns_under_autocast() -> None:
    class Own(Energy):
        def __init__(self) -> None:
            super().__init__()
            self.f = torch.nn.Linear(3, 8)

        def forward(self, x: torch.Tensor, **context: torch.Tensor) -> torch.Tensor:
            return self.f(x).sum(1)

    energy, x = Own(), torch.randn(4, 3)
    with torch.autocast("cpu", torch.bfloat16):
        assert energy.forward(x).dtype == torch.bfloat16
        assert energy(x).dtype == energy.bind()(x).dtype == torch.float32
    assert energy.double()(x.double()).dtype == torch.float64


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


UVA = {"channels": (16, 32, 64, 64), "width": 64, "kernel": 3, "stem_kernel": 5, "stem_stride": 2, "stem_padding": 4}


@pytest.mark.parametrize(
    ("shape", "options", "n_features", "n_parameters"),
    [
        ((1, 28, 28), {"channels": (64, 64, 128, 256)}, 3 * 3 * 256, 1_017_153),  # Du & Mordatch, MNIST
        ((1, 28, 28), UVA, 2 * 2 * 64, 76_993),
        ((3, 32, 32), {"channels": (32, 64, 128, 256), "width": None}, 4 * 4 * 256, 693_569),  # VanillaNet
    ],
    ids=["du2019", "uva", "vanilla"],
)
def test_published_convs(shape, options, n_features, n_parameters) -> None:
    energy = Conv(shape, **options)
    assert energy.head[0].in_features == n_features
    assert count_parameters(energy) == n_parameters
    assert energy(torch.rand(2, *shape)).shape == (2,)


@pytest.mark.parametrize("kernel", [3, 4])
@pytest.mark.parametrize("side", range(1, 18))
def test_a_conv_halves_as_often_as_there_are_pixels(side: int, kernel: int) -> None:
    pixels, halvings = side, 0
    while pixels > 1:
        pixels, halvings = (pixels + 1) // 2 if kernel == 3 else pixels // 2, halvings + 1
    assert Conv((1, side, 20), (2,) * (halvings + 1), 4, kernel)(torch.zeros(2, 1, side, 20)).shape == (2,)
    with pytest.raises(ValueError, match=f"at most {halvings + 1} widths"):
        Conv((1, side, 20), (2,) * (halvings + 2), 4, kernel)


def test_conv_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match="conv needs images"):
        Conv((2,))
    with pytest.raises(
        ValueError, match="channels: must be at most 4 widths, got 5: the first convolution makes images of 8×8 8×8"
    ):
        Conv((1, 8, 8), (4, 4, 4, 4, 4))
    with pytest.raises(ValueError, match="at most 4 widths, got 5"):
        Conv((1, 8, 9), (4, 4, 4, 4, 4), kernel=3)
    with pytest.raises(ValueError, match="at most 3 widths, got 4"):
        Conv((1, 7, 9), (4, 4, 4, 4))
    with pytest.raises(ValueError, match="at least one convolution"):
        Conv((1, 8, 8), ())


def test_what_is_not_named_is_not_bound() -> None:
    energy = MLP((2,), (4,))
    assert energy.bind() is energy
    assert energy.bind(y=torch.zeros(3)) is energy
