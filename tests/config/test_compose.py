"""What is mended in a config between its choices and what was typed, and what Hydra refuses, in our words."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir, version
from hydra._internal.utils import create_config_search_path
from hydra.errors import MissingConfigException
from hydra.types import RunMode

from ebm_exp.config.compose import Loader
from ebm_exp.config.errors import UserError
from ebm_exp.config.tree import look_up
from ebm_exp.config.trust import CONF
from tests.warm import ROOT


def load(*typed: str) -> tuple[Loader, dict]:
    version.setbase("1.3")
    loader = Loader(create_config_search_path(str(CONF)))
    return loader, loader.load_configuration("train", list(typed), RunMode.RUN)


@pytest.mark.parametrize(
    ("typed", "dropped"),
    [
        ("experiment=flow/cifar10 optimizer=adam", ["optimizer.adam_lr"]),
        ("experiment=flow/cifar10 optimizer=muon", []),
        ("experiment=flow/digits energy=conv", ["energy.timed"]),
        ("experiment=flow/digits energy=mlp", []),  # it takes a time, which its file leaves to the default
        (
            "experiment=du2021/digits_small sampler=mala",
            ["sampler.gradient_clamp", "sampler.noise_first"],
        ),  # null: gone
        ("experiment=conv/fashion_mnist regularization=none", ["regularization.gradient_penalty"]),
        ("experiment=conv/fashion_mnist evaluator=mmd", []),
        ("optimizer=adam", []),
    ],
)
def test_keys_of_an_experiments_own_choice_are_left_out(typed: str, dropped: list[str]) -> None:
    loader, config = load(*typed.split())
    assert [note.partition(":")[0] for note in loader.notes] == dropped
    assert all(look_up(config, key.rpartition(".")[0]) is not None for key in dropped)
    assert all(key.rpartition(".")[2] not in config[key.partition(".")[0]] for key in dropped)


def test_what_was_typed_is_no_remnant() -> None:
    loader, config = load("experiment=flow/digits", "energy=conv", "energy.timed=true")
    assert (loader.notes, config.energy.timed) == ((), True)  # refused when it is checked


def test_a_key_that_a_file_leaves_to_the_constructor_may_be_typed() -> None:
    _, config = load("optimizer.eps=0.5", "energy=igebm", "energy.skip_kernel=3")
    assert (config.optimizer.eps, config.energy.skip_kernel) == (0.5, 3)
    assert list(config.hydra.overrides.task) == ["optimizer.eps=0.5", "energy=igebm", "energy.skip_kernel=3"]


def test_a_typed_target_takes_over_a_node_without_what_it_does_not_take() -> None:
    _, config = load("sampler._target_=ebm_exp.sampler.MALA", "sampler.step_size=2")
    assert config.sampler.step_size == 2
    assert "noise_std" not in config.sampler


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("+sampler.step_size=1", "sampler.step_size: is there already; without the + it is changed"),
        ("sampler.stepsize=1", "sampler.stepsize: unknown key; nearest is step_size; choose from "),
        ("sampler=hm", "sampler: there is no 'hm'; nearest is hmc; choose from "),
        ("seed=1,2", "seed=1,2: is several values; to sweep over them add -m"),
        ("name=a(", "name=a(: cannot be parsed as an override"),
    ],
)
def test_what_hydra_refuses_is_said_in_our_words(typed: str, said: str) -> None:
    with pytest.raises(UserError) as refused:
        load(*typed.split())
    assert str(refused.value).startswith(said)
    assert len(str(refused.value).splitlines()) <= 2


@pytest.mark.parametrize(
    ("typed", "gone", "left"),
    [
        ("experiment=plane/rings sampler=langevin", "sampler.proposal", "start@sampler.proposal: left out"),
        ("experiment=table dataset.path=x evaluator=none", "evaluator.ais", "sampler@evaluator.ais.kernel: left out"),
        (
            "experiment=table dataset.path=x start@buffer.start=uniform",
            "buffer.start.n_components",
            "buffer.start.n_comp",
        ),
    ],
)
def test_what_an_experiment_says_inside_of_what_is_replaced_is_left_out(typed: str, gone: str, left: str) -> None:
    loader, config = load(*typed.split())
    assert look_up(config, gone) is None
    assert any(note.startswith(left) for note in loader.notes)


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("experiment=plane dataset=pinwheel --cfg job", 0),
        ("experiment=conv/fashion_mnist dataset=mnist --cfg job", 0),
        ("trainer.batch_size=-1", 2),
    ],
)
def test_what_is_shown_or_refused_early_imports_no_torch(typed: str, code: int) -> None:
    command = [sys.executable, "-X", "importtime", "train.py", *typed.split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "omegaconf" in imported
    assert "torch" not in imported


def test_what_most_commands_need_imports_nothing_slow() -> None:
    """All of the package, ``deterministic=false`` and the digits; what is slow is imported where it is used."""
    code = (
        "import importlib, pkgutil, sys, ebm_exp\n"
        "names = [module.name for module in pkgutil.walk_packages(ebm_exp.__path__, 'ebm_exp.')]\n"
        "late = ('ebm_exp.sweeper', 'ebm_exp.sklearn')  # optuna; who imports an estimator has scikit-learn\n"
        "[importlib.import_module(name) for name in names if not name.startswith(late)]\n"
        "from ebm_exp.config.device import set_deterministic\n"
        "from ebm_exp.dataset.digits import load\n"
        "set_deterministic(False)\n"
        "load()\n"
        "slow = 'torch._dynamo torchmetrics torchvision sklearn scipy arviz_stats matplotlib wandb trackio optuna'\n"
        "print(sorted({*slow.split()} & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_it_is_told_and_trains(cli: Callable[..., subprocess.CompletedProcess[str]], tmp_path) -> None:
    typed = ("experiment=du2021/digits_small", "sampler=mala", "debug=smoke", "evaluator=mmd", "optimized_metric=null")
    command = ("train.py", *typed, f"hydra.run.dir={tmp_path}/run")
    done = cli(*command)
    assert done.returncode == 0, done.stderr
    said = "experiment=du2021/digits_small sets it, sampler=mala has no such key"
    assert f"sampler.noise_first: left out; {said}" in (tmp_path / "run" / "train.log").read_text()
    again = cli(*command, "resume=auto", "trainer.max_steps=3")
    assert again.returncode == 0, again.stderr


def test_a_choice_may_refer_to_another(tmp_path: Path) -> None:
    """What is composed quickly (``ebm_exp.cli.process.hasten_hydra``) is composed as before."""
    for name, text in (("a/x", "v: 1"), ("b/x", "w: 2"), ("main", "defaults: [a: x, b: '${a}', _self_]")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.yaml").write_text(text)
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        assert compose("main") == {"a": {"v": 1}, "b": {"w": 2}}
        with pytest.raises(MissingConfigException, match="b/y"):
            compose("main", ["b=y"])
