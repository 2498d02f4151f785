"""Every file under conf/ composes, validates and builds."""

import copy
import functools
import importlib.util
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image

from ebm_exp.config.build import Parts
from ebm_exp.config.device import set_deterministic
from ebm_exp.config.errors import UserError
from ebm_exp.config.suggestions import Suggestions
from ebm_exp.config.trust import CONF
from ebm_exp.config.validate import validate
from ebm_exp.evaluator import classifier, published
from ebm_exp.mode import Mode
from ebm_exp.random import Stream
from ebm_exp.run.directory import RunDirectory
from ebm_exp.start import Start
from ebm_exp.trainer.build import build
from ebm_exp.trainer.session import Session
from tests.config.published import PUBLISHED

CHOICES = sorted(
    f"{file.parent.relative_to(CONF)}={file.stem}"
    for file in CONF.glob("*/*.yaml")
    if file.parent.name not in ("hydra", "wandb_sweep")
)
EXPERIMENTS = sorted(
    f"experiment={file.relative_to(CONF / 'experiment').with_suffix('')}" for file in CONF.glob("experiment/**/*.yaml")
)
MODES = [choice for choice in CHOICES if choice.startswith("mode=")]  # of sample.py; tests/cli/test_sample.py runs them
STARTS = [choice for choice in CHOICES if choice.startswith("start=")]  # of other nodes: start@buffer.start=…
CHOICES = [choice for choice in CHOICES if choice not in (*EXPERIMENTS, *MODES, *STARTS)]
OF_BITS = ("energy_discrepancy_binary", "pseudo_likelihood", "ratio_matching")  # objectives for points of two levels
# Experiments that differ from another in numbers and data alone: that one is run for both.
ALIKE = {
    f"experiment={name}": f"experiment={other}"
    for other, names in {
        "conv/mnist": ["conv/fashion_mnist"],
        "du2019/mnist": ["du2019/fashion_mnist"],
        "flow/digits": ["flow"],
        "flow/cifar10": ["flow/fashion_mnist_small", "flow/mnist_small"],
        "flow/digits_stay": ["flow/stay"],
        "discrete/two_spirals": ["discrete/eight_gaussians"],
        "plane/two_moons": ["plane", *(f"plane/{shape}" for shape in (
            "checkerboard", "eight_gaussians", "pinwheel", "rings", "swiss_roll", "two_spirals"))],
    }.items()
    for name in names
}  # fmt: skip
DISTINCT = [experiment for experiment in EXPERIMENTS if experiment not in ALIKE]
NO_IMAGES = [
    choice
    for choice in EXPERIMENTS
    if choice.startswith(tuple(f"experiment={name}" for name in ("plane", "binary_digits", "table", "discrete")))
    or "/plane" in choice
]
A_TABLE = f"dataset.path={Path(__file__).with_name('table.csv')}"


def composed(*overrides: str, whole: bool = True) -> dict:
    """The resolved config of train.py, composed once for all tests that want it; of a table, with one of 60 rows."""
    given = (*overrides, A_TABLE) if "experiment=table" in overrides else overrides
    return copy.deepcopy(_composed(given, whole))


@functools.cache
def _composed(overrides: tuple[str, ...], whole: bool) -> dict:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", overrides=list(overrides))
    container = OmegaConf.to_container(config, resolve=True, throw_on_missing=whole)
    assert isinstance(container, dict)
    return container


