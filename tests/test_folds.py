"""Folds: every row is validated exactly once in every repeat, in folds whose sizes differ by at most one."""

import numpy as np
import pytest

from houseprice.config import Folds
from houseprice.data.folds import make_folds


@pytest.mark.parametrize(("scheme", "repeats"), [("contiguous", 1), ("shuffled", 1), ("shuffled", 3)])
@pytest.mark.parametrize(("n_rows", "k"), [(10, 2), (10, 3), (1460, 10), (1460, 7), (7, 7), (8, 7), (2, 2)])
def test_every_row_is_validated_once_in_every_repeat(scheme: str, repeats: int, n_rows: int, k: int) -> None:
    folds = make_folds(n_rows, Folds.model_validate({"scheme": scheme, "k": k, "repeats": repeats}))
    assert folds.shape == (repeats, n_rows)
    assert folds.dtype == np.int64
    for repeat, fold_of_row in enumerate(folds):
        numbers, sizes = np.unique(fold_of_row, return_counts=True)
        assert numbers.tolist() == list(range(repeat * k, repeat * k + k))
        assert sizes.sum() == n_rows
        assert sizes.max() - sizes.min() <= 1


def test_contiguous_folds_are_those_of_d2l_and_drop_no_row() -> None:
    """D2L's get_k_fold_data cuts 1460 rows into five slices of 292."""
    expected = np.repeat(np.arange(5), 292)
    np.testing.assert_array_equal(make_folds(1460, Folds(scheme="contiguous", k=5))[0], expected)
    assert make_folds(11, Folds(scheme="contiguous", k=3))[0].tolist() == [0] * 4 + [1] * 4 + [2] * 3


def test_the_seed_decides_the_shuffle() -> None:
    folds = make_folds(100, Folds(k=5, seed=1))
    np.testing.assert_array_equal(folds, make_folds(100, Folds(k=5, seed=1)))
    assert (folds != make_folds(100, Folds(k=5, seed=2))).any()
    assert (np.diff(folds[0]) < 0).any()


def test_repeats_differ_and_the_first_one_is_that_of_a_single_repeat() -> None:
    folds = make_folds(100, Folds(k=5, repeats=3))
    np.testing.assert_array_equal(folds[:1], make_folds(100, Folds(k=5)))
    within = folds % 5
    assert (within[0] != within[1]).any()
    assert (within[1] != within[2]).any()


def test_as_many_folds_as_rows_leave_one_out() -> None:
    assert sorted(make_folds(6, Folds(k=6))[0]) == [0, 1, 2, 3, 4, 5]
