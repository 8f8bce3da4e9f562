"""What comes from files runs no code, hangs nothing, and reaches no terminal raw."""

import csv
import json
import random
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from competitions import COMPETITION, entry_of, houseprice_process, write_competition
from houseprice.cli import app
from houseprice.compete.submission import submission_csv
from houseprice.data.expressions import columns_named, derive
from houseprice.documents import parse_json, parse_toml, shallow
from houseprice.errors import ConfigError, StorageError, SubmissionError, printable
from houseprice.learn.checkpoint import load_weights
from houseprice.metrics import METRICS
from houseprice.notebook.table import Table as ShownTable
from houseprice.schema import ImportPath, Table

(IMPORT_PATH,) = (each.pattern for each in get_args(ImportPath)[1].metadata)
BOMBS = {  # what JSON or TOML readers fail on in their own ways
    "deep lists": "[" * 100_000,
    "closed deep lists": "[" * 500 + "]" * 500,
    "deep tables": '{"a":' * 100_000,
    "closed deep tables": '{"a":' * 500 + "1" + "}" * 500,
    "many digits": "9" * 10_000,
    "an endless text": '"' + "x" * 1_000_000,
    "zeros": "\0" * 1000,
    "half a character": "\ud800",
}
CURSOR = "\x1b[2J\x1b]0;title\x07\x9b31m\r\u202eevil"
RAW_CONTROLS = ("\x1b", "\x07", "\x9b", "\r", "\u202e")


