"""What a competition's files seem to ask for: id, target, task, metric and folds, each with the reason."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from houseprice.config import Ingest
from houseprice.errors import ConfigError, listing, nearest
from houseprice.tasks import METRICS_OF, Task

MANY_VALUES = 20
"""Whole numbers with more distinct values than this are taken to measure, not to name classes."""
SKEWED = 1.0
_CALLED_ID = re.compile(r"(?i)(^|[^a-z])(id|uid|uuid|key|index)$|[a-z](Id|ID)$")
_CALLED_TARGET = re.compile(r"(?i)^(target|label|class|y|outcome|response)$")


@dataclass(frozen=True)
class Guess:
    """What the files seem to ask for.

    Attributes
    ----------
    id, target
        Columns.
    task, metric
        See `houseprice.config.Competition`.
    k, repeats
        Of the folds.
    n_train
        Rows of the training file that were looked at.
    dropped
        Columns that the test file lacks, beside the target.
    reasons
        Why, by key.
    """

    id: str
    target: str
    task: Task
    metric: str
    k: int
    repeats: int
    n_train: int
    dropped: tuple[str, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)


def guess(
    train: pd.DataFrame, test: pd.DataFrame, sample: pd.DataFrame | None, told: Mapping[str, str | None]
) -> Guess:
    """Guess what nobody told.

    Parameters
    ----------
    train, test, sample
        The files, every cell as text.
    told
        ``id``, ``target``, ``task``, ``metric``; None where it is to be guessed.

    Raises
    ------
    ConfigError
        If a column that is told is not there, or nothing can be guessed; the message says what to tell.
    """
    reasons: dict[str, str] = {}
    target = told.get("target") or _target(train, test, sample, reasons)
    _check_there(target, "--target", train, "the training file")
    id_column = told.get("id") or _id(train, test, sample, target, reasons)
    for frame, what in ((train, "the training file"), (test, "the test file")):
        _check_there(id_column, "--id", frame, what)
    if id_column == target:
        raise ConfigError(f"--id and --target name the same column, {id_column!r}")
    known = train[target][~train[target].isin(Ingest().missing)]
    if known.empty:
        raise ConfigError(f"--target: column {target!r} has no value in the training file. Name another.")
    names = None if sample is None else [column for column in sample.columns if column != id_column]
    task = _told_task(told.get("task")) or _task(known, names, reasons)
    values = sample[target] if sample is not None and names == [target] else None
    metric = told.get("metric") or _metric(known, task, values, names, reasons)
    n_train, rarest = len(train), int(known.value_counts().min()) if task != "regression" else len(train)
    k = max(2, min(10 if n_train <= 5000 else 5, rarest, n_train // 2))
    repeats = 2 if n_train <= 2000 else 1
    reasons["folds"] = f"{n_train} rows" + (f", {rarest} of the rarest class" if task != "regression" else "")
    dropped = tuple(column for column in train.columns if column not in test.columns and column != target)
    return Guess(id_column, target, task, metric, k, repeats, n_train, dropped, reasons)


def _check_there(column: str, option: str, frame: pd.DataFrame, what: str) -> None:
    if column not in frame:
        raise ConfigError(f"{option}: no column {column!r} in {what}; {nearest(column, list(frame.columns))}")


def _target(train: pd.DataFrame, test: pd.DataFrame, sample: pd.DataFrame | None, reasons: dict[str, str]) -> str:
    found = [column for column in train.columns if column not in test.columns]
    if sample is not None:
        asked = [column for column in sample.columns if column in found]
        if len(asked) == 1:
            reasons["target"] = "the sample submission asks for it"
            return str(asked[0])
    if len(found) == 1:
        reasons["target"] = "the one column that the test file lacks"
        return str(found[0])
    called = [column for column in found if _CALLED_TARGET.search(column)]
    if len(called) == 1:
        reasons["target"] = f"of the columns that the test file lacks ({listing(found)}), it is called so"
        return str(called[0])
    if not found:
        raise ConfigError(
            "no target: the test file has every column of the training file. Name the target: --target COLUMN, and "
            "delete it from the test file if its values are known there"
        )
    raise ConfigError(f"the test file lacks several columns: {listing(found)}. Name the target: --target COLUMN")


def _id(
    train: pd.DataFrame, test: pd.DataFrame, sample: pd.DataFrame | None, target: str, reasons: dict[str, str]
) -> str:
    shared = [column for column in train.columns if column in test.columns and column != target]
    if sample is not None and (first := sample.columns[0]) in shared:
        reasons["id"] = "the first column of the sample submission"
        return str(first)
    unique = [column for column in shared if train[column].is_unique and test[column].is_unique]
    called = [column for column in unique if _CALLED_ID.search(column)]
    whole = [column for column in unique if not train[column].str.contains(r"[.\s]", regex=True).any()]
    for candidates, reason in (
        (called, "it is called so, and different in every row"),
        (whole, "different in every row, without blanks and fractions"),
    ):
        if candidates:
            reasons["id"] = reason
            return str(candidates[0])
    raise ConfigError(
        "no id: no column that both files have is different in every row. Name one, --id COLUMN, or number the rows of "
        "both files in a new column"
    )


def _told_task(task: str | None) -> Task | None:
    if task is not None and task not in METRICS_OF:
        raise ConfigError(f"--task {task!r}: {nearest(task, list(METRICS_OF))}")
    return task


def _task(known: pd.Series, names: Sequence[str] | None, reasons: dict[str, str]) -> Task:
    n_values = known.nunique()
    if names is not None and len(names) > 1:
        reasons["task"] = "the sample submission has a column for each class"
        return "binary" if n_values == 2 else "multiclass"
    numbers = pd.to_numeric(known, errors="coerce")
    if n_values == 2:
        reasons["task"] = f"the target has two values: {listing(sorted(known.unique()))}"
        return "binary"
    if numbers.isna().any():
        reasons["task"] = f"the target is text of {n_values} kinds"
        return "multiclass"
    if (numbers % 1 == 0).all() and n_values <= MANY_VALUES and len(known) >= 10 * n_values:
        reasons["task"] = f"the target has {n_values} whole numbers; if they measure, not name: --task regression"
        return "multiclass"
    reasons["task"] = f"the target is a number of {n_values} values"
    return "regression"


def _metric(
    known: pd.Series, task: Task, values: pd.Series | None, names: Sequence[str] | None, reasons: dict[str, str]
) -> str:
    if task == "regression":
        numbers = pd.to_numeric(known, errors="coerce")
        skewed = bool(numbers.skew() > SKEWED)
        if skewed and (numbers > 0).all():
            reasons["metric"] = "the target is > 0 and skewed: relative errors count"
            return "log_rmse"
        if skewed and (numbers >= 0).all():
            reasons["metric"] = "the target is ≥ 0 and skewed: relative errors count"
            return "rmsle"
        reasons["metric"] = "the usual one for numbers"
        return "rmse"
    if names is not None and len(names) > 1:
        reasons["metric"] = "the sample submission has a column for each class: probabilities"
        return "log_loss"
    if values is not None and task == "binary" and not values.isin(known.unique()).all():
        reasons["metric"] = "the sample submission has numbers that are no classes: probabilities"
        return "auc"
    reasons["metric"] = "the sample submission has classes" if values is not None else "the usual one for classes"
    return "accuracy"


def shape_of(n_train: int) -> dict[str, int]:
    """Epochs, batch size and seeds of a network, and boosting rounds, that fit a number of rows."""
    steps = np.interp(np.log10(max(n_train, 1)), [3, 4, 5, 6], [40, 30, 15, 5])
    batch = 64 if n_train <= 20_000 else 256 if n_train <= 200_000 else 1024
    return {"epochs": int(steps), "batch_size": batch, "seeds": 2 if n_train <= 5000 else 1}
