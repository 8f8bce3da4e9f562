"""Derived columns: a small, closed language over named columns.

An expression may use numbers, text in comparisons, column names (``1stFlrSF`` too, and any other name between
backticks: ```Lot Area```), ``+ - * / **``, comparisons, ``and or not``, and the functions ``log1p(x)``,
``clip(x, low, high)`` and ``isna(x)``. Everything else is refused: no attributes, no subscripts, no other calls. Python
only parses an expression and never runs it, so it can reach nothing but the columns.
"""

import ast
import math
import operator
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from houseprice.errors import ConfigError, nearest

_TOKEN = re.compile(
    r"""(?P<text>'[^']*'|"[^"]*")"""
    r"|`(?P<quoted>[^`]+)`"
    r"|(?P<number>(?<![\w.])(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))"
    r"|(?P<name>\w+)"
)
_WORDS = ("and", "or", "not", "log1p", "clip", "isna")

_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_MAX_LENGTH = 1000
_MAX_EXPONENT = 16


def derive(frame: pd.DataFrame, expressions: Mapping[str, str]) -> pd.DataFrame:
    """Add derived columns to a frame, in their order; a later one may use an earlier one.

    Parameters
    ----------
    frame
        Numbers as float64, text as ``str``.
    expressions
        New column → expression.

    Returns
    -------
    DataFrame
        The frame with the new columns, float64, at its end. A gap or a division by zero gives a gap; a comparison
        gives 0 or 1, and 0 where one side is a gap.

    Raises
    ------
    ConfigError
        Naming the new column, the expression and the part that is not allowed.

    Examples
    --------
    >>> frame = pd.DataFrame({"1stFlrSF": [800.0, 900.0], "2ndFlrSF": [0.0, 450.0]})
    >>> derive(frame, {"TotalSF": "1stFlrSF + 2ndFlrSF", "Storeys": "1 + (2ndFlrSF > 0)"})["TotalSF"].tolist()
    [800.0, 1350.0]
    """
    columns = {str(name): frame[name] for name in frame.columns}
    new: dict[str, pd.Series] = {}
    for name, expression in expressions.items():
        if name in columns:
            raise ConfigError(f"derived column {name!r}: a column has this name already. Choose another name.")
        values = _Evaluation(name, expression, columns).run()
        new[name] = columns[name] = pd.Series(values, index=frame.index, dtype=np.float64).replace(
            [math.inf, -math.inf], math.nan
        )
    return pd.concat([frame, pd.DataFrame(new, index=frame.index)], axis=1)


def columns_named(expression: str) -> set[str]:
    """The columns that an expression names; nothing is computed.

    >>> sorted(columns_named("log1p(1stFlrSF) * (`Lot Area` > 0) and Street == 'Pave'"))
    ['1stFlrSF', 'Lot Area', 'Street']
    """
    return {name for token in _TOKEN.finditer(expression) if (name := _column_of(token))}


def _column_of(token: re.Match[str]) -> str | None:
    name: str | None = token["quoted"] or token["name"]
    return None if name in _WORDS and not token["quoted"] else name


