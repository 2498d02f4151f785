"""What evaluators say that they give, before they run, is what comes; other metrics are refused before training."""

from pathlib import Path

import pytest

from ebm_exp import evaluator
from ebm_exp.config.errors import UserError
from ebm_exp.evaluator import Evaluator, Model, Score
from ebm_exp.evaluator.base import Direction
from ebm_exp.evaluator.features import Pixels
from ebm_exp.trainer.build import build, choose_metric
from tests.config.test_conf import CHOICES, composed

SMALL = ("energy.widths=[8]", "sampler.n_steps=2", "sampling.n_steps=10", "optimized_metric=null", "device=cpu")
IMAGES, PLANE = ("dataset=digits", "dataset.test_share=0.2"), ("dataset=two_moons", "dataset.n_train=300")
JOINT = ["energy=joint", "energy.channels=[8,8,8]"]
OF_CHOICE = {"ais": ["sampler=mala"], "density": ["objective=flow_matching", "energy.timed=true", "normaliser=levels"]}
RUNS = [
    *(
        [
            choice,
            *(PLANE if choice == "evaluator=grid" else IMAGES),
            *OF_CHOICE.get(choice[10:], []),
        ]
        for choice in CHOICES
        if choice[:9] == "evaluator" and choice != "evaluator=classes"
    ),
    ["evaluator=classifier", *IMAGES, "energy.conditional=true"],
    *([f"evaluator={name}", *IMAGES, "energy.conditional=true"] for name in ("classes", "ood")),
    *([f"evaluator={name}", *IMAGES, *JOINT] for name in ("classes", "ood")),
    ["evaluator=grid", "dataset=table"],  # of no known density
    ["evaluator=density", *OF_CHOICE["density"], *IMAGES, "dataset.dequantize=true"],
]


@pytest.mark.parametrize("overrides", RUNS, ids=" ".join)
def test_it_is_what_comes(overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluator.classifier, "N_STEPS", 5)
    monkeypatch.setattr(evaluator.features, "Inception", lambda weights, domain, output: Pixels(domain.event_shape))
    monkeypatch.setattr(evaluator.features, "Frozen", lambda net, weights, domain, logits: Pixels(domain.event_shape))
    monkeypatch.setattr(evaluator.features.published, "find", lambda name, *_: Path(__file__))
    if "dataset=table" in overrides:
        (tmp_path / "x.csv").write_text("".join(f"{i % 7},{i * i % 11}\n" for i in range(100)))
        overrides = [*overrides, f"dataset.path={tmp_path / 'x.csv'}"]
    small = SMALL[1:] if "energy=joint" in overrides else SMALL
    config = composed(*small, *overrides)
    for node in config["evaluator"].values():
        node = node.get("measure", node)
        few = {"n_samples": 20, "n": 20, "n_chains": 8, "n_betas": 4, "n_equilibrate": 40}
        node |= {key: value for key, value in few.items() if key in node}
        if node.get("features", "pixels") != "pixels" or node["_target_"].endswith("ClassShare"):
            node["cache_dir"] = str(tmp_path)
        if node.get("features") == "inception":
            node["weights"] = str(Path(__file__))  # not read: pixels take its place
    _, experiment = build(config)
    model = Model(experiment.energy, experiment.sampling, experiment.stream)
    for each in experiment.evaluators.values():
        assert each.gives()
        came = {name: score.better for name, score in each(model).items() if score.better is not None}
        assert came == {name: kind.better for name, kind in each.gives().items()}
    given = {name for each in experiment.evaluators.values() for name in each.gives()}
    distances = {name for name in given if name in ("mmd2", "fid") or name.startswith(("frechet_", "kid_"))}
    assert experiment.guard.distances == distances


