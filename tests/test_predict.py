"""Rows that come later, by the real command line: predicted as the entry would, through JSON and safetensors alone."""

import csv
import io
import json
import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from typer.testing import CliRunner

from competitions import COMPETITION, Ear, open_plan, write_competition
from conftest import REPOSITORY
from houseprice import artifacts, pipeline
from houseprice.cli import app
from houseprice.data.encodings import GroupColumn
from houseprice.data.features import FittedFeatures
from houseprice.data.preprocessor import Preprocessor
from houseprice.data.roles import NOTHING_GUESSED
from houseprice.documents import digest_of, from_plain, to_plain
from houseprice.errors import StorageError
from houseprice.fitted import load_preprocessors, preprocessors_path, weights_path
from houseprice.learn.checkpoint import load_networks, save_weights
from houseprice.learn.targets import TargetScale, fit_transform
from houseprice.plan import Plan
from test_untrusted import BOMBS, Touch

RICH = COMPETITION.replace("seed = 1", "seed = 1\nrepeats = 2").replace("[features.together]", """\
[features.rich]
normal_scores = true
pieces = 4
rare = 2
max_levels = 2
groups = [{ by = "Town", columns = ["Ground"] }, { by = "Big", columns = ["Upper"], deviation = false }]
interactions = [["Ground", "Upper"]]

[features.rich.extract]
Side = { column = "Town", pattern = "(East|South)" }

[features.rich.derived]
Big = "Ground > 100"

[features.together]""") + """

[experiments.rich]
kind = "mlp"
like = "mlp"
features = "rich"
target_transform = "quantile"

[experiments.wide]
kind = "mlp"
like = "mlp"
tabm = 2
embedding = "plr"
skip = true
target_transform = "yeo_johnson"
target_scale = "natural"

[experiments.forest]
kind = "sklearn"
features = "rich"
estimator = "sklearn.ensemble.RandomForestRegressor"
params = { n_estimators = 5 }
seeds = 2

[ensembles.even]
runs = ["ridge", "mlp", "linear", "forest"]
method = "mean"

[ensembles.nets]
runs = ["mlp", "wide", "rich", "linear"]
method = "mean"

[ensembles.stacked]
runs = ["ridge", "mlp"]
method = "stack"
estimator = "sklearn.linear_model.Ridge"

[ensembles.stacked-beside]
runs = ["ridge", "mlp"]
method = "stack"
estimator = "sklearn.ensemble.RandomForestRegressor"
params = { n_estimators = 5 }
original_columns = true
"""  # fmt: skip


def call(root: Path, *arguments: object, competition: str = "tiny") -> tuple[int, str, str]:
    """Run the command line within this process: its status, stdout and stderr. A traceback fails the test."""
    result = CliRunner().invoke(app, [*map(str, arguments), "--root", str(root), "-c", competition])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def predicted(root: Path, source: Path, entry: str, competition: str = "tiny") -> bytes:
    """Predict to a good end, and return the file."""
    status, shown, said = call(root, "predict", entry, "--input", source, "--json", competition=competition)
    assert status == 0, said
    return Path(json.loads(shown)["path"]).read_bytes()


def refused(root: Path, source: Path, *arguments: object, entry: str = "mlp") -> str:
    status, shown, said = call(root, "predict", entry, "--input", source, *arguments)
    assert (status, shown) == (1, ""), said
    *_, line = said.splitlines()
    assert line.startswith("error: ")
    assert len(line) < 1000
    return line


def submitted(root: Path, entry: str, competition: str = "tiny") -> bytes:
    assert call(root, "submit", entry, competition=competition)[0] == 0
    return (root / "submissions" / competition / f"{entry}.csv").read_bytes()


def rows_of(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode())))


