"""From tables to float32 matrices: roles, derived columns, and a preprocessor fitted on training rows alone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype

from houseprice.config import Ingest
from houseprice.data.folds import left_out
from houseprice.data.preprocessor import Allocate, Preprocessor, fit_crossfitted
from houseprice.data.roles import NOTHING_GUESSED, Roles, assign_roles, guess_roles, unseen_notices
from houseprice.data.tables import Tables
from houseprice.preparation import Features

Float = NDArray[np.float64]


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
    preprocessor: Preprocessor

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


def build_features(
    tables: Tables,
    recipe: Features,
    fold_of_row: NDArray[np.int64],
    ingest: Ingest,
    target: Float | None = None,
    *,
    empty: Allocate | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> FeatureSet:
    """Turn the tables into matrices by a recipe of the competition file.

    Parameters
    ----------
    tables
        Checked frames, indexed by id.
    recipe
        ``scope = "fold"`` fits one preprocessor a fold, on the rows that the fold trains on; ``"all"`` fits a single
        one on train and test together, which sees the validation and test rows (D2L §5.7.4), but never a target.
    fold_of_row
        int64 [n_repeats, n_train] (`houseprice.data.folds.make_folds`).
    ingest
        Which columns have a "none of it" category, and its label.
    target
        float64 [n_train] or [n_train, n_targets] on the link scale, for encodings that learn from it: each fold's
        from the rows that it trains on. By default the tables' own, in natural units.
    empty
        Makes the matrices (`houseprice.files.scratch_matrix`); by default in memory.
    on_progress
        Called with the matrices done and their number.

    Raises
    ------
    ConfigError
        If the recipe names a column that is not there, or asks for the statistic of text.
    DataError
        If a column can't play its role, naming the labels and ids.
    """
    without = left_out(fold_of_row)
    return features_without(tables, recipe, without, ingest, target, empty=empty, on_progress=on_progress)


def features_without(
    tables: Tables,
    recipe: Features,
    without: NDArray[np.bool_],
    ingest: Ingest,
    target: Float | None = None,
    *,
    empty: Allocate | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> FeatureSet:
    """The same (`build_features`), with one preprocessor for each set of training rows that it does not see.

    Parameters
    ----------
    without
        bool [n_sets, n_train]: the rows that each is not fitted on.
    """
    roles = guess_roles(tables, recipe, ingest)
    train = _as_categories(assign_roles(tables.train, recipe, ingest, "train.csv", roles), recipe)
    test = _as_categories(assign_roles(tables.test, recipe, ingest, "test.csv", roles), recipe)
    target = tables.target.to_numpy(np.float64) if target is None else target

    def fit(rows: NDArray[np.bool_]) -> tuple[Preprocessor, pd.DataFrame]:
        if recipe.scope == "all":
            return fit_crossfitted(pd.concat([train, test]), recipe, None)
        return fit_crossfitted(train[~rows], recipe, target[~rows])

    matrices: list[Matrix] = []
    sets = without[:1] if recipe.scope == "all" else without
    for rows in sets:
        preprocessor, own = fit(rows)
        X, X_test = preprocessor.transform(train, own, empty), preprocessor.transform(test, None, empty)
        matrices.append(Matrix(X, X_test, preprocessor))
        on_progress(len(matrices), len(sets))
    of_a_fold = max((matrix.preprocessor.notices for matrix in matrices), key=len)
    unseen = [] if recipe.scope == "all" else unseen_notices(train, test, recipe)
    return FeatureSet(recipe.scope, tuple(matrices), roles, (*roles.notices, *of_a_fold, *unseen))


def _as_categories(frame: pd.DataFrame, recipe: Features) -> pd.DataFrame:
    """Labels as codes, which preprocessors look up many times faster than text."""
    frame = frame.copy(deep=False)
    for name in frame.columns:
        if not is_numeric_dtype(frame[name]) and name not in recipe.text:
            frame[name] = frame[name].astype("category")
    return frame
