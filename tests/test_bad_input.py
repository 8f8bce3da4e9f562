"""Bad input: each fault is refused by one message that names the file, the column or key, and the way out.

Nothing is lost or half written: after each refusal the competition's folder holds what it held before.
"""

import csv
import io
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from competitions import files_no_larger_than
from conftest import LoadTiny, contents, write_files
from houseprice.config import Competition, Folds
from houseprice.data.features import FeatureSet, build_features
from houseprice.data.folds import make_folds
from houseprice.data.ingest import ingest
from houseprice.data.tables import read_tables
from houseprice.errors import ConfigError, DataError, HousePriceError, StorageError
from houseprice.files import write_text

Files = dict[str, bytes]
Spoil = Callable[[Files], None]

TRAIN, TEST, SAMPLE = "train.csv", "test.csv", "sample_submission.csv"


# ------------------------------------------------------------------ ways to spoil good files


def put(name: str, data: bytes) -> Spoil:
    return lambda files: files.update({name: data})


def remove(name: str) -> Spoil:
    def spoil(files: Files) -> None:
        del files[name]

    return spoil


def edit(name: str, change: Callable[[bytes], bytes]) -> Spoil:
    return lambda files: files.update({name: change(files[name])})


def lines(name: str, change: Callable[[list[bytes]], list[bytes]]) -> Spoil:
    return edit(name, lambda data: b"\n".join(change(data.splitlines())) + b"\n")


def cell(name: str, row_id: str, column: str, text: str) -> Spoil:
    def change(data: bytes) -> bytes:
        rows = list(csv.reader(io.StringIO(data.decode(), newline="")))
        row = next(row for row in rows if row[0] == row_id)
        row[rows[0].index(column)] = text
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(rows)
        return out.getvalue().encode()

    return edit(name, change)


def without_column(name: str, column: str) -> Spoil:
    def change(data: bytes) -> bytes:
        rows = [line.split(b",") for line in data.splitlines()]
        drop = rows[0].index(column.encode())
        return b"".join(b",".join(row[:drop] + row[drop + 1 :]) + b"\n" for row in rows)

    return edit(name, change)


def with_column(name: str, column: str, text: str) -> Spoil:
    head, body = f",{column}".encode(), f",{text}".encode()
    return lines(name, lambda rows: [rows[0] + head, *(row + body for row in rows[1:])])


def header(name: str, old: bytes, new: bytes) -> Spoil:
    return lines(name, lambda rows: [rows[0].replace(old, new), *rows[1:]])


def each(*spoils: Spoil) -> Spoil:
    def spoil(files: Files) -> None:
        for one in spoils:
            one(files)

    return spoil


# cells that are no targets, as the message shows them
TARGETS = {text: text for text in ("cheap", "inf", "0", "-5", "True", "1,000")} | {"": "nan", "NA": "nan"}

