"""The experiments in the plane keep what RESULTS.md says of them, on a seed and points of their own."""

from pathlib import Path

import pytest

from benchmarks.plane import SETS, measure

WITHIN = {"checkerboard": 0.08, "two_spirals": 0.05, "swiss_roll": 0.05}


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_the_density_is_learned(name: str, tmp_path: Path) -> None:
    row = measure(name, 10, tmp_path / "run")
    assert row["kl"] < WITHIN.get(name, 0.02)
    assert abs(row["mmd2"]) < 1e-3


@pytest.mark.slow
def test_two_moons_stay_for_20_000_updates(tmp_path: Path) -> None:
    row = measure("two_moons", 0, tmp_path / "run", "trainer.max_steps=20000", "trainer.log_every_steps=1")
    assert row["largest_gap"] < 1
    assert row["kl"] < 0.02
