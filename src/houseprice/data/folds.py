"""Which rows are validated together. Folds are data: an array, made once, shared by all experiments."""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from houseprice.config import Folds
from houseprice.errors import ConfigError


def make_folds(n_rows: int, recipe: Folds) -> NDArray[np.int64]:
    """Assign every training row to a validation fold, once in every repeat.

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
    if recipe.k > n_rows:
        raise ConfigError(
            f"folds: k = {recipe.k} folds of {n_rows} training rows; each fold needs a row. Set k to {n_rows} or less."
        )
    in_order = np.sort(np.arange(n_rows, dtype=np.int64) % recipe.k)
    if recipe.scheme == "contiguous":
        return in_order[None, :]
    rng = np.random.default_rng(recipe.seed)
    folds = np.empty((recipe.repeats, n_rows), np.int64)
    for repeat in range(recipe.repeats):
        folds[repeat, rng.permutation(n_rows)] = in_order + repeat * recipe.k
    return folds


def left_out(fold_of_row: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which rows the members of each fold are not fitted on: bool [n_folds, n_rows], the folds of all repeats.

    >>> left_out(np.array([[0, 0, 1]]))
    array([[ True,  True, False],
           [False, False,  True]])
    """
    return np.stack([repeat == fold for repeat in fold_of_row for fold in np.unique(repeat)])


def pairs_of_folds(k: int) -> list[tuple[int, int]]:
    """The k (k - 1) / 2 pairs of folds that are left out together for a second level.

    >>> pairs_of_folds(3)
    [(0, 1), (0, 2), (1, 2)]
    """
    return list(combinations(range(k), 2))
