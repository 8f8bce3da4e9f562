"""Categories of many labels: encoded by target and frequency without a leak, and never too wide."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.preprocessing import TargetEncoder

from cells import COMPETITION, build, of_column, tables_of_cells
from houseprice.config import Features, Ingest
from houseprice.data.encodings import fit_frequencies, fit_target_means
from houseprice.data.features import FeatureSet, build_features, features_without
from houseprice.data.folds import Split, left_out, make_folds
from houseprice.data.tables import Tables
from houseprice.learn.crossval import Run, cross_validate
from houseprice.metrics import METRICS
from houseprice.recipes import Ridge

Float = NDArray[np.float64]
N, LABELS = 600, 60


def towns(n: int = N, labels: int = LABELS, seed: int = 0) -> list[str]:
    return [f"T{code}" for code in np.random.default_rng(seed).integers(labels, size=n)]


def noise(n: int = N, seed: int = 1) -> Float:
    return np.random.default_rng(seed).standard_normal(n)


def town_tables(prices: Float, cells: list[str] | None = None) -> Tables:
    cells = cells or towns()
    return tables_of_cells({"Town": cells, "odd": [str(n % 7) for n in range(len(cells))]}, TEST, list(prices))


TEST = {"Town": ["T1", "elsewhere", "NA"], "odd": ["1", "2", "3"]}
FOLDS = make_folds(N, COMPETITION.folds["main"].model_copy(update={"k": 5}))
ENCODED, FREQUENCY = "mean(target) by Town", "frequency of Town"


def scored(features: FeatureSet, tables: Tables) -> Run:
    return cross_validate("it", Ridge(kind="ridge"), tables, features, Split.of(FOLDS), METRICS["rmse"])


# ------------------------------------------------------------------ the encodings


def test_the_encoding_is_scikit_learn_s() -> None:
    cells, target = pd.Series(towns(), name="Town", dtype="str"), noise()
    ((column, _),) = fit_target_means(cells, target, smoothing=7.0)
    theirs = TargetEncoder(smooth=7.0, target_type="continuous").fit(cells.to_frame(), target)
    rows = pd.DataFrame({"Town": ["T1", "T2", "elsewhere"]}, dtype="str")
    np.testing.assert_allclose(column.transform(rows), theirs.transform(rows).ravel(), rtol=1e-12)
    assert column.transform(rows)[2] == target.mean()


def test_gaps_are_a_label_of_their_own() -> None:
    cells = pd.Series(["a", "a", None, None, "b"], name="Town", dtype="str")
    ((column, _),) = fit_target_means(cells, np.array([0.0, 0, 10, 10, 0]), smoothing=2.0)
    rows = pd.DataFrame({"Town": pd.Series([None, "a", "elsewhere"], dtype="str")})
    assert column.transform(rows).tolist() == [4 + 12 / 4, 4 - 8 / 4, 4]
    assert fit_frequencies(cells).transform(rows).tolist() == [0.4, 0.4, 0]


def test_no_row_s_own_encoding_knows_its_target() -> None:
    cells, target = pd.Series(towns(), name="Town", dtype="str"), noise()
    ((_, before),) = fit_target_means(cells, target, smoothing=1.0)
    for row in range(0, N, 50):
        changed = target.copy()
        changed[row] = 1e6
        ((_, after),) = fit_target_means(cells, changed, smoothing=1.0)
        assert after[row] == before[row]
        assert (after != before).any(), "that of others of the same town does"


def test_a_target_of_several_columns_has_an_encoding_of_each() -> None:
    cells, target = pd.Series(towns(), name="Town", dtype="str"), np.stack([noise(), noise(seed=2)], axis=1)
    both = fit_target_means(cells, target, smoothing=5.0)
    assert [column.name for column, _ in both] == ["mean(target 0) by Town", "mean(target 1) by Town"]
    for (column, own), values in zip(both, target.T, strict=True):
        ((alone, alone_own),) = fit_target_means(cells, values, smoothing=5.0)
        assert column.values == alone.values
        np.testing.assert_array_equal(own, alone_own)


# ------------------------------------------------------------------ no validation row's target is seen


@pytest.mark.parametrize("pairs", [False, True], ids=["without a fold", "without two"])
def test_no_target_of_a_row_left_out_moves_any_feature(pairs: bool) -> None:
    """Neither the row's own features, nor those of any other row: the matrix is the same to the bit."""
    tables, prices = town_tables(noise()), noise()
    folds = left_out(FOLDS)
    without = np.stack([folds[0] | folds[1], folds[2] | folds[4]]) if pairs else folds
    before = features_without(tables, Features(), without, Ingest(), prices)
    assert ENCODED in before.of_fold(0).columns
    for number, rows in enumerate(without):
        changed = np.where(rows, 1e3 * noise(seed=5), prices)
        after = features_without(tables, Features(), without, Ingest(), changed)
        for one, other in zip(before.matrices, after.matrices, strict=True):
            is_same = np.array_equal(one.X, other.X) and np.array_equal(one.X_test, other.X_test)
            assert is_same == (one is before.matrices[number])


