"""What a key is: one kind each, and what a message says of keys is so."""

from fnmatch import fnmatchcase
from typing import Any

import pytest
import yaml

from ebm_exp.config import keys
from ebm_exp.config.run_config import read_run_config
from ebm_exp.config.tree import leaves, look_up, set_at
from ebm_exp.config.trust import CONF


@pytest.fixture(scope="module")
def every() -> set[str]:
    """The leaf keys that any experiment has: all that a file of conf/ says, under the groups that it is chosen for."""
    found: set[str] = set()
    for file in [*CONF.glob("*.yaml"), *CONF.glob("*/**/*.yaml")]:
        group = file.relative_to(CONF).parts[0] if file.parent != CONF else ""
        if group in ("hydra", "wandb_sweep"):
            continue
        is_whole = group in ("", "experiment", "debug", "hparams_search")
        places = [""] if is_whole else [group, *(place for place, inner in keys.NESTED.items() if inner == group)]
        said = [key for key, _ in leaves(yaml.safe_load(file.read_text(encoding="utf-8")) or {})]
        own = [key for key in said if key.partition(".")[0] not in ("defaults", "hydra", "")]
        found |= {f"{place}.{key}" if place else key for place in places for key in own}
    return found


def test_each_key_has_one_kind(every: set[str]) -> None:
    assert len(every) > 300
    assert {keys.kind_of(key) for key in every} <= {kind for _, kind in keys._KINDS}
    mathematics = {key.partition(".")[0] for key in every if keys.kind_of(key) == "mathematics"}
    assert {"energy", "sampler", "buffer", "objective", "optimizer", "seed"} <= mathematics
    assert not {"logger", "guard", "device", "notes"} & mathematics


def test_each_key_that_a_message_calls_changeable_is(every: set[str]) -> None:
    for said in keys.CHANGEABLE:
        named = [key for key in every if fnmatchcase(key, said)]
        assert named, said
        assert all(map(keys.may_change_on_resume, named)), said


def test_what_may_change_is_no_mathematics_and_no_part(every: set[str]) -> None:
    may = {key for key in every if keys.may_change_on_resume(key)}
    assert may.isdisjoint(key for key in every if keys.kind_of(key) == "mathematics")
    assert not any(map(keys.may_change_on_resume, keys.GROUPS))
    with_attempt = {key for key in every if keys.may_change_with_attempt(key)}
    assert {"seed", "optimizer.lr", "sampler.step_size"} <= with_attempt
    assert not with_attempt & may


@pytest.mark.parametrize(
    ("question", "yes", "no"),
    [
        (keys.may_change_on_resume, "logger.wandb.mode guard.rules.x hydra.run.dir dataset.path", "name logger seed"),
        (
            keys.tells_jobs_apart,
            "seed name trainer.max_steps init_from hparams_search",
            "dataset.root logger notes",
        ),
        (keys.names_run, "seed trainer.max_steps guard=x", "stand_in resume trainer.log_every_steps output_dir"),
        (keys.belongs_to_experiment, "seed dataset.path trainer.max_steps", "name dataset.root hydra/sweeper device"),
        (keys.belongs_to_sweep, "hparams_search hydra/sweeper sweep", "device seed"),
        (keys.is_path, "resume dataset.path hydra.sweep.dir logger.dir", "name device"),
    ],
)
def test_questions(question: Any, yes: str, no: str) -> None:
    assert [key for key in yes.split() if not question(key)] == []
    assert [key for key in no.split() if question(key)] == []


def test_values_by_key() -> None:
    config: dict[str, Any] = {"a": {"b": [1, {"c": 2}], "d": None}, "e": {}}
    assert [look_up(config, key, "?") for key in ("a.b.1.c", "a.d", "a.x", "a.b.7", "")] == [2, None, "?", "?", config]
    assert dict(leaves(config)) == {"a.b": [1, {"c": 2}], "a.d": None, "e": {}}
    set_at(config, "e.f.g", 3)
    set_at(config, "a.d.x", 4)  # where a value stands on the way
    assert config == {"a": {"b": [1, {"c": 2}], "d": None}, "e": {"f": {"g": 3}}}


def test_what_a_run_would_send_or_fetch_is_not_followed(tmp_path) -> None:
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "config.yaml").write_text(
        "dataset: {download: true, cache_dir: {a: /x}, dir: kept}\nlogger: {wandb: {entity: e, dir: /d}}\n"
        "evaluator: {frechet: [{cache_dir: /y}]}\n"
    )
    found = read_run_config(tmp_path)
    assert found.values == {
        "dataset": {"download": False, "cache_dir": "outputs/cache", "dir": "kept"},
        "logger": {"wandb": {"entity": None, "dir": None}},
        "evaluator": {"frechet": [{"cache_dir": "outputs/cache"}]},
    }
    assert {"dataset.download", "logger.wandb.entity", "logger.wandb.dir"} <= set(found.not_taken)
