"""Small drawings that stand in a table's cell or in a grid of many: numbers in, SVG path data out.

They are drawn here rather than in the page: fifty of them cost nothing, need no script, and print.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from houseprice.learn.curves import mean_of_numbers

Float = NDArray[np.float64]

INTERVAL_WIDTH, _MARGIN = 140.0, 6.0
BARS_WIDTH, BARS_HEIGHT = 168.0, 32.0
CURVE_WIDTH, CURVE_HEIGHT = 240.0, 110.0


@dataclass(frozen=True)
class Interval:
    """A value with its interval on an axis that all rows share, in units of the drawing.

    Attributes
    ----------
    low, value, high
        Places on the axis, 0 to `INTERVAL_WIDTH`; None for a value that lies beyond it.
    goes_on_left, goes_on_right
        Whether there is more of it beyond an end.
    """

    low: float
    value: float | None
    high: float
    goes_on_left: bool
    goes_on_right: bool


def intervals(
    values: Float, low: Float, high: Float, zero: float | None = None, reach: float = math.inf
) -> tuple[list[Interval], float | None]:
    """Place values and intervals on one axis.

    Parameters
    ----------
    values, low, high
        float64 [n_rows].
    zero
        A value that is to be marked.
    reach
        What is farther from the middle than this many times what is usual is cut, so that the others can be seen.

    Returns
    -------
    list of Interval, and the place of ``zero``
    """
    first, middle, third = np.quantile(values, (0.25, 0.5, 0.75))
    reach *= max(float(third - first), float(np.median(high - low)), 1e-12)
    marked = [] if zero is None else [zero]
    start = min([*(end for end in low.tolist() if end >= middle - reach), *marked], default=middle - 1)
    end = max([*(end for end in high.tolist() if end <= middle + reach), *marked], default=middle + 1)
    span = (end - start) or 1.0

    def place(value: float) -> float:
        inner = (min(max(value, start), end) - start) / span
        return float(round(_MARGIN + inner * (INTERVAL_WIDTH - 2 * _MARGIN), 1))

    drawn = [
        Interval(
            low=place(left),
            value=place(value) if start <= value <= end else None,
            high=place(right),
            goes_on_left=left < start,
            goes_on_right=right > end,
        )
        for value, left, right in zip(values.tolist(), low.tolist(), high.tolist(), strict=True)
    ]
    return drawn, None if zero is None else place(zero)


@dataclass(frozen=True)
class Bar:
    """A bar of train, and the level of test over it: places and heights in units of the drawing, and its label."""

    x: float
    width: float
    train: float
    test: float
    label: str


def bars(labels: Sequence[str], train: Float, test: Float) -> list[Bar]:
    """Two distributions over the same bars, float64 [n_bars] of shares each, the highest filling the drawing."""
    step = BARS_WIDTH / max(1, len(labels))
    top = max([*train.tolist(), *test.tolist(), 1e-12])
    gap = 1.0 if step > 3 else 0.0
    return [
        Bar(
            x=round(position * step, 1),
            width=round(min(step, 28.0) - gap, 1),
            train=round(of_train / top * (BARS_HEIGHT - 2), 1),
            test=round(of_test / top * (BARS_HEIGHT - 2), 1),
            label=f"{label}: train {of_train:.1%}, test {of_test:.1%}",
        )
        for position, (label, of_train, of_test) in enumerate(zip(labels, train.tolist(), test.tolist(), strict=True))
    ]


@dataclass(frozen=True)
class Thumbnail:
    """Learning curves as SVG path data: lines of train and validation, and the band of the validation folds."""

    train: str
    valid: str
    band: str


def thumbnail(train: Float, valid: Float, span: tuple[float, float]) -> Thumbnail:
    """Draw learning curves on a log axis.

    Parameters
    ----------
    train, valid
        float64 [n_folds, n_points], > 0 where known.
    span
        Lowest and highest metric that the axis shows; what lies beyond is drawn on its edge.
    """
    n_points = valid.shape[1]
    x = np.linspace(0, CURVE_WIDTH, n_points) if n_points > 1 else np.array([CURVE_WIDTH / 2])
    low, high = np.log(span[0]), np.log(span[1])

    def height(values: Float) -> Float:
        levels = np.log(np.clip(values, *span))
        return np.asarray(CURVE_HEIGHT - 4 - (levels - low) / ((high - low) or 1.0) * (CURVE_HEIGHT - 8))

    def line(values: Float) -> str:
        return _path(x, height(values))

    known = np.isfinite(valid).any(axis=0)
    shown = valid[:, known]
    band = ""
    if known.any():
        upper, lower = height(np.nanmax(shown, axis=0)), height(np.nanmin(shown, axis=0))
        outline = np.concatenate([x[known], x[known][::-1]]), np.concatenate([upper, lower[::-1]])
        band = _path(*outline) + "Z"
    return Thumbnail(line(mean_of_numbers(train)), line(mean_of_numbers(valid)), band)


def _path(x: Float, y: Float) -> str:
    """SVG path data through the points that are numbers."""
    points = [f"{left:.1f} {top:.1f}" for left, top in zip(x.tolist(), y.tolist(), strict=True) if np.isfinite(top)]
    return "M" + "L".join(points) if points else ""
