"""Points of the plane in Gray code: what is coded is decoded, and its distribution is that of the plane."""

import math

import numpy as np
import pytest
import torch

from ebm_exp.config.validate import validate
from ebm_exp.dataset import GrayCode
from ebm_exp.dataset.domain import Domain
from ebm_exp.dataset.gray_units import GrayUnits
from ebm_exp.dataset.units import read_units
from ebm_exp.random import Stream
from ebm_exp.trainer.build import build
from tests.config.test_conf import composed

CPU = torch.device("cpu")
UNITS = GrayUnits(Domain(0, 1, (6,)), 4.0)  # eight cells of side 1
SETS = ("two_moons", "two_spirals", "swiss_roll", "eight_gaussians", "checkerboard", "pinwheel", "rings")
PUBLISHED = {"two_spirals": 20.040, "eight_gaussians": 19.985, "checkerboard": 20.677}


def made(plane: str, **more) -> GrayCode:
    return GrayCode("gray_code", CPU, 0, plane, n_train=800, n_test=400, **more)


def test_neighbours_differ_in_one_bit() -> None:
    middles = np.arange(8) - 3.5
    codes = UNITS.encode(np.stack([middles, middles[::-1]], 1))
    assert (codes[:, :3].diff(dim=0).abs().sum(1) == 1).all()
    assert len({tuple(code) for code in codes.tolist()}) == 8
    assert codes[:, 0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]  # the first bit halves the square
    assert (UNITS.decode(codes) == np.stack([middles, middles[::-1]], 1)).all()


def test_a_point_is_decoded_to_the_middle_of_its_cell() -> None:
    points = np.array([[-4.0, 4.0], [0.0, -0.001], [1.999, 2.0]])
    assert UNITS.decode(UNITS.encode(points)).tolist() == [[-3.5, 3.5], [0.5, -0.5], [1.5, 2.5]]
    again = read_units(UNITS.facts(), UNITS.domain)
    assert (again.decode(UNITS.encode(points)) == UNITS.decode(UNITS.encode(points))).all()
    gaps = UNITS.encode(np.array([[math.nan, 0.5]]), missing=True)
    assert gaps.isnan().tolist() == [[True] * 3 + [False] * 3]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (np.zeros((2, 6)), r"numbers of the plane \[n, 2\], got float64 \[2, 6\]"),
        (np.array([["a", "b"]]), "numbers of the plane"),
        (np.array([[0.0, math.nan]]), "finite"),
        (np.array([[0.0, 4.1]]), r"in the square \[-4, 4\]²"),
    ],
)
def test_what_are_no_points_of_the_square_is_refused(raw: np.ndarray, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        UNITS.encode(raw)


@pytest.mark.parametrize("plane", SETS)
def test_bits_are_of_the_points_and_of_their_distribution(plane: str) -> None:
    """The mean of log P over points is minus the entropy: that of the density, in cells."""
    data = made(plane)
    assert data.binary
    assert data.batch(0, 64, 0).x.unique().tolist() == [0.0, 1.0]
    decoded = torch.from_numpy(data.units.decode(data.test()))
    cell = 2 * data.units.plane.high / 2**16
    assert float((decoded - data.plane.test()).abs().max()) < 0.51 * cell
    log_p = data.log_prob(data.test())
    assert log_p.isfinite().all()
    density = data.plane.log_prob(data.plane.test().double()).mean() + 2 * math.log(cell)
    assert float(log_p.mean()) == pytest.approx(float(density), abs=4e-3)  # of the board, some points are in cut cells
    assert data.units.log_scale(data.test(3)).tolist() == pytest.approx([-2 * math.log(cell)] * 3)


def test_probabilities_sum_to_one() -> None:
    """Over all cells; those at the edges of the board hold a third or two of a square's mass."""
    data = made("checkerboard", n_bits=7)
    every = torch.cartesian_prod(*[torch.arange(128)] * 2)
    centres = (every + 0.5) * (12 / 128) - 6
    assert float(data.log_prob(data.units.encode(centres.numpy())).exp().sum()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("plane", "objective"),
    [*((plane, "energy_discrepancy_binary") for plane in SETS if plane not in PUBLISHED), ("rings", "pcd")],
)
def test_a_recipe_takes_every_set(plane: str, objective: str) -> None:
    small = ("dataset.n_train=300", "dataset.n_test=50", "energy.widths=[8]", "buffer.size=300", "device=cpu")
    config = composed("experiment=discrete/two_spirals", f"dataset.plane={plane}", f"objective={objective}", *small)
    validate(config)
    _, experiment = build(config)
    loss = experiment.objective(experiment.energy, experiment.batch(0), 0, Stream(0).at_step(CPU, 0))
    assert loss.total().isfinite()
    assert (config["sampler"]["n_steps"], config["dataset"]["suggest"]["flip_probability"]) == (5, 0.1)


def test_published_entropies() -> None:
    """Of the sets of the tables by their own generator, estimated from 40,000 points: ± .005, and log 32/cell²."""
    for plane, entropy in PUBLISHED.items():
        data = made(plane)
        log_p = data.log_prob(data.test())
        assert abs(-float(log_p.mean()) - entropy) < 4 * float(log_p.std()) / 20 + 0.005
