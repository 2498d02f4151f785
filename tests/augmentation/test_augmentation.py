"""Augmentation: a function of key and purpose, other parameters for each image, never out of the domain."""

import math
from typing import Any

import pytest
import torch

from ebm_exp.augmentation import Identity, Images
from ebm_exp.config.errors import UserError
from ebm_exp.config.validate import validate
from ebm_exp.dataset.domain import Domain
from ebm_exp.random import Rows, generator, take_rows
from ebm_exp.ranks import Ranks

OFF: dict[str, Any] = {"crop_scale": None, "flip_probability": 0.0, "jitter": None, "grey_probability": 0.0}
BLUR: dict[str, Any] = {"blur_kernel": 5, "blur_probability": 0.5}


def images(n: int, channels: int = 3, height: int = 16, width: int = 12) -> torch.Tensor:
    return torch.rand(n, channels, height, width, generator=generator("cpu", "images"))


def domain(x: torch.Tensor, low: float = 0.0, high: float = 1.0) -> Domain:
    return Domain(low, high, tuple(x.shape[1:]))


def test_key_and_purpose_name_the_parameters() -> None:
    x = images(8)
    augment = Images(domain(x), **BLUR)
    a = augment(x, generator("cpu", "step", 3), "chain")
    used = generator("cpu", "step", 3)
    torch.rand(10, generator=used)  # what else was drawn does not matter
    assert torch.equal(a, augment(x, used, "chain"))
    assert not torch.equal(a, augment(x, generator("cpu", "step", 3), "bank"))
    assert not torch.equal(a, augment(x, generator("cpu", "step", 4), "chain"))


def test_generators_and_points_are_left_alone() -> None:
    x, g = images(8), generator("cpu", 0)
    before = x.clone(), torch.get_rng_state(), g.get_state()
    Images(domain(x), **BLUR)(x, g, "chain")
    assert torch.equal(x, before[0])
    assert torch.equal(torch.get_rng_state(), before[1])
    assert torch.equal(g.get_state(), before[2])


@pytest.mark.parametrize(
    "only",
    [
        {"crop_scale": (0.08, 1.0)},
        {"jitter": (0.8, 0.8, 0.8, 0.4), "jitter_probability": 1.0},
        {"blur_kernel": 5, "blur_probability": 1.0},
    ],
)
def test_the_same_image_comes_out_differently(only: dict[str, Any]) -> None:
    x = images(1).expand(16, -1, -1, -1)
    y = Images(domain(x), **(OFF | only))(x, generator("cpu", 0), "chain")
    assert len(y.flatten(1).unique(dim=0)) == 16


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0)])
def test_shape_dtype_and_domain_are_kept(low: float, high: float, dtype: torch.dtype, channels: int) -> None:
    x = (low + (high - low) * images(64, channels)).to(dtype)
    y = Images(domain(x, low, high), **BLUR)(x, generator("cpu", 0), "chain")
    assert (y.shape, y.dtype, y.device) == (x.shape, x.dtype, x.device)
    assert low <= y.min() < y.max() <= high
    assert not y.is_inference()  # a chain differentiates in it


def test_domains_differ_by_an_affine_map_alone() -> None:
    x = images(64)
    unit = Images(domain(x), **BLUR)(x, generator("cpu", 0), "chain")
    symmetric = Images(domain(x, -1, 1), **BLUR)(2 * x - 1, generator("cpu", 0), "chain")
    torch.testing.assert_close(symmetric, 2 * unit - 1, rtol=0, atol=1e-5)


def test_half_of_the_images_are_mirrored() -> None:
    x = images(4000, 1, 4, 4)
    y = Images(domain(x), **(OFF | {"flip_probability": 0.5}))(x, generator("cpu", 0), "chain")
    mirrored = (y == x.flip(-1)).flatten(1).all(1)
    assert ((y == x).flatten(1).all(1) ^ mirrored).all()
    assert abs(int(mirrored.sum()) - 2000) < 5 * math.sqrt(4000 / 4)


def test_share_of_grey_images() -> None:
    x = images(3000, 3, 4, 4)
    y = Images(domain(x), **(OFF | {"grey_probability": 0.2}))(x, generator("cpu", 0), "chain")
    grey = (y == y[:, :1]).flatten(1).all(1)
    assert torch.equal(y[~grey], x[~grey])
    assert abs(int(grey.sum()) - 600) < 5 * math.sqrt(3000 * 0.2 * 0.8)


def test_crops_keep_the_share_of_the_area_asked_for() -> None:
    """A ramp of slope 1 per pixel, cropped to the width w of 64 and resized, has slope w/64; scale is the square."""
    ramp = torch.arange(64.0).expand(1500, 1, 64, 64) / 64
    y = Images(domain(ramp), **(OFF | {"crop_scale": (0.25, 0.81), "crop_ratio": (1.0, 1.0)}))(
        ramp, generator("cpu", 0), "chain"
    )
    share = ((y[:, 0, 32, 40] - y[:, 0, 32, 24]) * 64 / 16).square()  # inner pixels: no edge of the crop nearby
    rounding = 1 / 64  # sides are whole pixels: half a pixel of 64 in the side, twice that in the area
    assert share.min() > 0.25 - rounding
    assert share.max() < 0.81 + rounding
    error = (0.81 - 0.25) / math.sqrt(12 * len(share))
    assert abs(float(share.mean()) - (0.25 + 0.81) / 2) < 5 * error + 1e-3


