"""A small competition on disk for tests: numbers, categories, gaps, a price to predict, every kind of experiment."""

import csv
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import houseprice
from houseprice import pipeline
from houseprice.plan import Plan, open_workspace

PACKAGE = Path(houseprice.__file__).parent

COMPETITION = """\
name = "tiny"
id = "Id"
target = "Price"
metric = "log_rmse"
entry = "blend"

[folds.main]
k = 3
seed = 1

[features.default]
missing_indicators = true

[features.default.derived]
Total = "Ground + Upper"

[features.together]
scope = "all"

[experiments.ridge]
kind = "ridge"
alpha = 2.0

[experiments.linear]
kind = "linear"
features = "together"
learning_rate = 0.05
epochs = 3
batch_size = 16

[experiments.mlp]
kind = "mlp"
hidden = [8]
dropout = 0.1
learning_rate = 0.02
epochs = 4
batch_size = 16
seeds = 2

[experiments.tree]
kind = "sklearn"
estimator = "sklearn.tree.DecisionTreeRegressor"

[experiments.tree.params]
max_depth = 3

[ensembles.blend]
runs = ["ridge", "mlp", "tree"]
method = "nnls"
"""

COUNTED = COMPETITION.replace("sklearn.tree.DecisionTreeRegressor", "spies.CountedTree")

TOWNS = ("North", "South", "Old Town, East")  # a comma: the cell is quoted


def write_competition(root: Path, *, toml: str = COMPETITION, n_train: int = 60, n_test: int = 20) -> Path:
    """Write ``data/tiny`` with its competition file and raw files, and return that folder."""
    folder = root / "data" / "tiny"
    folder.mkdir(parents=True)
    (folder / "competition.toml").write_text(toml, encoding="utf-8")
    write_files(folder / "raw", n_train, n_test)
    return folder


def write_files(folder: Path, n_train: int = 60, n_test: int = 20, seed: int = 0) -> None:
    """Write the three CSV files: training ids count from 1, test ids from 1001."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    rows = []
    for row in range(n_train + n_test):
        row_id = row + 1 if row < n_train else row - n_train + 1001
        ground, upper = random.integers(40, 160), random.integers(0, 80)
        town = int(random.integers(len(TOWNS)))
        garden = "NA" if random.random() < 0.2 else str(random.integers(10, 900))
        price = np.exp(11 + 0.006 * ground + 0.004 * upper + 0.1 * town + 0.05 * random.standard_normal())
        rows.append((row_id, ground, upper, garden, TOWNS[town], round(price)))
    header = ("Id", "Ground", "Upper", "Garden", "Town", "Price")
    _write_csv(folder / "train.csv", [header, *rows[:n_train]])
    _write_csv(folder / "test.csv", [row[:-1] for row in (header, *rows[n_train:])])
    _write_csv(folder / "sample_submission.csv", [("Id", "Price"), *((row[0], 1) for row in rows[n_train:])])


def _write_csv(path: Path, rows: list[tuple[object, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def command(root: Path, *arguments: str) -> list[str]:
    """The command line of a real process that works on a project folder's tiny competition."""
    return [sys.executable, "-m", "houseprice.cli", *arguments, "--root", str(root), "--competition", "tiny"]


def environment(package: Path = PACKAGE) -> dict[str, str]:
    """The environment in which a process finds this package, or a copy of it."""
    return {**os.environ, "PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1"}


def houseprice_process(root: Path, *arguments: str, package: Path = PACKAGE) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, to its end."""
    return subprocess.run(
        command(root, *arguments), capture_output=True, text=True, env=environment(package), check=False
    )


@contextmanager
def files_no_larger_than(n_bytes: int) -> Iterator[None]:
    """The system refuses every write of this process beyond this size, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def copy_package(folder: Path) -> Path:
    """A copy of the package's source under ``folder``, to be edited there."""
    return Path(shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__")))


class Ear:
    """Hears what the pipeline says, and presses Ctrl-C in the middle of a stage if asked to."""

    def __init__(self, interrupt: tuple[str, int] | None = None) -> None:
        self.lines: list[str] = []
        self.reports: dict[str, list[tuple[int, int]]] = {}
        self.interrupt = interrupt

    def say(self, text: str) -> None:
        self.lines.append(text)

    @contextmanager
    def progress(self, title: str) -> Iterator[Callable[[int, int], None]]:
        reports = self.reports.setdefault(title, [])

        def report(done: int, total: int) -> None:
            reports.append((done, total))
            if self.interrupt == (title, len(reports)):
                raise KeyboardInterrupt

        yield report

    @property
    def ran(self) -> list[str]:
        """The stages that were computed."""
        return [line.partition(":")[0] for line in self.lines if ": done in " in line]


def open_plan(root: Path, ear: Ear | None = None, overrides: tuple[str, ...] = (), seeds: int | None = None) -> Plan:
    return pipeline.make_plan(open_workspace(root, "tiny", overrides, "cpu", ear or Ear(), seeds))


def submit(root: Path, entry: str = "blend", **options: Any) -> list[str]:
    """Submit, and return the stages that ran."""
    ear = options.setdefault("ear", Ear())
    pipeline.submit(open_plan(root, **options), entry)
    return list(ear.ran)


def entry_of(root: Path, name: str = "blend") -> Path:
    return root / "submissions" / "tiny" / f"{name}.csv"


def files_below(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file with its size and the time of its last change."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in paths}
