"""Dates in text: which form they have, their parts, and the days between them."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd

ISO = "ISO8601"
"""Year first, with or without a time and its zone: ``2010-01-05``, ``2010-01-05T14:30:00Z``; pandas' name for it."""
_DAYS = (
    *("%Y/%m/%d", "%Y.%m.%d", "%Y%m%d"),
    *("%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y"),
    *("%m/%d/%y", "%d/%m/%y", "%d.%m.%y"),
    *("%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%B %d, %Y", "%b %Y", "%B %Y", "%b-%Y", "%B-%Y"),
)
_TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
FORMATS = (ISO, *(day + time for time, day in product(_TIMES, _DAYS)))
"""The forms that are recognised, in this order: between slashes the month comes first where both readings fit."""
_HEAD_ROWS, _HEAD = 1000, 20  # where to look first, and at how many different cells


def guess_format(values: pd.Series) -> str | None:
    """Return the first of `FORMATS` that all cells have, or nothing; gaps don't count.

    >>> guess_format(pd.Series(["12/24/2010", "01/05/2011"], dtype="str"))
    '%m/%d/%Y'
    >>> guess_format(pd.Series(["24/12/2010", "01/05/2011", None], dtype="str"))
    '%d/%m/%Y'
    """
    head = _distinct(values[:_HEAD_ROWS])[:_HEAD]
    if not len(head) or not head.str.contains(r"\d{2}").all():
        return None
    candidates = [form for form in FORMATS if read_dates(head, form).notna().all()]
    cells = _distinct(values) if candidates else head
    fitting = (form for form in candidates if read_dates(cells, form).notna().all())
    return next(fitting, None) if len(cells) > 1 else None


def _distinct(values: pd.Series) -> pd.Series:
    return pd.Series(values.dropna().unique(), dtype="str")


def read_dates(values: pd.Series, form: str) -> pd.Series:
    """Text as points in time, in UTC; cells of another form are gaps.

    Raises
    ------
    ValueError
        If ``form`` is none that ``strptime`` knows.
    """
    return pd.to_datetime(values, format=form, errors="coerce", utc=True)


def date_parts(dates: pd.Series) -> dict[str, pd.Series]:
    """The numbers of a date, each float64 [n_rows] with NaN for a gap, by name.

    Year, month from 1, day of the week from 0 for Monday, day of the year from 1, hour with its fraction.
    """
    of = dates.dt
    parts = {
        "year": of.year,
        "month": of.month,
        "weekday": of.day_of_week,
        "yearday": of.day_of_year,
        "hour": of.hour + of.minute / 60,
    }
    return {f"{dates.name}_{part}": values.astype(np.float64) for part, values in parts.items()}


def days_between(dates: pd.DataFrame, pairs: Sequence[tuple[str, str]]) -> dict[str, pd.Series]:
    """Of each pair of columns the second less the first in days, float64 [n_rows] with NaN for a gap, by name."""
    return {
        f"days from {one} to {other}": (dates[other] - dates[one]).dt.total_seconds() / 86_400 for one, other in pairs
    }