def test_the_whole_image_as_crop_is_the_image() -> None:
    x = images(8, height=16, width=16)
    whole = OFF | {"crop_scale": (1.0, 1.0), "crop_ratio": (1.0, 1.0)}
    assert torch.equal(Images(domain(x), **whole)(x, generator("cpu", 0), "chain"), x)


def test_nothing_on_is_the_image() -> None:
    x = images(8)
    assert torch.equal(Images(domain(x), **OFF)(x, generator("cpu", 0), "chain"), x)


def test_identity_returns_the_points() -> None:
    x = torch.zeros(5, 2)
    assert Identity()(x, generator("cpu", 0), "chain") is x


def test_one_channel_changes_in_brightness_and_contrast_alone() -> None:
    """Both are affine in a pixel as long as no value reaches a wall."""
    x = 0.45 + 0.1 * images(16, 1)
    jitter = OFF | {"jitter": (0.3, 0.3, 5.0, 0.5), "jitter_probability": 1.0, "grey_probability": 1.0}
    y = Images(domain(x), **jitter)(x, generator("cpu", 0), "chain")
    assert not torch.equal(x, y)
    together = torch.corrcoef(torch.cat([x, y]).flatten(1))
    torch.testing.assert_close(together[:16, 16:].diagonal(), torch.ones(16), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "keys", "message"),
    [
        ((2,), {}, r"needs images \[channels, height, width\], got points of shape \[2\]"),
        ((3, 8, 8), {"crop_scale": (0.0, 1.0)}, r"crop_scale must be .*, 0 < least ≤ greatest, got \[0.0, 1.0\]"),
        ((3, 8, 8), {"crop_scale": (0.9, 0.5)}, "crop_scale must be"),
        ((3, 8, 8), {"crop_ratio": (2.0, 1.0)}, "crop_ratio must be"),
        ((3, 8, 8), {"blur_sigma": (2.0, 1.0)}, "blur_sigma must be"),
        ((3, 8, 8), {"blur_kernel": 4}, "blur_kernel must be odd and at most the image's side 8, got 4"),
        ((3, 8, 20), {"blur_kernel": 9}, "blur_kernel must be odd and at most the image's side 8, got 9"),
        ((4, 8, 8), {}, "jitter and grey_probability need images of 1 or 3 channels, got 4"),
    ],
)
def test_values_that_do_not_fit(shape: tuple[int, ...], keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        Images(Domain(0, 1, shape), **keys)
    assert len(str(error.value).splitlines()) == 1


def test_ranges_are_checked_before_building() -> None:
    node = {"_target_": "ebm_exp.augmentation.Images", "jitter": [0.8, 0.8, 0.8, 0.6]}
    with pytest.raises(UserError, match=r"^augmentation.jitter\[3\]: must be ≤ 0.5"):
        validate({"name": "x", "seed": 0, "device": "cpu", "optimized_metric": None, "augmentation": node})


@pytest.mark.parametrize("parts", [1, 2])
def test_ranks_augment_their_rows_of_one_batch(parts: int) -> None:
    """To the last bit: 35 pixels fill no vector register, so each rank computes its images in other lanes."""
    x = images(12, height=5, width=7)
    augment = Images(domain(x), **BLUR)
    whole = augment(x, generator("cpu", 0), "data")
    assert not torch.equal(whole, x)
    for n in (2, 3):
        for rank in range(n):
            source = Rows(generator("cpu", 0), Ranks(rank, n), parts)
            assert torch.equal(augment(take_rows(x, source), source, "data"), take_rows(whole, source))


def test_images_do_not_depend_on_how_many_fit_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    x = images(12, height=5, width=7)
    augment = Images(domain(x), **BLUR)
    whole = augment(x, generator("cpu", 0), "data")
    for size in (1, 5 * x[0].numel()):
        monkeypatch.setattr("ebm_exp.augmentation.images._IN_CACHE", size)
        assert torch.equal(augment(x, generator("cpu", 0), "data"), whole)


@pytest.mark.gpu
def test_on_cuda_nothing_waits_for_the_device() -> None:
    x = images(12).cuda()
    augment, g = Images(domain(x), **BLUR), generator("cuda", 0)
    global_state = torch.cuda.get_rng_state()
    warm = augment(x, g, "chain")
    torch.cuda.set_sync_debug_mode("error")
    try:
        again = augment(x, g, "chain")
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(warm, again)
    assert torch.equal(torch.cuda.get_rng_state(), global_state)
    for n in (2, 3):
        sources = [Rows(g, Ranks(rank, n)) for rank in range(n)]
        assert torch.equal(torch.cat([augment(take_rows(x, each), each, "chain") for each in sources]), warm)
