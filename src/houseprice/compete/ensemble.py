"""Weights over runs, found on out-of-fold predictions and scored on rows that did not choose them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from houseprice.config import Ensemble
from houseprice.errors import DataError, listing
from houseprice.learn.crossval import Run
from houseprice.metrics import Metric, decide, teaching_rows

Float = NDArray[np.float64]
Weigh = Callable[[Float, Float], Float]
"""From out-of-fold predictions [n_rows, n_runs] and targets [n_rows], link scale, to weights [n_runs].

Of more classes than two the predictions are [n_rows, n_runs, n_classes], and the targets 0 or 1, [n_rows, n_classes].
Losses are squared differences, of probabilities too, summed over the classes (Brier 1950).
"""
Choose = Callable[[Float, Float], list[int]]
"""From the same to the places of the runs that are chosen."""


@dataclass(frozen=True)
class Blend:
    """A fitted ensemble. Predictions are on the link scale or probabilities, aligned to the ids beside them.

    Attributes
    ----------
    runs
        The names of the runs.
    weights
        float64 [n_runs], fitted on all rows, used for the test predictions: ≥ 0 and summing to 1, 0 for a run that was
        not chosen. Of a stack the coefficients of the runs, of either sign, beside an intercept and whatever else its
        second level sees; NaN if that is not linear.
    train_ids, test_ids
        The ids of the rows, as text.
    fold_of_row
        int64 [1, n_train]: the runs' first repeat, by which the weights are cross-fitted.
    target, oof
        float64 [n_train]; each row of ``oof`` is predicted by weights, or a second level, fitted without its fold.
    test
        float64 [n_test].
    score, std_error, fold_scores
        The metric of ``oof`` (cross-fitted), its standard error, and the metric of each fold. Where the metric reads
        one of two classes, those of a fold are told apart by what the other folds say, in time the earlier ones.
    naive_score
        The metric with ``weights``, or the second level, on the very rows that it was fitted on: too good.
    mean_score
        The metric of the plain mean of the runs.
    threshold, classes, in_time
        As of `houseprice.learn.crossval.Run`.
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
    threshold: float | None = None
    classes: tuple[str, ...] = ()
    in_time: bool = False


def blend(recipe: Ensemble, runs: Sequence[Run], metric: Metric) -> Blend:
    """Combine runs by the recipe's rule and score the rule by cross-fitting.

    For every fold of the first repeat, runs are chosen and weights fitted on the other folds' out-of-fold predictions
    and applied to the fold's rows; the score is over all rows so predicted. It is that of the whole rule: nothing was
    chosen or weighted by the rows that are scored. Where folds are in the order of time, the rule is learnt on earlier
    ones alone, and runs have equal weights in the first.

    Parameters
    ----------
    recipe
        ``method`` names one of `METHODS`; ``select``: whether it weights all runs, or those that `chosen_runs` or
        `best_of_families` find.
    runs
        The runs in the recipe's order, on the same folds. Rows are matched by id.
    metric
        Scores on the link scale.

    Raises
    ------
    DataError
        If the runs are not of the same rows.
    """
    oof, test = predictions_of(runs)
    truth, fold_of_row = _truth(runs[0]), runs[0].fold_of_row[0]
    fit = rule(recipe)
    weights = fit(oof, truth)
    crossfitted = np.empty_like(truth)
    for fold in np.unique(fold_of_row):
        inside = fold_of_row == fold
        others = teaching_rows(fold_of_row, fold, runs[0].in_time)
        of_fold = fit(oof[others], truth[others]) if others.any() else mean_weights(oof, truth)
        crossfitted[inside] = weighted(oof[inside], of_fold)
    naive = weighted(oof, weights)
    return scored(runs, weights, crossfitted, weighted(test, weights), naive, oof.mean(axis=1), metric)


def _truth(run: Run) -> Float:
    """The target as the runs predict it: of more classes than two 0 or 1, [n_train, n_classes]."""
    return run.target if run.oof.ndim == 1 else np.eye(run.oof.shape[1])[run.target.astype(np.int64)]


def weighted(predictions: Float, weights: Float) -> Float:
    """The weighted mean over the runs: of [n_rows, n_runs] or [n_rows, n_runs, n_classes] without their axis."""
    return np.asarray(np.moveaxis(predictions, 1, -1) @ weights)