def assert_same_rows(found: bytes, wanted: bytes) -> None:
    """The same ids in the same order, and numbers that agree to all digits that are handed in but the last."""
    found_rows, wanted_rows = rows_of(found), rows_of(wanted)
    assert found_rows[0] == wanted_rows[0]
    assert [row[0] for row in found_rows] == [row[0] for row in wanted_rows]
    values, wanted_values = (np.array([row[1:] for row in rows[1:]], float) for rows in (found_rows, wanted_rows))
    np.testing.assert_allclose(values, wanted_values, rtol=1e-6)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trained")
    write_competition(root, toml=RICH)
    shutil.copy(root / "data" / "tiny" / "raw" / "test.csv", root / "new.csv")
    for entry in ("even", "nets", "mlp"):
        submitted(root, entry)
    return root


@pytest.fixture
def root(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "project"))


# the entry's own rows ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", ["ridge", "tree", "forest"])
def test_estimators_of_other_packages_predict_the_submission_to_the_byte(root: Path, entry: str) -> None:
    assert predicted(root, root / "new.csv", entry) == submitted(root, entry)


@pytest.mark.parametrize("entry", ["linear", "mlp", "rich", "wide", "even", "nets", "stacked", "stacked-beside"])
def test_networks_and_ensembles_predict_the_submission(root: Path, entry: str) -> None:
    assert_same_rows(predicted(root, root / "new.csv", entry), submitted(root, entry))


@pytest.mark.parametrize("entry", ["nets", "even"])
def test_a_rows_prediction_does_not_depend_on_the_rows_beside_it(root: Path, entry: str) -> None:
    header, *rows = (root / "new.csv").read_text().splitlines()
    whole = dict(rows_of(predicted(root, root / "new.csv", entry))[1:])
    for some in (rows[::-1], rows[7:8]):
        (root / "some.csv").write_text("\n".join([header, *some]))
        ids = [row.partition(",")[0] for row in some]
        assert rows_of(predicted(root, root / "some.csv", entry))[1:] == [[each, whole[each]] for each in ids]


TABLE = """\
name = "tiny"
id = "Id"
target = "Kind"
task = "{task}"
metric = "{metric}"
entry = "both"

[folds.main]
k = 3
repeats = 2

[experiments.mlp]
kind = "mlp"
hidden = [8]
epochs = 5
learning_rate = 0.02

[experiments.logistic]
kind = "sklearn"
estimator = "sklearn.linear_model.LogisticRegression"

[ensembles.both]
runs = ["mlp", "logistic"]
method = "mean"
"""


@pytest.mark.parametrize(
    ("task", "metric", "kinds"),
    [
        ("binary", "accuracy", ("no", "yes")),
        ("binary", "auc", ("no", "yes")),
        ("multiclass", "log_loss", ("a", "b", "c")),
        ("multiclass", "accuracy", ("10", "9", "11")),
    ],
)
def test_classes_are_predicted_in_the_form_of_the_submission(
    tmp_path: Path, task: str, metric: str, kinds: tuple[str, ...]
) -> None:
    folder = tmp_path / "data" / "tiny"
    (folder / "raw").mkdir(parents=True)
    (folder / "competition.toml").write_text(TABLE.format(task=task, metric=metric))
    random = np.random.default_rng(0)
    codes = random.integers(0, len(kinds), 110)
    rows = [f"r{n},{code + random.normal():.6f},{'xyz'[random.integers(3)]}" for n, code in enumerate(codes)]
    train = [f"{row},{kinds[code]}" for row, code in zip(rows[:90], codes[:90], strict=True)]
    columns = ["c", "a", "b"] if metric == "log_loss" else ["Kind"]
    sample = [f"r{n}" + ",0" * len(columns) for n in range(109, 89, -1)]
    for name, lines in (
        ("train.csv", ["Id,Size,Form,Kind", *train]),
        ("test.csv", ["Id,Size,Form", *rows[90:]]),
        ("sample_submission.csv", [",".join(["Id", *columns]), *sample]),
    ):
        (folder / "raw" / name).write_text("\n".join(lines) + "\n")
    header, *entry = rows_of(submitted(tmp_path, "both"))
    found_header, *found = rows_of(predicted(tmp_path, folder / "raw" / "test.csv", "both"))
    assert found_header == header
    assert [row[0] for row in found] == [f"r{n}" for n in range(90, 110)]
    if metric == "accuracy":
        assert found == entry[::-1]
        assert {label for _, label in found} <= set(kinds)
    else:
        np.testing.assert_allclose(
            np.array(found)[:, 1:].astype(float), np.array(entry[::-1])[:, 1:].astype(float), rtol=1e-6
        )


