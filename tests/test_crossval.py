"""Cross-validation: every row predicted by those that did not see it, and scored as reported."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from houseprice.config import Folds
from houseprice.data.features import FeatureSet, Matrix
from houseprice.data.folds import Split, make_folds
from houseprice.data.preprocessor import Preprocessor
from houseprice.data.tables import Tables
from houseprice.errors import ConfigError, MetricError, TrainingError
from houseprice.learn.crossval import Run, cross_validate
from houseprice.learn.estimators import AnyRecipe
from houseprice.learn.members import FittedMember
from houseprice.metrics import METRICS
from houseprice.recipes import MLP, Linear, Ridge, Sklearn
from spies import Spy

LOG_RMSE = METRICS["log_rmse"]
N_TRAIN, N_TEST = 53, 7  # 53 is prime: no k divides it


@pytest.fixture(autouse=True)
def _no_fits_yet() -> None:
    Spy.fits.clear()


def competition(n_train: int = N_TRAIN, n_columns: int = 4) -> tuple[Tables, FeatureSet]:
    """Rows whose column 0 is their number (test rows count on), and a log price that the other columns tell."""
    random = np.random.default_rng(0)
    X = random.standard_normal((n_train + N_TEST, n_columns)).astype(np.float32)
    price = np.exp(12 + X[:n_train, 1] * 0.3 - X[:n_train, 2] * 0.1 + 0.05 * random.standard_normal(n_train))
    X[:, 0] = np.arange(n_train + N_TEST)
    ids = [f"a{row}" for row in range(n_train)], [f"b{row}" for row in range(N_TEST)]
    columns = tuple(f"x{column}" for column in range(n_columns))
    train, test = (
        pd.DataFrame(part.astype(float), index=pd.Index(part_ids, name="Id"), columns=list(columns))
        for part, part_ids in zip((X[:n_train], X[n_train:]), ids, strict=True)
    )
    target = pd.Series(price.astype(float), index=train.index, name="Price")
    tables = Tables(train, test, target, test.index, ())
    return tables, FeatureSet("all", (Matrix(X[:n_train], X[n_train:], Preprocessor((), (), columns)),))


def without_row_numbers(features: FeatureSet) -> FeatureSet:
    """The features without the row numbers, for estimators that learn."""
    matrix = features.matrices[0]
    return FeatureSet("all", (Matrix(matrix.X[:, 1:], matrix.X_test[:, 1:], Preprocessor((), (), matrix.columns[1:])),))


def validate(recipe: AnyRecipe, folds: NDArray[np.int64] | None = None, **options: Any) -> Run:
    tables, features = competition()
    if not (isinstance(recipe, Sklearn) and recipe.estimator.startswith("spies.")):
        features = without_row_numbers(features)
    fold_of_row = make_folds(N_TRAIN, Folds(k=5, seed=1)) if folds is None else folds
    return cross_validate("exp", recipe, tables, features, Split.of(fold_of_row), LOG_RMSE, **options)


def spy(**settings: Any) -> Sklearn:
    defaults: dict[str, Any] = {"estimator": "spies.Spy", "standardize_target": False}
    return Sklearn(kind="sklearn", **(defaults | settings))


def mlp(**settings: Any) -> MLP:
    defaults: dict[str, Any] = {"hidden": (6,), "epochs": 4, "batch_size": 16, "learning_rate": 0.02, "dropout": 0.2}
    return MLP(kind="mlp", **(defaults | settings))


RIDGE = Ridge(kind="ridge", alpha=3.0)


def test_a_metric_that_is_not_defined_over_all_rows_is_refused() -> None:
    tables, features = competition()
    tables = replace(tables, target=tables.target * 0 + 5)
    split = Split.of(make_folds(N_TRAIN, Folds(k=5)))
    with pytest.raises(MetricError, match=r"'exp': metric r2 is not defined over the 53 validated rows, whose targets"):
        cross_validate("exp", RIDGE, tables, features, split, METRICS["r2"])


# who predicts whom ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("folds", [Folds(k=2), Folds(k=5), Folds(k=53), Folds(scheme="contiguous", k=4)])
def test_every_row_is_predicted_by_members_that_did_not_see_it(folds: Folds) -> None:
    fold_of_row = make_folds(N_TRAIN, folds)
    run = validate(spy(), fold_of_row)
    np.testing.assert_array_equal(run.oof, np.ones(N_TRAIN))
    np.testing.assert_allclose(run.test, np.ones(N_TEST), rtol=1e-12)
    everyone = frozenset(range(N_TRAIN))
    held_out = [everyone - seen for seen in Spy.fits]
    assert len(held_out) == folds.k
    assert sorted(row for rows in held_out for row in rows) == list(range(N_TRAIN))  # each row once, whatever k
    assert {frozenset(np.flatnonzero(fold_of_row[0] == fold).tolist()) for fold in range(folds.k)} == set(held_out)


def test_repeats_validate_every_row_once_each() -> None:
    run = validate(spy(), make_folds(N_TRAIN, Folds(k=3, repeats=4, seed=2)))
    np.testing.assert_array_equal(run.oof, np.ones(N_TRAIN))
    times_held_out = sum(np.array([row not in seen for row in range(N_TRAIN)]) * 1 for seen in Spy.fits)
    np.testing.assert_array_equal(times_held_out, np.full(N_TRAIN, 4))
    assert len(run.fold_scores) == len(run.members) == 12
    assert [member.fold for member in run.members] == list(range(12))


def test_excluded_rows_are_validated_and_never_fitted() -> None:
    run = validate(spy(exclude_from_fit=("a3", "a50")))
    assert not any(seen & {3, 50} for seen in Spy.fits)
    assert set().union(*Spy.fits) == set(range(N_TRAIN)) - {3, 50}
    np.testing.assert_array_equal(run.oof, np.ones(N_TRAIN))
    assert run.score == LOG_RMSE.score(run.target, run.oof)  # over all rows, the excluded too


def test_excluding_a_row_changes_what_is_fitted_not_what_is_scored() -> None:
    tables, features = competition()
    tables.target.iloc[3] *= 50  # an outlier
    fold_of_row = make_folds(N_TRAIN, Folds(k=5, seed=1))
    with_it, without = (
        cross_validate("exp", recipe, tables, without_row_numbers(features), Split.of(fold_of_row), LOG_RMSE)
        for recipe in (RIDGE, RIDGE.model_copy(update={"exclude_from_fit": ("a3",)}))
    )
    assert len(without.oof) == len(with_it.oof) == N_TRAIN
    others = np.arange(N_TRAIN) != 3
    scores = [LOG_RMSE.score(run.target[others], run.oof[others]) for run in (without, with_it)]
    assert scores[0] < scores[1]
    assert without.score > 0.4  # the outlier is 3.9 off, and counted


def test_a_linear_estimator_is_kept_as_the_layer_that_it_is() -> None:
    _, features = competition()
    X = without_row_numbers(features).matrices[0].X.astype(np.float64)
    for estimator, is_linear in (
        ("linear_model.Lasso", True),
        ("svm.SVR", False),
        ("tree.DecisionTreeRegressor", False),
    ):
        recipe = Sklearn(kind="sklearn", estimator=f"sklearn.{estimator}")
        for member in validate(recipe).members:
            assert bool(member.weights) == is_linear
            if is_linear:
                predicted = X @ member.weights["layers.0.weight"][0] + member.weights["layers.0.bias"]
                np.testing.assert_allclose(predicted, member.predictions, atol=1e-6)


def test_unknown_excluded_ids_are_named() -> None:
    with pytest.raises(ConfigError, match=r"experiments\.exp\.exclude_from_fit: no such ids in train\.csv: a99, 3"):
        validate(spy(exclude_from_fit=("a1", "a99", "3")))


def test_a_fold_with_nothing_to_fit_is_named() -> None:
    tables, features = competition(4)
    recipe, folds = spy(exclude_from_fit=("a0", "a1")), np.array([[0, 0, 1, 1]])
    with pytest.raises(ConfigError, match=r"experiment 'exp': fold 1 has no row to fit on"):
        cross_validate("exp", recipe, tables, features, Split.of(folds), LOG_RMSE)


def test_each_fold_sees_the_matrix_that_was_fitted_for_it() -> None:
    tables, features = competition()
    X, X_test, preprocessor = (getattr(features.matrices[0], name) for name in ("X", "X_test", "preprocessor"))
    matrices = tuple(Matrix(X * scale, X_test * scale, preprocessor) for scale in map(np.float32, (1, 2, 3)))
    folds = make_folds(N_TRAIN, Folds(k=3))
    run = cross_validate("exp", RIDGE, tables, FeatureSet("fold", matrices), Split.of(folds), LOG_RMSE)
    for fold, matrix in enumerate(matrices):
        alone = cross_validate("exp", RIDGE, tables, FeatureSet("all", (matrix,)), Split.of(folds), LOG_RMSE)
        np.testing.assert_array_equal(run.members[fold].predictions, alone.members[fold].predictions)


# scores ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "recipe",
    [RIDGE, Linear(kind="linear", epochs=3), mlp(seeds=2), spy(estimator="sklearn.tree.DecisionTreeRegressor")],
)
def test_scores_are_the_metric_of_the_predictions(recipe: AnyRecipe) -> None:
    run = validate(recipe)
    tables, _ = competition()
    np.testing.assert_allclose(run.target, np.log(tables.target))
    assert run.score == LOG_RMSE.score(run.target, run.oof)
    assert run.std_error == LOG_RMSE.std_error(run.target, run.oof)
    fold_of_row = run.fold_of_row[0]
    of_folds = [LOG_RMSE.score(run.target[fold_of_row == fold], run.oof[fold_of_row == fold]) for fold in range(5)]
    np.testing.assert_allclose(run.fold_scores, of_folds, rtol=1e-12)
    sizes = np.bincount(fold_of_row)
    assert run.score**2 == pytest.approx((run.fold_scores**2 * sizes).sum() / N_TRAIN)
    assert run.train_score == run.train_scores.mean()
    assert run.train_ids == tuple(tables.train.index)
    assert run.test_ids == tuple(tables.test.index)


def test_train_scores_are_of_the_fitted_rows() -> None:
    """A tree without bounds remembers what it was fitted on: train scores 0, and 0 only without excluded rows."""
    tree = spy(estimator="sklearn.tree.DecisionTreeRegressor", exclude_from_fit=("a7",), standardize_target=True)
    run = validate(tree)
    np.testing.assert_allclose(run.train_scores, 0, atol=1e-6)
    assert run.fold_scores.min() > 0.05


def test_the_targets_scale_is_learnt_from_the_fitted_rows() -> None:
    """On a standardised target the answer 0 means the mean of the fold's fit rows, on the link scale."""
    run = validate(spy(params={"answer": 0.0}, standardize_target=True, exclude_from_fit=("a3",)))
    fold_of_row = run.fold_of_row[0]
    fitted = np.arange(N_TRAIN) != 3
    means = [run.target[(fold_of_row != fold) & fitted].mean() for fold in range(5)]
    np.testing.assert_allclose(run.oof, np.array(means)[fold_of_row], rtol=1e-12)
    np.testing.assert_allclose(run.test, np.mean(means), rtol=1e-12)