def scored(
    runs: Sequence[Run], weights: Float, oof: Float, test: Float, naive: Float, mean: Float, metric: Metric
) -> Blend:
    """An ensemble with its scores.

    Parameters
    ----------
    runs
        In the recipe's order; the rows are those of the first, in its order.
    weights, oof, test
        See `Blend`.
    naive, mean
        float64 [n_train]: what is predicted for the very rows that the ensemble is fitted on, and the runs' plain mean.
    metric
        Scores on the link scale.
    """
    first = runs[0]
    target, fold_of_row = first.target, first.fold_of_row[0]
    decided, mean = (metric.decided(target, link, fold_of_row, first.in_time) for link in (oof, mean))
    naive = decide(naive, metric.threshold(target, naive))
    return Blend(
        runs=tuple(run.experiment for run in runs),
        weights=weights,
        train_ids=first.train_ids,
        test_ids=first.test_ids,
        fold_of_row=first.fold_of_row[:1],
        target=target,
        oof=oof,
        test=test,
        score=metric.score(target, decided),
        std_error=metric.std_error(target, decided),
        fold_scores=np.array(
            [metric.score(target[fold_of_row == f], decided[fold_of_row == f]) for f in np.unique(fold_of_row)]
        ),
        naive_score=metric.score(target, naive),
        mean_score=metric.score(target, mean),
        threshold=metric.threshold(target, oof),
        classes=first.classes,
        in_time=first.in_time,
    )


def predictions_of(runs: Sequence[Run]) -> tuple[Float, Float]:
    """Out-of-fold and test predictions, float64 [n_train, n_runs] and [n_test, n_runs], by the ids of the first run.

    Of more classes than two they have a third axis, [n_classes].
    """
    first = runs[0]
    oof = [matched(run.oof, run.train_ids, first.train_ids, run.experiment) for run in runs]
    test = [matched(run.test, run.test_ids, first.test_ids, run.experiment) for run in runs]
    return np.stack(oof, axis=1), np.stack(test, axis=1)


def matched(values: Float, ids: tuple[str, ...], wanted: tuple[str, ...], run: str) -> Float:
    """Predictions of a run, float64 [n_rows] or [n_rows, …], in the order of the wanted ids.

    Raises
    ------
    DataError
        If they are of other rows.
    """
    if ids == wanted:
        return values
    row_of = {row_id: row for row, row_id in enumerate(ids)}
    if row_of.keys() != set(wanted):
        odd = sorted(row_of.keys() ^ set(wanted))
        raise DataError(f"run {run!r} is not of the same rows as the others: ids {listing(odd)}. Train it again.")
    return values[[row_of[row_id] for row_id in wanted]]


def mean_weights(oof: Float, target: Float) -> Float:
    """Equal weights, float64 [n_runs]; nothing is learnt from the rows."""
    return np.full(oof.shape[1], 1 / oof.shape[1])


