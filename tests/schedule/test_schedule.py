import math

import pytest

from ebm_exp.config.errors import UserError
from ebm_exp.config.validate import validate
from ebm_exp.schedule import Constant, Cosine, Linear, Schedule, Staircase
from tests.config.test_conf import composed


def factors(schedule: Schedule, steps: object) -> list[float]:
    return [schedule(step) for step in steps]  # type: ignore[attr-defined]


def test_no_warmup_and_no_decay_leave_the_rate() -> None:
    assert factors(Constant(), (0, 1, 10**6)) == [1.0, 1.0, 1.0]


def test_warmup_rises_linearly_from_the_first_step() -> None:
    assert factors(Constant(4), range(6)) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_linear_decay_reaches_zero_at_its_end_and_stays() -> None:
    assert factors(Linear(4), (0, 1, 2, 3, 4, 5)) == [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]


def test_cosine_decay() -> None:
    values = factors(Cosine(4), range(6))
    root = math.sqrt(0.5)
    assert values == pytest.approx([1.0, (1 + root) / 2, 0.5, (1 - root) / 2, 0.0, 0.0], abs=1e-15)


def test_decay_in_steps_multiplies_by_the_rate() -> None:
    assert factors(Staircase(3, 0.5), range(8)) == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25]
    assert Staircase(468, 0.97)(60 * 468) == pytest.approx(0.97**60)


def test_warmup_and_decay_multiply() -> None:
    assert Linear(10, 4)(1) == pytest.approx(0.5 * 0.9)
    assert Cosine(2, 4)(1) == pytest.approx(0.5 * 0.5)
    assert Staircase(1, 0.1, 4)(1) == pytest.approx(0.5 * 0.1)


@pytest.mark.parametrize("schedule", [Constant(7), Linear(50, 7), Cosine(50, 7), Staircase(5, 0.5, 7)])
def test_always_a_share(schedule: Schedule) -> None:
    assert all(0 <= schedule(step) <= 1 for step in range(100))


@pytest.mark.parametrize("schedule", [Constant(7), Linear(50, 7), Cosine(50, 7), Staircase(5, 0.5, 7)])
def test_it_ends_where_nothing_changes_any_more(schedule: Schedule) -> None:
    if schedule.ends_at is None:
        assert all(schedule(step) > 0 for step in range(200))
    else:
        assert schedule(schedule.ends_at - 1) > 0
        assert factors(schedule, range(schedule.ends_at, 200)) == [0.0] * (200 - schedule.ends_at)


@pytest.mark.parametrize("schedule", [Constant(), Linear(4), Cosine(4), Staircase(4, 0.5)])
def test_refuses_a_negative_step(schedule: Schedule) -> None:
    with pytest.raises(ValueError, match="must be"):
        schedule(-1)


@pytest.mark.parametrize(
    ("choice", "key"),
    [
        *((choice, "schedule.warmup_steps=-1") for choice in ("constant", "linear", "cosine", "staircase")),
        *((choice, "schedule.decay_steps=0") for choice in ("linear", "cosine", "staircase")),
        ("staircase", "schedule.decay_rate=1.5"),
    ],
)
def test_refuses_nonsense(choice: str, key: str) -> None:
    with pytest.raises(UserError, match=f"{key.split('=')[0]}: must be"):
        validate(composed(f"schedule={choice}", key))
