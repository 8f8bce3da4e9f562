"""One process at a time computes a stage, and what killed ones have left is told from what is in use."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from houseprice.artifacts import ArtifactStore, Stage
from houseprice.files import locked, remove_abandoned, scratch_folder, write_text

STAGE = Stage("train/mlp", {}, {"epochs": 3}, ())


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, said: list[str]) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts", said.append)


def cached(store: ArtifactStore, compute: Callable[[], Any]) -> Any:
    return store.cached(STAGE, compute, lambda value: {})


def never() -> Any:
    raise AssertionError("computed a second time")


# two at one stage -----------------------------------------------------------------------------------------


def test_who_needs_a_stage_that_is_being_computed_waits_and_takes_its_value(tmp_path: Path) -> None:
    """And so writes no member into a folder that the other, who has ended, removes."""
    begun, second_waits = threading.Event(), threading.Event()
    heard: list[str] = []

    def say(line: str) -> None:
        heard.append(line)
        second_waits.set()

    first = ArtifactStore(tmp_path, lambda line: None)

    def compute() -> str:
        first.members_of(STAGE)[0, 0] = "a member"
        begun.set()
        assert second_waits.wait(60)
        return "value"

    thread = threading.Thread(target=cached, args=(first, compute))
    thread.start()
    assert begun.wait(60)
    assert cached(ArtifactStore(tmp_path, say), never) == "value"
    thread.join()
    assert heard == ["train/mlp: another process is at it; waiting for its result"]
    assert [path.name for path in tmp_path.iterdir()] == [first.place(STAGE).name]


def test_who_waits_computes_what_the_other_could_not(store: ArtifactStore) -> None:
    def fail() -> None:
        store.members_of(STAGE)[0, 0] = "a member"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached(store, fail)
    assert dict(store.members_of(STAGE)) == {(0, 0): "a member"}
    assert cached(store, lambda: "value") == "value"
    assert cached(store, never) == "value"
    assert not store.members_of(STAGE).folder.exists()


def test_a_failure_without_members_leaves_nothing(store: ArtifactStore) -> None:
    with pytest.raises(AssertionError, match="second time"):
        cached(store, never)
    assert list(store.folder.iterdir()) == []


def test_on_a_file_system_without_locks_work_goes_on_and_nothing_counts_as_abandoned(
    store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", no_locks)
    (tmp_path / "left").mkdir()
    remove_abandoned([tmp_path / "left"])
    assert (tmp_path / "left").exists()
    assert cached(store, lambda: "value") == "value"
    write_text(tmp_path / "file", "text")


# what is left behind --------------------------------------------------------------------------------------


@pytest.fixture
def leave(store: ArtifactStore) -> Callable[..., Path]:
    """Leaves a folder among the artifacts, of some age."""

    def leave(name: str, days: float = 0) -> Path:
        folder = store.folder / name
        folder.mkdir(parents=True)
        (folder / "file").write_text("half of it")
        then = time.time() - days * 86_400
        os.utime(folder, (then, then))
        return folder

    return leave


def test_what_a_killed_process_has_left_goes_and_what_is_in_use_stays(
    store: ArtifactStore, leave: Callable[..., Path]
) -> None:
    left, used = leave(".part-left"), leave(".part-used")
    with locked(used) as is_ours:
        assert is_ours
        store.save(STAGE, "value", {}, 1)
    assert not left.exists()
    assert list(used.iterdir()) == [used / "file"]


@pytest.mark.parametrize(("days", "stays"), [(0, True), (13, True), (-400, True), (15, False)])
def test_members_that_nobody_went_on_with_are_kept_for_two_weeks(
    store: ArtifactStore, leave: Callable[..., Path], days: float, stays: bool
) -> None:
    """Also where the clock was put back meanwhile, and their time lies in the future."""
    folder = leave("members-0123456789abcdef", days)
    cached(store, lambda: "value")
    assert folder.exists() is stays


def test_a_run_that_goes_on_after_a_month_has_its_members(store: ArtifactStore) -> None:
    members = store.members_of(STAGE)
    members[0, 0] = "a member"
    then = time.time() - 30 * 86_400
    os.utime(members.folder, (then, then))
    assert cached(store, lambda: dict(members)) == {(0, 0): "a member"}


def test_old_members_that_are_in_use_stay(store: ArtifactStore, leave: Callable[..., Path]) -> None:
    folder = leave("members-0123456789abcdef", 100)
    with locked(folder):
        cached(store, lambda: "value")
    assert folder.exists()


def test_members_left_beside_their_run_go(store: ArtifactStore) -> None:
    """Killed between storing a run and removing what it was made of."""
    store.save(STAGE, "value", {}, 1)
    store.members_of(STAGE)[0, 0] = "a member"
    assert cached(store, never) == "value"
    assert not store.members_of(STAGE).folder.exists()


def test_half_a_file_goes_when_the_file_is_written_again_and_others_stay(tmp_path: Path) -> None:
    left, other, used = (
        tmp_path / f".{name}.part" for name in ("a[1].csv.abcdefgh", "b.csv.abcdefgh", "a[1].csv.1234_678")
    )
    for path in (left, other, used):
        path.write_text("half of it")
    with locked(used):
        write_text(tmp_path / "a[1].csv", "all of it")
    assert sorted(tmp_path.iterdir()) == sorted([other, used, tmp_path / "a[1].csv"])


def test_a_lock_of_what_is_gone_is_none(tmp_path: Path) -> None:
    with locked(tmp_path / "gone") as is_ours:
        assert not is_ours
    with scratch_folder(tmp_path, "scratch-") as folder, locked(folder, wait=False) as is_ours:
        assert not is_ours
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_was_waited_for_in_vain_is_told(tmp_path: Path) -> None:
    """Its folder was removed, and perhaps made anew, while the lock was waited for."""
    folder, outcomes = tmp_path / "folder", []
    folder.mkdir()
    waits = threading.Event()

    def wait() -> None:
        with locked(folder, on_wait=waits.set) as is_ours:
            outcomes.append(is_ours)

    with locked(folder):
        thread = threading.Thread(target=wait)
        thread.start()
        assert waits.wait(60)
        folder.rename(tmp_path / "elsewhere")
        folder.mkdir()
    thread.join()
    assert outcomes == [False]
