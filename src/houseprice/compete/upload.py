"""Handing an entry in through the Kaggle client, and what the competition says of it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from houseprice.errors import SubmissionError
from houseprice.online import call_kaggle

PATIENCE_SECONDS = 90.0
SECONDS_BETWEEN_QUESTIONS = 5.0


@dataclass(frozen=True)
class Submission:
    """What the competition says of an entry that was handed in.

    Attributes
    ----------
    ref
        Its number there.
    pending
        Whether it is still being scored.
    public, private
        The scores, where the competition shows them.
    """

    ref: int
    pending: bool
    public: float | None
    private: float | None


def upload(path: Path, message: str, competition: str, say: Callable[[str], None]) -> Submission:
    """Hand in an entry, unless it was before, and wait a while for its score.

    The list of submissions alone is believed: the client has been seen to report success where the day's submissions
    were used up (https://github.com/Kaggle/kaggle-cli/issues/148).

    Parameters
    ----------
    path
        The CSV, past its gate.
    message
        Told to the competition; it names this entry and no other, so that the entry is known again.
    competition
        Its name on Kaggle.
    say
        Told what happens.

    Raises
    ------
    NetworkError
        If the client or the competition refuses, see `houseprice.online.call_kaggle`.
    SubmissionError
        If the entry is not among the submissions, or could not be scored.
    """
    page = f"https://www.kaggle.com/competitions/{competition}/submissions"
    earlier = _submissions(competition)
    of_entry = [found for found in earlier if found["description"] == message and found["status"] != "ERROR"]
    known = {found["ref"] for found in earlier} - {found["ref"] for found in of_entry}
    if of_entry:
        say(f"upload: {path.name} was handed in before, as submission {of_entry[0]['ref']}; its score is asked for")
    else:
        call_kaggle("submit", competition, 300.0, path=str(path.resolve()), message=message)
        say(f"upload: {path.name} is handed in to {competition}; waiting for its score")
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        new = [found for found in _submissions(competition) if found["ref"] not in known]
        mine = next((found for found in new if found["description"] == message), None)
        if (mine and mine["status"] != "PENDING") or time.monotonic() >= end:
            break
        time.sleep(SECONDS_BETWEEN_QUESTIONS)
    if mine is None:
        raise SubmissionError(
            f"{path}: the client reports no error, but the competition has no such submission: {page}. Most often the "
            "submissions of the day are used up; there are new ones from midnight UTC on."
        )
    if mine["status"] == "ERROR":
        reason = " ".join((mine["error"] or "it gives no reason").split()).rstrip(".")
        raise SubmissionError(f"{path}: the competition could not score it: {reason}. See {page}")
    return Submission(mine["ref"], mine["status"] == "PENDING", _score(mine["public"]), _score(mine["private"]))


def _submissions(competition: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = call_kaggle("submissions", competition, 60.0)
    return found


def _score(text: str | None) -> float | None:
    """A score as the competition writes it; it writes nothing where it shows none."""
    try:
        return float(text or "")
    except ValueError:
        return None
