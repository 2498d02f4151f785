"""Windows, rules and what is said when one is broken."""

import dataclasses
import math

import pytest
import torch

from ebm_exp.dataset import Dataset, Domain
from ebm_exp.evaluator import KID, MMD, Score
from ebm_exp.guard import Guard, Rule
from ebm_exp.guard.remedy import REMEDIES, changes
from ebm_exp.objective.base import Loss
from ebm_exp.objective.chain_signals import CHAIN_RULES, chain_signals
from ebm_exp.objective.chance import CHANCE_RULES, against_chance
from ebm_exp.objective.flow_matching import FlowMatching

RULE = Rule(
    "gap", "gap", 0.0, 2.0, "they lie {value} apart", "a high learning rate", ("optimizer.lr=…",), ("learning_rate",)
)


def guard(**more: object) -> Guard:
    return Guard((RULE,), torch.device("cpu"), **more)


def run(guard: Guard, values: dict[int, float], n_steps: int, first: int = 1) -> list[tuple[int, object]]:
    """What reads find, at every 50th step; the signal has the value of the last key."""
    found = []
    for step in range(first, n_steps + 1):
        if guard.due(step):
            value = values[max(key for key in values if key <= step)]
            guard.look(step, {"gap": torch.tensor(value)})
        if step % 50 == 0 and (symptom := guard.read()[1]) is not None:
            found.append((step, symptom))
    return found


def test_two_windows_in_a_row_are_a_symptom_and_are_said_once() -> None:
    (found,) = run(guard(), {1: 0.5, 101: 3.0}, 600)
    step, symptom = found
    assert (step, symptom.name, symptom.step) == (200, "gap", 100)
    assert symptom.text == (
        "from step 100 on they lie 3 apart. Likely: a high learning rate. What helps: optimizer.lr=…."
    )
    assert symptom.remedy == ("learning_rate",)


def test_one_window_is_none_and_health_counts_anew() -> None:
    assert run(guard(), {1: 0.5, 101: 3.0, 151: 0.5, 201: 3.0, 251: 0.5}, 600) == []
    assert len(run(guard(), {1: 3.0, 101: 0.5, 151: 3.0}, 400)) == 2


def test_what_is_on_its_way_back_is_no_symptom_yet() -> None:
    assert run(guard(), {1: 9.0, 51: 7.0, 101: 5.0, 151: 3.0, 201: 1.0}, 400) == []
    ((step, symptom),) = run(guard(), {1: 9.0, 51: 7.0, 101: 6.9}, 400)
    assert (step, symptom.step) == (150, 50)


def test_a_nan_is_outside_and_what_is_ignored_is_not() -> None:
    assert run(guard(), {1: math.nan}, 100)[0][0] == 100
    assert run(guard(ignore=("gap",)), {1: math.nan}, 100) == []
    assert not guard(ignore=("all",)).due(10)
    with pytest.raises(ValueError, match="ignore: there is no gpa; of gap, score_not_finite, worse_than_start, all"):
        guard(ignore=("gpa",))
    with pytest.raises(ValueError, match="window_steps: must be a multiple of every_steps, 10, got 45"):
        guard(window_steps=45)


def test_a_rule_may_begin_later() -> None:
    late = dataclasses.replace(RULE, after=100)
    assert not late.broken_by(100, {"gap": 3.0})
    assert late.broken_by(150, {"gap": 3.0})
    assert not late.broken_by(150, {"other": 3.0})


def test_means_are_those_of_the_windows_steps() -> None:
    g = guard()
    for step in range(1, 101):
        if g.due(step):
            g.look(step, {"gap": torch.tensor(step / 100)})
    assert g.read() == ({"guard/gap": pytest.approx(0.8)}, None)  # of the newest: .6, .7, … 1
    assert g.read() == ({}, None)


def test_what_was_found_survives_a_checkpoint_at_any_step() -> None:
    values = {1: 0.5, 101: 3.0}
    expected = run(guard(), values, 300)
    for cut in (60, 125, 150, 199):
        first, second = guard(), guard()
        before = run(first, values, cut)
        second.load_state_dict(first.state_dict())
        assert before + run(second, values, 300, first=cut + 1) == expected


