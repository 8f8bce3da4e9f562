"""Weights over runs, found on out-of-fold predictions and scored on rows that did not choose them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from houseprice.config import Ensemble
from houseprice.errors import DataError, listing
from houseprice.learn.crossval import Run
from houseprice.metrics import Metric

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Blend:
    """A fitted ensemble. Predictions are on the link scale, aligned to the ids beside them.

    Attributes
    ----------
    runs
        The names of the runs.
    weights
        float64 [n_runs], ≥ 0, summing to 1: fitted on all rows, used for the test predictions.
    train_ids, test_ids
        The ids of the rows, as text.
    fold_of_row
        int64 [1, n_train]: the runs' first repeat, by which the weights are cross-fitted.
    target, oof
        float64 [n_train]; each row of ``oof`` is weighted by weights that were fitted without its fold.
    test
        float64 [n_test].
    score, std_error, fold_scores
        The metric of ``oof`` (cross-fitted), its standard error, and the metric of each fold.
    naive_score
        The metric with ``weights`` on the very rows that chose them: too good.
    mean_score
        The metric of the plain mean of the runs.
    """

    runs: tuple[str, ...]
    weights: Float
    train_ids: tuple[str, ...]
    test_ids: tuple[str, ...]
    fold_of_row: NDArray[np.int64]
    target: Float
    oof: Float
    test: Float
    score: float
    std_error: float
    fold_scores: Float
    naive_score: float
    mean_score: float


def blend(recipe: Ensemble, runs: Sequence[Run], metric: Metric) -> Blend:
    """Combine runs by the recipe's method and score the combination by cross-fitting.

    For every fold of the first repeat, the weights are fitted on the other folds' out-of-fold predictions and
    applied to the fold's rows; the score is over all rows so predicted.

    Parameters
    ----------
    recipe
        ``method``: "mean", "nnls" (`nnls_weights`) or "greedy" (`greedy_weights`).
    runs
        The runs in the recipe's order, on the same folds. Rows are matched by id.
    metric
        Scores on the link scale.

    Raises
    ------
    DataError
        If the runs are not of the same rows.
    """
    first = runs[0]
    oof = np.column_stack([_matched(run.oof, run.train_ids, first.train_ids, run) for run in runs])  # [row, run]
    test = np.column_stack([_matched(run.test, run.test_ids, first.test_ids, run) for run in runs])
    target, fold_of_row = first.target, first.fold_of_row[0]
    fit = METHODS[recipe.method]
    weights = fit(oof, target)
    crossfitted = np.empty_like(target)
    for fold in np.unique(fold_of_row):
        inside = fold_of_row == fold
        crossfitted[inside] = oof[inside] @ fit(oof[~inside], target[~inside])
    return Blend(
        runs=tuple(run.experiment for run in runs),
        weights=weights,
        train_ids=first.train_ids,
        test_ids=first.test_ids,
        fold_of_row=first.fold_of_row[:1],
        target=target,
        oof=crossfitted,
        test=test @ weights,
        score=metric.score(target, crossfitted),
        std_error=metric.std_error(target, crossfitted),
        fold_scores=np.array(
            [metric.score(target[fold_of_row == f], crossfitted[fold_of_row == f]) for f in np.unique(fold_of_row)]
        ),
        naive_score=metric.score(target, oof @ weights),
        mean_score=metric.score(target, oof.mean(axis=1)),
    )


def _matched(values: Float, ids: tuple[str, ...], wanted: tuple[str, ...], run: Run) -> Float:
    """Predictions in the order of the wanted ids."""
    if ids == wanted:
        return values
    row_of = {row_id: row for row, row_id in enumerate(ids)}
    if row_of.keys() != set(wanted):
        odd = sorted(row_of.keys() ^ set(wanted))
        raise DataError(
            f"run {run.experiment!r} is not of the same rows as the others: ids {listing(odd)}. Train it again."
        )
    return values[[row_of[row_id] for row_id in wanted]]


def mean_weights(oof: Float, target: Float) -> Float:
    """Equal weights, float64 [n_runs]; nothing is learnt from the rows."""
    return np.full(oof.shape[1], 1 / oof.shape[1])


def nnls_weights(oof: Float, target: Float) -> Float:
    """Non-negative least squares of the target on the runs' predictions, scaled to sum 1.

    Breiman, "Stacked regressions", *Machine Learning* 24 (1996), §3. Scaling keeps a shift of the link scale, such as
    prices in another currency, from changing the blend.

    Parameters
    ----------
    oof
        float64 [n_rows, n_runs], link scale.
    target
        float64 [n_rows], link scale.

    Returns
    -------
    float64 [n_runs]
        Equal weights if no run has any use.
    """
    from sklearn.linear_model import LinearRegression

    weights = np.asarray(LinearRegression(positive=True, fit_intercept=False).fit(oof, target).coef_, np.float64)
    return weights / weights.sum() if weights.sum() > 0 else mean_weights(oof, target)


def greedy_weights(oof: Float, target: Float, n_steps: int = 100) -> Float:
    """Greedy forward selection with replacement: each step adds the run that makes the mean so far best.

    Caruana, Niculescu-Mizil, Crew & Ksikes, "Ensemble selection from libraries of models", ICML 2004, §2.2. The
    weights are those of the best of all steps.

    Parameters
    ----------
    oof
        float64 [n_rows, n_runs], link scale.
    target
        float64 [n_rows], link scale.
    n_steps
        How many runs are drawn.
    """
    counts = np.zeros(oof.shape[1])
    total = np.zeros(len(target))
    best_loss, best_counts = np.inf, counts
    for step in range(1, n_steps + 1):
        losses = np.square((total[:, None] + oof) / step - target[:, None]).mean(axis=0)  # [run]
        chosen = int(losses.argmin())
        counts[chosen] += 1
        total += oof[:, chosen]
        if losses[chosen] < best_loss:
            best_loss, best_counts = losses[chosen], counts.copy()
    return np.asarray(best_counts / best_counts.sum())


METHODS: dict[str, Callable[[Float, Float], Float]] = {
    "mean": mean_weights,
    "nnls": nnls_weights,
    "greedy": greedy_weights,
}
