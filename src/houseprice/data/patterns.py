"""Extracted columns: the part of a text column that a regular expression's group matches, as new text."""

import math
import re
import time
from collections.abc import Mapping

import pandas as pd
from pandas.api.types import is_numeric_dtype

from houseprice.errors import ConfigError, nearest
from houseprice.preparation import Extract

MOST_CHARACTERS = 200
"""Of a cell; what lies beyond is not looked at, so that a single search ends in time."""
MOST_SECONDS = 10.0
"""For the cells of a column."""


def extract(frame: pd.DataFrame, rules: Mapping[str, Extract]) -> pd.DataFrame:
    """Add extracted columns to a frame, in their order; a cell that the pattern does not match is a gap.

    Parameters
    ----------
    frame
        Text as ``str``.
    rules
        New column → where it comes from.

    Raises
    ------
    ConfigError
        If a column is not there or holds numbers, a name is taken, or a pattern takes too long.

    Examples
    --------
    >>> frame = pd.DataFrame({"Name": ["Braund, Mr. Owen", "Heikkinen, Miss. Laina", "Madonna"]})
    >>> extract(frame, {"Title": Extract(column="Name", pattern=r", (\\w+)\\.")})["Title"].tolist()
    ['Mr', 'Miss', nan]
    """
    for name, rule in rules.items():
        where = f"extract.{name}"
        if name in frame:
            raise ConfigError(f"{where}: a column has this name already. Choose another name.")
        if rule.column not in frame:
            raise ConfigError(f"{where}: no column {rule.column!r}; {nearest(rule.column, list(frame.columns))}")
        if is_numeric_dtype(frame[rule.column]):
            raise ConfigError(f"{where}: column {rule.column!r} holds numbers; a pattern needs text.")
        frame = frame.assign(**{name: _found(frame[rule.column], rule.pattern, where)})
    return frame


def _found(values: pd.Series, pattern: str, where: str) -> pd.Series:
    search, end = re.compile(pattern).search, time.monotonic() + MOST_SECONDS
    found: dict[str, str | float] = {}
    for cell in values.dropna().unique():
        match = search(cell[:MOST_CHARACTERS])
        found[cell] = math.nan if match is None or match[1] is None else match[1]
        if time.monotonic() > end:
            raise ConfigError(f"{where}: pattern {pattern!r} took over {MOST_SECONDS:g} s. Make it simpler.")
    return pd.Series([found.get(cell, math.nan) for cell in values], index=values.index, dtype=values.dtype)
