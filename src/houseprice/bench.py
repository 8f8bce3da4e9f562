"""How fast the engine is, as ratios: side by side in one run, so that they carry from machine to machine.

Each ratio is the median over rounds; a round times both sides, one right after the other, on the same data,
rows, epochs, batch size (64) and precision (float32). The other side has one thread or all, whichever is
faster. Nets have dropout 0.2 behind both hidden layers and train with Adam unless a benchmark says otherwise.
Both sides predict all rows once at the end; the engine adds one point of the learning curves there.
"""

import os
import platform
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from houseprice.config import Ingest
from houseprice.data.features import build_features
from houseprice.data.tables import Tables
from houseprice.errors import ConfigError, nearest
from houseprice.learn.members import FoldData
from houseprice.learn.training import train_members
from houseprice.machine import processor
from houseprice.metrics import Metric
from houseprice.preparation import Features
from houseprice.recipes import MLP

Progress = Callable[[str], None]

FOLDS, SEEDS, BATCH, DROPOUT = 5, 16, 64, 0.2
ROUNDS = 3


@dataclass(frozen=True)
class Case:
    """The competition's matrix and how long to train on it.

    Attributes
    ----------
    X, y, X_test
        float32 [row, column], [row] (standardised), [row, column].
    epochs
        Of every fit. The least that gives a steady figure: what an epoch takes does not depend on their
        number.
    """

    X: NDArray[np.float32]
    y: NDArray[np.float32]
    X_test: NDArray[np.float32]
    epochs: int = 10
    device: str = "cpu"
    """Where both sides train, but for scikit-learn and `memory`."""

    def folds(self, k: int = FOLDS) -> list[FoldData]:
        """Contiguous folds, all on the same matrix."""
        rows = np.arange(len(self.X))
        return [
            FoldData(fold, self.X, self.y, np.setdiff1d(rows, valid), valid, self.X_test)
            for fold, valid in enumerate(np.array_split(rows, k))
        ]


def course_case(tables: Tables, ingest: Ingest, metric: Metric, device: str = "cpu") -> Case:
    """A competition's matrix as D2L makes it (§5.7.4; 330 columns for House Prices), and its target on link scale."""
    recipe = Features(scope="all", none_is_missing=True, dummy_na=True, drop_constant=False)
    matrix = build_features(tables, recipe, np.zeros((1, len(tables.train)), np.int64), ingest).of_fold(0)
    y = tables.link_target(metric)
    return Case(matrix.X, ((y - y.mean()) / y.std()).astype(np.float32), matrix.X_test, device=device)


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock seconds that a call takes, to the end of what it started on a CUDA device."""
    _wait_for_device()
    start = time.perf_counter()
    work()
    _wait_for_device()
    return time.perf_counter() - start


def _wait_for_device() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def median_seconds(works: Sequence[Callable[[], object]]) -> float:
    """The median of what some calls take, one after another: a neighbour's burst of work does not count."""
    return statistics.median(seconds(work) for work in works)


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Let torch, and the BLAS of numpy and scipy, use so many threads within the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        with threadpool_limits(number):
            yield
    finally:
        torch.set_num_threads(before)


def fastest(measure: Callable[[], float]) -> float:
    """The least of a duration with one thread and with all: small or crowded work is faster with one."""
    durations = []
    for number in {1, torch.get_num_threads()}:
        with threads(number):
            durations.append(measure())
    return min(durations)


def ours(case: Case, width: int, folds: Sequence[FoldData], seeds: Sequence[int], dropout: float = DROPOUT) -> None:
    """The engine's side: two hidden layers of a width."""
    recipe = MLP(kind="mlp", hidden=(width, width), dropout=dropout, epochs=case.epochs, curve_every=case.epochs)
    train_members(recipe, folds, seeds, device=case.device)


