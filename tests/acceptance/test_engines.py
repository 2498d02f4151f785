"""Recorded updates of small networks take a fraction of the time, on a GPU."""

import pytest

from benchmarks.engines import measure


@pytest.mark.gpu
def test_recorded_updates_are_faster() -> None:
    row = measure(("experiment=flow/digits",))
    assert row["eager"] > 2 * row["graphs"], row
