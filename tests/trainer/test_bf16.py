"""bf16 over a pairwise cover: any two of energy, regularization, objective, sampler and evaluator work together.

The choices are the files of conf/, so that a new one is covered too.
"""

import functools
import itertools
import math
import re
import shlex
from collections import Counter
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
from ebm_exp.evaluator.published import NETWORKS
from ebm_exp.guard.meter import Meter
from ebm_exp.objective import Loss
from ebm_exp.run.directory import RunDirectory
from ebm_exp.trainer.build import build
from ebm_exp.trainer.ema import EMA
from ebm_exp.trainer.experiment import Experiment
from ebm_exp.trainer.observer import Observer
from ebm_exp.trainer.update import Update
from tests.config.test_conf import OF_BITS, composed, run_two_steps

GROUPS = ("energy", "objective", "sampler", "evaluator", "regularization")
PLACES = (*GROUPS[:-1], "conditional", GROUPS[-1])
SIBLINGS = (  # of one class, or one is the other and something more: they stand for each other by turns
    ("double_well", "funnel", "gaussian", "mixture", "radial", "ring"),
    ("igebm", "igebm_large"),
    ("mlp", "whitened"),
    ("cd", "short_run"),
    ("dsm", "flow_matching"),
    ("pseudo_likelihood", "ratio_matching"),
    ("du2019", "spectral_norm"),
)
KIND = {name: names[0] for names in SIBLINGS for name in names}
SHRUNK = ("igebm_wide", "multiscale_large")  # small, they are what igebm and multiscale are
TOGETHER = (  # evaluators that do not see each other: fewer runs; the default is two of the second
    ("chain_health", "classifier", "drift", "inception_score", "kid", "manifold", "ood"),
    ("fid", "frechet", "memorization", "mmd", "two_sample", "lenet_mnist"),
)
ENERGIES = sorted(file.stem for file in CONF.glob("energy/*.yaml") if file.stem not in SHRUNK)
OF_TILTED = "tilt_l2"  # of one energy
OF_TIME = "density"  # of energies of time
Run = tuple[str, ...]  # a choice for each place; the last, which fits with everything, may be left out
Pair = frozenset[tuple[str, str]]


@functools.cache
def nodes() -> dict[str, dict[str, dict[str, Any]]]:
    """The files of conf/ by group and choice."""
    read = {group: {f.stem: yaml.safe_load(f.read_text()) for f in CONF.glob(f"{group}/*.yaml")} for group in GROUPS}
    for name in SHRUNK:
        del read["energy"][name]
    del read["evaluator"]["default"]
    del read["evaluator"][OF_TIME]
    for name in NETWORKS.keys() - {"lenet_mnist"}:
        del read["evaluator"][name]  # the same by another network
    del read["regularization"][OF_TILTED]  # the others fit with everything
    for names in TOGETHER:
        several = [read["evaluator"].pop(name) for name in names]
        read["evaluator"][f"[{','.join(names)}]"] = {key: part for each in several for key, part in each.items()}
    return read


def choices(place: str) -> list[str]:
    return ["false", "true"] if place == "conditional" else sorted(nodes()[place])


# Whatever key of a config has one of these names has this value.
SMALL: dict[str, Any] = {
    "n_steps": 2, "n_leapfrog": 2, "n_local": 1, "n_jumps": 1, "n_replicas": 2, "cooling_steps": 2,
    "widths": [16, 16], "width": 16, "blocks": 1, "bank_size": 4, "min_filled": 3, "size": 16, "n_samples": 8, "n": 20,
    "n_components": 2, "linf": [8], "l2": [128], "n_chains": 8, "n_betas": 4, "n_equilibrate": 4,
}  # fmt: skip


def node(run: Run, group: str) -> dict[str, Any]:
    return nodes()[group][run[PLACES.index(group)]]


def is_conditional(run: Run) -> bool:
    return run[PLACES.index("conditional")] == "true"


