"""What the command line shows: progress on stderr, tables or one JSON document on stdout."""

import errno
import json
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from houseprice.errors import StorageError, printable

if TYPE_CHECKING:
    from rich.console import Console

NO_VALUE = "–"


class ConsoleListener:
    """Tells a person on stderr: a progress bar on a terminal, a plain line every few seconds elsewhere."""

    seconds_between_lines = 3.0

    def __init__(self) -> None:
        self._doing, self._since = "", time.monotonic()
        self._spoke = self._since
        self._moving = 0

    def say(self, text: str) -> None:
        """Print one line."""
        self._hear(text)
        self._print(text)

    def _hear(self, text: str) -> None:
        self._doing, self._since = text, time.monotonic()

    def _print(self, text: str) -> None:
        self._spoke = time.monotonic()
        print(printable(text), file=sys.stderr, flush=True)

    @contextmanager
    def never_silent(self) -> Iterator[None]:
        """Within the block, wherever nothing is said for some seconds, say again what was heard of last.

        Work of long steps, or of none that could be counted, shall not look like a program that hangs.
        """
        ended = threading.Event()
        self._hear("begun")
        self._spoke = self._since

        def watch() -> None:
            while not ended.wait(max(0.0, self._spoke + self.seconds_between_lines - time.monotonic())):
                if self._moving:
                    self._spoke = time.monotonic()
                elif self._due():
                    seconds = time.monotonic() - self._since
                    with suppress(OSError):  # of a reader that has gone the work itself finds out
                        self._print(self._doing if seconds < 1 else f"{self._doing} … {seconds:.0f} s since")

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    @contextmanager
    def moving(self) -> Iterator[None]:
        """Within the block something else shows that work goes on: a bar, or another process on the same stderr."""
        self._moving += 1
        try:
            yield
        finally:
            self._moving -= 1

    def _due(self) -> bool:
        return time.monotonic() - self._spoke >= self.seconds_between_lines

    def progress(self, title: str) -> AbstractContextManager[Callable[[int, int], None]]:
        """Show how far something long is; the function given to the block takes the steps done and their total."""
        return self._bar(title) if sys.stderr.isatty() else self._lines(title)

    @contextmanager
    def _bar(self, title: str) -> Iterator[Callable[[int, int], None]]:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with self.moving(), Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task(title, total=None)
            yield lambda done, total: progress.update(task, completed=done, total=total)

    @contextmanager
    def _lines(self, title: str) -> Iterator[Callable[[int, int], None]]:
        def report(done: int, total: int) -> None:
            self._hear(f"{title}: {done} of {total}")
            if self._due():
                self._print(self._doing)

        self._hear(title)
        yield report


class LineListener(ConsoleListener):
    """Tells a reader of a notebook: plain lines on stdout."""

    def _print(self, text: str) -> None:
        self._spoke = time.monotonic()
        print(printable(text), flush=True)

    def progress(self, title: str) -> AbstractContextManager[Callable[[int, int], None]]:
        """Show how far something long is by a line every few seconds."""
        return self._lines(title)


def open_closed_streams() -> None:
    """Lead streams that a caller has closed (``2>&-``) to nowhere, before a file of ours gets their number."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        try:
            os.write(number, b"")
        except OSError as error:
            if error.errno == errno.EBADF:
                os.dup2(os.open(os.devnull, os.O_WRONLY), number)
                setattr(sys, name, os.fdopen(number, "w"))


@contextmanager
def _on_stdout() -> Iterator[None]:
    """Say in one line why stdout can't be written; where its reader has gone (``| head``), all ends without a word."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is not written yet
        raise StorageError(
            f"stdout: cannot be written: {error.strerror}. What was computed is kept; run the same command again."
        ) from error


def echo(text: str) -> None:
    """Print a line on stdout."""
    with _on_stdout():
        print(printable(text))


def print_json(document: Any) -> None:
    """Print one JSON document on stdout; what is not a number is null."""
    with _on_stdout():
        print(json.dumps(_without_nan(document), indent=2))


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], least: Sequence[str] = ()
) -> list[str]:
    """Print a table on stdout; numbers stand right-aligned, and nothing in a cell is taken for markup.

    Parameters
    ----------
    title, columns, rows
        What is shown.
    least
        Columns that are left out one by one, the first first, while the table is wider than the terminal.

    Returns
    -------
    list of str
        What was left out.
    """
    from rich import box
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    console = _console()
    widths = {
        column: min(max(cell_len(_cell(cell)) for cell in (column, *cells)), _WIDE)
        for column, *cells in zip(columns, *rows, strict=True)
    }
    left_out: list[str] = []
    for column in least:
        if sum(width + _BETWEEN for name, width in widths.items() if name not in left_out) > console.width:
            left_out += [column] if column in widths else []
    table = Table(title=Text(printable(title)), box=box.SIMPLE, title_justify="left")
    shown = [position for position, column in enumerate(columns) if column not in left_out]
    for position in shown:
        is_number = bool(rows) and all(_is_number(row[position]) for row in rows)
        table.add_column(Text(_cell(columns[position])), justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(row[position])) for position in shown))
    with _on_stdout():
        console.print(table)
    return [column for column in columns if column in left_out]


_WIDE = 48  # what is wider is wrapped
_BETWEEN = 3  # characters between columns


def print_notes(notes: Iterable[str]) -> None:
    """Print sentences on stdout, a line or more each, broken between words."""
    from rich.text import Text

    console = _console()
    with _on_stdout():
        for note in notes:
            console.print(Text(printable(note)))


def _console() -> "Console":
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 160)


def aligned(cells: Iterable[str]) -> list[str]:
    """Cells that stand right-aligned in their column.

    >>> aligned(["9.5", "10.5"])
    [' 9.5', '10.5']
    """
    found = list(cells)
    return [cell.rjust(max(map(len, found))) for cell in found]


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _cell(value: object) -> str:
    if value is None:
        return NO_VALUE
    if isinstance(value, bool):
        return "yes" if value else ""
    return f"{value:.5f}" if isinstance(value, float) else printable(str(value))
