"""Figures of runs, ensembles and residuals: arrays in, Plotly figures out. The report and the notebook show the same.

Backgrounds are transparent and every mark has a contrast of at least 3 : 1 on white and on near-black, so that a
figure can be read on a light page and on a dark one (WCAG 2.2, 1.4.11). Text that comes from files is escaped
(`plain`): Plotly would take tags in it for its own.
"""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

Float = NDArray[np.float64]

ACCENT, CONTRAST, QUIET = "#2a8c82", "#c8663c", "#767b84"
SERIES = (ACCENT, CONTRAST, "#7d7fd0", "#a9742f", "#b5569b", "#5f8f3a")
VERDICT_COLORS: Mapping[str, str] = {"better": ACCENT, "worse": CONTRAST, "not distinguishable": QUIET}
LABEL_LENGTH, NAME_LENGTH = 32, 16
_ROUNDEST_FIRST = (1, 5, 2, 3, 1.5, 7, 4, 6, 8, 9, 2.5, 1.2, 1.4, 1.6, 1.8, 1.1, 1.3, 1.7, 1.9, 3.5, 4.5)
_FAINT = "rgba(128, 134, 144, 0.28)"
_FIRST_STRONG_ISOLATE, _POP_ISOLATE = "\u2068", "\u2069"
_AXIS = {
    "gridcolor": _FAINT, "linecolor": _FAINT, "zerolinecolor": _FAINT, "zeroline": False, "automargin": True,
    "ticks": "", "title": {"standoff": 10},
}  # fmt: skip
_LAYOUT = {
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "font": {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 13, "color": QUIET},
    "margin": {"l": 8, "r": 8, "t": 12, "b": 8},
    "hovermode": "closest",
    "hoverlabel": {"align": "left", "namelength": -1},
    "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "title": {"text": ""}},
    "colorway": list(SERIES),
    "xaxis": _AXIS,
    "yaxis": _AXIS,
}


def plain(text: object, limit: int | None = LABEL_LENGTH) -> str:
    """Text from a file as Plotly shows it literally: escaped, on one line, isolated from the text around it, cut.

    >>> plain("<b>bold</b>")[1:-1]
    '&lt;b&gt;bold&lt;/b&gt;'
    """
    line = " ".join(str(text).split())
    if limit is not None and len(line) > limit:
        line = line[: limit - 1] + "…"
    return _FIRST_STRONG_ISOLATE + escape(line, quote=False) + _POP_ISOLATE


def learning_curves(
    name: str, epochs: NDArray[np.int64], train: Float, valid: Float, metric_name: str, color: str = ACCENT
) -> go.Figure:
    """The metric over the epochs on a log axis: means of the members, and of validation the band that holds them all.

    Parameters
    ----------
    name
        Of the experiment.
    epochs
        int64 [n_points], counted from 1.
    train, valid
        float64 [n_members, n_points], the metric over fitted and validation rows; NaN where a member has none. A
        member may be the mean of one fold's seeds.
    metric_name
        For the axis.
    color
        Of both curves; that of train is dotted.
    """
    known = np.concatenate([train, valid])
    known = known[np.isfinite(known) & (known > 0)]
    ticks = sensible_ticks(float(known.min()), float(known.max()), log=True) if len(known) else {}
    figure = empty_figure(
        xaxis={"title": {"text": "epoch"}}, yaxis={"title": {"text": plain(metric_name)}, "type": "log", **ticks}
    )
    for label, scores in (("train", train), ("validation", valid)):
        has_value = np.isfinite(scores).any(axis=0)
        x, of_members = epochs[has_value], scores[:, has_value]
        if not has_value.any():
            continue
        title = f"{plain(name)}, {label}"
        if label == "validation":
            low, high = np.nanmin(of_members, axis=0), np.nanmax(of_members, axis=0)
            figure.add_scatter(
                x=np.concatenate([x, x[::-1]]), y=np.concatenate([high, low[::-1]]), fill="toself", mode="none",
                fillcolor=rgba(color, 0.18), line={"width": 0}, hoverinfo="skip", showlegend=False, name=title,
                legendgroup=title,
            )  # fmt: skip
        figure.add_scatter(
            x=x, y=np.nanmean(of_members, axis=0), mode="lines", name=title, legendgroup=title,
            line={"color": color, "width": 2, "dash": "dot" if label == "train" else "solid"},
            hovertemplate="epoch %{x}: %{y:.4f}",
        )  # fmt: skip
    return figure


