"""Handing entries in, and what the competition says of them."""

from pathlib import Path
from typing import TYPE_CHECKING

from houseprice.compete import ledger
from houseprice.errors import SubmissionError
from houseprice.pipeline import submit, tables
from houseprice.plan import Plan

if TYPE_CHECKING:
    from houseprice.compete.ledger import Recommendation
    from houseprice.compete.upload import Submission


def upload(plan: Plan, entry: str, out: Path | None = None) -> "Submission":
    """Submit an entry (`submit`) and hand it in to the competition; its score, if there is one, goes into the ledger.

    Raises
    ------
    SubmissionError
        If the houses are the built-in sample's, the file does not pass the gate, or the competition doesn't score it.
    NetworkError
        If the Kaggle client or the competition refuses (`houseprice.online.call_kaggle`).
    """
    from houseprice.compete import leaderboard
    from houseprice.compete.submission import check_submission, read_entry
    from houseprice.compete.upload import upload

    workspace, competition = plan.workspace, plan.workspace.competition
    if plan.source == "sample":
        raise SubmissionError(
            "--upload: these houses are the built-in sample's, which no competition scores. Bring the competition's "
            f"files: houseprice ingest -c {competition.name} --source DIR"
        )
    if competition.ingest.kaggle is None:
        raise SubmissionError(
            f'--upload: data/{competition.name}/competition.toml names no competition: [ingest] kaggle = "NAME"'
        )
    path = submit(plan, entry, out)
    data, _ = read_entry(path)
    frames = tables(plan)
    wanted = competition.id, competition.target, competition.scoring, frames.classes, frames.sample_columns
    check_submission(data, list(frames.sample_ids), *wanted)
    row = leaderboard.named(leaderboard.rows(workspace.board), f"{entry}@{plan.entry(entry).fingerprint}", ("entry",))
    message = f"{row.key} out-of-fold {competition.metric} {row.score:.5f}"
    said = upload(path, message, competition.ingest.kaggle, workspace.listener.say)
    if said.public is not None:
        ledger.record_board_score(workspace.board, row, said.public, said.private)
    return said


def recommend_finals(plan: Plan) -> "Recommendation | None":
    """The two entries to finish with (`houseprice.compete.ledger.recommend`); None while too few are recorded."""
    greater_is_better = plan.workspace.competition.scoring.greater_is_better
    return ledger.recommend_finals(plan.workspace.board, len(tables(plan).sample_ids), greater_is_better)
