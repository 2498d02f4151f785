"""The residual network of Du & Mordatch: sizes, pooling, a start as its skip path, dropout outside chains only."""

import pytest
import torch
import yaml
from torch import nn

from ebm_exp.config.trust import CONF
from ebm_exp.energy import IGEBM
from ebm_exp.energy.base import count_parameters, energy_gradient, freeze
from ebm_exp.regularization import SpectralNorm

SMALL = {"channels": (4, 8, 8)}


def make(shape: tuple[int, ...] = (3, 16, 16), **options) -> IGEBM:
    torch.manual_seed(0)
    return IGEBM(shape, **{**SMALL, **options})


def awake(energy: IGEBM) -> IGEBM:
    """With second convolutions that do something."""
    for block in energy.blocks:
        nn.init.normal_(block.second.weight, std=0.1)
    return energy


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 16), (1, 28, 28), (3, 8, 24), (1, 9, 15)])
def test_one_number_per_image_whatever_the_order(shape: tuple[int, ...]) -> None:
    energy, x = awake(make(shape)).double(), torch.randn(5, *shape, dtype=torch.float64)
    e = energy(x)
    assert e.shape == (5,)
    assert e.dtype == torch.float64  # bf16 alone is made wider
    assert e.std() > 0
    order = torch.tensor([3, 1, 4, 0, 2])
    torch.testing.assert_close(energy(x[order]), e[order])
    torch.testing.assert_close(energy(x[:1]), e[:1])


def test_gradient_and_double_backward() -> None:
    energy = awake(make(activation=nn.SiLU()))
    _, gradient = energy_gradient(energy, torch.randn(4, 3, 16, 16))
    assert gradient.shape == (4, 3, 16, 16)
    gradient.square().sum().backward()
    for name, p in energy.named_parameters():
        assert (p.grad is not None and p.grad.abs().sum() > 0) or name == "head.bias", name


@pytest.mark.parametrize(
    ("choice", "n_parameters", "n_blocks"),
    [("igebm", 5_052_673, 6), ("igebm_large", 17_278_209, 9), ("igebm_wide", 69_093_889, 9)],
)
def test_shipped_sizes(choice: str, n_parameters: int, n_blocks: int) -> None:
    node = yaml.safe_load((CONF / "energy" / f"{choice}.yaml").read_text())
    sizes = {k: tuple(v) if isinstance(v, list) else v for k, v in node.items() if k not in ("_target_", "activation")}
    with torch.device("meta"):
        energy = IGEBM((3, 32, 32), **sizes)
    assert count_parameters(energy) == n_parameters
    assert len(energy.blocks) == n_blocks


@pytest.mark.parametrize(
    ("options", "n_parameters"),
    [
        ({"skip": "halving", "conditional": True, "n_classes": 10}, 5_183_233),  # rosinality/igebm-pytorch
        ({"skip_kernel": 3}, 5_314_817),
        ({"conditional": True, "n_classes": 10}, 5_101_313),
    ],
    ids=["rosinality", "3×3 skips", "conditional"],
)
def test_sizes_of_variants(options, n_parameters: int) -> None:
    with torch.device("meta"):
        energy = IGEBM((3, 32, 32), **options)
    assert count_parameters(energy) == n_parameters


@pytest.mark.parametrize(("skip", "learned"), [("width", [False, False, True, False]), ("halving", [True, False] * 2)])
@pytest.mark.parametrize("skip_kernel", [1, 3])
def test_where_the_skip_path_is_a_convolution(skip: str, learned: list[bool], skip_kernel: int) -> None:
    energy, x = make(channels=(4, 8), skip=skip, skip_kernel=skip_kernel), torch.randn(4, 3, 16, 16)
    assert [isinstance(block.skip, nn.Conv2d) for block in energy.blocks] == learned
    assert {block.skip.kernel_size for block in energy.blocks[2:3]} == {(skip_kernel, skip_kernel)}
    torch.testing.assert_close(energy(x), skip_path_alone(energy, x))


def test_the_classes_biases_replace_those_of_the_blocks() -> None:
    assert all(block.first.bias is not None for block in make().blocks)
    for block in make(conditional=True, n_classes=2).blocks:
        assert block.first.bias is block.second.bias is None


