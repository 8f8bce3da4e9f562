"""Reading CSV files: every cell accounted for, one type a column, gaps as the competition file says."""

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conftest import LoadTiny
from houseprice.config import Competition
from houseprice.data.new_rows import layout_of, read_new_rows
from houseprice.data.tables import Tables, read_tables
from houseprice.errors import ConfigError, DataError

Files = dict[str, bytes]
TEXT = pd.Series(["a"], dtype="str").dtype  # object in pandas 2


def files_of(train: str, test: str) -> Files:
    """Files of two columns beside id and price; each argument holds rows of ``id,a,b`` without their prices."""
    rows = [line + f",{100 + n}" for n, line in enumerate(train.split())]
    return {
        "train.csv": "\n".join(["Id,a,b,Price", *rows]).encode(),
        "test.csv": "\n".join(["Id,a,b", *test.split()]).encode(),
    }


def read(train: str, test: str, load_tiny: LoadTiny, *overrides: str) -> Tables:
    return read_tables(files_of(train, test), load_tiny("ingest.none_columns=[]", *overrides))


def assert_same(one: Tables, other: Tables) -> None:
    pd.testing.assert_frame_equal(one.train, other.train)
    pd.testing.assert_frame_equal(one.test, other.test)
    pd.testing.assert_series_equal(one.target, other.target)
    pd.testing.assert_index_equal(one.sample_ids, other.sample_ids)
    assert one.notices == other.notices


def test_tables_are_typed_and_indexed_by_id(tiny_files: Files, load_tiny: LoadTiny) -> None:
    tables = read_tables(tiny_files, load_tiny())
    assert list(tables.train.columns) == list(tables.test.columns) == ["Area", "Rooms", "Street", "Pool"]
    assert tables.train[["Area", "Rooms"]].dtypes.eq(np.float64).all()
    assert tables.train[["Street", "Pool"]].dtypes.eq(TEXT).all()
    assert tables.target.dtype == np.float64
    assert list(tables.train.index) == list(tables.target.index) == [f"{i:03d}" for i in range(1, 25)]
    assert list(tables.sample_ids) == [f"{i}" for i in range(101, 109)]


def test_tables_are_stored_as_they_are(tiny_files: Files, load_tiny: LoadTiny) -> None:
    """Text lies on the disk as codes; what comes back has the same cells, gaps and types."""
    tables = read_tables(tiny_files, load_tiny("ingest.none_columns=[]", 'folds.main={scheme="given", by="Street"}'))
    assert tables.train["Pool"].isna().any()
    assert not tables.by.empty
    loaded = pickle.loads(pickle.dumps(tables))
    assert_same(loaded, tables)
    pd.testing.assert_frame_equal(loaded.by, tables.by)
    assert loaded.train["Pool"].dtype == TEXT


def test_none_of_it_is_a_category_and_a_gap_is_a_gap(tiny_files: Files, load_tiny: LoadTiny) -> None:
    """ "NA" means "no pool" in Pool, a column of [ingest].none_columns, and "not recorded" in Area."""
    tables = read_tables(tiny_files, load_tiny())
    assert set(tables.train["Pool"]) == {"None", "Gd"}
    assert list(tables.train.index[tables.train["Area"].isna()]) == ["005", "016"]
    everything_missing = read_tables(tiny_files, load_tiny("ingest.none_columns=[]"))
    assert (everything_missing.train["Pool"].isna() == (tables.train["Pool"] == "None")).all()


def test_an_empty_cell_of_a_none_column_is_still_a_gap(tiny_files: Files, load_tiny: LoadTiny) -> None:
    tiny_files["train.csv"] = tiny_files["train.csv"].replace(b"Pave,NA,", b"Pave,,", 1)
    pool = read_tables(tiny_files, load_tiny()).train["Pool"]
    assert list(pool.index[pool.isna()]) == ["001"]


