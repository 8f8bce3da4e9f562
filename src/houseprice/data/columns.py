"""How single columns become columns of a matrix: fitted on training rows, then applied to any."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from houseprice.data.encodings import NormalScores, fit_edges, fit_normal_scores, piecewise_linear
from houseprice.errors import DataError
from houseprice.preparation import Features

RARE = "(rare)"
GAP = "nan"


class Column(Protocol):
    """One input column and what it becomes."""

    @property
    def name(self) -> str:
        """Of the input column."""

    @property
    def width(self) -> int:
        """How many output columns it has."""

    def transform(self, values: pd.Series) -> Iterable[tuple[str, NDArray[np.float64]]]:
        """Output columns, each [n_rows], with their names."""


@dataclass(frozen=True)
class NumberColumn:
    """How one number is transformed: log(1 + x) where skewed, or normal scores; gaps filled, standardised, drawn in.

    With ``edges`` it is also encoded by the pieces of its range between them (`piecewise_linear`).
    """

    name: str
    log1p: bool
    fill: float
    mean: float
    std: float
    clip: float | None
    indicator: bool
    edges: tuple[float, ...] = ()
    normal_scores: NormalScores | None = None

    @property
    def width(self) -> int:
        """How many output columns it has."""
        return 1 + max(0, len(self.edges) - 1) + self.indicator

    def transform(self, values: pd.Series) -> list[tuple[str, NDArray[np.float64]]]:
        """Output columns, each [n_rows], with their names."""
        numbers = values.to_numpy(np.float64)
        gaps = np.isnan(numbers)
        if self.log1p:
            numbers = np.log1p(np.maximum(numbers, 0.0))
        if self.normal_scores:
            numbers = self.normal_scores.transform(numbers)
        numbers = np.where(gaps, self.fill, numbers)
        standardised = (numbers - self.mean) / self.std
        if self.clip is not None:
            standardised = np.clip(standardised, -1e100, 1e100)  # whose squares are finite
            standardised = standardised / np.sqrt(1 + np.square(standardised / self.clip))
        output = [(self.name, standardised)]
        if self.edges:
            pieces = piecewise_linear(numbers, np.array(self.edges))
            output += [(f"{self.name}[{piece}]", values) for piece, values in enumerate(pieces.T)]
        if self.indicator:
            output.append((f"{self.name}_missing", gaps * 1.0))
        return output


@dataclass(frozen=True)
class CategoryColumn:
    """How one category is encoded: an indicator for each label, for rare or unseen labels, and for gaps."""

    name: str
    labels: tuple[str, ...]
    lumps_rare: bool
    marks_gaps: bool

    @property
    def width(self) -> int:
        """How many output columns it has."""
        return len(self.labels) + self.lumps_rare + self.marks_gaps

    def transform(self, values: pd.Series) -> Iterator[tuple[str, NDArray[np.float64]]]:
        """Output columns, each [n_rows], with their names. A label not seen in fitting is rare, or else all zeros."""
        codes = pd.Index(self.labels, dtype="str").get_indexer(values)  # -1 for gaps and unseen labels
        gaps = values.isna().to_numpy()
        for code, label in enumerate(self.labels):
            yield f"{self.name}_{label}", (codes == code) * 1.0
        if self.lumps_rare:
            yield f"{self.name}_{RARE}", ((codes == -1) & ~gaps) * 1.0
        if self.marks_gaps:
            yield f"{self.name}_{GAP}", gaps * 1.0


@dataclass(frozen=True)
class TextColumn:
    """How a free text is hashed: its words fall into so many columns, each row of length 1, or 0 for a gap.

    Nothing is learnt: a word's column is its hash's. (Weinberger et al., "Feature hashing for large scale multitask
    learning", ICML 2009; scikit-learn's ``HashingVectorizer``.)
    """

    name: str
    width: int

    def transform(self, values: pd.Series) -> Iterator[tuple[str, NDArray[np.float64]]]:
        """Output columns, each [n_rows], with their names."""
        from sklearn.feature_extraction.text import HashingVectorizer

        hashed = HashingVectorizer(n_features=self.width).transform(values.fillna("")).tocsc()
        for place in range(self.width):
            yield f"{self.name}#{place}", hashed[:, [place]].toarray().ravel()


def fit_number(values: pd.Series, recipe: Features, is_ordinal: bool) -> NumberColumn:
    """Learn how to transform a number from the training rows.

    Parameters
    ----------
    values
        float64 [n_rows], NaN for a gap.
    recipe
        See `houseprice.preparation.Features`.
    is_ordinal
        Whether it is made of labels, or an encoding: then no logarithm is taken, however skewed it is.

    Raises
    ------
    DataError
        If the numbers are too large for a mean and a standard deviation.
    """
    known = values.dropna()
    with np.errstate(over="ignore", invalid="ignore"):
        least_skew = None if is_ordinal or recipe.normal_scores else recipe.log1p_skew
        skewed = least_skew is not None and known.min() >= 0 and known.skew() > least_skew
        if skewed:
            known = np.log1p(known)
        normal_scores = fit_normal_scores(known.to_numpy()) if recipe.normal_scores and len(known) else None
        if normal_scores:
            known = pd.Series(normal_scores.transform(known.to_numpy()))
        mean, std = float(known.mean()), float(known.std())
    if not len(known):
        mean, std = 0.0, 1.0
    elif known.min() == known.max():  # rounding may give a standard deviation of 1e-17 here
        mean, std = float(known.iloc[0]), 1.0
    elif std == 0:  # squares of 1e-200 are 0
        largest = float(known.abs().max())
        std = float((known / largest).std()) * largest or largest
    if not np.isfinite([mean, std]).all():
        raise DataError(f"features: numbers too large to standardise in column {values.name!r}. Rescale or drop it.")
    pieces = recipe.pieces if recipe.pieces and known.nunique() > recipe.pieces else None
    return NumberColumn(
        name=str(values.name),
        log1p=bool(skewed),
        fill=float(known.median()) if recipe.impute == "median" and len(known) else mean,
        mean=mean,
        std=std,
        clip=recipe.clip,
        indicator=recipe.missing_indicators and len(known) < len(values),
        edges=tuple(fit_edges(known.to_numpy(), pieces).tolist()) if pieces else (),
        normal_scores=normal_scores,
    )


def without_rarest(
    categories: Sequence[CategoryColumn], frame: pd.DataFrame, room: int
) -> tuple[tuple[CategoryColumn, ...], list[str]]:
    """Lump the rarest labels of all categories until they have no more output columns than there is room for.

    Parameters
    ----------
    frame
        The rows to count labels in.
    room
        How many output columns there may be. What has no indicator of its own left keeps those of rare labels and gaps.

    Returns
    -------
    tuple of CategoryColumn, list of str
        And a sentence for each that was lumped.
    """
    if sum(category.width for category in categories) <= room:
        return tuple(categories), []
    counted = [
        (count, category.name, label)
        for category in categories
        for label, count in frame[category.name].value_counts()[list(category.labels)].items()
    ]
    room_for_labels = max(0, room - len(categories) - sum(category.marks_gaps for category in categories))
    commonest = {(name, label) for _, name, label in sorted(counted, reverse=True)[:room_for_labels]}
    bounded, notices = [], []
    for category in categories:
        labels = tuple(label for label in category.labels if (category.name, label) in commonest)
        if n_lumped := len(category.labels) - len(labels):
            category = replace(category, labels=labels, lumps_rare=True)
            notices.append(f"column {category.name!r}: its {n_lumped} rarest labels are lumped, to bound the width")
        bounded.append(category)
    return tuple(bounded), notices


def fit_category(values: pd.Series, recipe: Features) -> CategoryColumn:
    """Learn the labels of a category, text [n_rows] with gaps, from the training rows: which have an indicator."""
    counts = values.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    counts = counts[counts > 0]  # a categorical also counts labels that are elsewhere
    lumps = recipe.high_cardinality == "lump" and len(counts) > recipe.max_levels
    common = counts[counts >= recipe.rare][: recipe.max_levels if lumps else None]
    return CategoryColumn(
        name=str(values.name),
        labels=tuple(sorted(str(label) for label in common.index)),
        lumps_rare=recipe.rare > 0 or lumps,
        marks_gaps=recipe.dummy_na or bool(values.isna().any()),
    )
