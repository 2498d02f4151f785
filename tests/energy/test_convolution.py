"""Convolutions of networks: plain numbers, and no strided convolution of one pixel among what is computed."""

import re
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn
from torch.nn.functional import silu
from torch.utils._python_dispatch import TorchDispatchMode

import ebm_exp
from ebm_exp.config.trust import CONF
from ebm_exp.config.validate import arguments, locate
from ebm_exp.energy import Encoder
from ebm_exp.energy.base import energy_gradient
from ebm_exp.energy.convolution import Convolution, Transposed
from ebm_exp.engine.target import Target
from ebm_exp.regularization import SpectralNorm

ROOT = CONF.parent / ebm_exp.__name__
NODES = {file.stem: yaml.safe_load(file.read_text()) for file in sorted((CONF / "energy").glob("*.yaml"))}
NETWORKS = [name for name, node in NODES.items() if "channels" in node]


class Seen(TorchDispatchMode):
    """Side of the kernel and stride of all convolutions that run: those of gradients too."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: set[tuple[int, int]] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = function.overloadpacket.__name__
        if "convolution" in name:
            weight = args[2 if name.endswith("backward") else 1]
            stride = args[4 if name.endswith("backward") else 3]
            self.kinds.add((max(weight.shape[2:]), max(stride)))
        return function(*args, **(kwargs or {}))


def thinned(name: str) -> nn.Module:
    """The network of conf/energy where each convolution that may has a kernel of one pixel and a stride."""
    node = {key: tuple(value) if isinstance(value, list) else value for key, value in NODES[name].items()}
    network = locate("energy", node.pop("_target_"))
    node |= {"stem_kernel": 1, "stem_stride": 2, "stem_padding": 1, "strides": (2,) * len(node["channels"])}
    node |= {"event_shape": (3, 128, 128), "n_classes": 10, "skip": "halving", "skip_kernel": 1}
    node.pop("activation")
    return network(**{key: value for key, value in node.items() if key in arguments(network)})


@pytest.mark.parametrize("name", NETWORKS)
def test_no_network_computes_a_strided_convolution_of_one_pixel(name: str) -> None:
    with torch.device("meta"), Seen() as seen:
        energy = thinned(name).to(memory_format=torch.channels_last)
        _, gradient = energy_gradient(energy, torch.rand(4, 3, 128, 128))
        gradient.square().sum().backward()
    assert any(kernel > 1 and stride > 1 for kernel, stride in seen.kinds)
    assert not [stride for kernel, stride in seen.kinds if kernel == 1 and stride > 1]


def test_convolutions_of_the_package_are_built_in_one_place() -> None:
    own = ROOT / "energy" / "convolution.py"
    files = [file for file in ROOT.rglob("*.py") if re.search(r"\bnn\.Conv\w*2d\(|\bconv\w*2d\(", file.read_text())]
    assert files == [own]


def derivatives(layer: nn.Module, x: Tensor, *size: tuple[int, int]) -> list[Tensor]:
    """Outputs, first gradients, and gradients of the length of one."""
    x = x.clone().requires_grad_()
    weights = [x, *layer.parameters()]
    y = layer(x, *size)
    first = torch.autograd.grad(silu(y).sum(), weights, create_graph=True)
    return [y, *first, *torch.autograd.grad(first[0].square().sum(), weights)]


@pytest.mark.parametrize("side", [1, 2, 4, 5, 6])
@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 3])
def test_numbers_are_those_of_plain_convolutions(kernel: int, stride: int, padding: int, side: int) -> None:
    """In double precision, which oneDNN leaves alone."""
    if side + 2 * padding < kernel:
        pytest.skip("an image that is smaller than the kernel")
    torch.manual_seed(0)
    own, plain = Convolution(3, 4, kernel, stride, padding), nn.Conv2d(3, 4, kernel, stride, padding)
    plain.load_state_dict(own.state_dict())
    x = torch.randn(2, 3, side, side + 1, dtype=torch.float64)
    expected = derivatives(plain.double(), x)
    torch.testing.assert_close(derivatives(own.double(), x), expected)
    own_back = Transposed(4, 3, kernel, stride, padding)
    plain_back = nn.ConvTranspose2d(4, 3, kernel, stride, padding)
    plain_back.load_state_dict(own_back.state_dict())
    h, size = expected[0].detach(), (side, side + 1)
    torch.testing.assert_close(derivatives(own_back.double(), h, size), derivatives(plain_back.double(), h, list(size)))


def gradient_to_weights(layer: nn.Module, *given: Any) -> Tensor:
    """Of a loss on the gradient to images, where the memory that is free holds NaN."""
    x = given[0].clone().requires_grad_()
    y = layer(x, *given[1:])
    (first,) = torch.autograd.grad(y.float().sum(), x, create_graph=True)
    poison = [torch.full((size,), torch.nan) for size in (256, 1024, 4096, 16384, 65536) for _ in range(20)]
    del poison
    (gradient,) = torch.autograd.grad(y.float().square().sum() + first.square().sum(), layer.weight)
    return gradient


@pytest.mark.parametrize(("side", "stride", "kernel"), [(1, 2, 3), (2, 3, 3), (3, 4, 5), (1, 2, 5)])
def test_a_stride_beyond_the_image_has_a_gradient_in_bf16(side: int, stride: int, kernel: int) -> None:
    """The library's own is memory that nobody has written, on processors with AVX-512."""
    torch.manual_seed(0)
    own, back = Convolution(8, 16, kernel, stride, kernel // 2), Transposed(16, 8, kernel, stride, kernel // 2)
    x, h = torch.randn(16, 8, side, side), torch.randn(16, 16, 1, 1)
    for layer, given in ((own, (x,)), (back, (h, (side, side)))):
        layer = layer.to(memory_format=torch.channels_last)
        expected = gradient_to_weights(layer, *given)
        with torch.autocast("cpu", torch.bfloat16):
            found = gradient_to_weights(layer, *given)
        assert (found - expected).norm() < 0.1 * expected.norm()


def test_initial_weights_and_their_names_are_those_of_plain_convolutions() -> None:
    for own, plain in ((Convolution, nn.Conv2d), (Transposed, nn.ConvTranspose2d)):
        states = []
        for kind in (own, plain):
            torch.manual_seed(0)
            states.append(kind(3, 4, 1, 2, 1).state_dict())
        assert [*states[0]] == [*states[1]]
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[1])


def test_a_thinned_convolution_stays_channels_last() -> None:
    layer, x = Convolution(3, 4, 1, 2).to(memory_format=torch.channels_last), torch.rand(2, 3, 8, 8)
    x = x.to(memory_format=torch.channels_last).requires_grad_()
    y = layer(x)
    (gradient,) = torch.autograd.grad(silu(y).sum(), x)
    for images in (y, gradient):
        assert images.is_contiguous(memory_format=torch.channels_last)


def test_a_spectral_norm_and_chains_take_it_as_a_convolution() -> None:
    torch.manual_seed(0)
    energy = SpectralNorm(layers="conv").prepare(Encoder((1, 8, 8), (2, 4), (1, 2))).eval()
    target, skip = Target(energy), energy.blocks[1].skip
    target.refresh()
    assert isinstance(skip, Convolution)
    assert type(target.energy.blocks[1].skip) is Convolution
    torch.testing.assert_close(target.energy.blocks[1].skip.weight, skip.weight)
    x = torch.rand(4, 1, 8, 8)
    torch.testing.assert_close(target.energy(x), energy(x))
