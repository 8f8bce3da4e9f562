"""What stored rows say of each other, and where the errors of one of them lie."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from houseprice.compete.leaderboard import Evidence, Row, record, rows
from houseprice.compete.statistics import compare_all, luck_of_best, std_error_at
from houseprice.config import Folds
from houseprice.data.folds import make_folds
from houseprice.data.tables import Tables
from houseprice.errors import ConfigError, DataError, LeaderboardError
from houseprice.metrics import METRICS
from houseprice.review import Review, decisive_rows, notes, residuals_of, review

Float = NDArray[np.float64]
METRIC = METRICS["log_rmse"]
N = 120
IDS = tuple(f"{number:03d}" for number in range(N))
FOLDS = make_folds(N, Folds(k=5, repeats=2))
TARGET = np.random.default_rng(0).normal(12, 0.4, N)
SHARED = np.random.default_rng(1).standard_normal(N)

ROW = Row(
    name="a",
    kind="run",
    score=0.0,
    std_error=0.01,
    fold_scores=(0.1,),
    train_score=0.08,
    columns=3,
    members=5,
    seconds=1.0,
    peak_memory_mb=300.0,
    source="local",
    sees_test=False,
    overrides=(),
    git_commit=None,
    git_dirty=None,
    fingerprint="a" * 64,
    created="2026-01-01T00:00:00Z",
)


def predicted(seed: int, size: float) -> Evidence:
    """Predictions whose errors are mostly those that all others make."""
    own = np.random.default_rng(seed).standard_normal(N)
    return Evidence(IDS, TARGET, TARGET + size * (0.9 * SHARED + 0.3 * own), FOLDS)


def put(board: Path, name: str, evidence: Evidence, **others: object) -> Row:
    """Record a row that is scored as its evidence says."""
    row = replace(
        ROW,
        name=name,
        score=METRIC.score(evidence.target, evidence.oof),
        fingerprint=f"{name:0<64}",
        **others,  # type: ignore[arg-type]
    )
    record(board, row, evidence)
    return row


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """Two about equal runs, a worse one, and an entry that repeats the best."""
    path = tmp_path / "leaderboard.db"
    for name, seed, size in (("a", 10, 0.10), ("b", 11, 0.102), ("c", 12, 0.16)):
        put(path, name, predicted(seed, size))
    put(path, "d", replace(predicted(10, 0.10), fold_of_row=FOLDS[:1]), kind="entry")
    return path


def look(board: Path, n_test: int = 400) -> tuple[Review, dict[str, Row]]:
    found = review(board, METRIC, n_test)
    return found, {row.name: row for row in found.rows}


def test_rows_are_compared_as_the_statistics_say(board: Path) -> None:
    found, by_name = look(board)
    assert [row.name for row in found.rows] == [row.name for row in rows(board)]
    evidence = [predicted(seed, size) for seed, size in ((10, 0.10), (11, 0.102), (12, 0.16))]
    losses = np.stack([METRIC.row_losses(TARGET, each.oof) for each in evidence], axis=1)
    keys = [by_name[name].key for name in "abc"]
    expected = compare_all(keys, losses, [FOLDS] * 3, METRIC)
    for pair, comparison in expected.items():
        assert found.comparisons[pair].verdict == comparison.verdict
        assert found.comparisons[pair].p_adjusted == pytest.approx(comparison.p_adjusted)
    assert found.luck
    assert found.luck.expected == pytest.approx(luck_of_best(keys, losses, METRIC).expected)
    assert found.noise == std_error_at(400, losses[:, 0], METRIC)
    others = [std_error_at(400, losses[:, 0], METRIC, losses[:, other]) for other in (1, 2)]
    assert found.noise_of_difference == pytest.approx(np.mean(others))
    assert found.noise_of_difference < found.noise


def test_the_best_is_beside_itself_nothing_and_its_entry_the_same(board: Path) -> None:
    found, by_name = look(board)
    assert found.best in (by_name["a"].key, by_name["d"].key)
    best, other = ("a", "d") if found.best == by_name["a"].key else ("d", "a")
    assert found.against_best(by_name[best]) is None
    same = found.against_best(by_name[other])
    assert same
    assert same.is_same
    worse = found.against_best(by_name["c"])
    assert worse
    assert (worse.first, worse.second, worse.verdict) == (by_name["c"].key, found.best, "worse")
    assert worse.difference > 0
    assert found.n_pairs == 3


def test_rows_are_joined_by_id(board: Path) -> None:
    """A row whose evidence lies in another order says the same."""
    order = np.random.default_rng(3).permutation(N)
    whole = predicted(12, 0.16)
    put(
        board,
        "c",
        Evidence(tuple(IDS[place] for place in order), TARGET[order], whole.oof[order], FOLDS[:, order]),
    )
    found, by_name = look(board)
    shuffled = found.comparisons[by_name["c"].key, by_name["a"].key]
    put(board, "c", whole)
    found, by_name = look(board)
    assert found.comparisons[by_name["c"].key, by_name["a"].key] == shuffled


def test_other_training_rows_are_not_compared_and_the_last_recorded_count(board: Path) -> None:
    """The sample's rows stay on the leaderboard when the real files have come; their scores say nothing of these."""
    sample = Evidence(IDS[:60], TARGET[:60], TARGET[:60] + 0.001, FOLDS[:, :60])
    put(board, "sample", sample, created="2025-12-31T00:00:00Z", source="sample")
    found, by_name = look(board)
    assert found.rows[-1].name == "sample"  # though its score is the best
    assert found.best != by_name["sample"].key
    assert found.against_best(by_name["sample"]) is None
    assert found.luck
    assert found.luck.experiments == 3
    assert any("Not compared" in note and note.endswith("sample.") for note in notes(found, 4))
    put(board, "sample", sample, created="2025-12-31T00:00:00Z")
    put(board, "later", replace(sample, oof=sample.oof + 0.1 * SHARED[:60]), created="2026-02-01T00:00:00Z")
    found, by_name = look(board)
    assert found.best == by_name["sample"].key
    assert {key for pair in found.comparisons for key in pair} == {by_name["sample"].key, by_name["later"].key}


