"""What a competition's files seem to ask for: id, target, task, metric and folds, each with the reason."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from pydantic import ValidationError

from houseprice.config import Folds, Ingest
from houseprice.data.folds import make_split
from houseprice.data.seams import CALLED_ID, Seam, Whole, find_seam, is_date
from houseprice.data.written import guess_written, read_written
from houseprice.errors import ConfigError, listing, nearest
from houseprice.tasks import METRICS_OF, Task, class_places, is_import_path

MANY_VALUES = 20
"""Whole numbers with more distinct values than this are taken to measure, not to name classes."""
SKEWED = 1.0
_RARE_TOO = 5
"""Folds of more classes than two, however rare one is: for a handful of rows all others would be learnt from half."""
_ON_PURPOSE = 0.5
"""The share of the training rows that have another one's id, from which on that is no mistake."""
_IN_TIME = 5
"""Folds in time: with more, the first blocks are too small to learn from."""
_SENTENCE = 8
"""Words that most cells of a column have, which is no name or address then, but text to be read."""
_MOST_KNOWN = 0.5
"""The share of the test rows, at least, whose codes training rows have, too."""
_CALLED_CODE = re.compile(r"(?:^|[^A-Za-z])(?i:id|nbr|code)$|[a-z](?:Id|ID|Code)$")
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
    scheme, by, k, repeats
        Of the folds (`houseprice.config.Folds`).
    n_train
        Rows of the training file that were looked at.
    dropped
        Columns that the test file lacks, beside the target.
    numbered, sample_target, keep_id, skip_without_target
        See `houseprice.config.Ingest`.
    no_features
        Columns that the test file has, and that tell nothing of its rows.
    sentences
        Columns of free text whose words may tell something.
    codes
        Columns of whole numbers that name something, of shops or items.
    reasons
        Why, by key.
    """

    id: str
    target: str
    task: Task
    metric: str
    scheme: str
    by: str | None
    k: int
    repeats: int
    n_train: int
    dropped: tuple[str, ...] = ()
    numbered: tuple[str, ...] = ()
    sample_target: str | None = None
    keep_id: bool = False
    skip_without_target: bool = False
    no_features: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)


def guess(
    train: pd.DataFrame,
    test: pd.DataFrame,
    sample: pd.DataFrame | None,
    told: Mapping[str, str | None],
    whole: Whole | None = None,
) -> Guess:
    """Guess what nobody told.

    Parameters
    ----------
    train, test, sample
        The files, or their first rows, every cell as text.
    told
        ``id``, ``target``, ``task``, ``metric``, ``folds`` (the scheme), ``by``; None where it is to be guessed.
    whole
        Reads a column of the training file and of the test file from end to end; None if the frames are whole.

    Raises
    ------
    ConfigError
        If a column that is told is not there, or nothing can be guessed; the message says what to tell.
    """
    reasons: dict[str, str] = {}
    target = told.get("target") or _target(train, test, sample, reasons)
    _check_there(target, "--target", train, "the training file")
    id_column = told.get("id") or _id(train, test, sample, target, reasons)
    numbered = _numbered(id_column, train, test, sample)
    if numbered and "id" in reasons:
        how = "twice and more" if id_column in train else "not"
        reasons["id"] += f"; {how} in {' and '.join(numbered)}, whose rows are numbered"
    if id_column == target:
        raise ConfigError(f"--id and --target name the same column, {id_column!r}")
    n_rows, train = len(train), train[~train[target].isin(Ingest().missing)]
    known = train[target]
    if known.empty:
        raise ConfigError(f"--target: column {target!r} has no value in the training file. Name another.")
    if n_rows > len(known):
        reasons["target"] = f"{reasons.get('target', 'told')}; {n_rows - len(known)} rows have none and are left out"
    _check_plain(known)
    names = None if sample is None else [column for column in sample.columns if column != id_column]
    task = _told_task(told.get("task")) or _task_of(told.get("metric"), reasons) or _task(known, names, reasons)
    sample_target = _sample_target(target, names, train, reasons)
    asked = sample_target or target
    values = sample[asked] if sample is not None and names == [asked] else None
    metric = _told_metric(told.get("metric"), task) or _metric(known, task, values, names, reasons)
    shared = [column for column in train.columns if column in test.columns and column != target]
    cells = train.set_index(id_column, drop=False) if id_column in train and not numbered else train
    seam = find_seam(train, test, shared, Ingest().missing, whole or (lambda column: (train[column], test[column])))
    folds = _folds(cells, seam, cells[target], task, told, reasons)
    of_groups = "grouped" in folds.scheme and len(shared) > 2 and folds.by != id_column
    no_features = tuple(column for column in shared if of_groups and column == folds.by)
    others = [column for column in shared if column not in (id_column, folds.by)]
    lacked = [column for column in train.columns if column not in test.columns or (numbered and column == id_column)]
    return Guess(
        id_column,
        target,
        task,
        metric,
        folds.scheme,
        folds.by,
        folds.k,
        folds.repeats,
        len(train),
        dropped=tuple(column for column in lacked if column not in (target, folds.by)),
        numbered=numbered,
        sample_target=sample_target,
        keep_id=id_column in shared and is_date(train[id_column]),
        skip_without_target=n_rows > len(known),
        no_features=no_features,
        sentences=tuple(column for column in others if _has_sentences(train[column])),
        codes=tuple(column for column in others if _is_code(train[column], test[column])),
        reasons=reasons,
    )


def _is_code(train: pd.Series, test: pd.Series) -> bool:
    """Whether a column is called as the numbers of shops or items are, and both files have the same ones."""
    if not _CALLED_CODE.search(str(train.name)) or train.nunique() > len(train) / 2:
        return False
    known = train[~train.isin(Ingest().missing)]
    return bool(known.str.fullmatch(r"\d+").all()) and bool(test.isin(known.unique()).mean() >= _MOST_KNOWN)


def _has_sentences(cells: pd.Series) -> bool:
    """Whether most cells are of many words, and few are the same."""
    known = cells[~cells.isin(Ingest().missing)]
    return known.nunique() > len(known) / 2 and bool(known[:1000].str.split().str.len().median() >= _SENTENCE)


def _check_there(column: str, option: str, frame: pd.DataFrame, what: str) -> None:
    if column not in frame:
        raise ConfigError(f"{option}: no column {column!r} in {what}; {nearest(column, list(frame.columns))}")


def _target(train: pd.DataFrame, test: pd.DataFrame, sample: pd.DataFrame | None, reasons: dict[str, str]) -> str:
    found, lacks = [column for column in train.columns if column not in test.columns], "that the test file lacks"
    if not found:
        found, lacks = [column for column in train.columns if _is_empty(test[column])], "that is empty in the test file"
        found = [column for column in found if not _is_empty(train[column])]
    if sample is not None:
        asked = [column for column in sample.columns if column in found]
        if len(asked) == 1:
            reasons["target"] = "the sample submission asks for it"
            return str(asked[0])
        classed = [column for column in found if class_places(list(sample.columns[1:]), _labels(train[column]))]
        if len(classed) == 1:
            reasons["target"] = "the sample submission has a column for each of its classes"
            return str(classed[0])
    if len(found) == 1:
        reasons["target"] = f"the one column {lacks}"
        return str(found[0])
    called = [column for column in found if _CALLED_TARGET.search(column)]
    if len(called) == 1:
        reasons["target"] = f"of the columns that the test file lacks ({listing(found)}), it is called so"
        return str(called[0])
    if not found:
        raise ConfigError(
            "no target: the test file has every column of the training file. Are the two mixed up? Else name the "
            "target, --target COLUMN, and delete it from the test file if its values are known there"
        )
    raise ConfigError(f"the test file lacks several columns: {listing(found)}. Name the target: --target COLUMN")


def _labels(cells: pd.Series) -> list[str]:
    return list(cells[~cells.isin(Ingest().missing)].unique())


def _is_empty(cells: pd.Series) -> bool:
    return bool(cells.isin(Ingest().missing).all())


def _check_plain(known: pd.Series) -> None:
    """Refuse a target of numbers that are written otherwise than plainly: predictions are written plainly."""
    written = guess_written(known)
    if written is None or written.manner == "plain":
        return
    number = read_written(known[:1], written).iloc[0]
    raise ConfigError(
        f"--target: column {known.name!r} holds numbers that are not written plainly, such as {known.iloc[0]!r}. Write "
        f"them as {number:.6g}, without marks and units, in the training file"
    )


def _id(
    train: pd.DataFrame, test: pd.DataFrame, sample: pd.DataFrame | None, target: str, reasons: dict[str, str]
) -> str:
    shared = [column for column in train.columns if column in test.columns and column != target]
    if sample is not None and _names_rows(sample, train, test):
        reasons["id"] = "the first column of the sample submission"
        return str(sample.columns[0])
    unique = [column for column in shared if train[column].is_unique and test[column].is_unique]
    called = [column for column in unique if CALLED_ID.search(column)]
    of_test = [column for column in test.columns if column not in train and test[column].is_unique]
    called_there = [column for column in of_test if CALLED_ID.search(column)]
    whole = [column for column in unique if not train[column].str.contains(r"[.\s]", regex=True).any()]
    for candidates, reason in (
        (called, "it is called so, and different in every row"),
        (called_there, "it is called so, and different in every row of the test file"),
        (whole, "different in every row, without blanks and fractions"),
    ):
        if candidates:
            reasons["id"] = reason
            return str(candidates[0])
    raise ConfigError(
        "no id: no column that both files have is different in every row, without blanks and fractions. Name one, --id "
        "COLUMN, or number the rows of both files in a new column"
    )


def _names_rows(sample: pd.DataFrame, train: pd.DataFrame, test: pd.DataFrame) -> bool:
    """Whether the first column of the sample submission is the id; of a test file without it, whether it may be."""
    first = sample.columns[0]
    if first in test:
        return True
    return first not in train and len(sample) == len(test) and sample[first].is_unique


def _numbered(id_column: str, train: pd.DataFrame, test: pd.DataFrame, sample: pd.DataFrame | None) -> tuple[str, ...]:
    """The files that lack the id, and may: the training file, and with it the test file if the sample has the id."""
    if id_column in test:
        groups_rows = id_column in train and train[id_column].duplicated(keep=False).mean() >= _ON_PURPOSE
        if id_column not in train or (groups_rows and test[id_column].is_unique and not is_date(train[id_column])):
            return ("train.csv",)
        return ()
    if id_column not in train and sample is not None and id_column in sample and len(sample) == len(test):
        return ("train.csv", "test.csv")
    for frame, what in ((train, "the training file"), (test, "the test file")):
        _check_there(id_column, "--id", frame, what)
    return ()


def _sample_target(
    target: str, names: Sequence[str] | None, train: pd.DataFrame, reasons: dict[str, str]
) -> str | None:
    """The sample submission's own name for the target, if it has another one."""
    if names is None or len(names) != 1 or names[0] in train:
        return None
    if "target" in reasons:
        reasons["target"] += f"; the sample submission calls it {names[0]!r}"
    return names[0]


