"""Data in units of their own: what is encoded is decoded as it was."""

import numpy as np
import pytest
import torch

from ebm_exp.dataset import Digits
from ebm_exp.dataset.domain import Domain
from ebm_exp.dataset.units import Levels, Points, read_units

GREY, COLOUR = Domain(-1.0, 1.0, (1, 4, 5)), Domain(0.0, 1.0, (3, 4, 5))


@pytest.mark.parametrize("dequantized", [False, True])
@pytest.mark.parametrize("domain", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize("n_levels", [2, 17, 256])
def test_every_level_comes_back(domain: Domain, n_levels: int, dequantized: bool) -> None:
    units = Levels(domain, n_levels, dequantized)
    channels = domain.event_shape[0]
    levels = np.resize(np.arange(n_levels, dtype=np.uint8), (30, 4, 5, channels))
    raw = levels[..., 0] if channels == 1 else levels
    x = units.encode(raw)
    assert tuple(x.shape[1:]) == domain.event_shape
    assert domain.low <= float(x.min()) <= float(x.max()) <= domain.high
    assert (units.decode(x) == raw).all()
    assert (units.encode(raw.astype(float)) == x).all()
    assert (units.encode(torch.from_numpy(raw)) == x).all()
    again = read_units(units.facts(), domain)
    assert (again.decode(x) == raw).all()


def test_channels_first_are_taken_too() -> None:
    units = Levels(COLOUR)
    raw = np.random.default_rng(0).integers(0, 256, (6, 4, 5, 3), dtype=np.uint8)
    assert (units.encode(raw.transpose(0, 3, 1, 2)) == units.encode(raw)).all()


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (np.zeros((2, 5, 5), np.uint8), r"shape \[n, 1, 4, 5\], got \[2, 1, 5, 5\]"),
        (np.full((2, 4, 5), 17), "whole levels from 0 to 16, got int64 from 17 to 17"),
        (np.full((2, 4, 5), 0.5), "whole levels from 0 to 16, got float64"),
    ],
)
def test_what_are_no_levels_is_refused(raw: np.ndarray, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Levels(GREY, 17).encode(raw)


def test_points_are_numbers() -> None:
    units = Points(Domain(-2.0, 2.0, (2,)))
    raw = np.array([[0.5, -1.0]])
    assert (units.decode(units.encode(raw)) == raw).all()
    for wrong, text in ((raw.astype(str), "numbers"), (raw[:, :1], r"\[n, 2\]"), (raw * np.nan, "finite")):
        with pytest.raises(ValueError, match=text):
            units.encode(wrong)
    assert units.encode(raw * np.nan, missing=True).isnan().all()


def test_a_data_set_has_units_and_classes() -> None:
    data = Digits(name="digits", device=torch.device("cpu"))
    assert isinstance(data.units, Levels)
    assert data.class_names == [str(k) for k in range(10)]
    assert torch.equal(data.units.encode(data.units.decode(data.train())), data.train())
    assert data.facts()["units"] == {"kind": "levels", "n_levels": 17, "dequantized": False}
