"""Replay buffers: order, shares, ages, and a round trip through a checkpoint."""

import math

import pytest
import torch

from ebm_exp.augmentation import Augmentation
from ebm_exp.buffer import Fifo, InPlace, Reservoir
from ebm_exp.buffer.base import Buffer
from ebm_exp.dataset import Dataset, Gaussian, Synthetic
from ebm_exp.random import generator
from ebm_exp.start import Data, Normal, Start, Uniform

CPU = torch.device("cpu")


def make(
    kind: type[Buffer],
    size: int,
    data: Dataset,
    *,
    start: type[Start] = Uniform,
    conditional: bool = False,
    seed: int = 0,
    **options,
) -> Buffer:
    """A buffer whose chains begin at noise of the data's domain."""
    return kind(size, start(data, conditional), data.domain, CPU, seed, conditional=conditional, **options)


DATA = Gaussian("gaussian", CPU, 0, half_width=5.0, noise=1.0, n_train=1000, n_test=10)


@pytest.mark.parametrize("kind", [InPlace, Fifo, Reservoir])
def test_draws_without_replacement(kind: type[Buffer]) -> None:
    buffer = make(kind, 100, DATA)
    for step in range(10):
        draw = buffer.draw(60, generator("cpu", step))
        assert len(draw.slots.unique()) == 60
        buffer.store(draw, draw.x)


def test_fifo_keeps_the_newest_in_order() -> None:
    buffer = make(Fifo, 10, DATA)
    for step in range(4):  # 4 × 4 points into 10 slots
        buffer.store(buffer.draw(4, generator("cpu", step)), torch.arange(4.0).add(4 * step).view(4, 1).expand(4, 2))
    assert sorted(buffer.x[:, 0].tolist()) == list(range(6, 16))
    assert buffer.n_filled == 10


def test_fifo_is_all_fresh_while_it_holds_too_few() -> None:
    buffer = make(Fifo, 1000, DATA, reinit_probability=0.0)
    draw = buffer.draw(8, generator("cpu", 0))
    assert draw.x.abs().max() <= 5
    assert (draw.age == 0).all()
    buffer.store(draw, torch.full((8, 2), 77.0))
    assert (buffer.draw(8, generator("cpu", 1)).x == 77).all()


def test_age_counts_the_steps_of_a_chain() -> None:
    buffer = make(Fifo, 8, DATA, reinit_probability=0.0)
    for step in range(5):  # every draw holds the whole queue, so all chains grow together
        draw = buffer.draw(8, generator("cpu", step))
        assert (draw.age == step).all()
        buffer.store(draw, draw.x)
        assert (buffer.age == step + 1).all()
        assert float(buffer.metrics()["buffer/age"]) == step + 1


def test_share_of_slots_held() -> None:
    buffer = make(Fifo, 16, DATA)
    shares = []
    for step in range(5):
        shares.append(float(buffer.metrics()["buffer/filled"]))
        draw = buffer.draw(4, generator("cpu", step))
        buffer.store(draw, draw.x)
    assert shares == [0, 0.25, 0.5, 0.75, 1]
    assert float(make(InPlace, 16, DATA).metrics()["buffer/filled"]) == 1


def test_in_place_writes_back_where_it_drew() -> None:
    buffer = make(InPlace, 50, DATA, reinit_probability=0.0)
    before = buffer.x.clone()
    draw = buffer.draw(20, generator("cpu", 0))
    assert torch.equal(draw.x, before[draw.slots])
    buffer.store(draw, draw.x + 100)
    others = torch.ones(50, dtype=torch.bool)
    others[draw.slots] = False
    assert torch.equal(buffer.x[others], before[others])
    assert torch.equal(buffer.x[draw.slots], before[draw.slots] + 100)
    assert buffer.age.sum() == 20
    assert float(buffer.metrics()["buffer/age"]) == pytest.approx(0.4)


@pytest.mark.parametrize("kind", [InPlace, Fifo, Reservoir])
def test_share_of_fresh_starts(kind: type[Buffer]) -> None:
    p, n, rounds = 0.05, 200, 50
    buffer, fresh = make(kind, 400, DATA, reinit_probability=p), 0
    buffer.store(buffer.draw(n, generator("cpu", "first")), torch.full((n, 2), 99.0))
    buffer.store(buffer.draw(n, generator("cpu", "second")), torch.full((n, 2), 99.0))
    buffer.x.fill_(99.0)
    buffer.age.fill_(7)
    for i in range(rounds):
        draw = buffer.draw(n, generator("cpu", i))
        reinitialised = draw.x[:, 0] != 99
        assert ((draw.age == 0) == reinitialised).all()
        fresh += int(reinitialised.sum())
    total = n * rounds
    assert abs(fresh - p * total) < 5 * math.sqrt(total * p * (1 - p))