def needs_plane(run: Run) -> bool:
    return "Grid" in str(node(run, "evaluator"))


@functools.cache
def moves_bits(sampler: str) -> bool:
    return bool(getattr(locate("sampler", nodes()["sampler"][sampler]["_target_"]), "binary", False))


def is_binary(run: Run) -> bool:
    return moves_bits(run[PLACES.index("sampler")]) or bool({*OF_BITS} & {*run})


def has_clamps(run: Run) -> bool:
    """Whether chains of training are clamped, as the data set of images suggests."""
    of_chains = "PCD" in str(node(run, "objective")) or {"cd", "short_run"} & {*run}
    return bool(of_chains) and "clamp" in str(node(run, "sampler"))


def refused(run: Run) -> str | None:
    """What is said of choices that do not fit together (a pattern); None: they do."""
    energy, conditional = node(run, "energy"), is_conditional(run)
    if conditional and "conditional" not in energy:
        return r"^energy\.conditional: unknown key"
    if needs_plane(run) and "channels" in energy:
        return r"^energy: \w+ needs images \[channels, height, width\], the data set has points of shape \[2\]$"
    if is_binary(run) and len(energy.get("channels", [])) > 4:
        return r"^energy: channels: must be at most \d widths, got \d: each stage halves images of 8×8, .*"
    if is_binary(run) and "centres" in energy:
        return r"^energy: centres: each must have 64 numbers, got \[2, 2\]$"
    if is_binary(run) and {"nce", "energy_discrepancy"} & {*run}:
        return "^objective: .* points of a continuous box, the data have two levels"
    if needs_plane(run) and {*OF_BITS} & {*run}:
        return r"^objective: needs points of two levels \(dataset=binary_digits\), the data set has others$"
    if is_binary(run) and needs_plane(run):
        return "^sampler: needs points of two levels .*, the data set has others$"
    if needs_plane(run) and conditional:
        return r"^evaluator\.grid: a grid needs an energy of the point alone, this one takes labels; "
    if {"jem", "classification"} & set(run) and "joint" not in run:
        return r"^objective\S*: \w+ needs an energy that classifies, as energy=joint does$"
    if "ais" in run and conditional:
        return r"^evaluator\.ais: ais needs an energy of the point alone, this one takes labels; "
    if "ais" in run and is_binary(run):
        return r"^evaluator\.ais: the data have two levels: ais needs sampler@evaluator\.ais\.kernel="
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
    if needs_plane(run) and not is_conditional(run):
        return ["dataset=gaussian", "dataset.n_train=64", "dataset.n_test=32"]
    if is_binary(run):
        return ["dataset=binary_digits"]
    side = max(8, 2 ** max(len(energy.get("channels", [])) - 2, 0) + 2)
    shape = "[2]" if needs_plane(run) or "centres" in energy else f"[1,{side},{side}]"
    return ["dataset=synthetic", f"dataset.shape={shape}", "dataset.n_train=64", "dataset.n_test=32"]


def pairs(run: Run) -> list[Pair]:
    return [frozenset(pair) for pair in itertools.combinations(zip(PLACES, run, strict=False), 2)]


def kinds(run: Run) -> Run:
    """The run with the first of its siblings in each place."""
    return tuple(KIND.get(choice, choice) for choice in run)


