"""Any folder of images."""

import os
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.dataset.decode import decoded
from ebm_exp.dataset.domain import Domain
from ebm_exp.dataset.subset import choose_classes, subset
from ebm_exp.random import generator
from ebm_exp.types import NonNegative, PositiveInt, Probability, Provided


class ImageFolder(Dataset):
    """Images in ``<root>/train/<class>/`` and ``<root>/test/<class>/``, in ``<root>/<class>/``, or flat.

    Without class folders there are no labels. Files that do not end like an image are ignored.

    Args:
        name: the run directory's name.
        device: where batches are needed.
        root: the folder.
        size: side of the images; the shorter side is resized to it, the middle is cut out.
        channels: ``rgb`` or ``grey``.
        test_share: held out when there is no test folder, by a split that is the same for every seed.
        value_range: what black and white become.
        noise_std: data noise, in units of the value range.
        dequantize: uniform noise of one grey level.
        horizontal_flip: mirror each training image with probability ½.
        classes: only these, by name or number.
        n_train, n_test: only so many images.
        n_workers: threads that decode; null: one per CPU core.
        cache_dir: where decoded images are kept.
        resident: keep all on the device; null: when they fit.

    Raises:
        ValueError: when there is no image, one cannot be read, or a subset is not there.
    """

    def __init__(
        self,
        name: str,
        device: Provided[torch.device],
        root: str,
        size: PositiveInt = 32,
        channels: Literal["rgb", "grey"] = "rgb",
        test_share: Probability = 0.1,
        value_range: tuple[float, float] = (0.0, 1.0),
        noise_std: NonNegative = 0.0,
        dequantize: bool = True,
        horizontal_flip: bool = False,
        classes: tuple[int | str, ...] | None = None,
        n_train: PositiveInt | None = None,
        n_test: PositiveInt | None = None,
        n_workers: PositiveInt | None = None,
        cache_dir: str = "outputs/cache",
        resident: bool | None = None,
    ) -> None:
        folder = Path(root).expanduser()
        if not folder.is_dir():
            raise ValueError(f"root: {folder} is not a folder")
        split = (folder / "train").is_dir() and (folder / "test").is_dir()
        files, labels, names = _listed(folder / "train" if split else folder)
        n_first = len(files)
        if split:
            more, more_labels, more_names = _listed(folder / "test")
            if not set(more_names) <= set(names):
                raise ValueError(f"root: {folder / 'test'} has classes that {folder / 'train'} has not")
            files += more
            labels += [names.index(more_names[k]) for k in more_labels]
        x = decoded(files, size, channels, Path(cache_dir), n_workers or os.cpu_count() or 1)
        y = torch.tensor(labels) if names else None
        train, test = _split(x, y, n_first if split else None, test_share)
        chosen = choose_classes(classes, names)
        self.class_names = names if chosen is None else [names[k] for k in chosen]
        (train_x, train_y), (test_x, test_y) = (
            subset(*train, chosen, n_train, "train"),
            subset(*test, chosen, n_test, "test"),
        )
        super().__init__(
            name=name,
            domain=Domain(value_range[0], value_range[1], tuple(x.shape[1:])),
            train=train_x,
            test=test_x,
            train_labels=train_y,
            test_labels=test_y,
            n_classes=len(self.class_names),
            noise_std=noise_std,
            dequantize=dequantize,
            horizontal_flip=horizontal_flip,
            device=device,
            resident=resident,
        )


Split = tuple[Tensor, Tensor | None]
EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # as torchvision's ImageFolder


def _listed(folder: Path) -> tuple[list[str], list[int], list[str]]:
    """Image files in order, their labels and the names of the classes (none for a flat folder)."""

    def images(within: Path) -> list[str]:
        return sorted(
            os.path.join(at, file)
            for at, _, found in os.walk(within)
            for file in found
            if file.lower().endswith(EXTENSIONS)
        )

    by_class = {each.name: images(each) for each in sorted(folder.iterdir()) if each.is_dir()}
    by_class = {name: files for name, files in by_class.items() if files}
    if by_class:
        files = [file for each in by_class.values() for file in each]
        return files, [k for k, each in enumerate(by_class.values()) for _ in each], list(by_class)
    files = images(folder)
    if not files:
        raise ValueError(f"root: {folder} holds no images ({', '.join(EXTENSIONS)})")
    return files, [], []


def _split(x: Tensor, y: Tensor | None, n_first: int | None, test_share: float) -> tuple[Split, Split]:
    """The first so many for training, or a random share for the test; nothing is copied for the former."""
    if n_first is not None:
        return (x[:n_first], None if y is None else y[:n_first]), (x[n_first:], None if y is None else y[n_first:])
    order = torch.randperm(len(x), generator=generator("cpu", "dataset", "image_folder", "split"))
    n_test = min(max(1, round(test_share * len(x))), len(x) - 1) if test_share else 0
    if n_test == 0:
        return (x, y), (x, y)
    test, train = order[:n_test], order[n_test:]
    return (x[train], None if y is None else y[train]), (x[test], None if y is None else y[test])
