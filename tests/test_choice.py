"""The nested score of a choice: a plain double loop gives the same, no fold has a say in it, and noise stays noise."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import Ridge as SklearnRidge

from competitions import COMPETITION, Ear, houseprice_process, open_plan, write_competition
from houseprice import inspection
from houseprice.compete.choice import Choice, nested_choice
from houseprice.config import Ensemble, Folds, Ingest
from houseprice.data.features import features_without
from houseprice.data.folds import Split, make_split
from houseprice.data.tables import Tables
from houseprice.learn.crossval import cross_validate
from houseprice.learn.estimators import AnyRecipe
from houseprice.learn.nested import predict_nested
from houseprice.metrics import METRICS
from houseprice.preparation import Features
from houseprice.recipes import Ridge, Sklearn

Float = NDArray[np.float64]
PLAIN = Features()
K = 4


def table(X: Float, target: Float, classes: tuple[str, ...] = ()) -> Tables:
    """A competition of these rows, of which the first few are also its test rows."""
    frame = pd.DataFrame(X, columns=[f"x{place}" for place in range(X.shape[1])])
    train, test = (
        rows.set_axis(pd.Index([f"{name}{row}" for row in range(len(rows))], name="Id"))
        for name, rows in (("a", frame), ("b", frame[:5]))
    )
    return Tables(train, test, pd.Series(target, train.index, name="Price"), test.index, (), classes)


def choose(
    tables: Tables,
    recipes: Mapping[str, AnyRecipe],
    metric: str,
    ensembles: Mapping[str, Ensemble] | None = None,
    folds: Folds | None = None,
) -> tuple[Choice, Split]:
    """Choose among the experiments and the ensembles."""
    split = make_split(folds or Folds(k=K, seed=1), tables.target)
    features = features_without(tables, PLAIN, split.left_out, Ingest(), tables.target.to_numpy())
    runs = {
        name: cross_validate(name, recipe, tables, features, split, METRICS[metric]) for name, recipe in recipes.items()
    }
    nested = {
        name: predict_nested(recipe, runs[name], tables, PLAIN, Ingest(), METRICS[metric])
        for name, recipe in recipes.items()
    }
    candidates = {name: Ensemble(runs=(name,)) for name in recipes} | dict(ensembles or {})
    return nested_choice(candidates, runs, nested, METRICS[metric]), split


# a plain double loop ------------------------------------------------------------------------------------------


def fitted(X: Float, y: Float, rows: NDArray[np.bool_], asked: NDArray[np.bool_], alpha: float) -> Float:
    """What scikit-learn's ridge, fitted on some rows, predicts of others."""
    standardized = (X - X[rows].mean(axis=0)) / X[rows].std(axis=0, ddof=1)
    return np.asarray(SklearnRidge(alpha=alpha).fit(standardized[rows], y[rows]).predict(standardized[asked]))


def test_it_is_a_plain_double_loop_with_scikit_learn() -> None:
    random = np.random.default_rng(3)
    X = random.standard_normal((48, 12))
    y = X[:, 0] + 0.5 * X[:, 1] + 2 * random.standard_normal(48)
    alphas = {"weak": 1.0, "middle": 30.0, "strong": 300.0}
    both = Ensemble(runs=("weak", "strong"), method="mean")
    recipes = {name: Ridge(kind="ridge", alpha=alpha) for name, alpha in alphas.items()}
    found, split = choose(table(X, y), recipes, "rmse", {"both": both})

    fold_of_row = split.fold_of_row[0]
    expected = np.empty_like(y)
    for outer in range(K):
        others = fold_of_row != outer
        inner, outside = {name: np.empty_like(y) for name in (*alphas, "both")}, {}
        for name, alpha in alphas.items():
            for fold in set(range(K)) - {outer}:
                inside = fold_of_row == fold
                inner[name][inside] = fitted(X, y, others & ~inside, inside, alpha)
            outside[name] = fitted(X, y, others, ~others, alpha)
        inner["both"], outside["both"] = ((of["weak"] + of["strong"]) / 2 for of in (inner, outside))
        errors = {name: np.sqrt(np.mean((of[others] - y[others]) ** 2)) for name, of in inner.items()}
        best = min(errors, key=errors.__getitem__)
        assert found.folds[outer].chosen == best
        assert found.folds[outer].inner_score == pytest.approx(errors[best], rel=1e-5)
        expected[~others] = outside[best]
    np.testing.assert_allclose(found.predictions, expected, atol=1e-4)
    assert found.score == pytest.approx(np.sqrt(np.mean((expected - y) ** 2)), rel=1e-5)
    assert len({fold.chosen for fold in found.folds}) > 1
    assert found.optimism == found.score - found.naive_score


