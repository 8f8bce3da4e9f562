"""Disks that fill up, folders that can't be written, files that were damaged: the right result, or one clear line."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from sqlite3 import connect
from typing import Any

import pytest
from typer.testing import CliRunner

from competitions import COMPETITION, entry_of, houseprice_process, write_competition
from houseprice.cli import app
from houseprice.compete import leaderboard
from houseprice.errors import StorageError
from houseprice.learn.checkpoint import load_weights


def call(root: Path, *arguments: str) -> tuple[int, str, str]:
    """Run the command line within this process: its status, stdout and stderr. A traceback fails the test."""
    result = CliRunner().invoke(app, [*arguments, "--root", str(root), "--competition", "tiny"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def refused(root: Path, *arguments: str) -> str:
    """Run it to a status of 1, and return the one line that says why."""
    status, _, complaints = call(root, *arguments)
    assert status == 1, complaints
    *_, line = complaints.splitlines()
    assert line.startswith("error: ")
    return line


def submit(root: Path) -> str:
    """Submit to a good end, and return what was said."""
    status, _, said = call(root, "submit")
    assert status == 0, said
    return said


def board_of(root: Path) -> set[leaderboard.Row]:
    rows = leaderboard.rows(root / "data" / "tiny" / "leaderboard.db")
    return {replace(row, seconds=0, peak_memory_mb=0, created="") for row in rows}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("original")
    write_competition(root)
    submit(root)
    return root


@pytest.fixture
def root(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "project"))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a disk with some options, or mounts it anew with others."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> Path:
        again = "remount," if folder.is_mount() else ""
        command = ["mount", "-t", "tmpfs", "-o", again + options, "tmpfs", str(folder)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("needs the right to mount a tmpfs")
        return folder

    yield mount
    if folder.is_mount():
        subprocess.run(["umount", str(folder)], check=True)


# disks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kilobytes", range(32, 232, 24))
def test_a_disk_that_fills_up_ends_in_one_line_and_with_more_space_it_goes_on(
    original: Path, disk: Callable[[str], Path], kilobytes: int
) -> None:
    """The whole takes some 236 kB: here the artifacts fill the disk, there the leaderboard, in its file or its log."""
    root = disk(f"size={kilobytes}k") / "project"
    write_competition(root)
    assert "No space left on device" in (line := refused(root, "submit")) or "disk" in line
    assert [path for path in root.rglob("*") if ".part" in path.name] == []
    assert not entry_of(root).exists() or entry_of(root).read_bytes() == entry_of(original).read_bytes()
    disk("size=8m")
    assert "corrupt" not in submit(root)
    assert entry_of(root).read_bytes() == entry_of(original).read_bytes()
    assert board_of(root) == board_of(original)


def test_a_read_only_project_can_be_looked_at_and_says_what_it_cannot_do(
    original: Path, disk: Callable[[str], Path]
) -> None:
    root = Path(shutil.copytree(original, disk("size=8m") / "project"))
    disk("ro")
    for arguments in (["submit"], ["leaderboard"], ["explain"], ["ingest"], ["compare", "ridge", "mlp"]):
        status, shown, complaints = call(root, *arguments)
        assert (status, complaints) == (0, "")
        assert shown
    for arguments in (["train", "--set", "ridge.alpha=3"], ["report"]):
        assert "tiny/artifacts: cannot be written: Read-only file system" in refused(root, *arguments)
    for arguments in (["reproduce"], ["ingest", "--source", str(original / "data" / "tiny" / "raw")]):
        assert "cannot be written: Read-only file system" in refused(root, *arguments)
    assert "leaderboard can't be used: " in refused(root, "leaderboard", "--record", "blend", "--public", "0.1")


def test_an_older_leaderboard_in_a_read_only_folder_is_named(original: Path, disk: Callable[[str], Path]) -> None:
    root = Path(shutil.copytree(original, disk("size=8m") / "project"))
    with closing(connect(root / "data" / "tiny" / "leaderboard.db")) as database:
        database.execute("PRAGMA user_version = 1")
    disk("ro")
    assert "written by an older houseprice (schema 1; this one has 4)" in refused(root, "leaderboard")


# damaged files --------------------------------------------------------------------------------------------


def flip(part: float) -> Callable[[bytes], bytes]:
    def damage(data: bytes) -> bytes:
        place = min(len(data) - 1, int(part * len(data)))
        return data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]

    return damage


def cut(part: float) -> Callable[[bytes], bytes]:
    return lambda data: data[: min(len(data) - 1, int(part * len(data)))]


DAMAGES = {f"flip {part}": flip(part) for part in (0, 0.01, 0.2, 0.5, 0.8, 1)}
DAMAGES |= {f"cut {part}": cut(part) for part in (0, 0.5, 1)}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("name", ["value.joblib", "record.json"])
def test_damaged_artifacts_are_reported_and_computed_again(
    root: Path, original: Path, name: str, damage: Callable[[bytes], bytes]
) -> None:
    for path in root.rglob(name):
        path.write_bytes(damage(path.read_bytes()))
    entry_of(root).unlink()
    said = submit(root)
    assert said.count("corrupt artifact" if name == "value.joblib" else "counts as absent") >= 7
    assert entry_of(root).read_bytes() == entry_of(original).read_bytes()
    assert board_of(root) == board_of(original)
    assert submit(root) == ""


@pytest.mark.long
@pytest.mark.parametrize("slot", ["tables", "features", "train-ridge", "train-mlp", "train-tree", "ensemble", "submit"])
@pytest.mark.parametrize("name", ["value.joblib", "record.json", "weights.safetensors"])
def test_one_damaged_artifact_among_sound_ones_changes_no_result(
    root: Path, original: Path, slot: str, name: str
) -> None:
    for path in root.glob(f"data/tiny/artifacts/{slot}-*/{name}"):
        sound = path.read_bytes()
        for damage in DAMAGES.values():
            path.write_bytes(damage(sound))
            entry_of(root).unlink()
            submit(root)
            assert entry_of(root).read_bytes() == entry_of(original).read_bytes()
            assert board_of(root) == board_of(original)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_weights_are_named_by_whoever_loads_them(root: Path, damage: Callable[[bytes], bytes]) -> None:
    (path,) = root.rglob("weights.safetensors")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(StorageError, match=r"weights\.safetensors: (can't be read|holds no weights)"):
        load_weights(path)


def test_an_artifact_that_vanishes_between_its_record_and_its_value_is_computed_again(
    root: Path, original: Path
) -> None:
    for path in root.rglob("value.joblib"):
        path.unlink()
    entry_of(root).unlink()
    assert "corrupt artifact (No such file or directory)" in submit(root)
    assert entry_of(root).read_bytes() == entry_of(original).read_bytes()


# what is no file, and no folder ---------------------------------------------------------------------------

IN_THE_PLACE: dict[str, Callable[[Path], object]] = {
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to nowhere": lambda path: path.symlink_to("/nowhere/at/all"),
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "a file": Path.touch,
}
FOLDERS = {"raw": "data/tiny/raw", "artifacts": "data/tiny/artifacts", "submissions": "submissions"}


def put(kind: str, path: Path) -> None:
    """In the place of what is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    IN_THE_PLACE[kind](path)


