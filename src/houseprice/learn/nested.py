"""First-level predictions for a second level that is scored without a leak: members fitted without two folds."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from houseprice.config import Ingest
from houseprice.data.features import features_without
from houseprice.data.folds import left_out, pairs_of_folds
from houseprice.data.tables import Tables
from houseprice.errors import TrainingError
from houseprice.learn.crossval import Run, data_of_folds, fitted_scales
from houseprice.learn.estimators import AnyRecipe, Finished, fit_members, of_classes
from houseprice.metrics import Metric
from houseprice.preparation import Features


@dataclass(frozen=True)
class Nested:
    """What an experiment predicts for each row without having seen it or the rows of a fold that is scored.

    Attributes
    ----------
    experiment
        Its name.
    train_ids
        The ids of the rows, as text.
    predictions
        float64 [n_train, k], link scale; of more classes than two [n_train, k, n_classes]. Column f is, for rows
        outside fold f of the first repeat, by members that were fitted without f and without the row's own fold; for
        the rows of f it is the run's out-of-fold prediction.
    n_members
        How many were fitted for it, beyond the run's.
    """

    experiment: str
    train_ids: tuple[str, ...]
    predictions: NDArray[np.float64]
    n_members: int


def predict_nested(
    recipe: AnyRecipe,
    run: Run,
    tables: Tables,
    feature_recipe: Features,
    ingest: Ingest,
    metric: Metric,
    *,
    device: str = "cpu",
    threads: int = 1,
    memory: int | None = None,
    finished: Finished | None = None,
    checkpoints: Path | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Nested:
    """Fit a run's experiment again without each pair of folds of the first repeat.

    To score fold f, a second level is fitted on the other rows. What it is fitted on must not have seen f: so the
    prediction of a row of another fold g is by members fitted without f and g, preprocessors and target scale
    included. These serve both orders, so there are k (k - 1) / 2 of them for each seed. (Wolpert, "Stacked
    generalization", *Neural Networks* 5 (1992), nested as in Varma & Simon, "Bias in error estimation when using
    cross-validation for model selection", *BMC Bioinformatics* 7:91, 2006.)

    Parameters
    ----------
    recipe, run
        The experiment, and its result.
    tables, feature_recipe, ingest, metric
        What it was fitted on.
    device, threads, memory, finished, checkpoints, on_progress
        See `houseprice.learn.estimators.fit_members`; ``finished`` is by (pair, seed).

    Raises
    ------
    TrainingError
        If a member can't be fitted, or predicts something that is not finite.
    ConfigError
        If a pair of folds leaves nothing to fit.
    """
    recipe = of_classes(recipe, len(tables.classes))
    folds = left_out(run.fold_of_row[:1])  # [fold, row]
    pairs = pairs_of_folds(len(folds))
    without = np.stack([folds[f] | folds[g] for f, g in pairs])  # [pair, row]
    name = f"{run.experiment}, without two folds"
    features = features_without(tables, feature_recipe, without, ingest, run.target)
    scales = fitted_scales(name, recipe, tables, run.target, without)
    try:
        members = fit_members(
            recipe,
            data_of_folds(run.experiment, recipe, scales, features),
            device=device,
            threads=threads,
            memory=memory,
            finished=finished,
            checkpoints=checkpoints,
            on_progress=on_progress,
        )
    except TrainingError as error:
        raise TrainingError(f"experiment {name!r}: {error}") from error
    predictions = np.repeat(run.oof[:, None], len(folds), axis=1)  # of a fold's own rows
    for scale, (f, g) in zip(scales, pairs, strict=True):
        of_pair = [member.predictions for member in members if member.fold == scale.fold]
        link = scale.mean_link(of_pair, recipe, metric, name, "train.csv")
        predictions[folds[g], f] = link[folds[g]]
        predictions[folds[f], g] = link[folds[f]]
    return Nested(run.experiment, run.train_ids, predictions, len(members))
