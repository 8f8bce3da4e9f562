"""What the fitted target becomes, learnt from the training rows of a fold, and the way back."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from houseprice.errors import ConfigError, listing

Float = NDArray[np.float64]

_ABOVE = {"log": 0.0, "box_cox": 0.0, "log1p": -1.0}
"""Targets must exceed this."""
_PLAIN: dict[str, tuple[np.ufunc, np.ufunc]] = {"log": (np.log, np.exp), "log1p": (np.log1p, np.expm1)}
"""Transforms that learn nothing, with their inverses."""


@dataclass(frozen=True)
class TargetTransform:
    """A monotone function of targets and its inverse, each from float64 [n_rows] to the same, in plain numbers.

    Attributes
    ----------
    kind
        As in `houseprice.recipes.Experiment.target_transform`, but for ``none``.
    learnt
        Of ``box_cox`` and ``yeo_johnson`` the power, of ``quantile`` the quantiles, ascending; the others learn
        nothing.
    ends
        What the least and the largest of the fitted targets become; of what learns nothing, 0.
    """

    kind: str
    learnt: tuple[float, ...] = ()
    ends: tuple[float, float] = (0.0, 0.0)

    def forward(self, values: Float) -> Float:
        """Transform targets."""
        if self.kind in _PLAIN:
            return np.asarray(_PLAIN[self.kind][0](values))
        return np.asarray(self._estimator().transform(values[:, None])[:, 0])

    def inverse(self, values: Float) -> Float:
        """Carry predictions back; those beyond what the inverse is defined for to the nearest of `ends`."""
        if self.kind in _PLAIN:
            with np.errstate(over="ignore"):  # what is infinite is refused by name
                return np.asarray(_PLAIN[self.kind][1](values))
        low, high = (-np.inf, np.inf) if self.kind == "quantile" else _bounds(self.kind, self.learnt[0])
        defined = (values > low) & (values < high)
        nearest = np.where(defined, values, np.clip(values, *self.ends))
        return np.asarray(self._estimator().inverse_transform(nearest[:, None])[:, 0])

    def _estimator(self) -> Any:
        """scikit-learn's transformer, as it was fitted."""
        estimator = _unfitted(self.kind, len(self.learnt))
        estimator.n_features_in_ = 1
        if self.kind == "quantile":
            estimator.n_quantiles_ = len(self.learnt)
            estimator.quantiles_ = np.array(self.learnt)[:, None]
            estimator.references_ = np.linspace(0, 1, len(self.learnt))
        else:
            estimator.lambdas_ = np.array(self.learnt)
        return estimator


@dataclass(frozen=True)
class TargetScale:
    """The scale that members are fitted on: (transformed target - centre) / spread."""

    centre: float = 0.0
    spread: float = 1.0
    transform: TargetTransform | None = None

    def inverse(self, fitted: Float) -> Float:
        """Carry predictions back from the fitted scale, float64 [n_rows]."""
        target = fitted * self.spread + self.centre
        return self.transform.inverse(target) if self.transform else target


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
    if kind in _PLAIN:
        return TargetTransform(kind)
    known = y[fit_rows]
    fitted = _unfitted(kind, min(1000, len(known))).fit(known[:, None])
    low, high = fitted.transform(np.array([[known.min()], [known.max()]]))[:, 0].tolist()
    learnt = fitted.quantiles_[:, 0] if kind == "quantile" else fitted.lambdas_
    return TargetTransform(kind, tuple(learnt.tolist()), (low, high))


def _unfitted(kind: str, n_quantiles: int) -> Any:
    from sklearn.preprocessing import PowerTransformer, QuantileTransformer

    if kind == "quantile":
        return QuantileTransformer(n_quantiles=n_quantiles, output_distribution="normal", subsample=None)
    return PowerTransformer(method=kind.replace("_", "-"), standardize=False)


def _bounds(kind: str, power: float) -> tuple[float, float]:
    """Between which values the inverse of a power transform is defined."""
    if kind == "box_cox":
        return (-1 / power if power > 0 else -np.inf), (-1 / power if power < 0 else np.inf)
    return (-1 / (power - 2) if power > 2 else -np.inf), (-1 / power if power < 0 else np.inf)
