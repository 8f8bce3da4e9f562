"""`houseprice new`: from files that nobody has described to a valid submission, with no hand edits."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn.datasets

from competitions import environment
from conftest import REPOSITORY
from houseprice.competition import load_competition
from houseprice.config import Competition
from houseprice.data.guesses import Guess, guess, shape_of
from houseprice.data.tables import read_tables
from houseprice.errors import ConfigError, HousePriceError
from houseprice.scaffold import Files, as_toml, scaffold

SHARED = REPOSITORY.parent / "shared"


def houseprice(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "houseprice.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)


# guessing ----------------------------------------------------------------------------------------------------


def guessed(
    cells: list[Any], sample: dict[str, list[str]] | None = None, more: dict[str, list[str]] | None = None, **told: str
) -> Guess:
    """A guess for 40 rows with a target of some repeated cells; ``more`` are columns of the training file alone."""
    n, ids = 40, [f"r{row}" for row in range(40)]
    columns = {"Key": ids, "Size": [str(row % 7) for row in range(n)]}
    target = {"Price": [str(cells[row % len(cells)]) for row in range(n)]}
    train, test = pd.DataFrame({**columns, **(more or {}), **target}), pd.DataFrame(columns)
    return guess(train, test, None if sample is None else pd.DataFrame(sample), told)


IDS = [f"r{row}" for row in range(40)]


@pytest.mark.parametrize(
    ("cells", "sample", "task", "metric"),
    [
        ([1.5, 2.5, 3.25, -4], None, "regression", "rmse"),
        ([1.5, 2.5, 3.5, 90], None, "regression", "log_rmse"),
        ([0, 2.5, 3.5, 90], None, "regression", "rmsle"),
        (["yes", "no"], None, "binary", "accuracy"),
        ([0, 1], {"Key": IDS, "Price": ["0"] * 40}, "binary", "accuracy"),
        ([0, 1], {"Key": IDS, "Price": ["0.5"] * 40}, "binary", "auc"),
        (["0.0", "1.0"], {"Key": IDS, "Price": ["0"] * 40}, "binary", "accuracy"),
        (["a", "b", "c"], None, "multiclass", "accuracy"),
        ([1, 2, 3], None, "multiclass", "accuracy"),
        (["a", "b", "c"], {"Key": IDS, "a": IDS, "b": IDS, "c": IDS}, "multiclass", "log_loss"),
        (["a", "b"], {"Key": IDS, "a": IDS, "b": IDS}, "binary", "log_loss"),
        (list(range(30)), None, "regression", "rmse"),
    ],
)
def test_task_and_metric_are_guessed(
    cells: list[Any], sample: dict[str, list[str]] | None, task: str, metric: str
) -> None:
    found = guessed(cells, sample)
    assert (found.id, found.target, found.task, found.metric) == ("Key", "Price", task, metric)
    assert set(found.reasons) == {"id", "target", "task", "metric", "folds"}


def test_columns_that_the_test_file_lacks_are_dropped(tmp_path: Path) -> None:
    found = guessed([1.5, 2.5, 3.25], None, {"Tax": IDS, 'in "€"': IDS}, target="Price")
    assert loaded(found, tmp_path).ingest.drop_columns == ("Tax", 'in "€"')


def test_names_and_labels_that_toml_must_escape_come_back(tmp_path: Path) -> None:
    odd = 'a "b" \\ two\nlines\r\t\x1b\x7f é 🏠'
    n, ids = 40, [f"r{row}" for row in range(40)]
    columns = {"Key": ids, "Size": [str(row % 7) for row in range(n)]}
    train = pd.DataFrame({**columns, odd: ids, f"{odd}y": [("no", odd)[row % 2] for row in range(n)]})
    found = guess(train, pd.DataFrame(columns), None, {"target": f"{odd}y"})
    path = tmp_path / "mine" / "competition.toml"
    path.parent.mkdir()
    path.write_text(as_toml("mine", found), encoding="utf-8")
    loaded = load_competition(path)
    assert (loaded.target, loaded.ingest.drop_columns, loaded.task) == (f"{odd}y", (odd,), "binary")


def test_what_is_told_is_not_guessed() -> None:
    found = guessed([1, 2, 3], id="Key", target="Price", task="regression", metric="mae")
    assert (found.task, found.metric) == ("regression", "mae")
    assert set(found.reasons) == {"folds"}


def test_a_metric_of_one_task_alone_tells_the_task() -> None:
    found = guessed([1, 2, 3], metric="rmse")
    assert (found.task, found.reasons["task"]) == ("regression", "metric rmse is of no other")
    assert guessed([1, 2, 3], metric="log_loss").task == "multiclass"


def test_folds_are_no_more_than_rows_of_the_rarest_class() -> None:
    assert guessed(["a"] * 9 + ["b"]).k == 4
    assert guessed([1.5, 2.5, 3.25]).k == 10


def test_one_rare_class_of_many_does_not_halve_the_rows_to_learn_from() -> None:
    assert guessed(["a", "b"] * 19 + ["c", "a"]).k == 5
    assert guessed(["a"] * 39 + ["b"]).k == 2


def test_where_probabilities_may_be_asked_for_the_way_there_is_told() -> None:
    """Kaggle's Santander and others score the AUC, and their samples hold zeros."""
    zeros = {"Key": IDS, "Price": ["0"] * 40}
    assert guessed([0, 1], zeros).reasons["metric"].endswith("if probabilities are scored: --metric auc")
    assert guessed([0, 1], zeros, metric="auc").metric == "auc"


