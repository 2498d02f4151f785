"""Images in an array: what a notebook holds, kept in a file of numpy's."""

import logging
import math
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Unpack

import numpy as np
import torch
from torch import Tensor

from ebm_exp import memory
from ebm_exp.dataset.base import Dataset
from ebm_exp.dataset.domain import Domain
from ebm_exp.dataset.files import given_file, shown
from ebm_exp.dataset.options import ImageOptions
from ebm_exp.dataset.subset import choose_classes, split_within_classes, subset
from ebm_exp.types import Name, NonNegative, PositiveInt, Probability, Provided

_LOG = logging.getLogger(__name__)
_NAMES = {  # of arrays in an .npz, by what they are; the first that is there
    "images": ("x", "X", "images", "x_train", "train_images"),
    "labels": ("y", "labels", "target", "y_train", "train_labels"),
    "test images": ("x_test", "test_images"),
    "test labels": ("y_test", "test_labels"),
}
_FEW = 128  # levels: a brightest one below says that there are no 256
_CHANNELS = (1, 3)
Layout = Literal["first", "last"]


class ImageArray(Dataset):
    """Images ``[n, H, W]``, ``[n, H, W, C]`` or ``[n, C, H, W]`` of an .npy file, with labels of an .npz file.

    They are kept as grey levels of eight bits. Whole numbers are levels: of 256 where the brightest is 128 or more,
    else there are no others than 0 … the brightest (scikit-learn's digits have 17). Floats in [0, 1], or in [−1, 1],
    become the nearest of 256.

    Args:
        name: the run directory's name.
        device: where batches are needed.
        path: of the file. In an .npz ``x`` or ``images`` are the images, ``y`` or ``labels`` their classes, numbers or
            text; ``x_test`` and ``y_test``, or ``test_images`` and ``test_labels``, are held out if they are there.
        file_range: what black and white are in the file, e.g. [0, 255]; null: as said above.
        channels_at: ``first`` or ``last``; null: where there are 1 or 3 of them.
        test_share: held out when the file has no test images, of each class, by a split that is the same for every
            seed; where none is held out the training images stand in.
        value_range: what black and white become.
        noise_std: data noise, in units of the value range.
        classes: only these, by name or number.
        n_train, n_test: only so many images.
        options: see ``ImageOptions``.

    Raises:
        ValueError: when the file is not there or holds no images, naming their shape, type or range.
    """

    def __init__(
        self,
        name: str,
        device: Provided[torch.device],
        path: str,
        file_range: tuple[float, float] | None = None,
        channels_at: Layout | None = None,
        test_share: Probability = 0.1,
        value_range: tuple[float, float] = (-1.0, 1.0),
        noise_std: NonNegative = 0.0,
        classes: tuple[Name, ...] | None = None,
        n_train: PositiveInt | None = None,
        n_test: PositiveInt | None = None,
        **options: Unpack[ImageOptions],
    ) -> None:
        file = given_file("path", path)
        arrays = _read(file)
        x = _images_first(arrays["images"], channels_at)
        black, white = file_range or _find_range(x)
        levels, n_levels = _levels(x, black, white)
        others = arrays.get("test images")
        n_first = len(levels)
        if others is not None:
            others = _images_first(others, channels_at)
            if others.shape[1:] != x.shape[1:]:
                raise ValueError(f"path: test images must be {list(x.shape[1:])}, got {list(others.shape[1:])}")
            levels = torch.cat([levels, _levels(others, black, white)[0]])
        y, names = _classes(arrays, n_first, len(levels))
        train_at, test_at = torch.arange(n_first), torch.arange(n_first, len(levels))
        if others is None and test_share:
            train_at, test_at = split_within_classes(y, n_first, test_share, "image_array")
        chosen = choose_classes(classes, names)
        class_names = names if chosen is None else [names[k] for k in chosen]
        if n_test is not None and not len(test_at):
            raise ValueError(f"n_test: nothing is held out (test_share={test_share:g}, {n_first} images), got {n_test}")
        train = subset(levels[train_at], None if y is None else y[train_at], chosen, n_train, "train")
        test = train
        if len(test_at):
            test = subset(levels[test_at], None if y is None else y[test_at], chosen, n_test, "test")
        kind = "levels" if _is_whole(x) else "levels, the nearest,"
        _LOG.info("%s: %s %s from %g (black) to %g (white)", shown(file), n_levels, kind, black, white)
        super().__init__(
            name=name,
            domain=Domain(value_range[0], value_range[1], tuple(levels.shape[1:])),
            train=train[0],
            test=test[0],
            train_labels=train[1],
            test_labels=test[1],
            n_levels=n_levels,
            n_classes=len(class_names),
            class_names=class_names,
            noise_std=noise_std,
            device=device,
            **options,
        )


