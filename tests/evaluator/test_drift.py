"""Drift: the exact distribution of a chain at three lengths, and what is refused."""

import math

import pytest
import torch

from ebm_exp.config.errors import UserError
from ebm_exp.dataset import Gaussian as GaussianData
from ebm_exp.energy import Gaussian
from ebm_exp.engine import Eager
from ebm_exp.evaluator import Drift, Frechet, Grid, Kind, Model, Score
from ebm_exp.evaluator.base import Evaluator
from ebm_exp.random import Stream
from ebm_exp.sampler import Langevin
from ebm_exp.sampling import Chains
from ebm_exp.start import Uniform
from ebm_exp.types import Points
from tests.config.test_conf import composed
from tests.trainer.test_build import build

CPU = torch.device("cpu")


class Variance(Evaluator):
    """Of all components of the samples."""

    protocol = "variance"

    def __init__(self, n_samples: int) -> None:
        self.n_samples, self.produces = n_samples, {"variance": "lower"}

    def __call__(self, model: Model) -> dict[str, Score]:
        x = model.samples(self.n_samples).x
        return {"variance": Score(float(x.square().mean()), n=len(x))}


def chains(n_steps: int, step_size: float) -> Chains:
    data = GaussianData("gaussian", CPU, 0, half_width=5.0, n_train=100, n_test=10)
    return Chains(Langevin(step_size, 1, data.domain), Eager(CPU), data, Uniform(data), n_steps)


def test_it_follows_the_exact_variance_of_the_chain() -> None:
    """On E = x²/2 a step multiplies the variance by (1 − λ/2)² and adds λ; it begins uniform on [−5, 5]."""
    n, n_steps, step = 20_000, 2, 0.02
    sampling = chains(n_steps, step)
    drift = Drift(Variance(n), sampling)
    assert drift.gives() == {f"drift_variance_x{k}": Kind("lower") for k in (1, 10, 100)}
    assert drift.protocol == "variance; chains of 2, 20, 200 steps"
    scores = drift(Model(Gaussian((2,)), sampling, Stream(0)))
    assert list(scores) == list(drift.gives())
    for k in (1, 10, 100):
        variance = 10**2 / 12
        for _ in range(k * n_steps):
            variance = variance * (1 - step / 2) ** 2 + step
        se = variance * math.sqrt(2 / (2 * n))  # at most: a uniform number's square varies less than a normal one's
        assert abs(scores[f"drift_variance_x{k}"].value - variance) < 5 * se


def test_longer_chains_go_on_where_shorter_ended() -> None:
    sampling, seen = chains(3, 0.1), []

    class Keep(Variance):
        def __call__(self, model: Model) -> dict[str, Score]:
            seen.append(model.samples(self.n_samples).x)
            return super().__call__(model)

    energy = Gaussian((2,))
    Drift(Keep(70), sampling)(Model(energy, sampling, Stream(1)))
    at: dict[int, torch.Tensor] = {}
    long = sampling.replace(n_steps=300)
    long.draw(energy, 70, Stream(1), watch=lambda step, _, state, info: at.__setitem__(step, state.x.clone()))
    for x, step in zip(seen, (3, 30, 300), strict=True):
        torch.testing.assert_close(x, at[step])


def test_no_more_chains_are_run_long_than_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    sampling, asked = chains(2, 0.1), []
    draw = Chains.draw
    monkeypatch.setattr(
        Chains, "draw", lambda self, energy, n, stream: asked.append((n, self.n_steps)) or draw(self, energy, n, stream)
    )
    Drift(Variance(64), sampling)(Model(Gaussian((2,)), sampling, Stream(0), n=500))
    assert asked == [(500, 2), (64, 20), (64, 200)]


def test_given_samples_do_not_move() -> None:
    x = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    scores = Drift(Variance(50), chains(2, 0.1))(Model.of(Gaussian((2,)), Points(x)))
    assert {score.value for score in scores.values()} == {float(x[:50].square().mean())}


def test_refuses_other_sampling_and_measures_of_no_samples() -> None:
    data = GaussianData("gaussian", CPU, 0, half_width=5.0, n_train=100, n_test=10)
    with pytest.raises(ValueError, match=r"^measure: must be an evaluator of samples, Grid looks at none"):
        Drift(Grid(data), chains(2, 0.1))
    flow = composed("experiment=flow/digits", "evaluator=drift", "optimized_metric=null", "device=cpu")
    with pytest.raises(UserError, match=r"^evaluator\.drift: drift needs sampling=chains, .* the experiment has Flow"):
        build(flow)


def test_its_measure_is_built_from_its_node() -> None:
    _, experiment = build(composed("evaluator=drift", "optimized_metric=eval/drift_frechet_pixels_x10"))
    drift = experiment.evaluators["drift"]
    assert isinstance(drift.measure, Frechet)
    assert drift.n_samples == 256
