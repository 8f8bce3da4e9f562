"""Derived columns: a small, closed language over named columns.

An expression may use numbers, text in comparisons, column names (``1stFlrSF`` too, and any other name between
backticks: ```Lot Area```), ``+ - * / **``, comparisons, ``and or not``, and the functions ``log1p(x)``,
``clip(x, low, high)`` and ``isna(x)``. Everything else is refused before anything is computed: no attributes, no
subscripts, no other calls, so an expression can reach nothing but the columns.
"""

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

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
        with np.errstate(all="ignore"):
            values = self._value(tree.body)
        if isinstance(values, str) or (isinstance(values, pd.Series) and isinstance(values.dtype, pd.StringDtype)):
            raise ConfigError(
                f"{self.where}: gives text; a derived column is a number. Compare the text: `column == 'label'`."
            )
        return values

    def _placeholder(self, token: re.Match[str]) -> str:
        """Column names need not be Python's: each becomes a plain identifier before parsing."""
        name = token["quoted"] or token["name"]
        if name is None or (name in _WORDS and not token["quoted"]):
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
            case ast.Constant(value=bool() | int() | float() | str() as value):
                return value
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
        if isinstance(op, ast.Pow) and not (np.isscalar(b) and abs(float(b)) <= _MAX_EXPONENT):  # type: ignore[arg-type]
            raise ConfigError(f"{self.where}: an exponent is a number between -{_MAX_EXPONENT} and {_MAX_EXPONENT}.")
        try:
            return _ARITHMETIC[type(op)](a, b)
        except (ZeroDivisionError, OverflowError) as error:  # between two constants; columns give gaps
            raise ConfigError(f"{self.where}: {error}.") from error

    def _comparison(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Any:
        a, b = self._value(left), self._value(right)
        try:
            outcome = _COMPARISONS[type(op)](a, b)
        except TypeError as error:
            raise ConfigError(f"{self.where}: compares text with a number.") from error
        known = ~(pd.isna(a) | pd.isna(b)) if isinstance(outcome, pd.Series) else True
        return (outcome.fillna(False) & known).astype(np.float64) if isinstance(outcome, pd.Series) else float(outcome)

    def _number(self, node: ast.expr) -> Any:
        value = self._value(node)
        if isinstance(value, str) or (isinstance(value, pd.Series) and isinstance(value.dtype, pd.StringDtype)):
            what = self.names.get(getattr(node, "id", ""), value if isinstance(value, str) else "text")
            raise ConfigError(
                f"{self.where}: {what!r} is text, and is used as a number. Give the column an order or a number."
            )
        return float(value) if isinstance(value, int) else value

    def _truth(self, node: ast.expr) -> Any:
        """1.0 where the value is neither 0 nor a gap."""
        value = self._number(node)
        return ((value != 0) & ~pd.isna(value)) * 1.0

    def _column(self, placeholder: str) -> pd.Series:
        name = self.names.get(placeholder)
        if name is None:
            raise ConfigError(f"{self.where}: {placeholder!r} is a function; call it.")
        if name not in self.columns:
            raise ConfigError(f"{self.where}: no column {name!r}; {nearest(name, list(self.columns))}")
        return self.columns[name]
