"""Derived columns: what is allowed computes what pandas computes; all else is refused and nothing is run."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from houseprice.data import patterns
from houseprice.data.expressions import derive
from houseprice.data.patterns import extract
from houseprice.errors import ConfigError
from houseprice.preparation import Extract


@pytest.fixture
def frame() -> pd.DataFrame:
    """Numbers with a gap, a zero, a negative one, and text with a gap; names that are not Python's."""
    columns = {
        "a": [1.0, 2.5, np.nan, -4.0],
        "b": [0.0, 2.5, 3.0, 10.0],
        "1stFlrSF": [800.0, 900.0, 1000.0, np.nan],
        "Lot Area": [5.0, 6.0, 7.0, 8.0],
        "log1p": [1.0, 2.0, 3.0, 4.0],
        "clip": [4.0, 3.0, 2.0, 1.0],
        "and": [0.0, 1.0, 0.0, 1.0],
    }
    table = pd.DataFrame(columns, index=pd.Index(["w", "x", "y", "z"], dtype="str", name="Id"))
    return table.assign(Street=pd.Series(["Pave", "Grvl", None, "Pave"], index=table.index, dtype="str"))


def value(frame: pd.DataFrame, expression: str) -> list[float]:
    derived = derive(frame, {"New": expression})
    assert derived["New"].dtype == np.float64
    assert list(derived.columns) == [*frame.columns, "New"]
    pd.testing.assert_frame_equal(derived.drop(columns="New"), frame)
    return [float(x) for x in derived["New"]]


def known(frame: pd.DataFrame, *names: str) -> pd.Series:
    return frame[list(names)].notna().all(axis=1)


ALLOWED: dict[str, Callable[[pd.DataFrame], object]] = {
    "a + b": lambda f: f["a"] + f["b"],
    "a - b * 2": lambda f: f["a"] - f["b"] * 2,
    "(a - b) * .5": lambda f: (f["a"] - f["b"]) * 0.5,
    "a / 4": lambda f: f["a"] / 4,
    "-a + +b": lambda f: -f["a"] + f["b"],
    "a ** 2": lambda f: f["a"] ** 2,
    "b ** 0.5": lambda f: f["b"] ** 0.5,
    "(a + 10) ** -2": lambda f: (f["a"] + 10) ** -2,
    "-b ** 2": lambda f: -(f["b"] ** 2),
    "1stFlrSF + `Lot Area`": lambda f: f["1stFlrSF"] + f["Lot Area"],
    "1stFlrSF/1e3": lambda f: f["1stFlrSF"] / 1000,
    "a<b": lambda f: (f["a"] < f["b"]) & known(f, "a", "b"),
    "a >= 1": lambda f: f["a"] >= 1,
    "a == b": lambda f: f["a"] == f["b"],
    "a != b": lambda f: (f["a"] != f["b"]) & known(f, "a", "b"),
    "Street == 'Pave'": lambda f: f["Street"] == "Pave",
    '"Pave" != Street': lambda f: (f["Street"] != "Pave") & known(f, "Street"),
    "Street > 'H'": lambda f: (f["Street"] > "H") & known(f, "Street"),
    "(a > 0) + (b > 0)": lambda f: (f["a"] > 0) * 1 + (f["b"] > 0) * 1,
    "a > 0 and b > 0 and Street == 'Grvl'": lambda f: (f["a"] > 0) & (f["b"] > 0) & (f["Street"] == "Grvl"),
    "b or a > 1": lambda f: (f["b"] != 0) | (f["a"] > 1),
    "not b": lambda f: f["b"] == 0,
    "not a": lambda f: f["a"].isna() | (f["a"] == 0),
    "log1p(b)": lambda f: np.log1p(f["b"]),
    "clip(a, 0, 2)": lambda f: f["a"].clip(0, 2),
    "clip(b, a, 9)": lambda f: f["b"].where(f["b"] > f["a"], f["a"]).where(lambda x: x < 9, 9).where(known(f, "a")),
    "isna(a)": lambda f: f["a"].isna(),
    "isna(Street) + isna(1stFlrSF)": lambda f: f["Street"].isna() * 1 + f["1stFlrSF"].isna(),
    "`log1p` + `clip` + `and`": lambda f: f["log1p"] + f["clip"] + f["and"],
    "log1p(`log1p`)": lambda f: np.log1p(f["log1p"]),
    "(a +\n  b)": lambda f: f["a"] + f["b"],
    "7": lambda f: f["b"] * 0 + 7,
}


