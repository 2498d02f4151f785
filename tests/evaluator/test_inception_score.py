import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ebm_exp.dataset import Digits
from ebm_exp.dataset.base import Dataset
from ebm_exp.dataset.domain import Domain
from ebm_exp.energy import MLP, Gaussian
from ebm_exp.evaluator import InceptionScore
from ebm_exp.random import seed_global
from tests.evaluator.scoring import scored

energy = Gaussian((4,))  # not called
LABELS = torch.tensor([0, 1, 2, 3])


def judged(logits: Tensor, splits: int) -> dict[str, float]:
    """The score of a classifier whose logits are the points themselves."""
    x = torch.zeros(4, logits.shape[1])
    data = Dataset(name="x", domain=Domain(-99, 99, (logits.shape[1],)), train=x, test=x, train_labels=LABELS,
                   test_labels=LABELS, n_classes=4)  # fmt: skip
    evaluator = InceptionScore(data, len(logits), splits=splits)
    evaluator.space.__dict__["logits"] = nn.Identity()
    return scored(evaluator, energy, logits.double())


def test_it_is_the_divergence_from_the_mean_in_each_split() -> None:
    logits = torch.randn(20, 4, generator=torch.Generator().manual_seed(0)).double()
    with seed_global("inception score", 0):
        order = torch.randperm(20)
    values = []
    for part in logits[order].numpy().reshape(4, 5, 4):
        p = np.exp(part) / np.exp(part).sum(1, keepdims=True)
        values.append(math.exp(np.mean([np.sum(row * np.log(row / p.mean(0))) for row in p])))
    found = judged(logits, 4)
    assert found["inception_score_classifier"] == pytest.approx(np.mean(values), rel=1e-9)
    assert found["inception_score_classifier_se"] == pytest.approx(np.std(values, ddof=1) / 2, rel=1e-9)
    assert found == judged(logits, 4)


def test_its_ends() -> None:
    """1 where all samples look alike; the number of classes where each is sure, and all are there alike."""
    alike = torch.tensor([[3.0, 1, 0, 0]]).expand(40, 4)
    assert judged(alike, 5) == {
        "inception_score_classifier": pytest.approx(1),
        "inception_score_classifier_se": pytest.approx(0, abs=1e-12),
    }
    sure = 40 * torch.eye(4).repeat(1000, 1)
    assert judged(sure, 2)["inception_score_classifier"] == pytest.approx(4, rel=1e-3)
    certain = 700 * torch.eye(4)[:2].repeat(20, 1)  # classes that no sample has, at all
    assert 1.9 < judged(certain, 2)["inception_score_classifier"] <= 2


def test_real_digits_score_higher_than_noise(tmp_path: Path) -> None:
    digits = Digits("digits", torch.device("cpu"), test_share=0.2)
    evaluator = InceptionScore(digits, 360, cache_dir=str(tmp_path))
    noise = torch.rand(360, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    real, fake = (
        scored(evaluator, MLP((1, 8, 8), (4,)), x)["inception_score_classifier"] for x in (digits.test(360), noise)
    )
    assert fake < 4 < 7.5 < real < 10
    assert evaluator.protocol == "classifier logits, 360 samples in 10 splits"


def test_refuses_what_it_cannot_judge() -> None:
    digits = Digits("digits", torch.device("cpu"))
    for n_samples, splits in ((3, 10), (10, 1)):
        with pytest.raises(ValueError, match="n_samples must be at least 4 and splits at least 2"):
            InceptionScore(digits, n_samples, splits=splits)
