"""A joint energy as a classifier alone: the cross-entropy of labels, no chains in training.

What ``objective=jem`` is compared with: the same network, its p(y | x) trained and its p(x) left to itself.
"""

from typing import Annotated

from torch.nn import functional as F

from ebm_exp.energy import Energy
from ebm_exp.energy.joint import Joint
from ebm_exp.engine.base import Engine
from ebm_exp.metrics import ACCURACY, ENERGY_POS
from ebm_exp.objective.base import Loss, Objective
from ebm_exp.objective.cross_entropy import accuracy, check_classifies
from ebm_exp.random import Source
from ebm_exp.regularization.base import Phase, Step, Term, Terms
from ebm_exp.types import Classifies, From, Points, Positive, Provided


class Classification(Objective):
    """Mean of −log p(y | x), with terms of the data.

    Args:
        engine: what terms differentiate energies with.
        regularization: terms beside the loss; of data alone, no samples are drawn.
        classifies: whether the energy has class scores.
        suggested_temperature: T of its samples, for a kernel that has none of its own.

    Raises:
        ValueError: when the energy does not classify, or a term needs samples.
    """

    gives = frozenset({"labels"})

    def __init__(
        self,
        engine: Provided[Engine],
        regularization: Provided[dict[str, Term]],
        classifies: Classifies = False,
        suggested_temperature: Annotated[Positive, From("suggest.temperature")] = 1.0,
    ) -> None:
        super().__init__()
        check_classifies("classification", classifies)
        self.engine = engine
        self.temperature = suggested_temperature
        self.terms = Terms("classification", self.gives, regularization)
        self.pure = self.terms.pure

    def describe(self) -> dict[str, str]:
        return self.terms.describe("cross_entropy")

    def loss(self, energy: Energy, batch: Points, source: Source) -> Loss:
        x, y = batch
        assert isinstance(energy, Joint)  # else refused before training
        assert y is not None  # a joint energy is built for data with labels alone
        logits = energy.logits(x)
        e = -logits.logsumexp(1)
        now = Step(Phase(x, e, energy, y), self.engine, source)
        values = {"cross_entropy": F.cross_entropy(logits, y, reduction="none")} | self.terms(now)
        metrics = {ACCURACY: accuracy(logits, y), ENERGY_POS: e.detach().mean(), **now.metrics}
        return Loss(values, metrics, {"data": e.detach()})
