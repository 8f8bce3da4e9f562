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
from houseprice.files import write_atomically, write_text
from houseprice.metrics import Metric

Float = NDArray[np.float64]
DIGITS = 7  # float32's; what lies beyond differs between processors


def submission_csv(
    test_ids: Sequence[str],
    predictions: Float,
    sample_ids: Sequence[str],
    id_column: str,
    target: str,
    metric: Metric,
) -> bytes:
    """Write predictions as the competition wants them: the sample's ids in the sample's order, natural units.

    Parameters
    ----------
    test_ids, predictions
        Ids and float64 [n_test] on the link scale; joined to the sample by id.
    sample_ids
        The ids of the sample submission.
    id_column, target
        The header.

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
    value_of = dict(zip(test_ids, metric.from_link(predictions), strict=True))
    if absent := [row_id for row_id in sample_ids if row_id not in value_of]:
        raise SubmissionError(
            f"no prediction for {len(absent)} ids of the sample submission: {listing(absent)}. Ingest again."
        )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([id_column, target])
    writer.writerows((row_id, f"{value_of[row_id]:.{DIGITS}g}") for row_id in sample_ids)
    data = text.getvalue().encode()
    check_submission(data, sample_ids, id_column, target, metric)
    return data


def check_submission(data: bytes, sample_ids: Sequence[str], id_column: str, target: str, metric: Metric) -> Float:
    """The gate: header, ids, their order and number, and every value finite (and positive where the metric asks).

    Returns
    -------
    float64 [n_test]
        The values, natural units.

    Raises
    ------
    SubmissionError
        Naming the first line that is wrong.
    """
    try:
        header, *rows = csv.reader(io.StringIO(data.decode("utf-8"), newline="")) if data else [[]]
    except UnicodeDecodeError as error:
        raise SubmissionError(f"submission: not UTF-8 text: {error}") from error
    if header != [id_column, target]:
        raise SubmissionError(f"submission: header {header}, not {[id_column, target]}")
    if len(rows) != len(sample_ids):
        raise SubmissionError(f"submission: {len(rows)} rows, where the sample submission has {len(sample_ids)}")
    values = np.empty(len(rows))
    for line, (row, wanted) in enumerate(zip(rows, sample_ids, strict=True)):
        if len(row) != 2 or row[0] != wanted:
            raise SubmissionError(
                f"submission: line {line + 2} is {row}, where the sample submission has id {wanted!r}"
            )
        try:
            values[line] = float(row[1])
        except ValueError:
            values[line] = np.nan
    bad = ~np.isfinite(values) | ((values <= 0) & metric.needs_positive)
    if bad.any():
        ids = [sample_ids[row] for row in np.flatnonzero(bad).tolist()]
        rule = "finite numbers > 0" if metric.needs_positive else "finite numbers"
        raise SubmissionError(
            f"submission: {int(bad.sum())} predictions are not {rule} (ids {listing(ids)}: {listing(values[bad])}). "
            "Find the run that predicts them with `houseprice evaluate`, and take it out of the ensemble."
        )
    return values


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
        data = csv_path.read_bytes()
        manifest = parse_json(manifest_path(csv_path).read_bytes())
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
