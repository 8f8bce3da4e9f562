"""The fitted recipe that turns rows into a float32 matrix, and how it learns from training rows alone."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype

from houseprice.data.columns import (
    CategoryColumn,
    Column,
    NumberColumn,
    TextColumn,
    fit_category,
    fit_number,
    without_rarest,
)
from houseprice.data.encodings import GroupColumn, LevelColumn, fit_frequencies, fit_group, fit_target_means
from houseprice.errors import ConfigError, DataError, listing, nearest
from houseprice.files import in_memory
from houseprice.preparation import Features

Float = NDArray[np.float64]
_CHUNK = 20_000
"""Rows that are transformed together: what they become fits into the processor's cache, and the rest onto the disk."""

Gather = Callable[[tuple[int, int], Iterable[NDArray[np.float32]]], NDArray[np.float32]]
"""Makes one matrix of a shape of blocks of its rows."""


def n_blocks(n_rows: int) -> int:
    """How many blocks so many rows are transformed in."""
    return -(-n_rows // _CHUNK)


@dataclass(frozen=True)
class Preprocessor:
    """A fitted recipe: plain numbers and labels, in the order of the table's columns, numbers first.

    Attributes
    ----------
    numbers, categories
        How each input column is transformed.
    columns
        The output columns that are kept; the rest was constant in the rows it was fitted on, or too much.
    groups, levels
        Columns that are added before all others are transformed.
    interactions
        Pairs of numbers whose transformed values are multiplied.
    texts
        Columns of free text that are hashed.
    notices
        What was encoded otherwise, lumped or left out for its width, one sentence each.
    """

    numbers: tuple[NumberColumn, ...]
    categories: tuple[CategoryColumn, ...]
    columns: tuple[str, ...]
    groups: tuple[GroupColumn, ...] = ()
    interactions: tuple[tuple[str, str], ...] = ()
    levels: tuple[LevelColumn, ...] = ()
    texts: tuple[TextColumn, ...] = ()
    notices: tuple[str, ...] = ()

    def transform(
        self, frame: pd.DataFrame, own: pd.DataFrame | None = None, gather: Gather = in_memory
    ) -> NDArray[np.float32]:
        """Transform rows with their roles assigned to a float32 matrix [n_rows, n_columns] without gaps.

        Parameters
        ----------
        own
            What `fit_crossfitted` gave for the rows that it was fitted on, where they are among these.
        gather
            Makes the matrix of blocks of rows; by default in memory.

        Raises
        ------
        DataError
            If a number is too large for float32, naming its column.
        """
        frame = _with_learnt(frame, self.groups, self.levels, own)
        return gather((len(frame), len(self.columns)), self._blocks(frame))

    def _blocks(self, frame: pd.DataFrame) -> Iterator[NDArray[np.float32]]:
        """The rows of the matrix, some at a time."""
        place_of = {name: place for place, name in enumerate(self.columns)}
        too_large: set[int] = set()
        for start in range(0, len(frame), _CHUNK):
            chunk = frame.iloc[start : start + _CHUNK]
            by_column = np.empty((len(self.columns), len(chunk)), np.float32)
            for name, values in self._output(chunk):
                if name in place_of:
                    with np.errstate(over="ignore"):
                        by_column[place_of[name]] = values
            too_large.update(np.flatnonzero(~np.isfinite(by_column).all(axis=1)).tolist())
            yield by_column.T
        if too_large:
            names = [self.columns[place] for place in sorted(too_large)]
            raise DataError(
                f"features: numbers too large for float32 in columns {listing(names)}. Rescale or drop them."
            )

    def _output(self, frame: pd.DataFrame) -> Iterator[tuple[str, Float]]:
        """Every output column, [n_rows], with its name: one at a time, for together they may not fit into memory."""
        in_pairs = {name for pair in self.interactions for name in pair}
        factors: dict[str, Float] = {}
        taken: set[str] = set()
        columns: tuple[Column, ...] = (*self.numbers, *self.categories, *self.texts)
        for column in columns:
            for name, values in column.transform(frame[column.name]):
                while name in taken:  # label "Pave" of Alley and a column Alley_Pave; a label "nan" and gaps
                    name += "'"
                taken.add(name)
                if name in in_pairs:
                    factors[name] = values
                yield name, values
        for one, other in self.interactions:
            yield f"{one} × {other}", factors[one] * factors[other]


def _with_learnt(
    frame: pd.DataFrame, groups: Sequence[GroupColumn], levels: Sequence[LevelColumn], own: pd.DataFrame | None
) -> pd.DataFrame:
    """The frame with the columns that come from statistics, in which rows that were fitted on have values of theirs."""
    learnt = [*(column.transform(frame) for column in groups), *(column.transform(frame) for column in levels)]
    if own is not None and len(own.columns):
        rows = frame.index.get_indexer(own.index)
        for values in learnt:
            if values.name in own:
                values.iloc[rows] = own[values.name].to_numpy()
    return pd.concat([frame, *learnt], axis=1) if learnt else frame


def fit_preprocessor(frame: pd.DataFrame, recipe: Features, target: Float | None = None) -> Preprocessor:
    """Learn means, standard deviations, skewness, labels and constant columns from the given rows, and no others.

    Parameters
    ----------
    frame
        The rows to learn from, with their roles assigned (`houseprice.data.roles.assign_roles`).
    recipe
        See `houseprice.preparation.Features`.
    target
        float64 [n_rows] or [n_rows, n_targets], on the link scale. Without it, categories of many labels are encoded
        by frequencies alone.

    Notes
    -----
    Standardising, filling with the mean and ``get_dummies(dummy_na=True)`` are those of D2L §5.7.4; the standard
    deviation has n - 1 in its denominator, as pandas' has there. Smooth clipping is that of RealMLP: Holzmüller,
    Grinsztajn & Steinwart, "Better by default", NeurIPS 2024, §3.
    """
    return fit_crossfitted(frame, recipe, target)[0]


def fit_crossfitted(frame: pd.DataFrame, recipe: Features, target: Float | None) -> tuple[Preprocessor, pd.DataFrame]:
    """The same (`fit_preprocessor`), and the values of columns that learn from the target for the very rows fitted on.

    Returns
    -------
    Preprocessor, DataFrame
        The latter [n_rows, n_columns], indexed as ``frame``: a row's value is learnt from other rows, so that no model
        that is fitted on it reads its own target there.
    """
    ordinal = {column for group in recipe.ordinal for column in group.columns}
    known = list(frame.columns)
    _check_known(
        [column for group in recipe.groups for column in (group.by, *group.columns)], "groups: no column", known
    )
    groups = tuple(fit_group(frame, column, group) for group in recipe.groups for column in group.columns)
    labelled = [name for name in frame.columns if not is_numeric_dtype(frame[name]) and name not in recipe.text]
    levels, own, notices = _fit_levels(frame[labelled], recipe, target)
    by_level = {level.column for level in levels}
    frame = _with_learnt(frame, groups, levels, own)
    as_it_is = ordinal | {level.name for level in levels}
    numbers = tuple(
        fit_number(frame[name], recipe, name in as_it_is) for name in frame.columns if is_numeric_dtype(frame[name])
    )
    categories = tuple(fit_category(frame[name], recipe) for name in labelled if name not in by_level)
    texts = tuple(TextColumn(name, width) for name, width in recipe.text.items())
    in_pairs = [name for pair in recipe.interactions for name in pair]
    _check_known(in_pairs, "interactions: no number", [number.name for number in numbers])
    uncategorised: tuple[Column, ...] = (*numbers, *texts)
    others = sum(column.width for column in uncategorised) + len(recipe.interactions)
    categories, lumped = without_rarest(categories, frame, recipe.max_columns - others)
    everything = Preprocessor(numbers, categories, (), groups, recipe.interactions, levels, texts)
    kept = _kept(everything, frame, recipe)
    left_out = kept[recipe.max_columns :]
    if left_out:
        lumped.append(f"left out, beyond max_columns = {recipe.max_columns}: {listing(left_out)}")
    fitted = replace(everything, columns=kept[: recipe.max_columns], notices=(*notices, *lumped))
    return fitted, own


def _fit_levels(
    frame: pd.DataFrame, recipe: Features, target: Float | None
) -> tuple[tuple[LevelColumn, ...], pd.DataFrame, list[str]]:
    """Encode categories of more labels than ``max_levels`` by numbers; the rows' own values of what sees the target."""
    levels: list[LevelColumn] = []
    own: dict[str, Float] = {}
    notices: list[str] = []
    if recipe.high_cardinality in ("one_hot", "lump"):
        return (), pd.DataFrame(index=frame.index), notices
    for name in frame.columns:
        if (n_labels := frame[name].nunique()) <= recipe.max_levels:
            continue
        how = "their frequency"
        if recipe.high_cardinality == "target" and target is not None:
            how = "the mean target of each, and by their frequency"
            for column, values in fit_target_means(frame[name], target, recipe.smoothing):
                levels.append(column)
                own[column.name] = values
        levels.append(fit_frequencies(frame[name]))
        notices.append(
            f"column {name!r} has {n_labels} labels, more than max_levels = {recipe.max_levels}: encoded by {how}"
        )
    return tuple(levels), pd.DataFrame(own, index=frame.index), notices


def _kept(everything: Preprocessor, frame: pd.DataFrame, recipe: Features) -> tuple[str, ...]:
    """The output columns that are neither constant nor sparser than the recipe allows."""
    kept = dict.fromkeys(
        name
        for name, values in everything._output(frame)
        if not (recipe.drop_constant and np.ptp(values) == 0) and not _is_sparse(values, recipe.prune)
    )
    if not kept:
        raise DataError(
            f"features: every column is constant over the {len(frame)} training rows of a fold. Use fewer folds."
        )
    return tuple(kept)


def _check_known(names: Sequence[str], complaint: str, known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise ConfigError(f"{complaint} {name!r}; {nearest(name, known)}")


def _is_sparse(values: Float, least: int) -> bool:
    """Whether a column is an indicator whose rarer value has fewer rows than asked."""
    if not least:
        return False
    ones = int(np.count_nonzero(values == 1))
    return ones + np.count_nonzero(values == 0) == len(values) and min(ones, len(values) - ones) < least
