"""What an experiment's members look at: a stage beside those of the way to an entry."""

from typing import TYPE_CHECKING, Any

from houseprice import pipeline
from houseprice.matrices import make_split
from houseprice.plan import Plan

if TYPE_CHECKING:
    from houseprice.data.features import FeatureSet
    from houseprice.data.tables import Tables
    from houseprice.learn.crossval import Run
    from houseprice.learn.importance import Importance


def importance(plan: Plan, experiment: str) -> "Importance":
    """How much an experiment's validation scores need each column of the raw files."""
    workspace, competition = plan.workspace, plan.workspace.competition
    recipe = competition.experiments[experiment]
    stage = plan.importance(experiment)

    def compute(frames: "Tables", matrices: "FeatureSet", run: "Run") -> "Importance":
        from houseprice.learn.importance import permutation_importance

        with workspace.listener.progress(stage.slot) as on_progress:
            return permutation_importance(
                recipe,
                run,
                frames,
                matrices,
                competition.features[recipe.features],
                competition.ingest,
                make_split(plan, experiment, frames),
                competition.scoring,
                threads=competition.threads,
                on_progress=on_progress,
            )

    def summarize(found: "Importance") -> dict[str, Any]:
        return {"columns": found.ranking()}

    found: Importance = workspace.store.cached(
        stage,
        compute,
        summarize,
        lambda: (pipeline.tables(plan), pipeline.features(plan, experiment), pipeline.train(plan, experiment)),
    )
    return found


def summarize_importance(plan: Plan, experiment: str) -> list[dict[str, Any]]:
    """The same without loading it: `houseprice.learn.importance.Importance.ranking`. It is computed if need be."""
    stage = plan.importance(experiment)
    if not plan.workspace.store.find(stage):
        importance(plan, experiment)
    ranking: list[dict[str, Any]] = plan.summary(stage)["columns"]
    return ranking