@pytest.mark.parametrize("kind", ["a link to itself", "a link to nowhere", "a pipe", "a file"])
@pytest.mark.parametrize("name", FOLDERS)
def test_what_is_no_folder_is_named_with_the_way_out(root: Path, original: Path, name: str, kind: str) -> None:
    entry_of(root).unlink()
    put(kind, root / FOLDERS[name])
    line = refused(root, "submit")
    if (name, kind) == ("raw", "a link to nowhere"):  # where there could be files, there are none yet
        assert "no data for competition 'tiny': raw/ is empty" in line
    else:
        assert f"project/{FOLDERS[name]}" in line
        assert any(words in line for words in ("is no folder", "Not a directory", "Too many levels of symbolic links"))
    (root / FOLDERS[name]).unlink()
    assert "no folder" not in call(root, "submit", "--set", "threads=1")[2]


@pytest.mark.parametrize("kind", ["a link to itself", "a link to nowhere", "a pipe", "a folder"])
@pytest.mark.parametrize("name", ["train.csv", "test.csv", "sample_submission.csv"])
def test_a_raw_file_that_is_none_is_named(root: Path, name: str, kind: str) -> None:
    put(kind, root / "data" / "tiny" / "raw" / name)
    if (name, kind) == ("sample_submission.csv", "a link to nowhere"):  # it counts as absent, and is made
        submit(root)
        return
    assert f"raw/{name}: " in (line := refused(root, "submit"))
    assert "cannot be read: " in line or "no such file" in line


