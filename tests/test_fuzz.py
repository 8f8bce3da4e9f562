"""Whatever the tables hold and the competition file says: a valid submission, or one message, and nothing between.

Cases are drawn by Hypothesis, the same ones in every run. Others are tried by

    FUZZ_SEED=7 FUZZ_CASES=1000 pytest tests/test_fuzz.py -m long

What they find is mended, and gets a plain test beside those of what it concerns.
"""

import csv
import io
import json
import math
import os
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis.strategies import SearchStrategy
from typer.testing import CliRunner

from houseprice.cli import app
from houseprice.tasks import METRICS_OF
from strange_tables import Case, Files, cases, spoilt_cases, strange_files

SECONDS_A_CASE = 120  # hundreds of times what one takes
SMALL = (
    *("threads=1", "folds.main.k=2", "folds.main.repeats=1", "mlp.seeds=1", "mlp.hidden=[4]", "mlp.epochs=2"),
    *("boosting.params.max_iter=2", "boosting.params.min_samples_leaf=2"),
)
"""What `new` writes, made so small that hundreds of cases take minutes."""
SUBMITTED = "submitted"


def houseprice(*arguments: str) -> str | None:
    """Run the command line within this process to a good end, or return its one message. All else fails the test."""
    result = CliRunner().invoke(app, arguments)
    said = result.stdout + result.stderr
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert "Traceback" not in said
    assert "Warning" not in said
    if result.exit_code == 0:
        assert "error: " not in said
        return None
    assert result.exit_code == 1, f"status {result.exit_code}: {said}"
    before, error, message = result.stderr.partition("error: ")
    assert error
    assert not before or before.endswith("\n")
    assert 10 < len(message) < 2000
    assert "\nerror: " not in message
    return message


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def check_nothing_half_done(root: Path, is_submitted: bool) -> None:
    """Entries come with their manifests; and nothing that was being written still lies about."""
    assert [name for name in files_below(root) if "/." in name] == []
    entries = {"strange/blend.csv", "strange/blend.json"}
    assert files_below(root / "submissions") == (entries if is_submitted else set())


def rows_of(data: bytes) -> list[list[str]]:
    return [row for row in csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")) if row]


def check_entry(files: Files, root: Path) -> None:
    """The entry by another reader than the package's own gate: ids, header, and what may stand beside an id."""
    manifest = json.loads((root / "submissions/strange/blend.json").read_text(encoding="utf-8"))["competition"]
    header, *rows = rows_of((root / "submissions/strange/blend.csv").read_bytes())
    names, *train = rows_of(files.train)
    wanted = rows_of(files.test if files.sample is None else files.sample)
    place = wanted[0].index(manifest["id"])
    assert [row[0] for row in rows] == [row[place] for row in wanted[1:]]
    known = {row[names.index(manifest["target"])] for row in train}
    assert header[0] == manifest["id"]
    if len(header) > 2 or header[1] != manifest["target"]:
        assert set(header[1:]) <= known
    elif manifest["task"] != "regression" and manifest["metric"] not in ("auc", "log_loss"):
        assert {label for _, label in rows} <= known
        return
    values = [float(cell) for row in rows for cell in row[1:]]
    assert all(map(math.isfinite, values))
    if manifest["task"] != "regression":
        assert all(0 <= value <= 1 for value in values)


@contextmanager
def ending_in_time() -> Iterator[None]:
    """A case that hangs is interrupted, as by Ctrl-C, and fails for its status."""
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.alarm(SECONDS_A_CASE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="houseprice-fuzz-") as place, ending_in_time():
        yield Path(place)


def write(folder: Path, files: Files) -> list[str]:
    """Write the files, and return the options of `new` that name them."""
    options = []
    for what in ("train", "test", "sample"):
        data = getattr(files, what)
        if data is not None:
            (folder / f"{what}.csv").write_bytes(data)
            options += [f"--{what}", str(folder / f"{what}.csv")]
    return options


def begin_and_submit(files: Files) -> str:
    """`new` and then `submit`, as a user begins; returns what it came to."""
    with folder() as root:
        if message := houseprice("new", "strange", *write(root, files), "--root", str(root)):
            assert not files_below(root / "data")
            return message
        return submit_in(root, files, *(word for change in SMALL for word in ("--set", change)))


def submit_by_hand(case: Case) -> str:
    """`submit` with a competition file that is there already; returns what it came to."""
    with folder() as root:
        raw = root / "data" / "strange" / "raw"
        raw.mkdir(parents=True)
        (raw.parent / "competition.toml").write_text(case.toml, encoding="utf-8")
        write(raw, case.files)
        return submit_in(root, case.files)


def submit_in(root: Path, files: Files, *options: str) -> str:
    message = houseprice("submit", "--competition", "strange", "--root", str(root), *options)
    check_nothing_half_done(root, is_submitted=message is None)
    if message is None:
        check_entry(files, root)
    return message or SUBMITTED


def try_all(strategy: SearchStrategy[Any], run: Callable[[Any], str], n_cases: int, share: float) -> None:
    """Draw so many cases and run each: all end well, and at least a share of them in a submission."""
    n_cases = int(os.environ.get("FUZZ_CASES", n_cases))
    ended: Counter[str] = Counter()

    @seed(int(os.environ.get("FUZZ_SEED", "0")))
    @settings(max_examples=n_cases, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def each(case: Any) -> None:
        ended[run(case)] += 1

    each()
    assert ended.total() >= n_cases
    assert ended[SUBMITTED] >= share * ended.total(), ended.most_common(10)


# ------------------------------------------------------------------------------------------------- the cases


@pytest.mark.long
def test_any_files_end_in_a_submission_or_one_message() -> None:
    try_all(strange_files(), begin_and_submit, 200, share=0.3)


@pytest.mark.long
def test_any_competition_ends_in_a_submission_or_one_message() -> None:
    try_all(cases(METRICS_OF), submit_by_hand, 220, share=0.4)


@pytest.mark.long
def test_a_spoilt_competition_file_ends_in_a_submission_or_one_message() -> None:
    try_all(spoilt_cases(METRICS_OF), submit_by_hand, 120, share=0.01)
