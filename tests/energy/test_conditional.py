"""Class-conditional energies: one network, one energy per class."""

import pytest
import torch

from ebm_exp.energy import IGEBM, MLP, Conv, Energy

KINDS = {
    "mlp": lambda **more: MLP((1, 8, 8), (16, 16), **more),
    "conv": lambda **more: Conv((1, 8, 8), (4, 8), 16, **more),
    "igebm": lambda **more: IGEBM((1, 8, 8), (4, 8), 1, **more),
}


@pytest.mark.parametrize("kind", KINDS)
def test_classes_begin_as_one_and_part_when_trained(kind: str) -> None:
    energy: Energy = KINDS[kind](conditional=True, n_classes=3)
    assert energy.context == ("y",)
    x, y = torch.randn(6, 1, 8, 8), torch.tensor([0, 1, 2, 0, 1, 2])
    same = x[:1].expand(3, -1, -1, -1)
    classes = torch.arange(3)
    assert energy(same, y=classes).unique().numel() == 1
    optimizer = torch.optim.SGD(energy.parameters(), 0.1)
    for _ in range(3):
        optimizer.zero_grad()
        (energy(x, y=y) * torch.tensor([1.0, -1.0, 0.0]).repeat(2)).sum().backward()
        optimizer.step()
    assert energy(same, y=classes).unique().numel() == 3


@pytest.mark.parametrize("kind", KINDS)
def test_bound_labels_are_those_of_forward(kind: str) -> None:
    energy: Energy = KINDS[kind](conditional=True, n_classes=3)
    for parameter in energy.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    x, y = torch.randn(4, 1, 8, 8, requires_grad=True), torch.tensor([2, 0, 1, 1])
    bound = energy.condition(y=y)
    assert torch.equal(bound(x), energy(x, y=y))
    (gradient,) = torch.autograd.grad(bound(x).sum(), x)
    assert gradient.flatten(1).norm(dim=1).min() > 0
    assert torch.equal(energy(x.flip(0), y=y.flip(0)), energy(x, y=y).flip(0))
    with pytest.raises(TypeError, match="takes the context"):
        energy.condition()


@pytest.mark.parametrize("kind", KINDS)
def test_no_labels_no_condition(kind: str) -> None:
    with pytest.raises(ValueError, match="conditional: needs labels, this data set has none"):
        KINDS[kind](conditional=True)
    plain: Energy = KINDS[kind](n_classes=10)
    assert plain.context == ()
    assert plain(torch.randn(2, 1, 8, 8)).shape == (2,)


def test_a_strided_stem_makes_large_pictures_small() -> None:
    energy = Conv((1, 28, 28), (4, 8, 8), 16, stem_kernel=6, stem_stride=2, stem_padding=2)
    x = torch.randn(3, 1, 28, 28)
    assert energy.convs[0](x).shape[2:] == (14, 14)
    assert energy(x).shape == (3,)
    assert energy.head[0].in_features == 8 * 3 * 3
