"""Joint energies: sums over classes, what chains take of labels, and the parts of a network."""

import math

import pytest
import torch
from torch import Tensor, nn

from ebm_exp.dataset import Synthetic
from ebm_exp.energy import Gaussian, Joint, WideResNet
from ebm_exp.energy.joint import Labelled, Marginal
from ebm_exp.engine import Eager
from ebm_exp.random import Stream
from ebm_exp.sampler import Langevin
from ebm_exp.sampling import Chains
from ebm_exp.start import Uniform

CPU = torch.device("cpu")
SHAPE = (1, 8, 8)


class Bumps(Joint):
    """g(x)[y] = log w_y − |x − c_y|²/2: a mixture of Gaussians, whose p(y | x) and p(x) are known."""

    def __init__(self, centres: Tensor, weights: Tensor) -> None:
        super().__init__(len(centres))
        self.centres, self.log_w = nn.Parameter(centres), nn.Parameter(weights.log())

    def logits(self, x: Tensor) -> Tensor:
        return self.log_w - (x[:, None] - self.centres).square().sum(2) / 2


def bumps() -> Bumps:
    return Bumps(torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]]), torch.tensor([0.5, 0.3, 0.2]))


def test_it_is_the_density_of_a_mixture() -> None:
    energy, x = bumps(), torch.randn(50, 2) * 3
    mixture = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(energy.log_w.detach().exp()),
        torch.distributions.Independent(torch.distributions.Normal(energy.centres.detach(), 1.0), 1),
    )
    torch.testing.assert_close(-energy(x) - math.log(2 * math.pi), mixture.log_prob(x))
    joint = torch.stack([energy(x, y=torch.full((50,), k)) for k in range(3)], 1)
    torch.testing.assert_close(-torch.logsumexp(-joint, 1), energy(x))
    torch.testing.assert_close((-joint).softmax(1), energy.logits(x).softmax(1))


def test_a_label_is_bound_only_where_it_is_asked_for() -> None:
    energy, x, y = bumps(), torch.randn(5, 2), torch.tensor([0, 1, 2, 0, 1])
    assert not energy.conditional
    assert energy.bind(y=y) is energy
    torch.testing.assert_close(energy.density(y=y)(x), energy(x))
    asked = Labelled(energy)
    assert asked.conditional
    torch.testing.assert_close(asked.bind(y=y)(x), energy(x, y=y))


def test_samples_of_a_class_are_of_that_class() -> None:
    """On each bump alone a chain of λ has the variance 1/(1 − λ/4) around its centre."""
    data = Synthetic("points", CPU, 0, shape=(2,), classes=3, value_range=(-8.0, 8.0))
    step, n = 0.2, 2000
    chains = Chains(Langevin(step, 10, data.domain), Eager(CPU), data, Uniform(data), 150)
    y = torch.arange(3).repeat(n)
    drawn = chains.draw(bumps(), len(y), Stream(0), y=y)
    assert torch.equal(drawn.y, y)
    variance = 1 / (1 - step / 4)
    for k, centre in enumerate(bumps().centres.detach()):
        z = (drawn.x[y == k].mean(0) - centre) / math.sqrt(variance / n)
        assert z.abs().max() < 5
        z = (drawn.x[y == k].var(0) / variance - 1) / math.sqrt(2 / n)
        assert z.abs().max() < 5
    free = chains.draw(bumps(), 20, Stream(0))
    assert free.y is None
    with pytest.raises(ValueError, match="label: Gaussian is not class-conditional"):
        chains.draw(Gaussian((2,)), 3, Stream(0), y=y[:3])


def test_a_conditional_energy_as_a_joint_one() -> None:
    """At temperature T: p(y | x) ∝ exp(−E(x, y)/T), and its marginal energy has the density Σ_y exp(−E(x, y)/T)."""
    joint, x, t = bumps(), torch.randn(20, 2) * 2, 0.3
    marginal = Marginal(Labelled(joint), 3, t)
    torch.testing.assert_close(marginal.logits(x), joint.logits(x) / t)
    torch.testing.assert_close(-marginal(x) / t, (joint.logits(x) / t).logsumexp(1))
    assert not marginal.conditional
    with pytest.raises(ValueError, match="need a temperature > 0, got 0"):
        Marginal(Labelled(joint), 3, 0.0)


@pytest.mark.parametrize("n_groups", [None, 4])
def test_the_network_of_one_image_does_not_see_the_others(n_groups: int | None) -> None:
    torch.manual_seed(0)
    energy = WideResNet(SHAPE, (8, 16), (1, 2), blocks=2, n_groups=n_groups, n_classes=5)
    x = torch.randn(6, *SHAPE)
    assert energy.logits(x).shape == (6, 5)
    torch.testing.assert_close(energy.logits(x)[:2], energy.logits(x[:2]))
    assert sum(isinstance(m, nn.GroupNorm) for m in energy.modules()) == (0 if n_groups is None else 9)
    energy(x).sum().backward()
    assert all(p.grad is not None for p in energy.parameters())


def test_size_of_wrn_28_10() -> None:
    """36.5 million parameters (Zagoruyko & Komodakis 2016, Table 4), less what batch norms have."""
    with torch.device("meta"):
        energy = WideResNet((3, 32, 32), (160, 320, 640), (1, 2, 2), 4, stem_channels=16, n_classes=10)
    assert sum(p.numel() for p in energy.parameters()) == pytest.approx(36.5e6, rel=0.002)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"event_shape": (2,)}, r"wide_resnet needs images"),
        ({"n_classes": 0}, "needs labels of 2 classes at least, this data set has 0"),
        ({"strides": (1, 2)}, "strides: must be one for each of channels, 3"),
        ({"n_groups": 5}, r"n_groups: must divide all channels, \[8, 8, 8, 16\], got 5"),
    ],
)
def test_what_is_refused(arguments: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        WideResNet(**{"event_shape": SHAPE, "channels": (8, 8, 16), "n_classes": 3} | arguments)
