"""What the competition said of entries, and the two that are recommended, judged where the truth is known."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from houseprice.compete.leaderboard import Row, record, rows
from houseprice.compete.ledger import BoardScore, board_scores, recommend, recommend_finals, record_board_score
from houseprice.errors import LeaderboardError, StorageError
from test_leaderboard import EVIDENCE, ROW

ENTRY = replace(ROW, name="default", kind="entry")
N_TRAIN, N_PUBLIC = 1460, 730


@pytest.fixture
def board(tmp_path: Path) -> Path:
    path = tmp_path / "leaderboard.db"
    record(path, ENTRY, EVIDENCE)
    return path


def test_no_leaderboard_has_no_scores_and_looking_makes_none(tmp_path: Path) -> None:
    assert board_scores(tmp_path / "none.db") == []
    assert list(tmp_path.iterdir()) == []


def test_a_score_comes_back_as_it_was(board: Path) -> None:
    record_board_score(board, ENTRY, 0.12345678901234567)
    (stored,) = board_scores(board)
    assert stored.entry == ENTRY
    assert (stored.public, stored.private) == (0.12345678901234567, None)


def test_what_is_said_later_replaces_what_was_said_but_no_private_score_is_lost(board: Path) -> None:
    for public, private, kept in ((0.12, None, None), (0.13, 0.14, 0.14), (0.125, None, 0.14), (0.125, 0.0, 0.0)):
        record_board_score(board, ENTRY, public, private)
        assert [(score.public, score.private) for score in board_scores(board)] == [(public, kept)]


def test_an_entry_that_is_recorded_again_keeps_its_score(board: Path) -> None:
    record_board_score(board, ENTRY, 0.12)
    record(board, replace(ENTRY, source="mirror", seconds=1.0), EVIDENCE)
    (score,) = board_scores(board)
    assert (score.public, score.entry.source) == (0.12, "mirror")


def test_scores_are_listed_in_the_order_of_recording(board: Path) -> None:
    for name in ("a", "c", "b"):
        row = replace(ENTRY, name=name)
        record(board, row, EVIDENCE)
        record_board_score(board, row, 0.1)
    assert [score.entry.name for score in board_scores(board)] == ["a", "c", "b"]


@pytest.mark.parametrize(
    ("row", "public", "private", "complaint"),
    [
        (replace(ENTRY, kind="run"), 0.1, None, "default@ffffffff: is no entry but run"),
        (replace(ENTRY, source="sample"), 0.1, None, "entry of the built-in sample"),
        (ENTRY, float("nan"), None, "a public score of nan is none"),
        (ENTRY, -0.1, None, "a public score of -0.1 is none"),
        (ENTRY, 0.1, float("inf"), "a private score of inf is none"),
    ],
)
def test_what_is_no_score_of_an_entry_is_refused(
    board: Path, row: Row, public: float, private: float | None, complaint: str
) -> None:
    with pytest.raises(LeaderboardError, match=complaint):
        record_board_score(board, row, public, private)
    assert board_scores(board) == []


def test_a_score_of_an_entry_that_is_not_there_is_refused_by_the_database(board: Path) -> None:
    with pytest.raises(StorageError, match="FOREIGN KEY constraint failed"):
        record_board_score(board, replace(ENTRY, fingerprint="0" * 64), 0.1)
    assert rows(board) == [ENTRY]


# the two final entries --------------------------------------------------------------------------------------


def scored(oof: Sequence[float], public: Sequence[float]) -> list[BoardScore]:
    return [
        BoardScore(replace(ENTRY, name=f"e{number}", score=x), p, None, "2026-01-01T00:00:00Z", "truth")
        for number, (x, p) in enumerate(zip(oof, public, strict=True))
    ]


def finals(
    oof: Sequence[float], public: Sequence[float], n_train: int = N_TRAIN, n_public: int = N_PUBLIC
) -> list[str]:
    found = recommend(scored(oof, public), n_train, n_public)
    assert found is not None
    return [entry.name for entry in found.finals]


def test_less_than_five_entries_recommend_nothing() -> None:
    four = [0.12, 0.13, 0.14, 0.15]
    assert recommend(scored(four, four), N_TRAIN, N_PUBLIC) is None
    assert finals([*four, 0.11], [*four, 0.11]) == ["e4", "e0"]


def test_out_of_fold_and_board_count_by_their_rows() -> None:
    """On an exact line of slope 1 but for one entry, which the board likes and the many rows out of fold do not."""
    oof, public = [0.120, 0.121, 0.122, 0.123, 0.130], [0.125, 0.126, 0.127, 0.128, 0.124]
    assert finals(oof, public)[0] == "e0"
    assert finals(oof, public, n_train=10, n_public=10_000)[0] == "e4"


def test_where_both_agree_the_line_is_theirs() -> None:
    oof = [0.12, 0.125, 0.13, 0.135, 0.14]
    found = recommend(scored(oof, [x + 0.01 for x in oof]), N_TRAIN, N_PUBLIC)
    assert found is not None
    assert found.slope == pytest.approx(1)
    assert found.intercept == pytest.approx(0.01)
    assert found.expected == pytest.approx([x + 0.01 for x in oof])


@pytest.mark.parametrize(("n_entries", "slope"), [(5, 0.6), (30, 0.0)])
def test_a_board_that_contradicts_flattens_the_line_but_never_turns_it(n_entries: int, slope: float) -> None:
    """The more entries it contradicts, the more."""
    oof = np.linspace(0.12, 0.14, n_entries).tolist()
    found = recommend(scored(oof, oof[::-1]), N_TRAIN, N_PUBLIC)
    assert found is not None
    assert found.slope == pytest.approx(slope)


def test_equal_entries_are_one_and_equal_scores_make_no_line() -> None:
    assert finals([0.12, 0.12, 0.13, 0.14, 0.15], [0.12, 0.12, 0.13, 0.14, 0.15]) == ["e0", "e2"]
    assert finals([0.12] * 5, [0.12] * 5) == ["e0"]


def test_entries_of_other_training_rows_are_left_out(board: Path) -> None:
    """The sizes are those of the files: with 4 rows to learn from and 100 to score, the board decides."""
    assert recommend_finals(board, 200) is None
    for number, (oof, public) in enumerate([(0.12, 0.15), (0.13, 0.14), (0.14, 0.13), (0.15, 0.12), (0.16, 0.16)]):
        entry = replace(ENTRY, name=f"e{number}", score=oof)
        other = replace(entry, name=f"other{number}", score=0.01)
        record(board, other, replace(EVIDENCE, target=EVIDENCE.target + 1))
        record_board_score(board, other, 0.01)
        record(board, entry, EVIDENCE)
        record_board_score(board, entry, public)
        assert (recommend_finals(board, 200) is None) == (number < 4)
    found = recommend_finals(board, 200)
    assert found is not None
    assert [score.entry.name for score in found.scores] == [f"e{number}" for number in range(5)]
    assert [entry.name for entry in found.finals] == ["e3", "e2"]
    few = recommend_finals(board, 2)
    assert few is not None
    assert [entry.name for entry in few.finals] == ["e0", "e1"]


def simulated(
    random: np.random.Generator, n_entries: int, optimism: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Scores out of fold, public and final [entry] of entries whose residuals have much in common, and long tails."""
    n_rows = (N_TRAIN, N_PUBLIC, 729)
    sizes = 0.12 * (1 + 0.02 * random.standard_normal(n_entries))
    shared, own = random.standard_t(5, sum(n_rows)), random.standard_normal((n_entries, sum(n_rows)))
    losses = np.square(sizes[:, None] * (np.sqrt(0.85 * 3 / 5) * shared + np.sqrt(0.15) * own))
    oof, public, final = (np.sqrt(part.mean(axis=1)) for part in np.split(losses, np.cumsum(n_rows)[:2], axis=1))
    return oof - optimism * np.abs(random.standard_normal(n_entries)), public, final


