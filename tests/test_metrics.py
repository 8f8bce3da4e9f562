"""Metrics: the competition's score, the link scale, the standard error, and what may not reach them."""

import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
from numpy.typing import NDArray

from competitions import environment
from houseprice import scores
from houseprice.compete.leaderboard import Evidence
from houseprice.errors import DataError, MetricError
from houseprice.metrics import METRICS, Metric, calibration_of, confusion_of, decide, labels_of
from houseprice.own_metric import own_metric
from houseprice.tasks import METRICS_OF, Reads, Task

Float = NDArray[np.float64]
OF_NUMBERS = [METRICS[name] for name in METRICS_OF["regression"]]


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
    for metric in (METRICS["log_rmse"], METRICS["rmse"]):
        for factor in (1.0, 100.0):
            links = [metric.link(values * factor, "prices") for values in (y_true, y_pred)]
            scores[metric.name, factor] = metric.score(*links)
    assert scores["log_rmse", 100.0] == pytest.approx(scores["log_rmse", 1.0], rel=1e-12)
    assert scores["rmse", 100.0] == pytest.approx(100 * scores["rmse", 1.0], rel=1e-12)


@pytest.mark.parametrize("metric", OF_NUMBERS, ids=METRICS_OF["regression"])
def test_link_and_back_is_the_identity(metric: Metric) -> None:
    y_true, _ = prices()
    np.testing.assert_allclose(metric.from_link(metric.link(y_true, "prices")), y_true, rtol=1e-14)


@pytest.mark.parametrize("metric", OF_NUMBERS, ids=METRICS_OF["regression"])
def test_a_perfect_fit_has_the_best_score_without_error(metric: Metric) -> None:
    link = metric.link(prices()[0], "prices")
    assert metric.score(link, link) == (1 if metric.greater_is_better else 0)
    assert metric.std_error(link, link) == 0


@pytest.mark.parametrize("n", [50, 400])
def test_std_error_agrees_with_a_bootstrap_of_the_rows(n: int) -> None:
    metric = METRICS["log_rmse"]
    y_true, y_pred = (metric.link(values, "prices") for values in prices(n))
    drawn = np.random.default_rng(1).integers(n, size=(4000, n))
    bootstrap = np.array([metric.quick_score(y_true[rows], y_pred[rows]) for rows in drawn]).std(ddof=1)
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


def test_what_rmsle_scores_is_never_below_0() -> None:
    np.testing.assert_array_equal(METRICS["rmsle"].from_link(np.array([-0.01, 0.0, np.log(3)])).round(12), [0, 0, 2])


def test_a_rows_influence_is_how_far_it_moves_the_score() -> None:
    losses = np.random.default_rng(0).chisquare(1, 50)
    metric = METRICS["rmse"]
    weight = 1e-6  # a little more of one row, a little less of all
    moved = [metric.score_of_losses((1 - weight) * losses.mean() + weight * loss) for loss in losses]
    assert (np.array(moved) - np.sqrt(losses.mean())) / weight == pytest.approx(metric.influence(losses), rel=1e-3)
    assert metric.influence(losses).sum() == pytest.approx(0, abs=1e-12)
    assert not metric.influence(np.zeros(3)).any()


# every metric, beside scikit-learn's ---------------------------------------------------------------------------


def predicted(metric: Metric, task: Task, n: int = 60, seed: int = 0) -> tuple[Float, Float]:
    """Truth and predictions on the link scale, with ties, good but not perfect."""
    random = np.random.default_rng(seed)
    if task == "regression":
        y_true, y_pred = prices(n, seed)
        return metric.link(y_true, "prices"), metric.link(y_pred, "prices")
    n_classes = 2 if task == "binary" else 4
    y_true = random.integers(0, n_classes, n).astype(float)
    logits = 1.5 * np.eye(n_classes)[y_true.astype(int)] + random.standard_normal((n, n_classes)).round(1)
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return y_true, probability[:, 1] if task == "binary" else probability


def sklearns(metric: Metric, y_true: Float, y_pred: Float, weights: Float | None = None) -> float:
    """The same score by scikit-learn."""
    labels, every = labels_of(y_pred), np.arange(2 if y_pred.ndim == 1 else y_pred.shape[1])
    given = {"probability": y_pred, "label": labels}.get(metric.reads)
    if given is None:
        y_true, given = metric.from_link(y_true), metric.from_link(y_pred)
    options: dict[str, dict[str, Any]] = {
        "log_loss": {"labels": every},
        "macro_f1": {"average": "macro"},
        "quadratic_kappa": {"labels": every, "weights": "quadratic"},
    }
    return float(SKLEARNS[metric.name](y_true, given, sample_weight=weights, **options.get(metric.name, {})))


