"""The competition's table of runs, ensembles and entries, and the evidence behind each: predictions, truth, folds."""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Literal

from houseprice.compete.database import transaction
from houseprice.errors import LeaderboardError, StorageError, listing, nearest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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
        The metric of every fold; of the first repeat's for ensembles and entries.
    train_score
        Mean metric over the rows that each fold was fitted on; None for ensembles and entries.
    columns, members, seconds, peak_memory_mb
        What it took: feature columns, fitted members, wall time, the process's largest resident set (10⁶ bytes).
    source
        Where the raw files come from: ``local``, ``mirror``, ``kaggle`` or ``sample``.
    sees_test
        Whether a preprocessor was fitted on validation and test rows (``scope = "all"``), or weights of rows on test
        rows (``weights = "shift"``).
    overrides
        The ``--set`` overrides in force.
    git_commit, git_dirty
        State of the source tree; None outside of one.
    fingerprint
        Of the stage; with name and kind it identifies the row.
    created
        When the stage was first recorded: UTC, ISO 8601.
    naive_score, mean_score
        Of ensembles and their entries: the metric with the ensemble on the very rows that it was fitted on, and that
        of its runs' plain mean; None for runs, and for rows recorded before they were kept.
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
    naive_score: float | None = None
    mean_score: float | None = None

    @property
    def key(self) -> str:
        """``name@fingerprint``, of which eight digits are enough to tell."""
        return f"{self.name}@{self.fingerprint[:8]}"

    @property
    def gap(self) -> float | None:
        """Mean score of the folds less `train_score`: far from 0, to the worse, it says overfitting."""
        return None if self.train_score is None else fmean(self.fold_scores) - self.train_score


@dataclass(frozen=True)
class Evidence:
    """What a row's score was computed from, on the link scale.

    Attributes
    ----------
    ids
        Of the training rows.
    target, oof
        float64 [n_train]: the truth, and the out-of-fold prediction (cross-fitted for ensembles and entries). Classes
        are codes, predictions their probabilities: of the second of two, or [n_train, n_classes].
    fold_of_row
        int64 [n_repeats, n_train], numbered as `Row.fold_scores`; for ensembles and entries the first repeat alone.
    in_time
        Whether folds are in the order of time.
    """

    ids: tuple[str, ...]
    target: "NDArray[np.float64]"
    oof: "NDArray[np.float64]"
    fold_of_row: "NDArray[np.int64]"
    in_time: bool = False

    def at(self, places: Sequence[int]) -> "Evidence":
        """The rows at some places, in their order."""
        ids = tuple(self.ids[place] for place in places)
        return Evidence(ids, self.target[places], self.oof[places], self.fold_of_row[:, places], self.in_time)


_COLUMNS = tuple(field.name for field in fields(Row))
_LISTS = ("fold_scores", "overrides")
_KEY = ("kind", "name", "fingerprint")
_AS_FIRST_RECORDED = ("overrides", "git_commit", "git_dirty", "created")


def record(path: Path, row: Row, evidence: Evidence) -> None:
    """Store a row with its evidence.

    The same stage's row of an earlier time is replaced, but for its overrides, git state and time: they tell of the
    run that made it.

    Raises
    ------
    StorageError
        If the database can't be written.
    """
    import numpy as np

    ids = json.dumps(evidence.ids)
    target, oof = (np.asarray(values, "<f8").tobytes() for values in (evidence.target, evidence.oof))
    fold_of_row = np.asarray(evidence.fold_of_row, "<i8").tobytes()
    truth, folds = _digest(ids.encode(), target), _digest(fold_of_row, b"in time" if evidence.in_time else b"")
    values = {**asdict(row), **{name: json.dumps(getattr(row, name)) for name in _LISTS}}
    values |= {"truth": truth, "folds": folds, "oof": oof}
    replaced = [name for name in values if name not in (*_KEY, *_AS_FIRST_RECORDED)]
    with transaction(path, write=True) as database:
        database.execute("INSERT OR IGNORE INTO truths VALUES (?, ?, ?)", (truth, ids, target))
        database.execute(
            "INSERT OR IGNORE INTO folds VALUES (?, ?, ?, ?)",
            (folds, len(evidence.fold_of_row), fold_of_row, evidence.in_time),
        )
        database.execute(
            f"INSERT INTO leaderboard ({', '.join(values)}) VALUES ({', '.join(f':{name}' for name in values)}) "
            f"ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET {', '.join(f'{n} = excluded.{n}' for n in replaced)}",
            values,
        )


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()


