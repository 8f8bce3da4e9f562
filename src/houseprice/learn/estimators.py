"""The kinds of experiments: how one member of each is fitted."""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from houseprice.config import Linear, Ridge, Sklearn
from houseprice.errors import TrainingError, nearest
from houseprice.learn.network import stream_seed
from houseprice.learn.training import FittedMember, FoldData, train_member

AnyRecipe = Linear | Ridge | Sklearn

_NO_LOSSES = np.empty(0)


def fit_member(
    recipe: AnyRecipe, data: FoldData, seed: int, *, device: str, threads: int, on_epoch: Callable[[], None]
) -> FittedMember:
    """Fit one member of whatever kind the recipe is.

    Parameters
    ----------
    recipe
        An experiment of the competition file.
    data
        The fold's matrices and rows; ``y`` as fitted.
    seed
        Number of the member within its fold.
    device
        Where networks are trained; the other kinds know the processor alone.
    threads
        Processor threads of a network's tensor operations.
    on_epoch
        Called after every epoch of a network, or once for an estimator without epochs.

    Raises
    ------
    TrainingError
        If an estimator can't be imported, refuses its parameters or fails.
    """
    if isinstance(recipe, Linear):
        return train_member(recipe, data, seed, device=device, threads=threads, on_epoch=on_epoch)
    member = _fit_ridge(recipe, data, seed) if isinstance(recipe, Ridge) else _fit_sklearn(recipe, data, seed)
    on_epoch()
    return member


def seeds_of(recipe: AnyRecipe) -> range:
    """The seeds of a recipe's members; what has no randomness needs one member a fold, whatever is asked."""
    has_streams = isinstance(recipe, Linear) or (
        isinstance(recipe, Sklearn) and "random_state" in _create(recipe).get_params()
    )
    return range(recipe.seeds if has_streams else 1)


def _fit_ridge(recipe: Ridge, data: FoldData, seed: int) -> FittedMember:
    """Minimise ‖y - Xw - b‖² + α‖w‖² by the normal equations of centred columns, in float64.

    Hastie, Tibshirani & Friedman, *The Elements of Statistical Learning*, §3.4.1; the intercept is not penalised.
    """
    X, y = data.X[data.fit_rows].astype(np.float64), data.y[data.fit_rows].astype(np.float64)
    X_mean, y_mean = X.mean(axis=0), y.mean()
    X -= X_mean
    gram = X.T @ X  # [column, column]
    gram[np.diag_indices_from(gram)] += recipe.alpha
    weight = np.linalg.solve(gram, X.T @ (y - y_mean))
    bias = y_mean - X_mean @ weight
    weights = {"0.weight": weight[None, :].astype(np.float32), "0.bias": np.array([bias], np.float32)}
    return FittedMember(
        data.fold, seed, data.X @ weight + bias, data.X_test @ weight + bias, _NO_LOSSES, _NO_LOSSES, weights
    )


def _fit_sklearn(recipe: Sklearn, data: FoldData, seed: int) -> FittedMember:
    estimator = _create(recipe)
    if "random_state" in estimator.get_params():
        estimator.set_params(random_state=stream_seed(seed, data.fold, "random_state"))
    try:
        estimator.fit(data.X[data.fit_rows], data.y[data.fit_rows])
        predictions = [np.asarray(estimator.predict(X), np.float64).reshape(-1) for X in (data.X, data.X_test)]
    except (ValueError, TypeError, ArithmeticError, np.linalg.LinAlgError, MemoryError) as error:
        raise TrainingError(
            f"{recipe.estimator} failed on fold {data.fold}, seed {seed}: {error}. Mend its params."
        ) from error
    return FittedMember(data.fold, seed, predictions[0], predictions[1], _NO_LOSSES, _NO_LOSSES, {})


def _create(recipe: Sklearn) -> Any:
    """Instantiate the estimator of an import path with the recipe's parameters."""
    module, _, name = recipe.estimator.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise TrainingError(
            f"estimator {recipe.estimator!r} can't be imported: {error}. Install its package, or correct the path."
        ) from error
    try:
        estimator = kind(**recipe.params)
    except TypeError as error:
        known = list(kind().get_params())
        wrong = next((key for key in recipe.params if key not in known), "")
        raise TrainingError(f"{recipe.estimator}: params: {error}; {nearest(wrong, known)}") from error
    if not all(hasattr(estimator, method) for method in ("fit", "predict", "get_params")):
        raise TrainingError(f"{recipe.estimator} has no fit, predict and get_params. Name a scikit-learn estimator.")
    return estimator
