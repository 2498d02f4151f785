"""Starts draw from the densities they state."""

import math

import pytest
import torch

from ebm_exp.buffer import FromBuffer, InPlace
from ebm_exp.dataset import Dataset, Domain
from ebm_exp.random import generator
from ebm_exp.start import Bits, Data, Independent, Mix, Mixture, Normal, Uniform

CPU = torch.device("cpu")
BOX = Domain(-2, 3, (2,))
TRAIN = 0.5 * torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
DATA = Dataset(name="points", domain=BOX, train=TRAIN, test=TRAIN, train_labels=torch.arange(500) % 4, n_classes=4)
N = 40_000


@pytest.mark.parametrize(
    "start",
    [
        Uniform(DATA),
        Independent(DATA),
        Mixture(DATA, 3),
        Mixture(DATA, 3, bounded=True),
        Mixture(DATA, 3, bounded=True, uniform_share=0.0),
        Mix({"a": Uniform(DATA), "b": Mixture(DATA, 2)}),
    ],
)
def test_a_density_integrates_to_one_and_is_drawn_from(start) -> None:
    edges = torch.linspace(-2, 3, 401)
    middle = (edges[1:] + edges[:-1]) / 2
    points = torch.stack(torch.meshgrid(middle, middle, indexing="ij"), -1).view(-1, 2)
    p = start.log_prob(points).double().exp() * (5 / 400) ** 2
    total = float(p.sum())
    assert total == pytest.approx(1, abs=2e-3)
    x = start.draw(N, generator("cpu", 0)).x
    x = x[((x >= -2) & (x <= 3)).all(1)]
    right = float(p[points[:, 0] > 0.3].sum()) / total
    share = float((x[:, 0] > 0.3).float().mean())
    assert abs(share - right) < 5 * math.sqrt(right * (1 - right) / len(x))


def test_a_mixture_is_the_same_density_under_autocast() -> None:
    start = Mixture(DATA, 3)
    x, p = start.draw(100, generator("cpu", 0)).x, start.log_prob(TRAIN)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(start.draw(100, generator("cpu", 0)).x, x)
        assert torch.equal(start.log_prob(TRAIN), p)


def test_data_and_noise_know_their_labels() -> None:
    for kind in (Uniform, Normal, Data):
        assert kind(DATA).draw(10, generator("cpu", 0)).y is None
        points = kind(DATA, conditional=True).draw(10, generator("cpu", 0))
        assert points.x.shape == (10, 2)
        assert points.y is not None
        assert points.y.max() < 4
        assert ((points.x >= -2) & (points.x <= 3)).all()
    with pytest.raises(TypeError, match="the density of data is not known"):
        Data(DATA).log_prob(TRAIN)


def test_the_buffer_gives_each_point_once_before_any_twice() -> None:
    buffer = InPlace(30, Uniform(DATA), BOX, CPU, 0)
    x = FromBuffer(buffer).draw(45, generator("cpu", 0)).x
    assert len(x[:30].unique(dim=0)) == 30
    assert torch.equal(x[30:], x[:15])


def test_a_mix_has_the_shares_it_is_asked_for() -> None:
    mix = Mix({"noise": Uniform(DATA), "data": Data(DATA)}, (1.0, 3.0))
    assert mix.name == "25% uniform noise + 75% data"
    x = mix.draw(N, generator("cpu", 0)).x
    outside = float((x.norm(dim=1) > 1.5).float().mean())
    of_noise = float((Uniform(DATA).draw(N, generator("cpu", 1)).x.norm(dim=1) > 1.5).float().mean())
    of_data = float((Data(DATA).draw(N, generator("cpu", 1)).x.norm(dim=1) > 1.5).float().mean())
    expected = 0.25 * of_noise + 0.75 * of_data
    assert abs(outside - expected) < 10 * math.sqrt(expected / N)
    with pytest.raises(ValueError, match="weights: needs one for each of the 1 starts"):
        Mix({"noise": Uniform(DATA)}, (1.0, 2.0))


def test_normal_noise_that_is_not_clamped_is_the_noise_of_flows() -> None:
    data = Dataset(name="points", domain=Domain(-1, 1, (64,)), train=torch.zeros(8, 64), test=torch.zeros(2, 64))
    clamped, free = (Normal(data, clamp=c).draw(500, generator("cpu", 0)).x for c in (True, False))
    assert torch.equal(free.clamp(-1, 1), clamped)
    assert float(free.std()) == pytest.approx(1, abs=0.02)


def test_bits_have_the_frequencies_of_the_data() -> None:
    x = torch.tensor([[0.0, 1.0, 1.0], [0.0, 0.0, 1.0], [0.0, 1.0, 1.0], [0.0, 1.0, 1.0]]).repeat(500, 1)
    data = Dataset(name="bits", domain=Domain(0, 1, (3,)), train=x, test=x)
    start = Bits(data)
    every = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)
    p = start.log_prob(every).exp()
    assert float(p.sum()) == pytest.approx(1)
    assert p[every[:, 1] == 1].sum().item() == pytest.approx(0.75, abs=0.03)
    assert 0 < float(p[every[:, 0] == 1].sum()) < 1e-3  # never seen, and not impossible
    drawn = start.draw(N, generator("cpu", 0)).x
    assert drawn.unique().tolist() == [0.0, 1.0]
    assert abs(float(drawn[:, 1].mean()) - float(p[every[:, 1] == 1].sum())) < 5 * 0.5 / math.sqrt(N)