def nnls_weights(oof: Float, target: Float) -> Float:
    """Non-negative least squares of the target on the runs' predictions, scaled to sum 1.

    Breiman, "Stacked regressions", *Machine Learning* 24 (1996), §3. Scaling keeps a shift of the link scale, such as
    prices in another currency, from changing the blend, and probabilities that sum to 1 from doing otherwise. The
    classes of a row are so many rows of one least-squares problem.

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

    rows = np.moveaxis(oof, 1, -1).reshape(-1, oof.shape[1])  # [row × class, run]
    fitted = LinearRegression(positive=True, fit_intercept=False).fit(rows, target.reshape(-1))
    weights = np.asarray(fitted.coef_, np.float64)
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
    total = np.zeros_like(target)
    best_loss, best_counts = np.inf, counts
    for step in range(1, n_steps + 1):
        losses = _losses((total[:, None] + oof) / step, target).mean(axis=0)  # [run]
        chosen = int(losses.argmin())
        counts[chosen] += 1
        total += oof[:, chosen]
        if losses[chosen] < best_loss:
            best_loss, best_counts = losses[chosen], counts.copy()
    return np.asarray(best_counts / best_counts.sum())


def shrunk_weights(oof: Float, target: Float, shrink: float = 0.5) -> Float:
    """Weights of `nnls_weights` drawn towards equal ones: (1 - shrink) · nnls + shrink / n_runs.

    Diebold & Pauly, "The use of prior information in forecast combination", *International Journal of Forecasting* 6
    (1990), shrink combining weights towards equality. That equal weights are hard to beat is an old finding (Clemen,
    "Combining forecasts: a review and annotated bibliography", *ibid.* 5, 1989): theirs are without estimation error.

    Parameters
    ----------
    oof
        float64 [n_rows, n_runs], link scale.
    target
        float64 [n_rows], link scale.
    shrink
        From 0, the weights of least squares, to 1, equal weights.
    """
    return (1 - shrink) * nnls_weights(oof, target) + shrink * mean_weights(oof, target)


def chosen_runs(oof: Float, target: Float) -> list[int]:
    """As few runs as predict, in their plain mean, about as well as the best number of them.

    Forward selection without replacement begins with the best run, and each step adds the run that makes the mean of
    those chosen best. Of all sizes the smallest is taken whose mean loss exceeds the best size's by no more than one
    standard error, that of the mean paired difference of both blends' row losses. The one-standard-error rule:
    Breiman, Friedman, Olshen & Stone, *Classification and Regression Trees* (1984), §3.4.3; Hastie, Tibshirani &
    Friedman, *The Elements of Statistical Learning*, §7.10. Their standard error is of one score; that of a paired
    difference is smaller, as both blends meet the same odd rows, and leaves out fewer.

    Parameters
    ----------
    oof
        float64 [n_rows, n_runs], link scale.
    target
        float64 [n_rows], link scale.

    Returns
    -------
    list of int
        The runs' places, in the order in which they were chosen.
    """
    chosen: list[int] = []
    waiting = list(range(oof.shape[1]))
    total, path = np.zeros_like(target), []
    while waiting:
        losses = _losses((total[:, None] + oof[:, waiting]) / (len(chosen) + 1), target)  # [row, run]
        best = int(losses.mean(axis=0).argmin())
        path.append(losses[:, best])
        chosen.append(waiting.pop(best))
        total += oof[:, chosen[-1]]
    return chosen[: 1 + _simplest(np.column_stack(path))]


def best_of_families(oof: Float, target: Float, families: Sequence[Sequence[int]]) -> list[int]:
    """One run of each family: the first whose mean loss is within one standard error of its family's best.

    The one-standard-error rule of `chosen_runs`, the members of a family ordered from the simplest on. Runs of unlike
    kinds err on unlike rows, so each kind has its place, which no score decides.

    Parameters
    ----------
    oof
        float64 [n_rows, n_runs], link scale.
    target
        float64 [n_rows], link scale.
    families
        The places of each family's runs.
    """
    losses = _losses(oof, target)
    return [family[_simplest(losses[:, list(family)])] for family in families]


def _losses(predictions: Float, target: Float) -> Float:
    """Squared differences of each row and run, [n_rows, n_runs], summed over the classes."""
    squares = np.square(predictions - target[:, None])
    return squares if squares.ndim == 2 else squares.sum(axis=2)


def _simplest(losses: Float) -> int:
    """The first of some candidates whose mean loss exceeds the best's by no more than one standard error.

    That of the mean paired difference; ``losses`` are float64 [n_rows, n_candidates].
    """
    excess = losses - losses[:, [int(losses.mean(axis=0).argmin())]]
    std_error = excess.std(axis=0) / np.sqrt(max(1, len(losses) - 1))
    return int(np.flatnonzero(excess.mean(axis=0) <= std_error)[0])


def chosen_weights(oof: Float, target: Float, weigh: Weigh, choose: Choose = chosen_runs) -> Float:
    """Weights of the chosen runs among themselves, float64 [n_runs]; 0 for the others."""
    chosen = choose(oof, target)
    weights = np.zeros(oof.shape[1])
    weights[chosen] = weigh(oof[:, chosen], target)
    return weights


METHODS: dict[str, Weigh] = {
    "mean": mean_weights,
    "nnls": nnls_weights,
    "greedy": greedy_weights,
    "shrunk": shrunk_weights,
}


def rule(recipe: Ensemble) -> Weigh:
    """A recipe's choice and method as one function; what it does to some rows it learns from these alone."""
    weigh = partial(shrunk_weights, shrink=recipe.shrink) if recipe.method == "shrunk" else METHODS[recipe.method]
    choose: dict[str, Choose] = {
        "one_standard_error": chosen_runs,
        "best_of_family": partial(best_of_families, families=recipe.family_places),
    }
    return partial(chosen_weights, weigh=weigh, choose=choose[recipe.select]) if recipe.select in choose else weigh
