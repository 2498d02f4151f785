"""What images and evaluators draw from a run in training."""

import math
from pathlib import Path

import pytest
import torch

from ebm_exp.config.build import Parts
from ebm_exp.config.errors import UserError
from ebm_exp.trainer import report
from tests.config.test_conf import composed


def test_chains_of_a_buffer_that_holds_too_few_start_in_turn(tmp_path: Path) -> None:
    """Two steps of eight leave 16 chains, of which 40 are asked: a run that is stopped early is judged, too."""
    config = composed("debug=smoke", "buffer=fifo", "sampling.init=buffer", "dataset.evaluation.n_samples=40")
    trainer = Parts(config, run_dir=tmp_path / "run", group=None)["trainer"]
    trainer.run.create()
    trainer.fit(config)
    assert trainer.objective.buffer.n_filled == 16
    assert math.isfinite(trainer.run.metrics()[-1]["eval/frechet_pixels"])
    trainer.sampling.sampler.step_size, trainer.sampling.sampler.temperature = 1e-9, 0.0  # chains that stand still
    x = report.fresh_samples(trainer, 40).x
    torch.testing.assert_close(x[:16], x[16:32], rtol=0, atol=1e-6)
    torch.testing.assert_close(x[:16], trainer.objective.buffer.x[:16], rtol=0, atol=1e-6)


def test_chains_of_a_buffer_need_one() -> None:
    parts = Parts(composed("objective=short_run", "sampling.init=buffer"), run_dir=Path("unused"), group=None)
    with pytest.raises(UserError, match=r"trainer: sampling.init=buffer needs an objective with a buffer"):
        parts["trainer"]
