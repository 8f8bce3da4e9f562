"""k-fold cross-validation of one experiment: every member fitted, every row validated by those that did not see it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from houseprice.data.features import FeatureSet
from houseprice.data.folds import Split
from houseprice.data.tables import Tables
from houseprice.errors import ConfigError, MetricError, TrainingError, listing
from houseprice.learn.estimators import AnyRecipe, Finished, fit_members
from houseprice.learn.members import FittedMember, FoldData
from houseprice.metrics import Metric

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Run:
    """The result of one experiment. Predictions are on the link scale, aligned to the ids beside them.

    Attributes
    ----------
    experiment
        Its name.
    train_ids, test_ids
        The ids of the rows, as text; of the training rows those that are validated, which is all of them unless folds
        in time have nothing to fit before the first.
    fold_of_row
        int64 [n_repeats, n_train].
    target
        float64 [n_train], link scale.
    oof
        float64 [n_train]: for each validated row the mean prediction of the members that did not see it.
    test
        float64 [n_test]: the mean prediction of all members.
    fold_scores
        float64 [n_folds]: the metric of each fold's validation rows, its members averaged.
    train_scores
        float64 [n_folds]: the same over the rows the fold was fitted on.
    score, std_error
        The metric of ``oof`` over all training rows, and its standard error.
    n_columns
        The smallest and the largest number of feature columns over the folds.
    members
        The fitted members with their learning curves and weights, on the scale they were fitted on.
    in_time
        Whether folds are in the order of time (`houseprice.data.folds.Split`).
    """

    experiment: str
    train_ids: tuple[str, ...]
    test_ids: tuple[str, ...]
    fold_of_row: NDArray[np.int64]
    target: Float
    oof: Float
    test: Float
    fold_scores: Float
    train_scores: Float
    score: float
    std_error: float
    n_columns: tuple[int, int]
    members: tuple[FittedMember, ...]
    in_time: bool = False

    @property
    def train_score(self) -> float:
        """Mean of ``train_scores``; far below ``fold_scores``' mean it says overfitting, near it underfitting."""
        return float(self.train_scores.mean())


