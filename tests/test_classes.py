"""Classes in cross-validation, ensembles and importance: probabilities in their places, decisions that see no row."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from houseprice.compete.ensemble import Blend, blend
from houseprice.compete.leaderboard import Evidence
from houseprice.compete.stacking import stack
from houseprice.config import Ensemble, Folds, Ingest
from houseprice.data.features import FeatureSet, build_features, features_without
from houseprice.data.folds import Split, make_folds, make_split
from houseprice.data.tables import Tables
from houseprice.errors import ConfigError, TrainingError
from houseprice.learn.crossval import Run, cross_validate
from houseprice.learn.estimators import AnyRecipe, reads_decisions
from houseprice.learn.importance import permutation_importance
from houseprice.learn.nested import predict_nested
from houseprice.learn.targets import fit_transform
from houseprice.metrics import METRICS, Metric
from houseprice.preparation import Features
from houseprice.recipes import MLP, Ridge, Sklearn

Float = NDArray[np.float64]
N_TRAIN, N_TEST = 90, 12


def competition(n_classes: int, rare: bool = False) -> tuple[Tables, FeatureSet, NDArray[np.int64]]:
    """Rows whose class two of three columns tell, with noise; with ``rare`` the last class has one row."""
    random = np.random.default_rng(0)
    codes = random.integers(0, n_classes - rare, N_TRAIN + N_TEST)
    if rare:
        codes[7] = n_classes - 1
    centres = 1.5 * np.array([[1, 1, 0], [-1, -1, 0], [1, -1, 0], [-1, 1, 0]])
    X = centres[codes] + random.standard_normal((len(codes), 3))
    frame = pd.DataFrame(
        X, columns=["a", "b", "noise"], index=pd.Index([f"r{row}" for row in range(len(X))], name="Id")
    )
    target = pd.Series(codes[:N_TRAIN].astype(float), index=frame.index[:N_TRAIN], name="Kind")
    train, test = frame[:N_TRAIN], frame[N_TRAIN:]
    tables = Tables(train, test, target, test.index, (), tuple("ABCDEF"[:n_classes]))
    fold_of_row = make_folds(N_TRAIN, Folds(k=3, repeats=2, seed=1))
    return tables, build_features(tables, Features(), fold_of_row, Ingest()), fold_of_row


def validate(recipe: AnyRecipe, n_classes: int, metric: str, rare: bool = False) -> Run:
    tables, features, fold_of_row = competition(n_classes, rare)
    return cross_validate("exp", recipe, tables, features, Split.of(fold_of_row), METRICS[metric])


def mlp(n_classes: int, **settings: Any) -> MLP:
    loss = "binary_cross_entropy" if n_classes == 2 else "cross_entropy"
    defaults: dict[str, Any] = {"hidden": (8,), "epochs": 15, "batch_size": 16, "learning_rate": 0.02, "loss": loss}
    return MLP(kind="mlp", **(defaults | settings))


def sklearn(path: str, **params: Any) -> Sklearn:
    return Sklearn(kind="sklearn", estimator=f"sklearn.{path}", params=params)


LOGISTIC = sklearn("linear_model.LogisticRegression")
RECIPES: dict[str, Callable[[int], AnyRecipe]] = {
    "mlp": mlp,
    "tabm": lambda n: mlp(n, tabm=2),
    "softmax": lambda n: mlp(n, loss="cross_entropy"),
    "logistic": lambda n: LOGISTIC,
    "forest": lambda n: sklearn("ensemble.RandomForestClassifier", n_estimators=20),
    "svm": lambda n: sklearn("svm.SVC"),
}


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("kind", RECIPES)
def test_predictions_are_probabilities_that_know_the_classes(kind: str, n_classes: int) -> None:
    run = validate(RECIPES[kind](n_classes), n_classes, "log_loss")
    shape = () if n_classes == 2 else (n_classes,)
    assert run.oof.shape == (N_TRAIN, *shape)
    assert run.test.shape == (N_TEST, *shape)
    for values in (run.oof, run.test):
        assert ((values >= 0) & (values <= 1)).all()
        if n_classes > 2:
            np.testing.assert_allclose(values.sum(axis=1), 1)
    assert METRICS["accuracy"].score(run.target, run.oof) > 0.7
    assert run.score == METRICS["log_loss"].score(run.target, run.oof)
    assert run.classes == tuple("ABCDEF"[:n_classes])
    assert run.threshold is None


@pytest.mark.parametrize("kind", ["mlp", "logistic", "svm"])
def test_a_fold_that_lacks_a_class_puts_the_others_in_their_places(kind: str) -> None:
    run = validate(RECIPES[kind](4), 4, "accuracy", rare=True)
    assert run.oof.shape == (N_TRAIN, 4)
    np.testing.assert_allclose(run.oof.sum(axis=1), 1)
    assert run.oof[7, 3] < 0.2  # no member that was fitted without row 7 has seen its class
    others = np.arange(N_TRAIN) != 7
    assert METRICS["accuracy"].score(run.target[others], run.oof[others]) > 0.6


def test_where_one_class_is_left_it_is_predicted() -> None:
    tables, features, _ = competition(2)
    tables.target[:] = 0.0
    tables.target.iloc[:3] = 1.0
    fold_of_row = (np.arange(N_TRAIN) >= 3).astype(np.int64)[None]
    run = cross_validate("exp", LOGISTIC, tables, features, Split.of(fold_of_row), METRICS["log_loss"])
    np.testing.assert_array_equal(run.oof[:3], 0.0)


def test_a_fold_is_decided_by_what_the_others_say() -> None:
    accuracy = METRICS["accuracy"]
    tables, features, fold_of_row = competition(2)
    run = cross_validate("exp", LOGISTIC, tables, features, Split.of(fold_of_row), accuracy)
    assert run.threshold == accuracy.threshold(run.target, run.oof)
    decided = accuracy.decided(run.target, run.oof, fold_of_row[0], in_time=False)
    assert run.score == accuracy.score(run.target, decided)
    assert set(decided) == {0.0, 1.0}
    once = cross_validate("exp", LOGISTIC, tables, features, Split.of(fold_of_row[:1]), accuracy)
    sizes = [np.mean(fold_of_row[0] == fold) for fold in range(3)]
    assert once.fold_scores @ sizes == pytest.approx(once.score)


def in_time(labels_of_the_last: Callable[[Float], Float]) -> tuple[list[Run], Blend, Float]:
    """Two runs in time, their weighted mean, and its row losses; the labels of the last two folds of four are given."""
    tables, _, _ = competition(2)
    times = pd.Series(np.arange(N_TRAIN).astype(str), tables.train.index)
    split = make_split(Folds(scheme="expanding", by="Sold", k=4), tables.target, times)
    target = tables.target.to_numpy()
    late = split.fold_of_row[0] >= 2
    tables = replace(tables, target=tables.target.mask(late, pd.Series(labels_of_the_last(target), tables.train.index)))
    features, metric = features_without(tables, Features(), split.left_out, Ingest(), target), METRICS["f1"]
    recipes = {"logistic": LOGISTIC, "tree": sklearn("tree.DecisionTreeClassifier", max_depth=2, random_state=0)}
    runs = [cross_validate(name, recipe, tables, features, split, metric) for name, recipe in recipes.items()]
    found = blend(Ensemble(runs=tuple(recipes), method="nnls"), runs, metric)
    evidence = Evidence(found.train_ids, found.target, found.oof, found.fold_of_row, found.in_time)
    assert (metric.oof_losses(evidence) == metric.oof_losses(found)).all()
    decided = metric.decided(found.target, found.oof, found.fold_of_row[0], found.in_time)
    return runs, found, decided


def test_in_time_nothing_that_is_scored_early_knows_what_comes_late() -> None:
    """Turned labels of the last two folds leave what is decided before them, and its scores, as they were."""
    runs, found, decided = in_time(lambda labels: labels)
    other_runs, other, other_decided = in_time(lambda labels: 1 - labels)
    early = found.fold_of_row[0] < 2
    pairs: list[tuple[Run | Blend, Run | Blend]] = [(found, other), *zip(runs, other_runs, strict=True)]
    for one, two in pairs:
        np.testing.assert_array_equal(two.oof[early], one.oof[early])
        np.testing.assert_array_equal(two.fold_scores[:2], one.fold_scores[:2])
        assert two.score != one.score
        assert one.threshold == METRICS["f1"].threshold(one.target, one.oof)  # of new rows: learnt from all
    np.testing.assert_array_equal(other_decided[early], decided[early])


def test_an_estimator_of_numbers_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"has neither predict_proba nor decision_function.* Name a classifier"):
        validate(sklearn("linear_model.Ridge"), 2, "auc")
    assert reads_decisions(RECIPES["svm"](2))
    assert not reads_decisions(LOGISTIC)


def test_learning_curves_go_down_where_the_metric_goes_up() -> None:
    member = validate(mlp(4), 4, "accuracy").members[0]
    assert 0 <= member.valid_scores[-1] < member.valid_scores[0] <= 1
    assert member.train_scores[-1] < 0.4


@pytest.mark.parametrize("metric", ["auc", "accuracy"])
@pytest.mark.parametrize("kind", ["mlp", "logistic"])
def test_what_a_model_needs_is_above_zero_where_greater_is_better(kind: str, metric: str) -> None:
    tables, features, fold_of_row = competition(2)
    recipe = RECIPES[kind](2)
    run = cross_validate("exp", recipe, tables, features, Split.of(fold_of_row), METRICS[metric])
    found = permutation_importance(
        recipe, run, tables, features, Features(), Ingest(), Split.of(fold_of_row), METRICS[metric]
    )
    assert found.ranking()[0]["column"] in ("a", "b")
    assert found.ranking()[0]["increase"] > 0.05
    more = validate(RECIPES[kind](4), 4, "log_loss")
    tables, features, _ = competition(4)
    assert np.isfinite(
        permutation_importance(
            RECIPES[kind](4), more, tables, features, Features(), Ingest(), Split.of(fold_of_row), METRICS["log_loss"]
        ).by_fold
    ).all()


# numbers, transformed ---------------------------------------------------------------------------------------------


def prices(metric: Metric, **settings: Any) -> Run:
    """A ridge regression of skewed prices."""
    tables, features, fold_of_row = competition(4)
    price = np.exp(3 + tables.train["a"] + 0.3 * np.random.default_rng(2).standard_normal(N_TRAIN))
    tables = Tables(tables.train, tables.test, price.rename("Price"), tables.sample_ids, ())
    return cross_validate("exp", Ridge(kind="ridge", **settings), tables, features, Split.of(fold_of_row), metric)


@pytest.mark.parametrize("kind", ["log", "log1p", "box_cox", "yeo_johnson", "quantile"])
def test_a_transform_and_back_is_the_identity(kind: str) -> None:
    y = np.exp(np.random.default_rng(0).standard_normal(200))
    found = fit_transform(kind, y, np.arange(200), "exp")
    assert found is not None
    np.testing.assert_allclose(found.inverse(found.forward(y)), y, rtol=1e-6)
    far = found.inverse(np.array([-1e3, 1e3]) if kind in ("box_cox", "yeo_johnson", "quantile") else np.zeros(2))
    assert np.isfinite(far).all()


@pytest.mark.parametrize("kind", ["box_cox", "yeo_johnson", "quantile"])
def test_a_transform_is_learnt_from_the_fitted_rows_alone(kind: str) -> None:
    y = np.exp(np.random.default_rng(0).standard_normal(100))
    changed = np.where(np.arange(100) < 50, y, 100 * y)
    one, other = (fit_transform(kind, values, np.arange(50), "exp") for values in (y, changed))
    assert one is not None
    assert other is not None
    np.testing.assert_array_equal(one.forward(y[:50]), other.forward(y[:50]))


@pytest.mark.parametrize("kind", ["log", "log1p", "box_cox", "yeo_johnson", "quantile"])
def test_skewed_targets_are_predicted_better_when_transformed(kind: str) -> None:
    mae = METRICS["mae"]
    assert prices(mae, target_transform=kind).score < 0.8 * prices(mae).score


def test_the_log_of_prices_is_the_link_of_log_rmse() -> None:
    by_link = prices(METRICS["log_rmse"])
    by_transform = prices(METRICS["rmse"], target_transform="log")
    np.testing.assert_allclose(np.log(by_transform.oof), by_link.oof, rtol=0.02)  # means of prices, not of logs


def test_a_transform_that_is_not_defined_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"experiments.exp: target_transform 'box_cox' needs targets > 0, but 1 of 3"):
        fit_transform("box_cox", np.array([1.0, 0.0, 2.0]), np.arange(3), "experiments.exp")


# ensembles --------------------------------------------------------------------------------------------------------


def three_runs(n_classes: int, metric: str) -> list[Run]:
    tree = sklearn("tree.DecisionTreeClassifier", max_depth=2)
    recipes: dict[str, AnyRecipe] = {"mlp": mlp(n_classes), "logistic": LOGISTIC, "tree": tree}
    tables, features, fold_of_row = competition(n_classes)
    return [
        cross_validate(name, recipe, tables, features, Split.of(fold_of_row), METRICS[metric])
        for name, recipe in recipes.items()
    ]


@pytest.mark.parametrize(
    "settings",
    [
        *({"method": method} for method in ("mean", "nnls", "greedy", "shrunk")),
        {"select": "one_standard_error"},
        {"select": "best_of_family", "families": (("logistic", "mlp"),)},
    ],
    ids=lambda settings: "-".join(map(str, settings.values()))[:20],
)
@pytest.mark.parametrize(("n_classes", "metric"), [(2, "f1"), (4, "log_loss")])
def test_blends_of_probabilities_are_probabilities(settings: dict[str, Any], n_classes: int, metric: str) -> None:
    runs = three_runs(n_classes, metric)
    found = blend(Ensemble(runs=("mlp", "logistic", "tree"), **settings), runs, METRICS[metric])
    assert found.oof.shape == runs[0].oof.shape
    assert found.weights.min() >= 0
    assert found.weights.sum() == pytest.approx(1)
    if n_classes > 2:
        np.testing.assert_allclose(found.test.sum(axis=1), 1)
    decided = METRICS[metric].decided(found.target, found.oof, found.fold_of_row[0], in_time=False)
    assert found.score == METRICS[metric].score(found.target, decided)
    assert (found.threshold is None) == (metric == "log_loss")


@pytest.mark.parametrize("n_classes", [2, 4])
def test_weights_of_a_fold_do_not_see_its_rows(n_classes: int) -> None:
    runs = three_runs(n_classes, "log_loss")
    recipe, metric = Ensemble(runs=("mlp", "logistic", "tree"), method="nnls"), METRICS["log_loss"]
    first = blend(recipe, runs, metric)
    inside = runs[0].fold_of_row[0] == 1
    turned = np.where(inside, (runs[0].target + 1) % n_classes, runs[0].target)
    second = blend(recipe, [replace(run, target=turned) for run in runs], metric)
    np.testing.assert_array_equal(second.oof[inside], first.oof[inside])
    assert (second.weights != first.weights).any()


@pytest.mark.parametrize("n_classes", [2, 4])
def test_a_stack_is_a_classifier_of_probabilities(n_classes: int) -> None:
    metric = METRICS["log_loss"]
    runs = three_runs(n_classes, "log_loss")
    tables, _, _ = competition(n_classes)
    recipes: list[AnyRecipe] = [mlp(n_classes), LOGISTIC, sklearn("tree.DecisionTreeClassifier", max_depth=2)]
    nested = [
        predict_nested(recipe, run, tables, Features(), Ingest(), metric)
        for recipe, run in zip(recipes, runs, strict=True)
    ]
    level = Ensemble(
        runs=("mlp", "logistic", "tree"), method="stack", estimator="sklearn.linear_model.LogisticRegression"
    )
    found = stack("pile", level, (), runs, nested, tables, Features(), Ingest(), metric)
    assert found.oof.shape == runs[0].oof.shape
    assert METRICS["accuracy"].score(found.target, found.oof) > 0.8
    assert np.isnan(found.weights).any() == (n_classes > 2)


def test_a_fold_without_a_score_says_nothing_of_importance() -> None:
    tables, features, _ = competition(2)
    split = Split.of(np.argsort(np.argsort(tables.target.to_numpy(), kind="stable"))[None] * 3 // N_TRAIN)
    run = cross_validate("exp", LOGISTIC, tables, features, split, METRICS["auc"])
    assert np.isnan(run.fold_scores).sum() == 2  # the first and the last of three have one class each
    assert np.isfinite(run.score)
    found = permutation_importance(LOGISTIC, run, tables, features, Features(), Ingest(), split, METRICS["auc"])
    assert len(found.by_fold) == 1
    assert np.isfinite(found.increase).all()
