"""The shift command: a planted shift is found and weighed, and the audit tells it by the same figure."""

import csv
import json
from pathlib import Path

import pytest

from competitions import houseprice_process, open_plan, write_competition
from houseprice.compete import leaderboard
from houseprice.data.leaks import adversarial_validation
from houseprice.errors import ConfigError
from houseprice.pipeline import tables
from houseprice.shift import shift


def write_shifted(root: Path, n_train: int = 120, n_test: int = 60) -> Path:
    """The tiny competition, its test houses with larger ground floors."""
    folder = write_competition(root, n_train=n_train, n_test=n_test)
    path = folder / "raw" / "test.csv"
    header, *rows = csv.reader(path.read_text(encoding="utf-8").splitlines())
    rows = [[row[0], str(int(row[1]) + 40), *row[2:]] for row in rows]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    return folder


def test_a_planted_shift_is_found_with_its_column_and_weighed(tmp_path: Path) -> None:
    folder = write_shifted(tmp_path)
    done = houseprice_process(tmp_path, "shift", "ridge", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["competition"], found["experiment"], found["metric"]) == ("tiny", "ridge", "log_rmse")
    assert found["of_files"]["columns"][0][0] == "Ground"
    assert found["of_files"]["low"] > 0.6
    assert found["of_weights"]["auc"] > 0.65
    assert found["fit_rows"] == pytest.approx(80)
    assert 10 < found["effective_size"] < 76
    alike, as_test = found["judged"]
    assert (alike["counted"], as_test["counted"]) == ("alike", "as test rows")
    rows = {row.overrides: row for row in leaderboard.rows(folder / "leaderboard.db")}
    assert set(rows) == {(), ("experiments.ridge.weights=shift",)}
    assert alike["without"] == pytest.approx(rows[()].score)
    assert alike["weighted"] == pytest.approx(rows["experiments.ridge.weights=shift",].score)
    assert as_test["without"] != pytest.approx(alike["without"], rel=1e-3)
    for each in (alike, as_test):
        difference = each["weighted"] - each["without"]
        assert each["comparison"]["difference"] == pytest.approx(difference)
        assert each["comparison"]["low"] < difference < each["comparison"]["high"]
    text = houseprice_process(tmp_path, "shift", "ridge").stdout
    assert "train against test of tiny by ridge (source: local)" in text
    assert "Ground 0." in text
    finding = adversarial_validation(tables(open_plan(tmp_path)))  # the audit's
    assert finding.value == found["of_files"]["auc"]
    assert "alone by Ground" in finding.said


def test_an_experiment_that_is_weighted_by_its_file_is_compared_with_its_unweighted_twin(tmp_path: Path) -> None:
    folder = write_shifted(tmp_path)
    path = folder / "competition.toml"
    path.write_text(
        path.read_text(encoding="utf-8").replace("alpha = 2.0", 'alpha = 2.0\nweights = "shift"'), encoding="utf-8"
    )
    by_file = shift(open_plan(tmp_path), "ridge")
    overrides = {row.overrides for row in leaderboard.rows(folder / "leaderboard.db")}
    assert overrides == {(), ("experiments.ridge.weights=none",)}
    write_shifted(tmp_path / "plain")
    assert shift(open_plan(tmp_path / "plain"), "ridge") == by_file


def test_what_cannot_be_weighed_is_said(tmp_path: Path) -> None:
    write_shifted(tmp_path)
    with pytest.raises(
        ConfigError, match=r"weights=shift: experiments\.mlp: mixup: 0\.2, but a mixture of two rows has"
    ):
        shift(open_plan(tmp_path, overrides=("mlp.mixup=0.2",)), "mlp")
    with pytest.raises(ConfigError, match="'blend' is an ensemble"):
        shift(open_plan(tmp_path), "blend")
    write_competition(tmp_path / "few", n_test=6)
    with pytest.raises(ConfigError, match=r"experiments\.ridge: weights = 'shift' learns from at least 10"):
        shift(open_plan(tmp_path / "few"), "ridge")
