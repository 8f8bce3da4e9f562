"""Hypothesis strategies: competitions as no one would make them, and as someone some day does.

A table is drawn column by column from palettes of cells and written as the bytes of a CSV file; a competition file is
drawn key by key, from keys and values that its reference allows.
"""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

GAPS = ["", "NA", "nan", "null"]
PALETTES: dict[str, list[str]] = {
    "counts": [str(number) for number in range(12)],
    "numbers": ["0.5", "1.25", "-3", "40", "1e3", "+7", "2"],
    "numbers with gaps": ["1", "2.5", "30", *GAPS],
    "huge numbers": ["1e308", "-1e308", "1.7976931348623157e308", "3.5e38", "9007199254740993", "1e20", "1"],
    "tiny numbers": ["5e-324", "1e-308", "1e-45", "-1e-300", "0", "-0.0"],
    "one outlier": ["1"] * 9 + ["1e200"],
    "almost constant": ["1"] * 9 + ["2"],
    "constant": ["7"],
    "gaps alone": GAPS,
    "labels": ["a", "b", "c", "NA"],
    "labels alike": ["a", "A", " a", "a ", "b", "é", "e\u0301"],
    "labels that are numbers somewhere": ["1", "01", "1.0", "x", "\u0661", "1_000", "0x10"],
    "switches": ["True", "False", "yes", "no", ""],
    "unicode": ["Ω", "日本", "🏠", "\u202eabc", "\u200b", "ß", "İ", "\x7f", "\x1b[2J", "\u2028"],
    "what CSV quotes": ["a,b", 'say "no"', "two\nlines", "two\r\nlines", "\t", "=1+1", "'", "#"],
    "dates": ["2020-01-31", "2021-12-01", "2019-06-15", "2020-02-29", ""],
    "dates at the edges": ["0001-01-01", "9999-12-31", "2020-02-30", "1677-09-21", "2262-04-12"],
    "dates of two forms": ["31/12/1999", "01/02/2003", "12/31/1999", "5/6/07"],
    "times": ["2020-01-31 23:59:59", "2020-02-29T00:00:00Z", "2020-03-01 12:00:00+05:30"],
    "texts": ["a good house with a view", "the roof leaks and the cellar is wet", "sold as seen", "", "ok"],
    "not finite": ["inf", "-inf", "nan", "1e400", "1"],
}
"""Cells that stand together in a column."""

NAMES = [
    "A",
    "b",
    "Area",
    "Sold On",
    "größe",
    "面積",
    "🏠",
    "a",
    " A",
    "x,y",
    'q"q',
    "two\nlines",
    "[x]",
    "\u202e",
    "1",
]
TARGETS: dict[str, list[str]] = {
    "prices": ["100000", "150000.5", "210000", "99000", "350000"],
    "any numbers": ["-3", "0", "2.5", "10", "1e3"],
    "huge numbers": ["1e300", "-1e300", "1e308", "5", "1.7e308"],
    "large numbers": ["1e150", "-1e149", "5"],
    "tiny numbers": ["1e-300", "5e-324", "1e-12", "2e-12"],
    "one number": ["5"],
    "two classes": ["no", "yes"],
    "zeros and ones": ["0", "1"],
    "classes": ["low", "middle", "high"],
    "classes of unicode": ["日本", "Ω,", "two\nlines"],
    "two odd classes": ["\x7f", "two\r\nlines"],
    "numbered classes": ["1", "2", "3"],
    "one class": ["no"],
    "a rare class": ["no"] * 12 + ["yes"],
    "gaps": ["1", "2", "NA"],
    "words and numbers": ["1", "two", ""],
}
LIKELY_TARGETS = ["prices", "any numbers", "two classes", "two odd classes", "classes", "classes of unicode"] * 3 + [
    *TARGETS
]
PLAIN_TARGETS = {
    "regression": ["prices", "prices", "prices", "any numbers", "tiny numbers", "large numbers", "one number"],
    "binary": ["two classes", "zeros and ones", "two odd classes", "a rare class"],
    "multiclass": ["classes", "numbered classes", "classes of unicode"],
}


@dataclass(frozen=True)
class Files:
    """The bytes of a competition's files."""

    train: bytes
    test: bytes
    sample: bytes | None


@dataclass(frozen=True)
class Case:
    """Files, and the competition file beside them."""

    files: Files
    toml: str


def cells_of(palette: Sequence[str], n_rows: int) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(palette), min_size=n_rows, max_size=n_rows)


