"""What is known of a data set whose files are not there: enough to draw samples, nothing to train on."""

from collections.abc import Mapping
from typing import Any, NoReturn

import torch
from torch import Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.dataset.domain import Domain
from ebm_exp.dataset.units import read_units


class Absent(Dataset):
    """Name, domain, units and classes of a data set, as a run recorded them.

    Args:
        facts: what ``Dataset.facts`` gave.
        device: where points would be needed.
        reason: why the points are not there; it is said to whoever asks for them.
    """

    def __init__(self, facts: Mapping[str, Any], device: torch.device, reason: Exception) -> None:
        self.name = facts["name"]
        self.n_classes = facts["n_classes"]
        self.device = device
        self.reason = reason
        self.domain = Domain(facts["low"], facts["high"], tuple(facts["event_shape"]))
        self.class_names = facts.get("class_names") or [str(k) for k in range(self.n_classes)]
        self.units = read_units(facts.get("units"), self.domain)
        self.class_counts = torch.tensor(facts["class_counts"], dtype=torch.float32)
        self.train_labels = self.test_labels = None
        self.holds_out = False

    def random_labels(self, n: int, generator: torch.Generator) -> Tensor:
        counts = self.class_counts.to(self.device)
        return torch.multinomial(counts, n, replacement=True, generator=generator)

    def _missing(self, *_: Any, **__: Any) -> NoReturn:
        raise self.reason

    binary = True  # not known: a kernel of two levels is not refused
    train = test = blocks = batch = noisy = _missing  # type: ignore[assignment]
    n_train = n_test = property(_missing)  # type: ignore[assignment]