def test_every_evaluator_is_among_them() -> None:
    seen = {node["_target_"] for choice, *_ in RUNS for node in composed(choice)["evaluator"].values()}
    there = {name for name, each in vars(evaluator).items() if isinstance(each, type) and issubclass(each, Evaluator)}
    assert {target.rpartition(".")[2] for target in seen} == there - {"Evaluator"}


def test_several_are_chosen_as_a_list() -> None:
    several = ["frechet", "kid", "inception_score", "manifold", "memorization", "drift", "mmd"]
    nodes = composed(f"evaluator=[{','.join(several)}]", "optimized_metric=null")["evaluator"]
    assert list(nodes) == several
    assert nodes["kid"] == composed("evaluator=kid", "optimized_metric=null")["evaluator"]["kid"]
    over_an_experiment = composed("experiment=uva/mnist", "evaluator=[kid,manifold]", "optimized_metric=null")
    assert list(over_an_experiment["evaluator"]) == ["kid", "manifold"]


class Says(Evaluator):
    n_samples = 0
    protocol = "none"

    def __init__(self, **produces: Direction) -> None:
        self.produces = produces

    def __call__(self, model: Model) -> dict[str, Score]:
        return {}


GRID, SILENT = Says(nll="lower", kl="lower"), Says()


@pytest.mark.parametrize(
    ("metric", "evaluators", "said"),
    [
        (
            "eval/nlll",
            [GRID],
            "optimized_metric: eval/nlll is no score that can be optimized; nearest is eval/nll; cho",
        ),
        ("nll", [GRID], "optimized_metric: nll .* nearest is eval/nll"),  # without the prefix
        ("eval/log_z", [GRID], "optimized_metric: eval/log_z .* choose from eval/kl, eval/nll"),  # has no direction
        ("train/loss", [GRID], "optimized_metric: train/loss"),
        ("eval/nll", [GRID, Says(mmd2="lower")], None),
        ("eval/other", [GRID, SILENT], None),  # it may be the silent one's
        ("eval/kl", [], None),  # evaluator=none leaves the metric that the data set suggests
        (None, [GRID], None),
    ],
)
def test_another_metric_is_refused(metric: str | None, evaluators: list[Evaluator], said: str | None) -> None:
    if said is None:
        choose_metric(metric, evaluators)
    else:
        with pytest.raises(UserError, match=said):
            choose_metric(metric, evaluators)


def test_the_only_evaluator_brings_its_own_metric_unless_one_was_typed(caplog: pytest.LogCaptureFixture) -> None:
    suggested = composed(*SMALL, *IMAGES, "evaluator=mmd") | {"optimized_metric": "eval/frechet_pixels"}
    with pytest.raises(UserError, match="optimized_metric: eval/frechet_pixels is no score"):
        build(suggested)
    _, experiment = build(suggested, metric_typed=False)
    assert experiment.optimized_metric == experiment.config["optimized_metric"] == "eval/mmd2"
    assert caplog.messages == ["optimized_metric: eval/mmd2, for the only evaluator gives no eval/frechet_pixels"]
    with pytest.raises(UserError, match="optimized_metric: eval/x is no score"):
        choose_metric("eval/x", [GRID, Says(mmd2="lower")], typed=False)  # of two, neither is the one


def test_the_density_of_a_table_in_the_plane_is_unknown_so_nll_stands_for_kl() -> None:
    grid = Says(nll="lower")
    grid.instead = {"kl": "nll"}
    assert choose_metric("eval/kl", [grid, Says(mmd2="lower")], typed=False) == "eval/nll"
    with pytest.raises(UserError, match="optimized_metric: eval/kl is no score"):
        choose_metric("eval/kl", [grid, Says(mmd2="lower")], typed=True)


def test_agreement_of_classes_needs_an_energy_of_classes() -> None:
    config = composed(*SMALL, *IMAGES, "evaluator=classifier") | {"optimized_metric": "eval/class_agreement"}
    with pytest.raises(UserError, match="optimized_metric: eval/class_agreement is no score"):
        build(config)
