"""The leak audit: what the files give away, and what an experiment learns where there is nothing to learn."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from houseprice import pipeline
from houseprice.artifacts import Stage
from houseprice.matrices import build_features
from houseprice.plan import Plan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from houseprice.compete.statistics import Comparison
    from houseprice.data.leaks import Finding
    from houseprice.data.tables import Tables
    from houseprice.learn.crossval import Run

_DEALS = 3
"""So many in turn must be beaten before anything is called a leak."""


@dataclass(frozen=True)
class Audit:
    """What was found.

    Attributes
    ----------
    experiment
        The one whose features and folds were looked at.
    findings
        One a check.
    """

    experiment: str
    findings: tuple["Finding", ...]


def audit(plan: Plan, experiment: str) -> Audit:
    """Look for leaks in the files, and in how an experiment is cross-validated.

    Parameters
    ----------
    plan
        The stages as they stand.
    experiment
        Cross-validated with one member a fold: as it is, on shuffled targets, and with a preprocessor of the other
        scope.

    Raises
    ------
    ConfigError
        If there is no such experiment.
    TrainingError
        If it can't be trained.
    """
    competition = plan.workspace.competition
    recipe = competition.experiments[competition.experiment_name(experiment)]
    experiments = {**competition.experiments, experiment: recipe.model_copy(update={"seeds": 1})}
    plan = plan.on(competition.model_copy(update={"experiments": experiments}))
    stage = Stage(f"audit/{experiment}", {"run": plan.run(experiment).fingerprint}, {}, ("houseprice.audit",))

    def compute(frames: "Tables") -> Audit:
        from houseprice.data.leaks import look_at

        run = _cross_validate(plan, stage, experiment, frames)
        of_files = look_at(frames, _folds_of(frames, run))
        controls = [_shuffled_target(plan, stage, experiment, frames), _scope(plan, stage, experiment, frames, run)]
        return Audit(experiment, (*of_files, *controls))

    def summarize(found: Audit) -> dict[str, Any]:
        return {each.check: each.verdict for each in found.findings}

    found: Audit = plan.workspace.store.cached(stage, compute, summarize, lambda: (pipeline.tables(plan),))
    return found


def _folds_of(frames: "Tables", run: "Run") -> "NDArray[np.int64]":
    """The fold of every training row [n_repeats, n_train]; -1 where none validates it (in time the first)."""
    import numpy as np

    fold_of_row = np.full((len(run.fold_of_row), len(frames.train)), -1)
    fold_of_row[:, frames.train.index.get_indexer(list(run.train_ids))] = run.fold_of_row
    return fold_of_row


def _cross_validate(plan: Plan, stage: Stage, experiment: str, frames: "Tables") -> "Run":
    """Cross-validate on some tables; no member is kept, nor taken up that was fitted on other tables."""
    matrices, members = build_features(plan, experiment, frames), plan.workspace.store.members_of(stage)
    members.clear()
    run = pipeline.cross_validate(plan, stage, experiment, frames, matrices)
    members.clear()
    return replace(run, members=())


def _compared(plan: Plan, run: "Run", other: Any) -> "Comparison":
    """A run beside other predictions [n_train] of its rows, on the link scale."""
    import numpy as np

    from houseprice.compete.statistics import compare_all

    metric = plan.workspace.competition.scoring
    losses = np.column_stack([metric.oof_losses(each) for each in (run, replace(run, oof=other))])
    return compare_all(["it", "other"], losses, [run.fold_of_row] * 2, metric)["it", "other"]


def _shuffled_target(plan: Plan, stage: Stage, experiment: str, frames: "Tables") -> "Finding":
    """The experiment on targets dealt to other rows: who beats the mean of the training rows there, has peeped.

    Who does so by chance, does not on the next deal: the interval is of the rows, not of what members make of a deal.
    (Ojala & Garriga, "Permutation Tests for Studying Classifier Performance", *JMLR* 11, 2010.)
    """
    from houseprice.data.leaks import Finding

    metric = plan.workspace.competition.scoring
    for deal in range(_DEALS):
        run, beside = _on_dealt_targets(plan, stage, experiment, frames, deal)
        said = (
            f"On shuffled targets {experiment} scores {run.score:.4g}, {beside.difference:+.2g} "
            f"[{beside.low:+.2g}, {beside.high:+.2g}] from the mean of the training rows"
        )
        if not (metric.better(beside.low) and metric.better(beside.high)):
            return Finding("shuffled target", "fine", f"{said}: no better, as it should be.", beside.difference)
    return Finding("shuffled target", "leak", f"{said}: it saw what it is scored on.", beside.difference)


def _on_dealt_targets(
    plan: Plan, stage: Stage, experiment: str, frames: "Tables", deal: int
) -> tuple["Run", "Comparison"]:
    """A run on targets that are dealt anew, and how it compares with the mean target of each fold's training rows."""
    import numpy as np

    dealt = np.random.default_rng(deal).permutation(frames.target.to_numpy())
    shuffled = replace(frames, target=frames.target.copy().mask([True] * len(dealt), dealt))
    run = _cross_validate(plan, stage, experiment, shuffled)
    truth = run.target if run.oof.ndim == 1 else np.eye(run.oof.shape[1])[run.target.astype(np.int64)]
    means = np.zeros_like(run.oof)  # of classes their shares
    for repeat in run.fold_of_row:
        for fold in np.unique(repeat):
            means[repeat == fold] += truth[repeat != fold].mean(axis=0) / len(run.fold_of_row)
    return run, _compared(plan, run, means)


def _scope(plan: Plan, stage: Stage, experiment: str, frames: "Tables", run: "Run") -> "Finding":
    """What a preprocessor that sees all rows makes of the score, beside one fitted on each fold's training rows."""
    from houseprice.data.leaks import Finding

    competition = plan.workspace.competition
    name = competition.experiments[experiment].features
    sees_all = competition.features[name].scope == "all"
    turned = competition.features[name].model_copy(update={"scope": "fold" if sees_all else "all"})
    features = {**competition.features, name: turned}
    other = _cross_validate(plan.on(competition.model_copy(update={"features": features})), stage, experiment, frames)
    beside = _compared(plan, run, other.oof)
    said = f"would be {other.score:.4g} instead of {run.score:.4g}."
    if sees_all:
        said = f"features.{name} is fitted on validation and test rows, too (scope = 'all'): by fold, the score {said}"
        return Finding("preprocessing", "look", said, beside.difference)
    said = f"features.{name} is fitted by fold: on all rows, the score {said}"
    return Finding("preprocessing", "fine", said, beside.difference)
