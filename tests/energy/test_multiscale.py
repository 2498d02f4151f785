"""The multi-scale energy: towers that add up, standardised weights, attention from nothing on, two derivatives."""

from copy import deepcopy
from itertools import pairwise

import pytest
import torch
import yaml
from torch import nn
from torch.nn.functional import avg_pool2d

from ebm_exp.config.trust import CONF
from ebm_exp.energy import MultiScale, multiscale
from ebm_exp.energy.base import count_parameters, energy_gradient, freeze
from ebm_exp.regularization import SpectralNorm

SMALL = {"channels": (8, 8, 16), "blocks": 1, "n_scales": 2, "attention_after": 1}


def make(shape: tuple[int, ...] = (3, 16, 16), **options) -> MultiScale:
    """With attention that does something."""
    torch.manual_seed(0)
    energy = MultiScale(shape, **{**SMALL, **options})
    for name, p in energy.named_parameters():
        if name.endswith("gamma"):
            nn.init.ones_(p)
    return energy


def convs_of_blocks(energy: MultiScale) -> list[nn.Conv2d]:
    return [conv for module in energy.modules() if isinstance(module, multiscale._Block) for conv in module.convs]


def in_full_precision(energy: MultiScale, x: torch.Tensor) -> torch.Tensor:
    """Without the cast to float32."""
    e = torch.zeros(len(x), dtype=x.dtype)
    for tower in energy.towers:
        e, x = e + tower(x, None), avg_pool2d(x, 3, 2, 1)
    return e


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 16), (1, 28, 28), (3, 8, 24), (1, 9, 15), (1, 3, 3)])
def test_one_number_per_image_whatever_the_order(shape: tuple[int, ...]) -> None:
    energy, x = make(shape).double(), torch.randn(5, *shape, dtype=torch.float64)
    e = energy(x)
    assert e.shape == (5,)
    assert e.dtype == torch.float64  # bf16 alone is made wider
    assert e.std() > 0
    order = torch.tensor([3, 1, 4, 0, 2])
    torch.testing.assert_close(energy(x[order]), e[order])
    torch.testing.assert_close(energy(x[:1]), e[:1])
    torch.testing.assert_close(deepcopy(energy).eval()(x), e)


def test_the_energy_is_the_sum_of_its_towers() -> None:
    energy, x = make(n_scales=3, channels=(8, 8, 16, 16)), torch.randn(4, 3, 16, 16)
    half = avg_pool2d(x, 3, stride=2, padding=1)
    quarter = avg_pool2d(half, 3, stride=2, padding=1)
    assert quarter.shape == (4, 3, 4, 4)
    alone = [tower(each, None) for tower, each in zip(energy.towers, (x, half, quarter), strict=True)]
    assert all(e.std() > 0 for e in alone)
    torch.testing.assert_close(energy(x), torch.stack(alone).sum(0))
    assert [tower.head.in_features for tower in energy.towers] == [16, 16, 8]


def test_towers_end_at_one_resolution() -> None:
    energy, seen = make(n_scales=3, channels=(8, 8, 16, 16)), []
    for tower in energy.towers:
        last = [layer for layer in tower.layers if isinstance(layer, nn.AvgPool2d)][-1]
        last.register_forward_hook(lambda *args: seen.append(tuple(args[2].shape)))
    energy(torch.randn(1, 3, 16, 16))
    assert seen == [(1, 16, 2, 2), (1, 16, 2, 2), (1, 8, 2, 2)]


def test_double_backward_reaches_every_parameter() -> None:
    energy = make().double()
    _, gradient = energy_gradient(energy, torch.randn(4, 3, 16, 16, dtype=torch.float64))
    gradient.square().sum().backward()
    for name, p in energy.named_parameters():
        assert name.endswith("head.bias") or p.grad.abs().max() > 1e-10, name


