"""The keys at the top of train.yaml and sample.yaml, which belong to no part."""

from dataclasses import dataclass
from typing import Literal

from ebm_exp.types import NonNegativeInt, PositiveInt


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
class SampleLevel(TopLevel):
    """The keys of sample.yaml, beside those of the run that it starts from."""

    run: str = ""
    others: tuple[str, ...] = ()
    n_samples: PositiveInt = 64
    n_steps: PositiveInt | None = None
    start: str | None = None
    label: int | tuple[int, ...] | None = None
    weights: Literal["ema", "online"] = "ema"
    checkpoint: Literal["latest", "best"] = "latest"
    mask: str = "left"
    output_dir: str = ""
    run_seed: NonNegativeInt = 0