def predicted_against_true(
    true: Float, predicted: Float, ids: Sequence[str], target_name: str = "target", *, log: bool = False
) -> go.Figure:
    """Out-of-fold predictions beside the truth, one point a row, with the line on which both are equal.

    Parameters
    ----------
    true, predicted
        float64 [n_rows], natural units.
    ids
        Of the rows, as text.
    target_name
        For the axes.
    log
        Whether both axes are logarithmic; all values are then > 0.
    """
    low, high = float(min(true.min(), predicted.min())), float(max(true.max(), predicted.max()))
    kind = "log" if log else "linear"
    named = plain(target_name, NAME_LENGTH)
    figure = empty_figure(
        xaxis={"title": {"text": f"{named}, true"}, "type": kind, **sensible_ticks(low, high, log)},
        yaxis={"title": {"text": f"{named}, predicted out of fold"}, "type": kind, **sensible_ticks(low, high, log)},
    )
    _add_rows(figure, true, predicted, ids, "true %{x:,.5~g}<br>predicted %{y:,.5~g}")
    figure.add_scatter(
        x=[low, high],
        y=[low, high],
        mode="lines",
        hoverinfo="skip",
        line={"color": CONTRAST, "width": 1.5},
        name="predicted = true",
        showlegend=True,
    )
    return figure


def residuals_by_price(
    predicted: Float,
    residual: Float,
    ids: Sequence[str],
    target_name: str = "target",
    *,
    bands: tuple[Float, Float] | None = None,
    log: bool = False,
) -> go.Figure:
    """Residuals over the predictions, with their mean by price band.

    Parameters
    ----------
    predicted
        float64 [n_rows], natural units.
    residual
        float64 [n_rows], prediction - target on the link scale: above 0 the row was priced too high.
    ids
        Of the rows, as text.
    target_name
        For the axis.
    bands
        Middle of each price band (natural units) and mean residual there, float64 [n_bands] each.
    log
        Whether the price axis is logarithmic.
    """
    ticks = sensible_ticks(float(predicted.min()), float(predicted.max()), log)
    figure = empty_figure(
        xaxis={
            "title": {"text": f"{plain(target_name, NAME_LENGTH)}, predicted"},
            "type": "log" if log else "linear",
            **ticks,
        },
        yaxis={"title": {"text": "residual (link scale)"}, "zeroline": True, "zerolinecolor": QUIET},
        legend={"y": 1.02},
    )
    _add_rows(figure, predicted, residual, ids, "predicted %{x:,.5~g}<br>residual %{y:+.3f}")
    if bands is not None:
        figure.add_scatter(
            x=bands[0], y=bands[1], mode="lines+markers", name="mean by price band",
            line={"color": CONTRAST, "width": 2}, marker={"size": 7}, hovertemplate="mean %{y:+.4f}", showlegend=True,
        )  # fmt: skip
    return figure


def residuals_by_column(
    column: str, values: Sequence[str], mean: Float, error: Float, counts: Sequence[int]
) -> go.Figure:
    """Mean residual of the rows with each value of a column, with an interval of two standard errors.

    Parameters
    ----------
    column
        Its name.
    values
        What the rows of a group share: a category, or an interval of numbers.
    mean, error
        float64 [n_groups], link scale: the mean residual and its standard error.
    counts
        Rows of each group.
    """
    figure = empty_figure(
        xaxis={"title": {"text": "mean residual ± 2 s.e. (link scale)"}, "zeroline": True, "zerolinecolor": QUIET},
        yaxis=_rows_axis([plain(value) for value in values], title=plain(column)),
        showlegend=False,
    )
    figure.add_scatter(
        x=mean, y=list(range(len(values))), mode="markers", marker={"color": ACCENT, "size": 8},
        error_x={"array": 2 * error, "color": ACCENT, "thickness": 1.5, "width": 0},
        text=[f"{plain(value, None)}<br>{count} rows" for value, count in zip(values, counts, strict=True)],
        hovertemplate="%{text}<br>mean residual %{x:+.4f}<extra></extra>",
    )  # fmt: skip
    return figure


def ensemble_weights(runs: Sequence[str], weights: Float) -> go.Figure:
    """One bar a run, float64 [n_runs]; weights sum to 1, but for a stack's, which may be below 0 too."""
    figure = _bars(runs, weights, "weight")
    figure.update_traces(texttemplate="%{x:.2f}", textposition="outside", cliponaxis=False)
    figure.update_xaxes(range=[1.2 * min(0.0, float(weights.min())), 1.2 * max(0.0, float(weights.max()))])
    return figure


def importance(columns: Sequence[str], increase: Float, error: Float | None, metric_name: str) -> go.Figure:
    """Permutation importance of original columns, the most important on top.

    Parameters
    ----------
    columns
        Their names, in any order.
    increase
        float64 [n_columns]: by how much the metric grows when the column is permuted among validation rows.
    error
        float64 [n_columns], standard error over folds and permutations; None: not known.
    metric_name
        For the axis.
    """
    order = np.argsort(-increase, kind="stable")
    return _bars(
        [columns[column] for column in order],
        increase[order],
        f"increase of {plain(metric_name)}",
        None if error is None else error[order],
    )


