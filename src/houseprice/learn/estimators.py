"""The kinds of experiments: how the members of each are fitted."""

import importlib
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from houseprice.config import Linear, Ridge, Sklearn
from houseprice.errors import TrainingError, nearest
from houseprice.learn.members import FittedMember, FoldData
from houseprice.learn.training import train_members

AnyRecipe = Linear | Ridge | Sklearn
Finished = MutableMapping[tuple[int, int], FittedMember]

_NO_LOSSES = np.empty(0)


def fit_members(
    recipe: AnyRecipe,
    folds: Sequence[FoldData],
    finished: Finished,
    *,
    device: str,
    threads: int,
    checkpoints: Path | None,
    on_progress: Callable[[int, int], None],
) -> list[FittedMember]:
    """Fit a member for each fold and seed, of whatever kind the recipe is; ordered by fold, then seed.

    Parameters
    ----------
    recipe
        An experiment of the competition file.
    folds
        The folds' matrices and rows; ``y`` as fitted.
    finished
        Members by (fold, seed). Those in it are not fitted again; each new one is put into it as soon as it is done.
    device
        Where networks are trained; the other kinds know the processor alone.
    threads
        How many processor threads share the work. The result does not depend on it.
    checkpoints
        A folder for the state of networks in training, from which an interrupted call goes on.
    on_progress
        Called with the steps done and their total: epochs of a batch of networks, members of the other kinds.

    Raises
    ------
    TrainingError
        If a member diverges, or an estimator can't be imported, refuses its parameters or fails.
    """
    members = {(data.fold, seed): data for data in folds for seed in seeds_of(recipe)}
    if all(key in finished for key in members):
        return [finished[key] for key in members]
    if isinstance(recipe, Linear):
        fitted = train_members(
            recipe,
            folds,
            seeds_of(recipe),
            device=device,
            threads=threads,
            checkpoints=checkpoints,
            on_epoch=on_progress,
        )
        finished.update({(member.fold, member.seed): member for member in fitted})
        return fitted
    fit = _fit_ridge if isinstance(recipe, Ridge) else _fit_sklearn
    waiting = [(fit, recipe, data, seed) for (fold, seed), data in members.items() if (fold, seed) not in finished]
    for member in _in_threads(waiting, threads):
        finished[member.fold, member.seed] = member
        on_progress(sum(key in finished for key in members), len(members))
    return [finished[key] for key in members]


def seeds_of(recipe: AnyRecipe) -> range:
    """The seeds of a recipe's members; what has no randomness needs one member a fold, whatever is asked."""
    is_random = isinstance(recipe, Linear) or (
        isinstance(recipe, Sklearn) and "random_state" in _create(recipe).get_params()
    )
    return range(recipe.seeds if is_random else 1)


def _in_threads(calls: Sequence[tuple[Any, ...]], threads: int) -> Iterator[FittedMember]:
    """Results as they come; one member a thread, so that sums within it are never shared out and keep their bits."""
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        jobs = [pool.submit(*call) for call in calls]
        try:
            for job in as_completed(jobs):
                yield job.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


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
    return FittedMember(
        fold=data.fold,
        seed=seed,
        predictions=data.X @ weight + bias,
        test_predictions=data.X_test @ weight + bias,
        train_losses=_NO_LOSSES,
        valid_losses=_NO_LOSSES,
        weights={
            "layers.0.weight": weight[None, :].astype(np.float32),
            "layers.0.bias": np.array([bias], np.float32),
        },
    )


def _fit_sklearn(recipe: Sklearn, data: FoldData, seed: int) -> FittedMember:
    estimator = _create(recipe)
    if "random_state" in estimator.get_params():
        stream = np.random.SeedSequence([seed, data.fold])
        estimator.set_params(random_state=int(stream.generate_state(1)[0]))
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
