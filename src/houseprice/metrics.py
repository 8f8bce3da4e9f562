"""Competition metrics, and the link scale on which models predict and averages are taken.

Every metric is told as one loss a row, lower being better, and a function of their mean that is the score: so
intervals, tests and estimates of luck (`houseprice.compete.statistics`) are the same for all. For metrics that are no
function of a mean over rows (`houseprice.scores`) the losses are pseudo-values: 1 - (score + influence of the row),
whose mean is 1 - score. The score that is reported is scikit-learn's; a test holds the row losses to it.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from houseprice import scores
from houseprice.errors import MetricError, listing
from houseprice.tasks import Reads, Task

Float = NDArray[np.float64]
Int = NDArray[np.int64]
RowLosses = Callable[[Float, Float], Float]
"""From the truth and what is predicted, link scale, to the loss of each row, float64 [n_rows]."""
Scored = Callable[[Float, Float], float]
"""From the same to the score."""


class OutOfFold(Protocol):
    """Out-of-fold predictions with the truth: a run, an ensemble, or the leaderboard's evidence of either.

    Arrays are as `Metric` takes them, ``fold_of_row`` int64 [n_repeats, n_rows]. ``in_time``: folds are numbered in the
    order of time.
    """

    @property
    def target(self) -> Float: ...
    @property
    def oof(self) -> Float: ...
    @property
    def fold_of_row(self) -> Int: ...
    @property
    def in_time(self) -> bool: ...


def teaching_rows(fold_of_row: Int, fold: int, in_time: bool) -> NDArray[np.bool_]:
    """From which rows may be learnt what is scored on a fold: from those of all others, in time of earlier ones.

    >>> teaching_rows(np.array([0, 0, 1, 2]), 1, in_time=True)
    array([ True,  True, False, False])
    """
    return fold_of_row < fold if in_time else fold_of_row != fold


@dataclass(frozen=True)
class Metric:
    """A competition's metric.

    The truth is float64 [n_rows]: numbers on the link scale, or classes as codes 0, 1, … Predictions are numbers on the
    link scale, [n_rows]; probabilities of the second of two classes, [n_rows]; or of every class, [n_rows, n_classes].
    A class that was decided on is a probability of 0 or 1.

    Attributes
    ----------
    name
        As written in the competition file.
    tasks
        What it can score.
    reads
        Whether it looks at values, at probabilities, or at classes alone.
    greater_is_better
        Of the score; of row losses less is better always.
    of_mean
        What the score is of the mean of the row losses: itself, its square root, or one less it.
    scored
        The score, by a function of scikit-learn or a user's own; NaN where it is not defined.
    losses
        The row losses.
    to_link, from_link
        Natural units (prices) to the link scale (log prices) and back, elementwise.
    above
        Targets and predictions are greater than this, natural units.
    counted
        Of metrics of the confusion matrix alone: the score of counts [..., true class, predicted class].
    is_own
        Whether it is a user's own, whose row losses cost many calls of it.
    """

    name: str
    tasks: tuple[Task, ...]
    reads: Reads
    greater_is_better: bool
    of_mean: Literal["mean", "root", "complement"]
    scored: Scored
    losses: RowLosses
    to_link: Callable[[Float], Float] = np.asarray
    from_link: Callable[[Float], Float] = np.asarray
    above: float = -np.inf
    counted: scores.Confusion | None = None
    is_own: bool = False

    @property
    def needs_positive(self) -> bool:
        """Whether targets and predictions must be > 0 in natural units."""
        return self.above == 0

    @property
    def rule(self) -> str:
        """What targets and predictions must be: ``finite``, ``> 0``."""
        return "finite" if self.above == -np.inf else f"> {self.above:g}"

    def allows(self, values: Float) -> NDArray[np.bool_]:
        """Which values, natural units, keep the rule, bool [n_rows]."""
        allowed = np.isfinite(values) & (values > self.above)
        return np.asarray(allowed & (values != 0) if self.name == "mape" else allowed)

    def link(self, values: Float, what: str) -> Float:
        """Carry values in natural units to the link scale, refusing those outside the metric's domain.

        Parameters
        ----------
        values
            float64 [n_rows], natural units.
        what
            What the values are, for the message: ``"SalePrice in train.csv"``.

        Raises
        ------
        MetricError
            Naming the rows (from 0) and the values that are not finite or not positive.
        """
        valid = np.isfinite(values) & (values > self.above)
        if not valid.all():
            rows = np.flatnonzero(~valid)
            rule = "finite values" if self.above == -np.inf else f"values {self.rule}"
            raise MetricError(
                f"{what}: {len(rows)} of {len(values)} values break the rule of metric {self.name}, {rule} "
                f"(rows {listing(rows)}: {listing(values[rows])}). "
                "Correct them, or give the experiment a `floor` that predictions are raised to."
            )
        return self.to_link(values)

    def row_losses(self, y_true: Float, y_pred: Float) -> Float:
        """The loss of every row, float64 [n_rows], lower is better; NaN where the score is not defined.

        >>> METRICS["auc"].row_losses(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.1, 0.6, 0.5, 0.9]))
        array([-0.25,  0.75,  0.75, -0.25])
        """
        return self.losses(y_true, y_pred)

    def score(self, y_true: Float, y_pred: Float) -> float:
        """The score as the competition defines it; NaN where it is not defined. Classes are told apart at 0.5.

        For ``log_rmse`` this is the score of the House Prices competition: the RMSE of the natural log of the
        price (https://www.kaggle.com/c/house-prices-advanced-regression-techniques, Evaluation).

        >>> METRICS["log_rmse"].score(np.log([100.0, 200.0]), np.log([100.0, 200.0 * np.e]))
        0.7071067811865476
        """
        return self.scored(y_true, y_pred)

    def quick_score(self, y_true: Float, y_pred: Float) -> float:
        """`score` but for last bits, for learning curves and importance, which ask for it at every epoch and column.

        scikit-learn's checks take 0.4 ms at least, as long as a small network's epoch; this takes 0.02 ms for 1,000
        rows. Of a user's own metric it is `score` itself.
        """
        if self.is_own:
            return self.score(y_true, y_pred)
        if self.counted:
            return float(self.counted(_counts(y_true, y_pred)))
        return float(self.score_of_losses(self.row_losses(y_true, y_pred).mean()))

    def score_of_losses(self, mean_losses: Float) -> Float:
        """The score of a mean of row losses, elementwise."""
        if self.of_mean == "root":
            return np.sqrt(mean_losses)
        return np.asarray(1 - mean_losses) if self.of_mean == "complement" else mean_losses

    def influence(self, losses: Float) -> Float:
        """How much each row moves the score: float64 [n_rows], of mean 0; all 0 for a perfect fit.

        The row losses' deviations from their mean m times the slope of `score_of_losses` there: 1 / (2 √m) of a root.
        (Wasserman, *All of Nonparametric Statistics*, §2.3.)
        """
        mean = losses.mean()
        if self.of_mean != "root":
            return np.asarray(mean - losses if self.of_mean == "complement" else losses - mean)
        return (losses - mean) / (2 * np.sqrt(mean)) if mean > 0 else np.zeros_like(losses)

    def std_error(self, y_true: Float, y_pred: Float) -> float:
        """Standard error of `score` over the draw of rows, by the delta method.

        With the losses' mean m and standard deviation s over n rows, sd(√m) ≈ s / (2 √m √n); for fewer than two
        rows, or a perfect fit, it is 0. (Wasserman, *All of Statistics*, §9.9.)
        """
        influence = self.influence(self.row_losses(y_true, y_pred))
        return float(influence.std(ddof=1) / np.sqrt(len(influence))) if len(influence) > 1 else 0.0

    def better(self, difference: float) -> bool:
        """Whether a score that differs so from another is the better one."""
        return difference > 0 if self.greater_is_better else difference < 0

    @property
    def better_side(self) -> str:
        """Where, seen from 0, a difference from another score lies that is for the better: ``above`` or ``below``."""
        return "above" if self.greater_is_better else "below"

    def error(self, score: float) -> float:
        """The score as something to be lowered, for curves and importance: 1 - score where greater is better."""
        return 1 - score if self.greater_is_better else score

    @property
    def error_name(self) -> str:
        """What `error` is called: ``rmse``, ``1 - accuracy``."""
        return f"1 - {self.name}" if self.greater_is_better else self.name

    def needs_threshold(self, y_pred: Float) -> bool:
        """Whether predictions are to be cut into two classes at a threshold that is learnt."""
        return self.reads == "label" and y_pred.ndim == 1

    def threshold(self, y_true: Float, y_pred: Float) -> float | None:
        """The probability from which on the second of two classes is given, so that the score is best.

        Candidates lie in the middle between neighbouring probabilities; of equally good ones the nearest to 0.5 is
        taken. None where there is nothing to decide: more classes than two go by the greatest probability.

        >>> METRICS["accuracy"].threshold(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.1, 0.2, 0.3, 0.4]))
        0.25
        """
        if not self.needs_threshold(y_pred):
            return None
        known = np.unique(np.concatenate([y_pred, [0.0, 1.0]]))
        candidates = np.append((known[1:] + known[:-1]) / 2, 0.5)
        if self.counted:
            found = self.counted(_counts_at(candidates, y_true, y_pred))
        else:
            if len(candidates) > scores.MOST_BLOCKS:
                candidates = np.append(np.quantile(candidates, np.linspace(0, 1, scores.MOST_BLOCKS)), 0.5)
            found = np.array([self.score(y_true, decide(y_pred, each)) for each in candidates])
        losses = np.nan_to_num(-found if self.greater_is_better else found, nan=np.inf)
        best = candidates[losses <= losses.min() + 1e-12]
        return float(best[np.abs(best - 0.5).argmin()])

    def decided(self, y_true: Float, y_pred: Float, fold_of_row: Int, in_time: bool) -> Float:
        """Out-of-fold predictions as they are scored: where classes are read, cut at what the other folds' rows say.

        Parameters
        ----------
        y_true, y_pred
            The truth, and out-of-fold predictions.
        fold_of_row, in_time
            int64 [n_rows]: the threshold that decides on the rows of a fold is learnt from those of all others, in time
            from those of earlier ones.
        """
        if not self.needs_threshold(y_pred):
            return y_pred
        found = np.empty_like(y_pred)
        for fold, threshold in self.thresholds(y_true, y_pred, fold_of_row, in_time).items():
            inside = fold_of_row == fold
            found[inside] = decide(y_pred[inside], threshold)
        return found

    def thresholds(self, y_true: Float, y_pred: Float, fold_of_row: Int, in_time: bool) -> dict[int, float | None]:
        """The threshold that decides on each fold, learnt from its `teaching_rows`; 0.5 for the first in time."""
        found: dict[int, float | None] = {}
        for fold in np.unique(fold_of_row).tolist():
            others = teaching_rows(fold_of_row, fold, in_time)
            found[fold] = self.threshold(y_true[others], y_pred[others]) if others.any() else 0.5
        return found

    def oof_losses(self, found: OutOfFold) -> Float:
        """The row losses of out-of-fold predictions as they are scored (`decided`), float64 [n_rows]."""
        decided = self.decided(found.target, found.oof, found.fold_of_row[0], found.in_time)
        return self.row_losses(found.target, decided)


def confusion_of(metric: Metric, found: OutOfFold) -> Float:
    """The confusion matrix of out-of-fold predictions as they are scored, float64 [true class, given class].

    Where the metric reads probabilities, two classes are told apart at 0.5.
    """
    return _counts(found.target, metric.decided(found.target, found.oof, found.fold_of_row[0], found.in_time))


def calibration_of(y_true: Float, y_pred: Float) -> tuple[Float, Float, Float]:
    """`houseprice.scores.calibration` of the second of two classes; of more, of the most probable one.

    Guo, Pleiss, Sun & Weinberger, "On calibration of modern neural networks", ICML 2017, §2.
    """
    if y_pred.ndim == 1:
        return scores.calibration(y_true, y_pred)
    return scores.calibration((labels_of(y_pred) == y_true).astype(np.float64), y_pred.max(axis=1))


def decide(probability: Float, threshold: float | None) -> Float:
    """Probabilities of the second of two classes as 0 or 1; without a threshold they stay as they are."""
    return probability if threshold is None else (probability >= threshold).astype(np.float64)


def labels_of(y_pred: Float) -> Float:
    """The class of each row as a code, float64 [n_rows]: from 0.5 on the second of two, or the most probable."""
    return (y_pred >= 0.5).astype(np.float64) if y_pred.ndim == 1 else y_pred.argmax(axis=1).astype(np.float64)


def _counts(y_true: Float, y_pred: Float) -> Float:
    return scores.confusion(y_true, labels_of(y_pred), 2 if y_pred.ndim == 1 else y_pred.shape[1])


def _counts_at(thresholds: Float, y_true: Float, probability: Float) -> Float:
    """The confusion matrix of two classes at each threshold, float64 [n_thresholds, 2, 2]."""
    of_class = [np.sort(probability[y_true == code]) for code in (0, 1)]
    below = np.stack([np.searchsorted(known, thresholds, "left") for known in of_class], axis=1)  # [threshold, class]
    sizes = np.array([len(known) for known in of_class])
    return np.stack([below, sizes - below], axis=2).astype(np.float64)


# ------------------------------------------------------------------------------------------------- by scikit-learn


def as_sklearn_takes(y_true: Float, y_pred: Float, reads: Reads) -> tuple[NDArray[Any], NDArray[Any]]:
    """Truth and predictions: numbers; codes, int64, beside codes or probabilities."""
    if reads == "value":
        return y_true, y_pred
    if reads == "label":
        return y_true.astype(np.int64), labels_of(y_pred).astype(np.int64)
    return y_true.astype(np.int64), np.clip(y_pred, 0.0, 1.0)  # weighted means leave it by last bits


def _by_sklearn(
    name: str, reads: Reads = "value", *, needs_spread: bool = False, all_classes: bool = False, **options: Any
) -> Scored:
    """A function of `sklearn.metrics`, which is imported when it is called: that takes a second.

    With ``needs_spread`` it is not asked where all truths are equal; with ``all_classes`` it is told of those, too,
    that do not occur.
    """

    def scored(y_true: Float, y_pred: Float) -> float:
        from sklearn import metrics

        if needs_spread and (y_true == y_true[0]).all():
            return np.nan
        told = {"labels": np.arange(2 if y_pred.ndim == 1 else y_pred.shape[1])} if all_classes else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of classes that do not occur; a score that is not defined is NaN
            return float(getattr(metrics, name)(*as_sklearn_takes(y_true, y_pred, reads), **told, **options))

    return scored


# ------------------------------------------------------------------------------------------------- losses of rows


def _squared(y_true: Float, y_pred: Float) -> Float:
    return np.square(y_true - y_pred)


def _absolute(y_true: Float, y_pred: Float) -> Float:
    return np.abs(y_true - y_pred)


def _relative(y_true: Float, y_pred: Float) -> Float:
    return np.asarray(np.abs(y_true - y_pred) / np.maximum(np.abs(y_true), np.finfo(np.float64).eps))


def _log_loss(y_true: Float, y_pred: Float) -> Float:
    """-log of the probability of the row's own class; one of 0 counts as the least that is not."""
    eps = float(np.finfo(np.float64).eps)
    if y_pred.ndim == 1:
        own = np.where(y_true == 1, y_pred, 1 - y_pred)
    else:
        own = y_pred[np.arange(len(y_true)), y_true.astype(np.int64)]
    return np.asarray(-np.log(np.clip(own, eps, 1.0)))


