"""The pipeline: a stage runs when something behind it has changed, and an interruption loses nothing."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from competitions import (
    COMPETITION,
    COUNTED,
    Ear,
    command,
    entry_of,
    environment,
    files_below,
    files_no_larger_than,
    open_plan,
    submit,
    write_competition,
    write_files,
)
from houseprice import pipeline
from houseprice.artifacts import installed_version
from houseprice.compete import leaderboard
from houseprice.errors import DataError, StorageError
from houseprice.plan import open_workspace
from spies import CountedTree


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A project with raw files and nothing else."""
    CountedTree.fits.clear()
    write_competition(tmp_path / "fresh", toml=COUNTED)
    return tmp_path / "fresh"


ALL = ["tables", "features/default@main", "train/ridge", "train/mlp", "train/tree", "ensemble/blend", "submit/blend"]


# what runs, and what does not -------------------------------------------------------------------------------


def test_every_stage_brings_what_it_needs_and_nothing_else(fresh: Path) -> None:
    ear = Ear()
    plan = open_plan(fresh, ear)
    pipeline.features(plan, "linear")
    assert ear.ran == ["tables", "features/together@main"]
    pipeline.train(plan, "tree")
    assert ear.ran[2:] == ["features/default@main", "train/tree"]
    pipeline.ensemble(plan, "blend")
    assert ear.ran[4:] == ["train/ridge", "train/mlp", "ensemble/blend"]
    pipeline.submit(plan, "blend")
    assert ear.ran[7:] == ["submit/blend"]
    assert len(CountedTree.fits) == 3


def test_a_second_time_nothing_runs_and_nothing_is_written(root: Path) -> None:
    before = files_below(root)
    assert submit(root) == []
    plan = open_plan(root)
    for experiment in ("ridge", "mlp", "tree"):
        pipeline.train(plan, experiment)
    pipeline.ensemble(plan, "blend")
    assert CountedTree.fits == []
    assert files_below(root) == before


def test_the_stages_of_an_entry_are_up_to_date_afterwards(root: Path) -> None:
    answers = pipeline.explain(open_plan(root).workspace, "blend")
    assert answers == [{"stage": stage, "runs": False, "reasons": []} for stage in ALL]


def test_a_fresh_project_is_explained_without_being_computed(fresh: Path) -> None:
    ear = Ear()
    answers = pipeline.explain(open_plan(fresh, ear).workspace, "blend")
    assert answers == [{"stage": stage, "runs": True, "reasons": ["no artifact yet"]} for stage in ALL]
    assert ear.ran == []


def test_a_changed_key_reruns_what_reads_it(root: Path) -> None:
    overrides = ("tree.params.max_depth=2",)
    workspace = open_plan(root, None, overrides).workspace
    answers = {answer["stage"]: answer["reasons"] for answer in pipeline.explain(workspace, "blend")}
    assert answers["train/tree"] == ["key experiment.params.max_depth: 3 → 2"]
    assert answers["tables"] == answers["features/default@main"] == answers["train/ridge"] == []
    assert [reason.partition(":")[0] for reason in answers["ensemble/blend"]] == ["input run tree"]
    assert submit(root, overrides=overrides) == ["train/tree", "ensemble/blend", "submit/blend"]
    assert submit(root) == []  # what was computed before still lies there
    assert "max_depth" not in entry_of(root).read_text(encoding="utf-8")


def test_a_changed_raw_file_is_named_and_reruns_everything(root: Path) -> None:
    write_files(root / "data" / "tiny" / "raw", seed=7)
    ear = Ear()
    plan = open_plan(root, ear)
    assert any("its files are not those that provenance.json records" in line for line in ear.lines)
    reasons = pipeline.explain(plan.workspace, "blend")[0]["reasons"]
    assert [reason.partition(":")[0] for reason in reasons] == ["input train.csv", "input test.csv"]
    assert submit(root) == ALL


