"""The benchmarks compare like with like; how the figures come out is `make bench`'s business."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from houseprice import bench
from houseprice.config import Competition
from houseprice.data.tables import read_tables
from houseprice.errors import ConfigError
from houseprice.metrics import METRICS

NAMES = ["loop_64", "loop_256", "sgemm_256", "single_64", "sklearn_64", "rows_flatness", "memory_ratio"]


def small() -> bench.Case:
    random = np.random.default_rng(0)
    X = random.standard_normal((80, 6)).astype(np.float32)
    return bench.Case(X, X[:, 0].copy(), X[:5], epochs=1)


def test_the_names_are_those_of_the_figures() -> None:
    assert list(bench.BENCHMARKS) == NAMES


def test_the_case_is_the_course_s(shared_house_prices: Path, house_prices: Competition) -> None:
    files = {name: (shared_house_prices / name).read_bytes() for name in ("train.csv", "test.csv")}
    case = bench.course_case(read_tables(files, house_prices), house_prices.ingest, METRICS["log_rmse"])
    assert case.X.shape == (1460, 330)
    assert case.X_test.shape == (1459, 330)
    assert case.y.mean() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("figure", [bench.single, lambda case: bench.loop(case, 4), bench.sklearn])
def test_every_comparison_gives_a_ratio(figure: Callable[[bench.Case], float]) -> None:
    assert figure(small()) > 0


def test_the_difference_of_two_trainings_gives_a_rate() -> None:
    assert np.isfinite(bench.sgemm(small()))


def test_rows_are_timed_at_every_size() -> None:
    told: list[str] = []
    assert bench.rows_flatness(small(), told.append, sizes=(100_000,)) == 1
    assert "100,000 rows" in told[0]


def test_results_name_the_machine() -> None:
    result = bench.run_benchmarks(["single_64"], small(), lambda line: None, rounds=1)
    assert list(result["ratios"]) == ["single_64"]
    assert result["machine"]["cores"] >= 1
    assert result["machine"]["device"] == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize("name", ["loop_64", "sgemm_256", "single_64"])
def test_both_sides_run_on_a_cuda_device(name: str) -> None:
    case = dataclasses.replace(small(), device="cuda")
    assert np.isfinite(bench.BENCHMARKS[name](case, lambda line: None))


def test_an_unknown_benchmark_is_named() -> None:
    with pytest.raises(ConfigError, match=r"unknown benchmark 'loop_65'; did you mean 'loop_64'"):
        bench.run_benchmarks(["loop_65"], small(), print)