@pytest.mark.parametrize(("kind", "spread"), [("uniform", 5 / math.sqrt(3)), ("data", 1.0)])
def test_law_of_fresh_starts(kind: str, spread: float) -> None:
    buffer = make(InPlace, 10, DATA, start={"uniform": Uniform, "data": Data}[kind])
    std = float(buffer.start.draw(20_000, generator("cpu", 0)).x.std())
    assert std == pytest.approx(spread, rel=0.03)


def test_normal_starts_are_gaussian_cut_at_the_walls() -> None:
    """One standard deviation to the wall: P(|z| > 1) = .3173 of the components lie on it, |z| < 1/2 has .3829."""
    buffer, n = make(InPlace, 10, DATA, start=Normal), 20_000
    z = buffer.start.draw(n, generator("cpu", 0)).x / 5
    for share, p in (((z.abs() == 1).float().mean(), 0.31731), ((z.abs() < 0.5).float().mean(), 0.38292)):
        assert abs(float(share) - p) < 5 * math.sqrt(p * (1 - p) / (2 * n))


def test_more_chains_than_slots() -> None:
    with pytest.raises(ValueError, match="must be at least the number of chains per step, 11, got 10"):
        make(InPlace, 10, DATA).draw(11, generator("cpu", 0))


@pytest.mark.parametrize("kind", [InPlace, Fifo, Reservoir])
def test_state_round_trip(kind: type[Buffer], tmp_path) -> None:
    buffer = make(kind, 30, DATA)
    for step in range(3):
        draw = buffer.draw(8, generator("cpu", step))
        buffer.store(draw, draw.x + 1)
    torch.save(buffer.state_dict(), tmp_path / "b.pt")
    other = make(kind, 30, DATA, seed=1)
    other.load_state_dict(torch.load(tmp_path / "b.pt", weights_only=True))
    a, b = (each.draw(8, generator("cpu", 9)) for each in (buffer, other))
    assert torch.equal(a.x, b.x)
    assert torch.equal(a.age, b.age)
    assert torch.equal(a.slots, b.slots)


def test_recent_spreads_over_what_is_held() -> None:
    buffer = make(Fifo, 100, DATA)
    buffer.store(buffer.draw(10, generator("cpu", 0)), torch.arange(10.0).view(10, 1).expand(10, 2))
    assert buffer.recent(5).x[:, 0].tolist() == [0, 2, 4, 6, 8]
    assert len(buffer.recent(64).x) == 10