@pytest.mark.parametrize(("expression", "expected"), ALLOWED.items(), ids=ALLOWED)
def test_what_is_allowed_computes_what_pandas_computes(
    expression: str, expected: Callable[[pd.DataFrame], pd.Series], frame: pd.DataFrame
) -> None:
    np.testing.assert_array_equal(value(frame, expression), expected(frame).astype(np.float64))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("a / b", [np.nan, 1.0, np.nan, -0.4]),
        ("log1p(a - 2)", [np.nan, np.log1p(0.5), np.nan, np.nan]),
        ("a ** 0.5", [1.0, 2.5**0.5, np.nan, np.nan]),
        ("b * 1e308", [0.0, np.nan, np.nan, np.nan]),
        ("b ** -1", [np.nan, 0.4, 1 / 3, 0.1]),
    ],
)
def test_what_has_no_finite_value_is_a_gap(expression: str, expected: list[float], frame: pd.DataFrame) -> None:
    np.testing.assert_array_equal(value(frame, expression), expected)


def test_a_later_column_may_use_an_earlier_one(frame: pd.DataFrame) -> None:
    derived = derive(frame, {"Sum": "a + b", "Twice the sum": "Sum * 2", "More": "`Twice the sum` + 1"})
    np.testing.assert_array_equal(derived["More"], (frame["a"] + frame["b"]) * 2 + 1)
    with pytest.raises(ConfigError, match=r"derived column 'Twice' = 'Sum \* 2': no column 'Sum'"):
        derive(frame, {"Twice": "Sum * 2", "Sum": "a + b"})


REFUSED = [
    "__import__('os').system('touch owned')",
    "open('owned', 'w')",
    "eval('1')",
    "exec('import os')",
    "().__class__.__bases__",
    "a.__class__",
    "a.to_csv('owned')",
    "'{0.__class__}'.format(a)",
    "a[0]",
    "a['__class__']",
    "(lambda: 1)()",
    "lambda x: x",
    "[x for x in a]",
    "[a, b]",
    "{a}",
    "{'a': b}",
    "(a, b)",
    "f'{a}' == Street",
    "f'{__import__(\"os\")}'",
    "b'bytes' == Street",
    "a if b else 0",
    "(c := a)",
    "a @ b",
    "a // b",
    "a % b",
    "a << 2",
    "a & b",
    "~a",
    "a is b",
    "a in b",
    "0 < a < 5",
    "...",
    "None",
    "True",
    "1j",
    "print",
    "sum(a)",
    "log1p",
    "log1p()",
    "log1p(a, b)",
    "log1p(x=a)",
    "log1p(*a)",
    "log1p(log1p)",
    "`log1p`(a)",
    "clip(a, 1)",
    "isna + 1",
    "log1p(clip)",
    "a = b",
    "a; b",
    "a b",
    "import os",
    "",
    "  ",
    "(a",
    "a +",
    "'unclosed",
    "`unclosed",
    "``",
    "a\x00b",
    "column_0",
    "Street",
    "'text'",
    "Street + 1",
    "'a' + 'b'",
    "not Street",
    "log1p('x')",
    "Street == 1",
    "a == 'Pave'",
    "a < Street",
    "1 / 0",
    "(-8) ** 0.5",
    "1e308 * 10",
]


