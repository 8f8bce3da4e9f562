"""Label shift: the shares of classes are found from a classifier's own mistakes, or it is said why they can't be."""

import numpy as np
import pytest
from numpy.typing import NDArray

from houseprice.errors import DataError
from houseprice.learn.priors import estimate_label_shift

CONFUSION = np.array([[0.7, 0.2, 0.1], [0.2, 0.6, 0.3], [0.1, 0.2, 0.6]])  # column: true
KNOWN, TRUE = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.3, 0.6])


def rows(shares: NDArray[np.float64], n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """So many rows' classes, and what is predicted: in exactly the shares that `CONFUSION` says."""
    counts = np.rint(CONFUSION * shares * n).astype(int).ravel()
    return np.repeat(np.tile(np.arange(3), 3), counts), np.repeat(np.repeat(np.arange(3), 3), counts)


def test_exact_shares_are_found_exactly() -> None:
    known, test = rows(KNOWN, 1000), rows(TRUE, 1000)
    found = estimate_label_shift(*known, test[1], 3)
    np.testing.assert_allclose(found.confusion, CONFUSION, atol=1e-12)
    np.testing.assert_allclose(found.known, KNOWN, atol=1e-12)
    np.testing.assert_allclose(found.estimated, TRUE, atol=1e-12)
    np.testing.assert_allclose(found.weights, TRUE / KNOWN, atol=1e-12)
    counted = np.bincount(test[1]) / len(test[1])
    assert np.abs(counted - TRUE).sum() > 0.3  # which counting does not find


def test_what_sampling_makes_negative_is_0() -> None:
    known = rows(KNOWN, 1000)
    found = estimate_label_shift(*known, np.zeros(50, np.int64), 3)  # more 0s than a test set of 0s alone would have
    assert found.estimated.min() == 0
    assert found.estimated.sum() == pytest.approx(1)


@pytest.mark.parametrize("seed", range(3))
def test_a_classifier_that_knows_nothing_is_refused(seed: int) -> None:
    y_true, y_pred = np.random.default_rng(seed).integers(4, size=(2, 400))
    with pytest.raises(DataError, match=r"the confusion matrix is singular within its noise .* with 400 rows"):
        estimate_label_shift(y_true, y_pred, y_pred, 4)


def test_two_classes_that_are_predicted_alike_are_named() -> None:
    y_true = np.tile([0, 1, 2, 2], 100)
    y_pred = np.where(y_true == 0, 0, np.tile([1, 1, 1, 1, 0, 2, 2, 2], 50))
    y_pred[y_true == 1] = np.tile([1, 2], 50)
    y_pred[y_true == 2] = np.tile([1, 2], 100)
    with pytest.raises(DataError, match="of classes 1, 2 the predictions don't differ"):
        estimate_label_shift(y_true, y_pred, y_pred, 3)


def test_rows_that_say_nothing_are_named() -> None:
    known = rows(KNOWN, 1000)
    with pytest.raises(DataError, match="no validation row has class 3, so nobody knows how it is predicted"):
        estimate_label_shift(*known, known[1], 4)
    with pytest.raises(DataError, match="y_true: has 2; give classes 0 to 1"):
        estimate_label_shift(*known, known[1], 2)
    with pytest.raises(DataError, match="y_pred_test: has no rows"):
        estimate_label_shift(*known, known[1][:0], 3)
