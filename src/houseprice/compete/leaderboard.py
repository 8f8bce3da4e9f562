"""The competition's table of runs, ensembles and entries, in SQLite."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

from houseprice.errors import StorageError

SCHEMA_VERSION = 1
_BUSY_SECONDS = 60.0

Kind = Literal["run", "ensemble", "entry"]


@dataclass(frozen=True)
class Row:
    """One line of the leaderboard.

    Attributes
    ----------
    name, kind
        Of the run, ensemble or entry.
    score, std_error
        The metric over all out-of-fold rows (cross-fitted for ensembles) and its standard error.
    fold_scores
        The metric of every fold.
    train_score
        Mean metric over the rows that each fold was fitted on; None for ensembles and entries.
    columns, members, seconds, peak_memory_mb
        What it took: feature columns, fitted members, wall time, the process's largest resident set (10⁶ bytes).
    source
        Where the raw files come from: ``local``, ``mirror``, ``kaggle`` or ``sample``.
    sees_test
        Whether a preprocessor was fitted on validation and test rows (``scope = "all"``).
    overrides
        The ``--set`` overrides in force.
    git_commit, git_dirty
        State of the source tree; None outside of one.
    fingerprint
        Of the stage; with name and kind it identifies the row.
    created
        UTC, ISO 8601.
    """

    name: str
    kind: Kind
    score: float
    std_error: float
    fold_scores: tuple[float, ...]
    train_score: float | None
    columns: int
    members: int
    seconds: float
    peak_memory_mb: float
    source: str
    sees_test: bool
    overrides: tuple[str, ...]
    git_commit: str | None
    git_dirty: bool | None
    fingerprint: str
    created: str


_COLUMNS = tuple(field.name for field in fields(Row))
_LISTS = ("fold_scores", "overrides")
_SCHEMA = """
CREATE TABLE leaderboard (
    name TEXT NOT NULL, kind TEXT NOT NULL, score REAL NOT NULL, std_error REAL NOT NULL, fold_scores TEXT NOT NULL,
    train_score REAL, columns INTEGER NOT NULL, members INTEGER NOT NULL, seconds REAL NOT NULL,
    peak_memory_mb REAL NOT NULL, source TEXT NOT NULL, sees_test INTEGER NOT NULL, overrides TEXT NOT NULL,
    git_commit TEXT, git_dirty INTEGER, fingerprint TEXT NOT NULL, created TEXT NOT NULL,
    PRIMARY KEY (kind, name, fingerprint)
) STRICT
"""


def record(path: Path, row: Row) -> None:
    """Store a row; the same stage's row of an earlier time is replaced.

    Raises
    ------
    StorageError
        If the database can't be written.
    """
    values = {**asdict(row), **{name: json.dumps(getattr(row, name)) for name in _LISTS}}
    marks = ", ".join(f":{name}" for name in _COLUMNS)
    with _connection(path) as database:
        database.execute(f"INSERT OR REPLACE INTO leaderboard ({', '.join(_COLUMNS)}) VALUES ({marks})", values)


def is_recorded(path: Path, kind: Kind, name: str, fingerprint: str) -> bool:
    """Whether a stage's row is there."""
    if not path.exists():
        return False
    question = "SELECT 1 FROM leaderboard WHERE kind = ? AND name = ? AND fingerprint = ?"
    with _connection(path) as database:
        return database.execute(question, (kind, name, fingerprint)).fetchone() is not None


def rows(path: Path) -> list[Row]:
    """All rows, the best score first."""
    if not path.exists():
        return []
    with _connection(path) as database:
        found = database.execute(
            f"SELECT {', '.join(_COLUMNS)} FROM leaderboard ORDER BY score, kind DESC, name, created"
        )
        return [_row(values) for values in found]


def _row(values: Sequence[object]) -> Row:
    named = dict(zip(_COLUMNS, values, strict=True))
    for name in _LISTS:
        named[name] = tuple(json.loads(str(named[name])))
    named["sees_test"] = bool(named["sees_test"])
    named["git_dirty"] = None if named["git_dirty"] is None else bool(named["git_dirty"])
    return Row(**named)  # type: ignore[arg-type]


@contextmanager
def _connection(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection whose block is one transaction; several processes may write.

    SQLite's default journal it is: the switch to WAL is not waited for, and fails where many begin at once.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=_BUSY_SECONDS)) as database, database:
            _ensure_schema(database, path)
            yield database
    except (sqlite3.Error, OSError) as error:
        raise StorageError(
            f"{path}: leaderboard can't be used: {error}. Free some space or make its folder writable; a file that is "
            "no database can be moved away, and `houseprice evaluate` and `ensemble` fill a new one."
        ) from error


def _ensure_schema(database: sqlite3.Connection, path: Path) -> None:
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise StorageError(
            f"{path}: written by a newer houseprice (schema {version}; this one knows {SCHEMA_VERSION}). Update it."
        )
    if version < SCHEMA_VERSION:
        database.execute("BEGIN IMMEDIATE")
        if database.execute("PRAGMA user_version").fetchone()[0] < SCHEMA_VERSION:  # nobody was faster
            database.execute(_SCHEMA)
            database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
