"""The numbered notebooks: what each is made of, that it runs with its assertions, and that the contents list it.

How the margins of the assertions were found: ``python notebooks/run.py 04 --seeds 20`` says of a notebook with how many
seeds all of them hold. At least 19 of 20 must; what is asserted was widened, or the experiment repeated over more
draws, until they did. Here each runs with the seed that it says.
"""

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from competitions import environment
from conftest import REPOSITORY

FOLDER = REPOSITORY / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("[0-9]*.ipynb"))
CONTENTS = (FOLDER / "README.md").read_text(encoding="utf-8")
LONGEST_FUNCTION, LONGEST_CELL = 10, 15
HANGS = 60  # seconds

IN_A_PROJECT = [path for path in NOTEBOOKS if "hp.Competition" in path.read_text(encoding="utf-8")]
"""They train where they lie: `tests/test_notebook.py` runs them in a project of its own."""

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path, kind: str) -> list[dict[str, Any]]:
    document = json.loads(path.read_text(encoding="utf-8"))
    found = [cell for cell in document["cells"] if cell["cell_type"] == kind]
    return [{**cell, "source": "".join(cell["source"])} for cell in found]


def tagged(path: Path, tag: str) -> list[dict[str, Any]]:
    return [cell for cell in cells(path, "code") if tag in cell["metadata"].get("tags", [])]


def run(*arguments: str | Path, script: Path = FOLDER / "run.py") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(script), *map(str, arguments)]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)


@each
def test_its_name_and_title_number_it(path: Path) -> None:
    assert re.fullmatch(r"\d\d-[a-z]+(-[a-z]+)*", path.stem)
    first = json.loads(path.read_text(encoding="utf-8"))["cells"][0]
    assert first["cell_type"] == "markdown"
    assert re.match(r"# \w.*\n", "".join(first["source"]))
    assert "Dive into Deep Learning" in "".join(first["source"])  # the source of the facts


@each
def test_it_is_committed_without_outputs(path: Path) -> None:
    for cell in cells(path, "code"):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
    ids = [cell["id"] for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
    assert len(set(ids)) == len(ids)


@each
def test_it_has_few_lines_because_the_library_carries_the_weight(path: Path) -> None:
    for cell in cells(path, "code"):
        assert len(cell["source"].splitlines()) <= LONGEST_CELL, cell["source"]
        for node in ast.walk(ast.parse(cell["source"])):
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno < LONGEST_FUNCTION, node.name


@each
def test_it_has_a_seed_assertions_and_a_picture(path: Path) -> None:
    (seed,) = tagged(path, "parameters")
    assert seed["source"] == "SEED = 0"
    assert len(tagged(path, "picture")) == 1
    code = ast.parse("\n".join(cell["source"] for cell in cells(path, "code")))
    assert any(isinstance(node, ast.Assert) for node in ast.walk(code))


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.stem)
def test_the_table_of_contents_has_its_row_and_picture(path: Path) -> None:
    (row,) = [line for line in CONTENTS.splitlines() if line.startswith("|") and f"]({path.name})" in line]
    (picture,) = re.findall(r'src="(pictures/[^"]+\.png)"', row)
    assert picture == f"pictures/{path.stem}.png"
    assert (FOLDER / picture).read_bytes().startswith(b"\x89PNG")
    assert (FOLDER / picture).stat().st_size < 150_000


@pytest.mark.long
@pytest.mark.parametrize("path", sorted({*NOTEBOOKS} - {*IN_A_PROJECT}), ids=lambda path: path.stem)
def test_it_runs_top_to_bottom_and_its_assertions_hold(path: Path, tmp_path: Path) -> None:
    done = run(path.stem, "--out", tmp_path, "--timeout", str(HANGS))
    assert done.stdout == f"{tmp_path / path.stem}.html: done\n", done.stdout + done.stderr
    assert done.returncode == 0
    page = (tmp_path / f"{path.stem}.html").read_text(encoding="utf-8")
    assert page.count("Plotly.newPlot") >= 1
    assert "Warning" not in page


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    """A folder with the tools and a notebook whose assertion holds with even seeds alone."""
    for name in ("run.py", "page.py", "page.html"):
        shutil.copy(FOLDER / name, tmp_path)
    sources = {"parameters": "SEED = 1", "": "assert SEED % 2 == 0, '<b>odd</b>'"}
    code: list[dict[str, Any]] = [
        {"cell_type": "code", "id": f"c{tag}", "metadata": {"tags": [tag]}, "source": source}
        | {"outputs": [], "execution_count": None}
        for tag, source in sources.items()
    ]
    title = {"cell_type": "markdown", "id": "title", "metadata": {}, "source": "# Wrong <script>"}
    document = {"cells": [title, *code], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (tmp_path / "wrong.ipynb").write_text(json.dumps(document), encoding="utf-8")
    return tmp_path


@pytest.mark.long
def test_what_fails_is_said_and_seeds_that_hold_are_counted(wrong: Path) -> None:
    done = run("wrong", script=wrong / "run.py")
    assert done.returncode == 1
    assert done.stdout == f"{wrong / 'html' / 'wrong.html'}: AssertionError: <b>odd</b>\n"
    page = (wrong / "html" / "wrong.html").read_text(encoding="utf-8")
    assert "<title>Wrong &lt;script&gt;</title>" in page
    assert "AssertionError: &lt;b&gt;odd&lt;/b&gt;" in page
    done = run("wrong", "--seeds", "2", script=wrong / "run.py")
    assert done.stdout == (
        "wrong: 1 of 2 seeds hold\n  seed 1: AssertionError: <b>odd</b> in\nassert SEED % 2 == 0, '<b>odd</b>'\n"
    )
    assert done.returncode == 1
    assert json.loads((wrong / "wrong.ipynb").read_text(encoding="utf-8"))["cells"][1]["outputs"] == []