def test_seeds_are_averaged_on_the_link_scale() -> None:
    draw = spy(estimator="spies.Draw", seeds=4, target_scale="natural", floor=1.0, standardize_target=True)
    run = validate(draw)
    assert [(member.fold, member.seed) for member in run.members] == [(f, s) for f in range(5) for s in range(4)]
    prices = np.exp(run.target)
    for fold in range(5):
        inside = run.fold_of_row[0] == fold
        fit = prices[~inside]
        of_seeds = [
            member.predictions[inside] * fit.std() + fit.mean() for member in run.members if member.fold == fold
        ]
        assert len({one[0] for one in of_seeds}) == 4
        np.testing.assert_allclose(run.oof[inside], np.mean(np.log(of_seeds), axis=0), rtol=1e-12)
        assert not np.allclose(run.oof[inside], np.log(np.mean(of_seeds, axis=0)), rtol=1e-6)


def test_seeds_of_what_has_no_randomness_are_one() -> None:
    assert len(validate(spy(seeds=3)).members) == len(Spy.fits) == 5
    assert len(validate(RIDGE.model_copy(update={"seeds": 3})).members) == 5


def test_natural_scale_with_a_floor_equals_the_hand_computation() -> None:
    """D2L's baseline: least squares on raw prices, clamped, then the log."""
    tables, features = competition()
    X = without_row_numbers(features).matrices[0]
    price = tables.target.to_numpy()
    floor = float(np.median(price))
    run = validate(RIDGE.model_copy(update={"target_scale": "natural", "standardize_target": False, "floor": floor}))
    oof, test = np.empty(N_TRAIN), np.zeros(N_TEST)
    for fold in range(5):
        inside = run.fold_of_row[0] == fold
        design, mean = X.X[~inside].astype(float), X.X[~inside].astype(float).mean(axis=0)
        y = price[~inside].astype(np.float32).astype(float)
        gram = (design - mean).T @ (design - mean) + 3.0 * np.eye(design.shape[1])
        weight = np.linalg.solve(gram, (design - mean).T @ (y - y.mean()))
        oof[inside] = np.log(np.maximum((X.X[inside] - mean) @ weight + y.mean(), floor))
        test += np.log(np.maximum((X.X_test - mean) @ weight + y.mean(), floor)) / 5
    assert (oof == np.log(floor)).any()
    np.testing.assert_allclose(run.oof, oof, rtol=1e-6)
    np.testing.assert_allclose(run.test, test, rtol=1e-6)
    assert run.score == pytest.approx(LOG_RMSE.score(np.log(price), oof), rel=1e-6)


