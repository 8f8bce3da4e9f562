"""A competition file for files that nobody has described yet."""

import io
import json
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from houseprice.competition import load_competition
from houseprice.config import NAME
from houseprice.errors import ConfigError, DataError, printable
from houseprice.files import storing, write_text

if TYPE_CHECKING:
    import pandas as pd

    from houseprice.data.guesses import Guess

_LOOKED_AT = 200_000
"""Rows of a file that are looked at."""
_TEXT_WIDTH = 64
"""Columns that the words of a text are hashed into."""


@dataclass(frozen=True)
class Files:
    """The files of a competition, wherever they lie and whatever they are called."""

    train: Path
    test: Path
    sample: Path | None = None

    def named(self) -> dict[str, Path]:
        """Their paths by the names that they have in ``raw/``."""
        found = {"train.csv": self.train, "test.csv": self.test}
        return found if self.sample is None else {**found, "sample_submission.csv": self.sample}


def scaffold(root: Path, name: str, files: Files, told: Mapping[str, str | None]) -> tuple[Path, "Guess"]:
    """Write ``data/NAME/competition.toml`` for some files, and copy them beside it.

    Parameters
    ----------
    root
        The project's folder.
    name
        Of the competition.
    files
        CSV files; the sample submission may be absent.
    told
        See `houseprice.data.guesses.guess`.

    Returns
    -------
    Path, Guess
        The competition file, and what was guessed.

    Raises
    ------
    ConfigError
        If the name is none or taken, or something that can't be guessed is not told.
    DataError
        If a file can't be read or breaks a rule (`houseprice.data.tables.read_tables`). Then nothing is written.
    """
    from houseprice.data.guesses import guess
    from houseprice.data.tables import read_tables

    if not NAME.fullmatch(name):
        raise ConfigError(f"name {name[:80]!r}: use letters, digits, '_' and '-', at most 64 of them")
    folder = root / "data" / name
    if folder.is_symlink() or (folder.exists() and not _is_empty(folder)):
        raise ConfigError(f"{folder}: there is a competition of this name. Take another name, or edit its file.")
    contents = {as_named: _read(path) for as_named, path in files.named().items()}
    frames = [_look(contents[as_named], path) for as_named, path in files.named().items()]

    def whole(column: str) -> tuple["pd.Series", "pd.Series"]:
        """A column of both files; where the frames have but the first rows, it is read once more."""
        if max(map(len, frames)) < _LOOKED_AT:
            return frames[0][column], frames[1][column]
        train, test = (_look(contents[name], files.named()[name], [column]) for name in ("train.csv", "test.csv"))
        return train[column], test[column]

    found = guess(frames[0], frames[1], frames[2] if len(frames) > 2 else None, told, whole)
    with storing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new.", dir=folder.parent) as place:
            staged = Path(place) / name
            (staged / "raw").mkdir(parents=True)
            write_text(staged / "competition.toml", as_toml(name, found))
            read_tables(contents, load_competition(staged / "competition.toml"))
            for as_named, data in contents.items():
                (staged / "raw" / as_named).write_bytes(data)
            if folder.exists():
                folder.rmdir()
            staged.rename(folder)
    return folder / "competition.toml", found


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}. Name a CSV file.") from error