def palettes(names: Sequence[str] = tuple(PALETTES)) -> st.SearchStrategy[list[str]]:
    """Mostly cells of one kind; sometimes any text."""
    any_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
    known = st.sampled_from(names).map(PALETTES.__getitem__)
    return st.one_of(known, known, known, known, st.lists(any_text, min_size=1, max_size=5))


def ids(first: int, n_rows: int, are_strange: bool) -> st.SearchStrategy[list[str]]:
    counted = [str(first + row) for row in range(n_rows)]
    if not are_strange:
        return st.just(counted)
    strange = st.sampled_from(["x", "é", "=1+1", "1e5", "007", " 7", "", "NA", "a,b", "\u202e", "1"])
    return st.lists(strange, min_size=n_rows, max_size=n_rows).map(
        lambda prefixes: (
            [f"{prefix}{number}" for prefix, number in zip(prefixes[1:], counted, strict=False)] + prefixes[:1]
        )
    )


def as_csv(header: Sequence[str], columns: Sequence[Sequence[str]], line_end: str = "\n") -> bytes:
    """Cells are quoted where they must be; all of them where one holds a carriage return, which `csv` forgets."""
    text = io.StringIO()
    forgotten = any("\r" in cell for column in columns for cell in column)
    writer = csv.writer(text, lineterminator=line_end, quoting=csv.QUOTE_ALL if forgotten else csv.QUOTE_MINIMAL)
    writer.writerow(header)
    writer.writerows(zip(*columns, strict=True))
    return text.getvalue().encode()


@st.composite
def garbled(draw: st.DrawFn, data: bytes) -> bytes:
    """The same bytes, or what an editor, a spreadsheet or a download makes of them."""
    way = draw(
        st.sampled_from(["as it is"] * 40 + ["mark", "cut", "byte", "empty", "utf-16", "semicolons", "blank lines"])
    )
    place = draw(st.integers(0, len(data))) if way in ("cut", "byte") else 0
    more = draw(st.binary(min_size=1, max_size=2)) if way == "byte" else b""
    return {
        "as it is": data,
        "mark": b"\xef\xbb\xbf" + data,
        "cut": data[:place],
        "byte": data[:place] + more + data[place:],
        "empty": b"",
        "utf-16": data.decode().encode("utf-16"),
        "semicolons": data.replace(b",", b";"),
        "blank lines": data.replace(b"\n", b"\n\n"),
    }[way]


@st.composite
def strange_files(draw: st.DrawFn) -> Files:
    """Files of which anything may be wrong, though seldom all of it."""
    is_odd = st.sampled_from([False] * 7 + [True])
    n_train = draw(st.integers(0, 6)) if draw(is_odd) else draw(st.integers(12, 30))
    n_test = draw(st.integers(0, 2)) if draw(is_odd) else draw(st.integers(3, 9))
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=not draw(is_odd)))
    target = draw(st.sampled_from(["y", "y", "Price", "日本", "two\nlines", "y=1"]))
    id_name = draw(st.sampled_from(["Id", "Id", "id", "kod", "🆔"]))
    strange_ids, line_end = draw(is_odd), draw(st.sampled_from(["\n", "\n", "\r\n"]))
    used = [draw(palettes()) for _ in names]
    other = [draw(palettes()) if draw(is_odd) else palette for palette in used]
    train = [draw(ids(1, n_train, strange_ids)), *(draw(cells_of(palette, n_train)) for palette in used)]
    labels = TARGETS[draw(st.sampled_from(LIKELY_TARGETS))]
    train.append(draw(cells_of(labels, n_train)))
    test = [draw(ids(1001, n_test, strange_ids)), *(draw(cells_of(palette, n_test)) for palette in other)]
    sample = None
    if draw(st.booleans()):
        asked = draw(st.sampled_from([[target], [target], sorted({*labels})]))
        guesses = [draw(cells_of(["0", "0.5"], n_test)) for _ in asked]
        sample = draw(garbled(as_csv([id_name, *asked], [test[0], *guesses], line_end)))
    return Files(
        draw(garbled(as_csv([id_name, *names, target], train, line_end))),
        draw(garbled(as_csv([id_name, *names], test, line_end))),
        sample,
    )


NUMBERS, LABELS, WHEN, WORDS = ("Area", "größe"), ("Town", "面 積"), "Sold", "Remarks"
"""The columns of a competition whose file is drawn: two numbers, two categories, a date and a text."""