def test_negative_prices_without_a_floor_are_named_not_scored() -> None:
    with pytest.raises(
        Exception, match=r"experiment 'exp', fold 0, seed 0: predictions of train\.csv: 53 of 53 values"
    ):
        validate(spy(params={"answer": -5.0}, target_scale="natural"))


# estimators -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.01, 1.0, 300.0])
def test_ridge_is_the_closed_form(alpha: float) -> None:
    ours = validate(Ridge(kind="ridge", alpha=alpha))
    params = {"alpha": alpha, "solver": "cholesky"}
    theirs = validate(Sklearn(kind="sklearn", estimator="sklearn.linear_model.Ridge", params=params))
    np.testing.assert_allclose(ours.oof, theirs.oof, rtol=1e-6)
    np.testing.assert_allclose(ours.test, theirs.test, rtol=1e-6)


def test_ridge_weights_predict_what_it_predicts() -> None:
    run = validate(RIDGE)
    matrix = without_row_numbers(competition()[1]).matrices[0]
    for member in run.members:
        by_hand = matrix.X @ member.weights["layers.0.weight"][0] + member.weights["layers.0.bias"]
        np.testing.assert_allclose(by_hand, member.predictions, atol=1e-5)


@pytest.mark.parametrize("recipe", [Linear(kind="linear", epochs=4), mlp()])
def test_curves_have_a_point_an_epoch(recipe: Linear) -> None:
    for member in validate(recipe).members:
        assert member.train_losses.shape == member.valid_losses.shape == (4,)
        assert np.isfinite(member.train_losses).all()
        assert np.isfinite(member.valid_losses).all()


