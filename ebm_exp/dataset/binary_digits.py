"""The 8×8 digits in black and white, for samplers of two levels."""

import torch

from ebm_exp.dataset.base import Dataset
from ebm_exp.dataset.digits import load
from ebm_exp.dataset.domain import Domain
from ebm_exp.types import Provided


class BinaryDigits(Dataset):
    """The 1,797 digits ``[1, 8, 8]`` with every pixel at an end of [0, 1]: white from half of full intensity on.

    All are trained on, and stand in for the test set too.

    Args:
        name: the run directory's name.
        device: where the tensors live.
    """

    def __init__(self, name: str, device: Provided[torch.device]) -> None:
        levels, y = load()
        x = (levels >= 8).to(torch.uint8)
        super().__init__(
            name=name,
            domain=Domain(0, 1, (1, 8, 8)),
            train=x,
            test=x,
            train_labels=y,
            test_labels=y,
            n_levels=2,
            n_classes=10,
            device=device,
        )
