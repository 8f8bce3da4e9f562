"""Whether test rows come from where the training rows come from, and how much more some training rows should count.

Two models are asked. Trees, on the columns as they are, say whether any difference can be seen at all, and in which
columns. A logistic model, on the columns that an experiment is fitted on, gives the weights: a ratio of densities that
trees find is a step function, which is infinite wherever a leaf holds test rows alone.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype
from threadpoolctl import threadpool_limits

from houseprice.data.tables import Tables
from houseprice.errors import ConfigError
from houseprice.metrics import METRICS

Float = NDArray[np.float64]
Rows = NDArray[np.float32]

_FOLDS = 5
_AT_MOST = 50_000
"""Rows of either side, drawn of all, that a model is fitted on: more tell little more, and take minutes."""
_PENALTIES = (10.0, 1.0, 0.1, 0.01, 0.001)
"""On half the squared coefficients, beside the mean loss of a row."""


@dataclass(frozen=True)
class Apart:
    """How well test rows are told from training rows, by models that did not see the rows that they judge.

    Attributes
    ----------
    auc, low, high
        Area under the ROC curve, 0.5: not at all; with its 95 % interval over the draw of rows.
    columns
        Those that tell the most by themselves, each with its AUC, the first first.
    """

    auc: float
    low: float
    high: float
    columns: tuple[tuple[str, float], ...] = ()


def tell_apart(tables: Tables, seed: int = 0) -> Apart | None:
    """Tell test rows from training rows by boosted trees; None where one side has too few rows to try.

    (A classifier two-sample test: Lopez-Paz & Oquab, "Revisiting Classifier Two-Sample Tests", ICLR 2017.)

    Parameters
    ----------
    tables
        Checked frames.
    seed
        Of the trees, and of the folds on which they are judged.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.tree import DecisionTreeClassifier

    if not enough_rows(len(tables.train), len(tables.test)):
        return None
    is_test = np.repeat([0.0, 1.0], [len(tables.train), len(tables.test)])
    columns = dict(coded(pd.concat([tables.train, tables.test])))

    def judged(model: Any, codes: Sequence[Float]) -> Apart:
        return _area(is_test, _crossfitted(model, np.column_stack(codes), is_test, "predict_proba", seed)[:, 1])

    whole = judged(HistGradientBoostingClassifier(max_iter=100, random_state=seed), list(columns.values()))
    tree = DecisionTreeClassifier(max_leaf_nodes=64, min_samples_leaf=5)
    alone = {name: judged(tree, [codes]).auc for name, codes in columns.items()}
    first = sorted(alone, key=lambda name: -alone[name])[:5]
    return Apart(whole.auc, whole.low, whole.high, tuple((name, alone[name]) for name in first))


def coded(frame: pd.DataFrame) -> Iterator[tuple[str, Float]]:
    """Each column as numbers without gaps: text as codes in the labels' order, a gap as one below all."""
    for name in frame:
        values = frame[name]
        if is_numeric_dtype(values):
            lowest = values.min() if values.notna().any() else 0.0
            yield name, values.fillna(lowest - 1).to_numpy(np.float64)
        else:
            yield name, np.asarray(pd.factorize(values, sort=True)[0], np.float64)


def enough_rows(n_train: int, n_test: int) -> bool:
    """Whether both sides have rows enough to be told apart by cross-fitting."""
    return min(n_train, n_test) >= 2 * _FOLDS


@dataclass(frozen=True)
class Discriminator:
    """A logistic model of whether a row is one of the test rows (`discriminate`).

    Attributes
    ----------
    penalty
        That of the coefficients; infinite where none at all predicts best.
    log_odds
        float64 [n_fit + n_test], h(x) of the rows that it was fitted on, each by a model that did not see it.
    X, X_test
        float32 [n_fit, n_columns] and [n_test, n_columns]: these rows.
    """

    penalty: float
    log_odds: Float
    X: Rows
    X_test: Rows

    @property
    def apart(self) -> Apart:
        """How well it tells the rows apart."""
        return _area(_labels(self.X, self.X_test), self.log_odds)

    def weights(self, ceiling: float) -> Rows:
        """β of the fitted training rows, of mean 1, float32 [n_fit]."""
        found = _ratios(self.log_odds[: len(self.X)], ceiling)
        return np.asarray(found / found.mean(), np.float32)

    def ratios(self, X: Rows, ceiling: float) -> Float:
        """β of rows [n_rows, n_columns] that it was not fitted on, float64 [n_rows]."""
        return _ratios(self._model.decision_function(X) if np.isfinite(self.penalty) else np.zeros(len(X)), ceiling)

    @cached_property
    def _model(self) -> Any:
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore")
            both, is_test = _both(self.X, self.X_test)
            drawn = _drawn(np.arange(len(both)), is_test)
            return _logistic(self.penalty, len(drawn)).fit(both[drawn], is_test[drawn])


