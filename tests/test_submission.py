"""Entries: joined by id, past a gate, and told apart from what somebody changed."""

import csv
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from houseprice.compete.submission import (
    check_submission,
    manifest_path,
    outside_training_range,
    read_entry,
    submission_csv,
    write_entry,
)
from houseprice.errors import StorageError, SubmissionError
from houseprice.metrics import METRICS

METRIC = METRICS["log_rmse"]
IDS = [str(row) for row in range(1461, 1481)]
PRICES = np.linspace(50_000, 400_000, len(IDS))


def as_csv(
    ids: list[str] = IDS, prices: NDArray[np.float64] = PRICES, sample_ids: list[str] = IDS, metric: str = "log_rmse"
) -> bytes:
    """The submission of predicted prices."""
    link = METRICS[metric].to_link(prices)
    return submission_csv(ids, link, sample_ids, "Id", "SalePrice", METRICS[metric])


def test_the_file_is_what_the_competition_wants() -> None:
    header, *rows = csv.reader(io.StringIO(as_csv().decode()))
    assert header == ["Id", "SalePrice"]
    assert [row[0] for row in rows] == IDS
    np.testing.assert_allclose([float(row[1]) for row in rows], PRICES, rtol=1e-6)
    assert as_csv().endswith(b"\n")
    assert b"\r" not in as_csv()


def test_predictions_are_joined_by_id_never_by_position() -> None:
    order = np.random.default_rng(0).permutation(len(IDS))
    assert as_csv([IDS[row] for row in order], PRICES[order]) == as_csv()


def test_rows_stand_in_the_order_of_the_sample_submission() -> None:
    backwards = as_csv(sample_ids=IDS[::-1]).splitlines()
    assert backwards == [b"Id,SalePrice", *reversed(as_csv().splitlines()[1:])]


def test_predictions_beyond_the_sample_are_left_out() -> None:
    assert as_csv(sample_ids=IDS[3:5]).splitlines() == [b"Id,SalePrice", *as_csv().splitlines()[4:6]]


def test_an_id_without_a_prediction_is_refused_by_name() -> None:
    with pytest.raises(SubmissionError, match=r"no prediction for 2 ids of the sample submission: 9000, 9001"):
        as_csv(sample_ids=[*IDS, "9000", "9001"])


def test_ids_with_commas_and_quotes_survive() -> None:
    ids = ['a,b "c"', "ä\nö", " d "]
    data = as_csv(ids, PRICES[:3], ids)
    assert [row[0] for row in csv.reader(io.StringIO(data.decode(), newline=""))] == ["Id", *ids]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e4])
def test_what_is_no_price_is_refused_with_its_ids(value: float) -> None:
    link = np.log(PRICES)
    link[[2, 5]] = value  # 1e4: a log price beyond all floats; -inf: a price of 0
    with pytest.raises(SubmissionError, match=rf"2 predictions are not finite numbers > 0 \(ids {IDS[2]}, {IDS[5]}:"):
        submission_csv(IDS, link, IDS, "Id", "SalePrice", METRIC)


def test_negative_values_pass_where_the_metric_takes_them() -> None:
    values = PRICES.copy()
    values[4] = -7.0
    assert f"{IDS[4]},-7\n".encode() in as_csv(prices=values, metric="rmse")


GOOD = as_csv().decode()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", r"header \[\], not \['Id', 'SalePrice'\]"),
        (GOOD.replace("SalePrice", "Price"), r"header \['Id', 'Price'\], not \['Id', 'SalePrice'\]"),
        (GOOD.rsplit("\n", 2)[0] + "\n", r"19 rows, where the sample submission has 20"),
        (GOOD + "1481,5\n", r"21 rows, where the sample submission has 20"),
        (GOOD.replace("1462,", "1463,", 1), r"line 3 is \['1463', .* has id '1462'"),
        (GOOD.replace("1461,50000", "1461"), r"line 2 is \['1461'\], where"),
        (GOOD.replace("50000", "50000,1"), r"line 2 is \['1461', '50000', '1'\], where"),
        (GOOD.replace("50000", "dear"), r"1 predictions are not finite numbers > 0 \(ids 1461: nan\)"),
        (GOOD.replace("50000", "0"), r"\(ids 1461: 0.0\)"),
        (GOOD.replace("50000", "inf"), r"\(ids 1461: inf\)"),
    ],
)
def test_the_gate_names_the_first_thing_that_is_wrong(text: str, complaint: str) -> None:
    with pytest.raises(SubmissionError, match=complaint):
        check_submission(text.encode(), IDS, "Id", "SalePrice", METRIC)


def test_the_gate_refuses_bytes_that_are_no_text() -> None:
    with pytest.raises(SubmissionError, match="UTF-8"):
        check_submission(b"Id,SalePrice\n\xff,1\n", IDS, "Id", "SalePrice", METRIC)


def test_the_gate_returns_the_values() -> None:
    np.testing.assert_allclose(check_submission(as_csv(), IDS, "Id", "SalePrice", METRIC), PRICES, rtol=1e-6)


def test_predictions_outside_the_training_range_are_warned_of() -> None:
    target = np.array([60_000.0, 390_000.0])
    warning = outside_training_range(PRICES, IDS, target)
    assert warning is not None
    assert "2 of 20 predictions leave the range of the training targets, 60,000 to 390,000" in warning
    assert f"(ids {IDS[0]}, {IDS[-1]}: 50,000, 400,000)" in warning
    assert "\n" not in warning
    assert outside_training_range(PRICES, IDS, PRICES) is None


