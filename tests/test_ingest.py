"""Where the raw files come from: a folder, raw/ itself, the built-in sample. Downloads have tests of their own."""

import hashlib
import json
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from conftest import LoadTiny, contents, write_files
from houseprice.config import Competition
from houseprice.data.ingest import FILES, SAMPLE_BANNER, ingest, read_raw


@pytest.fixture
def raw(tiny_root: Path) -> Path:
    return tiny_root / "data" / "tiny" / "raw"


@pytest.fixture
def said() -> list[str]:
    return []


# ------------------------------------------------------------------ files already there, and --source


def test_a_source_is_copied_to_the_byte_with_its_provenance(
    raw: Path, tiny_source: Path, tiny_files: dict[str, bytes], load_tiny: LoadTiny, said: list[str]
) -> None:
    provenance = ingest(raw, load_tiny(), tiny_source, said.append)
    assert read_raw(raw) == tiny_files
    recorded = json.loads((raw / "provenance.json").read_text())
    assert (recorded["source"], recorded["origin"]) == ("local", "source")
    assert recorded["files"] == {
        name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in tiny_files.items()
    }
    assert provenance.hashes == {name: entry["sha256"] for name, entry in recorded["files"].items()}
    assert said == []


def test_a_source_that_differs_replaces_raw_and_says_so(
    raw: Path, tiny_source: Path, load_tiny: LoadTiny, said: list[str]
) -> None:
    ingest(raw, load_tiny(), tiny_source, said.append)
    (raw / "data_description.txt").write_text("the user's own")
    train = tiny_source / "train.csv"
    train.write_bytes(train.read_bytes().replace(b"Grvl", b"Sand"))
    ingest(raw, load_tiny(), tiny_source, said.append)
    assert said == [f"{raw}: replacing train.csv by those of source"]
    assert (raw / "train.csv").read_bytes() == train.read_bytes()
    assert (raw / "data_description.txt").read_text() == "the user's own"
    assert [path.name for path in raw.parent.iterdir() if path.name.startswith((".", "raw."))] == []


def test_the_same_source_again_writes_nothing(raw: Path, tiny_source: Path, load_tiny: LoadTiny) -> None:
    ingest(raw, load_tiny(), tiny_source, print)
    inodes = {path.name: path.stat().st_ino for path in raw.iterdir()}
    ingest(raw, load_tiny(), tiny_source, print)
    assert {path.name: path.stat().st_ino for path in raw.iterdir()} == inodes


def test_files_in_raw_come_before_every_other_source(
    raw: Path, tiny_files: dict[str, bytes], load_tiny: LoadTiny, said: list[str]
) -> None:
    write_files(raw, tiny_files)
    nowhere = f'{{url="http://nowhere.invalid/", sha1="{"0" * 40}"}}'
    mirror = f'ingest.mirror={{"train.csv"={nowhere}, "test.csv"={nowhere}}}'
    provenance = ingest(raw, load_tiny(mirror), None, said.append)
    assert (provenance.source, provenance.origin) == ("local", "found in raw/")
    assert said == [f"{raw}: files found without provenance.json; taken as local files"]
    assert ingest(raw, load_tiny(mirror), None, said.append) == provenance
    assert len(said) == 1
    assert read_raw(raw) == tiny_files


@pytest.mark.parametrize("record", ["", "{", "[]", "{}", '{"source": 1, "origin": 2, "files": 3}', "\x00"])
def test_a_provenance_that_cannot_be_read_is_reported_and_renewed(
    record: str, raw: Path, tiny_files: dict[str, bytes], load_tiny: LoadTiny, said: list[str]
) -> None:
    write_files(raw, {**tiny_files, "provenance.json": record.encode()})
    assert ingest(raw, load_tiny(), None, said.append).source == "local"
    assert len(said) == 1
    assert "taken as local files" in said[0]
    assert json.loads((raw / "provenance.json").read_text())["source"] == "local"


def test_a_file_that_was_edited_in_raw_is_no_longer_of_its_source(
    raw: Path, tiny_source: Path, load_tiny: LoadTiny, said: list[str]
) -> None:
    ingest(raw, load_tiny(), tiny_source, said.append)
    train = raw / "train.csv"
    train.write_bytes(train.read_bytes().replace(b"Grvl", b"Sand"))
    assert ingest(raw, load_tiny(), None, said.append).origin == "found in raw/"
    assert "its files are not those that provenance.json records" in said[0]


@pytest.mark.parametrize("where", ["raw", "source"])
def test_a_missing_sample_submission_is_made_from_the_test_ids(
    where: str, raw: Path, tmp_path: Path, tiny_files: dict[str, bytes], load_tiny: LoadTiny, said: list[str]
) -> None:
    """The public mirror has none; it is made of ids exactly as they stand, and of zeros."""
    del tiny_files["sample_submission.csv"]
    source = None if where == "raw" else write_files(tmp_path / "bare", tiny_files)
    if where == "raw":
        write_files(raw, tiny_files)
    provenance = ingest(raw, load_tiny(), source, said.append)
    assert provenance.files.keys() == {*FILES}
    assert (raw / "sample_submission.csv").read_text().splitlines()[:3] == ["Id,Price", "101,0", "102,0"]
    assert "sample_submission.csv: not found; made from the ids of test.csv" in said


