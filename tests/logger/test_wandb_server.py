"""W&B online, against a server that is healthy, and against one that fails once the run has begun."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ebm_exp.logger import WandbRun, wandb_logger
from tests.logger.offline import KEY, about, inspect
from tests.logger.server import Server, Way

N_ROWS = 5


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    import wandb

    wandb.teardown()  # of another test: it knows another address
    server = Server()
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    yield server
    wandb.teardown()
    server.close()


def written(folder: Path) -> list[float]:
    """The losses in the file that W&B keeps of an online run."""
    (file,) = folder.glob("wandb/run-*/*.wandb")
    return [float(row["item"]["train/loss"]) for row in inspect(file)["history"]]


def test_a_run_goes_to_a_server(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: Callable[[], list[str]]
) -> None:
    monkeypatch.setattr(wandb_logger, "_FINISH_TIMEOUT", 60.0)  # beside other tests it may take a while
    run = WandbRun("online", dir=str(tmp_path))
    run.start(about(tmp_path))
    for step in range(N_ROWS):
        run.log({"train/loss": float(step)}, step)
        run.commit()
    run.finish(0)
    assert (run.mode_used, warnings()) == ("online", [])
    assert server.rows == N_ROWS
    assert run.hint() == [f"{server.url}/e/ebm-exp/runs/{run.id}"]  # nothing is left to sync


@pytest.mark.parametrize("way", ["silent", "error", "slow"])
def test_a_server_that_fails_holds_nothing_up(
    way: Way, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: Callable[[], list[str]]
) -> None:
    monkeypatch.setattr(wandb_logger, "_FINISH_TIMEOUT", 3.0)
    run = WandbRun("online", dir=str(tmp_path))
    run.start(about(tmp_path))
    server.way, server.after = way, 0
    began = time.monotonic()
    for step in range(N_ROWS):
        run.log({"train/loss": float(step)}, step)
        run.commit()
    assert time.monotonic() - began < 1
    run.finish(0)
    assert time.monotonic() - began < 9
    assert written(tmp_path) == [0.0, 1.0, 2.0, 3.0, 4.0]
    (warning,) = warnings()
    assert warning.startswith("W&B could not finish (")
    assert run.hint()[1].startswith("wandb sync --include-online ")
    assert run.hint()[1].endswith(run.id or "no id")
