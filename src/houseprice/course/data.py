"""Data of the course's experiments, made from a seed: training and validation rows.

Section numbers are those of *Dive into Deep Learning* (https://d2l.ai), edition 1.0. One seed gives one draw: the same
rows whatever else is asked for.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

COEFFICIENTS = (5.0, 1.2, -3.4, 5.6)
"""Of the cubic polynomial, for xⁱ/i!, i = 0 … 3."""


class Rows(NamedTuple):
    """Inputs float64 [n_rows, n_columns] with their targets: numbers float64 [n_rows], or classes int64 [n_rows]."""

    X: Float
    y: NDArray[np.float64] | NDArray[np.int64]


def linear(
    seed: int,
    *,
    w: Sequence[float] = (2.0, -3.4),
    b: float = 4.2,
    noise: float = 0.01,
    rows: tuple[int, int] = (1000, 1000),
) -> tuple[Rows, Rows]:
    """Draw rows of a linear model, y = Xw + b + noise, the inputs standard normal (D2L §3.3).

    Parameters
    ----------
    seed
        Of everything that is drawn.
    w, b
        The weights, one a column, and the bias.
    noise
        Standard deviation of what is added to the targets.
    rows
        How many for training, and for validation.

    Returns
    -------
    training and validation rows
    """
    random = np.random.default_rng(seed)
    X = random.standard_normal((sum(rows), len(w)))
    return _split(X, X @ np.asarray(w) + b + noise * random.standard_normal(len(X)), rows[0])


def many_inputs(seed: int, *, inputs: int = 200, rows: tuple[int, int] = (20, 100)) -> tuple[Rows, Rows]:
    """Draw few rows of many inputs, which ask to be learnt by heart: w = 0.01, b = 0.05, noise 0.01 (D2L §3.7)."""
    return linear(seed, w=(0.01,) * inputs, b=0.05, rows=rows)


def polynomial(
    seed: int,
    degree: int = 3,
    *,
    factorials: bool = True,
    noise: float = 0.1,
    rows: tuple[int, int] = (100, 100),
) -> tuple[Rows, Rows]:
    """Draw rows of the cubic 5 + 1.2 x - 3.4 x²/2! + 5.6 x³/3! + noise (D2L §3.6; §4.4 of its first edition).

    Parameters
    ----------
    seed
        Of x, which is standard normal, and of the noise.
    degree
        The columns are x, x²/2!, … up to this power. A constant is not among them: models have a bias.
    factorials
        Whether powers are divided by i!; without it they are xⁱ.
    noise, rows
        As of `linear`.

    Returns
    -------
    training and validation rows
    """
    random = np.random.default_rng(seed)
    x, disturbed = random.standard_normal((2, sum(rows)))
    y = COEFFICIENTS[0] + powers(x, 3) @ np.array(COEFFICIENTS[1:]) + noise * disturbed
    return _split(powers(x, degree, factorials=factorials), y, rows[0])


def powers(x: Float, degree: int, *, factorials: bool = True) -> Float:
    """The columns x, x²/2!, … of numbers [n_rows], or x, x², … without the factorials, [n_rows, degree].

    >>> powers(np.array([2.0]), 3)
    array([[2.        , 2.        , 1.33333333]])
    """
    exponents = range(1, degree + 1)
    return np.stack([x**i / (math.factorial(i) if factorials else 1) for i in exponents], axis=1)


def digits(seed: int, *, rows: tuple[int, int] = (1437, 360)) -> tuple[Rows, Rows]:
    """Split the 1,797 handwritten digits of scikit-learn: 64 grey levels from 0 to 1, classes 0 … 9 (Alpaydin 1998).

    Training and validation rows have the classes in equal shares.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    X, y = load_digits(return_X_y=True)
    X_train, X_valid, y_train, y_valid = train_test_split(
        X / 16, y.astype(np.int64), train_size=rows[0], test_size=rows[1], random_state=seed, stratify=y
    )
    return Rows(X_train, y_train), Rows(X_valid, y_valid)


def k_folds(rows: Rows, k: int = 5, seed: int = 0) -> list[tuple[Rows, Rows]]:
    """Deal rows out to k folds; each is once the validation rows beside the training rows of all others (D2L §3.6)."""
    X, y = rows
    fold_of_row = np.random.default_rng(seed).permutation(len(y)) % k
    parts = ((fold_of_row != fold, fold_of_row == fold) for fold in range(k))
    return [(Rows(X[fitted], y[fitted]), Rows(X[left], y[left])) for fitted, left in parts]


def _split(X: Float, y: Float, n_train: int) -> tuple[Rows, Rows]:
    return Rows(X[:n_train], y[:n_train]), Rows(X[n_train:], y[n_train:])
