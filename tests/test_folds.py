"""Folds: who is validated together, and who is fitted on whom."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from competitions import COMPETITION, houseprice_process, write_competition
from houseprice.config import Folds
from houseprice.data.folds import Split, make_folds, make_split
from houseprice.errors import ConfigError, DataError


@pytest.mark.parametrize(("scheme", "repeats"), [("contiguous", 1), ("shuffled", 1), ("shuffled", 3)])
@pytest.mark.parametrize(("n_rows", "k"), [(10, 2), (10, 3), (1460, 10), (1460, 7), (7, 7), (8, 7), (2, 2)])
def test_every_row_is_validated_once_in_every_repeat(scheme: str, repeats: int, n_rows: int, k: int) -> None:
    folds = make_folds(n_rows, Folds.model_validate({"scheme": scheme, "k": k, "repeats": repeats}))
    assert folds.shape == (repeats, n_rows)
    assert folds.dtype == np.int64
    for repeat, fold_of_row in enumerate(folds):
        numbers, sizes = np.unique(fold_of_row, return_counts=True)
        assert numbers.tolist() == list(range(repeat * k, repeat * k + k))
        assert sizes.sum() == n_rows
        assert sizes.max() - sizes.min() <= 1


def test_contiguous_folds_are_those_of_d2l_and_drop_no_row() -> None:
    """D2L's get_k_fold_data cuts 1460 rows into five slices of 292."""
    expected = np.repeat(np.arange(5), 292)
    np.testing.assert_array_equal(make_folds(1460, Folds(scheme="contiguous", k=5))[0], expected)
    assert make_folds(11, Folds(scheme="contiguous", k=3))[0].tolist() == [0] * 4 + [1] * 4 + [2] * 3


def test_the_seed_decides_the_shuffle() -> None:
    folds = make_folds(100, Folds(k=5, seed=1))
    np.testing.assert_array_equal(folds, make_folds(100, Folds(k=5, seed=1)))
    assert (folds != make_folds(100, Folds(k=5, seed=2))).any()
    assert (np.diff(folds[0]) < 0).any()


def test_repeats_differ_and_the_first_one_is_that_of_a_single_repeat() -> None:
    folds = make_folds(100, Folds(k=5, repeats=3))
    np.testing.assert_array_equal(folds[:1], make_folds(100, Folds(k=5)))
    within = folds % 5
    assert (within[0] != within[1]).any()
    assert (within[1] != within[2]).any()


def test_as_many_folds_as_rows_leave_one_out() -> None:
    assert sorted(make_folds(6, Folds(k=6))[0]) == [0, 1, 2, 3, 4, 5]


# by what stands in the rows --------------------------------------------------------------------------------


def split(target: Any, by: Any = None, **recipe: Any) -> Split:
    rows = pd.Index([f"r{number}" for number in range(len(target))])
    column = None if by is None else pd.Series(by, index=rows, name="By", dtype="str")
    named = {} if by is None else {"by": "By"}
    return make_split(Folds.model_validate({**named, **recipe}), pd.Series(target, index=rows), column)


def test_stratified_folds_have_their_share_of_every_class() -> None:
    target = np.repeat([0, 1, 2], [60, 30, 10])
    found = split(target, scheme="stratified", k=5, repeats=2, seed=3)
    for repeat in found.fold_of_row:
        for fold in np.unique(repeat):
            assert np.bincount(target[repeat == fold]).tolist() == [12, 6, 2]
    assert (found.fold_of_row[0] != found.fold_of_row[1] - 5).any()
    np.testing.assert_array_equal(found.left_out, found.validated)


def test_stratified_folds_have_their_share_of_low_and_high_numbers() -> None:
    target = np.random.default_rng(0).lognormal(size=200)
    found = split(target, scheme="stratified", k=5, bins=10).fold_of_row[0]
    tenths = pd.qcut(target, 10, labels=False)
    for fold in range(5):
        assert np.bincount(tenths[found == fold]).tolist() == [4] * 10


def test_a_class_rarer_than_folds_is_dealt_and_none_common_enough_is_refused() -> None:
    found = split([0] * 20 + [1] * 3, scheme="stratified", k=5).fold_of_row[0]
    assert np.bincount(found[20:], minlength=5).max() == 1
    with pytest.raises(ConfigError, match=r"k = 5: .* Set k lower, or scheme = 'shuffled'"):
        split([0, 0, 0, 1, 1, 1], scheme="stratified", k=5)