def test_with_scope_all_no_target_is_seen() -> None:
    tables = town_tables(noise())
    one, other = (build_features(tables, Features(scope="all"), FOLDS, Ingest(), noise(seed=seed)) for seed in (1, 2))
    np.testing.assert_array_equal(one.of_fold(0).X, other.of_fold(0).X)
    assert set(one.of_fold(0).columns) == {FREQUENCY, "odd"}


def test_a_town_of_pure_noise_predicts_no_better_than_chance() -> None:
    prices = noise()
    tables = town_tables(prices)
    run = scored(build_features(tables, Features(drop=("odd",)), FOLDS, Ingest(), prices), tables)
    means = np.array([prices[FOLDS[0] != fold].mean() for fold in FOLDS[0]])
    chance = METRICS["rmse"].score(prices, means)
    assert run.score >= chance
    assert run.score < 1.02 * chance, "and not much worse, as with encodings that read their own row's target"


def test_a_town_that_matters_predicts() -> None:
    of_town = dict(zip([f"T{n}" for n in range(LABELS)], noise(LABELS, seed=7), strict=True))
    cells = towns()
    prices = np.array([of_town[cell] for cell in cells]) + 0.3 * noise()
    tables = town_tables(prices, cells)
    encoded = scored(build_features(tables, Features(), FOLDS, Ingest(), prices), tables)
    counted = scored(build_features(tables, Features(high_cardinality="frequency"), FOLDS, Ingest(), prices), tables)
    assert encoded.score < 0.6 * counted.score


# ------------------------------------------------------------------ the choice


@pytest.mark.parametrize(
    ("how", "columns"),
    [
        ("target", {"odd", ENCODED, FREQUENCY}),
        ("frequency", {"odd", FREQUENCY}),
        ("one_hot", {"odd", *(f"Town_T{n}" for n in range(LABELS))}),
    ],
)
def test_a_key_chooses_the_encoding(how: str, columns: set[str]) -> None:
    recipe = Features.model_validate({"high_cardinality": how})
    found = build_features(town_tables(noise()), recipe, FOLDS, Ingest(), noise())
    assert set(found.of_fold(0).columns) == columns
    about = [notice for notice in found.notices if "more than max_levels = 50" in notice]
    assert len(about) == (how != "one_hot")


def test_lumping_keeps_the_commonest_labels() -> None:
    cells = ["common", "usual"] * 250 + towns(100, 90)
    found = build_features(
        town_tables(noise(), cells), Features(high_cardinality="lump", max_levels=2), FOLDS, Ingest()
    )
    assert set(found.of_fold(0).columns) == {"odd", "Town_common", "Town_usual", "Town_(rare)"}


def test_a_category_at_the_bound_is_one_hot() -> None:
    found = build_features(town_tables(noise()), Features(max_levels=LABELS), FOLDS, Ingest(), noise())
    assert len(found.of_fold(0).columns) == 1 + LABELS


def test_the_encoding_of_labels_is_a_number_as_others() -> None:
    found = build_features(town_tables(noise()), Features(clip=2.0), FOLDS, Ingest(), noise())
    values = of_column(found, ENCODED)[FOLDS[0] != 0]
    assert abs(values.mean()) < 0.1
    assert np.abs(values).max() <= 2


# ------------------------------------------------------------------ width


def test_the_rarest_labels_are_lumped_to_bound_the_width() -> None:
    cells = ["common", "usual"] * 250 + towns(100, 90)
    recipe = Features(high_cardinality="one_hot", max_columns=5)
    found = build_features(town_tables(noise(), cells), recipe, FOLDS, Ingest())
    assert found.n_columns[1] <= 5
    assert {"Town_common", "Town_usual", "Town_(rare)"} <= set(found.of_fold(0).columns)
    assert any("column 'Town': its" in notice and "rarest labels are lumped" in notice for notice in found.notices)


def test_numbers_beyond_the_bound_are_left_out_and_named() -> None:
    random = np.random.default_rng(0)
    numbers = {f"n{place}": [f"{value:.3f}" for value in random.random(40)] for place in range(30)}
    found = build(numbers, {name: cells[:1] for name, cells in numbers.items()}, max_columns=20)
    assert found.of_fold(0).columns == tuple(f"n{place}" for place in range(20))
    (notice,) = found.notices
    assert notice == "left out, beyond max_columns = 20: n20, n21, n22, n23, n24, … (10 in all)"


def test_ten_thousand_labels_are_never_indicators_all_at_once() -> None:
    """A dense matrix of them would take 1.6 GB."""
    cells = [f"T{n % 10_000}" for n in range(20_000)]
    tables = tables_of_cells({"Town": cells, "odd": [str(n % 7) for n in range(20_000)]}, TEST)
    folds = make_folds(20_000, COMPETITION.folds["main"])
    tracemalloc.start()
    try:
        found = build_features(tables, Features(high_cardinality="one_hot", max_columns=50), folds, Ingest())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.n_columns[1] <= 50
    assert peak < 100e6