def test_an_installed_version_is_a_reason(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("houseprice.artifacts.PACKAGES", ("numpy", "pandas"))
    reasons = pipeline.explain(open_plan(root).workspace, "blend")[0]["reasons"]
    assert reasons == [f"version of {name}: {installed_version(name)} → absent" for name in ("torch", "scikit-learn")]


@pytest.mark.parametrize("slot", ["tables", "features-default@main", "train-mlp", "ensemble-blend", "submit-blend"])
def test_an_artifact_that_vanished_is_computed_again_where_it_is_needed(root: Path, slot: str) -> None:
    """The CSV is gone too, so that something must be written; its bytes are the same."""
    (artifact,) = (root / "data" / "tiny" / "artifacts").glob(f"{slot}-????????????????")
    shutil.rmtree(artifact)
    data = entry_of(root).read_bytes()
    entry_of(root).unlink()
    ran = submit(root)
    assert ran in ([], [slot.replace("-", "/", 1)])
    assert entry_of(root).read_bytes() == data
    assert submit(root) == []


def test_a_corrupt_artifact_is_reported_and_computed_again(root: Path) -> None:
    artifacts = root / "data" / "tiny" / "artifacts"
    for path in artifacts.glob("*/value.joblib"):
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    data, ear = entry_of(root).read_bytes(), Ear()
    entry_of(root).write_bytes(b"changed by hand\n")
    assert submit(root, ear=ear) == ALL
    assert sum("corrupt artifact" in line for line in ear.lines) == len(ALL)
    assert any("the file was changed" in line and "written anew" in line for line in ear.lines)
    assert entry_of(root).read_bytes() == data


@pytest.mark.parametrize("text", ["", "{", "[]", '{"files": 3}', '{"files": {}, "source": "mirror"}'])
def test_a_garbled_provenance_is_made_anew(root: Path, text: str) -> None:
    path = root / "data" / "tiny" / "raw" / "provenance.json"
    path.write_text(text, encoding="utf-8")
    plan = open_plan(root)
    assert plan.source == json.loads(path.read_text(encoding="utf-8"))["source"] == "local"
    assert submit(root) == []


def test_real_files_put_over_the_sample_are_local_not_sample(root: Path) -> None:
    path = root / "data" / "tiny" / "raw" / "provenance.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(record | {"source": "sample"}), encoding="utf-8")
    assert open_plan(root).source == "sample"
    write_files(root / "data" / "tiny" / "raw", seed=7)
    assert open_plan(root).source == "local"


def test_a_broken_raw_file_stops_before_anything_is_written(root: Path) -> None:
    before = files_below(root / "submissions")
    (root / "data" / "tiny" / "raw" / "train.csv").write_text("Id,Price\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"train\.csv: a header and no rows"):
        submit(root)
    assert files_below(root / "submissions") == before


# a stack ----------------------------------------------------------------------------------------------------

STACK = ("blend.method=stack",)


def test_a_stack_brings_what_its_second_level_needs_and_an_interruption_loses_no_member(root: Path) -> None:
    one_thread = (*STACK, "threads=1")
    ear = Ear(interrupt=("nested/tree", 2))
    with pytest.raises(KeyboardInterrupt):
        submit(root, ear=ear, overrides=one_thread)
    assert ear.ran == ["train/ridge", "train/mlp", "train/tree", "nested/ridge", "nested/mlp"]
    CountedTree.fits.clear()
    assert submit(root, overrides=one_thread) == ["nested/tree", "ensemble/blend", "submit/blend"]
    assert CountedTree.fits == [20], "of 60 rows a pair of 3 folds leaves 20, and two of the three pairs were kept"
    assert list((root / "data" / "tiny" / "artifacts").glob("members-*")) == []
    assert submit(root, overrides=one_thread) == []


def test_the_stages_of_a_stack_are_explained_and_follow_what_they_read(root: Path) -> None:
    submit(root, overrides=STACK)
    before = [stage for stage in ALL if not stage.startswith(("ensemble", "submit"))]
    stages = [*before, "nested/ridge", "nested/mlp", "nested/tree", "ensemble/blend", "submit/blend"]
    answers = pipeline.explain(open_plan(root, overrides=STACK).workspace, "blend")
    assert answers == [{"stage": stage, "runs": False, "reasons": []} for stage in stages]
    columns = (*STACK, "blend.original_columns=true")
    assert submit(root, overrides=columns) == ["ensemble/blend", "submit/blend"]
    assert submit(root, overrides=(*columns, "ridge.alpha=3")) == ["train/ridge", "nested/ridge", *ALL[-2:]]
    summary = pipeline.summarize_ensemble(open_plan(root, overrides=STACK), "blend")
    assert summary["members"] == 3 + 6 + 3 + 3 + 6 + 3, "of each run a member a fold and seed, then one a pair and seed"


# interruptions ----------------------------------------------------------------------------------------------


def test_an_interrupted_experiment_keeps_its_finished_members(fresh: Path, original: Path) -> None:
    ear = Ear(interrupt=("train/tree", 2))
    with pytest.raises(KeyboardInterrupt):
        submit(fresh, ear=ear, overrides=("threads=1",))
    kept = list(open_plan(fresh, overrides=("threads=1",)).workspace.store.folder.glob("members-*/*.joblib"))
    assert len(kept) == 2
    CountedTree.fits.clear()
    ear = Ear()
    assert submit(fresh, ear=ear, overrides=("threads=1",)) == ["train/tree", "ensemble/blend", "submit/blend"]
    assert len(CountedTree.fits) == 1
    assert ear.reports["train/tree"] == [(3, 3)]
    assert entry_of(fresh).read_bytes() == entry_of(original).read_bytes()
    assert list((fresh / "data" / "tiny" / "artifacts").glob("members-*")) == []


def test_interrupted_networks_go_on_and_end_with_the_same_bytes(fresh: Path, tmp_path: Path) -> None:
    longer, undisturbed = ("mlp.epochs=40",), tmp_path / "undisturbed"
    shutil.copytree(fresh, undisturbed)
    ear = Ear()
    submit(undisturbed, "mlp", overrides=longer, ear=ear)
    total = len(ear.reports["train/mlp"])
    with pytest.raises(KeyboardInterrupt):
        submit(fresh, "mlp", overrides=longer, ear=Ear(interrupt=("train/mlp", total // 2)))
    assert not entry_of(fresh, "mlp").exists()
    ear = Ear()
    submit(fresh, "mlp", overrides=longer, ear=ear)
    assert len(ear.reports["train/mlp"]) < total
    assert entry_of(fresh, "mlp").read_bytes() == entry_of(undisturbed, "mlp").read_bytes()
    assert list((fresh / "data" / "tiny" / "artifacts").glob("members-*")) == []


@pytest.mark.parametrize("n_bytes", [100, 1500, 3000, 10_000])
def test_a_full_disk_loses_nothing_and_leaves_nothing_half_written(fresh: Path, original: Path, n_bytes: int) -> None:
    """Whichever write fails, the next call goes on from there."""
    with files_no_larger_than(n_bytes), pytest.raises(StorageError, match=r"File too large|disk I/O error"):
        submit(fresh)
    artifacts = fresh / "data" / "tiny" / "artifacts"
    assert [path for path in artifacts.rglob("*") if path.name.startswith(".")] == []
    assert not entry_of(fresh).exists()
    ear = Ear()
    submit(fresh, ear=ear)
    assert not any("corrupt" in line for line in ear.lines)
    assert entry_of(fresh).read_bytes() == entry_of(original).read_bytes()


def test_two_processes_at_once_both_end_with_the_entry(fresh: Path, original: Path) -> None:
    toml = fresh / "data" / "tiny" / "competition.toml"
    toml.write_text(COMPETITION, encoding="utf-8")  # the tree by its public name: same numbers, no test module needed
    both = [
        subprocess.Popen(command(fresh, "submit"), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    said = ""
    for process in both:
        said += process.communicate()[1].decode()
        assert process.returncode == 0, said
    assert sorted(re.findall("^(.*): done in ", said, re.MULTILINE)) == sorted(ALL), (
        "each by one, for which both waited"
    )
    assert [path for path in fresh.rglob("*") if ".part" in path.name or "members-" in path.name] == []
    assert entry_of(fresh).read_bytes() == entry_of(original).read_bytes()
    assert submit(fresh) == []
    assert len(leaderboard.rows(fresh / "data" / "tiny" / "leaderboard.db")) == 5


def test_explaining_brings_nothing(tmp_path: Path) -> None:
    folder = write_competition(tmp_path)
    shutil.rmtree(folder / "raw")
    (answer,) = pipeline.explain(open_workspace(tmp_path, "tiny"), "blend")
    assert (answer["stage"], answer["runs"]) == ("ingest", True)
    assert not (folder / "raw").exists()


def test_a_lost_entry_is_explained(root: Path) -> None:
    entry_of(root).unlink()
    answer = pipeline.explain(open_plan(root).workspace, "blend")[-1]
    assert (answer["stage"], answer["runs"]) == ("submit/blend", True)
    assert "blend.csv is not there" in answer["reasons"][0]
