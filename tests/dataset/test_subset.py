"""Splits within classes."""

import pytest
import torch

from ebm_exp.dataset.subset import split_within_classes
from ebm_exp.random import generator


@pytest.mark.parametrize(("share", "n_test"), [(0.0, 0), (0.1, 2), (0.01, 1), (1.0, 19)])
def test_without_labels_a_permutation_is_cut(share: float, n_test: int) -> None:
    order = torch.randperm(20, generator=generator("cpu", "dataset", "x", "split"))
    for labels in (None, torch.zeros(20, dtype=torch.int64)):
        train, test = split_within_classes(labels, 20, share, "x")
        assert train.tolist() == order[n_test:].tolist()
        assert test.tolist() == order[:n_test].tolist()


def test_so_many_are_left_to_train_on() -> None:
    train, test = split_within_classes(None, 5, 0.9, "x", at_least=2)
    assert (len(train), len(test)) == (2, 3)


@pytest.mark.parametrize("seed", range(20))
def test_each_class_is_split_alike_and_keeps_a_point(seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    counts = torch.randint(1, 40, (1 + seed % 6,), generator=g)
    share = 0.02 + 0.96 * float(torch.rand((), generator=g))
    n, labels = int(counts.sum()), torch.arange(len(counts)).repeat_interleave(counts)
    labels = labels[torch.randperm(n, generator=g)]
    train, test = split_within_classes(labels, n, share, "x")
    assert torch.cat([train, test]).sort().values.tolist() == list(range(n))
    held_out = torch.bincount(labels[test], minlength=len(counts))
    assert (held_out < counts).all()
    assert len(test) == min(max(1, round(share * n)), n - len(counts))
    asked = len(test) / n * counts  # those of classes that may not give as much are taken from the others
    assert (held_out - asked).max() <= 1.5 + (asked - counts + 1).clamp_min(0).sum()
    assert (asked - held_out).max() <= 1.5
    again = split_within_classes(labels, n, share, "x")
    assert torch.equal(train, again[0])


def test_a_class_of_one_point_is_trained_on() -> None:
    for n_others, n_test in ((1, 0), (9, 5)):
        train, test = split_within_classes(torch.tensor([0] * n_others + [1]), n_others + 1, 0.5, "x")
        assert (n_others in train, len(test)) == (True, n_test)
