"""Dates: recognised in the common forms, turned into their parts and the days between them."""

import numpy as np
import pandas as pd
import pytest

from cells import build, of_column, tables_of_cells
from houseprice.config import Ingest
from houseprice.data.dates import guess_format
from houseprice.data.roles import assign_roles, guess_roles
from houseprice.errors import HousePriceError
from houseprice.preparation import Features

DAYS = pd.date_range("2009-11-03", periods=60, freq="9D")


def written(form: str, start: str = "2009-11-03 07:30") -> list[str]:
    return list(pd.date_range(start, periods=60, freq="9D").strftime(form))


def roles_frame(train: dict[str, list[str]], recipe: Features | None = None) -> pd.DataFrame:
    tables, recipe = tables_of_cells(train, {name: cells[:2] for name, cells in train.items()}), recipe or Features()
    return assign_roles(tables.train, recipe, Ingest(), "train.csv", guess_roles(tables, recipe, Ingest()))


@pytest.mark.parametrize(
    "form",
    [
        *("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S.%f"),
        *("%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m/%d/%Y %H:%M", "%d.%m.%Y %H:%M:%S", "%m/%d/%y"),
        *("%Y/%m/%d", "%d %b %Y", "%B %d, %Y", "%d-%b-%y", "%m/%d/%Y %I:%M %p"),
    ],
)
def test_common_forms_are_recognised(form: str) -> None:
    frame = roles_frame({"Sold": written(form)})
    assert frame["Sold_year"].tolist() == DAYS.year.tolist()
    assert frame["Sold_month"].tolist() == DAYS.month.tolist()
    assert frame["Sold_weekday"].tolist() == DAYS.day_of_week.tolist()
    assert frame["Sold_yearday"].tolist() == DAYS.day_of_year.tolist()
    assert set(frame["Sold_hour"]) == ({7.5} if "M" in form.replace("%m", "").partition(" ")[2] or "T" in form else {0})
    assert "Sold" not in frame


@pytest.mark.parametrize("form", ["%b %Y", "%B %Y", "%b-%Y", "%B-%Y", "%Y-%m"])
def test_a_month_is_a_date_as_well(form: str) -> None:
    frame = roles_frame({"Opened": written(form)})
    assert frame["Opened_year"].tolist() == DAYS.year.tolist()
    assert frame["Opened_month"].tolist() == DAYS.month.tolist()


@pytest.mark.parametrize(
    "cells",
    [
        [*written("%Y-%m-%d")[:-1], "soon"],
        ["Pave", "Grvl"] * 30,
        ["5%", "6%"] * 30,
        ["1-2", "3-4"] * 30,
        ["10:30", "11:30"] * 30,
        ["2010-2011", "2011-2012"] * 30,
        ["2010-01-05"] * 60,
    ],
    ids=["not all", "words", "shares", "ranges", "times", "years", "one day"],
)
def test_what_is_no_date_in_all_cells_is_none(cells: list[str]) -> None:
    assert guess_format(pd.Series(cells, dtype="str")) is None


def test_gaps_are_gaps_and_stray_cells_of_the_test_file_too() -> None:
    cells = written("%Y-%m-%d")
    found = build(
        {"Sold": ["NA"] * 10 + cells[10:]}, {"Sold": ["soon", "2010-01-05"]}, missing_indicators=True, impute="median"
    )
    assert of_column(found, "Sold_year_missing").tolist() == [1.0] * 10 + [0.0] * 50
    for matrix in found.matrices:
        assert np.isfinite(matrix.X).all()
        assert np.isfinite(matrix.X_test).all()
    is_date, stray = found.notices
    assert "train.csv: column 'Sold' is a date of the form ISO8601" in is_date
    assert "test.csv: column 'Sold': 1 of 2 cells are no dates of the form ISO8601" in stray
    assert "'soon' (ids 1001)" in stray


def test_an_hour_that_is_always_the_same_is_no_column() -> None:
    columns = build({"Sold": written("%Y-%m-%d")}, {"Sold": ["2010-01-05"]}).of_fold(0).columns
    assert columns == ("Sold_year", "Sold_month", "Sold_weekday", "Sold_yearday")


def test_all_pairs_of_dates_have_differences_in_days() -> None:
    train = {"Built": written("%Y-%m-%d", "2001-01-01"), "Sold": written("%m/%d/%Y"), "Paid": written("%d.%m.%Y")}
    frame = roles_frame(train)
    assert set(frame["days from Built to Sold"]) == {(pd.Timestamp("2009-11-03") - pd.Timestamp("2001-01-01")).days}
    assert set(frame["days from Sold to Paid"]) == {0}
    assert "days from Built to Paid" in frame
    chosen = roles_frame(train, Features(date_differences=(("Sold", "Built"),)))
    assert [name for name in chosen if name.startswith("days")] == ["days from Sold to Built"]
    assert set(chosen["days from Sold to Built"]) == {-3228}


def test_derived_columns_may_use_the_parts() -> None:
    frame = roles_frame({"Sold": written("%Y-%m-%d")}, Features(derived={"Late": "Sold_month > 6"}))
    assert frame["Late"].tolist() == (DAYS.month > 6).tolist()


def test_a_form_that_is_told_is_taken() -> None:
    cells = ["01/02/2010", "03/04/2010"] * 20
    assert set(roles_frame({"Sold": cells})["Sold_month"]) == {1, 3}
    day_first = Features(date=("Sold",), date_formats={"Sold": "%d/%m/%Y"})
    assert set(roles_frame({"Sold": cells}, day_first)["Sold_month"]) == {2, 4}


def test_numbers_may_be_dates() -> None:
    assert "Sold" in roles_frame({"Sold": written("%Y%m%d")})
    frame = roles_frame({"Sold": written("%Y%m%d")}, Features(date=("Sold",)))
    assert frame["Sold_yearday"].tolist() == DAYS.day_of_year.tolist()


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({"date": ("Solt",)}, ("date: no column 'Solt'", "did you mean 'Sold'")),
        ({"date": ("Town",)}, ("column 'Town'", "'East'", "under date_formats")),
        ({"date": ("Sold",), "date_formats": {"Sold": "%d.%m.%Y"}}, ("has the role date", "'2009-11-03'", "ids 1")),
        ({"date": ("Sold",), "date_formats": {"Sold": "%Q"}}, ("date_formats", "'%Q'")),
        ({"date_differences": (("Sold", "Town"),)}, ("date_differences: no column 'Town' in the dates",)),
    ],
    ids=["absent", "no form", "another form", "no such form", "a difference of text"],
)
def test_a_wrong_recipe_for_dates_is_refused(recipe: dict[str, object], words: tuple[str, ...]) -> None:
    train = {"Sold": written("%Y-%m-%d"), "Town": ["East", "West"] * 30}
    with pytest.raises(HousePriceError) as refusal:
        roles_frame(train, Features.model_validate(recipe))
    assert [word for word in words if word not in str(refusal.value)] == []


def test_parts_do_not_overwrite_a_column_of_the_file() -> None:
    frame = roles_frame({"Sold": written("%Y-%m-%d"), "Sold_year": ["1", "2"] * 30})
    assert frame.columns.is_unique
    assert set(frame["Sold_year"]) == {1, 2}