@functools.cache
def pairwise_cover() -> tuple[list[Run], list[Run]]:
    """Runs in which any two kinds that fit stand together; and one run for each two that never fit and each reason.

    Greedily: for a pair that is left, the run that holds most of them, then its regularization. Of equals the one whose
    siblings had fewer turns is taken, then the one with fewer evaluators.
    """
    *others, regularizations = map(choices, PLACES)
    reasons = {run: refused(run) for run in itertools.product(*others)}
    held = {run: pairs(kinds(run)) for run, reason in reasons.items() if reason is None}
    fitting: dict[Pair, list[Run]] = {}  # by two of their kinds, and by each alone
    for run, its in held.items():
        for part in (*its, *(frozenset([each]) for each in zip(PLACES, kinds(run), strict=False))):
            fitting.setdefault(part, []).append(run)
    last = {(PLACES[-1], kind) for kind in kinds(tuple(regularizations))}
    left = {part for part in fitting if len(part) == 2}
    left |= {part | {kind} for part in fitting if len(part) == 1 for kind in last}
    cover: list[Run] = []
    turns: Counter[str] = Counter()

    def worth(run: Run) -> tuple[int, int, int]:
        seen = sum(turns[choice] for choice in run if choice in KIND)
        return sum(pair in left for pair in held[run]), -seen, -len(node(run, "evaluator"))

    for pair in sorted(left, key=sorted):
        if pair in left:
            best = max(fitting[pair - last], key=worth)
            ended = {(*best, name): left & {*pairs(kinds((*best, name)))} for name in regularizations}
            run = max(ended, key=lambda run: (pair in ended[run], len(ended[run]), -turns[run[-1]]))
            cover.append(run)
            turns.update(run)
            left -= ended[run]
    return cover, unfit(reasons)


def unfit(reasons: dict[Run, str | None]) -> list[Run]:
    """A run for each two choices that never fit, with as little else wrong as can be; one of siblings for a reason."""
    fits = {pair for run, reason in reasons.items() if reason is None for pair in pairs(run)}
    least: dict[Pair, tuple[int, int, Run]] = {}
    for run, reason in reasons.items():
        wrong = [] if reason is None else [pair for pair in pairs(run) if pair not in fits]
        for pair in wrong:
            least[pair] = min(least.get(pair, (99, 99, run)), (len(wrong), len(node(run, "evaluator")), run))
    told: dict[tuple[str | None, Pair], Run] = {}
    for pair, (*_, run) in least.items():
        told[reasons[run], frozenset((place, KIND.get(choice, choice)) for place, choice in pair)] = (*run, "none")
    return sorted({*told.values()})


def shrink(value: Any) -> None:
    """Small networks, chains and samples; widths over 128 stay so, as they are normalised in groups."""
    for key, item in value.items() if isinstance(value, dict) else ():
        if key == "channels":
            value[key] = [160 if width > 128 else 8 for width in item]
        elif key in SMALL and item is not None:
            value[key] = SMALL[key]
        else:
            shrink(item)


def small(run: Run, cache: Path, *more: str) -> dict[str, Any]:
    chosen = [f"{place}={choice}" for place, choice in zip(PLACES, run, strict=True) if place != "conditional"]
    conditional = ["energy.conditional=true"] if is_conditional(run) and "conditional" in node(run, "energy") else []
    if "dsm" in run and not more:  # of levels it needs more than a choice
        more = ("objective.form=single",)
    few = ("engine.precision=bf16", "trainer.batch_size=4", "optimized_metric=null")
    config = composed(*chosen, *conditional, *data(run), *few, *more)
    if is_conditional(run):
        config["energy"]["conditional"] = True
    for group in (*GROUPS, "sampling", "buffer"):
        shrink(config[group])
    config["sampling"]["n_steps"] = 8  # a trace of energies needs some
    for each in config["evaluator"].values():
        if each.get("features", "pixels") != "pixels" or each["_target_"].endswith("ClassShare"):
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


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, unchecked: None) -> None:
    """Classifiers of few steps, pixels for Inception; signatures are checked where single parts are tested."""
    monkeypatch.setattr(classifier, "N_STEPS", 5)
    monkeypatch.setattr(drift, "MULTIPLES", (1, 2))
    monkeypatch.setattr(features, "Inception", lambda weights, domain, output: Pixels(domain.event_shape))
    monkeypatch.setattr(features, "Frozen", lambda net, weights, domain, logits: Pixels(domain.event_shape))
    monkeypatch.setattr(features.published, "find", lambda name, *_: Path(__file__))