def test_a_row_with_other_targets_under_the_same_ids_is_not_compared(board: Path) -> None:
    evidence = predicted(14, 0.1)
    put(board, "corrected", replace(evidence, target=TARGET + 1, oof=evidence.oof + 1), created="2025-01-01T00:00:00Z")
    found, by_name = look(board)
    assert found.against_best(by_name["corrected"]) is None
    with pytest.raises(LeaderboardError, match=r"corrected@correcte: no out-of-fold .* Evaluate it again"):
        found.compared(by_name["corrected"], by_name["a"])
    with pytest.raises(LeaderboardError, match="is one row"):
        found.compared(by_name["a"], by_name["a"])
    assert found.compared(by_name["c"], by_name["a"]).verdict == "worse"


def test_rows_on_other_folds_are_compared_by_rows_alone(board: Path) -> None:
    contiguous = make_folds(N, Folds(scheme="contiguous", k=5))
    put(board, "course", replace(predicted(13, 0.15), fold_of_row=contiguous))
    found, by_name = look(board)
    comparison = found.against_best(by_name["course"])
    assert comparison
    assert comparison.p_folds is None
    assert any("rows alone decide: course." in note for note in notes(found, 4))


def test_a_board_of_nothing_and_of_rows_without_evidence(tmp_path: Path) -> None:
    found, _ = look(tmp_path / "none.db")
    assert (found.rows, found.comparisons, found.best, found.luck) == ((), {}, None, None)
    assert math.isnan(found.noise)
    assert notes(found, 4) == ()
    assert not (tmp_path / "none.db").exists()


def test_one_row_has_noise_and_no_luck(tmp_path: Path) -> None:
    put(tmp_path / "one.db", "a", predicted(10, 0.1))
    found, by_name = look(tmp_path / "one.db")
    assert found.best == by_name["a"].key
    assert found.luck
    assert found.luck.optimism == 0
    assert math.isnan(found.noise_of_difference)
    (note,) = notes(found, 4)
    assert note == f"Noise: 400 test rows tell a score to ± {found.noise:.4f} (standard error)."


def test_the_notes_carry_the_figures(board: Path) -> None:
    found, _ = look(board)
    luck, noise, verdicts = notes(found, 4)
    assert found.luck
    assert f"best of 3 different predictions; {found.luck.optimism:.4f} of its {found.luck.score:.4f}" in luck
    assert f"Expect {found.luck.expected:.4f}" in luck
    assert f"a gain of {2 * found.noise_of_difference:.4f} or less" in noise
    assert f"inside the noise of 400 test rows: standard error ± {found.noise_of_difference:.4f}" in noise
    assert f"± {found.noise:.4f} for one score" in noise
    assert "all 3 pairs" in verdicts
    assert not any("Noise" in note for note in notes(look(board, 0)[0], 4))  # no test file at hand


def test_rows_that_decide_a_difference_are_named(board: Path) -> None:
    oof = predicted(10, 0.10).oof.copy()
    oof[[7, 30]] += (2.0, 1.5)
    first = put(board, "outlying", replace(predicted(10, 0.10), oof=oof))
    second = put(board, "a", predicted(10, 0.10))
    assert decisive_rows(board, first, second, METRIC, share=0.9) == ("007", "030")
    assert decisive_rows(board, first, second, METRIC, share=0.5) == ("007",)
    other = put(board, "sample", Evidence(IDS[:60], TARGET[:60], TARGET[:60], FOLDS[:, :60]))
    with pytest.raises(LeaderboardError, match="can't be compared"):
        decisive_rows(board, first, other, METRIC)


# residuals --------------------------------------------------------------------------------------------------


