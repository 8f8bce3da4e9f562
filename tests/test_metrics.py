"""Metrics: the competition's score, the link scale, the standard error, and what may not reach them."""

import re

import numpy as np
import pytest
from numpy.typing import NDArray

from houseprice.errors import DataError, MetricError
from houseprice.metrics import METRICS, Metric

Float = NDArray[np.float64]


def prices(n: int = 200, seed: int = 0) -> tuple[Float, Float]:
    """True and predicted prices, the errors with heavy tails."""
    random = np.random.default_rng(seed)
    log_price = 12 + 0.4 * random.standard_normal(n)
    return np.exp(log_price), np.exp(log_price + 0.1 * random.standard_t(5, n))


def test_log_rmse_is_the_competitions_formula() -> None:
    y_true, y_pred = prices()
    metric = METRICS["log_rmse"]
    by_hand = np.sqrt(np.mean((np.log(y_pred) - np.log(y_true)) ** 2))
    assert metric.score(metric.link(y_true, "true"), metric.link(y_pred, "pred")) == pytest.approx(by_hand, rel=1e-14)


def test_log_rmse_knows_no_currency_and_rmse_does() -> None:
    y_true, y_pred = prices()
    scores = {}
    for name, metric in METRICS.items():
        for factor in (1.0, 100.0):
            links = [metric.link(values * factor, "prices") for values in (y_true, y_pred)]
            scores[name, factor] = metric.score(*links)
    assert scores["log_rmse", 100.0] == pytest.approx(scores["log_rmse", 1.0], rel=1e-12)
    assert scores["rmse", 100.0] == pytest.approx(100 * scores["rmse", 1.0], rel=1e-12)


@pytest.mark.parametrize("metric", METRICS.values(), ids=list(METRICS))
def test_link_and_back_is_the_identity(metric: Metric) -> None:
    y_true, _ = prices()
    np.testing.assert_allclose(metric.from_link(metric.link(y_true, "prices")), y_true, rtol=1e-14)


@pytest.mark.parametrize("metric", METRICS.values(), ids=list(METRICS))
def test_a_perfect_fit_scores_zero_without_error(metric: Metric) -> None:
    link = metric.link(prices()[0], "prices")
    assert metric.score(link, link) == 0
    assert metric.std_error(link, link) == 0


@pytest.mark.parametrize("n", [50, 400])
def test_std_error_agrees_with_a_bootstrap_of_the_rows(n: int) -> None:
    metric = METRICS["log_rmse"]
    y_true, y_pred = (metric.link(values, "prices") for values in prices(n))
    drawn = np.random.default_rng(1).integers(n, size=(4000, n))
    bootstrap = np.array([metric.score(y_true[rows], y_pred[rows]) for rows in drawn]).std(ddof=1)
    assert metric.std_error(y_true, y_pred) == pytest.approx(bootstrap, rel=0.1)


def test_std_error_falls_with_the_root_of_the_rows() -> None:
    metric = METRICS["rmse"]
    y_true, y_pred = prices(100)
    once = metric.std_error(y_true, y_pred)
    four_times = metric.std_error(np.tile(y_true, 4), np.tile(y_pred, 4))
    assert four_times == pytest.approx(once / 2, rel=0.01)


def test_std_error_of_one_row_is_zero_rather_than_nan() -> None:
    assert METRICS["rmse"].std_error(np.array([1.0]), np.array([2.0])) == 0


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf, -np.inf])
def test_prices_outside_the_domain_are_named_with_rows_and_values(bad: float) -> None:
    values = np.full(1460, 1e5)
    values[[14, 380]] = bad
    with pytest.raises(MetricError) as caught:
        METRICS["log_rmse"].link(values, "SalePrice in train.csv")
    message = str(caught.value)
    assert message.startswith("SalePrice in train.csv: 2 of 1460 values break the rule of metric log_rmse, values > 0")
    assert re.search(rf"\(rows 14, 380: {bad}, {bad}\)", message)
    assert "floor" in message  # the way out
    assert isinstance(caught.value, DataError)


def test_many_bad_rows_are_counted_and_the_first_shown() -> None:
    with pytest.raises(MetricError, match=r"rows 0, 1, 2, 3, 4, … \(9 in all\)"):
        METRICS["log_rmse"].link(np.zeros(9), "prices")


def test_rmse_takes_what_is_not_positive_but_not_what_is_not_finite() -> None:
    np.testing.assert_array_equal(METRICS["rmse"].link(np.array([-1.0, 0.0]), "heights"), [-1.0, 0.0])
    with pytest.raises(MetricError, match="finite values"):
        METRICS["rmse"].link(np.array([1.0, np.nan]), "heights")


def test_a_price_beyond_all_floats_is_infinite_without_a_warning() -> None:
    assert METRICS["log_rmse"].from_link(np.array([1e4])) == np.inf


def test_a_rows_influence_is_how_far_it_moves_the_score() -> None:
    losses = np.random.default_rng(0).chisquare(1, 50)
    metric = METRICS["rmse"]
    weight = 1e-6  # a little more of one row, a little less of all
    moved = [metric.score_of_losses((1 - weight) * losses.mean() + weight * loss) for loss in losses]
    assert (np.array(moved) - np.sqrt(losses.mean())) / weight == pytest.approx(metric.influence(losses), rel=1e-3)
    assert metric.influence(losses).sum() == pytest.approx(0, abs=1e-12)
    assert not metric.influence(np.zeros(3)).any()
