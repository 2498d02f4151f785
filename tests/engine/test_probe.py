"""What a processor is faster in: told, taken by ``auto``, and kept by a run."""

import logging
import math

import pytest
import torch

from ebm_exp.config.device import describe_machine, keep_precision
from ebm_exp.engine import Eager, probe

CPU = torch.device("cpu")


def test_the_look_gives_a_ratio_in_milliseconds_and_draws_nothing() -> None:
    numbers = torch.get_rng_state()
    with torch.inference_mode():
        ratio = probe.bf16_ratio()
    assert math.isfinite(ratio)
    assert ratio > 0
    assert torch.equal(torch.get_rng_state(), numbers)


@pytest.mark.parametrize(("ratio", "taken"), [(25.0, "float32"), (0.95, "float32"), (0.5, "bf16")])
def test_auto_takes_what_is_faster_and_emulation_is_told(
    ratio: float, taken: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(probe, "bf16_ratio", lambda: ratio)
    with caplog.at_level(logging.WARNING):
        assert Eager(CPU, "auto").precision == taken
        assert not caplog.messages
        assert Eager(CPU, "bf16").precision == "bf16"
    said = "engine.precision: bf16 takes 25.0 times as long as float32 on this processor, which emulates it"
    assert caplog.messages == ([said] if ratio > 1 else [])
    assert Eager(torch.device("meta"), "auto").precision == "float32"


def test_a_run_stays_with_what_auto_came_to_on_such_a_device() -> None:
    here = describe_machine(CPU, ())["device"]
    config = {"device": "cpu", "engine": {"_target_": "ebm_exp.engine.Eager", "precision": "auto"}}
    assert keep_precision(config, {"precision": "bf16", "device": here})["engine"]["precision"] == "bf16"
    assert keep_precision(config, {"precision": "bf16", "device": "NVIDIA H200"}) == config
    assert keep_precision(config, {"precision": "half", "device": here}) == config
    assert keep_precision(config, {}) == config
    typed = {"device": "cpu", "engine": {"precision": "float32"}}
    assert keep_precision(typed, {"precision": "bf16", "device": here}) == typed
