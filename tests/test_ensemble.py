"""Ensembles: honest weights, honest scores, rows matched by id."""

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from houseprice.compete.ensemble import (
    METHODS,
    Blend,
    best_of_families,
    blend,
    chosen_runs,
    greedy_weights,
    mean_weights,
    nnls_weights,
    shrunk_weights,
)
from houseprice.config import Ensemble, Folds
from houseprice.data.folds import make_folds
from houseprice.errors import DataError
from houseprice.learn.crossval import Run
from houseprice.metrics import METRICS

Float = NDArray[np.float64]
Method = Literal["mean", "nnls", "greedy", "shrunk"]
Select = Literal["all", "one_standard_error"]
METRIC = METRICS["log_rmse"]


def make_runs(oof: Float, target: Float, k: int = 5) -> list[Run]:
    """Runs of given out-of-fold predictions [row, run], ids "a0" …; their test predictions count the runs."""
    n_rows, n_runs = oof.shape
    folds = make_folds(n_rows, Folds(k=k, seed=3))
    return [
        Run(
            experiment=f"run{number}",
            train_ids=tuple(f"a{row}" for row in range(n_rows)),
            test_ids=("t0", "t1", "t2"),
            fold_of_row=folds,
            target=target,
            oof=oof[:, number],
            test=np.arange(3.0) + 10 * number,
            fold_scores=np.zeros(k),
            train_scores=np.zeros(k),
            score=METRIC.score(target, oof[:, number]),
            std_error=METRIC.std_error(target, oof[:, number]),
            n_columns=(1, 1),
            members=(),
        )
        for number in range(n_runs)
    ]


def blended(runs: list[Run], method: Method, select: Select = "all") -> Blend:
    return blend(Ensemble(runs=tuple(run.experiment for run in runs), method=method, select=select), runs, METRIC)


def noisy(n_rows: int, noises: tuple[float, ...], seed: int = 0) -> tuple[Float, Float]:
    """A target, and runs that err by independent noise: the less, the better the run."""
    random = np.random.default_rng(seed)
    target = 12 + 0.4 * random.standard_normal(n_rows)
    return target[:, None] + random.standard_normal((n_rows, len(noises))) * noises, target


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", range(5))
def test_weights_are_shares(method: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    weights = METHODS[method](random.standard_normal((30, 4)), random.standard_normal(30))
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1)


def test_nnls_recovers_the_mixture_that_the_target_is() -> None:
    oof = np.random.default_rng(0).standard_normal((200, 3)) + 12
    np.testing.assert_allclose(nnls_weights(oof, oof @ [0.7, 0.0, 0.3]), [0.7, 0.0, 0.3], atol=1e-8)


def test_greedy_recovers_the_mixture_that_the_target_is() -> None:
    oof = np.random.default_rng(0).standard_normal((200, 3)) + 12
    np.testing.assert_allclose(greedy_weights(oof, oof @ [0.7, 0.0, 0.3]), [0.7, 0.0, 0.3], atol=0.01)


@pytest.mark.parametrize("fit", [nnls_weights, greedy_weights])
def test_independent_errors_are_weighted_by_their_precision(fit: object) -> None:
    assert callable(fit)
    oof, target = noisy(20_000, (0.1, 0.2))  # best: precision 100 to 25, that is 0.8 to 0.2
    np.testing.assert_allclose(fit(oof, target), [0.8, 0.2], atol=0.02)


def test_greedy_takes_the_one_good_run_alone() -> None:
    oof, target = noisy(100, (0.0, 1.0, 1.0))
    np.testing.assert_array_equal(greedy_weights(oof, target), [1.0, 0.0, 0.0])


def test_nnls_falls_back_on_the_mean_when_no_run_is_of_use() -> None:
    oof = np.random.default_rng(0).standard_normal((50, 2))
    np.testing.assert_array_equal(nnls_weights(-np.abs(oof), np.full(50, 12.0)), mean_weights(oof, oof[:, 0]))


@pytest.mark.parametrize("shrink", [0.0, 0.3, 1.0])
def test_shrunk_weights_lie_between_least_squares_and_equal_ones(shrink: float) -> None:
    oof, target = noisy(200, (0.1, 0.2, 0.9))
    expected = (1 - shrink) * nnls_weights(oof, target) + shrink * np.full(3, 1 / 3)
    np.testing.assert_allclose(shrunk_weights(oof, target, shrink), expected)
    runs = make_runs(oof, target)
    recipe = Ensemble(runs=("run0", "run1", "run2"), method="shrunk", shrink=shrink)
    np.testing.assert_allclose(blend(recipe, runs, METRIC).weights, expected)


