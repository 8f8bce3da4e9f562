"""What each column is: told by the recipe, or else guessed from the training file and said in a notice."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from houseprice.config import Ingest
from houseprice.data.dates import date_parts, days_between, guess_format, read_dates
from houseprice.data.expressions import derive
from houseprice.data.patterns import extract
from houseprice.data.tables import Tables
from houseprice.data.written import FEW_ROWS, HOURS, MOSTLY, Written, guess_written, read_written
from houseprice.errors import ConfigError, DataError, listing, nearest
from houseprice.preparation import Features

LONG_CELL = 25
"""Mean number of characters from which on cells are free text, if most of them are distinct."""
_CALLED_ID = re.compile(r"(?:^|[^A-Za-z])(?i:id|uid|uuid|guid)$|[a-z](?:Id|ID)$")


@dataclass(frozen=True)
class Roles:
    """The roles that were guessed, for columns of which the recipe says nothing, and the form of all dates.

    Attributes
    ----------
    numbers
        Columns of text, nearly all of whose cells are numbers that are written alike; the rest are gaps.
    dates
        Columns of dates with their forms (`houseprice.data.dates.FORMATS`), told ones among them.
    dropped
        Columns from which nothing can be learnt about other rows: free text, ids.
    notices
        What was guessed, and how to say otherwise, one sentence each.
    """

    numbers: tuple[Written, ...] = ()
    dates: tuple[tuple[str, str], ...] = ()
    dropped: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


NOTHING_GUESSED = Roles()


def guess_roles(tables: Tables, recipe: Features, ingest: Ingest) -> Roles:
    """Look at the columns of the training file that neither recipe nor ``[ingest].none_columns`` names.

    Text is a number if nearly all cells are, written alike (`houseprice.data.written`), as ``$1,234`` and ``12%`` are.
    A number of which every row has another one is dropped if it is called an id or merely counts the rows of both
    files; a text that is another one in nearly every row is dropped as free text or as an id. Booleans in words
    (``True``, ``yes``, ``t``) stay categories of two labels. Of the target nothing is looked at.

    Raises
    ------
    ConfigError
        If a column that is told to be a date has no form that is known.
    """
    numbers: list[Written] = []
    dates = [(name, _told_format(tables.train, name, recipe)) for name in recipe.date]
    dropped: dict[str, str] = {}
    notices: list[str] = []
    for name in tables.train.columns.difference(_told(recipe, ingest), sort=False):
        train, test = tables.train[name], tables.test[name]
        if is_numeric_dtype(train):
            reason = _why_number_is_id(train, test)
        elif written := guess_written(train):
            reason = _why_number_is_id(read_written(train, written), read_written(test, written))
            if not reason:
                numbers.append(written)
                notices += [*_written_notices(train, written), *_stray_notices(test, written, "test.csv")]
        elif form := guess_format(train):
            dates.append((name, form))
            notices += _date_notices(train, test, form)
            continue
        else:
            reason = _why_text_is_useless(train)
        if reason:
            dropped[name] = reason
    if len(dropped) == len(tables.train.columns):  # an id is better than nothing
        dropped = {}
    notices += [
        f"train.csv: column {name!r} is left out: {reason}. To keep it, name it under number, category or text"
        for name, reason in dropped.items()
    ]
    return Roles(tuple(numbers), tuple(dates), tuple(dropped), tuple(notices))


def _told(recipe: Features, ingest: Ingest) -> list[str]:
    """Columns whose role is clear from the competition file."""
    of_groups = (name for group in recipe.groups for name in (group.by, *group.columns))
    of_pairs = (name for pair in recipe.interactions for name in pair)
    return [*(column for _, column in recipe.roles), *ingest.none_columns, *of_groups, *of_pairs]


def _told_format(train: pd.DataFrame, name: str, recipe: Features) -> str:
    """The form of a column that is told to be a date: told, too, or recognised."""
    _check_named(train, [("date", name)], "train.csv")
    form = recipe.date_formats.get(name) or guess_format(_as_text(train[name]))
    if form is None:
        raise ConfigError(
            f"date: column {name!r} in train.csv has no form that is recognised in all cells, for example "
            f"{listing(map(repr, train[name].dropna().unique()))}. Give it under date_formats, as in strptime"
        )
    return form


def _date_notices(train: pd.Series, test: pd.Series, form: str) -> list[str]:
    notices = [
        f"train.csv: column {train.name!r} is a date of the form {form}. If it is not, name it under category; if its "
        "form is another, under date and date_formats"
    ]
    return notices + _no_date_notices(test, form, "test.csv")


def _no_date_notices(values: pd.Series, form: str, name: str) -> list[str]:
    stray = values[read_dates(values, form).isna() & values.notna()]
    if not len(stray):
        return []
    return [
        f"{name}: column {values.name!r}: {len(stray)} of {len(values)} cells are no dates of the form {form} and are "
        f"read as gaps: {listing(map(repr, stray.unique()))} (ids {listing(stray.index)})"
    ]


def _why_number_is_id(train: pd.Series, test: pd.Series) -> str:
    """The reason to take a column of numbers for an id, or nothing."""
    if len(train) < FEW_ROWS or not _are_distinct_integers(train):
        return ""
    if _CALLED_ID.search(str(train.name)):
        return "it is called an id, and no number occurs twice"
    everything = pd.concat([train, test])
    if any(_are_distinct_integers(rows) and np.ptp(rows) == len(rows) - 1 for rows in (train, everything)):
        return "it merely counts the rows"
    return ""


def _are_distinct_integers(values: pd.Series) -> bool:
    """Gaps are no integers; the first rows show it for most columns."""
    return bool(all((rows % 1 == 0).all() for rows in (values[:FEW_ROWS], values)) and values.is_unique)


def _written_notices(train: pd.Series, written: Written) -> list[str]:
    """How a column's numbers are written, unless plainly, and which cells are none."""
    strays = _stray_notices(train, written, "train.csv")
    if written.manner == "plain":
        return strays
    numbers = read_written(train, written).dropna()
    example = f"{train[numbers.index[0]]!r} is {numbers.iloc[0]:.6g}"
    hours = " hours" if written.manner in HOURS else ""
    notice = f"train.csv: column {train.name!r} is read as numbers: {example}{hours}. If not, name it under category"
    return [notice, *strays]


