"""Class-conditional networks: one energy at first, one per class once trained; the stem that images enter by."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from ebm_exp.energy import IGEBM, MLP, Conv, Energy, MultiScale
from ebm_exp.energy.base import Bound, energy_gradient, freeze
from ebm_exp.energy.conditional import ClassAffine
from ebm_exp.regularization import SpectralNorm

N_CLASSES = 3
KINDS: dict[str, Callable[..., Energy]] = {
    "mlp": lambda **k: MLP((1, 8, 8), (16, 16), **k),
    "conv": lambda **k: Conv((1, 8, 8), (4, 8), 16, **k),
    "igebm": lambda **k: IGEBM((1, 8, 8), (4, 8), **k),
    "multiscale": lambda **k: MultiScale((1, 8, 8), (8, 8, 16), 1, 2, 1, **k),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Callable[..., Energy]:
    torch.manual_seed(0)
    return KINDS[request.param]


@pytest.fixture
def energy(kind) -> Energy:
    return kind(conditional=True, n_classes=N_CLASSES)


def trained(energy: Energy, n_steps: int = 3) -> Energy:
    """A few steps that lower the energy of class 0 and raise that of the others."""
    x, y = torch.randn(12, 1, 8, 8), torch.arange(12) % N_CLASSES
    optimizer = torch.optim.Adam(energy.parameters(), lr=0.05)
    for _ in range(n_steps):
        optimizer.zero_grad()
        torch.where(y == 0, 1.0, -1.0).mul(energy(x, y=y)).mean().backward()
        optimizer.step()
    return energy


def of_each_class(energy: Energy, x: torch.Tensor) -> torch.Tensor:
    return torch.stack([energy(x, y=torch.full((len(x),), k)) for k in range(N_CLASSES)])  # [classes, batch]


def test_all_classes_begin_as_the_unconditional_energy(kind, energy) -> None:
    plain, x = kind(), torch.randn(5, 1, 8, 8)
    missing, unexpected = plain.load_state_dict(energy.state_dict(), strict=False)
    assert all(name.startswith("blocks") and name.endswith("bias") for name in missing)
    for name in missing:  # the tables' biases stand in for them
        nn.init.zeros_(plain.get_parameter(name))
    assert all("affines" in name for name in unexpected)
    torch.testing.assert_close(of_each_class(energy, x), plain(x).expand(N_CLASSES, -1))


def test_classes_differ_after_one_step(energy) -> None:
    x = torch.randn(5, 1, 8, 8)
    e = of_each_class(trained(energy, 1), x)
    assert e.shape == (N_CLASSES, 5)
    assert (e[0] - e[1]).abs().min() > 1e-5
    assert (trained(energy)(x, y=torch.zeros(5, dtype=torch.long)) < energy(x, y=torch.ones(5, dtype=torch.long))).all()


def test_each_point_is_seen_under_its_own_label(energy) -> None:
    trained(energy)
    x, y = torch.randn(6, 1, 8, 8), torch.tensor([0, 1, 2, 2, 1, 0])
    e = energy(x, y=y)
    assert e.shape == (6,)
    assert e.dtype == torch.float32
    torch.testing.assert_close(e, of_each_class(energy, x)[y, torch.arange(6)])
    order = torch.tensor([5, 2, 0, 3, 1, 4])
    torch.testing.assert_close(energy(x[order], y=y[order]), e[order])


def test_condition_binds_the_label(energy) -> None:
    trained(energy)
    x, y = torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 2, 0])
    bound = energy.bind(y=y, t=None)
    assert isinstance(bound, Bound)
    with freeze(bound):
        assert not energy.training
        torch.testing.assert_close(bound(x), energy(x, y=y))
        assert not bound(x).requires_grad
    assert energy.training


def test_gradient_and_double_backward(energy) -> None:
    trained(energy)
    y = torch.tensor([0, 1, 2, 0])
    _, gradient = energy_gradient(energy.bind(y=y), torch.randn(4, 1, 8, 8))
    assert (gradient.flatten(1).norm(dim=1) > 0).all()
    energy.zero_grad()
    gradient.square().sum().backward()
    for module in energy.modules():
        if isinstance(module, ClassAffine) and isinstance(energy.activation, nn.SiLU):  # kinks have no curvature
            assert module.table.weight.grad.abs().sum() > 0


def test_spectral_norm_leaves_the_tables_alone(energy) -> None:
    names = {name for name, _ in SpectralNorm().prepare(energy).named_parameters() if "table" in name}
    assert names
    assert not any("original" in name for name in names)


def test_the_affine_is_a_gain_and_a_bias_per_channel() -> None:
    affine = ClassAffine(2, 3)
    with torch.no_grad():
        affine.table.weight.copy_(torch.tensor([[0.0, 0, 0, 0, 0, 0], [1, 2, 3, 10, 20, 30]]))
    h, y = torch.randn(2, 3, 4, 5), torch.tensor([0, 1])
    out = affine(h, y)
    assert torch.equal(out[0], h[0])
    gain, bias = torch.tensor([2.0, 3, 4]).view(3, 1, 1), torch.tensor([10.0, 20, 30]).view(3, 1, 1)
    torch.testing.assert_close(out[1], gain * h[1] + bias)


def test_what_is_missing_is_said(kind, energy) -> None:
    assert energy.context == ("y",)
    assert kind().context == ()
    with pytest.raises(ValueError, match="needs labels, this data set has none"):
        kind(conditional=True, n_classes=0)
    for nothing in ({"y": None}, {}):
        with pytest.raises(ValueError, match=r"needs labels \(y\), none are given here"):
            energy.bind(**nothing)
    assert kind().bind(y=torch.zeros(1)).context == ()  # takes what it names


def test_a_strided_stem_reads_28_as_16() -> None:
    energy = Conv((1, 28, 28), (4, 8, 8), 16, stem_kernel=5, stem_stride=2, stem_padding=4)
    assert energy.convs[0](torch.zeros(1, 1, 28, 28)).shape == (1, 4, 16, 16)
    assert energy.head[0].in_features == 8 * 4 * 4
    assert energy(torch.randn(3, 1, 28, 28)).shape == (3,)
    assert Conv((1, 8, 8)).convs[0](torch.zeros(1, 1, 8, 8)).shape == (1, 32, 8, 8)


def test_a_stem_that_does_not_fit_is_said() -> None:
    with pytest.raises(ValueError, match="stem_kernel: must be at most 10, the padded image's side, got 11"):
        Conv((1, 8, 8), (4,), stem_kernel=11)
    with pytest.raises(ValueError, match="at most 3 widths, got 4: the first convolution makes images of 8×8 4×4"):
        Conv((1, 8, 8), (4, 4, 4, 4), stem_stride=2)
