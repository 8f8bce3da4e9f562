"""The leaderboard on the command line: rows beside the best, any of them beside one another, where errors lie."""

import csv
import fcntl
import io
import json
import os
import pty
import re
import struct
import subprocess
import termios
from pathlib import Path
from typing import Any

import pytest

from competitions import COMPETITION, Ear, command, environment, houseprice_process, open_plan, write_competition
from houseprice import pipeline
from houseprice.compete.leaderboard import rows
from houseprice.metrics import METRICS
from houseprice.review import notes, review
from test_cli import call, fail, succeed

NOT_TOLD = "not distinguishable"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with every kind of row, one of them overridden, one of the columns seen with the test rows."""
    folder = tmp_path_factory.mktemp("project")
    toml = COMPETITION.replace("k = 3", "k = 10").replace('method = "nnls"', 'method = "mean"')
    write_competition(folder, toml=toml)
    succeed(folder, "train", "ridge", "--set", "ridge.alpha=2.5")
    succeed(folder, "submit", "ridge")
    succeed(folder, "ensemble")
    succeed(folder, "evaluate")
    succeed(folder, "train", "tree", "--set", "tree.params.max_depth=1")
    return folder


def document(root: Path, *arguments: str) -> Any:
    return json.loads(succeed(root, *arguments, "--json"))


def on_a_terminal(root: Path, n_columns: int, *arguments: str) -> str:
    """What a person sees in a terminal so wide, without colours."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, n_columns, 0, 0))
    env = {name: value for name, value in environment().items() if name != "COLUMNS"}  # the terminal itself is asked
    process = subprocess.Popen(command(root, *arguments), stdout=theirs, stderr=subprocess.PIPE, env=env)
    os.close(theirs)
    shown = b""
    try:
        while block := os.read(ours, 65536):
            shown += block
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(ours)
    assert process.communicate()[1] == b""
    assert process.returncode == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", shown.decode()).replace("\r\n", "\n")


# leaderboard ------------------------------------------------------------------------------------------------


def test_every_row_stands_beside_the_best(root: Path) -> None:
    found = review(root / "data/tiny/leaderboard.db", METRICS["log_rmse"], 20)
    shown = document(root, "leaderboard")
    assert [row["key"] for row in shown] == [row.key for row in found.rows]
    (best,) = (row for row in shown if row["verdict"] == "best")
    assert found.luck
    assert (best["key"], best["expected"], best["noise"]) == (found.best, found.luck.expected, found.noise)
    for row, stored in zip(shown, found.rows, strict=True):
        comparison = found.against_best(stored)
        if row is best:
            assert comparison is None
            continue
        assert comparison
        assert (row["low"], row["difference"], row["high"]) == (comparison.low, comparison.difference, comparison.high)
        assert row["verdict"] == comparison.verdict
        assert row["expected"] is row["noise"] is None
        assert row["gap"] == stored.gap
    assert {row["verdict"] for row in shown} == {"best", "worse", NOT_TOLD}


def test_the_table_says_it_in_words(root: Path) -> None:
    text = succeed(root, "leaderboard")
    assert "leaderboard of tiny, log_rmse" in text
    for head in ("OOF", "± s.e.", "from best", "95 % interval", "verdict", "sees test", "overrides"):
        assert head in text
    assert re.search(r"^ +linear +run .* sees test ", text, re.MULTILINE)
    assert not re.search(r"^ +ridge +run .* sees test ", text, re.MULTILINE)
    assert re.search(r"^ +ridge +(run|entry) .* best ", text, re.MULTILINE)
    assert re.search(r"^ +ridge +(run|entry) .* the same ", text, re.MULTILINE)
    assert re.search(r" [-+]0\.\d+ … [-+]0\.\d+ +not distinguishable ", text)
    said = " ".join(text.split())
    found = review(root / "data/tiny/leaderboard.db", METRICS["log_rmse"], 20)
    for note in notes(found, 4):
        assert " ".join(note.split()) in said
    assert "inside the noise of 20 test rows" in said


@pytest.mark.parametrize("n_columns", [80, 100, 160, 250])
def test_the_table_fits_the_terminal(root: Path, n_columns: int) -> None:
    text = on_a_terminal(root, n_columns, "leaderboard")
    assert max(len(line.rstrip()) for line in text.splitlines()) <= n_columns
    assert NOT_TOLD in text  # in one piece
    assert ("Left out for want of width: " in text) == (n_columns < 250)
    assert ("members" in text.partition("Left out")[0]) == (n_columns == 250)


def test_rows_are_sorted_by_any_key(root: Path) -> None:
    gaps = [row["gap"] for row in document(root, "leaderboard", "--sort", "gap")]
    known = [gap for gap in gaps if gap is not None]
    assert known == sorted(known)
    assert gaps[len(known) :] == [None, None]  # ensembles have none, and come last either way
    descending = [row["gap"] for row in document(root, "leaderboard", "--sort", "-gap")]
    assert descending == [*reversed(known), None, None]
    assert "--sort scroe: no such key; did you mean 'score'?" in fail(root, "leaderboard", "--sort", "scroe")