# ------------------------------------------------------------------ accepted ways to write the same file


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: data.replace(b"\n", b"\r"),
        lambda data: data.rstrip(b"\n"),
        lambda data: b"\n\n" + data.replace(b"\n", b"\n\n", 5),
        lambda data: data.replace(b"Pave", b'"Pave"').replace(b"Id", b'"Id"'),
        lambda data: b"\xef\xbb\xbf" + data.replace(b"Id", b'"Id"').replace(b"\n", b"\r\n"),
    ],
    ids=["BOM", "CRLF", "CR", "no last line end", "blank lines", "quotes", "BOM, quotes and CRLF"],
)
def test_other_ways_to_write_a_file_read_the_same(rewrite: object, tiny_files: Files, load_tiny: LoadTiny) -> None:
    assert callable(rewrite)
    rewritten = {name: rewrite(data) for name, data in tiny_files.items()}
    assert_same(read_tables(rewritten, load_tiny()), read_tables(tiny_files, load_tiny()))


@pytest.mark.parametrize(
    ("written", "label"),
    [
        (b'"a, b"', "a, b"),
        (b'"two\nlines"', "two\nlines"),
        (b'"two\r\nlines"', "two\r\nlines"),
        (b'"a ""b"""', 'a "b"'),
        ("Straße 東京 🏠".encode(), "Straße 東京 🏠"),
        (b" Pave ", " Pave "),
        (b"x" * 100_000, "x" * 100_000),
    ],
    ids=["comma", "line end", "CRLF", "quotes", "Unicode", "blanks", "long"],
)
def test_a_cell_is_read_as_it_stands(written: bytes, label: str, tiny_files: Files, load_tiny: LoadTiny) -> None:
    tiny_files["train.csv"] = tiny_files["train.csv"].replace(b"Pave", written, 1)
    assert read_tables(tiny_files, load_tiny()).train["Street"].iloc[0] == label


@pytest.mark.parametrize(
    "name", ["index", "name", "dtype", "columns", "T", "0", "size", "None", "Unnamed: 0", " a ", "ü"]
)
def test_a_column_may_be_called_anything(name: str, tiny_files: Files, load_tiny: LoadTiny) -> None:
    files = {file: data.replace(b"Rooms", name.encode()) for file, data in tiny_files.items()}
    tables = read_tables(files, load_tiny())
    assert list(tables.train.columns) == ["Area", name, "Street", "Pool"]
    assert tables.train[name].tolist() == read_tables(tiny_files, load_tiny()).train["Rooms"].tolist()


@pytest.mark.parametrize("ids", ["007 7 07", "1.0 1 1.00", "NA nan null", "True False true", "1e3 1000 ١"])
def test_ids_are_text_exactly_as_they_stand(ids: str, load_tiny: LoadTiny) -> None:
    train = "\n".join(f"{row_id},{n},{n}" for n, row_id in enumerate(ids.split()))
    assert list(read(train, "8,1,1 9,2,2", load_tiny).train.index) == ids.split()


# ------------------------------------------------------------------ one type for train and test together


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("True False True", "False True NA"),
        ("true FALSE True", "True False True"),
        ("01 x 2.50", "01 1.0 1e3"),
        ("a b NA", "1 2 3"),
        ("a b NA", "True False True"),
        ("a b NA", "NA NA NA"),
        ("1_000 0x10 5", "1 2 3"),
        ("5% 6% 7%", "5% 6% 7%"),
        ("2010-01-05 2011-02-06 2012-03-07", "2010-01-05 2010-01-05 2010-01-05"),
    ],
)
def test_text_keeps_its_cells_even_where_one_file_looks_like_numbers(
    train: str, test: str, load_tiny: LoadTiny
) -> None:
    def rows(cells: str) -> str:
        return " ".join(f"{row_id},{cell},{row_id}" for row_id, cell in enumerate(cells.split()))

    tables = read(rows(train), rows(test), load_tiny)
    for frame, cells in ((tables.train, train), (tables.test, test)):
        assert frame["a"].dtype == TEXT
        assert frame["a"].fillna("NA").tolist() == cells.split()


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("0.1", 0.1),
        ("1e-5", 1e-5),
        ("+5", 5.0),
        (".5", 0.5),
        ("007", 7.0),
        ("-0", -0.0),
        ("123456789012345678901234567890", 1.2345678901234568e29),
        ("18446744073709551615", 1.8446744073709552e19),
        ("0.3333333333333333333333", 1 / 3),
        ("NA", np.nan),
        ("", np.nan),
    ],
)
def test_numbers_are_read_to_the_last_bit(cell: str, number: float, load_tiny: LoadTiny) -> None:
    tables = read(f"1,{cell},1 2,2,2", "3,3,3", load_tiny)
    assert tables.train["a"].dtype == tables.test["a"].dtype == np.float64
    np.testing.assert_array_equal(tables.train["a"], [number, 2.0])