def cross_validate(
    name: str,
    recipe: AnyRecipe,
    tables: Tables,
    features: FeatureSet,
    split: Split,
    metric: Metric,
    *,
    device: str = "cpu",
    threads: int = 1,
    memory: int | None = None,
    finished: Finished | None = None,
    checkpoints: Path | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Run:
    """Fit every member (fold × seed) of an experiment and gather what they say of the rows they did not see.

    Parameters
    ----------
    name, recipe
        The experiment.
    tables, features, split
        The competition's data.
    metric
        Gives the link scale on which predictions are averaged.
    device, threads, memory, finished, checkpoints, on_progress
        See `houseprice.learn.estimators.fit_members`.

    Raises
    ------
    TrainingError
        If a member can't be fitted, or predicts something that is not finite; the member is named.
    ConfigError
        If ``exclude_from_fit`` names unknown ids, or leaves a fold with nothing to fit.
    """
    target = metric.link(tables.target.to_numpy(np.float64), f"column {tables.target.name!r} in train.csv")
    scales = fitted_scales(name, recipe, tables, target, split.left_out, split.validated)
    matrices = [features.of_fold(scale.fold) for scale in scales]
    folds = [scale.fold_data(matrix.X, matrix.X_test) for scale, matrix in zip(scales, matrices, strict=True)]

    def score(data: FoldData, predictions: Float) -> tuple[float, float]:
        """A point of the learning curves; NaN where predictions are outside the metric's domain so early on."""
        scale = scales[data.fold]
        with np.errstate(over="ignore", invalid="ignore"):
            try:
                link = _to_link(predictions * scale.spread + scale.centre, recipe, metric, "")
            except MetricError:
                return np.nan, np.nan
            train, valid = (metric.score(target[rows], link[rows]) for rows in (data.fit_rows, data.valid_rows))
            return train, valid

    try:
        members = fit_members(
            recipe,
            folds,
            {} if finished is None else finished,
            device=device,
            threads=threads,
            memory=memory,
            checkpoints=checkpoints,
            score=score,
            on_progress=on_progress,
        )
    except TrainingError as error:
        raise TrainingError(f"experiment {name!r}: {error}") from error
    n_seeds = len(members) // len(folds)
    oof, test = np.zeros_like(target), np.zeros(len(tables.test))
    fold_scores, train_scores = np.empty(len(folds)), np.empty(len(folds))
    for data, scale, of_fold in zip(
        folds, scales, (members[start : start + n_seeds] for start in range(0, len(members), n_seeds)), strict=True
    ):
        train_mean, test_mean = (
            scale.mean_link(of_members, recipe, metric, name, rows)
            for rows, of_members in (
                ("train.csv", [member.predictions for member in of_fold]),
                ("test.csv", [member.test_predictions for member in of_fold]),
            )
        )
        oof[data.valid_rows] += train_mean[data.valid_rows] / len(split.fold_of_row)
        test += test_mean / len(folds)
        fold_scores[data.fold] = metric.score(target[data.valid_rows], train_mean[data.valid_rows])
        train_scores[data.fold] = metric.score(target[data.fit_rows], train_mean[data.fit_rows])
    scored = split.is_validated
    target, oof = target[scored], oof[scored]
    return Run(
        experiment=name,
        train_ids=tuple(tables.train.index[scored]),
        test_ids=tuple(tables.test.index),
        fold_of_row=split.fold_of_row[:, scored],
        target=target,
        oof=oof,
        test=test,
        fold_scores=fold_scores,
        train_scores=train_scores,
        score=metric.score(target, oof),
        std_error=metric.std_error(target, oof),
        n_columns=features.n_columns,
        members=tuple(members),
        in_time=split.in_time,
    )


@dataclass(frozen=True)
class FittedScale:
    """The rows of one fold, and the scale of the target that its members are fitted on: (y - centre) / spread."""

    fold: int
    fit_rows: NDArray[np.int64]
    valid_rows: NDArray[np.int64]
    y: Float
    centre: float
    spread: float

    def fold_data(self, X: NDArray[np.float32], X_test: NDArray[np.float32]) -> FoldData:
        """What the fold's members are fitted on and asked about."""
        y = ((self.y - self.centre) / self.spread).astype(np.float32)
        return FoldData(self.fold, X, y, self.fit_rows, self.valid_rows, X_test)

    def mean_link(self, fitted: Sequence[Float], recipe: AnyRecipe, metric: Metric, name: str, rows: str) -> Float:
        """The mean of members' predictions on the link scale, each raised to the recipe's floor on the way.

        Parameters
        ----------
        fitted
            Of each seed: float64 [n_rows], on the fitted scale.
        name, rows
            The experiment, and what rows are predicted, for messages.

        Raises
        ------
        TrainingError
            If a prediction is not finite.
        MetricError
            If one is outside the metric's domain.
        """
        link = []
        for seed, values in enumerate(fitted):
            what = f"experiment {name!r}, fold {self.fold}, seed {seed}: predictions of {rows}"
            if not np.isfinite(values).all():
                raise TrainingError(f"{what} are not finite. Look for extreme values, or regularise more.")
            link.append(_to_link(values * self.spread + self.centre, recipe, metric, what))
        return np.asarray(np.mean(link, axis=0))


def _to_link(fitted: Float, recipe: AnyRecipe, metric: Metric, what: str) -> Float:
    if recipe.target_scale == "link" and recipe.floor is None:
        return fitted
    natural = metric.from_link(fitted) if recipe.target_scale == "link" else fitted
    return metric.link(natural if recipe.floor is None else np.maximum(natural, recipe.floor), what)


def fitted_scales(
    name: str,
    recipe: AnyRecipe,
    tables: Tables,
    target: Float,
    without: NDArray[np.bool_],
    validated: NDArray[np.bool_] | None = None,
) -> list[FittedScale]:
    """The rows and the target's scale of every fold; the scale is learnt from the fit rows alone.

    Parameters
    ----------
    name, recipe, tables
        See `cross_validate`.
    target
        float64 [n_train], link scale.
    without
        bool [n_folds, n_train]: the rows that each fold leaves out (`houseprice.data.folds.Split`).
    validated
        The same of the rows that it validates; by default all that it leaves out.

    Raises
    ------
    ConfigError
        If ``exclude_from_fit`` names unknown ids, or leaves a fold with nothing to fit.
    """
    excluded = _excluded(name, recipe, tables)
    y = target if recipe.target_scale == "link" else tables.target.to_numpy(np.float64)
    scales = []
    for fold, rows in enumerate(without):
        fit_rows = np.flatnonzero(~rows & ~excluded)
        valid_rows = np.flatnonzero(rows if validated is None else validated[fold])
        if len(fit_rows) == 0:
            raise ConfigError(
                f"experiment {name!r}: fold {fold} has no row to fit on. Use fewer folds, or exclude fewer rows."
            )
        known = y[fit_rows] if recipe.standardize_target else np.array([0.0])
        spread = float(known.std()) or 1.0
        scales.append(FittedScale(fold, fit_rows, valid_rows, y, float(known.mean()), spread))
    return scales


def _excluded(name: str, recipe: AnyRecipe, tables: Tables) -> NDArray[np.bool_]:
    """Which rows no member is fitted on, bool [n_train]."""
    ids = tables.train.index
    if unknown := [row for row in recipe.exclude_from_fit if row not in ids]:
        raise ConfigError(f"experiments.{name}.exclude_from_fit: no such ids in train.csv: {listing(unknown)}")
    return np.asarray(ids.isin(recipe.exclude_from_fit))