FAULTS: dict[str, tuple[Spoil, tuple[str, ...]]] = {
    # what is wrong: how to bring it about, what the message says
    "train missing": (remove(TRAIN), ("train.csv", "no such file", "--source")),
    "test missing": (remove(TEST), ("test.csv", "no such file", "--source")),
    "train empty": (put(TRAIN, b""), ("train.csv", "empty", "Put the competition's file")),
    "test blank": (put(TEST, b" \n\n \n"), ("test.csv", "empty", "Put the competition's file")),
    "sample empty": (put(SAMPLE, b""), ("sample_submission.csv", "empty")),
    "a byte order mark alone": (put(TRAIN, b"\xef\xbb\xbf"), ("train.csv", "empty")),
    "header only": (lines(TRAIN, lambda rows: rows[:1]), ("train.csv", "no rows", "whole file")),
    "binary": (put(TRAIN, b"PK\x03\x04\x14\0\0\0\x08\0train.csv"), ("train.csv", "binary", "Unpack")),
    "UTF-16": (edit(TEST, lambda data: data.decode().encode("utf-16")), ("test.csv", "UTF-16", "save it as CSV")),
    "latin-1": (
        each(cell(TRAIN, "002", "Street", "Straße"), edit(TRAIN, lambda data: data.decode().encode("latin-1"))),
        ("train.csv", "line 3", "not UTF-8", "0xdf", "iconv -f latin1"),
    ),
    "row too long": (
        lines(TRAIN, lambda rows: [*rows[:3], rows[3] + b",1", *rows[4:]]),
        ("train.csv", "line 4", "7 cells", "header has 6", "Quote cells"),
    ),
    "row too short": (
        lines(TEST, lambda rows: [*rows[:3], b"103,5", *rows[4:]]),
        ("test.csv", "line 4", "2 cells", "header has 5", "complete or delete"),
    ),
    "duplicate header": (header(TRAIN, b"Rooms", b"Area"), ("train.csv", "twice", "Area", "Rename")),
    "nameless column": (header(TEST, b"Rooms", b""), ("test.csv", "without a name", "number 3", "Name them")),
    "duplicate id": (cell(TRAIN, "003", "Id", "002"), ("train.csv", "'Id'", "more than once: 002", "Keep one row")),
    "duplicate test id": (cell(TEST, "103", "Id", "102"), ("test.csv", "'Id'", "more than once: 102")),
    "no id column": (header(TRAIN, b"Id", b"ID"), ("train.csv", "no id column 'Id'", "[ingest].numbered", "ID")),
    "no id column in test": (without_column(TEST, "Id"), ("test.csv", "no id column 'Id'")),
    "id empty": (cell(TRAIN, "003", "Id", ""), ("train.csv", "'Id' is empty in rows 3", "Give each row an id")),
    "id blank": (cell(TEST, "103", "Id", "  "), ("test.csv", "'Id' is empty in rows 3")),
    "semicolons": (
        edit(TRAIN, lambda data: data.replace(b",", b";")),
        ("train.csv", "no id column 'Id'", "separator seems to be ';'", "save with commas"),
    ),
    "semicolons and decimal commas": (
        edit(TEST, lambda data: data.replace(b",", b";").replace(b";2;", b";2,5;")),
        ("test.csv", "separator seems to be ';'", "save with commas"),
    ),
    "unclosed quote": (
        each(cell(TRAIN, "003", "Street", "@"), edit(TRAIN, lambda data: data.replace(b"@", b'"Pave'))),
        ("train.csv", "line 4", "Mend the quotes of that line"),
    ),
    "text behind a quote": (
        lines(TEST, lambda rows: [*rows[:2], b'102,1,2,"Pave"d,NA', *rows[3:]]),
        ("test.csv", "line 3", "Mend the quotes"),
    ),
    "endless field": (
        cell(TRAIN, "003", "Street", "x" * 200_000),
        ("train.csv", "line 4", "field larger than field limit", "Mend the quotes", "or shorten its cells"),
    ),
    "no target": (header(TRAIN, b"Price", b"Prize"), ("train.csv", "no target column 'Price'", "'Prize'")),
    "target in test": (with_column(TEST, "Price", "1"), ("test.csv", "target column 'Price'", "Delete the column")),
    "column missing in test": (without_column(TEST, "Rooms"), ("test.csv", "lacks", "Rooms", "Add them")),
    "text in test": (
        cell(TEST, "103", "Rooms", "two"),
        ("test.csv", "'Rooms' is a number in train.csv", "'two'", "ids 103", "[ingest].missing"),
    ),
    "infinite in train": (cell(TRAIN, "003", "Area", "inf"), ("train.csv", "'Area'", "infinite", "003", "Correct")),
    "infinite in test": (cell(TEST, "103", "Area", "-inf"), ("test.csv", "'Area'", "infinite", "103", "empty the")),
    "sample with other ids": (
        cell(SAMPLE, "103", "Id", "999"),
        ("sample_submission.csv", "1 lacking (103)", "1 unknown (999)", "Take the sample submission"),
    ),
    "sample with fewer ids": (lines(SAMPLE, lambda rows: rows[:-1]), ("sample_submission.csv", "1 lacking (108)")),
    "sample without target": (header(SAMPLE, b"Price", b"Cost"), ("sample_submission.csv", "'Price'", "Take the")),
    "huge target": (
        cell(TRAIN, "003", "Price", "1e151"),
        ("train.csv", "column 'Price'", "1 of 24 targets are beyond 1e+150", "(ids 003: 1e151)", "Rescale the target"),
    ),
    "one training row": (
        lines(TRAIN, lambda rows: rows[:2]),
        ("train.csv", "1 training row", "at least 2", "Add rows"),
    ),
    "no features": (
        each(*(without_column(name, c) for name in (TRAIN, TEST) for c in ("Area", "Rooms", "Street", "Pool"))),
        ("train.csv", "no feature columns", "Id", "Price", "Add some"),
    ),
} | {
    f"target {text!r}": (
        cell(TRAIN, "003", "Price", text),
        ("train.csv", "column 'Price'", "1 of 24 targets", "log_rmse", f"(ids 003: {shown})", "exclude_ids"),
    )
    for text, shown in TARGETS.items()
}