def test_sum_pooling_is_mean_pooling_times_the_pixels() -> None:
    summed, mean = awake(make(pool="sum")), awake(make(pool="mean"))
    mean.load_state_dict(summed.state_dict())
    x, bias = torch.randn(4, 3, 16, 16), summed.head.bias
    torch.testing.assert_close(summed(x) - bias, (16 // 8) ** 2 * (mean(x) - bias))


def skip_path_alone(energy: IGEBM, x: torch.Tensor) -> torch.Tensor:
    h = energy.activation(energy.stem(x))
    for block in energy.blocks:
        h = block.skip(h)
        h = energy.activation(nn.functional.avg_pool2d(h, 2) if block.halve else h)
    return energy.head(h.sum((2, 3))).squeeze(1)


def test_blocks_begin_as_their_skip_path_unless_the_plain_norm_wakes_them() -> None:
    x = torch.randn(4, 3, 16, 16)
    bare = make()
    bounded = SpectralNorm(bounded=True).prepare(make()).eval()
    plain = SpectralNorm(bounded=False).prepare(make()).eval()
    for energy in (bare, bounded):
        torch.testing.assert_close(energy(x), skip_path_alone(energy, x))
        assert all(block.second.weight.abs().max() < 1e-8 for block in energy.blocks)
    assert all(torch.linalg.matrix_norm(block.second.weight.flatten(1), 2) > 0.5 for block in plain.blocks)
    assert (plain(x) - skip_path_alone(plain, x)).abs().max() > 1e-3


@pytest.mark.parametrize("conditional", [False, True])
def test_an_activation_in_place_changes_nothing(conditional: bool) -> None:
    x, y = torch.rand(3, 3, 16, 16), {"y": torch.tensor([0, 1, 1])} if conditional else {}
    found = []
    for inplace in (False, True):
        energy = awake(make(activation=nn.LeakyReLU(0.2, inplace), conditional=conditional, n_classes=2))
        with torch.no_grad():
            for p, values in zip(
                energy.parameters(), torch.randn(100, generator=torch.Generator().manual_seed(1)), strict=False
            ):
                p.add_(0.01 * values)
        e, gradient = energy_gradient(energy.bind(**y), x)
        (e.sum() + gradient.square().sum()).backward()
        found.append([e, gradient, *(p.grad for p in energy.parameters())])
    for out_of_place, in_place in zip(*found, strict=True):
        torch.testing.assert_close(in_place, out_of_place)


def test_dropout_acts_in_training_and_never_in_a_chain() -> None:
    energy, x = awake(make(dropout=0.5)).train(), torch.randn(4, 3, 16, 16)
    assert not torch.equal(energy(x), energy(x))
    with freeze(energy):
        assert torch.equal(energy(x), energy(x))
    assert energy.blocks[0].dropout.training


def test_energies_are_float32_under_autocast() -> None:
    energy, x = awake(make()), torch.randn(4, 3, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        e = energy(x)
    assert e.dtype == torch.float32
    torch.testing.assert_close(e, energy(x), rtol=0.05, atol=0.05)


def test_a_strided_stem_leaves_a_quarter_of_the_pixels() -> None:
    energy = awake(make((1, 28, 28), stem_stride=2))
    assert energy.stem(torch.zeros(1, 1, 28, 28)).shape[2:] == (14, 14)
    assert energy(torch.randn(3, 1, 28, 28)).shape == (3,)
    with pytest.raises(ValueError, match="at most 2"):  # 8 pixels, 4 behind the stem, 2, 1
        make((1, 8, 8), stem_stride=2)


def test_the_default_activation_is_the_published_one() -> None:
    assert isinstance(make().activation, nn.LeakyReLU)
    assert make().activation.negative_slope == 0.2


def test_it_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match="igebm needs images"):
        IGEBM((2,))
    with pytest.raises(ValueError, match="channels: must be at most 2 widths, got 3"):
        make((1, 16, 7))
    with pytest.raises(ValueError, match="channels: needs at least one stage"):
        IGEBM((1, 8, 8), ())