def _stray_notices(values: pd.Series, written: Written, name: str) -> list[str]:
    stray = values[read_written(values, written).isna() & values.notna()]
    if not len(stray):
        return []
    return [
        f"{name}: column {values.name!r} is a number but for {len(stray)} of {len(values)} cells, which are "
        f"read as gaps: {listing(map(repr, stray.unique()))} (ids {listing(stray.index)}). "
        "To keep them as labels, name the column under category"
    ]


def new_rows_notices(frame: pd.DataFrame, recipe: Features, roles: Roles, name: str) -> list[str]:
    """Say which cells of new rows don't fit the roles that were guessed of the training file, and are gaps.

    Parameters
    ----------
    frame
        The rows as they were read, before roles are assigned.
    name
        Their file's, for messages.
    """
    guessed = [(column, form) for column, form in roles.dates if column not in recipe.date]
    notices = [notice for number in roles.numbers for notice in _stray_notices(frame[number.column], number, name)]
    return notices + [notice for column, form in guessed for notice in _no_date_notices(frame[column], form, name)]


def _why_text_is_useless(values: pd.Series) -> str:
    """The reason to drop a column of text, or nothing."""
    known = values.dropna()
    n_distinct = known.nunique()
    if len(known) < FEW_ROWS or n_distinct <= len(known) / 2:
        return ""
    if known.str.len().mean() >= LONG_CELL:
        return f"it is free text, {n_distinct} different cells in {len(values)} rows"
    if n_distinct >= MOSTLY * len(known):
        return f"it names the rows, {n_distinct} different cells in {len(values)} rows"
    return ""


def unseen_notices(train: pd.DataFrame, test: pd.DataFrame, recipe: Features) -> list[str]:
    """Say which labels of the test file the training file does not have; frames have their roles assigned."""
    notices = []
    for name in train.columns:
        if is_numeric_dtype(train[name]) or name in recipe.text:
            continue
        cells = test[name].dropna()
        unseen = cells[~cells.isin(train[name].unique())]
        if len(unseen):
            notices.append(
                f"test.csv: column {name!r}: {len(unseen)} of {len(test)} cells hold labels that train.csv does not "
                f"have, of which nothing is known: {listing(map(repr, unseen.unique()))}"
            )
    return notices


