"""What an experiment's members look at, and what a choice among experiments is worth: beside the way to an entry."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from houseprice import pipeline
from houseprice.config import Competition, Ensemble
from houseprice.errors import ConfigError, listing
from houseprice.matrices import make_split
from houseprice.plan import Plan, ensemble_recipe

if TYPE_CHECKING:
    from houseprice.compete.choice import Choice
    from houseprice.data.features import FeatureSet
    from houseprice.data.tables import Tables
    from houseprice.learn.crossval import Run
    from houseprice.learn.importance import Importance
    from houseprice.learn.nested import Nested


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


def choice(plan: Plan, names: Sequence[str]) -> "Choice":
    """The best of some experiments and ensembles, and the nested score of choosing it.

    Raises
    ------
    ConfigError
        If the file has no such experiment or ensemble, one is a stack, they don't share their folds, or two of these
        can't be left out at a time.
    """
    competition = plan.workspace.competition
    recipes = {name: ensemble_recipe(competition, name) for name in names}
    runs = tuple(dict.fromkeys(run for recipe in recipes.values() for run in recipe.runs))
    _check_pairs(competition, recipes, runs)

    def compute(by_folds: "dict[str, Run]", by_pairs: "dict[str, Nested]") -> "Choice":
        from houseprice.compete.choice import nested_choice

        return nested_choice(recipes, by_folds, by_pairs, competition.scoring)

    def summarize(found: "Choice") -> dict[str, Any]:
        return {"score": found.score, "winner": found.winner, "naive_score": found.naive_score}

    found: Choice = plan.workspace.store.cached(
        plan.choice(names),
        compute,
        summarize,
        lambda: ({run: pipeline.train(plan, run) for run in runs}, {run: pipeline.nested(plan, run) for run in runs}),
    )
    return found


def _check_pairs(competition: Competition, recipes: Mapping[str, Ensemble], runs: Sequence[str]) -> None:
    """Refuse what can't be scored without two folds at a time."""
    if stacks := [name for name, recipe in recipes.items() if recipe.stacked]:
        raise ConfigError(
            f"--nested: {listing(stacks)}: a stack's own score is nested; to choose among stacks, three folds would be "
            "left out at a time. Name experiments and other ensembles."
        )
    folds_of = {run: competition.experiments[run].folds for run in runs}
    if len(set(folds_of.values())) > 1:
        told = listing((f"{run}: {folds}" for run, folds in folds_of.items()), 12)
        raise ConfigError(f"--nested: all must share their folds, these don't: {told}. Name those of one.")
    folds = folds_of[runs[0]]
    if complaint := competition.folds[folds].no_pairs:
        raise ConfigError(f"--nested: a nested score {complaint}. See folds.{folds}.")
