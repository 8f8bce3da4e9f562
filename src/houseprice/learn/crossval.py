"""k-fold cross-validation of one experiment: every member fitted, every row validated by those that did not see it."""

from collections.abc import Callable, Collection, MutableMapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from houseprice.config import Linear
from houseprice.data.features import FeatureSet
from houseprice.data.tables import Tables
from houseprice.errors import ConfigError, TrainingError, listing
from houseprice.learn.estimators import AnyRecipe, fit_member, seeds_of
from houseprice.learn.training import FittedMember, FoldData
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
        The ids of the rows, as text.
    fold_of_row
        int64 [n_repeats, n_train].
    target
        float64 [n_train], link scale.
    oof
        float64 [n_train]: for each training row the mean prediction of the members that did not see it.
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

    @property
    def train_score(self) -> float:
        """Mean of ``train_scores``; far below ``fold_scores``' mean it says overfitting, near it underfitting."""
        return float(self.train_scores.mean())


def cross_validate(
    name: str,
    recipe: AnyRecipe,
    tables: Tables,
    features: FeatureSet,
    fold_of_row: NDArray[np.int64],
    metric: Metric,
    *,
    device: str = "cpu",
    threads: int = 1,
    finished: MutableMapping[tuple[int, int], FittedMember] | None = None,
    on_epoch: Callable[[], None] = lambda: None,
) -> Run:
    """Fit every member (fold × seed) of an experiment and gather what they say of the rows they did not see.

    Parameters
    ----------
    name, recipe
        The experiment.
    tables, features, fold_of_row
        The competition's data; ``fold_of_row`` is int64 [n_repeats, n_train].
    metric
        Gives the link scale on which predictions are averaged.
    device
        ``cpu`` or ``cuda``, for networks.
    threads
        Processor threads, for networks.
    finished
        Members by (fold, seed). Those in it are not fitted again; each new one is put into it as soon as it is done.
    on_epoch
        Called after every epoch of every network.

    Raises
    ------
    TrainingError
        If a member can't be fitted, or predicts something that is not finite; the member is named.
    ConfigError
        If ``exclude_from_fit`` names unknown ids, or leaves a fold with nothing to fit.
    """
    finished = {} if finished is None else finished
    natural = tables.target.to_numpy(np.float64)
    target = metric.link(natural, f"column {tables.target.name!r} in train.csv")
    excluded = _excluded(name, recipe, tables)
    n_folds = int(fold_of_row.max()) + 1
    oof, test = np.zeros_like(target), np.zeros(len(tables.test))
    fold_scores, train_scores = np.empty(n_folds), np.empty(n_folds)
    members = []
    for repeat in fold_of_row:
        for fold in np.unique(repeat):
            valid = repeat == fold
            fit_rows, valid_rows = np.flatnonzero(~valid & ~excluded), np.flatnonzero(valid)
            fitted_target = target if recipe.target_scale == "link" else natural
            centre, spread = _standardization(recipe, fitted_target[fit_rows], name, int(fold))
            matrix = features.of_fold(int(fold))
            y = ((fitted_target - centre) / spread).astype(np.float32)
            data = FoldData(int(fold), matrix.X, y, fit_rows, valid_rows, matrix.X_test)
            of_fold, of_test = np.zeros_like(target), np.zeros_like(test)
            seeds = seeds_of(recipe)
            for seed in seeds:
                if (data.fold, seed) not in finished:
                    member = fit_member(recipe, data, seed, device=device, threads=threads, on_epoch=on_epoch)
                    _check_finite(name, member)
                    finished[data.fold, seed] = member
                member = finished[data.fold, seed]
                what = f"experiment {name!r}, fold {fold}, seed {seed}: predictions of"
                of_fold += _to_link(member.predictions * spread + centre, recipe, metric, f"{what} train.csv") / len(
                    seeds
                )
                of_test += _to_link(
                    member.test_predictions * spread + centre, recipe, metric, f"{what} test.csv"
                ) / len(seeds)
                members.append(member)
            oof[valid] += of_fold[valid] / len(fold_of_row)
            test += of_test / n_folds
            fold_scores[fold] = metric.score(target[valid], of_fold[valid])
            train_scores[fold] = metric.score(target[fit_rows], of_fold[fit_rows])
    return Run(
        experiment=name,
        train_ids=tuple(tables.train.index),
        test_ids=tuple(tables.test.index),
        fold_of_row=fold_of_row,
        target=target,
        oof=oof,
        test=test,
        fold_scores=fold_scores,
        train_scores=train_scores,
        score=metric.score(target, oof),
        std_error=metric.std_error(target, oof),
        n_columns=features.n_columns,
        members=tuple(members),
    )


def epochs_to_go(recipe: AnyRecipe, fold_of_row: NDArray[np.int64], finished: Collection[tuple[int, int]] = ()) -> int:
    """How often `cross_validate` will call ``on_epoch``; an estimator without epochs counts as one."""
    n_members = (int(fold_of_row.max()) + 1) * len(seeds_of(recipe)) - len(finished)
    return n_members * (recipe.epochs if isinstance(recipe, Linear) else 1)


def _excluded(name: str, recipe: AnyRecipe, tables: Tables) -> NDArray[np.bool_]:
    """Which rows no member is fitted on, bool [n_train]."""
    ids = tables.train.index
    if unknown := [row for row in recipe.exclude_from_fit if row not in ids]:
        raise ConfigError(f"experiments.{name}.exclude_from_fit: no such ids in train.csv: {listing(unknown)}")
    return np.asarray(ids.isin(recipe.exclude_from_fit))


def _standardization(recipe: AnyRecipe, y: Float, name: str, fold: int) -> tuple[float, float]:
    """Mean and standard deviation that the fitted target is freed of, from the fold's fit rows."""
    if len(y) == 0:
        raise ConfigError(
            f"experiment {name!r}: fold {fold} has no row to fit on. Use fewer folds or exclude fewer rows."
        )
    if not recipe.standardize_target:
        return 0.0, 1.0
    return float(y.mean()), float(y.std()) or 1.0


def _to_link(fitted: Float, recipe: AnyRecipe, metric: Metric, what: str) -> Float:
    """Predictions on the fitted scale to the link scale, raised to the recipe's floor on the way."""
    if recipe.target_scale == "link" and recipe.floor is None:
        return fitted
    natural = metric.from_link(fitted) if recipe.target_scale == "link" else fitted
    if recipe.floor is not None:
        natural = np.maximum(natural, recipe.floor)
    return metric.link(natural, what)


def _check_finite(name: str, member: FittedMember) -> None:
    finite = np.isfinite(member.predictions).all() and np.isfinite(member.test_predictions).all()
    if not finite:
        bad = np.flatnonzero(~np.isfinite(member.train_losses))
        epoch = f" (its loss from epoch {bad[0] + 1} on)" if len(bad) else ""
        raise TrainingError(
            f"experiment {name!r}: the member of fold {member.fold}, seed {member.seed} diverged: its predictions "
            f"are not finite{epoch}. Lower its learning_rate or weight_decay."
        )