@pytest.mark.parametrize("recipe", [Linear(kind="linear", epochs=4), mlp(seeds=2)])
def test_networks_are_deterministic(recipe: Linear) -> None:
    first, second = validate(recipe), validate(recipe)
    np.testing.assert_array_equal(first.oof, second.oof)
    np.testing.assert_array_equal(first.test, second.test)


def assert_same_members(some: Run, among: Run) -> None:
    by_key = {(member.fold, member.seed): member for member in among.members}
    for member in some.members:
        other = by_key[member.fold, member.seed]
        np.testing.assert_allclose(member.predictions, other.predictions, rtol=1e-5, atol=1e-5)
        for name, weight in member.weights.items():
            np.testing.assert_allclose(weight, other.weights[name], rtol=1e-5, atol=1e-5)


def test_a_member_does_not_depend_on_those_trained_beside_it() -> None:
    few, many = validate(mlp(seeds=1)), validate(mlp(seeds=4))
    assert_same_members(few, many)
    assert_same_members(validate(mlp(seeds=4), threads=2), many)
    assert len({member.predictions[0] for member in many.members}) == 20  # and none equals another


def test_a_member_does_not_depend_on_other_folds() -> None:
    """Other folds for the rows outside fold 0 leave the members of fold 0 as they were."""
    folds = make_folds(N_TRAIN, Folds(k=5, seed=1))
    coarser = np.where(folds > 2, folds - 2, folds)
    alone, among = validate(mlp(), coarser), validate(mlp(), folds)
    assert len(alone.members) == 3
    np.testing.assert_allclose(alone.members[0].predictions, among.members[0].predictions, rtol=1e-5, atol=1e-5)