def course_loop(case: Case, data: FoldData, width: int) -> Tensor:
    """The other side: one fit as the course writes it (D2L §5.6, §5.7), and its predictions of all rows."""
    net = nn.Sequential(
        nn.Linear(case.X.shape[1], width), nn.ReLU(), nn.Dropout(DROPOUT),
        nn.Linear(width, width), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(width, 1),
    ).to(case.device)  # fmt: skip
    X, y = torch.from_numpy(case.X).to(case.device), torch.from_numpy(case.y).to(case.device)[:, None]
    fit_rows = torch.from_numpy(data.fit_rows).to(case.device)
    loader = DataLoader(TensorDataset(X[fit_rows], y[fit_rows]), BATCH, shuffle=True)
    loss, optimizer = nn.MSELoss(), torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(case.epochs):
        for inputs, target in loader:
            optimizer.zero_grad()
            loss(net(inputs), target).backward()
            optimizer.step()
    net.eval()
    with torch.no_grad():
        return torch.cat([net(X), net(torch.from_numpy(case.X_test).to(case.device))])


def loop(case: Case, width: int) -> float:
    """``loop_64``, ``loop_256``: 5 folds × 16 seeds, the course's loop ÷ the engine.

    Of the loop, one seed of each fold is timed, one after another, and the median fit counts 80 times.
    """
    folds = case.folds()
    one = fastest(lambda: median_seconds([partial(course_loop, case, data, width) for data in folds]))
    return FOLDS * SEEDS * one / seconds(lambda: ours(case, width, folds, range(SEEDS)))


def single(case: Case) -> float:
    """``single_64``: one fit alone, the course's loop ÷ the engine."""
    data = case.folds()[0]
    theirs = fastest(lambda: median_seconds([lambda: course_loop(case, data, 64)] * 5))
    return theirs / median_seconds([lambda: ours(case, 64, [data], [0])] * 5)


def sgemm(case: Case) -> float:
    """``sgemm_256``: arithmetic rate of whole training steps ÷ that of 1024³ matrix products.

    Counted are the products of the steps: forward, to the weights, to the layer below (but for the first). The time has
    everything that a step needs: shuffling, dropout, losses, the optimiser. It is the difference between a long
    training and a short one, so that what is done once (the first weights, the closing predictions) is not in it.
    """
    width, columns, seeds = 256, case.X.shape[1], 4
    forward = 2 * (columns * width + width * width + width)
    below = 2 * (width * width + width)
    folds = case.folds()
    rows = sum(len(data.fit_rows) for data in folds) * seeds
    left, right, out = (torch.randn(1024, 1024, device=case.device) for _ in range(3))

    def product() -> float:
        return fastest(lambda: seconds(lambda: [torch.mm(left, right, out=out) for _ in range(100)]) / 100)

    def training(epochs: int) -> float:
        return seconds(lambda: ours(replace(case, epochs=epochs), width, folds, range(seeds)))

    before, short, long = product(), training(case.epochs), training(3 * case.epochs)
    rate = rows * 2 * case.epochs * (2 * forward + below) / (long - short)
    reference = 2 * 1024**3 / ((before + product()) / 2)
    return float(rate / reference)


def sklearn(case: Case) -> float:
    """``sklearn_64``: 80 fits of scikit-learn's `MLPRegressor` ÷ the engine, both without dropout and decay.

    Of scikit-learn, one seed of each fold is timed, and the median fit counts 80 times.
    """
    from sklearn.neural_network import MLPRegressor

    folds = case.folds()

    def theirs(data: FoldData) -> None:
        net = MLPRegressor(
            hidden_layer_sizes=(64, 64),
            alpha=0.0,
            batch_size=BATCH,
            max_iter=case.epochs,
            n_iter_no_change=case.epochs,
            tol=0.0,
        )
        net.fit(case.X[data.fit_rows], case.y[data.fit_rows])
        net.predict(case.X)
        net.predict(case.X_test)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has not converged, and need not
        one = fastest(lambda: median_seconds([partial(theirs, data) for data in folds]))
    return FOLDS * SEEDS * one / seconds(lambda: ours(case, 64, folds, range(SEEDS), dropout=0.0))


def many_rows(rows: int, columns: int = 100) -> FoldData:
    """Numbers to fit, made without a copy; a tenth is for validation."""
    random = np.random.default_rng(0)
    X = random.standard_normal((rows, columns), dtype=np.float32)
    valid = rows // 10
    return FoldData(0, X, X[:, 0].copy(), np.arange(valid, rows), np.arange(valid), X[:10])


