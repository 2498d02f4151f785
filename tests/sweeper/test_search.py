"""Trials in a journal on the disk: several workers, dead ones, ends of every kind, pruning."""

import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from ebm_exp.config.errors import UserError
from ebm_exp.evaluator import Score
from ebm_exp.sweep.directory import SweepDirectory
from ebm_exp.sweeper.search import Search, Trial
from ebm_exp.sweeper.settings import Settings
from ebm_exp.sweeper.space import Space
from ebm_exp.sweeper.study import PRUNERS, SAMPLERS, Pruner

LOWER = {"eval/x": "lower"}


def search_in(path: Path, texts: tuple[str, ...] = ("a=interval(0,1)",), **settings: Any) -> Search:
    sweep = SweepDirectory(path)
    directions = settings.pop("directions", LOWER)
    if not sweep.record():
        pruner = settings.get("pruner", {"name": "median"})
        seeds = settings.get("seeds", ())
        sweep.write_record({"kind": "search", "metrics": list(directions), "pruner": pruner, "seeds": list(seeds)})
    seeds = settings.pop("seeds", ())
    space, first = Space.parse(texts, settings.pop("when", {})), settings.pop("defaults", None)
    chosen = {"n_trials": 6, "max_failed": 3, "sampler": {"name": "random"}} | settings
    return Search(sweep, space, directions, Settings(**chosen), first, seeds)


def end(search: Search, trial: Trial, value: float | None = None, state: str = "finished", **summary: Any) -> None:
    """A job that ended, as its folder says."""
    end_job(search, trial.number, value, state, **summary)
    search.tell(trial.number)


def end_job(search: Search, number: int, value: float | None = None, state: str = "finished", **summary: Any) -> None:
    best = None if value is None else {"metric": "eval/x", "value": value, "step": 1, "better": "lower"}
    search.sweep.claim(number, (), {})
    search.sweep.run(number).write_summary({"state": state, "best": best} | summary)


def states(search: Search) -> list[str]:
    return [trial.state.name for trial in search.study.get_trials()]


def objective(trial: Trial) -> float:
    return abs(float(trial.overrides[0].partition("=")[2]) - 0.3)


def test_a_search_ends_after_so_many_complete_and_pruned_trials(tmp_path: Path) -> None:
    seen = []
    with search_in(tmp_path, defaults={"a": 0.25}) as search:
        while (trial := search.next()) is not None:
            seen.append(trial)
            if trial.number == 2:
                end(search, trial, state="diverged", reason="step 7: train/loss is not finite")
            elif trial.number == 3:
                end(search, trial, 0.9, state="pruned")
            else:
                end(search, trial, objective(trial))
    assert seen[0].overrides == ("a=0.25",)
    assert [trial.number for trial in seen] == list(range(7))
    assert len({trial.overrides for trial in seen}) == 7
    assert states(search) == ["COMPLETE", "COMPLETE", "FAIL", "PRUNED", "COMPLETE", "COMPLETE", "COMPLETE"]
    assert search.study.trials[2].user_attrs["reason"] == "step 7: train/loss is not finite"
    assert search.study.best_value == min(objective(trial) for trial in seen if trial.number not in (2, 3))
    assert search.left() == 0
    assert not search.has_failed


def test_too_many_failures_end_it(tmp_path: Path) -> None:
    with search_in(tmp_path) as search:
        for reason in ({"state": "failed"}, {"state": "diverged"}, {"value": float("inf")}):
            end(search, search.next(), **reason)
        assert search.has_failed
        assert search.next() is None
        assert search.why_none() == "3 trials failed or diverged (hydra.sweeper.max_failed)"
    assert states(search) == ["FAIL"] * 3
    assert (
        search.study.trials[2].user_attrs["reason"] == "eval/x is not there, not finite, or refuted by its own evidence"
    )


def test_a_stopped_trial_is_never_complete_and_goes_on_under_its_number(tmp_path: Path) -> None:
    with search_in(tmp_path) as search:
        first = search.next()
        end(search, first, 0.1, state="stopped")
        assert states(search) == ["RUNNING"]
    with search_in(tmp_path) as search:
        again = search.next()
        assert again == first
        end(search, again, 0.2)
        assert search.next().number == 1
    assert search.study.trials[0].value == 0.2


