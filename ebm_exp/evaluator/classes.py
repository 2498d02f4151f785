"""A joint energy as a classifier: is it right, does it know how sure it may be, and does it stay so under attack?"""

import math
from typing import Annotated

import torch
from torch import Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.energy import Joint
from ebm_exp.energy.joint import Marginal
from ebm_exp.engine.base import Engine
from ebm_exp.evaluator.base import HIGHER, LOWER, Evaluator, Kind, Model, Score
from ebm_exp.evaluator.pgd import Norm, pgd
from ebm_exp.evaluator.unlike import spread
from ebm_exp.random import generator
from ebm_exp.types import Batch, Classifies, Conditional, From, Labels, Positive, PositiveInt, Provided

BLOCK = 256  # points that are classified at once
N_BINS = 15
LEVELS = 255  # radii are in steps of one of so many


class Classes(Evaluator):
    """``accuracy`` and ``ece`` of the test split, ``accuracy_<norm>_<radius>`` under PGD.

    ECE is the expected calibration error, mean |accuracy − confidence| over 15 bins of confidence (Guo et al. 2017,
    arXiv 1706.04599), lower is better. A class-conditional energy has the class scores −E(x, y)/T, see ``Marginal``.

    Args:
        dataset: gives held-out points, their labels and domain.
        engine: keeps the energy at rest.
        n: points that are attacked, of the test split.
        linf, l2: radii of the attacks, in 255ths of the domain's width: those of images of 256 levels.
        n_steps: of an attack.
        temperature: T, of a class-conditional energy.
        classifies: whether the energy has class scores.
        conditional: whether the energy takes labels.

    Raises:
        ValueError: when the energy knows no classes, held-out points have no labels, or T is 0 where it divides.
    """

    n_samples = 0

    def __init__(
        self,
        dataset: Provided[Dataset],
        engine: Provided[Engine],
        n: PositiveInt = 500,
        linf: tuple[PositiveInt, ...] = (2, 8, 16),
        l2: tuple[PositiveInt, ...] = (64, 128, 256),
        n_steps: PositiveInt = 20,
        temperature: Annotated[Positive, From("temperature")] = 1.0,
        classifies: Classifies = False,
        conditional: Conditional = False,
    ) -> None:
        if not classifies and not conditional:
            raise ValueError(
                "classes needs an energy that knows them: energy=joint, or energy.conditional=true; "
                "remove it with ~evaluator.classes"
            )
        if dataset.test_labels is None:
            raise ValueError(f"classes needs labels of held-out points, {dataset.name} has none; ~evaluator.classes")
        if conditional and temperature <= 0:
            raise ValueError("classes of a conditional energy need a density exp(−E/T), and T is 0 here")
        self.dataset = dataset
        self.engine = engine
        self.n = n
        self.n_steps = n_steps
        self.temperature = temperature
        balls: list[tuple[Norm, int]] = [*(("linf", r) for r in linf), *(("l2", r) for r in l2)]
        self.attacks = {f"accuracy_{norm}_{radius}": (norm, radius) for norm, radius in balls}

    def gives(self) -> dict[str, Kind]:
        return {"accuracy": HIGHER, "ece": LOWER} | dict.fromkeys(self.attacks, HIGHER)

    @property
    def protocol(self) -> str:
        split = "test split" if self.dataset.holds_out else "training data, nothing is held out"
        n = min(self.n, self.dataset.n_test)
        return f"{self.dataset.n_test:,} points ({split}), {n:,} under PGD of {self.n_steps} steps, radii in 255ths"

    def __call__(self, model: Model) -> dict[str, Score]:
        """Scores as described above, accuracies with their binomial standard errors; NaN where class scores are."""
        from torchmetrics.functional.classification import multiclass_calibration_error  # takes seconds to import

        energy = self._joint(model)
        labels = self.dataset.test_labels
        assert labels is not None  # else refused
        with torch.no_grad():
            blocks = self.dataset.blocks("test", BLOCK)
            probability = torch.cat([energy.logits(x).softmax(1) for x, _ in blocks])
        if not probability.isfinite().all():
            return {name: Score(math.nan, better=kind.better) for name, kind in self.gives().items()}
        ece = multiclass_calibration_error(probability, labels, self.dataset.n_classes, n_bins=N_BINS)
        found = {
            "accuracy": _share(probability.argmax(1) == labels),
            "ece": Score(float(ece), n=len(labels)),
        }
        x, y = spread(self.dataset, self.n)
        assert y is not None
        for name, (norm, radius) in self.attacks.items():
            found[name] = _share(self._withstood(energy, x, y, norm, radius))
        return found

    def _joint(self, model: Model) -> Joint:
        energy = self.engine.target(model.energy.of_data()).energy
        if energy.conditional:
            return Marginal(energy, self.dataset.n_classes, self.temperature)
        assert isinstance(energy, Joint)
        return energy

    def _withstood(self, energy: Joint, x: Batch, y: Labels, norm: Norm, radius: int) -> Tensor:
        domain = self.dataset.domain
        width, right = radius * (domain.high - domain.low) / LEVELS, []
        for i in range(0, len(x), BLOCK):
            rows = slice(i, i + BLOCK)
            g = generator(x.device, "pgd", norm, radius, i)
            end = pgd(energy.logits, x[rows], y[rows], domain, norm, width, self.n_steps, g)
            with torch.no_grad():
                right.append(energy.logits(end).argmax(1) == y[rows])
        return torch.cat(right)


def _share(right: Tensor) -> Score:
    """Mean of trials ``[n]`` that succeed or fail, with its binomial standard error √(p(1 − p)/n)."""
    p, n = float(right.double().mean()), len(right)
    return Score(p, (p * (1 - p) / n) ** 0.5, "higher", n)
