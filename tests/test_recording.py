"""What stages tell the leaderboard: rows whose evidence has their score, recorded anew where it is missing."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from competitions import COUNTED, open_plan, submit, write_competition
from houseprice import pipeline
from houseprice.compete.leaderboard import Kind, Row, evidence_of, rows
from houseprice.metrics import METRICS
from houseprice.plan import Plan
from spies import CountedTree

METRIC = METRICS["log_rmse"]
REPEATED = COUNTED.replace("k = 3\n", "k = 3\nrepeats = 2\n")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which `submit` has ended; its folds are repeated."""
    root = tmp_path_factory.mktemp("original")
    write_competition(root, toml=REPEATED)
    submit(root)
    return root


def board_of(root: Path) -> Path:
    return root / "data" / "tiny" / "leaderboard.db"


def row_of(root: Path, kind: Kind, name: str) -> Row:
    (row,) = (row for row in rows(board_of(root)) if (row.kind, row.name) == (kind, name))
    return row


def evaluate_all(plan: Plan) -> None:
    for name in ("ridge", "mlp", "tree"):
        pipeline.summarize_run(plan, name)
    pipeline.summarize_ensemble(plan, "blend")
    pipeline.submit(plan, "blend")


def test_every_row_s_score_is_that_of_its_evidence(root: Path) -> None:
    found = rows(board_of(root))
    assert len(found) == 5
    for row in found:
        evidence = evidence_of(board_of(root), row)
        assert evidence is not None
        assert METRIC.score(evidence.target, evidence.oof) == row.score
        assert METRIC.std_error(evidence.target, evidence.oof) == row.std_error
        assert evidence.ids == tuple(str(number) for number in range(1, 61))
        assert np.unique(evidence.fold_of_row).tolist() == list(range(len(row.fold_scores)))
        if row.kind != "run":
            for fold, score in enumerate(row.fold_scores):
                inside = evidence.fold_of_row[0] == fold
                assert METRIC.score(evidence.target[inside], evidence.oof[inside]) == score


def test_an_entry_has_the_evidence_of_its_ensemble_which_is_cross_fitted(root: Path) -> None:
    board = board_of(root)
    ensemble = evidence_of(board, row_of(root, "ensemble", "blend"))
    entry = evidence_of(board, row_of(root, "entry", "blend"))
    ridge = evidence_of(board, row_of(root, "run", "ridge"))
    assert ensemble is not None
    assert entry is not None
    assert ridge is not None
    np.testing.assert_array_equal(entry.oof, ensemble.oof)
    np.testing.assert_array_equal(ensemble.oof, pipeline.ensemble(open_plan(root), "blend").oof)
    np.testing.assert_array_equal(ensemble.fold_of_row, ridge.fold_of_row[:1])
    assert ridge.fold_of_row.shape == (2, 60)
    assert not np.array_equal(ridge.fold_of_row[0], ridge.fold_of_row[1])


def test_rows_without_evidence_get_it_from_their_artifacts(root: Path) -> None:
    """As rows of an earlier schema are; nothing is computed anew, and the time of the first recording stays."""
    before = rows(board_of(root))
    with closing(sqlite3.connect(board_of(root))) as database, database:
        database.execute("UPDATE leaderboard SET oof = NULL, truth = NULL, folds = NULL")
    assert [evidence_of(board_of(root), row) for row in before] == [None] * 5
    evaluate_all(open_plan(root))
    assert None not in [evidence_of(board_of(root), row) for row in before]
    assert rows(board_of(root)) == before
    assert CountedTree.fits == []


def test_a_source_that_changes_while_the_bytes_stay_changes_the_rows(root: Path) -> None:
    before = rows(board_of(root))
    record = root / "data" / "tiny" / "raw" / "provenance.json"
    provenance = json.loads(record.read_text(encoding="utf-8"))
    record.write_text(json.dumps(provenance | {"source": "mirror"}), encoding="utf-8")
    evaluate_all(open_plan(root))
    assert rows(board_of(root)) == [replace(row, source="mirror") for row in before]
    assert CountedTree.fits == []


def test_what_is_recorded_is_not_loaded_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*stages: object) -> None:
        raise AssertionError("an artifact was loaded")

    plan = open_plan(root)
    monkeypatch.setattr("houseprice.artifacts.ArtifactStore.load", load)
    evaluate_all(plan)
