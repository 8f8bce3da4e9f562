"""From tables to float32 matrices: roles, derived columns, and a preprocessor fitted on training rows alone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype

from houseprice.config import Features, Ingest
from houseprice.data.encodings import (
    GroupColumn,
    NormalScores,
    fit_edges,
    fit_group,
    fit_normal_scores,
    piecewise_linear,
)
from houseprice.data.expressions import derive
from houseprice.data.folds import left_out
from houseprice.data.patterns import extract
from houseprice.data.tables import Tables
from houseprice.errors import ConfigError, DataError, listing, nearest

RARE = "(rare)"
GAP = "nan"


@dataclass(frozen=True)
class Matrix:
    """The features of all rows, as one preprocessor sees them.

    Attributes
    ----------
    X, X_test
        float32 [n_train, n_columns] and [n_test, n_columns], without gaps.
    preprocessor
        What made them, and makes them of other rows.
    """

    X: NDArray[np.float32]
    X_test: NDArray[np.float32]
    preprocessor: "Preprocessor"

    @property
    def columns(self) -> tuple[str, ...]:
        """The name of each column: ``LotArea``, ``LotArea_missing``, ``Alley_Grvl``, ``Alley_nan``."""
        return self.preprocessor.columns


@dataclass(frozen=True)
class FeatureSet:
    """The matrices of a feature recipe: one a fold, or one for all folds with ``scope = "all"``."""

    scope: Literal["fold", "all"]
    matrices: tuple[Matrix, ...]

    def of_fold(self, fold: int) -> Matrix:
        """The matrix that the members of a fold are fitted on and asked about."""
        return self.matrices[0 if self.scope == "all" else fold]

    @property
    def n_columns(self) -> tuple[int, int]:
        """The smallest and the largest number of columns; folds differ where a label is constant in one."""
        widths = [len(matrix.columns) for matrix in self.matrices]
        return min(widths), max(widths)


def build_features(tables: Tables, recipe: Features, fold_of_row: NDArray[np.int64], ingest: Ingest) -> FeatureSet:
    """Turn the tables into matrices by a recipe of the competition file.

    Parameters
    ----------
    tables
        Checked frames, indexed by id.
    recipe
        ``scope = "fold"`` fits one preprocessor a fold, on the rows that the fold trains on; ``"all"`` fits a single
        one on train and test together, which sees the validation and test rows (D2L §5.7.4).
    fold_of_row
        int64 [n_repeats, n_train] (`houseprice.data.folds.make_folds`).
    ingest
        Which columns have a "none of it" category, and its label.

    Raises
    ------
    ConfigError
        If the recipe names a column that is not there, or asks for the statistic of text.
    DataError
        If a column can't play its role, naming the labels and ids.
    """
    return features_without(tables, recipe, left_out(fold_of_row), ingest)


def features_without(tables: Tables, recipe: Features, without: NDArray[np.bool_], ingest: Ingest) -> FeatureSet:
    """The same (`build_features`), with one preprocessor for each set of training rows that it does not see.

    Parameters
    ----------
    without
        bool [n_sets, n_train]: the rows that each is not fitted on.
    """
    train = assign_roles(tables.train, recipe, ingest, "train.csv")
    test = assign_roles(tables.test, recipe, ingest, "test.csv")
    fitted_on = [pd.concat([train, test])] if recipe.scope == "all" else [train[~rows] for rows in without]
    matrices = []
    for rows in fitted_on:
        preprocessor = fit_preprocessor(rows, recipe)
        matrices.append(Matrix(preprocessor.transform(train), preprocessor.transform(test), preprocessor))
    return FeatureSet(recipe.scope, tuple(matrices))


def assign_roles(frame: pd.DataFrame, recipe: Features, ingest: Ingest, name: str) -> pd.DataFrame:
    """Give every column its role, row by row, learning nothing from the rows.

    Numbers and ordinals become float64, categories text, derived columns are added, dropped ones removed.

    Parameters
    ----------
    frame
        Indexed by id; numbers float64, text ``str``.
    name
        The file's name, for messages.
    """
    frame = extract(frame.copy(), recipe.extract)
    named = [(role, column) for role in ("number", "category", "drop") for column in getattr(recipe, role)]
    named += [("ordinal", column) for group in recipe.ordinal for column in group.columns]
    for role, column in named:
        if column not in frame:
            raise ConfigError(
                f"{role}: no column {column!r} in {name}, or it is empty or constant there; "
                f"{nearest(column, list(frame.columns))}"
            )
    if recipe.none_is_missing:
        for column in frame.columns.intersection(list(ingest.none_columns)):
            frame[column] = frame[column].replace(ingest.none_label, np.nan)
    for column in recipe.number:
        frame[column] = _as_number(frame[column], name)
    for group in recipe.ordinal:
        for column in group.columns:
            frame[column] = _as_code(frame[column], group.order, name)
    frame = derive(frame, recipe.derived)
    for column in recipe.category:
        frame[column] = _as_text(frame[column])
    return frame.drop(columns=list(recipe.drop))


def _as_number(values: pd.Series, name: str) -> pd.Series:
    numbers = pd.to_numeric(values, errors="coerce").astype(np.float64)
    odd = values[numbers.isna() & values.notna()]
    if len(odd):
        raise DataError(
            f"{name}: column {values.name!r} has the role number, but holds {listing(map(repr, odd.unique()))} "
            f"(ids {listing(odd.index)}). Correct the cells, list the text under [ingest].missing, or change the role."
        )
    return numbers


def _as_code(values: pd.Series, order: Sequence[str], name: str) -> pd.Series:
    labels = _as_text(values)
    codes = pd.Index(order, dtype="str").get_indexer(labels)  # -1 for gaps and unknown labels
    odd = labels[(codes == -1) & labels.notna()]
    if len(odd):
        raise DataError(
            f"{name}: column {values.name!r}: labels {listing(map(repr, odd.unique()))} (ids {listing(odd.index)}) are "
            f"not in its order {list(order)}. Add them to the order in the competition file."
        )
    return pd.Series(np.where(codes == -1, np.nan, codes), index=values.index, name=values.name)


def _as_text(values: pd.Series) -> pd.Series:
    """Numbers as labels: 20.0 becomes "20"; gaps stay gaps."""
    if not is_numeric_dtype(values):
        return values
    return values.map(lambda number: f"{number:.15g}", na_action="ignore").astype(object)


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

    def transform(self, values: pd.Series) -> list[tuple[str, NDArray[np.float64]]]:
        """Output columns, each [n_rows], with their names. A label not seen in fitting is rare, or else all zeros."""
        codes = pd.Index(self.labels, dtype="str").get_indexer(values)  # -1 for gaps and unseen labels
        gaps = values.isna().to_numpy()
        output = [(f"{self.name}_{label}", (codes == code) * 1.0) for code, label in enumerate(self.labels)]
        if self.lumps_rare:
            output.append((f"{self.name}_{RARE}", ((codes == -1) & ~gaps) * 1.0))
        if self.marks_gaps:
            output.append((f"{self.name}_{GAP}", gaps * 1.0))
        return output


@dataclass(frozen=True)
class Preprocessor:
    """A fitted recipe: plain numbers and labels, in the order of the table's columns, numbers first.

    Attributes
    ----------
    numbers, categories
        How each input column is transformed.
    columns
        The output columns that are kept; the rest was constant in the rows it was fitted on.
    groups
        Columns that are added before all others are transformed.
    interactions
        Pairs of numbers whose transformed values are multiplied.
    """

    numbers: tuple[NumberColumn, ...]
    categories: tuple[CategoryColumn, ...]
    columns: tuple[str, ...]
    groups: tuple[GroupColumn, ...] = ()
    interactions: tuple[tuple[str, str], ...] = ()

    def transform(self, frame: pd.DataFrame) -> NDArray[np.float32]:
        """Transform rows with their roles assigned to a float32 matrix [n_rows, n_columns] without gaps.

        Raises
        ------
        DataError
            If a number is too large for float32, naming its column.
        """
        output = self._all_columns(frame)
        matrix = np.empty((len(frame), len(self.columns)), np.float32)
        with np.errstate(over="ignore"):
            for position, name in enumerate(self.columns):
                matrix[:, position] = output[name]
        if not np.isfinite(matrix).all():
            bad = [name for name, values in zip(self.columns, matrix.T, strict=True) if not np.isfinite(values).all()]
            raise DataError(f"features: numbers too large for float32 in columns {listing(bad)}. Rescale or drop them.")
        return matrix

    def _all_columns(self, frame: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
        frame = _with_groups(frame, self.groups)
        output: dict[str, NDArray[np.float64]] = {}
        columns: tuple[NumberColumn | CategoryColumn, ...] = (*self.numbers, *self.categories)
        for column in columns:
            for name, values in column.transform(frame[column.name]):
                while name in output:  # label "Pave" of Alley and a column Alley_Pave; a label "nan" and gaps
                    name += "'"
                output[name] = values
        return output | {f"{one} × {other}": output[one] * output[other] for one, other in self.interactions}


def _with_groups(frame: pd.DataFrame, groups: Sequence[GroupColumn]) -> pd.DataFrame:
    return pd.concat([frame, *(group.transform(frame) for group in groups)], axis=1) if groups else frame


def fit_preprocessor(frame: pd.DataFrame, recipe: Features) -> Preprocessor:
    """Learn means, standard deviations, skewness, labels and constant columns from the given rows, and no others.

    Parameters
    ----------
    frame
        The rows to learn from, with their roles assigned (`assign_roles`).
    recipe
        See `houseprice.config.Features`.

    Notes
    -----
    Standardising, filling with the mean and ``get_dummies(dummy_na=True)`` are those of D2L §5.7.4; the standard
    deviation has n - 1 in its denominator, as pandas' has there. Smooth clipping is that of RealMLP: Holzmüller,
    Grinsztajn & Steinwart, "Better by default", NeurIPS 2024, §3.
    """
    ordinal = {column for group in recipe.ordinal for column in group.columns}
    known = list(frame.columns)
    _check_known(
        [column for group in recipe.groups for column in (group.by, *group.columns)], "groups: no column", known
    )
    groups = tuple(fit_group(frame, column, group) for group in recipe.groups for column in group.columns)
    frame, ungrouped = _with_groups(frame, groups), frame
    numbers = tuple(
        _fit_number(frame[name], recipe, name in ordinal) for name in frame.columns if is_numeric_dtype(frame[name])
    )
    categories = tuple(
        _fit_category(frame[name], recipe) for name in frame.columns if not is_numeric_dtype(frame[name])
    )
    in_pairs = [name for pair in recipe.interactions for name in pair]
    _check_known(in_pairs, "interactions: no number", [number.name for number in numbers])
    everything = Preprocessor(numbers, categories, (), groups, recipe.interactions)
    output = everything._all_columns(ungrouped)
    kept = tuple(
        name
        for name, values in output.items()
        if not (recipe.drop_constant and np.ptp(values) == 0) and not _is_sparse(values, recipe.prune)
    )
    if not kept:
        raise DataError(
            f"features: every column is constant over the {len(frame)} training rows of a fold. Use fewer folds."
        )
    return replace(everything, columns=kept)


def _check_known(names: Sequence[str], complaint: str, known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise ConfigError(f"{complaint} {name!r}; {nearest(name, known)}")


def _is_sparse(values: NDArray[np.float64], least: int) -> bool:
    """Whether a column is an indicator whose rarer value has fewer rows than asked."""
    ones = int(np.count_nonzero(values == 1))
    return ones + np.count_nonzero(values == 0) == len(values) and min(ones, len(values) - ones) < least


def _fit_number(values: pd.Series, recipe: Features, is_ordinal: bool) -> NumberColumn:
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


def _fit_category(values: pd.Series, recipe: Features) -> CategoryColumn:
    counts = values.value_counts()
    labels = sorted(str(label) for label in counts.index[counts >= recipe.rare])
    return CategoryColumn(
        name=str(values.name),
        labels=tuple(labels),
        lumps_rare=recipe.rare > 0,
        marks_gaps=recipe.dummy_na or values.isna().any(),
    )
