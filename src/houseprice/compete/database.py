"""The leaderboard's file: SQLite, made whole and migrated forward however many processes begin at once."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from houseprice.errors import StorageError
from houseprice.files import locked

BUSY_SECONDS = 60.0
_SECONDS_BETWEEN_SWITCHES = 0.005

MIGRATIONS = (  # each brings a file from the schema of its position to the next; a new file takes them all
    (
        """
        CREATE TABLE leaderboard (
            name TEXT NOT NULL, kind TEXT NOT NULL, score REAL NOT NULL, std_error REAL NOT NULL,
            fold_scores TEXT NOT NULL, train_score REAL, columns INTEGER NOT NULL, members INTEGER NOT NULL,
            seconds REAL NOT NULL, peak_memory_mb REAL NOT NULL, source TEXT NOT NULL, sees_test INTEGER NOT NULL,
            overrides TEXT NOT NULL, git_commit TEXT, git_dirty INTEGER, fingerprint TEXT NOT NULL,
            created TEXT NOT NULL,
            PRIMARY KEY (kind, name, fingerprint)
        ) STRICT
        """,
    ),
    (
        "CREATE TABLE truths (digest TEXT PRIMARY KEY, ids TEXT NOT NULL, target BLOB NOT NULL) STRICT",
        "CREATE TABLE folds (digest TEXT PRIMARY KEY, n_repeats INTEGER NOT NULL, fold_of_row BLOB NOT NULL) STRICT",
        "ALTER TABLE leaderboard ADD COLUMN truth TEXT REFERENCES truths (digest)",
        "ALTER TABLE leaderboard ADD COLUMN folds TEXT REFERENCES folds (digest)",
        """
        ALTER TABLE leaderboard ADD COLUMN oof BLOB
            CHECK ((oof IS NULL) = (truth IS NULL) AND (oof IS NULL) = (folds IS NULL))
        """,
        """
        CREATE TABLE board_scores (
            kind TEXT NOT NULL CHECK (kind = 'entry'), name TEXT NOT NULL, fingerprint TEXT NOT NULL,
            public REAL NOT NULL, private REAL, recorded TEXT NOT NULL,
            PRIMARY KEY (kind, name, fingerprint),
            FOREIGN KEY (kind, name, fingerprint) REFERENCES leaderboard (kind, name, fingerprint)
        ) STRICT
        """,
    ),
    (
        "ALTER TABLE leaderboard ADD COLUMN naive_score REAL",
        "ALTER TABLE leaderboard ADD COLUMN mean_score REAL",
    ),
    ("ALTER TABLE folds ADD COLUMN in_time INTEGER NOT NULL DEFAULT 0",),
)
SCHEMA_VERSION = len(MIGRATIONS)


@contextmanager
def transaction(path: Path, *, write: bool = False) -> Iterator[sqlite3.Connection]:
    """A connection whose block is one transaction: all of it is stored, or nothing.

    Writers wait for one another, readers for nobody (write-ahead log, https://sqlite.org/wal.html). The file and its
    folder are made if need be.

    Parameters
    ----------
    path
        The database.
    write
        Whether the block writes. It then has the right to from its beginning: a transaction that has read can't be
        made to wait for it any more. A file in a read-only folder can be read, too.

    Raises
    ------
    StorageError
        If the file can't be used: full disk, read-only folder, no database, a newer schema, a lock that is held on.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not write and _is_frozen(path):
            with closing(sqlite3.connect(f"{path.resolve().as_uri()}?immutable=1", uri=True)) as database:
                _check_version(database, path)
                yield database
            return
        with closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as database, database:
            if not _is_ready(database, path):
                with locked(path.parent):  # network file systems may lock no folder; the database's own locks remain
                    _make_ready(database, path)
            database.execute("PRAGMA foreign_keys = ON")
            database.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            yield database
    except (sqlite3.Error, OSError) as error:
        reason = (
            f"another process has held it for {BUSY_SECONDS:.0f} s. Let it end, then run the command again."
            if _is_busy(error)
            else f"{error}. Free some space or make its folder writable; a file that is no database can be moved away, "
            "and `houseprice evaluate` and `ensemble` fill a new one."
        )
        raise StorageError(f"{path}: leaderboard can't be used: {reason}") from error


def _is_frozen(path: Path) -> bool:
    """Whether nothing can change the file: it lies whole in a read-only folder, where no log can lie beside it."""
    return path.exists() and not os.access(path.parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists()


def _check_version(database: sqlite3.Connection, path: Path) -> None:
    """Refuse a file of another schema."""
    version = _version(database)
    if version > SCHEMA_VERSION:
        raise StorageError(
            f"{path}: written by a newer houseprice (schema {version}; this one knows {SCHEMA_VERSION}). Update it."
        )
    if version < SCHEMA_VERSION:
        raise StorageError(
            f"{path}: written by an older houseprice (schema {version}; this one has {SCHEMA_VERSION}), and its folder "
            "is read-only. Make it writable, and the next command brings the file up to date."
        )


def _is_ready(database: sqlite3.Connection, path: Path) -> bool:
    """Whether the file has this schema and a write-ahead log."""
    if _version(database) < SCHEMA_VERSION:
        return False
    _check_version(database, path)
    return bool(database.execute("PRAGMA journal_mode").fetchone()[0] == "wal")


def _make_ready(database: sqlite3.Connection, path: Path) -> None:
    """Bring the file to this schema and to a write-ahead log, unless somebody was faster."""
    if _is_ready(database, path):
        return
    if _version(database) < SCHEMA_VERSION:
        database.execute("BEGIN IMMEDIATE")
        for statements in MIGRATIONS[_version(database) :]:
            for statement in statements:
                database.execute(statement)
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        database.execute("COMMIT")
    end = time.monotonic() + BUSY_SECONDS
    while True:  # the switch wants the file for itself, and fails at once where somebody writes or wants the same
        try:
            database.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() > end:
                raise
            time.sleep(_SECONDS_BETWEEN_SWITCHES)


def _version(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])


def _is_busy(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_PROTOCOL)