def work(path: Path, until: int, dies: bool) -> None:
    with search_in(path, n_trials=10) as search:
        while (trial := search.next()) is not None:
            if dies and trial.number >= until:
                os.kill(os.getpid(), signal.SIGKILL)
            end(search, trial, objective(trial))


def in_process(work: Callable[..., None], *arguments: Any) -> multiprocessing.Process:
    process = multiprocessing.get_context("fork").Process(target=work, args=arguments)
    process.start()
    return process


def test_two_workers_share_one_search_and_one_dies(tmp_path: Path) -> None:
    workers = [in_process(work, tmp_path, 3, True), in_process(work, tmp_path, 0, False)]
    for worker in workers:
        worker.join(60)
    assert {worker.exitcode for worker in workers} <= {0, -signal.SIGKILL}
    work(tmp_path, 0, False)  # if the survivor had ended before the other died
    search = search_in(tmp_path, n_trials=10)
    assert states(search) == ["COMPLETE"] * 10
    assert len({tuple(trial.params.items()) for trial in search.study.trials}) == 10


def test_a_living_workers_trial_is_left_alone_and_counts(tmp_path: Path) -> None:
    with search_in(tmp_path, n_trials=2) as mine:
        mine.next()
        theirs = search_in(tmp_path, n_trials=2)
        theirs.worker = "worker-elsewhere-1"
        with theirs:
            assert theirs.next().number == 1
            assert theirs.next() is None
            assert theirs.why_none() == "another worker has the rest"
            assert mine.next() is None


def test_a_trial_that_kills_its_worker_again_and_again_is_given_up(tmp_path: Path) -> None:
    numbers = []
    for i in range(6):
        search = search_in(tmp_path)
        search.worker = f"worker-{i}"  # each dies at once
        numbers.append(search.next().number)
    assert numbers == [0, 0, 0, 0, 0, 1]
    assert search.study.trials[0].user_attrs["reason"] == "killed 5 times"


def test_a_small_space_is_exhausted_and_nothing_is_repeated(tmp_path: Path) -> None:
    done = []
    with search_in(tmp_path, texts=("s=a,b", "n=range(0,2)"), n_trials=9) as search:
        while (trial := search.next()) is not None:
            done.append(trial.overrides)
            failed = trial.overrides == ("s=a", "n=1")  # nor is what failed
            end(search, trial, None if failed else 1.0, "diverged" if failed else "finished")
        assert search.why_none() == "its space has nothing new"
    assert sorted(done) == [("s=a", "n=0"), ("s=a", "n=1"), ("s=b", "n=0"), ("s=b", "n=1")]
    assert not search.has_failed


def test_an_interrupted_search_proposes_what_the_whole_one_did(tmp_path: Path) -> None:
    def run(path: Path, parts: int) -> list[tuple[str, ...]]:
        proposed: list[tuple[str, ...]] = []
        for part in range(parts):
            with search_in(path, n_trials=12, sampler={"name": "tpe", "n_startup_trials": 4}) as search:
                while len(proposed) < 12 * (part + 1) // parts and (trial := search.next()) is not None:
                    proposed.append(trial.overrides)
                    end(search, trial, objective(trial))
        return proposed

    whole = run(tmp_path / "whole", 1)
    assert len(whole) == 12
    assert run(tmp_path / "parts", 3) == whole


def test_pruning_by_what_other_trials_had_at_the_step(tmp_path: Path) -> None:
    with search_in(tmp_path, pruner={"name": "median", "n_startup_trials": 2, "n_warmup_steps": 6}) as search:
        for value in (1.0, 2.0):
            trial = search.next()
            pruner = Pruner(search.sweep, trial.number)
            assert not any(pruner(step, {"x": Score(value)}) for step in (5, 10, 15))
            end(search, trial, value)
        bad = search.next()
        pruner = Pruner(search.sweep, bad.number)
        assert not pruner(10, {"y": Score(99.0)})  # it is not asked about
        assert not pruner(5, {"x": Score(9.0)})  # nor while it warms up
        assert not pruner(10, {"x": Score(float("nan"))})  # nor by what is no number
        assert pruner(10, {"x": Score(9.0)})
        assert pruner(10, {"x": Score(9.0)})  # a resumed trial reports a step again
        end(search, bad, 9.0, state="pruned")
    assert search.study.trials[2].state == TrialState.PRUNED
    assert search.study.trials[2].intermediate_values == {5: 9.0, 10: 9.0}


