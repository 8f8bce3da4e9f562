"""Artifacts: a fingerprint over everything that counts and nothing else, and values that are whole or absent."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from competitions import copy_package, environment, files_no_larger_than
from houseprice.artifacts import (
    ArtifactStore,
    Record,
    Stage,
    installed_version,
    source_hashes,
    version_of_import,
)
from houseprice.errors import StorageError
from houseprice.unfinished import MemberFolder

FEATURES = "houseprice.data.features"
EXPRESSIONS = "houseprice.data.expressions"


def stage(slot: str = "train/mlp", modules: tuple[str, ...] = ("houseprice.errors",), **config: Any) -> Stage:
    return Stage(slot, {"tables": "a" * 64}, config or {"experiment": {"epochs": 3, "seeds": 1}}, modules)


class Heard(list[str]):
    """What the store said."""


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def store(tmp_path: Path, heard: Heard) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts", heard.append)


VALUE = {"oof": np.arange(1000.0), "name": "mlp"}


def save(store: ArtifactStore, one: Stage, value: Any = VALUE, order: int = 1) -> Path:
    """Store a value and return the folder that it lies in."""
    store.save(one, value, {"score": 0.12}, order)
    (place,) = store.folder.glob(f"*{one.fingerprint[:16]}")
    return place


def assert_whole(store: ArtifactStore, one: Stage) -> None:
    np.testing.assert_array_equal(store.load(one)["oof"], VALUE["oof"])
    assert store.load(one)["name"] == "mlp"


# values ---------------------------------------------------------------------------------------------------


def test_a_value_comes_back_and_nothing_lies_beside_it(store: ArtifactStore, heard: Heard) -> None:
    assert store.load(stage()) is None
    place = save(store, stage())
    assert_whole(store, stage())
    record = store.find(stage())
    assert record is not None
    assert record.summary == {"score": 0.12}
    assert sorted(path.name for path in store.folder.iterdir()) == [place.name]
    assert sorted(path.name for path in place.iterdir()) == ["record.json", "value.joblib"]
    assert heard == []


def test_another_stage_finds_nothing(store: ArtifactStore) -> None:
    save(store, stage())
    for other in (stage(experiment={"epochs": 4, "seeds": 1}), stage("train/ridge"), stage(modules=())):
        assert store.find(other) is None
        assert store.load(other) is None


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, empty, Path.unlink])
def test_a_damaged_value_is_reported_and_computed_again(store: ArtifactStore, heard: Heard, damage: Any) -> None:
    place = save(store, stage())
    damage(place / "value.joblib")
    assert store.load(stage()) is None
    assert len(heard) == 1
    assert heard[0].startswith(f"{place}: corrupt artifact (")
    assert store.find(stage()) is None
    save(store, stage())
    assert_whole(store, stage())


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"slot": "train/mlp"}', "\x00", '{"unknown": 1}'])
def test_a_garbled_record_counts_as_absent_and_is_replaced(store: ArtifactStore, heard: Heard, text: str) -> None:
    place = save(store, stage())
    (place / "record.json").write_text(text, encoding="utf-8")
    assert store.load(stage()) is None
    assert str(place / "record.json") in heard[0]
    assert "counts as absent" in heard[0]
    save(store, stage())
    assert_whole(store, stage())


def test_a_record_of_another_stage_in_its_place_is_not_believed(store: ArtifactStore) -> None:
    place = save(store, stage())
    other = save(store, stage(experiment={"epochs": 9}))
    (other / "record.json").replace(place / "record.json")
    assert store.load(stage()) is None
    save(store, stage())
    assert_whole(store, stage())


class Bomb:
    """Pickled halfway, it fails: with an exception, or by the death of the whole process."""

    def __init__(self, dies: bool = False) -> None:
        self.dies = dies

    def __reduce__(self) -> Any:
        if self.dies:
            os.kill(os.getpid(), signal.SIGKILL)
        raise RuntimeError("in the middle of it")


def test_a_failure_in_the_middle_of_saving_leaves_nothing(store: ArtifactStore) -> None:
    with pytest.raises(RuntimeError):
        save(store, stage(), [np.zeros(10_000), Bomb()])
    assert list(store.folder.iterdir()) == []
    assert store.find(stage()) is None


def test_a_process_killed_in_the_middle_of_saving_leaves_nothing_that_counts(store: ArtifactStore) -> None:
    code = f"""if True:
        from pathlib import Path
        from test_artifacts import *
        store = ArtifactStore(Path({str(store.folder)!r}), print)
        save(store, stage(), [np.zeros(10_000), Bomb(dies=True)])
    """
    done = subprocess.run([sys.executable, "-c", code], env=_with_tests_on_path(), check=False)
    assert done.returncode == -signal.SIGKILL
    assert store.load(stage()) is None
    assert store.why(stage()) == ["no artifact yet"]
    save(store, stage())
    assert_whole(store, stage())


def _with_tests_on_path() -> dict[str, str]:
    env = environment()
    return {**env, "PYTHONPATH": os.pathsep.join([env["PYTHONPATH"], str(Path(__file__).parent)])}


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of 64 kB, where one may be mounted."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def assert_refused(store: ArtifactStore, reason: str) -> None:
    with pytest.raises(StorageError, match=rf"cannot be written: {reason}; nothing was left behind\. Free some space"):
        save(store, stage(), np.random.default_rng(0).standard_normal(20_000))
    assert list(store.folder.iterdir()) == []


def test_a_write_that_fails_leaves_nothing(store: ArtifactStore) -> None:
    with files_no_larger_than(10_000):
        assert_refused(store, "File too large")
    save(store, stage())
    assert_whole(store, stage())


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk"):
        assert_refused(ArtifactStore(tmp_path / "disk" / "artifacts", print), "No space left on device")


def test_a_folder_that_cannot_be_made_is_named(store: ArtifactStore) -> None:
    store.folder.write_text("a file where the folder should be", encoding="utf-8")
    with pytest.raises(StorageError, match=r"artifacts.* cannot be written: .*is no folder, .*Move it away"):
        save(store, stage())


def test_many_writers_of_one_stage_leave_one_whole_value(store: ArtifactStore, heard: Heard) -> None:
    errors = []

    def work() -> None:
        try:
            for _ in range(10):
                save(store, stage())
                assert_whole(store, stage())
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert heard == []
    assert len(list(store.folder.iterdir())) == 1


# fingerprints ---------------------------------------------------------------------------------------------


def test_a_fingerprint_covers_content_not_order() -> None:
    assert stage(a=1, b=2).fingerprint == stage(b=2, a=1).fingerprint
    assert stage(a=1).fingerprint != stage(a=2).fingerprint
    assert stage(a=1).fingerprint != stage(a=1.0).fingerprint
    assert stage(a={"b": 1}).fingerprint != stage(b={"a": 1}).fingerprint


def test_a_fingerprint_covers_the_versions_of_what_computes() -> None:
    components = Stage("x", {}, {}, (), ("joblib", "no_such_package")).components
    assert {"version of torch", "version of numpy", "version of pandas", "version of scikit-learn"} <= set(components)
    assert components["version of joblib"] == f"joblib {version('joblib')}"
    assert components["version of no_such_package"] == "absent"


def test_a_module_reaches_the_modules_that_it_imports() -> None:
    reached = set(source_hashes((FEATURES,)))
    assert {FEATURES, EXPRESSIONS, "houseprice.data.tables", "houseprice.config", "houseprice.errors"} <= reached
    assert "houseprice.cli" not in reached
    assert "houseprice.pipeline" not in reached


def hashes_after(folder: Path, module: str, edit: Any) -> dict[str, str]:
    """The hashes of the features' modules in a copy of the package, one module edited."""
    package = copy_package(folder)
    path = package.parent.joinpath(*module.split(".")).with_suffix(".py")
    text = path.read_text(encoding="utf-8")
    edited = edit(text)
    assert edited != text
    path.write_text(edited, encoding="utf-8")
    return source_hashes((FEATURES,), package)


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text + "\n# a comment\n",
        lambda text: text.replace("\n\n\n", "\n\n\n# why\n\n\n", 1),
        lambda text: text.replace('"""', '"""Another word. ', 1),
        lambda text: re.sub(r'( +)"""(\w)', r'\1"""Another word. \2', text),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: re.sub(r"^(from .*)$", r"\1  # here", text, flags=re.MULTILINE),
    ],
    ids=["comment", "comment between", "module docstring", "docstrings", "line ends", "comments inside"],
)
@pytest.mark.parametrize("module", [FEATURES, EXPRESSIONS, "houseprice.config"])
def test_what_does_not_compute_does_not_count(tmp_path: Path, module: str, edit: Any) -> None:
    assert hashes_after(tmp_path, module, edit) == source_hashes((FEATURES,))


