"""Shapes of the records of a run, which may come from anywhere."""

from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Len
from pydantic import BaseModel, ConfigDict, ValidationError

Count = Annotated[int, Ge(0)]
Id = Annotated[str, Len(1, 128)]


class _Shape(BaseModel):
    """A mapping that may hold more; a number is no text and true no number."""

    model_config = ConfigDict(strict=True, extra="allow")


class _Best(_Shape):
    metric: str | None = None
    value: float | str
    step: Count | None = None
    better: str | None = None


class _Goal(_Shape):
    metric: str
    value: float
    step: Count
    better: Literal["lower", "higher"]


class Reached(_Shape):
    """Of a checkpoint: where a run stands."""

    step: Count
    best: _Goal | None
    wandb_id: Id | None
    unevaluated: bool | None
    rows: Count | None


class _Attempt(_Shape):
    attempt: Count
    step: Count
    why: str = ""
    changed: dict[str, Annotated[list[Any], Len(2, 2)]]


class _Symptom(_Shape):
    name: str
    step: Count
    text: str


class _Column(_Shape):
    """Of a table."""

    name: str
    v: Annotated[list[float], Len(2)]
    w: Annotated[list[float], Len(2)]
    normal: bool = False
    step: float = 0.0
    origin: float = 0.0
    decimals: Annotated[int, Ge(0), Le(18)] | None = None
    atoms: list[float] = []
    width: float = 0.0
    values: list[str | int | float] | None = None


class _Units(_Shape):
    """As ``Units.facts`` gives it."""

    kind: Literal["points", "levels", "table", "gray_code"]
    columns: list[_Column] = []
    label: str | None = None
    n_levels: Annotated[int, Gt(1)] = 256
    dequantized: bool = False
    half_width: Annotated[float, Gt(0)] = 1.0


class _Data(_Shape):
    """As ``Dataset.facts`` gives it."""

    name: str | None = None
    low: float | None = None
    high: float | None = None
    event_shape: list[Annotated[int, Gt(0)]] | None = None
    n_classes: Count | None = None
    class_names: list[str] | None = None
    class_counts: list[Count] | None = None
    units: _Units | None = None
    n_train: Count | None = None
    n_test: Count | None = None
    fingerprint: str | None = None


class Summary(_Shape):
    """Of summary.json."""

    state: str | None = None
    reason: str | None = None
    step: Count | None = None
    minutes: float | None = None
    best: _Best | None = None
    metrics: dict[str, float | str | None] | None = None
    attempts: list[_Attempt] | None = None
    symptoms: list[_Symptom] | None = None
    temperature: Annotated[float, Ge(0)] | None = None
    data: _Data | None = None
    protocol: dict[str, str] | None = None
    versions: dict[str, Any] | None = None
    code: dict[str, Any] | None = None
    wandb_id: Id | None = None
    group: str | None = None
    pid: Count | None = None
    host: str | None = None
    started: str | None = None
    exported: bool | None = None


def wrong_in(shape: type[BaseModel], content: Any) -> str | None:
    """What is of another kind in a content, in one line; None: nothing is."""
    try:
        shape.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        rule = "must be a mapping" if first["type"] == "model_type" else first["msg"][0].lower() + first["msg"][1:]
        return f"{where}: {rule}, got {first['input']!r:.60}"
    return None
