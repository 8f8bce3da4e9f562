"""Stacking: a second level whose scores neither level has seen, and a test that notices if one had."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression

from houseprice.compete.ensemble import Blend
from houseprice.compete.stacking import stack
from houseprice.config import Ensemble, Features, Folds, Ingest
from houseprice.data.features import build_features
from houseprice.data.folds import Split, make_folds
from houseprice.data.tables import Tables
from houseprice.errors import TrainingError
from houseprice.learn.crossval import Run, cross_validate
from houseprice.learn.estimators import AnyRecipe
from houseprice.learn.nested import Nested, predict_nested
from houseprice.metrics import METRICS
from houseprice.recipes import MLP, Ridge, Sklearn

Float = NDArray[np.float64]
RMSE = METRICS["rmse"]
FOLDS = Folds(k=4, repeats=2, seed=1)
EVERYTHING = Features(scope="all")
LEAST_SQUARES = "sklearn.linear_model.LinearRegression"


def memoriser(metric: str) -> Sklearn:
    """A first level that knows every target it has seen: one nearest neighbour, by some distance."""
    params = {"n_neighbors": 1, "metric": metric}
    return Sklearn(kind="sklearn", estimator="sklearn.neighbors.KNeighborsRegressor", params=params)


MEMORISERS = {metric: memoriser(metric) for metric in ("euclidean", "manhattan", "chebyshev", "cosine")}
RIDGE = Ridge(kind="ridge", alpha=3.0)


def houses(seed: int = 0, n_train: int = 32, signal: float = 0.0, twins: bool = False) -> Tables:
    """Rows of four columns, each with a twin if asked; a target that is noise, and a signal of the first column."""
    random = np.random.default_rng(seed)
    X = random.standard_normal((n_train + 6, 4))
    if twins:
        X[: n_train // 2] = X[n_train // 2 : n_train] + 0.001
    ids = [f"a{row}" for row in range(n_train)], [f"b{row}" for row in range(6)]
    train, test = (
        pd.DataFrame(part, index=pd.Index(of_part, name="Id"), columns=list("wxyz"))
        for part, of_part in zip((X[:n_train], X[n_train:]), ids, strict=True)
    )
    target = pd.Series(signal * X[:n_train, 0] + random.standard_normal(n_train), train.index, name="Price")
    return Tables(train, test, target, test.index, ())


def with_target(tables: Tables, target: Float) -> Tables:
    return replace(tables, target=pd.Series(target, tables.train.index, name="Price"))


def first_level(
    tables: Tables,
    recipes: Mapping[str, AnyRecipe],
    features: Features = EVERYTHING,
    metric: str = "rmse",
    folds: Folds = FOLDS,
) -> tuple[list[Run], list[Nested]]:
    """The runs of some experiments, and what they predict without two folds."""
    fold_of_row = make_folds(len(tables.train), folds)
    matrices = build_features(tables, features, fold_of_row, Ingest())
    runs = [
        cross_validate(name, recipe, tables, matrices, Split.of(fold_of_row), METRICS[metric])
        for name, recipe in recipes.items()
    ]
    nested = [
        predict_nested(recipe, run, tables, features, Ingest(), METRICS[metric])
        for recipe, run in zip(recipes.values(), runs, strict=True)
    ]
    return runs, nested


def not_nested(runs: list[Run]) -> list[Nested]:
    """The mistake: out-of-fold predictions by members that have seen the fold that is scored."""
    k = len(np.unique(runs[0].fold_of_row[0]))
    return [Nested(run.experiment, run.train_ids, np.tile(run.oof[:, None], k), 0) for run in runs]


def stacked(
    tables: Tables,
    levels: tuple[list[Run], list[Nested]],
    features: Features = EVERYTHING,
    excluded: tuple[str, ...] = (),
    **settings: Any,
) -> Blend:
    runs, nested = levels
    recipe = Ensemble(runs=tuple(run.experiment for run in runs), method="stack", **settings)
    return stack("pile", recipe, excluded, runs, nested, tables, features, Ingest(), RMSE)


# no leak ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("original_columns", [False, True])
def test_no_prediction_of_a_fold_knows_its_targets_even_at_second_hand(original_columns: bool) -> None:
    """Other targets for one fold leave what is predicted there as it was, to the bit; without nesting they don't."""
    tables, features, once = houses(signal=1.0), Features(), FOLDS.model_copy(update={"repeats": 1})
    mlp = MLP(kind="mlp", hidden=(4,), epochs=2, batch_size=8, dropout=0.2, seeds=2)
    recipes: dict[str, AnyRecipe] = {"nearest": MEMORISERS["euclidean"], "ridge": RIDGE, "mlp": mlp}
    target = tables.target.to_numpy()
    before = first_level(tables, recipes, features, folds=once)
    fold_of_row = before[0][0].fold_of_row[0]
    for fold in range(FOLDS.k):
        inside = fold_of_row == fold
        changed = with_target(tables, np.where(inside, 3 - 5 * target, target))
        after = first_level(changed, recipes, features, folds=once)
        one, other = (
            stacked(of, levels, features, original_columns=original_columns)
            for of, levels in ((tables, before), (changed, after))
        )
        np.testing.assert_array_equal(other.oof[inside], one.oof[inside])
        assert not np.array_equal(other.oof[~inside], one.oof[~inside])
        leaking, leaked = (
            stacked(of, (runs, not_nested(runs)), features, original_columns=original_columns)
            for of, (runs, _) in ((tables, before), (changed, after))
        )
        assert not np.array_equal(leaked.oof[inside], leaking.oof[inside])


