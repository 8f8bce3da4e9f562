"""The floors of the house: a room imports from the floors below its own, and only some rooms touch the disk."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from competitions import PACKAGE, environment

FLOORS = (  # from the ground; the rooms of one line import none of each other
    {"errors", "machine", "pace"},
    {"documents", "files", "online", "report.figures", "tasks", "scores"},
    {"metrics", "schema"},
    {"own_metric", "preparation", "recipes"},
    {"config"},
    {"competition"},
    {"data.dates", "course.data", "course.images", "course.piecewise"},
    {
        "data.compact",
        "data.expressions",
        "data.encodings",
        "data.patterns",
        "data.sample",
        "data.reading",
        "data.folds",
        "data.form",
        "data.seams",
        "data.target",
        "data.written",
    },
    {"data.guesses", "data.tables", "course.fashion"},
    {"data.shift"},
    {"data.ingest", "data.leaks", "data.new_rows", "data.roles", "data.columns"},
    {"data.preprocessor"},
    {"data.features"},
    {"learn.functions", "learn.targets", "learn.priors"},
    {"learn.plain", "learn.layers"},
    {"learn.embedding"},
    {"learn.network", "learn.members"},
    {"learn.checkpoint", "learn.optimizer"},
    {"learn.batch"},
    {"learn.training"},
    {"learn.estimators"},
    {"learn.weighting"},
    {"learn.crossval", "learn.curves", "course.fitting", "course.shift"},
    {"learn.prediction", "course.grid"},
    {"learn.importance", "learn.nested", "sketch", "course.figures"},
    {
        *("compete.ensemble", "compete.submission", "compete.upload", "compete.database", "compete.statistics"),
        "compete.parts",
    },
    {"compete.choice", "compete.leaderboard", "compete.stacking"},
    {"compete.ledger"},
    {"unfinished"},
    {"artifacts"},
    {"plan"},
    {"fitted", "manifest", "matrices", "recording"},
    {"pipeline"},
    {"handing_in", "inspection", "prediction", "review"},
    {"ablation", "audit", "grid", "scaffold", "shift"},
    {"report.columns", "report.drawing"},
    {"report.standings"},
    {"report.panels", "report.groups"},
    {"report.contents"},
    {"report.wording"},
    {"report.gather", "report.page"},
    {"bench", "bench_size", "console", "reproduction"},
    {"notebook.table"},
    {"notebook.data", "notebook.results"},
    {"notebook.board"},
    {"notebook.competition"},
    {"cli_options"},
    {"cli_ablate", "cli_audit", "cli_bench", "cli_board", "cli_grid", "cli_new", "cli_predict", "cli_shift"},
    {"cli"},
)
FLOOR_OF = {room: number for number, floor in enumerate(FLOORS) for room in floor}
TOUCH_THE_DISK = {
    *(
        "files",
        "online",
        "machine",
        "competition",
        "data.ingest",
        "learn.checkpoint",
        "compete.database",
        "compete.leaderboard",
        "compete.ledger",
        "compete.submission",
    ),
    *("unfinished", "artifacts", "plan", "manifest", "pipeline", "reproduction", "console", "bench", "bench_size"),
    *("cli", "cli_grid", "notebook.competition", "report.page", "scaffold", "fitted", "prediction", "course.fashion"),
}
DISK_CALLS = {
    *("open", "read_text", "read_bytes", "write_text", "write_bytes", "mkdir", "unlink", "exists", "stat"),
    *("rmdir", "touch", "iterdir", "glob", "rglob", "to_csv", "savetxt", "tofile"),
}
DISK_MODULES = {"os", "shutil", "tempfile", "sqlite3", "joblib", "subprocess", "urllib", "socket"}


def rooms() -> dict[str, Path]:
    paths = (path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
    return {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in paths}


ROOMS = rooms()


def imports(path: Path) -> set[str]:
    """Everything that a module imports, at whatever depth, absolute and in full."""
    found = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import, which fingerprints don't follow"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def rooms_imported(path: Path) -> set[str]:
    """The rooms among a module's imports: of ``houseprice.errors.listing`` the room ``errors``."""
    names = (name.removeprefix("houseprice.") for name in imports(path) if name.startswith("houseprice."))
    return {room for name in names for room in ROOMS if name == room or name.startswith(f"{room}.")}


def test_every_module_has_a_floor() -> None:
    assert set(ROOMS) == set(FLOOR_OF)


@pytest.mark.parametrize("room", ROOMS)
def test_room_imports_from_floors_below(room: str) -> None:
    assert [other for other in rooms_imported(ROOMS[room]) if FLOOR_OF[other] >= FLOOR_OF[room]] == []


def test_init_files_hold_a_docstring_at_most() -> None:
    """But for the package's own, which imports its public names when they are asked for (`tests/test_notebook.py`)."""
    for path in set(PACKAGE.rglob("__init__.py")) - {PACKAGE / "__init__.py"}:
        nodes = ast.parse(path.read_bytes()).body
        assert all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in nodes), path
        assert len(nodes) <= 1, path


@pytest.mark.parametrize("room", ROOMS)
def test_module_can_be_read_at_one_sitting(room: str) -> None:
    assert len(ROOMS[room].read_text(encoding="utf-8").splitlines()) < 450


@pytest.mark.parametrize("room", sorted(set(ROOMS) - TOUCH_THE_DISK))
def test_other_rooms_do_no_file_io(room: str) -> None:
    calls = [node.func for node in ast.walk(ast.parse(ROOMS[room].read_bytes())) if isinstance(node, ast.Call)]
    named = {node.id for node in calls if isinstance(node, ast.Name)}
    named |= {node.attr for node in calls if isinstance(node, ast.Attribute)}
    assert named & DISK_CALLS == set()
    modules = {name.split(".")[0] for name in imports(ROOMS[room]) if not name.startswith("urllib.parse")}
    assert modules & DISK_MODULES == set()


@pytest.mark.parametrize("module", ["cli", "plan", "pipeline", "notebook.competition"])
def test_import_is_light(module: str) -> None:
    heavy = ("torch", "pandas", "sklearn", "scipy", "joblib")
    code = f"import json, sys, houseprice.{module}; print(json.dumps([m for m in {heavy!r} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True)
    assert json.loads(done.stdout) == []
