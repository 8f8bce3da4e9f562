"""The data page: what each column holds, how much of it is missing, and whether test rows are drawn like train rows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype

from houseprice.data.tables import Tables

Float = NDArray[np.float64]

N_BINS = 24
N_CATEGORIES = 12
DIFFERS_BELOW = 0.001


@dataclass(frozen=True)
class Column:
    """One column of the competition's files.

    Attributes
    ----------
    name
        As in the header.
    is_number
        Otherwise it is text.
    missing_train, missing_test
        Share of the rows without a value.
    distinct
        How many values the training rows have.
    summary
        The smallest, middle and largest of numbers; empty for text.
    frequent
        The most frequent categories with their shares of the known training rows; empty for numbers.
    labels
        Of the bars: intervals of numbers, or categories, the last one standing for all that are rarer.
    train, test
        float64 [n_bars], the share of the known rows that falls on each bar.
    new_in_test
        How many categories no training row has.
    distance
        How far train and test are apart, 0 to 1: Kolmogorov–Smirnov of numbers, total variation of categories.
    p_value
        Of a distance as large if both were drawn alike (`numbers_differ`, `categories_differ`).
    """

    name: str
    is_number: bool
    missing_train: float
    missing_test: float
    distinct: int
    summary: tuple[str, ...]
    frequent: tuple[tuple[str, float], ...]
    labels: tuple[str, ...]
    train: Float
    test: Float
    new_in_test: int
    distance: float
    p_value: float

    @property
    def differs(self) -> bool:
        """Whether train and test differ by more than chance would explain."""
        return self.p_value < DIFFERS_BELOW


def columns_of(tables: Tables) -> tuple[Column, ...]:
    """Describe every feature column, in the files' order."""
    return tuple(_column(str(name), tables.train[name], tables.test[name]) for name in tables.train.columns)


def _column(name: str, train: pd.Series, test: pd.Series) -> Column:
    known_train, known_test = train.dropna(), test.dropna()
    is_number = bool(is_numeric_dtype(train))
    if is_number:
        described = _numbers(known_train.to_numpy(np.float64), known_test.to_numpy(np.float64))
    else:
        described = _categories(known_train.astype(str).tolist(), known_test.astype(str).tolist())
    summary, frequent, labels, of_train, of_test, new_in_test, (distance, p_value) = described
    return Column(
        name=name,
        is_number=is_number,
        missing_train=float(train.isna().mean()),
        missing_test=float(test.isna().mean()),
        distinct=int(known_train.nunique()),
        summary=summary,
        frequent=frequent,
        labels=labels,
        train=of_train,
        test=of_test,
        new_in_test=new_in_test,
        distance=distance,
        p_value=p_value,
    )


_Described = tuple[
    tuple[str, ...], tuple[tuple[str, float], ...], tuple[str, ...], Float, Float, int, tuple[float, float]
]


def _numbers(train: Float, test: Float) -> _Described:
    both = np.concatenate([train, test])
    values = np.unique(both)
    if len(values) <= N_BINS:
        labels = tuple(number(value) for value in values.tolist())
        of_train, of_test = (np.array([(rows == value).sum() for value in values]) for rows in (train, test))
    else:
        low, high = np.quantile(both, (0.005, 0.995))  # the ends hold what lies beyond: one huge lot hides no other
        low, high = (low, high) if low < high else (values[0], values[-1])
        edges = np.linspace(low, high, N_BINS + 1)
        shown = np.round(edges) if (both == np.round(both)).all() and high - low >= N_BINS else edges
        labels = tuple(
            f"{number(start)} to {number(end)}"
            for start, end in zip(shown[:-1].tolist(), shown[1:].tolist(), strict=True)
        )
        of_train, of_test = (np.histogram(np.clip(rows, low, high), edges)[0] for rows in (train, test))
    summary = tuple(number(value) for value in np.quantile(train, (0, 0.5, 1)).tolist()) if len(train) else ()
    return summary, (), labels, _shares(of_train), _shares(of_test), 0, numbers_differ(train, test)


