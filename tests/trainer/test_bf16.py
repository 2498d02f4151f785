"""bf16 over a pairwise cover: any two of energy, regularization, objective, sampler and evaluator work together.

The choices are the files of conf/, so that a new one is covered too.
"""

import itertools
import math
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from ebm_exp.config.errors import UserError
from ebm_exp.config.trust import CONF
from ebm_exp.config.validate import locate, validate
from ebm_exp.energy import Energy
from ebm_exp.energy.base import rest
from ebm_exp.evaluator import classifier, drift, features
from ebm_exp.evaluator.features import Pixels
from ebm_exp.guard.meter import Meter
from ebm_exp.objective import Loss
from ebm_exp.run.directory import RunDirectory
from ebm_exp.trainer.build import build
from ebm_exp.trainer.ema import EMA
from ebm_exp.trainer.experiment import Experiment
from ebm_exp.trainer.observer import Observer
from ebm_exp.trainer.update import Update
from tests.config.test_conf import OF_BITS, composed, run_two_steps

GROUPS = ("energy", "regularization", "objective", "sampler", "evaluator")
NODES = {(group, f.stem): yaml.safe_load(f.read_text()) for group in GROUPS for f in CONF.glob(f"{group}/*.yaml")}
for names in (
    "chain_health,drift,inception_score,kid,manifold,ood",
    "fid,frechet,memorization",
):  # which do not see each other: fewer runs
    several = [NODES.pop(("evaluator", name)) for name in names.split(",")]
    NODES["evaluator", f"[{names}]"] = {name: part for each in several for name, part in each.items()}
for name in ("igebm_wide", "multiscale_large"):  # shrunk, they are what igebm and multiscale are
    del NODES["energy", name]
FACTORS = {group: sorted(name for g, name in NODES if g == group) for group in GROUPS}
FACTORS["conditional"] = ["false", "true"]
Run = tuple[str, ...]  # one choice for each factor
Pair = frozenset[tuple[str, str]]

# Whatever key of a config has one of these names has this value.
SMALL: dict[str, Any] = {
    "n_steps": 2, "n_leapfrog": 2, "n_local": 1, "n_jumps": 1, "n_replicas": 2, "cooling_steps": 2,
    "widths": [16, 16], "width": 16, "blocks": 1, "bank_size": 4, "min_filled": 3, "size": 16, "n_samples": 8, "n": 20,
    "n_components": 2, "linf": [8], "l2": [128], "n_chains": 8, "n_betas": 4, "n_equilibrate": 4,
}  # fmt: skip


def node(run: Run, group: str) -> dict[str, Any]:
    return NODES[group, dict(zip(FACTORS, run, strict=True))[group]]


def needs_plane(run: Run) -> bool:
    return "Grid" in str(node(run, "evaluator"))


def is_binary(run: Run) -> bool:
    sampler = locate("sampler", node(run, "sampler")["_target_"])
    return bool(getattr(sampler, "binary", False)) or bool({*OF_BITS} & {*run})


def has_clamps(run: Run) -> bool:
    """Whether chains of training are clamped, as the data set of images suggests."""
    of_chains = "PCD" in str(node(run, "objective")) or {"cd", "short_run"} & {*run}
    return bool(of_chains) and "clamp" in str(node(run, "sampler"))


