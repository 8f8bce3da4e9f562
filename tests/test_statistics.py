"""What comparisons promise, on data whose truth is known, and how they are put together."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from houseprice.compete import statistics
from houseprice.compete.statistics import Comparison, adjusted, compare_all, fold_test, luck_of_best, std_error_at
from houseprice.config import Folds
from houseprice.data.folds import make_folds
from houseprice.metrics import METRICS

Float = NDArray[np.float64]
RMSE = METRICS["rmse"]


def row_losses(rng: np.random.Generator, n_rows: int, sizes: Float, tails: float = 4.0) -> Float:
    """Squared errors like those of real houses, float64 [n_rows, n_experiments].

    An odd house is odd for everybody: errors are normal times a heavy-tailed size of the row, which makes them
    Student's t with ``tails`` degrees of freedom, and correlate by 0.95 between experiments. With 3 the largest of
    1,460 losses is 7 % of their sum, as it is 9 % on House Prices; with 4 it is 4 %.

    ``sizes`` [n_experiments] multiply the errors, so that the true score is `true_scores`.
    """
    row = np.sqrt(tails / rng.chisquare(tails, n_rows))
    shared, own = rng.standard_normal(n_rows), rng.standard_normal((n_rows, len(sizes)))
    return np.asarray(np.square(sizes * row[:, None] * (np.sqrt(0.95) * shared[:, None] + np.sqrt(0.05) * own)))


def true_scores(sizes: Float, tails: float = 4.0) -> Float:
    """The root mean square error over all rows that there could be."""
    return np.asarray(sizes * np.sqrt(tails / (tails - 2)))


def learnt_losses(rng: np.random.Generator, n_rows: int, n_experiments: int, folds: NDArray[np.int64]) -> Float:
    """Row losses of a real cross-validation, float64 [n_rows, n_experiments]: its folds share rows, and so does luck.

    Every experiment is a least-squares fit on its own noisy view of the same 20 features, so that none is better;
    targets have heavy-tailed noise. Predictions are averaged over the repeats.
    """
    X, tails = rng.standard_normal((n_rows, 20)), 3.0
    y = X.mean(axis=1) + np.sqrt(tails / rng.chisquare(tails, n_rows)) * rng.standard_normal(n_rows)
    views = X + 0.5 * rng.standard_normal((n_experiments, n_rows, 20))
    oof = np.zeros((n_experiments, n_rows))
    for repeat in folds:
        for fold in np.unique(repeat):
            fit, valid = views[:, repeat != fold], repeat == fold
            transposed = fit.transpose(0, 2, 1)
            weights = np.linalg.solve(transposed @ fit, transposed @ y[repeat != fold, None])
            oof[:, valid] += (views[:, valid] @ weights)[:, :, 0] / len(folds)
    return np.asarray(np.square(y - oof).T)


def names(n: int) -> list[str]:
    return [f"experiment {number}" for number in range(n)]


def unordered(comparisons: dict[tuple[str, str], Comparison]) -> Iterator[Comparison]:
    return (comparison for (first, second), comparison in comparisons.items() if first < second)


# promises ---------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_intervals_cover_the_truth_in_95_of_100() -> None:
    """Pairs that differ by 0, 1, 2 and 5 % of the score, on rows like those of House Prices."""
    rng = np.random.default_rng(1)
    folds = make_folds(1460, Folds(k=10))
    covered = []
    for number in range(1000):
        sizes, tails = np.array([1.0, (1.0, 1.01, 1.02, 1.05)[number % 4]]), (3.0, 4.0)[number // 4 % 2]
        found = compare_all(names(2), row_losses(rng, 1460, sizes, tails), [folds] * 2, RMSE, seed=number)
        first, second = true_scores(sizes, tails)
        comparison = found["experiment 0", "experiment 1"]
        covered.append(comparison.low <= first - second <= comparison.high)
    assert 0.93 <= np.mean(covered) <= 0.97


@pytest.mark.long
@pytest.mark.parametrize("shares_folds", [True, False])
def test_30_equal_experiments_are_not_told_apart(shares_folds: bool) -> None:
    """In at most 5 % of boards is any of the 435 pairs called different; without common folds the rows are enough."""
    rng = np.random.default_rng(2)
    n_boards, false_boards = 200 if shares_folds else 400, 0
    for board in range(n_boards):
        recipe = Folds(k=10, repeats=2, seed=board)
        if shares_folds:
            folds = [make_folds(400, recipe)] * 30
            losses = learnt_losses(rng, 400, 30, folds[0])
        else:
            folds = [make_folds(400, recipe.model_copy(update={"seed": 30 * board + number})) for number in range(30)]
            losses = row_losses(rng, 400, np.ones(30))
        found = list(unordered(compare_all(names(30), losses, folds, RMSE, seed=board)))
        assert len(found) == 435
        assert all((comparison.p_folds is not None) == shares_folds for comparison in found)
        false_boards += any(comparison.verdict != "not distinguishable" for comparison in found)
    assert false_boards / n_boards <= 0.05


@pytest.mark.long
@pytest.mark.parametrize("better", ["none", "ten of thirty", "by degrees"])
def test_luck_is_what_the_choice_added(better: str) -> None:
    """The estimate's mean is within 20 % of how much better the best of 30 looked than it was.

    What all experiments have in common, because the sample's rows were easy or hard, is no luck of the choice and is
    taken off.
    """
    rng = np.random.default_rng(3)
    estimated, simulated = [], []
    for board in range(400):
        sizes = np.ones(30)
        if better == "ten of thirty":
            sizes[10:] += rng.uniform(0.005, 0.05, 20)
        elif better == "by degrees":  # as far apart as chance alone would put them
            sizes += np.sqrt(2 * 0.05 / 400) * rng.standard_normal(30)
        losses = row_losses(rng, 400, sizes)
        luck = luck_of_best(names(30), losses, RMSE, resamples=300, seed=board)
        looked_better = true_scores(sizes) - RMSE.score_of_losses(losses.mean(axis=0))
        simulated.append(looked_better[names(30).index(luck.best)] - looked_better.mean())
        estimated.append(luck.optimism)
    assert 0.8 <= np.mean(estimated) / np.mean(simulated) <= 1.2


@pytest.mark.parametrize("paired", [False, True])
def test_the_standard_error_on_a_test_set_is_how_much_its_scores_vary(paired: bool) -> None:
    rng = np.random.default_rng(4)
    sizes, tails = np.array([1.0, 1.1]), 8.0
    known = row_losses(rng, 100_000, sizes, tails)
    estimate = std_error_at(500, known[:, 0], RMSE, known[:, 1] if paired else None)
    scores = np.stack(
        [RMSE.score_of_losses(row_losses(rng, 500, sizes, tails).mean(axis=0)) for _ in range(4000)]
    )  # [test set, experiment]
    simulated = np.std(scores[:, 0] - scores[:, 1] if paired else scores[:, 0], ddof=1)
    assert estimate == pytest.approx(simulated, rel=0.05)


# how it is put together -------------------------------------------------------------------------------------


@pytest.fixture
def losses() -> Float:
    """Of four experiments over 300 rows; the last is clearly worse, the others are equal."""
    return row_losses(np.random.default_rng(5), 300, np.array([1.0, 1.0, 1.0, 1.3]), tails=8.0)


@pytest.fixture
def folds() -> NDArray[np.int64]:
    return make_folds(300, Folds(k=5, repeats=3))


def test_a_clear_difference_is_called_by_name(losses: Float, folds: NDArray[np.int64]) -> None:
    found = compare_all(names(4), losses, [folds] * 4, RMSE)
    worse, better = found["experiment 3", "experiment 0"], found["experiment 0", "experiment 3"]
    assert (worse.verdict, better.verdict) == ("worse", "better")
    assert worse.difference == pytest.approx(np.sqrt(losses[:, 3].mean()) - np.sqrt(losses[:, 0].mean()))
    assert 0 < worse.low < worse.difference < worse.high
    assert (better.difference, better.low, better.high) == (-worse.difference, -worse.high, -worse.low)
    assert worse.p_rows <= 0.05
    assert found["experiment 1", "experiment 2"].verdict == "not distinguishable"
    assert found["experiment 1", "experiment 2"].reversed == found["experiment 2", "experiment 1"]
    assert len(found) == 12


def test_where_greater_is_better_the_greater_score_is_called_better(folds: NDArray[np.int64]) -> None:
    accuracy, rng = METRICS["accuracy"], np.random.default_rng(7)
    losses = (rng.random((300, 3)) < [0.15, 0.3, 0.3]).astype(float)  # the share that is mistaken
    found = compare_all(names(3), losses, [folds] * 3, accuracy)["experiment 0", "experiment 1"]
    assert found.verdict == "better"
    assert found.difference == pytest.approx(losses[:, 1].mean() - losses[:, 0].mean())
    assert 0 < found.low < found.difference < found.high
    luck = luck_of_best(names(3), losses[:, 1:], accuracy)
    assert luck.score == pytest.approx(1 - losses[:, 1:].mean(axis=0).min())
    assert luck.expected < luck.score
    assert luck.optimism == pytest.approx(luck.score - luck.expected)


def test_the_interval_and_p_of_the_rows_say_the_same(losses: Float, folds: NDArray[np.int64]) -> None:
    for shift in np.linspace(0.9, 1.1, 21):
        pair = losses[:, :2] * [1.0, shift]
        comparison = compare_all(names(2), pair, [folds] * 2, RMSE)["experiment 0", "experiment 1"]
        assert (comparison.low <= 0 <= comparison.high) == (comparison.p_rows > 0.05)


def test_resamples_are_seeded_and_shared(losses: Float, folds: NDArray[np.int64]) -> None:
    first, again, other = (compare_all(names(4), losses, [folds] * 4, RMSE, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    pair = compare_all(names(2), losses[:, :2], [folds] * 2, RMSE)["experiment 0", "experiment 1"]
    in_company = first["experiment 0", "experiment 1"]
    assert (pair.low, pair.high) == pytest.approx((in_company.low, in_company.high))


def test_memory_is_bounded_and_the_bound_changes_nothing(
    losses: Float, folds: NDArray[np.int64], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = compare_all(names(4), losses, [folds] * 4, RMSE), luck_of_best(names(4), losses, RMSE)
    monkeypatch.setattr(statistics, "_BLOCK", 7 * 300)
    in_blocks = compare_all(names(4), losses, [folds] * 4, RMSE), luck_of_best(names(4), losses, RMSE)
    assert [c.p_rows for c in in_blocks[0].values()] == pytest.approx([c.p_rows for c in whole[0].values()])
    assert in_blocks[1].expected == pytest.approx(whole[1].expected)


def test_p_of_the_folds_is_that_of_the_fold_scores(losses: Float, folds: NDArray[np.int64]) -> None:
    """Nadeau & Bengio's statistic, written out, with 15 folds of a fifth of the rows."""
    from scipy import stats

    scores = np.array([np.sqrt(losses[repeat == fold].mean(axis=0)) for repeat in folds for fold in np.unique(repeat)])
    differences = scores[:, 0] - scores[:, 3]
    statistic = differences.mean() / math.sqrt((1 / 15 + 1 / 4) * differences.var(ddof=1))
    found = compare_all(names(4), losses, [folds] * 4, RMSE)["experiment 0", "experiment 3"]
    assert found.p_folds == pytest.approx(2 * stats.t.sf(abs(statistic), 14))


