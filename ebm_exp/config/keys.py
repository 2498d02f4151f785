"""What a key of the config, or of the command line, is: one table, and the questions that are answered from it."""

import re
from functools import cache
from typing import Any

from ebm_exp.config.trust import CONF

GROUPS = sorted(folder.name for folder in CONF.iterdir() if folder.is_dir() and folder.name != "hydra")
PARTS = {  # one part each
    *("dataset", "energy", "sampler", "buffer", "sampling", "augmentation", "data_augmentation", "noise", "normaliser"),
    *("objective", "optimizer", "schedule", "engine", "trainer", "guard", "logger", "mode"),
}
COLLECTIONS = ("regularization", "evaluator")  # mappings of parts
SUGGESTED = {"suggest", "stand_in"}  # of a data set alone: values for other nodes, and what stands in for it
NESTED = {  # choices inside of others, by where they stand
    "sampling.start": "start",
    "buffer.start": "start",
    "objective.start": "start",
    "sampler.proposal": "start",
    "sampler.kernel": "sampler",
}
_KINDS = (  # the first pattern that matches a whole key says its kind
    (r"evaluator\.\w+\.path", "mathematics"),  # of densities
    (r"hydra\.(run|sweep)\.dir|output_dir|([\w.]+\.)?(root|path|cache_dir|dir|download)", "place"),
    (r"resume|init_from|run|against", "run"),  # another run that is gone on with, or read
    (r"hydra([./].*)?|sweep|retry_failed|attempt|device|trust", "command"),  # how it is carried out
    (r"hparams_search", "search"),
    (r"name", "name"),
    (r"logger([.@/].*)?|notes", "display"),
    (r"trainer\.\w+_every_steps", "pace"),
    (r"trainer\.max_(steps|epochs|minutes)", "length"),
    (r"guard([.@/].*)?", "safety"),
    (r"stand_in", "trial"),  # whether data are made up where there are none
    (r".*", "mathematics"),
)
_WITH_NEXT_ATTEMPT = re.compile(  # recorded; buffer and optimizer go on
    r"seed|optimizer\.\w+|schedule\.\w+|sampler\.(step_size|noise_std|n_steps)|trainer\.gradient_norm_clip"
    r"|regularization\.\w+\.weight|buffer\.reinit_probability"
)
OF_TRAINING = ("objective", "normaliser")  # what the weights of a run are, which no other choice makes of them
CHANGEABLE = (  # what a message says of may_change_on_resume
    *("trainer.max_steps", "trainer.max_epochs", "trainer.max_minutes", "*_every_steps", "*.root", "dataset.path"),
    *("logger.*", "guard.*", "notes", "device"),
)


@cache
def kind_of(key: str) -> str:
    """The kind of a dotted key, or of a group."""
    return next(kind for pattern, kind in _KINDS if re.fullmatch(pattern, key, re.DOTALL))


def is_data(key: str) -> bool:
    """Whether its value says where the data lie."""
    return re.fullmatch(r"dataset\.([\w.]+\.)?(root|path)", key) is not None


def is_path(key: str) -> bool:
    """Whether its value is a path: a place, or a run."""
    return kind_of(key) in ("place", "run")


def may_change_on_resume(key: str) -> bool:
    """Whether it may change when a run goes on: it changes nothing of the mathematics, and replaces no part."""
    return key not in GROUPS and kind_of(key) in ("place", "command", "display", "pace", "length", "safety")


def may_change_with_attempt(key: str) -> bool:
    """Whether it may change beside when a run goes on with ``attempt=next``."""
    return _WITH_NEXT_ATTEMPT.fullmatch(key) is not None


def tells_jobs_apart(key: str) -> bool:
    """Whether another value makes a job of a sweep, or a sweep, another one."""
    return kind_of(key) not in ("place", "command", "display")


def belongs_to_experiment(key: str) -> bool:
    """Whether an experiment that is kept in a file says it; of places only a table's, which is its data."""
    return key == "dataset.path" or kind_of(key) not in ("place", "command", "search", "name", "display")


def belongs_to_sweep(key: str) -> bool:
    """Whether it says how a sweep is made, not what its jobs are."""
    return kind_of(key) == "search" or re.fullmatch(r"hydra([./].*)?|sweep|retry_failed", key) is not None


def names_run(key: str) -> bool:
    """Whether a run's name says it, which tells one experiment from another."""
    return kind_of(key) in ("search", "length", "safety", "mathematics")


def side_effect(key: str) -> dict[str, Any]:
    """What another run has in place of a run's own value, which would send, fetch or write elsewhere.

    Returns:
        ``{"value": …}``; empty where a run's value is followed.
    """
    *path, last = key.split(".")
    instead: dict[str, Any] = {"cache_dir": "outputs/cache", "download": False}
    if "logger" in path:
        instead |= {"entity": None, "dir": None}
    return {"value": instead[last]} if last in instead else {}
