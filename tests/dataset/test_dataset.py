"""Batches, noise, levels, splits."""

import math

import pytest
import torch
from sklearn.datasets import load_digits

from ebm_exp.dataset import Digits, Gaussian, Synthetic
from ebm_exp.dataset.base import Dataset
from ebm_exp.dataset.domain import Domain

CPU = torch.device("cpu")


def test_digits_values_labels_and_split() -> None:
    digits = Digits("digits", CPU, test_share=0.1)
    pixels, labels = load_digits(return_X_y=True)
    assert (digits.n_train, digits.n_test) == (1617, 180)
    both = torch.cat([digits.train(), digits.test()]).flatten(1)
    expected = torch.from_numpy(pixels).float() / 8 - 1
    assert torch.equal(both.sort(0).values, expected.sort(0).values)
    row = {tuple(p.tolist()): int(y) for p, y in zip(expected, labels, strict=True)}
    assert all(
        row[tuple(x.tolist())] == int(y) for x, y in zip(digits.train().flatten(1), digits.train_labels, strict=True)
    )
    assert Digits("digits", CPU, test_share=0.0).n_train == 1797
    assert (Digits("digits", CPU, value_range=(0.0, 1.0)).train().min(), digits.train().max()) == (0, 1)


def test_an_epoch_is_a_permutation() -> None:
    toy = Gaussian("gaussian", CPU, 0, half_width=5.0, n_train=100, n_test=10)
    steps = [toy.batch(i, 25, seed=3).x for i in range(8)]
    first, second = torch.cat(steps[:4]), torch.cat(steps[4:])
    assert torch.equal(first.sort(0).values, toy.train().sort(0).values)
    assert torch.equal(second.sort(0).values, toy.train().sort(0).values)
    assert not torch.equal(first, second)


def test_a_batch_is_a_function_of_its_arguments() -> None:
    a, b = (Digits("digits", CPU) for _ in range(2))
    for i in range(30):
        a.batch(i, 64, 0)
    assert torch.equal(a.batch(7, 64, 0).x, b.batch(7, 64, 0).x)
    assert torch.equal(a.batch(7, 64, 0).y, b.batch(7, 64, 0).y)
    for other in (a.batch(8, 64, 0), a.batch(7, 64, 1)):
        assert not torch.equal(other.x, b.batch(7, 64, 0).x)


def test_data_noise_has_its_size_and_stays_in_the_range() -> None:
    grey = torch.zeros(5000, 1, 2, 2)
    args = {"name": "grey", "domain": Domain(-1, 1, (1, 2, 2)), "train": grey, "test": grey}
    noisy = Dataset(**args, noise_std=0.05).batch(0, 5000, 0).x
    assert abs(float(noisy.std()) - 0.05) < 5 * 0.05 / math.sqrt(2 * noisy.numel())
    assert Dataset(**args, noise_std=3.0).batch(0, 5000, 0).x.abs().max() == 1
    assert Dataset(**args, noise_std=3.0, clamp_noise=False).batch(0, 5000, 0).x.abs().max() > 1


def test_dequantised_levels_tile_the_range() -> None:
    levels = torch.arange(17, dtype=torch.uint8).repeat(4000).view(-1, 1)
    args = {"name": "levels", "domain": Domain(-1, 1, (1,)), "train": levels, "test": levels, "n_levels": 17}
    x = Dataset(**args, dequantize=True).batch(0, len(levels), 0).x.flatten()
    counts = torch.histc(x, 17, -1, 1)
    assert ((counts - 4000).abs() < 5).all()  # each level fills its own bin, but for rounding at the edges
    within = (x + 1) * 17 / 2 % 1
    assert abs(float(within.mean()) - 0.5) < 5 / math.sqrt(12 * len(x))
    with pytest.raises(ValueError, match="dequantize: must be false for data that are not stored as uint8 levels"):
        Dataset(**(args | {"train": levels.float()}), dequantize=True)


def test_too_large_a_batch() -> None:
    with pytest.raises(ValueError, match=r"trainer.batch_size: must be at most 1617"):
        Digits("digits", CPU).batch(0, 2000, 0)


def test_synthetic_has_any_shape_and_its_classes_differ() -> None:
    for shape in ((1, 8, 8), (3, 16, 12), (7,)):
        made = Synthetic("synthetic", CPU, 0, shape=shape, classes=3, n_train=90, n_test=30)
        assert made.train().shape == (90, *shape)
        assert made.train().abs().max() <= 1
        centres = torch.stack([made.train()[made.train_labels == k].mean(0).flatten() for k in range(3)])
        assert torch.pdist(centres).min() > 0.1


def test_domain_must_be_a_box() -> None:
    with pytest.raises(ValueError, match="must be below"):
        Domain(1, -1, (2,))


def images(**more: object) -> Dataset:
    x = torch.arange(12 * 2 * 3, dtype=torch.uint8).view(12, 1, 2, 3)
    domain = Domain(0.0, 255.0, (1, 2, 3))
    return Dataset(name="x", domain=domain, train=x, test=x[:5], train_labels=torch.arange(12), n_classes=12, **more)


def test_flips_mirror_half_of_the_images() -> None:
    data, n, mirrored = images(horizontal_flip=True), 0, 0
    for step in range(200):
        x, y = data.batch(step, 12, seed=0)
        plain = data.train()[y]
        same = (x == plain).flatten(1).all(1)
        assert torch.equal(x[~same], plain[~same].flip(-1))
        n, mirrored = n + 12, mirrored + int((~same).sum())
    assert abs(mirrored - n / 2) < 5 * math.sqrt(n / 4)
    with pytest.raises(ValueError, match="horizontal_flip: must be false for data that are not images"):
        Dataset(
            name="x", domain=Domain(0, 1, (2,)), train=torch.zeros(3, 2), test=torch.zeros(3, 2), horizontal_flip=True
        )


def test_blocks_are_the_whole_split_in_order() -> None:
    data = images()
    blocks = list(data.blocks("train", 5))
    assert [len(x) for x, _ in blocks] == [5, 5, 2]
    assert torch.equal(torch.cat([x for x, _ in blocks]), data.train())
    assert torch.cat([y for _, y in blocks]).tolist() == list(range(12))
    assert [(len(x), y) for x, y in data.blocks("test", 9)] == [(5, None)]


@pytest.mark.gpu
def test_streamed_batches_are_the_resident_ones() -> None:
    device = torch.device("cuda")
    here, there = images(device=device, resident=False), images(device=device, resident=True)
    for step in range(5):
        x, y = here.batch(step, 4, seed=0)
        assert x.device.type == "cuda"
        assert torch.equal(x[:, 0, 0, 0].long(), 6 * y)
        assert torch.equal(x, there.batch(step, 4, seed=0).x)
