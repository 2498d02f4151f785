"""A network of whitened points."""

import torch

from ebm_exp.dataset import Dataset, Domain
from ebm_exp.energy import MLP, Whitened

G = torch.Generator().manual_seed(0)
NARROW = torch.randn(4000, 3, generator=G) @ torch.tensor([[1.0, 0.99, 0.0], [0.0, 0.02, 0.0], [0.0, 0.0, 0.3]]) + 2
DATA = Dataset(name="narrow", domain=Domain(-9, 9, (3,)), train=NARROW, test=NARROW[:9].clone())


class Seen(MLP):
    """What the network is given."""

    def forward(self, x: torch.Tensor, **context: torch.Tensor) -> torch.Tensor:
        self.x = x
        return super().forward(x, **context)


def test_a_network_sees_every_direction_as_wide_as_others() -> None:
    network = Seen((3,), (8,))
    energy = Whitened(network, DATA)
    assert energy(NARROW).shape == (4000,)
    torch.testing.assert_close(network.x.mean(0), torch.zeros(3), atol=1e-2, rtol=0)
    torch.testing.assert_close(network.x.T.cov(), torch.eye(3), atol=1e-2, rtol=0)
    assert {name.partition(".")[0] for name, _ in energy.named_parameters()} == {"network"}
    assert {"mean", "whiten"} <= set(energy.state_dict())


def test_bf16_blurs_no_narrow_direction() -> None:
    network = Seen((3,), (8,))
    energy = Whitened(network, DATA)
    energy(NARROW)
    exact = network.x
    with torch.autocast("cpu", torch.bfloat16):
        energy(NARROW)
    torch.testing.assert_close(network.x, exact)


def test_images_keep_their_shape() -> None:
    images = NARROW[:500].repeat(1, 4).view(500, 1, 3, 4) + 0.1 * torch.randn(500, 1, 3, 4, generator=G)
    data = Dataset(name="images", domain=Domain(-9, 9, (1, 3, 4)), train=images, test=images[:9].clone())
    network = Seen((1, 3, 4), (8,))
    Whitened(network, data)(images[:7])
    assert network.x.shape == (7, 1, 3, 4)