def fitting(choice: str, tmp_path: Path) -> list[str]:
    """What a choice needs to be built here: files that are there, few points."""
    node = composed(choice, whole=False)["dataset"] if choice.startswith(("dataset=", "hparams_search=")) else {}
    if choice == "dataset=image_folder":
        for i in range(20):
            Image.new("RGB", (40, 32), (i, i, i)).save(tmp_path / f"{i}.png")
        return [f"dataset.root={tmp_path}", f"dataset.cache_dir={tmp_path}", "trainer.batch_size=4"]
    if choice == "dataset=image_array":
        np.save(tmp_path / "x.npy", np.arange(20 * 64, dtype=np.uint8).reshape(20, 8, 8))
        return [f"dataset.path={tmp_path / 'x.npy'}", "trainer.batch_size=4"]
    if choice == "dataset=table":
        (tmp_path / "x.csv").write_text("".join(f"{i % 7},{i * i % 11}\n" for i in range(100)))
        return [f"dataset.path={tmp_path / 'x.csv'}"]
    if "stand_in" in node:
        return [f"dataset.root={tmp_path}", "stand_in=true"]
    if choice == "regularization=tilt_l2":
        return ["energy=tilted", "start@energy.base=uniform"]
    if choice.startswith("augmentation=icd"):
        return ["dataset=synthetic", "dataset.shape=[3,32,32]"]
    if choice.startswith("energy=multiscale"):  # of 32×32, 128×128
        return [f"dataset={'celeba' if 'large' in choice else 'cifar10'}", f"dataset.root={tmp_path}", "stand_in=true"]
    if choice in ("sampler=gibbs_with_gradients", *(f"objective={name}" for name in OF_BITS)):
        return ["dataset=binary_digits"]
    if choice.startswith("normaliser=") and choice != "normaliser=none":
        return ["energy.timed=true", "objective=flow_matching", "regularization=none"]
    if choice == "objective=dsm":  # of levels it needs another noise and an energy of time too
        return ["objective.form=single"]
    if choice in ("energy=mixture", "evaluator=grid"):
        return ["dataset=gaussian"]
    if choice in ("objective=jem", "objective=classification", "evaluator=classes"):
        return ["energy=joint", "optimized_metric=null"] if choice == "evaluator=classes" else ["energy=joint"]
    if choice == "evaluator=fid":
        (tmp_path / "weights.pth").touch()
        return [f"evaluator.fid.weights={tmp_path / 'weights.pth'}", "optimized_metric=eval/fid"]
    if choice.startswith("evaluator="):  # the metric that is optimized must be one of theirs
        own = {"evaluator=memorization": ["dataset.test_share=0.2"], "evaluator=ais": ["sampler=mala"]}
        own["evaluator=density"] = ["objective=flow_matching", "energy.timed=true", "normaliser=time_score"]
        return [*own.get(choice, []), "optimized_metric=null"]
    return ["dataset.n_train=500", "dataset.n_test=100"] if "half_width" in node else []