def _told_task(task: str | None) -> Task | None:
    if task is not None and task not in METRICS_OF:
        raise ConfigError(f"--task {task!r}: {nearest(task, list(METRICS_OF))}")
    return task


def _told_metric(metric: str | None, task: Task) -> str | None:
    if metric is None or is_import_path(metric) or metric in METRICS_OF[task]:
        return metric
    others = [other for other, metrics in METRICS_OF.items() if metric in metrics]
    if others:
        raise ConfigError(
            f"--metric {metric}: of task {' and '.join(others)}, and this seems to be {task}. Give --task."
        )
    raise ConfigError(f"--metric {metric!r}: of task {task}; {nearest(metric, list(METRICS_OF[task]))}")


def _task_of(metric: str | None, reasons: dict[str, str]) -> Task | None:
    """The task that a metric is told for, if it is of one alone."""
    tasks = [task for task, metrics in METRICS_OF.items() if metric in metrics]
    if len(tasks) != 1:
        return None
    reasons["task"] = f"metric {metric} is of no other"
    return tasks[0]


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
    if values is not None and task == "binary" and not _are_among(values, known):
        reasons["metric"] = "the sample submission has numbers that are no classes: probabilities"
        return "auc"
    reasons["metric"] = "the sample submission has classes" if values is not None else "the usual one for classes"
    if task == "binary":
        reasons["metric"] += "; if probabilities are scored: --metric auc"
    return "accuracy"


