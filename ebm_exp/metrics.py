"""The names of all numbers that a run logs, each with what it means; docs/metrics.md is made of them.

Who computes a number and who shows it name the same constant, so nobody reads what nobody writes. A name is a plain
string, for it stands in checkpoints, in metrics.jsonl and in Weights & Biases; what it means stands beside it in
``METRICS``. Names that a run makes of the names of its parts (a term of the loss, an evaluator's score) are families.
"""

from typing import NamedTuple

GROUPS = {  # what a name begins with, in the order in which they are shown
    "eval": "how good the model is, as its evaluators say",
    "train": "the loss, what it is made of, and the step of the optimizer",
    "chain": "the last step of the chains that training ran, each a mean over the chains of a batch",
    "buffer": "the chains that a replay buffer holds, and what the newest training step did to them",
    "time": "how fast it goes",
    "guard": "signals of health, which the guard compares with its rules",
    "samples": "images and tables of what the model samples; `sample.py` logs its numbers and files so too",
    "energy": "histograms of the energies of a step, by what the energies are of",
    "best": "the best scores so far, in the summary of a run",
    "protocol": "what the scores depend on, as text in the summary of an evaluation",
}


class Family(NamedTuple):
    """Names that a run makes of those of its parts: ``SCORE("kl")`` is ``eval/kl``."""

    prefix: str
    part: str  # what stands between prefix and suffix
    meaning: str
    suffix: str = ""

    def __call__(self, part: object) -> str:
        return f"{self.prefix}{part}{self.suffix}"

    def holds(self, name: str) -> bool:
        """Whether it may be one of these names."""
        return name.startswith(self.prefix) and name.endswith(self.suffix) and len(name) > len(self(""))

    def shorten(self, name: str) -> str:
        """The part of a name of this family; any other name as it is."""
        return name[len(self.prefix) : len(name) - len(self.suffix)] if self.holds(name) else name


METRICS: dict[str, str] = {}  # what each single name means


def _name(name: str, meaning: str) -> str:
    METRICS[name] = meaning
    return name


LOSS = _name("train/loss", "what training minimises: the sum of the means of its terms")
ENERGY_POS = _name("train/energy_pos", "mean energy of the data of a batch")
ENERGY_NEG = _name("train/energy_neg", "mean energy of the points that the data are told from: ends of chains, noise")
ENERGY_GAP = _name(
    "train/energy_gap", "energy of negatives minus that of data: near 0 when the model samples what it should"
)
ACCURACY = _name("train/accuracy", "share of the batch whose class the energy's class scores name")
LOG_Z = _name("train/log_z", "the constant that noise-contrastive estimation learns as log Z, in nats")
ERROR_EARLY = _name("train/error_early", "squared error of flow matching in the half of times that is nearer to noise")
ERROR_LATE = _name("train/error_late", "squared error of flow matching in the half of times that is nearer to data")
TRAIN_GRAD_NORM = _name("train/grad_norm", "L2 norm of the gradient of all parameters, before it is clipped")
LEARNING_RATE = _name("train/lr", "learning rate of the first group of parameters")

ACCEPTANCE = _name("chain/acceptance", "share of proposals taken: the mean probability of a Metropolis acceptance")
FIDELITY = _name("chain/fidelity", "what an acceptance would be, for a kernel that corrects nothing: exp(−error/T)")
JUMPED = _name("chain/jumped", "share of jumps between modes that were taken")
STEP_SIZE = _name("chain/step_size", "step size that the kernel has adapted, in the units of `sampler.step_size`")
CHAIN_GRAD_NORM = _name("chain/grad_norm", "L2 norm of the gradient of the energy, before it is clamped")
DISPLACEMENT = _name("chain/displacement", "L2 distance that a step moved a chain, in units of the domain")
CLAMPED = _name("chain/clamped", "share of components on which a clamp of gradient or range acted")

AGE = _name("buffer/age", "training steps that the held chains ran, a mean")
STALENESS = _name(
    "buffer/staleness", "training steps since the held points were stored, a mean: how far they lag behind the model"
)
FILLED = _name("buffer/filled", "share of slots that hold a chain")
REINITIALISED = _name("buffer/reinitialised", "share of the drawn chains that began anew")
MOVED = _name(
    "buffer/moved", "share of components that moved by more than 1/255 of the domain: near 0 chains stand still"
)

STEPS_PER_S = _name("time/steps_per_s", "training steps per second since the last row")
MINUTES = _name("time/minutes", "minutes of training, all sessions together")

DENSITY = _name("samples/density", "in the plane: densities of model and data, beside samples")
TABLE = _name("samples/table", "single samples with their energies, the lowest first")

TERM = Family("train/", "term", "mean of a term of the loss: that of the objective, those of regularization")
SWAPPED = Family("chain/swapped_", "r", "replica exchange: share of swaps between the temperatures r and r + 1")
SCORE = Family("eval/", "score", "a score of an evaluator; docs/evaluation.md says what each evaluator measures")
SCORE_ERROR = Family("eval/", "score", "its standard error, where it is known", "_se")
SIGNAL = Family(
    "guard/", "signal", "mean of a signal of the objective over a window of steps; docs/reliability.md has the rules"
)
SAMPLES = Family("samples/", "title", "an image of points: `fresh` samples, the `data`, the `buffer`, `noise`")
ENERGIES = Family("energy/", "points", "energies of the `data`, of `negatives`, or what else the objective compares")
BEST = Family("best/", "what", "`metric`, `value`, `step`, `better` of the optimized metric; the best of each score")
PROTOCOL = Family("protocol/", "evaluator", "features, number of samples, reference and chains of its scores")

FAMILIES = (TERM, SWAPPED, SCORE, SCORE_ERROR, SIGNAL, SAMPLES, ENERGIES, BEST, PROTOCOL)


def is_score(name: str) -> bool:
    """Whether it names a score of an evaluator, and not the standard error of one."""
    return SCORE.holds(name) and not SCORE_ERROR.holds(name)


def error_of(score: str) -> str:
    """The name of a score's standard error, by the score's full name."""
    return f"{score}{SCORE_ERROR.suffix}"
