"""Fixtures that tests share: a tiny competition in a folder of its own, and the real files of House Prices."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from competitions import COUNTED, submit, write_competition
from houseprice.competition import load_competition
from houseprice.config import Competition
from houseprice.data.ingest import FILES
from houseprice.data.tables import Tables, read_tables
from mirrors import Mirror, serving_files
from spies import CountedTree

REPOSITORY = Path(__file__).resolve().parents[1]

TINY_TOML = """\
name = "tiny"
id = "Id"
target = "Price"
metric = "log_rmse"
entry = "both"

[ingest]
none_columns = ["Pool"]

[folds.main]
k = 4

[features.default]

[experiments.ridge]
kind = "ridge"

[experiments.mlp]
kind = "mlp"
hidden = [8]
epochs = 2

[ensembles.both]
runs = ["ridge", "mlp"]
"""

LoadTiny = Callable[..., Competition]


def _houses(numbers: range, priced: bool) -> bytes:
    """Ids with leading zeros, numbers with a gap, text, and "NA" for "none of it" in Pool."""
    lines = ["Id,Area,Rooms,Street,Pool" + (",Price" if priced else "")]
    for i in numbers:
        area = "NA" if i % 11 == 5 else str(1000 + 137 * i % 900)
        cells = [f"{i:03d}", area, str(2 + i % 4), "Grvl" if i % 3 == 0 else "Pave", "Gd" if i % 5 == 0 else "NA"]
        lines.append(",".join([*cells, str(90_000 + 4_321 * i % 70_000)] if priced else cells))
    return ("\n".join(lines) + "\n").encode()


@pytest.fixture
def tiny_files() -> dict[str, bytes]:
    """The bytes of the tiny competition's three files: 24 houses with a price, 8 without."""
    sample = "Id,Price\n" + "".join(f"{i:03d},0\n" for i in range(101, 109))
    contents = (_houses(range(1, 25), priced=True), _houses(range(101, 109), priced=False), sample.encode())
    return dict(zip(FILES, contents, strict=True))


@pytest.fixture
def tiny_root(tmp_path: Path) -> Path:
    """A project folder that holds ``data/tiny/competition.toml``, and no raw files yet."""
    folder = tmp_path / "project" / "data" / "tiny"
    folder.mkdir(parents=True)
    (folder / "competition.toml").write_text(TINY_TOML, encoding="utf-8")
    return tmp_path / "project"


@pytest.fixture
def load_tiny(tiny_root: Path) -> LoadTiny:
    """Loads the tiny competition, with ``--set`` overrides."""
    return lambda *overrides: load_competition(tiny_root / "data" / "tiny" / "competition.toml", overrides)


@pytest.fixture
def tiny_source(tmp_path: Path, tiny_files: dict[str, bytes]) -> Path:
    """A folder with the tiny competition's files, as a user would have downloaded them."""
    return write_files(tmp_path / "source", tiny_files)


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    """Put files into a folder, which is made."""
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too, with its bytes: equal before and after means untouched."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """A local HTTP server for files, which no proxy of the environment stands before."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with serving_files() as mirror:
        yield mirror


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which `submit` has ended."""
    root = tmp_path_factory.mktemp("original")
    write_competition(root, toml=COUNTED)
    submit(root)
    return root


@pytest.fixture
def root(original: Path, tmp_path: Path) -> Path:
    """A copy of that project to work on."""
    CountedTree.fits.clear()
    return Path(shutil.copytree(original, tmp_path / "project"))


@pytest.fixture(scope="session")
def shared_house_prices() -> Path:
    """The folder with the real files of House Prices; where it is absent the test is skipped, but never in CI."""
    folder = REPOSITORY.parent / "shared" / "house-prices"
    if not folder.is_dir():
        reason = f"the real files of House Prices are not at {folder}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="session")
def house_prices() -> Competition:
    """The shipped competition."""
    return load_competition(REPOSITORY / "data" / "house-prices" / "competition.toml")


@pytest.fixture(scope="session")
def house_prices_tables(shared_house_prices: Path, house_prices: Competition) -> Tables:
    """The tables of the real files."""
    return read_tables({name: (shared_house_prices / name).read_bytes() for name in FILES}, house_prices)