def test_a_diverged_member_is_named_with_a_way_out() -> None:
    with pytest.raises(TrainingError, match=r"experiment 'exp': .*fold 0 seed 0.*Lower learning_rate") as caught:
        validate(mlp(learning_rate=1e30))
    assert "\n" not in str(caught.value)


def test_a_prediction_that_is_not_finite_is_named() -> None:
    with pytest.raises(
        TrainingError, match=r"experiment 'exp', fold 0, seed 0: predictions of train\.csv are not finite"
    ):
        validate(spy(params={"answer": "nan"}))


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("sklearn.nowhere.Ridge", r"'sklearn\.nowhere\.Ridge' can't be imported: No module named"),
        ("absent_package.Model", r"'absent_package\.Model' can't be imported: .*Install its package"),
        ("sklearn.linear_model.Rigde", r"sklearn\.linear_model has no Rigde; did you mean 'Ridge'\?"),
        ("math.sqrt", r"math\.sqrt is no class with fit, predict"),
        ("math.pi", r"math\.pi is no class with fit, predict"),
        ("pathlib.Path", r"pathlib\.Path is no class with fit, predict"),
    ],
)
def test_a_path_that_is_no_estimator_is_named(path: str, complaint: str) -> None:
    with pytest.raises(TrainingError, match=complaint):
        validate(spy(estimator=path))


def test_an_unknown_parameter_names_the_nearest() -> None:
    with pytest.raises(TrainingError, match=r"DecisionTreeRegressor: params: .*'max_deph'; did you mean 'max_depth'\?"):
        validate(spy(estimator="sklearn.tree.DecisionTreeRegressor", params={"max_deph": 3}))


@pytest.mark.parametrize("params", [{"max_depth": -3}, {"max_depth": "deep"}])
def test_a_parameter_out_of_range_is_the_estimators_own_message(params: dict[str, Any]) -> None:
    with pytest.raises(TrainingError, match=r"DecisionTreeRegressor failed on fold \d, seed 0: The 'max_depth' param"):
        validate(spy(estimator="sklearn.tree.DecisionTreeRegressor", params=params))


def test_a_failure_inside_fit_names_estimator_fold_and_seed() -> None:
    row = int(np.flatnonzero(make_folds(N_TRAIN, Folds(k=5, seed=1))[0] == 2)[0])
    with pytest.raises(TrainingError, match=r"Spy failed on fold 2, seed 0: the estimator's own complaint"):
        validate(spy(params={"fail_on_fold_of": row}))


# what is finished -----------------------------------------------------------------------------------------


def test_finished_members_are_not_fitted_again() -> None:
    finished: dict[tuple[int, int], FittedMember] = {}
    run = validate(spy(), finished=finished)
    assert len(Spy.fits) == 5
    assert set(finished) == {(fold, 0) for fold in range(5)}
    del finished[1, 0], finished[4, 0]
    again = validate(spy(), finished=finished)
    assert len(Spy.fits) == 7
    validate(spy(), finished=finished)
    assert len(Spy.fits) == 7
    np.testing.assert_array_equal(again.oof, run.oof)


def test_members_that_vanish_are_fitted() -> None:
    class Vanishing(dict[tuple[int, int], FittedMember]):
        """Another process removes them as soon as it has been asked whether they are there."""

        def __contains__(self, key: object) -> bool:
            return True

    validate(spy(), finished=Vanishing())
    assert len(Spy.fits) == 5


def test_each_member_is_kept_as_soon_as_it_is_done() -> None:
    finished: dict[tuple[int, int], FittedMember] = {}
    kept: list[tuple[int, int, int]] = []

    def interrupt(done: int, total: int) -> None:
        kept.append((done, total, len(finished)))
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        validate(spy(), finished=finished, on_progress=interrupt)
    assert kept == [(1, 5, 1), (2, 5, 2), (3, 5, 3)]
    Spy.fits.clear()
    validate(spy(), finished=finished)
    assert len(Spy.fits) == 2