@pytest.mark.parametrize("kind", ["a link to itself", "a link to nowhere", "a pipe", "a folder"])
@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_an_entry_that_is_no_file_is_not_read(root: Path, suffix: str, kind: str) -> None:
    path = entry_of(root).with_suffix(suffix)
    put(kind, path)
    assert f"{path.name}: cannot be read: " in refused(root, "reproduce")
    status, _, said = call(root, "submit")
    assert status == (1 if kind == "a folder" else 0), said


@pytest.mark.parametrize("kind", ["a link to itself", "a pipe", "a folder"])
def test_a_competition_file_that_is_none_is_named(root: Path, kind: str) -> None:
    put(kind, root / "data" / "tiny" / "competition.toml")
    assert "competition.toml: cannot be read as TOML: " in refused(root, "submit")


@pytest.mark.parametrize("kind", ["a pipe", "a folder"])
def test_a_leaderboard_that_is_no_file_is_named(root: Path, kind: str) -> None:
    put(kind, root / "data" / "tiny" / "leaderboard.db")
    assert "leaderboard.db: " in refused(root, "leaderboard")


# ----------------------------------------------------------------------------------------------------------


def edit_records(root: Path, change: Callable[[dict[str, Any]], None]) -> None:
    for path in root.rglob("record.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        change(record)
        path.write_text(json.dumps(record), encoding="utf-8")


def test_artifacts_of_an_older_version_are_computed_again(root: Path, original: Path) -> None:
    """Records had no hash of their own once."""
    edit_records(root, lambda record: record.pop("check"))
    entry_of(root).unlink()
    assert "written by an older version" in submit(root)
    assert entry_of(root).read_bytes() == entry_of(original).read_bytes()
    edit_records(root, lambda record: record.update(key_of_the_future=1))
    assert "counts as absent" in submit(root)
    assert entry_of(root).read_bytes() == entry_of(original).read_bytes()


def test_a_clock_that_was_put_back_changes_nothing(root: Path, original: Path) -> None:
    """What was made in the future is up to date, and is told by its content from what is not."""
    then = time.time() + 400 * 86_400
    for path in root.rglob("*"):
        os.utime(path, (then, then))
    before = {path: path.stat().st_mtime for path in root.rglob("*") if path.is_file()}
    assert submit(root) == ""
    assert {path: path.stat().st_mtime for path in before} == before
    toml = root / "data" / "tiny" / "competition.toml"
    toml.write_text(COMPETITION.replace("alpha = 2.0", "alpha = 3.0"), encoding="utf-8")
    os.utime(toml, (1, 1))
    assert "train/ridge: done" in submit(root)
    assert entry_of(root).read_bytes() != entry_of(original).read_bytes()


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE leaderboard SET fold_scores = '[0.1'", "a row can't be read"),
        ("UPDATE leaderboard SET overrides = '7'", "a row can't be read"),
        ("UPDATE truths SET ids = '[\"1\"'", "can't be read"),
        ("UPDATE leaderboard SET oof = x'00'", "can't be read"),
        ("UPDATE folds SET n_repeats = 0", "does not fit together"),
    ],
)
def test_a_damaged_leaderboard_is_one_line(root: Path, statement: str, words: str) -> None:
    with closing(connect(root / "data" / "tiny" / "leaderboard.db")) as database, database:
        database.execute(statement)
    line = refused(root, "residuals", "ridge")
    assert words in line
    assert "Move the file away" in line


def test_raw_files_that_are_replaced_between_hashing_and_reading_are_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_competition(tmp_path)
    refused(tmp_path, "submit", "nothing")  # ingested now
    read_raw = "houseprice.data.ingest.read_raw"
    monkeypatch.setattr(read_raw, lambda raw: {"train.csv": b"", "test.csv": b"", "sample_submission.csv": b""})
    assert "raw: its files were replaced meanwhile. Run the command again." in refused(tmp_path, "submit")
    monkeypatch.undo()
    submit(tmp_path)


def test_a_real_process_says_the_same(root: Path) -> None:
    (root / "data" / "tiny" / "leaderboard.db").write_bytes(b"no database\n" * 1000)
    done = houseprice_process(root, "submit")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
