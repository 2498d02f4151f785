"""Objectives without chains: log Z beside the energy, and how fast the eight Gaussians are learned."""

import pytest

from benchmarks.chainless import binary, of_nce, race


@pytest.mark.slow
@pytest.mark.parametrize("name", ["two_moons", "eight_gaussians"])
def test_nce_learns_the_density_and_log_z(name: str) -> None:
    row = of_nce(name, 10)
    assert abs(row["c"] - row["log_z"]) < 0.02
    assert row["kl"] < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("name", ["energy discrepancy", "PCD"])
def test_eight_gaussians_are_learned_within_a_thousand_updates(name: str) -> None:
    row = race(name, 10, 1000)
    print(name, row)
    assert row["kl"] < 0.055  # 0.05 on fewer points


@pytest.mark.slow
@pytest.mark.parametrize("name", ["energy discrepancy", "pseudo-likelihood", "ratio matching"])
def test_binary_digits_are_learned_without_chains(name: str) -> None:
    row = binary(name, 10)
    print(name, row)
    assert row["mmd2"] < 0.01
