"""What evaluators are given: an energy, and samples that are drawn once."""

import torch

from ebm_exp.energy import Gaussian
from ebm_exp.evaluator import Model, Score, as_row
from ebm_exp.random import Stream
from ebm_exp.types import Points
from tests.config.test_conf import composed
from tests.trainer.test_build import build

SMALL = ("energy.widths=[8]", "sampling.n_steps=3", "evaluator=none", "optimized_metric=null")


def test_samples_are_drawn_once_and_the_first_of_more() -> None:
    _, ex = build(composed(*SMALL))
    model = Model(ex.energy, ex.sampling, ex.stream, n=12)
    few, many = model.samples(4), model.samples(12)
    assert few.x.shape == (4, 1, 8, 8)
    assert torch.equal(few.x, many.x[:4])
    assert few.x.data_ptr() == many.x.data_ptr()  # views of one drawing
    assert torch.equal(many.x, ex.sampling.draw(ex.energy, 12, ex.stream).x)
    more = model.samples(20)
    assert torch.equal(more.x[:12], many.x)


def test_samples_of_other_settings() -> None:
    _, ex = build(composed(*SMALL))
    model = Model(ex.energy, ex.sampling, ex.stream)
    longer = model.samples(4, n_steps=6)
    assert not torch.equal(longer.x, model.samples(4).x)
    assert torch.equal(longer.x, ex.sampling.replace(n_steps=6).draw(ex.energy, 4, Stream(0)).x)
    assert ex.sampling.n_steps == 3


def test_given_samples() -> None:
    points = Points(torch.randn(5, 2), torch.arange(5))
    x, y = Model.of(Gaussian((2,)), points).samples(3)
    assert torch.equal(x, points.x[:3])
    assert torch.equal(y, torch.arange(3))


def test_a_mean_has_its_standard_error() -> None:
    score = Score.mean(torch.tensor([1.0, 2.0, 3.0, 6.0]), "higher")
    assert score == Score(3.0, torch.tensor([1.0, 2.0, 3.0, 6.0]).std().item() / 2, "higher", 4)
    assert as_row({"a": score, "b": Score(2.0)}) == {"eval/a": 3.0, "eval/a_se": score.se, "eval/b": 2.0}
