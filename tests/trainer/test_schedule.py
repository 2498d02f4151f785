import math

import pytest

from ebm_exp.trainer.schedule import lr_factor


def test_no_warmup_and_no_decay_leave_the_rate() -> None:
    assert [lr_factor(step, 0, "none", 1) for step in (0, 1, 10**6)] == [1.0, 1.0, 1.0]


def test_warmup_rises_linearly_from_the_first_step() -> None:
    assert [lr_factor(step, 4, "none", 1) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_linear_decay_reaches_zero_at_its_end_and_stays() -> None:
    assert [lr_factor(step, 0, "linear", 4) for step in (0, 1, 2, 3, 4, 5)] == [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]


def test_cosine_decay() -> None:
    values = [lr_factor(step, 0, "cosine", 4) for step in range(6)]
    root = math.sqrt(0.5)
    assert values == pytest.approx([1.0, (1 + root) / 2, 0.5, (1 - root) / 2, 0.0, 0.0], abs=1e-15)


def test_decay_in_steps_multiplies_by_the_rate() -> None:
    values = [lr_factor(step, 0, "step", 3, 0.5) for step in range(8)]
    assert values == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25]
    assert lr_factor(60 * 468, 0, "step", 468, 0.97) == pytest.approx(0.97**60)


def test_warmup_and_decay_multiply() -> None:
    assert lr_factor(1, 4, "linear", 10) == pytest.approx(0.5 * 0.9)
    assert lr_factor(1, 4, "cosine", 2) == pytest.approx(0.5 * 0.5)


@pytest.mark.parametrize("decay", ["none", "linear", "cosine"])
def test_always_a_share(decay: str) -> None:
    assert all(0 <= lr_factor(step, 7, decay, 50) <= 1 for step in range(100))


@pytest.mark.parametrize("arguments", [(-1, 0, "none", 1), (0, -1, "none", 1), (0, 0, "linear", 0), (0, 0, "x", 1)])
def test_refuses_nonsense(arguments: tuple) -> None:
    with pytest.raises(ValueError, match="must be"):
        lr_factor(*arguments)