SEVERAL = ["counts", "numbers", "numbers with gaps"] * 6 + [
    "tiny numbers",
    "one outlier",
    "almost constant",
    "huge numbers",
]
KINDS = [
    "labels",
    "labels",
    "labels alike",
    "switches",
    "unicode",
    "what CSV quotes",
    "counts",
    "constant",
    "gaps alone",
]
OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "scope": st.sampled_from(["fold", "fold", "all"]),
    "number": st.just([NUMBERS[0]]),
    "category": st.sampled_from([[LABELS[0]], [NUMBERS[1]], [*LABELS]]),
    "drop": st.just([WORDS]),
    "date": st.just([WHEN]),
    "text": st.integers(1, 8).map(lambda width: {WORDS: width}),
    "ordinal": st.just([{"columns": [LABELS[1]], "order": ["a", "b", "c"]}]),
    "extract": st.sampled_from([r"(\w+)", "(.)$", "^(a|b)", "(é)"]).map(
        lambda p: {"Part": {"column": LABELS[0], "pattern": p}}
    ),
    "derived": st.dictionaries(
        st.sampled_from(["New", "neu ö"]),
        st.sampled_from(
            ["log1p(Area)", "Area / `größe`", "Area ** 3", "isna(Area)", "clip(Area, 0, 1)", "Area > 1", "Town == 'a'"]
        ),
    ),
    "groups": st.fixed_dictionaries(
        {"by": st.sampled_from(LABELS), "columns": st.just([NUMBERS[0]])},
        optional={"statistic": st.sampled_from(["mean", "median"]), "deviation": st.booleans()},
    ).map(lambda group: [group]),
    "none_is_missing": st.booleans(),
    "dummy_na": st.booleans(),
    "missing_indicators": st.booleans(),
    "impute": st.sampled_from(["mean", "median"]),
    "log1p_skew": st.sampled_from([1e-3, 1.0]),
    "normal_scores": st.booleans(),
    "clip": st.sampled_from([1e-6, 3.0, 1e300]),
    "pieces": st.integers(2, 5),
    "interactions": st.just([list(NUMBERS)]),
    "max_levels": st.integers(1, 4),
    "high_cardinality": st.sampled_from(["target", "frequency", "one_hot", "lump"]),
    "smoothing": st.sampled_from([1e-9, 10.0, 1e12]),
    "max_columns": st.integers(1, 12),
    "rare": st.integers(0, 20),
    "prune": st.integers(0, 20),
    "drop_constant": st.booleans(),
}
"""Of ``[features.NAME]``."""

FOLDS: dict[str, st.SearchStrategy[Any]] = {
    "scheme": st.sampled_from(
        ["shuffled", "contiguous", "stratified", "grouped", "stratified_grouped", "expanding", "rolling", "given"]
    ),
    "repeats": st.integers(1, 2),
    "seed": st.sampled_from([0, 1, 2**31 - 1]),
}
TRAINING: dict[str, st.SearchStrategy[Any]] = {
    "learning_rate": st.sampled_from([1e-4, 0.01, 1.0, 1e6]),
    "optimizer": st.sampled_from(["sgd", "adam", "adamw"]),
    "weight_decay": st.sampled_from([0.0, 1.0, 1e6]),
    "input_dropout": st.sampled_from([0.0, 0.5, 0.99]),
    "input_noise": st.sampled_from([0.1, 100.0]),
    "label_noise": st.sampled_from([0.1, 1.0]),
    "mixup": st.sampled_from([1e-3, 0.2]),
    "column_share": st.sampled_from([1e-9, 0.5]),
    "schedule": st.sampled_from(["constant", "step", "cosine"]),
    "clip_norm": st.sampled_from([1e-9, 1.0]),
    "ema": st.sampled_from([0.5, 0.999]),
    "patience": st.integers(1, 2),
    "inner_fraction": st.sampled_from([1e-3, 0.5, 0.99]),
    "batch_size": st.sampled_from([1, 7, 1000]),
    "initialization": st.sampled_from(["default", "xavier_uniform", "normal", "constant"]),
}
LAYERS: dict[str, st.SearchStrategy[Any]] = {
    "hidden": st.sampled_from([[], [1], [4], [3, 2]]),
    "activation": st.sampled_from(["relu", "prelu", "sigmoid", "tanh", "gelu", "selu"]),
    "dropout": st.sampled_from([0.0, 0.5]),
    "skip": st.booleans(),
    "tabm": st.sampled_from([0, 2]),
    "embedding": st.sampled_from(["none", "periodic", "plr"]),
}
OF_NUMBERS: dict[str, st.SearchStrategy[Any]] = {
    "target_scale": st.sampled_from(["link", "natural"]),
    "standardize_target": st.booleans(),
    "target_transform": st.sampled_from(["none", "log", "log1p", "box_cox", "yeo_johnson", "quantile"]),
    "floor": st.sampled_from([1e-9, 1000.0]),
}
ESTIMATORS = {
    True: ["sklearn.tree.DecisionTreeRegressor", "sklearn.neighbors.KNeighborsRegressor", "sklearn.svm.SVR"],
    False: ["sklearn.tree.DecisionTreeClassifier", "sklearn.linear_model.LogisticRegression", "sklearn.svm.SVC"],
}


