"""Weights of rows, from the discriminator to every kind of experiment: found where there is a shift, and honest."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from competitions import Ear, houseprice_process, open_plan, write_competition
from houseprice import inspection, pipeline
from houseprice.compete import leaderboard
from houseprice.config import Folds
from houseprice.data.features import FeatureSet, Matrix
from houseprice.data.folds import Split, make_folds
from houseprice.data.preprocessor import Preprocessor
from houseprice.data.shift import discriminate, effective_size
from houseprice.errors import ConfigError
from houseprice.learn.crossval import cross_validate
from houseprice.learn.estimators import AnyRecipe, fit_members
from houseprice.learn.members import FittedMember, FoldData
from houseprice.learn.weighting import with_weights
from houseprice.metrics import METRICS
from houseprice.recipes import MLP, Linear, Ridge, Sklearn
from test_crossval import competition
from test_predict import predicted, rows_of, submitted

Rows = NDArray[np.float32]


def rows(n: int, shift: float, columns: int = 4, seed: int = 0) -> Rows:
    """Standard normal rows whose first column has another mean."""
    X = np.random.default_rng([seed, n]).standard_normal((n, columns)).astype(np.float32)
    X[:, 0] += np.float32(shift)
    return X


# the discriminator -----------------------------------------------------------------------------------------


def test_the_density_ratio_of_two_normals_is_found() -> None:
    """Of N(1, 1) to N(0, 1) it is exp(x - 1/2)."""
    X = rows(4000, 0.0)
    found = discriminate(X, rows(3000, 1.0), "experiments.one")
    new = rows(500, 0.5, seed=9)
    expected = np.minimum(np.exp(new[:, 0] - 0.5), 5)
    np.testing.assert_allclose(np.log(found.ratios(new, 5.0)), np.log(expected), atol=0.25)
    weights = found.weights(5.0)
    assert weights.mean() == pytest.approx(1, abs=1e-6)
    assert np.corrcoef(weights, np.minimum(np.exp(X[:, 0] - 0.5), 5))[0, 1] > 0.99
    assert 0.7 < found.apart.low < found.apart.auc < found.apart.high < 0.8  # Φ(1 / √2) is 0.760


def test_of_many_rows_some_teach_and_all_are_weighed(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[tuple[int, int]] = []
    fit = LogisticRegression.fit

    def counted(self: LogisticRegression, X: Any, y: Any) -> LogisticRegression:
        fitted.append((int((y == 0).sum()), int(y.sum())))
        return fit(self, X, y)

    monkeypatch.setattr(LogisticRegression, "fit", counted)
    monkeypatch.setattr("houseprice.data.shift._AT_MOST", 500)
    X = rows(6000, 0.0)
    found = discriminate(X, rows(100, 1.0), "experiments.one")
    assert set(fitted) == {(500, 80)}
    weights = found.weights(10.0)
    assert len(weights) == 6000
    assert weights[X[:, 0] > 1].mean() > 3 * weights[X[:, 0] < 0].mean()


def test_weights_reach_their_ceiling_and_no_further() -> None:
    found = discriminate(rows(300, 0.0), rows(300, 3.0), "experiments.one")
    ratios = found.ratios(rows(500, 3.0, seed=1), 4.0)
    assert ratios.max() == pytest.approx(4.0)
    weights = found.weights(4.0)
    assert weights.max() / weights.min() <= 4 / np.exp(found.log_odds.min()) * 1.001


@pytest.mark.parametrize("seed", range(3))
def test_rows_of_one_source_count_nearly_the_same_however_many_columns_there_are(seed: int) -> None:
    """A discriminator that judged rows which it had seen would tell all of these apart."""
    X, X_test = rows(150, 0.0, 120, seed), rows(140, 0.0, 120, seed)
    found = discriminate(X, X_test, "experiments.one")
    assert abs(found.apart.auc - 0.5) < 0.15
    assert effective_size(found.weights(10.0)) > 0.9 * len(X)


def test_a_row_has_no_say_in_its_own_weight() -> None:
    """A model that does not see a row is no other wherever the row is: its log odds there are linear in the row."""
    X, X_test = rows(200, 0.0), rows(200, 0.7)
    found = []
    for step in (0.0, 0.5, 1.0):
        moved = X.copy()
        moved[17, 0] += step
        found.append(discriminate(moved, X_test, "experiments.one").log_odds[17])
    assert found[1] - found[0] > 0.1
    assert found[2] - found[1] == pytest.approx(found[1] - found[0], rel=1e-3)


def test_too_few_rows_are_said() -> None:
    with pytest.raises(ConfigError, match=r"experiments\.one: weights = 'shift' learns from at least 10 .* 200 and 9"):
        discriminate(rows(200, 0.0), rows(9, 0.0), "experiments.one")


# every kind ------------------------------------------------------------------------------------------------


def data(weights: NDArray[np.float64] | None = None, n_classes: int = 0) -> FoldData:
    """40 rows to fit and 10 to validate."""
    X = rows(50, 0.0)
    y = np.sin(2 * X[:, 0]) + 0.3 * X[:, 1]
    y = (y > 0).astype(np.float32) if n_classes else y.astype(np.float32)
    float32 = None if weights is None else weights.astype(np.float32)
    return FoldData(0, X, y, np.arange(40), np.arange(40, 50), rows(9, 0.0), n_classes, float32)


def fitted(recipe: AnyRecipe, of: FoldData) -> FittedMember:
    return fit_members(recipe, [of])[0]


TREE = Sklearn(kind="sklearn", estimator="sklearn.tree.DecisionTreeRegressor", params={"max_depth": 2})
LOGISTIC = Sklearn(kind="sklearn", estimator="sklearn.linear_model.LogisticRegression")


@pytest.mark.parametrize(
    ("recipe", "n_classes"),
    [(Ridge(kind="ridge", alpha=2.0), 0), (TREE, 0), (LOGISTIC, 2)],
    ids=["ridge", "tree", "two"],
)
def test_a_row_that_counts_three_times_is_there_three_times(recipe: AnyRecipe, n_classes: int) -> None:
    counts = np.r_[np.tile([0, 1, 3, 0], 10), np.zeros(10)]  # mean 1 over the fit rows
    once = data(counts, n_classes)
    repeated = replace(once, fit_rows=np.repeat(np.arange(50), counts.astype(int)), weights=None)
    predictions = [fitted(recipe, each).predictions for each in (once, repeated, data(None, n_classes))]
    np.testing.assert_allclose(predictions[0], predictions[1], atol=2e-4)
    assert np.abs(predictions[0] - predictions[2]).max() > 0.01


@pytest.mark.parametrize(
    "recipe",
    [
        MLP(kind="mlp", hidden=(4,), epochs=2, weights="shift"),
        Ridge(kind="ridge", weights="shift"),
        TREE.model_copy(update={"weights": "shift"}),
    ],
    ids=["mlp", "ridge", "tree"],
)
def test_no_validation_row_and_no_target_is_looked_at(recipe: AnyRecipe) -> None:
    shifted = replace(data(), X_test=rows(30, 1.5))
    weights = with_weights("one", recipe, shifted).weights
    other = replace(shifted, X=shifted.X.copy(), y=-shifted.y)
    other.X[shifted.valid_rows] = np.nan
    again = with_weights("one", recipe, other).weights
    assert weights is not None
    assert weights[shifted.fit_rows].std() > 0.1
    np.testing.assert_array_equal(weights, again)
    assert with_weights("one", recipe.model_copy(update={"weights": "none"}), shifted) is shifted


def test_an_estimator_that_takes_no_weights_is_named() -> None:
    neighbours = Sklearn(kind="sklearn", estimator="sklearn.neighbors.KNeighborsRegressor", weights="shift")
    with pytest.raises(ConfigError, match=r"experiments\.near: weights: the estimator's fit takes no sample_weight"):
        with_weights("near", neighbours, replace(data(), X_test=rows(30, 1.0)))


def test_mixtures_have_no_weight() -> None:
    with pytest.raises(ValueError, match=r"mixup: 0\.2, but a mixture of two rows has no weight"):
        MLP(kind="mlp", mixup=0.2, weights="shift")


# cross-validation ------------------------------------------------------------------------------------------


def test_weights_bring_a_wrong_model_to_where_the_test_rows_are() -> None:
    """A line for a curve, log price x²: where training rows lie around 0 and test rows around 1.5, it must choose."""
    tables = competition(n_train=400)[0]
    random = np.random.default_rng(3)
    x, x_test = random.normal(0, 1, 400), random.normal(1.5, 0.5, 200)
    X, X_test = (np.column_stack([each, random.normal(size=len(each))]).astype(np.float32) for each in (x, x_test))
    ids = tables.test.index.repeat(200)[:200]
    tables = replace(
        tables,
        target=tables.target * 0 + np.exp(x**2 + 0.1 * random.standard_normal(400)),
        test=tables.test.loc[ids].set_axis([f"b{row}" for row in range(200)]),
    )
    features = FeatureSet("all", (Matrix(X, X_test, Preprocessor((), (), ("x", "noise"))),))
    split = Split.of(make_folds(400, Folds(k=4, seed=1)))
    for recipe in (Ridge(kind="ridge"), Linear(kind="linear", learning_rate=0.02, epochs=60)):
        plain, weighted = (
            cross_validate(
                "exp", recipe.model_copy(update={"weights": kind}), tables, features, split, METRICS["log_rmse"]
            )
            for kind in ("none", "shift")
        )
        errors = [np.sqrt(np.square(run.test - x_test**2).mean()) for run in (plain, weighted)]
        assert errors[1] < 0.6 * errors[0]
        assert plain.score < weighted.score  # on the training rows it is the other way round


def test_the_command_records_a_run_of_its_own(tmp_path: Path) -> None:
    folder = write_competition(tmp_path)
    done = houseprice_process(tmp_path, "train", "ridge", "tree", "--weights", "shift", "--json")
    assert done.returncode == 0, done.stderr
    plan = open_plan(tmp_path)
    pipeline.train(plan, "ridge")
    found = {(row.name, row.overrides): row for row in leaderboard.rows(folder / "leaderboard.db")}
    overrides = ("experiments.ridge.weights=shift", "experiments.tree.weights=shift")
    assert set(found) == {("ridge", overrides), ("tree", overrides), ("ridge", ())}
    assert found["ridge", overrides].sees_test
    assert not found["ridge", ()].sees_test
    for arguments, complaint in ((("none", "mpl"), "unknown experiment 'mpl'"), (("shfit", "ridge"), "'shfit' is not")):
        refused = houseprice_process(tmp_path, "train", arguments[1], "--weights", arguments[0])
        assert complaint in refused.stderr


def test_a_key_of_the_file_weights_a_run_a_stack_and_the_importance_of_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_competition(tmp_path)
    path = folder / "competition.toml"
    path.write_text(
        path.read_text(encoding="utf-8")
        .replace("alpha = 2.0", 'alpha = 2.0\nweights = "shift"\nweight_ceiling = 5.0')
        .replace('"mlp", "tree"]\nmethod = "nnls"', '"tree"]\nmethod = "stack"'),
        encoding="utf-8",
    )
    asked: list[str] = []

    def counted(X: Rows, X_test: Rows, where: str) -> Any:
        asked.append(where)
        return discriminate(X, X_test, where)

    monkeypatch.setattr("houseprice.learn.weighting.discriminate", counted)

    plan = open_plan(tmp_path, Ear())
    pipeline.train(plan, "ridge")
    assert asked == ["experiments.ridge"] * 3  # folds
    pipeline.ensemble(plan, "blend")
    assert len(asked) == 6  # and pairs of folds
    inspection.summarize_importance(plan, "ridge")
    assert len(asked) == 9


def test_rows_that_come_later_are_predicted_by_what_was_weighted_for_the_test_rows(tmp_path: Path) -> None:
    path = write_competition(tmp_path, n_train=90, n_test=40) / "competition.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("[experiments.tree]", '[experiments.tree]\nweights = "shift"'), encoding="utf-8")
    file = path.parent / "raw" / "test.csv"
    header, *lines = file.read_text(encoding="utf-8").splitlines()
    cells = [line.split(",", 2) for line in lines]
    moved = [f"{row},{int(ground) + 60},{rest}" for row, ground, rest in cells]  # test rows from elsewhere
    file.write_text("\n".join([header, *moved]) + "\n", encoding="utf-8")
    entry = dict(rows_of(submitted(tmp_path, "tree"))[1:])
    (tmp_path / "new.csv").write_text("\n".join([header, *moved[:3]]) + "\n", encoding="utf-8")
    found = dict(rows_of(predicted(tmp_path, tmp_path / "new.csv", "tree"))[1:])
    assert found == {row: entry[row] for row in found}
    assert len(found) == 3