def test_seeds_repeat_a_proposal_and_their_mean_is_told(tmp_path: Path) -> None:
    with search_in(tmp_path, seeds=("3", "4"), n_trials=3) as search:
        first, second = search.next(), search.next()
        assert second.jobs() == [(2, (*second.overrides, "seed=3")), (3, (*second.overrides, "seed=4"))]
        end_job(search, 0, 0.25)
        search.tell(first.number)  # killed between its seeds: it is left, and its second seed with it
        assert search.next() == first
        end_job(search, 1, 0.75)
        search.tell(first.number)
        end_job(search, 2, 0.5)
        end_job(search, 3, state="diverged", reason="step 7: train/loss is not finite")
        search.tell(second.number)
    assert states(search) == ["COMPLETE", "FAIL"]
    assert search.study.trials[0].value == 0.5


def test_seeds_are_pruned_by_their_mean(tmp_path: Path) -> None:
    """At a step that the first seed has passed, a second one is judged by the mean of the two at that step."""
    pruner = {"name": "median", "n_startup_trials": 1}
    with search_in(tmp_path, seeds=("0", "1"), pruner=pruner) as search:
        for values in (((1.0, 0.9), (1.0, 0.9)), ((0.8, 0.1), (1.1, 2.5))):
            trial = search.next()
            for (number, _), seed in zip(trial.jobs(), values, strict=True):
                search.sweep.claim(number, (), {})
                pruned = []
                for step, value in enumerate(seed, 1):
                    with (search.sweep.run(number).metrics_file).open("a") as file:
                        file.write(json.dumps({"step": step, "eval/x": value}) + "\n")
                    pruned.append(Pruner(search.sweep, number)(step, {"x": Score(value)}))
            steps = search.study.trials[trial.number].intermediate_values
            if trial.number == 0:
                end_job(search, 0, 0.9)
                end_job(search, 1, 0.9)
                search.tell(0)
    assert steps == {1: pytest.approx(0.95), 2: pytest.approx(1.3)}
    assert pruned == [False, True]


def test_hyperband_prunes_in_brackets(tmp_path: Path) -> None:
    pruner = {"name": "hyperband", "min_resource": 1, "max_resource": 9, "reduction_factor": 3}
    states = []
    with search_in(tmp_path, pruner=pruner, sampler={"name": "tpe"}, n_trials=24) as search:
        while (trial := search.next()) is not None:
            ask = Pruner(search.sweep, trial.number)
            is_pruned = any(ask(step, {"x": Score(objective(trial))}) for step in (1, 3, 9))
            end(search, trial, objective(trial), "pruned" if is_pruned else "finished")
            states.append(is_pruned)
    assert 0 < sum(states) < 24


def test_several_objectives_have_a_front_and_no_pruning(tmp_path: Path) -> None:
    directions = {"eval/x": "lower", "eval/y": "higher"}
    with search_in(tmp_path, directions=directions, sampler={"name": "nsga2"}, n_trials=3) as search:
        for x, y in ((1.0, 1.0), (2.0, 3.0), (3.0, 2.0)):
            trial = search.next()
            assert not Pruner(search.sweep, trial.number)(1, {"x": Score(x)})
            end(search, trial, metrics={"eval/x": x, "eval/y": y})
    assert [trial.values for trial in search.study.best_trials] == [[1.0, 1.0], [2.0, 3.0]]


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_every_sampler_proposes(tmp_path: Path, name: str) -> None:
    if name == "cmaes":
        pytest.importorskip("cmaes")
    texts = ("a=interval(0,1)", "b=tag(log, interval(1e-3,1))", "n=range(1,4)")
    with search_in(tmp_path, texts=texts, sampler={"name": name}, n_trials=4) as search:
        while (trial := search.next()) is not None:
            end(search, trial, objective(trial))
    assert states(search) == ["COMPLETE"] * 4


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"sampler": {"name": "tpee"}}, "hydra.sweeper.sampler.name: there is no 'tpee'; nearest is tpe"),
        ({"sampler": {"name": "tpe", "startup": 3}}, "hydra.sweeper.sampler: .*startup"),
        ({"pruner": {"name": "mean"}}, "hydra.sweeper.pruner.name: there is no 'mean'"),
        ({"pruner": {"name": "median", "n_startup_trials": -1}}, "hydra.sweeper.pruner: "),
    ],
)
def test_what_optuna_does_not_know_is_refused(tmp_path: Path, settings: dict, line: str) -> None:
    with pytest.raises(UserError, match=line):
        search_in(tmp_path, **settings)
    assert not (tmp_path / "journal.log").exists()


