"""Image files to one uint8 array, once: decoded, resized, cropped, and kept in a file that is mapped afterwards."""

import hashlib
import logging
import os
import shutil
import stat
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from ebm_exp import memory
from ebm_exp.dataset.files import FORMATS, shown
from ebm_exp.files import replacing
from ebm_exp.terminal import console

if TYPE_CHECKING:
    from PIL import Image as PillowImage

_LOG = logging.getLogger(__name__)
LARGEST = 2**26  # pixels of an image: a file of a few MB may hold gigabytes
_TASK = 64  # images that a worker takes at once
_VERSION = 2  # of what a file is decoded to; another one decodes anew
Channels = Literal["rgb", "grey"]
Background = Literal["white", "black"]


def decoded(
    files: Sequence[str],
    size: int,
    channels: Channels | None,
    cache_dir: Path,
    n_workers: int,
    crop: int | None = None,
    background: Background = "white",
) -> Tensor:
    """All images ``[n, C, size, size]``, uint8, as a copy-on-write map of the cache file.

    The cache is named by paths, sizes and times of the files, so a change decodes anew.

    Sixteen bits are scaled to eight (÷ 257); what is transparent shows the background, whatever colour lies under it.

    Args:
        files: what to decode, in order.
        size: side of the result: the shorter side is resized to it (Lanczos), the middle is cut out.
        channels: ``rgb`` (3) or ``grey`` (1); None: grey when all files are, rgb otherwise.
        cache_dir: where the array is kept.
        n_workers: threads that decode.
        crop: side of the middle square that is cut out before resizing; None: nothing is cut.
        background: what transparent pixels lie on.

    Raises:
        ValueError: naming a file that is not there, no readable image, or of a mode whose range is not known.
    """
    digest = hashlib.sha256(repr((_VERSION, size, channels, crop, background)).encode())
    for file in files:
        try:
            found = os.stat(file)
        except OSError as error:
            raise ValueError(f"root: {shown(file)} cannot be read ({error.strerror})") from None
        if not stat.S_ISREG(found.st_mode):
            raise ValueError(f"root: {shown(file)} is no file")
        digest.update(os.fsencode(os.path.abspath(file)) + f"\0{found.st_size}\0{found.st_mtime_ns}\n".encode())
    path = cache_dir / f"images-{digest.hexdigest()[:16]}.npy"
    if (kept := _read_cached(path, len(files))) is None:
        _LOG.info("decoding %s images, once, into %s", f"{len(files):,}", shown(path))
        cache_dir.mkdir(parents=True, exist_ok=True)
        chosen = channels or ("grey" if all(_is_grey(file) for file in files) else "rgb")
        free = shutil.disk_usage(cache_dir).free
        takes = len(files) * size * size * (1 if chosen == "grey" else 3)
        if takes > free:
            raise ValueError(
                f"size: {len(files):,} images of {size:,}×{size:,} take {memory.format_bytes(takes)} in "
                f"{shown(cache_dir)}, {memory.format_bytes(free)} are free there"
            )
        with replacing(path) as cache:
            _decode_all(files, size, chosen, crop, background, Path(cache.name), n_workers)
        kept = np.load(path, mmap_mode="c")
    return torch.from_numpy(kept)


