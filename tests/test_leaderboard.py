"""The leaderboard: one row a run, ensemble or entry with its evidence, whoever writes and however many at once."""

import fcntl
import json
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from competitions import environment, files_no_larger_than
from houseprice.compete import database
from houseprice.compete.database import SCHEMA_VERSION
from houseprice.compete.leaderboard import Evidence, Row, evidence_of, is_recorded, named, rows
from houseprice.compete.leaderboard import record as record_with_evidence
from houseprice.errors import LeaderboardError, StorageError

ROW = Row(
    name="mlp",
    kind="run",
    score=0.125,
    std_error=0.004,
    fold_scores=(0.12, 0.1234567890123456789, 0.13),
    train_score=0.1,
    columns=330,
    members=30,
    seconds=12.5,
    peak_memory_mb=800.0,
    source="local",
    sees_test=False,
    overrides=("mlp.epochs=3", 'mlp.activation="relu"'),
    git_commit=None,
    git_dirty=None,
    fingerprint="f" * 64,
    created="2026-01-01T00:00:00Z",
)
EVIDENCE = Evidence(
    ids=("1", "02", 'a,"b"', "ä"),
    target=np.array([12.0, 11.5, 13.25, np.pi]),
    oof=np.array([12.1, 11.4, 13.0, 1e-300]),
    fold_of_row=np.array([[0, 0, 1, 1], [2, 3, 2, 3]]),
)

SCHEMA_1 = """
CREATE TABLE leaderboard (
    name TEXT NOT NULL, kind TEXT NOT NULL, score REAL NOT NULL, std_error REAL NOT NULL, fold_scores TEXT NOT NULL,
    train_score REAL, columns INTEGER NOT NULL, members INTEGER NOT NULL, seconds REAL NOT NULL,
    peak_memory_mb REAL NOT NULL, source TEXT NOT NULL, sees_test INTEGER NOT NULL, overrides TEXT NOT NULL,
    git_commit TEXT, git_dirty INTEGER, fingerprint TEXT NOT NULL, created TEXT NOT NULL,
    PRIMARY KEY (kind, name, fingerprint)
) STRICT
"""  # as the first version wrote it


def record(path: Path, row: Row, evidence: Evidence = EVIDENCE) -> None:
    record_with_evidence(path, row, evidence)


def recorded(path: Path, row: Row) -> bool:
    return is_recorded(path, row.kind, row.name, row.fingerprint, row.source)


def write_version_1(path: Path, *old: Row) -> None:
    """A file as the first version left it: its schema, its journal, its rows."""
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("BEGIN IMMEDIATE")
        database.execute(SCHEMA_1)
        database.execute("PRAGMA user_version = 1")
        for row in old:
            values = asdict(row) | {name: json.dumps(getattr(row, name)) for name in ("fold_scores", "overrides")}
            del values["naive_score"], values["mean_score"]
            names = ", ".join(values)
            database.execute(f"INSERT INTO leaderboard ({names}) VALUES (:{names.replace(', ', ', :')})", values)


def ask(path: Path, question: str, *values: object) -> list[Any]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(question, values).fetchall()


