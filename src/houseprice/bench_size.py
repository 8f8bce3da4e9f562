"""How long large tables take, and how much memory: ``houseprice bench --size``."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from houseprice.errors import HousePriceError
from houseprice.machine import processor

SECONDS, GIGABYTES = 60.0, 3.0
"""What a million rows of 100 columns may take, on two cores; and the memory that 200,000 of 300 may take, too."""

_BLOCK = 200_000
_COMPETITION = """\
name = "size"
id = "Id"
target = "Price"
metric = "log_rmse"
entry = "ridge"

[folds.main]
k = 2

[experiments.ridge]
kind = "ridge"
"""


@dataclass(frozen=True)
class Shape:
    """Of a made-up table: rows to learn from (a tenth as many to predict), columns, labels of the widest category."""

    rows: int
    columns: int
    widest: int


LONG, WIDE = Shape(1_000_000, 100, 5_000), Shape(200_000, 300, 50_000)


def run_size(progress: Callable[[str], None], long: Shape = LONG, wide: Shape = WIDE) -> dict[str, dict[str, Any]]:
    """Measure ``ingest`` and ``features`` on large tables, each a process of its own.

    Returns
    -------
    dict
        ``machine``; ``ratios`` to what is allowed, of which none should exceed 1: ``size_seconds``, ``size_memory_gb``,
        ``wide_memory_gb``; and the ``figures`` themselves, with the processor's seconds, which depend less on what else
        the machine does.
    """
    seconds, busy, memory = _measure(long, progress)
    wide_seconds, wide_busy, wide_memory = _measure(wide, progress)
    return {
        "machine": {"processor": processor(), "cores": os.cpu_count()},
        "ratios": {
            "size_seconds": seconds / SECONDS,
            "size_memory_gb": memory / GIGABYTES,
            "wide_memory_gb": wide_memory / GIGABYTES,
        },
        "figures": {
            "size": {"seconds": seconds, "processor_seconds": busy, "gb": memory},
            "wide": {"seconds": wide_seconds, "processor_seconds": wide_busy, "gb": wide_memory},
        },
    }


def _measure(shape: Shape, progress: Callable[[str], None]) -> tuple[float, float, float]:
    """Seconds and processor seconds of both stages, and the peak of their resident memory in 10⁹ bytes."""
    with tempfile.TemporaryDirectory(prefix="houseprice-size-") as folder:
        root = Path(folder)
        code = (
            f"from pathlib import Path; from houseprice.bench_size import *; write_files(Path({folder!r}), {shape!r})"
        )
        progress(f"making {shape.rows:,} rows of {shape.columns} columns")
        subprocess.run([sys.executable, "-c", code], check=True)  # a child's peak counts what its parent held
        stages = [["ingest", "--source", str(root / "files")], ["features", "ridge"]]
        found = np.array([_run([*stage, "--competition", "size", "--root", folder], progress) for stage in stages])
    return float(found[:, 0].sum()), float(found[:, 1].sum()), float(found[:, 2].max())


def _run(arguments: Sequence[str], progress: Callable[[str], None]) -> tuple[float, float, float]:
    """Run the command line to its end: seconds, processor seconds, and the peak of its memory in 10⁹ bytes."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "houseprice.cli", *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - start
    if process.returncode:
        raise HousePriceError(f"houseprice {' '.join(arguments)}: ended with status {process.returncode}; see above.")
    busy, memory = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e9
    progress(f"{arguments[0]}: {seconds:.1f} s ({busy:.1f} s of processor), at most {memory:.2f} GB")
    return seconds, busy, memory


def write_files(root: Path, shape: Shape) -> None:
    """A competition file, and a train.csv and test.csv with a fixed seed in the folder ``files``."""
    folder = root / "data" / "size"
    folder.mkdir(parents=True)
    (folder / "competition.toml").write_text(_COMPETITION)
    (root / "files").mkdir()
    _write(root / "files" / "train.csv", shape, shape.rows, 1, with_price=True)
    _write(root / "files" / "test.csv", shape, shape.rows // 10, shape.rows + 1, with_price=False)


def _write(path: Path, shape: Shape, rows: int, first_id: int, *, with_price: bool) -> None:
    """Write so many rows; from 200,000 on they repeat, with other ids, since making them takes longer than all else."""
    table = mixed_table(min(rows, _BLOCK), shape, seed=first_id)
    header, *lines = (table if with_price else table.drop(columns="Price")).to_csv(index=False).splitlines()
    with path.open("w") as file:
        file.write(f"Id,{header}\n")
        file.writelines(f"{first_id + row},{lines[row % len(lines)]}\n" for row in range(rows))


def mixed_table(rows: int, shape: Shape, seed: int) -> pd.DataFrame:
    """Categories, booleans, dates and numbers in turn, some with gaps, and a price."""
    random = np.random.default_rng(seed)
    columns = {f"c{place}": column for place, column in enumerate(_columns(rows, shape, random))}
    return pd.DataFrame({**columns, "Price": 1 + np.exp(random.standard_normal(rows)).round(4)})


def _columns(rows: int, shape: Shape, random: np.random.Generator) -> Iterator[pd.Series]:
    for place in range(shape.columns):
        kind, round_ = place % 10, place // 10
        if kind == 0:
            labels = (shape.widest, 12, 300, 3)[round_ % 4]
            yield "label " + pd.Series(random.integers(labels, size=rows)).astype("str")
        elif kind == 1:
            yield pd.Series(np.where(random.random(rows) < 0.3, "True", "False"))
        elif kind == 2 and round_ % 2 == 0:
            days = np.datetime64("2000-01-01") + random.integers(9000, size=rows)
            yield pd.Series(np.datetime_as_string(days))
        elif kind < 6:
            yield pd.Series(random.integers(1000, size=rows))
        else:
            gaps = random.random(rows) < (0.1 if kind == 9 else 0.0)
            yield pd.Series(random.standard_normal(rows).round(4)).mask(gaps)