def _read_cached(path: Path, n: int) -> np.ndarray | None:
    """The images of an earlier run, None where there are none, or the file is damaged."""
    if not path.is_file():
        return None
    try:
        images = np.load(path, mmap_mode="c", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        _LOG.warning("%s is damaged (%s), it is made anew", shown(path), error)
        return None
    return images if len(images) == n else None


def _decode_all(
    files: Sequence[str],
    size: int,
    channels: Channels,
    crop: int | None,
    background: Background,
    path: Path,
    n_workers: int,
) -> None:
    from rich.progress import Progress

    depth = 3 if channels == "rgb" else 1
    array = np.lib.format.open_memmap(path, "w+", np.uint8, (len(files), depth, size, size))

    def work(start: int) -> int:
        stop = min(start + _TASK, len(files))
        for i in range(start, stop):
            array[i] = _decode(files[i], size, channels, crop, background)
        return stop - start

    with (
        Progress(console=console(), disable=not sys.stdout.isatty(), transient=True) as bar,
        ThreadPoolExecutor(n_workers) as pool,
    ):
        task = bar.add_task("decoding images", total=len(files))
        try:
            for done in pool.map(work, range(0, len(files), _TASK)):
                bar.update(task, advance=done)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    array.flush()


def _decode(file: str, size: int, channels: Channels, crop: int | None, background: Background) -> np.ndarray:
    from PIL import Image, ImageOps

    image = _opaque(file, _load(file), background).convert("RGB" if channels == "rgb" else "L")
    if crop is not None:
        left, top = (image.width - crop) // 2, (image.height - crop) // 2
        image = image.crop((left, top, left + crop, top + crop))
    if image.size != (size, size):
        image = ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)
    pixels = np.asarray(image)
    return pixels.transpose(2, 0, 1) if channels == "rgb" else pixels[None]


def _load(file: str, header: bool = False) -> "PillowImage.Image":
    """The image of a file, its pixels read and turned as its camera says, or its header alone."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(file, formats=FORMATS) as opened:
            width, height = opened.size
            if width * height > LARGEST:
                raise ValueError(f"{width:,}×{height:,} pixels, at most {LARGEST:,} are read")
            if header:
                return opened
            image = ImageOps.exif_transpose(opened)
            image.format = opened.format
            if opened.format == "TIFF" and opened.mode.startswith("I;16"):
                tags = opened.tag_v2  # type: ignore[attr-defined]
                image.info |= {"bits": tags.get(258, (16,))[0], "white is 0": tags.get(262) == 0}
            return image
    except Exception as error:  # decoders of broken files raise nearly anything
        reason = (str(error) or type(error).__name__).splitlines()[0].replace(file, shown(file))
        if isinstance(error, UnidentifiedImageError):
            reason = f"it is none of {', '.join(FORMATS)}"
        raise ValueError(f"root: {shown(file)} cannot be read as an image ({reason})") from None


def _is_grey(file: str) -> bool:
    from PIL import Image

    image = _load(file, header=True)
    raw = image.tile[0][3] if image.tile else None  # type: ignore[attr-defined]
    # Pillow opens grey of 16 bits with alpha as RGBA.
    return Image.getmodebase(image.mode) == "L" or raw == "LA;16B"


def _opaque(file: str, image: "PillowImage.Image", background: Background) -> "PillowImage.Image":
    """The image in mode L or RGB, eight bits a channel, on the background where it is transparent."""
    from PIL import Image

    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        return _eight_bits(image, background)
    if image.mode in ("I", "F"):
        raise ValueError(
            f"root: {shown(file)} has mode {image.mode} (numbers of {'32 bits' if image.mode == 'I' else 'any size'}), "
            "whose black and white are not known: save it with 8 or 16 bits a channel, without sign"
        )
    try:
        if image.has_transparency_data:
            top = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
            return Image.alpha_composite(Image.new("RGBA", top.size, background), top).convert("RGB")
        return image.convert("L" if image.mode == "1" else "RGB") if image.mode != "L" else image
    except (ValueError, OSError) as error:
        raise ValueError(f"root: {shown(file)} has mode {image.mode}, which cannot be read ({error})") from None


def _eight_bits(image: "PillowImage.Image", background: Background) -> "PillowImage.Image":
    """Grey of up to 16 bits: its whole range becomes 0 … 255."""
    from PIL import Image

    levels = np.asarray(image).astype(np.uint32)
    white = 2 ** image.info.get("bits", 16) - 1
    grey = ((levels * 255 + white // 2) // white).astype(np.uint8)  # of 16 bits: ÷ 257
    if image.info.get("white is 0"):
        grey = 255 - grey
    if "transparency" in image.info:  # one level of a PNG that is not seen
        grey = np.where(levels == image.info["transparency"], 255 if background == "white" else 0, grey)
    return Image.fromarray(grey.astype(np.uint8))