def test_a_sample_submission_that_is_made_has_a_column_for_each_class_where_the_metric_reads_it(
    raw: Path, tiny_files: dict[str, bytes], load_tiny: LoadTiny
) -> None:
    rows = [line.rpartition(b",") for line in tiny_files["train.csv"].splitlines()]
    labels = [b"Price", *(b"abc"[row % 3 :][:1] for row in range(len(rows) - 1))]
    train = b"\n".join(b",".join((cells, label)) for (cells, *_), label in zip(rows, labels, strict=True))
    write_files(raw, {"train.csv": train, "test.csv": tiny_files["test.csv"]})
    linear = 'experiments.ridge={ kind = "linear" }'
    competition = load_tiny("task=multiclass", "metric=log_loss", linear)
    for _ in range(2):  # made, then read
        ingest(raw, competition, None, print)
        assert (raw / "sample_submission.csv").read_text().splitlines()[:2] == ["Id,a,b,c", "101,0,0,0"]


def test_notices_of_dropped_columns_are_said(
    raw: Path, tmp_path: Path, tiny_files: dict[str, bytes], load_tiny: LoadTiny, said: list[str]
) -> None:
    tiny_files["test.csv"] = b"".join(line + b",1\n" for line in tiny_files["test.csv"].splitlines())
    tiny_files["test.csv"] = tiny_files["test.csv"].replace(b"Pool,1", b"Pool,Zone")
    ingest(raw, load_tiny(), write_files(tmp_path / "zoned", tiny_files), said.append)
    assert said == ["test.csv: dropped columns that train.csv does not have: Zone"]


@pytest.mark.parametrize("killed", ["before the new files", "after the new files"])
def test_a_run_killed_while_it_replaced_raw_is_mended(
    killed: str, raw: Path, tiny_source: Path, tiny_files: dict[str, bytes], load_tiny: LoadTiny
) -> None:
    """raw/ is replaced by two renames; a kill between or behind them leaves ``raw.replaced``."""
    ingest(raw, load_tiny(), tiny_source, print)
    if killed == "before the new files":
        raw.rename(raw.with_name("raw.replaced"))
    else:
        write_files(raw.with_name("raw.replaced"), tiny_files)
    assert ingest(raw, load_tiny(), None, print).origin == "source"
    train = tiny_source / "train.csv"
    train.write_bytes(train.read_bytes().replace(b"Grvl", b"Sand"))
    ingest(raw, load_tiny(), tiny_source, print)
    assert not raw.with_name("raw.replaced").exists()
    assert (raw / "train.csv").read_bytes() == train.read_bytes()


def test_a_linked_raw_folder_stays_a_link(raw: Path, tmp_path: Path, tiny_source: Path, load_tiny: LoadTiny) -> None:
    target = tmp_path / "big-disk" / "tiny"
    target.mkdir(parents=True)
    raw.symlink_to(target)
    ingest(raw, load_tiny(), tiny_source, print)
    assert raw.is_symlink()
    assert contents(target).keys() == {*FILES, "provenance.json"}


# ------------------------------------------------------------------ the built-in sample


def test_the_sample_stands_in_and_never_passes_for_the_real_thing(
    tmp_path: Path, house_prices: Competition, said: list[str]
) -> None:
    offline = house_prices.ingest.model_copy(update={"mirror": {}, "kaggle": None})
    competition = house_prices.model_copy(update={"ingest": offline})
    raw = tmp_path / "one" / "raw"
    assert ingest(raw, competition, None, said.append).source == "sample"
    assert said == [SAMPLE_BANNER]
    assert ingest(raw, competition, None, said.append).source == "sample"
    (raw / "provenance.json").unlink()
    assert ingest(raw, competition, None, said.append).source == "sample", "its record is lost"
    copied = tmp_path / "two" / "raw"
    assert ingest(copied, competition, raw, said.append).source == "sample", "given as --source"
    assert said.count(SAMPLE_BANNER) == 4


def test_of_two_who_bring_files_at_once_one_waits(
    raw: Path, tiny_source: Path, tiny_files: dict[str, bytes], load_tiny: LoadTiny, tmp_path: Path
) -> None:
    """The second begins in the midst of the first, and finds neither the folder gone nor half of the files."""
    ingest(raw, load_tiny(), tiny_source, print)
    changed = {**tiny_files, "train.csv": tiny_files["train.csv"] + b"900,1500,3,Pave,NA,99000\n"}
    waits, heard = Event(), []

    def second_says(line: str) -> None:
        heard.append(line)
        waits.set()

    def second() -> None:
        ingest(raw, load_tiny(), tiny_source, second_says)
        waits.set()

    def first_says(line: str) -> None:
        assert "replacing train.csv" in line
        job.append(pool.submit(second))
        assert waits.wait(60)

    job: list[Future[None]] = []
    with ThreadPoolExecutor(1) as pool:
        ingest(raw, load_tiny(), write_files(tmp_path / "changed", changed), first_says)
        job[0].result()
    assert heard == [f"{raw}: another process is at it; waiting", f"{raw}: replacing train.csv by those of source"]
    assert read_raw(raw) == tiny_files
    assert sorted(path.name for path in raw.parent.iterdir()) == ["competition.toml", "raw"]
