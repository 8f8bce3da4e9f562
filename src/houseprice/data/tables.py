"""From the bytes of the CSV files to typed, checked frames. Nothing here touches the disk."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from houseprice.config import Competition, Ingest
from houseprice.errors import ConfigError, DataError, listing, nearest
from houseprice.metrics import METRICS

SAMPLE = "sample_submission.csv"


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
    by
        The columns that folds are made by, as the text of the training file with gaps; indexed like ``train``.
    """

    train: pd.DataFrame
    test: pd.DataFrame
    target: pd.Series
    sample_ids: pd.Index
    notices: tuple[str, ...]
    by: pd.DataFrame = field(default_factory=pd.DataFrame)


def read_tables(files: Mapping[str, bytes], competition: Competition) -> Tables:
    """Read, type and check the three files of a competition.

    Parameters
    ----------
    files
        The bytes of ``train.csv``, ``test.csv`` and ``sample_submission.csv``, by name. Without the last one, the
        ids of the sample submission are those of the test file.
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
    train = _without_excluded(train, competition)
    target = _take_target(train, competition)
    if competition.target in test:
        raise DataError(
            f"test.csv: has the target column {competition.target!r}; a test file has no target. "
            "Delete the column, or check that train.csv and test.csv are not mixed up."
        )
    if len(train) < 2:
        raise DataError(f"train.csv: {len(train)} training row; cross-validation needs at least 2. Add rows.")
    by = _fold_columns(train, test, competition)
    test = _same_columns(train, test, competition, notices)
    for column in train.columns:
        train[column], test[column] = _same_type(train[column], test[column])
    _check_named_columns(train, competition)
    for column in competition.ingest.normalize_text:
        train[column], test[column] = (_normalized(frame[column], competition.ingest) for frame in (train, test))
    useless = _useless_columns(train, notices)
    train, test = train.drop(columns=useless), test.drop(columns=useless)
    sample_ids = _sample_ids(files[SAMPLE], test.index, competition) if SAMPLE in files else test.index
    return Tables(train, test, target, sample_ids, tuple(notices), by)


def _read_csv(data: bytes, name: str, competition: Competition) -> pd.DataFrame:
    """Parse one file: every cell as text, indexed by id, gaps as the competition file says."""
    header, rows = _split(_decode(data, name), name, competition.id)
    frame = pd.DataFrame(rows, columns=header, dtype="str")
    ids = frame[competition.id]
    if (blank := ids.str.strip() == "").any():
        where = listing(np.flatnonzero(blank) + 1)
        raise DataError(f"{name}: column {competition.id!r} is empty in rows {where}. Give each row an id.")
    if ids.duplicated().any():
        raise DataError(
            f"{name}: column {competition.id!r}: ids occur more than once: {listing(ids[ids.duplicated()].unique())}. "
            "Keep one row for each id."
        )
    frame = frame.set_index(competition.id)
    for column in frame.columns:
        frame[column] = _with_gaps(frame[column], competition.ingest)
    return frame


def _decode(data: bytes, name: str) -> str:
    if b"\0" in data:
        raise DataError(f"{name}: binary data or UTF-16, not CSV text. Unpack it, or save it as CSV in UTF-8.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{name}: line {line} is not UTF-8 (byte 0x{data[error.start]:02x}). "
            f"Unpack it if it is an archive; or convert it: iconv -f latin1 -t utf-8 {name}"
        ) from error
    if not text.strip():
        raise DataError(f"{name}: the file is empty. Put the competition's file there.")
    return text


def _split(text: str, name: str, id_column: str) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows, each known to be as long as it. Blank lines are skipped."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    rows: list[list[str]] = []
    line = 1  # where the row begins; quoted cells may hold line ends
    try:
        for row in reader:
            if not header:
                header = row
                _check_header(header, name, id_column)
            elif row and len(row) != len(header):
                raise DataError(
                    f"{name}: line {line} has {len(row)} cells where the header has {len(header)}. "
                    "Quote cells that hold commas; complete or delete the line."
                )
            elif row:
                rows.append(row)
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{name}: line {line}: {error}. Mend the quotes of that line.") from error
    if not rows:
        raise DataError(f"{name}: a header and no rows. Put the competition's whole file there.")
    return header, rows


def _check_header(header: list[str], name: str, id_column: str) -> None:
    if not header:  # a blank line
        return
    if nameless := [number for number, column in enumerate(header, 1) if not column.strip()]:
        raise DataError(f"{name}: columns without a name in the header: number {listing(nameless)}. Name them.")
    if repeated := sorted({column for column in header if header.count(column) > 1}):
        raise DataError(f"{name}: the header names columns twice: {listing(repeated)}. Rename or delete one of each.")
    if id_column not in header:
        separators = [mark for mark in ";\t|" if len(header) == 1 and mark in header[0]]
        hint = f" The separator seems to be {separators[0]!r}: save with commas." if separators else ""
        raise DataError(f"{name}: no id column {id_column!r}; {nearest(id_column, header)}{hint}")


def _with_gaps(values: pd.Series, rules: Ingest) -> pd.Series:
    """A column of text, its cells that mean "not recorded" as gaps, those that mean "none of it" as one label."""
    if values.name not in rules.none_columns:
        return values.mask(values.isin(rules.missing))
    none = values.isin(rules.none_cells)
    return values.mask(values.isin(rules.missing) & ~none).mask(none, rules.none_label)


def _take_target(train: pd.DataFrame, competition: Competition) -> pd.Series:
    """Remove the target from ``train`` and check it."""
    name = competition.target
    if name not in train:
        raise DataError(f"train.csv: no target column {name!r}; {nearest(name, list(train.columns))}")
    raw = train.pop(name)
    target = pd.to_numeric(raw, errors="coerce").astype(np.float64)
    metric = METRICS[competition.metric]
    rule = "finite numbers > 0" if metric.needs_positive else "finite numbers"
    good = np.isfinite(target) & ((target > 0) | (not metric.needs_positive))
    if not good.all():
        raise DataError(
            f"train.csv: column {name!r}: {int((~good).sum())} of {len(raw)} targets are not {rule}, which metric "
            f"{competition.metric} needs (ids {listing(raw.index[~good])}: {listing(raw[~good])}). "
            "Correct the rows, or exclude them under [ingest].exclude_ids."
        )
    return target.rename(name)


def _without_excluded(train: pd.DataFrame, competition: Competition) -> pd.DataFrame:
    excluded = list(competition.ingest.exclude_ids)
    if unknown := [row for row in excluded if row not in train.index]:
        raise ConfigError(f"[ingest].exclude_ids: no such ids in train.csv: {listing(unknown)}. Take them out.")
    return train.drop(index=excluded)


def _fold_columns(train: pd.DataFrame, test: pd.DataFrame, competition: Competition) -> pd.DataFrame:
    """The columns that folds are made by; those that the test file lacks are no features, and leave ``train``."""
    columns = {}
    for name, folds in competition.folds.items():
        if folds.by == competition.id:
            columns[folds.by] = train.index.to_series()
        elif folds.by is not None:
            if folds.by not in train:
                raise ConfigError(f"folds.{name}.by: no column {folds.by!r} in train.csv; {nearest(folds.by, train)}")
            columns[folds.by] = train[folds.by]
    for column in columns:
        if column in train and column not in test:
            del train[column]
    return pd.DataFrame(columns, index=train.index)


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


def _same_type(train: pd.Series, test: pd.Series) -> tuple[pd.Series, pd.Series]:
    """One type for a column, decided over train and test together: float64 if every cell is a number, or text."""
    train_numbers, test_numbers = (pd.to_numeric(cells, errors="coerce").astype(np.float64) for cells in (train, test))
    if (train.notna() & train_numbers.isna()).any():
        return train, test
    if (is_text := test.notna() & test_numbers.isna()).any():
        if train.isna().all():
            return train, test
        raise DataError(
            f"test.csv: column {train.name!r} is a number in train.csv and text here: "
            f"{listing(map(repr, test[is_text].unique()))} (ids {listing(test.index[is_text])}). "
            "Correct the cells, or list the text under [ingest].missing if it means a gap."
        )
    for name, numbers in (("train.csv", train_numbers), ("test.csv", test_numbers)):
        if (infinite := np.isinf(numbers)).any():
            raise DataError(
                f"{name}: column {train.name!r}: infinite numbers in ids {listing(numbers.index[infinite])}. "
                "Correct them, or empty the cells."
            )
    return train_numbers, test_numbers


def _normalized(values: pd.Series, rules: Ingest) -> pd.Series:
    trimmed = values.str.strip().str.replace(r"\s+", " ", regex=True)
    # a cell of blanks is a gap; the label for "none of it" stays as the competition file writes it
    return _with_gaps(trimmed, rules).str.lower().mask(values == rules.none_label, rules.none_label)


def _check_named_columns(train: pd.DataFrame, competition: Competition) -> None:
    columns = list(train.columns)
    for key in ("none_columns", "normalize_text"):
        for column in getattr(competition.ingest, key):
            if column not in columns:
                raise ConfigError(f"[ingest].{key}: no column {column!r} in train.csv; {nearest(column, columns)}")
    for column in competition.ingest.normalize_text:
        if is_numeric_dtype(train[column]):
            raise ConfigError(f"[ingest].normalize_text: column {column!r} has no text in train.csv. Take it out.")


def _useless_columns(train: pd.DataFrame, notices: list[str]) -> list[str]:
    """Columns from which nothing can be learnt: no value, or one value and no gap, in all training rows."""
    missing = [column for column in train.columns if train[column].isna().all()]
    constant = [c for c in train.columns if train[c].nunique() == 1 and not train[c].isna().any()]
    for what, columns in (("have no value", missing), ("have one value", constant)):
        if columns:
            notices.append(f"train.csv: dropped columns that {what} in all {len(train)} rows: {listing(columns)}")
    if len(missing) + len(constant) == len(train.columns):
        raise DataError("train.csv: every feature column is empty or constant; nothing can be learnt. Add columns.")
    return [*missing, *constant]


def _sample_ids(data: bytes, test_ids: pd.Index, competition: Competition) -> pd.Index:
    """The ids of the sample submission, which must be those of the test file."""
    sample = _read_csv(data, SAMPLE, competition)
    if list(sample.columns) != [competition.target]:
        raise DataError(
            f"{SAMPLE}: its columns are {[competition.id, *sample.columns]}, not "
            f"{[competition.id, competition.target]}. Take the competition's own sample submission."
        )
    absent, surplus = test_ids.difference(sample.index), sample.index.difference(test_ids)
    if len(absent) or len(surplus):
        raise DataError(
            f"{SAMPLE}: its ids are not those of test.csv: {len(absent)} lacking ({listing(absent)}), "
            f"{len(surplus)} unknown ({listing(surplus)}). Take the sample submission that belongs to this test.csv."
        )
    return sample.index
