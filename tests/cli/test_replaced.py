"""A choice that is typed beside an experiment: what the experiment says of another one is left out, and told."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from ebm_exp.cli import replaced
from tests.config.test_conf import composed
from tests.warm import ROOT


@pytest.mark.parametrize(
    ("typed", "dropped"),
    [
        ("experiment=flow/cifar10 optimizer=adam", ["~optimizer.adam_lr"]),
        ("experiment=flow/cifar10 optimizer=muon", []),
        ("experiment=flow/digits energy=conv", ["~energy.timed"]),
        ("experiment=flow/digits energy=mlp", []),  # it takes a time, which its file leaves to the default
        ("experiment=flow/digits energy=conv energy.timed=true", []),  # typed: an error, not a remnant
        (
            "experiment=du2021/digits_small sampler=mala",
            ["++sampler.gradient_clamp=0", "~sampler.gradient_clamp", "~sampler.noise_first"],
        ),
        ("experiment=conv/fashion_mnist regularization=none", ["~regularization.gradient_penalty"]),
        ("experiment=conv/fashion_mnist evaluator=mmd", []),
        ("optimizer=adam", []),
    ],
)
def test_keys_of_an_experiments_own_choice_are_dropped(typed: str, dropped: list[str]) -> None:
    overrides, lines = replaced.of_choices(typed.split(), "train")
    assert overrides == dropped
    assert len(lines) == sum(override.startswith("~") for override in dropped)
    if overrides:
        composed(*typed.split(), *overrides)


@pytest.mark.parametrize(
    "typed", ["experiment=plane dataset=pinwheel --help", "experiment=conv/fashion_mnist dataset=mnist --cfg job"]
)
def test_a_look_at_a_choice_beside_an_experiment_imports_no_torch(typed: str) -> None:
    command = [sys.executable, "-X", "importtime", "train.py", *typed.split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "omegaconf" in imported
    assert "torch" not in imported


def test_it_is_told_and_trains(cli: Callable[..., subprocess.CompletedProcess[str]], tmp_path) -> None:
    typed = ("experiment=du2021/digits_small", "sampler=mala", "debug=smoke", "evaluator=mmd", "optimized_metric=null")
    done = cli("train.py", *typed, f"hydra.run.dir={tmp_path}/run")
    assert done.returncode == 0, done.stderr
    said = "experiment=du2021/digits_small sets it, sampler=mala has no such key"
    assert f"sampler.noise_first: left out; {said}" in (tmp_path / "run" / "train.log").read_text()
    again = cli("train.py", f"resume={tmp_path}/run", "trainer.max_steps=3")
    assert again.returncode == 0, again.stderr


def test_an_experiments_choice_inside_of_a_replaced_one_is_named(
    cli: Callable[..., subprocess.CompletedProcess[str]], tmp_path
) -> None:
    done = cli("train.py", "experiment=plane/rings", "sampler=langevin", f"hydra.run.dir={tmp_path}/run")
    assert done.returncode == 2
    line = "start@sampler.proposal: experiment=plane/rings chooses it, inside of a choice that this command replaces"
    assert done.stderr.splitlines()[0] == line
    assert not (tmp_path / "run").exists()