def _read(file: Path) -> dict[str, np.ndarray]:
    """The arrays of a file by what they are.

    Raises:
        ValueError: when it is none of numpy's, is damaged, or holds no images.
    """
    if file.suffix not in (".npy", ".npz"):
        raise ValueError(f"path: must end in .npy or .npz, got {shown(file)}")
    try:
        if file.suffix == ".npy":
            return {"images": np.load(file, allow_pickle=False)}
        with zipfile.ZipFile(file) as packed:
            memory.refuse("path", sum(each.file_size for each in packed.infolist()))
        with np.load(file, allow_pickle=False) as opened:
            held = {what: next((n for n in names if n in opened.files), None) for what, names in _NAMES.items()}
            if held["images"] is None:
                raise ValueError(f"it holds {', '.join(opened.files) or 'nothing'}, and images are called x or images")
            return {what: opened[name] for what, name in held.items() if name is not None}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"path: {shown(file)} cannot be read ({str(error).splitlines()[0]})") from None


def _images_first(x: np.ndarray, channels_at: Layout | None) -> np.ndarray:
    """Images as ``[n, C, H, W]``."""
    if x.dtype.kind not in "iufb" or x.ndim not in (3, 4) or 0 in x.shape:
        rows = "; rows of a table are dataset=table" if x.ndim in (1, 2) else ""
        raise ValueError(
            f"path: must hold images [n, H, W], [n, H, W, C] or [n, C, H, W], got {x.dtype} {list(x.shape)}{rows}"
        )
    if x.ndim == 3:
        return x[:, None]
    places: dict[Layout, int] = {"first": x.shape[1], "last": x.shape[3]}
    found = [place for place, n in places.items() if n in _CHANNELS and channels_at in (place, None)]
    if not found:
        raise ValueError(f"path: images have 1 or 3 channels, first or last, got {list(x.shape)} (no transparency)")
    if len(found) > 1:
        raise ValueError(f"channels_at: must be first or last, images {list(x.shape)} can be read in both ways")
    return x if found == ["first"] else x.transpose(0, 3, 1, 2)


def _find_range(x: np.ndarray) -> tuple[float, float]:
    """What black and white are."""
    low, high = float(x.min()), float(x.max())
    whole = _is_whole(x)
    if not math.isfinite(low + high):
        raise ValueError("path: images must be finite, some hold NaN or infinite values")
    if whole and low >= 0 and 0 < high <= 255:
        return 0.0, 255.0 if high >= _FEW else high
    if not whole and low >= -1 and high <= 1:
        return (0.0 if low >= 0 else -1.0), 1.0
    raise ValueError(
        f"file_range: is needed for values from {low:g} to {high:g}: what black and white are, e.g. "
        f"dataset.file_range=[{low:g},{high:g}]"
    )


def _is_whole(x: np.ndarray) -> bool:
    return x.dtype.kind in "iub" or bool((x == np.floor(x)).all())


def _levels(x: np.ndarray, black: float, white: float) -> tuple[Tensor, int]:
    """Levels ``[n, C, H, W]``, uint8, and how many there are.

    Raises:
        ValueError: for values outside of the range, and for NaN.
    """
    if not black < white:
        raise ValueError(f"file_range: black must be below white, got [{black:g}, {white:g}]")
    low, high = float(x.min()), float(x.max())
    if not black <= low <= high <= white:
        raise ValueError(f"path: images must be from {black:g} to {white:g}, got values from {low:g} to {high:g}")
    if _is_whole(x) and white - black <= 255 and float(black).is_integer() and float(white).is_integer():
        steps = x.astype(np.int16) - int(black) if black else x
        return torch.from_numpy(np.ascontiguousarray(steps, dtype=np.uint8)), int(white - black) + 1
    nearest = np.rint((x.astype(np.float32) - black) * (255 / (white - black)))
    return torch.from_numpy(np.ascontiguousarray(nearest, dtype=np.uint8)), 256


def _classes(arrays: Mapping[str, np.ndarray], n_train: int, n: int) -> tuple[Tensor | None, list[str]]:
    """Labels ``[n]`` of all images, and the names of the classes in the order of their names or numbers."""
    if "labels" not in arrays:
        return None, []
    parts = [_labels("labels", arrays["labels"], n_train)]
    if n > n_train:
        if "test labels" not in arrays:
            raise ValueError("path: has labels of the training images, and none of the test images")
        parts.append(_labels("test labels", arrays["test labels"], n - n_train))
    values, places = np.unique(np.concatenate(parts), return_inverse=True)
    names: Sequence[str] = [str(value) for value in values]
    if set(np.unique(parts[0])) < set(values):
        raise ValueError("path: the test images have classes that the training images have not")
    return torch.from_numpy(places.astype(np.int64)), list(names)


def _labels(what: str, y: np.ndarray, n: int) -> np.ndarray:
    flat = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if flat.shape != (n,):
        raise ValueError(f"path: {what} must be [{n}], one for each image, got {list(y.shape)}")
    if flat.dtype.kind == "f" and _is_whole(flat):
        return flat.astype(np.int64)
    if flat.dtype.kind not in "iubUS":
        raise ValueError(f"path: {what} must be whole numbers or text, got {y.dtype}")
    return flat
