"""A user's own metric, by import path."""

import importlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from houseprice import scores
from houseprice.errors import MetricError, nearest
from houseprice.metrics import Metric, as_sklearn_takes
from houseprice.tasks import Reads, Task

Float = NDArray[np.float64]


@lru_cache
def own_metric(path: str, task: Task, reads: Reads, greater_is_better: bool) -> Metric:
    """A user's metric by import path: a function ``(y_true, y_pred) -> float``, as scikit-learn calls its own.

    It is given numbers in natural units; or classes as codes, int64 [n_rows], and beside them codes (``label``) or
    probabilities (``probability``): of the second of two classes, [n_rows], or of every class, [n_rows, n_classes].
    Its influence is that of the grouped jackknife (`houseprice.scores.jackknife_influence`).

    Raises
    ------
    MetricError
        If it can't be imported, fails, or returns no number.
    """
    function = _imported(path)

    def score(y_true: Float, y_pred: Float) -> float:
        try:
            return float(function(*as_sklearn_takes(y_true, y_pred, reads)))
        except Exception as error:  # whatever a function of somebody else's raises
            raise MetricError(f"metric {path} failed on {len(y_true)} rows: {error}. Mend it.") from error

    def losses(y_true: Float, y_pred: Float) -> Float:
        whole = score(y_true, y_pred)
        influence = scores.jackknife_influence(lambda kept: score(y_true[kept], y_pred[kept]), len(y_true), whole)
        return 1 - (whole + influence) if greater_is_better else whole + influence

    of_mean: Literal["complement", "mean"] = "complement" if greater_is_better else "mean"
    return Metric(path, (task,), reads, greater_is_better, of_mean, score, losses, is_own=True)


def _imported(path: str) -> Callable[..., Any]:
    module, _, name = path.rpartition(".")
    try:
        package = importlib.import_module(module)
    except Exception as error:  # ImportError, or whatever a module of somebody else's raises
        raise MetricError(f"metric {path!r} can't be imported: {error}. Correct the path, or PYTHONPATH.") from error
    function = getattr(package, name, None)
    if not callable(function):
        known = [other for other in dir(package) if not other.startswith("_")]
        raise MetricError(f"metric {path!r}: {module} has no function {name}; {nearest(name, known)}")
    found: Callable[..., Any] = function
    return found
