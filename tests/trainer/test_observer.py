"""What images and evaluators draw from a run in training."""

import math
from pathlib import Path

import pytest
import torch

from ebm_exp.config.errors import UserError
from ebm_exp.run.directory import RunDirectory
from ebm_exp.trainer import loop
from ebm_exp.trainer.build import build
from ebm_exp.trainer.session import Session
from tests.config.test_conf import composed


def test_chains_of_a_buffer_that_holds_too_few_start_in_turn(tmp_path: Path) -> None:
    """Two steps of eight leave 16 chains, of which 40 are asked: a run that is stopped early is judged, too."""
    config = composed("debug=smoke", "buffer=fifo", "start@sampling.start=buffer", "dataset.suggest.n_samples=40")
    parts, experiment = build(config)
    directory = RunDirectory(tmp_path / "run")
    directory.create()
    session = Session(parts["trainer"], experiment, directory, parts["logger"])
    session.run()
    buffer = experiment.objective.buffer
    assert buffer.n_filled == 16
    assert math.isfinite(directory.metrics()[-1]["eval/frechet_pixels"])
    sampler = experiment.sampling.sampler
    sampler.step_size, sampler.temperature = 1e-9, 0.0  # chains that stand still
    x = session.loop.observer.samples(40).x
    torch.testing.assert_close(x[:16], x[16:32], rtol=0, atol=1e-6)
    distance, slot = torch.cdist(x[:16].flatten(1), buffer.x[:16].flatten(1)).min(1)
    assert distance.max() < 1e-5
    assert sorted(slot.tolist()) == list(range(16))  # each once, before any comes again


@pytest.mark.parametrize("start", ["start@sampling.start=buffer", "start@objective.start=buffer"])
def test_chains_of_a_buffer_need_one(start: str) -> None:
    """A buffer that nothing fills would hand out the noise that it was made of."""
    with pytest.raises(UserError, match=r"start=buffer needs an objective that fills a buffer .*, ShortRun does not"):
        build(composed("objective=short_run", start))


def images(folder: Path, *typed: str) -> tuple[list[str], dict[str, torch.Tensor]]:
    """The names of the images of a small run, and its energy's weights."""
    small = ("dataset=synthetic", "energy.widths=[8]", "sampler.n_steps=1", "sampling.n_steps=1")
    parts, experiment = build(composed("debug=smoke", "evaluator=none", "optimized_metric=null", *small, *typed))
    directory = RunDirectory(folder)
    directory.create()
    Session(parts["trainer"], experiment, directory, parts["logger"]).run()
    found = sorted(file.stem for file in (folder / "samples").glob("step_*.png"))
    return found, experiment.energy.state_dict()


def test_there_is_an_image_after_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A moment is a minute here. It changes nothing of what is learned, and none is drawn where none is due at all."""
    monkeypatch.setattr(loop, "FIRST_IMAGE", 1e-9)
    none, before = images(tmp_path / "none", "trainer.max_steps=4", "trainer.image_every_steps=1000")
    early, weights = images(tmp_path / "early", "trainer.max_steps=4", "trainer.image_every_steps=3")
    assert (none, early) == (["step_00000004"], ["step_00000001", "step_00000003", "step_00000004"])
    torch.testing.assert_close(weights, before, rtol=0, atol=0)