# what is opened ---------------------------------------------------------------------------------------------------


def test_networks_predict_without_a_single_pickle(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {entry: predicted(root, root / "new.csv", entry) for entry in ("nets", "mlp")}

    def load(*arguments: Any, **options: Any) -> Any:
        raise AssertionError("a pickle was opened")

    monkeypatch.setattr(joblib, "load", load)
    for path in root.rglob("value.joblib"):
        path.write_bytes(b"no artifact")
    for entry, data in before.items():
        assert predicted(root, root / "new.csv", entry) == data


def test_mapped_artifacts_serve_as_well(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = predicted(root, root / "new.csv", "forest")
    monkeypatch.setattr(artifacts, "LARGE", 0)
    preprocessors_path(open_plan(root), "forest").unlink()
    assert predicted(root, root / "new.csv", "forest") == wanted


def test_predicting_trains_nothing_and_writes_one_file(root: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    status, shown, said = call(root, "predict", "nets", "--input", root / "new.csv")
    assert status == 0
    assert "done in" not in said
    path = root / "submissions" / "tiny" / "predictions" / "nets-new.csv"
    assert shown == f"{path}  20 rows by nets (source: local)\n"
    after = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    assert {path for path in after if after[path] != before.get(path) and "leaderboard" not in path.name} == {path}


def test_what_is_not_trained_is_trained_and_said(tmp_path: Path) -> None:
    write_competition(tmp_path)
    status, shown, said = call(
        tmp_path, "predict", "mlp", "--input", tmp_path / "data/tiny/raw/test.csv", "--json", "--seeds", 1
    )
    assert status == 0
    assert said.count("mlp: not trained yet") == 1
    assert "train/mlp: done" in said
    found = json.loads(shown)
    assert (found["entry"], found["rows"], found["weights"], found["source"]) == ("mlp", 20, {"mlp": 1.0}, "local")


# the input --------------------------------------------------------------------------------------------------------


def edited(column: str, value: str) -> Callable[[list[dict[str, str]]], None]:
    def edit(rows: list[dict[str, str]]) -> None:
        rows[2][column] = value

    return edit


def without(column: str) -> Callable[[list[dict[str, str]]], None]:
    def edit(rows: list[dict[str, str]]) -> None:
        for row in rows:
            del row[column]

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (without("Ground"), "lacks columns that train.csv has: Ground. Add them: the entry was trained on them."),
        (without("Id"), "no id column 'Id'"),
        (edited("Id", "1001"), "ids occur more than once: 1001"),
        (edited("Id", " "), "column 'Id' is empty in rows 3"),
        (edited("Ground", "many"), "column 'Ground' is a number in train.csv and text here: 'many' (ids 1003)"),
        (edited("Ground", "inf"), "column 'Ground': infinite numbers in ids 1003"),
        (edited("Ground", "1e300"), "numbers too large for float32 in columns"),
        (list[dict[str, str]].clear, "a header and no rows"),
    ],
)
def test_input_that_breaks_a_rule_is_named(
    root: Path, edit: Callable[[list[dict[str, str]]], None], message: str
) -> None:
    with (root / "new.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    edit(rows)
    with (root / "odd.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0] if rows else ["Id", "Ground", "Upper", "Garden", "Town"])
        writer.writeheader()
        writer.writerows(rows)
    line = refused(root, root / "odd.csv")
    assert message in line
    assert "test.csv" not in line
    assert "float32" in line or f"{root / 'odd.csv'}: " in line
    assert not (root / "submissions" / "tiny" / "predictions").exists()


@pytest.mark.parametrize(
    "data", [b"", b"\n\n", b"\x1f\x8b\x08\0", b"Id,Id\n1,2\n", b"Id\n\xff\n", b'Id,"Ground\n1,2\n']
)
def test_bytes_that_are_no_table_are_one_line(root: Path, data: bytes) -> None:
    (root / "odd.csv").write_bytes(data)
    assert str(root / "odd.csv") in refused(root, root / "odd.csv")


def test_input_that_is_not_there_is_one_line(root: Path) -> None:
    assert "No such file" in refused(root, root / "absent.csv")
    assert "Is a directory" in refused(root, root)


def test_columns_of_no_use_and_new_labels_are_told_and_change_nothing(root: Path) -> None:
    plain = rows_of(predicted(root, root / "new.csv", "nets"))
    header, *lines = (root / "new.csv").read_text().splitlines()
    odd = [f"{header},Price,More", *(f"{line},{n},x" for n, line in enumerate(lines))]
    odd[1] = ",".join([*odd[1].split(",")[:4], "Elsewhere", "1", "x"])
    (root / "odd.csv").write_text("\n".join(odd))
    status, _, said = call(root, "predict", "nets", "--input", root / "odd.csv")
    assert status == 0
    assert "odd.csv: has the target column 'Price', which is ignored" in said
    assert "odd.csv: ignored columns that are no features: More" in said
    assert "odd.csv: column 'Town': 1 of 20 cells hold labels that the training rows do not have" in said
    found = rows_of((root / "submissions" / "tiny" / "predictions" / "nets-odd.csv").read_bytes())
    assert [number for number, (one, other) in enumerate(zip(found, plain, strict=True)) if one != other] == [1]


def test_a_warning_tells_of_predictions_outside_the_training_range(root: Path) -> None:
    lines = (root / "new.csv").read_text().splitlines()
    (root / "odd.csv").write_text("\n".join([lines[0], "7,100000,50000,NA,North"]))
    assert (
        "warning: 1 of 1 predictions leave the range" in call(root, "predict", "ridge", "--input", root / "odd.csv")[2]
    )


# the output -------------------------------------------------------------------------------------------------------


def test_what_is_there_is_not_overwritten_by_mistake(root: Path) -> None:
    new = root / "new.csv"
    os.link(new, root / "other.csv")
    entries = root / "submissions" / "tiny"
    (root / "link").symlink_to(entries)
    before = new.read_bytes(), (entries / "mlp.csv").read_bytes()
    for out, message in (
        (new, "is the input itself"),
        (root / "other.csv", "is the input itself"),
        (root / "data/../new.csv", "is the input itself"),
        (entries / "mlp.csv", "in this folder lie entries"),
        (root / "link" / "new.csv", "in this folder lie entries"),
        (root / "data/tiny/raw/test.csv", "in this folder lie the competition's own files"),
        (root / "new.txt", "predictions are a .csv file"),
    ):
        assert message in refused(root, new, "--out", out)
    assert (new.read_bytes(), (entries / "mlp.csv").read_bytes()) == before
    assert call(root, "predict", "mlp", "--input", new, "--out", root / "deep" / "down.csv")[0] == 0
    assert (root / "deep" / "down.csv").read_bytes() == predicted(root, new, "mlp")


# what is kept -----------------------------------------------------------------------------------------------------


def test_what_is_kept_of_features_is_what_was_fitted(root: Path) -> None:
    plan = open_plan(root, Ear())
    for experiment in ("mlp", "rich", "linear"):
        fitted = load_preprocessors(preprocessors_path(plan, experiment))
        features = pipeline.features(plan, experiment)
        assert fitted == features.fitted
        assert len(fitted.preprocessors) == (1 if features.scope == "all" else 6)


def test_keys_of_groups_keep_their_types_and_numbers_their_bits() -> None:
    groups = ("a", 1, 1.5, True, 0.0, -1e-300)
    values = tuple(np.random.default_rng(0).standard_normal(6).tolist())
    group = GroupColumn("g", "x", "by", groups, values, np.nextafter(1.0, 2.0).item(), True)
    fitted = FittedFeatures("fold", (Preprocessor((), (), (), (group,)),), NOTHING_GUESSED)
    document = json.loads(json.dumps(to_plain(FittedFeatures, fitted), allow_nan=False))
    found = from_plain(FittedFeatures, document)
    assert found == fitted
    assert list(map(type, found.preprocessors[0].groups[0].groups)) == list(map(type, groups))
    bits = np.random.default_rng(1).integers(0, 2**63, 3000, dtype=np.uint64).view(np.float64)
    numbers = tuple(bits[np.isfinite(bits)].tolist())
    assert from_plain(GroupColumn, to_plain(GroupColumn, replace(group, values=numbers))).values == numbers


@pytest.mark.parametrize(
    "field", [{"overall": float("nan")}, {"values": [float("inf")]}, {"overall": "1"}, {"by": None}]
)
def test_a_document_that_is_not_what_was_fitted_is_refused(field: dict[str, Any]) -> None:
    group = to_plain(GroupColumn, GroupColumn("g", "x", "by", ("a",), (1.0,), 0.0, True))
    with pytest.raises(ValueError):  # noqa: PT011 - of many messages
        from_plain(GroupColumn, group | field)


@pytest.mark.parametrize("kind", ["log", "log1p", "box_cox", "yeo_johnson", "quantile"])
def test_the_scale_of_a_target_comes_back_to_the_bit(kind: str) -> None:
    y = np.random.default_rng(0).gamma(2.0, 3.0, 200) + 1
    scale = TargetScale(0.3, 1.7, fit_transform(kind, y, np.arange(150), "exp"))
    found = from_plain(TargetScale, json.loads(json.dumps(to_plain(TargetScale, scale))))
    fitted = np.linspace(-6, 6, 99)
    np.testing.assert_array_equal(found.inverse(fitted), scale.inverse(fitted))


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "a flipped bit": lambda data: data[:-400] + bytes([data[-400] ^ 1]) + data[-399:],
    "a list": lambda data: b"[]",
    "a number": lambda data: b"7",
    "no sum": lambda data: b'{"features": {}}',
    "another sum": lambda data: b'{"sha256": 3, "features": {}}',
    "NaN": lambda data: b'{"sha256": "", "features": NaN}',
    "deep lists": lambda data: BOMBS["closed deep lists"].encode(),
    "many digits": lambda data: BOMBS["many digits"].encode(),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("path_of", [preprocessors_path, weights_path])
def test_a_damaged_file_is_told_of_and_written_anew(
    root: Path, path_of: Callable[[Plan, str], Path], damage: Callable[[bytes], bytes]
) -> None:
    path, wanted = path_of(open_plan(root), "mlp"), root / "submissions" / "tiny" / "mlp.csv"
    path.write_bytes(damage(path.read_bytes()))
    status, _, said = call(root, "predict", "mlp", "--input", root / "new.csv", "--out", root / "found.csv")
    assert (status, said) == (0, f"{path}: damaged; written anew from its artifact\n")
    assert_same_rows((root / "found.csv").read_bytes(), wanted.read_bytes())
    (load_preprocessors if path.suffix == ".json" else load_networks)(path)


def test_absent_files_are_written_anew(root: Path) -> None:
    plan = open_plan(root)
    paths = [preprocessors_path(plan, "mlp"), weights_path(plan, "mlp")]
    for path in paths:
        path.unlink()
    predicted(root, root / "new.csv", "mlp")
    assert all(path.exists() for path in paths)


def test_a_pickle_in_the_place_of_a_kept_file_is_never_loaded(root: Path) -> None:
    plan, wanted = open_plan(root), predicted(root, root / "new.csv", "mlp")
    for path in (preprocessors_path(plan, "mlp"), weights_path(plan, "mlp")):
        path.write_bytes(pickle.dumps(Touch(root / "owned")))
        assert predicted(root, root / "new.csv", "mlp") == wanted
    assert not (root / "owned").exists()


def forge(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change what is kept of features, and have its sum agree."""
    features = json.loads(path.read_bytes())["features"]
    edit(features)
    path.write_text(json.dumps({"sha256": digest_of(features), "features": features}))


@pytest.mark.parametrize(
    "edit",
    [
        lambda features: features["preprocessors"][0]["numbers"][0].update(name="Elsewhere"),
        lambda features: features["preprocessors"][0].update(interactions=[["a", "b"]]),
        lambda features: features["preprocessors"][0].update(columns=["Ground"]),
        lambda features: features.update(preprocessors=[]),
        lambda features: features["roles"].update(dropped=["Elsewhere"]),
        lambda features: features["roles"].update(numbers=[{"column": "Elsewhere", "manner": "plain", "unit": ""}]),
    ],
)
def test_forged_preprocessors_whose_sum_agrees_are_one_line(root: Path, edit: Any) -> None:
    path = preprocessors_path(open_plan(root), "mlp")
    forge(path, edit)
    assert "preprocessors.json" in refused(root, root / "new.csv")
    assert "preprocessors.json" in refused(root, root / "new.csv", entry="ridge")
    path.unlink()
    assert predicted(root, root / "new.csv", "mlp")


@pytest.mark.parametrize(
    "edit", [lambda features: features.update(scope="none"), lambda features: features.pop("scope")]
)
def test_forged_documents_of_another_form_are_no_preprocessors(root: Path, edit: Any) -> None:
    path = preprocessors_path(open_plan(root), "mlp")
    forge(path, edit)
    with pytest.raises(StorageError, match=r"preprocessors\.json: can't be read"):
        load_preprocessors(path)


@pytest.mark.parametrize("damage", ["shape", "name", "transform", "fold"])
def test_forged_networks_whose_sum_agrees_are_one_line_or_written_anew(root: Path, damage: str) -> None:
    path, wanted = weights_path(open_plan(root), "mlp"), predicted(root, root / "new.csv", "mlp")
    networks = load_networks(path)
    weights, scales = {key: dict(value) for key, value in networks.weights.items()}, list(networks.scales)
    if damage == "shape":
        weights[0, 0]["layers.0.weight"] = np.zeros((3, 2), np.float32)
    elif damage == "name":
        del weights[0, 0]["layers.0.weight"]
    elif damage == "transform":
        scales[0] = from_plain(TargetScale, {**to_plain(TargetScale, scales[0]), "transform": {"kind": "box_cox"}})
    else:
        del scales[0]
    save_weights(path, networks.recipe, weights, scales)
    if damage == "fold":
        assert predicted(root, root / "new.csv", "mlp") == wanted
    else:
        assert "weights.safetensors" in refused(root, root / "new.csv")


# real files -------------------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize(
    ("competition", "entry"),
    [("house-prices", "d2l-linear"), ("house-prices", "svr"), ("house-prices", "mlp-tanh"), ("titanic", "default")],
)
def test_the_test_files_of_real_competitions_are_predicted_as_submitted(
    tmp_path: Path, competition: str, entry: str
) -> None:
    files = REPOSITORY.parent / "shared" / competition
    if not files.is_dir():
        reason = f"the real files are not at {files}"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    folder = tmp_path / "data" / competition
    folder.mkdir(parents=True)
    shutil.copy(REPOSITORY / "data" / competition / "competition.toml", folder)
    shutil.copytree(files, folder / "raw")
    wanted = submitted(tmp_path, entry, competition)
    found = predicted(tmp_path, files / "test.csv", entry, competition)
    if competition == "titanic":
        assert found == wanted
    else:
        assert_same_rows(found, wanted)