def _log_rmse(y_true: Float, y_pred: Float, sample_weight: Float | None = None) -> float:
    return float(sklearn.metrics.root_mean_squared_error(np.log(y_true), np.log(y_pred), sample_weight=sample_weight))


SKLEARNS: dict[str, Callable[..., float]] = {
    "log_rmse": _log_rmse,
    "rmsle": sklearn.metrics.root_mean_squared_log_error,
    "rmse": sklearn.metrics.root_mean_squared_error,
    "mae": sklearn.metrics.mean_absolute_error,
    "mape": sklearn.metrics.mean_absolute_percentage_error,
    "r2": sklearn.metrics.r2_score,
    "auc": sklearn.metrics.roc_auc_score,
    "log_loss": sklearn.metrics.log_loss,
    "accuracy": sklearn.metrics.accuracy_score,
    "f1": sklearn.metrics.f1_score,
    "balanced_accuracy": sklearn.metrics.balanced_accuracy_score,
    "macro_f1": sklearn.metrics.f1_score,
    "quadratic_kappa": sklearn.metrics.cohen_kappa_score,
}
CASES = [(METRICS[name], task) for task, names in METRICS_OF.items() for name in names]
IDS = [f"{task} {metric.name}" for metric, task in CASES]


@pytest.mark.parametrize(("metric", "task"), CASES, ids=IDS)
def test_scores_are_scikit_learns(metric: Metric, task: Task) -> None:
    for n in (5, 60, 500):
        y_true, y_pred = predicted(metric, task, n, seed=1)
        expected = pytest.approx(sklearns(metric, y_true, y_pred), rel=1e-12)
        assert metric.score(y_true, y_pred) == expected, n
        assert metric.quick_score(y_true, y_pred) == expected, n
        assert task in metric.tasks


@pytest.mark.parametrize(("metric", "task"), CASES, ids=IDS)
def test_the_score_is_that_of_the_mean_of_the_row_losses(metric: Metric, task: Task) -> None:
    y_true, y_pred = predicted(metric, task)
    losses = metric.row_losses(y_true, y_pred)
    assert losses.shape == y_true.shape
    assert float(metric.score_of_losses(losses.mean())) == pytest.approx(metric.score(y_true, y_pred), rel=1e-12)


@pytest.mark.parametrize(("metric", "task"), CASES, ids=IDS)
def test_influence_is_the_derivative_by_the_weight_of_a_row(metric: Metric, task: Task) -> None:
    y_true, y_pred = predicted(metric, task)
    n, step = len(y_true), 1e-5
    by_weight = np.empty(n)
    for row in range(n):
        ends = []
        for change in (step, -step):
            weights = np.ones(n)
            weights[row] += change
            ends.append(sklearns(metric, y_true, y_pred, weights))
        by_weight[row] = n * (ends[0] - ends[1]) / (2 * step)
    found = metric.influence(metric.row_losses(y_true, y_pred))
    np.testing.assert_allclose(found, by_weight, rtol=1e-4, atol=1e-6)
    assert found.sum() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("metric", "task"), CASES, ids=IDS)
def test_less_loss_is_better_whatever_the_metric(metric: Metric, task: Task) -> None:
    y_true, y_pred = predicted(metric, task, 300)
    shuffled = y_pred[np.random.default_rng(3).permutation(len(y_true))]
    assert metric.row_losses(y_true, y_pred).mean() < metric.row_losses(y_true, shuffled).mean()
    good, bad = metric.score(y_true, y_pred), metric.score(y_true, shuffled)
    assert metric.better(good - bad)
    assert not metric.better(bad - good)
    assert metric.error(good) < metric.error(bad)


@pytest.mark.parametrize("name", ["auc", "f1", "macro_f1", "quadratic_kappa", "balanced_accuracy", "r2"])
def test_std_error_of_pseudo_values_agrees_with_a_bootstrap(name: str) -> None:
    metric = METRICS[name]
    y_true, y_pred = predicted(metric, metric.tasks[0], 300)
    drawn = np.random.default_rng(1).integers(300, size=(1000, 300))
    bootstrap = np.array([metric.quick_score(y_true[rows], y_pred[rows]) for rows in drawn]).std(ddof=1)
    assert metric.std_error(y_true, y_pred) == pytest.approx(bootstrap, rel=0.12)


