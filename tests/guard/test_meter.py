import copy
import math
import pickle

import pytest
import torch

from ebm_exp.guard.meter import Meter, NonFiniteError


def scalars(**values: float) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(value) for name, value in values.items()}


def test_means_are_those_of_the_interval() -> None:
    meter = Meter("cpu")
    for step, (a, b) in enumerate([(1.0, -2.0), (2.0, 4.0), (6.0, 1.0)], start=1):
        meter.add(step, scalars(a=a, b=b))
    assert meter.read() == ({"a": 3.0, "b": 1.0}, None)
    meter.add(4, scalars(a=10.0, b=0.5))
    assert meter.read() == ({"a": 10.0, "b": 0.5}, None)
    assert meter.read() == ({}, None)


def test_means_do_not_drift_and_take_any_type_and_order() -> None:
    meter = Meter("cpu")
    big = torch.tensor(1e8)
    for step in range(1000):
        metrics = {"a": big + 8 * (step % 2), "n": torch.tensor(step), "h": torch.tensor(0.5, dtype=torch.bfloat16)}
        meter.add(step, metrics if step % 2 else dict(reversed(metrics.items())))
    means, bad = meter.read()
    assert means == {"a": 1e8 + 4, "n": 499.5, "h": 0.5}
    assert bad is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_names_the_first_step_and_metric_that_was_not_finite(value: float) -> None:
    meter = Meter("cpu")
    for step in range(1, 21):
        meter.add(step, scalars(a=value if step >= 9 else 1.0, b=value if step == 7 else 1.0, c=1.0))
    means, bad = meter.read()
    assert bad == (7, "b")
    assert means["c"] == 1.0
    assert not math.isfinite(means["a"])
    assert not math.isfinite(means["b"])
    meter.add(21, scalars(a=1.0, b=1.0, c=1.0))
    assert meter.read()[1] is None


def test_of_one_step_the_first_metric_is_named() -> None:
    meter = Meter("cpu")
    meter.add(3, scalars(z=1.0, y=math.nan, a=math.inf))
    assert meter.read()[1] == (3, "y")


def test_a_metric_is_averaged_over_the_steps_that_have_it() -> None:
    meter = Meter("cpu")
    with pytest.raises(ValueError, match="step 1: there are no metrics"):
        meter.add(1, {})
    meter.add(1, scalars(a=1.0))
    meter.add(2, scalars(a=2.0, b=5.0))
    meter.add(3, scalars(a=6.0, b=7.0))
    assert meter.read() == ({"a": 3.0, "b": 6.0}, None)
    meter.add(4, scalars(a=1.0))
    meter.add(5, scalars(a=1.0, b=math.nan))
    meter.add(6, scalars(a=math.inf))
    assert meter.read()[1] == (5, "b")
    assert meter.read() == ({}, None)


def test_the_first_failure_can_be_asked_for_in_the_middle_of_an_interval() -> None:
    meter = Meter("cpu")
    assert meter.first_bad() is None
    meter.add(1, scalars(a=1.0))
    assert meter.first_bad() is None
    meter.add(2, scalars(a=1.0, b=math.nan))
    meter.add(3, scalars(a=math.inf))
    assert meter.first_bad() == meter.first_bad() == (2, "b")
    assert meter.read()[1] == (2, "b")
    assert meter.first_bad() is None


def test_an_interval_goes_on_from_a_saved_one() -> None:
    whole, first, second = Meter("cpu"), Meter("cpu"), Meter("cpu")
    rows = [scalars(a=0.1), scalars(a=0.2, b=3.0), scalars(b=0.7), scalars(a=1e8, b=math.nan), scalars(a=math.inf)]
    for step, row in enumerate(rows):
        whole.add(step, row)
    for step, row in enumerate(rows[:2]):
        first.add(step, row)
    second.add(9, scalars(c=1.0))  # of another interval: gone
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for step, row in enumerate(rows[2:], start=2):
        second.add(step, row)
    assert whole.first_bad() == second.first_bad() == (3, "b")
    assert repr(whole.read()) == repr(second.read())


def test_takes_no_graph_along() -> None:
    meter = Meter("cpu")
    weight = torch.ones((), requires_grad=True)
    meter.add(1, {"a": weight * 2})
    (sums,) = meter._seen.values()
    assert not sums.total.requires_grad


def test_add_asks_nothing_of_the_device() -> None:
    """On the meta device there are no values: whatever looks at one on the host raises."""
    meter = Meter("meta")
    for step in (1, 2):
        meter.add(step, {"a": torch.zeros((), device="meta"), "b": torch.zeros((), device="meta")})


@pytest.mark.gpu
def test_add_does_not_synchronise() -> None:
    meter = Meter("cuda")
    metrics = {"a": torch.ones((), device="cuda"), "b": torch.zeros((), device="cuda")}
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step in (1, 2, 3):
            meter.add(step, metrics)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert meter.read() == ({"a": 1.0, "b": 0.0}, None)


def test_the_error_says_where_and_survives_copies() -> None:
    error = NonFiniteError(120, "train/loss")
    for e in (error, pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (e.step, e.metric) == (120, "train/loss")
        assert str(e) == "step 120: train/loss is not finite (NaN or infinite)"
