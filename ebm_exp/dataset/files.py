"""Paths that a user gives, and the image files below them."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from ebm_exp.files import ARRAYS

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # as torchvision's ImageFolder
# What those hold, whatever a file is called: Pillow guesses by content, and for PostScript it starts a program.
FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP")
_NO_DATA = ("__MACOSX", "@eaDir")  # what archives and file servers leave behind; names with a dot first are none either


def given_path(key: str, value: str) -> Path:
    """The path that a key holds, ``~`` expanded.

    Raises:
        ValueError: when it is empty: that would be the current folder.
    """
    if not value.strip():
        raise ValueError(f"{key}: is empty (unset variable?)")
    return Path(value).expanduser()


def given_file(key: str, value: str) -> Path:
    """The file that a key names, ``~`` expanded.

    Raises:
        ValueError: when it is empty, a folder or not there; of an array that was handed over with how to do it again.
    """
    file = given_path(key, value)
    if file.is_file():
        return file
    if file.is_dir():
        raise ValueError(f"{key}: {shown(file.absolute())} is a folder")
    again = ""
    if file.name in ARRAYS and (file.parent / "summary.json").is_file():
        again = (
            ": the array was too large to be kept with its run; hand it again: "
            f"ebm_exp.fit(x, {json.dumps(f'resume={shown(file.parent)}', ensure_ascii=False)}), or numpy.save it there"
        )
    raise ValueError(f"{key}: {shown(file.absolute())} is not there{again}")


def shown(path: str | Path) -> str:
    r"""A path as text that can be written anywhere: bytes that are no UTF-8 stand as ``\xff``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def children(folder: str | Path) -> list[os.DirEntry[str]]:
    """What a folder holds, sorted by name, without what is no data.

    Raises:
        ValueError: when the folder cannot be read, or one of its links leads nowhere.
    """
    try:
        with os.scandir(folder) as entries:
            found = sorted((e for e in entries if e.name[0] != "." and e.name not in _NO_DATA), key=lambda e: e.path)
    except OSError as error:
        raise ValueError(f"root: {shown(folder)} cannot be read ({error.strerror})") from None
    broken = [e.path for e in found if e.is_symlink() and not os.path.exists(e.path)]
    if broken:
        more = f", one of {len(broken)} here" if len(broken) > 1 else ""
        raise ValueError(f"root: {shown(broken[0])} is a broken link to {shown(os.readlink(broken[0]))}{more}")
    return found


def images_of(found: Iterable[os.DirEntry[str]]) -> list[str]:
    """The image files among what a folder holds."""
    return [entry.path for entry in found if entry.name.lower().endswith(EXTENSIONS) and entry.is_file()]


def images_below(folder: str | Path) -> list[str]:
    """The image files at any depth, sorted, links followed; a link back to a folder on its own path is not."""
    return sorted(images_of(_walk(folder, (Path(os.path.realpath(folder)),))))


def others_below(folder: str | Path) -> dict[str, int]:
    """How many files at any depth do not end like an image that is read, by their endings, the most frequent first."""
    found = Counter(
        os.path.splitext(shown(entry.name))[1].lower() or "without ending"
        for entry in _walk(folder, (Path(os.path.realpath(folder)),))
        if not entry.name.lower().endswith(EXTENSIONS)
    )
    return dict(sorted(found.items(), key=lambda each: (-each[1], each[0])))


def _walk(folder: str | Path, above: tuple[Path, ...]) -> Iterator[os.DirEntry[str]]:
    """The files at any depth."""
    found = children(folder)
    yield from (entry for entry in found if entry.is_file())
    for entry in found:
        if entry.is_dir():
            real = Path(os.path.realpath(entry.path))
            if not any(real == one or real in one.parents for one in above):
                yield from _walk(entry.path, (*above, real))
