"""A training repeats itself, takes its batch in parts, goes on with its own data only, and draws without them."""

import copy

import pytest
import torch

from ebm_exp.config.build import Parts
from ebm_exp.config.errors import UserError
from ebm_exp.config.trust import ANY
from ebm_exp.dataset.absent import Absent
from ebm_exp.energy import MLP
from ebm_exp.guard.meter import Meter
from ebm_exp.objective import Loss, Objective
from ebm_exp.random import Stream, generator, seed_global
from ebm_exp.trainer.build import build, check_data
from ebm_exp.trainer.ema import EMA
from ebm_exp.trainer.update import Update
from tests.config.test_conf import composed

TINY = ("energy.widths=[16]", "sampler.n_steps=2", "sampling.n_steps=2", "trainer.batch_size=16", "buffer.size=64")


def train(*overrides: str, n_steps: int = 6) -> dict[str, torch.Tensor]:
    """The energy after a few updates of the trainer's own."""
    parts, experiment = build(composed("evaluator=none", "optimized_metric=null", *overrides), allowed=ANY)
    trainer, ema = parts["trainer"], EMA(experiment.energy, experiment.objective, 0.1)
    update = Update(experiment, ema, Meter("cpu"), trainer.accumulate_steps)
    for step in range(n_steps):
        update(step)
    return copy.deepcopy(experiment.energy.state_dict())


@pytest.mark.parametrize("energy", ["igebm", "igebm_large"])
def test_a_network_with_dropout_repeats_itself(energy: str) -> None:
    """Dropout reads torch's global generator, which differs from start to start."""
    overrides = [f"energy={energy}", "energy.channels=[4,8]", "energy.blocks=1", "energy.dropout=0.5", *TINY[1:]]
    torch.manual_seed(1)
    first = train(*overrides)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    second = train(*overrides)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(first[name], second[name]) for name in first)


class Quadratic(Objective):
    """No randomness: the mean of (E(x) − 1)²."""

    def loss(self, energy, given, generator) -> Loss:
        return Loss({"square": (energy(given.x) - 1).square()}, {}, {})


def test_a_batch_in_parts_is_the_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ebm_exp.objective.PCD", Quadratic)
    whole, parts = (
        train(*TINY, "objective._target_=ebm_exp.objective.PCD", "~objective.terms", f"trainer.accumulate_steps={n}")
        for n in (1, 4)
    )
    for name in whole:
        torch.testing.assert_close(whole[name], parts[name], rtol=1e-4, atol=1e-6)


def test_a_batch_that_cannot_be_parted_is_refused() -> None:
    with pytest.raises(UserError, match="trainer: accumulate_steps must divide batch_size, 16, got 3"):
        build(composed(*TINY, "trainer.accumulate_steps=3"))


def test_a_run_goes_on_with_its_own_data_only() -> None:
    dataset = Parts(composed("dataset=synthetic"))["dataset"]
    facts = dataset.facts()
    check_data(dataset, facts)
    fewer = Parts(composed("dataset=synthetic", "dataset.n_train=2000"))["dataset"]
    with pytest.raises(UserError, match="2,000 training and 512 test points now, 2,048 and 512 then"):
        check_data(fewer, facts)
    other = Parts(composed("dataset=synthetic", "seed=1"))["dataset"]
    with pytest.raises(UserError, match="with other values"):
        check_data(other, facts)


def test_samples_are_drawn_where_the_data_are_gone(tmp_path) -> None:
    config = composed("dataset=mnist", f"dataset.root={tmp_path}", "dataset.download=false", "sampling.n_steps=2")
    facts = Parts(composed("dataset=synthetic", "dataset.shape=[1,28,28]"))["dataset"].facts()
    parts = Parts(config, absent=facts, temperature=1.0)
    assert isinstance(parts["dataset"], Absent)
    assert parts["sampling"].draw(parts["energy"], 3, Stream(0)).x.shape == (3, 1, 28, 28)
    labels = parts["dataset"].random_labels(1000, generator("cpu", 0))
    assert set(labels.tolist()) == set(range(10))
    with pytest.raises(UserError, match="dataset: root: MNIST needs"):
        parts["dataset"].noisy(3, generator("cpu", 0))
    with pytest.raises(UserError, match="dataset: root: MNIST needs"):
        Parts(config)["dataset"]


def test_averaged_weights_have_norm_one_themselves() -> None:
    """u and v of the weights in training do not fit averaged ones: layers had norms up to 1.13."""
    from ebm_exp.regularization import SpectralNorm

    with seed_global("weights", 0):
        energy = SpectralNorm().prepare(MLP((8,), (32, 32)))
    ema = EMA(energy, Quadratic(), 0.02)
    for i in range(60):
        with torch.no_grad():
            for p in energy.parameters():
                p.add_(0.1 * torch.randn(p.shape, generator=generator("cpu", i, p.numel())))
        energy(torch.randn(4, 8))
        ema.update()
    ema.refresh()
    for layer in (*ema.energy.layers, ema.energy.head):
        assert float(torch.linalg.matrix_norm(layer.weight, 2)) <= 1.01


def test_an_energy_of_classes_needs_points_of_each(caplog: pytest.LogCaptureFixture) -> None:
    """18 digits, none of some classes."""
    rare = ("dataset.test_share=0.99", *TINY)
    _, experiment = build(composed(*rare), allowed=ANY)
    unseen = experiment.dataset.unseen_classes
    assert unseen
    assert f"no training point is of class {unseen[0]}" in caplog.text
    for energy in ("conv", "joint"):
        small = (
            ["energy=conv", "energy.conditional=true", "energy.channels=[4,8]"]
            if energy == "conv"
            else ["energy=joint"]
        )
        with pytest.raises(UserError, match=f"energy: knows classes, and no training point is of {unseen[0]}"):
            build(composed(*rare[:1], *TINY[1:], *small), allowed=ANY)