# the choice of runs -----------------------------------------------------------------------------------------


def test_runs_are_chosen_as_long_as_each_makes_the_mean_better() -> None:
    assert chosen_runs(*noisy(2000, (1.0, 0.1, 1.0))) == [1]
    assert sorted(chosen_runs(*noisy(2000, (0.1, 0.1, 1.0, 0.1)))) == [0, 1, 3]


@pytest.mark.parametrize(("n_rows", "chosen"), [(400, [0]), (40_000, [0, 1])])
def test_a_gain_within_one_paired_standard_error_is_not_worth_a_run(n_rows: int, chosen: list[int]) -> None:
    """The second run's errors are e + d, those of the first e, and by the construction of d the mean of both has a
    mean square smaller by 5e-5. The standard error of that difference is about 0.1 × 0.02 / √n: 1e-4, or 1e-5."""
    e, z = np.random.default_rng(0).standard_normal((2, n_rows))
    e *= 0.1 / np.sqrt(np.mean(e**2))
    z -= e * (e @ z) / (e @ e)
    d = -0.015 * e + 0.02 * z / np.sqrt(np.mean(z**2))
    oof = 12 + np.column_stack([e, e + d])
    gain = np.mean(e**2) - np.mean((e + d / 2) ** 2)
    assert gain == pytest.approx(5e-5, rel=0.05)
    assert chosen_runs(oof, np.full(n_rows, 12.0)) == chosen


def test_the_fewest_runs_need_not_be_next_to_the_best_number() -> None:
    """Copies of one run add nothing: the first alone is as good as any number of them."""
    oof, target = noisy(100, (0.2,))
    assert chosen_runs(np.repeat(oof, 4, axis=1), target) == [0]


@pytest.mark.parametrize("method", METHODS)
def test_the_method_weights_the_chosen_runs_and_the_others_have_no_weight(method: Method) -> None:
    oof, target = noisy(500, (0.1, 2.0, 0.12))
    result = blended(make_runs(oof, target), method, "one_standard_error")
    np.testing.assert_allclose(result.weights[[0, 2]], METHODS[method](oof[:, [0, 2]], target))
    assert result.weights[1] == 0
    np.testing.assert_allclose(result.test, np.arange(3.0) + 20 * result.weights[2])


def test_of_each_family_the_simplest_run_is_chosen_that_is_as_good_as_its_best() -> None:
    """One that is worse for sure gives way; of two alike the first stays; who has no family stands for itself."""
    oof, target = noisy(2000, (0.3, 0.1, 0.1, 0.5))
    oof[:, 2] = oof[:, 1] + 1e-6 * np.arange(2000) / 2000  # as good as its neighbour
    assert best_of_families(oof, target, ((0, 1, 2), (3,))) == [1, 3]
    assert best_of_families(oof, target, ((0, 2, 1), (3,))) == [2, 3]
    runs = make_runs(oof, target)
    recipe = Ensemble(
        runs=tuple(run.experiment for run in runs), select="best_of_family", families=(("run0", "run1", "run2"),)
    )
    result = blend(recipe, runs, METRIC)
    np.testing.assert_allclose(result.weights, [0, 0.5, 0, 0.5])
    np.testing.assert_allclose(result.oof, (oof[:, 1] + oof[:, 3]) / 2)


def test_a_family_is_chosen_from_without_the_rows_that_are_scored() -> None:
    """On noise, where the best of a family is luck, the score is worse than that of the run that is chosen."""
    gaps = []
    for seed in range(10):
        random = np.random.default_rng(seed)
        runs = make_runs(12 + random.standard_normal((40, 20)), 12 + random.standard_normal(40))
        names = tuple(run.experiment for run in runs)
        result = blend(Ensemble(runs=names, select="best_of_family", families=(names,)), runs, METRIC)
        assert sorted(result.weights)[-2:] == [0, 1]
        gaps.append(result.score - result.naive_score)
    assert min(gaps) >= 0
    assert np.mean(gaps) > 0


def test_the_score_is_that_of_the_choice_too() -> None:
    """Of many runs of noise the best seem good, and are so on the rows alone that chose them."""
    gaps = []
    for seed in range(10):
        random = np.random.default_rng(seed)
        runs = make_runs(12 + random.standard_normal((40, 20)), 12 + random.standard_normal(40))
        result = blended(runs, "mean", "one_standard_error")
        chosen = result.weights > 0
        fixed = METRIC.score(result.target, np.column_stack([run.oof for run in runs])[:, chosen].mean(axis=1))
        assert result.naive_score == pytest.approx(fixed)
        gaps.append(result.score - result.naive_score)
    assert min(gaps) > 0


