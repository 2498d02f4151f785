"""Images of an array: layouts, levels, classes and splits of .npy and .npz files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ebm_exp.dataset import ImageArray

LEVELS = np.random.default_rng(0).integers(0, 256, (20, 6, 5, 3), dtype=np.uint8)
LEVELS[0, 0, 0, 0] = 255


def read(folder: Path, options: dict[str, Any] | None = None, **arrays: np.ndarray) -> ImageArray:
    """The data set of one array ``x``, or of several."""
    file = folder / ("x.npy" if set(arrays) == {"x"} else "x.npz")
    np.save(file, arrays["x"]) if file.suffix == ".npy" else np.savez(file, **arrays)
    return ImageArray("image_array", torch.device("cpu"), str(file), **(options or {}))


@pytest.mark.parametrize(
    ("x", "n_levels"),
    [
        (LEVELS, 256),
        (LEVELS.transpose(0, 3, 1, 2), 256),
        (LEVELS[..., 0], 256),
        (LEVELS.astype(np.int64), 256),
        (LEVELS.astype(np.float64), 256),
        (LEVELS / 255, 256),
        (LEVELS.astype(np.float32) / 127.5 - 1, 256),
        (LEVELS // 16, 16),
        (LEVELS // 16 * 1.0, 16),
        (LEVELS > 99, 2),
        ((LEVELS > 99) * 1.0, 2),
    ],
)
def test_images_come_back_as_their_levels(tmp_path: Path, x: np.ndarray, n_levels: int) -> None:
    data = read(tmp_path, {"test_share": 0.0}, x=x)
    assert data.n_levels == n_levels
    levels = LEVELS if n_levels == 256 else LEVELS // 16 if n_levels == 16 else LEVELS > 99
    levels = levels if x.ndim == 4 else levels[..., 0]
    assert data.event_shape == ((3, 6, 5) if x.ndim == 4 else (1, 6, 5))
    assert data.train().min() == -1
    assert data.train().max() == 1
    np.testing.assert_array_equal(data.units.decode(data.train()), levels)
    torch.testing.assert_close(data.units.encode(levels.astype(np.uint8)), data.train())


def test_the_range_of_the_file_is_a_key(tmp_path: Path) -> None:
    dark = LEVELS // 16
    assert read(tmp_path, {"file_range": (0, 255)}, x=dark).n_levels == 256
    shifted = read(tmp_path, {"file_range": (-5.0, 10.0), "test_share": 0.0}, x=dark.astype(np.int8) - 5)
    np.testing.assert_array_equal(shifted.units.decode(shifted.train()), dark)
    wide = read(tmp_path, {"file_range": (0.0, 65535.0), "test_share": 0.0}, x=LEVELS.astype(np.uint16) * 257)
    np.testing.assert_array_equal(wide.units.decode(wide.train()), LEVELS)


def test_classes_and_held_out_images(tmp_path: Path) -> None:
    names = np.array(["cat", "dog"] * 10)
    data = read(tmp_path, {"test_share": 0.2}, x=LEVELS, y=names)
    assert (data.n_train, data.n_test, data.class_names) == (16, 4, ["cat", "dog"])
    assert torch.bincount(data.test_labels).tolist() == [2, 2]
    medmnist = {"train_images": LEVELS[..., 0], "train_labels": np.arange(20)[:, None] % 3}
    medmnist |= {"test_images": LEVELS[:6, ..., 0], "test_labels": np.arange(6)[:, None] % 3}
    data = read(tmp_path, {"classes": (2, 0), "n_test": 3}, **medmnist)
    assert (data.n_train, data.n_test, data.class_names) == (13, 3, ["2", "0"])
    assert read(tmp_path, x=LEVELS, y=np.arange(20.0) % 2).class_names == ["0", "1"]


@pytest.mark.parametrize(
    ("arrays", "options", "said"),
    [
        ({"x": np.zeros((4, 3))}, {}, r"must hold images .*, got float64 \[4, 3\]; rows of a table are dataset=table"),
        ({"x": np.zeros((4, 3, 5, 3)) + 0.5}, {}, r"channels_at: must be first or last, images \[4, 3, 5, 3\] can"),
        ({"x": LEVELS.repeat(2, 3)[..., :4]}, {}, r"images have 1 or 3 channels, first or last, got \[20, 6, 5, 4\]"),
        ({"x": LEVELS}, {"channels_at": "first"}, "images have 1 or 3 channels"),
        ({"x": LEVELS * 2.5}, {}, r"file_range: is needed for values from 0 to 637.5"),
        ({"x": LEVELS * np.nan}, {}, "images must be finite"),
        ({"x": LEVELS}, {"file_range": (0.0, 99.0)}, "images must be from 0 to 99, got values from 0 to 255"),
        ({"x": LEVELS}, {"file_range": (9.0, 0.0)}, r"file_range: black must be below white, got \[9, 0\]"),
        ({"x": LEVELS, "y": np.zeros(3)}, {}, r"labels must be \[20\]"),
        ({"x": LEVELS, "y": np.full(20, 0.5)}, {}, "labels must be whole numbers or text"),
        ({"a": LEVELS, "b": LEVELS}, {}, "it holds a, b, and images are called x or images"),
        ({"x": LEVELS, "x_test": LEVELS[:, :5]}, {}, r"test images must be \[3, 6, 5\], got \[3, 5, 5\]"),
        ({"x": LEVELS, "y": LEVELS[:, 0, 0, 0], "x_test": LEVELS}, {}, "none of the test images"),
    ],
)
def test_what_is_no_images_is_named(tmp_path: Path, arrays: dict, options: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read(tmp_path, options, **arrays)


def test_files_that_are_none(tmp_path: Path) -> None:
    def refused(name: str, content: bytes | None) -> str:
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=r"^path: ") as error:
            ImageArray("image_array", torch.device("cpu"), str(tmp_path / name))
        return str(error.value)

    assert "is not there" in refused("absent.npy", None)
    assert "must end in .npy or .npz" in refused("x.png", b"")
    for name in ("x.npy", "x.npz"):
        assert "cannot be read" in refused(name, b"\x93NUMPYnonsense")
    (tmp_path / "folder.npy").mkdir()
    assert "is a folder" in refused("folder.npy", None)
    np.save(tmp_path / "objects.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    assert "cannot be read" in refused("objects.npy", None)