def test_a_number_column_may_be_all_missing_in_test(load_tiny: LoadTiny) -> None:
    tables = read("1,1,1 2,2,2", "3,NA,3", load_tiny)
    assert tables.test["a"].dtype == np.float64


# ------------------------------------------------------------------ what is dropped, excluded, normalised


def test_columns_without_information_are_dropped_with_a_notice(tiny_files: Files, load_tiny: LoadTiny) -> None:
    for name in ("train.csv", "test.csv"):
        head, *rows = tiny_files[name].splitlines()
        rows = [b"NA,here,%s,%s" % (b"NA" if n % 2 else b"yes", row) for n, row in enumerate(rows)]
        tiny_files[name] = b"\n".join([b"Empty,Country,Sometimes," + head, *rows])
    tables = read_tables(tiny_files, load_tiny())
    kept = ["Sometimes", "Area", "Rooms", "Street", "Pool"]  # one label and gaps: whether it is there tells something
    assert list(tables.train.columns) == list(tables.test.columns) == kept
    assert tables.notices == (
        "train.csv: dropped columns that have no value in all 24 rows: Empty",
        "train.csv: dropped columns that have one value in all 24 rows: Country",
    )


def test_test_columns_follow_the_order_of_train(tiny_files: Files, load_tiny: LoadTiny) -> None:
    expected = read_tables(tiny_files, load_tiny())
    rows = [line.split(b",") for line in tiny_files["test.csv"].splitlines()]
    tiny_files["test.csv"] = b"\n".join(
        b",".join([*row[::-1], b"surplus" if n else b"Zone"]) for n, row in enumerate(rows)
    )
    tables = read_tables(tiny_files, load_tiny())
    pd.testing.assert_frame_equal(tables.test, expected.test)
    assert tables.notices == ("test.csv: dropped columns that train.csv does not have: Zone",)


def test_excluded_rows_are_as_if_they_were_not_there(load_tiny: LoadTiny) -> None:
    tables = read("1,1,1 2,2,2 bad,oops,3", "3,3,3", load_tiny, 'ingest.exclude_ids=["bad"]')
    assert list(tables.train.index) == list(tables.target.index) == ["1", "2"]
    assert tables.train["a"].dtype == np.float64


def test_rows_without_a_target_are_left_out_where_told(tiny_files: Files, load_tiny: LoadTiny) -> None:
    rows = tiny_files["train.csv"].splitlines()
    cut = {**tiny_files, "train.csv": b"\n".join([rows[0], rows[1].rpartition(b",")[0] + b",NA", *rows[2:]])}
    with pytest.raises(DataError, match=r"or all without a target by \[ingest\]\.skip_without_target = true"):
        read_tables(cut, load_tiny())
    tables = read_tables(cut, load_tiny("ingest.skip_without_target=true"))
    assert list(tables.train.index) == list(tables.target.index) == [f"{row:03}" for row in range(2, 25)]
    assert tables.notices[0] == "train.csv: left out 1 of 24 rows, which have no 'Price' (ids 001)"


def test_a_target_column_of_the_test_file_may_be_empty(tiny_files: Files, load_tiny: LoadTiny) -> None:
    expected = read_tables(tiny_files, load_tiny())
    head, *rows = tiny_files["test.csv"].splitlines()
    with_target = {**tiny_files, "test.csv": b"\n".join([head + b",Price", *(row + b",NA" for row in rows)])}
    tables = read_tables(with_target, load_tiny())
    pd.testing.assert_frame_equal(tables.test, expected.test)
    assert tables.notices[0] == "test.csv: dropped the target column 'Price', which is empty"
    with_target["test.csv"] = with_target["test.csv"].replace(b",NA\n", b",1\n", 1)
    with pytest.raises(DataError, match="has the target column 'Price'; a test file has no target"):
        read_tables(with_target, load_tiny())


