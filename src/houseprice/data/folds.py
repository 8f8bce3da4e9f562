"""Which rows are validated together. Folds are data: arrays, made once, shared by all experiments."""

import warnings
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from houseprice.config import Folds
from houseprice.data.dates import ISO, guess_format, read_dates
from houseprice.errors import ConfigError, DataError, listing


@dataclass(frozen=True)
class Split:
    """Who validates a row, and who is fitted on it.

    Attributes
    ----------
    fold_of_row
        int64 [n_repeats, n_rows]: the fold that validates a row, numbered through the repeats; -1 where none does.
    left_out
        bool [n_folds, n_rows]: the rows that the members of a fold are not fitted on.
    in_time
        Whether folds are in the order of time, and members fitted on the past of what they validate.
    """

    fold_of_row: NDArray[np.int64]
    left_out: NDArray[np.bool_]
    in_time: bool = False

    @classmethod
    def of(cls, fold_of_row: NDArray[np.int64]) -> "Split":
        """The usual split: members are fitted on all rows that their fold does not validate."""
        return cls(fold_of_row, left_out(fold_of_row))

    @property
    def validated(self) -> NDArray[np.bool_]:
        """bool [n_folds, n_rows]: the rows that each fold validates."""
        return left_out(self.fold_of_row)

    @property
    def is_validated(self) -> NDArray[np.bool_]:
        """bool [n_rows]: the rows that any fold validates, and that scores are of."""
        return np.asarray(self.fold_of_row[0] >= 0)


def make_split(recipe: Folds, target: pd.Series, by: pd.Series | None = None) -> Split:
    """Split the training rows as a recipe of the competition file says.

    Parameters
    ----------
    recipe
        See `houseprice.config.Folds`.
    target
        [n_rows], indexed by id: classes, or numbers.
    by
        The column ``recipe.by``, as text with gaps, indexed like the target.

    Raises
    ------
    ConfigError
        If there are more folds than rows, groups or times.
    DataError
        If the column has gaps, or is no column of times.
    """
    if recipe.is_in_time and by is not None:
        return _in_time(recipe, _times(recipe, by))
    if recipe.scheme == "given" and by is not None:
        folds = _given(recipe, by)
    elif recipe.scheme in ("shuffled", "contiguous"):
        folds = make_folds(len(target), recipe)
    else:
        folds = _balanced(recipe, _strata(recipe, target), by)
    return Split.of(folds)


def make_folds(n_rows: int, recipe: Folds) -> NDArray[np.int64]:
    """Assign every training row to a validation fold, once in every repeat, whatever stands in it.

    Fold sizes differ by at most one row: the ``n_rows % k`` rows that D2L's ``get_k_fold_data`` (§5.7) never
    validates are dealt to the first folds.

    Parameters
    ----------
    n_rows
        Number of training rows.
    recipe
        ``scheme`` "shuffled" deals the rows after a seeded permutation, another one for every repeat;
        "contiguous" cuts them in their order.

    Returns
    -------
    int64 [n_repeats, n_rows]
        The fold of every row, numbered through the repeats: repeat ``r`` holds folds ``r * k … r * k + k - 1``.

    Raises
    ------
    ConfigError
        If there are more folds than rows.

    Examples
    --------
    >>> make_folds(7, Folds(scheme="contiguous", k=3))
    array([[0, 0, 0, 1, 1, 2, 2]])
    """
    _check_number(recipe, n_rows, "training rows")
    in_order = np.sort(np.arange(n_rows, dtype=np.int64) % recipe.k)
    if recipe.scheme == "contiguous":
        return in_order[None, :]
    rng = np.random.default_rng(recipe.seed)
    folds = np.empty((recipe.repeats, n_rows), np.int64)
    for repeat in range(recipe.repeats):
        folds[repeat, rng.permutation(n_rows)] = in_order + repeat * recipe.k
    return folds


