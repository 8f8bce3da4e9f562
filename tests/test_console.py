"""What a person is told while something long is at work."""

import re
import threading
import time

import pytest

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
