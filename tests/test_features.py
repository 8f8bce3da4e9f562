"""Features: the course's matrix to the bit, and preprocessors that learn from training rows alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.special import ndtri

from conftest import LoadTiny
from houseprice.config import Competition, Ingest
from houseprice.data.encodings import fit_group
from houseprice.data.features import FeatureSet, Matrix, build_features
from houseprice.data.folds import make_folds
from houseprice.data.preprocessor import fit_preprocessor
from houseprice.data.roles import assign_roles
from houseprice.data.tables import Tables, read_tables
from houseprice.errors import ConfigError, DataError
from houseprice.preparation import Features, Group, Ordinal

TWO_FOLDS = np.array([[0, 0, 0, 1, 1, 1]], dtype=np.int64)
NAN = np.nan


def tables_of(train: dict[str, list[object]], test: dict[str, list[object]]) -> Tables:
    """Tables of hand-made columns: numbers with NaN, or text with None."""

    def frame(columns: dict[str, list[object]], first: int) -> pd.DataFrame:
        made = {
            name: pd.Series(cells, dtype="str" if any(isinstance(cell, str) for cell in cells) else "float64")
            for name, cells in columns.items()
        }
        n_rows = len(next(iter(columns.values())))
        return pd.DataFrame(made).set_index(pd.Index([str(first + n) for n in range(n_rows)], name="Id"))

    one, other = frame(train, 1), frame(test, 101)
    return Tables(one, other, pd.Series(100.0, index=one.index), other.index, ())


def build(
    train: dict[str, list[object]],
    test: dict[str, list[object]] | None = None,
    folds: NDArray[np.int64] = TWO_FOLDS,
    **recipe: object,
) -> FeatureSet:
    tables = tables_of(train, test or {name: cells[:1] for name, cells in train.items()})
    return build_features(tables, Features.model_validate(recipe), folds, Ingest(none_columns=("Pool",)))


def column(matrix: Matrix, name: str) -> list[float]:
    return [float(x) for x in matrix.X[:, matrix.columns.index(name)]]


# ------------------------------------------------------------------ the course's recipe


def test_the_course_s_330_columns_to_the_bit(shared_house_prices: Path, house_prices: Competition) -> None:
    """D2L §5.7.4, with ``select_dtypes`` where the book compares dtypes with ``object``."""
    train, test = (pd.read_csv(shared_house_prices / name) for name in ("train.csv", "test.csv"))
    features = pd.concat((train.drop(columns=["Id", "SalePrice"]), test.drop(columns=["Id"])))
    numeric = features.select_dtypes("number").columns
    features[numeric] = features[numeric].apply(lambda x: (x - x.mean()) / x.std())
    features[numeric] = features[numeric].fillna(0)
    features = pd.get_dummies(features, dummy_na=True)
    expected = features.to_numpy(np.float32)

    names = ("train.csv", "test.csv", "sample_submission.csv")
    tables = read_tables({name: (shared_house_prices / name).read_bytes() for name in names}, house_prices)
    recipe = Features(scope="all", none_is_missing=True, dummy_na=True, drop_constant=False)
    built = build_features(tables, recipe, make_folds(1460, house_prices.folds["d2l"]), house_prices.ingest)

    assert built.n_columns == (330, 330)
    (matrix,) = built.matrices
    assert matrix.columns == tuple(features.columns)
    np.testing.assert_array_equal(matrix.X, expected[:1460])
    np.testing.assert_array_equal(matrix.X_test, expected[1460:])
    assert house_prices.features["d2l"] == recipe, "the shipped recipe is this one"


def test_one_matrix_serves_all_folds_with_scope_all_and_one_each_with_scope_fold() -> None:
    areas: dict[str, list[object]] = {"Area": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]}
    whole, by_fold = build(areas, scope="all"), build(areas)
    assert whole.of_fold(0) is whole.of_fold(1)
    assert by_fold.of_fold(0) is not by_fold.of_fold(1)
    assert column(by_fold.of_fold(0), "Area")[3:] == [-1, 0, 1]  # fold 0 is fitted on rows 3, 4, 5
    assert column(by_fold.of_fold(1), "Area")[:3] == [-1, 0, 1]


# ------------------------------------------------------------------ nothing is learnt from validation or test rows

EVERYTHING = {
    "missing_indicators": True,
    "impute": "median",
    "log1p_skew": 0.5,
    "clip": 3.0,
    "rare": 3,
    "derived": {"AreaPerRoom": "Area / Rooms"},
    "groups": ({"by": "Street", "columns": ("Area", "AreaPerRoom")}, {"by": "Rooms", "columns": ("Area",)}),
    "pieces": 3,
    "interactions": (("Area", "Rooms"),),
    "prune": 2,
}


@pytest.mark.parametrize("normal_scores", [False, True])
@pytest.mark.parametrize("which", ["validation", "test"])
def test_a_fold_learns_nothing_from_validation_or_test_rows(
    which: str, normal_scores: bool, tiny_files: dict[str, bytes], load_tiny: LoadTiny
) -> None:
    """Whatever stands in those rows, the matrix of all other rows is the same to the bit."""
    recipe = Features.model_validate(EVERYTHING | {"normal_scores": normal_scores})
    competition = load_tiny()
    tables = read_tables(tiny_files, competition)
    folds = make_folds(24, competition.folds["main"])
    before = build_features(tables, recipe, folds, competition.ingest)
    for fold in range(4):
        held_out = folds[0] == fold
        train, test = tables.train.copy(), tables.test.copy()
        for frame, rows in (
            ((train, held_out), (test, slice(None))) if which == "validation" else ((test, slice(None)),)
        ):
            frame.loc[rows, "Area"] = 1e6
            frame.loc[rows, "Rooms"] = NAN
            frame.loc[rows, "Street"] = "Never seen"
            frame.loc[rows, "Pool"] = None
        changed = Tables(train, test, tables.target, tables.sample_ids, ())
        after = build_features(changed, recipe, folds, competition.ingest).of_fold(fold)
        assert after.columns == before.of_fold(fold).columns
        np.testing.assert_array_equal(after.X[~held_out], before.of_fold(fold).X[~held_out])
        if which == "test":
            np.testing.assert_array_equal(after.X, before.of_fold(fold).X)
        assert np.isfinite(after.X).all()


def test_columns_and_their_order_do_not_depend_on_the_order_of_rows(
    tiny_files: dict[str, bytes], load_tiny: LoadTiny
) -> None:
    competition = load_tiny()
    rows = assign_roles(read_tables(tiny_files, competition).train, Features(rare=2), competition.ingest, "train.csv")
    order = np.random.default_rng(0).permutation(len(rows))
    one, other = (fit_preprocessor(frame, Features(rare=2)) for frame in (rows, rows.iloc[order]))
    assert one.columns == other.columns
    np.testing.assert_allclose(one.transform(rows), other.transform(rows), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(one.transform(rows)[order], one.transform(rows.iloc[order]))


def test_matrices_are_float32_without_gaps_numbers_first(tiny_files: dict[str, bytes], load_tiny: LoadTiny) -> None:
    competition = load_tiny()
    tables = read_tables(tiny_files, competition)
    folds = make_folds(24, competition.folds["main"])
    for matrix in build_features(tables, Features(), folds, competition.ingest).matrices:
        assert matrix.columns == ("Area", "Rooms", "Street_Grvl", "Street_Pave", "Pool_Gd", "Pool_None")
        assert matrix.X.dtype == matrix.X_test.dtype == np.float32
        assert (matrix.X.shape, matrix.X_test.shape) == ((24, 6), (8, 6))
        assert np.isfinite(matrix.X).all()
        assert np.isfinite(matrix.X_test).all()


# ------------------------------------------------------------------ numbers


def test_numbers_are_standardised_and_gaps_filled_with_the_mean() -> None:
    matrix = build({"Area": [7.0, 7.0, 9.0, 1.0, 3.0, NAN]}).of_fold(0)
    assert column(matrix, "Area") == pytest.approx([x / np.sqrt(2) for x in (5, 5, 7, -1, 1, 0)])


def test_gaps_are_filled_with_the_median_where_asked() -> None:
    areas: list[object] = [1.0, 2.0, 9.0, NAN]
    matrix = build({"Area": areas}, scope="all", impute="median", folds=np.array([[0, 0, 1, 1]]), test={"Area": [NAN]})
    assert column(matrix.of_fold(0), "Area")[3] == column(matrix.of_fold(0), "Area")[1]


def test_missing_indicators_mark_gaps_of_columns_that_have_any() -> None:
    matrix = build(
        {"Area": [1.0, NAN, 3.0, 4.0, NAN, 6.0], "Rooms": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]}, missing_indicators=True
    ).of_fold(0)
    assert matrix.columns == ("Area", "Area_missing", "Rooms")
    assert column(matrix, "Area_missing") == [0, 1, 0, 0, 1, 0]


def test_a_skewed_number_becomes_its_log_and_others_stay() -> None:
    skewed: list[object] = [0.0, 1.0, 1.0, 2.0, 3.0, 1000.0]
    even: list[object] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    below_zero: list[object] = [-1.0, 1.0, 1.0, 2.0, 3.0, 1000.0]
    columns = {"Skewed": skewed, "Even": even, "BelowZero": below_zero}
    with_log = build(columns, scope="all", log1p_skew=1.0).of_fold(0)
    logs: list[object] = [float(np.log1p(x)) for x in (0.0, 1.0, 1.0, 2.0, 3.0, 1000.0)]
    plain = build({**columns, "Skewed": logs}, scope="all").of_fold(0)
    np.testing.assert_array_equal(with_log.X, plain.X)


def test_normal_scores_are_those_of_mean_ranks_then_standardised() -> None:
    frame = pd.DataFrame({"Area": [5.0, 1.0, NAN, 1.0, 1e9, 7.0]})
    scores = ndtri(np.array([3, 1.5, NAN, 1.5, 5, 4]) / 6)  # ranks among the five known
    standardised = (scores - np.nanmean(scores)) / np.nanstd(scores, ddof=1)
    fitted = fit_preprocessor(frame, Features(normal_scores=True))
    np.testing.assert_allclose(fitted.transform(frame)[:, 0], np.nan_to_num(standardised), rtol=1e-6, atol=1e-7)
    others = fitted.transform(pd.DataFrame({"Area": [6.0, -1e9, 1e12, NAN]}))[:, 0]
    between = (standardised[0] + standardised[5]) / 2
    np.testing.assert_allclose(others, [between, standardised[1], standardised[4], 0], rtol=1e-6, atol=1e-7)


def test_normal_scores_of_a_logarithm_are_those_of_the_number() -> None:
    skewed: dict[str, list[object]] = {"Skewed": [0.0, 1.0, 1.0, 2.0, 3.0, 1000.0]}
    plain = build(skewed, scope="all", normal_scores=True)
    logged = build(skewed, scope="all", normal_scores=True, log1p_skew=1.0)
    np.testing.assert_array_equal(plain.of_fold(0).X, logged.of_fold(0).X)


def test_normal_scores_know_no_scale_and_leave_gaps_and_constants_in_the_middle() -> None:
    areas = [3.0, 1.0, 8.0, 2.0, 9.0, NAN]
    columns: dict[str, list[object]] = {
        "Area": [*areas],
        "Exp": [*np.exp(areas)],
        "Same": [4.0] * 6,
        "Empty": [NAN] * 6,
    }
    matrix = build(
        columns, scope="all", normal_scores=True, drop_constant=False, missing_indicators=True, clip=3.0, pieces=2
    ).of_fold(0)
    assert column(matrix, "Area") == column(matrix, "Exp")
    assert column(matrix, "Area[1]") == column(matrix, "Exp[1]")
    assert column(matrix, "Area_missing") == [0, 0, 0, 0, 0, 1]
    assert set(column(matrix, "Same") + column(matrix, "Empty")) == {0}


def test_clipping_is_smooth_and_bounded() -> None:
    areas: list[object] = [1.0, 2.0, 3.0, 4.0, 5.0, 1e5]
    z = np.array(column(build({"Area": areas}).of_fold(1), "Area"))
    clipped = column(build({"Area": areas}, clip=3.0).of_fold(1), "Area")
    assert clipped == pytest.approx(z / np.sqrt(1 + (z / 3) ** 2))
    assert max(map(abs, clipped)) <= 3
    assert z.max() > 1000


@pytest.mark.parametrize("drop_constant", [True, False])
def test_a_number_constant_but_for_gaps_is_not_blown_up(drop_constant: bool) -> None:
    """The computed standard deviation of 0.1, 0.1, 0.1 may be 1e-17; dividing by it would make 0.2 enormous."""
    areas: dict[str, list[object]] = {"Area": [0.2, 0.2, 0.2, *[0.1] * 7, NAN], "Rooms": [float(n) for n in range(11)]}
    folds = np.array([[0] * 3 + [1] * 8], dtype=np.int64)
    matrix = build(areas, folds=folds, drop_constant=drop_constant).of_fold(0)
    assert ("Area" in matrix.columns) != drop_constant
    assert np.abs(matrix.X).max() < 100


def test_a_number_too_large_for_float32_is_refused_with_its_column() -> None:
    areas: list[object] = [0.0, 1e-30, 2e-30, 1.0, 2.0, 3.0]
    with pytest.raises(DataError, match=r"too large for float32 in columns Area\. Rescale or drop"):
        build({"Area": areas[3:] + areas[:3]}, test={"Area": [1e38]})


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_numbers_too_large_for_a_statistic_of_groups_are_refused_with_their_column(statistic: Any) -> None:
    frame = pd.DataFrame({"Area": [1e308, 1.5e308, 1.0], "Street": ["Grvl", "Grvl", "Pave"]})
    with pytest.raises(DataError, match=f"too large for a {statistic} in column 'Area'"):
        fit_group(frame, "Area", Group(by="Street", columns=("Area",), statistic=statistic))


# ------------------------------------------------------------------ categories


def test_each_label_and_the_gaps_have_an_indicator() -> None:
    matrix = build({"Street": ["b", "a", None, "b", "a", None]}).of_fold(0)
    assert matrix.columns == ("Street_a", "Street_b", "Street_nan")
    assert matrix.X.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1]] * 2


def test_an_unseen_label_is_all_zeros_or_rare() -> None:
    streets: list[object] = ["b", "a", "a", "a", "a", "c"]  # fold 0 is fitted on the last three
    test: dict[str, list[object]] = {"Street": ["new", "a"]}
    plain = build({"Street": streets}, test)
    assert plain.of_fold(0).columns == ("Street_a", "Street_c")
    assert plain.of_fold(0).X[0].tolist() == [0, 0]
    assert plain.of_fold(0).X_test.tolist() == [[0, 0], [1, 0]]
    lumped = build({"Street": streets}, test, rare=2)
    assert lumped.of_fold(0).columns == ("Street_a", "Street_(rare)")
    assert lumped.of_fold(0).X[0].tolist() == [0, 1]
    assert lumped.of_fold(0).X_test.tolist() == [[0, 1], [1, 0]]


def test_a_label_of_test_alone_is_a_column_of_scope_all() -> None:
    built = build({"Street": ["a", "b"] * 3}, {"Street": ["c"]}, scope="all")
    assert built.of_fold(0).columns == ("Street_a", "Street_b", "Street_c")


def test_columns_constant_in_a_fold_s_training_rows_are_dropped_there() -> None:
    built = build({"Street": ["a", "a", "b", "a", "a", "a"], "Area": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]})
    assert built.of_fold(0).columns == ("Area",)
    assert built.of_fold(1).columns == ("Area", "Street_a", "Street_b")
    assert built.n_columns == (1, 3)
    with pytest.raises(DataError, match=r"every column is constant over the 3 training rows of a fold"):
        build({"Street": ["a", "a", "b", "a", "a", "a"]})


def test_dummy_na_gives_every_category_an_indicator_of_gaps() -> None:
    columns: dict[str, list[object]] = {"Street": ["a", "b"] * 3}
    assert build(columns, dummy_na=True, drop_constant=False).of_fold(0).columns[-1] == "Street_nan"
    assert build(columns, drop_constant=False).of_fold(0).columns == ("Street_a", "Street_b")


@pytest.mark.parametrize("label", ["nan", "(rare)"])
def test_a_label_called_like_an_indicator_keeps_its_own_column(label: str) -> None:
    matrix = build({"Street": [label, label, "a", "a", None, "z"]}, scope="all", rare=2).of_fold(0)
    names = sorted(["Street_a", "Street_nan", "Street_(rare)", f"Street_{label}'"])
    assert sorted(matrix.columns) == names
    assert column(matrix, f"Street_{label}") == [1, 1, 0, 0, 0, 0]
    assert column(matrix, "Street_nan'" if label == "nan" else "Street_nan") == [0, 0, 0, 0, 1, 0]


def test_a_column_called_like_a_category_s_indicator_keeps_its_own_values() -> None:
    """Category Alley with label "Pave" beside a number called Alley_Pave."""
    matrix = build({"Alley": ["Pave", "Grvl"] * 3, "Alley_Pave": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]}, scope="all").of_fold(
        0
    )
    assert matrix.columns == ("Alley_Pave", "Alley_Grvl", "Alley_Pave'")
    assert column(matrix, "Alley_Pave'") == [1, 0, 1, 0, 1, 0]
    assert len(set(column(matrix, "Alley_Pave"))) == 6


# ------------------------------------------------------------------ roles


def test_none_of_it_is_a_label_or_a_gap_as_the_recipe_says() -> None:
    pools: dict[str, list[object]] = {"Pool": ["Gd", "None", None, "Gd", "None", None]}
    assert build(pools).of_fold(0).columns == ("Pool_Gd", "Pool_None", "Pool_nan")
    assert build(pools, none_is_missing=True).of_fold(0).columns == ("Pool_Gd", "Pool_nan")


def test_an_ordinal_is_its_place_in_the_order() -> None:
    order = Ordinal(columns=("Pool",), order=("None", "TA", "Gd"))
    frame = tables_of({"Pool": ["Gd", "None", None, "TA"]}, {"Pool": ["Gd"]}).train
    codes = assign_roles(frame, Features(ordinal=(order,)), Ingest(), "train.csv")["Pool"]
    np.testing.assert_array_equal(codes, [2, 0, NAN, 1])


def test_a_number_may_be_a_category_and_text_a_number() -> None:
    frame = tables_of({"Zone": [20.0, 60.5, NAN], "Size": ["1", "2.5", None]}, {"Zone": [1.0], "Size": ["1"]}).train
    roles = assign_roles(frame, Features(category=("Zone",), number=("Size",)), Ingest(), "train.csv")
    assert roles["Zone"].dropna().tolist() == ["20", "60.5"]
    assert roles["Zone"].isna().tolist() == [False, False, True]
    np.testing.assert_array_equal(roles["Size"], [1, 2.5, NAN])


def test_derived_columns_see_ordinals_as_numbers_and_dropped_columns_still() -> None:
    recipe = Features(
        ordinal=(Ordinal(columns=("Pool",), order=("None", "Gd")),),
        category=("Zone",),
        drop=("Area",),
        derived={"Sum": "Area + Pool", "IsTwenty": "Zone == 20"},
    )
    frame = tables_of({"Area": [1.0, 2.0], "Pool": ["Gd", "None"], "Zone": [20.0, 30.0]}, {"Area": [1.0]}).train
    roles = assign_roles(frame, recipe, Ingest(), "train.csv")
    assert list(roles.columns) == ["Pool", "Zone", "Sum", "IsTwenty"]
    assert roles["Sum"].tolist() == [2, 2]
    assert roles["IsTwenty"].tolist() == [1, 0]


# ------------------------------------------------------------------ groups, pieces, interactions


TOWNS: list[object] = ["North", "North", "South", "North", "South", "West"]
AREAS: list[object] = [1.0, 2.0, 10.0, 3.0, 20.0, 40.0]


def test_a_group_s_statistic_is_that_of_the_training_rows_and_an_unseen_group_has_the_overall_one() -> None:
    group = {"by": "Town", "columns": ("Area",), "deviation": False}
    recipe = Features.model_validate({"groups": (group,)})
    frame = assign_roles(tables_of({"Town": TOWNS, "Area": AREAS}, {"Town": ["East"], "Area": [5.0]}).train, recipe,
                         Ingest(), "train.csv")  # fmt: skip
    (fitted,) = fit_preprocessor(frame[:5], recipe).groups
    assert fitted.name == "median(Area) by Town"
    assert fitted.transform(frame).tolist() == [2, 2, 15, 2, 15, 3]  # West was not among the five


def test_a_deviation_is_the_row_s_own_number_less_its_group_s() -> None:
    recipe = Features.model_validate({"groups": ({"by": "Town", "columns": ("Area",), "statistic": "mean"},)})
    frame = pd.DataFrame({"Town": TOWNS, "Area": [*AREAS[:5], NAN]})
    (fitted,) = fit_preprocessor(frame, recipe).groups
    assert fitted.name == "Area - mean(Area) by Town"
    np.testing.assert_array_equal(fitted.transform(frame), [-1, 0, -5, 1, 5, NAN])


def test_pieces_tell_how_much_of_each_lies_below_a_number() -> None:
    preprocessor = fit_preprocessor(pd.DataFrame({"Area": [float(n) for n in range(10)]}), Features(pieces=3))
    assert preprocessor.columns == ("Area", "Area[0]", "Area[1]", "Area[2]")
    X = preprocessor.transform(pd.DataFrame({"Area": [4.5, 9.0, -7.0]}))
    assert X[:, 1:].tolist() == [[1, 0.5, 0], [1, 1, 1], [0, 0, 0]]


def test_a_number_of_few_values_has_no_pieces() -> None:
    assert build({"Rooms": [1.0, 2.0, 3.0] * 2}, pieces=3).of_fold(0).columns == ("Rooms",)


def test_an_interaction_is_the_product_of_two_standardised_numbers() -> None:
    matrix = build({"A": [1.0, 2.0, 3.0, 5.0, 9.0, 4.0], "B": [3.0, 1.0, 2.0, 8.0, 2.0, 4.0]},
                   interactions=(("A", "B"),)).of_fold(0)  # fmt: skip
    np.testing.assert_allclose(
        column(matrix, "A × B"), np.multiply(column(matrix, "A"), column(matrix, "B")), rtol=1e-6
    )


def test_indicators_of_too_few_rows_are_pruned_and_numbers_stay() -> None:
    built = build({"Town": [*TOWNS, *TOWNS], "Area": [*AREAS, *AREAS]}, folds=np.array([[0] * 6 + [1] * 6]), prune=2)
    assert built.of_fold(0).columns == ("Area", "Town_North", "Town_South")


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"groups": ({"by": "Twon", "columns": ("Area",)},)}, "groups: no column 'Twon'; did you mean 'Town'"),
        ({"groups": ({"by": "Town", "columns": ("Town",)},)}, "'Town' holds text, which has no median"),
        ({"interactions": (("Area", "Town"),)}, "interactions: no number 'Town'; known: Area"),
    ],
)
def test_recipes_that_name_what_is_not_there_are_refused(recipe: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build({"Town": TOWNS, "Area": AREAS}, **recipe)