def test_a_reservoir_holds_every_end_with_the_same_probability() -> None:
    """1,000 ends through 100 slots, many times: each tenth of the stream is held with probability size/stored."""
    size, batch, steps, repeats = 100, 50, 20, 60
    held = torch.zeros(steps)
    for repeat in range(repeats):
        buffer = make(Reservoir, size, DATA, seed=repeat, reinit_probability=0.0)
        for step in range(steps):
            draw = buffer.draw(batch, generator("cpu", repeat, step))
            buffer.store(draw, (batch * step + torch.arange(batch, dtype=torch.float32)).view(-1, 1).expand(batch, 2))
        ends = buffer.x[:, 0]
        assert len(ends.unique()) == size  # each end at most once: no slot was written by two
        held += torch.bincount((ends // batch).long(), minlength=steps)
    n, p = batch * repeats, size / (batch * steps)
    assert ((held - n * p).abs() < 5 * math.sqrt(n * p * (1 - p))).all()


def test_reservoir_columns_stay_together() -> None:
    buffer = make(Reservoir, 20, LABELLED, conditional=True, reinit_probability=0.0)
    for step in range(40):
        draw = buffer.draw(10, generator("cpu", step))
        buffer.store(draw, draw.y.float().view(-1, 1, 1, 1).expand(10, *LABELLED.event_shape) / 10)
    assert torch.equal((buffer.x[:, 0, 0, 0] * 10).round().long(), buffer.y)


LABELLED = Synthetic("labelled", CPU, 0, shape=(1, 4, 4), classes=7, n_train=500, n_test=10, value_range=(0, 1))


@pytest.mark.parametrize("kind", [InPlace, Fifo, Reservoir])
def test_a_chain_keeps_its_label_until_it_starts_afresh(kind: type[Buffer]) -> None:
    buffer = make(kind, 60, LABELLED, conditional=True, reinit_probability=0.2)
    for step in range(5):  # fill it with points that say their label
        draw = buffer.draw(60, generator("cpu", "fill", step))
        buffer.store(draw, draw.y.float().view(-1, 1, 1, 1).expand(60, 1, 4, 4) / 10)
    kept = 0
    for step in range(20):
        draw = buffer.draw(50, generator("cpu", step))
        old = draw.age > 0
        assert torch.equal((draw.x[old][:, 0, 0, 0] * 10).round().long(), draw.y[old])
        kept += int(old.sum())
    assert kept > 500
    drawn = torch.bincount(buffer.start.draw(70_000, generator("cpu", 1)).y, minlength=7) / 70_000
    distribution = torch.bincount(LABELLED.train_labels, minlength=7) / LABELLED.n_train
    assert ((drawn - distribution).abs() < 5 * (distribution * (1 - distribution) / 70_000).sqrt()).all()


def test_no_labels_are_kept_for_an_energy_without() -> None:
    buffer = make(InPlace, 10, LABELLED)
    assert buffer.y is None
    assert buffer.draw(4, generator("cpu", 0)).y is None
    assert "y" not in buffer.state_dict()


def test_uint8_rounds_to_the_nearest_level() -> None:
    """256 levels from wall to wall; a value comes back within half a level, a level comes back as it is."""
    buffer = make(InPlace, 256, DATA, reinit_probability=0.0, storage="uint8")
    assert buffer.x.dtype == torch.uint8
    draw = buffer.draw(256, generator("cpu", 0))
    x = torch.linspace(-5.2, 5.2, 256).view(-1, 1).expand(256, 2)
    buffer.store(draw, x)
    back = buffer._decode(buffer.x[draw.slots])
    assert float((back - x.clamp(-5, 5)).abs().max()) <= 0.5 * 10 / 255 + 1e-6
    again = make(InPlace, 256, DATA, storage="uint8")
    again.store(draw, back)
    assert torch.equal(again.x[draw.slots], buffer.x[draw.slots])


def test_shares_reinitialised_and_moved() -> None:
    buffer = make(InPlace, 1000, DATA, reinit_probability=0.3)
    buffer.age.fill_(3)
    draw = buffer.draw(1000, generator("cpu", 0))
    ends = draw.x.clone()
    ends[:250, 0] += 1.0  # an eighth of all components
    ends[250:] += 10 / 255 * 0.9  # less than a level
    buffer.store(draw, ends)
    values = buffer.metrics()
    assert float(values["buffer/moved"]) == 0.125
    assert float(values["buffer/reinitialised"]) == pytest.approx(float((draw.age == 0).float().mean()))
    assert abs(float(values["buffer/reinitialised"]) - 0.3) < 5 * math.sqrt(0.3 * 0.7 / 1000)


def test_staleness_counts_the_steps_since_a_point_was_stored() -> None:
    """A full queue of 8, two a step, holds points of the last four steps: 0, 0, 1, 1, 2, 2, 3, 3 steps old."""
    buffer = make(Fifo, 8, DATA)
    for step in range(10):
        draw = buffer.draw(2, generator("cpu", step))
        buffer.store(draw, draw.x)
    assert float(buffer.metrics()["buffer/staleness"]) == 1.5
    state = buffer.state_dict()
    again = make(Fifo, 8, DATA, seed=1)
    again.load_state_dict(state)
    assert float(again.metrics()["buffer/staleness"]) == 1.5


class Shift(Augmentation):
    """Moves every point by a hundred, so that one can see which were changed."""

    def __call__(self, x: torch.Tensor, generator: torch.Generator, purpose: str) -> torch.Tensor:
        return x + {"start": 100, "bank": 200}[purpose]


def test_held_points_are_augmented_on_their_way_out_and_fresh_ones_are_not() -> None:
    buffer = make(InPlace, 400, DATA, augmentation=Shift(), reinit_probability=0.5)
    before = buffer.x.clone()
    for step in range(3):
        draw = buffer.draw(400, generator("cpu", step))
        buffer.store(draw, draw.x - 100 * (draw.x > 50))  # chains that undo it: every held point has an age of its own
    draw = buffer.draw(400, generator("cpu", 3))
    held = draw.age > 0
    assert 0.3 < float(held.float().mean()) < 0.7
    assert torch.equal(draw.x[held], buffer.x[draw.slots[held]] + 100)
    assert draw.x[~held].abs().max() <= 5
    assert not torch.equal(before, buffer.x)


def test_a_bank_is_held_points_without_replacement() -> None:
    buffer = make(Fifo, 50, DATA)
    with pytest.raises(ValueError, match="the buffer holds 0 points, 1 were asked for"):
        buffer.bank(1, generator("cpu", 0))
    draw = buffer.draw(20, generator("cpu", 0))
    buffer.store(draw, torch.arange(20.0).view(20, 1).expand(20, 2))
    bank = buffer.bank(20, generator("cpu", 1))
    assert sorted(bank[:, 0].tolist()) == list(range(20))
    shifted = make(InPlace, 50, DATA, augmentation=Shift())
    assert shifted.bank(50, generator("cpu", 1)).min() > 150
    assert len(shifted.bank(7, generator("cpu", 1))) == 7


@pytest.mark.parametrize("kind", [Fifo, Reservoir])
def test_a_buffer_that_is_empty_has_no_first_passage(kind: type[Buffer]) -> None:
    with pytest.raises(ValueError, match="first_passage_steps: needs buffer=in_place"):
        make(kind, 10, DATA, first_passage_steps=3)