def test_second_derivatives_equal_finite_differences() -> None:
    energy = make((1, 4, 4)).double()
    x, v = torch.randn(2, 1, 4, 4, dtype=torch.float64, requires_grad=True), torch.randn(2, 1, 4, 4).double()
    assert torch.autograd.gradcheck(lambda x: in_full_precision(energy, x), x)
    assert torch.autograd.gradgradcheck(lambda x: in_full_precision(energy, x), x)

    def slope() -> torch.Tensor:  # ∇ₓE · v, which the KL term differentiates by the parameters
        (gradient,) = torch.autograd.grad(in_full_precision(energy, x).sum(), x, create_graph=True)
        return (gradient * v).sum()

    parameters = [p for name, p in energy.named_parameters() if not name.endswith("head.bias")]
    direction = [torch.randn_like(p) for p in parameters]
    found = torch.autograd.grad(slope(), parameters)
    ends = []
    for h in (1e-6, -2e-6):
        with torch.no_grad():
            for p, d in zip(parameters, direction, strict=True):
                p.add_(d, alpha=h)
        ends.append(slope().detach())
    along = sum((g * d).sum() for g, d in zip(found, direction, strict=True))
    torch.testing.assert_close(along, (ends[0] - ends[1]) / 2e-6, rtol=1e-5, atol=1e-7)


def published_number_of_parameters() -> int:
    """From the shapes of the released CIFAR-10 network; each block has two class maps of ten classes."""

    def conv(n_in: int, n_out: int, k: int = 3) -> int:
        return n_out * (n_in * k * k + 1)

    def tower(*widths: int) -> int:
        blocks = [2 * conv(w, w) + 2 * 2 * w + 2 * (10 + 1) * 2 * w for w in widths[:-1]]
        widening = [conv(a, b) for a, b in pairwise(widths)]
        return conv(3, 64) + 2 * sum(blocks) + sum(widening) + widths[-1] + 1

    attention = 2 * conv(128, 16, 1) + conv(128, 128, 1) + 1
    return tower(64, 64, 128, 256, 512) + tower(64, 64, 128, 256) + tower(64, 64, 128) + attention


@pytest.mark.parametrize(
    ("choice", "side", "n_parameters"), [("multiscale", 32, 6_561_620), ("multiscale_large", 128, 26_456_772)]
)
def test_shipped_sizes(choice: str, side: int, n_parameters: int) -> None:
    node = yaml.safe_load((CONF / "energy" / f"{choice}.yaml").read_text())
    sizes = {k: tuple(v) if isinstance(v, list) else v for k, v in node.items() if k not in ("_target_", "activation")}
    with torch.device("meta"):
        energy = MultiScale((3, side, side), **sizes)
    assert count_parameters(energy) == n_parameters


def test_what_the_published_network_has_more() -> None:
    with torch.device("meta"):
        energy = MultiScale((3, 32, 32))
    widths = [conv.in_channels for conv in convs_of_blocks(energy)]
    cancelled = sum(w for w in widths if w <= 128) + 128 // 8
    class_maps = sum((10 + 1) * 2 * w for w in widths)
    assert (cancelled, class_maps) == (2_576, 78_848)
    assert count_parameters(energy) + cancelled + class_maps == published_number_of_parameters() == 6_643_044


def test_weights_of_blocks_are_standardised() -> None:
    energy = make(channels=(8, 160, 8), attention_after=None)
    assert len(convs_of_blocks(energy)) == 6
    for conv in convs_of_blocks(energy):
        flat = conv.weight.flatten(1)
        torch.testing.assert_close(flat.mean(1), torch.zeros(len(flat)), rtol=0, atol=1e-5)
        torch.testing.assert_close(flat.std(1), torch.ones(len(flat)), rtol=0, atol=1e-3)
    norms = [
        (type(block.norms[0]), block.convs[0].bias is None)
        for block in energy.towers[0].layers
        if hasattr(block, "norms")
    ]
    assert norms == [(nn.InstanceNorm2d, True), (nn.GroupNorm, False)]


def test_a_chain_standardises_once(monkeypatch: pytest.MonkeyPatch) -> None:
    energy, x, calls = make(), torch.randn(2, 3, 16, 16), []
    plain = multiscale._Standardised.forward
    monkeypatch.setattr(multiscale._Standardised, "forward", lambda *a: calls.append(1) or plain(*a))
    outside = energy_gradient(energy, x)[1]
    energy_gradient(energy, x)
    assert len(calls) == 2 * len(convs_of_blocks(energy))
    calls.clear()
    with freeze(energy):
        for _ in range(3):
            torch.testing.assert_close(energy_gradient(energy, x)[1], outside)
    assert len(calls) == len(convs_of_blocks(energy))


