"""Encodings that learn from training rows: statistics of groups, normal scores, pieces of a number's range."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype

from houseprice.config import Group
from houseprice.errors import ConfigError

Float = NDArray[np.float64]


@dataclass(frozen=True)
class GroupColumn:
    """A number that a group's rows share, or a row's deviation from it.

    Attributes
    ----------
    name
        See `houseprice.config.Group.name_of`.
    column, by
        The number, and the column whose values are the groups.
    value_of
        The statistic of each group in the rows that it was fitted on.
    overall
        The same over all of them: for groups that were not seen, and for gaps.
    deviation
        Whether the row's own number less the statistic is meant.
    """

    name: str
    column: str
    by: str
    value_of: Mapping[object, float]
    overall: float
    deviation: bool

    def transform(self, frame: pd.DataFrame) -> pd.Series:
        """The new column, float64; a gap where the row's own number is needed and absent."""
        shared = frame[self.by].map(self.value_of).astype(np.float64).fillna(self.overall)
        values = frame[self.column] - shared if self.deviation else shared
        return values.rename(self.name)


def fit_group(frame: pd.DataFrame, column: str, recipe: Group) -> GroupColumn:
    """Learn a column's statistic in each group of the given rows.

    The target plays no part, so a group of one row tells nothing about its price.

    Parameters
    ----------
    frame
        The rows to learn from, [n_rows, n_columns], with their roles assigned: numbers float64, categories text.
    column
        The number: float64 [n_rows], gaps NaN. They don't count, and a group of nothing else is as one not seen.
    recipe
        The column of the groups, the statistic, and whether the deviation from it is meant; its ``columns`` are not
        looked at.

    Raises
    ------
    ConfigError
        If the column holds text.
    """
    if not is_numeric_dtype(frame[column]):
        raise ConfigError(f"groups: column {column!r} holds text, which has no {recipe.statistic}; name numbers")
    value_of = frame.groupby(recipe.by, observed=True)[column].agg(recipe.statistic).dropna().to_dict()
    return GroupColumn(
        name=recipe.name_of(column),
        column=column,
        by=recipe.by,
        value_of=value_of,
        overall=float(frame[column].agg(recipe.statistic)) if frame[column].notna().any() else 0.0,
        deviation=recipe.deviation,
    )


@dataclass(frozen=True)
class NormalScores:
    """The rank-based inverse normal transform: a number becomes the normal quantile of its rank among those fitted on.

    Attributes
    ----------
    values
        The distinct numbers that it was fitted on, ascending.
    scores
        Of each: Φ⁻¹(rank / (n + 1)), ranks from 1 to n, the mean rank for equal ones.
    """

    values: tuple[float, ...]
    scores: tuple[float, ...]

    def transform(self, values: Float) -> Float:
        """Scores, float64 [n_rows]: linear between the fitted numbers, beyond them those of the outermost; gaps stay.

        >>> fit_normal_scores(np.array([1.0, 2.0, 4.0])).transform(np.array([1.0, 3.0, 900.0, np.nan])).round(3)
        array([-0.674,  0.337,  0.674,    nan])
        """
        return np.asarray(np.interp(values, self.values, self.scores))


def fit_normal_scores(values: Float) -> NormalScores:
    """Learn the normal scores of numbers' ranks.

    van der Waerden, "Order tests for the two-sample problem and their power", *Indagationes Mathematicae* 14 (1952).
    A number that many rows share, such as 0, is at the middle of their ranks. scikit-learn's ``QuantileTransformer``
    has the least and the largest number at -5.2 and 5.2, however many rows share them, which is why it is not used.

    Parameters
    ----------
    values
        float64 [n_known ≥ 1], without gaps, in any order.
    """
    from scipy.special import ndtri

    distinct, counts = np.unique(values, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    return NormalScores(tuple(distinct.tolist()), tuple(ndtri(ranks / (len(values) + 1)).tolist()))


def fit_edges(values: Float, bins: int) -> Float:
    """Edges of at most so many pieces that hold equally many of the values, float64 [n_edges], ascending.

    Repeated quantiles count once; a column of few values thus has fewer pieces. Without two distinct values
    there are none.
    """
    return np.unique(np.quantile(values, np.linspace(0, 1, bins + 1))) if len(values) else np.empty(0)


def piecewise_linear(values: Float, edges: Float) -> Float:
    """How much of each piece lies below a value, in [0, 1]: float64 [n_rows] and [n_edges] → [n_rows, n_edges - 1].

    Piecewise linear encoding: Gorishniy, Rubachev & Babenko, "On embeddings for numerical features in tabular deep
    learning", NeurIPS 2022, §3.1; here values beyond the outermost edges count as these, so that no row is far.

    >>> piecewise_linear(np.array([0.0, 1.5, 9.0]), np.array([0.0, 1.0, 3.0]))
    array([[0.  , 0.  ],
           [1.  , 0.25],
           [1.  , 1.  ]])
    """
    low, high = edges[:-1], edges[1:]
    return np.asarray(np.clip((values[:, None] - low) / (high - low), 0.0, 1.0))