def refused(run: Run) -> str | None:
    """What is said of choices that do not fit together (a pattern); None: they do."""
    energy, conditional = node(run, "energy"), run[-1] == "true"
    if conditional and "conditional" not in energy:
        return r"^energy\.conditional: unknown key"
    if is_binary(run) and {"nce", "energy_discrepancy"} & {*run}:
        return "^objective: .* points of a continuous box, the data have two levels"
    if needs_plane(run) and {*OF_BITS} & {*run}:
        return r"^objective: needs points of two levels \(dataset=binary_digits\), the data set has others$"
    if is_binary(run) and needs_plane(run):
        return "^sampler: needs points of two levels .*, the data set has others$"
    if needs_plane(run) and "channels" in energy:
        return r"^energy: \w+ needs images \[channels, height, width\], the data set has points of shape \[2\]$"
    if needs_plane(run) and conditional:
        return r"^evaluator\.grid: a grid needs an energy of the point alone, this one takes labels; "
    if is_binary(run) and len(energy.get("channels", [])) > 4:
        return r"^energy: channels: must be at most \d widths, got \d: each stage halves images of 8×8, .*"
    if is_binary(run) and "centres" in energy:
        return r"^energy: centres: each must have 64 numbers, got \[2, 2\]$"
    if {"jem", "classification"} & set(run) and "joint" not in run:
        return r"^objective\S*: \w+ needs an energy that classifies, as energy=joint does$"
    if "ais" in run and conditional:
        return r"^evaluator\.ais: ais needs an energy of the point alone, this one takes labels; "
    if "ais" in run and is_binary(run):
        return r"^evaluator\.ais: ais needs a density on a box, the data have two levels; "
    if "ais" in run and has_clamps(run):
        return r"^evaluator\.ais: ais needs a density exp\(−E/T\)/Z, and a clamp acts on the chains of this run, "
    if "classes" in run and "joint" not in run and not conditional:
        return r"^evaluator\.classes: classes needs an energy that knows them: .*"
    if "memorization" in node(run, "evaluator") and is_binary(run):
        return r"^evaluator\.memorization: memorization needs held-out points, binary_digits has none"
    if "fid" in node(run, "evaluator") and "centres" in energy:
        return r"^evaluator\.fid: features: inception needs images of 1 or 3 channels, the data set has \[2\]$"
    if is_binary(run) and "kl" in node(run, "objective").get("terms", {}):
        return r"^objective: kl: needs a continuous sampler, \w+ is binary$"
    return None


def data(run: Run) -> list[str]:
    """A small data set that has what the choices need: the plane, two levels, images that can be halved so often."""
    energy = node(run, "energy")
    if needs_plane(run) and run[-1] == "false":
        return ["dataset=gaussian", "dataset.n_train=64", "dataset.n_test=32"]
    if is_binary(run):
        return ["dataset=binary_digits"]
    side = max(8, 2 ** max(len(energy.get("channels", [])) - 2, 0) + 2)
    shape = "[2]" if needs_plane(run) or "centres" in energy else f"[1,{side},{side}]"
    return ["dataset=synthetic", f"dataset.shape={shape}", "dataset.n_train=64", "dataset.n_test=32"]


def pairs(run: Run) -> Iterator[Pair]:
    yield from map(frozenset, itertools.combinations(zip(FACTORS, run, strict=True), 2))


def pairwise_cover() -> tuple[list[Run], list[Run]]:
    """Runs in which any two choices that fit stand together, greedily; and one run for each two that never fit."""
    everything = list(itertools.product(*FACTORS.values()))
    fitting = {run: set(pairs(run)) for run in everything if refused(run) is None}
    by_pair: dict[Pair, list[Run]] = {}
    for run, its in fitting.items():
        for pair in its:
            by_pair.setdefault(pair, []).append(run)
    left, cover = dict.fromkeys(sorted(by_pair, key=sorted)), []
    while left:
        best = max(by_pair[next(iter(left))], key=lambda run: sum(pair in left for pair in fitting[run]))
        cover.append(best)
        for pair in fitting[best]:
            left.pop(pair, None)
    never: dict[Pair, tuple[int, Run]] = {}  # with as little else wrong as can be
    for run in everything:
        wrong = [] if run in fitting else [pair for pair in pairs(run) if pair not in by_pair]
        for pair in wrong:
            never[pair] = min(never.get(pair, (99, run)), (len(wrong), run))
    return cover, sorted({run for _, run in never.values()})


COVER, REFUSED = pairwise_cover()


def shrink(value: Any) -> None:
    """Small networks, chains and samples; widths over 128 stay so, as they are normalised in groups."""
    for key, item in value.items() if isinstance(value, dict) else ():
        if key == "channels":
            value[key] = [160 if width > 128 else 8 for width in item]
        elif key in SMALL and item is not None:
            value[key] = SMALL[key]
        else:
            shrink(item)


def small(run: Run, cache: Path) -> dict[str, Any]:
    choices = [f"{factor}={choice}" for factor, choice in zip(GROUPS, run, strict=False)]
    conditional = ["energy.conditional=true"] if run[-1] == "true" and "conditional" in node(run, "energy") else []
    config = composed(
        *choices, *conditional, *data(run), "engine.precision=bf16", "trainer.batch_size=4", "optimized_metric=null"
    )
    if run[-1] == "true":
        config["energy"]["conditional"] = True
    for group in (*GROUPS, "sampling", "buffer"):
        shrink(config[group])
    config["sampling"]["n_steps"] = 8  # a trace of energies needs some
    for each in config["evaluator"].values():
        if each.get("features") == "classifier" or each["_target_"].endswith("ClassShare"):
            each["cache_dir"] = str(cache)
        if each.get("features") == "inception":
            each["weights"] = __file__  # not read: pixels take its place
    return config


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("classifiers")


