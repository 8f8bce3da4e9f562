"""Killed at any moment and run again, `submit` ends as if nothing had been.

Processes are forked from a server that has imported the libraries, so that a run takes the time of its work.
"""

import multiprocessing
import os
import random
import re
import shutil
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from sqlite3 import connect
from typing import Any

import joblib
import pytest

from competitions import COMPETITION, PACKAGE, entry_of, write_competition, write_files
from houseprice import cli
from houseprice.compete import leaderboard
from houseprice.files import sha256_of
from houseprice.learn.checkpoint import load_weights

N_AT_THE_DISK, N_AT_A_TIME = 48, 20
_POLLING = threading.Lock()
TOUCHES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "shutil.rmtree", "sqlite3.connect"}


def run(root: Path, source: Path, die_at: int | None = None, started: Any = None) -> None:
    """Bring new raw files and submit, in a process of its own group; it may kill itself at its n-th touch of the disk.

    Beside the project lie what it ``said``, and, at its end, how often it has touched the disk, and its seconds.
    """
    os.setsid()
    with (root.parent / f"{root.name}.said").open("w") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    touches, start = 0, time.monotonic()

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal touches
        if event in TOUCHES and str(arguments[0]).startswith(str(root)):
            touches += 1
            if touches == die_at:
                os.killpg(0, signal.SIGKILL)

    sys.addaudithook(count)
    if started:
        started.set()
    on = ["--root", str(root), "--competition", "tiny"]
    for arguments in (["ingest", "--source", str(source), *on], ["submit", *on]):
        try:
            cli.app(arguments)
        except SystemExit as end:
            if end.code:
                raise
    (root.parent / f"{root.name}.measured").write_text(f"{touches} {time.monotonic() - start}")


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> ForkServerContext:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(PACKAGE.parent), str(Path(__file__).parent)]))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["preloaded", __name__])
    return context


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A project with raw files that `run` replaces, a checkpoint every epoch or so, and nothing computed."""
    toml = COMPETITION.replace("epochs = 4", "epochs = 30").replace('name = "tiny"', 'name = "tiny"\nthreads = 1')
    write_competition(tmp_path / "begun", toml=toml)
    write_files(tmp_path / "begun" / "data" / "tiny" / "raw", seed=9)
    write_files(tmp_path / "source")
    return tmp_path / "begun"


def exit_code(process: ForkServerProcess, seconds: float | None = None) -> int | None:
    """That of a process that has ended by then, else None.

    A code can be read once, and whoever starts a process reads those of all others that have ended: of two threads that
    read at one time, one would take the end of the pipe for a code of 255.
    """
    wait([process.sentinel], seconds)
    with _POLLING:
        return process.exitcode


def to_the_end(processes: ForkServerContext, root: Path) -> None:
    process = processes.Process(target=run, args=(root, root.parent / "source"))
    with _POLLING:
        process.start()
    assert exit_code(process) == 0, (root.parent / f"{root.name}.said").read_text()


def killed(processes: ForkServerContext, root: Path, die_at: int | None, die_after: float) -> bool:
    """Run until the touch or the time, and tell whether death came before the end."""
    started = processes.Event()
    process = processes.Process(target=run, args=(root, root.parent / "source", die_at, started))
    with _POLLING:
        process.start()
    started.wait()
    if exit_code(process, None if die_at else die_after) is None:
        os.killpg(process.pid or 0, signal.SIGKILL)
    return exit_code(process) == -signal.SIGKILL


def outcome(root: Path) -> dict[str, Any]:
    """What an ended run has left: the entry, the leaderboard without times and sizes, the names of all files.

    Whatever lies there is checked for being sound, the leaderboard by SQLite itself.
    """
    path = root / "data" / "tiny" / "leaderboard.db"
    with closing(connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    rows = leaderboard.rows(path)
    assert all(leaderboard.evidence_of(path, row) for row in rows)
    for value in root.rglob("value.joblib"):
        assert sha256_of(value) in value.with_name("record.json").read_text()
        joblib.load(value)
    for weights in root.rglob("*.safetensors"):
        load_weights(weights)
    said = (root.parent / f"{root.name}.said").read_text()
    assert not re.search("corrupt|not readable", said)
    return {
        "entry": entry_of(root).read_bytes(),
        "board": {replace(row, seconds=0, peak_memory_mb=0, created="") for row in rows},
        "files": {str(found.relative_to(root)) for found in root.rglob("*")},
    }


@pytest.mark.long
def test_killed_at_any_moment_and_run_again_it_ends_as_if_nothing_had_been(
    processes: ForkServerContext, begun: Path
) -> None:
    """Moments are spread over all touches of the disk, from first to last, and over the time that a run takes."""
    undisturbed = Path(shutil.copytree(begun, begun.parent / "undisturbed"))
    to_the_end(processes, undisturbed)
    n_touches, seconds = map(float, (begun.parent / "undisturbed.measured").read_text().split())
    expected = outcome(undisturbed)
    draw = random.Random(11)
    at_the_disk = [1 + int((n + draw.random()) * n_touches / N_AT_THE_DISK) for n in range(N_AT_THE_DISK)]
    at_a_time = [draw.random() * seconds for _ in range(N_AT_A_TIME)]
    moments = [(touch, 0.0) for touch in at_the_disk] + [(None, after) for after in at_a_time]

    def disturb(number: int) -> bool:
        root = Path(shutil.copytree(begun, begun.parent / f"killed{number}"))
        was_killed = killed(processes, root, *moments[number])
        to_the_end(processes, root)
        assert outcome(root) == expected
        shutil.rmtree(root)
        return was_killed

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(disturb, range(len(moments))))
    assert all(outcomes[:N_AT_THE_DISK])
    assert sum(outcomes) >= 60
