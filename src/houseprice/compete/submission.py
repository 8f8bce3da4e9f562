"""Entries: a submission CSV that passes its gate, and the manifest from which it can be rebuilt."""

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from houseprice.documents import parse_json
from houseprice.errors import SubmissionError, listing
from houseprice.files import read_regular, write_atomically, write_text
from houseprice.metrics import Metric, decide, labels_of
from houseprice.tasks import class_places

Float = NDArray[np.float64]
DIGITS = 7  # float32's; what lies beyond differs between processors


def submission_csv(
    test_ids: Sequence[str],
    predictions: Float,
    sample_ids: Sequence[str],
    id_column: str,
    target: str,
    metric: Metric,
    classes: Sequence[str] = (),
    columns: Sequence[str] = (),
    threshold: float | None = None,
) -> bytes:
    """Write predictions as the competition wants them: the sample's ids in the sample's order, natural units.

    Of classes the target column holds what the metric reads: the probability of the second of two, or labels in the
    file's own text.

    Parameters
    ----------
    test_ids, predictions
        Ids and float64 [n_test] on the link scale, or probabilities, of more classes than two [n_test, n_classes];
        joined to the sample by id.
    sample_ids
        The ids of the sample submission.
    id_column, target
        The header.
    classes
        The labels, in the order of their codes; empty for numbers.
    columns
        The header beside the id where it has a column for each class, holding its probability
        (`houseprice.tasks.class_places`).
    threshold
        The probability from which on the second of two classes is given.

    Raises
    ------
    SubmissionError
        If an id has no prediction, or the text fails `check_submission`.

    Examples
    --------
    >>> from houseprice.metrics import METRICS
    >>> submission_csv(["7", "8"], np.log([1e5, 2e5]), ["8", "7"], "Id", "SalePrice", METRICS["log_rmse"])
    b'Id,SalePrice\\n8,200000\\n7,100000\\n'
    """
    cells_of = dict(zip(test_ids, _cells(predictions, metric, classes, columns, threshold), strict=True))
    if absent := [row_id for row_id in sample_ids if row_id not in cells_of]:
        raise SubmissionError(
            f"no prediction for {len(absent)} ids of the sample submission: {listing(absent)}. Ingest again."
        )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([id_column, *(columns or [target])])
    writer.writerows((row_id, *cells_of[row_id]) for row_id in sample_ids)
    data = text.getvalue().encode()
    check_submission(data, sample_ids, id_column, target, metric, classes, columns)
    return data


def _cells(
    predictions: Float, metric: Metric, classes: Sequence[str], columns: Sequence[str], threshold: float | None
) -> list[list[str]]:
    """What stands beside the id in every row."""
    if places := class_places(columns, classes):
        of_all = np.stack([1 - predictions, predictions], axis=1) if predictions.ndim == 1 else predictions
        values = of_all[:, places]
    elif classes and metric.reads == "label":
        return [[classes[int(code)]] for code in labels_of(decide(predictions, threshold))]
    else:
        values = metric.from_link(predictions)[:, None]
    return [[f"{value:.{DIGITS}g}" for value in row] for row in values]


def check_submission(
    data: bytes,
    sample_ids: Sequence[str],
    id_column: str,
    target: str,
    metric: Metric,
    classes: Sequence[str] = (),
    columns: Sequence[str] = (),
) -> Float:
    """The gate: header, ids, their order and number, and every value finite (and positive where the metric asks).

    Labels must be known; probabilities lie between 0 and 1, and sum to 1 where each class has a column.

    Returns
    -------
    float64 [n_test]
        The values, natural units; of labels their codes; of a column for each class [n_test, n_classes].

    Raises
    ------
    SubmissionError
        Naming the first line that is wrong.
    """
    try:
        header, *rows = csv.reader(io.StringIO(data.decode("utf-8"), newline="")) if data else [[]]
    except UnicodeDecodeError as error:
        raise SubmissionError(f"submission: not UTF-8 text: {error}") from error
    wanted_header = [id_column, *(columns or [target])]
    if header != wanted_header:
        raise SubmissionError(f"submission: header {header}, not {wanted_header}")
    if len(rows) != len(sample_ids):
        raise SubmissionError(f"submission: {len(rows)} rows, where the sample submission has {len(sample_ids)}")
    for line, (row, wanted) in enumerate(zip(rows, sample_ids, strict=True)):
        if len(row) != len(wanted_header) or row[0] != wanted:
            raise SubmissionError(
                f"submission: line {line + 2} is {row}, where the sample submission has id {wanted!r}"
            )
    cells = [row[1:] for row in rows]
    if class_places(columns, classes):
        return _probabilities(cells, sample_ids)
    if classes and metric.reads == "label":
        return _codes([cell for (cell,) in cells], sample_ids, classes)
    if classes:
        return _probabilities(cells, sample_ids)[:, 0]
    values = _floats(cells)[:, 0]
    bad = ~(np.isfinite(values) & (values > metric.above))
    _refuse(bad, f"finite numbers{'' if metric.rule == 'finite' else f' {metric.rule}'}", values, sample_ids)
    return values


