"""The keys at the top of train.yaml, sample.yaml and evaluate.yaml, which belong to no part."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ebm_exp.ranges import Name, NonNegativeInt, PositiveInt


@dataclass(frozen=True)
class TopLevel:
    """The keys of train.yaml that are no part's own."""

    name: str
    seed: NonNegativeInt
    device: Literal["auto", "cpu", "cuda"]
    optimized_metric: str | None
    notes: str | None = None
    resume: str | None = None
    init_from: str | None = None
    attempt: NonNegativeInt = 0
    deterministic: bool = False
    stand_in: bool = False
    trust: bool = False
    sweep: Literal["auto", "new"] = "auto"
    retry_failed: bool = False


@dataclass(frozen=True)
class RunLevel(TopLevel):
    """The keys that sample.yaml and evaluate.yaml have beside those of the run that they start from."""

    run: str = ""
    weights: Literal["ema", "online"] = "ema"
    checkpoint: Literal["latest", "best", "diverged"] | NonNegativeInt = "latest"
    output_dir: str = ""
    run_seed: NonNegativeInt = 0


@dataclass(frozen=True)
class SampleLevel(RunLevel):
    """The keys of sample.yaml."""

    others: tuple[str, ...] = ()
    n_samples: PositiveInt = 64
    n_steps: PositiveInt | None = None
    start: str | None = None
    label: Name | tuple[Name, ...] = None
    mask: str = "left"


@dataclass(frozen=True)
class EvaluateLevel(RunLevel):
    """The keys of evaluate.yaml."""

    seed: NonNegativeInt | None  # type: ignore[assignment]
    against: str | None = None
    top: PositiveInt | None = None


def level(config: Mapping[str, Any]) -> type[TopLevel]:
    """Which keys a config has at its top."""
    return EvaluateLevel if "against" in config else SampleLevel if "run" in config else TopLevel
