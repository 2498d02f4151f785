"""Every evaluator on one trained run: its numbers with what made them, kept in the run as ``evaluation.json``.

The file holds the last value of each score, with its standard error, n, the protocol, and the call that made it: which
checkpoint and weights, how samples were drawn, temperature, seed, data, versions, command and commit, what was asked
for and what of it failed. The call's own file says from its beginning what was asked for, and whether it has ended.
"""

import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ebm_exp.config.device import describe_machine
from ebm_exp.config.errors import UserError
from ebm_exp.dataset.units import Units
from ebm_exp.evaluator import Against, Evaluator, Model, Score
from ebm_exp.files import disk_problem, write_json
from ebm_exp.logger import Logger, Picture
from ebm_exp.logger.base import Value
from ebm_exp.metrics import PROTOCOL, SCORE, SCORE_ERROR
from ebm_exp.plots import energy_histogram, sample_panels
from ebm_exp.random import Stream
from ebm_exp.run import provenance
from ebm_exp.run.about import beside, origin, tell_other_data
from ebm_exp.run.directory import RunDirectory
from ebm_exp.run.load import load_run
from ebm_exp.run.loaded import LoadedRun

NAME = "evaluation.json"
_LIBRARIES = ("torch", "torchvision", "torchmetrics", "numpy", "scikit-learn")
_LOG = logging.getLogger(__name__)


@dataclass
class Evaluation:
    """What the evaluators of one call found.

    Attributes:
        folder: of the call's files.
        made: what all its numbers have in common.
        scores: by name: ``value``, ``se``, ``n``, ``better``, ``unit``, ``verdict``, ``refuted``, ``evaluator``.
        protocols: by evaluator.
        pictures: by title.
        failed: what an evaluator died of, by evaluator.
        asked: the evaluators that the call was asked for.
        state: ``running``, ``finished``, ``failed`` (some evaluator did) or ``stopped``. A call that was killed says
            ``running`` for ever.
        dashboard: where to look.
    """

    folder: Path
    made: dict[str, Any]
    scores: dict[str, dict[str, Any]] = field(default_factory=dict)
    protocols: dict[str, str] = field(default_factory=dict)
    pictures: dict[str, Path] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    state: str = "running"
    dashboard: list[str] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """What the call's own ``evaluation.json`` says."""
        said = {"state": self.state, "asked": self.asked, "made": self.made, "protocols": self.protocols}
        return said | {"scores": self.scores, "failed": self.failed}

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Say in the file that the call goes on, and at its end how it ended."""
        self.write()
        try:
            yield
        except BaseException:  # Ctrl-C: an evaluator's own errors are kept
            self.state = "stopped"
            raise
        else:
            self.state = "failed" if self.failed else "finished"
        finally:
            self.write()

    def write(self) -> None:
        """Replace the call's own ``evaluation.json`` as a whole."""
        write_json(self.folder / NAME, self.record())

    def draw(self, name: str, evaluator: Evaluator, model: Model, units: Units) -> None:
        """Draw the pictures that an evaluator has of a model, beside the call's other files."""
        panels = {title: points.x for title, points in evaluator.panels(model).items()}
        if panels:
            self.pictures[name] = self.folder / f"{name}.png"
            sample_panels(self.pictures[name], panels, units)
        for title, values in evaluator.histograms(model).items():
            file = self.folder / f"{name}_{title}.png"
            energy_histogram(file, values, title)
            self.pictures[f"{name}_{title}"] = file


def against(run: str | None, trust: bool, device: str, **chosen: Any) -> dict[str, Any]:
    """The second run that evaluators compare with, as a part of the experiment; none without one.

    Raises:
        UserError: when it is no run.
    """
    if run is None:
        return {}
    other = load_run(run, trust, device, key="against", **chosen)
    return {"against": Against(other.energy, other.temperature, str(other.path))}