@pytest.mark.parametrize("scheme", ["grouped", "stratified_grouped"])
def test_a_group_is_never_on_both_sides(scheme: str) -> None:
    random = np.random.default_rng(1)
    groups = random.integers(0, 30, 300).astype(str)
    found = split(random.integers(0, 2, 300), groups, scheme=scheme, k=5, repeats=2, seed=1)
    for repeat, fold_of_row in enumerate(found.fold_of_row):
        assert sorted(np.unique(fold_of_row)) == list(range(5 * repeat, 5 * repeat + 5))
        for group in np.unique(groups):
            assert len(np.unique(fold_of_row[groups == group])) == 1


def test_given_folds_are_those_of_the_column() -> None:
    found = split(np.zeros(6), ["b", "a", None, "b", "-1", "a"], scheme="given")
    assert found.fold_of_row.tolist() == [[1, 0, -1, 1, -1, 0]]
    assert found.is_validated.tolist() == [True, True, False, True, False, True]
    assert (~found.left_out).sum(axis=1).tolist() == [4, 4]  # who is never validated is always fitted on
    with pytest.raises(DataError, match=r"column 'By', which gives the folds, names only a\. Name at least 2"):
        split(np.zeros(3), ["a", "a", None], scheme="given")
    with pytest.raises(DataError, match=r"column 'By', which gives the folds, names none\. Name at least 2"):
        split(np.zeros(3), [None, None, None], scheme="given")


# in time -----------------------------------------------------------------------------------------------------


def test_members_are_fitted_on_the_past_alone() -> None:
    times = np.random.default_rng(2).permutation(100)
    found = split(np.zeros(100), times.astype(str), scheme="expanding", k=4)
    assert np.bincount(found.fold_of_row[0] + 1).tolist() == [20] * 5
    for fold in range(4):
        past, block = times[~found.left_out[fold]], times[found.validated[fold]]
        assert past.max() < block.min()
        assert len(past) == 20 * (fold + 1)


def test_a_rolling_window_forgets_and_a_gap_keeps_its_distance() -> None:
    times = np.arange(100)
    found = split(np.zeros(100), times.astype(str), scheme="rolling", k=4, window=2, gap=5)
    for fold in range(4):
        past, block = times[~found.left_out[fold]], times[found.validated[fold]]
        assert past.max() == block.min() - 5
        assert past.min() == max(0, 20 * (fold - 1))


def test_dates_are_times_and_rows_of_one_day_stay_together() -> None:
    days = np.repeat(pd.date_range("2020-01-25", periods=10).strftime("%Y-%m-%d"), [9, 1, 1, 9, 2, 8, 5, 5, 6, 4])
    found = split(np.zeros(50), days, scheme="expanding", k=3, gap=2.5)
    blocks = pd.Series(found.fold_of_row[0]).groupby(days).nunique()
    assert blocks.eq(1).all()
    ordinal = (pd.to_datetime(days) - pd.Timestamp("2020-01-25")).days.to_numpy()
    for fold in range(3):
        assert ordinal[found.validated[fold]].min() - ordinal[~found.left_out[fold]].max() >= 2.5


def test_dates_of_one_form_are_read_alike() -> None:
    """The 5th of January is no 1st of May where another cell of the column is a 24th."""
    days = [f"{day:02}/{month:02}/2020" for month in (1, 2, 3) for day in (5, 10, 24)]
    found = split(np.zeros(9), days, scheme="expanding", k=2)
    assert found.fold_of_row.tolist() == [[-1] * 3 + [0] * 3 + [1] * 3]


