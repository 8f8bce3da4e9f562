"""Numbers as people write them: with the marks of money, shares and units, in two manners, or as hours and minutes."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

FEW_ROWS = 20
"""With fewer rows than this, that all cells are distinct says nothing; no more numbers than this may be codes."""
MOSTLY = 0.95
"""The share of the cells that makes a column one of numbers, or of names that occur once."""
Manner = Literal["plain", "1,234.5", "1.234,5", "12:30", "2h 30m"]
"""``plain`` is what pandas reads; of the last two the numbers are hours."""
HOURS = ("12:30", "2h 30m")
_MANNERS: tuple[Manner, ...] = ("plain", "1,234.5", "1.234,5", "12:30", "2h 30m")

_NUMBER = (
    r"^\s*([+-]?)\s*([$€£¥₹₽₩₺]?)\s*((?:\d{{1,3}}(?:{group}\d{{3}})+|\d+)(?:{mark}\d+)?)\s*([^\d\s.,:+-]\D{{0,19}})?$"
)
_PATTERNS = {
    "1,234.5": _NUMBER.format(group=",", mark=r"\."),
    "1.234,5": _NUMBER.format(group=r"\.", mark=","),
    "12:30": r"^\s*(\d{1,3}):([0-5]\d)(?::([0-5]\d(?:\.\d+)?))?\s*([AaPp])?(?:\.?[Mm]\.?)?\s*$",
    "2h 30m": r"^\s*(?=\d)(?:(\d+)\s*h(?:ours?|rs?)?)?\s*(?:(\d+)\s*m(?:inutes?|ins?)?)?\s*$",
}


@dataclass(frozen=True)
class Written:
    """How the numbers of a column are written.

    Attributes
    ----------
    column
        Its name.
    manner
        See `Manner`.
    unit
        The mark of money before all numbers, or what stands behind them: ``$``, ``%``, ``km``.
    """

    column: str
    manner: Manner = "plain"
    unit: str = ""


def guess_written(values: pd.Series) -> Written | None:
    """Return how a column of text writes its numbers, if nearly all cells are numbers, and too many for codes.

    Of ``1,234`` and the like alone the comma groups thousands.

    >>> guess_written(pd.Series([f"${n},000" for n in range(30)], dtype="str", name="income"))
    Written(column='income', manner='1,234.5', unit='$')
    >>> guess_written(pd.Series([f"{n},5" for n in range(30)], dtype="str", name="size"))
    Written(column='size', manner='1.234,5', unit='')
    """
    known = values.dropna()
    if len(known) < FEW_ROWS:
        return None
    best, most = None, MOSTLY * len(known)
    for manner in _MANNERS:
        written = Written(str(values.name), manner, _unit(known, manner))
        if read_written(known[:FEW_ROWS], written).isna().all():
            continue
        numbers = read_written(known, written)
        count = int(numbers.notna().sum())
        if count >= most and numbers.nunique() > FEW_ROWS:
            best, most = written, count + 1
    return best


def read_written(values: pd.Series, written: Written) -> pd.Series:
    """Text [n_rows] as numbers, float64 [n_rows] with NaN for what is none, is infinite, or has another unit.

    Numbers are in the column's own unit, those of the manners `HOURS` in hours.
    """
    if written.manner == "plain":
        numbers = pd.to_numeric(values, errors="coerce")
    elif written.manner in HOURS:
        numbers = _hours(values, written.manner)
    else:
        found = values.astype("str").str.extract(_PATTERNS[written.manner])
        group, mark = written.manner[1], written.manner[5]
        bare = found[2].str.replace(group, "", regex=False).str.replace(mark, ".", regex=False)
        sign = np.where(found[0] == "-", -1.0, 1.0)
        numbers = pd.to_numeric(bare, errors="coerce") * sign
        numbers = numbers.where(_units(found).isin(["", written.unit]))
    return numbers.astype(np.float64).replace([np.inf, -np.inf], np.nan)


def _unit(known: pd.Series, manner: Manner) -> str:
    """What most numbers have for a unit, in the first rows."""
    if manner not in ("1,234.5", "1.234,5"):
        return ""
    found = known[:1000].astype("str").str.extract(_PATTERNS[manner])
    units = _units(found[found[2].notna()])
    return str(units.mode().iloc[0]) if len(units) else ""


def _units(found: pd.DataFrame) -> pd.Series:
    """What stands before and behind numbers."""
    return found[1].fillna("") + found[3].fillna("").str.rstrip()


def _hours(values: pd.Series, manner: Manner) -> pd.Series:
    found = values.astype("str").str.extract(_PATTERNS[manner])
    parts = found.iloc[:, :3].astype(np.float64)
    hours = parts[0].fillna(0) + parts[1].fillna(0) / 60
    if manner == "12:30":
        half = found[3].str.lower()
        hours = hours.where(half.isna(), hours % 12 + 12 * (half == "p")) + parts[2].fillna(0) / 3600
    return hours.where(parts.notna().any(axis=1))
