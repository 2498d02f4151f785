"""Two levels, nothing between."""

import torch

from ebm_exp.dataset import BinaryDigits, Digits


def test_pixels_are_at_the_ends_of_the_domain() -> None:
    data = BinaryDigits("binary_digits", torch.device("cpu"))
    grey = Digits("digits", torch.device("cpu"), test_share=0.0, value_range=(0.0, 1.0))
    assert data.n_train == 1797
    assert data.train().unique().tolist() == [0.0, 1.0]
    assert data.batch(0, 64, 0).x.unique().tolist() == [0.0, 1.0]
    assert float(data.train().mean()) == float((grey.train() >= 0.5).float().mean())
    assert sorted(data.train_labels.unique().tolist()) == list(range(10))
