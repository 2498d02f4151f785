"""Files are whole or absent, and on the disk before they take a name."""

import ast
import errno
import os
import stat
from pathlib import Path

import pytest

import ebm_exp
from ebm_exp.files import disk_problem, replacing, write_json
from ebm_exp.run.metrics import append_row

PACKAGE = Path(ebm_exp.__file__).parent
OPENED = {"file", "buffer", "again", "content"}  # what a library may write to: handed out by ``replacing``, or memory
APPENDED = {"run/metrics.py", "sweeper/job.py"}  # rows and logs
WRITERS = {"write_text", "write_bytes", "savefig", "imsave", "save", "savez", "savez_compressed", "to_csv", "tofile"}


def test_content_and_name_are_on_the_disk_and_an_error_leaves_what_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, done = tmp_path / "a.txt", []
    file.write_text("old")
    fsync, replace = os.fsync, os.replace

    def note_sync(fd: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "content")
        fsync(fd)

    def note_replace(source: Path, target: Path) -> None:
        assert Path(source).read_text() == "new"
        done.append("name")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "replace", note_replace)
    with replacing(file) as opened:
        opened.write(b"new")
    assert done == ["content", "name", "folder"]

    def leave() -> None:
        with replacing(file) as opened:
            opened.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        leave()
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]
    assert file.read_text() == "new"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full")
def test_what_a_full_disk_does_not_take_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), fd)

    with pytest.raises(OSError) as full:
        append_row(Path("/dev/full"), {"step": 1})
    assert disk_problem(full.value) == "/dev/full: no space left on device"
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError) as full:
        write_json(tmp_path / "a.json", {})
    assert disk_problem(full.value) == f"{tmp_path}/a.json: no space left on device"
    with pytest.raises(OSError) as full:
        write_json(tmp_path / "absent" / "a.json", {})  # not the name beside its place
    assert full.value.filename == f"{tmp_path}/absent/a.json"


def test_no_other_kind_of_write_stands_in_the_package() -> None:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        found += [f"{name}:{call.lineno}" for call in calls if name != "files.py" and writes(call, name)]
    assert found == []


def writes(call: ast.Call, name: str) -> bool:
    """Whether a call may leave half of a file under its name."""
    func = call.func
    method = func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")
    said = [each.value for each in call.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    if method == "open":
        modes = {mode for mode in said if set(mode) <= set("rwaxbt+")}
        claims = name == "run/directory.py" and modes == {"x"}  # an empty file
        added = bool(modes & {"a", "ab"})
        return (bool(modes - {"r", "rb", "a", "ab"}) and not claims) or (added and name not in APPENDED)
    ours = isinstance(func, ast.Attribute) and ast.unparse(func.value) in ("checkpoint", "workspace")
    names = {each.id for each in call.args if isinstance(each, ast.Name)}
    return method in WRITERS and isinstance(func, ast.Attribute) and not ours and not names & OPENED