def assign_roles(
    frame: pd.DataFrame, recipe: Features, ingest: Ingest, name: str, guessed: Roles = NOTHING_GUESSED
) -> pd.DataFrame:
    """Give every column its role, row by row, learning nothing from the rows.

    Numbers and ordinals become float64, categories text, derived columns are added, dropped ones removed.

    Parameters
    ----------
    frame
        Indexed by id; numbers float64, text ``str``.
    name
        The file's name, for messages.
    guessed
        The roles of columns that the recipe does not name.

    Raises
    ------
    ConfigError
        If the recipe names a column that is not there.
    DataError
        If a column can't play its role, naming the labels and ids.
    """
    frame = extract(frame.copy(deep=False), recipe.extract)
    _check_named(frame, recipe.roles, name)
    if recipe.none_is_missing:
        for column in frame.columns.intersection(list(ingest.none_columns)):
            frame[column] = frame[column].replace(ingest.none_label, np.nan)
    for column in recipe.number:
        frame[column] = _as_number(frame[column], name)
    for number in guessed.numbers:
        frame[number.column] = read_written(frame[number.column], number)
    for group in recipe.ordinal:
        for column in group.columns:
            frame[column] = _as_code(frame[column], group.order, name)
    frame = _with_dates(frame, recipe, guessed, name)
    frame = derive(frame, recipe.derived)
    for column in (*recipe.category, *recipe.text):
        frame[column] = _as_text(frame[column])
    return frame.drop(columns=[*recipe.drop, *guessed.dropped])


def _with_dates(frame: pd.DataFrame, recipe: Features, roles: Roles, name: str) -> pd.DataFrame:
    """Each date replaced by its parts, and behind all columns the days between dates."""
    if not roles.dates:
        return frame
    dates = pd.DataFrame({column: _as_dates(frame[column], form, recipe, name) for column, form in roles.dates})
    pairs = list(combinations(dates.columns, 2)) if recipe.date_differences is None else recipe.date_differences
    _check_named(dates, [("date_differences", column) for pair in pairs for column in pair], "the dates")
    new = days_between(dates, pairs)
    for column in dates.columns:
        new |= date_parts(dates[column])
    absent = {column: values for column, values in new.items() if column not in frame}  # the file may have the year
    return pd.concat([frame.drop(columns=list(dates.columns)), pd.DataFrame(absent)], axis=1)


def _as_dates(values: pd.Series, form: str, recipe: Features, name: str) -> pd.Series:
    try:
        dates = read_dates(_as_text(values), form)
    except ValueError as error:
        raise ConfigError(f"date_formats: {form!r} of column {values.name!r}: {error}") from error
    odd = values[dates.isna() & values.notna()]
    if len(odd) and values.name in recipe.date:
        raise DataError(
            f"{name}: column {values.name!r} has the role date, but holds {listing(map(repr, odd.unique()))} (ids "
            f"{listing(odd.index)}), not of the form {form}. Correct the cells, list the text under [ingest].missing, "
            "or change date_formats."
        )
    return dates


def _check_named(frame: pd.DataFrame, roles: Iterable[tuple[str, str]], name: str) -> None:
    for role, column in roles:
        if column not in frame:
            raise ConfigError(
                f"{role}: no column {column!r} in {name}, or it is empty or constant there; "
                f"{nearest(column, list(frame.columns))}"
            )


def _as_number(values: pd.Series, name: str) -> pd.Series:
    numbers = pd.to_numeric(values, errors="coerce").astype(np.float64)
    odd = values[numbers.isna() & values.notna()]
    if len(odd):
        raise DataError(
            f"{name}: column {values.name!r} has the role number, but holds {listing(map(repr, odd.unique()))} "
            f"(ids {listing(odd.index)}). Correct the cells, list the text under [ingest].missing, or change the role."
        )
    return numbers


def _as_code(values: pd.Series, order: Sequence[str], name: str) -> pd.Series:
    labels = _as_text(values)
    codes = pd.Index(order, dtype="str").get_indexer(labels)  # -1 for gaps and unknown labels
    odd = labels[(codes == -1) & labels.notna()]
    if len(odd):
        raise DataError(
            f"{name}: column {values.name!r}: labels {listing(map(repr, odd.unique()))} (ids {listing(odd.index)}) are "
            f"not in its order {list(order)}. Add them to the order in the competition file."
        )
    return pd.Series(np.where(codes == -1, np.nan, codes), index=values.index, name=values.name)


def _as_text(values: pd.Series) -> pd.Series:
    """Numbers as labels: 20.0 becomes "20"; gaps stay gaps."""
    if not is_numeric_dtype(values):
        return values
    return values.map(lambda number: f"{number:.15g}", na_action="ignore").astype(object)