def test_only_repeats_that_both_have_count(losses: Float, folds: NDArray[np.int64]) -> None:
    """An ensemble is weighted on the first repeat's folds; the course's folds are others altogether."""
    contiguous = make_folds(300, Folds(scheme="contiguous", k=5))
    found = compare_all(names(4), losses, [folds, folds[:1], contiguous, folds], RMSE)
    scores = np.array([np.sqrt(losses[folds[0] == fold].mean(axis=0)) for fold in range(5)])
    assert found["experiment 0", "experiment 1"].p_folds == pytest.approx(fold_test(scores[:, 0] - scores[:, 1]))
    assert found["experiment 0", "experiment 2"].p_folds is None
    assert found["experiment 2", "experiment 3"].verdict == "better"  # by its rows alone


def test_the_worse_of_both_tests_decides(folds: NDArray[np.int64]) -> None:
    """One fold's luck makes a difference that rows alone would believe."""
    rng = np.random.default_rng(6)
    base = rng.chisquare(1, 300)
    lucky = base - 0.4 * (folds[0] == 0) * rng.random(300)
    found = compare_all(names(2), np.stack([lucky, base], axis=1), [folds[:1]] * 2, RMSE)[
        "experiment 0", "experiment 1"
    ]
    assert found.p_rows < 0.001
    assert found.p_folds is not None
    assert found.p_adjusted == found.p_folds > 0.05
    assert found.verdict == "not distinguishable"
    assert found.high < 0


