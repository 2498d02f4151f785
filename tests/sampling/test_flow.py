"""Sampling along a flow: the exact velocity brings noise to the data's distribution."""

import pytest
import torch

from ebm_exp import noise
from ebm_exp.dataset import Synthetic
from ebm_exp.energy import Encoder
from ebm_exp.energy.guided import Guided
from ebm_exp.engine import Eager
from ebm_exp.random import Stream
from ebm_exp.sampling import Flow, fresh
from tests.noise.test_flow import Exact

CPU = torch.device("cpu")


@pytest.fixture
def data() -> Synthetic:
    return Synthetic("synthetic", CPU, 0, shape=(1, 4, 4), classes=3, n_train=200, n_test=10)


class Flat(Exact):
    """Of images."""

    def forward(self, x: torch.Tensor, **context: torch.Tensor) -> torch.Tensor:
        return super().forward(x.flatten(1).double(), t=context["t"].double().clamp(min=1e-6)).float()


@pytest.mark.parametrize("method", ["heun", "stochastic_heun"])
def test_noise_becomes_the_distribution_of_the_exact_velocity(data: Synthetic, method: str) -> None:
    means = torch.tensor([[-0.5] * 16, [0.4] * 16], dtype=torch.float64)
    energy = Flat(torch.tensor([0.3, 0.7], dtype=torch.float64), means, 0.1)
    sampling = Flow(Eager(CPU), data, noise.Flow(), 30 if method == "heun" else 120, method)
    x = sampling.draw(energy, 2000, Stream(0)).x.flatten(1)
    high = x.mean(1) > 0
    assert float(high.float().mean()) == pytest.approx(0.7, abs=0.04)
    for mean, part in ((0.4, x[high]), (-0.5, x[~high])):
        assert float(part.mean()) == pytest.approx(mean, abs=0.01)
        assert float(part.std()) == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("method", ["euler", "heun"])
def test_heun_is_of_second_order(data: Synthetic, method: str) -> None:
    energy = Flat(torch.ones(1, dtype=torch.float64), torch.full((1, 16), 0.2, dtype=torch.float64), 0.3)

    def draw(n_steps: int) -> torch.Tensor:
        return Flow(Eager(CPU), data, noise.Flow(), n_steps, method).draw(energy, 64, Stream(0)).x

    best = Flow(Eager(CPU), data, noise.Flow(), 512, "heun").draw(energy, 64, Stream(0)).x
    errors = [float((draw(n) - best).abs().mean()) for n in (16, 32)]
    assert errors[0] / errors[1] == pytest.approx({"euler": 2, "heun": 4}[method], rel=0.3)


@pytest.mark.parametrize("conditional", [False, True])
def test_samples_do_not_depend_on_how_many_are_drawn(
    data: Synthetic, monkeypatch: pytest.MonkeyPatch, conditional: bool
) -> None:
    torch.manual_seed(0)
    energy = Encoder(data.event_shape, (4,), (1,), width=8, timed=True, conditional=conditional, n_classes=3)
    sampling, seen = Flow(Eager(CPU), data, noise.Flow(), 4), []
    many = sampling.draw(energy, 150, Stream(0), watch=lambda step, e, state, info: seen.append((step, info.metrics())))
    assert [step for step, _ in seen] == [1, 2, 3, 4]
    few = sampling.draw(energy, 16, Stream(0))
    monkeypatch.setitem(fresh.AT_ONCE, "cpu", 16 * 40)
    apart = sampling.draw(energy, 150, Stream(0))
    for other in (few, apart):
        torch.testing.assert_close(many.x[: len(other.x)], other.x, rtol=0, atol=1e-5)
    assert (many.y is not None) == conditional
    if conditional:
        asked = sampling.draw(energy, 16, Stream(0), y=torch.full((16,), 2))
        assert asked.y.tolist() == [2] * 16


def test_noise_that_is_added_is_new_in_every_step(data: Synthetic) -> None:
    energy = Flat(torch.ones(1, dtype=torch.float64), torch.full((1, 16), 0.2, dtype=torch.float64), 0.3)
    start = torch.zeros(64, 1, 4, 4)
    sampling = Flow(Eager(CPU), data, noise.Flow(), 60, "stochastic_heun")
    ends = sampling.draw(energy, 64, Stream(0), start=start).x
    assert float(ends.std()) > 0.2  # by the flow alone all would end in one point
    assert torch.equal(ends, sampling.draw(energy, 64, Stream(0), start=start).x)
    assert not torch.equal(ends, sampling.draw(energy, 64, Stream(1), start=start).x)


def test_guidance_is_w_times_what_a_label_adds(data: Synthetic) -> None:
    torch.manual_seed(0)
    energy = Encoder(data.event_shape, (4,), (1,), width=8, timed=True, conditional=True, no_label=True, n_classes=3)
    x, t, y = torch.randn(5, 1, 4, 4), torch.rand(5), torch.tensor([0, 1, 2, 0, 1])
    free, under = energy(x, t=t, y=torch.full((5,), 3)), energy(x, t=t, y=y)
    for weight in (0.0, 1.0, 2.5):
        torch.testing.assert_close(Guided(energy, weight)(x, t=t, y=y), free + weight * (under - free))
    drawn = [
        Flow(Eager(CPU), data, noise.Flow(), 4, guidance=w).draw(energy, 8, Stream(0), y=torch.zeros(8, dtype=int))
        for w in (1.0, 3.0)
    ]
    assert not torch.equal(drawn[0].x, drawn[1].x)
    plain = Encoder(data.event_shape, (4,), (1,), width=8, timed=True, conditional=True, n_classes=3)
    with pytest.raises(ValueError, match=r"guidance: needs a run of energy.no_label=true"):
        Flow(Eager(CPU), data, noise.Flow(), 4, guidance=2.0).draw(plain, 8, Stream(0))


def test_what_cannot_be_drawn_is_refused(data: Synthetic) -> None:
    energy = Encoder(data.event_shape, (4,), (1,), width=8, timed=True)
    with pytest.raises(ValueError, match="t_end: must be at most 1 for an energy of time, got 2"):
        Flow(Eager(CPU), data, noise.Flow(), 4, t_end=2.0).draw(energy, 4, Stream(0))
    with pytest.raises(ValueError, match="label: Encoder is not class-conditional"):
        Flow(Eager(CPU), data, noise.Flow(), 4).draw(energy, 4, Stream(0), y=torch.zeros(4, dtype=torch.long))
    one = Encoder(data.event_shape, (4,), (1,), width=8)
    with pytest.raises(ValueError, match="method: stochastic_heun needs an energy of time"):
        Flow(Eager(CPU), data, noise.Flow(), 4, "stochastic_heun").draw(one, 4, Stream(0))
    assert Flow(Eager(CPU), data, noise.Flow(), 4, t_end=2.0).draw(one, 4, Stream(0)).x.shape == (4, 1, 4, 4)