def score_intervals(
    names: Sequence[str],
    scores: Float,
    low: Float,
    high: Float,
    metric_name: str,
    verdicts: Sequence[str] | None = None,
) -> go.Figure:
    """The leaderboard's scores with their intervals, in the order given, the first on top.

    Parameters
    ----------
    names
        Of the rows.
    scores, low, high
        float64 [n_rows], the metric and the ends of its interval.
    metric_name
        For the axis.
    verdicts
        Of each row beside the best (`VERDICT_COLORS`); None: all alike.
    """
    colors = [VERDICT_COLORS.get(verdict, QUIET) for verdict in verdicts] if verdicts else [ACCENT] * len(names)
    figure = empty_figure(
        xaxis={"title": {"text": plain(metric_name)}}, yaxis=_rows_axis(list(map(plain, names))), showlegend=False
    )
    for row, (score, color) in enumerate(zip(scores, colors, strict=True)):
        figure.add_scatter(
            x=[low[row], high[row]], y=[row, row], mode="lines", line={"color": color, "width": 2}, hoverinfo="skip"
        )
        figure.add_scatter(
            x=[score], y=[row], mode="markers", marker={"color": color, "size": 9},
            hovertemplate=f"{plain(names[row])}<br>%{{x:.5f}} [{low[row]:.5f}, {high[row]:.5f}]<extra></extra>",
        )  # fmt: skip
    return figure


def confusion_matrix(counts: Float, classes: Sequence[str]) -> go.Figure:
    """How many rows of each class are given each class, float64 [true, given]; coloured by the share of the class."""
    shares, places = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), list(range(len(classes)))
    labels = list(map(plain, classes))
    figure = empty_figure(
        xaxis={"title": {"text": "given out of fold"}, "tickvals": places, "ticktext": labels, "showgrid": False},
        yaxis=_rows_axis(labels, title="true"),
    )
    figure.add_heatmap(
        z=shares, x=places, y=places, zmin=0, zmax=1, showscale=False, xgap=2, ygap=2, text=counts,
        colorscale=[[0, "rgba(128, 134, 144, 0.1)"], [1, ACCENT]], texttemplate="%{text:,.0f}",
        customdata=[[[true, given] for given in labels] for true in labels],
        hovertemplate="%{customdata[0]} given %{customdata[1]}: %{text:,.0f} rows, %{z:.1%}<extra></extra>",
    )  # fmt: skip
    return figure


def calibration(predicted: Float, share: Float, error: Float, what: str) -> go.Figure:
    """What happens as often as it was said to: bands of rows by their probability, float64 [n_bands] each.

    ``share`` of the rows of a band it came true, ± ``error``; ``what`` the probability is of.
    """
    figure = empty_figure(
        xaxis={"title": {"text": f"probability of {plain(what)}, out of fold"}, "range": [-0.03, 1.03]},
        yaxis={"title": {"text": "share of the rows"}, "range": [-0.03, 1.03]},
    )
    line = {"color": CONTRAST, "width": 1.5}
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", hoverinfo="skip", line=line, name="as often as predicted")
    figure.add_scatter(
        x=predicted, y=share, mode="markers+lines", marker={"color": ACCENT, "size": 8}, name="rows",
        line={"color": ACCENT, "width": 1}, error_y={"array": error, "color": ACCENT, "thickness": 1.5, "width": 0},
        hovertemplate="predicted %{x:.3f}<br>came true %{y:.3f}<extra></extra>", showlegend=False,
    )  # fmt: skip
    return figure


def comparison_matrix(
    names: Sequence[str], differences: Float, verdicts: Sequence[Sequence[str | None]], greater_is_better: bool = False
) -> go.Figure:
    """Who beats whom: score of the row's name minus score of the column's, marked where it can be told from noise.

    Parameters
    ----------
    names
        Of the rows and columns, the best first.
    differences
        float64 [n, n]; NaN where two can't be compared.
    verdicts
        Of row beside column, [n][n]: "better", "worse", "not distinguishable", or None.
    greater_is_better
        Of the score.
    """
    ends = (CONTRAST, ACCENT) if greater_is_better else (ACCENT, CONTRAST)
    marks = {"better": "better", "worse": "worse", "not distinguishable": "·"}
    limit = float(np.nanmax(np.abs(differences))) if np.isfinite(differences).any() else 1.0
    labels, places = list(map(plain, names)), list(range(len(names)))
    figure = empty_figure(
        xaxis={"tickvals": places, "ticktext": labels, "side": "top", "showgrid": False, "tickangle": -45},
        yaxis={**_rows_axis(labels), "showgrid": False},
    )
    figure.add_heatmap(
        z=differences, x=places, y=places, zmid=0, zmin=-limit or -1, zmax=limit or 1, showscale=False, xgap=2, ygap=2,
        colorscale=[[0, ends[0]], [0.5, "rgba(128, 134, 144, 0.1)"], [1, ends[1]]],
        text=[[marks.get(verdict or "", "") for verdict in row] for row in verdicts], texttemplate="%{text}",
        customdata=[[[row, column] for column in labels] for row in labels],
        hovertemplate="%{customdata[0]} − %{customdata[1]}: %{z:+.5f} %{text}<extra></extra>",
    )  # fmt: skip
    return figure


