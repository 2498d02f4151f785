"""The training step and the drawing of samples on ``device=meta``: whatever asks the device for a number raises there.

On that device ``.item()``, ``bool(tensor)``, ``nonzero`` and a tensor that was left on the CPU are errors, as host
synchronisations and device mismatches would be on CUDA.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from ebm_exp.config.build import Parts
from ebm_exp.dataset import Dataset
from ebm_exp.part import Part
from ebm_exp.random import Stream
from tests.config.test_conf import DISTINCT, composed, fewer_components, shrunk

META = torch.device("meta")
# Here, du2021/digits_small with another buffer and du2021/cifar10 with fewer augmentations.
LEFT_OUT = ("experiment=du2021/digits", "experiment=du2021/fashion_mnist")


TOLD_APART = "experiment=levels/digits normaliser=levels"


@pytest.mark.parametrize("experiment", [*(each for each in DISTINCT if each not in LEFT_OUT), TOLD_APART])
def test_a_step_and_a_draw_ask_the_device_for_nothing(
    experiment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unchecked: None
) -> None:
    # Pairs of least distance are found on the host. What is fitted to the data before training may read them.
    monkeypatch.setattr("ebm_exp.noise.pairs._assign", lambda z, x: torch.arange(len(z), device=z.device))
    monkeypatch.setattr(Dataset, "train", lambda self, n=None: torch.rand(500, *self.event_shape))
    config = shrunk(*experiment.split())
    if "root" in config["dataset"]:
        config["dataset"]["root"] = str(tmp_path)
    fewer_components(config)
    parts = Parts(config, device=META)
    energy, objective, dataset = parts["energy"], parts["objective"], parts["dataset"]
    for step in range(2):
        batch = dataset.batch(step, 8, 0)
        assert batch.x.device == META
        energy.train()
        loss = objective(energy, batch, step, Stream(0).at_step(META, step))
        loss.total().backward()
        torch.nn.utils.clip_grad_norm_(list(energy.parameters()), 1.0)
        for p in energy.parameters():
            p.grad = None
    samples = parts["sampling"].draw(energy, 8, Stream(0))
    assert samples.x.shape == (8, *dataset.event_shape)
    assert samples.x.device == META


def tensors(part: object, seen: set[int]) -> Iterator[tuple[str, torch.Tensor]]:
    """All that a part holds by itself, in whatever it keeps it."""
    if id(part) in seen or isinstance(part, Dataset):
        return
    seen.add(id(part))
    if isinstance(part, torch.Tensor):
        yield "", part
    elif isinstance(part, dict):
        for key, value in part.items():
            yield from ((f".{key}{name}", each) for name, each in tensors(value, seen))
    elif isinstance(part, Part | torch.nn.Module):
        yield from tensors(vars(part), seen)


AIS = ("sampler=mala", "evaluator=ais", "sampler@evaluator.ais.kernel=jump")
WITH_STARTS = [
    ["experiment=digits_ml"],
    ["experiment=discrete/two_spirals", "start@buffer.start=bits"],
    ["start@buffer.start=mix", "start@sampling.start=mix"],
    [*AIS, *(f"start@{at}.start=mixture" for at in ("buffer", "sampling", "evaluator.ais"))],
]


@pytest.mark.parametrize("overrides", WITH_STARTS, ids=" ".join)
def test_starts_are_where_their_chains_run(overrides: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A start with a density of the data, in a buffer, in fresh chains, in an evaluator's."""
    monkeypatch.setattr(Dataset, "train", lambda self, n=None: torch.rand(500, *self.event_shape))
    config = composed(*overrides, "debug=smoke")
    fewer_components(config)
    parts = Parts(config, device=META)
    held = {
        name + key: each.device
        for name in ("buffer", "sampling", "evaluator", "sampler", "objective")
        for key, each in tensors(parts[name], set())
    }
    assert held
    assert {key: device for key, device in held.items() if device != META} == {}
    x = parts["sampling"].draw(parts["energy"], 8, Stream(0)).x
    assert x.device == META
