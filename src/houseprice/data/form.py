"""The sample submission: the rows that it asks for, and what it has beside their ids."""

import numpy as np
import pandas as pd

from houseprice.config import Competition
from houseprice.errors import DataError, listing
from houseprice.tasks import class_places

SAMPLE = "sample_submission.csv"


def sample_ids(sample: pd.DataFrame, test_ids: pd.Index) -> pd.Index:
    """The ids of the sample submission, [n_test], in its order.

    Raises
    ------
    DataError
        If they are not those of the test file, naming those that lack and those that are unknown.
    """
    absent, surplus = test_ids.difference(sample.index), sample.index.difference(test_ids)
    if len(absent) or len(surplus):
        raise DataError(
            f"{SAMPLE}: its ids are not those of test.csv: {len(absent)} lacking ({listing(absent)}), "
            f"{len(surplus)} unknown ({listing(surplus)}). {_way_to_ids(absent, surplus)}"
        )
    return sample.index


def _way_to_ids(absent: pd.Index, surplus: pd.Index) -> str:
    numbers = [set(pd.to_numeric(ids.to_series(), errors="coerce")) for ids in (absent, surplus)]
    if len(absent) and numbers[0] == numbers[1]:
        return f"They are the same numbers: write them as in test.csv, {absent[0]}."
    return "Take the sample submission that belongs to this test.csv."


def ids_in_order(ids: pd.Index) -> pd.Index:
    """The sample submission's ids in the order of the test file's rows, where these have none of their own.

    Numbers that count the rows tell it, however they are sorted; other ids are taken as they stand.

    >>> list(ids_in_order(pd.Index(["1", "10", "2", "3", "4", "5", "6", "7", "8", "9"])))
    ['1', '2', '3', '4', '5', '6', '7', '8', '9', '10']
    """
    numbers = pd.to_numeric(pd.Series(ids), errors="coerce").to_numpy(np.float64)
    order = np.argsort(numbers, kind="stable")
    return ids[order] if (np.diff(numbers[order]) == 1).all() else ids


def sample_columns(sample: pd.DataFrame | None, classes: tuple[str, ...], competition: Competition) -> tuple[str, ...]:
    """What a submission has beside the id: the target, or a column a class (`houseprice.tasks.class_places`).

    Raises
    ------
    DataError
        If the sample has other columns than the target or the classes ask for, or without one their names can't head
        a file.
    """
    of_probabilities = competition.task == "multiclass" and competition.scoring.reads == "probability"
    target = competition.ingest.sample_target or competition.target
    if sample is None:
        columns = classes if of_probabilities else (target,)
        _check_heads(columns, competition)
        return columns
    columns = tuple(map(str, sample.columns))
    if class_places(columns, classes):
        return columns
    if columns != (target,):
        or_classes = f", or the id and a column for each class: {listing(classes)}" if classes else ""
        raise DataError(
            f"{SAMPLE}: its columns are {[competition.id, *columns]}, not {[competition.id, target]}{or_classes}. "
            "Take the competition's own sample submission, or name its column under [ingest].sample_target."
        )
    if of_probabilities:
        raise DataError(
            f"{SAMPLE}: its columns are {[competition.id, *columns]}, but metric {competition.metric} reads a "
            f"probability for each class: {listing(classes)}. Take the competition's own sample submission, or delete "
            "this one: it is made of the ids of test.csv then."
        )
    return columns


def _check_heads(columns: tuple[str, ...], competition: Competition) -> None:
    """Refuse names that can't stand in a header beside the id."""
    if bad := [column for column in columns if not column.strip() or column == competition.id]:
        raise DataError(
            f"train.csv: column {competition.target!r}: a submission can't have columns named "
            f"{listing(map(repr, bad))} beside {competition.id!r}. Rename them, or take the competition's own sample "
            "submission."
        )
