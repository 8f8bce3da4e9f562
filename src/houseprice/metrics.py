"""Competition metrics, and the link scale on which models predict and averages are taken."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from houseprice.errors import MetricError, listing

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Metric:
    """A competition's metric, as a root mean of one loss per row on the link scale.

    Attributes
    ----------
    name
        As written in the competition file.
    to_link, from_link
        Natural units (prices) to the link scale (log prices) and back, elementwise.
    needs_positive
        Whether targets and predictions must be > 0 in natural units.
    """

    name: str
    to_link: Callable[[Float], Float]
    from_link: Callable[[Float], Float]
    needs_positive: bool

    def link(self, values: Float, what: str) -> Float:
        """Carry values in natural units to the link scale, refusing those outside the metric's domain.

        Parameters
        ----------
        values
            float64 [n_rows], natural units.
        what
            What the values are, for the message: ``"SalePrice in train.csv"``.

        Raises
        ------
        MetricError
            Naming the rows (from 0) and the values that are not finite or not positive.
        """
        valid = np.isfinite(values) & (values > 0) if self.needs_positive else np.isfinite(values)
        if not valid.all():
            rows = np.flatnonzero(~valid)
            rule = "values > 0" if self.needs_positive else "finite values"
            raise MetricError(
                f"{what}: {len(rows)} of {len(values)} values break the rule of metric {self.name}, {rule} "
                f"(rows {listing(rows)}: {listing(values[rows])}). "
                "Correct them, or give the experiment a `floor` that predictions are raised to."
            )
        return self.to_link(values)

    def row_losses(self, y_true: Float, y_pred: Float) -> Float:
        """Squared error of every row, float64 [n_rows]; both arguments [n_rows] on the link scale."""
        return np.square(y_true - y_pred)

    def score(self, y_true: Float, y_pred: Float) -> float:
        """Root mean squared error on the link scale; lower is better.

        For ``log_rmse`` this is the score of the House Prices competition: the RMSE of the natural log of the
        price (https://www.kaggle.com/c/house-prices-advanced-regression-techniques, Evaluation).

        >>> METRICS["log_rmse"].score(np.log([100.0, 200.0]), np.log([100.0, 200.0 * np.e]))
        0.7071067811865476
        """
        return float(self.score_of_losses(self.row_losses(y_true, y_pred).mean()))

    def score_of_losses(self, mean_losses: Float) -> Float:
        """The score of a mean of row losses, elementwise."""
        return np.sqrt(mean_losses)

    def influence(self, losses: Float) -> Float:
        """How much each row moves the score: float64 [n_rows], of mean 0; all 0 for a perfect fit.

        The row losses' deviations from their mean m times the slope of `score_of_losses` there, 1 / (2 √m).
        (Wasserman, *All of Nonparametric Statistics*, §2.3.)
        """
        mean = losses.mean()
        return (losses - mean) / (2 * np.sqrt(mean)) if mean > 0 else np.zeros_like(losses)

    def std_error(self, y_true: Float, y_pred: Float) -> float:
        """Standard error of `score` over the draw of rows, by the delta method.

        With the losses' mean m and standard deviation s over n rows, sd(√m) ≈ s / (2 √m √n); for fewer than two
        rows, or a perfect fit, it is 0. (Wasserman, *All of Statistics*, §9.9.)
        """
        influence = self.influence(self.row_losses(y_true, y_pred))
        return float(influence.std(ddof=1) / np.sqrt(len(influence))) if len(influence) > 1 else 0.0


def _identity(values: Float) -> Float:
    return values


def _exp(values: Float) -> Float:
    """eᵛ; beyond all floats it is infinite, which whoever takes prices refuses by name."""
    with np.errstate(over="ignore"):
        return np.exp(values)


METRICS = {
    "log_rmse": Metric("log_rmse", np.log, _exp, needs_positive=True),
    "rmse": Metric("rmse", _identity, _identity, needs_positive=False),
}
