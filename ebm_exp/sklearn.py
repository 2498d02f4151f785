"""An energy-based model as an estimator of scikit-learn: it fits rows, scores them, and draws new ones.

>>> from ebm_exp.sklearn import EBM  # doctest: +SKIP
>>> EBM(random_state=0).fit(X).score_samples(X)  # doctest: +SKIP
"""

import contextlib
import io
from typing import Any, Self
from weakref import WeakKeyDictionary

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from ebm_exp.cli.fit import fit
from ebm_exp.config.errors import UserError
from ebm_exp.config.override import key_of
from ebm_exp.run.handed import take
from ebm_exp.run.likelihood import log_density
from ebm_exp.run.load import load_run
from ebm_exp.run.loaded import LoadedRun

_OURS = ("dataset=table", "dataset.test_share=0", "logger.mode=disabled")  # unless the overrides say otherwise
_BATCH = 64  # of experiment=table
_SEEDS = 2**31 - 1
_loaded: "WeakKeyDictionary[EBM, LoadedRun]" = WeakKeyDictionary()  # what a pickle does not hold


class EBM(DensityMixin, BaseEstimator):
    """A density of rows ``[n, d]``, trained by ``ebm_exp.fit`` as a run of its own.

    The estimator holds the place of the run; whoever unpickles it needs that directory.

    Args:
        overrides: as on the command line of ``train.py``.
        normalise: find log Z, so that scores are log-likelihoods, by annealed importance sampling unless the training
            has done so (``experiment=table`` does); else they are those but for a constant.
        random_state: seeds training; an integer gives the same run each time.
        verbose: show what a training prints.

    Attributes:
        run_dir_: the run.
        log_z_: of the density on the box; 0 without ``normalise``.
        n_features_in_: d.
    """

    def __init__(
        self,
        overrides: tuple[str, ...] = ("experiment=table",),
        *,
        normalise: bool = True,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.overrides = overrides
        self.normalise = normalise
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train on rows ``[n, d]``, all of them.

        Args:
            X: finite numbers.
            y: ignored.

        Raises:
            ValueError: what ``train.py`` would say of rows and overrides in a line.
        """
        rows = validate_data(self, X, dtype=[np.float64, np.float32], ensure_min_samples=2)
        seed = int(check_random_state(self.random_state).randint(_SEEDS))
        typed = {key_of(word) for word in self.overrides}
        ours = [word for word in (*_OURS, f"seed={seed}") if key_of(word) not in typed]
        try:
            with contextlib.nullcontext() if self.verbose else contextlib.redirect_stdout(io.StringIO()):
                run = fit(rows, *ours, *_fitting(typed, len(rows)), *self.overrides)
                self.log_z_ = (run.known_log_z() or run.log_z()).value if self.normalise else 0.0
        except UserError as error:
            raise ValueError(str(error)) from error
        self.run_dir_ = str(run.path)
        _loaded[self] = run
        return self

    @property
    def run_(self) -> LoadedRun:
        """The trained run."""
        check_is_fitted(self, "run_dir_")
        if self not in _loaded:
            _loaded[self] = load_run(self.run_dir_, trust=True)
        return _loaded[self]

    def score_samples(self, X: Any) -> np.ndarray:
        """log p ``[n]`` of rows ``[n, d]``, in nats per row of X's units; without ``normalise`` but for a constant."""
        run = self.run_
        rows = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        units = run.parts["dataset"].units
        x = units.encode(rows)
        return log_density(run, take(run, x), self.log_z_).cpu().numpy() + units.log_scale(x).numpy()

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of ``score_samples``: more is better."""
        return float(np.mean(self.score_samples(X)))

    def sample(self, n_samples: int = 1, random_state: Any = None) -> np.ndarray:
        """New rows ``[n, d]``.

        Args:
            n_samples: n.
            random_state: an integer gives the same rows each time.
        """
        seed = int(check_random_state(random_state).randint(_SEEDS))
        return np.asarray(self.run_.draw(n_samples, seed, raw=True).to_numpy())


def _fitting(typed: set[str], n: int) -> list[str]:
    """A batch of at most so many rows."""
    return [] if "trainer.batch_size" in typed or n >= _BATCH else [f"trainer.batch_size={n}"]
