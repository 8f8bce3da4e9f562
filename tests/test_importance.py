"""Permutation importance: the plain loop's numbers, on columns of known weight, whatever runs beside."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from competitions import COMPETITION, Ear, open_plan, write_competition
from houseprice import inspection, pipeline
from houseprice.data.roles import assign_roles
from houseprice.learn.importance import Importance, permutation_importance
from houseprice.learn.plain import as_module
from houseprice.matrices import make_split
from houseprice.metrics import METRICS
from houseprice.plan import Plan
from houseprice.recipes import Linear

LOG_RMSE = METRICS["log_rmse"]

TOML = COMPETITION.replace(
    "[ensembles.blend]",
    """\
[features.without]
drop = ["Upper", "Garden"]

[features.without.derived]
Total = "Ground + Upper"

[experiments.without]
kind = "ridge"
features = "without"
alpha = 1e-3

[experiments.natural]
kind = "ridge"
target_scale = "natural"
floor = 1.0

[ensembles.blend]""",
)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    root = tmp_path_factory.mktemp("importance")
    write_competition(root, toml=TOML)
    return open_plan(root)


def measure(plan: Plan, experiment: str, **options: Any) -> Importance:
    competition = plan.workspace.competition
    recipe = competition.experiments[experiment]
    return permutation_importance(
        recipe,
        pipeline.train(plan, experiment),
        pipeline.tables(plan),
        pipeline.features(plan, experiment),
        competition.features[recipe.features],
        competition.ingest,
        make_split(plan, experiment, pipeline.tables(plan)),
        LOG_RMSE,
        **options,
    )


def of_column(found: Importance, column: str) -> float:
    return float(found.increase[found.columns.index(column)])


@pytest.mark.parametrize("experiment", ["ridge", "mlp", "linear", "without"])
def test_it_is_what_the_plain_loop_finds(plan: Plan, experiment: str) -> None:
    """Fold by fold, column by column, a copy of the rows at a time; every row borrows from every other."""
    competition = plan.workspace.competition
    recipe, run = competition.experiments[experiment], pipeline.train(plan, experiment)
    tables, features = pipeline.tables(plan), pipeline.features(plan, experiment)

    def predict(fold: int, frame: Any) -> NDArray[np.float64]:
        frame = assign_roles(frame, competition.features[recipe.features], competition.ingest, "train.csv")
        X = features.of_fold(fold).preprocessor.transform(frame)
        fitted_on = run.target[~np.isin(np.arange(60), np.flatnonzero(run.fold_of_row[0] == fold))]
        members = [member for member in run.members if member.fold == fold]
        if isinstance(recipe, Linear):
            with torch.inference_mode():
                fitted = [as_module(recipe, member.weights)(torch.from_numpy(X)).numpy()[:, 0] for member in members]
        else:
            (member,) = members
            fitted = [X @ member.weights["layers.0.weight"][0] + member.weights["layers.0.bias"]]
        return np.asarray(np.mean(fitted, axis=0) * fitted_on.std() + fitted_on.mean(), np.float64)

    expected = np.empty((3, len(tables.train.columns)))
    for fold in range(3):
        rows = np.flatnonzero(run.fold_of_row[0] == fold)
        frame, truth = tables.train.iloc[rows], run.target[rows]
        before = LOG_RMSE.score(truth, predict(fold, frame))
        assert before == pytest.approx(run.fold_scores[fold], abs=1e-5)
        for position, column in enumerate(frame.columns):
            losses = np.zeros(len(rows))
            for places in range(1, len(rows)):
                exchanged = frame.copy()
                exchanged[column] = np.roll(frame[column].array, places)
                losses += LOG_RMSE.row_losses(truth, predict(fold, exchanged))
            expected[fold, position] = np.sqrt(losses.mean() / (len(rows) - 1)) - before
    np.testing.assert_allclose(measure(plan, experiment, exchanges=10_000).by_fold, expected, atol=2e-6)


def test_columns_of_known_weight(plan: Plan) -> None:
    """The log price has 0.006 · Ground (uniform from 40 to 160), 0.004 · Upper (0 to 80), and nothing of Garden."""
    found = measure(plan, "ridge", exchanges=19)
    assert found.columns == ("Ground", "Upper", "Garden", "Town")
    mean_squares = [2 * (0.006 * 120) ** 2 / 12, 2 * (0.004 * 80) ** 2 / 12, 0.0]
    expected = [np.sqrt(0.05**2 + more) - 0.05 for more in mean_squares]
    np.testing.assert_allclose(found.increase[:3], expected, atol=0.03)
    ranked = [row["column"] for row in found.ranking()]
    assert ranked[0] == "Ground"
    assert ranked[-1] == "Garden"


def test_a_derived_column_follows_and_a_dropped_one_counts_nothing(plan: Plan) -> None:
    """Upper is dropped but for the sum of which it is part; Garden is not used at all."""
    found = measure(plan, "without")
    assert of_column(found, "Upper") > 0.02
    assert of_column(found, "Garden") == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("experiment", ["ridge", "mlp", "tree"])
def test_threads_and_order_change_nothing(plan: Plan, experiment: str) -> None:
    reports: list[tuple[int, int]] = []
    one = measure(plan, experiment, threads=1, on_progress=lambda done, total: reports.append((done, total)))
    np.testing.assert_array_equal(measure(plan, experiment, threads=3).by_fold, one.by_fold)
    assert reports == [(1, 3), (2, 3), (3, 3)]


def test_predictions_in_natural_units_are_raised_to_the_floor(plan: Plan) -> None:
    found = measure(plan, "natural")
    assert np.isfinite(found.by_fold).all()
    assert of_column(found, "Ground") > 0.1


def test_a_fold_of_one_row_has_nobody_to_borrow_from(tmp_path: Path) -> None:
    write_competition(tmp_path, n_train=6)
    plan = open_plan(tmp_path, overrides=("folds.main.k=6",))
    assert not measure(plan, "ridge").by_fold.any()


def test_large_folds_are_asked_about_fewer_rows(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("houseprice.learn.importance._MAX_ROWS", 80)
    sizes: list[int] = []
    score = METRICS["log_rmse"].quick_score

    def counted(y_true: NDArray[np.float64], y_pred: NDArray[np.float64]) -> float:
        sizes.append(len(y_true))
        return score(y_true, y_pred)

    monkeypatch.setattr(type(LOG_RMSE), "quick_score", staticmethod(counted))
    measure(plan, "ridge", exchanges=1)
    assert set(sizes) == {16}


def test_the_spread_over_folds_counts_the_rows_they_share(plan: Plan) -> None:
    found = measure(plan, "ridge")
    expected = np.sqrt((1 / 3 + 1 / 2) * found.by_fold.var(axis=0, ddof=1))
    np.testing.assert_allclose(found.std_error, expected)


def test_the_stage_runs_once_and_after_its_run_changed(plan: Plan) -> None:
    root, ear = plan.workspace.root, Ear()
    again = open_plan(root, ear)
    first = inspection.importance(again, "tree")
    assert ear.ran == ["importance/tree"] or ear.ran == ["train/tree", "importance/tree"]
    assert ear.reports["importance/tree"] == [(1, 3), (2, 3), (3, 3)]
    ear = Ear()
    assert inspection.summarize_importance(open_plan(root, ear), "tree") == first.ranking()
    assert ear.ran == []
    inspection.importance(open_plan(root, ear, ("tree.params.max_depth=2",)), "tree")
    assert ear.ran == ["train/tree", "importance/tree"]
