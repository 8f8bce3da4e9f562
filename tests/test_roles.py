"""Roles: what a column is, if nobody says so, and how to say otherwise."""

from pathlib import Path

import numpy as np
import pytest

from cells import build, tables_of_cells
from competitions import houseprice_process, write_competition
from houseprice.config import Competition, Ingest
from houseprice.data.roles import NOTHING_GUESSED, Roles, guess_roles
from houseprice.data.sample import sample_files
from houseprice.data.tables import read_tables
from houseprice.data.written import Written
from houseprice.preparation import Features

N = 40
ODD = [str(n % 7) for n in range(N)]
"""A plain number beside the column that a test is about."""


def guess(cells: list[str], test: list[str] | None = None, name: str = "it", recipe: Features | None = None) -> Roles:
    test = ["1", "2"] if test is None else test
    tables = tables_of_cells({name: cells, "odd": ODD[: len(cells)]}, {name: test, "odd": ODD[: len(test)]})
    return guess_roles(tables, recipe or Features(), Ingest())


# ------------------------------------------------------------------ House Prices is as it was


@pytest.mark.parametrize("recipe", ["default", "pieces", "d2l"])
def test_no_role_of_house_prices_is_guessed(recipe: str, house_prices: Competition) -> None:
    """The recipes were made for these columns: none is dropped, encoded by the target, lumped or left out."""
    files = {name: text.encode() for name, text in sample_files().items()}
    tables = read_tables(files, house_prices)
    assert guess_roles(tables, house_prices.features[recipe], house_prices.ingest) == NOTHING_GUESSED


# ------------------------------------------------------------------ numbers with stray texts


def test_a_number_with_stray_texts_stays_a_number_and_the_strays_are_named() -> None:
    cells = [f"{n}.5" for n in range(N - 1)] + ["unknown"]
    roles = guess(cells, ["7", "??"])
    assert roles.numbers == (Written("it"),)
    in_train, in_test = roles.notices
    assert "train.csv: column 'it' is a number but for 1 of 40 cells" in in_train
    assert "'unknown' (ids 40)" in in_train
    assert "under category" in in_train
    assert "test.csv: column 'it'" in in_test
    assert "'??' (ids 1002)" in in_test


def test_stray_texts_become_gaps_of_the_matrix() -> None:
    cells = [f"{n}.5" for n in range(N - 1)] + ["unknown"]
    matrix = build({"it": cells, "odd": ODD}, {"it": ["oops"], "odd": ["1"]}, missing_indicators=True).of_fold(0)
    assert matrix.columns == ("it", "it_missing", "odd")
    assert matrix.X[:, 1].tolist() == [0.0] * (N - 1) + [1.0]
    assert matrix.X_test[0, 1] == 1
    assert np.isfinite(matrix.X).all()


@pytest.mark.parametrize(
    "cells",
    [
        [f"{n}" for n in range(N // 2)] + ["x"] * (N // 2),
        [f"{n % 5}" for n in range(N - 1)] + ["x"],
    ],
    ids=["half of it is text", "codes of a few kinds"],
)
def test_what_is_not_clearly_a_number_stays_a_category(cells: list[str]) -> None:
    assert guess(cells, cells[:1]) == NOTHING_GUESSED


def test_a_named_category_keeps_its_stray_texts() -> None:
    cells = [f"{n}.5" for n in range(N - 1)] + ["unknown"]
    assert guess(cells, recipe=Features(category=("it",))) == NOTHING_GUESSED


# ------------------------------------------------------------------ booleans


@pytest.mark.parametrize("words", [("True", "False"), ("yes", "no"), ("t", "f")])
def test_booleans_in_words_are_a_category_of_two(words: tuple[str, str]) -> None:
    cells = [words[n % 3 == 0] for n in range(N)]
    matrix = build({"it": cells}, {"it": cells[:2]}).of_fold(0)
    assert set(matrix.columns) == {f"it_{word}" for word in words}


# ------------------------------------------------------------------ ids and free text


@pytest.mark.parametrize(
    ("name", "cells", "reason"),
    [
        ("it", [str(n + 7) for n in range(N)], "merely counts the rows"),
        ("it", [str(n * 7 % N) for n in range(N)], "merely counts the rows"),
        ("customer_id", [str(n * n * 1000) for n in range(N)], "is called an id"),
        ("customerId", [str(n * n * 1000) for n in range(N)], "is called an id"),
        ("it", [f"AX{n:05}" for n in range(N)], "names the rows, 40 different cells in 40 rows"),
        ("it", [f"The house number {n * 2 // 3} of the long street" for n in range(N)], "is free text"),
    ],
    ids=["counted", "counted in another order", "id", "Id", "names", "text"],
)
def test_columns_that_say_nothing_of_other_rows_are_left_out(name: str, cells: list[str], reason: str) -> None:
    roles = guess(cells, ["1"], name)
    assert roles.dropped == (name,)
    (notice,) = roles.notices
    assert f"train.csv: column {name!r} is left out" in notice
    assert reason in notice
    assert "name it under number, category or text" in notice


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("it", [str(n * n) for n in range(N)]),
        ("Covid", [str(n * n) for n in range(N)]),
        ("it", [f"{n}.5" for n in range(N)]),
        ("it", [str(n) for n in range(N - 1)] + ["NA"]),
        ("it", [f"AX{n % 20}" for n in range(N)]),
        ("it", [str(n) for n in range(19)]),
    ],
    ids=["distinct integers", "no id", "fractions", "a gap", "labels", "few rows"],
)
def test_columns_that_may_say_something_are_kept(name: str, cells: list[str]) -> None:
    assert guess(cells, cells[:2], name) == NOTHING_GUESSED


@pytest.mark.parametrize("role", ["number", "category"])
def test_a_role_that_is_told_is_not_guessed(role: str) -> None:
    assert guess([str(n) for n in range(N)], recipe=Features.model_validate({role: ("it",)})) == NOTHING_GUESSED


def test_a_table_of_nothing_but_ids_keeps_them() -> None:
    cells = [f"{n}" for n in range(N)]
    assert guess_roles(tables_of_cells({"it": cells}, {"it": ["1"]}), Features(), Ingest()) == NOTHING_GUESSED


# ------------------------------------------------------------------ the whole way


def test_unseen_labels_are_counted() -> None:
    cells = ["a", "b"] * 20
    found = build({"it": cells, "odd": ODD}, {"it": ["a", "c", "c", "NA"], "odd": ODD[:4]})
    (notice,) = found.notices
    assert "test.csv: column 'it': 2 of 4 cells hold labels that train.csv does not have" in notice
    assert "'c'" in notice
    assert found.of_fold(0).X_test[1:, -2:].tolist() == [[0, 0]] * 3


def test_notices_are_said_once_by_the_command(tmp_path: Path) -> None:
    folder = write_competition(tmp_path)
    for name in ("train.csv", "test.csv"):
        path = folder / "raw" / name
        head, *rows = path.read_text().splitlines()
        path.write_text("\n".join([f"{head},Code", *(f"{row},X{n}" for n, row in enumerate(rows))]) + "\n")
    told = houseprice_process(tmp_path, "features", "ridge")
    assert told.returncode == 0, told.stderr
    assert told.stderr.count("column 'Code' is left out: it names the rows, 60 different cells in 60 rows") == 1
    assert "left out" not in houseprice_process(tmp_path, "features", "ridge").stderr
