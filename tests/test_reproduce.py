"""Entries: a manifest that says everything, and the same bytes again from it alone."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from competitions import (
    COUNTED,
    Ear,
    entry_of,
    files_below,
    files_no_larger_than,
    open_plan,
    submit,
    write_files,
)
from houseprice import pipeline
from houseprice.compete import leaderboard
from houseprice.errors import HousePriceError, StorageError
from houseprice.plan import open_workspace
from houseprice.reproduction import reproduce
from spies import CountedTree


def read_manifest(root: Path, name: str = "blend") -> dict[str, Any]:
    manifest = json.loads(entry_of(root, name).with_suffix(".json").read_text(encoding="utf-8"))
    assert isinstance(manifest, dict)
    return manifest


def write_manifest(root: Path, manifest: dict[str, Any]) -> None:
    entry_of(root).with_suffix(".json").write_text(json.dumps(manifest), encoding="utf-8")


def test_a_manifest_says_all_that_the_entry_depends_on(root: Path) -> None:
    manifest, plan = read_manifest(root), open_plan(root)
    assert manifest["entry"] == "blend"
    for name in ("sha256", "competition_sha256", "package_sha256", "fingerprint"):
        assert len(manifest[name]) == 64
    assert manifest["raw_sha256"] == plan.raw
    assert set(manifest["weights"]) == set(manifest["runs"]) == {"ridge", "mlp", "tree"}
    assert sum(manifest["weights"].values()) == pytest.approx(1)
    assert manifest["runs"]["mlp"]["seeds"] == [0, 1]
    assert manifest["runs"]["mlp"]["fingerprint"] == plan.run("mlp").fingerprint
    assert (manifest["threads"], manifest["runs"]["mlp"]["dtype"], manifest["device"]) == (2, "float32", "cpu")
    assert {"python", "torch", "numpy", "pandas", "scikit-learn"} <= set(manifest["versions"])
    assert {"system", "machine", "processor"} == set(manifest["platform"])
    assert manifest["score"]["score"] == plan.summary(plan.blend("blend"))["score"]
    assert manifest["score"]["std_error"] > 0
    assert manifest["source"] == "local"
    assert manifest["competition"]["experiments"]["tree"]["params"] == {"max_depth": 3}


def test_overrides_are_recorded_wherever_they_matter(root: Path) -> None:
    submit(root, "mlp", overrides=("mlp.epochs=2",), seeds=3)
    manifest = read_manifest(root, "mlp")
    assert manifest["overrides"][0] == "mlp.epochs=2"
    assert "experiments.mlp.seeds=3" in manifest["overrides"]
    assert manifest["competition"]["experiments"]["mlp"]["epochs"] == 2
    assert manifest["runs"]["mlp"]["members"] == 9
    (row,) = (
        row for row in leaderboard.rows(open_plan(root).workspace.board) if row.members == 9 and row.kind == "run"
    )
    assert row.overrides == tuple(manifest["overrides"])
    assert entry_of(root, "mlp").name in reproduce(open_plan(root).workspace, entry_of(root, "mlp"))


def test_the_leaderboard_has_a_row_for_each_run_ensemble_and_entry(root: Path) -> None:
    board = open_plan(root).workspace.board
    kinds = sorted((row.kind, row.name) for row in leaderboard.rows(board))
    assert kinds == [("ensemble", "blend"), ("entry", "blend"), ("run", "mlp"), ("run", "ridge"), ("run", "tree")]
    submit(root, "linear")
    added = [row for row in leaderboard.rows(board) if row.name == "linear"]
    assert sorted((row.kind, row.sees_test) for row in added) == [("entry", True), ("run", True)]
    board.unlink()
    pipeline.summarize_run(open_plan(root), "ridge")
    pipeline.summarize_ensemble(open_plan(root), "blend")
    assert sorted((row.kind, row.name) for row in leaderboard.rows(board)) == [("ensemble", "blend"), ("run", "ridge")]


def reproduced(root: Path) -> str:
    return reproduce(open_workspace(root, "tiny", (), "cpu", Ear()), entry_of(root))


def test_an_entry_reproduces_from_the_raw_files_up(root: Path) -> None:
    shutil.rmtree(root / "data" / "tiny" / "artifacts")
    assert "reproduced, the same" in reproduced(root)
    assert len(CountedTree.fits) == 3
    assert sorted(path.name for path in (root / "data" / "tiny").iterdir()) == [
        "competition.toml",
        "leaderboard.db",
        "raw",
    ]


@pytest.mark.parametrize("estimator", ["sklearn.linear_model.RidgeCV", "spies.CountedTree"])
def test_a_stack_reproduces_and_says_what_its_weights_are(root: Path, estimator: str) -> None:
    overrides = ("blend.method=stack", f"blend.estimator={estimator}", "blend.original_columns=true")
    submit(root, overrides=overrides)
    weights = read_manifest(root)["weights"]
    assert set(weights) == {"ridge", "mlp", "tree"}
    assert {weight is None for weight in weights.values()} == {estimator.startswith("spies")}
    assert read_manifest(root)["competition"]["ensembles"]["blend"]["estimator"] == estimator
    toml = root / "data" / "tiny" / "competition.toml"
    stack = f'method = "stack"\nestimator = "{estimator}"'
    toml.write_text(COUNTED.replace('method = "nnls"', stack), encoding="utf-8")
    assert "reproduced, the same" in reproduced(root)


def test_an_entry_outlives_edits_of_the_competition_file(root: Path) -> None:
    toml = root / "data" / "tiny" / "competition.toml"
    toml.write_text(COUNTED.replace("alpha = 2.0", "alpha = 50.0").replace("seed = 1", "seed = 9"), encoding="utf-8")
    assert "reproduced, the same" in reproduced(root)


def complaint(root: Path) -> str:
    with pytest.raises(HousePriceError) as caught:
        reproduced(root)
    assert CountedTree.fits == [] or "rebuilt" in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_entry_that_differs_says_which_recorded_field_does(root: Path) -> None:
    manifest = read_manifest(root)
    manifest["competition"]["experiments"]["ridge"]["alpha"] = 500.0
    manifest["versions"]["numpy"] = "1.0"
    write_manifest(root, manifest)
    message = complaint(root)
    assert "the rebuilt entry differs in " in message
    assert "versions.numpy: 1.0 → " in message
    assert "competition_sha256: " in message


def test_an_entry_made_from_other_raw_files_says_so(root: Path) -> None:
    write_files(root / "data" / "tiny" / "raw", seed=7)
    assert "was made from other raw files: raw_sha256.train.csv: " in complaint(root)


@pytest.mark.parametrize("where", ["experiments", "ensembles"])
def test_a_manifest_cannot_bring_code(root: Path, where: str) -> None:
    manifest = read_manifest(root)
    if where == "experiments":
        manifest["competition"]["experiments"]["tree"]["estimator"] = "antigravity.Flight"
    else:
        manifest["competition"]["ensembles"]["blend"] |= {"method": "stack", "estimator": "antigravity.Flight"}
    write_manifest(root, manifest)
    assert "estimators that the local competition file does not name: antigravity.Flight" in complaint(root)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"competition": None}, r"blend.json: competition: Input should be"),
        ({"competition": {"name": "tiny"}}, r"blend.json: competition: "),
        ({"entry": "nothing"}, "unknown experiment 'nothing'"),
        ({"entry": None}, "unknown experiment 'None'"),
        ({"device": "abacus"}, "abacus"),
        ({"raw_sha256": "gone"}, "was made from other raw files"),
    ],
)
def test_a_manifest_with_nonsense_in_a_field_is_refused(root: Path, change: dict[str, Any], expected: str) -> None:
    write_manifest(root, read_manifest(root) | change)
    with pytest.raises(HousePriceError, match=expected):
        reproduced(root)
    assert CountedTree.fits == []


def test_an_entry_of_another_competition_is_told_where_it_belongs(root: Path) -> None:
    manifest = read_manifest(root)
    manifest["competition"]["name"] = "other"
    write_manifest(root, manifest)
    assert "is an entry of competition 'other'; say so: -c other" in complaint(root)


def test_reproducing_where_nothing_can_be_written_leaves_nothing(root: Path) -> None:
    before = files_below(root)
    with files_no_larger_than(0), pytest.raises(StorageError, match=r"cannot be written: .*File too large"):
        reproduced(root)
    assert files_below(root) == before