def test_rows_are_filtered_and_their_verdicts_stay(root: Path) -> None:
    everything = {row["key"]: row for row in document(root, "leaderboard")}
    runs = document(root, "leaderboard", "--kind", "run")
    assert {row["name"] for row in runs} == {"ridge", "linear", "mlp", "tree"}
    assert {row["kind"] for row in runs} == {"run"}
    trees = document(root, "leaderboard", "--name", "t*")
    assert [row["name"] for row in trees] == ["tree", "tree"]
    assert all(row == everything[row["key"]] for row in (*runs, *trees))
    assert document(root, "leaderboard", "--name", trees[0]["key"]) == trees[:1]
    assert document(root, "leaderboard", "--source", "sample") == []
    assert len(document(root, "leaderboard", "--source", "local")) == len(everything)
    assert call(root, "leaderboard", "--kind", "runs").exit_code == 2
    assert "leaderboard of tiny" in succeed(root, "leaderboard", "--source", "sample")  # a table of nothing


def test_csv_has_what_json_has(root: Path) -> None:
    arguments = ("leaderboard", "--sort", "-seconds", "--kind", "run")
    table = list(csv.DictReader(io.StringIO(succeed(root, *arguments, "--csv"))))
    documents = document(root, *arguments)
    assert len(table) == 6
    for line, row in zip(table, documents, strict=True):
        assert line.keys() == row.keys()
        assert float(line["score"]) == row["score"]
        assert [float(score) for score in line["fold_scores"].split()] == row["fold_scores"]
        assert line["expected"] == "" or row["expected"] is not None
        assert line["overrides"] == " ".join(row["overrides"])
    assert call(root, "leaderboard", "--csv", "--json").exit_code == 2


def test_an_empty_leaderboard_is_shown(tmp_path: Path) -> None:
    write_competition(tmp_path)
    assert document(tmp_path, "leaderboard") == []
    assert "leaderboard of tiny" in succeed(tmp_path, "leaderboard")
    assert succeed(tmp_path, "leaderboard", "--csv").startswith("key,name,kind,score,")
    assert not (tmp_path / "data/tiny/leaderboard.db").exists()


def test_without_the_test_file_there_is_no_noise(tmp_path: Path) -> None:
    write_competition(tmp_path)
    succeed(tmp_path, "evaluate", "ridge")
    (row,) = document(tmp_path, "leaderboard")
    assert row["noise"] > 0
    (tmp_path / "data/tiny/raw/test.csv").unlink()
    (row,) = document(tmp_path, "leaderboard")
    assert row["noise"] is None
    assert "Noise" not in succeed(tmp_path, "leaderboard")


def test_test_rows_are_counted_as_csv(tmp_path: Path) -> None:
    """A cell with a line break is one row, a blank line is none, as for those who read the file."""
    folder = write_competition(tmp_path, n_test=7)
    plan = open_plan(tmp_path, Ear())
    assert plan.workspace.n_test == len(pipeline.tables(plan).test) == 7
    path = folder / "raw/test.csv"
    text = path.read_text(encoding="utf-8").replace("North", '"North\nby the sea"').replace("South", '"South\n\n"')
    path.write_text(text + "\n\n", encoding="utf-8")
    assert plan.workspace.n_test == len(pipeline.tables(open_plan(tmp_path, Ear())).test) == 7


# compare ----------------------------------------------------------------------------------------------------


def test_two_rows_are_compared_as_on_the_leaderboard(root: Path) -> None:
    found = review(root / "data/tiny/leaderboard.db", METRICS["log_rmse"], 20)
    newest = {row.name: row for row in sorted(found.rows, key=lambda row: row.created)}
    (shown,) = document(root, "compare", "tree", "ridge")
    expected = found.comparisons[newest["tree"].key, newest["ridge"].key]
    assert {key: shown[key] for key in ("first", "second", "low", "high", "p_rows", "p_folds", "verdict")} == {
        key: getattr(expected, key) for key in ("first", "second", "low", "high", "p_rows", "p_folds", "verdict")
    }
    assert 1 <= len(shown["decisive_rows"]) <= 60
    (reverse,) = document(root, "compare", "ridge", "tree")
    assert (reverse["difference"], reverse["verdict"]) == (-shown["difference"], "better")
    text = succeed(root, "compare", "tree", "ridge")
    for word in ("tree - ridge", "worse", "p rows", "p folds", f"all {found.n_pairs} pairs", "below 0 the first"):
        assert word in text


def test_three_rows_are_three_pairs(root: Path) -> None:
    pairs = [(pair["first"], pair["second"]) for pair in document(root, "compare", "ridge", "mlp", "blend")]
    assert [(a.partition("@")[0], b.partition("@")[0]) for a, b in pairs] == [
        ("ridge", "mlp"),
        ("ridge", "blend"),
        ("mlp", "blend"),
    ]


