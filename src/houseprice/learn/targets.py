"""What the fitted target becomes, learnt from the training rows of a fold, and the way back."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from houseprice.errors import ConfigError, listing
from houseprice.metrics import METRICS

Float = NDArray[np.float64]

_ABOVE = {"log": 0.0, "box_cox": 0.0, "log1p": -1.0}
"""Targets must exceed this."""


@dataclass(frozen=True)
class TargetTransform:
    """A monotone function of targets and its inverse, each from float64 [n_rows] to the same."""

    forward: Callable[[Float], Float]
    inverse: Callable[[Float], Float]


def fit_transform(kind: str, y: Float, fit_rows: NDArray[np.int64], where: str) -> TargetTransform | None:
    """Learn a transform from the fitted rows; None for ``none``.

    ``log`` and ``log1p`` learn nothing. ``box_cox`` and ``yeo_johnson`` find the power that makes the targets most like
    a normal distribution (Box & Cox 1964; Yeo & Johnson 2000), ``quantile`` maps their ranks to it (scikit-learn's
    ``PowerTransformer`` and ``QuantileTransformer``). A prediction beyond what the inverse is defined for is carried
    back to the nearest target of the fitted rows.

    Parameters
    ----------
    kind
        As in `houseprice.recipes.Experiment.target_transform`.
    y
        float64 [n_train], all targets, on the scale that is fitted.
    fit_rows
        Those that it may learn from.
    where
        For messages: the experiment.

    Raises
    ------
    ConfigError
        If it is not defined for all targets.
    """
    if kind == "none":
        return None
    least = _ABOVE.get(kind, -np.inf)
    if (bad := y <= least).any():
        raise ConfigError(
            f"{where}: target_transform {kind!r} needs targets > {least:g}, but {int(bad.sum())} of {len(y)} are not "
            f"({listing(y[bad])}). Use 'yeo_johnson', 'quantile' or 'none'."
        )
    if kind in ("log", "log1p"):
        link = METRICS["log_rmse" if kind == "log" else "rmsle"]
        return TargetTransform(link.to_link, link.from_link)
    from sklearn.preprocessing import PowerTransformer, QuantileTransformer

    known = y[fit_rows]
    if kind == "quantile":
        fitted = QuantileTransformer(n_quantiles=min(1000, len(known)), output_distribution="normal", subsample=None)
    else:
        fitted = PowerTransformer(method=kind.replace("_", "-"), standardize=False)
    fitted.fit(known[:, None])
    ends = fitted.transform(np.array([[known.min()], [known.max()]]))[:, 0]
    low, high = _bounds(kind, float(fitted.lambdas_[0])) if kind != "quantile" else (-np.inf, np.inf)

    def inverse(values: Float) -> Float:
        defined = (values > low) & (values < high)
        nearest = np.where(defined, values, np.clip(values, *ends))
        return np.asarray(fitted.inverse_transform(nearest[:, None])[:, 0])

    return TargetTransform(lambda values: np.asarray(fitted.transform(values[:, None])[:, 0]), inverse)


def _bounds(kind: str, power: float) -> tuple[float, float]:
    """Between which values the inverse of a power transform is defined."""
    if kind == "box_cox":
        return (-1 / power if power > 0 else -np.inf), (-1 / power if power < 0 else np.inf)
    return (-1 / (power - 2) if power > 2 else -np.inf), (-1 / power if power < 0 else np.inf)
