"""Any folder of images."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Unpack

import torch
from torch import Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.dataset.decode import Background, Channels, decoded
from ebm_exp.dataset.domain import Domain
from ebm_exp.dataset.files import EXTENSIONS, children, given_path, images_below, images_of, others_below, shown
from ebm_exp.dataset.options import ImageOptions
from ebm_exp.dataset.subset import choose_classes, split_within_classes, subset
from ebm_exp.text import listed
from ebm_exp.types import Name, NonNegative, PositiveInt, Probability, Provided

_LOG = logging.getLogger(__name__)
_TRAIN = ("train", "training")
_HELD_OUT = ("test", "testing", "val", "valid", "validation")  # the first that is there
_TOLD = 8  # endings of files that are left out


class ImageFolder(Dataset):
    """Images in ``<root>/train/<class>/`` and ``<root>/test/<class>/``, in ``<root>/<class>/``, or flat.

    The held-out folder may be called test, val, valid or validation too; of several, test is held out, and what is in
    the others is not used. A train folder alone is split by ``test_share``. Without class folders there are no labels.
    Links are followed. Names that begin with a dot, ``__MACOSX`` and files that do not end like an image are no data.

    Args:
        name: the run directory's name.
        device: where batches are needed.
        root: the folder.
        size: side of the images; the shorter side is resized to it, the middle is cut out.
        channels: ``rgb`` or ``grey``; null: grey when every file is (palettes count as colour), rgb otherwise.
        background: ``white`` or ``black``: what transparent pixels lie on.
        test_share: held out when there is no test folder, of each class, by a split that is the same for every seed;
            one image of each class is always trained on, and where none is held out the training images stand in.
        value_range: what black and white become.
        noise_std: data noise, in units of the value range.
        classes: only these, by name or number.
        n_train, n_test: only so many images.
        n_workers: threads that decode; null: one per CPU core.
        cache_dir: where decoded images are kept.
        options: see ``ImageOptions``.

    Raises:
        ValueError: when there is no image, one cannot be read, the layout can be read in two ways, a link is broken,
            or a subset is not there.
    """

    def __init__(
        self,
        name: str,
        device: Provided[torch.device],
        root: str,
        size: PositiveInt = 32,
        channels: Channels | None = None,
        test_share: Probability = 0.1,
        value_range: tuple[float, float] = (-1.0, 1.0),
        noise_std: NonNegative = 0.0,
        classes: tuple[Name, ...] | None = None,
        n_train: PositiveInt | None = None,
        n_test: PositiveInt | None = None,
        n_workers: PositiveInt | None = None,
        cache_dir: str = "outputs/cache",
        background: Background = "white",
        **options: Unpack[ImageOptions],
    ) -> None:
        folder, cache = given_path("root", root), given_path("cache_dir", cache_dir)
        if not folder.is_dir():
            raise ValueError(f"root: {shown(folder)} is not a folder")
        first, second = _splits(folder)
        files, labels, names = _list_images(first)
        if left_out := others_below(folder):
            n, which, read = sum(left_out.values()), _list_endings(left_out), ", ".join(EXTENSIONS)
            how_many = "1 file is" if n == 1 else f"{n:,} files are"
            _LOG.warning("root: %s: %s left out (%s), read are %s", shown(folder), how_many, which, read)
        n_first = len(files)
        if second is not None:
            more, more_labels, more_names = _list_images(second)
            if bool(names) != bool(more_names):
                flat, classes_in = (second, first) if names else (first, second)
                raise ValueError(f"root: {shown(classes_in)} has class folders, {shown(flat)} has none")
            unknown = [name for name in more_names if name not in names]
            if unknown:
                raise ValueError(
                    f"root: {shown(second)} has classes that {shown(first)} has not: {', '.join(unknown[:5])}"
                )
            files += more
            labels += [names.index(more_names[k]) for k in more_labels]
        x = decoded(files, size, channels, cache, n_workers or os.cpu_count() or 1, background=background)
        y = torch.tensor(labels) if names else None
        train, test = _split(x, y, None if second is None else n_first, test_share)
        chosen = choose_classes(classes, names)
        class_names = names if chosen is None else [names[k] for k in chosen]
        held_out = test[0] is not train[0]
        if n_test is not None and not held_out:
            raise ValueError(f"n_test: nothing is held out (test_share={test_share:g}, {n_first} images), got {n_test}")
        train_x, train_y = subset(*train, chosen, n_train, "train")
        test_x, test_y = subset(*test, chosen, n_test, "test") if held_out else (train_x, train_y)
        super().__init__(
            name=name,
            domain=Domain(value_range[0], value_range[1], tuple(x.shape[1:])),
            train=train_x,
            test=test_x,
            train_labels=train_y,
            test_labels=test_y,
            n_classes=len(class_names),
            class_names=class_names,
            noise_std=noise_std,
            device=device,
            **options,
        )


Split = tuple[Tensor, Tensor | None]


def _splits(root: Path) -> tuple[Path, Path | None]:
    """The folders to train on and to hold out, None for the latter where the files do not say."""
    found = [Path(e.path) for e in children(root) if e.is_dir() and e.name.lower() in _TRAIN + _HELD_OUT]
    if not found:
        return root, None
    train = next((each for name in _TRAIN for each in found if each.name.lower() == name), None)
    held_out = next((each for name in _HELD_OUT for each in found if each.name.lower() == name), None)
    n_flat, others = _count_images(root, found)
    if train is None and held_out is not None and not others:
        raise ValueError(f"root: {shown(root)} has the folder {held_out.name}, but no train beside it")
    if train is None or (held_out is None and others):
        return root, None  # folders of classes, one of which may be called train
    unused = {each.name: len(images_below(each)) for each in found if each not in (train, held_out)} | others
    for name, n in (unused | ({"the folder itself": n_flat} if n_flat else {})).items():
        used = train.name if held_out is None else f"{train.name} and {held_out.name}"
        _LOG.warning("root: %s: %s images in %s are not used, those in %s are", shown(root), f"{n:,}", name, used)
    return train, held_out


def _count_images(folder: Path, without: list[Path]) -> tuple[int, dict[str, int]]:
    """The number of images in a folder itself, and in each folder in it that has any."""
    found = children(folder)
    counts = {shown(e.name): len(images_below(e.path)) for e in found if e.is_dir() and Path(e.path) not in without}
    return len(images_of(found)), {name: n for name, n in counts.items() if n}


def _list_images(folder: Path) -> tuple[list[str], list[int], list[str]]:
    """Image files in order, their labels and the names of the classes (none for a flat folder)."""
    found = children(folder)
    flat = images_of(found)
    by_class = {shown(e.name): images_below(e.path) for e in found if e.is_dir()}
    empty = [name for name, files in by_class.items() if not files]
    by_class = {name: files for name, files in by_class.items() if files}
    files = [file for each in by_class.values() for file in each]
    if flat and files:
        raise ValueError(
            f"root: {shown(folder)} holds {len(flat):,} images itself and {len(files):,} in its folders "
            f"({', '.join(list(by_class)[:3])}{', …' if len(by_class) > 3 else ''}): "
            "either all in folders, one a class, or none"
        )
    if files:
        if empty:
            _LOG.warning("root: no class: %s in %s, without images", ", ".join(empty[:5]), shown(folder))
        return files, [k for k, each in enumerate(by_class.values()) for _ in each], list(by_class)
    if not flat:
        others = others_below(folder)
        raise ValueError(
            f"root: {shown(folder)} holds no images ({', '.join(EXTENSIONS)})"
            + (f", but {sum(others.values()):,} other files: {_list_endings(others)}" if others else "")
        )
    return flat, [], []


def _list_endings(counts: Mapping[str, int]) -> str:
    """The first few endings of files, with how many there are.

    >>> _list_endings({".heic": 1200, ".gif": 1})
    '1,200 .heic, 1 .gif'
    """
    return listed([f"{n:,} {ending}" for ending, n in counts.items()], _TOLD)


def _split(x: Tensor, y: Tensor | None, n_first: int | None, test_share: float) -> tuple[Split, Split]:
    """The first so many for training, or a share of each class for the test; nothing is copied for the former."""
    if n_first is not None:
        return (x[:n_first], None if y is None else y[:n_first]), (x[n_first:], None if y is None else y[n_first:])
    train, test = split_within_classes(y, len(x), test_share, "image_folder")
    if len(test) == 0:
        return (x, y), (x, y)
    return (x[train], None if y is None else y[train]), (x[test], None if y is None else y[test])
