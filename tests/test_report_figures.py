"""Figures are drawn from arrays alone; what they show is what they were given."""

import json
from typing import Any

import numpy as np
import pytest

from houseprice.report import figures

HOSTILE = "<script>alert(1)</script>"


def drawn(figure: Any) -> Any:
    """The figure as the page gets it."""
    return json.loads(figure.to_json())


def luminance(color: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2.2)."""
    levels = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4 for level in levels]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


@pytest.mark.parametrize("color", [*figures.SERIES, *figures.VERDICT_COLORS.values()])
@pytest.mark.parametrize("page", ["#ffffff", "#1b1e22"])
def test_marks_stand_out_on_light_and_dark_pages(color: str, page: str) -> None:
    dark, light = sorted((luminance(color), luminance(page)))
    assert (light + 0.05) / (dark + 0.05) >= 3


def test_the_band_of_a_learning_curve_holds_every_member_and_the_line_is_their_mean() -> None:
    train = np.array([[1.0, 0.5, 0.2], [1.2, 0.7, 0.4]])
    figure = figures.learning_curves("net", np.array([1, 2, 3]), train, 2 * train, "rmse")
    assert figure.layout.yaxis.type == "log"
    of_train, band, of_valid = figure.data
    assert list(of_train.y) == train.mean(axis=0).tolist()
    assert list(of_valid.y) == (2 * train).mean(axis=0).tolist()
    assert list(band.y) == [2.4, 1.4, 0.8, 0.4, 1.0, 2.0]


def test_points_of_a_curve_that_no_member_has_are_left_out() -> None:
    early = np.array([[np.nan, 0.5], [np.nan, 0.7]])  # outside of the metric's domain so early on
    figure = figures.learning_curves("net", np.array([1, 2]), early, early, "log_rmse")
    assert [list(trace.x) for trace in figure.data if trace.mode == "lines"] == [[2], [2]]
    nothing = np.full((2, 2), np.nan)
    assert len(figures.learning_curves("net", np.array([1, 2]), nothing, nothing, "log_rmse").data) == 0


def test_the_most_important_column_is_on_top() -> None:
    figure = figures.importance(["a", "b", "c"], np.array([0.1, 0.3, 0.2]), None, "rmse")
    assert list(figure.data[0].x) == [0.3, 0.2, 0.1]
    assert [label[1:-1] for label in figure.layout.yaxis.ticktext] == ["b", "c", "a"]
    low, high = figure.layout.yaxis.range
    assert low > high


def test_texts_of_files_are_shown_not_read_as_tags() -> None:
    names = [HOSTILE, "plain"]
    two, scores = np.array([[0.5, 0.4], [0.6, 0.5]]), np.array([0.1, 0.2])
    every = [
        figures.learning_curves(HOSTILE, np.array([1, 2]), two, two, HOSTILE),
        figures.predicted_against_true(scores, scores, names, HOSTILE),
        figures.residuals_by_price(scores, scores, names, HOSTILE, bands=(scores, scores), log=True),
        figures.residuals_by_column(HOSTILE, names, scores, scores, [1, 2]),
        figures.ensemble_weights(names, scores),
        figures.importance(names, scores, scores, HOSTILE),
        figures.score_intervals(names, scores, scores, scores, HOSTILE, ["better", "worse"]),
        figures.comparison_matrix(names, two, [["better", None], ["worse", "not distinguishable"]]),
        figures.board_against_oof(names, scores, scores, HOSTILE, [True, False]),
        figures.confusion_matrix(two, names),
        figures.calibration(scores, scores, scores, HOSTILE),
    ]
    for figure in every:
        text = json.dumps(drawn(figure), ensure_ascii=False)
        assert "<script" not in text
        assert "&lt;script" in text


def test_long_and_right_to_left_labels_are_cut_and_isolated() -> None:
    label = figures.plain("א" * 300)
    assert label == "\u2068" + "א" * 31 + "…\u2069"


def test_two_labels_that_are_cut_alike_keep_a_bar_each() -> None:
    names = ["x" * 300 + "1", "x" * 300 + "2"]
    figure = figures.ensemble_weights(names, np.array([0.4, 0.6]))
    assert list(figure.data[0].y) == [0, 1]


def test_weights_below_zero_are_within_the_axis() -> None:
    low, high = figures.ensemble_weights(["a", "b"], np.array([-0.2, 1.1])).layout.xaxis.range
    assert low < -0.2
    assert high > 1.1


@pytest.mark.parametrize(("low", "high"), [(0.11, 0.14), (0.1, 2.0), (34_900, 755_000), (1.0, 1.0), (1e-3, 1e7)])
def test_log_axes_have_ticks_within_what_they_show(low: float, high: float) -> None:
    values = np.array([low, high])
    ticks = figures.predicted_against_true(values, values, ["a", "b"], log=True).layout.xaxis.tickvals
    assert all(low <= tick <= high for tick in ticks)
    assert len(ticks) <= 12


def test_a_confusion_matrix_is_coloured_by_the_share_of_the_true_class() -> None:
    (cells,) = figures.confusion_matrix(np.array([[30.0, 10.0], [0.0, 5.0]]), ["no", "yes"]).data
    assert cells.z.tolist() == [[0.75, 0.25], [0.0, 1.0]]
    assert cells.text.tolist() == [[30.0, 10.0], [0.0, 5.0]]


def test_calibration_is_drawn_over_the_diagonal() -> None:
    diagonal, rows = figures.calibration(np.array([0.1, 0.9]), np.array([0.2, 0.8]), np.array([0.1, 0.1]), "yes").data
    assert list(diagonal.x) == list(diagonal.y) == [0, 1]
    assert list(rows.y) == [0.2, 0.8]