def left_out(fold_of_row: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which rows belong to each fold: bool [n_folds, n_rows], the folds of all repeats.

    >>> left_out(np.array([[0, 0, 1]]))
    array([[ True,  True, False],
           [False, False,  True]])
    """
    return np.stack([repeat == fold for repeat in fold_of_row for fold in np.unique(repeat[repeat >= 0])])


def pairs_of_folds(k: int) -> list[tuple[int, int]]:
    """The k (k - 1) / 2 pairs of folds that are left out together for a second level.

    >>> pairs_of_folds(3)
    [(0, 1), (0, 2), (1, 2)]
    """
    return list(combinations(range(k), 2))


def _check_number(recipe: Folds, available: int, what: str) -> None:
    if recipe.k > available:
        raise ConfigError(
            f"folds: k = {recipe.k} folds of {available} {what}; each fold needs one. Set k to {available} or less."
        )


def _strata(recipe: Folds, target: pd.Series) -> NDArray[np.int64]:
    """What each fold shall have its share of, [n_rows]: the classes, or as many equal parts of the targets' range."""
    if target.nunique() <= recipe.bins:
        return np.asarray(pd.factorize(target)[0], np.int64)
    return np.asarray((target.rank(method="first") - 1) * recipe.bins // len(target), np.int64)


def _balanced(recipe: Folds, strata: NDArray[np.int64], groups: pd.Series | None) -> NDArray[np.int64]:
    """Folds from scikit-learn's splitters."""
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, StratifiedKFold

    if groups is not None:
        _check_number(recipe, _without_gaps(recipe, groups).nunique(), f"groups in column {recipe.by!r}")
    _check_number(recipe, len(strata), "training rows")
    kind = {"stratified": StratifiedKFold, "grouped": GroupKFold, "stratified_grouped": StratifiedGroupKFold}
    folds = np.empty((recipe.repeats, len(strata)), np.int64)
    for repeat in range(recipe.repeats):
        splitter = kind[recipe.scheme](recipe.k, shuffle=True, random_state=recipe.seed + repeat)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The least populated class")  # some fold goes without it
            try:
                parts = list(splitter.split(strata, strata, groups))
            except ValueError as error:  # every class has fewer rows than there are folds
                raise ConfigError(f"folds: k = {recipe.k}: {error} Set k lower, or scheme = 'shuffled'.") from error
        for fold, (_, valid) in enumerate(parts):
            folds[repeat, valid] = repeat * recipe.k + fold
    return folds


def _given(recipe: Folds, by: pd.Series) -> NDArray[np.int64]:
    """Folds from a column: a label a fold; rows without one, or with -1, are never validated (as `PredefinedSplit`)."""
    labels = by.where(by != "-1")
    codes = np.asarray(pd.factorize(labels, sort=True)[0], np.int64)  # -1 for a gap
    if codes.max() < 1:
        named = listing(labels.dropna().unique())
        raise DataError(
            f"train.csv: column {recipe.by!r}, which gives the folds, names "
            f"{f'only {named}' if named else 'none'}. Name at least 2."
        )
    return codes[None, :]


def _times(recipe: Folds, by: pd.Series) -> NDArray[np.float64]:
    """A column of numbers, or of dates of one form (`houseprice.data.dates.FORMATS`) as days."""
    cells = _without_gaps(recipe, by)
    numbers = pd.to_numeric(cells, errors="coerce")
    if numbers.notna().all():
        return np.asarray(numbers, np.float64)
    dates = read_dates(cells, guess_format(cells) or ISO)
    if dates.isna().any():
        neither = dates.isna() & numbers.isna()
        strange = neither if neither.any() else dates.isna()
        raise DataError(
            f"train.csv: column {recipe.by!r}, which orders the folds in time, has cells that are neither numbers nor "
            f"dates: {listing(cells[strange].unique())} (ids {listing(cells.index[strange])}). Name another column."
        )
    return np.asarray((dates - dates.min()) / pd.Timedelta(days=1), np.float64)


def _without_gaps(recipe: Folds, by: pd.Series) -> pd.Series:
    if (gaps := by.isna()).any():
        raise DataError(
            f"train.csv: column {recipe.by!r}, by which {recipe.scheme} folds are made, has gaps "
            f"(ids {listing(by.index[gaps])}). Fill them, or exclude the rows under [ingest].exclude_ids."
        )
    return by


def _in_time(recipe: Folds, times: NDArray[np.float64]) -> Split:
    """k + 1 blocks in the order of time, of about as many rows; the first is never validated.

    Rows of the same time are in the same block. A block is validated by members that were fitted on the blocks before
    it: on all (``expanding``) or on the last ``window`` of them (``rolling``), but for rows within ``gap`` of it.
    """
    distinct, counts = np.unique(times, return_counts=True)
    _check_number(recipe, len(distinct) - 1, f"times in column {recipe.by!r} behind the first")
    middles = np.cumsum(counts) - counts / 2  # of the rows of each time, among all rows
    block_of_time = np.minimum((middles * (recipe.k + 1) / len(times)).astype(np.int64), recipe.k)
    block_of_time = pd.factorize(block_of_time)[0]  # a time with very many rows leaves blocks empty
    if block_of_time[-1] < recipe.k:
        raise ConfigError(
            f"folds: k = {recipe.k} folds in time, but the rows of column {recipe.by!r} fall into "
            f"{block_of_time[-1] + 1} blocks, for many share a time. Set k to {max(2, block_of_time[-1])} or less."
        )
    block = block_of_time[np.searchsorted(distinct, times)].astype(np.int64)
    fitted = np.zeros((recipe.k, len(times)), np.bool_)
    for fold in range(recipe.k):
        first = 0 if recipe.scheme == "expanding" else max(0, fold + 1 - recipe.window)
        start = times[block == fold + 1].min()
        fitted[fold] = (block >= first) & (block <= fold) & (start - times >= recipe.gap)
        if not fitted[fold].any():
            raise ConfigError(f"folds: gap = {recipe.gap:g} leaves fold {fold} no row to fit on. Set it lower.")
    return Split((block - 1)[None, :], ~fitted, in_time=True)
