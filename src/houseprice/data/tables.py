"""From the bytes of the CSV files to typed, checked frames. Nothing here touches the disk."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype

from houseprice.config import Competition, Ingest
from houseprice.data.compact import packed, unpacked
from houseprice.data.form import SAMPLE, ids_in_order, sample_columns, sample_ids
from houseprice.data.reading import CsvFile, Say, open_csv
from houseprice.data.target import take_target, with_target, without_target
from houseprice.errors import ConfigError, DataError, listing, nearest
from houseprice.metrics import Metric
from houseprice.pace import Paced

_FRAMES = ("train", "test", "by")


@dataclass(frozen=True)
class Tables:
    """The competition's frames, each indexed by id (text, exactly as in the file).

    Attributes
    ----------
    train, test
        The same feature columns in the same order; numbers are float64 with NaN for a gap, text is ``str``.
    target
        float64 [n_train], indexed like ``train``: natural units, or classes as codes 0, 1, …
    sample_ids
        The ids of the sample submission, in its order.
    notices
        What was dropped or repaired on the way, one sentence each.
    classes
        What the codes mean, in the file's own text; empty for numbers.
    sample_columns
        What the sample submission has beside the id, in its order: the target, or a column for every class
        (`houseprice.tasks.class_places`). Empty: the target.
    by
        The columns that folds are made by, as the text of the training file with gaps; indexed like ``train``.
    """

    train: pd.DataFrame
    test: pd.DataFrame
    target: pd.Series
    sample_ids: pd.Index
    notices: tuple[str, ...]
    classes: tuple[str, ...] = ()
    sample_columns: tuple[str, ...] = ()
    by: pd.DataFrame = field(default_factory=pd.DataFrame)

    def link_target(self, metric: Metric) -> NDArray[np.float64]:
        """The target on the link scale (`houseprice.metrics.Metric.link`), or classes as codes, float64 [n_train]."""
        return metric.link(self.target.to_numpy(np.float64), f"column {self.target.name!r} in train.csv")

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {name: packed(self.__dict__[name]) for name in _FRAMES}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state | {name: unpacked(state[name]) for name in _FRAMES})


def read_tables(files: Mapping[str, bytes], competition: Competition, say: Say = lambda text: None) -> Tables:
    """Read, type and check the three files of a competition.

    Parameters
    ----------
    files
        The bytes of ``train.csv``, ``test.csv`` and ``sample_submission.csv``, by name. Without the last one, the
        ids of the sample submission are those of the test file.
    competition
        Names the id, the target, the metric and the rules for missing values.
    say
        Told of the progress every few seconds.

    Raises
    ------
    DataError
        Naming the file, the column, the offending values with their ids, and the way out.
    ConfigError
        If ``[ingest]`` names a column that the files don't have.
    """
    notices: list[str] = []
    say = Paced(say)
    train, test, sample = _read_all(files, competition, say)
    train = _without_excluded(train, competition)
    train, test = with_target(train, competition, notices), without_target(test, competition, notices)
    target, classes = take_target(train, competition, notices)
    if len(train) < 2:
        raise DataError(f"train.csv: {len(train)} training row; cross-validation needs at least 2. Add rows.")
    train, test = _without_dropped(train, test, competition)
    by = _fold_columns(train, test, competition)
    test = _same_columns(train, test, competition, notices)
    notices += _alike_notices(train)
    for number, column in enumerate(train.columns, 1):
        train[column], test[column] = _same_type(train[column], test[column])
        say(f"tables: {number} of {len(train.columns)} columns checked")
    _check_named_columns(train, competition)
    for column in competition.ingest.normalize_text:
        train[column], test[column] = (normalized(frame[column], competition.ingest) for frame in (train, test))
    useless = _useless_columns(train, notices)
    train, test = train.drop(columns=useless), test.drop(columns=useless)
    columns = sample_columns(sample, classes, competition)
    asked = test.index if sample is None else sample_ids(sample, test.index)
    return Tables(train, test, target, asked, tuple(notices), classes, columns, by)


def _read_all(
    files: Mapping[str, bytes], competition: Competition, say: Say
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame | None]:
    """The frames of the files; a column that is text in train.csv or test.csv is text in both."""
    train_file, test_file = (
        open_csv(files[name], name, needed_id(name, competition), say) for name in ("train.csv", "test.csv")
    )
    told = {competition.target, *competition.ingest.none_columns, *competition.ingest.normalize_text}
    told |= {folds.by for folds in competition.folds.values() if folds.by is not None}
    numbers = (train_file.likely_numbers & test_file.likely_numbers) - told
    train, test = (
        read_frame(file, competition, numbers, say, is_numbered=file.name in competition.ingest.numbered)
        for file in (train_file, test_file)
    )
    shared = train.columns.intersection(test.columns)
    for file, frame, other in ((train_file, train, test), (test_file, test, train)):
        wrong = [column for column in shared if is_numeric_dtype(frame[column]) and _has_strays(other[column])]
        for column, cells in (file.text_of(wrong, say) if wrong else {}).items():
            frame[column] = _with_gaps(_text(cells, frame.index, column), competition.ingest)
    sample = None
    if SAMPLE in files:
        sample_file = open_csv(files[SAMPLE], SAMPLE, competition.id, say, has_names=True)
        sample = read_frame(sample_file, competition, (), say)
        if competition.id not in test_file.header and len(sample) == len(test):
            test.index = ids_in_order(sample.index)
    return with_id(train, competition), with_id(test, competition), sample


def with_id(frame: pd.DataFrame, competition: Competition) -> pd.DataFrame:
    """The frame, with its ids as a feature column if the competition file says so."""
    if not competition.ingest.keep_id:
        return frame
    ids = pd.Series(frame.index, index=frame.index, name=competition.id, dtype="str")
    return pd.concat([ids, frame], axis=1).rename_axis(index=None)  # of two by one name, pandas knows neither


def needed_id(name: str, competition: Competition) -> str | None:
    """The id column that a file must have: none, if its rows are numbered."""
    return None if name in competition.ingest.numbered else competition.id


def _numbers_of_rows(cells: Mapping[str, NDArray[Any]]) -> list[str]:
    return [str(row) for row in range(1, len(next(iter(cells.values()))) + 1)]


def read_frame(
    file: CsvFile, competition: Competition, numbers: Collection[str], say: Say, is_numbered: bool = False
) -> pd.DataFrame:
    """One file, indexed by id, gaps as the competition file says: text, or float64 where it may and can be.

    Where rows are numbered, and many have one id, that column is one of the others: it may group rows.

    Raises
    ------
    DataError
        If a row has no id, or another row's.
    """
    cells = file.read(set(numbers) - {competition.id}, competition.ingest.missing, say)
    has_ids = competition.id in cells and not (is_numbered and pd.Series(cells[competition.id]).duplicated().any())
    found = cells.pop(competition.id) if has_ids else _numbers_of_rows(cells)
    ids = pd.Series(found, dtype="str")
    if blank := [row for row, cell in enumerate(ids, 1) if not cell.strip()]:
        raise DataError(
            f"{file.name}: column {competition.id!r} is empty in rows {listing(blank)}. Give each row an id."
        )
    if ids.duplicated().any():
        raise DataError(
            f"{file.name}: column {competition.id!r}: ids occur more than once: "
            f"{listing(ids[ids.duplicated()].unique())}. Keep one row for each id; of a training file that has many "
            'rows of one on purpose, [ingest].numbered = ["train.csv"] numbers the rows.'
        )
    index = pd.Index(ids, name=competition.id)
    columns = {}
    for name in list(cells):
        values = cells.pop(name)
        is_text = values.dtype == np.object_
        columns[name] = _with_gaps(_text(values, index, name), competition.ingest) if is_text else values
        say(f"{file.name}: {len(columns)} of {len(columns) + len(cells)} columns typed")
    return pd.DataFrame(columns, index=index, copy=False)


def _text(cells: NDArray[Any], index: pd.Index, name: str) -> pd.Series:
    return pd.Series(cells, index=index, name=name, dtype="str")


def _is_stray(cells: pd.Series) -> pd.Series:
    """Which cells are neither numbers nor gaps."""
    return cells.notna() & _numbers(cells).isna()


def _has_strays(cells: pd.Series) -> bool:
    return bool(_is_stray(cells[:100]).any() or _is_stray(cells).any())  # text shows itself at once


def _numbers(cells: pd.Series) -> pd.Series:
    return pd.to_numeric(cells, errors="coerce").astype(np.float64)


def _with_gaps(values: pd.Series, rules: Ingest) -> pd.Series:
    """A column of text, its cells that mean "not recorded" as gaps, those that mean "none of it" as one label."""
    if values.name not in rules.none_columns:
        return values.mask(values.isin(rules.missing))
    none = values.isin(rules.none_cells)
    return values.mask(values.isin(rules.missing) & ~none).mask(none, rules.none_label)


def _without_excluded(train: pd.DataFrame, competition: Competition) -> pd.DataFrame:
    excluded = list(competition.ingest.exclude_ids)
    if unknown := [row for row in excluded if row not in train.index]:
        raise ConfigError(f"[ingest].exclude_ids: no such ids in train.csv: {listing(unknown)}. Take them out.")
    return train.drop(index=excluded) if excluded else train


def _fold_columns(train: pd.DataFrame, test: pd.DataFrame, competition: Competition) -> pd.DataFrame:
    """The columns that folds are made by; those that the test file lacks are no features, and leave ``train``."""
    columns = {}
    for name, folds in competition.folds.items():
        if folds.by == competition.id and folds.by not in train:
            columns[folds.by] = train.index.to_series()
        elif folds.by is not None:
            if folds.by not in train:
                raise ConfigError(f"folds.{name}.by: no column {folds.by!r} in train.csv; {nearest(folds.by, train)}")
            columns[folds.by] = train[folds.by]
    for column in columns:
        if column in train and column not in test:
            del train[column]
    return pd.DataFrame(columns, index=train.index)


def _without_dropped(
    train: pd.DataFrame, test: pd.DataFrame, competition: Competition
) -> tuple[pd.DataFrame, pd.DataFrame]:
    dropped = list(competition.ingest.drop_columns)
    for column in dropped:
        if column not in train and column not in test:
            known = [*train.columns, *test.columns]
            raise ConfigError(f"[ingest].drop_columns: no column {column!r} in either file; {nearest(column, known)}")
    return train.drop(columns=dropped, errors="ignore"), test.drop(columns=dropped, errors="ignore")


def _same_columns(
    train: pd.DataFrame, test: pd.DataFrame, competition: Competition, notices: list[str]
) -> pd.DataFrame:
    """The test frame with exactly the columns of train."""
    way_out = "Add them, or list them under [ingest].drop_columns: a model can't use them."
    check_columns(test, list(train.columns), "test.csv", way_out)
    if surplus := [column for column in test.columns if column not in train.columns]:
        notices.append(f"test.csv: dropped columns that train.csv does not have: {listing(surplus)}")
    if not len(train.columns):
        raise DataError(
            f"train.csv: no feature columns beside {competition.id!r} and {competition.target!r}. Add some."
        )
    return test[list(train.columns)].copy()


def check_columns(frame: pd.DataFrame, wanted: Sequence[str], name: str, way_out: str) -> None:
    """Refuse rows to be predicted that lack columns of the training file.

    Parameters
    ----------
    name
        Their file's, for messages.
    way_out
        The end of the message.

    Raises
    ------
    DataError
        Naming the columns.
    """
    if absent := [column for column in wanted if column not in frame.columns]:
        raise DataError(
            f"{name}: lacks columns that train.csv has: {listing(absent)}. {_spelt_otherwise(absent, frame)}{way_out}"
        )


def _spelt_otherwise(absent: list[str], frame: pd.DataFrame) -> str:
    """Which of the columns that a file lacks it has in other letters, as the beginning of an advice."""
    plain = {_plain(column): column for column in frame.columns}
    found = [f"{plain[_plain(column)]!r} for {column!r}" for column in absent if _plain(column) in plain]
    return f"It has {listing(found)}: rename these. " if found else ""


def _plain(name: str) -> str:
    """A name without what is easily mistaken: case and blanks."""
    return "".join(name.split()).casefold()


def _alike_notices(train: pd.DataFrame) -> list[str]:
    """Columns of one file that may be meant as one."""
    alike: dict[str, list[str]] = {}
    for column in train.columns:
        alike.setdefault(_plain(column), []).append(column)
    return [
        f"train.csv: columns differ by case or blanks alone, and are all kept: {listing(map(repr, columns))}"
        for columns in alike.values()
        if len(columns) > 1
    ]


def _same_type(train: pd.Series, test: pd.Series) -> tuple[pd.Series, pd.Series]:
    """One type for a column, decided over train and test together: float64 if every cell is a number, or text."""
    if _has_strays(train) or (train.isna().all() and _has_strays(test)):
        return train, test
    return as_number(train, "train.csv"), as_number(test, "test.csv")


def as_number(values: pd.Series, name: str) -> pd.Series:
    """A column that is a number in the training file, float64 with NaN for a gap.

    Raises
    ------
    DataError
        If cells are text or infinite, naming them, their ids and the file, ``name``.
    """
    if (is_text := _is_stray(values)).any():
        raise DataError(
            f"{name}: column {values.name!r} is a number in train.csv and text here: "
            f"{listing(map(repr, values[is_text].unique()))} (ids {listing(values.index[is_text])}). "
            "Correct the cells, or list the text under [ingest].missing if it means a gap."
        )
    numbers = _numbers(values)
    if (infinite := np.isinf(numbers)).any():
        raise DataError(
            f"{name}: column {values.name!r}: infinite numbers in ids {listing(numbers.index[infinite])}. "
            "Correct them, or empty the cells."
        )
    return numbers


def normalized(values: pd.Series, rules: Ingest) -> pd.Series:
    """Text without blanks that say nothing, in small letters (``[ingest].normalize_text``)."""
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
    constant = [column for column in train.columns if _is_constant(train[column])]
    for what, columns in (("have no value", missing), ("have one value", constant)):
        if columns:
            notices.append(f"train.csv: dropped columns that {what} in all {len(train)} rows: {listing(columns)}")
    if len(missing) + len(constant) == len(train.columns):
        raise DataError("train.csv: every feature column is empty or constant; nothing can be learnt. Add columns.")
    return [*missing, *constant]


def _is_constant(values: pd.Series) -> bool:
    """Whether all cells are the same, and none a gap; the first ones show it for most columns."""
    return all(bool((rows == values.iloc[0]).all()) for rows in (values[:100], values))