def is_recorded(path: Path, kind: Kind, name: str, fingerprint: str, source: str) -> bool:
    """Whether a stage's row is there, with its evidence, and of raw files from this source."""
    if not path.exists():
        return False
    question = (
        "SELECT 1 FROM leaderboard WHERE kind = ? AND name = ? AND fingerprint = ? AND source = ? AND oof IS NOT NULL"
    )
    with transaction(path) as database:
        return database.execute(question, (kind, name, fingerprint, source)).fetchone() is not None


def rows(path: Path) -> list[Row]:
    """All rows, the least score first, which is not the best of every metric."""
    if not path.exists():
        return []
    with transaction(path) as database:
        found = database.execute(
            f"SELECT {', '.join(_COLUMNS)} FROM leaderboard ORDER BY score, kind DESC, name, created"
        )
        try:
            return [_row(values) for values in found]
        except (ValueError, TypeError) as error:
            raise _damaged(path, f"a row can't be read: {error}") from error


def evidence_of(path: Path, row: Row) -> Evidence | None:
    """The evidence behind a row; None if it was recorded before there was any, and its stage not evaluated since.

    Raises
    ------
    StorageError
        If what is stored does not belong together.
    """
    import numpy as np

    question = (
        "SELECT ids, target, oof, n_repeats, fold_of_row, in_time FROM leaderboard "
        "JOIN truths ON truth = truths.digest JOIN folds ON folds = folds.digest "
        "WHERE kind = ? AND name = ? AND fingerprint = ?"
    )
    if not path.exists():
        return None
    with transaction(path) as database:
        found = database.execute(question, (row.kind, row.name, row.fingerprint)).fetchone()
    if found is None:
        return None
    try:
        ids, n_repeats = tuple(json.loads(found[0])), found[3]
        target, oof = (np.frombuffer(found[position], "<f8").astype(np.float64) for position in (1, 2))
        fold_of_row = np.frombuffer(found[4], "<i8").astype(np.int64)
    except (ValueError, TypeError) as error:
        raise _damaged(path, f"the evidence of {row.key} can't be read: {error}") from error
    fits = len(ids) == len(target) and len(fold_of_row) == len(ids) * n_repeats
    if not (fits and len(oof) and len(oof) % len(ids) == 0):
        raise _damaged(
            path,
            f"the evidence of {row.key} does not fit together: {len(ids)} ids, {len(target)} targets, "
            f"{len(oof)} predictions, {len(fold_of_row)} folds in {n_repeats} repeats",
        )
    if len(oof) > len(ids):
        oof = oof.reshape(len(ids), -1)
    return Evidence(ids, target, oof, fold_of_row.reshape(n_repeats, -1), bool(found[5]))


def _damaged(path: Path, what: str) -> StorageError:
    return StorageError(f"{path}: {what}. Move the file away, and `houseprice evaluate` and `ensemble` fill a new one.")


def named(found: Sequence[Row], name: str, kinds: Collection[str] = ("run", "ensemble", "entry")) -> Row:
    """The row that a person means: the newest of a name, or ``name@fingerprint``, whose beginning is enough.

    Parameters
    ----------
    found
        The rows to choose from.
    name
        As given.
    kinds
        Which rows count.

    Raises
    ------
    LeaderboardError
        If there is none.
    """
    wanted, _, fingerprint = name.partition("@")
    of_kinds = [row for row in found if row.kind in kinds]
    of_name = [row for row in of_kinds if row.name == wanted]
    if not of_name:
        what = "row" if len(kinds) > 1 else next(iter(kinds))
        known = sorted({row.name for row in of_kinds})
        raise LeaderboardError(
            f"no {what} {wanted!r} on the leaderboard; "
            + (nearest(wanted, known) if known else "it has none yet: houseprice evaluate, ensemble and submit fill it")
        )
    meant = [row for row in of_name if row.fingerprint.startswith(fingerprint.lower())]
    if not meant:
        raise LeaderboardError(f"no row {name!r} on the leaderboard; it has {listing(row.key for row in of_name)}")
    return max(meant, key=lambda row: row.created)


def _row(values: Sequence[object]) -> Row:
    named = dict(zip(_COLUMNS, values, strict=True))
    for name in _LISTS:
        named[name] = tuple(json.loads(str(named[name])))
    named["sees_test"] = bool(named["sees_test"])
    named["git_dirty"] = None if named["git_dirty"] is None else bool(named["git_dirty"])
    return Row(**named)  # type: ignore[arg-type]
