"""Scores that are no mean over rows, each with its influence: how the score moves as a row's weight does.

The influence of a row is n times the derivative of the score with respect to the row's weight, at equal weights (Efron,
*The Jackknife, the Bootstrap and Other Resampling Plans*, 1982, ch. 6: the infinitesimal jackknife). Influences are of
mean 0, because a score does not change where all weights grow alike. Where a score is not defined (no positive row,
say) it is NaN.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Confusion = Callable[[Float], Float]
"""From counts [..., true class, predicted class] to scores [...]."""
Slopes = Callable[[Float], Float]
"""From counts [true class, predicted class] to the score's derivatives by each count, of the same shape."""


def confusion(y_true: Float, labels: Float, n_classes: int) -> Float:
    """How many rows of each class have been given each class, float64 [n_classes, n_classes]; classes as codes."""
    cells = y_true.astype(np.int64) * n_classes + labels.astype(np.int64)
    return np.bincount(cells, minlength=n_classes**2).reshape(n_classes, n_classes).astype(np.float64)


def _ratio(above: Float, below: Float) -> Float:
    """Their quotient, NaN where it is not defined."""
    above, below = np.broadcast_arrays(above, below)
    return np.asarray(np.divide(above, below, out=np.full(below.shape, np.nan), where=below != 0))


def _mean_known(values: Float) -> Float:
    """The mean over the last axis of what is a number; NaN where nothing is."""
    known = np.isfinite(values)
    return _ratio(np.where(known, values, 0.0).sum(axis=-1), known.sum(axis=-1).astype(np.float64))


def _diagonal(counts: Float) -> Float:
    return np.diagonal(counts, axis1=-2, axis2=-1)


def accuracy(counts: Float) -> Float:
    """Share of the rows that have been given their class."""
    return _ratio(_diagonal(counts).sum(axis=-1), counts.sum(axis=(-2, -1)))


def accuracy_slopes(counts: Float) -> Float:
    """Derivatives of `accuracy`."""
    return np.asarray((np.eye(len(counts)) - accuracy(counts)) / counts.sum())


def balanced_accuracy(counts: Float) -> Float:
    """Mean over the classes that occur of the share of their rows that have been given them."""
    return _mean_known(_ratio(_diagonal(counts), counts.sum(axis=-1)))


def balanced_accuracy_slopes(counts: Float) -> Float:
    """Derivatives of `balanced_accuracy`."""
    of_class = counts.sum(axis=1)
    recall = _ratio(_diagonal(counts), of_class)
    slopes = _ratio(np.eye(len(counts)) - recall[:, None], of_class[:, None]) / np.isfinite(recall).sum()
    return np.asarray(np.nan_to_num(slopes))


def f1_of_classes(counts: Float) -> Float:
    """Harmonic mean of precision and recall of each class [..., class]; NaN where nobody has it or is given it."""
    return _ratio(2 * _diagonal(counts), counts.sum(axis=-1) + counts.sum(axis=-2))


def f1(counts: Float) -> Float:
    """F1 of the second of two classes; 0, as scikit-learn has it, where nobody has it or is given it."""
    return np.asarray(np.nan_to_num(f1_of_classes(counts)[..., 1]))


def f1_slopes(counts: Float) -> Float:
    """Derivatives of `f1`."""
    return np.asarray(_slopes_of_f1(counts)[1])


def macro_f1(counts: Float) -> Float:
    """Mean F1 of the classes that occur."""
    return _mean_known(f1_of_classes(counts))


def macro_f1_slopes(counts: Float) -> Float:
    """Derivatives of `macro_f1`."""
    return np.asarray(_slopes_of_f1(counts).sum(axis=0) / np.isfinite(f1_of_classes(counts)).sum())


def _slopes_of_f1(counts: Float) -> Float:
    """Derivatives of every class's F1, [class, true class, predicted class]; 0 for a class that does not occur."""
    one = np.eye(len(counts))
    hits = one[:, :, None] * one[:, None, :]  # 1 in the diagonal cell of the class
    occurs = one[:, :, None] + one[:, None, :]
    totals = counts.sum(axis=0) + counts.sum(axis=1)
    return np.asarray(
        np.nan_to_num(_ratio(2 * hits - f1_of_classes(counts)[:, None, None] * occurs, totals[:, None, None]))
    )


def quadratic_kappa(counts: Float) -> Float:
    """Agreement beyond chance, disagreements weighted by their squared distance in the order of the classes.

    Cohen, "Weighted kappa", *Psychological Bulletin* 70 (1968).
    """
    weights = _squared_distances(counts.shape[-1])
    observed = (weights * counts).sum(axis=(-2, -1))
    return np.asarray(1 - _ratio(observed, _expected_by_chance(counts, weights)))


