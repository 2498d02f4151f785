"""A guard beside a training: signals of every tenth step, means of windows, rules that they must keep.

Beside the objective's signals it has one of its own, ``travel``: how far the weights are from where they began.
Nothing here waits for the device: signals add up on it, and are read where the trainer reads its metrics anyway.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from ebm_exp.energy import Energy
from ebm_exp.evaluator import Evaluator, Score
from ebm_exp.guard.rule import Rule, Symptom, found
from ebm_exp.guard.scores import SYMPTOMS, Nearest, ScorePoints, judge_scores
from ebm_exp.metrics import SIGNAL
from ebm_exp.part import Part
from ebm_exp.types import From, NonNegativeInt, PositiveInt, Provided

NOTHING_LEARNED = Rule(
    name="nothing_learned",
    signal="travel",
    low=1e-4,
    high=math.inf,
    says="the weights have moved by {value} of their size: the energy tells data from its own samples as at the start",
    causes=("a learning rate that is too low", "a loss whose gradient does not reach the weights"),
    knobs=("a larger optimizer.lr", "a larger trainer.gradient_norm_clip", "fewer schedule.warmup_steps"),
    remedy=(),
    after=200,
    better=0.0,  # what weights are off by rounding grows too
)
_N_WEIGHTS = 4096  # that are looked at


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
        energy: what is trained; None: its weights are not looked at.

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
        energy: Annotated[Energy | None, From("energy")] = None,
    ) -> None:
        if window_steps % every_steps:
            raise ValueError(f"window_steps: must be a multiple of every_steps, {every_steps}, got {window_steps}")
        rules = (*rules, NOTHING_LEARNED)
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
        self._weights = [] if energy is None else [p for p in energy.parameters() if p.requires_grad]
        self._start: Tensor | None = None  # some of the weights, at the first look
        self._nearest: Nearest = {}
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
        signals = dict(signals) | self._travel()
        if not signals:
            return
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

    def judge(self, step: int, scores: Mapping[str, Score], score_points: ScorePoints) -> Symptom | None:
        """The symptom that an evaluation shows, see ``judge_scores``."""
        symptom = judge_scores(step, scores, self.distances, score_points, self._nearest)
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
        if NOTHING_LEARNED in self.rules and values.get("travel", math.inf) < NOTHING_LEARNED.low:
            rule, value = NOTHING_LEARNED, values["travel"]  # an energy that rests is not what makes chains ill
        return found(rule, windows[0][0] - self.window_steps, value)

    def state_dict(self) -> dict[str, Any]:
        """The windows so far, for a checkpoint in their middle."""
        return {
            "sum": {} if self._sum is None else dict(zip(self._names, self._sum, strict=True)),
            "count": self._count,
            "closed": [(step, dict(zip(self._names, mean, strict=True))) for step, mean in self._closed],
            "broken": self._broken,
            "start": self._start,
            "nearest": self._nearest,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with saved windows."""
        if "start" not in state:  # of an older version: nobody knows how far the weights have come
            self._weights = []
        elif state["start"] is not None:
            self._start = state["start"].to(self.device)
        nearest = state.get("nearest", {}).items()
        self._nearest = {name: (int(step), float(value)) for name, (step, value) in nearest}
        self._count = int(state["count"])
        self._sum = self._stack(state["sum"]) if state["sum"] else None
        self._closed = [(int(step), self._stack(means)) for step, means in state["closed"]]
        self._broken = {
            name: [(int(step), float(value)) for step, value in windows] for name, windows in state["broken"].items()
        }

    def _travel(self) -> dict[str, Tensor]:
        """``travel``: distance of the weights from where they began, as a share of their norm then."""
        if not self._weights:
            return {}
        if self._start is None:
            self._start = self._spread_weights()
        moved = (self._spread_weights() - self._start).norm()
        return {"travel": moved / self._start.norm().clamp(min=torch.finfo(torch.float32).tiny)}

    @torch.no_grad()
    def _spread_weights(self) -> Tensor:
        """Some thousand of the weights ``[n]``, spread evenly over each tensor, whatever order it has in memory."""
        most = max(1, _N_WEIGHTS // len(self._weights))
        some = []
        for p in self._weights:
            n = min(most, p.numel())
            some.append(p.as_strided((n,), (p.numel() // max(n, 1),), p.storage_offset()).to(self.device))
        return torch.cat(some).float()

    def _stack(self, values: Mapping[str, Tensor]) -> Tensor:
        self._names = list(values)
        return torch.stack([value.reshape(()) for value in values.values()]).to(self.device, torch.float64)
