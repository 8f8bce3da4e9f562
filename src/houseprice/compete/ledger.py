"""What the competition said of entries, and which two of them to enter in the end."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean

from houseprice.compete.database import transaction
from houseprice.compete.leaderboard import Row, evidence_of, rows
from houseprice.errors import LeaderboardError

ENTRIES_NEEDED = 5
PUBLIC_SHARE = 0.5  # of the test rows; competitions don't tell exactly, and the choice hangs little on it
_SLOPE_SPREAD = 0.5


@dataclass(frozen=True)
class BoardScore:
    """The competition's score of an entry.

    Attributes
    ----------
    entry
        Its row.
    public, private
        The metric over the public and the private test rows; the latter is known when the competition has ended.
    recorded
        UTC, ISO 8601.
    truth
        Names the training rows; out-of-fold scores over others are not comparable. None where they are not known.
    """

    entry: Row
    public: float
    private: float | None
    recorded: str
    truth: str | None


@dataclass(frozen=True)
class Recommendation:
    """The two entries to finish with.

    Attributes
    ----------
    scores
        The entries it was chosen from.
    expected
        The expected final score of each.
    finals
        The two with the best.
    intercept, slope
        The line of the public score on the out-of-fold score.
    """

    scores: tuple[BoardScore, ...]
    expected: tuple[float, ...]
    finals: tuple[Row, ...]
    intercept: float
    slope: float

    @property
    def sentence(self) -> str:
        """The recommendation in words: ``to finish with, by expected score: a@01234567 (0.12034), …``."""
        expected = {score.entry.key: value for score, value in zip(self.scores, self.expected, strict=True)}
        return "to finish with, by expected score: " + ", ".join(
            f"{entry.key} ({expected[entry.key]:.5f})" for entry in self.finals
        )


def record_board_score(
    path: Path, entry: Row, public: float, private: float | None = None, may_be_negative: bool = False
) -> None:
    """Store what the competition said of an entry; what it said earlier is replaced, a private score is kept.

    Scores of which greater is better (R², agreement beyond chance) ``may_be_negative``; others are errors.

    Raises
    ------
    LeaderboardError
        If the row is no entry, or one of the built-in sample, or a score is none.
    StorageError
        If the database can't be written.
    """
    if entry.kind != "entry":
        raise LeaderboardError(f"{entry.key}: is no entry but {entry.kind}; a competition scores entries alone")
    if entry.source == "sample":
        raise LeaderboardError(f"{entry.key}: is an entry of the built-in sample, which no competition has scored")
    for what, score in (("public", public), ("private", private)):
        if score is not None and not (math.isfinite(score) and (score >= 0 or may_be_negative)):
            least = "" if may_be_negative else " ≥ 0"
            raise LeaderboardError(f"{entry.key}: a {what} score of {score} is none; it is a finite number{least}")
    recorded = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    with transaction(path, write=True) as database:
        database.execute(
            "INSERT INTO board_scores (kind, name, fingerprint, public, private, recorded) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (kind, name, fingerprint) DO UPDATE SET public = excluded.public, "
            "private = coalesce(excluded.private, private), recorded = excluded.recorded",
            (entry.kind, entry.name, entry.fingerprint, public, private, recorded),
        )


def board_scores(path: Path) -> list[BoardScore]:
    """What the competition said of the entries, in the order in which it was recorded."""
    if not path.exists():
        return []
    with transaction(path) as database:
        found = database.execute(
            "SELECT name, fingerprint, public, private, recorded, truth FROM board_scores "
            "JOIN leaderboard USING (kind, name, fingerprint) ORDER BY recorded"
        ).fetchall()
    entry_of = {(row.name, row.fingerprint): row for row in rows(path) if row.kind == "entry"}
    return [BoardScore(entry_of[name, fingerprint], *values) for name, fingerprint, *values in found]


def recommend_finals(path: Path, n_test: int, greater_is_better: bool = False) -> Recommendation | None:
    """Choose the two final entries of a leaderboard, among those trained on the rows of the one recorded last.

    Parameters
    ----------
    n_test
        Rows of the test file, `PUBLIC_SHARE` of which the public score is taken to be of.
    greater_is_better
        Of the metric.
    """
    scores = board_scores(path)
    evidence = evidence_of(path, scores[-1].entry) if scores else None
    if evidence is None:
        return None
    alike = [score for score in scores if score.truth == scores[-1].truth]
    return recommend(alike, len(evidence.ids), round(n_test * PUBLIC_SHARE), greater_is_better)


def recommend(
    scores: Sequence[BoardScore], n_train: int, n_public: int, greater_is_better: bool = False
) -> Recommendation | None:
    """Choose the two entries with the best expected final score; None for fewer than `ENTRIES_NEEDED`.

    An entry's score has been measured twice: over ``n_train`` rows out of fold, x, and over ``n_public`` rows of the
    test file, p. Both scatter about what the final rows will say, with a variance inversely proportional to their rows;
    what is noise of the rows themselves, all entries share, and it doesn't tell one from another. So the expected
    score is the mean of the two, weighted by rows, once x is carried to the scale of the board by a line p = a + b x:

        (n_train (a + b x) + n_public p) / (n_train + n_public)

    A handful of entries says little of b, so it is shrunk towards 1, where a gain out of fold is a gain on the board:
    its estimate is the mean of a normal posterior with prior N(1, 0.5²) and the variance of p - x about its mean as
    noise (Gelman et al., *Bayesian Data Analysis*, §14.8: a prior as one more row of data), or 0 if that is negative.
    Where the scores out of fold were too much chosen by, b falls, and the board counts for more. Entries that both
    measurements find equal are taken for the same predictions, of which one is enough.

    Parameters
    ----------
    scores
        Of entries trained on the same rows.
    n_train
        Rows of the training file.
    n_public
        Rows of the test file that the public score is of.
    greater_is_better
        Of the metric; otherwise the least expected score is the best.
    """
    if len(scores) < ENTRIES_NEEDED:
        return None
    oof, public = [score.entry.score for score in scores], [score.public for score in scores]
    mean_oof, mean_public = fmean(oof), fmean(public)
    x, p = [score - mean_oof for score in oof], [score - mean_public for score in public]
    noise = sum((b - a) ** 2 for a, b in zip(x, p, strict=True)) / (len(scores) - 1)
    prior = noise / _SLOPE_SPREAD**2  # as much as that sum of squares of x
    squares, products = sum(a * a for a in x), sum(a * b for a, b in zip(x, p, strict=True))
    slope = max(0.0, (products + prior) / (squares + prior)) if squares + prior > 0 else 1.0
    intercept = mean_public - slope * mean_oof
    expected = tuple(
        (n_train * (intercept + slope * a) + n_public * b) / (n_train + n_public)
        for a, b in zip(oof, public, strict=True)
    )
    distinct = {(oof[number], public[number]): number for number in reversed(range(len(scores)))}
    first, *others = sorted(distinct.values(), key=expected.__getitem__, reverse=greater_is_better)
    finals = tuple(scores[number].entry for number in (first, *others[:1]))
    return Recommendation(tuple(scores), expected, finals, intercept, slope)
