"""The benchmark of large tables, on small ones: it measures the commands that users run."""

from pathlib import Path

import pytest

from houseprice import bench_size
from houseprice.bench_size import Shape
from houseprice.competition import load_competition
from houseprice.data.tables import read_tables
from test_cli import call


def test_the_table_holds_every_kind_of_column(tmp_path: Path) -> None:
    bench_size.write_files(tmp_path, Shape(500, 20, 60))
    files = {path.name: path.read_bytes() for path in (tmp_path / "files").iterdir()}
    tables = read_tables(files, load_competition(tmp_path / "data" / "size" / "competition.toml", ()))
    assert (tables.train.shape, tables.test.shape) == ((500, 20), (50, 20))
    assert tables.train["c0"].nunique() == 60
    assert set(tables.train["c1"]) == {"True", "False"}
    assert tables.train["c2"].str.fullmatch(r"20\d\d-\d\d-\d\d").all()
    assert tables.train["c9"].isna().any()


def test_rows_repeat_beyond_a_block_with_ids_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_size, "_BLOCK", 10)
    bench_size.write_files(tmp_path, Shape(25, 4, 3))
    rows = [line.partition(",") for line in (tmp_path / "files" / "train.csv").read_text().splitlines()[1:]]
    assert [row_id for row_id, _, _ in rows] == [str(n) for n in range(1, 26)]
    assert rows[0][2] == rows[10][2] != rows[1][2]


def test_a_ratio_of_the_engine_is_none_of_large_tables(tmp_path: Path) -> None:
    result = call(tmp_path, "bench", "loop_64", "--size")
    assert result.exit_code == 2
    assert "not both" in result.stderr


@pytest.mark.long
def test_all_figures_are_found() -> None:
    told: list[str] = []
    result = bench_size.run_size(told.append, Shape(2000, 20, 100), Shape(1000, 30, 500))
    assert list(result["ratios"]) == ["size_seconds", "size_memory_gb", "wide_memory_gb"]
    assert all(ratio > 0 for ratio in result["ratios"].values())
    assert result["figures"]["size"]["gb"] == pytest.approx(3 * result["ratios"]["size_memory_gb"])
    assert [line.partition(":")[0] for line in told if ":" in line] == ["ingest", "features"] * 2
