"""Permutation importance: how much worse an experiment predicts houses whose cells of one column are somebody else's.

The columns are those of the raw files, not of the matrix: a cell is exchanged before the rows go through the fold's own
preprocessor, so a category's indicators move together and derived columns follow. What several columns tell (the
square feet of each floor and of them all) each of them seems to matter little for, as the others still tell it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from houseprice.config import Ingest
from houseprice.data.features import FeatureSet
from houseprice.data.folds import Split
from houseprice.data.roles import assign_roles
from houseprice.data.tables import Tables
from houseprice.learn.crossval import FittedScale, Run, fitted_scales
from houseprice.learn.estimators import AnyRecipe, fit_members, in_threads, of_classes
from houseprice.learn.members import FittedMember, FoldData
from houseprice.learn.prediction import predict_by_networks
from houseprice.learn.weighting import with_weights
from houseprice.metrics import Metric, decide
from houseprice.preparation import Features
from houseprice.recipes import Linear

Float = NDArray[np.float64]

ENOUGH = 20
"""Folds times exchanges that make an estimate: few folds exchange more often."""
_STREAM = 20  # of the fold, beside those of its members
_MAX_ROWS = 200_000
"""Of a fold's copies with exchanged cells: larger folds are asked about fewer of their rows."""


@dataclass(frozen=True)
class Importance:
    """By how much the metric grows over a fold's validation rows when a column's cells are exchanged among them.

    Where greater is better, by how much it falls: what is above 0 makes predictions worse.

    Attributes
    ----------
    experiment
        Its name.
    columns
        Of the raw files, in their order.
    by_fold
        float64 [n_folds, n_columns]: increase of the metric over all exchanges. Near 0: the column is not
        needed; below 0: chance, or a column that misleads.
    std_error
        float64 [n_columns], of `increase` over the folds (`_std_error`).
    """

    experiment: str
    columns: tuple[str, ...]
    by_fold: Float
    std_error: Float

    @property
    def increase(self) -> Float:
        """Mean over the folds, float64 [n_columns]."""
        return np.asarray(self.by_fold.mean(axis=0))

    def ranking(self) -> list[dict[str, Any]]:
        """The columns, the most important first: ``column``, ``increase``, ``std_error``."""
        rows = zip(self.columns, self.increase.tolist(), self.std_error.tolist(), strict=True)
        named = [{"column": column, "increase": increase, "std_error": error} for column, increase, error in rows]
        return sorted(named, key=lambda row: -row["increase"])


