"""The public Python API, and the notebook that walks through the competition with it."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import houseprice as hp
from competitions import COMPETITION, environment, files_below, write_competition
from conftest import REPOSITORY
from houseprice.compete import leaderboard
from houseprice.notebook.competition import Competition
from houseprice.notebook.table import MORE, NOTHING, Table

README = REPOSITORY / "README.md"
NOTEBOOK = REPOSITORY / "notebooks" / "09-house-prices.ipynb"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("notebook")
    write_competition(folder)
    return folder


@pytest.fixture(scope="module")
def c(root: Path) -> Competition:
    return hp.Competition.load("tiny", root=root, device="cpu")


def is_shown(thing: Any) -> bool:
    """Whether it has a table for a notebook, and a plain text for a terminal."""
    html, text = thing._repr_html_(), repr(thing)
    assert html.count("<tr>") >= 2
    assert "<" not in text.replace("<script>", "")
    return html.startswith("<p><strong>") and len(text.splitlines()) >= 2


# objects ----------------------------------------------------------------------------------------------------


def test_it_does_what_the_command_line_does(c: Competition, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = c.train("mlp", epochs=3, hidden=[5])
    said = capsys.readouterr()
    assert "train/mlp: done in " in said.out
    assert said.err == ""
    row = leaderboard.named(leaderboard.rows(root / "data/tiny/leaderboard.db"), run.key)
    assert (row.score, row.std_error) == (run.score, run.std_error)
    assert row.overrides == ("mlp.epochs=3", "mlp.hidden=[5]")
    assert f"{run.score:.5f}" in repr(run)
    assert "epochs=3" in repr(run)
    before = files_below(root)
    assert c.train("mlp", epochs=3, hidden=[5]).key == run.key
    assert files_below(root) == before  # it was there already


def test_predictions_are_by_id_and_in_natural_units(c: Competition) -> None:
    run = c.train("ridge")
    assert run.oof.index.tolist() == [str(number) for number in range(1, 61)]
    assert run.test.index.tolist() == [str(number) for number in range(1001, 1021)]
    error = np.log(run.oof) - np.log(c.tables.target)
    assert np.sqrt((error**2).mean()) == pytest.approx(run.score)


def test_every_object_shows_itself(c: Competition) -> None:
    run, blend = c.train("mlp"), c.ensemble()
    for thing in (
        c, c.tables, c.tables.missing(), c.experiments, c.features(), c.features("linear"), run, c.train("ridge"),
        blend, c.submit(), c.leaderboard(), c.compare(run, "ridge", blend), run.importance(), run.worst(3),
        run.residuals(), run.residuals("Town"), run.residuals("Ground"), blend.residuals(),
    ):  # fmt: skip
        assert is_shown(thing), thing


def test_figures_are_plotly_s(c: Competition) -> None:
    import plotly.graph_objects as go

    run, blend, board = c.train("mlp"), c.ensemble(), c.leaderboard()
    for figure in (
        run.plot_curves(), run.plot_importance(top=2), run.plot_predictions(), run.plot_residuals(),
        run.plot_residuals("Town"), blend.plot_weights(), blend.plot_residuals(), board.plot(),
        board.plot_comparisons(),
    ):  # fmt: skip
        assert isinstance(figure, go.Figure)
        assert len(figure.data) >= 1
    assert len(run.plot_importance(top=2).data[0].x) == 2


def test_a_run_that_is_not_chosen_is_said_to_be_so(c: Competition) -> None:
    chosen = c._with(["blend.select=one_standard_error"]).ensemble()
    assert chosen.weights.to_dict() == {"ridge": 1, "mlp": 0, "tree": 0}
    assert "not chosen" in repr(chosen)
    assert "blend: nnls, one_standard_error of ridge, mlp, tree" in repr(
        c._with(["blend.select=one_standard_error"]).experiments
    )


def test_a_second_level_without_weights_draws_none(c: Competition) -> None:
    tree = c._with(["blend.method=stack", "blend.estimator=sklearn.tree.DecisionTreeRegressor"]).ensemble()
    assert is_shown(tree)
    assert tree.weights.isna().all()
    with pytest.raises(hp.HousePriceError, match="ensemble 'blend' has no weights to draw"):
        tree.plot_weights()


def test_runs_of_one_name_are_told_apart(c: Competition) -> None:
    short, long = c.train("mlp", epochs=2, dropout=0.0), c.train("mlp", epochs=5, dropout=0.0)
    table = c.compare(short, long).frame
    assert table[["first", "second"]].to_numpy().tolist() == [["mlp epochs=2", "mlp epochs=5"]]
    assert table["difference"].tolist() == [pytest.approx(short.score - long.score)]
    assert c.compare("mlp", "ridge").frame["second"].tolist() == ["ridge"]


def test_the_leaderboard_has_the_best_first_and_the_others_beside_it(c: Competition) -> None:
    c.train("tree")
    c.ensemble()
    frame = c.leaderboard().frame
    assert frame["OOF"].is_monotonic_increasing
    assert frame["verdict"].tolist().count("best") == 1
    others = frame[frame["verdict"] != "best"]
    np.testing.assert_allclose(others["from best"], others["OOF"] - frame["OOF"][0], atol=1e-12)


def test_an_entry_is_written_where_it_is_told(c: Competition, tmp_path: Path) -> None:
    entry = c.submit("ridge", out=tmp_path / "mine.csv")
    assert entry.path == tmp_path / "mine.csv"
    assert entry.frame["Price"].tolist() == pytest.approx(c.train("ridge").test.tolist(), abs=1)
    assert entry.manifest["entry"] == "ridge"
    assert c.submit("ridge").path.parent == c.submissions


@pytest.mark.parametrize(
    ("ask", "complaint"),
    [
        (lambda c: c.train("mpl"), r"unknown experiment 'mpl' in competition 'tiny'; did you mean 'mlp'\?"),
        (lambda c: c.train("mlp", epoch=3), r"unknown key 'epoch'; did you mean 'epochs'\?"),
        (lambda c: c.train("blend"), "'blend' is an ensemble in competition 'tiny'; its experiments: ridge, mlp, tree"),
        (lambda c: c.ensemble("blnd"), r"unknown ensemble 'blnd' in competition 'tiny'; did you mean 'blend'\?"),
        (lambda c: c.compare("ridge", "rigde"), r"no row 'rigde' on the leaderboard; did you mean 'ridge'\?"),
        (lambda c: c.train("ridge").plot_curves(), "experiment 'ridge' has no learning curves"),
        (lambda c: c.train("ridge").residuals("Twon"), r"did you mean 'Town'\?"),
        (lambda c: hp.Competition.load("nothing", root=c.submissions), "no competition file"),
    ],
)
def test_errors_are_one_line(c: Competition, ask: Any, complaint: str) -> None:
    c.train("ridge")
    with pytest.raises(hp.HousePriceError, match=complaint) as caught:
        ask(c)
    assert "\n" not in str(caught.value)
    assert caught.value._render_traceback_() == [f"error: {caught.value}"]


def test_what_the_readme_shows_runs(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shown,) = re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(root)
    names: dict[str, Any] = {}
    exec(shown.replace("house-prices", "tiny"), names)
    assert names["run"].summary["members"] == 3


def test_a_notebook_finds_the_project_above_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "notebooks").mkdir(exist_ok=True)
    monkeypatch.chdir(root / "notebooks")
    assert hp.Competition.load("tiny").submissions == root / "submissions" / "tiny"


def test_the_sample_says_so_wherever_a_score_is_shown(tmp_path: Path) -> None:
    folder = write_competition(tmp_path, toml=COMPETITION)
    hp.Competition.load("tiny", root=tmp_path).ingest(folder / "raw")
    path = folder / "raw" / "provenance.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(record | {"source": "sample"}), encoding="utf-8")
    c = hp.Competition.load("tiny", root=tmp_path)
    assert c.source == "sample"
    for thing in (
        c,
        c.tables,
        c.train("ridge"),
        c.leaderboard(),
        c.compare("ridge", c.train("mlp")),
        c.submit("ridge"),
    ):
        assert "which are synthetic: scores say nothing of the real competition" in repr(thing)
        assert "which are synthetic" in thing._repr_html_()


# tables -----------------------------------------------------------------------------------------------------


def test_hostile_names_are_shown_not_run() -> None:
    import pandas as pd

    bad = "<script>alert('x')</script>"
    frame = pd.DataFrame({bad: [bad, "line\nbreak", None]}, index=pd.Index([bad, "b", "c"], name=bad))
    table = Table(bad, frame, (bad,))
    assert "<script>" not in table._repr_html_()
    assert table._repr_html_().count("&lt;script&gt;") == 6
    assert "line break" in repr(table)


def test_cells_are_written_for_people() -> None:
    import pandas as pd

    frame = pd.DataFrame(
        {
            "score": [0.123456789, float("nan"), 1.5],
            "price": [163000.4, 90.0, 12.25],
            "year": [1999.0, 2000.0, float("nan")],
            "share": [0.1234, 0.0, 1.0],
            "sees": [True, False, True],
            "text": ["a", None, "c"],
        }
    )
    lines = [re.split(r"\s{2,}", line.strip()) for line in repr(Table("t", frame, shares=("share",))).splitlines()]
    assert lines[1:] == [
        ["score", "price", "year", "share", "sees", "text"],
        ["0.12346", "163,000", "1999", "12.3%", "yes", "a"],
        [NOTHING, "90", "2000", "0.0%", NOTHING],
        ["1.50000", "12", NOTHING, "100.0%", "yes", "c"],
    ]


def test_a_long_table_shows_its_ends() -> None:
    import pandas as pd

    frame = pd.DataFrame(np.arange(4000).reshape(100, 40), columns=[f"x{column}" for column in range(40)])
    lines = repr(Table("t", frame, max_rows=5)).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["x0", "0", "40", "80", MORE, "3920", "3960"]
    assert lines[1].split()[9:12] == ["x9", MORE, "x30"]


# the package ------------------------------------------------------------------------------------------------


def test_importing_the_package_brings_nothing_else() -> None:
    code = (
        "import json, sys, typing; before = set(sys.modules); import houseprice; "
        "alone = sorted(set(sys.modules) - before); houseprice.Competition; "
        "heavy = [m for m in ('torch', 'pandas', 'numpy', 'plotly', 'jinja2') if m in sys.modules]; "
        "print(json.dumps([alone, heavy]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True)
    assert json.loads(done.stdout) == [["houseprice"], []]


def test_public_names_are_there_and_no_others() -> None:
    assert hp.__all__ == ["Competition", "HousePriceError"]
    assert set(hp.__all__) <= set(dir(hp))
    assert hp.Competition is Competition
    with pytest.raises(AttributeError, match="module 'houseprice' has no attribute 'nothing'"):
        _ = hp.nothing


# the notebook -----------------------------------------------------------------------------------------------


def cells(kind: str) -> list[str]:
    document = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in document["cells"] if cell["cell_type"] == kind]


def test_the_notebook_is_committed_without_outputs_and_has_few_lines_a_cell() -> None:
    document = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    for cell in document["cells"]:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None
    assert len({cell["id"] for cell in document["cells"]}) == len(document["cells"])
    assert max(len(code.splitlines()) for code in cells("code")) <= 6


def execute(notebook: Path) -> list[dict[str, Any]]:
    """Run a notebook top to bottom in a kernel of its own, in its folder, and return its code cells."""
    code = (
        "import sys, nbformat; from nbclient import NotebookClient; path = sys.argv[1]; "
        "notebook = nbformat.read(path, 4); client = NotebookClient(notebook, timeout=None, allow_errors=True); "
        "client.execute(); nbformat.write(notebook, path)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, notebook.name],
        cwd=notebook.parent, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in found if cell["cell_type"] == "code"]


def test_an_error_in_a_notebook_is_one_line(root: Path) -> None:
    source = ["import houseprice as hp\n", 'hp.Competition.load("tiny").train("mpl")']
    cell: dict[str, Any] = {
        "cell_type": "code",
        "id": "a",
        "metadata": {},
        "source": source,
        "outputs": [],
        "execution_count": None,
    }
    path = root / "notebooks" / "wrong.ipynb"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}), encoding="utf-8")
    ((output,),) = [cell["outputs"] for cell in execute(path)]
    assert output["ename"] == "ConfigError"
    assert output["traceback"] == ["error: unknown experiment 'mpl' in competition 'tiny'; did you mean 'mlp'?"]


@pytest.mark.long
@pytest.mark.parametrize("source", ["sample", "local"])
def test_the_notebook_runs_top_to_bottom(source: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """On the built-in sample, and on the real files."""
    folder = tmp_path / "data" / "house-prices"
    folder.mkdir(parents=True)
    toml = (REPOSITORY / "data/house-prices/competition.toml").read_text(encoding="utf-8")
    if source == "sample":  # nowhere to fetch the files from
        toml = re.sub(
            r'\[ingest\.mirror\."(train|test)\.csv"\]\nurl.*\nsha1.*\n', "", re.sub(r"(?m)^kaggle.*\n", "", toml)
        )
    (folder / "competition.toml").write_text(toml, encoding="utf-8")
    if source == "local":
        hp.Competition.load(root=tmp_path).ingest(request.getfixturevalue("shared_house_prices"))
    (tmp_path / "notebooks").mkdir()
    done = execute(Path(shutil.copy(NOTEBOOK, tmp_path / "notebooks")))
    outputs = [output for cell in done for output in cell["outputs"]]
    assert [output for output in outputs if output["output_type"] == "error"] == []
    assert [output["text"] for output in outputs if output.get("name") == "stderr"] == []
    shown = [output["data"] for output in outputs if "data" in output]
    assert sum("application/vnd.plotly.v1+json" in data for data in shown) >= 9
    tables = ["".join(data["text/html"]) for data in shown if "text/html" in data]
    assert len(tables) >= 15
    assert all(f"(source: {source})" in table for table in tables if "<strong>run" in table)
    assert ("synthetic" in "".join(tables)) == (source == "sample")
    entry = (tmp_path / "submissions/house-prices/notebook.csv").read_text(encoding="utf-8").splitlines()
    assert len(entry) == 1460