@pytest.mark.parametrize(
    ("module", "edit"),
    [
        (EXPRESSIONS, lambda text: text.replace("_MAX_EXPONENT = 16", "_MAX_EXPONENT = 17")),
        (EXPRESSIONS, lambda text: text.replace("np.log1p(self", "np.expm1(self")),
        ("houseprice.errors", lambda text: text.replace("limit: int = 5", "limit: int = 6")),
    ],
)
def test_a_real_edit_of_a_helper_counts_and_is_found(tmp_path: Path, module: str, edit: Any) -> None:
    before, after = source_hashes((FEATURES,)), hashes_after(tmp_path, module, edit)
    assert [name for name in before if before[name] != after.get(name)] == [module]


def test_an_edit_of_what_is_not_reached_does_not_count(tmp_path: Path) -> None:
    assert hashes_after(tmp_path, "houseprice.cli", lambda text: text + "\nX = 1\n") == source_hashes((FEATURES,))


# reasons --------------------------------------------------------------------------------------------------


def test_a_stage_that_never_ran_and_one_that_is_up_to_date(store: ArtifactStore) -> None:
    assert store.why(stage()) == ["no artifact yet"]
    save(store, stage())
    assert store.why(stage()) == []


def test_a_changed_key_is_named_with_both_values(store: ArtifactStore) -> None:
    save(store, stage())
    assert store.why(stage(experiment={"epochs": 5, "seeds": 1})) == ["key experiment.epochs: 3 → 5"]
    assert store.why(stage(experiment={"epochs": 3})) == ["key experiment.seeds: 1 → absent"]
    assert store.why(stage(experiment={"epochs": 3, "seeds": 1, "x": "y"})) == ['key experiment.x: absent → "y"']