def test_an_older_row_is_named_by_its_fingerprint(root: Path) -> None:
    trees = [row for row in rows(root / "data/tiny/leaderboard.db") if row.name == "tree"]
    older, newer = sorted(trees, key=lambda row: row.created)
    (shown,) = document(root, "compare", older.key, "tree")
    assert (shown["first"], shown["second"]) == (older.key, newer.key)
    assert f"{older.key} - {newer.key}" in succeed(root, "compare", older.key, "tree")


def test_the_comparison_fits_a_terminal(root: Path) -> None:
    text = on_a_terminal(root, 100, "compare", "ridge", "mlp", "tree")
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 100
    assert "ridge - mlp" in text


def test_what_cannot_be_compared_is_one_line(root: Path) -> None:
    assert "no row 'rigde' on the leaderboard; did you mean 'ridge'?" in fail(root, "compare", "ridge", "rigde")
    assert "name two" in fail(root, "compare", "ridge", "ridge")
    assert call(root, "compare", "ridge").exit_code == 2
    assert call(root, "compare").exit_code == 2


def test_other_folds_are_said(tmp_path: Path) -> None:
    """As the course's contiguous folds beside the shuffled ones."""
    write_competition(tmp_path)
    succeed(tmp_path, "evaluate", "ridge")
    succeed(tmp_path, "evaluate", "tree", "--set", "folds.main.scheme=contiguous")
    (pair,) = document(tmp_path, "compare", "ridge", "tree")
    assert pair["p_folds"] is None
    text = succeed(tmp_path, "compare", "ridge", "tree")
    assert "not on the same folds, so that the rows alone decide" in text
    assert "so that rows alone decide: tree." in succeed(tmp_path, "leaderboard")


# residuals --------------------------------------------------------------------------------------------------


def test_residuals_say_where_the_errors_are(root: Path) -> None:
    found = document(root, "residuals", "tree", "--by", "Town", "--worst", "3")
    assert found["row"].startswith("tree@")
    assert len(found["worst"]) == 3
    assert sum(group["count"] for group in found["by"]) == sum(group["count"] for group in found["bands"]) == 60
    text = succeed(root, "residuals", "tree", "--by", "Town", "--worst", "3")
    for word in ("worst rows of tree", "by predicted Price", "by Town", "Old Town, East", found["worst"][0]["id"]):
        assert word in text
    best = next(row["key"] for row in document(root, "leaderboard") if row["verdict"] == "best")
    assert document(root, "residuals")["row"].partition("@")[0] == best.partition("@")[0]
    assert document(root, "residuals")["by"] == []
    assert "by Town" not in succeed(root, "residuals")


def test_a_number_that_is_none_is_null(root: Path) -> None:
    """One row alone has no standard error; JSON knows no NaN."""
    groups = document(root, "residuals", "ridge", "--by", "Ground")["by"]
    assert all(group["std_error"] is None or group["std_error"] > 0 for group in groups)
    assert "NaN" not in succeed(root, "residuals", "ridge", "--by", "Ground", "--json")
    assert "NaN" not in succeed(root, "leaderboard", "--json")


def test_residuals_of_what_is_not_there_are_one_line(root: Path, tmp_path: Path) -> None:
    assert "no column 'town' in train.csv; did you mean 'Town'?" in fail(root, "residuals", "--by", "town")
    assert "no row 'bland' on the leaderboard; did you mean 'blend'?" in fail(root, "residuals", "bland")
    write_competition(tmp_path / "empty")
    assert "nothing is on the leaderboard yet" in fail(tmp_path / "empty", "residuals")


# evaluate ---------------------------------------------------------------------------------------------------


def test_evaluating_by_name_draws_the_curve(root: Path) -> None:
    text = succeed(root, "evaluate", "mlp", "ridge")
    assert "mlp, log_rmse by epoch, log axis, mean of folds: " in text
    assert re.search(r"┤.*[\u2801-\u28ff].* validation 0\.\d+", text)
    assert re.search(r" train 0\.\d+", text)
    assert "ridge, log_rmse by epoch" not in text  # it has no epochs
    assert "by epoch" not in succeed(root, "evaluate")
    assert "by epoch" not in succeed(root, "evaluate", "mlp", "--json")


def test_the_leaderboard_is_light(root: Path) -> None:
    """It answers without what reads tables and trains; and is the same to the last character the next time."""
    code = (
        "import sys; sys.argv = ['houseprice', 'leaderboard', '-c', 'tiny', '--root', sys.argv[1]]\n"
        "from houseprice.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('torch', 'pandas', 'sklearn', 'scipy.stats') if name in sys.modules])"
    )
    done = subprocess.run(
        [command(root)[0], "-c", code, str(root)], capture_output=True, text=True, env=environment(), check=True
    )
    *shown, loaded = done.stdout.splitlines()
    assert loaded == "[]"
    assert houseprice_process(root, "leaderboard").stdout.splitlines() == shown