def quadratic_kappa_slopes(counts: Float) -> Float:
    """Derivatives of `quadratic_kappa`."""
    weights, n_rows = _squared_distances(len(counts)), counts.sum()
    true, given = counts.sum(axis=1), counts.sum(axis=0)
    observed, expected = (weights * counts).sum(), _expected_by_chance(counts, weights)
    slopes = ((weights @ given)[:, None] + (weights @ true)[None, :] - expected) / n_rows
    return _ratio(observed * slopes - weights * expected, np.square(expected))


def _squared_distances(n_classes: int) -> Float:
    places = np.arange(n_classes, dtype=np.float64)
    return np.square(places[:, None] - places)


def _expected_by_chance(counts: Float, weights: Float) -> Float:
    """The weighted disagreement of as many rows of each class, were they given classes at random."""
    true, given = counts.sum(axis=-1), counts.sum(axis=-2)
    return _ratio(np.einsum("...j,jk,...k->...", true, weights, given), counts.sum(axis=(-2, -1)))


def confusion_influence(y_true: Float, labels: Float, counts: Float, slopes: Float) -> Float:
    """The influence of each row, float64 [n_rows], on a score that is made of counts."""
    return np.asarray(counts.sum() * slopes[y_true.astype(np.int64), labels.astype(np.int64)])


def auc_with_influence(y_true: Float, probability: Float) -> tuple[float, Float]:
    """Area under the ROC curve: how often a positive row has the higher probability of two; and its influence.

    The influences are the placement values of DeLong, DeLong & Clarke-Pearson, "Comparing the areas under two or more
    correlated receiver operating characteristic curves", *Biometrics* 44 (1988).
    """
    positive = y_true == 1
    high, low = np.sort(probability[positive]), np.sort(probability[~positive])
    if not len(high) or not len(low):
        return np.nan, np.zeros(len(y_true))
    above = (np.searchsorted(low, probability) + np.searchsorted(low, probability, "right")) / (2 * len(low))
    below = 1 - (np.searchsorted(high, probability) + np.searchsorted(high, probability, "right")) / (2 * len(high))
    area = float(above[positive].mean())
    placed = np.where(positive, above - area, below - area)
    return area, np.asarray(placed * len(y_true) / np.where(positive, len(high), len(low)))


def r2_with_influence(y_true: Float, y_pred: Float) -> tuple[float, Float]:
    """Coefficient of determination, and its influence; NaN where all targets are equal."""
    errors, deviations = np.square(y_true - y_pred), np.square(y_true - y_true.mean())
    if not deviations.sum():
        return np.nan, np.zeros(len(y_true))
    unexplained = errors.sum() / deviations.sum()
    influence = -(errors - unexplained * deviations) * len(y_true) / deviations.sum()
    return float(1 - unexplained), np.asarray(influence)


MOST_BLOCKS = 200


def jackknife_influence(score: Callable[[NDArray[np.bool_]], float], n_rows: int, whole: float) -> Float:
    """The influence of each row on any score, by leaving out blocks of rows, at most `MOST_BLOCKS` of them.

    Rows of a block are known by their mean alone (Efron 1982, §2.2: the grouped jackknife), which varies less than they
    do; it is scaled by the square root of their number, so that the standard error is that of rows.

    Parameters
    ----------
    score
        Of the rows that a mask [n_rows] keeps.
    n_rows
        How many there are.
    whole
        The score of all.
    """
    if n_rows < 2:
        return np.zeros(n_rows)
    block_of_row = np.arange(n_rows) % min(n_rows, MOST_BLOCKS)
    influence = np.empty(n_rows)
    for block in range(block_of_row.max() + 1):
        inside = block_of_row == block
        size = int(inside.sum())
        influence[inside] = (n_rows - size) / np.sqrt(size) * (whole - score(~inside))
    return np.asarray(influence - influence.mean())


def calibration(came_true: Float, probability: Float, n_bands: int = 10) -> tuple[Float, Float, Float]:
    """Bands of about as many rows each by their probability: its mean, the share that came true, and its error.

    DeGroot & Fienberg, "The comparison and evaluation of forecasters", *The Statistician* 32 (1983).

    Returns
    -------
    float64 [n_bands] each
        Fewer than asked for where many rows have the same probability; the standard error is binomial.
    """
    edges = np.unique(np.quantile(probability, np.linspace(0, 1, n_bands + 1)))
    band = np.clip(np.searchsorted(edges, probability, side="right") - 1, 0, max(len(edges) - 2, 0))
    counts = np.bincount(band)
    inside = counts > 0
    mean, share = (np.bincount(band, values)[inside] / counts[inside] for values in (probability, came_true))
    return mean, share, np.sqrt(share * (1 - share) / counts[inside])