def test_equal_predictions_are_one(losses: Float, folds: NDArray[np.int64]) -> None:
    """An entry repeats its ensemble: the correction and the luck don't count it again."""
    alone = compare_all(names(4), losses, [folds] * 4, RMSE)
    repeated = losses[:, [0, 1, 2, 3, 0]]
    found = compare_all(names(5), repeated, [folds] * 4 + [folds[:1]], RMSE)
    same = found["experiment 0", "experiment 4"]
    assert (same.difference, same.low, same.high, same.p_rows, same.p_adjusted) == (0, 0, 0, 1, 1)
    assert same.verdict == "not distinguishable"
    for pair, comparison in alone.items():
        assert found[pair] == comparison
    assert found["experiment 4", "experiment 3"].p_adjusted == found["experiment 0", "experiment 3"].p_adjusted
    assert luck_of_best(names(5), repeated, RMSE) == luck_of_best(names(4), losses, RMSE)
    assert luck_of_best(names(5), repeated, RMSE).experiments == 4


def test_against_one_alone_the_others_are_no_part_of_the_correction(losses: Float, folds: NDArray[np.int64]) -> None:
    every = compare_all(names(4), losses, [folds] * 4, RMSE)
    found = compare_all(names(4), losses, [folds] * 4, RMSE, against="experiment 2")
    assert set(found) == {pair for pair in every if "experiment 2" in pair}
    others = [found[name, "experiment 2"] for name in names(4) if name != "experiment 2"]
    assert [each.p_rows for each in others] == [every[each.first, each.second].p_rows for each in others]
    assert [each.p_adjusted for each in others] == adjusted([max(each.p_rows, each.p_folds or 0) for each in others])
    assert found["experiment 2", "experiment 0"] == found["experiment 0", "experiment 2"].reversed


