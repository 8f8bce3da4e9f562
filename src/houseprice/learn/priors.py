"""Label shift: how often classes come among rows whose classes nobody knows, from what a classifier says of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from houseprice.errors import DataError, listing

Float = NDArray[np.float64]
Int = NDArray[np.int64]


@dataclass(frozen=True)
class LabelShift:
    """The shares of classes on both sides.

    Attributes
    ----------
    known, estimated
        float64 [n_classes], shares among the validation rows, and as estimated among the test rows; each sums to 1.
    confusion
        float64 [n_classes, n_classes], column j: how often each class is predicted for rows of class j.
    """

    known: Float
    estimated: Float
    confusion: Float

    @property
    def weights(self) -> Float:
        """How many times as often a class comes among the test rows, float64 [n_classes]: weights for training rows."""
        return self.estimated / self.known


def estimate_label_shift(y_true: Int, y_pred: Int, y_pred_test: Int, n_classes: int) -> LabelShift:
    """Estimate the shares of classes among test rows by the confusion matrix of a classifier, right or wrong.

    Where classes change their shares, but rows of a class remain what they are, a classifier confuses them as before:
    the shares μ of what it predicts for test rows are Cq, with C the confusion matrix and q the shares in question. So
    q solves that equation; what sampling makes negative is set to 0. (Lipton, Wang & Smola, "Detecting and correcting
    for label shift with black box predictors", ICML 2018; D2L §4.7.3.)

    Parameters
    ----------
    y_true, y_pred
        int64 [n_valid], classes 0, 1, … and what the classifier says of rows that it was not fitted on.
    y_pred_test
        int64 [n_test], what it says of the test rows.
    n_classes
        How many there are.

    Raises
    ------
    DataError
        If there are no rows, a class is unknown, or none of the validation rows has it; or if the matrix is singular,
        or so near to it that its smallest singular value is within the noise of as many rows, 1 / √n_valid: two classes
        are then predicted alike, and nobody can say which of them comes more often.
    """
    for name, classes in (("y_true", y_true), ("y_pred", y_pred), ("y_pred_test", y_pred_test)):
        unknown = sorted({*np.unique(classes).tolist()} - {*range(n_classes)})
        if unknown or not len(classes):
            raise DataError(f"{name}: has {listing(unknown) or 'no rows'}; give classes 0 to {n_classes - 1}")
    counts = np.zeros((n_classes, n_classes))
    np.add.at(counts, (y_pred, y_true), 1)
    of_class = counts.sum(axis=0)
    if (of_class == 0).any():
        raise DataError(
            f"label shift: no validation row has class {listing(np.flatnonzero(of_class == 0))}, so nobody knows how "
            "it is predicted; validate on rows of every class"
        )
    confusion = counts / of_class
    smallest = float(np.linalg.svd(confusion, compute_uv=False).min())
    if smallest < 1 / np.sqrt(len(y_true)):
        raise DataError(
            f"label shift: the confusion matrix is singular within its noise (smallest singular value {smallest:.2g} "
            f"with {len(y_true)} rows); of classes {listing(_most_alike(confusion))} the predictions don't differ. "
            "Merge classes, take a better classifier, or validate on more rows"
        )
    shares = np.bincount(y_pred_test, minlength=n_classes) / len(y_pred_test)
    solved = np.maximum(np.linalg.solve(confusion, shares), 0)
    return LabelShift(of_class / len(y_true), solved / solved.sum(), confusion)


def _most_alike(confusion: Float) -> tuple[int, int]:
    """The two classes whose columns are nearest to each other."""
    distances = np.abs(confusion[:, :, None] - confusion[:, None, :]).sum(axis=0)
    distances[np.diag_indices_from(distances)] = np.inf
    first, second = np.unravel_index(distances.argmin(), distances.shape)
    return int(first), int(second)