def is_good(x: Tensor) -> bool:
    return x.dtype == torch.float32 and bool(x.isfinite().all())


def check_step(loss: Loss) -> None:
    for name, value in (*loss.terms.items(), *loss.energies.items(), *loss.metrics.items()):
        assert is_good(value), name


def shifts(energy: Energy, parameter: nn.Parameter, ex: Experiment) -> bool:
    """Whether a parameter is the energy's free constant, which moves no density and takes no gradient."""
    points = ex.dataset.batch(0, 8, 0)
    with rest(energy), torch.no_grad():
        before = energy.bind(y=points.y)(points.x)
        parameter += 1
        change = energy.bind(y=points.y)(points.x) - before
    return bool((change - change.mean()).abs().max() < 1e-4)


@pytest.mark.parametrize("run", COVER, ids="-".join)
def test_any_two_choices_train_draw_and_evaluate(
    run: Run, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier, "N_STEPS", 5)
    monkeypatch.setattr(drift, "MULTIPLES", (1, 2))
    monkeypatch.setattr(features, "Inception", lambda weights, domain, output: Pixels(domain.event_shape))
    config = small(run, cache)
    validate(config)
    _, ex = build(config)
    assert ex.engine.precision == "bf16"
    before = {name: p.detach().clone() for name, p in ex.energy.named_parameters()}
    ema, meter = EMA(ex.energy, ex.objective, 1.0), Meter(ex.engine.device)
    update = Update(ex._replace(batch_size=4), ema, meter)
    for step in range(2):
        check_step(update(step))
    _, bad = meter.read()
    assert bad is None
    ema.refresh()
    observer = Observer(ex, RunDirectory(tmp_path), ema.energy, 4)
    drawn = observer.samples(8)
    assert is_good(drawn.x)
    assert drawn.x.shape == (8, *ex.dataset.event_shape)
    scores = observer.evaluate()
    still = {"chain_r_hat"}  # of chains whose energies never change: infinite
    assert all(math.isfinite(score.value) for name, score in scores.items() if name not in still), scores
    assert set(scores) >= {name for each in ex.evaluators.values() for name in each.gives()}
    assert all(is_good(each.x) for each in ex.objective.panels(4).values())
    unseen = "bias" if ex.objective.warnings(ex.energy) else None  # ∇E is constant between the edges
    for name, parameter in ex.energy.named_parameters():
        assert is_good(parameter)
        if unseen is not None and name.endswith(unseen):
            continue
        assert not torch.equal(parameter, before[name]) or shifts(ex.energy, parameter, ex), name


@pytest.mark.parametrize("run", REFUSED, ids="-".join)
def test_what_does_not_fit_is_refused_in_one_line(run: Run, cache: Path) -> None:
    config = small(run, cache)
    reason = refused(run)
    assert reason is not None

    def check() -> None:
        validate(config)
        build(config)

    with pytest.raises(UserError, match=reason) as error:
        check()
    assert "\n" not in str(error.value)


def test_the_cover_has_every_pair() -> None:
    covered = {pair for run in (*COVER, *REFUSED) for pair in pairs(run)}
    for (a, of_a), (b, of_b) in itertools.combinations(FACTORS.items(), 2):
        assert all(frozenset({(a, one), (b, other)}) in covered for one in of_a for other in of_b)
    assert len(COVER) < 1.3 * max(len(a) * len(b) for a, b in itertools.combinations(FACTORS.values(), 2))


README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^python train\.py .*bf16.*$", README, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.split("#")[0].strip())
def test_commands_of_the_readme_run(command: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As printed, with debug=smoke for stand-in data; an eighth of the widths, a classifier of few steps."""
    monkeypatch.setattr(classifier, "N_STEPS", 5)
    config = composed(*shlex.split(command, comments=True)[2:], "debug=smoke", "device=cpu")
    assert config["engine"]["precision"] == "bf16"
    config["energy"]["channels"] = [max(width // 8, 8) for width in config["energy"]["channels"]]
    run_two_steps(config, tmp_path, cache)


def test_the_readme_has_commands_in_bf16() -> None:
    assert len(COMMANDS) >= 2
