"""Tables and matrices of columns that are given cell by cell, as a file would hold them."""

import csv
import io
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from houseprice.config import Competition, Ingest
from houseprice.data.features import FeatureSet, build_features
from houseprice.data.folds import make_folds
from houseprice.data.tables import Tables, read_tables
from houseprice.preparation import Features

Cells = Mapping[str, Sequence[str]]

COMPETITION = Competition.model_validate(
    {
        "name": "it",
        "id": "Id",
        "target": "Price",
        "metric": "rmse",
        "entry": "ridge",
        "folds": {"main": {"k": 2}},
        "experiments": {"ridge": {"kind": "ridge"}},
    }
)


def tables_of_cells(train: Cells, test: Cells, prices: Sequence[float] | None = None) -> Tables:
    """Training ids count from 1, test ids from 1001."""
    n_train = len(next(iter(train.values())))
    prices = prices if prices is not None else range(1, n_train + 1)
    priced = {**train, "Price": [repr(float(price)) for price in prices]}
    return read_tables({"train.csv": _file(priced, 1), "test.csv": _file(test, 1001)}, COMPETITION)


def _file(columns: Cells, first_id: int) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["Id", *columns])
    writer.writerows([first_id + n, *cells] for n, cells in enumerate(zip(*columns.values(), strict=True)))
    return text.getvalue().encode()


def build(train: Cells, test: Cells, prices: Sequence[float] | None = None, **recipe: object) -> FeatureSet:
    """Features on two folds."""
    tables = tables_of_cells(train, test, prices)
    folds = make_folds(len(tables.train), COMPETITION.folds["main"])
    return build_features(tables, Features.model_validate(recipe), folds, Ingest())


def of_column(found: FeatureSet, name: str, fold: int = 0) -> NDArray[np.float32]:
    """One column of a fold's matrix, training rows."""
    matrix = found.of_fold(fold)
    return matrix.X[:, matrix.columns.index(name)]
