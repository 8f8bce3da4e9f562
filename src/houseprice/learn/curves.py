"""Learning curves of a run, small enough to be kept beside its scores, and what they say of its fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from houseprice.learn.members import FittedMember  # which brings torch

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Curves:
    """The competition's metric after each epoch that was asked about; 1 less it where greater is better.

    Attributes
    ----------
    epochs
        int64 [n_points], counted from 1.
    train, valid
        float64 [n_folds, n_points]: the mean over a fold's members of the metric of its fitted and of its validation
        rows; NaN where no member has one.
    """

    epochs: NDArray[np.int64]
    train: Float
    valid: Float

    def to_json(self) -> dict[str, Any]:
        """The curves as JSON values, six digits each; what is not a number is None.

        >>> Curves(np.array([1]), np.array([[0.1]]), np.array([[np.nan]])).to_json()
        {'epochs': [1], 'train': [[0.1]], 'valid': [[None]]}
        """
        train, valid = (
            [[float(f"{score:.6g}") if np.isfinite(score) else None for score in fold] for fold in of_folds]
            for of_folds in (self.train, self.valid)
        )
        return {"epochs": self.epochs.tolist(), "train": train, "valid": valid}


def curves_from_json(document: Mapping[str, Any]) -> Curves:
    """The curves that `Curves.to_json` wrote."""
    train, valid = (np.array(document[name], dtype=np.float64) for name in ("train", "valid"))
    return Curves(np.array(document["epochs"], dtype=np.int64), train, valid)


def curves_of(members: Sequence["FittedMember"]) -> Curves | None:
    """The learning curves of a run's members; None for estimators that have none."""
    folds = sorted({member.fold for member in members})
    if not folds or not len(members[0].train_scores):
        return None
    train, valid = (
        np.stack([mean_of_numbers([getattr(m, name) for m in members if m.fold == fold]) for fold in folds])
        for name in ("train_scores", "valid_scores")
    )  # [fold, epoch]
    known = np.flatnonzero(np.isfinite(valid).any(axis=0))
    return Curves(known + 1, train[:, known], valid[:, known]) if len(known) else None


def mean_of_numbers(rows: Sequence[Float] | Float) -> Float:
    """The mean of the numbers in each column of rows, float64 [n_columns]; NaN where there are none."""
    stacked = np.asarray(rows)
    counts = np.isfinite(stacked).sum(axis=0)
    sums = np.where(np.isfinite(stacked), stacked, 0.0).sum(axis=0)
    return np.asarray(np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0))


@dataclass(frozen=True)
class Diagnosis:
    """What the curves say of the fit, in a word and in a sentence."""

    verdict: Literal["overfitting", "underfitting", "balanced", "unknown"]
    reason: str


def diagnose(curves: Curves) -> Diagnosis:
    """Read learning curves as D2L §3.6.3 does: the gap at the end, and where validation is best.

    Parameters
    ----------
    curves
        A lower metric is better.

    Examples
    --------
    >>> falling = np.linspace(1.0, 0.5, 20)[None]
    >>> diagnose(Curves(np.arange(1, 21), falling, falling + 0.02)).verdict
    'underfitting'
    """
    train, valid = mean_of_numbers(curves.train), mean_of_numbers(curves.valid)
    known = np.flatnonzero(np.isfinite(valid) & np.isfinite(train))
    if not len(known):
        return Diagnosis("unknown", "at no epoch have both training and validation rows a score")
    best = int(known[valid[known].argmin()])
    tenth = max(1, len(known) // 10)  # of the curve: one epoch alone is noise
    smooth = np.convolve(valid[known], np.full(tenth, 1 / tenth), "valid")
    end, before = float(smooth[-1]), float(smooth[max(0, len(smooth) - 1 - tenth)])
    if end <= 0:
        return Diagnosis("balanced", "validation ends without error")
    gap = 1 - float(train[known][-tenth:].mean()) / end
    if end > 1.01 * smooth.min():
        return Diagnosis(
            "overfitting",
            f"validation is best at epoch {curves.epochs[best]} and ends {_share(end, float(valid[best]))} above that: "
            "stop earlier, or regularise more",
        )
    if gap <= 0.5 and before > 1.01 * end:
        return Diagnosis("underfitting", "validation still falls at the end: train for more epochs")
    if gap > 0.25:
        return Diagnosis("overfitting", f"train ends {gap:.0%} below validation: more data or regularisation may help")
    if gap < 0.05:
        return Diagnosis("underfitting", "train ends hardly below validation: a larger model may gain")
    return Diagnosis("balanced", f"validation has settled, train ends {gap:.0%} below it")


def _share(end: float, best: float) -> str:
    """How far above its best a curve ends."""
    return f"{end / best - 1:.0%}" if best > 0 else f"{end:.2g}"
