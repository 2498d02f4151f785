"""The data sets of torchvision, read by torchvision, as uint8 tensors."""

import gzip
import math
import os
import pickle
import struct
import zlib
from pathlib import Path
from typing import Any, Literal, Unpack

import torch
from torch import Tensor

from ebm_exp import memory
from ebm_exp.dataset.base import Dataset
from ebm_exp.dataset.decode import decoded
from ebm_exp.dataset.domain import Domain
from ebm_exp.dataset.files import given_path, shown
from ebm_exp.dataset.options import ImageOptions
from ebm_exp.dataset.subset import choose_classes, subset
from ebm_exp.types import Name, NonNegative, PositiveInt, Provided

Source = Literal["MNIST", "FashionMNIST", "KMNIST", "CIFAR10", "CIFAR100", "SVHN", "CelebA"]
_IDX = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_CELEBA_CROP = 140  # the face, as in the published images of 64×64


class Vision(Dataset):
    """A data set of torchvision.

    Args:
        source: its class in torchvision.
        name: the run directory's name.
        device: where batches are needed.
        root: the folder that torchvision calls root; for the MNIST family also one with the IDX files themselves,
            plain or gzipped.
        download: fetch what is missing.
        value_range: what black and white become.
        noise_std: data noise, in units of the value range.
        classes: only these, by name or number.
        n_train, n_test: only so many images.
        size: side of CelebA's images, the middle 140 pixels of the aligned ones; the others have their own.
        attribute: of CelebA, e.g. ``Smiling``: two classes, without and with; null: no labels.
        cache_dir: where CelebA's decoded images are kept.
        options: see ``ImageOptions``.

    Raises:
        ValueError: when files are missing (saying where they were looked for and how to get them) or a subset is,
            and when a file is damaged or does not fit its sibling.
    """

    def __init__(
        self,
        source: Source,
        name: str,
        device: Provided[torch.device],
        root: str = "data",
        download: bool = True,
        value_range: tuple[float, float] = (-1.0, 1.0),
        noise_std: NonNegative = 0.0,
        classes: tuple[Name, ...] | None = None,
        n_train: PositiveInt | None = None,
        n_test: PositiveInt | None = None,
        size: PositiveInt = 64,
        attribute: str | None = None,
        cache_dir: str = "outputs/cache",
        **options: Unpack[ImageOptions],
    ) -> None:
        folder = given_path("root", root)
        if source in ("MNIST", "FashionMNIST", "KMNIST"):
            splits, names = _idx(source, folder, download)
        elif source == "CelebA":
            splits, names = _celeba(folder, download, size, attribute, given_path("cache_dir", cache_dir))
        else:
            splits, names = _arrays(source, folder, download)
        for split, (x, y) in splits.items():
            _check_labels(f"root: {source}'s {split} split in {shown(folder)}", len(x), y, len(names))
        chosen = choose_classes(classes, names)
        class_names = names if chosen is None else [names[k] for k in chosen]
        train_x, train_y = subset(*splits["train"], chosen, n_train, "train")
        test_x, test_y = subset(*splits["test"], chosen, n_test, "test")
        super().__init__(
            name=name,
            domain=Domain(value_range[0], value_range[1], tuple(train_x.shape[1:])),
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


Splits = dict[str, tuple[Tensor, Tensor | None]]


def _open(source: str, root: Path, download: bool, **split: Any) -> Any:
    """torchvision's own object, its troubles in one line."""
    from torchvision import datasets

    try:
        return getattr(datasets, source)(str(root), download=download, **split)
    except (RuntimeError, OSError, ValueError, ImportError, EOFError, LookupError, pickle.PickleError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
    help_ = f"; torchvision says: {reason}" if download else "; dataset.download=true fetches them"
    where = shown(root.absolute())
    raise ValueError(f"root: {source}'s files are not in {where}, laid out as torchvision does, or damaged{help_}")


def _check_labels(what: str, n: int, y: Tensor | None, n_classes: int) -> None:
    if y is None:
        return
    if len(y) != n:
        raise ValueError(f"{what} has {n:,} images and {len(y):,} labels")
    if n and not 0 <= int(y.min()) <= int(y.max()) < n_classes:
        raise ValueError(f"{what} has labels {int(y.min())} … {int(y.max())}, must be 0 … {n_classes - 1}")


def _idx(source: str, root: Path, download: bool) -> tuple[Splits, list[str]]:
    """The MNIST family: four IDX files below root, or in it, plain or gzipped."""
    from torchvision import datasets

    places = [root / source / "raw", root / source, root / "raw", root]

    def found() -> dict[str, Path] | None:
        for place in places:
            files = {n: next((f for f in (place / n, place / f"{n}.gz") if f.is_file()), None)
                     for pair in _IDX.values() for n in pair}  # fmt: skip
            if all(files.values()):
                return {n: f for n, f in files.items() if f is not None}
        return None

    files = found()
    if files is None and download:
        _open(source, root, True)
        files = found()
    if files is None:
        raise ValueError(
            f"root: {source} needs {', '.join(n for pair in _IDX.values() for n in pair)} (or .gz), looked for in "
            f"{shown(root.absolute())} and {places[0].relative_to(root)} below it; dataset.download=true fetches them"
        )
    splits: Splits = {
        split: (_read_idx(files[x], 3).unsqueeze(1), _read_idx(files[y], 1).long()) for split, (x, y) in _IDX.items()
    }
    names = [str(name) for name in getattr(datasets, source).classes]
    return splits, names


def _read_idx(file: Path, n_dims: int) -> Tensor:
    """Bytes ``[n, …]`` of an IDX file: magic 0, 0, 8, number of dimensions; each as 32 bits; the bytes."""
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as opened:
            head = opened.read(4)
            if len(head) < 4 or head[:2] != b"\0\0":
                raise ValueError("its first bytes are none of an IDX file")
            if head[2:] != bytes([8, n_dims]):
                raise ValueError(f"it must hold bytes in {n_dims} dimensions, it says kind {head[2]} in {head[3]}")
            shape = struct.unpack(f">{n_dims}I", opened.read(4 * n_dims))
            n_bytes = math.prod(shape)
            if file.suffix != ".gz" and n_bytes != file.stat().st_size - 4 - 4 * n_dims:
                raise ValueError(f"it says that it holds {n_bytes:,} bytes, and does not")
            memory.refuse("root", n_bytes)
            content = opened.read(n_bytes + 1)
        if len(content) != n_bytes:
            raise ValueError(f"it says that it holds {n_bytes:,} bytes, and does not")
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise ValueError(f"root: {shown(file)} is no IDX file, or damaged ({reason})") from None
    return torch.frombuffer(bytearray(content), dtype=torch.uint8).view(*shape)


def _arrays(source: str, root: Path, download: bool) -> tuple[Splits, list[str]]:
    """CIFAR-10, CIFAR-100 and SVHN: arrays in memory."""
    splits: Splits = {}
    names: list[str] = [str(k) for k in range(10)]
    for split in ("train", "test"):
        if source == "SVHN":
            data = _open(source, root, download, split=split)
            x, y = torch.from_numpy(data.data), torch.as_tensor(data.labels).long()
        else:
            data = _open(source, root, download, train=split == "train")
            x, y = torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous(), torch.as_tensor(data.targets)
            names = [str(name) for name in data.classes]
        splits[split] = x, y
    return splits, names


def _celeba(root: Path, download: bool, size: int, attribute: str | None, cache_dir: Path) -> tuple[Splits, list[str]]:
    """CelebA: faces without labels, or with one attribute as two classes."""
    splits: Splits = {}
    for split in ("train", "test"):
        data = _open("CelebA", root, download, split=split)
        attributes = [name for name in data.attr_names if name]
        if attribute is not None and attribute not in attributes:
            raise ValueError(f"attribute: must be one of {', '.join(attributes)}, got {attribute}")
        folder = root / "celeba" / "img_align_celeba"
        files = [str(folder / name) for name in data.filename]
        x = decoded(files, size, "rgb", cache_dir, os.cpu_count() or 1, crop=_CELEBA_CROP)
        splits[split] = x, None if attribute is None else data.attr[:, attributes.index(attribute)].long()
    return splits, [] if attribute is None else [f"not {attribute}", attribute]