@pytest.mark.parametrize(
    ("by", "recipe", "error", "words"),
    [
        (["1", "2", None, "3"], {"scheme": "expanding", "k": 2}, DataError, r"column 'By', .* has gaps \(ids r2\)"),
        (["1", "2", "x", "3"], {"scheme": "expanding", "k": 2}, DataError, r"neither numbers nor dates: x \(ids r2\)"),
        (["1", "1", "2", "2"], {"scheme": "expanding", "k": 2}, ConfigError, r"k = 2 folds of 1 times in column 'By'"),
        (["1", "2", "3", "4"], {"scheme": "rolling", "k": 2, "gap": 9}, ConfigError, r"gap = 9 leaves fold 0 no row"),
        (["a", "a", "b", "b"], {"scheme": "grouped", "k": 3}, ConfigError, r"k = 3 folds of 2 groups in column 'By'"),
        (["a", None, "b", "b"], {"scheme": "grouped", "k": 2}, DataError, r"column 'By', by which grouped folds"),
        (["1"] * 97 + ["2", "3", "4"], {"scheme": "expanding", "k": 3}, ConfigError, r"fall into 2 blocks"),
    ],
)
def test_a_column_that_makes_no_folds_is_refused(
    by: list[str | None], recipe: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        split(np.zeros(len(by)), by, **recipe)


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({"scheme": "grouped"}, "by: grouped folds need the column of their groups"),
        ({"scheme": "expanding"}, "by: expanding folds need the column of their times"),
        ({"by": "Year"}, "by: of no use to shuffled folds"),
        ({"scheme": "expanding", "by": "Year", "window": 2}, "window: of no use to expanding folds, only to rolling"),
        ({"scheme": "rolling", "by": "Year", "repeats": 2}, "repeats: rolling folds are the same every time"),
    ],
)
def test_keys_that_do_not_fit_the_scheme_are_refused(recipe: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Folds.model_validate(recipe)


# through the command line --------------------------------------------------------------------------------


def add_column(path: Path, name: str, cells: list[str]) -> None:
    """Put a column behind the last of a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(
            [*row, cell] for row, cell in zip(rows, [name, *cells], strict=True)
        )


@pytest.mark.parametrize(
    ("folds", "cells", "n_validated"),
    [
        ('scheme = "given"\nby = "Sold"', ["a", "b", ""] * 20, 40),
        ('scheme = "grouped"\nby = "Sold"', [f"owner {row // 4}" for row in range(60)], 60),
        ('scheme = "stratified"', [f"owner {row // 4}" for row in range(60)], 60),
    ],
    ids=["given", "grouped", "stratified"],
)
def test_an_entry_is_made_on_such_folds(folds: str, cells: list[str], n_validated: int, tmp_path: Path) -> None:
    toml = COMPETITION.replace("[folds.main]\nk = 3\nseed = 1", f"[folds.main]\nk = 3\n{folds}")
    folder = write_competition(tmp_path, toml=toml)
    by_column = '"Sold"' in folds
    if by_column:  # in the training file alone: no feature
        add_column(folder / "raw" / "train.csv", "Sold", cells)
    done = houseprice_process(tmp_path, "submit")
    assert done.returncode == 0, done.stderr
    assert ("no fold validates" in done.stderr) == (n_validated < 60)
    assert len((tmp_path / "submissions" / "tiny" / "blend.csv").read_text().splitlines()) == 21


def test_rows_that_no_fold_validates_are_nowhere_scored(tmp_path: Path) -> None:
    toml = COMPETITION.replace(
        "[folds.main]\nk = 3\nseed = 1", '[folds.main]\nscheme = "expanding"\nby = "Sold"\nk = 3'
    )
    folder = write_competition(tmp_path, toml=toml)
    add_column(folder / "raw" / "train.csv", "Sold", [f"2020-{1 + row // 5:02}-01" for row in range(60)])
    done = houseprice_process(tmp_path, "submit")
    assert done.returncode == 0, done.stderr
    assert "folds.main: no fold validates 15 of 60 training rows; scores are of the others" in done.stderr
    board = json.loads(houseprice_process(tmp_path, "leaderboard", "--json").stdout)
    assert {row["name"] for row in board} == {"ridge", "mlp", "tree", "blend"}
    residuals = json.loads(houseprice_process(tmp_path, "residuals", "blend", "--by", "Town", "--json").stdout)
    assert sum(group["count"] for group in residuals["by"]) == 45
    assert houseprice_process(tmp_path, "importance", "ridge").returncode == 0
    assert houseprice_process(tmp_path, "reproduce").returncode == 0


CLASSES_IN_TIME = """\
name = "tiny"
id = "Id"
target = "Price"
task = "binary"
metric = "accuracy"
entry = "logistic"

[folds.main]
scheme = "expanding"
by = "Sold"
k = 3

[experiments.logistic]
kind = "sklearn"
estimator = "sklearn.linear_model.LogisticRegression"
"""


def test_classes_of_the_first_fold_in_time_are_told_apart_at_a_half_and_that_is_said(tmp_path: Path) -> None:
    folder = write_competition(tmp_path, toml=CLASSES_IN_TIME)
    for name in ("train.csv", "sample_submission.csv"):
        with (folder / "raw" / name).open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        with (folder / "raw" / name).open("w", newline="", encoding="utf-8") as file:
            classes = [[*row[:-1], "high" if float(row[-1]) > 160_000 else "low"] for row in rows]
            csv.writer(file, lineterminator="\n").writerows([header, *classes])
    add_column(folder / "raw" / "train.csv", "Sold", [str(row) for row in range(60)])
    done = houseprice_process(tmp_path, "submit")
    assert done.returncode == 0, done.stderr
    assert "folds.main: in the first fold classes are told apart at 0.5, for no earlier one says where" in done.stderr
    (group, *_) = json.loads(houseprice_process(tmp_path, "residuals", "--by", "Town", "--json").stdout)["by"]
    assert 0 < group["score"] <= 1
