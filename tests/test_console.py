"""What a person is told while something long is at work."""

import json
import re
import shlex
import subprocess
import threading
import time
from pathlib import Path

import pytest

from competitions import command, entry_of, environment, write_competition
from houseprice.console import ConsoleListener


class Heard(ConsoleListener):
    """Keeps what is printed, and knows when a pattern was heard twice."""

    seconds_between_lines = 0.01

    def __init__(self, pattern: str) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.twice = threading.Event()
        self._pattern = re.compile(pattern)

    def _print(self, text: str) -> None:
        super()._print(text)
        self.lines.append(text)
        if sum(bool(self._pattern.fullmatch(line)) for line in self.lines) >= 2:
            self.twice.set()


def test_work_that_says_nothing_is_told_of_until_it_ends() -> None:
    listener, before = Heard("features/default: 2 of 114"), threading.active_count()
    with listener.never_silent(), listener.progress("features/default") as report:
        report(2, 114)
        assert listener.twice.wait(60)  # nothing else happens meanwhile
    assert threading.active_count() == before


def test_a_long_silence_says_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    listener = Heard(r"train\.csv: read … 4[2-9] s since")
    with listener.never_silent():
        listener.say("train.csv: read")
        monkeypatch.setattr(listener, "_since", time.monotonic() - 42)
        assert listener.twice.wait(60)


def test_what_fails_ends_the_watch() -> None:
    listener, before = ConsoleListener(), threading.active_count()
    with pytest.raises(ValueError, match="broken"), listener.never_silent():
        raise ValueError("broken")
    assert threading.active_count() == before


def test_steps_that_are_counted_often_are_told_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    listener = ConsoleListener()
    listener.seconds_between_lines = 3600
    with listener.progress("train/mlp") as report:
        for done in range(1000):
            report(done, 1000)
    assert capsys.readouterr().err == ""
    listener.seconds_between_lines = 0
    with listener.progress("train/mlp") as report:
        report(1, 2)
    assert capsys.readouterr().err == "train/mlp: 1 of 2\n"


# streams that are not there ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("streams")
    write_competition(root)
    return root


def in_shell(root: Path, redirected: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a shell does that redirects its streams; stdout holds the status behind what is left."""
    line = f"{shlex.join(command(root, *arguments))} {redirected}; echo status $?"
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, env=environment(), check=False)


def test_work_whose_stderr_is_closed_is_done(tiny: Path) -> None:
    found = in_shell(tiny, "2>&-", "train", "mlp", "--json")
    document, _, status = found.stdout.rpartition("status ")
    assert (json.loads(document)[0]["name"], status) == ("mlp", "0\n")


def test_work_whose_streams_are_all_closed_is_done(tiny: Path) -> None:
    assert in_shell(tiny, "<&- >&- 2>&-", "submit", "ridge").stdout == "status 0\n"
    assert entry_of(tiny, "ridge").read_bytes().startswith(b"Id,Price\n1001,")


@pytest.mark.parametrize("arguments", [("explain",), ("explain", "--json"), ("train", "ridge"), ("submit", "ridge")])
@pytest.mark.parametrize("buffered", ["", "1"])
def test_a_full_disk_behind_stdout_is_one_line(
    buffered: str, arguments: tuple[str, ...], tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", buffered)
    found = in_shell(tiny, "> /dev/full", *arguments)
    assert found.stdout == "status 1\n"
    assert found.stderr.splitlines()[-1].startswith("error: stdout: cannot be written: No space left on device. ")
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize("buffered", ["", "1"])
def test_a_reader_that_goes_ends_it_without_a_word(buffered: str, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", buffered)
    found = in_shell(tiny, "| true", "explain", "--json")
    assert (found.stdout, found.stderr) == ("status 0\n", "")


def test_the_watch_outlives_a_stderr_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(ConsoleListener):
        seconds_between_lines = 0.01
        tries = threading.Semaphore(0)

        def _print(self, text: str) -> None:
            self._spoke = time.monotonic()
            self.tries.release()
            raise BrokenPipeError

    listener, uncaught = Broken(), list[object]()
    monkeypatch.setattr(threading, "excepthook", uncaught.append)
    with listener.never_silent():
        assert listener.tries.acquire(timeout=60)
        assert listener.tries.acquire(timeout=60)
    assert not uncaught
