"""Competitions of classes and of numbers, from the files to a valid submission, by the real command line."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.datasets
from numpy.typing import NDArray

import houseprice
from competitions import environment
from conftest import REPOSITORY
from houseprice.competition import load_competition

Rows = list[list[str]]


def run(root: Path, competition: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "houseprice.cli", *arguments, "--root", str(root), "-c", competition]
    return subprocess.run(command, capture_output=True, text=True, env=environment(), check=False, cwd=root)


def done(root: Path, competition: str, *arguments: str) -> str:
    """What a command that succeeds writes to stdout."""
    found = run(root, competition, *arguments)
    assert found.returncode == 0, found.stderr
    assert "Traceback" not in found.stderr
    return found.stdout


def asked(root: Path, competition: str, *arguments: str) -> Any:
    return json.loads(done(root, competition, *arguments, "--json"))


def read(path: Path) -> Rows:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def write(path: Path, header: list[str], rows: list[list[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def bundled(
    root: Path, name: str, toml: str, target: str, labels: list[str] | None = None, columns: list[str] | None = None
) -> tuple[NDArray[np.float64], list[str]]:
    """A competition of a data set that comes with scikit-learn, every fourth row of it to be predicted; the truth."""
    X, y = getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)
    header = [f"x{column}" for column in range(X.shape[1])]
    truth = [labels[int(value)] if labels else f"{value:g}" for value in y]
    is_test = np.arange(len(X)) % 4 == 0
    rows = [[f"r{row}", *X[row].tolist()] for row in range(len(X))]
    folder = root / "data" / name.replace("_", "-")
    raw = folder / "raw"
    train = [[*cells, label] for cells, label, test in zip(rows, truth, is_test, strict=True) if not test]
    write(raw / "train.csv", ["Id", *header, target], train)
    write(raw / "test.csv", ["Id", *header], [cells for cells, test in zip(rows, is_test, strict=True) if test])
    beside = columns or [target]
    sample = [[cells[0], *([0] * len(beside))] for cells, test in zip(rows, is_test, strict=True) if test]
    write(raw / "sample_submission.csv", ["Id", *beside], sample)
    (folder / "competition.toml").write_text(toml, encoding="utf-8")
    done(root, folder.name, "ingest", "--source", str(raw))
    return np.asarray(y[is_test], np.float64), [label for label, test in zip(truth, is_test, strict=True) if test]


# the Titanic ------------------------------------------------------------------------------------------------------


@pytest.fixture
def titanic(tmp_path: Path) -> Path:
    """A project with the shipped competition and the real files; where these are absent the test is skipped."""
    folder = REPOSITORY.parent / "shared" / "titanic"
    if not folder.is_dir():
        reason = f"the real files of the Titanic are not at {folder}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    place = tmp_path / "data" / "titanic"
    place.mkdir(parents=True)
    shutil.copy(REPOSITORY / "data" / "titanic" / "competition.toml", place)
    done(tmp_path, "titanic", "ingest", "--source", str(folder))
    return tmp_path


def test_the_shipped_titanic_is_a_valid_competition() -> None:
    titanic = load_competition(REPOSITORY / "data" / "titanic" / "competition.toml")
    assert (titanic.task, titanic.scoring.name) == ("binary", "accuracy")
    assert titanic.folds["main"].k == 10
    assert titanic.folds["main"].repeats >= 2
    assert {recipe.scope for recipe in titanic.features.values()} == {"fold"}


@pytest.mark.long
def test_the_titanic_from_files_to_labels(titanic: Path) -> None:
    said = done(titanic, "titanic", "submit", "logistic")
    assert "out-of-fold accuracy 0.8" in said
    header, *rows = read(titanic / "submissions" / "titanic" / "logistic.csv")
    assert header == ["PassengerId", "Survived"]
    assert len(rows) == 418
    assert {label for _, label in rows} == {"0", "1"}
    manifest = json.loads((titanic / "submissions" / "titanic" / "logistic.json").read_text(encoding="utf-8"))
    assert 0 < manifest["threshold"] < 1
    assert "the same" in done(titanic, "titanic", "reproduce", "submissions/titanic/logistic.csv")
    (row,) = (each for each in asked(titanic, "titanic", "leaderboard") if each["kind"] == "entry")
    assert row["score"] == manifest["score"]["score"] > 0.8
    ranking = asked(titanic, "titanic", "importance", "logistic")
    assert {ranking[0]["column"], ranking[1]["column"]} == {"Sex", "Name"}
    assert ranking[0]["increase"] > 0.05
    groups = asked(titanic, "titanic", "residuals", "--by", "Sex")["by"]
    assert {group["value"]: group["count"] for group in groups} == {"male": 577, "female": 314}


@pytest.mark.long
def test_the_default_entry_of_the_titanic(titanic: Path) -> None:
    done(titanic, "titanic", "submit")
    manifest = json.loads((titanic / "submissions" / "titanic" / "default.json").read_text(encoding="utf-8"))
    assert manifest["score"]["score"] >= 0.825  # cross-fitted, with the choice of runs and the threshold


# scikit-learn's data ----------------------------------------------------------------------------------------------


DIGITS = """\
name = "digits"
id = "Id"
target = "Digit"
task = "multiclass"
metric = "accuracy"
entry = "both"

