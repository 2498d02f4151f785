"""A guard beside a training: signals of every tenth step, means of windows, rules that they must keep.

Nothing here waits for the device: signals add up on it, and are read where the trainer reads its metrics anyway.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from ebm_exp.evaluator import Evaluator, Score
from ebm_exp.guard.rule import Rule, Symptom, found
from ebm_exp.guard.scores import SYMPTOMS, judge_scores
from ebm_exp.metrics import SIGNAL
from ebm_exp.part import Part
from ebm_exp.types import From, NonNegativeInt, PositiveInt, Provided


class Guard(Part):
    """Looks at signals of an objective and names what is wrong.

    Args:
        rules: of the objective.
        device: where signals live.
        on_divergence: ``stop``: end as diverged; ``rollback``: go on from the last healthy checkpoint with a remedy and
            other random numbers, at most ``max_rollbacks`` times; ``warn``: say it and go on.
        every_steps: steps from one look to the next.
        window_steps: of a mean; a multiple of ``every_steps``.
        n_windows: in a row that must break a rule; one that is better than the one before begins anew.
        max_rollbacks: of a run.
        ignore: names of symptoms that are no reason to act.
        evaluators: of the experiment, which say what of their scores is a distance from the data.

    Raises:
        ValueError: when a window is no multiple, or a symptom that is to be ignored does not exist.
    """

    def __init__(
        self,
        rules: Annotated[tuple[Rule, ...], From("objective.rules")],
        device: Provided[torch.device],
        on_divergence: Literal["stop", "rollback", "warn"] = "stop",
        every_steps: PositiveInt = 10,
        window_steps: PositiveInt = 50,
        n_windows: PositiveInt = 2,
        max_rollbacks: NonNegativeInt = 3,
        ignore: tuple[str, ...] = (),
        evaluators: Annotated[dict[str, Evaluator] | None, From("evaluator")] = None,
    ) -> None:
        if window_steps % every_steps:
            raise ValueError(f"window_steps: must be a multiple of every_steps, {every_steps}, got {window_steps}")
        known = [*(rule.name for rule in rules), *SYMPTOMS]
        if unknown := [name for name in ignore if name not in (*known, "all")]:
            raise ValueError(f"ignore: there is no {unknown[0]}; of {', '.join([*known, 'all'])}")
        given = [each.gives() for each in (evaluators or {}).values()]
        self.distances = frozenset(name for kinds in given for name, kind in kinds.items() if kind.is_distance)
        self.ignored = frozenset(known if "all" in ignore else ignore)
        self.rules = tuple(rule for rule in rules if rule.name not in self.ignored)
        self.device = device
        self.on_divergence = on_divergence
        self.max_rollbacks = max_rollbacks
        self.every_steps = every_steps
        self.window_steps = window_steps
        self.n_windows = n_windows
        self._sum: Tensor | None = None  # of the window that is open
        self._count = 0
        self._names: list[str] = []
        self._closed: list[tuple[int, Tensor]] = []  # (last step, means), not read yet
        self._broken: dict[str, list[tuple[int, float]]] = {}  # by rule: the windows in a row that broke it

    def due(self, step: int) -> bool:
        """Whether a look is due after ``step`` steps."""
        return bool(self.rules) and step % self.every_steps == 0

    @torch.no_grad()
    def look(self, step: int, signals: Mapping[str, Tensor]) -> None:
        """Take in the signals of a step, scalars on the device, always the same ones."""
        values = self._stack(signals)
        self._sum = values if self._sum is None else self._sum + values
        self._count += 1
        if step % self.window_steps == 0:
            self._closed.append((step, self._sum / self._count))
            self._sum, self._count = None, 0

    def read(self) -> tuple[dict[str, float], Symptom | None]:
        """Means of the newest window since the last read, and the first symptom; one transfer from the device."""
        if not self._closed:
            return {}, None
        steps, means = [step for step, _ in self._closed], torch.stack([mean for _, mean in self._closed]).tolist()
        self._closed = []
        symptom: Symptom | None = None
        for step, row in zip(steps, means, strict=True):
            values = dict(zip(self._names, row, strict=True))
            for rule in self.rules:
                of_rule = self._judge(rule, step, values)
                symptom = symptom or of_rule
        return {SIGNAL(name): value for name, value in values.items()}, symptom

    def judge(
        self, step: int, scores: Mapping[str, Score], score_starts: Callable[[], Mapping[str, Score]]
    ) -> Symptom | None:
        """The symptom that an evaluation shows, see ``judge_scores``."""
        symptom = judge_scores(step, scores, self.distances, score_starts)
        return None if symptom is None or symptom.name in self.ignored else symptom

    def _judge(self, rule: Rule, step: int, values: Mapping[str, float]) -> Symptom | None:
        if not rule.broken_by(step, values):
            self._broken.pop(rule.name, None)
            return None
        value = values[rule.signal]
        windows = self._broken.setdefault(rule.name, [])
        if len(windows) < self.n_windows and windows and rule.heals(windows[-1][1], value):
            windows.clear()
        windows.append((step, value))
        if len(windows) != self.n_windows:  # once: the next time after it was healthy again
            return None
        return found(rule, windows[0][0] - self.window_steps, value)

    def state_dict(self) -> dict[str, Any]:
        """The windows so far, for a checkpoint in their middle."""
        return {
            "sum": {} if self._sum is None else dict(zip(self._names, self._sum, strict=True)),
            "count": self._count,
            "closed": [(step, dict(zip(self._names, mean, strict=True))) for step, mean in self._closed],
            "broken": self._broken,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with saved windows."""
        self._count = int(state["count"])
        self._sum = self._stack(state["sum"]) if state["sum"] else None
        self._closed = [(int(step), self._stack(means)) for step, means in state["closed"]]
        self._broken = {
            name: [(int(step), float(value)) for step, value in windows] for name, windows in state["broken"].items()
        }

    def _stack(self, values: Mapping[str, Tensor]) -> Tensor:
        self._names = list(values)
        return torch.stack([value.reshape(()) for value in values.values()]).to(self.device, torch.float64)