def _look(data: bytes, path: Path, columns: list[str] | None = None) -> "pd.DataFrame":
    """The first rows of a file, or all rows of some columns, every cell as text."""
    import pandas as pd

    from houseprice.data.reading import check_text

    check_text(data, str(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pd.errors.ParserWarning)  # of lines that are too long: refused when read
            frame = pd.read_csv(
                io.BytesIO(data),
                dtype="str",
                keep_default_na=False,
                nrows=None if columns else _LOOKED_AT,
                usecols=columns,
                index_col=False,
                encoding="utf-8-sig",
            )
    except (ValueError, pd.errors.ParserError) as error:
        raise DataError(f"{path}: not read as CSV: {error}. Mend the file.") from error
    if columns is None and frame.shape[1] == 1 and any(mark in str(frame.columns[0]) for mark in ";\t|"):
        raise DataError(f"{path}: one column, {frame.columns[0]!r}: the separator is no comma. Save it with commas.")
    if frame.empty:
        raise DataError(f"{path}: a header and no rows. Name the competition's whole file.")
    return frame


_BY_TASK = {
    "regression": (
        '[experiments.ridge]  # linear, in closed form\nkind = "ridge"\nalpha = 10.0',
        "sklearn.ensemble.HistGradientBoostingRegressor",
    ),
    "binary": (
        '[experiments.logistic]  # linear\nkind = "sklearn"\nestimator = "sklearn.linear_model.LogisticRegression"\n'
        "params = { C = 0.1, max_iter = 1000 }",
        "sklearn.ensemble.HistGradientBoostingClassifier",
    ),
}
_BY_TASK["multiclass"] = _BY_TASK["binary"]


def _quoted(text: str) -> str:
    """Text as TOML writes it: as JSON does, but for one control character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _ingest(found: "Guess") -> str:
    keys = ""
    if found.dropped:
        keys += f"drop_columns = [{_listed(found.dropped)}]  # the test file lacks them\n"
    if found.numbered:
        keys += f"numbered = [{_listed(found.numbered)}]  # without an id: rows are numbered\n"
    if found.sample_target:
        keys += f"sample_target = {_quoted(found.sample_target)}  # what the sample submission calls the target\n"
    if found.skip_without_target:
        keys += "skip_without_target = true  # some training rows have none\n"
    if found.keep_id:
        keys += "keep_id = true  # ids are dates: a feature, too\n"
    return f"[ingest]\n{keys}\n" if keys else ""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(_quoted, names))


def _no_features(found: "Guess") -> str:
    return f"drop = [{_listed(found.no_features)}]  # rows to predict have other values\n" if found.no_features else ""


def _category(found: "Guess") -> str:
    return f"category = [{_listed(found.codes)}]  # numbers that name something\n" if found.codes else ""


def _text(found: "Guess") -> str:
    widths = ", ".join(f"{_quoted(column)} = {_TEXT_WIDTH}" for column in found.sentences)
    return f"text = {{ {widths} }}  # sentences: their words are hashed into so many columns\n" if widths else ""


def as_toml(name: str, found: "Guess") -> str:
    """The competition file, with the reason for each guess beside it."""
    from houseprice.data.guesses import shape_of

    linear, boosting = _BY_TASK[found.task]
    shape = shape_of(found.n_train)
    slow = found.task == "multiclass"  # a round has a tree for each class
    rounds = "max_iter = 100, learning_rate = 0.1" if slow else "max_iter = 200, learning_rate = 0.05"
    why = {key: f"  # {printable(' '.join(reason.split()))}" for key, reason in found.reasons.items()}
    by = f"by = {_quoted(found.by)}\n" if found.by else ""
    return f"""\
# {name}, on one page. What follows a key was guessed from the files; change what is wrong. Every key is explained in
# src/houseprice/config.py, those of experiments in recipes.py.

name = {_quoted(name)}
id = {_quoted(found.id)}{why.get("id", "")}
target = {_quoted(found.target)}{why.get("target", "")}
task = {_quoted(found.task)}{why.get("task", "")}
metric = {_quoted(found.metric)}{why.get("metric", "")}
entry = "blend"  # what `make submit COMPETITION={name}` enters

{_ingest(found)}[folds.main]{why["folds"]}. Who validates whom; in time: scheme = "expanding", by = COLUMN
scheme = "{found.scheme}"{why.get("scheme", "")}
{by}k = {found.k}
repeats = {found.repeats}
seed = 1

# Numbers are standardised, categories become indicators, dates their parts; ids, and texts not named under text, are
# left out. What was guessed of a column is said when the features are built; name it under number, category, date,
# text or drop.
[features.default]
log1p_skew = 1.0
clip = 4.0
missing_indicators = true
{_no_features(found)}{_category(found)}{_text(found)}
{linear}

[experiments.mlp]
kind = "mlp"
seeds = {shape["seeds"]}
hidden = [128, 128]
activation = "gelu"
input_dropout = 0.1
dropout = 0.1
optimizer = "adamw"
learning_rate = 2e-3
weight_decay = 1.0
schedule = "cosine"
epochs = {shape["epochs"]}
batch_size = {shape["batch_size"]}

[experiments.boosting]
kind = "sklearn"
estimator = "{boosting}"
params = {{ {rounds}, max_leaf_nodes = {shape["leaves"]}, min_samples_leaf = 10, random_state = 0 }}

[ensembles.blend]  # weights learnt out of fold: of three kinds of models one may be far behind the others
method = "nnls"
runs = [{'"ridge"' if found.task == "regression" else '"logistic"'}, "mlp", "boosting"]
"""