def rows_flatness(case: Case, progress: Progress, sizes: Sequence[int] = (1_000, 10_000, 100_000, 1_000_000)) -> float:
    """``rows_flatness``: time per row and epoch of one 64-64 net, largest ÷ smallest from 10,000 rows up.

    The median epoch after the first, each with its point of the learning curves.
    """
    times = {}
    for rows in sizes:
        data, epochs = many_rows(rows), 1 + max(3, 500_000 // rows)
        ends: list[float] = []

        def on_epoch(done: int, total: int, ends: list[float] = ends) -> None:
            ends.append(time.perf_counter())

        small = MLP(kind="mlp", hidden=(64, 64), dropout=DROPOUT, epochs=epochs)
        train_members(small, [data], [0], device=case.device, on_epoch=on_epoch)
        times[rows] = float(np.median(np.diff(ends))) / rows
        progress(f"  {rows:,} rows: {times[rows] * 1e6:.2f} µs a row and epoch")
    beyond = [taken for rows, taken in times.items() if rows >= 10_000]
    return max(beyond) / min(beyond)


def peak_memory_ratio(rows: int = 1_000_000, columns: int = 100) -> float:
    """Peak memory from making the matrix to the end of training ÷ the matrix.

    What the process held before (the interpreter, torch) is not counted; the matrix is: 1 would be no more
    than it.
    """

    small = MLP(kind="mlp", hidden=(64, 64), dropout=DROPOUT, epochs=1)
    train_members(small, [many_rows(1000)], [0])  # what torch loads at its first step is no concern of ours
    before = _resident("VmRSS")
    data = many_rows(rows, columns)
    train_members(small, [data], [0, 1])
    return (_resident("VmHWM") - before) / data.X.nbytes


def _resident(which: str) -> int:
    """Bytes of memory that this process holds (VmRSS), or held at its peak (VmHWM)."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError as error:
        raise ConfigError("memory_ratio needs Linux's /proc; leave it out") from error
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(which))


def memory(progress: Progress) -> float:
    """``memory_ratio``: `peak_memory_ratio` at a million rows of 100 columns (400 MB), two members."""
    code = "from houseprice.bench import peak_memory_ratio; print(peak_memory_ratio())"
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    return float(printed)


BENCHMARKS: dict[str, Callable[[Case, Progress], float]] = {
    "loop_64": lambda case, _: loop(case, 64),
    "loop_256": lambda case, _: loop(case, 256),
    "sgemm_256": lambda case, _: sgemm(case),
    "single_64": lambda case, _: single(case),
    "sklearn_64": lambda case, _: sklearn(case),
    "rows_flatness": rows_flatness,
    "memory_ratio": lambda _, progress: memory(progress),
}
"""What each ratio is: see the functions. The last two are better when lower."""


def run_benchmarks(
    names: Sequence[str], case: Case, progress: Progress, *, rounds: int = ROUNDS
) -> dict[str, dict[str, Any]]:
    """Measure some ratios, or all.

    Parameters
    ----------
    names
        Of `BENCHMARKS`; none means all.
    case
        What is trained on, but for the benchmarks that are about many rows.
    progress
        Told each figure as it is found.

    Returns
    -------
    dict
        ``{"machine": {…}, "ratios": {name: value}}``.

    Raises
    ------
    ConfigError
        If there is no such benchmark.
    """
    for name in names:
        if name not in BENCHMARKS:
            raise ConfigError(f"unknown benchmark {name!r}; {nearest(name, list(BENCHMARKS))}")
    ratios = {}
    for name in names or BENCHMARKS:
        count = 1 if name == "memory_ratio" else rounds
        found = [BENCHMARKS[name](case, progress) for _ in range(count)]
        ratios[name] = statistics.median(found)
        progress(f"{name} {ratios[name]:.2f}  (rounds: {', '.join(f'{one:.2f}' for one in found)})")
    return {"machine": {**machine(), "device": case.device}, "ratios": ratios}


def machine() -> dict[str, Any]:
    """What the figures were found on."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
