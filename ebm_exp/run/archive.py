"""The file of a checkpoint: whole or absent, and data alone, of which no code runs."""

import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch

from ebm_exp.files import replacing

_HEADER = 30  # bytes before the name of a part, at least


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint so that ``path`` never holds half of one, whenever the process or the machine dies.

    On an exception an older file stays as it was.

    Args:
        path: the target; its folder is made when it is missing.
        state: plain containers, numbers, texts and tensors: what ``torch.load(weights_only=True)`` takes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        content = _Written(file)
        try:
            torch.save(dict(state), content)  # type: ignore[arg-type]  # torch only writes
        except Exception:
            if content.error is not None:  # torch says "unexpected pos" of a full disk
                raise content.error from None
            raise


class _Written:
    """A file that keeps what went wrong in writing it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes | memoryview) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()


def read(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """The content of a checkpoint's file, its tensors on a device.

    Raises:
        ValueError: naming the file, when it cannot be read or is none.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # torch.load does not look at the checksums that torch.save writes
            _check(archive.infolist(), path.stat().st_size)
            if damaged := archive.testzip():
                raise zipfile.BadZipFile(f"checksum of {damaged}")
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # a damaged archive or pickle can raise nearly anything
        reason = (str(error).splitlines() or [""])[0]
        raise ValueError(f"{path}: cannot be read as a checkpoint ({type(error).__name__}: {reason})") from error
    if not isinstance(state, dict):
        raise ValueError(f"{path}: is not a checkpoint, it holds a {type(state).__name__}")
    return state


def _check(entries: Iterable[zipfile.ZipInfo], size: int) -> None:
    """Refuse an archive that says that it holds more than its file can: what is read of it takes as long as it is.

    Args:
        entries: of the archive.
        size: bytes of the file.
    """
    end = 0
    for each in sorted(entries, key=lambda entry: entry.header_offset):
        if each.compress_type != zipfile.ZIP_STORED or each.file_size != each.compress_size:
            raise zipfile.BadZipFile("it is compressed, torch's are not")
        if each.header_offset < end:
            raise zipfile.BadZipFile(f"{each.filename} lies where another part of it does")
        end = each.header_offset + _HEADER + each.file_size
    if end > size:
        raise zipfile.BadZipFile("it is shorter than it says")
