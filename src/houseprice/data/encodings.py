"""Encodings that learn from training rows: of groups and labels, normal scores, pieces of a number's range."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype

from houseprice.errors import ConfigError, DataError
from houseprice.preparation import Group

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
    groups, values
        Every group in the rows that it was fitted on, and its statistic.
    overall
        The same over all of them: for groups that were not seen, and for gaps.
    deviation
        Whether the row's own number less the statistic is meant.
    """

    name: str
    column: str
    by: str
    groups: tuple[str | int | float | bool, ...]
    values: tuple[float, ...]
    overall: float
    deviation: bool

    def transform(self, frame: pd.DataFrame) -> pd.Series:
        """The new column, float64; a gap where the row's own number is needed and absent."""
        value_of = dict(zip(self.groups, self.values, strict=True))
        shared = frame[self.by].map(value_of).astype(np.float64).fillna(self.overall)
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
    DataError
        If its numbers are too large for the statistic.
    """
    if not is_numeric_dtype(frame[column]):
        raise ConfigError(f"groups: column {column!r} holds text, which has no {recipe.statistic}; name numbers")
    with np.errstate(over="ignore", invalid="ignore"):
        value_of = frame.groupby(recipe.by, observed=True)[column].agg(recipe.statistic).dropna().to_dict()
        overall = float(frame[column].agg(recipe.statistic)) if frame[column].notna().any() else 0.0
    if not np.isfinite([overall, *value_of.values()]).all():
        raise DataError(f"groups: numbers too large for a {recipe.statistic} in column {column!r}. Rescale or drop it.")
    return GroupColumn(
        name=recipe.name_of(column),
        column=column,
        by=recipe.by,
        groups=tuple(value_of),
        values=tuple(value_of.values()),
        overall=overall,
        deviation=recipe.deviation,
    )


@dataclass(frozen=True)
class LevelColumn:
    """A number for each label of a category, in place of an indicator for each.

    Attributes
    ----------
    name, column
        Of the new column, and of the category.
    labels, values
        Every label of the rows that it was fitted on, and its number.
    of_gaps, of_unseen
        The number of gaps, and of labels that were not there.
    """

    name: str
    column: str
    labels: tuple[str, ...]
    values: tuple[float, ...]
    of_gaps: float
    of_unseen: float

    def transform(self, frame: pd.DataFrame) -> pd.Series:
        """The new column, float64, without gaps."""
        cells = frame[self.column]
        codes = pd.Index(self.labels, dtype="str").get_indexer(cells)  # -1 for gaps and unseen labels
        numbers = np.append(self.values, self.of_unseen)[codes]
        return pd.Series(np.where(cells.isna(), self.of_gaps, numbers), index=frame.index, name=self.name)


_INNER_FOLDS = 5


def fit_target_means(cells: pd.Series, target: Float, smoothing: float) -> list[tuple[LevelColumn, Float]]:
    """Learn the mean target of each label, drawn towards the mean of all rows as if it were so many rows more.

    Micci-Barreca, "A preprocessing scheme for high-cardinality categorical attributes in classification and prediction
    problems", *SIGKDD Explorations* 3 (2001), with the weight n / (n + smoothing) for the mean of n rows. Gaps are a
    label of their own.

    Parameters
    ----------
    cells
        Labels of the rows to learn from, [n_rows].
    target
        float64 [n_rows] or [n_rows, n_targets].
    smoothing
        In rows.

    Returns
    -------
    list of (LevelColumn, float64 [n_rows])
        One a target. Other rows are encoded by the column; the rows that it was fitted on by the numbers beside it,
        each learnt from four fifths of the rows without it, for from its label's mean a model would read the target.
    """
    codes, labels = pd.factorize(cells, use_na_sentinel=False)  # gaps have a code, too
    inner = np.random.default_rng(0).permutation(len(cells)) % _INNER_FOLDS
    targets = target.reshape(len(cells), -1).T
    encoded = []
    for number, values in enumerate(targets):
        own = np.empty(len(cells))
        for fold in range(_INNER_FOLDS):
            others = inner != fold
            own[~others] = _smoothed_means(codes[others], values[others], len(labels), smoothing)[codes[~others]]
        name = f"mean(target) by {cells.name}" if len(targets) == 1 else f"mean(target {number}) by {cells.name}"
        means = _smoothed_means(codes, values, len(labels), smoothing)
        encoded.append((_level_column(name, cells, labels, means, float(values.mean())), own))
    return encoded


def _smoothed_means(codes: NDArray[np.int64], target: Float, n_labels: int, smoothing: float) -> Float:
    """Of each label, float64 [n_labels]; of one without rows the mean of all."""
    mean = target.mean()
    counts = np.bincount(codes, minlength=n_labels)
    return np.asarray(mean + np.bincount(codes, target - mean, minlength=n_labels) / (counts + smoothing))


def fit_frequencies(cells: pd.Series) -> LevelColumn:
    """Learn the share of the rows that have each label, or a gap; unseen ones have none."""
    codes, labels = pd.factorize(cells, use_na_sentinel=False)
    return _level_column(f"frequency of {cells.name}", cells, labels, np.bincount(codes) / len(cells), 0.0)


def _level_column(name: str, cells: pd.Series, labels: pd.Index, values: Float, of_unseen: float) -> LevelColumn:
    is_gap = pd.isna(labels)
    return LevelColumn(
        name=name,
        column=str(cells.name),
        labels=tuple(map(str, labels[~is_gap])),
        values=tuple(values[~is_gap].tolist()),
        of_gaps=float(values[is_gap][0]) if is_gap.any() else of_unseen,
        of_unseen=of_unseen,
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
