"""Images."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ebm_exp.dataset import Domain, GrayCode, TwoMoons
from ebm_exp.dataset.units import Levels
from ebm_exp.plane import density_panels, scatter
from ebm_exp.plots import chain_gif, energy_histogram, energy_trace, mosaic, pixels, sample_grid, sample_panels

BOX = Domain(-1, 1, (1, 8, 8))
GREY = Levels(BOX)


def test_mosaic_shows_the_values() -> None:
    x = torch.stack([torch.full((1, 8, 8), v) for v in (-1.0, 0.0, 1.0, 5.0)])
    image = mosaic(x, BOX)
    assert image.shape[2] == 3
    assert image.shape[0] == image.shape[1] == 2 * 240 + 3 * 2  # 30 pixels for one, thin lines between
    assert [int(image[h, w, 0]) for h, w in ((9, 9), (9, 400), (400, 9), (400, 400))] == [0, 128, 255, 255]
    colour = mosaic(torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1).expand(1, 3, 8, 8), Domain(-1, 1, (3, 8, 8)))
    assert colour[10, 10].tolist() == [255, 0, 0]


def test_every_image_is_a_file(tmp_path: Path) -> None:
    x = BOX.uniform(70, torch.Generator())
    sample_panels(tmp_path / "panels.png", {"data": x, "fresh": x[:5]}, GREY)
    sample_grid(tmp_path / "grid.png", x, GREY)
    energy_histogram(tmp_path / "energy.png", {"data": torch.randn(50), "negatives": torch.randn(50) + 1}, "step 1")
    moons = TwoMoons("two_moons", torch.device("cpu"), 0, half_width=2.5, n_train=500, n_test=10)
    density_panels(tmp_path / "density.png", lambda p: -moons.log_prob(p), moons, moons.train(100), 1.0)
    sample_grid(tmp_path / "points.png", moons.train(100), moons.units)
    energy_trace(tmp_path / "trace.png", torch.randn(1, 4))  # a chain of one step
    chain_gif(tmp_path / "chain.gif", torch.stack([x, -x, x]), GREY)
    chain_gif(tmp_path / "points.gif", torch.stack([moons.train(9), moons.train(9) / 2]), moons.units)
    for name in ("panels", "grid", "energy", "density", "points", "trace"):
        image = np.asarray(Image.open(tmp_path / f"{name}.png").convert("L"))
        assert min(image.shape) > 200
        assert image.std() > 5
    assert Image.open(tmp_path / "chain.gif").n_frames == 3
    assert Image.open(tmp_path / "points.gif").n_frames == 2
    ramp = torch.linspace(-1, 1, 100).view(100, 1, 1, 1, 1).expand(100, 1, 1, 8, 8)
    chain_gif(tmp_path / "long.gif", ramp, GREY)
    long = Image.open(tmp_path / "long.gif")
    assert long.n_frames == 60
    assert long.convert("L").getpixel((90, 90)) == 0
    long.seek(59)
    assert long.convert("L").getpixel((90, 90)) == 255


def test_bits_are_drawn_as_the_points_that_they_stand_for(tmp_path: Path) -> None:
    data = GrayCode("gray_code", torch.device("cpu"), 0, "checkerboard", n_train=900, n_test=10)
    bits, units = data.train(), data.units
    sample_panels(tmp_path / "panels.png", {"data": bits, "fresh": bits[:100]}, units)
    sample_grid(tmp_path / "grid.png", bits, units)
    chain_gif(tmp_path / "chain.gif", torch.stack([bits[:50], 1 - bits[:50]]), units)
    assert Image.open(tmp_path / "panels.png").width > 900
    assert (np.asarray(scatter(bits, units)) == np.asarray(scatter(data.plane.train(), data.plane.units))).mean() > 0.99
    assert (pixels(bits, units, 400) == np.asarray(scatter(bits[:1000], units))).all()


def test_panels_share_one_scale_and_show_at_most_64(tmp_path: Path) -> None:
    x = BOX.uniform(200, torch.Generator())
    assert mosaic(x, BOX).shape == mosaic(x[:64], BOX).shape
    assert mosaic(x[:9], BOX, n_columns=8).shape[1] == mosaic(x, BOX).shape[1]
    sample_panels(tmp_path / "many.png", {"a": x, "b": x[:9]}, GREY)
    sample_panels(tmp_path / "few.png", {"a": x[:64], "b": x[:9]}, GREY)
    assert (tmp_path / "many.png").read_bytes() == (tmp_path / "few.png").read_bytes()
    some = {"data": torch.tensor([1.0, float("nan")]), "negatives": torch.tensor([2.0, 3.0])}
    energy_histogram(tmp_path / "energy.png", some, "x")
    assert (tmp_path / "energy.png").stat().st_size > 1000