@pytest.mark.parametrize(("spoil", "words"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_source_is_refused_and_raw_stays_as_it_is(
    spoil: Spoil,
    words: tuple[str, ...],
    tiny_files: Files,
    tiny_source: Path,
    tiny_root: Path,
    load_tiny: LoadTiny,
    tmp_path: Path,
) -> None:
    raw, competition = tiny_root / "data" / "tiny" / "raw", load_tiny()
    ingest(raw, competition, tiny_source, print)
    before = contents(tiny_root)
    spoil(tiny_files)
    faulty = write_files(tmp_path / "faulty", tiny_files)

    with pytest.raises(DataError) as refusal:
        ingest(raw, competition, faulty, print)

    missing = [word for word in words if word not in str(refusal.value)]
    assert not missing, f"not in the message {str(refusal.value)!r}: {missing}"
    assert contents(tiny_root) == before
    assert contents(faulty) == tiny_files


@pytest.mark.parametrize("name", [TRAIN, TEST])
def test_a_file_missing_in_raw_is_named_and_the_others_are_kept(
    name: str, tiny_files: Files, tiny_root: Path, load_tiny: LoadTiny
) -> None:
    """Half a competition put into raw/ by hand is neither completed from the network nor replaced by the sample."""
    del tiny_files[name]
    raw = write_files(tiny_root / "data" / "tiny" / "raw", tiny_files)
    with pytest.raises(DataError, match=rf"raw/{name}: no such file\. Put the competition's {name} there"):
        ingest(raw, load_tiny("ingest.sample=true"), None, print)
    assert contents(raw) == tiny_files


def test_a_source_mends_a_file_missing_in_raw(
    tiny_files: Files, tiny_source: Path, tiny_root: Path, load_tiny: LoadTiny
) -> None:
    raw = write_files(tiny_root / "data" / "tiny" / "raw", {TRAIN: tiny_files[TRAIN]})
    ingest(raw, load_tiny(), tiny_source, print)
    assert contents(raw).keys() == {*tiny_files, "provenance.json"}


def test_a_folder_in_the_place_of_a_file_is_named(tiny_source: Path, tiny_root: Path, load_tiny: LoadTiny) -> None:
    (tiny_source / SAMPLE).unlink()
    (tiny_source / SAMPLE).mkdir()
    with pytest.raises(DataError, match=r"source/sample_submission\.csv: cannot be read: .*Make it a readable file"):
        ingest(tiny_root / "data" / "tiny" / "raw", load_tiny(), tiny_source, print)


def test_a_source_that_is_no_folder_is_named(tmp_path: Path, load_tiny: LoadTiny) -> None:
    with pytest.raises(DataError, match=r"nowhere: no such folder\. Give --source the folder that holds train\.csv"):
        ingest(tmp_path / "raw", load_tiny(), tmp_path / "nowhere", print)


def test_columns_that_are_all_constant_leave_nothing_to_learn(tiny_files: Files, load_tiny: LoadTiny) -> None:
    for name in (TRAIN, TEST):
        for column in ("Area", "Rooms", "Street", "Pool"):
            without_column(name, column)(tiny_files)
        with_column(name, "Country", "here")(tiny_files)
    with pytest.raises(DataError, match=r"train\.csv: every feature column is empty or constant.*Add columns"):
        read_tables(tiny_files, load_tiny("ingest.none_columns=[]"))


# ------------------------------------------------------------------ recipes for other columns

RECIPE_FAULTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "none_columns": ('ingest.none_columns=["Poool"]', ("[ingest].none_columns", "'Poool'", "did you mean 'Pool'")),
    "normalize_text": ('ingest.normalize_text=["Steret"]', ("[ingest].normalize_text", "did you mean 'Street'")),
    "normalize_text of numbers": (
        'ingest.normalize_text=["Area"]',
        ("[ingest].normalize_text", "'Area'", "Take it out"),
    ),
    "exclude_ids": ('ingest.exclude_ids=["1"]', ("[ingest].exclude_ids", "train.csv: 1", "Take them out")),
    "number": ('features.default.number=["Romos"]', ("number: no column 'Romos' in train.csv", "did you mean 'Rooms'")),
    "category": ('features.default.category=["Romos"]', ("category: no column 'Romos'", "did you mean 'Rooms'")),
    "drop": ('features.default.drop=["Romos"]', ("drop: no column 'Romos'", "did you mean 'Rooms'")),
    "number of text": (
        'features.default.number=["Street"]',
        ("train.csv", "'Street' has the role number", "'Pave'", "ids 001", "change the role"),
    ),
    "ordinal": (
        'features.default.ordinal=[{columns=["Streat"], order=["Pave", "Grvl"]}]',
        ("ordinal: no column 'Streat'", "did you mean 'Street'"),
    ),
    "ordinal label": (
        'features.default.ordinal=[{columns=["Street"], order=["Pave", "Sand"]}]',
        ("train.csv", "'Street'", "'Grvl'", "(ids 003", "['Pave', 'Sand']", "Add them to the order"),
    ),
    "derived from nothing": (
        'features.default.derived.Size="Aera * 2"',
        ("derived column 'Size'", "no column 'Aera'", "did you mean 'Area'"),
    ),
    "derived over another": (
        'features.default.derived.Area="Area * 2"',
        ("derived column 'Area'", "has this name already", "Choose another name"),
    ),
    "derived from text": (
        'features.default.derived.Size="Street * 2"',
        ("derived column 'Size'", "'Street' is text", "Give the column an order"),
    ),
}


def read_and_build(files: Files, competition: Competition) -> FeatureSet:
    tables = read_tables(files, competition)
    folds = make_folds(len(tables.train), competition.folds["main"])
    return build_features(tables, competition.features["default"], folds, competition.ingest)


@pytest.mark.parametrize(("override", "words"), RECIPE_FAULTS.values(), ids=RECIPE_FAULTS)
def test_a_recipe_for_columns_that_are_not_there_is_refused(
    override: str, words: tuple[str, ...], tiny_files: Files, load_tiny: LoadTiny
) -> None:
    with pytest.raises(HousePriceError) as refusal:
        read_and_build(tiny_files, load_tiny(override))
    missing = [word for word in words if word not in str(refusal.value)]
    assert not missing, f"not in the message {str(refusal.value)!r}: {missing}"


def test_more_folds_than_rows_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"k = 10 folds of 9 training rows.*Set k to 9 or less"):
        make_folds(9, Folds(k=10))