def test_signals_are_numbers_of_a_step() -> None:
    g = torch.Generator().manual_seed(0)
    domain = Domain(-1.0, 3.0, (3,))
    data, negatives = torch.randn(64, 3, generator=g), 2 * torch.randn(64, 3, generator=g) + 1
    energies = {"data": data[:, 0], "negatives": 3 * data[:, 0] + 5}
    begins = torch.where(torch.arange(64)[:, None] < 16, negatives, negatives.flip(1))  # a quarter did not move
    points = {"data": data, "begins": begins, "negatives": negatives}
    wide = torch.tensor(8.0)
    loss = Loss({}, {"chain/displacement": torch.tensor(math.sqrt(3))}, energies, points)
    var = float(data[:, 0].var())
    apart = abs(float(2 * data[:, 0].mean()) + 5) / math.sqrt((var + 9 * var) / 2)
    ratio = float(negatives.var(0).mean() / data.var(0).mean())
    out = [float(((x <= -1) | (x >= 3)).float().mean()) for x in (negatives, data)]
    expected = {"contrast": float(torch.cat([*energies.values()]).std()) / 2, "gap": apart, "variance": ratio}
    expected |= {"outside": out[0] - out[1], "moved": 0.75, "leap": 0.25}
    for start, spread in ((None, ratio), (wide, float(negatives.var(0).mean()) / 8)):
        values = chain_signals(loss, 2.0, domain, start)
        assert {name: float(value) for name, value in values.items()} == pytest.approx(expected | {"spread": spread})
    assert {rule.signal for rule in CHAIN_RULES} == set(values)
    of_chance = set(against_chance(torch.ones(2), 1.0))
    assert {rule.signal for rule in (*CHANCE_RULES, *FlowMatching.rules)} == of_chance
    assert "leap" not in chain_signals(loss._replace(metrics={}), 2.0, domain, None)  # the kernel does not tell it


@pytest.mark.parametrize("rule", [*CHAIN_RULES, *FlowMatching.rules], ids=lambda rule: rule.name)
def test_rules_say_what_helps_and_every_remedy_is_known(rule: Rule) -> None:
    assert rule.causes
    assert rule.knobs
    assert rule.remedy
    assert set(rule.remedy) <= set(REMEDIES)


def test_a_remedy_changes_what_is_there() -> None:
    config = {
        "optimizer": {"lr": 0.2},
        "trainer": {"gradient_norm_clip": None},
        "sampler": {"step_size": 2.0, "noise_std": None, "n_steps": 20},
        "regularization": {"energy_l2": {"weight": 0.1}},
        "buffer": {"reinit_probability": 0.0},
    }
    assert changes(REMEDIES, config) == {
        "optimizer.lr": 0.1,
        "trainer.gradient_norm_clip": 1.0,
        "sampler.step_size": pytest.approx(0.2),
        "regularization.energy_l2.weight": pytest.approx(1e-5),  # less_l2 comes after more_l2
        "buffer.reinit_probability": 0.05,
    }
    assert changes(REMEDIES, {}) == {"trainer.gradient_norm_clip": 1.0}


@pytest.mark.parametrize("name", ["kid_pixels", "mmd2"])
def test_samples_farther_from_the_data_than_where_they_began_are_a_symptom(name: str) -> None:
    x = torch.rand(8, 2)
    data = Dataset(name="plane", domain=Domain(0, 1, (2,)), train=x, test=x)
    watching = guard(evaluators={"kid": KID(data, 8), "mmd": MMD(data, 8)})
    begin = {name: Score(1.0), "kl": Score(1.0)}
    symptom = watching.judge(300, {"kl": Score(9.0), name: Score(1.2)}, lambda: begin)
    assert symptom is not None
    assert (symptom.name, symptom.step) == ("worse_than_start", 300)
    assert f"eval/{name} is 1.2, of those points 1." in symptom.text
    assert watching.judge(300, {"kl": Score(9.0), name: Score(1.05)}, lambda: begin) is None
    assert watching.judge(200, {name: Score(9.0)}, lambda: begin) is None  # a network that knows little yet
