"""Reading CSV: the fast way and the slow one hold the same cells, whatever stands in them and wherever blocks end."""

import csv
import io

import numpy as np
import pytest

from conftest import LoadTiny
from houseprice.data import reading
from houseprice.data.reading import CsvFile, open_csv
from houseprice.data.tables import read_tables
from houseprice.errors import DataError
from houseprice.pace import Paced

MISSING = ("", "NA", "nan", "NaN")
CELLS = (
    *("a", "b,c", 'd"e', "two\nlines", "two\r\nlines", " blanks ", "", "NA", "nan", "True", "1", "2.50", "-3e5", "007"),
    *("Straße 東京", '"', '""', ",", "x" * 300, "inf", "1_000", "'", "\t", "None"),
)


def silent(text: str) -> None:
    assert text


def file_of(columns: dict[str, list[str]], quoting: int = csv.QUOTE_MINIMAL, end: str = "\n") -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=quoting, lineterminator=end)  # type: ignore[arg-type]
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue().encode()


def slow(file: CsvFile) -> CsvFile:
    return CsvFile(file.data, file.name, file.header, file.likely_numbers, is_regular=False)


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("block", [7, 64, 1 << 22])
def test_both_ways_hold_the_same_cells(quoting: int, end: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_BLOCK", block)
    monkeypatch.setattr(reading, "_CHUNK_CELLS", 9 * 20)
    random = np.random.default_rng(block)
    rows = 150
    columns = {
        "Id": [str(n) for n in range(rows)],
        **{f"text {n}": list(random.choice(CELLS, rows)) for n in range(3)},
        "number": [str(value) for value in random.standard_normal(rows)],
        "gaps": list(random.choice(["NA", "", "5", "2.5"], rows)),
        "late text": [str(n) for n in range(rows - 1)] + ["oops"],
    }
    file = open_csv(file_of(columns, quoting, end), "it.csv", "Id")
    assert file.is_regular
    fast = file.read(file.likely_numbers - {"Id"}, MISSING, silent)
    for name, cells in slow(file).read((), (), silent).items():
        assert cells.tolist() == columns[name]
        if fast[name].dtype == np.object_:
            assert fast[name].tolist() == columns[name]
            assert name not in ("number", "gaps")
        else:
            numbers = [np.nan if cell in MISSING else float(cell) for cell in columns[name]]
            np.testing.assert_array_equal(fast[name], numbers)
            assert name in ("number", "gaps")


@pytest.mark.parametrize(
    "text",
    [
        'Id,a\n1,5" pipe\n2,x\n',
        'Id,a\n1,x"y"\n2,x\n',
        "Id,a\r1,x\r2,y\r",
        "Id,a\n1,x\n  \n",
        "Id,a\n1,x\r\n2,y\rz\n",
    ],
    ids=["a quote in a cell", "quotes in a cell", "old ends", "blanks alone", "mixed ends"],
)
def test_what_parsers_could_read_in_two_ways_is_read_the_slow_way(text: str) -> None:
    try:
        assert not open_csv(text.encode(), "it.csv", "Id").is_regular
    except DataError as refusal:
        assert "line" in str(refusal)  # noqa: PT017


@pytest.mark.parametrize(
    "text",
    [
        "Id,a\n1,x\n\n2,y",
        "\n\nId,a\n1,x\n2,y\n\n",
        "Id,a\r\n\r\n1,x\r\n2,y\r\n",
        '"Id",a\n1,"x"\n"2",y\n',
        "\ufeffId,a\n1,x\n2,y",
    ],
    ids=["a blank line", "blank lines around", "blank line, CRLF", "quotes", "BOM"],
)
@pytest.mark.parametrize("block", [1, 2, 3, 4, 5, 1 << 22])
def test_regular_files_are_read_the_fast_way(text: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_BLOCK", block)
    file = open_csv(text.encode(), "it.csv", "Id")
    assert file.is_regular
    assert {name: cells.tolist() for name, cells in file.read((), (), silent).items()} == {
        "Id": ["1", "2"],
        "a": ["x", "y"],
    }


@pytest.mark.parametrize("row", ["1999", "1999,x,y"], ids=["short", "long"])
def test_a_line_of_another_length_far_down_is_named(row: str) -> None:
    lines = ["Id,a", *(f"{n},x" for n in range(1999)), row, "3000,x"]
    file = open_csv("\n".join(lines).encode(), "it.csv", "Id")
    with pytest.raises(
        DataError, match=r"it\.csv: line 2001 has . cells? where the header has 2|it\.csv: line 2001 has"
    ):
        file.read((), (), silent)


def test_a_gap_is_what_the_file_says_to_the_letter(tiny_files: dict[str, bytes], load_tiny: LoadTiny) -> None:
    """With -999 for a gap, -999.0 is a number."""
    files = {
        name: data.replace(b",NA,2", b",-999,2").replace(b",NA,3", b",-999.0,3") for name, data in tiny_files.items()
    }
    area = read_tables(files, load_tiny('ingest.missing=["-999"]', "ingest.none_columns=[]")).train["Area"]
    assert area.isna().sum() + (area == -999).sum() == 2
    gaps = {row for row in area.index if b"\n" + row.encode() + b",-999," in files["train.csv"]}
    assert set(area.index[area.isna()]) == gaps


def test_progress_is_told(monkeypatch: pytest.MonkeyPatch, tiny_files: dict[str, bytes], load_tiny: LoadTiny) -> None:
    monkeypatch.setattr(Paced, "seconds", 0.0)
    monkeypatch.setattr(reading, "_CHUNK_CELLS", 12 * 6)
    told: list[str] = []
    read_tables(tiny_files, load_tiny(), told.append)
    assert [line for line in told if "rows read" in line][:2] == ["train.csv: 12 rows read", "train.csv: 24 rows read"]
    assert told[0] == "train.csv: 0 of 0 MB checked"
    assert "train.csv: 5 of 5 columns typed" in told
    assert "tables: 4 of 4 columns checked" in told
