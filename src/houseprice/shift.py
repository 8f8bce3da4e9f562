"""Distribution shift: how far the test rows are from the training rows, and whether weights of rows help."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from houseprice import pipeline
from houseprice.artifacts import Stage
from houseprice.competition import competition_from_json
from houseprice.matrices import make_split
from houseprice.plan import Plan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from houseprice.compete.statistics import Comparison
    from houseprice.data.features import FeatureSet
    from houseprice.data.shift import Apart
    from houseprice.data.tables import Tables
    from houseprice.learn.crossval import Run


@dataclass(frozen=True)
class Judged:
    """An experiment with and without weights, by one way to count the validation rows.

    Attributes
    ----------
    counted
        ``alike``: all rows count the same; ``as test rows``: each by its β, which estimates the score on test rows.
    without, weighted
        The scores out of fold.
    comparison
        The weighted less the other, on the same rows.
    """

    counted: Literal["alike", "as test rows"]
    without: float
    weighted: float
    comparison: "Comparison"


@dataclass(frozen=True)
class Shift:
    """Training rows beside test rows.

    Attributes
    ----------
    experiment
        The one whose columns, folds and members were looked at.
    of_files
        How well trees tell the files' rows apart, and by which columns; None where there are too few rows.
    of_weights
        The same of the logistic models that the weights come from, on the experiment's columns; mean of the folds.
    fit_rows, effective_size
        Of a fold: how many rows are fitted, and how many of equal weight tell as much as these with their weights (mean
        of the folds).
    judged
        Whether weights help.
    """

    experiment: str
    of_files: "Apart | None"
    of_weights: "Apart"
    fit_rows: float
    effective_size: float
    judged: tuple[Judged, ...]


def shift(plan: Plan, experiment: str) -> Shift:
    """Tell test rows from training rows, and compare an experiment with and without weights for the difference.

    Validation rows are counted twice over: alike, as on the leaderboard; and each by the β of a discriminator that did
    not see it, which makes the score one of the test rows (importance-weighted cross-validation: Sugiyama, Krauledat &
    Müller, "Covariate shift adaptation by importance weighted cross validation", *JMLR* 8, 2007; of metrics that are no
    function of a mean over rows, to the first order).

    Parameters
    ----------
    plan
        The stages as they stand. Both runs are trained and recorded as `houseprice.pipeline.train` does it.
    experiment
        Its ``weights`` may be set or not.

    Raises
    ------
    ConfigError
        If there is no such experiment, it can't be weighted, or there are too few rows.
    TrainingError
        If it can't be trained.
    """
    name = plan.workspace.competition.experiment_name(experiment)
    plans = [_with(plan, name, kind) for kind in ("none", "shift")]
    inputs = {kind: each.run(name).fingerprint for kind, each in zip(("without", "weighted"), plans, strict=True)}
    stage = Stage(f"shift/{name}", inputs, {}, ("houseprice.shift",))

    def compute(frames: "Tables", matrices: "FeatureSet", runs: "list[Run]") -> Shift:
        import numpy as np

        from houseprice.data.shift import tell_apart

        of_weights, fit_rows, effective_size, ratios = _weights(plans[1], name, frames, matrices)
        judged = (
            _judged(plan, runs, "alike", np.ones_like(ratios)),
            _judged(plan, runs, "as test rows", ratios / ratios.mean()),
        )
        return Shift(name, tell_apart(frames), of_weights, fit_rows, effective_size, judged)

    def summarize(found: Shift) -> dict[str, Any]:
        return {"effective_size": found.effective_size}

    found: Shift = plan.workspace.store.cached(
        stage,
        compute,
        summarize,
        lambda: (pipeline.tables(plan), pipeline.features(plan, name), [pipeline.train(each, name) for each in plans]),
    )
    return found


def _with(plan: Plan, experiment: str, weights: str) -> Plan:
    """The stages with the experiment's ``weights`` set so; on the leaderboard its run says so."""
    competition = plan.workspace.competition
    if competition.experiments[experiment].weights == weights:
        return plan
    document = competition.model_dump()
    document["experiments"][experiment]["weights"] = weights
    override = f"experiments.{experiment}.weights={weights}"
    changed = plan.on(competition_from_json(document, f"{plan.workspace.folder / 'competition.toml'} with {override}"))
    return replace(changed, workspace=replace(changed.workspace, overrides=(*plan.workspace.overrides, override)))


def _weights(
    plan: Plan, experiment: str, frames: "Tables", matrices: "FeatureSet"
) -> "tuple[Apart, float, float, NDArray[np.float64]]":
    """How well the folds' discriminators tell, how many rows a fold has, their effective size, and β of every validated
    row by those that did not see it, [n_validated].
    """
    import numpy as np

    from houseprice.data.shift import Apart, effective_size
    from houseprice.learn.crossval import fitted_scales
    from houseprice.learn.weighting import discriminator_of

    competition = plan.workspace.competition
    recipe, metric = competition.experiments[experiment], competition.scoring
    target = frames.link_target(metric)
    split = make_split(plan, experiment, frames)
    ratios, areas, sizes = np.zeros(len(target)), [], []
    scales = fitted_scales(experiment, recipe, frames, target, split.left_out, split.validated)
    with plan.workspace.listener.progress(f"shift/{experiment}") as on_progress:
        for scale in scales:
            matrix = matrices.of_fold(scale.fold)
            data = scale.fold_data(matrix.X, matrix.X_test)
            found = discriminator_of(experiment, data)
            ratios[data.valid_rows] += found.ratios(data.X[data.valid_rows], recipe.weight_ceiling)
            areas.append((found.apart.auc, found.apart.low, found.apart.high))
            sizes.append((len(data.fit_rows), effective_size(found.weights(recipe.weight_ceiling))))
            on_progress(len(sizes), len(scales))
    auc, low, high = np.mean(areas, axis=0).tolist()
    fit_rows, effective = np.mean(sizes, axis=0).tolist()
    return Apart(auc, low, high), fit_rows, effective, ratios[split.is_validated]


def _judged(
    plan: Plan, runs: "list[Run]", counted: Literal["alike", "as test rows"], counts: "NDArray[np.float64]"
) -> Judged:
    """Two runs of the same rows, without and with weights, the rows' losses counted by [n_rows] of mean 1."""
    import numpy as np

    from houseprice.compete.statistics import compare_all

    metric = plan.workspace.competition.scoring
    losses = np.column_stack([counts * metric.oof_losses(run) for run in runs])
    compared = compare_all(["without", "weighted"], losses, [run.fold_of_row for run in runs], metric)
    without, weighted = metric.score_of_losses(losses.mean(axis=0)).tolist()
    return Judged(counted, without, weighted, compared["weighted", "without"])
