"""Where the test file was cut off the training file: between groups of rows, or in time. Folds are best cut alike."""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from houseprice.data.dates import guess_format, read_dates

Whole = Callable[[str], tuple[pd.Series, pd.Series]]
"""A column of the training file and of the test file, from end to end."""

CALLED_ID = re.compile(r"(?:^|[^A-Za-z])(?i:id|uid|uuid|key|index)$|[a-z](?:Id|ID)$")
_LATER = 0.9
"""The share of the test rows behind the last training row that makes a cut in time."""
_REPEATED = 0.5
"""The share of the training rows that have company in their group."""
_KNOWN = 0.05
"""The share of the test rows, at most, whose group the training file has, too."""
_FEWEST = 10
"""Groups of the training file, and rows of the test file, below which disjoint values may be chance."""
_YEAR = r"(?:19|20)\d\d"


@dataclass(frozen=True)
class Seam:
    """How test rows differ from training rows, and the folds that repeat it.

    Attributes
    ----------
    scheme
        ``expanding``, or ``grouped``.
    by
        The column of times or groups.
    reason
        What was seen.
    """

    scheme: Literal["expanding", "grouped"]
    by: str
    reason: str


def find_seam(
    train: pd.DataFrame, test: pd.DataFrame, columns: Sequence[str], missing: Collection[str], whole: Whole
) -> Seam | None:
    """Find the column by which the test file was cut off; nothing, where the cut may well have been by chance.

    In time, if a column of dates is later in the test file than in all of the training file. Else between groups, if
    the values of a column, which repeat in the training file, are others in the test file.

    Parameters
    ----------
    train, test
        The files, or their first rows, every cell as text.
    columns
        To look at; both files have them.
    missing
        Cells that mean "not recorded".
    whole
        Looks a column up where the first rows speak for it.
    """
    for column in columns:
        if _is_later(train[column], test[column], missing) and _is_later(*whole(column), missing):
            return Seam("expanding", column, f"the dates in {column!r} are later in the test file: folds in time")
    groups = [column for column in columns if _are_others(train[column], test[column], missing)]
    for column in sorted(groups, key=lambda column: _rank(train[column])):
        cells = whole(column)
        if _are_others(*cells, missing):
            rows = len(cells[0]) / cells[0].nunique()
            reason = f"{column!r} groups rows, {rows:.3g} to a value, and the test file has other values: folds alike"
            return Seam("grouped", column, reason)
    return None


def is_date(cells: pd.Series) -> bool:
    """Whether all cells are dates of one form; of bare numbers, repeated years and such as 20100105 alone."""
    if guess_format(cells) is None:
        return False
    if not cells.str.fullmatch(r"\d+").all():
        return True
    of_days = cells.str.fullmatch(_YEAR + r"\d{4}").all()
    return bool(of_days or (not cells.is_unique and cells.str.fullmatch(_YEAR).all()))


def _is_later(train: pd.Series, test: pd.Series, missing: Collection[str]) -> bool:
    """Whether both are dates, and nearly all test rows are later than the last training row."""
    if train.isin(missing).any() or not is_date(train):
        return False
    form = guess_format(train) or ""
    later = read_dates(test, form) > read_dates(train, form).max()
    return bool(later.mean() >= _LATER)


def _are_others(train: pd.Series, test: pd.Series, missing: Collection[str]) -> bool:
    """Whether a column's values repeat in the training file and are nearly all others in the test file.

    Had rows been dealt by chance, about as many of the test rows as have company in the training file would find theirs
    there.
    """
    counts = train.value_counts()
    if len(counts) < _FEWEST or len(test) < _FEWEST or train.isin(missing).any():
        return False
    if counts[counts > 1].sum() < _REPEATED * len(train) or test.isin(counts.index).mean() > _KNOWN:
        return False
    numbers = pd.to_numeric(train, errors="coerce")
    if is_date(train) or numbers.isna().any():
        return not is_date(train)
    beyond = numbers.max() < pd.to_numeric(test, errors="coerce").min()  # weeks that go on counting are no groups
    return bool((numbers % 1 == 0).all()) and (not beyond or bool(CALLED_ID.search(str(train.name))))


def _rank(cells: pd.Series) -> tuple[bool, bool, int]:
    """First columns that are called ids, then text, then what makes the largest groups."""
    return (
        not CALLED_ID.search(str(cells.name)),
        not pd.to_numeric(cells, errors="coerce").isna().any(),
        cells.nunique(),
    )