@pytest.fixture
def tables() -> Tables:
    """A column of text with a gap, one of few numbers, one of many with gaps; rows in another order than predicted."""
    area = np.arange(N, dtype=np.float64)
    area[:6] = np.nan
    train = pd.DataFrame(
        {
            "Town": [("North", "South", None)[number % 3] for number in range(N)],
            "Rooms": [float(number % 4) for number in range(N)],
            "Area": area,
        },
        index=pd.Index(IDS, name="Id"),
    ).iloc[::-1]
    return Tables(train, train.iloc[:0], pd.Series(np.exp(TARGET[::-1]), train.index), train.index[:0], ())


def test_the_worst_rows_come_first_in_natural_units(tables: Tables) -> None:
    evidence = predicted(10, 0.1)
    found = residuals_of(evidence, tables, METRIC, worst=5)
    residual = evidence.oof - TARGET
    heaviest = np.argsort(-np.abs(residual))[:5]
    assert [row.id for row in found.worst] == [IDS[place] for place in heaviest]
    assert [row.residual for row in found.worst] == pytest.approx(residual[heaviest])
    assert [row.target for row in found.worst] == pytest.approx(np.exp(TARGET[heaviest]))
    assert [row.prediction for row in found.worst] == pytest.approx(np.exp(evidence.oof[heaviest]))
    assert found.worst[0].share == pytest.approx(residual[heaviest[0]] ** 2 / np.square(residual).sum())
    assert found.by == ()


@pytest.mark.parametrize("column", ["Town", "Rooms", "Area"])
def test_groups_part_the_rows_and_their_scores_make_up_the_whole(tables: Tables, column: str) -> None:
    evidence = predicted(10, 0.1)
    for groups in (residuals_of(evidence, tables, METRIC, by=column).by, residuals_of(evidence, tables, METRIC).bands):
        assert sum(group.count for group in groups) == N
        assert sum(group.share for group in groups) == pytest.approx(1)
        whole = math.sqrt(sum(group.count * group.score**2 for group in groups) / N)
        assert whole == pytest.approx(METRIC.score(TARGET, evidence.oof))
        mean = sum(group.count * group.mean for group in groups) / N
        assert mean == pytest.approx((evidence.oof - TARGET).mean())


def test_groups_are_joined_by_id(tables: Tables) -> None:
    evidence = predicted(10, 0.1)
    found = {group.value: group for group in residuals_of(evidence, tables, METRIC, by="Town").by}
    south = (evidence.oof - TARGET)[1::3]
    assert found["South"].count == len(south)
    assert found["South"].mean == pytest.approx(south.mean())
    assert found["South"].std_error == pytest.approx(south.std(ddof=1) / math.sqrt(len(south)))
    assert found["South"].middle == pytest.approx(np.median(np.exp(evidence.oof[1::3])))


def test_text_is_ordered_by_its_share_and_numbers_by_value(tables: Tables) -> None:
    evidence = predicted(10, 0.1)
    *towns, gap = residuals_of(evidence, tables, METRIC, by="Town").by
    assert gap.value == "missing"
    assert [town.share for town in towns] == sorted((town.share for town in towns), reverse=True)
    assert [group.value for group in residuals_of(evidence, tables, METRIC, by="Rooms").by] == ["0", "1", "2", "3"]
    *areas, gap = residuals_of(evidence, tables, METRIC, by="Area").by
    assert (gap.value, gap.count) == ("missing", 6)
    assert len(areas) == 12
    assert areas[0].value == "6 to 15"
    assert areas[-1].value.endswith(" to 119")
    assert {area.count for area in areas} <= {9, 10}


def test_bands_have_the_prices_at_their_ends(tables: Tables) -> None:
    evidence = predicted(10, 0.1)
    bands = residuals_of(evidence, tables, METRIC).bands
    assert len(bands) == 10
    assert bands[0].value.split(" to ")[0] == f"{np.exp(evidence.oof.min()):,.0f}"
    assert [band.middle for band in bands] == sorted(band.middle for band in bands)


def test_a_group_of_one_and_a_perfect_prediction(tables: Tables) -> None:
    tables.train.loc["000", "Town"] = "Alone"
    perfect = Evidence(IDS, TARGET, TARGET, FOLDS)
    found = {group.value: group for group in residuals_of(perfect, tables, METRIC, by="Town").by}
    assert (found["Alone"].count, found["Alone"].score, found["Alone"].share) == (1, 0, 0)
    assert math.isnan(found["Alone"].std_error)
    constant = Evidence(IDS, TARGET, np.full(N, 12.0), FOLDS)
    (band,) = residuals_of(constant, tables, METRIC).bands
    assert band.count == N


def test_what_is_asked_for_in_vain_is_named(tables: Tables) -> None:
    with pytest.raises(ConfigError, match=r"no column 'Twon' in train\.csv; did you mean 'Town'\?"):
        residuals_of(predicted(10, 0.1), tables, METRIC, by="Twon")
    fewer = replace(tables, train=tables.train.drop(index=["003", "005"]))
    with pytest.raises(DataError, match=r"train\.csv: lacks rows that were predicted: ids 003, 005"):
        residuals_of(predicted(10, 0.1), fewer, METRIC)
