"""From tables to float32 matrices: roles, derived columns, and a preprocessor fitted on training rows alone."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype

from houseprice.config import Ingest
from houseprice.data.folds import left_out
from houseprice.data.preprocessor import Gather, Preprocessor, fit_crossfitted, n_blocks
from houseprice.data.roles import (
    NOTHING_GUESSED,
    Roles,
    assign_roles,
    guess_roles,
    new_rows_notices,
    unseen_notices,
)
from houseprice.data.tables import Tables
from houseprice.errors import listing
from houseprice.files import in_memory
from houseprice.preparation import Features

Float = NDArray[np.float64]
T = TypeVar("T")


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
class FittedFeatures:
    """What was learnt for a feature set, in plain values: all that it takes to make its matrices of new rows.

    Attributes
    ----------
    scope
        As of the recipe.
    preprocessors
        One a fold, or one for all with ``scope = "all"``.
    roles
        What columns are of which the recipe says nothing.
    """

    scope: Literal["fold", "all"]
    preprocessors: tuple[Preprocessor, ...]
    roles: Roles

    def place_of(self, fold: int) -> int:
        """Which of the preprocessors is the fold's."""
        return 0 if self.scope == "all" else fold

    def transform(
        self, frame: pd.DataFrame, recipe: Features, ingest: Ingest, name: str, gather: Gather = in_memory
    ) -> tuple[list[NDArray[np.float32]], list[str]]:
        """Make the matrices of new rows, each row for itself: nothing is learnt from them.

        Parameters
        ----------
        frame
            With the columns and types of the tables (`houseprice.data.new_rows.read_new_rows`).
        recipe, ingest
            What the features were fitted with.
        name
            The rows' file, for messages.
        gather
            Makes the matrices of blocks of rows; by default in memory.

        Returns
        -------
        list of float32 [n_rows, n_columns], list of str
            One matrix a preprocessor; and what doesn't fit what was learnt, one sentence each.

        Raises
        ------
        DataError
            If a column can't play its role, naming the labels and ids.
        """
        notices = new_rows_notices(frame, recipe, self.roles, name)
        frame = _as_categories(assign_roles(frame, recipe, ingest, name, self.roles), recipe)
        matrices = [preprocessor.transform(frame, None, gather) for preprocessor in self.preprocessors]
        return matrices, notices + self._unknown_notices(frame, name)

    def _unknown_notices(self, frame: pd.DataFrame, name: str) -> list[str]:
        """Say which labels of new rows none of the preprocessors knows."""
        known: dict[str, set[str]] = {}
        for each in self.preprocessors:
            for labelled in each.categories:
                known.setdefault(labelled.name, set()).update(labelled.labels)
            for level in each.levels:
                known.setdefault(level.column, set()).update(level.labels)
        notices = []
        for column, labels in known.items():
            cells = frame[column].dropna()
            unknown = cells[~cells.isin(labels)]
            if len(unknown):
                notices.append(
                    f"{name}: column {column!r}: {len(unknown)} of {len(frame)} cells hold labels that the training "
                    f"rows do not have, or too seldom to learn from: {listing(map(repr, unknown.unique()))}"
                )
        return notices


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
    def fitted(self) -> FittedFeatures:
        """What was learnt, without the matrices."""
        preprocessors = tuple(replace(matrix.preprocessor, notices=()) for matrix in self.matrices)
        return FittedFeatures(self.scope, preprocessors, replace(self.roles, notices=()))

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
    gather: Gather = in_memory,
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
    gather
        Makes the matrices of blocks of rows (`houseprice.files.scratch_matrix`); by default in memory.
    on_progress
        Called with the steps done and their number: roles guessed, roles assigned, then for each preprocessor its fit
        and each block of rows that it transforms.

    Raises
    ------
    ConfigError
        If the recipe names a column that is not there, or asks for the statistic of text.
    DataError
        If a column can't play its role, naming the labels and ids.
    """
    without = left_out(fold_of_row)
    return features_without(tables, recipe, without, ingest, target, gather=gather, on_progress=on_progress)


def features_without(
    tables: Tables,
    recipe: Features,
    without: NDArray[np.bool_],
    ingest: Ingest,
    target: Float | None = None,
    *,
    gather: Gather = in_memory,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> FeatureSet:
    """The same (`build_features`), with one preprocessor for each set of training rows that it does not see.

    Parameters
    ----------
    without
        bool [n_sets, n_train]: the rows that each is not fitted on.
    """
    sets = without[:1] if recipe.scope == "all" else without
    steps = _Steps(on_progress, 2 + len(sets) * (1 + n_blocks(len(tables.train)) + n_blocks(len(tables.test))))
    roles = guess_roles(tables, recipe, ingest)
    steps.count()
    train = _as_categories(assign_roles(tables.train, recipe, ingest, "train.csv", roles), recipe)
    test = _as_categories(assign_roles(tables.test, recipe, ingest, "test.csv", roles), recipe)
    steps.count()
    target = tables.target.to_numpy(np.float64) if target is None else target

    def fit(rows: NDArray[np.bool_]) -> tuple[Preprocessor, pd.DataFrame]:
        if recipe.scope == "all":
            return fit_crossfitted(pd.concat([train, test]), recipe, None)
        return fit_crossfitted(train[~rows], recipe, target[~rows])

    def gather_counted(shape: tuple[int, int], blocks: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
        return gather(shape, steps.counted(blocks))

    matrices: list[Matrix] = []
    for rows in sets:
        preprocessor, own = fit(rows)
        steps.count()
        X = preprocessor.transform(train, own, gather_counted)
        X_test = preprocessor.transform(test, None, gather_counted)
        matrices.append(Matrix(X, X_test, preprocessor))
    of_a_fold = max((matrix.preprocessor.notices for matrix in matrices), key=len)
    unseen = [] if recipe.scope == "all" else unseen_notices(train, test, recipe)
    return FeatureSet(recipe.scope, tuple(matrices), roles, (*roles.notices, *of_a_fold, *unseen))


class _Steps:
    """Counts the steps of something long, and tells how many of all are done."""

    def __init__(self, on_progress: Callable[[int, int], None], total: int) -> None:
        self._on_progress, self._done, self._total = on_progress, 0, total

    def count(self) -> None:
        """One more is done."""
        self._done += 1
        self._on_progress(self._done, self._total)

    def counted(self, blocks: Iterable[T]) -> Iterator[T]:
        """The same blocks; one that is taken care of is a step."""
        for block in blocks:
            yield block
            self.count()


def _as_categories(frame: pd.DataFrame, recipe: Features) -> pd.DataFrame:
    """Labels as codes, which preprocessors look up many times faster than text."""
    frame = frame.copy(deep=False)
    for name in frame.columns:
        if not is_numeric_dtype(frame[name]) and name not in recipe.text:
            frame[name] = frame[name].astype("category")
    return frame
