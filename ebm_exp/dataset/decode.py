"""Image files to one uint8 array, once: decoded, resized, cropped, and kept in a file that is mapped afterwards."""

import hashlib
import logging
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

_LOG = logging.getLogger(__name__)
_TASK = 64  # images that a worker takes at once


def decoded(
    files: Sequence[str],
    size: int,
    channels: Literal["rgb", "grey"],
    cache_dir: Path,
    n_workers: int,
    crop: int | None = None,
) -> Tensor:
    """All images ``[n, C, size, size]``, uint8, as a copy-on-write map of the cache file.

    The cache is named by paths, sizes and times of the files, so a change decodes anew. It is written under another
    name first: a decoding that is stopped leaves nothing that would be read.

    Args:
        files: what to decode, in order.
        size: side of the result: the shorter side is resized to it (Lanczos), the middle is cut out.
        channels: ``rgb`` (3) or ``grey`` (1).
        cache_dir: where the array is kept.
        n_workers: threads that decode.
        crop: side of the middle square that is cut out before resizing; None: nothing is cut.

    Raises:
        ValueError: naming a file that is no readable image.
    """
    digest = hashlib.sha256(repr((size, channels, crop)).encode())
    for file in files:
        stat = os.stat(file)
        digest.update(f"{os.path.abspath(file)}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    path = cache_dir / f"images-{digest.hexdigest()[:16]}.npy"
    if not path.is_file():
        _LOG.info("decoding %s images, once, into %s", f"{len(files):,}", path)
        cache_dir.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            _decode_all(files, size, channels, crop, temporary, n_workers)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    return torch.from_numpy(np.load(path, mmap_mode="c"))


def _decode_all(files: Sequence[str], size: int, channels: str, crop: int | None, path: Path, n_workers: int) -> None:
    from rich.progress import Progress

    depth = 3 if channels == "rgb" else 1
    array = np.lib.format.open_memmap(path, "w+", np.uint8, (len(files), depth, size, size))

    def work(start: int) -> int:
        stop = min(start + _TASK, len(files))
        for i in range(start, stop):
            array[i] = _decode(files[i], size, channels, crop)
        return stop - start

    with Progress(disable=not sys.stdout.isatty(), transient=True) as bar, ThreadPoolExecutor(n_workers) as pool:
        task = bar.add_task("decoding images", total=len(files))
        try:
            for done in pool.map(work, range(0, len(files), _TASK)):
                bar.update(task, advance=done)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    array.flush()


def _decode(file: str, size: int, channels: str, crop: int | None) -> np.ndarray:
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGB" if channels == "rgb" else "L")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"root: {file} cannot be read as an image ({str(error).splitlines()[0]})") from None
    if crop is not None:
        left, top = (image.width - crop) // 2, (image.height - crop) // 2
        image = image.crop((left, top, left + crop, top + crop))
    if image.size != (size, size):
        image = ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)
    pixels = np.asarray(image)
    return pixels.transpose(2, 0, 1) if channels == "rgb" else pixels[None]
