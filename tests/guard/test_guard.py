"""Windows, rules and what is said when one is broken."""

import dataclasses
import math
from collections.abc import Callable

import pytest
import torch

from ebm_exp.config.tree import look_up
from ebm_exp.dataset import Dataset, Domain
from ebm_exp.energy import MLP, Energy
from ebm_exp.evaluator import KID, MMD, Score
from ebm_exp.guard import Guard, Rule, Symptom
from ebm_exp.guard.guard import NOTHING_LEARNED
from ebm_exp.guard.remedy import REMEDIES, changes
from ebm_exp.guard.rule import ABSENT
from ebm_exp.objective import NCE, EnergyDiscrepancy
from ebm_exp.objective.base import Loss
from ebm_exp.objective.chain_signals import CHAIN_RULES, chain_signals
from ebm_exp.objective.chance import against_chance
from ebm_exp.objective.flow_matching import FlowMatching

RULE = Rule(
    "gap",
    "gap",
    0.0,
    2.0,
    "they lie {value} apart",
    ("a high learning rate",),
    ("a lower optimizer.lr",),
    ("learning_rate",),
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
        "from step 100 on they lie 3 apart. Likely: a high learning rate. What helps: a lower optimizer.lr."
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
    with pytest.raises(
        ValueError,
        match="no gpa; of gap, nothing_learned, score_not_finite, worse_than_start, samples_stuck, all",
    ):
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
    assert {rule.signal for rule in (*NCE.rules, *EnergyDiscrepancy.rules, *FlowMatching.rules)} == of_chance
    assert "leap" not in chain_signals(loss._replace(metrics={}), 2.0, domain, None)  # the kernel does not tell it


@pytest.mark.parametrize(
    "rule", [*CHAIN_RULES, *NCE.rules, *FlowMatching.rules, NOTHING_LEARNED], ids=lambda rule: rule.name
)
def test_rules_say_what_helps_and_every_remedy_is_known(rule: Rule) -> None:
    assert rule.causes
    assert rule.knobs
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
    symptom = watching.judge(300, {"kl": Score(9.0), name: Score(1.2)}, lambda which: begin)
    assert symptom is not None
    assert (symptom.name, symptom.step) == ("worse_than_start", 300)
    assert f"eval/{name} is 1.2, of those points 1." in symptom.text
    assert watching.judge(300, {"kl": Score(9.0), name: Score(1.05)}, lambda which: begin) is None
    assert watching.judge(200, {name: Score(9.0)}, lambda which: begin) is None  # a network that knows little yet


def judge(scores: dict[int, float], **of: float) -> list[tuple[int, str, str]]:
    """What is said of a distance at each step of an evaluation; of other points it is as given."""
    x = torch.rand(8, 2)
    watching = guard(evaluators={"mmd": MMD(Dataset(name="plane", domain=Domain(0, 1, (2,)), train=x, test=x), 8)})
    found = []
    for step, value in scores.items():
        symptom = watching.judge(step, {"mmd2": Score(value)}, lambda which: {"mmd2": Score(of[which])})
        if symptom is not None:
            found.append((step, symptom.name, symptom.text))
        state, watching.__dict__["_nearest"] = watching.state_dict(), {}
        watching.load_state_dict(state)
    return found


def test_samples_that_stay_as_far_from_the_data_as_noise_is_are_a_symptom() -> None:
    """Memorised starts: nearer than where they begin, by less than it takes, and no nearer a thousand steps later."""
    ((step, name, text),) = judge({1000: 34.1, 2000: 33.8}, starts=39.7, noise=39.7, data=0.2)
    assert (step, name) == (2000, "samples_stuck")
    assert "no nearer than at step 1,000: eval/mmd2 is 33.8, of those points 39.7, of data 0.2" in text
    assert "buffer.reinit_probability=0.05" in text


@pytest.mark.parametrize(
    ("scores", "of"),
    [
        ({1000: 34.1, 2000: 30.0, 3000: 26.9}, {"starts": 39.7, "noise": 39.7, "data": 0.2}),  # slow, but moving
        ({300: 34.1, 600: 34.1, 900: 34.1}, {"starts": 39.7, "noise": 39.7, "data": 0.2}),  # too soon to say
        ({1000: 3.0, 2000: 3.0}, {"starts": 39.7, "noise": 39.7, "data": 0.2}),  # healthy
        ({1000: 1.0, 2000: 1.0}, {"starts": 1.0, "noise": 39.7, "data": 0.2}),  # chains that begin at a fitted density
        ({1000: 0.2, 2000: 0.2}, {"starts": 0.2, "noise": 39.7, "data": 0.2}),  # chains that begin at data
    ],
)
def test_samples_that_come_nearer_or_begin_near_are_none(scores: dict[int, float], of: dict[str, float]) -> None:
    assert judge(scores, **of) == []


def test_one_distance_that_is_halfway_speaks_for_the_samples() -> None:
    x = torch.rand(8, 2)
    data = Dataset(name="plane", domain=Domain(0, 1, (2,)), train=x, test=x)
    watching = guard(evaluators={"mmd": MMD(data, 8), "kid": KID(data, 8)})
    of = {"starts": Score(1.0), "noise": Score(1.0), "data": Score(0.0)}
    for kid, name in ((0.4, None), (0.6, "samples_stuck")):
        for step in (1000, 2000):
            scores = {"mmd2": Score(0.9), "kid_pixels": Score(kid)}
            symptom = watching.judge(step, scores, lambda which: dict.fromkeys(("mmd2", "kid_pixels"), of[which]))
        assert (symptom and symptom.name) == name


class Weights(Energy):
    """What has weights in any order in memory, and one that is not trained."""

    def __init__(self) -> None:
        super().__init__()
        self.a = torch.nn.Parameter(torch.randn(6, 5, 3, 3).to(memory_format=torch.channels_last))
        self.b = torch.nn.Parameter(torch.randn(7))
        self.scale = torch.nn.Parameter(torch.ones(()), requires_grad=False)

    def forward(self, x: torch.Tensor, **context: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


def learn(
    energy: Energy, change: Callable[[int], float], n_steps: int = 700, watching: Guard | None = None
) -> list[str]:
    """What is said of a training whose weights move by so much in each step."""
    watching = watching or Guard((), torch.device("cpu"), energy=energy)
    found = []
    for step in range(1, n_steps + 1):
        if watching.due(step):
            watching.look(step, {})
        with torch.no_grad():
            for p in energy.parameters():
                p += change(step) * p
        if step % 50 == 0 and (symptom := watching.read()[1]) is not None:
            found.append(f"{symptom.name} {symptom.step}")
    return found


def test_weights_that_stay_where_they_began_have_learned_nothing() -> None:
    assert learn(MLP((2,), (8,)), lambda step: 1e-12) == ["nothing_learned 200"]
    assert learn(MLP((2,), (8,)), lambda step: 0.0) == ["nothing_learned 200"]
    assert learn(MLP((2,), (8,)), lambda step: 1e-6) == []
    assert learn(MLP((2,), (8,)), lambda step: 1e-5 if step < 60 else 0.0) == []  # the learning rate fell to 0
    assert learn(MLP((2,), (8,)), lambda step: 0.0, 150) == []  # too short to say


def test_weights_that_rest_are_told_before_what_an_energy_that_changes_would_explain() -> None:
    """The energies of data and noise may lie far apart in a network at random, before anything is learned."""
    for moves, name in ((0.0, "nothing_learned"), (1e-3, "gap")):
        energy = MLP((2,), (8,))
        watching = guard(energy=energy)
        for step in range(10, 101, 10):
            watching.look(step, {"gap": torch.tensor(3.0)})
            with torch.no_grad():
                energy.head.weight.mul_(1 + moves)
        symptom = watching.read()[1]
        assert symptom is not None
        assert (symptom.name, symptom.step) == (name, 0)


def test_how_far_weights_came_is_known_after_a_resume_and_unknown_of_an_older_run() -> None:
    energy = MLP((2,), (8,))
    before = Guard((), torch.device("cpu"), energy=energy)
    assert learn(energy, lambda step: 1e-5, 100, before) == []
    state = before.state_dict()
    for kept in (state, {key: value for key, value in state.items() if key not in ("start", "nearest")}):
        resumed = Guard((), torch.device("cpu"), energy=energy)
        resumed.load_state_dict(kept)
        assert learn(energy, lambda step: 0.0, 700, resumed) == []


def test_travel_is_a_share_of_the_weights_whatever_their_order_in_memory() -> None:
    energy = Weights()
    watching = Guard((), torch.device("cpu"), energy=energy)
    watching.look(10, {})
    with torch.no_grad():
        energy.a.mul_(1.25), energy.b.mul_(1.25), energy.scale.mul_(9)
    watching.look(50, {})
    assert watching.read()[0] == {"guard/travel": pytest.approx(0.125)}  # of two looks, the first at 0


CONFIG = {
    "optimizer": {"lr": 1.0},
    "trainer": {"gradient_norm_clip": 0.5},
    "sampler": {"_target_": "ebm_exp.sampler.Langevin", "step_size": 1.0},
    "buffer": {"reinit_probability": 0.2, "size": 64},
    "regularization": {"energy_l2": {"weight": 0.1}},
}


def test_advice_is_what_a_training_has_and_does_not_do_yet() -> None:
    """A flow has a sampler and a buffer in its config, and uses neither."""
    knobs = (
        *("a smaller sampler.step_size", "sampler=langevin", "sampler=mala", "regularization=energy_l2"),
        *("trainer.gradient_norm_clip<=1", "trainer.gradient_norm_clip<=0.1", "more schedule.warmup_steps"),
        *("buffer.reinit_probability>=0.05", "buffer.reinit_probability>=0.5", "a larger buffer.size"),
    )
    causes = ("a rate too high", ("sampler", "chains that left"), ("buffer", "no restarts"))
    symptom = Symptom("gap", 3, "seen", causes, knobs)

    def setting(key: str) -> object:
        return look_up(CONFIG, key, ABSENT)

    def setting_of_flow(key: str) -> object:
        return ABSENT if key.startswith(("sampler", "buffer")) else setting(key)

    assert symptom.within(setting).text == (
        "seen. Likely: a rate too high, or chains that left, or no restarts. What helps: a smaller sampler.step_size, "
        "sampler=mala, trainer.gradient_norm_clip=0.1, buffer.reinit_probability=0.5, a larger buffer.size."
    )
    assert symptom.within(setting_of_flow).text == (
        "seen. Likely: a rate too high. What helps: trainer.gradient_norm_clip=0.1."
    )