# scores -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("select", ["all", "one_standard_error"])
@pytest.mark.parametrize("method", METHODS)
def test_a_single_run_is_its_own_ensemble(method: Method, select: Select) -> None:
    oof, target = noisy(40, (0.2,))
    runs = make_runs(oof, target)
    single = blended(runs, method, select)
    np.testing.assert_allclose(single.weights, [1.0])
    np.testing.assert_allclose(single.oof, runs[0].oof)
    np.testing.assert_allclose(single.test, runs[0].test)
    assert single.score == pytest.approx(runs[0].score)
    assert single.std_error == pytest.approx(runs[0].std_error)
    assert single.naive_score == pytest.approx(single.mean_score)


@pytest.mark.parametrize("select", ["all", "one_standard_error"])
@pytest.mark.parametrize("method", METHODS)
def test_a_row_is_predicted_by_weights_that_did_not_see_it(method: Method, select: Select) -> None:
    """Another target for the rows of one fold leaves the predictions of just these rows as they were."""
    oof, target = noisy(60, (0.2, 0.3, 0.4))
    before = blended(make_runs(oof, target), method, select)
    fold_of_row = make_runs(oof, target)[0].fold_of_row[0]
    for fold in range(5):
        inside = fold_of_row == fold
        disturbed = np.where(inside, oof[:, 2], target)
        after = blended(make_runs(oof, disturbed), method, select)
        np.testing.assert_array_equal(after.oof[inside], before.oof[inside])
        if method != "mean" and select == "all":
            assert not np.array_equal(after.oof[~inside], before.oof[~inside])


@pytest.mark.parametrize("method", ["nnls", "greedy"])
def test_on_noise_the_naive_score_flatters(method: Method) -> None:
    gaps = []
    for seed in range(10):
        random = np.random.default_rng(seed)
        result = blended(make_runs(12 + random.standard_normal((40, 8)), 12 + random.standard_normal(40)), method)
        assert result.naive_score <= result.mean_score + 1e-9
        gaps.append(result.score - result.naive_score)
    assert min(gaps) > 0


def test_scores_are_the_metric_of_the_predictions() -> None:
    oof, target = noisy(53, (0.2, 0.3))
    result = blended(make_runs(oof, target), "nnls")
    fold_of_row = make_runs(oof, target)[0].fold_of_row[0]
    assert result.score == METRIC.score(target, result.oof)
    assert result.std_error == METRIC.std_error(target, result.oof)
    assert result.naive_score == METRIC.score(target, oof @ result.weights)
    assert result.mean_score == METRIC.score(target, oof.mean(axis=1))
    of_folds = [METRIC.score(target[fold_of_row == fold], result.oof[fold_of_row == fold]) for fold in range(5)]
    np.testing.assert_array_equal(result.fold_scores, of_folds)
    np.testing.assert_array_equal(result.test, (np.arange(3.0)[:, None] + [0, 10]) @ result.weights)


@pytest.mark.parametrize("method", METHODS)
def test_rows_are_matched_by_id(method: Method) -> None:
    oof, target = noisy(40, (0.2, 0.3, 0.4))
    runs = make_runs(oof, target)
    order, test_order = np.random.default_rng(5).permutation(40), [2, 0, 1]
    shuffled = replace(
        runs[1],
        train_ids=tuple(runs[1].train_ids[row] for row in order),
        oof=runs[1].oof[order],
        target=target[order],
        fold_of_row=runs[1].fold_of_row[:, order],
        test_ids=tuple(runs[1].test_ids[row] for row in test_order),
        test=runs[1].test[test_order],
    )
    plain, mixed = blended(runs, method), blended([runs[0], shuffled, runs[2]], method)
    np.testing.assert_array_equal(mixed.weights, plain.weights)
    np.testing.assert_array_equal(mixed.oof, plain.oof)
    np.testing.assert_array_equal(mixed.test, plain.test)
    assert mixed.score == plain.score


@pytest.mark.parametrize("ids", ["train_ids", "test_ids"])
def test_runs_of_other_rows_are_refused_by_name(ids: Literal["train_ids", "test_ids"]) -> None:
    oof, target = noisy(40, (0.2, 0.3))
    runs = make_runs(oof, target)
    others = ("stranger", *getattr(runs[1], ids)[1:])
    stranger = replace(runs[1], train_ids=others) if ids == "train_ids" else replace(runs[1], test_ids=others)
    with pytest.raises(DataError, match=r"run 'run1' is not of the same rows as the others: ids .*stranger"):
        blended([runs[0], stranger], "nnls")
