"""Cross-entropy of labels under p(y | x) of a joint energy (Grathwohl et al. 2020, arXiv 1912.03263, Equation 10).

log p(x, y) = log p(x) + log p(y | x): contrastive divergence trains the first, and −log p(y | x) is known exactly,
without chains. As a term of ``pcd`` (``objective=jem``) its weight 1 is the likelihood of both.
"""

from torch import Tensor
from torch.nn import functional as F

from ebm_exp.energy.joint import Joint
from ebm_exp.metrics import ACCURACY
from ebm_exp.regularization.base import Step, Term
from ebm_exp.types import Classifies, Labels, NonNegative, PerSample


class CrossEntropy(Term):
    """−w log p(y | x) of the data; ``train/accuracy`` beside it.

    Args:
        weight: w.
        classifies: whether the energy has class scores.

    Raises:
        ValueError: when it has none.
    """

    needs = frozenset({"labels"})
    pure = True

    def __init__(self, weight: NonNegative = 1.0, classifies: Classifies = False) -> None:
        check_classifies("cross_entropy", classifies)
        self.weight = weight

    def __call__(self, now: Step) -> PerSample:
        pos = now.positive
        assert isinstance(pos.energy, Joint)  # else refused before training
        assert pos.y is not None  # a joint energy is built for data with labels alone
        logits = pos.energy.logits(pos.x)
        now.metrics[ACCURACY] = accuracy(logits, pos.y)
        return self.weight * F.cross_entropy(logits, pos.y, reduction="none")


def accuracy(logits: Tensor, y: Labels) -> Tensor:
    """Share of the labels ``[batch]`` that have the largest of the logits ``[batch, n_classes]``, a scalar."""
    return (logits.detach().argmax(1) == y).float().mean()


def check_classifies(what: str, classifies: bool) -> None:
    """Refuse an energy without class scores.

    Raises:
        ValueError: naming what needs them and an energy that has them.
    """
    if not classifies:
        raise ValueError(f"{what} needs an energy that classifies, as energy=joint does")