@pytest.mark.parametrize("n_entries", [5, 12])
@pytest.mark.parametrize("optimism", [0.0, 0.002])
def test_the_recommended_two_beat_the_two_best_of_the_board(n_entries: int, optimism: float) -> None:
    """By the mean of both and by the better one, which counts in the end; over simulated competitions, paired."""
    random = np.random.default_rng(2020)
    gains = []
    for _ in range(400):
        oof, public, final = simulated(random, n_entries, optimism)
        found = recommend(scored(oof.tolist(), public.tolist()), N_TRAIN, N_PUBLIC)
        assert found is not None
        ours = final[[int(entry.name[1:]) for entry in found.finals]]
        theirs = final[np.argsort(public)[:2]]
        gains.append((theirs.mean() - ours.mean(), theirs.min() - ours.min()))
    mean = np.mean(gains, axis=0)
    error = np.std(gains, axis=0, ddof=1) / np.sqrt(len(gains))
    assert (mean > 2 * error).all(), (mean, error)


def test_where_the_scores_out_of_fold_are_sound_they_alone_are_beaten_too() -> None:
    random = np.random.default_rng(2020)
    gains = []
    for _ in range(400):
        oof, public, final = simulated(random, 12, 0.0)
        found = recommend(scored(oof.tolist(), public.tolist()), N_TRAIN, N_PUBLIC)
        assert found is not None
        ours = final[[int(entry.name[1:]) for entry in found.finals]]
        gains.append(final[np.argsort(oof)[:2]].mean() - ours.mean())
    assert np.mean(gains) > 0


def test_where_greater_is_better_the_greatest_are_the_finals(board: Path) -> None:
    oof = [0.80, 0.84, 0.82, 0.81, 0.83]
    found = recommend(scored(oof, [x - 0.01 for x in oof]), N_TRAIN, N_PUBLIC, greater_is_better=True)
    assert found is not None
    assert [entry.score for entry in found.finals] == [0.84, 0.83]
    record_board_score(board, ENTRY, -0.1, may_be_negative=True)
    assert [score.public for score in board_scores(board)] == [-0.1]