[folds.main]
scheme = "stratified"
k = 5

[experiments.mlp]
kind = "mlp"
hidden = [128]
activation = "relu"
dropout = 0.2
optimizer = "adamw"
learning_rate = 3e-3
weight_decay = 0.5
schedule = "cosine"
epochs = 40
batch_size = 64
seeds = 2

[experiments.lda]
kind = "sklearn"
estimator = "sklearn.discriminant_analysis.LinearDiscriminantAnalysis"

[ensembles.both]
runs = ["mlp", "lda"]
method = "nnls"
"""


@pytest.mark.long
def test_ten_digits_to_labels(tmp_path: Path) -> None:
    truth, _ = bundled(tmp_path, "digits", DIGITS, "Digit")
    (mlp,) = asked(tmp_path, "digits", "evaluate", "mlp")
    assert mlp["score"] >= 0.975
    done(tmp_path, "digits", "submit")
    header, *rows = read(tmp_path / "submissions" / "digits" / "both.csv")
    assert header == ["Id", "Digit"]
    given = np.array([float(label) for _, label in rows])
    assert (given == truth).mean() > 0.96
    assert "the same" in done(tmp_path, "digits", "reproduce", "submissions/digits/both.csv")
    assert "1 - accuracy by epoch" in done(tmp_path, "digits", "evaluate", "mlp")
    assert "above 0 the first is better" in done(tmp_path, "digits", "compare", "mlp", "lda")
    said = done(tmp_path, "digits", "residuals", "--by", "x2")
    assert "Predicted: the out-of-fold probability of the row's own class" in said
    done(tmp_path, "digits", "report")
    page = (tmp_path / "submissions" / "digits" / "report.html").read_text(encoding="utf-8")
    for words in ("Confusion matrix", "Calibration", "greater is better", "1 - accuracy"):
        assert words in page
    for words in ("lower is better", "squared error", "a price about"):
        assert words not in page


def test_classes_in_a_notebook(tmp_path: Path) -> None:
    bundled(tmp_path, "breast_cancer", CANCER, "Kind", ["malignant", "benign"])
    competition = houseprice.Competition.load("breast-cancer", root=tmp_path)
    run = competition.train("logistic")
    matrix = run.plot_predictions().data[0]
    assert matrix.text.sum() == len(run.oof)
    assert run.plot_residuals().data[1].x.max() <= 1
    assert 0 <= run.oof.min() < run.oof.max() <= 1
    assert run.importance().frame.columns[0] == "rise of 1 - auc"
    table = competition.compare(run, competition.train("svm"))
    assert "above 0 the first is better" in " ".join(table.notes)
    assert len(run.residuals(by="x0").frame) > 1
    assert len(run.worst(3).frame) == 3


def test_a_probability_for_each_digit(tmp_path: Path) -> None:
    columns = [str(digit) for digit in (3, 1, 4, 0, 5, 9, 2, 6, 8, 7)]
    toml = DIGITS.replace('"accuracy"', '"log_loss"').replace('entry = "both"', 'entry = "lda"')
    truth, _ = bundled(tmp_path, "digits", toml, "Digit", columns=columns)
    done(tmp_path, "digits", "submit")
    header, *rows = read(tmp_path / "submissions" / "digits" / "lda.csv")
    assert header == ["Id", *columns]
    values = np.array([[float(cell) for cell in row[1:]] for row in rows])
    np.testing.assert_allclose(values.sum(axis=1), 1, atol=1e-5)
    assert (np.array([float(column) for column in columns])[values.argmax(axis=1)] == truth).mean() > 0.9


CANCER = """\
name = "breast-cancer"
id = "Id"
target = "Kind"
task = "binary"
positive = "malignant"
metric = "auc"
entry = "both"