@pytest.mark.parametrize("energy", ENERGIES)
def test_any_two_choices_train_draw_and_evaluate(energy: str, cache: Path, tmp_path: Path, quick: None) -> None:
    for run in pairwise_cover()[0]:
        if run[0] == energy:
            try:
                train_draw_and_evaluate(small(run, cache), tmp_path)
            except BaseException as error:
                error.add_note(" ".join(f"{place}={choice}" for place, choice in zip(PLACES, run, strict=True)))
                raise


def test_a_term_of_one_energy_trains(cache: Path, tmp_path: Path, quick: None) -> None:
    config = small(("tilted", "pcd", "jump", "none", "false", "none"), cache)
    train_draw_and_evaluate(
        config | {"regularization": composed(f"regularization={OF_TILTED}")["regularization"]}, tmp_path
    )


OF_LEVELS = (  # what is fitted to noised data beside, and a normaliser at work
    ("mlp", "dsm", "noise=edm", "normaliser=time_score", "sampling=flow", "evaluator.ais.path=levels"),
    ("encoder", "flow_matching", "normaliser=levels", "sampling=levels"),
)


@pytest.mark.parametrize("row", OF_LEVELS, ids=" ".join)
def test_densities_of_all_levels_train(row: tuple[str, ...], cache: Path, tmp_path: Path, quick: None) -> None:
    energy, objective, *more = row
    run = (energy, objective, "mala", "ais", "false", "none")
    config = small(run, cache, "energy.timed=true", "normaliser.after=0", *more)
    config["evaluator"] |= composed(f"evaluator={OF_TIME}", "optimized_metric=null")["evaluator"]
    shrink(config["evaluator"])
    train_draw_and_evaluate(config, tmp_path)


def train_draw_and_evaluate(config: dict[str, Any], folder: Path) -> None:
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
    observer = Observer(ex, RunDirectory(folder), ema.energy, 4)
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


@pytest.mark.parametrize("energy", ENERGIES)
def test_what_does_not_fit_is_refused_in_one_line(energy: str, cache: Path, unchecked: None) -> None:
    for run in pairwise_cover()[1]:
        if run[0] == energy:
            config = small(run, cache)
            with pytest.raises(UserError) as error:
                check(config)
            assert re.search(str(refused(run)), str(error.value)), run
            assert "\n" not in str(error.value)


def check(config: dict[str, Any]) -> None:
    validate(config)
    build(config)


def test_the_cover_has_every_pair() -> None:
    cover, unfitting = pairwise_cover()
    assert all(refused(run) is None for run in cover)
    assert all(refused(run) is not None for run in unfitting)
    covered = {pair for run in (*cover, *unfitting) for pair in pairs(kinds(run))}
    of = {place: {*kinds(tuple(choices(place)))} for place in PLACES}
    for a, b in itertools.combinations(PLACES, 2):
        assert all(frozenset({(a, one), (b, other)}) in covered for one in of[a] for other in of[b])
    assert len(cover) < 1.3 * max(len(of[a]) * len(of[b]) for a, b in itertools.combinations(PLACES, 2))
    assert {choice for run in cover for choice in run} == {choice for place in PLACES for choice in choices(place)}


PAGE = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^python train\.py .*bf16.*$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.split("#")[0].strip())
def test_commands_of_the_page_run(command: str, tmp_path: Path, cache: Path, quick: None) -> None:
    """As printed, with debug=smoke for stand-in data; an eighth of the widths."""
    config = composed(*shlex.split(command, comments=True)[2:], "debug=smoke", "device=cpu")
    assert config["engine"]["precision"] == "bf16"
    config["energy"]["channels"] = [max(width // 8, 8) for width in config["energy"]["channels"]]
    run_two_steps(config, tmp_path, cache)


def test_the_page_has_commands_in_bf16() -> None:
    assert len(COMMANDS) >= 2
