"""What a stage tells the leaderboard: its row, and the evidence behind its score."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from houseprice.artifacts import Stage
from houseprice.compete import leaderboard
from houseprice.machine import git_state
from houseprice.plan import Plan

if TYPE_CHECKING:
    from houseprice.compete.ensemble import Blend
    from houseprice.learn.crossval import Run


def is_recorded(plan: Plan, stage: Stage, kind: leaderboard.Kind, name: str) -> bool:
    """Whether the leaderboard has the stage's row, with its evidence, as of the raw files' source of today."""
    return leaderboard.is_recorded(plan.workspace.board, kind, name, stage.fingerprint, plan.source)


def record(
    plan: Plan,
    stage: Stage,
    kind: leaderboard.Kind,
    name: str,
    result: "Run | Blend",
    summary: Mapping[str, Any],
) -> None:
    """Put a stage on the leaderboard, unless it is there.

    Parameters
    ----------
    plan
        The stages as they stand.
    stage, kind, name
        The run, ensemble or entry; of an entry, the stage that wrote it.
    result
        The run, or the ensemble (of the entry), whose predictions are the evidence.
    summary
        Its scores, sizes and seconds, as its artifact records them.

    Raises
    ------
    StorageError
        If the leaderboard can't be written.
    """
    if is_recorded(plan, stage, kind, name):
        return
    workspace, competition = plan.workspace, plan.workspace.competition
    recipes = [competition.experiments[run] for run in competition.runs_of(name)]
    commit, dirty = git_state(workspace.root)
    row = leaderboard.Row(
        name=name,
        kind=kind,
        score=summary["score"],
        std_error=summary["std_error"],
        fold_scores=tuple(summary["fold_scores"]),
        train_score=summary.get("train_score"),
        columns=summary["columns"],
        members=summary["members"],
        seconds=summary["seconds"],
        peak_memory_mb=summary["peak_memory_mb"],
        source=plan.source,
        sees_test=any(
            competition.features[recipe.features].scope == "all" or recipe.weights == "shift" for recipe in recipes
        ),
        overrides=workspace.overrides,
        git_commit=commit,
        git_dirty=dirty,
        fingerprint=stage.fingerprint,
        naive_score=summary.get("naive_score"),
        mean_score=summary.get("mean_score"),
        created=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    )
    evidence = leaderboard.Evidence(result.train_ids, result.target, result.oof, result.fold_of_row, result.in_time)
    leaderboard.record(workspace.board, row, evidence)
