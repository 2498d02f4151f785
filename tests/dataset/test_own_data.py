"""A data set of one's own: what is refused at construction, and the fingerprint."""

import re

import numpy as np
import pytest
import torch

from ebm_exp.dataset import Digits, Gaussian, fingerprint
from ebm_exp.dataset.base import Dataset
from ebm_exp.dataset.domain import Domain

NAN, INF = float("nan"), float("inf")


class Own(Dataset):
    """Twelve points of three numbers in [−1, 1], four of them held out, of three classes; as a user writes it."""

    def __init__(self, **changes: object) -> None:
        x = torch.linspace(-1, 1, 36).view(12, 3)
        y = torch.arange(12) % 3
        values = {"train": x[4:], "test": x[:4], "train_labels": y[4:], "test_labels": y[:4], "n_classes": 3}
        super().__init__(**({"name": "own", "domain": Domain(-1, 1, (3,))} | values | changes))


def changed(at: tuple[int, ...], value: float) -> torch.Tensor:
    x = torch.zeros(8, 3)
    x[at] = value
    return x


REFUSED = {
    "train: must be a tensor of float32, or of uint8 levels, got torch.float64": {"train": torch.zeros(8, 3).double()},
    "train: must be a tensor of float32, or of uint8 levels, got torch.int64": {"train": torch.zeros(8, 3).long()},
    "train: must be a tensor of float32, or of uint8 levels, got ndarray": {"train": np.zeros((8, 3), np.float32)},
    "test: must be a tensor of float32, or of uint8 levels, got torch.float16": {"test": torch.zeros(4, 3).half()},
    "train: must be points [3], the domain's, got [4]": {"train": torch.zeros(8, 4)},
    "test: must be points [3], the domain's, got []": {"test": torch.zeros(4)},
    "test: holds no points": {"test": torch.zeros(0, 3), "test_labels": None},
    "train: 1 of 8 points hold NaN or infinite values": {"train": changed((2, 1), NAN)},
    "test: 1 of 8 points hold NaN or infinite values": {"test": changed((7, 0), -INF), "test_labels": None},
    "train: must be in the domain [-1, 1], got values from 0 to 255": {"train": changed((0, 0), 255.0)},
    "test: must be in the domain [-1, 1], got values from -1.01 to 0": {
        "test": changed((0, 0), -1.01),
        "test_labels": None,
    },
    "train: must be levels 0 … 16, got 17": {
        "train": torch.full((8, 3), 17, dtype=torch.uint8),
        "test": torch.zeros(4, 3, dtype=torch.uint8),
        "n_levels": 17,
    },
    "train_labels: must be [8], one for each point, got [7]": {"train_labels": torch.zeros(7, dtype=torch.int64)},
    "test_labels: must be [4], one for each point, got [4, 1]": {"test_labels": torch.zeros(4, 1, dtype=torch.int64)},
    "train_labels: must be 0 … 2 (n_classes=3), got 1 … 3": {"train_labels": torch.arange(8) % 3 + 1},
    "test_labels: must be 0 … 2 (n_classes=3), got -1 … -1": {"test_labels": torch.full((4,), -1)},
    "train_labels: must be a tensor of integers, got torch.float32": {"train_labels": torch.zeros(8)},
    "train_labels: must be a tensor of integers, got list": {"train_labels": [0] * 8},
}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("message", REFUSED)
def test_what_would_train_wrongly_is_named_in_one_line(message: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(message)) as caught:
        Own(**REFUSED[message])
    assert "\n" not in str(caught.value)


def test_labels_without_classes_are_named() -> None:
    with pytest.raises(ValueError, match=r"train_labels: n_classes must be at least 3 for labels 0 … 2, got 0"):
        Own(n_classes=0)


def test_what_is_right_is_taken() -> None:
    assert Own().n_classes == 3
    assert Own(train_labels=torch.zeros(8, dtype=torch.uint8)).train_labels.dtype == torch.int64
    assert Own(train=changed((0, 0), 5.0), clamp_noise=False).n_train == 8  # a sample of an unbounded density
    third = torch.full((8, 3), 0.1) * 3 / 3 * 10  # a rounding above 1
    assert Own(train=third.nextafter(torch.tensor(2.0))).n_train == 8
    assert Gaussian("gaussian", torch.device("cpu"), 0, half_width=0.1, n_train=50, n_test=10).n_train == 50


def test_a_fingerprint_names_the_data() -> None:
    first = Own().fingerprint()
    assert re.fullmatch("[0-9a-f]{12}", first)
    assert first == Own().fingerprint()
    assert first == Own(name="moved", noise_std=0.1, resident=False).fingerprint()
    x, y = Own().train(), Own().train_labels
    swapped = y.clone()
    swapped[:2] = y[:2].flip(0)
    other = x.clone()
    other[7, 2] = other[7, 2].nextafter(torch.tensor(0.0))
    wide = Domain(-1, 1, (1, 3))
    others = [
        Own(train=x[:7], train_labels=y[:7]),
        Own(train=other),
        Own(train=x.flip(0)),
        Own(train_labels=swapped),
        Own(train_labels=None, test_labels=None, n_classes=0),
        Own(test=Own().test()[:3], test_labels=None),
        Own(test_labels=None),
        Own(domain=wide, train=x.view(8, 1, 3), test=Own().test().view(4, 1, 3)),
        Own(test=x, test_labels=y),
    ]
    prints = [first, *[own.fingerprint() for own in others]]
    prints.append(Own(train=x, test=x, test_labels=y).fingerprint())  # nothing is held out
    assert len(set(prints[:-1])) == len(prints) - 1


def test_a_fingerprint_does_not_depend_on_how_tensors_lie_in_memory() -> None:
    x = torch.linspace(-1, 1, 24).view(3, 8)
    assert Own(train=x.T).fingerprint() == Own(train=x.T.contiguous()).fingerprint()


def test_a_fingerprint_is_the_same_in_every_version() -> None:
    assert Digits("digits", torch.device("cpu"), test_share=0.1).fingerprint() == "0483122645f0"


def test_of_a_large_split_points_spread_over_it_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "HASHED_BYTES", 4 * 12)  # of 8 points of 12 bytes, every other one
    first = Own().fingerprint()
    assert Own(train=Own().train().index_fill(0, torch.tensor(6), 0.5)).fingerprint() != first
    assert Own(train=Own().train().index_fill(0, torch.tensor(7), 0.5)).fingerprint() == first
    assert Own(train=Own().train()[:7], train_labels=Own().train_labels[:7]).fingerprint() != first


@pytest.mark.gpu
def test_a_fingerprint_does_not_depend_on_the_device() -> None:
    prints = {Own(device=d, resident=r).fingerprint() for d in ("cpu", "cuda") for r in (True, False)}
    assert len(prints) == 1
