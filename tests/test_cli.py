"""The command line: one document for machines, one line for a person, and a status that says what happened."""

import json
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from competitions import (
    COMPETITION,
    PACKAGE,
    command,
    copy_package,
    entry_of,
    environment,
    houseprice_process,
    write_competition,
    write_files,
)
from houseprice.cli import app
from houseprice.console import print_json

ESTIMATOR = """\
import os, signal
from pathlib import Path
from sklearn.tree import DecisionTreeRegressor


class Interrupted(DecisionTreeRegressor):
    '''Writes each fit down; presses Ctrl-C in the last one, once the first member is on the disk.'''

    def fit(self, X, y):
        log, artifacts = Path(os.environ["FITS"]), Path(os.environ["ARTIFACTS"])
        with log.open("a") as file:
            file.write("fit\\n")
        if len(log.read_text().split()) == 3:
            while not list(artifacts.glob("members-*/0-0.*.joblib")):
                os.sched_yield()
            os.kill(os.getpid(), signal.SIGINT)
        return super().fit(X, y)
"""


def call(root: Path, *arguments: str) -> Result:
    """Run the command line within this process."""
    return CliRunner().invoke(app, [*arguments, "--root", str(root), "--competition", "tiny"])


def succeed(root: Path, *arguments: str) -> str:
    """Run it to a good end, and return its stdout."""
    result = call(root, *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def fail(root: Path, *arguments: str) -> str:
    """Run it to a status of 1, and return the one line that says why."""
    result = call(root, *arguments)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 1
    assert result.stdout == ""
    (line,) = (line for line in result.stderr.splitlines() if line.startswith("error: "))
    assert result.stderr.rstrip("\n").endswith(line)  # nothing after it: no traceback, no second line
    return line


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which `submit` has ended."""
    root = tmp_path_factory.mktemp("original")
    write_competition(root)
    succeed(root, "submit")
    return root


@pytest.fixture
def root(original: Path, tmp_path: Path) -> Path:
    """A copy of that project to work on."""
    return Path(shutil.copytree(original, tmp_path / "project"))


# what it prints ---------------------------------------------------------------------------------------------


def test_submit_prints_where_the_entry_is_and_what_it_scores(root: Path) -> None:
    result = call(root, "submit")
    assert re.fullmatch(
        rf"{re.escape(str(entry_of(root)))}  out-of-fold log_rmse 0\.\d{{5}} ± 0\.\d{{5}} \(source: local\)\n",
        result.stdout,
    )
    assert result.stderr == ""
    rows = entry_of(root).read_text(encoding="utf-8").splitlines()
    assert rows[0] == "Id,Price"
    assert [row.split(",")[0] for row in rows[1:]] == [str(number) for number in range(1001, 1021)]


def test_submit_writes_where_it_is_told(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "elsewhere" / "mine.csv"
    assert succeed(root, "submit", "ridge", "--out", str(out)).startswith(str(out))
    assert json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))["entry"] == "ridge"
    assert not (root / "submissions" / "tiny" / "ridge.csv").exists()
    assert "reproduced, the same" in succeed(root, "reproduce", str(out))


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        (("features",), {"experiment", "features", "folds", "scope", "columns"}),
        (("train",), {"name", "score", "std_error", "fold_scores", "train_score", "seconds", "fold_mean", "gap"}),
        (
            ("evaluate", "mlp"),
            {"name", "score", "std_error", "fold_scores", "train_score", "fold_mean", "gap", "members"},
        ),
        (("ensemble",), {"name", "method", "select", "score", "std_error", "naive_score", "mean_score", "weights"}),
        (
            ("leaderboard",),
            {
                "name",
                "kind",
                "score",
                "naive_score",
                "mean_score",
                "std_error",
                "fold_scores",
                "train_score",
                "seconds",
            },
        ),
        (("importance",), {"experiment", "source", "column", "increase", "std_error"}),
        (("explain",), {"stage", "runs", "reasons"}),
    ],
)
def test_json_is_one_document_and_nothing_else(root: Path, arguments: tuple[str, ...], keys: set[str]) -> None:
    result = call(root, *arguments, "--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert isinstance(document, list)
    assert len(document) >= 1
    for row in document:
        assert keys <= set(row)
    for line in result.stderr.splitlines():
        assert line not in result.stdout


def test_progress_goes_to_stderr(root: Path) -> None:
    result = call(root, "train", "linear", "--json")
    assert [row["name"] for row in json.loads(result.stdout)] == ["linear"]
    assert "train/linear: done in " in result.stderr
    assert result.stderr.startswith("device: cpu\n") or "cuda" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (("features",), ("features of tiny", "ridge", "together", "fold")),
        (("train",), ("log_rmse of tiny", "OOF", "ridge", "fold by fold")),
        (("ensemble",), ("ensembles of tiny", "cross-fitted", "naive", "plain mean", "nnls")),
        (("importance", "tree"), ("importance for tree (source: local)", "rise of log_rmse", "Ground")),
        (("ensemble", "--set", "blend.select=one_standard_error"), ("nnls, one_standard_error", "not chosen")),
        (("ensemble", "--set", "blend.method=stack"), ("stack", "cross-fitted", "naive", "plain mean", "ridge 1.")),
        (("leaderboard",), ("leaderboard of tiny", "entry", "ensemble", "run", "local", "naive", "plain mean")),
        (("explain",), ("stages of tiny", "up to date", "submit/blend")),
    ],
)
def test_tables_are_for_people(root: Path, arguments: tuple[str, ...], shown: tuple[str, ...]) -> None:
    text = succeed(root, *arguments)
    for word in shown:
        assert word in text


def test_the_leaderboard_is_sorted_and_agrees_with_evaluation(root: Path) -> None:
    rows = json.loads(succeed(root, "leaderboard", "--json"))
    assert [row["score"] for row in rows] == sorted(row["score"] for row in rows)
    evaluated = {row["name"]: row for row in json.loads(succeed(root, "evaluate", "--json"))}
    for row in rows:
        if row["kind"] == "run":
            assert {
                key: evaluated[row["name"]][key] for key in ("score", "std_error", "fold_scores", "train_score")
            } == {key: row[key] for key in ("score", "std_error", "fold_scores", "train_score")}


def test_overrides_and_seeds_reach_leaderboard_and_manifest(root: Path) -> None:
    succeed(root, "submit", "mlp", "--set", "mlp.epochs=2", "--set", 'mlp.activation="tanh"', "--seeds", "1")
    manifest = json.loads((root / "submissions/tiny/mlp.json").read_text(encoding="utf-8"))
    assert manifest["overrides"][:2] == ["mlp.epochs=2", 'mlp.activation="tanh"']
    assert "experiments.mlp.seeds=1" in manifest["overrides"]
    rows = json.loads(succeed(root, "leaderboard", "--json"))
    assert [row["overrides"] for row in rows if row["name"] == "mlp" and row["overrides"]] == [
        manifest["overrides"]
    ] * 2
    assert {row["members"] for row in rows if row["overrides"]} == {3}


def test_ingest_says_where_the_files_come_from(root: Path, tmp_path: Path) -> None:
    write_files(tmp_path / "downloads", seed=7)
    text = succeed(root, "ingest", "--source", str(tmp_path / "downloads"))
    assert "train.csv" in text
    assert "source: local" in text
    tables, features, *_ = json.loads(succeed(root, "explain", "--json"))
    assert not tables["runs"]  # they were read to be checked
    assert features["reasons"][0].startswith("input tables: ")


# what is wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("train", "mpl"), r"unknown experiment 'mpl' in competition 'tiny'; did you mean 'mlp'\?"),
        (("train", "blend"), r"'blend' is an ensemble in competition 'tiny'; its experiments: ridge, mlp, tree"),
        (("submit", "blnd"), r"unknown experiment 'blnd' in competition 'tiny'; did you mean 'blend'\?"),
        (("ensemble", "blnd"), r"did you mean 'blend'\?"),
        (("explain", "blnd"), r"did you mean 'blend'\?"),
        (("train", "--set", "mlp.weigth_decay=0.1"), r"unknown key 'weigth_decay'; did you mean 'weight_decay'\?"),
        (
            ("features", "--set", 'features.default.groups=[{by="Twon", columns=["Ground"]}]'),
            r"data/tiny/competition\.toml: features\.default: groups: no column 'Twon'; did you mean 'Town'\?",
        ),
        (("train", "--set", "mpl.epochs=3"), r"--set mpl\.epochs=3: unknown name 'mpl'; did you mean 'mlp'\?"),
        (("train", "--set", "mlp.epochs"), r"--set mlp\.epochs: write key=value"),
        (("train", "--set", "mlp.epochs=-3"), r"experiments\.mlp\.epochs: .*greater than or equal to 1 \(it is -3\)"),
        (("train", "--set", "folds.main.k=61"), r"k = 61 folds of 60 training rows.* Set k to 60 or less"),
        (("submit", "--out", "entry.txt"), r"--out entry\.txt: an entry is a \.csv file"),
        (("reproduce", "nowhere.csv"), r"nowhere\.csv: cannot be read: No such file"),
        (("ingest", "--source", "nowhere"), r"nowhere: no such folder"),
        (
            ("train", "tree", "--set", "tree.params.max_deph=3"),
            r"experiment 'tree': sklearn\.tree\.DecisionTreeRegressor: params: .*did you mean 'max_depth'\?",
        ),
        (
            ("train", "mlp", "--set", "mlp.learning_rate=1e30"),
            r"experiment 'mlp': .*fold 0 seed 0.*Lower learning_rate",
        ),
    ],
)
def test_a_mistake_is_one_line_and_status_1(root: Path, arguments: tuple[str, ...], complaint: str) -> None:
    assert re.search(complaint, fail(root, *arguments))


def test_another_root_and_another_competition_are_asked_for(root: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "choose the project's folder with --root" in fail(tmp_path / "empty", "submit")
    result = CliRunner().invoke(app, ["submit", "--root", str(root), "-c", "tyni"])
    assert result.exit_code == 1
    assert "competitions here: tiny (choose with -c)" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("sbmit",),
        ("submit", "--no-such-option"),
        ("train", "--seeds", "0"),
        ("train", "--seeds", "x"),
        ("train", "--device", "abacus"),
    ],
)
def test_wrong_usage_is_status_2(root: Path, arguments: tuple[str, ...]) -> None:
    result = call(root, *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr != ""


def test_memory_that_ends_is_one_line(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hungry(*arguments: object, **options: object) -> None:
        np.empty((2**50, 20))

    monkeypatch.setattr("houseprice.pipeline.summarize_run", hungry)
    assert re.search(
        r"error: out of memory: Unable to allocate .* Lower what needs so much", fail(root, "train", "mlp")
    )


def test_cuda_is_refused_where_there_is_none(root: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    assert "--device cuda: torch finds no CUDA device here. Use --device cpu" in fail(root, "train", "--device", "cuda")


def test_a_tampered_entry_is_not_reproduced(root: Path) -> None:
    path = entry_of(root)
    path.write_bytes(path.read_bytes().replace(b"1001,", b"1001,9"))
    assert "the file was changed" in fail(root, "reproduce", str(path))


def test_changed_raw_files_are_named_when_reproducing(root: Path) -> None:
    write_files(root / "data/tiny/raw", seed=7)
    assert "was made from other raw files: raw_sha256.train.csv: " in fail(root, "reproduce", str(entry_of(root)))


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "\x00", "[" * 50_000])
def test_a_garbled_manifest_is_one_line(root: Path, text: str) -> None:
    entry_of(root).with_suffix(".json").write_text(text, encoding="utf-8")
    assert "blend.json: not a manifest" in fail(root, "reproduce", str(entry_of(root)))


def test_a_manifest_that_brings_an_import_path_is_refused(root: Path) -> None:
    path = entry_of(root).with_suffix(".json")
    manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    manifest["competition"]["experiments"]["tree"]["estimator"] = "antigravity.Flight"
    path.write_text(json.dumps(manifest), encoding="utf-8")
    assert "does not name: antigravity.Flight" in fail(root, "reproduce", str(entry_of(root)))


def test_a_leaderboard_that_is_no_database_is_one_line(root: Path) -> None:
    board = root / "data/tiny/leaderboard.db"
    board.write_bytes(b"no database\n" * 1000)
    assert "leaderboard.db: leaderboard can't be used" in fail(root, "leaderboard")
    board.rename(board.with_name("moved-away"))
    succeed(root, "evaluate")  # as the message says
    assert {row["name"] for row in json.loads(succeed(root, "leaderboard", "--json"))} == {
        "ridge",
        "mlp",
        "tree",
        "linear",
    }


def test_what_the_competition_said_is_recorded_and_five_entries_recommend_two(root: Path) -> None:
    line = succeed(root, "leaderboard", "--record", "blend", "--public", "0.1234", "--private", "0.125")
    assert re.fullmatch(
        r"blend@[0-9a-f]{8}: public 0\.12340, private 0\.12500; out-of-fold 0\.\d{5} ± 0\.\d{5}\n", line
    )
    for number, name in enumerate(("ridge", "mlp", "tree", "linear")):
        assert "to finish with" not in line
        succeed(root, "submit", name)
        line = succeed(root, "leaderboard", "--record", name, "--public", str(0.2 + number / 100))
    assert re.search(r"to finish with, by expected score: blend@.{8} \(0\.\d{5}\), ridge@.{8} \(0\.\d{5}\)\n$", line)


def test_a_score_that_cannot_be_recorded_is_one_line(root: Path) -> None:
    for arguments, complaint in (
        (("--record", "blend", "--public", "nan"), "a public score of nan is none"),
        (("--record", "blent", "--public", "0.1"), "no entry 'blent' on the leaderboard; did you mean 'blend'?"),
        (("--record", "mlp", "--public", "0.1"), "no entry 'mlp' on the leaderboard; known: blend"),
        (("--record", "blend@0000", "--public", "0.1"), "no row 'blend@0000' on the leaderboard; it has blend@"),
    ):
        assert complaint in fail(root, "leaderboard", *arguments)
    for option, value in (("--record", "blend"), ("--public", "0.1"), ("--private", "0.1"), ("--public", "good")):
        assert call(root, "leaderboard", option, value).exit_code == 2


# processes --------------------------------------------------------------------------------------------------


def test_help_lists_the_commands() -> None:
    done = houseprice_process(Path(), "--help")
    assert done.returncode == 2  # --root is no option of all commands together
    done = subprocess.run(
        [*command(Path())[:3], "--help"], capture_output=True, text=True, env=environment(), check=True
    )
    for name in (
        "ingest",
        "features",
        "train",
        "evaluate",
        "ensemble",
        "submit",
        "leaderboard",
        "explain",
        "ablate",
        "audit",
        "shift",
        "reproduce",
    ):
        assert name in done.stdout


def test_a_terminal_that_knows_ascii_alone_is_served(root: Path) -> None:
    ascii_only = environment() | {"PYTHONIOENCODING": "ascii"}
    for arguments in (("leaderboard",), ("explain", "--json", "--set", "ridge.alpha=3")):
        done = subprocess.run(command(root, *arguments), capture_output=True, env=ascii_only, check=True)
        assert done.stderr == b""
    assert json.loads(done.stdout)[2]["reasons"] == ["key experiment.alpha: 2.0 → 3.0"]


def test_ctrl_c_ends_with_one_line_and_loses_no_finished_member(tmp_path: Path) -> None:
    """A real process, a real signal; the next one fits the rest and ends with an undisturbed entry's bytes."""
    toml = COMPETITION.replace("sklearn.tree.DecisionTreeRegressor", "estimator_of_mine.Interrupted")
    folder = write_competition(tmp_path / "project", toml=toml.replace('name = "tiny"', 'name = "tiny"\nthreads = 1'))
    (tmp_path / "estimator_of_mine.py").write_text(ESTIMATOR, encoding="utf-8")
    fits, artifacts = tmp_path / "fits", folder / "artifacts"
    env = environment() | {
        "PYTHONPATH": f"{PACKAGE.parent}:{tmp_path}",
        "FITS": str(fits),
        "ARTIFACTS": str(artifacts),
    }

    def submit() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(folder.parents[1], "submit", "tree"), env=env, capture_output=True, text=True, check=False,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored where tests run in background
        )  # fmt: skip

    interrupted = submit()
    assert interrupted.returncode == 130
    assert interrupted.stdout == ""
    (line,) = (line for line in interrupted.stderr.splitlines() if "interrupted" in line)
    assert line == "interrupted; what is finished is kept, and the same command goes on from here"
    assert interrupted.stderr.rstrip("\n").endswith(line)
    kept = len(list(artifacts.glob("members-*/*.joblib")))
    assert kept >= 1
    assert submit().returncode == 0
    assert len(fits.read_text(encoding="utf-8").split()) == 3 + (3 - kept)
    write_competition(tmp_path / "undisturbed")
    succeed(tmp_path / "undisturbed", "submit", "tree")
    entries = [tmp_path / project / "submissions/tiny/tree.csv" for project in ("project", "undisturbed")]
    assert entries[0].read_bytes() == entries[1].read_bytes()