def _mistaken(y_true: Float, y_pred: Float) -> Float:
    return np.asarray(labels_of(y_pred) != y_true, np.float64)


def _pseudo_values(with_influence: Callable[[Float, Float], tuple[float, Float]]) -> RowLosses:
    def losses(y_true: Float, y_pred: Float) -> Float:
        score, influence = with_influence(y_true, y_pred)
        return np.asarray(1 - (score + influence))

    return losses


def _of_counts(
    name: str, tasks: tuple[Task, ...], scored: Scored, counted: scores.Confusion, slopes: scores.Slopes
) -> Metric:
    """A metric of the confusion matrix."""

    def with_influence(y_true: Float, y_pred: Float) -> tuple[float, Float]:
        counts = _counts(y_true, y_pred)
        labels = labels_of(y_pred)
        return float(counted(counts)), scores.confusion_influence(y_true, labels, counts, slopes(counts))

    losses = _mistaken if counted is scores.accuracy else _pseudo_values(with_influence)
    return Metric(name, tasks, "label", True, "complement", scored, losses, counted=counted)


def _exp(values: Float) -> Float:
    """eᵛ; beyond all floats it is infinite, which whoever takes prices refuses by name."""
    with np.errstate(over="ignore"):
        return np.exp(values)


def _expm1(values: Float) -> Float:
    """eᵛ - 1, but nothing below 0: competitions that are scored by rmsle refuse it."""
    with np.errstate(over="ignore"):
        return np.maximum(np.expm1(values), 0.0)