def write_some(folder: Path) -> Path:
    path = folder / "deep" / "entry.csv"
    write_entry(path, as_csv(), {"sha256": hashlib.sha256(as_csv()).hexdigest(), "entry": "x"})
    return path


def test_an_entry_reads_back_with_its_manifest(tmp_path: Path) -> None:
    path = write_some(tmp_path)
    data, manifest = read_entry(path)
    assert data == as_csv()
    assert manifest["entry"] == "x"
    assert sorted(found.name for found in path.parent.iterdir()) == ["entry.csv", "entry.json"]
    assert manifest_path(path).read_text(encoding="utf-8").endswith("}\n")


def test_an_entry_replaces_an_older_one_or_leaves_it_alone(tmp_path: Path) -> None:
    path = write_some(tmp_path)
    with pytest.raises(TypeError):  # what JSON can't hold fails before a byte is written
        write_entry(path, b"Id,SalePrice\n", {"sha256": object()})
    read_entry(path)
    write_entry(path, b"new\n", {"sha256": hashlib.sha256(b"new\n").hexdigest()})
    assert read_entry(path)[0] == b"new\n"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "deep").write_text("a file where the folder should be", encoding="utf-8")
    with pytest.raises(StorageError, match=r"deep.entry\.csv: cannot be written"):
        write_some(tmp_path)


def test_one_changed_price_is_recognised(tmp_path: Path) -> None:
    path = write_some(tmp_path)
    path.write_bytes(as_csv().replace(b"50000", b"50001"))
    with pytest.raises(SubmissionError, match=r"entry\.csv: its SHA-256 is .* the file was changed"):
        read_entry(path)


@pytest.mark.parametrize("absent", [".csv", ".json"])
def test_half_an_entry_is_named(tmp_path: Path, absent: str) -> None:
    path = write_some(tmp_path)
    path.with_suffix(absent).unlink()
    with pytest.raises(SubmissionError, match=rf"entry\{absent}: cannot be read: No such file"):
        read_entry(path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"sha256": 7}', json.dumps({"entry": "x"}), "\x00\xff", "[" * 100_000]
)
def test_a_manifest_that_is_none_is_one_clear_line(tmp_path: Path, text: str) -> None:
    path = write_some(tmp_path)
    manifest_path(path).write_bytes(text.encode("latin-1"))
    with pytest.raises(SubmissionError, match=r"entry\.json: not a manifest: .") as caught:
        read_entry(path)
    assert "\n" not in str(caught.value)


# classes --------------------------------------------------------------------------------------------------


CLASSES = ("no", "yes")


def entry(metric: str, predictions: list[Any], classes: tuple[str, ...] = CLASSES, **options: Any) -> str:
    rows = ["a", "b"]
    return submission_csv(
        rows, np.array(predictions, float), rows, "Id", "Kind", METRICS[metric], classes, **options
    ).decode()


def test_the_target_column_holds_what_the_metric_reads() -> None:
    assert entry("auc", [0.25, 0.75]) == "Id,Kind\na,0.25\nb,0.75\n"
    assert entry("accuracy", [0.25, 0.75]) == "Id,Kind\na,no\nb,yes\n"
    assert entry("accuracy", [0.25, 0.75], threshold=0.2) == "Id,Kind\na,yes\nb,yes\n"
    three = [[0.1, 0.2, 0.7], [0.8, 0.1, 0.1]]
    assert entry("macro_f1", three, ("x", "y", "z")) == "Id,Kind\na,z\nb,x\n"


def test_each_class_may_have_a_column_of_its_own() -> None:
    three, classes = [[0.1, 0.2, 0.7], [0.8, 0.1, 0.1]], ("x", "y", "z")
    assert entry("log_loss", three, classes, columns=("z", "x", "y")) == "Id,z,x,y\na,0.7,0.1,0.2\nb,0.1,0.8,0.1\n"
    named = ("is_z", "is_x", "is_y")
    assert entry("log_loss", three, classes, columns=named) == "Id,is_z,is_x,is_y\na,0.7,0.1,0.2\nb,0.1,0.8,0.1\n"
    assert entry("log_loss", [0.25, 1.0], columns=CLASSES) == "Id,no,yes\na,0.75,0.25\nb,0,1\n"


@pytest.mark.parametrize(
    ("metric", "columns", "text", "message"),
    [
        ("auc", (), "Id,Kind\na,0.5\nb,1.5\n", r"1 predictions are not probabilities from 0 to 1 \(ids b"),
        ("auc", (), "Id,Kind\na,0.5\nb,yes\n", "not probabilities from 0 to 1"),
        ("accuracy", (), "Id,Kind\na,no\nb,yess\n", r"1 predictions are not classes \(no, yes\) \(ids b: yess\)"),
        ("log_loss", CLASSES, "Id,no,yes\na,0.5,0.5\nb,0.5,0.6\n", r"not rows that sum to 1 \(ids b: 1.1\)"),
        ("log_loss", CLASSES, "Id,yes,no\na,0.5,0.5\nb,0.5,0.5\n", r"header \['Id', 'yes', 'no'\], not"),
        ("log_loss", CLASSES, "Id,no,yes\na,0.5,0.5\nb,0.5\n", "line 3 is"),
    ],
)
def test_the_gate_knows_classes(metric: str, columns: tuple[str, ...], text: str, message: str) -> None:
    with pytest.raises(SubmissionError, match=message):
        check_submission(text.encode(), ["a", "b"], "Id", "Kind", METRICS[metric], CLASSES, columns)