def test_an_edited_source_reruns_what_it_reaches_and_nothing_else(root: Path, tmp_path: Path) -> None:
    """A comment reruns nothing; a helper of the features reruns them and all after; `explain` names the module."""
    package = copy_package(tmp_path / "source")
    features, helper = package / "data" / "features.py", package / "data" / "expressions.py"

    def explained() -> dict[str, list[str]]:
        done = houseprice_process(root, "explain", "ridge", "--json", package=package)
        return {answer["stage"]: answer["reasons"] for answer in json.loads(done.stdout)}

    def ran() -> list[str]:
        done = houseprice_process(root, "submit", "ridge", package=package)
        assert done.returncode == 0, done.stderr
        return re.findall(r"^(.*): done in ", done.stderr, re.MULTILINE)

    assert ran() == ["ensemble/ridge", "submit/ridge"]  # what is before them, the same source has made elsewhere
    features.write_text(features.read_text(encoding="utf-8") + "\n# a comment\n", encoding="utf-8")
    assert ran() == []
    text = helper.read_text(encoding="utf-8")
    helper.write_text(text.replace("_MAX_EXPONENT = 16", "_MAX_EXPONENT = 15"), encoding="utf-8")
    reasons = explained()
    assert reasons["tables"] == []
    assert [reason.partition(":")[0] for reason in reasons["features/default@main"]] == [
        "module houseprice.data.expressions"
    ]
    assert all(reasons[stage] for stage in ("train/ridge", "ensemble/ridge", "submit/ridge"))
    assert ran() == ["features/default@main", "train/ridge", "ensemble/ridge", "submit/ridge"]
    assert ran() == []
    toml = root / "data/tiny/competition.toml"
    toml.write_text(COMPETITION.replace("alpha = 2.0", "alpha = 3.0"), encoding="utf-8")
    assert explained()["train/ridge"] == ["key experiment.alpha: 2.0 → 3.0"]


def test_what_is_not_a_number_is_null_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"scores": [0.5, float("nan")], "gap": float("nan")})
    assert json.loads(capsys.readouterr().out) == {"scores": [0.5, None], "gap": None}
