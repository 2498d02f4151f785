"""Out-of-distribution detection: is held-out data told from points of other kinds?

Each score s(x) is high where a point looks like the data:

    energy       −E(x)                      log-density, but for a constant                     (Du & Mordatch 2019)
    gradient     −‖∇E(x)‖₂                  typical points lie where the density is flat  (Grathwohl et al. 2020, § 5.3)
    confidence   max_y p(y | x)             of an energy that classifies            (Hendrycks & Gimpel 2017)
    ratio        E'(x)/T' − E(x)/T          log-density over that of a second run E'     (Ren et al. 2019)

Held-out data is the positive class. AUROC: probability that a point of the data has a higher score than one of the
other set, ties count half; ½ is chance. AUPR: average precision. FPR95: share of the other set that passes the
threshold which 95 % of the data pass.
"""

import math
from typing import Annotated

import torch
from torch import Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.energy import Energy, Joint
from ebm_exp.energy.joint import Marginal
from ebm_exp.engine.base import Engine
from ebm_exp.evaluator.base import Against, Direction, Evaluator, Kind, Model, Score
from ebm_exp.evaluator.unlike import MADE, foreign, make, spread
from ebm_exp.types import Batch, Classifies, Conditional, From, PerSample, Positive, PositiveInt, Provided

BLOCK = 256  # points whose energies are differentiated at once
BETTER: dict[str, Direction] = {"auroc": "higher", "aupr": "higher", "fpr95": "lower"}


class OOD(Evaluator):
    """``ood_<auroc, aupr or fpr95>_<set>_<score>`` for each set and score above.

    The sets ``constant``, ``uniform``, ``shuffled_pixels``, ``inverted`` and ``interpolation`` are made of the test
    split, with a fixed seed (``unlike.py``). A class-conditional energy is scored by −T log Σ_y exp(−E(x, y)/T).

    Args:
        dataset: gives held-out points and their domain.
        engine: differentiates the energy.
        n: points of each set.
        sets: other data sets of the same shape, by name; their range of values is moved to the data's.
        temperature: T.
        against: the run that a likelihood ratio is taken against; None: no ratio.
        classifies: whether the energy has class scores.
        conditional: whether the energy takes labels.

    Raises:
        ValueError: when there are fewer than two points, a set has points of another shape or the name of one that is
            made, or T is 0 where it divides.
    """

    n_samples = 0

    def __init__(
        self,
        dataset: Provided[Dataset],
        engine: Provided[Engine],
        n: PositiveInt = 1000,
        sets: dict[str, Dataset] | None = None,
        temperature: Annotated[Positive, From("temperature")] = 1.0,
        against: Annotated[Against | None, From("against")] = None,
        classifies: Classifies = False,
        conditional: Conditional = False,
    ) -> None:
        if n < 2 or dataset.n_test < 2:
            raise ValueError(f"n: needs at least 2 held-out points, there are {min(n, dataset.n_test)}")
        for name, each in (sets or {}).items():
            if name in (*MADE, "test"):
                raise ValueError(f"sets: {name} is the name of a set that is made of the data; choose another")
            if each.event_shape != dataset.event_shape:
                theirs, ours = ("×".join(map(str, shape)) for shape in (each.event_shape, dataset.event_shape))
                raise ValueError(f"sets: {name} has points of {theirs}, the data of {ours}; choose others")
        if temperature <= 0 and (conditional or against is not None):
            raise ValueError("a ratio, and classes of a conditional energy, need a density exp(−E/T), and T is 0 here")
        self.dataset = dataset
        self.engine = engine
        self.n = n
        self.sets = sets or {}
        self.temperature = temperature
        self.against = against
        self.conditional = conditional
        self.scores = ["energy", "gradient"]
        self.scores += ["confidence"] * (classifies or conditional) + ["ratio"] * (against is not None)

    def gives(self) -> dict[str, Kind]:
        return {
            f"ood_{measure}_{name}_{score}": Kind(better)
            for measure, better in BETTER.items()
            for name in (*MADE, *self.sets)
            for score in self.scores
        }

    @property
    def protocol(self) -> str:
        n, split = min(self.n, self.dataset.n_test), "test" if self.dataset.holds_out else "training"
        ratio = "" if self.against is None else f", ratio against {self.against.name}"
        return f"{n:,} points of each set, data ({split} split) positive{ratio}"

    def __call__(self, model: Model) -> dict[str, Score]:
        """Scores as described above, AUROC with DeLong's standard error; NaN where a point's score is not finite."""
        points = self._points()
        of_set = {name: self._scores(model.energy, x) for name, x in points.items()}
        data = of_set.pop("test")
        found: dict[str, Score] = {}
        for name, other in of_set.items():
            for score in self.scores:
                for measure, each in detection(data[score], other[score]).items():
                    found[f"ood_{measure}_{name}_{score}"] = each
        return found

    def histograms(self, model: Model) -> dict[str, dict[str, Tensor]]:
        """Energies of the sets."""
        energy = self._energy(model.energy, self.temperature)
        with torch.no_grad():
            values = {name: torch.cat([energy(b) for b in x.split(BLOCK)]) for name, x in self._points().items()}
        return {"energies": values}

    def _points(self) -> dict[str, Batch]:
        data, domain = spread(self.dataset, self.n).x, self.dataset.domain
        made = {name: make(name, data, domain) for name in MADE}
        return {"test": data} | made | {name: foreign(each, domain, self.n) for name, each in self.sets.items()}

    def _energy(self, energy: Energy, temperature: float) -> Energy:
        """At rest, of points alone."""
        resting = self.engine.target(energy.of_data()).energy
        return Marginal(resting, self.dataset.n_classes, temperature) if resting.conditional else resting

    def _scores(self, energy: Energy, x: Batch) -> dict[str, PerSample]:
        energy, values = self._energy(energy, self.temperature), {}
        blocks = x.split(BLOCK)
        with torch.no_grad():
            e = torch.cat([energy(block) for block in blocks]).double()
            if isinstance(energy, Joint):
                values["confidence"] = torch.cat([energy.logits(block).double().softmax(1).amax(1) for block in blocks])
            if self.against is not None:
                other = self._energy(self.against.energy, self.against.temperature)
                theirs = torch.cat([other(block) for block in blocks]).double()
                values["ratio"] = theirs / self.against.temperature - e / self.temperature
        slope = torch.cat([self.engine.gradient(energy, block).flatten(1).norm(dim=1) for block in blocks])
        return {"energy": -e, "gradient": -slope.double(), **values}