def test_with_repeats_no_prediction_knows_its_own_target() -> None:
    tables = houses(signal=1.0)
    target = tables.target.to_numpy()
    recipes: dict[str, AnyRecipe] = {"nearest": MEMORISERS["euclidean"], "ridge": RIDGE}
    before = stacked(tables, first_level(tables, recipes)).oof
    for row in (0, 9, 31):
        changed = with_target(tables, np.where(np.arange(len(target)) == row, -4 * target, target))
        after = stacked(changed, first_level(changed, recipes)).oof
        assert after[row] == before[row]
        assert not np.array_equal(after, before)


def test_on_noise_a_nested_stack_of_a_memoriser_knows_nothing_and_a_plain_one_seems_to() -> None:
    """Nobody can predict noise. A plain stack's predictions covary with it, which flatters its score; a nested one's
    covariance is 0 but for chance."""
    covariances: dict[str, list[float]] = {"nested": [], "plain": []}
    for seed in range(60):
        tables = houses(seed, n_train=12, twins=True)
        runs, nested = first_level(tables, {"nearest": MEMORISERS["euclidean"]}, folds=Folds(k=3, seed=1))
        for name, of_runs in (("nested", nested), ("plain", not_nested(runs))):
            result = stacked(tables, (runs, of_runs), estimator=LEAST_SQUARES)
            covariances[name].append(float(np.mean(result.oof * result.target)))
    means = {name: np.mean(values) for name, values in covariances.items()}
    errors = {name: np.std(values, ddof=1) / np.sqrt(len(values)) for name, values in covariances.items()}
    assert abs(means["nested"]) < 3 * errors["nested"]
    assert means["plain"] > 3 * errors["plain"]


@pytest.mark.parametrize("original_columns", [False, True])
def test_an_excluded_row_is_learnt_from_at_neither_level_and_validated(original_columns: bool) -> None:
    tables = houses(signal=1.0)
    target = tables.target.to_numpy()
    changed = with_target(tables, np.where(np.arange(len(target)) == 5, 100.0, target))
    recipes: dict[str, AnyRecipe] = {
        "ridge": RIDGE.model_copy(update={"exclude_from_fit": ("a5",)}),
        "nearest": MEMORISERS["cosine"].model_copy(update={"exclude_from_fit": ("a5",)}),
    }
    before, after = (
        stacked(of, first_level(of, recipes), excluded=("a5",), original_columns=original_columns)
        for of in (tables, changed)
    )
    np.testing.assert_array_equal(after.oof, before.oof)
    np.testing.assert_array_equal(after.test, before.test)
    assert after.score > before.score + 10


# who predicts what ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "recipe",
    [
        RIDGE,
        RIDGE.model_copy(update={"target_scale": "natural", "floor": 1.0, "exclude_from_fit": ("a3",)}),
        MEMORISERS["manhattan"],
    ],
)
@pytest.mark.parametrize("features", [EVERYTHING, Features()])
def test_leaving_out_two_folds_is_leaving_out_both_as_one(recipe: AnyRecipe, features: Features) -> None:
    """The whole first level, features included: as cross-validation does it where the two are a single fold."""
    tables, metric = houses(signal=1.0), METRICS["log_rmse"]
    tables = with_target(tables, np.exp(tables.target.to_numpy()))
    (run,), (nested,) = first_level(tables, {"it": recipe}, features, "log_rmse")
    first = run.fold_of_row[0]
    for f in range(FOLDS.k):
        np.testing.assert_array_equal(nested.predictions[first == f, f], run.oof[first == f])
        for g in set(range(FOLDS.k)) - {f}:
            folds = np.where(first == g, f, first)[None]
            folds = np.searchsorted(np.unique(folds), folds)
            of_both = cross_validate(
                "it", recipe, tables, build_features(tables, features, folds, Ingest()), Split.of(folds), metric
            )
            np.testing.assert_allclose(nested.predictions[first == g, f], of_both.oof[first == g], rtol=1e-12)
    assert nested.n_members == 6