def test_two_rows_are_the_fewest_that_can_be_cross_validated() -> None:
    assert sorted(make_folds(2, Folds(k=2))[0]) == [0, 1]


def test_an_unknown_experiment_is_named_with_the_nearest(load_tiny: LoadTiny) -> None:
    with pytest.raises(ConfigError, match=r"unknown experiment 'rigde' in competition 'tiny'; did you mean 'ridge'\?"):
        load_tiny().experiment_name("rigde")


# ------------------------------------------------------------------ disks that do not take it


@pytest.fixture
def filed(tiny_root: Path, tiny_source: Path, load_tiny: LoadTiny) -> Path:
    """The tiny project with its raw files, and in ``tiny_source`` a changed training file."""
    ingest(tiny_root / "data" / "tiny" / "raw", load_tiny(), tiny_source, print)
    train = tiny_source / TRAIN
    train.write_bytes(train.read_bytes() + b"".join(b"%d,1500,3,Pave,NA,99000\n" % i for i in range(500, 1500)))
    return tiny_root


def test_a_write_that_fails_in_its_midst_leaves_the_old_files(
    filed: Path, tiny_source: Path, load_tiny: LoadTiny
) -> None:
    before = contents(filed)
    problem = pytest.raises(StorageError, match=r"raw: cannot be written: .*nothing was left behind.*Free some space")
    with files_no_larger_than(8192), problem:
        ingest(filed / "data" / "tiny" / "raw", load_tiny(), tiny_source, lambda line: None)
    assert contents(filed) == before