def test_p_values_are_corrected_as_scipy_does() -> None:
    from scipy import stats

    p_values = np.random.default_rng(7).uniform(size=40) ** 3
    assert adjusted(p_values.tolist()) == pytest.approx(stats.false_discovery_control(p_values))
    assert adjusted([]) == []


def test_one_experiment_owes_nothing_to_choice(losses: Float, folds: NDArray[np.int64]) -> None:
    luck = luck_of_best(["only"], losses[:, :1], RMSE)
    assert (luck.experiments, luck.best, luck.optimism) == (1, "only", 0)
    assert luck.score == np.sqrt(losses[:, 0].mean())
    assert compare_all(["only"], losses[:, :1], [folds], RMSE) == {}


def test_a_leader_far_ahead_is_not_lucky(losses: Float) -> None:
    luck = luck_of_best(names(4), losses * [1.0, 1.0, 0.1, 1.0], RMSE)
    assert (luck.best, luck.optimism) == ("experiment 2", 0)


def test_a_perfect_fit_and_few_rows_have_an_answer() -> None:
    folds = make_folds(2, Folds(k=2))
    perfect = compare_all(names(2), np.array([[0.0, 1.0], [0.0, 1.0]]), [folds] * 2, RMSE)
    assert perfect["experiment 0", "experiment 1"].verdict == "better"
    assert luck_of_best(names(2), np.array([[0.0, 1.0], [1.0, 0.0]]), RMSE).experiments == 2
    assert std_error_at(10, np.zeros(5), RMSE) == 0
    assert std_error_at(10, np.ones(1), RMSE) == 0


def test_the_standard_error_on_as_many_rows_is_the_leaderboards(losses: Float) -> None:
    errors = np.sqrt(losses[:, 0])
    assert std_error_at(300, losses[:, 0], RMSE) == pytest.approx(RMSE.std_error(errors, np.zeros(300)))
    assert std_error_at(1200, losses[:, 0], RMSE) == pytest.approx(RMSE.std_error(errors, np.zeros(300)) / 2)
    assert std_error_at(300, losses[:, 0], RMSE, losses[:, 0]) == 0
