"""An array, or a data frame, as the file that a data set reads: what ``fit`` is handed."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ebm_exp.config.errors import UserError
from ebm_exp.files import replacing

LARGEST = 2**30  # bytes of an array that is kept in its run


@dataclass(frozen=True)
class Array:
    """What was handed over.

    Attributes:
        dataset: the choice that reads it, ``table`` or ``image_array``.
        file: its name in a run.
        content: an array, several by name, or a data frame of polars.
        words: what the data set is told of it beside its place.
    """

    dataset: str
    file: str
    content: Any
    words: tuple[str, ...] = ()

    @property
    def n_bytes(self) -> int:
        """How large it is."""
        if isinstance(self.content, np.ndarray):
            return self.content.nbytes
        if isinstance(self.content, dict):
            return sum(each.nbytes for each in self.content.values())
        return int(self.content.estimated_size())

    def keep_at(self, path: Path) -> None:
        """Write it, whole."""
        with replacing(path) as file:
            if isinstance(self.content, np.ndarray):
                np.save(file, self.content, allow_pickle=False)
            elif isinstance(self.content, dict):
                np.savez(file, allow_pickle=False, **self.content)
            else:
                self.content.write_parquet(file)

    def is_in(self, path: Path) -> bool:
        """Whether a file holds the same."""
        if path.suffix == ".parquet":
            import polars

            return not isinstance(self.content, np.ndarray | dict) and polars.read_parquet(path).equals(self.content)
        try:
            found = np.load(path, allow_pickle=False)
        except (ValueError, OSError, EOFError):
            return False
        if isinstance(found, np.ndarray):
            return isinstance(self.content, np.ndarray) and _same(found, self.content)
        with found:
            return (
                isinstance(self.content, dict)
                and set(found.files) == set(self.content)
                and all(_same(found[name], each) for name, each in self.content.items())
            )


def hand_over(x: Any, y: Any = None) -> Array:
    """What there is to train on.

    Args:
        x: rows ``[n, d]``, images ``[n, H, W]``, ``[n, H, W, C]`` or ``[n, C, H, W]``, of numpy or torch; a data frame
            of polars or pandas.
        y: the class of each, ``[n]``, numbers or text.

    Raises:
        UserError: when it is nothing of that, or numbers differ.
    """
    frame = _frame(x)
    rows = None if frame is not None else as_numpy("x", x)
    n = len(frame) if rows is None else len(rows)
    labels = None if y is None else _labels(y, n)
    if rows is not None and rows.ndim > 2:
        content = rows if labels is None else {"x": rows, "y": labels}
        return Array("image_array", "data.npy" if labels is None else "data.npz", content)
    if rows is not None and labels is None:
        return Array("table", "data.npy", rows)
    import polars

    if rows is not None:
        flat = rows.reshape(n, -1)
        frame = polars.DataFrame({str(k): flat[:, k] for k in range(flat.shape[1])})
    if labels is None:
        return Array("table", "data.parquet", frame)
    name = next(name for name in ("label", "label_", "label__") if name not in frame.columns)
    frame = frame.with_columns(polars.Series(name, labels.tolist()))
    return Array("table", "data.parquet", frame, (f"dataset.label_column={name}",))


def as_numpy(key: str, x: Any) -> np.ndarray:
    """An array of numpy.

    Raises:
        UserError: when it is none, or holds anything but numbers.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        x = x.detach().cpu()
        x = (x.float() if x.dtype == torch.bfloat16 else x).numpy()
    if isinstance(x, str | bytes | Path):
        raise UserError(f"{key}: must be an array, got text; a file is read by fit(None, 'dataset=table', …)")
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise UserError(f"{key}: must be an array ({error})") from None
    if array.dtype.kind not in "biuf" or array.ndim == 0:
        raise UserError(
            f"{key}: must be an array of numbers [n, …] or a data frame, got {type(x).__name__} of {array.dtype}"
        )
    return array


def _frame(x: Any) -> Any:
    """A data frame of polars, made of one of pandas; None for anything else."""
    kind = type(x).__module__.partition(".")[0]
    if kind == "polars" and type(x).__name__ in ("DataFrame", "LazyFrame"):
        return x.collect() if type(x).__name__ == "LazyFrame" else x
    if kind != "pandas" or type(x).__name__ != "DataFrame":
        return None
    import polars

    columns = [str(name) for name in x.columns]
    if len(set(columns)) < len(columns):
        raise UserError(f"x: its columns must have different names, got {', '.join(columns)}")
    missing = x.isna()
    cells = {
        name: [None if gone else value for value, gone in zip(x.iloc[:, i].tolist(), missing.iloc[:, i], strict=True)]
        for i, name in enumerate(columns)
    }
    return polars.DataFrame(cells, strict=False)


def _labels(y: Any, n: int) -> np.ndarray:
    y = y.to_numpy() if hasattr(y, "to_numpy") else y
    labels = np.asarray(y.detach().cpu() if hasattr(y, "detach") else y)
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.dtype == object and all(isinstance(each, str) for each in labels.ravel()):
        labels = labels.astype(str)
    if labels.shape != (n,) or labels.dtype.kind not in "biufU":
        raise UserError(
            f"y: must be [{n}], a class for each of x, numbers or text, got {labels.dtype} {list(labels.shape)}"
        )
    return labels


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