def detection(data: Tensor, other: Tensor) -> dict[str, Score]:
    """AUROC, AUPR and FPR95 of scores ``[n]`` of the data against those ``[m]`` of another set, both n, m ≥ 2."""
    from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve  # takes a second to import

    n = len(data) + len(other)
    values = torch.cat([data, other]).cpu()
    if not values.isfinite().all():
        return {measure: Score(math.nan, better=better, n=n) for measure, better in BETTER.items()}
    is_data = torch.arange(n) < len(data)
    false, true, _ = roc_curve(is_data, values, drop_intermediate=False)
    return {
        "auroc": Score(float(roc_auc_score(is_data, values)), auroc_error(data, other), "higher", n),
        "aupr": Score(float(average_precision_score(is_data, values)), None, "higher", n),
        "fpr95": Score(float(false[true >= 0.95].min()), None, "lower", n),
    }


def auroc_error(data: Tensor, other: Tensor) -> float:
    """Standard error of the AUROC (DeLong, DeLong & Clarke-Pearson 1988): of placements, the share of the other set
    that each point is above, and of the data that each of the others is below."""

    def placements(x: Tensor, among: Tensor) -> Tensor:
        among = among.sort().values
        below, up_to = (torch.searchsorted(among, x, right=right) for right in (False, True))
        return (below + up_to) / (2 * len(among))

    return math.sqrt(sum(float(placements(a, b).var()) / len(a) for a, b in ((data, other), (other, data))))
