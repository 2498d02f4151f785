"""The estimator: what it keeps, draws and scores. scikit-learn's own checks of it: tests/acceptance/test_sklearn.py."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from ebm_exp.sklearn import EBM

TINY = (
    *("energy.widths=[8]", "sampler.n_steps=2", "sampling.n_steps=2", "buffer.size=1000", "evaluator=none"),
    *("trainer.max_steps=2", "trainer.image_samples=2", "device=cpu", "sampler.clamp=false", "guard=none"),
)


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unchecked: None) -> np.ndarray:
    """Rows ``[60, 2]``, in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    return np.random.default_rng(0).normal([5, -2], [2, 0.5], (60, 2))


def test_scores_are_log_likelihoods_in_own_units(rows: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(NotFittedError):
        EBM(TINY).sample()
    model = EBM(TINY, random_state=0).fit(rows)
    assert capsys.readouterr().out == ""
    assert model.run_.parts["dataset"].n_train == 60
    domain = model.run_.parts["dataset"].domain
    ends = model.run_.decode(np.array([[domain.low] * 2, [domain.high] * 2], dtype=np.float32)).to_numpy()
    sides = [np.linspace(low, high, 201) for low, high in ends.T]
    middle = [(side[1:] + side[:-1]) / 2 for side in sides]
    cell = np.prod([side[1] - side[0] for side in sides])
    grid = np.stack(np.meshgrid(*middle, indexing="ij"), -1).reshape(-1, 2)
    assert np.exp(model.score_samples(grid)).sum() * cell == pytest.approx(1, abs=2e-3)
    assert model.score(rows) == pytest.approx(model.score_samples(rows).mean())
    unknown = clone(model).set_params(normalise=False).fit(rows)
    differences = unknown.score_samples(rows) - model.score_samples(rows)
    np.testing.assert_allclose(differences, model.log_z_, atol=1e-4)


def test_the_same_numbers_again_and_from_a_pickle(rows: np.ndarray) -> None:
    model = EBM(TINY, normalise=False, random_state=0).fit(rows)
    again = clone(model).fit(rows)
    read = pickle.loads(pickle.dumps(model))
    for other in (again, read):
        np.testing.assert_array_equal(other.score_samples(rows), model.score_samples(rows))
        np.testing.assert_array_equal(other.sample(5, random_state=1), model.sample(5, random_state=1))
    assert model.sample(5, random_state=1).shape == (5, 2)
    assert (model.sample(5, random_state=1) != model.sample(5, random_state=2)).any()


def test_what_is_refused_is_a_value_error(rows: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"trainer\.max_steps: must be > 0, got -1"):
        EBM((*TINY, "trainer.max_steps=-1")).fit(rows)
    with pytest.raises(ValueError, match="column 1 is constant"):
        EBM(TINY).fit(np.stack([rows[:, 0], np.ones(60)], 1))
