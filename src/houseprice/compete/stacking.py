"""A second level over runs, fitted on what they predict, and scored on rows that neither level has seen."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from houseprice.compete.ensemble import Blend, matched, predictions_of, scored
from houseprice.config import Ensemble, Ingest
from houseprice.data.features import features_without
from houseprice.data.folds import left_out
from houseprice.data.tables import Tables
from houseprice.errors import TrainingError
from houseprice.learn.crossval import FittedScale, Run, fitted_scales
from houseprice.learn.estimators import fit_members
from houseprice.learn.members import FoldData
from houseprice.learn.nested import Nested
from houseprice.metrics import Metric
from houseprice.preparation import Features
from houseprice.recipes import Sklearn

Float = NDArray[np.float64]


def stack(
    name: str,
    recipe: Ensemble,
    excluded: Sequence[str],
    runs: Sequence[Run],
    nested: Sequence[Nested],
    tables: Tables,
    feature_recipe: Features,
    ingest: Ingest,
    metric: Metric,
    *,
    threads: int = 1,
) -> Blend:
    """Fit an estimator on the runs' predictions, and score it by nested cross-validation.

    Wolpert, "Stacked generalization", *Neural Networks* 5 (1992); Breiman, "Stacked regressions", *Machine Learning*
    24 (1996). To score a fold of the first repeat, the estimator is fitted on the rows outside it, on predictions by
    members that saw neither the fold nor the row that they predict (`houseprice.learn.nested`), and applied to the
    runs' out-of-fold predictions of the fold. So no score sees its own row even at second hand; with plain out-of-fold
    predictions, by members that have seen the fold, it would. For the test rows the estimator is fitted on the
    out-of-fold predictions of all rows and applied to the runs' test predictions.

    Of classes the estimator is a classifier, which sees the runs' probabilities as they are, those of each class of
    more than two; its coefficients are then weights of two classes alone, on the scale of logits.

    Of numbers the estimator works on the link scale, where the target gets mean 0 and standard deviation 1 over the
    rows it is fitted on. Predictions are carried to that same scale, so that coefficients are the runs' weights;
    feature columns are as their preprocessor leaves them, fitted on the same rows as the estimator.

    Parameters
    ----------
    name
        The ensemble's, for messages.
    recipe
        ``estimator``, ``params`` and ``original_columns``.
    excluded
        Ids of rows that the estimator is not fitted on; they are validated like all others.
    runs, nested
        In the recipe's order, of the same folds. Rows are matched by id.
    tables, feature_recipe, ingest
        What the first run was fitted on; with ``original_columns`` its feature columns are made of them.
    metric
        Scores on the link scale.
    threads
        How many processor threads share the fits.

    Raises
    ------
    DataError
        If the runs are not of the same rows.
    TrainingError
        If the estimator can't be imported or fitted, or predicts something that is not finite.
    """
    first = runs[0]
    oof, test = predictions_of(runs)  # [row, run]
    without_fold = np.stack(
        [matched(each.predictions, each.train_ids, first.train_ids, each.experiment) for each in nested], axis=1
    )  # [row, run, fold]
    folds = left_out(first.fold_of_row[:1])
    levels = [*np.moveaxis(without_fold, 2, 0), oof]  # for each fold; for the test rows
    without = np.vstack([folds, np.zeros_like(folds[:1])])
    level = _second_level(recipe, excluded)
    scales = fitted_scales(name, level, tables, first.target, without)
    matrices = None
    if recipe.original_columns:
        matrices = features_without(tables, feature_recipe, without, ingest, first.target)

    def data_of(scale: FittedScale, predictions: Float) -> FoldData:
        matrix = matrices.of_fold(scale.fold) if matrices else None
        return _level_data(scale, predictions, test, (matrix.X, matrix.X_test) if matrix else ())

    try:
        data = [data_of(scale, predictions) for scale, predictions in zip(scales, levels, strict=True)]
        *members, final = fit_members(level, data, threads=threads)
    except TrainingError as error:
        raise TrainingError(f"ensemble {name!r}: {error}") from error
    crossfitted = np.empty_like(first.oof)
    for scale, member in zip(scales, members, strict=False):
        link = scale.mean_link([member.predictions], level, metric, name, "train.csv")
        crossfitted[scale.valid_rows] = link[scale.valid_rows]
    known = scales[-1].mean_link([final.predictions], level, metric, name, "train.csv")
    predicted = scales[-1].mean_link([final.test_predictions], level, metric, name, "test.csv")
    weights = np.full(len(runs), np.nan)
    if final.weights and first.oof.ndim == 1:
        weights[:] = final.weights["layers.0.weight"][0, : len(runs)]
    return scored(runs, weights, crossfitted, predicted, known, oof.mean(axis=1), metric)


def _second_level(recipe: Ensemble, excluded: Sequence[str]) -> Sklearn:
    return Sklearn(kind="sklearn", estimator=recipe.estimator, params=recipe.params, exclude_from_fit=tuple(excluded))


def _level_data(scale: FittedScale, oof: Float, test: Float, beside: Sequence[NDArray[np.float32]]) -> FoldData:
    """What the second level sees of the runs' predictions, [n_rows, n_runs] each; ``beside`` them feature columns."""
    flat = (link.reshape(len(link), -1) for link in (oof, test))  # of classes [row, run × class]
    X, X_test = (((link - scale.target.centre) / scale.target.spread).astype(np.float32) for link in flat)
    if beside:
        X, X_test = np.hstack([X, beside[0]]), np.hstack([X_test, beside[1]])
    return scale.fold_data(X, X_test)


def predict_stacked(
    name: str,
    recipe: Ensemble,
    excluded: Sequence[str],
    runs: Sequence[Run],
    predicted: Float,
    tables: Tables,
    beside: Sequence[NDArray[np.float32]],
    metric: Metric,
    rows: str,
) -> Float:
    """Predict rows that came later: the second level that `stack` has of the test rows, fitted again.

    Parameters
    ----------
    name, recipe, excluded, runs, tables, metric
        See `stack`.
    predicted
        float64 [n_rows, n_runs]: what the runs predict for the rows, link scale, or [n_rows, n_runs, n_classes].
    beside
        With ``original_columns``: the feature columns of the training rows and of these, float32 [n_train, n_columns]
        and [n_rows, n_columns], of a preprocessor that was fitted on all training rows.
    rows
        Their file, for messages.

    Returns
    -------
    float64 [n_rows]
        Link scale, or probabilities, of more classes than two [n_rows, n_classes].

    Raises
    ------
    TrainingError
        If the estimator can't be fitted, or predicts something that is not finite.
    """
    first = runs[0]
    nothing_left_out = np.zeros((1, len(first.target)), np.bool_)
    level = _second_level(recipe, excluded)
    (scale,) = fitted_scales(name, level, tables, first.target, nothing_left_out)
    scale = replace(scale, fold=int(first.fold_of_row[0].max()) + 1)  # by which `stack` draws its random numbers
    oof, _ = predictions_of(runs)
    try:
        (final,) = fit_members(level, [_level_data(scale, oof, predicted, beside)])
    except TrainingError as error:
        raise TrainingError(f"ensemble {name!r}: {error}") from error
    return scale.mean_link([final.test_predictions], level, metric, name, rows)