def discriminate(X: Rows, X_test: Rows, where: str, seed: int = 0) -> Discriminator:
    """Learn by logistic regression which rows are test rows: covariate shift as a density ratio.

    With as much weight on either side, exp h(x) is the ratio of the density of test rows to that of training rows, and
    a training row counts β = min(exp h(x), ceiling) times: then the mean loss over training rows estimates that over
    test rows, if what the target depends on is the same on both sides (Shimodaira, "Improving predictive inference
    under covariate shift by weighting the log-likelihood function", *J. Statist. Plann. Inference* 90, 2000; D2L §4.7).

    A model of some hundred columns and a thousand rows tells apart whatever it has seen, and its weights would be
    noise. So a row's h comes from a model that was not fitted on it, and the penalty on the coefficients is the one
    with the least cross-fitted log loss. The row itself takes part in the choice of that one number, and of nothing
    else. Where no penalty beats saying nothing, h is 0: rows that can't be told apart all count the same.

    Parameters
    ----------
    X
        float32 [n_fit, n_columns], training rows; never a validation row.
    X_test
        float32 [n_test, n_columns].
    where
        For messages: the experiment.
    seed
        Of the folds by which it is cross-fitted.

    Raises
    ------
    ConfigError
        If there are too few rows to learn from.
    """
    if not enough_rows(len(X), len(X_test)):
        raise ConfigError(
            f"{where}: weights = 'shift' learns from at least {2 * _FOLDS} training and test rows each, but there are "
            f"{len(X)} and {len(X_test)}; use 'none'"
        )
    both, is_test = _both(X, X_test)
    n_rows = len(_drawn(np.arange(len(both)), is_test))
    least, chosen, log_odds = np.log(2), np.inf, np.zeros(len(both))  # of saying nothing
    for penalty in _PENALTIES:
        found = _crossfitted(_logistic(penalty, n_rows), both, is_test, "decision_function", seed)
        losses = np.logaddexp(0, np.where(is_test == 1, -found, found))
        loss = (losses[is_test == 0].mean() + losses[is_test == 1].mean()) / 2
        if loss < least:
            least, chosen, log_odds = loss, penalty, found
        elif np.isfinite(chosen):
            break  # less penalty only overfits more
    return Discriminator(chosen, log_odds, X, X_test)


def effective_size(weights: NDArray[Any]) -> float:
    """How many rows of equal weight tell as much: (Σβ)² / Σβ² (Kish, *Survey Sampling*, 1965, §11.7).

    >>> effective_size(np.array([1.0, 1.0, 1.0, 3.0]))
    3.0
    """
    total = np.asarray(weights, np.float64)
    return float(total.sum() ** 2 / np.square(total).sum())


def _logistic(penalty: float, n_rows: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=1 / (penalty * n_rows), class_weight="balanced", max_iter=200)


def _both(X: Rows, X_test: Rows) -> tuple[Rows, Float]:
    return np.concatenate([X, X_test]), _labels(X, X_test)


def _labels(X: Rows, X_test: Rows) -> Float:
    """1 for test rows."""
    return np.repeat([0.0, 1.0], [len(X), len(X_test)])


def _ratios(log_odds: Float, ceiling: float) -> Float:
    return np.exp(np.minimum(log_odds, np.log(ceiling)))


def _crossfitted(model: Any, X: NDArray[Any], is_test: Float, method: str, seed: int) -> Float:
    """What a model says of rows that it did not see, of all rows."""
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed).split(X, is_test)
    splits = [(_drawn(fitted, is_test), judged) for fitted, judged in folds]
    with warnings.catch_warnings(), threadpool_limits(1):  # models this small only wait for one another's threads
        warnings.simplefilter("ignore")  # a solver that stopped early is judged by its loss, as all are
        return np.asarray(cross_val_predict(model, X, is_test, cv=splits, method=method), np.float64)


def _drawn(rows: NDArray[np.int64], is_test: Float) -> NDArray[np.int64]:
    """No more of either side's rows than a model is fitted on, in their order."""
    random = np.random.default_rng(0)
    sides = (rows[is_test[rows] == side] for side in (0, 1))
    drawn = [random.choice(side, _AT_MOST, replace=False) if len(side) > _AT_MOST else side for side in sides]
    return np.sort(np.concatenate(drawn))


def _area(is_test: Float, told: Float) -> Apart:
    metric = METRICS["auc"]
    auc, reach = metric.score(is_test, told), 1.96 * metric.std_error(is_test, told)
    return Apart(auc, max(0.0, auc - reach), min(1.0, auc + reach))
