"""From tables to float32 matrices: roles, derived columns, and a preprocessor fitted on training rows alone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype

from houseprice.config import Features, Ingest
from houseprice.data.columns import CategoryColumn, NumberColumn, fit_category, fit_number
from houseprice.data.encodings import GroupColumn, fit_group
from houseprice.data.folds import left_out
from houseprice.data.roles import NOTHING_GUESSED, Roles, assign_roles, guess_roles, unseen_notices
from houseprice.data.tables import Tables
from houseprice.errors import ConfigError, DataError, listing, nearest


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
    """The matrices of a feature recipe: one a fold, or one for all folds with ``scope = "all"``.

    Attributes
    ----------
    roles
        What columns are of which the recipe says nothing.
    notices
        What was guessed, left out or lumped on the way, one sentence each.
    """

    scope: Literal["fold", "all"]
    matrices: tuple[Matrix, ...]
    roles: Roles = NOTHING_GUESSED
    notices: tuple[str, ...] = ()

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
    roles = guess_roles(tables, recipe, ingest)
    train = assign_roles(tables.train, recipe, ingest, "train.csv", roles)
    test = assign_roles(tables.test, recipe, ingest, "test.csv", roles)
    fitted_on = [pd.concat([train, test])] if recipe.scope == "all" else [train[~rows] for rows in without]
    matrices = []
    for rows in fitted_on:
        preprocessor = fit_preprocessor(rows, recipe)
        matrices.append(Matrix(preprocessor.transform(train), preprocessor.transform(test), preprocessor))
    unseen = [] if recipe.scope == "all" else unseen_notices(train, test)
    return FeatureSet(recipe.scope, tuple(matrices), roles, (*roles.notices, *unseen))


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
        fit_number(frame[name], recipe, name in ordinal) for name in frame.columns if is_numeric_dtype(frame[name])
    )
    categories = tuple(fit_category(frame[name], recipe) for name in frame.columns if not is_numeric_dtype(frame[name]))
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