def evaluate(
    run: LoadedRun, evaluators: Mapping[str, Evaluator], seed: int, folder: Path, chosen: Mapping[str, Any]
) -> Evaluation:
    """Let each evaluator see the run; what is found is kept as soon as it is there.

    Args:
        run: loaded, with its data.
        evaluators: by name.
        seed: of samples and chains; the same one gives the same numbers.
        folder: takes ``evaluation.json`` and pictures.
        chosen: settings of the call that belong to its protocol.

    Raises:
        UserError: when all of them fail.
    """
    evaluation = Evaluation(folder, _made(run, seed, folder, chosen), asked=list(evaluators))
    n = max(each.n_samples for each in evaluators.values())
    model = Model(run.energy, run.parts["sampling"], Stream(seed), n)
    with evaluation.recorded():
        _let_each_see(model, run.parts["dataset"].units, evaluators, evaluation)
    if len(evaluation.failed) == len(evaluators):
        raise UserError("\n".join(f"evaluator.{name}: {reason}" for name, reason in evaluation.failed.items()))
    _keep_in_run(run.path / NAME, evaluation)
    return evaluation


def _let_each_see(model: Model, units: Units, evaluators: Mapping[str, Evaluator], evaluation: Evaluation) -> None:
    for name, evaluator in evaluators.items():
        began = time.perf_counter()
        print(f"{name:<20} {evaluator.protocol}", flush=True)
        try:
            found = evaluator(model)
            evaluation.draw(name, evaluator, model, units)
        except Exception as error:
            evaluation.failed[name] = f"{type(error).__name__}: {error}"
            is_known = isinstance(error, ValueError | UserError | OSError)
            _LOG.error("evaluator.%s failed: %s", name, error, exc_info=not is_known)
        else:
            evaluation.protocols[name] = evaluator.protocol
            for key, score in found.items():
                evaluation.scores[key] = write_score(score) | {"evaluator": name}
            evaluation.made["seconds"][name] = round(time.perf_counter() - began, 2)
        evaluation.write()


def write_score(score: Score) -> dict[str, Any]:
    """What is known of a score, by name."""
    return {what: value for what, value in score._asdict().items() if value is not None and value is not False}


def _made(run: LoadedRun, seed: int, folder: Path, chosen: Mapping[str, Any]) -> dict[str, Any]:
    sampling = run.parts["sampling"]
    data = run.parts["dataset"].facts()
    tell_other_data(run.directory, data)
    return {
        **provenance.describe(RunDirectory(folder)),
        "run": str(run.path),
        **chosen,
        **origin(run.directory, run.step),
        "seed": seed,
        "temperature": run.temperature,
        "samples": ": ".join(filter(None, (sampling.kernel(), sampling.describe()))),
        "data": {key: data[key] for key in ("name", "fingerprint", "n_train", "n_test")},
        "precision": run.parts["engine"].precision,
        **describe_machine(run.parts["device"], _LIBRARIES),
        "seconds": {},
    }


def _keep_in_run(file: Path, evaluation: Evaluation) -> None:
    """Replace in the run's own file what this call measured anew."""
    call = evaluation.folder.name
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        scores, calls = dict(kept["scores"]), dict(kept["calls"])
    except FileNotFoundError:
        scores, calls = {}, {}
    except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
        _LOG.warning("%s cannot be read (%s) and is begun anew", file, type(error).__name__)
        scores, calls = {}, {}
    scores |= {
        name: score | {"protocol": evaluation.protocols[score["evaluator"]], "call": call}
        for name, score in evaluation.scores.items()
    }
    named = {score.get("call") for score in scores.values() if isinstance(score, dict)}
    asked = {"asked": evaluation.asked, "failed": evaluation.failed}
    calls = {name: made for name, made in calls.items() if name in named} | {call: evaluation.made | asked}
    try:
        write_json(file, {"scores": scores, "calls": calls})
    except OSError as error:
        _LOG.warning("%s; the numbers are in %s alone", disk_problem(error) or error, evaluation.folder / NAME)


def log_evaluation(run: LoadedRun, evaluation: Evaluation) -> None:
    """Log what was found as a run of type ``evaluate`` in the run's group."""
    logger: Logger = run.parts["logger"]
    logger.start(beside(run.directory, run.config, run.step, evaluation.folder, "evaluate"))
    row: dict[str, Value] = {SCORE(name): score["value"] for name, score in evaluation.scores.items()}
    row |= {SCORE_ERROR(name): score["se"] for name, score in evaluation.scores.items() if "se" in score}
    logger.log(row | {SCORE(name): Picture(path) for name, path in evaluation.pictures.items()}, run.step)
    logger.summary({PROTOCOL(name): text for name, text in evaluation.protocols.items()})
    logger.finish(int(bool(evaluation.failed)))
    evaluation.dashboard = logger.hint()