def at_once(code: str, n: int = 8) -> None:
    """Run a program in processes of its own that all begin at the same moment; none may say a word on stderr."""
    path = f"{environment()['PYTHONPATH']}:{Path(__file__).parent}"
    beginning = "import sys; from test_leaderboard import *; print('ready', flush=True); sys.stdin.read()\n"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", beginning + code, str(number)],
            env=environment() | {"PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(n)
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.close()
        process.stdin = None
    assert [process.communicate()[1] for process in processes] == [""] * n


@pytest.fixture
def board(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "leaderboard.db"


def test_no_leaderboard_is_an_empty_one_and_looking_makes_none(board: Path) -> None:
    assert rows(board) == []
    assert not recorded(board, ROW)
    assert evidence_of(board, ROW) is None
    assert not board.parent.exists()


@pytest.mark.parametrize(
    "row",
    [
        ROW,
        replace(ROW, kind="ensemble", train_score=None, sees_test=True, git_commit="abc", git_dirty=True),
        replace(ROW, git_dirty=False, overrides=(), source="sample"),
        replace(ROW, kind="ensemble", train_score=None, naive_score=0.11, mean_score=0.13),
        replace(ROW, name="ä\"'; DROP TABLE leaderboard; --"),
    ],
)
def test_a_row_comes_back_as_it_was(board: Path, row: Row) -> None:
    record(board, row)
    assert rows(board) == [row]
    assert recorded(board, row)
    for other in ({"kind": "entry"}, {"name": "other"}, {"fingerprint": "0" * 64}, {"source": "mirror"}):
        assert not recorded(board, replace(row, **other))  # type: ignore[arg-type]


def test_machines_find_the_keys_of_the_contract() -> None:
    assert {"name", "kind", "score", "std_error", "fold_scores", "train_score", "seconds", "source"} <= set(asdict(ROW))


def test_the_best_comes_first(board: Path) -> None:
    for number, score in enumerate((0.13, 0.11, 0.4, 0.12)):
        record(board, replace(ROW, name=f"run{number}", score=score))
    assert [row.score for row in rows(board)] == [0.11, 0.12, 0.13, 0.4]


def test_a_rerun_is_the_same_row_and_another_fingerprint_a_new_one(board: Path) -> None:
    record(board, ROW)
    later = replace(ROW, seconds=99.0, created="2027-01-01T00:00:00Z", git_commit="abc", git_dirty=True, overrides=())
    record(board, later)
    assert rows(board) == [replace(ROW, seconds=99.0)], "the time and the state of the source are of the first"
    record(board, replace(ROW, fingerprint="0" * 64))
    record(board, replace(ROW, kind="entry"))
    assert len(rows(board)) == 3


@pytest.mark.parametrize(("begun", "n_rows"), [("no file", 50), ("an empty file", 5), ("version 1", 5)])
def test_many_processes_at_once_lose_nothing(begun: str, n_rows: int, board: Path) -> None:
    """All begin with no database, or with an old one, so that they race for its making too."""
    if begun == "an empty file":
        board.parent.mkdir()
        board.touch()
    elif begun == "version 1":
        write_version_1(board, ROW)
    at_once(f"""if True:
        board = Path({str(board)!r})
        for number in range({n_rows}):
            row = replace(ROW, name=f"{{sys.argv[1]}}-{{number}}")
            record(board, row)
            assert recorded(board, row)
    """)
    expected = {f"{writer}-{number}" for writer in range(8) for number in range(n_rows)}
    found = rows(board)
    assert {row.name for row in found} == expected | ({ROW.name} if begun == "version 1" else set())
    assert len(found) == len(expected) + (begun == "version 1")
    assert ask(board, "PRAGMA journal_mode") == [("wal",)]
    assert ask(board, "PRAGMA integrity_check") == [("ok",)]
    assert [path.name for path in board.parent.iterdir()] == [board.name], "logs and locks are gone"


def test_the_switch_to_a_write_ahead_log_waits_for_whoever_writes(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite itself does not wait there, and says that the database is locked."""
    record(board, ROW)
    with closing(sqlite3.connect(board, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("BEGIN IMMEDIATE")
        waits: list[float] = []

        def wait(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 3:
                other.execute("COMMIT")

        monkeypatch.setattr(time, "sleep", wait)
        assert rows(board) == [ROW]
    assert len(waits) == 3
    assert ask(board, "PRAGMA journal_mode") == [("wal",)]


def test_one_process_at_a_time_makes_the_file(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, make = [], database._make_ready

    def make_while_others_wait(connection: sqlite3.Connection, path: Path) -> None:
        folder = os.open(path.parent, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(folder)
        made.append(path)
        make(connection, path)

    monkeypatch.setattr(database, "_make_ready", make_while_others_wait)
    record(board, ROW)
    assert rows(board) == [ROW]
    assert made == [board], "and only once"


def test_readers_wait_for_nobody(board: Path) -> None:
    record(board, ROW)
    with database.transaction(board, write=True) as writing:
        writing.execute("UPDATE leaderboard SET score = 0.5")
        assert rows(board) == [ROW]
    assert [row.score for row in rows(board)] == [0.5]


def test_a_lock_that_is_held_on_is_said_to_be_one(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(board, ROW)
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.0)
    with (
        database.transaction(board, write=True),
        pytest.raises(
            StorageError, match=r"leaderboard\.db: .*another process has held it for .* run the command again"
        ),
    ):
        record(board, ROW)


def test_what_fails_in_the_middle_leaves_nothing(board: Path) -> None:
    record(board, ROW)

    def delete_and_fail() -> None:
        with database.transaction(board, write=True) as writing:
            writing.execute("DELETE FROM leaderboard")
            writing.execute("no SQL at all")

    with pytest.raises(StorageError, match="syntax error"):
        delete_and_fail()
    assert rows(board) == [ROW]


def test_a_newer_schema_is_refused_and_left_alone(board: Path) -> None:
    record(board, ROW)
    with closing(sqlite3.connect(board)) as database:
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    for act in (lambda: rows(board), lambda: record(board, ROW)):
        with pytest.raises(
            StorageError,
            match=rf"leaderboard\.db: written by a newer houseprice \(schema {SCHEMA_VERSION + 1}; .*Update",
        ):
            act()
    assert ask(board, "PRAGMA user_version") == [(SCHEMA_VERSION + 1,)]


@pytest.mark.parametrize("garbage", [b"this is no database\n" * 100, b"SQLite format 3\0" + b"\xff" * 4096])
def test_a_file_that_is_no_database_is_one_clear_error_and_left_alone(board: Path, garbage: bytes) -> None:
    board.parent.mkdir()
    board.write_bytes(garbage)
    for act in (lambda: rows(board), lambda: record(board, ROW)):
        with pytest.raises(StorageError, match=r"leaderboard\.db: leaderboard can't be used: .*moved away") as caught:
            act()
        assert "\n" not in str(caught.value)
    assert board.read_bytes() == garbage


def test_a_folder_that_cannot_be_made_is_named(board: Path) -> None:
    board.parent.write_text("a file where the folder should be", encoding="utf-8")
    with pytest.raises(StorageError, match=r"leaderboard\.db: leaderboard can't be used"):
        record(board, ROW)


@pytest.mark.parametrize("begun", [False, True])
def test_a_full_disk_is_one_clear_error_and_loses_nothing(begun: bool, board: Path) -> None:
    if begun:
        record(board, ROW)
    with (
        files_no_larger_than(4096),
        pytest.raises(StorageError, match=r"leaderboard\.db: leaderboard can't be used: .*Free some space"),
    ):
        record(board, replace(ROW, name="more"))
    assert rows(board) == ([ROW] if begun else [])
    record(board, replace(ROW, name="more"))
    assert len(rows(board)) == 1 + begun


def test_a_value_of_another_type_is_refused_by_the_database(board: Path) -> None:
    with pytest.raises(StorageError, match="cannot store TEXT value in REAL column"):
        record(board, replace(ROW, score="good"))  # type: ignore[arg-type]
    assert rows(board) == []


# evidence ---------------------------------------------------------------------------------------------------


def assert_same(found: Evidence | None, expected: Evidence) -> None:
    assert found is not None
    assert (found.ids, found.in_time) == (expected.ids, expected.in_time)
    for name in ("target", "oof", "fold_of_row"):
        value = getattr(found, name)
        np.testing.assert_array_equal(value, getattr(expected, name))
        assert value.dtype == getattr(expected, name).dtype
        assert value.flags.writeable


def test_the_evidence_comes_back_as_it_was(board: Path) -> None:
    record(board, ROW)
    assert_same(evidence_of(board, ROW), EVIDENCE)
    record(board, ROW, replace(EVIDENCE, in_time=True))  # the same folds, in the order of time
    assert_same(evidence_of(board, ROW), replace(EVIDENCE, in_time=True))
    assert evidence_of(board, replace(ROW, name="other")) is None
    striped = replace(EVIDENCE, oof=np.arange(8.0)[::2], fold_of_row=np.asfortranarray(EVIDENCE.fold_of_row))
    record(board, replace(ROW, name="striped"), striped)
    assert_same(evidence_of(board, replace(ROW, name="striped")), striped)


def test_truth_and_folds_are_stored_once_each(board: Path) -> None:
    for number in range(5):
        record(board, replace(ROW, name=f"run{number}"), replace(EVIDENCE, oof=EVIDENCE.oof + number))
    record(board, replace(ROW, kind="ensemble"), replace(EVIDENCE, fold_of_row=EVIDENCE.fold_of_row[:1]))
    record(board, replace(ROW, kind="entry"), replace(EVIDENCE, target=EVIDENCE.target + 1))
    record(board, replace(ROW, name="reordered"), replace(EVIDENCE, ids=EVIDENCE.ids[::-1]))
    assert ask(board, "SELECT count(*) FROM truths") == [(3,)]
    assert ask(board, "SELECT count(*) FROM folds") == [(2,)]
    for number in range(5):
        assert_same(evidence_of(board, replace(ROW, name=f"run{number}")), replace(EVIDENCE, oof=EVIDENCE.oof + number))


def test_no_evidence_can_be_taken_from_under_a_row(board: Path) -> None:
    record(board, ROW)
    for table in ("truths", "folds"):
        with (
            pytest.raises(StorageError, match="FOREIGN KEY constraint failed"),
            database.transaction(board, write=True) as writing,
        ):
            writing.execute(f"DELETE FROM {table}")
    with pytest.raises(StorageError, match="CHECK constraint"), database.transaction(board, write=True) as writing:
        writing.execute("UPDATE leaderboard SET oof = NULL")


def test_evidence_that_does_not_fit_together_is_one_clear_error(board: Path) -> None:
    record(board, ROW)
    with closing(sqlite3.connect(board)) as writing, writing:
        writing.execute("UPDATE leaderboard SET oof = zeroblob(16)")
    with pytest.raises(StorageError, match=r"evidence of mlp@f{8} does not fit together: .* 2 predictions") as caught:
        evidence_of(board, ROW)
    assert "\n" not in str(caught.value)


# earlier schemas --------------------------------------------------------------------------------------------


def test_a_file_of_version_1_is_migrated_and_its_rows_await_their_evidence(board: Path) -> None:
    old = replace(ROW, kind="entry", git_commit="abc", git_dirty=False), replace(ROW, score=0.2, train_score=None)
    write_version_1(board, *old)
    assert rows(board) == list(old)
    assert ask(board, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert ask(board, "PRAGMA journal_mode") == [("wal",)]
    assert evidence_of(board, old[0]) is None
    assert not recorded(board, old[0])
    record(board, replace(old[0], created="2027-01-01T00:00:00Z"))
    assert recorded(board, old[0])
    assert rows(board) == list(old)
    assert_same(evidence_of(board, old[0]), EVIDENCE)
    assert evidence_of(board, old[1]) is None


def test_a_migrated_file_has_the_schema_of_a_new_one(board: Path, tmp_path: Path) -> None:
    write_version_1(board, ROW)
    rows(board)
    record(tmp_path / "new.db", ROW)
    question = "SELECT name, sql FROM sqlite_schema WHERE name != 'leaderboard' ORDER BY name"
    assert ask(board, question) == ask(tmp_path / "new.db", question)
    columns = "SELECT * FROM pragma_table_info('leaderboard')"
    assert ask(board, columns) == ask(tmp_path / "new.db", columns)
    assert {column[1] for column in ask(board, columns)} >= {field.name for field in fields(Row)}


def test_a_migration_that_fails_leaves_the_old_file(board: Path) -> None:
    write_version_1(board, ROW)
    before = board.read_bytes()
    with files_no_larger_than(len(before)), pytest.raises(StorageError, match="leaderboard can't be used"):
        rows(board)
    assert board.read_bytes() == before
    assert rows(board) == [ROW]


# names ------------------------------------------------------------------------------------------------------


def test_a_name_means_its_newest_row_and_a_fingerprint_another() -> None:
    found = [
        replace(ROW, fingerprint=digit * 64, created=f"2026-01-0{day}T00:00:00Z")
        for digit, day in (("a", 1), ("b", 3), ("c", 2))
    ]
    found.append(replace(ROW, fingerprint="d" * 64, created="2026-01-04T00:00:00Z", kind="entry"))
    assert named(found, "mlp").fingerprint == "d" * 64
    assert named(found, "mlp", ("run", "ensemble")).fingerprint == "b" * 64
    for row in found:
        assert named(found, row.key) == row
        assert named(found, f"mlp@{row.fingerprint[:1].upper()}") == row


@pytest.mark.parametrize(
    ("name", "kinds", "complaint"),
    [
        ("mpl", ("run", "ensemble", "entry"), r"no row 'mpl' on the leaderboard; did you mean 'mlp'\?"),
        ("mlp", ("entry",), r"no entry 'mlp' on the leaderboard; it has none yet: houseprice .*submit"),
        ("mlp@0", ("run",), r"no row 'mlp@0' on the leaderboard; it has mlp@ffffffff"),
    ],
)
def test_a_name_that_is_not_there_is_told_from_those_that_are(
    name: str, kinds: tuple[str, ...], complaint: str
) -> None:
    with pytest.raises(LeaderboardError, match=complaint):
        named([ROW], name, kinds)


def test_the_gap_is_that_of_the_folds_to_the_rows_they_were_fitted_on() -> None:
    assert replace(ROW, fold_scores=(0.1, 0.2), train_score=0.05).gap == pytest.approx(0.1)
    assert replace(ROW, train_score=None).gap is None
    assert ROW.key == "mlp@ffffffff"