def test_a_changed_input_is_named_with_short_hashes(store: ArtifactStore) -> None:
    save(store, stage())
    changed = Stage("train/mlp", {"tables": "b" * 64}, stage().config, stage().modules)
    assert store.why(changed) == [f"input tables: {'a' * 10} → {'b' * 10}"]


def test_an_edited_module_is_named(store: ArtifactStore, tmp_path: Path) -> None:
    """The record of a run of the edited source, as its process would have written it."""
    one = stage(modules=(EXPRESSIONS,))
    place = save(store, one)
    record = json.loads((place / "record.json").read_text(encoding="utf-8"))
    old = hashes_after(tmp_path, EXPRESSIONS, lambda text: text + "\nX = 1\n")[EXPRESSIONS]
    record["components"][f"module {EXPRESSIONS}"] = old
    record["fingerprint"] = "0" * 64
    del record["check"]
    record["check"] = Record(**record).check
    (place / "record.json").write_text(json.dumps(record), encoding="utf-8")
    (reason,) = store.why(one)
    assert reason == f"module {EXPRESSIONS}: {old[:10]} → {one.components[f'module {EXPRESSIONS}'][:10]}"


def test_the_reason_compares_with_the_latest_of_the_same_slot(store: ArtifactStore) -> None:
    for order, epochs in ((2, 7), (1, 3)):
        save(store, stage(experiment={"epochs": epochs}), order=order)
    save(store, stage("train/other", experiment={"epochs": 1000}), order=3)
    assert store.why(stage(experiment={"epochs": 9})) == ["key experiment.epochs: 7 → 9"]
    assert store.why(stage(experiment={"epochs": 3})) == []  # an older one still counts


# members --------------------------------------------------------------------------------------------------


@pytest.fixture
def members(store: ArtifactStore) -> MemberFolder:
    return store.members_of(stage())


def test_members_are_a_mapping_on_the_disk(store: ArtifactStore, members: MemberFolder) -> None:
    assert len(members) == 0
    assert (0, 0) not in members
    members[0, 0], members[3, 12] = "first", "second"
    again = store.members_of(stage())
    assert dict(again) == {(0, 0): "first", (3, 12): "second"}
    assert len(store.members_of(stage(experiment={"epochs": 9}))) == 0
    del again[0, 0]
    assert list(members) == [(3, 12)]
    members.remove()
    assert not members.folder.exists()


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, empty])
def test_a_damaged_member_is_reported_and_fitted_again(members: MemberFolder, heard: Heard, damage: Any) -> None:
    members[0, 0], members[1, 0] = np.arange(500.0), "whole"
    (path,) = members.folder.glob("0-0.*")
    damage(path)
    assert (0, 0) not in members
    assert members[1, 0] == "whole"
    assert heard == [f"{path}: corrupt member; fitted again"]
    assert list(members) == [(1, 0)]


def test_a_member_that_another_process_removes_meanwhile_is_absent(
    members: MemberFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    members[0, 0] = "first"
    listed = sorted(members.folder.iterdir())
    members.remove()
    monkeypatch.setattr(members, "_files", lambda key: listed)
    assert members.get((0, 0)) is None


def test_a_member_that_cannot_be_written_leaves_nothing(members: MemberFolder) -> None:
    members[0, 0] = "whole"
    with files_no_larger_than(1000), pytest.raises(StorageError, match="File too large"):
        members[1, 0] = np.arange(5000.0)
    assert dict(members) == {(0, 0): "whole"}
    assert len(list(members.folder.iterdir())) == 1


def test_the_version_of_an_estimator_is_that_of_its_distribution_or_of_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert version_of_import("sklearn") == f"scikit-learn {installed_version('scikit-learn')}"
    monkeypatch.syspath_prepend(str(tmp_path))
    seen = set()
    for source in ("x = 1", "x = 2"):
        (tmp_path / "estimators_of_my_own.py").write_text(source, encoding="utf-8")
        version_of_import.cache_clear()
        seen.add(version_of_import("estimators_of_my_own"))
    assert len(seen) == 2
