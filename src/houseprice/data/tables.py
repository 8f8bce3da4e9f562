"""From the bytes of the CSV files to typed, checked frames. Nothing here touches the disk."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from houseprice.config import Competition
from houseprice.errors import ConfigError, DataError, listing, nearest
from houseprice.metrics import METRICS


@dataclass(frozen=True)
class Tables:
    """The competition's frames, each indexed by id (text, exactly as in the file).

    Attributes
    ----------
    train, test
        The same feature columns in the same order; numbers are float64 with NaN for a gap, text is ``str``.
    target
        float64 [n_train], natural units, indexed like ``train``.
    sample_ids
        The ids of the sample submission, in its order.
    notices
        What was dropped or repaired on the way, one sentence each.
    """

    train: pd.DataFrame
    test: pd.DataFrame
    target: pd.Series
    sample_ids: pd.Index
    notices: tuple[str, ...]


def read_tables(files: Mapping[str, bytes], competition: Competition) -> Tables:
    """Read, type and check the three files of a competition.

    Parameters
    ----------
    files
        The bytes of ``train.csv``, ``test.csv`` and ``sample_submission.csv``, by name.
    competition
        Names the id, the target, the metric and the rules for missing values.

    Raises
    ------
    DataError
        Naming the file, the column, the offending values with their ids, and the way out.
    ConfigError
        If ``[ingest]`` names a column that the files don't have.
    """
    notices: list[str] = []
    train = _read_csv(files["train.csv"], "train.csv", competition)
    test = _read_csv(files["test.csv"], "test.csv", competition)
    target = _take_target(train, competition)
    if competition.target in test:
        raise DataError(
            f"test.csv: has the target column {competition.target!r}; a test file has no target. "
            "Delete the column, or check that train.csv and test.csv are not mixed up."
        )
    if len(train) < 2:
        raise DataError(f"train.csv: {len(train)} training row; cross-validation needs at least 2. Add rows.")
    test = _same_columns(train, test, competition, notices)
    for column in train.columns:
        train[column], test[column] = _same_type(train[column], test[column], files, competition)
    _check_named_columns(train.columns, competition)
    for column in competition.ingest.normalize_text:
        train[column], test[column] = _normalized(train[column]), _normalized(test[column])
    _drop_useless(train, test, notices)
    return Tables(train, test, target, _sample_ids(files, test.index, competition), tuple(notices))


def _read_csv(data: bytes, name: str, competition: Competition) -> pd.DataFrame:
    """Parse one file: every cell accounted for, indexed by id, gaps as the competition file says."""
    text = _decode(data, name)
    header = _check_shape(text, name)
    if competition.id not in header:
        separators = [mark for mark in ";\t|" if len(header) == 1 and mark in header[0]]
        hint = f" The separator seems to be {separators[0]!r}: save with commas." if separators else ""
        raise DataError(f"{name}: no id column {competition.id!r}; {nearest(competition.id, header)}{hint}")
    frame = _parse(text, competition, header)
    ids = frame[competition.id]
    if (blank := ids.isna() | (ids == "")).any():
        rows = np.flatnonzero(blank) + 1
        raise DataError(f"{name}: column {competition.id!r} is empty in rows {listing(rows)}. Give each row an id.")
    if ids.duplicated().any():
        raise DataError(
            f"{name}: column {competition.id!r}: ids occur more than once: {listing(ids[ids.duplicated()].unique())}. "
            "Keep one row for each id."
        )
    return frame.set_index(competition.id)


def _decode(data: bytes, name: str) -> str:
    if not data.strip():
        raise DataError(f"{name}: the file is empty. Put the competition's file there.")
    if b"\0" in data:
        raise DataError(f"{name}: binary data or UTF-16, not CSV text. Unpack it, or save it as CSV in UTF-8.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{name}: line {line} is not UTF-8 (byte 0x{data[error.start]:02x}). "
            f"Convert it: iconv -f latin1 -t utf-8 {name}"
        ) from error


def _check_shape(text: str, name: str) -> list[str]:
    """Return the header, once every row is known to be as long as it."""
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(rows)
        for column in header:
            if not column.strip():
                raise DataError(f"{name}: column {header.index(column) + 1} of the header has no name. Name it.")
        if repeated := sorted({column for column in header if header.count(column) > 1}):
            raise DataError(
                f"{name}: the header names columns twice: {listing(repeated)}. Rename or delete one of each."
            )
        n_rows = 0
        for row in rows:
            if row and len(row) != len(header):
                raise DataError(
                    f"{name}: line {rows.line_num} has {len(row)} cells where the header has {len(header)}. "
                    "Quote cells that hold commas; complete or delete the line."
                )
            n_rows += bool(row)
    except csv.Error as error:
        raise DataError(f"{name}: line {rows.line_num}: {error}. Mend the quotes of that line.") from error
    if n_rows == 0:
        raise DataError(f"{name}: a header and no rows. Put the competition's whole file there.")
    return header


def _parse(text: str, competition: Competition, columns: list[str], dtype: Any = None) -> pd.DataFrame:
    """Let pandas type the columns, with our rules for gaps and none of its own."""
    rules = competition.ingest
    gaps = {
        column: [cell for cell in rules.missing if not (column in rules.none_columns and cell in rules.none_cells)]
        for column in columns
        if column != competition.id
    }
    frame = pd.read_csv(
        io.StringIO(text, newline=""),
        usecols=columns,
        dtype=dtype or {competition.id: str},
        keep_default_na=False,
        na_values=gaps,
        low_memory=False,
        float_precision="round_trip",
    )
    for column in frame.columns.intersection(list(rules.none_columns)):
        if not is_numeric_dtype(frame[column]):
            frame[column] = frame[column].replace(list(rules.none_cells), rules.none_label)
    return frame


def _take_target(train: pd.DataFrame, competition: Competition) -> pd.Series:
    """Remove the target from ``train``, without the rows that the competition file excludes, and check it."""
    name = competition.target
    if name not in train:
        raise DataError(f"train.csv: no target column {name!r}; {nearest(name, list(train.columns))}")
    _drop_excluded(train, competition)
    raw = train.pop(name)
    target = pd.to_numeric(raw, errors="coerce").astype(np.float64)
    metric = METRICS[competition.metric]
    rule = "finite numbers > 0" if metric.needs_positive else "finite numbers"
    good = np.isfinite(target) & ((target > 0) | (not metric.needs_positive))
    if is_bool_dtype(raw):
        good &= False
    if not good.all():
        raise DataError(
            f"train.csv: column {name!r}: {int((~good).sum())} of {len(raw)} targets are not {rule}, which metric "
            f"{competition.metric} needs (ids {listing(raw.index[~good])}: {listing(raw[~good])}). "
            "Correct the rows, or exclude them under [ingest].exclude_ids."
        )
    return target.rename(name)


def _drop_excluded(train: pd.DataFrame, competition: Competition) -> None:
    excluded = list(competition.ingest.exclude_ids)
    if unknown := [row for row in excluded if row not in train.index]:
        raise ConfigError(f"[ingest].exclude_ids: no such ids in train.csv: {listing(unknown)}. Take them out.")
    train.drop(index=excluded, inplace=True)


def _same_columns(
    train: pd.DataFrame, test: pd.DataFrame, competition: Competition, notices: list[str]
) -> pd.DataFrame:
    """The test frame with exactly the columns of train."""
    if absent := [column for column in train.columns if column not in test.columns]:
        raise DataError(
            f"test.csv: lacks columns that train.csv has: {listing(absent)}. "
            "Add them, or delete them from train.csv: a model can't use them."
        )
    if surplus := [column for column in test.columns if column not in train.columns]:
        notices.append(f"test.csv: dropped columns that train.csv does not have: {listing(surplus)}")
    if not len(train.columns):
        raise DataError(
            f"train.csv: no feature columns beside {competition.id!r} and {competition.target!r}. Add some."
        )
    return test[list(train.columns)].copy()


def _same_type(
    train: pd.Series, test: pd.Series, files: Mapping[str, bytes], competition: Competition
) -> tuple[pd.Series, pd.Series]:
    """One type for a column, decided over train and test together: float64, or text."""
    name = str(train.name)
    if _is_number(train) and _is_number(test):
        for frame, values in (("train.csv", train), ("test.csv", test)):
            if (infinite := np.isinf(values.to_numpy(np.float64))).any():
                raise DataError(
                    f"{frame}: column {name!r}: infinite numbers in ids {listing(values.index[infinite])}. "
                    "Correct them, or empty the cells."
                )
        return train.astype(np.float64), test.astype(np.float64)
    if _is_number(train) and train.notna().any():
        as_number = pd.to_numeric(test, errors="coerce")
        odd = test[as_number.isna() & test.notna()]
        raise DataError(
            f"test.csv: column {name!r} is a number in train.csv and text here: {listing(map(repr, odd.unique()))} "
            f"(ids {listing(odd.index)}). Correct the cells, or list the text under [ingest].missing if it means a gap."
        )
    return (
        _text(train, files["train.csv"], competition),
        _text(test, files["test.csv"], competition),
    )


def _is_number(values: pd.Series) -> bool:
    return is_numeric_dtype(values) and not is_bool_dtype(values)


def _text(values: pd.Series, data: bytes, competition: Competition) -> pd.Series:
    """A column as text; where pandas took it for numbers or booleans, its cells are read again as they stand."""
    if isinstance(values.dtype, pd.StringDtype):
        return values
    name = str(values.name)
    cells = _parse(data.decode("utf-8-sig"), competition, [competition.id, name], dtype=str).set_index(competition.id)
    return cells[name].loc[values.index].astype("str")


def _normalized(values: pd.Series) -> pd.Series:
    return values.str.strip().str.lower().str.replace(r"\s+", " ", regex=True)


def _check_named_columns(columns: pd.Index, competition: Competition) -> None:
    for key in ("none_columns", "normalize_text"):
        for column in getattr(competition.ingest, key):
            if column not in columns:
                raise ConfigError(
                    f"[ingest].{key}: no column {column!r} in train.csv; {nearest(column, list(columns))}"
                )


def _drop_useless(train: pd.DataFrame, test: pd.DataFrame, notices: list[str]) -> None:
    """Drop columns from which nothing can be learnt: no value, or one value and no gap, in all training rows."""
    missing = [column for column in train.columns if train[column].isna().all()]
    constant = [c for c in train.columns if train[c].nunique() == 1 and not train[c].isna().any()]
    for what, columns in (("have no value", missing), ("have one value", constant)):
        if columns:
            notices.append(f"train.csv: dropped columns that {what} in all {len(train)} rows: {listing(columns)}")
            train.drop(columns=columns, inplace=True)
            test.drop(columns=columns, inplace=True)
    if not len(train.columns):
        raise DataError("train.csv: every feature column is empty or constant; nothing can be learnt. Add columns.")


def _sample_ids(files: Mapping[str, bytes], test_ids: pd.Index, competition: Competition) -> pd.Index:
    """The ids of the sample submission, which must be those of the test file."""
    name = "sample_submission.csv"
    sample = _read_csv(files[name], name, competition)
    if list(sample.columns) != [competition.target]:
        raise DataError(
            f"{name}: its columns are {[competition.id, *sample.columns]}, not {[competition.id, competition.target]}. "
            "Take the competition's own sample submission."
        )
    absent, surplus = test_ids.difference(sample.index), sample.index.difference(test_ids)
    if len(absent) or len(surplus):
        raise DataError(
            f"{name}: its ids are not those of test.csv: {len(absent)} lacking ({listing(absent)}), "
            f"{len(surplus)} unknown ({listing(surplus)}). Take the sample submission that belongs to this test.csv."
        )
    return sample.index
