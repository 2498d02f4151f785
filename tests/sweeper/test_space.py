"""What a search chooses from, as Hydra writes it."""

import re

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from ebm_exp.config.errors import UserError
from ebm_exp.sweeper.space import Space


@pytest.mark.parametrize(
    ("text", "distribution"),
    [
        ("interval(0.5,8)", FloatDistribution(0.5, 8)),
        ("tag(log, interval(1e-4, 1e-1))", FloatDistribution(1e-4, 1e-1, log=True)),
        ("int(interval(2, 9))", IntDistribution(2, 9)),
        ("tag(log, int(interval(2, 64)))", IntDistribution(2, 64, log=True)),
        ("range(1,10,3)", IntDistribution(1, 7, step=3)),
        ("range(10,1,-3)", IntDistribution(4, 10, step=3)),
        ("range(1,2,0.25)", FloatDistribution(1, 1.75, step=0.25)),
        ("1,2,4", CategoricalDistribution(["1", "2", "4"])),
        ("choice([128,128],[256])", CategoricalDistribution(["[128,128]", "[256]"])),
        ("choice('a b',true)", CategoricalDistribution(["a\\ b", "True"])),
    ],
)
def test_a_text_is_a_distribution(text: str, distribution: optuna.distributions.BaseDistribution) -> None:
    assert Space.parse([f"some.key={text}"], {}).parameters == {"some.key": distribution}


@pytest.mark.parametrize(
    ("texts", "when", "line"),
    [
        (["a.b=3"], {}, "a.b: a search takes interval"),
        (["a.b=tag(log, interval(0, 1))"], {}, "a.b: a logarithmic interval begins above 0, got 0"),
        (["a.b=interval(1, inf)"], {}, "a.b: an interval has two ends, got 1 to inf"),
        (["a.b=tag(log, range(1, 9, 2))"], {}, "a.b: a logarithmic range has whole numbers in steps of 1"),
        (["a.b=tag(log, range(0.5, 9))"], {}, "a.b: a logarithmic range has whole numbers in steps of 1"),
        (["a.b=tag(log, range(0, 9))"], {}, "a.b: a logarithmic range begins above 0, got 0"),
        (["a.b=interval(2, 1)"], {}, "a.b: an interval goes up, got 2 to 1"),
        (["a.b=shuffle(1,2)"], {}, "a.b: a search takes"),
        (["a.b=glob(*)"], {}, "a.b: a search takes"),
        (["a.b=interval(1"], {}, "a.b: cannot be parsed"),
        ([], {}, "hydra.sweeper.params: a search needs one"),
        (["s=a,b"], {"s=c": {"t": "1,2"}}, "hydra.sweeper.when: s=c is no choice of the search"),
        (["s=a,b", "t=1,2"], {"s=a": {"t": "1,2"}}, "hydra.sweeper.when: t is a parameter of every trial already"),
        (["s=a,b"], {"s=a": {"t": "1,2"}, "s=b": {"t": "interval(0,1)"}}, "hydra.sweeper.when: t must be of one kind"),
        (["s=a,b"], {"s=a": {"t": "1,2"}, "s=b": {"t": "1,3"}}, "hydra.sweeper.when: t must be of one kind"),
    ],
)
def test_what_is_no_space_is_said_by_its_key(texts: list[str], when: dict, line: str) -> None:
    with pytest.raises(UserError, match=line.replace("(", r"\(")):
        Space.parse(texts, when)


def suggested(space: Space, **values: object) -> tuple[str, ...]:
    study = optuna.create_study()
    study.enqueue_trial(values)
    return space.suggest(study.ask())


def test_a_choice_has_parameters_of_its_own() -> None:
    """Two choices may have the same parameter in other ranges."""
    when = {
        "sampler=hmc": {"sampler.n_leapfrog": "range(2,9)", "sampler.step_size": "interval(0.01,0.1)"},
        "sampler=langevin": {"sampler.step_size": "interval(1,4)"},
    }
    space = Space.parse(["sampler=hmc,langevin", "+energy.width=16,32"], when)
    hmc = {"sampler": "hmc", "energy.width": "32", "sampler.n_leapfrog": 3, "sampler.step_size": 0.05}
    assert suggested(space, **hmc) == (
        *("sampler=hmc", "+energy.width=32", "sampler.n_leapfrog=3", "sampler.step_size=0.05"),
    )
    langevin = {"sampler": "langevin", "energy.width": "16", "sampler.step_size": 2.5}
    assert suggested(space, **langevin) == ("sampler=langevin", "+energy.width=16", "sampler.step_size=2.5")
    assert space.keys == ["sampler", "energy.width", "sampler.n_leapfrog", "sampler.step_size"]


def test_defaults_are_the_first_trial_where_the_space_holds_them() -> None:
    space = Space.parse(
        ["w=[8,8],[16]", "x=interval(1,3)", "n=range(1,9)", "s=a,b", "o=null,1"], {"s=b": {"y": "interval(0,1)"}}
    )
    defaults = {"w": [8, 8], "x": 2, "n": 3, "s": "a", "o": None, "y": 7}
    inside = {"w": "[8,8]", "x": 2, "n": 3, "s": "a", "o": "null"}
    assert space.trial_of(defaults) == inside
    assert space.trial_of(defaults | {"s": "b", "y": 0.5}) == inside | {"s": "b", "y": 0.5}
    for change in ({"w": [8]}, {"x": 4.0}, {"x": None}, {"n": 2.5}, {"n": True}, {"s": None}, {"y": 7, "s": "b"}):
        key, value = next(iter(change.items()))
        with pytest.raises(LookupError, match=re.escape(f"{key}={value}")):
            space.trial_of(defaults | change)