def board_against_oof(
    entries: Sequence[str], oof: Float, board: Float, metric_name: str, recommended: Sequence[bool] = ()
) -> go.Figure:
    """What the competition said of entries beside their out-of-fold scores, both float64 [n_entries]."""
    figure = empty_figure(
        xaxis={"title": {"text": f"out-of-fold {plain(metric_name)}"}},
        yaxis={"title": {"text": f"public {plain(metric_name)}"}},
        showlegend=False,
    )
    ends = [float(min(oof.min(), board.min())), float(max(oof.max(), board.max()))]
    figure.add_scatter(x=ends, y=ends, mode="lines", hoverinfo="skip", line={"color": QUIET, "width": 1, "dash": "dot"})
    figure.add_scatter(
        x=oof, y=board, mode="markers+text", textposition="top center", text=list(map(plain, entries)),
        marker={"size": 11, "color": [ACCENT if final else QUIET for final in recommended] or QUIET},
        hovertemplate="%{text}<br>out of fold %{x:.5f}<br>public %{y:.5f}<extra></extra>",
    )  # fmt: skip
    return figure


def empty_figure(**layout: Any) -> go.Figure:
    """An empty figure in the house's manner, with no template of Plotly's beneath."""
    return go.Figure(layout=go.Layout(template=_template(), **layout))


@lru_cache
def _template() -> go.layout.Template:
    return go.layout.Template(layout=_LAYOUT)


def _bars(names: Sequence[str], values: Float, title: str, error: Float | None = None) -> go.Figure:
    figure = empty_figure(
        xaxis={"title": {"text": title}}, yaxis=_rows_axis([plain(name) for name in names]), bargap=0.35
    )
    figure.add_bar(
        x=values, y=list(range(len(names))), orientation="h", marker={"color": ACCENT},
        error_x=None if error is None else {"array": error, "color": QUIET, "thickness": 1.5, "width": 0},
        text=[plain(name, None) for name in names], textposition="none",
        hovertemplate="%{text}: %{x:.5~g}<extra></extra>",
    )  # fmt: skip
    return figure


def _rows_axis(labels: Sequence[str], title: str = "") -> dict[str, Any]:
    """A vertical axis with one label a row, the first on top. Places are numbers: two labels may be cut alike."""
    return {
        "tickvals": list(range(len(labels))), "ticktext": list(labels), "range": [len(labels) - 0.4, -0.6],
        "showgrid": False, "title": {"text": title},
    }  # fmt: skip


def _add_rows(figure: go.Figure, x: Float, y: Float, ids: Sequence[str], hover: str) -> None:
    figure.add_scatter(
        x=x, y=y, mode="markers", name="rows", showlegend=False, text=[plain(row_id) for row_id in ids],
        marker={"color": ACCENT, "size": 5, "opacity": 0.55},
        hovertemplate=f"id %{{text}}<br>{hover}<extra></extra>",
    )  # fmt: skip


def sensible_ticks(low: float, high: float, log: bool) -> dict[str, Any]:
    """On a log axis few ticks that are round numbers, written in full with thousands apart, as prices are."""
    if not log:
        return {"tickformat": ",~g"}
    values, labels = log_ticks(low, high)
    return {"tickvals": values, "ticktext": labels, "tickangle": 0}


def log_ticks(low: float, high: float, at_most: int = 6) -> tuple[list[float], list[str]]:
    """Round numbers between two ends of a log axis, none too close to another, and how they are written.

    >>> log_ticks(0.09, 1.2)
    ([0.1, 0.2, 0.5, 1.0], ['0.1', '0.2', '0.5', '1'])
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    apart = math.log(high / low) / at_most
    ticks: list[float] = []
    for step in _ROUNDEST_FIRST:
        for tick in (float(f"{step}e{power}") for power in powers):
            if low <= tick <= high and all(abs(math.log(tick / other)) >= apart for other in ticks):
                ticks.append(tick)
    ticks.sort()
    return ticks, [f"{tick:,.6g}" if tick < 1e5 else f"{tick:,.0f}" if tick < 1e12 else f"{tick:.0e}" for tick in ticks]


def rgba(color: str, opacity: float) -> str:
    """A colour, ``#rrggbb``, with an opacity from 0 to 1, as CSS writes it."""
    red, green, blue = (int(color[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity})"
