"""The leaderboard: one row a run, ensemble or entry, whoever writes and however many at once."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from competitions import environment
from houseprice.compete.leaderboard import SCHEMA_VERSION, Row, is_recorded, record, rows
from houseprice.errors import StorageError

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


@pytest.fixture
def board(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "leaderboard.db"


def test_no_leaderboard_is_an_empty_one_and_looking_makes_none(board: Path) -> None:
    assert rows(board) == []
    assert not is_recorded(board, "run", "mlp", ROW.fingerprint)
    assert not board.parent.exists()


@pytest.mark.parametrize(
    "row",
    [
        ROW,
        replace(ROW, kind="ensemble", train_score=None, sees_test=True, git_commit="abc", git_dirty=True),
        replace(ROW, git_dirty=False, overrides=(), source="sample"),
        replace(ROW, name="ä\"'; DROP TABLE leaderboard; --"),
    ],
)
def test_a_row_comes_back_as_it_was(board: Path, row: Row) -> None:
    record(board, row)
    assert rows(board) == [row]
    assert is_recorded(board, row.kind, row.name, row.fingerprint)
    assert not is_recorded(board, "entry", row.name, row.fingerprint)
    assert not is_recorded(board, row.kind, row.name, "0" * 64)


def test_machines_find_the_keys_of_the_contract() -> None:
    assert {"name", "kind", "score", "std_error", "fold_scores", "train_score", "seconds", "source"} <= set(asdict(ROW))


def test_the_best_comes_first(board: Path) -> None:
    for number, score in enumerate((0.13, 0.11, 0.4, 0.12)):
        record(board, replace(ROW, name=f"run{number}", score=score))
    assert [row.score for row in rows(board)] == [0.11, 0.12, 0.13, 0.4]


def test_a_rerun_is_the_same_row_and_another_fingerprint_a_new_one(board: Path) -> None:
    record(board, ROW)
    record(board, replace(ROW, seconds=99.0))
    assert [row.seconds for row in rows(board)] == [99.0]
    record(board, replace(ROW, fingerprint="0" * 64))
    record(board, replace(ROW, kind="entry"))
    assert len(rows(board)) == 3


def test_many_processes_at_once_lose_nothing(board: Path) -> None:
    """All begin with no database, so that they race for its making too."""
    code = f"""if True:
        import sys
        from dataclasses import replace
        from pathlib import Path
        from test_leaderboard import ROW, record
        print("ready", flush=True)
        sys.stdin.read()
        for number in range(10):
            record(Path({str(board)!r}), replace(ROW, name=f"{{sys.argv[1]}}-{{number}}"))
    """
    path = f"{environment()['PYTHONPATH']}:{Path(__file__).parent}"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(writer)],
            env=environment() | {"PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for writer in range(8)
    ]
    for writer in writers:
        assert writer.stdout
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin
        writer.stdin.close()
        writer.stdin = None
    complaints = [writer.communicate()[1] for writer in writers]
    assert complaints == [""] * 8
    assert {row.name for row in rows(board)} == {f"{writer}-{number}" for writer in range(8) for number in range(10)}


def test_a_newer_schema_is_refused_and_left_alone(board: Path) -> None:
    record(board, ROW)
    with closing(sqlite3.connect(board)) as database:
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    for act in (lambda: rows(board), lambda: record(board, ROW)):
        with pytest.raises(StorageError, match=r"leaderboard\.db: written by a newer houseprice \(schema 2; .*Update"):
            act()


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


def test_a_value_of_another_type_is_refused_by_the_database(board: Path) -> None:
    with pytest.raises(StorageError, match="cannot store TEXT value in REAL column"):
        record(board, replace(ROW, score="good"))  # type: ignore[arg-type]
    assert rows(board) == []
