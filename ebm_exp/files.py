"""Files that are whole or absent, and written through no link."""

import contextlib
import errno
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}\.tmp")  # names beside a file that is being replaced

ARRAYS = ("data.npy", "data.npz", "data.parquet")  # what a run keeps of an array that it was handed
LARGEST = 2**24  # bytes of a record that is read whole
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}


def show_path(path: Path) -> Path:
    """A path as it is typed from here."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an error of the disk name the file that is written: of itself it names none, a number, or one beside it."""
    try:
        yield
    except OSError as error:
        name = error.filename
        if error.errno is not None and (not isinstance(name, str) or TEMPORARY.fullmatch(os.path.basename(name))):
            error.filename = str(path)
        raise


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Write a file beside ``path``, under a name that nobody can foresee, then put it in its place: the one way to
    write a file.

    On an exception what was there stays, and so it does when the process or the machine dies on the way: content and
    name are forced to the disk. What writes to a path alone may be given that of the file, its ``name``.

    Args:
        path: the target, in a folder that is there. A link there is replaced, not followed.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with naming(path), open(os.fspath(temporary), "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Force the names in a folder to the disk: without it a machine that dies forgets what was renamed.

    The content is there already: a system that lets nobody do this costs no more than that.
    """
    with contextlib.suppress(OSError):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def replace_text(path: Path, text: str) -> None:
    """Replace a file by a text in UTF-8."""
    with replacing(path) as file:
        file.write(text.encode("utf-8"))


def write_json(path: Path, content: Any) -> None:
    """Replace a JSON file; what JSON does not know is written as its text."""
    text = json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n"
    with replacing(path) as file:
        file.write(text.encode("utf-8", "backslashreplace"))  # of a name that is no text, as JSON escapes it


def sync(path: Path) -> None:
    """Force to the disk what was appended to a file; nothing where there is none."""
    if path.is_file():
        with path.open("rb+") as file:
            os.fsync(file.fileno())


def read_mapping(path: Path) -> dict[str, Any]:
    """A JSON file's object; empty where there is none that can be read. It may come from anywhere: no link is followed,
    and a pipe holds nobody up.
    """
    try:
        with opened(path) as file:
            content = json.loads(file.read().decode("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


@contextlib.contextmanager
def opened(path: Path, largest: int = LARGEST, follow: bool = False) -> Iterator[BinaryIO]:
    """Open a file to read that may come from anywhere.

    Args:
        path: of the file.
        largest: bytes.
        follow: a link.

    Raises:
        OSError: also for a link, for what is no file, and for one that is larger.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    fd = os.open(path, flags if follow else flags | getattr(os, "O_NOFOLLOW", 0))
    with os.fdopen(fd, "rb") as file:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "is no file", str(path))
        if found.st_size > largest:
            raise OSError(errno.EINVAL, f"is larger than {largest:,} bytes", str(path))
        yield file


def disk_problem(error: BaseException) -> str | None:
    """What an error or its cause says of the disk in one line: full, read-only, out of reach; None for any other."""
    if not isinstance(error, OSError) or error.errno not in _DISK:
        return disk_problem(error.__cause__) if error.__cause__ is not None else None
    where = f"{error.filename}: " if error.filename is not None else ""
    return f"{where}{(error.strerror or '').lower()}"
