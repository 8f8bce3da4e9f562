"""The leaderboard and the comparison matrix as the report shows them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from houseprice.compete.leaderboard import Row
from houseprice.compete.statistics import Comparison
from houseprice.config import Competition
from houseprice.report.drawing import Interval, intervals
from houseprice.review import Review

MATRIX_ROWS = 60
_CODES = {"better": "b", "worse": "w", "not distinguishable": "o"}


@dataclass(frozen=True)
class Line:
    """One row of the leaderboard with its place beside the best.

    Attributes
    ----------
    row
        As stored.
    verdict
        "best", "better", "worse", "not distinguishable", "same" (predictions), or "" where it can't be compared.
    difference, low, high
        Score less the best's, and its 95 % interval; None where it can't be compared.
    repeats
        Whether an earlier line has the same predictions, as an ensemble and its entry do.
    overrides
        Those that bear on the row, as short as they can be told apart.
    drawn, spread
        That interval, and the score's own of ± 1.96 standard errors, as drawings.
    """

    row: Row
    verdict: str
    difference: float | None
    low: float | None
    high: float | None
    repeats: bool
    overrides: tuple[str, ...]
    drawn: Interval | None
    spread: Interval


@dataclass(frozen=True)
class Board:
    """The leaderboard: its lines, where zero lies in their drawings, and what is to be said beneath."""

    lines: tuple[Line, ...]
    zero: float | None
    notes: tuple[str, ...]

    def choices(self, name: str) -> list[str]:
        """What a column can be filtered by."""
        values = (line.verdict if name == "verdict" else str(getattr(line.row, name)) for line in self.lines)
        return list(dict.fromkeys(value for value in values if value))


@dataclass(frozen=True)
class Matrix:
    """Every row of the leaderboard beside every other, the best first.

    Attributes
    ----------
    names, ranks
        Of the rows, and their places on the leaderboard. A row that repeats another's predictions is left out, as an
        entry does its ensemble's.
    codes
        One letter a cell: (b)etter, (w)orse, n(o)t distinguishable, (s)elf, x: can't be compared.
    pairs
        Of the cells above the diagonal, row by row: difference, low, high, adjusted p-value; None as above.
    summary
        The whole in a sentence.
    """

    names: tuple[str, ...]
    ranks: tuple[int, ...]
    codes: tuple[str, ...]
    pairs: tuple[tuple[float, float, float, float] | None, ...]
    summary: str


def board_of(found: Review, notes: Sequence[str]) -> Board:
    """Put the rows beside the best.

    Parameters
    ----------
    found
        Rows and comparisons.
    notes
        What is to be said beneath: luck, noise.
    """
    beside = {row.key: found.against_best(row) for row in found.rows if row.key != found.best}
    compared = {key: comparison for key, comparison in beside.items() if comparison is not None}
    drawn: list[Interval] = []
    zero = None
    if compared:
        difference, low, high = (
            np.array([getattr(comparison, name) for comparison in compared.values()])
            for name in ("difference", "low", "high")
        )
        drawn, zero = intervals(difference, low, high, zero=0.0, reach=3)
    drawing_of = dict(zip(compared, drawn, strict=True))
    scores, errors = (np.array([getattr(row, name) for row in found.rows]) for name in ("score", "std_error"))
    spreads, _ = (
        intervals(scores, scores - 1.96 * errors, scores + 1.96 * errors, reach=3) if found.rows else ([], None)
    )
    repeating = {row.key for row in found.rows} - {found.rows[place].key for place in _distinct(found)}
    lines = []
    for row, spread in zip(found.rows, spreads, strict=True):
        comparison = compared.get(row.key)
        lines.append(
            Line(
                row=row,
                verdict="best" if row.key == found.best else _verdict(comparison),
                difference=comparison and comparison.difference,
                low=comparison and comparison.low,
                high=comparison and comparison.high,
                repeats=row.key in repeating,
                overrides=own_overrides(row),
                drawn=drawing_of.get(row.key),
                spread=spread,
            )
        )
    return Board(tuple(lines), zero, tuple(notes))


def matrix_of(found: Review) -> Matrix:
    """Lay the comparisons of all rows that have some into a matrix, at most `MATRIX_ROWS` of them."""
    comparable = {key for pair in found.comparisons for key in pair}
    places = [place for place in _distinct(found) if found.rows[place].key in comparable]
    left_out = len(places) - MATRIX_ROWS
    rows = [found.rows[place] for place in places[:MATRIX_ROWS]]
    names = unique_names(rows)
    codes, pairs = [], []
    for i, first in enumerate(rows):
        line = ""
        for j, second in enumerate(rows):
            pair = found.comparisons.get((first.key, second.key))
            line += "s" if i == j else _CODES[pair.verdict] if pair else "x"
            if i < j:
                pairs.append(pair and _rounded(pair))
        codes.append(line)
    told = sum(line[i + 1 :].count(code) for i, line in enumerate(codes) for code in "bw")
    of_all = sum(pair is not None for pair in pairs)
    summary = f"{told} of {of_all} differences can be told from noise." if of_all else "No two rows can be compared."
    if left_out > 0:
        summary += f" Shown are the best {MATRIX_ROWS}; {left_out} more rows are left out."
    return Matrix(names, tuple(place + 1 for place in places[:MATRIX_ROWS]), tuple(codes), tuple(pairs), summary)


def unique_names(rows: Sequence[Row]) -> tuple[str, ...]:
    """The rows' names; where several rows have one, or a run and an ensemble do, ``name@fingerprint``."""
    names = [row.name for row in rows]
    return tuple(row.key if names.count(row.name) > 1 else row.name for row in rows)


def own_overrides(row: Row) -> tuple[str, ...]:
    """The ``--set`` overrides that bear on a row, shortened: of a run not those of other experiments.

    ``--seeds`` sets the seeds of every experiment, which is told once.
    """
    pairs = [override.partition("=")[::2] for override in row.overrides]
    seeds = {value for key, value in pairs if re.fullmatch(r"experiments\.[^.]+\.seeds", key)}
    found = []
    for key, value in pairs:
        section, _, rest = key.removeprefix("experiments.").partition(".")
        if rest == "seeds" and len(seeds) == 1 and value in seeds:
            found.append(f"seeds={value}")
        elif row.kind != "run" or section == row.name:
            found.append(f"{rest}={value}" if section == row.name else f"{key}={value}")
        elif section in Competition.model_fields and not key.startswith("experiments."):
            found.append(f"{key}={value}")
    return tuple(dict.fromkeys(found))


def _distinct(found: Review) -> list[int]:
    """The places of the rows whose predictions no earlier row has."""
    places: list[int] = []
    for place, row in enumerate(found.rows):
        if not any(_repeats(found, row, found.rows[other]) for other in places):
            places.append(place)
    return places


def _repeats(found: Review, row: Row, other: Row) -> bool:
    return _verdict(found.comparisons.get((row.key, other.key))) == "same"


def _verdict(pair: Comparison | None) -> str:
    """The comparison's verdict; an entry has the predictions of its ensemble, which is no finding."""
    if pair is None:
        return ""
    return "same" if pair.is_same else pair.verdict


def _rounded(pair: Comparison) -> tuple[float, float, float, float]:
    difference, low, high, p = (float(f"{v:.4g}") for v in (pair.difference, pair.low, pair.high, pair.p_adjusted))
    return difference, low, high, p