def test_what_is_not_defined_is_nan_and_no_warning() -> None:
    ones, half, first = np.ones(4), np.full(4, 0.5), np.eye(3)[[0, 0, 0, 0]]
    cases = [("auc", ones, half), ("r2", ones, half), ("r2", ones, ones), ("quadratic_kappa", 0 * ones, first)]
    for name, y_true, y_pred in cases:
        assert np.isnan(METRICS[name].score(y_true, y_pred)), name
        assert np.isnan(METRICS[name].quick_score(y_true, y_pred)), name
    assert METRICS["f1"].score(0 * ones, 0 * ones) == 0


def test_a_probability_that_a_mean_left_above_1_by_a_bit_is_1() -> None:
    y_true, above = np.array([0.0, 1.0]), np.array([0.2, np.nextafter(1, 2)])
    assert METRICS["log_loss"].score(y_true, above) == pytest.approx(-np.log(0.8) / 2)


def test_what_reads_stored_rows_or_asks_at_every_epoch_does_without_scikit_learn() -> None:
    """Importing it takes a second, which the leaderboard does not."""
    code = """
import sys, numpy as np
from houseprice.metrics import METRICS
for metric in METRICS.values():
    y_pred = np.array([0.2, 0.8]) if "multiclass" not in metric.tasks else np.eye(2)
    metric.row_losses(np.array([0.0, 1.0]), y_pred), metric.quick_score(np.array([0.0, 1.0]), y_pred)
assert "sklearn" not in sys.modules
METRICS["rmse"].score(np.zeros(2), np.ones(2))
assert "sklearn" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, env=environment())


def test_a_class_that_nobody_has_does_not_count() -> None:
    y_true, y_pred = np.array([0.0, 0.0, 2.0, 2.0]), np.eye(3)[[0, 2, 2, 2]]
    for name in ("macro_f1", "balanced_accuracy"):
        metric = METRICS[name]
        assert metric.score(y_true, y_pred) == pytest.approx(sklearns(metric, y_true, y_pred))
        assert np.isfinite(metric.row_losses(y_true, y_pred)).all()


# where two classes are told apart ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["accuracy", "f1", "balanced_accuracy"])
def test_no_other_threshold_is_better(name: str) -> None:
    metric = METRICS[name]
    y_true, probability = predicted(metric, "binary", 80, seed=5)
    threshold = metric.threshold(y_true, probability)
    assert threshold is not None
    best = metric.score(y_true, decide(probability, threshold))
    others = [metric.quick_score(y_true, decide(probability, cut)) for cut in np.linspace(0, 1, 2001)]
    assert best >= max(others) - 1e-12
    ties = [cut for cut, other in zip(np.linspace(0, 1, 2001), others, strict=True) if other >= best - 1e-12]
    assert abs(threshold - 0.5) <= min(abs(cut - 0.5) for cut in ties) + 0.02  # candidates lie in the middle


def test_of_equal_thresholds_the_nearest_to_a_half_is_taken() -> None:
    assert METRICS["accuracy"].threshold(np.array([0.0, 1.0]), np.array([0.3, 0.8])) == 0.5
    assert METRICS["accuracy"].threshold(np.array([0.0, 1.0]), np.array([0.6, 0.8])) == pytest.approx(0.7)


def test_only_what_reads_labels_of_two_classes_has_a_threshold() -> None:
    two, more = predicted(METRICS["auc"], "binary"), predicted(METRICS["accuracy"], "multiclass")
    assert METRICS["auc"].threshold(*two) is None
    assert METRICS["accuracy"].threshold(*more) is None


def test_the_threshold_of_a_fold_does_not_see_its_rows() -> None:
    metric = METRICS["f1"]
    y_true, probability = predicted(metric, "binary", 90)
    fold_of_row = np.arange(90) % 3
    decided = metric.decided(y_true, probability, fold_of_row, in_time=False)
    inside = fold_of_row == 1
    turned = np.where(inside, 1 - y_true, y_true)  # the fold's own truth is nothing to its decisions
    np.testing.assert_array_equal(
        metric.decided(turned, probability, fold_of_row, in_time=False)[inside], decided[inside]
    )
    threshold = metric.threshold(y_true[~inside], probability[~inside])
    np.testing.assert_array_equal(decided[inside], decide(probability[inside], threshold))
    np.testing.assert_array_equal(METRICS["auc"].decided(y_true, probability, fold_of_row, in_time=False), probability)


def test_in_time_the_threshold_of_a_fold_sees_earlier_rows_alone() -> None:
    metric = METRICS["f1"]
    y_true, probability = predicted(metric, "binary", 120)
    fold_of_row = np.repeat(np.arange(4), 30)
    found = metric.thresholds(y_true, probability, fold_of_row, in_time=True)
    past = [fold_of_row < fold for fold in range(4)]
    assert found == {
        0: 0.5,
        **{fold: metric.threshold(y_true[past[fold]], probability[past[fold]]) for fold in (1, 2, 3)},
    }
    turned = np.where(fold_of_row >= 2, 1 - y_true, y_true)
    after = metric.thresholds(turned, probability, fold_of_row, in_time=True)
    assert [after[fold] for fold in (0, 1, 2)] == [found[fold] for fold in (0, 1, 2)]


# a user's own -----------------------------------------------------------------------------------------------------


def test_every_metric_has_a_task_and_every_task_its_metrics() -> None:
    assert {name for names in METRICS_OF.values() for name in names} == set(METRICS)
    for name, metric in METRICS.items():
        assert metric.tasks == tuple(task for task in METRICS_OF if name in METRICS_OF[task])


def test_a_users_metric_is_called_as_scikit_learn_calls_its_own() -> None:
    cases: tuple[tuple[str, Reads, Task, str], ...] = (
        ("sklearn.metrics.roc_auc_score", "probability", "binary", "auc"),
        ("sklearn.metrics.balanced_accuracy_score", "label", "multiclass", "balanced_accuracy"),
        ("sklearn.metrics.r2_score", "value", "regression", "r2"),
    )
    for path, reads, task, known in cases:
        metric = own_metric(path, task, reads, True)
        y_true, y_pred = predicted(METRICS[known], task, 150)
        assert metric.score(y_true, y_pred) == pytest.approx(METRICS[known].score(y_true, y_pred))
        exact = METRICS[known].std_error(y_true, y_pred)
        assert metric.std_error(y_true, y_pred) == pytest.approx(exact, rel=0.05)  # one row a block


def test_a_jackknife_by_blocks_agrees_with_the_exact_error() -> None:
    metric = own_metric("sklearn.metrics.root_mean_squared_error", "regression", "value", False)
    y_true, y_pred = (np.log(values) for values in prices(1500))
    losses = metric.row_losses(y_true, y_pred)
    assert losses.mean() == pytest.approx(metric.score(y_true, y_pred))
    assert metric.std_error(y_true, y_pred) == pytest.approx(METRICS["rmse"].std_error(y_true, y_pred), rel=0.15)


def test_a_users_threshold_is_searched_too() -> None:
    own = own_metric("sklearn.metrics.f1_score", "binary", "label", True)
    y_true, probability = predicted(METRICS["f1"], "binary", 80)
    found = own.threshold(y_true, probability)
    exact = METRICS["f1"].threshold(y_true, probability)
    assert found == pytest.approx(exact)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no_such_module.metric", "can't be imported"),
        ("sklearn.metrics.f1_scor", "did you mean 'f1_score'"),
    ],
)
def test_a_users_metric_that_is_none_is_an_error_with_the_way_out(path: str, message: str) -> None:
    with pytest.raises(MetricError, match=message):
        own_metric(path, "binary", "label", True)


def test_a_users_metric_that_fails_is_named() -> None:
    metric = own_metric("sklearn.metrics.log_loss", "binary", "probability", False)
    with pytest.raises(MetricError, match=r"metric sklearn.metrics.log_loss failed on 3 rows: .* Mend it\."):
        metric.score(np.zeros(3), np.full(3, 0.5))


# what is drawn of classes -----------------------------------------------------------------------------------------


def test_a_confusion_matrix_counts_what_is_scored() -> None:
    metric = METRICS["f1"]
    y_true, probability = predicted(metric, "binary", 90)
    fold_of_row = np.arange(90) % 3
    ids = tuple(map(str, range(90)))
    counts = confusion_of(metric, Evidence(ids, y_true, probability, fold_of_row[None]))
    decided = metric.decided(y_true, probability, fold_of_row, in_time=False)
    np.testing.assert_array_equal(counts, sklearn.metrics.confusion_matrix(y_true, decided))
    assert scores.f1(counts) == pytest.approx(metric.score(y_true, decided))


def test_calibration_says_how_often_bands_came_true() -> None:
    random = np.random.default_rng(0)
    probability = random.random(20_000)
    y_true = (random.random(20_000) < probability).astype(float)
    mean, share, error = calibration_of(y_true, probability)
    assert len(mean) == 10
    assert (np.abs(share - mean) < 4 * error).all()
    np.testing.assert_allclose(mean, np.arange(0.05, 1, 0.1), atol=0.02)
    assert len(calibration_of(y_true, np.full(20_000, 0.5))[0]) == 1
    of_most_probable = calibration_of(*predicted(METRICS["accuracy"], "multiclass", 400))
    assert of_most_probable[0].min() >= 0.25