def call(root: Path, *arguments: str) -> tuple[int, str]:
    """Run the command line within this process: its status, and all that it has said. A traceback fails the test."""
    result = CliRunner().invoke(app, [*arguments, "--root", str(root), "--competition", "tiny"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout + result.stderr


def refused(root: Path, *arguments: str) -> str:
    status, said = call(root, *arguments)
    assert status == 1, said
    assert said.count("error: ") == 1
    assert len(said) < 5000
    return said


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("original")
    write_competition(root)
    assert call(root, "submit")[0] == 0
    return root


@pytest.fixture
def root(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "project"))


# documents ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_no_document(bomb: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of many messages
        parse_json(bomb.encode("utf-8", "surrogatepass"))
    with pytest.raises(ValueError):  # noqa: PT011 - of many messages
        parse_toml(f"a = {bomb}")


def test_a_document_is_at_most_64_deep() -> None:
    document: Any = 1
    for _ in range(64):
        document = {"a": [document]} if len(str(document)) % 2 else [document]
    with pytest.raises(ValueError, match="more than 64 deep"):
        shallow([[document]])
    assert parse_json("[" * 64 + "]" * 64)
    with pytest.raises(ValueError, match="more than 64 deep"):
        parse_toml("a = " + "[" * 64 + "1" + "]" * 64)


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_bombs_in_our_own_files_are_one_line_or_do_no_harm(root: Path, original: Path, bomb: str) -> None:
    data = bomb.encode("utf-8", "surrogatepass")
    folder = root / "data" / "tiny"
    for path in (folder / "raw" / "provenance.json", *folder.glob("artifacts/*/record.json")):
        path.write_bytes(data)
    entry_of(root).unlink()
    assert call(root, "submit")[0] == 0
    assert entry_of(root).read_bytes() == entry_of(original).read_bytes()
    manifest = entry_of(root).with_suffix(".json")
    recorded = manifest.read_text(encoding="utf-8")
    manifest.write_bytes(data)
    assert "blend.json: not a manifest: " in refused(root, "reproduce")
    manifest.write_bytes(recorded.replace('"name": "tiny"', '"name": ').encode() + data)
    assert "blend.json: not a manifest: " in refused(root, "reproduce")
    (folder / "competition.toml").write_bytes(b"a = " + data)
    assert "competition.toml: cannot be read as TOML: " in refused(root, "submit")


@pytest.mark.parametrize(
    "override",
    [
        "ridge.alpha=" + "[" * 3000,
        "ridge.alpha=" + "9" * 5000,
        "ridge.alpha='" + "x" * 100_000 + "'",
        ".".join(["ridge"] * 3000) + "=1",
        "ridge.alpha=1e999",
        "ridge.alpha=nan",
        "mlp.hidden=[99999999999999999999999]",
        "mlp.hidden=[1000000000000, 1000000000000]",
    ],
    ids=lambda override: override[:16],
)
def test_overrides_of_all_kinds_are_one_line(root: Path, override: str) -> None:
    assert refused(root, "submit", "--set", override)


def test_dotted_keys_cannot_nest_a_table_too_deeply(root: Path) -> None:
    toml = root / "data" / "tiny" / "competition.toml"
    toml.write_text(COMPETITION + f"\n[features.other]\nlike = 'default'\n{'.'.join(['a'] * 5000)} = 1\n", "utf-8")
    assert "nested more than 64 deep" in refused(root, "submit")


@pytest.mark.parametrize("name", ["competition", "sha256", "device", "entry", "raw_sha256", "versions", "runs"])
@pytest.mark.parametrize("nonsense", [None, 1e999, [[]], {"a": {}}, "\x1b[2J", -1, "../../etc/passwd"])
def test_nonsense_in_a_manifest_is_one_line_or_plays_no_role(root: Path, name: str, nonsense: Any) -> None:
    path = entry_of(root).with_suffix(".json")
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["raw_sha256"]["train.csv"] = "other"  # so that nothing has to be computed
    path.write_text(json.dumps(manifest | {name: nonsense}), encoding="utf-8")
    assert "\x1b" not in refused(root, "reproduce")


@pytest.mark.parametrize("key", ["epochs", "seeds", "batch_size", "embedding_frequencies"])
def test_a_manifest_cannot_ask_for_years(root: Path, key: str) -> None:
    path = entry_of(root).with_suffix(".json")
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["competition"]["experiments"]["mlp"][key] = 10**9
    path.write_text(json.dumps(manifest), encoding="utf-8")
    assert f"blend.json: competition: experiments.mlp.{key}: Input should be less" in refused(root, "reproduce")


def test_a_network_beyond_the_memory_of_the_machine_is_refused_before_it_is_made(root: Path) -> None:
    said = refused(root, "train", "mlp", "--set", f"mlp.hidden={[65_536] * 60}")
    assert "out of memory: 2 members at a time, of" in said
    assert "and this machine has" in said


@pytest.mark.parametrize("metadata", [None, {}, {"houseprice": "["}, {"houseprice": "[" * 9999}, {"houseprice": "7"}])
def test_safetensors_of_others_are_one_line(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / "weights.safetensors"
    save_file({"fold0.seed0.weight": np.zeros(3)}, path, metadata)
    with pytest.raises(StorageError, match=r"weights\.safetensors: can't be read"):
        load_weights(path)


@pytest.mark.parametrize("head", [b"", b"\xff" * 8, (10**9).to_bytes(8, "little"), b"\2\0\0\0\0\0\0\0{}", b"\x80\x04."])
def test_bytes_that_are_no_safetensors_are_one_line(tmp_path: Path, head: bytes) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(head)
    with pytest.raises(StorageError, match=r"weights\.safetensors: can't be read"):
        load_weights(path)


# names ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["../evil", "..", ".", "", "a/b", "/etc", "a b", "a.b", "a\n", "~", "nul:", "x" * 100_000]
)
def test_a_name_of_a_competition_is_no_path(name: str, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    csv_file = tmp_path / "files" / "train.csv"
    csv_file.write_text("Id,Size,Price\n1,2,3\n")
    for arguments in (
        ["submit", "-c", name],
        ["new", name, "--train", str(csv_file), "--test", str(csv_file), "--target", "Price"],
    ):
        result = CliRunner().invoke(app, [*arguments, "--root", str(tmp_path)])
        assert (result.exit_code, result.stdout) == (1, "")
        assert "letters, digits, '_' and '-', at most 64 of them" in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert len(result.stderr) < 300
    assert [path.name for path in tmp_path.iterdir()] == ["files"]


# code -----------------------------------------------------------------------------------------------------


class Touch:
    """A pickle of it makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_a_pickle_put_in_the_place_of_an_artifact_or_member_is_never_loaded(root: Path) -> None:
    import joblib

    owned = root / "owned"
    for path in root.rglob("value.joblib"):
        joblib.dump(Touch(owned), path)
        members = path.parent.with_name(f"members-{path.parent.name[-16:]}")
        members.mkdir()
        for fold in range(3):
            joblib.dump(Touch(owned), members / f"{fold}-0.{'0' * 64}.joblib")
    entry_of(root).unlink()
    status, said = call(root, "submit")
    assert status == 0
    assert "corrupt artifact" in said
    assert "corrupt member" in said
    assert not owned.exists()


ESCAPES = [
    "().__class__.__base__.__subclasses__()",
    "a.__array_interface__",
    "`a`.__class__",
    "`__builtins__`",
    "__builtins__",
    "globals()",
    "column_0.__class__",
    "log1p.__globals__",
    "isna.__self__",
    "clip.__init__.__globals__['os'].system('touch owned')",
    "'\\' + __import__('os').system('touch owned') + '\\'",
    "'''' + open('owned', 'w') + ''''",
    'f\'{open("owned", "w")}\'',
    "rf'{a}'",
    "'{0.__class__.__init__.__globals__}'.format(a) == Street",
    "a if open('owned', 'w') else b",
    "[open('owned', 'w') for x in a]",
    "(lambda: open('owned', 'w'))()",
    "(owned := a)",
    "a\nimport os",
    "a #\n; import os",
    "\uff3f\uff3fimport\uff3f\uff3f('os')",  # full-width letters, which Python takes for plain ones
    "𝓸𝓹𝓮𝓷('owned', 'w')",
    "await a",
    "yield a",
    "*a",
    "**a",
    "a.b.c.d",
    "print(a)",
    "9**9**9",
    "9**9**9**9**9",
    "(9**9)**(9**9)",
    "(((9**16)**16)**16)**16",
    "'a' * 9**9",
    "1e308 ** 16",
    "0x" + "f" * 900,
    "0b" + "1" * 900,
    "(" * 900,
    "[" * 900,
    "~" * 900 + "a",
    "a" * 5000,
    "log1p(" * 150 + "a" + ")" * 150,
    "\\",
    "a\\\nb",
    "\x00",
    "\x1b[2J",
    "\ud800",
    "",
]


@pytest.fixture
def frame() -> pd.DataFrame:
    text = pd.Series(["x", None, "y"], dtype="str")
    return pd.DataFrame({"a": [1.0, np.nan, 3.0], "b": [0.0, -1.0, 2.0]}).assign(Street=text)


@pytest.mark.parametrize("expression", ESCAPES, ids=range(len(ESCAPES)))
def test_an_expression_reaches_nothing_but_columns_and_ends(
    expression: str, frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="derived column 'New'"):
        derive(frame, {"New": expression})
    assert list(tmp_path.iterdir()) == []
    assert list(frame.columns) == ["a", "b", "Street"]


def test_random_expressions_compute_or_are_refused(frame: pd.DataFrame) -> None:
    pieces = [
        "a",
        "b",
        "Street",
        "'x'",
        "1",
        "2.5",
        "1e308",
        "**",
        "+",
        "-",
        "*",
        "/",
        "(",
        ")",
        "<",
        "==",
        "and",
        "or",
    ]
    pieces += [
        "not",
        "log1p(",
        "clip(",
        "isna(",
        ",",
        "`",
        "'",
        '"',
        "\\",
        ".",
        "[",
        "]",
        "{",
        ":",
        "lambda",
        "if",
        "\n",
    ]
    draw = random.Random(5)
    computed = 0
    for _ in range(3000):
        expression = " ".join(draw.choices(pieces, k=draw.randint(1, 9)))
        columns_named(expression)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SyntaxWarning)  # of Python's parser: "str" object is not callable
                new = derive(frame, {"New": expression})["New"]
        except ConfigError:
            continue
        assert new.dtype == np.float64
        computed += 1
    assert computed > 30


def test_a_manifest_cannot_bring_code_whatever_the_table_and_its_depth(root: Path) -> None:
    """Import paths of the local file may be used, but no other, in no place."""
    path = entry_of(root).with_suffix(".json")
    recorded = json.loads(path.read_text(encoding="utf-8"))
    stack = {"runs": ["ridge", "mlp"], "method": "stack", "estimator": "antigravity.Flight"}
    for change in (
        {"ensembles": {"blend": stack}},
        {"ensembles": {**recorded["competition"]["ensembles"], "unused": stack}},
        {
            "experiments": {"tree": {"kind": "sklearn", "estimator": "antigravity.Flight"}},
            "ensembles": {},
            "entry": "tree",
        },
    ):
        path.write_text(json.dumps(recorded | {"competition": recorded["competition"] | change}), encoding="utf-8")
        assert "does not name: antigravity.Flight" in refused(root, "reproduce")


def tables(above: type[Table] = Table) -> Iterator[type[Table]]:
    """Every kind of table that a competition file, or a manifest, may hold."""
    for table in above.__subclasses__():
        yield table
        yield from tables(table)


def test_every_key_that_names_code_is_one_that_a_manifest_is_refused_for() -> None:
    """A new one has to be among `Competition.import_paths`, and in the test above."""
    names_code = {
        (table.__name__, key)
        for table in tables()
        for key, schema in table.model_json_schema()["properties"].items()
        if json.dumps(IMPORT_PATH)[1:-1] in json.dumps(schema)
    }
    assert names_code == {("Sklearn", "estimator"), ("Ensemble", "estimator")}


# spreadsheets ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row_id", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", '=HYPERLINK("x")', "007", " 7"])
def test_an_id_is_written_exactly_as_the_sample_has_it_or_not_at_all(row_id: str) -> None:
    metric = METRICS["rmse"]
    data = submission_csv([row_id, "2"], np.array([1.0, 2.0]), ["2", row_id], "Id", "Price", metric)
    assert list(csv.reader(data.decode().splitlines())) == [["Id", "Price"], ["2", "2"], [row_id, "1"]]
    with pytest.raises(SubmissionError, match="no prediction for 1 ids"):
        submission_csv(["7", "2"], np.array([1.0, 2.0]), ["2", row_id], "Id", "Price", metric)


# terminals ------------------------------------------------------------------------------------------------


def test_controls_stand_as_their_escapes_and_text_stays() -> None:
    assert printable(CURSOR) == r"\x1b[2J\x1b]0;title\x07\x9b31m\r\u202eevil"
    plain = "Straße 東京 שלום 🏠 – “±”\tcell\nline"
    assert printable(plain) == plain


@pytest.mark.parametrize("where", ["column", "cell", "id", "target"])
def test_controls_of_a_csv_file_reach_no_terminal(tmp_path: Path, where: str) -> None:
    """In complaints, in tables, and in what is said on the way."""
    folder = write_competition(tmp_path)
    for name in ("train.csv", "test.csv"):
        path = folder / "raw" / name
        rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
        for row in rows[1:]:
            row[4] = CURSOR + row[4] if where == "cell" else row[4]
        rows[0][1] = CURSOR if where == "column" else rows[0][1]
        rows[2][0] = CURSOR if where == "id" and name == "train.csv" else rows[2][0]
        rows[3][-1] = CURSOR if where == "target" and name == "train.csv" else rows[3][-1]
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
    toml = COMPETITION.replace(
        'Total = "Ground + Upper"', 'Total = "Town * 2"' if where == "cell" else 'Total = "Upper"'
    )
    (folder / "competition.toml").write_text(toml, encoding="utf-8")
    said = ""
    for arguments in (["submit", "ridge"], ["residuals", "ridge"], ["importance", "ridge"]):
        said += call(tmp_path, *arguments)[1]
    assert [control for control in RAW_CONTROLS if control in said] == []
    if where in ("column", "target"):
        assert r"\x1b[2J" in said


def test_controls_of_a_competition_file_and_of_a_manifest_reach_no_terminal(root: Path) -> None:
    toml = root / "data" / "tiny" / "competition.toml"
    toml.write_text(COMPETITION.replace('"Ground + Upper"', json.dumps(f"'{CURSOR}' * 2")), encoding="utf-8")
    done = houseprice_process(root, "submit")
    assert done.returncode == 1
    assert [control for control in RAW_CONTROLS if control in done.stderr] == []
    assert "\\x1b[2J" in done.stderr


def test_a_table_in_a_terminal_or_a_notebook_shows_text_alone() -> None:
    table = ShownTable(
        f"<b>{CURSOR}", pd.DataFrame({f"<i>{CURSOR}": [f"<script>{CURSOR}"]}), notes=(f"<img> {CURSOR}",)
    )
    assert [control for control in RAW_CONTROLS if control in repr(table)] == []
    assert not any(tag in table._repr_html_() for tag in ("<b>", "<i>", "<script>", "<img>"))
