"""The residual network: size, start, pooling, errors."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from ebm_exp.energy import IGEBM
from ebm_exp.energy.base import count_parameters, frozen


def test_the_base_has_the_published_layers() -> None:
    """Stem, six blocks of two 3×3 convolutions, two 1×1 skips (128→256 at the second stage only), a linear unit."""
    energy = IGEBM((3, 32, 32))
    widths = [128, 128, 128, 256, 256, 256, 256]
    blocks = sum(9 * (i * o + o * o) + 2 * o for i, o in pairwise(widths))
    assert count_parameters(energy) == (27 * 128 + 128) + blocks + 128 * 256 + 257
    large = IGEBM((3, 32, 32), channels=(4, 8, 16), blocks=3)
    assert len(large.blocks) == 9


def test_a_block_begins_as_its_skip() -> None:
    """Second convolutions start at 1e-10: without biases the blocks only halve and activate."""
    energy = IGEBM((1, 8, 8), channels=(4, 4), blocks=2)
    x = torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        for block in energy.blocks:
            block.second.bias.zero_()
        h = energy.activation(energy.stem(x))
        for block in energy.blocks:
            h = energy.activation(h)
            h = nn.functional.avg_pool2d(h, 2) if block.halve else h
        torch.testing.assert_close(energy(x), energy.head(h.sum((2, 3))).squeeze(1), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 8), (3, 9, 11)])
def test_one_number_per_picture_and_pooling(shape: tuple[int, int, int]) -> None:
    energy = IGEBM(shape, channels=(4, 8, 8), blocks=1).eval()
    x = torch.randn(5, *shape)
    with torch.no_grad():
        e = energy(x)
        assert e.shape == (5,)
        torch.testing.assert_close(energy(x.flip(0)), e.flip(0))
        energy.pool = "mean"
        cells = (shape[1] // 8) * (shape[2] // 8)
        bias = energy.head.bias
        torch.testing.assert_close((energy(x) - bias) * cells, e - bias, atol=1e-5, rtol=1e-4)


def test_dropout_is_for_weights_not_for_chains() -> None:
    energy, x = IGEBM((1, 8, 8), channels=(8,), blocks=2, dropout=0.5), torch.randn(4, 1, 8, 8)
    for block in energy.blocks:
        nn.init.normal_(block.second.weight, std=0.3)
    assert not torch.equal(energy(x), energy(x))
    with frozen(energy):
        assert torch.equal(energy(x), energy(x))


def test_double_backward() -> None:
    energy, x = IGEBM((1, 8, 8), channels=(4, 4), blocks=1), torch.randn(2, 1, 8, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(energy(x).sum(), x, create_graph=True)
    gradient.square().sum().backward()
    assert energy.stem.weight.grad.abs().sum() > 0


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(ValueError, match="igebm needs pictures"):
        IGEBM((2,))
    with pytest.raises(ValueError, match="channels: 3 halvings are too many for pictures of"):
        IGEBM((1, 7, 28))
    with pytest.raises(ValueError, match="channels: needs at least one stage"):
        IGEBM((1, 8, 8), channels=())
