"""How long a training is."""

import pytest

from ebm_exp.trainer.settings import Trainer


@pytest.mark.parametrize(
    ("max_epochs", "n_train", "steps", "longer"),
    [
        (None, 125, 1000, "trainer.max_steps=2000"),
        (200, 125, 781, "trainer.max_epochs=400"),  # 200 · 125 / 32
        (200, 3500, 1000, "trainer.max_steps=2000"),
        (0.1, 40, 1, "trainer.max_epochs=0.2"),
    ],
)
def test_few_points_few_steps(max_epochs: float | None, n_train: int, steps: int, longer: str) -> None:
    trainer = Trainer(max_steps=1000, batch_size=32, max_epochs=max_epochs).of_length(n_train)
    assert (trainer.max_steps, trainer.longer(steps)) == (steps, longer)
    assert trainer.of_length(n_train) == trainer