@pytest.mark.parametrize(
    ("told", "more", "words"),
    [
        ({"target": "Prize"}, {}, r"--target: no column 'Prize' in the training file; did you mean 'Price'\?"),
        ({"id": "Kex"}, {}, r"--id: no column 'Kex' in the training file; did you mean 'Key'\?"),
        ({"id": "Price"}, {}, r"--id: no column 'Price' in the test file"),
        ({"metric": "rmze"}, {}, r"--metric 'rmze': of task binary; known: "),
        (
            {"metric": "macro_f1", "task": "regression"},
            {},
            "--metric macro_f1: of task multiclass, and this seems to be",
        ),
        ({"task": "regresion"}, {}, r"--task 'regresion': did you mean 'regression'\?"),
        ({}, {"Tax": IDS}, r"the test file lacks several columns: Tax, Price\. Name the target: --target COLUMN"),
    ],
)
def test_what_cannot_be_is_refused(told: dict[str, str], more: dict[str, list[str]], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        guessed([1.5, 2.5], None, more, **told)


def test_a_target_without_a_value_is_none() -> None:
    with pytest.raises(ConfigError, match="--target: column 'Price' has no value in the training file"):
        guessed(["", "NA"])


def test_files_without_an_id_or_a_target_say_what_to_do() -> None:
    frame = pd.DataFrame({"Size": ["1", "1"], "Price": ["1", "2"]})
    with pytest.raises(ConfigError, match=r"no id: .* Name one, --id COLUMN, or number the rows"):
        guess(frame, frame[["Size"]], None, {})
    with pytest.raises(ConfigError, match=r"no target: the test file has every column .* --target COLUMN"):
        guess(frame, frame, None, {})


def test_files_whose_id_is_in_the_sample_submission_alone_are_numbered(tmp_path: Path) -> None:
    """The form of Kaggle's Digit Recognizer, whose sample has ``ImageId`` and ``Label``, its files ``label`` alone."""
    pixels = pd.DataFrame({f"pixel{n}": [str((row + n) % 7) for row in range(40)] for n in range(3)})
    train = pixels.assign(label=[str(row % 3) for row in range(40)])
    sample = pd.DataFrame({"ImageId": [str(row) for row in range(1, 41)], "Label": ["0"] * 40})
    found = guess(train, pixels, sample, {})
    assert (found.id, found.target, found.metric) == ("ImageId", "label", "accuracy")
    assert "not in train.csv and test.csv, whose rows are numbered" in found.reasons["id"]
    assert "the sample submission calls it 'Label'" in found.reasons["target"]
    rules = loaded(found, tmp_path).ingest
    assert (rules.numbered, rules.sample_target) == (("train.csv", "test.csv"), "Label")
    with pytest.raises(ConfigError, match="no id: "):
        guess(train, pixels, None, {})


def test_the_sample_s_class_columns_name_the_target() -> None:
    """The form of San Francisco Crime: the training file alone has ``Category``, ``Descript`` and ``Resolution``."""
    classes = ["DRUG/NARCOTIC", "WEAPON LAWS, OTHER", "ARSON"]
    more = {"Descript": ["x", "y"] * 20, "Category": [classes[row % 3] for row in range(40)]}
    found = guessed(["NONE", "ARREST"], {"Key": IDS, **{name: ["0"] * 40 for name in classes}}, more)
    assert (found.target, found.task, found.metric) == ("Category", "multiclass", "log_loss")
    assert found.dropped == ("Descript", "Price")
    assert "a column for each of its classes" in found.reasons["target"]


def test_a_target_that_is_empty_in_the_test_file_is_found(tmp_path: Path) -> None:
    """The form of Kaggle's Give Me Some Credit, whose files have their row numbers in a column without a name."""
    rows = [f"{row},{row % 2},{row * 7 % 13}" for row in range(1, 41)]
    files = {
        "train.csv": "\n".join([",Late,Age", *rows]),
        "test.csv": "\n".join([",Late,Age", *(f"{row},NA,{row % 13}" for row in range(1, 41))]),
        "sample.csv": "\n".join(["Id,Probability", *(f"{row},0.08" for row in range(1, 41))]),
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text + "\n")
    paths = Files(*(tmp_path / name for name in files))
    _, found = scaffold(tmp_path, "mine", paths, {})
    assert (found.id, found.target, found.metric, found.sample_target) == ("Id", "Late", "auc", "Probability")
    assert found.reasons["target"].startswith("the one column that is empty in the test file")


def test_training_rows_without_a_target_are_left_out(tmp_path: Path) -> None:
    found = guessed([1.5, 2.5, "", 3.25])
    assert (found.n_train, found.reasons["target"]) == (
        30,
        "the one column that the test file lacks; 10 rows have none and are left out",
    )
    assert loaded(found, tmp_path).ingest.skip_without_target
    assert not guessed([1.5, 2.5, 3.25]).skip_without_target


def test_ids_that_group_training_rows_are_numbered(tmp_path: Path) -> None:
    """Each customer has rows in the training file, and the test file one of each other customer."""
    test = pd.DataFrame({"customer": [f"t{row}" for row in range(40)], "Size": [str(row % 7) for row in range(40)]})
    train = test.assign(customer=[f"c{row // 3}" for row in range(40)], Price=[f"{row}.5" for row in range(40)])
    sample = pd.DataFrame({"customer": test["customer"], "Price": ["0"] * 40})
    found = guess(train, test, sample, {})
    assert (found.id, found.numbered, found.scheme, found.by) == ("customer", ("train.csv",), "grouped", "customer")
    assert found.dropped == ()
    by_chance = guess(train, test, sample, {"folds": "shuffled"})
    assert by_chance.dropped == ("customer",)
    few = train.assign(customer=["c0", *(f"c{row}" for row in range(39))])
    assert guess(few, test, sample, {}).numbered == ()  # a mistake, which reading the file names
    files = {"train.csv": train, "test.csv": test, "sample.csv": sample}
    for name, frame in files.items():
        frame.to_csv(tmp_path / name, index=False)
    for name, told in (("mine", {}), ("other", {"folds": "shuffled"})):
        path, _ = scaffold(tmp_path, name, Files(*(tmp_path / file for file in files)), told)
        raw = {
            file.name.replace("sample.csv", "sample_submission.csv"): file.read_bytes()
            for file in (path.parent / "raw").iterdir()
        }
        tables = read_tables(raw, load_competition(path))
        assert list(tables.train.columns) == ["Size"]
        assert tables.train.index[:3].tolist() == ["1", "2", "3"]
        assert tables.by.squeeze(axis=1).tolist()[:4] == ["c0", "c0", "c0", "c1"] if name == "mine" else tables.by.empty


def test_a_target_of_written_numbers_is_refused() -> None:
    cells = [f"{n * 50},{n:02}" for n in range(40)]
    with pytest.raises(ConfigError, match=r"column 'Price' holds .* such as '0,00'\. Write them as 0, without marks"):
        guessed(cells)
    assert guessed([f"{n}h" for n in range(3)]).task == "multiclass"


def test_words_that_end_like_an_id_are_none() -> None:
    columns = {"valid": [f"{n * n}" for n in range(40)], "Key": IDS}
    train = pd.DataFrame({**columns, "Price": [f"{n}.5" for n in range(40)]})
    found = guess(train, pd.DataFrame(columns), None, {})
    assert found.id == "Key"


def test_rows_that_end_with_a_comma_are_named(tmp_path: Path) -> None:
    """Pandas would take the first column of such a file for its index, and all names for their neighbours'."""
    rows = [f"{row},{row}.5,{row * row}.25," for row in range(40)]
    (tmp_path / "train.csv").write_text("\n".join(["id,a,y", *rows]) + "\n")
    (tmp_path / "test.csv").write_text("\n".join(["id,a", *(row.rpartition(",")[0] for row in rows)]) + "\n")
    with pytest.raises(
        HousePriceError, match=r"train\.csv: line 2 has 4 cells where the header has 3\. It ends with a comma"
    ):
        scaffold(tmp_path, "mine", Files(tmp_path / "train.csv", tmp_path / "test.csv"), {})


def test_numbers_of_shops_are_categories_others_are_not(tmp_path: Path) -> None:
    columns = {
        "shop_id": [2, 5, 7],
        "storeId": [1, 2],
        "store_nbr": [44, 45],
        "paid": [1, 2, 3],
        "heat_index": [80, 90],
    }
    numbers = {name: [str(cells[row % len(cells)]) for row in range(40)] for name, cells in columns.items()}
    ids = {"id": IDS, "visit_id": [str(row) for row in range(40)], "new_id": [str(row // 4) for row in range(40)]}
    test = pd.DataFrame({**ids, **numbers})
    train = test.assign(y=[f"{row}.5" for row in range(40)], new_id=[str(row // 2 + 100) for row in range(40)])
    found = guess(train, test, None, {"folds": "shuffled"})
    assert found.codes == ("shop_id", "storeId", "store_nbr")
    assert loaded(found, tmp_path).features["default"].category == found.codes


@pytest.mark.parametrize("has_sample", [True, False])
def test_a_training_file_may_lack_the_id_of_the_test_file(has_sample: bool, tmp_path: Path) -> None:
    """The form of Kaggle's Rossmann Store Sales."""
    shared = pd.DataFrame({"Store": [str(row % 4) for row in range(40)], "Promo": [str(row % 3) for row in range(40)]})
    sample = pd.DataFrame({"Id": IDS, "Sales": ["0"] * 40}) if has_sample else None
    found = guess(shared.assign(Sales=[f"{row}.5" for row in range(40)]), shared.assign(Id=IDS), sample, {})
    assert (found.id, found.target) == ("Id", "Sales")
    assert loaded(found, tmp_path).ingest.numbered == ("train.csv",)


def test_an_id_that_is_a_date_is_a_feature(tmp_path: Path) -> None:
    """The form of Kaggle's Bike Sharing Demand, where the hour says most."""
    hours = pd.date_range("2011-01-01", periods=80, freq="h").strftime("%Y-%m-%d %H:%M:%S")
    frame = pd.DataFrame({"datetime": hours, "weather": [str(row % 3) for row in range(80)]}, dtype="str")
    train, test = frame[::2], frame[1::2]
    sample = pd.DataFrame({"datetime": test["datetime"], "count": "0"})
    found = guess(train.assign(count=[f"{row}.5" for row in range(40)]), test, sample, {})
    assert found.id == "datetime"
    assert loaded(found, tmp_path).ingest.keep_id
    assert not guessed([1.5, 2.5, 3.25]).keep_id


def test_the_words_of_sentences_are_hashed_those_of_names_are_not(tmp_path: Path) -> None:
    review = [f"on day {row} it rained and we could not go out at all" for row in range(40)]
    name = [f"{row}, Mrs. of somewhere" for row in range(40)]
    motto = ["they all say the same few things in many words"] * 40
    frame = pd.DataFrame({"Key": IDS, "review": review, "name": name, "motto": motto})
    found = guess(frame.assign(liked=["yes", "no"] * 20), frame, None, {})
    assert found.sentences == ("review",)
    assert loaded(found, tmp_path).features["default"].text == {"review": 64}


def test_sentences_that_name_groups_are_no_features(tmp_path: Path) -> None:
    ward = [f"patient number {row} of the ward on the second floor" for row in range(40)]
    frame = pd.DataFrame({"Key": IDS, "ward": ward, "Size": [str(row % 7) for row in range(40)]})
    found = guess(frame.assign(Price=[f"{row}.5" for row in range(40)]), frame, None, {"by": "ward"})
    assert (found.no_features, found.sentences) == (("ward",), ())
    assert loaded(found, tmp_path).features["default"].text == {}


@pytest.mark.parametrize("cells", [[1.5, 2.5, 3.25], ["yes", "no"], ["a", "b", "c"]])
@pytest.mark.parametrize("column", ["Price", 'the "true" price', "Preis in €\\m²", "ends in #"])
def test_the_file_is_one_that_can_be_loaded(cells: list[Any], column: str, tmp_path: Path) -> None:
    found = guessed(cells)
    competition = loaded(Guess(**{**vars(found), "target": column}), tmp_path)
    assert (competition.target, competition.task, competition.metric) == (column, found.task, found.metric)
    assert len(competition.runs_of(competition.entry)) == 3


# folds that are cut as the test file was cut off -------------------------------------------------------------


def cut_files(
    column: str, train: list[str], test: list[str], labels: tuple[str, ...] = ()
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both files with a column of some cells beside an id and a number; the target are labels in turn, or numbers."""
    cells = [*train, *test]
    columns = {
        "Row": [f"r{row}" for row in range(len(cells))],
        "Size": [f"{row * 37 % 101}.5" for row in range(len(cells))],
    }
    frame = pd.DataFrame({**columns, column: cells}, dtype="str")
    target = [labels[row % len(labels)] if labels else str(row * 13 % 97 + 0.5) for row in range(len(train))]
    return frame[: len(train)].assign(Outcome=target), frame[len(train) :]


def each_four_times(form: str, numbers: range) -> list[str]:
    return [form.format(number) for number in numbers for _ in range(4)]


def days(first: str, periods: int) -> list[str]:
    return [day.strftime("%d.%m.%Y") for day in pd.date_range(first, periods=periods)]


CUT = {
    "patients": ("patient", each_four_times("P{:03}", range(30)), each_four_times("P{:03}", range(30, 45)), "grouped"),
    "ids in numbers": ("patient_id", each_four_times("{}", range(30)), each_four_times("{}", range(30, 45)), "grouped"),
    "other numbers between": (
        *("beds", each_four_times("{}0", range(0, 60, 2)), each_four_times("{}0", range(1, 31, 2)), "grouped"),
    ),
    "one patient in both": (
        *("patient", each_four_times("P{:03}", range(30)), each_four_times("P{:03}", range(29, 60)), "grouped"),
    ),
    "days": ("Day", days("2020-01-01", 120), days("2020-04-30", 40), "expanding"),
    "years": ("Year", each_four_times("20{}", range(10, 20)), each_four_times("20{}", range(20, 23)), "expanding"),
    "compact dates": ("Day", each_four_times("202001{}", range(10, 30)), ["20200201"] * 40, "expanding"),
}  # fmt: skip
NOT_CUT = {
    "the same patients": ("patient", each_four_times("P{:03}", range(30)), each_four_times("P{:03}", range(20))),
    "a third of them": ("patient", each_four_times("P{:03}", range(30)), each_four_times("P{:03}", range(25, 40))),
    "each patient once": ("patient", [f"P{row}" for row in range(120)], [f"P{row}" for row in range(120, 160)]),
    "few kinds": ("patient", each_four_times("P{:03}", range(9)) * 3, each_four_times("P{:03}", range(9, 20))),
    "few test rows": ("patient", each_four_times("P{:03}", range(30)), each_four_times("P{:03}", range(30, 32))),
    "gaps": ("patient", [*each_four_times("P{:03}", range(30)), "NA"], each_four_times("P{:03}", range(30, 45))),
    "weeks that go on counting": ("week", each_four_times("{}", range(30)), each_four_times("{}", range(30, 45))),
    "fractions": ("dose", each_four_times("{}.5", range(0, 60, 2)), each_four_times("{}.5", range(1, 31, 2))),
    "days among others": ("Day", days("2020-01-01", 120), days("2020-02-10", 40)),
    "days before": ("Day", days("2020-04-30", 120), days("2020-01-01", 40)),
    "a fifth of the days before": ("Day", days("2020-01-01", 120), [*days("2020-04-30", 32), *days("2020-01-01", 8)]),
    "days with a gap": ("Day", [*days("2020-01-01", 119), ""], days("2020-04-30", 40)),
    "one day": ("Day", ["01.01.2020"] * 120, ["02.01.2020"] * 40),
    "lengths": ("Length", each_four_times("{}", range(1900, 1930)), each_four_times("{}", range(1905, 1920))),
}


@pytest.mark.parametrize(("column", "train", "test", "scheme"), CUT.values(), ids=CUT)
def test_folds_are_cut_as_the_test_file_was(column: str, train: list[str], test: list[str], scheme: str) -> None:
    found = guess(*cut_files(column, train, test), None, {})
    assert (found.scheme, found.by, found.repeats) == (scheme, column, 1 if scheme == "expanding" else 2)
    assert repr(column) in found.reasons["scheme"]
    assert "--folds shuffled" in found.reasons["scheme"]
    assert found.no_features == ((column,) if scheme == "grouped" else ())
    of_classes = guess(*cut_files(column, train, test, ("a", "b", "c")), None, {})
    assert of_classes.scheme == {"grouped": "stratified_grouped"}.get(scheme, scheme)
    assert "--folds stratified" in of_classes.reasons["scheme"]


@pytest.mark.parametrize(("column", "train", "test"), NOT_CUT.values(), ids=NOT_CUT)
def test_rows_that_may_be_dealt_by_chance_are(column: str, train: list[str], test: list[str]) -> None:
    found = guess(*cut_files(column, train, test), None, {})
    assert (found.scheme, found.by, found.no_features) == ("shuffled", None, ())
    assert guess(*cut_files(column, train, test, ("a", "b", "c")), None, {}).scheme == "stratified"


def test_time_comes_before_groups_and_ids_before_other_columns_of_groups() -> None:
    train, test = cut_files("visit", *CUT["days"][1:3])
    for place, column in enumerate(("session", "patient_id", "ward")):
        groups = [f"{column}{row // (3 + place)}" for row in range(160)]
        train, test = train.assign(**{column: groups[:120]}), test.assign(**{column: groups[120:]})
    assert guess(train, test, None, {}).by == "visit"
    assert guess(train.drop(columns="visit"), test.drop(columns="visit"), None, {}).by == "patient_id"
    without = ["visit", "patient_id"]
    assert guess(train.drop(columns=without), test.drop(columns=without), None, {}).by == "ward"


def test_folds_are_no_more_than_groups_or_times() -> None:
    years = each_four_times("{}", range(2000, 2004))
    assert guess(*cut_files("Year", years, ["2004"] * 9), None, {}).k == 3
    patients = cut_files("patient", each_four_times("P{}", range(4)), each_four_times("P{}", range(4, 8)))
    assert guess(*patients, None, {"by": "patient"}).k == 4


def test_folds_in_time_are_guessed_only_where_the_first_block_has_all_classes() -> None:
    train, test = cut_files(*CUT["days"][:3], ("a", "b"))
    early = train.assign(Outcome=["a"] * 30 + ["a", "b"] * 45)
    assert (guess(early, test, None, {}).scheme, guess(early, test, None, {}).k) == ("expanding", 2)
    late = train.assign(Outcome=["a"] * 80 + ["a", "b"] * 20)
    assert guess(late, test, None, {}).scheme == "stratified"
    with pytest.raises(ConfigError, match="--by Day: the column does not cut the rows in 2 expanding folds"):
        guess(late, test, None, {"by": "Day"})


@pytest.mark.parametrize(
    ("told", "scheme", "by"),
    [
        ({"folds": "shuffled"}, "shuffled", None),
        ({"folds": "contiguous"}, "contiguous", None),
        ({"folds": "rolling", "by": "Day"}, "rolling", "Day"),
        ({"by": "Day"}, "expanding", "Day"),
        ({"by": "Size"}, "grouped", "Size"),
        ({"folds": "stratified_grouped", "by": "Size"}, "stratified_grouped", "Size"),
        ({"folds": "given", "by": "Part"}, "given", "Part"),
    ],
)
def test_flags_say_otherwise_than_the_files(told: dict[str, str], scheme: str, by: str | None, tmp_path: Path) -> None:
    train, test = cut_files(*CUT["days"][:3])
    train["Part"] = [str(row % 3) for row in range(len(train))]  # which the test file lacks
    found = guess(train, test, None, {"target": "Outcome", **told})
    assert (found.scheme, found.by) == (scheme, by)
    assert "scheme" not in found.reasons
    assert found.dropped == (() if by == "Part" else ("Part",))
    folds = loaded(found, tmp_path).folds["main"]
    assert (folds.scheme, folds.by, folds.k, folds.repeats) == (scheme, by, found.k, found.repeats)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"folds": "expnding"}, "--folds expnding: Input should be 'shuffled', .*'expanding'"),
        ({"folds": "grouped"}, "--folds grouped: by: grouped folds need the column of their groups"),
        ({"folds": "shuffled", "by": "Day"}, "--folds shuffled --by Day: by: of no use to shuffled folds"),
        ({"by": "Dya"}, r"--by: no column 'Dya' in the training file; did you mean 'Day'\?"),
        ({"folds": "expanding", "by": "Row"}, "column 'Row', .* has cells that are neither numbers nor dates"),
    ],
)
def test_folds_that_cannot_be_are_refused(told: dict[str, str], words: str) -> None:
    with pytest.raises(HousePriceError, match=words):
        guess(*cut_files(*CUT["days"][:3]), None, told)


def loaded(found: Guess, folder: Path) -> Competition:
    """The competition of a guess, by way of its file."""
    path = folder / "mine" / "competition.toml"
    path.parent.mkdir()
    path.write_text(as_toml("mine", found), encoding="utf-8")
    return load_competition(path)


def test_a_column_of_any_name_is_named_in_the_file(tmp_path: Path) -> None:
    column = 'the\n"patient"\x7f\x1b € #'
    found = guess(*cut_files(column, *CUT["patients"][1:3], ("on\ne", "two")), None, {})
    competition = loaded(found, tmp_path)
    assert competition.folds["main"].by == column
    assert competition.features["default"].drop == (column,)


def test_networks_and_trees_are_shaped_by_the_number_of_rows() -> None:
    shapes = [shape_of(rows) for rows in (10, 1_000, 10_000, 100_000, 1_000_000)]
    assert [shape["epochs"] for shape in shapes] == [40, 40, 30, 15, 5]
    assert [shape["batch_size"] for shape in shapes] == [64, 64, 64, 256, 1024]
    assert [shape["leaves"] for shape in shapes] == [15, 15, 31, 31, 31]


# the command -------------------------------------------------------------------------------------------------


def write_bundled(folder: Path, name: str, labels: list[str] | None = None) -> dict[str, list[str]]:
    """A data set of scikit-learn's as CSV files, every fourth row to be predicted; the truth there, by id."""
    X, y = getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)
    rows = [[f"r{row}", *map(str, X[row]), labels[int(y[row])] if labels else f"{y[row]:g}"] for row in range(len(X))]
    header = ["row_id", *(f"x{column}" for column in range(X.shape[1])), "outcome"]
    is_test = np.arange(len(X)) % 4 == 0
    files = {
        "train": [header, *(row for row, test in zip(rows, is_test, strict=True) if not test)],
        "test": [header[:-1], *(row[:-1] for row, test in zip(rows, is_test, strict=True) if test)],
    }
    for file, lines in files.items():
        with (folder / f"{file}.csv").open("w", encoding="utf-8", newline="") as opened:
            csv.writer(opened).writerows(lines)
    return {row[0]: row[-1:] for row, test in zip(rows, is_test, strict=True) if test}


def new_and_submit(root: Path, *files: object) -> tuple[Any, list[list[str]], float]:
    """What was guessed, the lines of the submission, and its score out of fold."""
    begun = houseprice("new", "mine", *files, "--root", root, "--json")
    assert begun.returncode == 0, begun.stderr
    done = houseprice("submit", "-c", "mine", "--root", root)
    assert done.returncode == 0, done.stderr
    with (root / "submissions" / "mine" / "blend.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file))
    manifest = json.loads((root / "submissions" / "mine" / "blend.json").read_text(encoding="utf-8"))
    return json.loads(begun.stdout), lines, manifest["score"]["score"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "labels", "metric", "least", "most"),
    [
        ("breast_cancer", ["malignant", "benign"], "accuracy", 0.95, 1.0),
        ("digits", None, "accuracy", 0.96, 1.0),
        ("diabetes", None, "rmse", 45.0, 60.0),
    ],
)
def test_bundled_data_sets_are_submitted_as_they_are(
    name: str, labels: list[str] | None, metric: str, least: float, most: float, tmp_path: Path
) -> None:
    truth = write_bundled(tmp_path, name, labels)
    found, lines, score = new_and_submit(tmp_path, "--train", tmp_path / "train.csv", "--test", tmp_path / "test.csv")
    assert (found["id"], found["target"], found["metric"]) == ("row_id", "outcome", metric)
    assert least <= score <= most
    assert lines[0] == ["row_id", "outcome"]
    assert [line[0] for line in lines[1:]] == list(truth)
    predicted, true = [line[1] for line in lines[1:]], [cells[0] for cells in truth.values()]
    if metric == "accuracy":
        assert set(predicted) <= set(true)
        on_new_rows = np.mean([one == other for one, other in zip(predicted, true, strict=True)])
        assert on_new_rows > least - 0.03
    else:
        errors = np.array(predicted, float) - np.array(true, float)
        assert np.sqrt(np.mean(np.square(errors))) < 0.9 * np.std(np.array(true, float))  # better than their mean


@pytest.mark.long
def test_titanic_is_submitted_as_it_is(tmp_path: Path) -> None:
    folder = SHARED / "titanic"
    files = ("--train", folder / "train.csv", "--test", folder / "test.csv", "--sample")
    found, lines, score = new_and_submit(tmp_path, *files, folder / "sample_submission.csv")
    assert (found["task"], found["metric"]) == ("binary", "accuracy")
    assert score > 0.80
    assert {line[1] for line in lines[1:]} == {"0", "1"}


def write_cut(folder: Path, name: str, labels: tuple[str, ...] = ()) -> tuple[object, ...]:
    """Files that are cut, and the options that name them."""
    for file, frame in zip(("train", "test"), cut_files(*CUT[name][:3], labels), strict=True):
        frame.to_csv(folder / f"{file}.csv", index=False)
    return "--train", folder / "train.csv", "--test", folder / "test.csv"


@pytest.mark.long
@pytest.mark.parametrize(("name", "labels"), [("patients", ("yes", "no")), ("patients", ()), ("days", ("yes", "no"))])
def test_cut_files_are_submitted_as_they_are(name: str, labels: tuple[str, ...], tmp_path: Path) -> None:
    found, lines, _ = new_and_submit(tmp_path, *write_cut(tmp_path, name, labels))
    assert found["by"] == CUT[name][0]
    assert len(lines) == 1 + len(CUT[name][2])


@pytest.mark.long
def test_an_experiment_far_behind_does_not_spoil_the_entry(tmp_path: Path) -> None:
    """By the hour of ids and the day's kind together, as bicycles are hired: a linear model knows neither."""
    rows = np.arange(900)
    hours = pd.Series(pd.date_range("2011-01-01", periods=len(rows), freq="h"))
    works = hours.dt.day_of_week < 5
    hired = np.where(works, 300.0, 30.0) * np.where(hours.dt.hour.isin([8, 17]) == works, 5, 1) + rows * 7 % 5
    frame = pd.DataFrame({"datetime": hours.astype("str"), "works": works.astype("int"), "count": hired})
    is_test = rows % 4 == 0
    frame[~is_test].to_csv(tmp_path / "train.csv", index=False)
    frame[is_test].drop(columns="count").to_csv(tmp_path / "test.csv", index=False)
    files = ("--train", tmp_path / "train.csv", "--test", tmp_path / "test.csv", "--metric", "rmse")
    _, lines, score = new_and_submit(tmp_path, *files, "--id", "datetime")
    assert [row_id for row_id, _ in lines[1:]] == list(frame["datetime"][is_test])
    assert score < 0.2 * float(np.std(hired))


def test_what_is_guessed_of_folds_is_told_with_the_way_back(tmp_path: Path) -> None:
    files = write_cut(tmp_path, "patients")
    told = houseprice("new", "mine", *files, "--root", tmp_path)
    assert told.returncode == 0, told.stderr
    assert "grouped by patient, 10 × 2" in " ".join(told.stdout.split())
    assert "--folds shuffled" in " ".join(told.stdout.split())
    back = houseprice("new", "other", *files, "--root", tmp_path, "--folds", "shuffled", "--json")
    assert json.loads(back.stdout)["scheme"] == "shuffled"


@pytest.mark.parametrize(("n_looked_at", "by"), [(100, "patient"), (40, None)])
def test_beyond_the_first_rows_a_column_is_read_to_its_end(
    n_looked_at: int, by: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the first patients of the test file are others, and the later ones those of the training file."""
    monkeypatch.setattr("houseprice.scaffold._LOOKED_AT", n_looked_at)
    train, test = CUT["patients"][1:3]
    later = test if by else [*test, *train]
    for file, frame in zip(("train", "test"), cut_files("patient", train, later), strict=True):
        frame.to_csv(tmp_path / f"{file}.csv", index=False)
    _, found = scaffold(tmp_path, "mine", Files(tmp_path / "train.csv", tmp_path / "test.csv"), {})
    assert found.by == by


def test_a_name_that_is_taken_and_files_that_are_none_leave_nothing(tmp_path: Path) -> None:
    write_bundled(tmp_path, "diabetes")
    files = ("--train", tmp_path / "train.csv", "--test", tmp_path / "test.csv", "--root", tmp_path)
    assert houseprice("new", "mine", *files).returncode == 0
    before = (tmp_path / "data" / "mine" / "competition.toml").read_bytes()
    again = houseprice("new", "mine", *files)
    assert again.returncode == 1
    assert "there is a competition of this name" in again.stderr
    assert (tmp_path / "data" / "mine" / "competition.toml").read_bytes() == before
    (tmp_path / "semicolons.csv").write_text("a;b;c\n1;2;3\n")
    (tmp_path / "binary.csv").write_bytes(b"a,b\n\0,1\n")
    (tmp_path / "header.csv").write_text("row_id,a,outcome\n")
    for wrong, words in (
        ("semicolons.csv", "the separator is no comma"),
        ("binary.csv", "binary data or UTF-16"),
        ("absent.csv", "cannot be read: No such file or directory"),
        ("header.csv", "a header and no rows"),
    ):
        refused = houseprice("new", "other", "--train", tmp_path / wrong, *files[2:])
        assert refused.returncode == 1
        assert words in refused.stderr
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["mine"]
    for name, make in (("file", Path.touch), ("link", lambda path: path.symlink_to("link"))):
        make(tmp_path / "data" / name)
        assert "there is a competition of this name" in houseprice("new", name, *files).stderr