def some(options: Mapping[str, st.SearchStrategy[Any]], most: int) -> st.SearchStrategy[dict[str, Any]]:
    """A few of the options, each with a value."""
    keys = st.lists(st.sampled_from(list(options)), max_size=most, unique=True)
    return keys.flatmap(lambda chosen: st.fixed_dictionaries({key: options[key] for key in chosen}))


@st.composite
def experiments(draw: st.DrawFn, task: str) -> dict[str, Any]:
    """A table of any kind of experiment that the task knows, small enough to be trained at once."""
    of_numbers = task == "regression"
    kind = draw(st.sampled_from(["mlp", "sklearn", "linear", "ridge"] if of_numbers else ["mlp", "sklearn", "linear"]))
    table: dict[str, Any] = {"kind": kind, **(draw(some(OF_NUMBERS, 1)) if of_numbers else {})}
    if kind == "ridge":
        return {**table, "alpha": draw(st.sampled_from([1e-12, 1.0, 1e12]))}
    if kind == "sklearn":
        return {**table, "estimator": draw(st.sampled_from(ESTIMATORS[of_numbers]))}
    losses = {"loss": st.sampled_from(["squared", "huber", "absolute", "pinball"])} if of_numbers else {}
    layers = {"hidden": [4], **draw(some(LAYERS, 2))} if kind == "mlp" else {}
    return {**table, "epochs": 2, **draw(some({**TRAINING, **losses}, 3)), **layers}


@st.composite
def folds(draw: st.DrawFn) -> dict[str, Any]:
    table: dict[str, Any] = {"k": draw(st.sampled_from([2, 2, 2, 3])), **draw(some(FOLDS, 2))}
    scheme = table.get("scheme", "shuffled")
    if scheme in ("expanding", "rolling"):
        table["by"] = draw(st.sampled_from([NUMBERS[0], WHEN, "Id"]))
    elif scheme in ("grouped", "stratified_grouped", "given"):
        table["by"] = draw(st.sampled_from([LABELS[0], NUMBERS[0]]))
    return table if scheme in ("shuffled", "stratified", "grouped", "stratified_grouped") else {**table, "repeats": 1}


@st.composite
def documents(draw: st.DrawFn, task: str, metrics: Sequence[str]) -> dict[str, Any]:
    """A competition file for the columns above, as plain values."""
    tables = {name: draw(experiments(task)) for name in draw(st.sampled_from([["one"], ["one", "two"]]))}
    blend = {"runs": list(tables), **draw(some({"method": st.sampled_from(["mean", "nnls", "greedy", "shrunk"])}, 1))}
    return {
        "name": "strange",
        "id": "Id",
        "target": "y",
        "task": task,
        "metric": draw(st.sampled_from(list(metrics))),
        "entry": "blend",
        "threads": 1,
        "folds": {"main": draw(folds())},
        "features": {"default": draw(some(OPTIONS, 7))},
        "experiments": tables,
        "ensembles": {"blend": blend},
    }


