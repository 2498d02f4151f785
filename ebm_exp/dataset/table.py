"""Any table: one row, one point."""

import logging
import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.dataset.cells import Cells, read_cells
from ebm_exp.dataset.chosen import choose, find_classes, make_column, position, without_gaps
from ebm_exp.dataset.domain import Domain
from ebm_exp.dataset.files import given_file, shown
from ebm_exp.dataset.maps import Maps
from ebm_exp.dataset.missing import Gaussian, fit_gaussian
from ebm_exp.dataset.subset import choose_classes, split_within_classes, subset
from ebm_exp.dataset.table_units import TableUnits
from ebm_exp.random import Source, generator, normal_like, uniform
from ebm_exp.types import Name, NonNegative, PositiveInt, Probability, Provided

_LOG = logging.getLogger(__name__)
_ROOM = 1.25  # the domain's half width, in units of the farthest value, and
_LEAST = 5.0  # at least: the box holds all but a millionth of any normal component
_FAR = 30.0  # deviations, from which a value is told: the box holds it, and little else


class Table(Dataset):
    """Points ``[d]`` of the rows of a file: numbers standardised, or by quantiles; categories one component each.

    How, and what is done with values that repeat, says ``columns.py``. What stands for an interval, and what is
    missing, is drawn anew for every batch. The domain is ±1.25 times the farthest value of all rows, at least ±5.

    Args:
        name: the run directory's name.
        device: where batches are needed.
        path: a text file (.csv, .tsv, .txt, .dat), .parquet, or an array ``[n, d]`` (.npy, .npz).
        label_column: the column of the class, by name or number (−1: the last); null: no labels. Text or integers.
        columns: the data, by name or number; null: all but the labels.
        leave_out: columns that are no data, by name or number.
        header, separator, decimal, encoding: of a text file; null: look at its beginning (see ``read_cells``).
        categories: numbers that are categories, by name or number; null: those of at most twenty values, each in at
            least ten rows as a rule. Text always is.
        scale: numbers with mean 0 and deviation 1 over training rows, or by their quantiles, normal.
        missing: ``refuse`` rows in which something is missing, ``drop`` them, or ``impute``: draw it for every batch
            from a Gaussian fitted to the training rows; then held-out rows without a gap are what is held out.
        test_share: held out within each class, by a split that is the same for every seed; with 0 the training points
            stand in.
        noise_std: data noise, in standard deviations.
        classes: only these, by name.
        n_train, n_test: only so many rows.

    Raises:
        ValueError: when the file is not there or no table, naming line and column; for constant columns, columns that
            count the rows, missing values and labels that are no classes.
    """

    units: TableUnits

    def __init__(
        self,
        name: str,
        device: Provided[torch.device],
        path: str,
        label_column: Name = None,
        columns: tuple[Name, ...] | None = None,
        leave_out: tuple[Name, ...] = (),
        header: bool | None = None,
        separator: str | None = None,
        decimal: str | None = None,
        encoding: str | None = None,
        categories: tuple[Name, ...] | None = None,
        scale: Literal["standard", "quantile"] = "standard",
        missing: Literal["refuse", "drop", "impute"] = "refuse",
        test_share: Probability = 0.1,
        noise_std: NonNegative = 0.2,
        classes: tuple[Name, ...] | None = None,
        n_train: PositiveInt | None = None,
        n_test: PositiveInt | None = None,
    ) -> None:
        file = given_file("path", path)
        table = read_cells(file, header, separator, decimal, encoding)
        label = None if label_column is None else position("label_column", label_column, table.names)
        chosen = choose(columns, leave_out, label, table)
        few = None if categories is None else {position("categories", each, table.names) for each in categories}
        table = without_gaps(table, chosen, label, missing)
        y, class_names = (None, []) if label is None else find_classes(table, label)
        n, held_out = len(table.columns[chosen[0]]), test_share > 0
        if n_test is not None and not held_out:
            raise ValueError(f"n_test: test_share=0 holds nothing out, got {n_test}")
        if n < 2 + held_out:
            raise ValueError(f"path: {shown(file)} has {n} rows, at least {2 + held_out} are needed")
        labels, kept = None if y is None else torch.from_numpy(y), choose_classes(classes, class_names)
        rows = split_within_classes(labels, n, test_share, "table", at_least=2)
        train, train_y = _subset(rows[0], labels, kept, n_train, "train")
        test, test_y = _subset(rows[1], labels, kept, n_test, "test") if held_out else (train, train_y)

        of_training, by_quantiles = train.numpy(), scale == "quantile"
        made = [make_column(table, k, of_training, by_quantiles, None if few is None else k in few) for k in chosen]
        columns_made, v = [column for column, _ in made], torch.from_numpy(np.stack([v for _, v in made], 1))
        g = generator("cpu", "dataset", "table", "values")
        x = Maps(columns_made).encode(v, torch.rand(v.shape, generator=g, dtype=torch.float64))
        self._maps, gaps = Maps(columns_made, device), x.isnan()
        self._gaussian: Gaussian | None = None
        if gaps.any():
            gaussian = fit_gaussian(x[train], gaps[train])
            x = gaussian.fill(x, gaps, torch.randn(x.shape, generator=g))
            self._gaussian = Gaussian(*(each.to(device, x.dtype) for each in gaussian))
            whole, with_gaps = ~gaps[test].any(1), int(gaps[train].any(1).sum())
            said = f"{with_gaps:,} of {len(train):,} training rows have gaps, which are drawn anew for each batch"
            if held_out and whole.sum() >= 2:
                left = int((~whole).sum())
                said += f"; {left:,} of {len(whole):,} held-out rows have gaps, and are not scored" if left else ""
                test, test_y = test[whole], None if test_y is None else test_y[whole]
            _LOG.info("%s: %s", shown(file), said)
        self._gaps = gaps[train].to(device)
        half_width = math.ceil(10 * max(_LEAST, _ROOM * float(x.abs().max()))) / 10
        domain = Domain(-half_width, half_width, (len(chosen),))
        units = TableUnits(domain, columns_made, None if label is None else table.names[label])
        self._tell_far(table, x, chosen)
        train_x = x[train]
        super().__init__(
            name=name,
            domain=domain,
            train=train_x,
            test=x[test] if held_out else train_x,
            train_labels=train_y,
            test_labels=test_y,
            n_classes=len(class_names) if kept is None else len(kept),
            class_names=class_names if kept is None else [class_names[k] for k in kept],
            units=units,
            noise_std=noise_std,
            device=device,
        )

    def _tell_far(self, table: Cells, x: Tensor, chosen: list[int]) -> None:
        far = float(x.abs().max())
        if far > _FAR:
            i, k = (int(each) for each in (x.abs() == far).nonzero()[0])
            names = "; if this row names the columns, dataset.header=true says so" if i == 0 else ""
            _LOG.warning(
                "%s, %s: column %s lies %.0f standard deviations out; the box reaches as far. dataset.scale=quantile "
                "draws it in, dataset.leave_out=[…] leaves a column out%s",
                *(table.file, table.where(i), table.names[chosen[k]], far, names),
            )

    def _redraw(self, x: Tensor, index: Tensor, source: Source) -> Tensor:
        """Rows with what stands for an interval elsewhere within it, and with what is missing drawn anew."""
        if self._maps.repeats:
            x = self._maps.redraw(x, uniform(x.shape, source, x.device))
        if self._gaussian is not None:
            x = self._gaussian.fill(x, self._gaps[index], normal_like(x, source))
            x = x.clamp(self.domain.low, self.domain.high)
        return x


def _subset(
    rows: Tensor, labels: Tensor | None, kept: list[int] | None, n: int | None, split: str
) -> tuple[Tensor, Tensor | None]:
    return subset(rows, None if labels is None else labels[rows], kept, n, split)
