"""What the README shows beside its `sh` blocks, which CI runs as they stand."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from houseprice.competition import competition_from_json, load_competition

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(language: str, containing: str) -> str:
    """The fenced block of a language that contains a text."""
    blocks: list[str] = re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
    return next(text for text in blocks if containing in text)


def houseprice(*arguments: str | Path) -> str:
    command = [sys.executable, "-m", "houseprice.cli", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_own_data_needs_no_more_than_the_readme_says(tmp_path: Path) -> None:
    competition = tmp_path / "data" / "NAME" / "competition.toml"
    competition.parent.mkdir(parents=True)
    competition.write_text(block("toml", 'name = "NAME"'), encoding="utf-8")
    source = tmp_path / "files"
    source.mkdir()
    lines = [f"{row},{row % 7},{'ab'[row % 2]},{100 + 10 * (row % 7)}" for row in range(40)]
    (source / "train.csv").write_text("Id,Rooms,Kind,Price\n" + "\n".join(lines), encoding="utf-8")
    (source / "test.csv").write_text("Id,Rooms,Kind\n90,3,a\n91,5,b\n", encoding="utf-8")
    houseprice("ingest", "-c", "NAME", "--source", source, "--root", tmp_path)
    houseprice("submit", "-c", "NAME", "--root", tmp_path)
    entry = (tmp_path / "submissions" / "NAME" / "ridge.csv").read_text(encoding="utf-8").splitlines()
    assert entry[0] == "Id,Price"
    assert [line.split(",")[0] for line in entry[1:]] == ["90", "91"]


def test_make_hands_its_variables_to_the_command_line() -> None:
    printed = subprocess.run(
        ["make", "-n", "submit", "COMPETITION=NAME", "SOURCE=folder", "SEEDS=3", "ENTRY=mine"],
        check=True, capture_output=True, text=True, cwd=ROOT,
    ).stdout  # fmt: skip
    assert "houseprice ingest --competition NAME --source 'folder'" in printed
    assert "houseprice submit --competition NAME mine --seeds 3" in printed


PYTHON = """\
#!/bin/sh
echo "$2" >> log
test "$2" = pip || { mkdir -p "$3/bin" && cp "$0" "$3/bin/python"; }
"""


def test_of_two_that_set_up_at_once_one_installs_and_the_other_waits(tmp_path: Path) -> None:
    """With a Python that only notes what it is asked for."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "python").write_text(PYTHON, encoding="utf-8")
    (tmp_path / "python").chmod(0o755)
    make = ["make", "setup", "PYTHON=./python"]
    both = [subprocess.Popen(make, cwd=tmp_path, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert (tmp_path / "log").read_text(encoding="utf-8").split() == ["venv", "pip"]


@pytest.mark.parametrize("key", ["experiments", "features"])
def test_the_tables_shown_are_valid(key: str, tmp_path: Path) -> None:
    path = tmp_path / "NAME" / "competition.toml"
    path.parent.mkdir()
    path.write_text(block("toml", 'name = "NAME"') + block("toml", f"[{key}."), encoding="utf-8")
    load_competition(path)


def test_the_ensembles_shown_are_valid_in_the_competition_file() -> None:
    import tomllib

    shipped = load_competition(ROOT / "data" / "house-prices" / "competition.toml").model_dump(mode="json")
    shown = tomllib.loads(block("toml", "[ensembles."))["ensembles"]
    assert len(shown) > 1
    competition_from_json({**shipped, "ensembles": {**shipped["ensembles"], **shown}}, "README.md")


def test_the_competition_file_is_valid() -> None:
    competition = load_competition(ROOT / "data" / "house-prices" / "competition.toml")
    assert competition.entry in competition.ensembles