def test_a_first_column_may_lack_its_name(tiny_files: Files, load_tiny: LoadTiny) -> None:
    """As pandas writes the numbers of rows."""
    files = dict(tiny_files)
    for name in ("train.csv", "test.csv"):
        head, *rows = files[name].splitlines()
        files[name] = b"\n".join([b"," + head, *(b"%d,%s" % (number, row) for number, row in enumerate(rows))])
    assert list(read_tables(files, load_tiny()).train.columns) == ["Unnamed: 0", "Area", "Rooms", "Street", "Pool"]
    files["sample_submission.csv"] = files["sample_submission.csv"].replace(b"Id", b"", 1)
    with pytest.raises(DataError, match=r"sample_submission\.csv: columns without a name in the header: number 1"):
        read_tables(files, load_tiny())


def test_sample_ids_that_are_written_otherwise_are_told(tiny_files: Files, load_tiny: LoadTiny) -> None:
    head, *rows = tiny_files["sample_submission.csv"].splitlines()
    tiny_files["sample_submission.csv"] = b"\n".join([head, *(row.replace(b",", b".0,", 1) for row in rows)])
    with pytest.raises(DataError, match=r"They are the same numbers: write them as in test\.csv, 101\."):
        read_tables(tiny_files, load_tiny())


def test_text_is_normalised_only_where_asked(tiny_files: Files, load_tiny: LoadTiny) -> None:
    """The label for "none of it" stays as it is, for ordinals name it; a cell of blanks becomes a gap."""
    files = {name: data.replace(b"Pave", b"  PAVE \t road ", 1) for name, data in tiny_files.items()}
    files["train.csv"] = files["train.csv"].replace(b",Gd,", b",  ,", 1)
    as_it_stands = read_tables(files, load_tiny())
    assert as_it_stands.train["Street"].iloc[0] == "  PAVE \t road "
    train = read_tables(files, load_tiny('ingest.normalize_text=["Street", "Pool"]')).train
    assert set(train["Street"]) == {"pave road", "pave", "grvl"}
    assert set(train["Pool"].dropna()) == {"None", "gd"}
    assert list(train.index[train["Pool"].isna()]) == ["005"]


# ------------------------------------------------------------------ the real files


def test_the_real_files_have_their_shapes_types_and_gaps(house_prices_tables: Tables) -> None:
    train, test = house_prices_tables.train, house_prices_tables.test
    assert (train.shape, test.shape) == ((1460, 79), (1459, 79))
    assert len(train.select_dtypes("number").columns) == 36
    assert house_prices_tables.notices == ()
    assert (train["PoolQC"] == "None").sum() == 1453
    assert (train["LotFrontage"].isna().sum(), train["Electrical"].isna().sum()) == (259, 1)
    assert (house_prices_tables.target.min(), house_prices_tables.target.max()) == (34900, 755000)


def test_the_real_files_hold_what_pandas_reads(
    house_prices_tables: Tables, shared_house_prices: Path, house_prices: Competition
) -> None:
    for name, frame in (("train.csv", house_prices_tables.train), ("test.csv", house_prices_tables.test)):
        expected = pd.read_csv(shared_house_prices / name, index_col="Id", keep_default_na=False, na_values=["", "NA"])
        expected.index = expected.index.astype("str")
        for column in frame.columns.intersection(list(house_prices.ingest.none_columns)):
            expected[column] = expected[column].fillna(house_prices.ingest.none_label)
        pd.testing.assert_frame_equal(frame, expected[list(frame.columns)], check_dtype=False)


# files in another form ------------------------------------------------------------------------------------


def without_id(data: bytes) -> bytes:
    return b"\n".join(line.partition(b",")[2] for line in data.split(b"\n"))


def test_a_training_file_without_an_id_is_numbered(tiny_files: Files, load_tiny: LoadTiny) -> None:
    whole = read_tables(tiny_files, load_tiny())
    files = tiny_files | {"train.csv": without_id(tiny_files["train.csv"])}
    tables = read_tables(files, load_tiny('ingest.numbered=["train.csv"]'))
    assert list(tables.train.index) == list(tables.target.index) == [str(row) for row in range(1, 25)]
    pd.testing.assert_frame_equal(tables.train.reset_index(drop=True), whole.train.reset_index(drop=True))
    pd.testing.assert_frame_equal(tables.test, whole.test)
    with pytest.raises(DataError, match="no id column 'Id'"):
        read_tables(files, load_tiny())