@st.composite
def plain_files(draw: st.DrawFn, task: str) -> Files:
    """Files with the columns above, strange in what these hold."""
    n_train, n_test = draw(st.integers(12, 26)), draw(st.integers(1, 5))
    kinds = [PALETTES[draw(st.sampled_from(SEVERAL))] for _ in NUMBERS]
    kinds += [draw(palettes(KINDS)) for _ in LABELS]
    kinds += [PALETTES[draw(st.sampled_from(["dates", "dates", "times", "dates at the edges"]))], PALETTES["texts"]]
    header = ["Id", *NUMBERS, *LABELS, WHEN, WORDS]
    train = [draw(ids(1, n_train, False)), *(draw(cells_of(kind, n_train)) for kind in kinds)]
    test = [draw(ids(1001, n_test, False)), *(draw(cells_of(kind, n_test)) for kind in kinds)]
    target = draw(cells_of(TARGETS[draw(st.sampled_from(PLAIN_TARGETS[task]))], n_train))
    return Files(as_csv([*header, "y"], [*train, target]), as_csv(header, test), None)


@st.composite
def cases(draw: st.DrawFn, metrics_of: Mapping[Any, Sequence[str]]) -> Case:
    """Any competition file over such files."""
    task = draw(st.sampled_from(list(metrics_of)))
    return Case(draw(plain_files(task)), as_toml(draw(documents(task, metrics_of[task]))))


ODD_VALUES: dict[type, list[Any]] = {
    bool: [True, False],
    int: [0, -1, 1, 2, 3, 2**31, 2**63, -(2**63), 10**30],
    float: [0.0, -0.0, 1.0, -1.0, 1e-320, 1e300, math.inf, -math.inf, math.nan, 0, 7],
    str: [
        "",
        " ",
        "Id",
        "y",
        *NUMBERS,
        *LABELS,
        WHEN,
        WORDS,
        "one",
        "a.b",
        "é\u202e",
        "\x1b[2J",
        "x" * 3000,
        "1 / 0",
        "(((",
    ],
    list: [
        [],
        [[]],
        [{}],
        [1, "a"],
        [NUMBERS[0]],
        [NUMBERS[0]] * 2,
        [LABELS[0], WHEN],
        ["nowhere"],
        [True],
        [0],
        [-1, 1e9],
    ],
    dict: [{}, {"a": {"b": {}}}, {"": 1}, {"é": NUMBERS[0]}, {"like": "default"}, {"like": "one"}],
}
"""What may stand in the place of a value, by its type."""
WORK = {"epochs", "seeds", "repeats", "hidden", "threads", "embedding_frequencies", "tabm", "text"}
"""Keys of which huge numbers are no fault but very much work."""


@st.composite
def spoilt(draw: st.DrawFn, document: Any) -> Any:
    """The same document with something left out, renamed or replaced."""
    if not isinstance(document, dict) or not document:
        return document
    tables = [key for key, value in document.items() if isinstance(value, dict) and value]
    key = draw(st.sampled_from([*document, *tables * 9]))
    way = draw(st.sampled_from(["within"] * 9 + ["replace", "replace", "drop", "rename", "add"]))
    if way == "within" and key in tables:
        return {**document, key: draw(spoilt(document[key]))}
    rest = {other: value for other, value in document.items() if other != key}
    if way == "drop":
        return rest
    if way in ("rename", "add"):
        name = draw(st.sampled_from(["", "x", "like", "é", "a b", key + key, key.upper(), *OPTIONS, *TRAINING]))
        return {**(rest if way == "rename" else document), name: document[key]}
    kind = draw(st.sampled_from([type(document[key])] * 7 + [*ODD_VALUES]))
    value = draw(st.sampled_from(ODD_VALUES[kind]))
    is_work = key in WORK and isinstance(value, int) and value > 2
    return {**document, key: 2 if is_work else value}


@st.composite
def spoilt_cases(draw: st.DrawFn, metrics_of: Mapping[Any, Sequence[str]]) -> Case:
    """Competition files with mistakes, over the tables of `cases`."""
    task = draw(st.sampled_from(list(metrics_of)))
    document = draw(documents(task, metrics_of[task]))
    for _ in range(draw(st.integers(1, 2))):
        document = draw(spoilt(document))
    text = as_toml(document)
    if draw(st.sampled_from([False] * 15 + [True])):
        place = draw(st.integers(0, len(text)))
        text = text[:place] + draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=3)) + text[place + 1 :]
    return Case(draw(plain_files(task)), text)


def as_toml(document: Mapping[str, Any]) -> str:
    """A competition file of plain values: one line for each key, tables within it."""
    return "".join(f"{_quoted(key)} = {_value(value)}\n" for key, value in document.items())


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_quoted(key)} = {_value(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, str):
        return _quoted(value)
    return json.dumps(value).replace("Infinity", "inf").replace("NaN", "nan")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")  # which JSON allows, and TOML does not