@pytest.fixture(scope="session")
def classifiers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where experiments on the same data find the classifier that one of them trained."""
    return tmp_path_factory.mktemp("classifiers")


def fewer_components(node: Any) -> None:
    """Mixtures of two: those of a recipe take seconds to fit."""
    for key, value in node.items() if isinstance(node, dict) else ():
        if key == "n_components":
            node[key] = 2
        fewer_components(value)


def run_two_steps(config: dict, tmp_path: Path, classifiers: Path, metric_typed: bool = True) -> None:
    fewer_components(config)
    if "root" in config["dataset"]:
        config["dataset"]["root"] = str(tmp_path)
    for node in config["evaluator"].values():
        if node.get("features") == "classifier" or node["_target_"].endswith("ClassShare"):
            node["cache_dir"] = str(classifiers)
    if "grid" in config["evaluator"]:
        config["evaluator"]["grid"]["n"] = 60
    if "density" in config["evaluator"]:
        config["evaluator"]["density"] |= {"n": 16, "n_cells": 20, "n_levels": 2}
    if "ais" in config["evaluator"]:
        config["evaluator"]["ais"] |= {"n_betas": 10, "n_equilibrate": 4}
    validate(config)
    parts, experiment = build(config, metric_typed=metric_typed)
    run = RunDirectory(tmp_path / "run")
    run.create()
    Session(parts["trainer"], experiment, run, parts["logger"]).run()
    rows, summary = run.metrics(), run.summary()
    assert [row["step"] for row in rows] == [1, 2, 2]  # the scores of a step have a row of their own
    assert all(name.startswith("eval/") for name in rows[-1].keys() - {"step"})
    assert summary["state"] == "finished"
    assert set(summary["protocol"]) == set(config["evaluator"])
    assert math.isfinite(rows[-1][experiment.config["optimized_metric"]])
    assert (tmp_path / "run" / "samples" / "step_00000002.png").is_file()


def shrunk(experiment: str, *more: str) -> dict:
    """With debug=smoke: a synthetic data set of the same shape and classes stands in for one that is not there."""
    return smaller(composed(experiment, *more, "debug=smoke"))


def smaller(config: dict) -> dict:
    """Networks of convolutions have a sixteenth of their widths and one block where others follow that are like it,
    faces half the side, buffers and annealing are small; the slow test has all of them whole.
    """
    if "channels" in config["energy"]:
        config["energy"]["channels"] = [max(width // 16, 8) for width in config["energy"]["channels"]]
    if "blocks" in config["energy"]:
        config["energy"]["blocks"] = 1
    if "size" in config["dataset"]:
        config["dataset"]["stand_in"]["shape"][1:] = [min(config["dataset"]["size"], 64)] * 2
    config["buffer"]["size"] = min(config["buffer"]["size"], 1100)  # entropy waits for 1,000
    for node in config["evaluator"].values():
        node |= {"n_chains": 16} if "n_chains" in node else {}
    return config


def kind(node: Any) -> Any:
    """What a config says beside its numbers."""
    if isinstance(node, dict):
        return {key: kind(value) for key, value in node.items()}
    if isinstance(node, list):
        return {str(kind(value)) for value in node}
    return node if isinstance(node, str | bool | None) else "a number"


@pytest.mark.parametrize("experiment", ALIKE)
def test_experiments_that_are_alike_build_and_differ_in_numbers_and_data(experiment: str, tmp_path: Path) -> None:
    config, other = shrunk(experiment), shrunk(ALIKE[experiment])
    left_out = {"dataset", "logger", "name"}
    assert kind({k: v for k, v in config.items() if k not in left_out}) == kind(
        {k: v for k, v in other.items() if k not in left_out}
    )
    if "root" in config["dataset"]:
        config["dataset"]["root"] = str(tmp_path)
    fewer_components(config)
    validate(config)
    assert build(config)[1].dataset.train(5).shape[0] == 5


@pytest.mark.parametrize("experiment", DISTINCT)
def test_every_experiment_runs_two_steps(
    experiment: str, tmp_path: Path, classifiers: Path, unchecked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier, "N_STEPS", 5)
    config = shrunk(experiment)
    run_two_steps(config, tmp_path, classifiers)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_runs_two_steps_on_a_gpu(
    experiment: str, precision: str, tmp_path: Path, classifiers: Path
) -> None:
    config = composed(experiment, "debug=smoke", "device=cuda", f"engine.precision={precision}")
    run_two_steps(config, tmp_path, classifiers)


@pytest.mark.gpu
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_deterministic_run_repeats_bit_for_bit_on_a_gpu(experiment: str, tmp_path: Path, classifiers: Path) -> None:
    states = []
    set_deterministic(True)
    try:
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            config = composed(experiment, "debug=smoke", "device=cuda", "deterministic=true")
            run_two_steps(config, tmp_path / name, classifiers)
            state = torch.load(tmp_path / name / "run" / "checkpoints" / "step_00000002.pt", weights_only=True)
            states.append((state["parts"], state["ema"]))
    finally:
        set_deterministic(False)
    torch.testing.assert_close(states[0], states[1], rtol=0, atol=0)


@pytest.mark.parametrize("experiment", [experiment for experiment in DISTINCT if experiment not in NO_IMAGES])
def test_a_recipe_moves_to_a_folder_of_images_unchanged(experiment: str) -> None:
    own = composed(experiment)
    moved = composed(experiment, "dataset=image_folder", "dataset.root=somewhere")
    for key in ("value_range", "noise_std", "dequantize", "clamp_noise", "horizontal_flip"):
        assert moved["dataset"][key] == own["dataset"][key], key
    for key in ("step_size", "noise_std", "n_steps", "clamp", "sampling_n_steps", "reinit_probability", "energy_l2"):
        assert moved["dataset"]["suggest"][key] == own["dataset"]["suggest"][key], key
    for config in (own, moved):
        del config["dataset"], config["name"]
    assert moved == own


@pytest.mark.slow
@pytest.mark.parametrize("experiment", [experiment for experiment in EXPERIMENTS if experiment[11:] in PUBLISHED])
def test_every_published_network_runs_two_steps(experiment: str, tmp_path: Path, classifiers: Path) -> None:
    run_two_steps(composed(experiment, "debug=smoke"), tmp_path, classifiers)


@pytest.mark.parametrize("choice", [choice for choice in CHOICES if choice.startswith("dataset=")])
def test_temperature_and_step_of_a_chain_follow(choice: str, tmp_path: Path) -> None:
    """T and the step of Hamiltonian kernels are not written beside the λ and noise that they follow from."""
    own = [choice, *fitting(choice, tmp_path)]
    chain = composed(*own)["dataset"]["suggest"]
    step, noise = chain["step_size"], chain["noise_std"]
    assert not {"temperature", "epsilon"} & set(chain)
    assert Suggestions(chain).temperature == pytest.approx(1.0 if noise is None else noise**2 / step)
    kernel = Parts(composed(*own, "sampler=underdamped"))["sampler"]
    assert kernel.log_step.exp().item() == pytest.approx(step**0.5)


def test_every_data_set_works_at_another_place(tmp_path: Path) -> None:
    """As a set that an evaluator compares with, data sets for which others stand in too: nothing in it is absolute."""
    names = [choice.partition("=")[2] for choice in CHOICES if choice.startswith("dataset=")]
    files = {"image_folder": [f"dataset.root={tmp_path / 'nowhere'}"]}
    files |= {name: fitting(f"dataset={name}", tmp_path) for name in ("image_array", "table")}
    chosen = [f"+dataset@evaluator.ood.sets.{name}={name}" for name in names]
    given = [each.replace("dataset.", f"evaluator.ood.sets.{name}.", 1) for name in files for each in files[name]]
    given = [each for each in given if each.startswith("evaluator.ood")]
    config = composed("stand_in=true", "evaluator=ood", *chosen, *given)
    sets = validate(config)["evaluator"]["ood"]["sets"]
    assert list(sets) == names
    for name, node in sets.items():
        small = {"n_train": 50, "n_test": 20} if "half_width" in node else {}
        here = {"root": str(tmp_path)} if node.get("root") == "data" else {}
        data = Parts(config).construct(f"evaluator.ood.sets.{name}", node | small | here)
        assert data.name == name, name
        shape = node.get("stand_in", {}).get("shape", data.event_shape)
        assert list(data.event_shape) == list(shape), name


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_composes_and_builds(mode: str) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        path = ["mode.path=x.csv"] if mode in ("mode=impute", "mode=score") else []
        config = OmegaConf.to_container(compose("sample", overrides=[mode, "run=x", "output_dir=x", *path]))
    node = OmegaConf.to_container(OmegaConf.create(config), resolve=True)["mode"]
    validate({"mode": node, "name": "", "seed": 0, "device": "cpu", "optimized_metric": None})
    assert isinstance(Parts({"mode": node, "seed": 0, "device": "cpu"})["mode"], Mode)


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_composes_and_builds(choice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "find", lambda name, *_: tmp_path)  # frozen networks are not read here
    config = composed(choice, *fitting(choice, tmp_path))
    validate(config)
    if choice in ("logger=trackio", "logger=both") and importlib.util.find_spec("trackio") is None:
        with pytest.raises(UserError, match=r"trackio is not installed; pip install '\.\[trackio\]'"):
            build(config)
        return
    parts, experiment = build(config)
    assert parts["trainer"].max_steps == config["trainer"]["max_steps"]
    x = parts["dataset"].train(5)
    assert x.shape == (5, *experiment.dataset.event_shape)
    assert experiment.energy.density()(x).shape == (5,)


@pytest.mark.parametrize(
    ("where", "choice"),
    [
        (where, choice.removeprefix("start="))
        for where in ("buffer.start", "sampling.start", "objective.start", "sampler.proposal")
        for choice in STARTS
        # From a buffer begin fresh chains alone: see test_wiring.py and tests/trainer/test_observer.py.
        if choice != "start=buffer" or where == "sampling.start"
        # Jumps need a density: the others are refused, see below.
        if where != "sampler.proposal" or choice in ("start=uniform", "start=mixture")
    ],
)
def test_every_start_builds_wherever_one_is_chosen(where: str, choice: str) -> None:
    others = {"objective.start": ["objective=short_run"], "sampler.proposal": ["sampler=jump"]}.get(where, [])
    data, d = ("gray_code", 32) if choice == "bits" else ("two_moons", 2)
    config = composed(f"dataset={data}", "dataset.n_train=500", *others, f"start@{where}={choice}")
    validate(config)
    parts, _ = build(config)
    part, _, name = where.partition(".")
    start = getattr(parts[part], "from_start" if part == "objective" else name)
    assert isinstance(start, Start)
    assert config[part][name]["_target_"].endswith("." + type(start).__name__)
    assert start.draw(5, Stream(0).at_step(parts["device"], 0)).x.shape == (5, d)


@pytest.mark.parametrize("choice", ["data", "normal", "mix"])
def test_a_start_of_unknown_density_is_no_proposal(choice: str) -> None:
    config = composed("dataset=two_moons", "dataset.n_train=500", "sampler=jump", f"start@sampler.proposal={choice}")
    validate(config)
    with pytest.raises(UserError, match="sampler: proposal: jumps need a start of known density"):
        build(config)


def test_a_choice_within_a_choice_can_be_made() -> None:
    config = composed("start@sampling.start=mix", "start@sampling.start.starts.noise=normal")
    validate(config)
    assert build(config)[1].sampling.start.name == "50% normal noise + 50% data"


def test_there_are_choices_for_every_group() -> None:
    groups = {choice.split("=")[0] for choice in CHOICES}
    assert groups >= {"dataset", "energy", "sampler", "buffer", "objective", "regularization", "optimizer", "trainer"}
    assert groups >= {"sampling", "engine", "schedule", "evaluator", "logger", "augmentation"}
    assert len(STARTS) >= 6


def test_defaults_follow_the_data_set() -> None:
    digits, moons = composed(), composed("dataset=two_moons")
    assert digits["sampler"]["step_size"] == digits["dataset"]["suggest"]["step_size"]
    assert moons["sampler"]["step_size"] == moons["dataset"]["suggest"]["step_size"] != digits["sampler"]["step_size"]
    assert composed("dataset=two_moons", "sampler.step_size=0.5")["sampler"]["step_size"] == 0.5


def test_one_buffer_and_one_sampler_are_shared() -> None:
    parts = Parts(composed())
    assert parts["objective"].buffer is parts["buffer"]
    assert parts["objective"].sampler is parts["sampling"].sampler


def test_nothing_is_built_that_nobody_asks_for() -> None:
    parts = Parts(composed("objective=cd"))
    assert parts["objective"].sampler is parts["sampler"]
    assert "buffer" not in parts._built
    assert "evaluator" not in parts._built


def test_same_seed_same_weights_whatever_the_global_generator() -> None:
    import torch

    torch.manual_seed(1)
    first = Parts(composed())["energy"].state_dict()
    torch.manual_seed(2)
    before = torch.get_rng_state()
    second = Parts(composed())["energy"].state_dict()
    assert torch.equal(before, torch.get_rng_state())
    other = Parts(composed("seed=1"))["energy"].state_dict()
    assert all(torch.equal(first[k], second[k]) for k in first)
    assert any(not torch.equal(first[k], other[k]) for k in first)


def test_evaluators_that_are_chosen_together_do_not_replace_each_other() -> None:
    nodes: dict[str, list] = {}
    for file in sorted((CONF / "evaluator").glob("*.yaml")):
        for key, node in (OmegaConf.to_container(OmegaConf.load(file), resolve=False) or {}).items():
            if key != "defaults":
                nodes.setdefault(key, []).append(node)
    assert {key: each for key, each in nodes.items() if any(node != each[0] for node in each)} == {}
