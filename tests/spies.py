"""Estimators that watch what is done with them; competition files of tests name them by import path."""

import threading
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeRegressor

Float = NDArray[np.float64]


class CountedTree(DecisionTreeRegressor):  # type: ignore[misc]
    """A tree that counts how often one was fitted."""

    fits: ClassVar[list[int]] = []

    def fit(self, X: Any, y: Any) -> "CountedTree":
        self.fits.append(len(X))
        super().fit(X, y)
        return self


class Spy:
    """An estimator that remembers the rows it saw (column 0 holds their numbers): 0 for them, 1 for others."""

    fits: ClassVar[list[frozenset[int]]] = []
    lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, answer: float | str = 1.0, fail_on_fold_of: int = -1) -> None:
        self.answer, self.fail_on_fold_of = answer, fail_on_fold_of

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {"answer": self.answer, "fail_on_fold_of": self.fail_on_fold_of}

    def set_params(self, **params: Any) -> "Spy":
        raise AssertionError("it has no random_state to set")

    def fit(self, X: NDArray[np.float32], y: NDArray[np.float32]) -> "Spy":
        self.seen = frozenset(X[:, 0].astype(int).tolist())
        self.y_mean, self.y_std = float(y.mean()), float(y.std())
        if self.fail_on_fold_of >= 0 and self.fail_on_fold_of not in self.seen:
            raise RuntimeError("the estimator's own complaint")
        with self.lock:
            self.fits.append(self.seen)
        return self

    def predict(self, X: NDArray[np.float32]) -> Float:
        return np.array([0.0 if row in self.seen else float(self.answer) for row in X[:, 0].astype(int)])


class Draw(Spy):
    """An estimator whose prediction is a number that its random_state draws."""

    def __init__(self, random_state: int = 0) -> None:
        super().__init__()
        self.random_state = random_state

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {"random_state": self.random_state}

    def set_params(self, **params: Any) -> "Draw":
        self.random_state = params["random_state"]
        return self

    def predict(self, X: NDArray[np.float32]) -> Float:
        return np.random.default_rng(self.random_state).standard_normal(1).repeat(len(X))