def test_a_test_file_without_an_id_has_those_of_the_sample_submission(tiny_files: Files, load_tiny: LoadTiny) -> None:
    whole = read_tables(tiny_files, load_tiny())
    files = {name: data if name.startswith("sample") else without_id(data) for name, data in tiny_files.items()}
    competition = load_tiny('ingest.numbered=["train.csv", "test.csv"]')
    tables = read_tables(files, competition)
    pd.testing.assert_frame_equal(tables.test, whole.test)
    later = read_new_rows(files["test.csv"], "later.csv", competition, layout_of(tables), print)
    assert list(later.index) == [str(row) for row in range(1, 9)]
    del files["sample_submission.csv"]
    assert list(read_tables(files, competition).sample_ids) == [str(row) for row in range(1, 9)]
    files["sample_submission.csv"] = b"Id,Price\n101,0\n"
    with pytest.raises(DataError, match=r"its ids are not those of test\.csv"):
        read_tables(files, competition)


def test_ids_of_a_file_count_though_it_is_said_to_have_none(tiny_files: Files, load_tiny: LoadTiny) -> None:
    head, *rows = tiny_files["sample_submission.csv"].splitlines()
    files = tiny_files | {"sample_submission.csv": b"\n".join([head, *reversed(rows)])}
    tables = read_tables(files, load_tiny('ingest.numbered=["train.csv", "test.csv"]'))
    pd.testing.assert_frame_equal(tables.test, read_tables(tiny_files, load_tiny()).test)
    assert list(tables.sample_ids) == [str(row) for row in range(108, 100, -1)]


def test_rows_are_counted_by_a_sample_submission_that_is_sorted_as_text(tiny_files: Files, load_tiny: LoadTiny) -> None:
    sample = b"Id,Price\n" + b"".join(b"%d,0\n" % number for number in (10, 11, 12, 13, 6, 7, 8, 9))
    files = {"train.csv": tiny_files["train.csv"], "test.csv": without_id(tiny_files["test.csv"])}
    tables = read_tables(files | {"sample_submission.csv": sample}, load_tiny('ingest.numbered=["test.csv"]'))
    assert list(tables.test.index) == [str(number) for number in range(6, 14)]
    assert list(tables.sample_ids) == ["10", "11", "12", "13", "6", "7", "8", "9"]


def test_ids_that_no_file_has_are_not_kept(load_tiny: LoadTiny) -> None:
    with pytest.raises(ConfigError, match=r"keep_id: no ids to keep in train\.csv"):
        load_tiny('ingest.numbered=["train.csv"]', "ingest.keep_id=true")


def test_a_kept_id_is_a_column_as_any_other(tiny_files: Files, load_tiny: LoadTiny) -> None:
    tables = read_tables(tiny_files, load_tiny("ingest.keep_id=true"))
    assert list(tables.train.groupby("Id").size()) == [1] * 24


@pytest.mark.parametrize("name", ["Id", "' '"])
def test_a_made_sample_submission_has_a_sound_header(name: str, tiny_files: Files, load_tiny: LoadTiny) -> None:
    files = {name: data for name, data in tiny_files.items() if name != "sample_submission.csv"}
    with pytest.raises(DataError, match=r"a submission can't have columns named '(Id| )' beside 'Id'"):
        read_tables(files, load_tiny(f"ingest.sample_target={name}"))


def test_an_id_may_be_a_feature(tiny_files: Files, load_tiny: LoadTiny) -> None:
    competition = load_tiny("ingest.keep_id=true")
    tables = read_tables(tiny_files, competition)
    assert list(tables.train.columns) == ["Id", "Area", "Rooms", "Street", "Pool"]
    assert list(tables.train["Id"]) == list(range(1, 25))
    assert list(tables.sample_ids) == list(tables.test.index) == [str(row) for row in range(101, 109)]
    later = read_new_rows(tiny_files["test.csv"], "later.csv", competition, layout_of(tables), print)
    pd.testing.assert_frame_equal(later, tables.test)


def test_a_sample_submission_may_call_the_target_otherwise(tiny_files: Files, load_tiny: LoadTiny) -> None:
    files = tiny_files | {"sample_submission.csv": tiny_files["sample_submission.csv"].replace(b"Price", b"Predicted")}
    assert read_tables(files, load_tiny("ingest.sample_target=Predicted")).sample_columns == ("Predicted",)
    with pytest.raises(DataError, match=r"or name its column under \[ingest\].sample_target"):
        read_tables(files, load_tiny())