def permutation_importance(
    recipe: AnyRecipe,
    run: Run,
    tables: Tables,
    features: FeatureSet,
    feature_recipe: Features,
    ingest: Ingest,
    split: Split,
    metric: Metric,
    *,
    threads: int = 1,
    exchanges: int | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Importance:
    """Measure on validation rows how much a run's members need each column of the raw files.

    Breiman, "Random Forests", *Machine Learning* 45, 2001, §10, permutes a column; Fisher, Rudin & Dominici, "All
    Models are Wrong, but Many are Useful", *JMLR* 20, 2019, §3.2, let every row borrow from every other one. Here the
    rows stand in a random circle, and each borrows from those 1, 2, … places on, for all columns the same: never from
    itself, so the estimate is theirs without bias, and the columns' differences are paired. Members of a fold are
    averaged first, as they are in its score.

    Networks predict by the weights that the run keeps, other estimators are fitted again
    (`houseprice.learn.prediction`).

    Parameters
    ----------
    recipe, run
        The experiment, and its result.
    tables, features, feature_recipe, ingest, split
        What it was fitted on, and how that was made.
    metric
        The competition's.
    threads
        Folds at one time.
    exchanges
        How many others each row borrows from, at most all of its fold; by default as many as make `ENOUGH`.
    on_progress
        Called with the folds done and their number.

    Raises
    ------
    TrainingError
        If an estimator can't be fitted again, or predicts something that is not finite.
    MetricError
        If predictions for exchanged cells are outside the metric's domain.
    """
    recipe = of_classes(recipe, len(tables.classes))
    sign = -1 if metric.greater_is_better else 1
    thresholds: dict[int, float | None] = {}
    if metric.needs_threshold(run.oof):
        for repeat in run.fold_of_row:
            thresholds |= metric.thresholds(run.target, run.oof, repeat, run.in_time)
    target = tables.link_target(metric)
    scales = fitted_scales(run.experiment, recipe, tables, target, split.left_out, split.validated)
    n_donors = math.ceil(ENOUGH / len(scales)) if exchanges is None else exchanges
    found: dict[int, Float] = {}
    matrices = [features.of_fold(scale.fold) for scale in scales]
    fitted_on = [scale.fold_data(matrix.X, matrix.X_test) for scale, matrix in zip(scales, matrices, strict=True)]
    if not isinstance(recipe, Linear):  # which is fitted again
        fitted_on = [with_weights(run.experiment, recipe, data) for data in fitted_on]

    def of_fold(scale: FittedScale) -> tuple[int, Float]:
        matrix = features.of_fold(scale.fold)
        members = [member for member in run.members if member.fold == scale.fold]
        rows, donors = _circle(scale.fold, scale.valid_rows, n_donors, len(tables.train.columns))
        exchanged_rows = _exchanged(tables.train, rows, donors)
        copies = assign_roles(exchanged_rows, feature_recipe, ingest, "train.csv", features.roles)
        data = replace(fitted_on[scale.fold], X_test=matrix.preprocessor.transform(copies))
        link = scale.mean_link(
            _predictions(recipe, data, members), recipe, metric, run.experiment, "train.csv with exchanged cells"
        )
        link = decide(link, thresholds.get(scale.fold))
        as_it_is, exchanged = link[: len(rows)], link[len(rows) :]
        exchanged = exchanged.reshape(-1, donors.size, *link.shape[1:])  # [column, donor × row]
        repeated = np.tile(target[rows], len(donors))
        scores = np.array([metric.quick_score(repeated, of_column) for of_column in exchanged])
        return scale.fold, sign * (scores - metric.quick_score(target[rows], as_it_is))

    def keep(result: tuple[int, Float]) -> None:
        found[result[0]] = result[1]
        on_progress(len(found), len(scales))

    torch_threads = torch.get_num_threads()
    try:
        in_threads([(of_fold, scale) for scale in scales], threads, keep)
    finally:
        torch.set_num_threads(torch_threads)
    by_fold = np.stack([found[scale.fold] for scale in scales])
    has_score = np.asarray(np.isfinite(by_fold).all(axis=1))  # a fold may lack a class
    if has_score.any():
        by_fold, scales = by_fold[has_score], [scale for scale in scales if has_score[scale.fold]]
    return Importance(run.experiment, tuple(map(str, tables.train.columns)), by_fold, _std_error(by_fold, scales))


def _circle(
    fold: int, valid_rows: NDArray[np.int64], exchanges: int, n_columns: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A fold's rows in random order, [n_rows], and who lends to each, [n_exchanges, n_rows].

    The stream is the fold's own; a fold of a single row borrows from itself and tells nothing.
    """
    rows = np.random.default_rng(np.random.SeedSequence([0, fold], spawn_key=(_STREAM,))).permutation(valid_rows)
    exchanges = max(1, min(exchanges, len(rows) - 1))
    rows = rows[: max(2, _MAX_ROWS // (1 + exchanges * n_columns))]
    return rows, np.stack([np.roll(rows, -places) for places in range(1, 1 + exchanges)])


def _exchanged(frame: pd.DataFrame, rows: NDArray[np.int64], donors: NDArray[np.int64]) -> pd.DataFrame:
    """The rows as they are, and below them, column by column, their copies with that column's cells from each donor."""
    n_copies = len(donors)
    origins = np.tile(rows, (1 + len(frame.columns) * n_copies, 1))  # [copy, row]
    columns = {}
    for position, name in enumerate(frame.columns):
        of_column = origins.copy()
        of_column[1 + position * n_copies : 1 + (position + 1) * n_copies] = donors
        columns[name] = frame[name].array.take(of_column.ravel())
    return pd.DataFrame(columns, index=pd.RangeIndex(origins.size))


def _predictions(recipe: AnyRecipe, data: FoldData, members: Sequence[FittedMember]) -> list[Float]:
    """What a fold's members say of ``data.X_test``, float64 [n_rows] each, on the fitted scale."""
    if not isinstance(recipe, Linear):
        return [member.test_predictions for member in fit_members(recipe, [data])]
    torch.set_num_threads(1)  # a thread a fold, and sums that don't depend on how many there are
    return predict_by_networks(recipe, [member.weights for member in members], data.X_test)


def _std_error(by_fold: Float, scales: Sequence[FittedScale]) -> Float:
    """Standard error of the mean over folds that share training rows.

    The variance over J folds counts 1 / J + n_valid / n_fit times, not 1 / J (Nadeau & Bengio, "Inference for the
    Generalization Error", *Machine Learning* 52, 2003, §3).
    """
    if len(by_fold) < 2:
        return np.full(by_fold.shape[1], np.nan)
    share = np.mean([len(scale.valid_rows) / len(scale.fit_rows) for scale in scales])
    return np.asarray(np.sqrt((1 / len(by_fold) + share) * by_fold.var(axis=0, ddof=1)))