def test_every_pruner_is_made() -> None:
    for name in PRUNERS.values():
        assert hasattr(optuna.pruners, name)


def lines(journal: Path, change: Callable[[dict], dict | None]) -> None:
    """Rewrite a journal entry by entry."""
    entries = [change(json.loads(line)) for line in journal.read_text().splitlines()]
    journal.write_text("".join(json.dumps(entry) + "\n" for entry in entries if entry is not None))


EVIL = "energy.activation._target_=os.system"


def test_what_a_journal_says_of_overrides_is_not_read(tmp_path: Path) -> None:
    search = search_in(tmp_path)
    search.worker = "worker-elsewhere-1"  # it is dead
    with search:
        first = search.next()

    def change(entry: dict) -> dict:
        noted = entry.get("user_attr", {})
        return entry | ({"user_attr": {"overrides": [*noted["overrides"], EVIL]}} if "overrides" in noted else {})

    lines(tmp_path / "journal.log", change)
    assert EVIL in (tmp_path / "journal.log").read_text()
    with search_in(tmp_path) as search:
        assert search.next() == first  # rebuilt from the space


OTHERS: dict[str, Callable[[dict], dict | None]] = {  # SET_TRIAL_PARAM is 5, CREATE_TRIAL 4, SET_TRIAL_USER_ATTR 8
    "a value outside of the space": lambda e: e | ({"param_value_internal": 7.0} if e["op_code"] == 5 else {}),
    "a value that is no number": lambda e: e | ({"param_value_internal": "7"} if e["op_code"] == 5 else {}),
    "another key": lambda e: e | ({"param_name": EVIL} if e["op_code"] == 5 else {}),
    "no distribution": lambda e: e | ({"distribution": "{}"} if e["op_code"] == 5 else {}),
    "attempts as text": lambda e: e | ({"user_attr": {"attempts": "1"}} if "attempts" in str(e) else {}),
    "a worker as a list": lambda e: e | ({"user_attr": {"worker": [1]}} if "worker" in e.get("user_attr", {}) else {}),
    "a proposal of another": lambda e: (
        e | {"system_attrs": {"fixed_params": {"a": 8}}, "state": 4} if e["op_code"] == 4 else e if e["op_code"] == 0
        else None
    ),
    "other directions": lambda e: e | ({"directions": [2]} if e["op_code"] == 0 else {}),
    "two directions": lambda e: e | ({"directions": [1, 1]} if e["op_code"] == 0 else {}),
    "no directions": lambda e: {k: v for k, v in e.items() if k != "directions"},
    "no operation": lambda e: e | {"op_code": "x"},
    "a number alone": lambda e: 7,
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_a_journal_of_another_search_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    with search_in(tmp_path) as search:
        search.next()
    lines(tmp_path / "journal.log", OTHERS[name])
    before = (tmp_path / "journal.log").read_bytes()
    with pytest.raises(UserError) as error:
        search_in(tmp_path)
    assert str(error.value).startswith(f"sweep: {tmp_path}/journal.log is no journal of this search (")
    assert "\n" not in str(error.value)
    assert (tmp_path / "journal.log").read_bytes() == before


def test_the_name_of_a_worker_leads_nowhere(tmp_path: Path) -> None:
    """A lock is emptied by who looks at it."""
    (tmp_path / "poetry.lock").write_text("mine\n")
    sweep = SweepDirectory(tmp_path / "s")
    (tmp_path / "s" / ".locks").mkdir(parents=True)
    assert not sweep.is_locked("../../poetry")
    with pytest.raises(ValueError, match="no name of a lock"):
        sweep.lock("../../poetry")
    assert (tmp_path / "poetry.lock").read_text() == "mine\n"
