"""k-fold cross-validation of one experiment: every member fitted, every row validated by those that did not see it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from houseprice.data.features import FeatureSet
from houseprice.data.folds import Split
from houseprice.data.tables import Tables
from houseprice.errors import ConfigError, MetricError, TrainingError, listing
from houseprice.learn.estimators import AnyRecipe, Finished, fit_members, of_classes, probabilities
from houseprice.learn.members import FittedMember, FoldData
from houseprice.learn.targets import TargetScale, fit_transform
from houseprice.learn.weighting import with_weights
from houseprice.metrics import Metric, decide

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Run:
    """The result of one experiment. Predictions are on the link scale, aligned to the ids beside them.

    Of classes they are probabilities: of the second of two, or of every one, with an axis [n_classes] at the end.

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
        float64 [n_train], link scale, or classes as codes.
    oof
        float64 [n_train]: for each validated row the mean prediction of the members that did not see it.
    test
        float64 [n_test]: the mean prediction of all members.
    fold_scores
        float64 [n_folds]: the metric of each fold's validation rows, its members averaged.
    train_scores
        float64 [n_folds]: the same over the rows the fold was fitted on.
    score, std_error
        The metric of ``oof`` over all training rows, and its standard error. Where the metric reads one of two classes,
        those of a fold are told apart by what the other folds say, in time by the earlier ones, of which the first has
        none: at 0.5 (`houseprice.metrics.Metric.decided`).
    n_columns
        The smallest and the largest number of feature columns over the folds.
    members
        The fitted members with their learning curves and weights, on the scale they were fitted on.
    threshold
        Where the metric reads one of two classes: the probability from which on test rows are given the second.
    classes
        What the codes mean, in the file's own text; empty for numbers.
    in_time
        Whether folds are in the order of time (`houseprice.data.folds.Split`).
    scales
        The scale of the target that each fold's members were fitted on.
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
    threshold: float | None = None
    classes: tuple[str, ...] = ()
    in_time: bool = False
    scales: tuple[TargetScale, ...] = ()

    @property
    def train_score(self) -> float:
        """Mean of ``train_scores``; far better than ``fold_scores``' mean it says overfitting, near it underfitting."""
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
    MetricError
        If the metric is not defined over all validated rows, as R² is not of equal targets.
    ConfigError
        If ``exclude_from_fit`` names unknown ids, or leaves a fold with nothing to fit; or if rows shall be weighted
        and there are too few, or the estimator takes no weights.
    """
    recipe = of_classes(recipe, len(tables.classes))
    target = tables.link_target(metric)
    scales = fitted_scales(name, recipe, tables, target, split.left_out, split.validated)
    folds = data_of_folds(name, recipe, scales, features)

    def score(data: FoldData, predictions: Float) -> tuple[float, float]:
        """A point of the learning curves, lower is better; NaN where predictions are outside the metric's domain."""
        scale = scales[data.fold]
        with np.errstate(over="ignore", invalid="ignore"):
            try:
                link = scale.link(predictions, recipe, metric, "")
                train, valid = (
                    metric.quick_score(target[rows], link[rows]) for rows in (data.fit_rows, data.valid_rows)
                )
            except MetricError:
                return np.nan, np.nan
            return metric.error(train), metric.error(valid)

    try:
        members = fit_members(
            recipe,
            folds,
            device=device,
            threads=threads,
            memory=memory,
            finished=finished,
            checkpoints=checkpoints,
            score=score,
            on_progress=on_progress,
        )
    except TrainingError as error:
        raise TrainingError(f"experiment {name!r}: {error}") from error
    width = (len(tables.classes),) if len(tables.classes) > 2 else ()
    oof, test = np.zeros((len(target), *width)), np.zeros((len(tables.test), *width))
    of_repeats = np.zeros((len(split.fold_of_row), *oof.shape))
    means = []
    for data, (train_mean, test_mean) in zip(
        folds, _means_of_folds(scales, members, recipe, metric, name), strict=True
    ):
        oof[data.valid_rows] += train_mean[data.valid_rows] / len(split.fold_of_row)
        of_repeats[data.fold * len(split.fold_of_row) // len(folds), data.valid_rows] = train_mean[data.valid_rows]
        test += test_mean / len(folds)
        means.append(train_mean)
    fold_scores, train_scores = _scores_of_folds(folds, means, of_repeats, target, split, metric)
    scored = split.is_validated
    target, oof, fold_of_row = target[scored], oof[scored], split.fold_of_row[:, scored]
    decided = metric.decided(target, oof, fold_of_row[0], split.in_time)
    return Run(
        experiment=name,
        train_ids=tuple(tables.train.index[scored]),
        test_ids=tuple(tables.test.index),
        fold_of_row=fold_of_row,
        target=target,
        oof=oof,
        test=test,
        fold_scores=fold_scores,
        train_scores=train_scores,
        score=_defined(metric.score(target, decided), name, metric, target),
        std_error=metric.std_error(target, decided),
        n_columns=features.n_columns,
        members=tuple(members),
        threshold=metric.threshold(target, oof),
        classes=tables.classes,
        in_time=split.in_time,
        scales=tuple(scale.target for scale in scales),
    )


def _means_of_folds(
    scales: Sequence["FittedScale"], members: Sequence[FittedMember], recipe: AnyRecipe, metric: Metric, name: str
) -> Iterator[tuple[Float, Float]]:
    """For each fold the means of what its members say of the training rows [n_train] and of the test rows [n_test]."""
    n_seeds = len(members) // len(scales)
    for place, scale in enumerate(scales):
        of_fold = members[place * n_seeds : (place + 1) * n_seeds]
        yield (
            scale.mean_link([member.predictions for member in of_fold], recipe, metric, name, "train.csv"),
            scale.mean_link([member.test_predictions for member in of_fold], recipe, metric, name, "test.csv"),
        )


def _defined(score: float, name: str, metric: Metric, target: Float) -> float:
    """The score itself, or a `MetricError` where it is none: of one fold it may lack, of all rows it may not."""
    if np.isfinite(score):
        return score
    same = ", whose targets are all the same" if (target == target[0]).all() else ""
    raise MetricError(
        f"experiment {name!r}: metric {metric.name} is not defined over the {len(target)} validated rows{same}. "
        "Choose another metric, or other folds."
    )


def _scores_of_folds(
    folds: Sequence[FoldData],
    means: Sequence[Float],
    of_repeats: Float,
    target: Float,
    split: Split,
    metric: Metric,
) -> tuple[Float, Float]:
    """The metric of each fold's validation rows, and of the rows it was fitted on, float64 [n_folds] each.

    ``means`` are the predictions of all rows by each fold's members, ``of_repeats`` out-of-fold predictions
    [n_repeats, n_train]: classes of a fold are told apart by the other folds of its repeat, in time the earlier ones.
    """
    thresholds: dict[int, float | None] = {}
    if metric.needs_threshold(of_repeats[0]):
        scored = split.is_validated
        for repeat, predictions in zip(split.fold_of_row[:, scored], of_repeats[:, scored], strict=True):
            thresholds |= metric.thresholds(target[scored], predictions, repeat, split.in_time)
    fold_scores, train_scores = np.empty(len(folds)), np.empty(len(folds))
    for data, mean in zip(folds, means, strict=True):
        decided = decide(mean, thresholds.get(data.fold))
        fold_scores[data.fold] = metric.score(target[data.valid_rows], decided[data.valid_rows])
        train_scores[data.fold] = metric.score(target[data.fit_rows], decided[data.fit_rows])
    return fold_scores, train_scores


@dataclass(frozen=True)
class FoldScale:
    """The way back from what a fold's members predict. Of classes there are ``n_classes``; of numbers it is 0."""

    fold: int
    target: TargetScale
    n_classes: int

    def link(self, fitted: Float, recipe: AnyRecipe, metric: Metric, what: str) -> Float:
        """A member's predictions on the link scale, or probabilities.

        Raises
        ------
        MetricError
            If one is outside the metric's domain; ``what`` they are is in the message.
        """
        if self.n_classes:
            return probabilities(recipe, fitted, self.n_classes)
        return _to_link(self.target.inverse(fitted), recipe, metric, what)

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
            linked = self.link(values, recipe, metric, what) if np.isfinite(values).all() else values
            if not np.isfinite(linked).all():
                raise TrainingError(f"{what} are not finite. Look for extreme values, or regularise more.")
            link.append(linked)
        return np.asarray(np.mean(link, axis=0))


@dataclass(frozen=True)
class FittedScale(FoldScale):
    """The same with the rows of the fold and their target ``y``: transformed already, or classes as codes."""

    fit_rows: NDArray[np.int64]
    valid_rows: NDArray[np.int64]
    y: Float

    def fold_data(self, X: NDArray[np.float32], X_test: NDArray[np.float32]) -> FoldData:
        """What the fold's members are fitted on and asked about."""
        y = ((self.y - self.target.centre) / self.target.spread).astype(np.float32)
        return FoldData(self.fold, X, y, self.fit_rows, self.valid_rows, X_test, self.n_classes)


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
        If ``exclude_from_fit`` names unknown ids, or leaves a fold with nothing to fit; or if ``target_transform`` is
        not defined for all targets.
    """
    excluded = _excluded(name, recipe, tables)
    y = target if recipe.target_scale == "link" else tables.target.to_numpy(np.float64)
    scales = []
    n_classes = len(tables.classes)
    for fold, rows in enumerate(without):
        fit_rows = np.flatnonzero(~rows & ~excluded)
        valid_rows = np.flatnonzero(rows if validated is None else validated[fold])
        if len(fit_rows) == 0:
            raise ConfigError(
                f"experiment {name!r}: fold {fold} has no row to fit on. Use fewer folds, or exclude fewer rows."
            )
        transform = fit_transform(recipe.target_transform, y, fit_rows, f"experiments.{name}")
        fitted = transform.forward(y) if transform else y
        known = fitted[fit_rows] if recipe.standardize_target and not n_classes else np.array([0.0])
        scale = TargetScale(float(known.mean()), float(known.std()) or 1.0, transform)
        scales.append(FittedScale(fold, scale, n_classes, fit_rows, valid_rows, fitted))
    return scales


def data_of_folds(name: str, recipe: AnyRecipe, scales: Sequence[FittedScale], features: FeatureSet) -> list[FoldData]:
    """What the members of each fold are fitted on and asked about, its rows weighted as the experiment says.

    Raises
    ------
    ConfigError
        If rows can't be weighted (`houseprice.learn.weighting.with_weights`).
    """
    matrices = [features.of_fold(scale.fold) for scale in scales]
    return [
        with_weights(name, recipe, scale.fold_data(matrix.X, matrix.X_test))
        for scale, matrix in zip(scales, matrices, strict=True)
    ]


def _excluded(name: str, recipe: AnyRecipe, tables: Tables) -> NDArray[np.bool_]:
    """Which rows no member is fitted on, bool [n_train]."""
    ids = tables.train.index
    if unknown := [row for row in recipe.exclude_from_fit if row not in ids]:
        raise ConfigError(f"experiments.{name}.exclude_from_fit: no such ids in train.csv: {listing(unknown)}")
    return np.asarray(ids.isin(recipe.exclude_from_fit))
