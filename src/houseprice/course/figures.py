"""Figures of the course's experiments, in the manner of those of runs (`houseprice.report.figures`)."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from houseprice.course.fitting import Fit
from houseprice.course.grid import Grid
from houseprice.report.figures import (
    ACCENT,
    QUIET,
    SERIES,
    empty_figure,
    learning_curves,
    plain,
    rgba,
    sensible_ticks,
)

Float = NDArray[np.float64]

_PALE_TO_STRONG = [[0, "rgba(128, 134, 144, 0.1)"], [1, ACCENT]]
_SYMBOLS = ("circle", "cross-thin", "triangle-up-open", "diamond-wide-open")
_MANY_POINTS, _MANY_COUNTS, _TICKS = 100, 10, 10


def loss_curves(runs: Mapping[str, Sequence[Fit]], loss_name: str = "loss") -> go.Figure:
    """Losses over the epochs on a log axis, training dotted: means, and of validation the band that holds all fits.

    Parameters
    ----------
    runs
        By label the fits that differ in their seeds or folds alone.
    loss_name
        For the axis.
    """
    figure = empty_figure(xaxis={"title": {"text": "epoch"}}, yaxis={"title": {"text": plain(loss_name, None)}})
    for color, (label, fits) in zip(cycle(SERIES), runs.items(), strict=False):
        train, valid = (
            _finite(np.stack([getattr(fit, name) for fit in fits])) for name in ("train_losses", "valid_losses")
        )
        epochs = np.arange(1, train.shape[1] + 1)
        figure.add_traces(learning_curves(label, epochs, train, valid, loss_name, color).data)
    _scale(figure, "y", [trace.y for trace in figure.data], log=True)
    return figure


def lines(
    x: Float,
    ys: Mapping[str, Float],
    *,
    x_name: str,
    y_name: str,
    points: Mapping[str, tuple[Float, Float]] | None = None,
    log_x: bool = False,
    log_y: bool = False,
) -> go.Figure:
    """Lines y over x; of several draws of a line the mean, and the band that holds them all.

    Parameters
    ----------
    x
        float64 [n_points].
    ys
        By label float64 [n_points], or [n_draws, n_points].
    x_name, y_name
        For the axes.
    points
        By label x and y of what is drawn as points, beneath the lines.
    log_x, log_y
        Whether an axis is logarithmic; its values are then > 0.
    """
    figure = empty_figure(
        xaxis={"title": {"text": plain(x_name, None)}}, yaxis={"title": {"text": plain(y_name, None)}}
    )
    for symbol, (label, (some_x, some_y)) in zip(cycle(_SYMBOLS), (points or {}).items(), strict=False):
        size = 8 if len(some_x) < _MANY_POINTS else 5
        marker = {"color": QUIET, "size": size, "opacity": 0.7, "symbol": symbol, "line": {"color": QUIET, "width": 1}}
        figure.add_scatter(x=some_x, y=some_y, mode="markers", name=plain(label), marker=marker)
    for color, (label, y) in zip(cycle(SERIES), ys.items(), strict=False):
        draws = _finite(np.atleast_2d(y))
        if len(draws) > 1:
            _add_band(figure, x, draws, color, label)
        line = {"color": color, "width": 2}
        figure.add_scatter(x=x, y=draws.mean(0), mode="lines", name=plain(label), legendgroup=plain(label), line=line)
    for axis, is_log in (("x", log_x), ("y", log_y)):
        _scale(figure, axis, [trace[axis] for trace in figure.data], is_log)
    return figure


def heat_map(
    values: Float,
    x: Sequence[object],
    y: Sequence[object],
    *,
    x_name: str,
    y_name: str,
    value_name: str,
    text_format: str = ".3~g",
) -> go.Figure:
    """Numbers on a grid, float64 [n_y, n_x], coloured by their size; the first row lies at the bottom.

    Parameters
    ----------
    values
        NaN where there is none.
    x, y
        What the columns and the rows stand for, evenly spaced whatever they are.
    x_name, y_name, value_name
        For the axes and the colours.
    text_format
        How a number is written in its cell, in d3's language; empty: not at all, and cells touch.
    """
    axis = {"type": "category", "showgrid": False, "nticks": _TICKS}
    figure = empty_figure(
        xaxis={"title": {"text": plain(x_name, None)}, **axis}, yaxis={"title": {"text": plain(y_name, None)}, **axis}
    )
    gap = 1 if text_format else 0
    figure.add_heatmap(
        z=_finite(values), x=list(map(plain, x)), y=list(map(plain, y)), xgap=gap, ygap=gap, hoverongaps=False,
        colorscale=_PALE_TO_STRONG,
        texttemplate=f"%{{z:{text_format}}}" if text_format else None,
        colorbar={"title": {"text": plain(value_name, None)}, "outlinewidth": 0, "thickness": 12},
        hovertemplate=f"{plain(x_name)} %{{x}}<br>{plain(y_name)} %{{y}}<br>%{{z:.5~g}}<extra></extra>",
    )  # fmt: skip
    return figure


def dropout_maps(grid: Grid, value_name: str = "loss") -> go.Figure:
    """The validation values of a grid, a heat map for each weight decay; all share their colours.

    Parameters
    ----------
    grid
        See `houseprice.course.grid.dropout_grid`.
    value_name
        For the titles: what is lowest.
    """
    figure = empty_figure(height=480, margin={"t": 50}, coloraxis={"colorscale": _PALE_TO_STRONG, "showscale": False})
    for number, (decay, values) in enumerate(zip(grid.decays, grid.valid, strict=True), start=1):
        place = grid.lowest(number - 1)
        told = "no value" if place is None else f"lowest {value_name} {values[place]:.4g}"
        one = heat_map(
            values, grid.rates, grid.rates, x_name="dropout 2", y_name="dropout 1", value_name=value_name,
            text_format=".3~f",
        )  # fmt: skip
        suffix = "" if number == 1 else str(number)
        figure.add_trace(one.data[0].update(xaxis=f"x{suffix}", yaxis=f"y{suffix}", coloraxis="coloraxis"))
        share = [(number - 1 + 0.08) / len(grid.decays), (number - 0.04) / len(grid.decays)]
        one.layout.xaxis.update(domain=share, anchor=f"y{suffix}")
        one.layout.yaxis.update(anchor=f"x{suffix}", title=one.layout.yaxis.title if number == 1 else None)
        figure.update_layout({f"xaxis{suffix}": one.layout.xaxis, f"yaxis{suffix}": one.layout.yaxis})
        figure.add_annotation(
            text=f"{plain(f'weight decay {decay:g}')}<br>{plain(told)}", x=np.mean(share), y=1, xref="paper",
            yref="paper", xanchor="center", yanchor="bottom", showarrow=False,
        )  # fmt: skip
    return figure


def histogram(values: Mapping[str, Float], *, x_name: str, bins: int = 40) -> go.Figure:
    """How often numbers fall into bins that all labels share; infinite ones and NaN are left out."""
    known = {label: each[np.isfinite(each)] for label, each in values.items()}
    edges = np.histogram_bin_edges(np.concatenate(list(known.values())), bins)
    counts = {label: np.histogram(each, edges)[0] for label, each in known.items()}
    few = max(each.max() for each in counts.values()) <= _MANY_COUNTS  # no ticks at halves
    figure = empty_figure(
        xaxis={"title": {"text": plain(x_name, None)}},
        yaxis={"title": {"text": "count"}, "dtick": 1 if few else None},
        barmode="overlay",
        bargap=0.03,
    )
    middles, width = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]
    for color, (label, each) in zip(cycle(SERIES), counts.items(), strict=False):
        figure.add_bar(x=middles, y=each, width=width, name=plain(label), marker={"color": color}, opacity=0.65)
    return figure


def _add_band(figure: go.Figure, x: Float, draws: Float, color: str, label: str) -> None:
    figure.add_scatter(
        x=np.concatenate([x, x[::-1]]), y=np.concatenate([draws.max(0), draws.min(0)[::-1]]), fill="toself",
        fillcolor=rgba(color, 0.18), mode="none", hoverinfo="skip", showlegend=False, legendgroup=plain(label),
    )  # fmt: skip


def _finite(values: Float) -> Float:
    """What can't be drawn, because a network diverged, is left out."""
    return np.where(np.isfinite(values), values, np.nan)


def _scale(figure: go.Figure, axis: str, values: Iterable[Float], log: bool) -> None:
    """Make an axis logarithmic, or leave it linear, with ticks at round numbers."""
    known = np.concatenate([np.asarray(each, np.float64) for each in values] or [np.ones(1)])
    known = known[np.isfinite(known) & (known > 0)]
    ticks = sensible_ticks(float(known.min()), float(known.max()), log=True) if log and len(known) else {}
    figure.update_layout({f"{axis}axis": {"type": "log" if log else "linear", **ticks}})
