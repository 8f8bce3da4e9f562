"""The grid of dropout rates and weight decays on a competition: an experiment's features, folds and other settings."""

import math
from typing import TYPE_CHECKING

from houseprice import pipeline
from houseprice.artifacts import Stage
from houseprice.config import Competition
from houseprice.errors import ConfigError, MetricError, TrainingError, listing
from houseprice.matrices import make_split
from houseprice.plan import Plan
from houseprice.recipes import MLP, Experiment

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from houseprice.course.fitting import Fit
    from houseprice.course.grid import Grid
    from houseprice.data.features import FeatureSet
    from houseprice.data.tables import Tables
    from houseprice.learn.crossval import FittedScale

    Float = NDArray[np.float64]
    Rows = NDArray[np.int64]


def grid_name(competition: Competition, name: str | None = None) -> str:
    """The experiment whose grid is asked for: the one named, or of those with two hidden layers the first, those behind
    the entry before others.

    Raises
    ------
    ConfigError
        If there is no such experiment, or it has not two hidden layers.
    """
    names = dict.fromkeys([*competition.runs_of(competition.entry), *competition.experiments])
    fitting = [each for each in names if len(_hidden(competition, each)) == 2]
    if name is None and fitting:
        return fitting[0]
    if name is not None and competition.experiment_name(name) in fitting:
        return name
    has = f"experiments.{name} has {len(_hidden(competition, name))} of them" if name else "no experiment has two"
    way_out = f"--set {name}.hidden=[256,256]" if name and isinstance(competition.experiments[name], MLP) else None
    raise ConfigError(
        f"grid: needs an experiment of kind mlp with two hidden layers; {has}. "
        + (f"Use {way_out}." if way_out else f"Those that fit: {listing(fitting) if fitting else 'none; add one'}.")
    )


def _hidden(competition: Competition, name: str) -> tuple[int, ...]:
    recipe = competition.experiments[name]
    return recipe.hidden if isinstance(recipe, MLP) else ()


def grid(plan: Plan, experiment: str, folds: int = 1) -> "Grid":
    """Score an experiment with every pair of dropout rates and every weight decay, by rows that were not fitted on.

    The networks of a fold are one call of the engine; what is finished is kept until all folds are.

    Parameters
    ----------
    plan
        The stages as they stand; the experiment gives the number of seeds, too.
    experiment
        Of kind ``mlp`` with two hidden layers.
    folds
        How many of its folds are validated, from the first on.

    Returns
    -------
    Grid
        Means over folds and seeds of the metric's `houseprice.metrics.Metric.error`, lower is better.

    Raises
    ------
    ConfigError
        If there are fewer folds.
    TrainingError
        If no network could be scored.
    """
    competition = plan.workspace.competition
    inputs = {"run": plan.run(experiment).fingerprint}
    stage = Stage(f"grid/{experiment}", inputs, {"folds": folds}, ("houseprice.grid",))

    def compute(frames: "Tables", matrices: "FeatureSet") -> "Grid":
        from houseprice.course.grid import mean_grid

        target, scales = _scales(plan, experiment, frames)
        if folds > len(scales):
            raise ConfigError(f"--folds {folds}: experiments.{experiment} has {len(scales)} folds; ask for fewer")
        finished = plan.workspace.store.members_of(stage)
        for scale in scales[:folds]:
            if (scale.fold, 0) not in finished:
                finished[scale.fold, 0] = _grid_of_fold(plan, stage, experiment, target, scale, matrices)
        found = mean_grid([finished[scale.fold, 0] for scale in scales[:folds]])
        if not found.has_numbers:
            raise TrainingError(
                f"grid of {experiment}: no network could be scored: all diverged, or predict what "
                f"{competition.metric} can't score. Lower learning_rate, set clip_norm, or set a floor."
            )
        return found

    found: Grid = plan.workspace.store.cached(
        stage, compute, lambda value: {}, lambda: (pipeline.tables(plan), pipeline.features(plan, experiment))
    )
    return found


def _scales(plan: Plan, experiment: str, frames: "Tables") -> "tuple[Float, list[FittedScale]]":
    """The target on the link scale [n_train], and for each fold its rows and the scale that is fitted."""
    from houseprice.learn.crossval import fitted_scales

    competition = plan.workspace.competition
    target, split = frames.link_target(competition.scoring), make_split(plan, experiment, frames)
    recipe = competition.experiments[experiment]
    return target, fitted_scales(experiment, recipe, frames, target, split.left_out, split.validated)


def _grid_of_fold(
    plan: Plan, stage: Stage, experiment: str, target: "Float", scale: "FittedScale", matrices: "FeatureSet"
) -> "Grid":
    from houseprice.course.grid import dropout_grid
    from houseprice.learn.crossval import data_of_folds
    from houseprice.learn.estimators import of_classes

    workspace, competition = plan.workspace, plan.workspace.competition
    recipe, metric = competition.experiments[experiment], competition.scoring
    (data,) = data_of_folds(experiment, recipe, [scale], matrices)
    fitted = of_classes(recipe, scale.n_classes).model_dump(exclude={*Experiment.model_fields, "kind"})

    def error(one: "Fit", rows: "Rows") -> float:
        """The metric of some rows, lower is better; NaN where predictions are outside its domain."""
        try:
            link = scale.link(one.predict(data.X[rows]), recipe, metric, "")
            return metric.error(metric.quick_score(target[rows], link))
        except MetricError:
            return math.nan

    with workspace.listener.progress(f"{stage.slot}, fold {scale.fold + 1}") as on_epoch:
        return dropout_grid(
            [((data.X[data.fit_rows], data.y[data.fit_rows]), (data.X[data.valid_rows], data.y[data.valid_rows]))],
            {**fitted, "curve_every": fitted["epochs"]},
            seeds=range(recipe.seeds),
            weights=None if data.weights is None else [data.weights[data.fit_rows]],
            device=workspace.device,
            score=lambda one: (error(one, data.fit_rows), error(one, data.valid_rows)),
            threads=competition.threads,
            memory=competition.memory,
            on_epoch=on_epoch,
            checkpoints=workspace.store.members_of(stage).folder,
        )
