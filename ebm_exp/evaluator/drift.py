"""Do long chains stay at the data? A measure of samples after K, 10 K and 100 K steps of the same chains.

Chains of a density do; those of a short-run model, which is a generator more than a density, drift away (Nijkamp et
al. 2019, arXiv 1904.09770; Nijkamp et al. 2020, arXiv 1903.12370). ``sample.py mode=drift`` shows the chains.
"""

from ebm_exp.evaluator.base import Evaluator, Kind, Model, Score
from ebm_exp.sampling import Chains, Sampling
from ebm_exp.types import Points, Provided

MULTIPLES = (1, 10, 100)  # of K


class Drift(Evaluator):
    """``drift_<score>_x1``, ``_x10``, ``_x100`` for each score of the measure; as good as ``_x1`` is best.

    The chains begin at the same points with the same random numbers, so a longer one goes on where the shorter ended
    (but where its kernel adapts its step size, which takes half of a chain's length). All take 111 K steps: a measure
    for ``evaluate.py`` more than for training.

    Args:
        measure: what is measured, of ``measure.n_samples`` chains.
        sampling: its ``n_steps`` is K.

    Raises:
        ValueError: when samples do not come from chains of one density, or the measure takes none.
    """

    def __init__(self, measure: Evaluator, sampling: Provided[Sampling]) -> None:
        if not isinstance(sampling, Chains):
            raise ValueError(
                f"drift needs sampling=chains, whose length can grow, the experiment has {type(sampling).__name__}; "
                "remove it with ~evaluator.drift"
            )
        if measure.n_samples == 0:
            raise ValueError(f"measure: must be an evaluator of samples, {type(measure).__name__} looks at none")
        self.measure = measure
        self.sampling = sampling
        self.n_samples = measure.n_samples

    def gives(self) -> dict[str, Kind]:
        given = self.measure.gives()
        return {_name(name, k): Kind(kind.better) for k in MULTIPLES for name, kind in given.items()}

    @property
    def protocol(self) -> str:
        lengths = ", ".join(f"{k * self.sampling.n_steps:,}" for k in MULTIPLES)
        return f"{self.measure.protocol}; chains of {lengths} steps"

    def __call__(self, model: Model) -> dict[str, Score]:
        """The measure's scores at each length.

        Raises:
            ValueError: what the measure raises.
        """
        scores: dict[str, Score] = {}
        for k in MULTIPLES:
            found = self.measure(Model.of(model.energy, self._samples(model, k)))
            scores |= {_name(name, k): score for name, score in found.items()}
        return scores

    def _samples(self, model: Model, k: int) -> Points:
        if k == 1:  # other evaluators have drawn them
            return model.samples(self.n_samples)
        longer = model.sampling.replace(n_steps=k * model.sampling.n_steps)
        return longer.draw(model.energy, self.n_samples, model.stream)  # no more chains than these


def _name(score: str, k: int) -> str:
    return f"drift_{score}_x{k}"