def _are_among(values: pd.Series, known: pd.Series) -> bool:
    """Whether all cells are labels, or the same numbers as labels: 0 is 0.0."""
    numbers, labels = (pd.to_numeric(cells, errors="coerce") for cells in (values, known))
    are_numbers = bool(numbers.notna().all() and labels.notna().all())
    return bool(numbers.isin(labels).all() if are_numbers else values.isin(known.unique()).all())


def _folds(
    train: pd.DataFrame,
    seam: Seam | None,
    target: pd.Series,
    task: Task,
    told: Mapping[str, str | None],
    reasons: dict[str, str],
) -> Folds:
    """Folds as told; else cut as the test file was cut off; else by chance, with each class its share."""
    n_train, of_classes = len(target), task != "regression"
    rarest = int(target[~target.isin(Ingest().missing)].value_counts().min()) if of_classes else n_train
    most = max(rarest, _RARE_TOO) if task == "multiclass" else rarest
    size = {
        "k": max(2, min(10 if n_train <= 5000 else 5, most, n_train // 2)),
        "repeats": 2 if n_train <= 2000 else 1,
    }
    reasons["folds"] = f"{n_train} rows" + (f", {rarest} of the rarest class" if of_classes else "")
    plain, grouped = ("stratified", "stratified_grouped") if of_classes else ("shuffled", "grouped")
    scheme, by = told.get("folds"), told.get("by")
    if by is not None:
        _check_there(by, "--by", train, "the training file")
        scheme = scheme or ("expanding" if is_date(train[by]) else grouped)
    elif scheme is None and seam is not None:
        recipe = _recipe(seam.scheme if seam.scheme == "expanding" else grouped, seam.by, size)
        if found := _with_fewer(recipe, target, train[seam.by], of_classes):
            reasons["scheme"] = f"{seam.reason}. Otherwise: --folds {plain}"
            return found
    recipe = _recipe(scheme or plain, by, size)
    found = recipe if by is None else _with_fewer(recipe, target, train[by], of_classes)
    if found is None:
        raise ConfigError(
            f"--by {by}: the column does not cut the rows in 2 {recipe.scheme} folds, whose members see all classes. "
            "Name another, or give --folds."
        )
    return found


def _recipe(scheme: str, by: str | None, size: Mapping[str, int]) -> Folds:
    once = scheme in ("contiguous", "given", "expanding", "rolling")
    table = {**size, "scheme": scheme, "by": by} | ({"repeats": 1} if once else {})
    try:
        return Folds.model_validate(table)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(f"--folds {scheme}{f' --by {by}' if by else ''}: {reason}") from error


def _with_fewer(recipe: Folds, target: pd.Series, by: pd.Series, of_classes: bool) -> Folds | None:
    """The recipe with as many folds as the column has groups or times for, and where all members see all classes."""
    cells = by.mask(by.isin(Ingest().missing))
    if not recipe.is_in_time:
        k = min(recipe.k, cells.nunique())
        return recipe.model_copy(update={"k": k}) if k > 1 else None
    for k in range(min(recipe.k, _IN_TIME), 1, -1):
        fewer = recipe.model_copy(update={"k": k})
        try:
            split = make_split(fewer, target, cells)
        except ConfigError:  # so many are more than the times allow
            continue
        if not of_classes or all(target[~out].nunique() == target.nunique() for out in split.left_out):
            return fewer
    return None


def shape_of(n_train: int) -> dict[str, int]:
    """Epochs, batch size and seeds of a network, and the leaves of boosted trees, that fit a number of rows."""
    steps = np.interp(np.log10(max(n_train, 1)), [3, 4, 5, 6], [40, 30, 15, 5])
    batch = 64 if n_train <= 20_000 else 256 if n_train <= 200_000 else 1024
    few = n_train <= 5000
    return {"epochs": int(steps), "batch_size": batch, "seeds": 2 if few else 1, "leaves": 15 if few else 31}