def _categories(train: Sequence[str], test: Sequence[str]) -> _Described:
    in_train, in_test = pd.Series(train, dtype="str").value_counts(), pd.Series(test, dtype="str").value_counts()
    names = [*in_train.index, *(name for name in in_test.index if name not in in_train.index)]
    of_train, of_test = (counts.reindex(names, fill_value=0).to_numpy(np.int64) for counts in (in_train, in_test))
    difference = categories_differ(of_train, of_test)
    frequent = tuple(zip(map(str, names[:3]), _shares(of_train)[:3].tolist(), strict=True))
    if len(names) > N_CATEGORIES:
        rest = len(names) - N_CATEGORIES + 1
        of_train, of_test = (np.append(counts[:-rest], counts[-rest:].sum()) for counts in (of_train, of_test))
        labels = (*names[:-rest], f"{rest} others")
    else:
        labels = tuple(names)
    new_in_test = len(names) - len(in_train)
    return (), frequent, tuple(map(str, labels)), _shares(of_train), _shares(of_test), new_in_test, difference


def _shares(counts: NDArray[np.int64]) -> Float:
    return np.asarray(counts / max(1, counts.sum()), np.float64)


def number(value: float) -> str:
    """A number for people: thousands apart, four digits of a fraction, years and counts as they are.

    >>> [number(value) for value in (2008.0, 12345.0, 0.123456, -3.5)]
    ['2008', '12,345', '0.1235', '-3.5']
    """
    if value == round(value) and abs(value) < 1e15:
        return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.0f}"
    return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"


def numbers_differ(train: Float, test: Float) -> tuple[float, float]:
    """Kolmogorov–Smirnov's distance of two samples, and its asymptotic p-value.

    The largest difference of their distribution functions; with ties the p-value is too large, never too small.
    (Press et al., *Numerical Recipes*, 3rd ed., §14.3.3.)

    Returns
    -------
    (float, float)
        (0, 1) where a sample is empty.
    """
    n, m = len(train), len(test)
    if not n or not m:
        return 0.0, 1.0
    values = np.concatenate([train, test])
    below_train, below_test = (np.searchsorted(np.sort(rows), values, side="right") for rows in (train, test))
    distance = float(np.abs(below_train / n - below_test / m).max())
    root = math.sqrt(n * m / (n + m))
    scaled = (root + 0.12 + 0.11 / root) * distance
    if scaled < 0.2:
        return distance, 1.0
    terms = (2 * (-1) ** (k - 1) * math.exp(-2 * (k * scaled) ** 2) for k in range(1, 101))
    return distance, min(1.0, max(0.0, sum(terms)))


def categories_differ(train: NDArray[np.int64], test: NDArray[np.int64]) -> tuple[float, float]:
    """Total variation distance of two samples' category counts, and the p-value of their χ² test of homogeneity.

    Categories that would have fewer than five expected rows are taken together, as the test asks. Its p-value is by
    Wilson & Hilferty's cube root (*PNAS* 17, 1931), within 0.001 of the exact one.

    Parameters
    ----------
    train, test
        int64 [n_categories], rows of each.

    Returns
    -------
    (float, float)
        (0, 1) where a sample is empty.
    """
    n, m = int(train.sum()), int(test.sum())
    if not n or not m:
        return 0.0, 1.0
    distance = float(np.abs(train / n - test / m).sum() / 2)
    rare = (train + test) * min(n, m) / (n + m) < 5
    counts = np.stack([train, test]).astype(np.float64)  # [sample, category]
    if rare.any():
        counts = np.column_stack([counts[:, ~rare], counts[:, rare].sum(axis=1)])
    freedom = counts.shape[1] - 1
    if freedom < 1:
        return distance, 1.0
    expected = counts.sum(axis=0) * np.array([[n], [m]]) / (n + m)
    chi2 = float((np.square(counts - expected) / expected).sum())
    z = ((chi2 / freedom) ** (1 / 3) - (1 - 2 / (9 * freedom))) / math.sqrt(2 / (9 * freedom))
    return distance, math.erfc(z / math.sqrt(2)) / 2