# what a fold knows --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_classes", [0, 2, 3])
def test_a_fold_has_no_say_in_what_is_chosen_for_it(n_classes: int) -> None:
    """Neither in the experiment, nor in weights, selection and threshold."""
    random = np.random.default_rng(5)
    X = random.standard_normal((60, 3))
    y = X[:, 0] + random.standard_normal(60)
    if n_classes:
        y = np.digitize(y, np.quantile(y, np.arange(1, n_classes) / n_classes)).astype(np.float64)
    kind = "LogisticRegression" if n_classes else "Ridge"
    tree = "sklearn.tree.DecisionTree" + ("Classifier" if n_classes else "Regressor")
    recipes: dict[str, AnyRecipe] = {
        "linear": Sklearn(kind="sklearn", estimator=f"sklearn.linear_model.{kind}"),
        "tree": Sklearn(kind="sklearn", estimator=tree, params={"max_depth": 2, "random_state": 0}),
        "deep": Sklearn(kind="sklearn", estimator=tree, params={"random_state": 0}),
    }
    ensembles = {
        "weighted": Ensemble(runs=("linear", "tree"), method="nnls"),
        "few": Ensemble(runs=tuple(recipes), select="one_standard_error"),
    }
    metric, classes = {0: "rmse", 2: "f1", 3: "macro_f1"}[n_classes], tuple("abc"[:n_classes])
    tables = table(X, y, classes)
    before, split = choose(tables, recipes, metric, ensembles)
    for fold in range(K):
        inside = split.fold_of_row[0] == fold
        other: Float = (y + 1) % n_classes if n_classes else 9 - 5 * y
        after, _ = choose(table(X, np.where(inside, other, y), classes), recipes, metric, ensembles)
        assert replace(after.folds[fold], score=0) == replace(before.folds[fold], score=0)
        np.testing.assert_array_equal(after.predictions[inside], before.predictions[inside])
        assert not np.array_equal(after.predictions, before.predictions)
    if n_classes == 2:
        assert set(before.predictions) == {0.0, 1.0}


@pytest.mark.long
def test_the_best_of_a_board_of_noise_seems_to_know_something_and_nested_does_not() -> None:
    """A coin has an area under the curve of 1/2; the best of six memorisers has more where it won."""
    naive, nested = [], []
    recipes = {
        metric: Sklearn(
            kind="sklearn",
            estimator="sklearn.neighbors.KNeighborsClassifier",
            params={"n_neighbors": 1, "metric": metric},
        )
        for metric in ("euclidean", "chebyshev", "cosine", "canberra", "correlation", "braycurtis")
    }
    for seed in range(25):
        random = np.random.default_rng(seed)
        tables = table(random.standard_normal((45, 4)), (np.arange(45) % 2).astype(np.float64), ("no", "yes"))
        found, _ = choose(tables, recipes, "auc", folds=Folds(scheme="stratified", k=3, seed=seed))
        naive.append(found.naive_score - 0.5)
        nested.append(found.score - 0.5)
        assert found.optimism == pytest.approx(found.naive_score - found.score)
    above, chance = (np.mean(values) / (np.std(values, ddof=1) / np.sqrt(len(values))) for values in (naive, nested))
    assert above > 4
    assert abs(chance) < 3


# the command --------------------------------------------------------------------------------------------------


def test_evaluate_nested_prints_the_procedure_beside_its_winner(tmp_path: Path) -> None:
    write_competition(tmp_path)
    done = houseprice_process(tmp_path, "evaluate", "--nested", "ridge", "tree", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["candidates"] == ["ridge", "tree"]
    assert [each["fold"] for each in found["folds"]] == [0, 1, 2]
    assert {each["chosen"] for each in found["folds"]} <= {"ridge", "tree"}
    assert (found["metric"], found["source"], found["winner"]) == ("log_rmse", "local", "ridge")
    assert found["score"] - found["naive_score"] == pytest.approx(found["optimism"])
    again = houseprice_process(tmp_path, "evaluate", "--nested", "ridge", "tree")
    assert again.returncode == 0, again.stderr
    assert "done in" not in again.stderr, "cached"
    for words in ("the best of ridge, tree", "Nested: 0.", "Naive: ridge wins with 0.", "on the folds that chose it"):
        assert words in again.stdout
    (ridge,) = json.loads(houseprice_process(tmp_path, "evaluate", "ridge", "--json").stdout)
    assert found["naive_score"] == ridge["score"]


def test_an_ensemble_is_a_candidate_and_the_entry_the_default(tmp_path: Path) -> None:
    write_competition(tmp_path)
    plan = open_plan(tmp_path, ear := Ear())
    found = inspection.choice(plan, ["blend"])
    assert {each.chosen for each in found.folds} == {"blend"}
    assert "choice/blend" in ear.ran
    done = houseprice_process(tmp_path, "evaluate", "--nested", "--json")
    assert json.loads(done.stdout)["score"] == found.score


STACK = '\n[ensembles.pile]\nruns = ["ridge", "tree"]\nmethod = "stack"\n'
OTHER_FOLDS = '\n[folds.other]\nk = 4\n\n[experiments.apart]\nlike = "ridge"\nfolds = "other"\n'


@pytest.mark.parametrize(
    ("toml", "names", "words"),
    [
        (COMPETITION + STACK, ("ridge", "pile"), "--nested: pile: a stack's own score is nested; to choose among"),
        (COMPETITION + OTHER_FOLDS, ("ridge", "apart"), "all must share their folds, these don't: ridge: main, apart"),
        (COMPETITION.replace("k = 3", "k = 2"), ("ridge",), "leaves out two folds at a time; it needs k ≥ 3. See"),
        (
            COMPETITION.replace("k = 3\nseed = 1", 'k = 3\nscheme = "expanding"\nby = "Ground"'),
            ("ridge",),
            "needs folds that validate every row, which expanding folds may not. See folds.main",
        ),
        (COMPETITION, ("ridg",), "unknown experiment 'ridg' in competition 'tiny'; did you mean 'ridge'"),
    ],
    ids=["stack", "folds", "two", "time", "unknown"],
)
def test_what_has_no_pairs_of_folds_is_refused(toml: str, names: tuple[str, ...], words: str, tmp_path: Path) -> None:
    write_competition(tmp_path, toml=toml)
    done = houseprice_process(tmp_path, "evaluate", "--nested", *names)
    assert done.returncode == 1
    assert words in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr
