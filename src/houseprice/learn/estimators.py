"""The kinds of experiments: how the members of each are fitted."""

import importlib
import inspect
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from houseprice.errors import TrainingError, nearest
from houseprice.learn.members import FittedMember, FoldData, Score
from houseprice.learn.plain import Weights
from houseprice.learn.training import train_members
from houseprice.recipes import Linear, Ridge, Sklearn

AnyRecipe = Linear | Ridge | Sklearn
Recipe = TypeVar("Recipe", bound=AnyRecipe)
Float = NDArray[np.float64]
Finished = MutableMapping[tuple[int, int], FittedMember]


def fit_members(
    recipe: AnyRecipe,
    folds: Sequence[FoldData],
    *,
    device: str = "cpu",
    threads: int = 1,
    memory: int | None = None,
    finished: Finished | None = None,
    checkpoints: Path | None = None,
    score: Score | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[FittedMember]:
    """Fit a member for each fold and seed, of whatever kind the recipe is; ordered by fold, then seed.

    Parameters
    ----------
    recipe
        An experiment of the competition file.
    folds
        The folds' matrices and rows; ``y`` as fitted.
    device
        Where networks are trained; the other kinds know the processor alone.
    threads
        How many processor threads share the work. What a member becomes depends on it in its last bits at most.
    memory
        Bytes that the networks trained at one time may take, beyond the data.
    finished
        Members by (fold, seed). Those in it are not fitted again; each new one is put into it as soon as it is done.
    checkpoints
        A folder for the state of networks in training, from which an interrupted call goes on.
    score
        Gives the metric for the learning curves of networks.
    on_progress
        Called with the steps done and their total: epochs of a batch of networks, members of the other kinds.

    Raises
    ------
    TrainingError
        If a member diverges, or an estimator can't be imported, refuses its parameters or fails.
    """
    data_of = {(data.fold, seed): data for data in folds for seed in seeds_of(recipe)}
    finished = {} if finished is None else finished
    # asked once: another process, at its end, may remove them between two questions
    members = {key: member for key in data_of if (member := finished.get(key)) is not None}
    if len(members) == len(data_of):
        return [members[key] for key in data_of]
    if isinstance(recipe, Linear):
        fitted = train_members(
            recipe,
            folds,
            seeds_of(recipe),
            device=device,
            threads=threads,
            memory=memory,
            checkpoints=checkpoints,
            score=score,
            on_epoch=on_progress,
        )
        finished.update({(member.fold, member.seed): member for member in fitted})
        return fitted
    fit = _fit_ridge if isinstance(recipe, Ridge) else _fit_sklearn
    waiting = [(fit, recipe, data, key[1]) for key, data in data_of.items() if key not in members]

    def keep(member: FittedMember) -> None:
        finished[member.fold, member.seed] = members[member.fold, member.seed] = member
        on_progress(len(members), len(data_of))

    in_threads(waiting, threads, keep)
    return [members[key] for key in data_of]


def seeds_of(recipe: AnyRecipe) -> range:
    """The seeds of a recipe's members; what has no randomness needs one member a fold, whatever is asked."""
    is_random = isinstance(recipe, Linear) or (
        isinstance(recipe, Sklearn) and "random_state" in _create(recipe).get_params()
    )
    return range(recipe.seeds if is_random else 1)


def of_classes(recipe: Recipe, n_classes: int) -> Recipe:
    """The recipe for a target of so many classes, which networks must know; of numbers (0) it stays as it is."""
    return recipe.model_copy(update={"classes": n_classes}) if n_classes and isinstance(recipe, Linear) else recipe


def probabilities(recipe: AnyRecipe, fitted: Float, n_classes: int) -> Float:
    """What members predict as probabilities: of the second of two classes [n_rows], or of each [n_rows, n_classes].

    Networks predict logits: softmax over one a class, or the sigmoid of a single one (D2L §4.1). Where they overflow,
    so does the result, which whoever takes probabilities refuses.
    """
    if isinstance(recipe, Linear):
        fitted = _softmax(fitted) if fitted.ndim == 2 else _sigmoid(fitted)
    return fitted[:, 1] if fitted.ndim == 2 and n_classes == 2 else fitted


def _sigmoid(logits: Float) -> Float:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)))  # which can't overflow


def _softmax(logits: Float) -> Float:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def in_threads(calls: Sequence[tuple[Any, ...]], threads: int, keep: Callable[[Any], None]) -> None:
    """Keep results as they come; one call a thread, so that sums within it are never shared out, whatever runs.

    After an error or Ctrl-C, also one in ``keep``, no further call is begun.

    Parameters
    ----------
    calls
        Functions with their arguments.
    threads
        How many run at one time.
    keep
        Takes each result, in this thread.
    """
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        jobs = [pool.submit(*call) for call in calls]
        try:
            for job in as_completed(jobs):
                keep(job.result())
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _fit_ridge(recipe: Ridge, data: FoldData, seed: int) -> FittedMember:
    """Minimise ‖y - Xw - b‖² + α‖w‖² by the normal equations of centred columns, in float64; with weights the squares
    are counted by them.

    Hastie, Tibshirani & Friedman, *The Elements of Statistical Learning*, §3.4.1; the intercept is not penalised.
    """
    X, y = data.X[data.fit_rows].astype(np.float64), data.y[data.fit_rows].astype(np.float64)
    counted = None if data.weights is None else data.weights[data.fit_rows].astype(np.float64)
    X_mean, y_mean = (X.mean(axis=0), y.mean()) if counted is None else (counted @ X / len(X), counted @ y / len(X))
    X -= X_mean
    X_counted = X if counted is None else counted[:, None] * X
    gram = X_counted.T @ X  # [column, column]
    gram[np.diag_indices_from(gram)] += recipe.alpha
    weight = np.linalg.solve(gram, X_counted.T @ (y - y_mean))
    bias = y_mean - X_mean @ weight
    layer = {
        "layers.0.weight": weight[None, :].astype(np.float32),
        "layers.0.bias": np.array([bias], np.float32),
    }
    return _without_curves(data, seed, data.X @ weight + bias, data.X_test @ weight + bias, layer)


def _fit_sklearn(recipe: Sklearn, data: FoldData, seed: int) -> FittedMember:
    estimator = _create(recipe)
    if "random_state" in estimator.get_params():
        stream = np.random.SeedSequence([seed, data.fold])
        estimator.set_params(random_state=int(stream.generate_state(1)[0]))
    if data.n_classes and not any(hasattr(estimator, method) for method in _OF_CLASSES):
        raise TrainingError(
            f"{recipe.estimator} has neither {' nor '.join(_OF_CLASSES)}, and the target has {data.n_classes} classes. "
            "Name a classifier."
        )
    weights = {} if data.weights is None else {"sample_weight": data.weights[data.fit_rows]}
    try:
        if data.n_classes:
            predictions = _classify(estimator, data, weights)
        else:
            estimator.fit(data.X[data.fit_rows], data.y[data.fit_rows], **weights)
            predictions = [np.asarray(estimator.predict(X), np.float64).reshape(-1) for X in (data.X, data.X_test)]
    except Exception as error:  # whatever a package of somebody else's raises
        raise TrainingError(
            f"{recipe.estimator} failed on fold {data.fold}, seed {seed}: {error}. Mend its params."
        ) from error
    return _without_curves(data, seed, predictions[0], predictions[1], _coefficients(estimator, data.X.shape[1]))


_OF_CLASSES = ("predict_proba", "decision_function")


def takes_weights(recipe: AnyRecipe) -> bool:
    """Whether rows can count differently: for all but estimators of others whose ``fit`` has no ``sample_weight``."""
    return not isinstance(recipe, Sklearn) or "sample_weight" in inspect.signature(_create(recipe).fit).parameters


def reads_decisions(recipe: AnyRecipe) -> bool:
    """Whether an estimator of classes has no probabilities, so that its decision function must stand in for them."""
    return isinstance(recipe, Sklearn) and not hasattr(_create(recipe), "predict_proba")


def _classify(estimator: Any, data: FoldData, weights: Mapping[str, Any]) -> list[Float]:
    """Fit a classifier and predict all rows and the test rows, as `probabilities` has them.

    Classes that no fit row has get probability 0; where there is only one, there is nothing to fit.
    """
    known, codes = np.unique(data.y[data.fit_rows].astype(np.int64), return_inverse=True)
    if len(known) > 1:
        estimator.fit(data.X[data.fit_rows], codes, **weights)
    found = []
    for X in (data.X, data.X_test):
        of_all = np.zeros((len(X), data.n_classes))
        of_all[:, known] = _of_known_classes(estimator, X) if len(known) > 1 else 1.0
        found.append(of_all[:, 1] if data.n_classes == 2 else of_all)
    return found


def _of_known_classes(estimator: Any, X: NDArray[np.float32]) -> Float:
    """Probabilities of the classes that a classifier was fitted on, [n_rows, n_known]."""
    if hasattr(estimator, "predict_proba"):
        return np.asarray(estimator.predict_proba(X), np.float64)
    decisions = np.asarray(estimator.decision_function(X), np.float64)
    if decisions.ndim == 2:
        return _softmax(decisions)
    return np.stack([_sigmoid(-decisions), _sigmoid(decisions)], axis=1)


def _coefficients(estimator: Any, n_columns: int) -> Weights:
    """The layer that a linear estimator is, by its ``coef_`` and ``intercept_``; empty for any other."""
    weight = getattr(estimator, "coef_", None)
    if weight is None or np.size(weight) != n_columns:
        return {}
    bias = np.ravel(getattr(estimator, "intercept_", 0.0))[:1]
    return {"layers.0.weight": np.reshape(weight, (1, -1)).astype(np.float32), "layers.0.bias": bias.astype(np.float32)}


def _without_curves(
    data: FoldData, seed: int, predictions: Float, test_predictions: Float, weights: Weights
) -> FittedMember:
    """A member of a kind that has no epochs."""
    none = np.empty(0)
    return FittedMember(data.fold, seed, predictions, test_predictions, none, none, none, none, weights)


def _create(recipe: Sklearn) -> Any:
    """Instantiate the estimator of an import path with the recipe's parameters."""
    module, _, name = recipe.estimator.rpartition(".")
    try:
        package = importlib.import_module(module)
    except Exception as error:  # ImportError, or whatever a module of somebody else's raises
        raise TrainingError(
            f"estimator {recipe.estimator!r} can't be imported: {error}. Install its package (that of boosters: pip "
            "install 'houseprice[boost]'), or correct the path."
        ) from error
    kind = getattr(package, name, None)
    if kind is None:
        known = [other for other in dir(package) if not other.startswith("_")]
        raise TrainingError(f"estimator {recipe.estimator!r}: {module} has no {name}; {nearest(name, known)}")
    methods = ("fit", "predict", "get_params", "set_params")
    if not (isinstance(kind, type) and all(hasattr(kind, method) for method in methods)):
        raise TrainingError(f"{recipe.estimator} is no class with {', '.join(methods)}. Name a scikit-learn estimator.")
    try:
        return kind(**recipe.params)
    except Exception as error:
        known = list(inspect.signature(kind).parameters)
        unknown = next((key for key in recipe.params if key not in known), None)
        hint = nearest(unknown, known) if unknown else "mend its params"
        raise TrainingError(f"{recipe.estimator}: params: {error}; {hint}") from error