def _known() -> dict[str, Metric]:
    numbers: tuple[Task, ...] = ("regression",)
    two: tuple[Task, ...] = ("binary",)
    more: tuple[Task, ...] = ("multiclass",)
    both = (*two, *more)
    of_rmse = _by_sklearn("root_mean_squared_error")  # on the link scale, where prices are logs
    of_mae, of_mape = _by_sklearn("mean_absolute_error"), _by_sklearn("mean_absolute_percentage_error")
    of_r2 = _by_sklearn("r2_score", needs_spread=True)
    of_auc = _by_sklearn("roc_auc_score", "probability", needs_spread=True)
    of_log_loss = _by_sklearn("log_loss", "probability", all_classes=True)
    of_accuracy, of_balanced = _by_sklearn("accuracy_score", "label"), _by_sklearn("balanced_accuracy_score", "label")
    of_f1, of_macro_f1 = (_by_sklearn("f1_score", "label", average=average) for average in ("binary", "macro"))
    of_kappa = _by_sklearn("cohen_kappa_score", "label", all_classes=True, weights="quadratic")
    known = (
        Metric("log_rmse", numbers, "value", False, "root", of_rmse, _squared, np.log, _exp, above=0.0),
        Metric("rmsle", numbers, "value", False, "root", of_rmse, _squared, np.log1p, _expm1, above=-1.0),
        Metric("rmse", numbers, "value", False, "root", of_rmse, _squared),
        Metric("mae", numbers, "value", False, "mean", of_mae, _absolute),
        Metric("mape", numbers, "value", False, "mean", of_mape, _relative),
        Metric("r2", numbers, "value", True, "complement", of_r2, _pseudo_values(scores.r2_with_influence)),
        Metric("auc", two, "probability", True, "complement", of_auc, _pseudo_values(scores.auc_with_influence)),
        Metric("log_loss", both, "probability", False, "mean", of_log_loss, _log_loss),
        _of_counts("accuracy", both, of_accuracy, scores.accuracy, scores.accuracy_slopes),
        _of_counts("f1", two, of_f1, scores.f1, scores.f1_slopes),
        _of_counts("balanced_accuracy", two, of_balanced, scores.balanced_accuracy, scores.balanced_accuracy_slopes),
        _of_counts("macro_f1", more, of_macro_f1, scores.macro_f1, scores.macro_f1_slopes),
        _of_counts("quadratic_kappa", more, of_kappa, scores.quadratic_kappa, scores.quadratic_kappa_slopes),
    )
    return {metric.name: metric for metric in known}


METRICS = _known()