def test_attention_starts_as_nothing_and_then_weighs_all_pixels() -> None:
    torch.manual_seed(0)
    attention, h = multiscale._Attention(8), torch.randn(2, 8, 3, 5)
    assert torch.equal(attention(h), h)
    nn.init.constant_(attention.gamma, 0.7)
    q, k, v = (conv(h).flatten(2) for conv in (attention.query, attention.key, attention.value))
    for b, i in ((0, 0), (1, 7), (1, 14)):
        scores = torch.stack([q[b, :, i] @ k[b, :, j] for j in range(15)])
        expected = h[b].flatten(1)[:, i] + 0.7 * sum(w * v[b, :, j] for j, w in enumerate(scores.softmax(0)))
        torch.testing.assert_close(attention(h)[b].flatten(1)[:, i], expected)


def test_only_the_first_tower_attends() -> None:
    def places(**options) -> list[list[int]]:
        return [
            [i for i, layer in enumerate(tower.layers) if isinstance(layer, multiscale._Attention)]
            for tower in make(**options).towers
        ]

    assert places(attention_after=1) == [[6], []]  # stem, φ, block, W, ↓, φ
    assert places(attention_after=2) == [[10], []]
    assert places(attention_after=None) == [[], []]


def test_blocks_may_be_given_per_stage() -> None:
    blocks = [
        [sum(block.convs[0].in_channels == w for block in tower.layers if hasattr(block, "convs")) for w in (8, 16)]
        for tower in make(channels=(8, 16, 32), blocks=(1, 3)).towers
    ]
    assert blocks == [[1, 3], [1, 0]]


def test_spectral_norm_stands_on_top() -> None:
    energy, x = SpectralNorm(layers="conv", n_power_iterations=50).prepare(make()), torch.randn(3, 3, 16, 16)
    energy(x)
    for conv in convs_of_blocks(energy):
        assert torch.linalg.matrix_norm(conv.weight.detach().flatten(1), 2) == pytest.approx(1, abs=0.01)
        torch.testing.assert_close(conv.weight.flatten(1).mean(1), torch.zeros(len(conv.weight)), rtol=0, atol=1e-5)
    _, gradient = energy_gradient(energy, x)
    gradient.square().sum().backward()


def test_energies_are_float32_under_autocast() -> None:
    energy, x = make(), torch.randn(4, 3, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        e, gradient = energy_gradient(energy, x)
    assert e.dtype == gradient.dtype == torch.float32
    torch.testing.assert_close(e, energy(x), rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (2,)}, "multiscale needs images"),
        ({"channels": (8,)}, "channels: needs at least two widths"),
        (
            {"channels": (8,) * 5, "shape": (1, 8, 5)},
            "channels: must be at most 4 widths, got 5: each stage halves images of 8×5",
        ),
        ({"blocks": (1, 1, 1)}, "blocks: must be one number, or one for each of the 2 stages, got 3"),
        ({"n_scales": 3}, "n_scales: must be at most 2, the stages"),
        ({"attention_after": 3}, "attention_after: must be from 1 to 2 or null, got 3"),
        ({"channels": (8, 4, 8)}, "attention_after: must be a stage that gives at least 8 channels, stage 1 gives 4"),
        ({"channels": (8, 144, 8)}, "channels: a width over 128 must be a multiple of 32, got 144"),
        ({"conditional": True}, "needs labels"),
    ],
)
def test_it_says_what_it_needs(options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**options)


@pytest.mark.parametrize(("side", "most"), [(2, 1), (3, 2), (4, 2), (5, 3), (8, 3), (9, 4), (16, 4), (17, 5)])
def test_the_last_stage_of_every_tower_sees_more_than_one_pixel(side: int, most: int) -> None:
    e = make((1, side, side), channels=(8,) * (most + 1), n_scales=most)(torch.randn(2, 1, side, side))
    assert e[0] != e[1]
    with pytest.raises(ValueError, match=f"at most {most + 1} widths"):
        make((1, side, side), channels=(8,) * (most + 2))


def test_a_strided_stem_leaves_a_quarter_of_the_pixels() -> None:
    energy = make((1, 28, 28), stem_stride=2)
    h = energy.towers[0].layers[0](torch.zeros(1, 1, 28, 28))
    assert h.shape[2:] == (14, 14)
    assert energy(torch.randn(3, 1, 28, 28)).shape == (3,)
    assert count_parameters(energy) == count_parameters(make((1, 28, 28)))
    with pytest.raises(ValueError, match="at most 3 widths"):  # 8 pixels, 4 behind the stem, 2, 1
        make((1, 8, 8), channels=(8, 8, 8, 8), stem_stride=2)
