"""Where residuals live, as the report shows it: groups of rows with their share of the error, and the worst rows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from houseprice.compete.leaderboard import Evidence
from houseprice.data.tables import Tables
from houseprice.metrics import Metric
from houseprice.report.drawing import Interval, intervals
from houseprice.review import Group, residuals_of

MOST_GROUPS = 40
ENOUGH_ROWS = 10


@dataclass(frozen=True)
class GroupLine:
    """Rows that share a value of a column: how many, their metric, mean residual, share of the squared error."""

    order: int
    value: str
    count: int
    score: float
    mean: float
    share: float
    drawn: Interval


@dataclass(frozen=True)
class GroupTable:
    """The groups of a column, where zero lies in their drawings, and the F of the larger groups' means."""

    name: str
    groups: tuple[GroupLine, ...]
    zero: float | None
    strength: float


def group_table(name: str, groups: Sequence[Group]) -> GroupTable:
    """Draw the groups' mean residuals with an interval of two standard errors."""
    count, mean, error = (np.array([getattr(group, key) for group in groups]) for key in ("count", "mean", "std_error"))
    variance = np.square(error) * count
    error = np.nan_to_num(error)  # of a single row it is not known
    drawn, zero = intervals(mean, mean - 2 * error, mean + 2 * error, zero=0.0)
    large = count >= ENOUGH_ROWS
    within = float((variance * count)[large].sum()) / max(1, int(count[large].sum()) - int(large.sum()))
    between = float((count * np.square(mean))[large].sum()) / max(1, int(large.sum()) - 1)
    lines = (
        GroupLine(order, group.value, group.count, group.score, group.mean, group.share, interval)
        for order, (group, interval) in enumerate(zip(groups, drawn, strict=True))
    )
    return GroupTable(name, tuple(lines), zero, between / within if within > 0 and large.sum() > 1 else 0.0)


def group_tables(
    evidence: Evidence, tables: Tables, metric: Metric, chosen: str | None = None
) -> tuple[GroupTable, ...]:
    """Group the residuals by every column, the ones whose groups differ most first, before them the one chosen.

    Columns with more than `MOST_GROUPS` groups, which say more of single rows, come without.
    """
    found = []
    for column in tables.train.columns:
        groups = residuals_of(evidence, tables, metric, by=column).by
        if len(groups) <= MOST_GROUPS or column == chosen:
            found.append(group_table(str(column), groups))
    return tuple(sorted(found, key=lambda table: -math.inf if table.name == chosen else -table.strength))
