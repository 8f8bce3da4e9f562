"""Learning curves as small multiples: one panel an experiment, all on the same log axis."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from houseprice.compete.leaderboard import Row
from houseprice.learn.curves import Curves, Diagnosis, diagnose, mean_of_numbers
from houseprice.report.drawing import CURVE_HEIGHT, Thumbnail, thumbnail
from houseprice.report.figures import SERIES, learning_curves, log_ticks
from houseprice.report.standings import own_overrides, unique_names

SHOWN_AT_FIRST = 2


@dataclass(frozen=True)
class Tick:
    """A line of the grid: its place in the drawing and its label."""

    y: float
    label: str


@dataclass(frozen=True)
class Panel:
    """The curves of one run.

    Attributes
    ----------
    key, name, fingerprint, overrides
        Of its row on the leaderboard.
    color
        Of its curves.
    shown
        Whether it is in the large figure from the beginning.
    drawn, ticks
        The small drawing, and its grid.
    figure
        Its part of the large figure, as Plotly's JSON.
    diagnosis
        What the curves say.
    first_epoch, last_epoch, train_end, valid_end
        Where they begin and end.
    """

    key: str
    name: str
    fingerprint: str
    overrides: tuple[str, ...]
    color: str
    shown: bool
    drawn: Thumbnail
    ticks: tuple[Tick, ...]
    figure: str
    diagnosis: Diagnosis
    first_epoch: int
    last_epoch: int
    train_end: float
    valid_end: float


def panels_of(
    rows: Sequence[Row], curves: Mapping[str, Curves], metric_name: str, first: Collection[str] = ()
) -> tuple[Panel, ...]:
    """Draw the curves of all rows that have some; first those that are in the large figure from the beginning.

    Parameters
    ----------
    rows
        The best first.
    curves
        By `Row.key`.
    metric_name
        For the axes.
    first
        Keys of the rows that are in the large figure from the beginning, before the best of other names.
    """
    having = [row for row in rows if row.key in curves]
    if not having:
        return ()
    low, high = _axis([curves[row.key] for row in having])
    ticks = tuple(
        Tick(round(CURVE_HEIGHT - 4 - np.log(value / low) / np.log(high / low) * (CURVE_HEIGHT - 8), 1), label)
        for value, label in zip(*log_ticks(low, high), strict=True)
    )
    best_of_name = {row.name: row for row in reversed(having)} | {row.name: row for row in having if row.key in first}
    chosen = sorted((row for row in having if row in best_of_name.values()), key=lambda row: row.key not in first)
    by_default = chosen[:SHOWN_AT_FIRST]
    having = [*by_default, *(row for row in having if row not in by_default)]
    panels = []
    for place, (row, name) in enumerate(zip(having, unique_names(having), strict=True)):
        found = curves[row.key]
        train, valid = mean_of_numbers(found.train), mean_of_numbers(found.valid)
        color = SERIES[place % len(SERIES)]
        figure: Any = learning_curves(name, found.epochs, found.train, found.valid, metric_name, color)
        panels.append(
            Panel(
                key=row.key,
                name=row.name,
                fingerprint=row.fingerprint[:8],
                overrides=own_overrides(row),
                color=color,
                shown=row in by_default,
                drawn=thumbnail(found.train, found.valid, (low, high)),
                ticks=ticks,
                figure=figure.to_json(),
                diagnosis=diagnose(found),
                first_epoch=int(found.epochs[0]),
                last_epoch=int(found.epochs[-1]),
                train_end=_last(train),
                valid_end=_last(valid),
            )
        )
    return tuple(panels)


def _axis(curves: Sequence[Curves]) -> tuple[float, float]:
    """The ends of the axis that all panels share: below most curves, and well above where most validations end.

    How badly a network begins is of no interest; that part of a curve lies along the upper edge.
    """
    trains, valids = (
        np.array([np.nanmin(mean_of_numbers(getattr(found, name))) for found in curves]) for name in ("train", "valid")
    )
    low, high = float(np.quantile(trains, 0.1)), float(np.quantile(valids, 0.8))
    if high <= 0:  # no error at all
        return 1e-3, 1.0
    return max(min(low, high) * 0.75, high * 1e-3), high * 1.7


def _last(values: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    known = values[np.isfinite(values)]
    return float(known[-1]) if len(known) else float("nan")
