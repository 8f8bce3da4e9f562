"""Odd numbers, names and sizes: a clear line or a valid matrix, never NaN or infinity."""

from typing import Any

import numpy as np
import pytest

from cells import build, tables_of_cells
from conftest import LoadTiny
from houseprice.data.tables import read_tables
from houseprice.errors import ConfigError, DataError

Files = dict[str, bytes]
PLAIN = [str(n % 7) for n in range(40)]

NUMBERS = {
    "tiny": [f"{n % 3}e-200" for n in range(40)],
    "denormal": [f"{n % 3}e-323" for n in range(40)],
    "large": [f"{n % 3}e150" for n in range(40)],
    "huge": [f"{n % 3}e300" for n in range(40)],
    "largest": ["1.7e308", "-1.7e308"] * 20,
    "one huge": ["1e300", *PLAIN[1:]],
    "far from zero": [f"1e15{n % 3}" for n in range(40)],
    "integers beyond float64": [f"{10**30 + n}" for n in range(40)],
    "constant in a fold": ["1"] * 39 + ["2"],
    "missing in a fold": ["NA"] * 39 + ["2"],
    "infinite among text": ["inf", "nan?", *PLAIN[2:]],
}
RECIPES: dict[str, dict[str, object]] = {
    "plain": {},
    "all": {"log1p_skew": 0.5, "clip": 3.0, "pieces": 3, "missing_indicators": True, "impute": "median"},
    "ranks": {"normal_scores": True},
    "together": {"scope": "all"},
}


TOO_LARGE = ("huge", "largest", "one huge")


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("name", NUMBERS)
def test_odd_numbers_are_finite_features_or_are_refused_by_name(name: str, recipe: dict[str, Any]) -> None:
    cells = NUMBERS[name]
    try:
        found = build({"it": cells, "odd": PLAIN}, {"it": cells[:3], "odd": PLAIN[:3]}, **recipe)
    except DataError as refusal:
        if name not in TOO_LARGE or "too large" not in str(refusal) or "it" not in str(refusal):
            raise
        return
    for matrix in found.matrices:
        assert np.isfinite(matrix.X).all()
        assert np.isfinite(matrix.X_test).all()


def test_tiny_numbers_are_standardised_as_others() -> None:
    found = build({"it": NUMBERS["tiny"], "odd": PLAIN}, {"it": ["0"], "odd": ["1"]}, scope="all")
    as_usual = build({"it": [str(n % 3) for n in range(40)], "odd": PLAIN}, {"it": ["0"], "odd": ["1"]}, scope="all")
    np.testing.assert_allclose(found.of_fold(0).X, as_usual.of_fold(0).X, rtol=1e-5)


# ------------------------------------------------------------------ names


def test_columns_that_differ_by_case_or_blanks_are_kept_and_named() -> None:
    columns = {"Size": PLAIN, "size": PLAIN[::-1], "si ze": PLAIN, "Größe": PLAIN}
    tables = tables_of_cells(columns, {name: cells[:1] for name, cells in columns.items()})
    assert list(tables.train.columns) == list(columns)
    (notice,) = tables.notices
    assert notice == "train.csv: columns differ by case or blanks alone, and are all kept: 'Size', 'size', 'si ze'"


def test_a_column_spelt_otherwise_in_the_test_file_is_named() -> None:
    with pytest.raises(DataError, match=r"lacks columns.*: Größe, No\. It has 'GRÖSSE ' for 'Größe': rename these"):
        tables_of_cells({"Größe": PLAIN, "No": PLAIN}, {"GRÖSSE ": ["1"]})


def test_a_column_that_one_file_lacks_can_be_dropped(tiny_files: Files, load_tiny: LoadTiny) -> None:
    tiny_files["test.csv"] = tiny_files["test.csv"].replace(b"Area", b"Land")
    with pytest.raises(DataError, match=r"lacks columns.*: Area\..*list them under \[ingest\]\.drop_columns"):
        read_tables(tiny_files, load_tiny())
    tables = read_tables(tiny_files, load_tiny('ingest.drop_columns=["Area", "Land"]'))
    assert list(tables.train.columns) == ["Rooms", "Street", "Pool"]
    assert tables.notices == ()
    with pytest.raises(ConfigError, match=r"drop_columns: no column 'Aera' in either file; did you mean 'Area'"):
        read_tables(tiny_files, load_tiny('ingest.drop_columns=["Aera"]'))


# ------------------------------------------------------------------ sizes


def test_two_rows_have_features_only_together() -> None:
    with pytest.raises(DataError, match=r"constant over the 1 training rows of a fold\. Use fewer folds"):
        build({"it": ["1", "2"]}, {"it": ["3"]})
    found = build({"it": ["1", "2"]}, {"it": ["3"]}, scope="all")
    assert found.of_fold(0).X.ravel().tolist() == [-1, 0]


def test_three_rows_are_enough_with_three_folds(load_tiny: LoadTiny) -> None:
    train = {"it": ["1", "2", "4", "7"], "Town": ["a", "b", "a", "NA"]}
    for matrix in build(train, {"it": ["3"], "Town": ["c"]}).matrices:
        assert np.isfinite(matrix.X).all()
        assert matrix.X_test.shape[0] == 1


@pytest.mark.parametrize("name", ["train.csv", "test.csv"])
def test_no_row_at_all_is_refused(name: str, tiny_files: Files, load_tiny: LoadTiny) -> None:
    tiny_files[name] = tiny_files[name].splitlines()[0]
    with pytest.raises(DataError, match=rf"{name}: a header and no rows"):
        read_tables(tiny_files, load_tiny())