# classes --------------------------------------------------------------------------------------------------


def classes_of(labels: str, load_tiny: LoadTiny, *overrides: str, sample: str = "Price") -> Tables:
    """Tables whose target is these labels, one a row; the sample submission has these columns beside the id."""
    rows = [f"{row},{row % 7},{row % 3},{label}" for row, label in enumerate(labels.split())]
    cells = ",0" * len(sample.split(","))
    files = {
        "train.csv": "\n".join(["Id,a,b,Price", *rows]).encode(),
        "test.csv": b"Id,a,b\nx,1,2\ny,3,0",
        "sample_submission.csv": "\n".join([f"Id,{sample}", f"x{cells}", f"y{cells}"]).encode(),
    }
    return read_tables(files, load_tiny("ingest.none_columns=[]", 'experiments.ridge={ kind = "linear" }', *overrides))


BINARY = ("task=binary", "metric=accuracy")
MULTICLASS = ("task=multiclass", "metric=accuracy")


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ("0 1 1 0 1 0", ("0", "1")),
        ("True False True False", ("False", "True")),
        ("yes no no yes", ("no", "yes")),
        ("10 9 10 9", ("9", "10")),
    ],
)
def test_two_classes_are_codes_in_the_files_own_text(
    labels: str, classes: tuple[str, str], load_tiny: LoadTiny
) -> None:
    tables = classes_of(labels, load_tiny, *BINARY)
    assert tables.classes == classes
    assert [tables.classes[int(code)] for code in tables.target] == labels.split()
    assert tables.target.dtype == np.float64


def test_the_file_says_which_class_is_positive(load_tiny: LoadTiny) -> None:
    tables = classes_of("yes no no yes", load_tiny, *BINARY, "positive=no")
    assert tables.classes == ("yes", "no")
    assert list(tables.target) == [0, 1, 1, 0]
    with pytest.raises(ConfigError, match=r"positive: 'on' is no class of 'Price'; 2 classes: no, yes"):
        classes_of("yes no no yes", load_tiny, *BINARY, "positive=on")


@pytest.mark.parametrize(
    ("labels", "task", "message"),
    [
        ("1 1 1 1", BINARY, "one class in all 4 rows, '1'"),
        ("1 2 3 1 2 3", BINARY, 'task binary has 2. Correct the rows, or set task = "multiclass"'),
        ("1 2 1 2 1 2", MULTICLASS, 'set task = "binary"'),
        ("1.5 2.5 3.1 4.7", MULTICLASS, 'If these are numbers, set task = "regression"'),
        ("1 2 NA 1", BINARY, r"1 of 4 rows have no class \(ids 2\)"),
        ("yes no no yes", (), 'if these are classes, set task = "binary" or "multiclass"'),
    ],
)
def test_a_target_that_is_not_what_the_task_says(
    labels: str, task: tuple[str, ...], message: str, load_tiny: LoadTiny
) -> None:
    with pytest.raises(DataError, match=message):
        classes_of(labels, load_tiny, *task)


def test_a_class_with_fewer_rows_than_folds_is_told(load_tiny: LoadTiny) -> None:
    tables = classes_of("a a a a b b b b c c", load_tiny, *MULTICLASS)
    (notice,) = (notice for notice in tables.notices if "fewer rows" in notice)
    assert "than the 4 folds" in notice
    assert "'c' (2)" in notice


def test_a_submission_may_have_a_column_for_each_class(load_tiny: LoadTiny) -> None:
    labels, read = "a a b b c c a", ("task=multiclass", "metric=log_loss")
    assert classes_of(labels, load_tiny, *read, sample="c,a,b").sample_columns == ("c", "a", "b")
    assert classes_of(labels, load_tiny, *read, sample="Price_c,Price_a,Price_b").sample_columns[0] == "Price_c"
    assert classes_of(labels, load_tiny, *MULTICLASS).sample_columns == ("Price",)
    with pytest.raises(DataError, match="metric log_loss reads a probability for each class: a, b, c"):
        classes_of(labels, load_tiny, *read)
    with pytest.raises(DataError, match="or the id and a column for each class: a, b, c"):
        classes_of(labels, load_tiny, *read, sample="a,b")