[experiments.logistic]
kind = "sklearn"
estimator = "sklearn.linear_model.LogisticRegression"

[experiments.svm]
kind = "sklearn"
estimator = "sklearn.svm.SVC"

[ensembles.both]
runs = ["logistic", "svm"]
"""


def test_breast_cancer_to_probabilities(tmp_path: Path) -> None:
    _, labels = bundled(tmp_path, "breast_cancer", CANCER, "Kind", ["malignant", "benign"])
    found = run(tmp_path, "breast-cancer", "submit")
    assert found.returncode == 0, found.stderr
    assert "svm: has no probabilities; its decision function is turned into some by a sigmoid" in found.stderr
    header, *rows = read(tmp_path / "submissions" / "breast-cancer" / "both.csv")
    assert header == ["Id", "Kind"]
    probability = np.array([float(cell) for _, cell in rows])
    assert ((probability >= 0) & (probability <= 1)).all()
    malignant = np.array([label == "malignant" for label in labels])
    assert np.median(probability[malignant]) > 0.8 > 0.2 > np.median(probability[~malignant])
    (row,) = (each for each in asked(tmp_path, "breast-cancer", "leaderboard") if each["kind"] == "entry")
    assert 0.97 < row["score"] < 1
    assert 0 < row["std_error"] < 0.02


DIABETES = """\
name = "diabetes"
id = "Id"
target = "Progress"
metric = "{metric}"
entry = "ridge"

[experiments.ridge]
kind = "ridge"

[experiments.transformed]
kind = "ridge"
target_transform = "yeo_johnson"
"""


@pytest.mark.parametrize(
    ("metric", "low", "high"),
    [
        pytest.param("rmse", 50, 60, marks=pytest.mark.long),
        ("r2", 0.4, 0.6),
        pytest.param("mae", 40, 50, marks=pytest.mark.long),
    ],
)
def test_diabetes_by_every_metric(metric: str, low: float, high: float, tmp_path: Path) -> None:
    truth, _ = bundled(tmp_path, "diabetes", DIABETES.format(metric=metric), "Progress")
    scores = {row["name"]: row["score"] for row in asked(tmp_path, "diabetes", "evaluate")}
    assert low < scores["ridge"] < high
    assert low < scores["transformed"] < high
    done(tmp_path, "diabetes", "submit")
    values = np.array([float(cell) for _, cell in read(tmp_path / "submissions" / "diabetes" / "ridge.csv")[1:]])
    assert np.corrcoef(values, truth)[0, 1] > 0.5
    board = asked(tmp_path, "diabetes", "leaderboard")
    best = max if metric == "r2" else min
    assert board[0]["score"] == best(row["score"] for row in board)
    assert board[0]["verdict"] == "best"


OWN = """\
def cost(y_true, y_pred):
    missed, alarms = ((y_true == 1) & (y_pred == 0)).sum(), ((y_true == 0) & (y_pred == 1)).sum()
    return (5 * missed + alarms) / len(y_true)
"""


def test_a_metric_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toml = CANCER.replace(
        '"auc"', '"my_metrics.cost"\nmetric_reads = "label"\nmetric_greater_is_better = false'
    ).replace('"both"', '"logistic"', 1)
    (tmp_path / "my_metrics.py").write_text(OWN, encoding="utf-8")
    bundled(tmp_path, "breast_cancer", toml, "Kind", ["malignant", "benign"])
    done(tmp_path, "breast-cancer", "submit")
    manifest_path = tmp_path / "submissions" / "breast-cancer" / "logistic.json"
    manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
    assert 0 < manifest["score"]["score"] < 0.3
    assert manifest["threshold"] < 0.5  # a missed one costs five false alarms
    manifest["competition"]["metric"] = "antigravity.flight"
    manifest_path.write_text(json.dumps(manifest), encoding="utf-8")
    refused = run(tmp_path, "breast-cancer", "reproduce", "submissions/breast-cancer/logistic.csv")
    assert refused.returncode == 1
    assert "a metric or estimators that the local competition file does not name: antigravity.flight" in refused.stderr