def test_an_atomic_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "entry.csv"
    write_text(path, "old")
    problem = pytest.raises(StorageError, match=r"entry\.csv: cannot be written: .*Free some space")
    with files_no_larger_than(8192), problem:
        write_text(path, "new" * 9000)
    assert contents(tmp_path) == {"entry.csv": b"old"}


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 128 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no tiny disk can be mounted here ({error}); a failing write is tried above")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_the_old_files(
    tiny_disk: Path, tiny_source: Path, load_tiny: LoadTiny, tiny_files: Files
) -> None:
    raw = write_files(tiny_disk / "tiny" / "raw", tiny_files)
    ingest(raw, load_tiny(), None, print)
    train = tiny_source / TRAIN
    train.write_bytes(train.read_bytes() + b"".join(b"%d,1500,3,Pave,NA,99000\n" % i for i in range(1000, 9000)))
    before = contents(tiny_disk)
    with pytest.raises(StorageError, match=r"raw: cannot be written: No space left on device; nothing was left behind"):
        ingest(raw, load_tiny(), tiny_source, print)
    with pytest.raises(StorageError, match=r"big\.csv: cannot be written: No space left on device"):
        write_text(tiny_disk / "big.csv", "x" * 200_000)
    assert contents(tiny_disk) == before


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, tiny_source: Path, load_tiny: LoadTiny) -> None:
    """Below a regular file nobody can write, not even root."""
    (tmp_path / "file").write_text("in the way")
    raw = tmp_path / "file" / "raw"
    with pytest.raises(StorageError, match=r"file/raw: cannot be written: .*file is no folder, .*Move it away"):
        ingest(raw, load_tiny(), tiny_source, print)
    with pytest.raises(StorageError, match=r"file/raw/entry\.csv: cannot be written"):
        write_text(raw / "entry.csv", "text")
    assert contents(tmp_path)["file"] == b"in the way"


@pytest.mark.parametrize("huge", ["1e308", "-1e200"])
def test_numbers_too_large_to_standardise_are_refused_not_dropped(
    huge: str, tiny_files: Files, load_tiny: LoadTiny
) -> None:
    for row_id in ("002", "003"):
        cell(TRAIN, row_id, "Area", huge)(tiny_files)
    with pytest.raises(DataError, match=r"too large.*'Area'.*Rescale or drop it"):
        read_and_build(tiny_files, load_tiny())
