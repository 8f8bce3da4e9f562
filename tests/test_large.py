"""Large tables: what lies in files is what would lie in memory, sound or found out, and progress is told on the way."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from conftest import LoadTiny
from houseprice.artifacts import ArtifactStore, Stage
from houseprice.data import preprocessor
from houseprice.data.features import build_features
from houseprice.data.folds import make_folds
from houseprice.data.tables import read_tables
from houseprice.files import scratch_matrix, sha256_of
from houseprice.pace import Paced

STAGE = Stage("features/default@main", {}, {"recipe": "default"}, ("houseprice.errors",))


@pytest.fixture
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("houseprice.files.LARGE", 0)
    monkeypatch.setattr("houseprice.artifacts.LARGE", 0)
    monkeypatch.setattr(Paced, "seconds", 0.0)


@pytest.mark.usefixtures("everything_is_large")
def test_matrices_in_files_are_those_in_memory(
    tmp_path: Path, tiny_files: dict[str, bytes], load_tiny: LoadTiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    competition = load_tiny()
    tables, folds = read_tables(tiny_files, competition), make_folds(24, competition.folds["main"])
    in_memory = build_features(tables, competition.features["default"], folds, competition.ingest)
    monkeypatch.setattr(preprocessor, "_CHUNK", 7)
    told: list[tuple[int, int]] = []
    in_files = build_features(
        tables,
        competition.features["default"],
        folds,
        competition.ingest,
        gather=partial(scratch_matrix, tmp_path / "scratch"),
        on_progress=lambda done, total: told.append((done, total)),
    )
    for one, other in zip(in_files.matrices, in_memory.matrices, strict=True):
        assert isinstance(one.X, np.memmap)
        np.testing.assert_array_equal(one.X, other.X)
        np.testing.assert_array_equal(one.X_test, other.X_test)
    total = 2 + len(in_files.matrices) * (1 + 4 + 2)  # 24 and 8 rows, 7 at a time
    assert told == [(done, total) for done in range(1, total + 1)]
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.usefixtures("everything_is_large")
def test_a_large_value_is_hashed_as_it_is_written_and_damage_is_found(tmp_path: Path) -> None:
    told: list[str] = []
    store = ArtifactStore(tmp_path / "artifacts", told.append)
    value = {"X": np.arange(300_000, dtype=np.float32), "names": ["a", "b"]}
    record = store.save(STAGE, value, {}, 1)
    path = store.place(STAGE) / "value.joblib"
    assert record.sha256 == sha256_of(path)
    assert told[-1] == "features/default@main: 1 MB written"
    loaded = store.load(STAGE)
    assert isinstance(loaded["X"], np.memmap)
    np.testing.assert_array_equal(loaded["X"], value["X"])
    data = path.read_bytes()
    path.write_bytes(data[:600_000] + bytes([data[600_000] ^ 1]) + data[600_001:])
    assert store.load(STAGE) is None
    assert "corrupt artifact" in told[-1]


def test_what_was_computed_elsewhere_is_kept_once_with_the_seconds_that_it_took(tmp_path: Path) -> None:
    told: list[str] = []
    store = ArtifactStore(tmp_path / "artifacts", told.append)
    store.keep(STAGE, [1, 2], {"rows": 2}, 21.04)
    store.keep(STAGE, [3], {"rows": 1}, 5.0)
    assert told == ["features/default@main: done in 21.0 s"]
    assert store.load(STAGE) == [1, 2]
    record = store.find(STAGE)
    assert record is not None
    assert (record.summary["seconds"], record.summary["rows"]) == (21.04, 2)


def test_progress_is_told_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    told: list[str] = []
    say = Paced(told.append, 5.0)
    for now in (1.0, 4.9, 5.0, 6.0, 9.9, 12.0):
        say(f"at {now}")
    assert told == ["at 5.0", "at 12.0"]