def test_the_second_level_is_the_estimator_on_what_the_first_predicts() -> None:
    tables = houses(signal=2.0, n_train=60)
    runs, nested = levels = first_level(tables, {"ridge": RIDGE, **MEMORISERS})
    result = stacked(tables, levels, estimator=LEAST_SQUARES)
    oof, test = (np.column_stack([getattr(run, part) for run in runs]) for part in ("oof", "test"))
    fitted = LinearRegression().fit(oof, result.target)
    np.testing.assert_allclose(result.weights, fitted.coef_, atol=1e-4)
    np.testing.assert_allclose(result.test, fitted.predict(test), atol=1e-4)
    naive = RMSE.score(result.target, fitted.predict(oof))
    assert result.naive_score == pytest.approx(naive, abs=1e-5)
    assert result.mean_score == RMSE.score(result.target, oof.mean(axis=1))
    for fold in range(FOLDS.k):
        inside = result.fold_of_row[0] == fold
        seen = np.column_stack([each.predictions[:, fold] for each in nested])
        expected = LinearRegression().fit(seen[~inside], result.target[~inside]).predict(seen[inside])
        np.testing.assert_allclose(result.oof[inside], expected, atol=1e-4)
        assert result.fold_scores[fold] == pytest.approx(RMSE.score(result.target[inside], expected), abs=1e-4)
    assert result.score == RMSE.score(result.target, result.oof)


def test_original_columns_are_seen_as_the_runs_features_are() -> None:
    """A memoriser says nothing of a line; with the columns the second level finds it by itself."""
    tables = houses(signal=5.0, n_train=80)
    levels = first_level(tables, {"nearest": MEMORISERS["cosine"]}, Features())
    without, with_them = (
        stacked(tables, levels, Features(), estimator=LEAST_SQUARES, original_columns=seen) for seen in (False, True)
    )
    assert with_them.score < 1.5 < without.score
    assert with_them.weights.shape == (1,)


def test_a_second_level_that_is_not_linear_has_no_weights() -> None:
    tables = houses(signal=2.0)
    tree = stacked(tables, first_level(tables, {"ridge": RIDGE}), estimator="sklearn.tree.DecisionTreeRegressor")
    assert np.isnan(tree.weights).all()
    assert tree.naive_score == pytest.approx(0, abs=1e-6), "a tree remembers what it was fitted on"
    assert tree.score > 0.5


def test_rows_are_matched_by_id() -> None:
    tables = houses(signal=2.0)
    runs, nested = first_level(tables, {"ridge": RIDGE, "nearest": MEMORISERS["cosine"]})
    order = np.random.default_rng(5).permutation(len(tables.train))
    ids = tuple(runs[1].train_ids[row] for row in order)
    mixed = replace(
        runs[1], train_ids=ids, oof=runs[1].oof[order], target=runs[1].target[order],
        fold_of_row=runs[1].fold_of_row[:, order], test_ids=runs[1].test_ids[::-1], test=runs[1].test[::-1],
    )  # fmt: skip
    mixed_nested = Nested("nearest", ids, nested[1].predictions[order], nested[1].n_members)
    plain = stacked(tables, (runs, nested))
    shuffled = stacked(tables, ([runs[0], mixed], [nested[0], mixed_nested]))
    np.testing.assert_array_equal(shuffled.oof, plain.oof)
    np.testing.assert_array_equal(shuffled.test, plain.test)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"estimator": "sklearn.linear_model.RidgeCW"}, r"ensemble 'pile': .*did you mean 'RidgeCV'"),
        ({"params": {"alpa": 3}}, r"ensemble 'pile': sklearn.linear_model.RidgeCV: params: .*did you mean 'alphas'"),
        ({"params": {"alphas": [-1.0]}}, r"ensemble 'pile': sklearn.linear_model.RidgeCV failed on fold \d, seed 0"),
    ],
)
def test_a_second_level_that_fails_is_named(settings: dict[str, Any], complaint: str) -> None:
    tables = houses()
    with pytest.raises(TrainingError, match=complaint):
        stacked(tables, first_level(tables, {"ridge": RIDGE}), **settings)