class _Evaluation:
    """One expression at work: parsed, then computed node by node."""

    def __init__(self, target: str, expression: str, columns: Mapping[str, pd.Series]) -> None:
        self.where = f"derived column {target!r} = {expression!r}"
        self.expression = expression
        self.columns = columns
        self.names: dict[str, str] = {}  # placeholder in the parsed text → column

    def run(self) -> Any:
        if len(self.expression) > _MAX_LENGTH:
            raise ConfigError(
                f"{self.where[:80]}…: longer than {_MAX_LENGTH} characters. Split it into several columns."
            )
        try:
            tree = ast.parse(_TOKEN.sub(self._placeholder, self.expression).strip(), mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise ConfigError(
                f"{self.where}: not an expression ({type(error).__name__}). Check brackets and operators."
            ) from error
        try:
            with np.errstate(all="ignore"):
                values = self._value(tree.body)
        except RecursionError as error:
            raise ConfigError(f"{self.where[:80]}…: nested too deeply. Split it into several columns.") from error
        if _is_text(values):
            raise ConfigError(
                f"{self.where}: gives text; a derived column is a number. Compare the text: `column == 'label'`."
            )
        return values

    def _placeholder(self, token: re.Match[str]) -> str:
        """Column names need not be Python's: each becomes a plain identifier before parsing."""
        name = _column_of(token)
        if name is None:
            return token[0]
        placeholder = f"column_{len(self.names)}"
        self.names[placeholder] = name
        return f" {placeholder} "

    def _refuse(self, node: ast.AST) -> ConfigError:
        return ConfigError(
            f"{self.where}: {type(node).__name__.lower()} is not allowed. Use arithmetic, comparisons, log1p, "
            "clip and isna over column names."
        )

    def _value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=str(text)):
                return text
            case ast.Constant(value=int() | float() as number):
                if number > sys.float_info.max:
                    raise ConfigError(f"{self.where}: a number in it is too large. Numbers go up to 1.8e308.")
                return np.float64(number)  # whose arithmetic is that of columns: no complex numbers, no exceptions
            case ast.Name(id=placeholder):
                return self._column(placeholder)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
                value = self._number(operand)
                return -value if isinstance(sign, ast.USub) else value
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return 1.0 - self._truth(operand)
            case ast.BoolOp(op=op, values=values):
                truths = [self._truth(value) for value in values]
                combine = np.minimum if isinstance(op, ast.And) else np.maximum
                result = truths[0]
                for truth in truths[1:]:
                    result = combine(result, truth)
                return result
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                return self._arithmetic(left, op, right)
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARISONS:
                return self._comparison(left, op, right)
            case ast.Compare(ops=[_, _, *_]):
                raise ConfigError(f"{self.where}: a chained comparison. Write `a < b and b < c`.")
            case ast.Call(func=ast.Name(id="log1p"), args=[x], keywords=[]):
                return np.log1p(self._number(x))
            case ast.Call(func=ast.Name(id="isna"), args=[x], keywords=[]):
                return pd.isna(self._value(x)) * 1.0
            case ast.Call(func=ast.Name(id="clip"), args=[x, low, high], keywords=[]):
                return np.minimum(np.maximum(self._number(x), self._number(low)), self._number(high))
            case ast.Call():
                raise ConfigError(f"{self.where}: only log1p(x), clip(x, low, high) and isna(x) can be called.")
        raise self._refuse(node)

    def _arithmetic(self, left: ast.expr, op: ast.operator, right: ast.expr) -> Any:
        a, b = self._number(left), self._number(right)
        if isinstance(op, ast.Pow) and not (isinstance(b, float) and abs(b) <= _MAX_EXPONENT):
            raise ConfigError(f"{self.where}: an exponent is a number between -{_MAX_EXPONENT} and {_MAX_EXPONENT}.")
        result = _ARITHMETIC[type(op)](a, b)
        if np.isscalar(result) and not np.isfinite(result):  # of two constants; in columns it gives gaps
            raise ConfigError(f"{self.where}: {ast.unparse(left)} and {ast.unparse(right)} give no finite number.")
        return result

    def _comparison(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Any:
        a, b = self._value(left), self._value(right)
        if _is_text(a) != _is_text(b):
            raise ConfigError(
                f"{self.where}: compares text with a number. Text stands in quotes, a number does not; a column with "
                "an order is a number."
            )
        outcome = _COMPARISONS[type(op)](a, b)
        return (outcome & pd.notna(a) & pd.notna(b)) * 1.0

    def _number(self, node: ast.expr) -> Any:
        value = self._value(node)
        if _is_text(value):
            what = self.names.get(getattr(node, "id", ""), value if isinstance(value, str) else "text")
            raise ConfigError(
                f"{self.where}: {what!r} is text, and is used as a number. Give the column an order or a number."
            )
        return value

    def _truth(self, node: ast.expr) -> Any:
        """1.0 where the value is neither 0 nor a gap."""
        value = self._number(node)
        return ((value != 0) & pd.notna(value)) * 1.0

    def _column(self, placeholder: str) -> pd.Series:
        name = self.names.get(placeholder)
        if name is None:
            raise ConfigError(f"{self.where}: {placeholder!r} is a function; call it.")
        if name not in self.columns:
            raise ConfigError(f"{self.where}: no column {name!r}; {nearest(name, list(self.columns))}")
        return self.columns[name]


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, pd.Series) and not is_numeric_dtype(value))
