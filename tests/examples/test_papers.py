"""A paper on a page: each of ``examples/`` gives the weights of the command that it names, bit for bit."""

import importlib.util
import re
import shlex
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ebm_exp.config.trust import CONF
from ebm_exp.config.validate import validate
from ebm_exp.guard.meter import Meter
from ebm_exp.trainer.build import build
from ebm_exp.trainer.ema import EMA
from ebm_exp.trainer.experiment import Experiment
from ebm_exp.trainer.update import Update
from tests.warm import ROOT

PAGES = sorted((ROOT / "examples").glob("*.py"))
N_STEPS = 20
# Constants of a page that cost time, and the keys that say the same.
SHORTER: dict[str, dict[str, tuple[str, int]]] = {
    "contrastive_divergence": {"K": ("sampler.n_steps", 5)},
    "flow_matching": {"BATCH": ("trainer.batch_size", 16)},
    "improved_cd": {
        "BATCH": ("trainer.batch_size", 16),
        "K": ("sampler.n_steps", 3),
        "N_THROUGH": ("objective.terms.kl.through_chains", 8),
        "MIN_HELD": ("objective.terms.entropy.min_filled", 200),
    },
    "score_matching": {"BATCH": ("trainer.batch_size", 8)},
}


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def named_overrides(page: ModuleType) -> list[str]:
    """Of the command that its docstring names."""
    found = re.search(r"^ +python train\.py ((?:.*\\\n)*.*)$", page.__doc__ or "", re.MULTILINE)
    assert found is not None
    return shlex.split(found[1].replace("\\\n", ""))


def train(overrides: list[str]) -> tuple[Experiment, EMA, set[str]]:
    """The experiment of a command after some steps, its averages, and the names of what was in its loss."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = OmegaConf.to_container(compose("train", overrides), resolve=True)
    assert isinstance(composed, dict)
    _, experiment = build(validate(composed))
    trainer: Any = experiment.config["trainer"]
    ema = EMA(experiment.energy, experiment.objective, trainer["ema_rate"])
    meter = Meter(experiment.engine.device)
    update = Update(experiment, ema, meter, trainer["accumulate_steps"], trainer["gradient_norm_clip"])
    names = set()
    for step in range(N_STEPS):
        loss = update(step)
        assert loss is not None
        names |= set(loss.terms)
    return experiment, ema, names


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_its_weights_are_those_of_its_command(
    path: Path, unchecked: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page, shorter = load(path), SHORTER[path.stem]
    for name, (_, value) in shorter.items():
        assert hasattr(page, name)
        monkeypatch.setattr(page, name, value)
    keys = [f"{key}={value}" for key, value in shorter.values()]
    keys += ["logger.mode=disabled", "evaluator=none", "optimized_metric=null"]
    experiment, ema, names = train(named_overrides(page) + keys)
    assert experiment.config["trainer"]["max_steps"] == page.N_STEPS
    assert ("entropy" in names) == (path.stem == "improved_cd")
    assert ("time_score" in names) == (path.stem == "score_matching")
    energy, averaged, *_ = page.train(N_STEPS)
    for ours, theirs in ((energy, experiment.energy), (averaged, ema.energy)):
        given, expected = dict(ours.named_parameters()), dict(theirs.named_parameters())
        assert list(given) == list(expected)
        assert [name for name in given if not torch.equal(given[name], expected[name])] == []
    assert "step 0" in capsys.readouterr().out


def test_each_is_a_page() -> None:
    assert [path.stem for path in PAGES] == sorted(SHORTER)
    for path in PAGES:
        assert 60 <= len(path.read_text().splitlines()) <= 90