@pytest.mark.parametrize("expression", REFUSED)
def test_everything_else_is_refused_and_nothing_is_run(
    expression: str, frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="derived column 'New'"):
        derive(frame, {"New": expression})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("9 ** 9 ** 9 ** 9", "an exponent is a number between -16 and 16"),
        ("2 ** a", "an exponent is a number between -16 and 16"),
        ("a ** 17", "an exponent is a number between -16 and 16"),
        ("a ** -1e300", "an exponent is a number between -16 and 16"),
        ("a + " + "9" * 400, "too large"),
        ("a + 1e400", "too large"),
        ("a == " + "9" * 400, "too large"),
        ("-" * 900 + "a", "deep|not an expression"),
        ("+".join(["a"] * 500), "deep|not an expression"),
        ("(" * 450 + "a" + ")" * 450, "not an expression"),
        ("a + " * 5000 + "a", "longer than 1000 characters"),
    ],
)
def test_what_would_take_for_ever_or_break_python_is_refused(expression: str, words: str, frame: pd.DataFrame) -> None:
    with pytest.raises(ConfigError, match=words):
        derive(frame, {"New": expression})


def test_the_nearest_column_is_named(frame: pd.DataFrame) -> None:
    with pytest.raises(ConfigError, match=r"no column '1stFlrSf'; did you mean '1stFlrSF'\?"):
        derive(frame, {"New": "1stFlrSf * 2"})


def test_no_column_is_replaced(frame: pd.DataFrame) -> None:
    with pytest.raises(ConfigError, match=r"derived column 'a': a column has this name already\. Choose another name"):
        derive(frame, {"a": "b"})


def test_a_derived_column_may_be_called_like_a_function(frame: pd.DataFrame) -> None:
    derived = derive(frame, {"isna": "a + 1", "More": "`isna` + isna(a)"})
    np.testing.assert_array_equal(derived["More"], frame["a"] + 1)


# extracted columns -----------------------------------------------------------------------------------------


def test_a_group_of_a_pattern_becomes_a_column_with_gaps() -> None:
    frame = pd.DataFrame(
        {"Name": pd.Series(["Braund, Mr. Owen", "Madonna", None], dtype="str"), "Age": [1.0, 2.0, 3.0]}
    )
    found = extract(frame, {"Title": Extract(column="Name", pattern=r", (\w+)\.")})
    assert list(found["Title"].fillna("-")) == ["Mr", "-", "-"]
    assert found["Title"].dtype == frame["Name"].dtype
    assert list(frame.columns) == ["Name", "Age"]
    for rules, message in (
        ({"Age": Extract(column="Name", pattern="(a)")}, "extract.Age: a column has this name already"),
        ({"T": Extract(column="Nam", pattern="(a)")}, "extract.T: no column 'Nam'; did you mean 'Name'"),
        ({"T": Extract(column="Age", pattern="(a)")}, "column 'Age' holds numbers"),
    ):
        with pytest.raises(ConfigError, match=message):
            extract(frame, rules)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("no group", "0 groups in brackets"),
        ("(a)(b)", "2 groups in brackets"),
        ("(a", "not a regular expression"),
        ("(a+)+b", "a group that is repeated may take forever"),
        ("(?:a|aa)*(b)", "a group that is repeated may take forever"),
        ("(.*).*.*.*x", "4 open repetitions"),
        ("(?:a?){50}(b)", "a group that is repeated may take forever"),
    ],
)
def test_patterns_that_are_none_or_may_not_end_are_refused(pattern: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Extract(column="Name", pattern=pattern)


def test_a_pattern_that_is_slow_on_long_cells_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    Extract(column="Name", pattern=r"\)+(\w)?")  # brackets that are text may be repeated
    monkeypatch.setattr(patterns, "MOST_SECONDS", -1.0)
    frame = pd.DataFrame({"Name": pd.Series(["a" * 100_000], dtype="str")})
    with pytest.raises(ConfigError, match=r"extract.T: pattern '\(a\*\)' took over"):
        extract(frame, {"T": Extract(column="Name", pattern="(a*)")})