def _probabilities(cells: Sequence[Sequence[str]], ids: Sequence[str]) -> Float:
    values = _floats(cells)
    inside = np.asarray(((values >= 0) & (values <= 1)).all(axis=1))
    _refuse(~inside, "probabilities from 0 to 1", values, ids)
    if values.shape[1] > 1:
        sums = values.sum(axis=1)
        _refuse(np.abs(sums - 1) > _ROUNDING * values.shape[1], "rows that sum to 1", sums, ids)
    return values


_ROUNDING = 1e-6


def _codes(labels: Sequence[str], ids: Sequence[str], classes: Sequence[str]) -> Float:
    code_of = {label: code for code, label in enumerate(classes)}
    unknown = np.array([label not in code_of for label in labels], np.bool_)
    _refuse(unknown, f"classes ({listing(classes)})", np.array(labels), ids)
    return np.array([code_of[label] for label in labels], np.float64)


def _floats(cells: Sequence[Sequence[str]]) -> Float:
    """The numbers in the cells, NaN where one is none, [n_rows, n_columns]."""

    def number(cell: str) -> float:
        try:
            return float(cell)
        except ValueError:
            return np.nan

    return np.array([[number(cell) for cell in row] for row in cells], np.float64).reshape(len(cells), -1)


def _refuse(bad: NDArray[np.bool_], rule: str, values: NDArray[Any], ids: Sequence[str]) -> None:
    if bad.any():
        named = [ids[row] for row in np.flatnonzero(bad).tolist()]
        raise SubmissionError(
            f"submission: {int(bad.sum())} predictions are not {rule} (ids {listing(named)}: {listing(values[bad])}). "
            "Find the run that predicts them with `houseprice evaluate`, and take it out of the ensemble."
        )


def outside_training_range(values: Float, ids: Sequence[str], target: Float) -> str | None:
    """A warning if predictions leave the range of the training targets, both in natural units; else None."""
    low, high = float(target.min()), float(target.max())
    outside = (values < low) | (values > high)
    if not outside.any():
        return None
    rows = np.flatnonzero(outside).tolist()
    named = listing(ids[row] for row in rows), listing(f"{values[row]:,.6g}" for row in rows)
    return (
        f"warning: {len(rows)} of {len(values)} predictions leave the range of the training targets, "
        f"{low:,.6g} to {high:,.6g} (ids {': '.join(named)})"
    )


def manifest_path(csv_path: Path) -> Path:
    """Where the manifest of an entry lies: beside it, ``.json`` for ``.csv``."""
    return csv_path.with_suffix(".json")


def write_entry(csv_path: Path, data: bytes, manifest: Mapping[str, Any]) -> None:
    """Write an entry and its manifest, each atomically.

    Raises
    ------
    StorageError
        If the folder can't be written.
    """
    text = json.dumps(manifest, indent=2) + "\n"
    write_atomically(csv_path, lambda file: file.write(data))
    write_text(manifest_path(csv_path), text)


def read_entry(csv_path: Path) -> tuple[bytes, dict[str, Any]]:
    """Read an entry and its manifest, and check that they belong together.

    Raises
    ------
    SubmissionError
        If one is missing, is not what it should be, or the CSV was changed since.
    """
    try:
        data = read_regular(csv_path)
        manifest = parse_json(read_regular(manifest_path(csv_path)))
    except OSError as error:
        raise SubmissionError(
            f"{error.filename}: cannot be read: {error.strerror}. An entry is a CSV with its .json beside it."
        ) from error
    except ValueError as error:
        raise SubmissionError(f"{manifest_path(csv_path)}: not a manifest: {error}") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("sha256"), str):
        raise SubmissionError(
            f"{manifest_path(csv_path)}: not a manifest: no sha256. Make the entry again with `houseprice submit`."
        )
    digest = hashlib.sha256(data).hexdigest()
    if digest != manifest["sha256"]:
        raise SubmissionError(
            f"{csv_path}: its SHA-256 is {digest[:16]}…, its manifest says {manifest['sha256'][:16]}…: the file was "
            "changed. Make it again with `houseprice submit`."
        )
    return data, manifest
