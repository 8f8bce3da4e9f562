"""Numbers in text: money, shares, units, decimal commas, clock times; and what only looks like them."""

import numpy as np
import pandas as pd
import pytest

from cells import build, of_column, tables_of_cells
from houseprice.config import Ingest
from houseprice.data.roles import NOTHING_GUESSED, guess_roles
from houseprice.data.written import Written, guess_written, read_written
from houseprice.documents import from_plain, to_plain
from houseprice.preparation import Features

N = 40


@pytest.mark.parametrize(
    ("cells", "manner", "unit", "values"),
    [
        ([f"${n},{n:03}.50" for n in range(1, N)], "1,234.5", "$", [1001.5, 2002.5]),
        ([f"-${n}" for n in range(1, N)], "1,234.5", "$", [-1, -2]),
        ([f"{n}.25%" for n in range(1, N)], "1,234.5", "%", [1.25, 2.25]),
        ([f"{n},{n:03}" for n in range(1, N)], "1,234.5", "", [1001, 2002]),
        ([f" {n}.5 km/kg" for n in range(1, N)], "1,234.5", "km/kg", [1.5, 2.5]),
        ([f"{n * 50},{n:02}" for n in range(1, N)], "1.234,5", "", [50.01, 100.02]),
        ([f"{n}.{n:03},5 €" for n in range(1, N)], "1.234,5", "€", [1001.5, 2002.5]),
        ([f"{n % 24:02}:{n:02}" for n in range(1, N)], "12:30", "", [1 + 1 / 60, 2 + 2 / 60]),
        ([f"{n % 12 + 1}:{n:02} PM" for n in range(N)], "12:30", "", [13, 14 + 1 / 60]),
        ([f"{n}:30:{n:02}" for n in range(N)], "12:30", "", [0.5, 1.5 + 1 / 3600]),
        ([f"{n}h" if n % 2 else f"{n}h 30m" for n in range(1, N)], "2h 30m", "", [1, 2.5]),
        ([f"{n}.5" for n in range(1, N)] + ["soon"], "plain", "", [1.5, 2.5]),
    ],
)
def test_numbers_are_read_as_they_are_written(cells: list[str], manner: str, unit: str, values: list[float]) -> None:
    column = pd.Series(cells, dtype="str", name="it")
    written = guess_written(column)
    assert written is not None
    assert (written.column, written.manner, written.unit) == ("it", manner, unit)
    np.testing.assert_allclose(read_written(column, written)[:2], values)
    assert from_plain(Written, to_plain(Written, written)) == written


@pytest.mark.parametrize(
    "cells",
    [
        [f"AX{n}" for n in range(N)],
        [f"{n} {('Oak', 'Elm', 'Ash')[n % 3]} Street" for n in range(N)],
        [f"{n}-{n + 1}" for n in range(N)],
        [f"192.168.1.{n}" for n in range(N)],
        [f"24/12/20{n:02}" for n in range(N)],
        [f"{n % 5}%" for n in range(N)],
        [f"{n % 3 + 1}:30" for n in range(N)],
    ],
    ids=["codes", "addresses", "ranges", "versions", "dates", "few shares", "few times"],
)
def test_what_only_looks_like_numbers_is_none(cells: list[str]) -> None:
    assert guess_written(pd.Series(cells, dtype="str", name="it")) is None


def test_another_unit_is_a_gap_and_none_is_a_number() -> None:
    column = pd.Series(["3 kg", "3 lb", "3", "", None], dtype="str")
    assert read_written(column, Written("it", "1,234.5", "kg")).tolist()[:1] == [3.0]
    assert read_written(column, Written("it", "1,234.5", "kg")).isna().tolist() == [False, True, False, True, True]


def test_written_numbers_are_features_and_told() -> None:
    cells = [f"${n * n},000" for n in range(N - 1)] + ["unknown"]
    found = build({"pay": cells}, {"pay": ["$4,000", "€9"]}, range(1, N + 1))
    assert found.of_fold(0).columns == ("pay",)
    assert of_column(found, "pay")[2] == found.of_fold(0).X_test[0, 0]
    how, strays, of_test = found.notices
    assert how.startswith("train.csv: column 'pay' is read as numbers: '$0,000' is 0. If not, name it under category")
    assert "but for 1 of 40 cells" in strays
    assert "'€9'" in of_test


def test_written_numbers_that_count_the_rows_are_left_out() -> None:
    cells = [f"{n} pcs" for n in range(N)]
    odd = [str(n % 7) for n in range(N)]
    roles = guess_roles(
        tables_of_cells({"it": cells, "odd": odd}, {"it": ["3 pcs"], "odd": ["1"]}), Features(), Ingest()
    )
    assert (roles.dropped, roles.numbers) == (("it",), ())


def test_a_named_category_keeps_its_words() -> None:
    cells = [f"{n}%" for n in range(0, 5 * N, 5)]
    tables = tables_of_cells({"it": cells}, {"it": cells[:2]})
    assert guess_roles(tables, Features(category=("it",)), Ingest()) == NOTHING_GUESSED
