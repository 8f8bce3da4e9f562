"""Data whose training rows are not like those that come later, made from a seed; and the houses by the year of sale.

D2L §4.7 names three ways: inputs come from elsewhere (covariate shift), classes come in other shares (label shift), or
the same inputs mean something else (concept drift).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from houseprice.config import Competition
from houseprice.course.data import Rows, digits
from houseprice.data.features import features_without
from houseprice.data.tables import Tables

Float = NDArray[np.float64]

TRAIN, TEST = (0.0, 1.0), (1.5, 0.5)
"""Mean and standard deviation of the inputs of `covariate_shift`."""


def covariate_shift(seed: int, *, noise: float = 0.2, rows: tuple[int, int] = (400, 400)) -> tuple[Rows, Rows]:
    """Draw one input, normal with other parameters in training and test rows, and y = x² / 2 + noise in both."""
    random = np.random.default_rng(seed)
    drawn = []
    for (mean, deviation), n in zip((TRAIN, TEST), rows, strict=True):
        x = random.normal(mean, deviation, n)
        drawn.append(Rows(x[:, None], x**2 / 2 + noise * random.standard_normal(n)))
    return drawn[0], drawn[1]


def density_ratio(x: Float) -> Float:
    """The ratio of the densities of test and training rows of `covariate_shift` at x, which a learner does not know."""
    z, z_test = ((x - mean) / deviation for mean, deviation in (TRAIN, TEST))
    return np.asarray(np.exp((z**2 - z_test**2) / 2) * TRAIN[1] / TEST[1])


def label_shift(seed: int, shares: Sequence[float], *, noise: float = 0.5, rows: int = 2000) -> tuple[Rows, Rows, Rows]:
    """Draw noisy digits for training and validation, where classes come equally often, and for testing, where not.

    Parameters
    ----------
    seed
        Of everything that is drawn.
    shares
        How often each of the ten classes comes among the test rows; they are divided by their sum.
    noise
        Standard deviation of what is added to the grey levels, so that digits are confused.
    rows
        How many are drawn for testing, from a fifth of the digits, with replacement and new noise.

    Returns
    -------
    training, validation and test rows
    """
    random = np.random.default_rng(seed)
    known, (X, y) = digits(seed)
    wanted = np.asarray(shares, np.float64)
    chances = (wanted / wanted.sum() / np.bincount(y.astype(np.int64), minlength=10))[y.astype(np.int64)]
    drawn = random.choice(len(y), rows, p=chances / chances.sum())
    parts = (Rows(known.X[:700], known.y[:700]), Rows(known.X[700:], known.y[700:]), Rows(X[drawn], y[drawn]))
    train, valid, test = (Rows(part.X + noise * random.standard_normal(part.X.shape), part.y) for part in parts)
    return train, valid, test


def drift(seed: int, *, periods: int = 8, turn: float = 0.25, noise: float = 0.1, rows: int = 200) -> list[Rows]:
    """Draw rows of as many periods: two normal inputs, and weights of length 1 that turn by some radians a period."""
    random = np.random.default_rng(seed)
    drawn = []
    for angle in turn * np.arange(periods):
        X = random.standard_normal((rows, 2))
        drawn.append(Rows(X, X @ [np.cos(angle), np.sin(angle)] + noise * random.standard_normal(rows)))
    return drawn


def houses_by_year(competition: Competition, tables: Tables, until: int, features: str = "default") -> dict[int, Rows]:
    """The houses with a price by the year of their sale: columns as a feature recipe makes them, and log prices.

    Parameters
    ----------
    competition, tables
        House Prices.
    until
        The preprocessor learns from the houses that were sold up to this year, and sees no later one.
    features
        The recipe.
    """
    year = tables.train["YrSold"].to_numpy(np.int64)
    target = tables.link_target(competition.scoring)
    recipe = competition.features[features]
    matrix = features_without(tables, recipe, (year > until)[None], competition.ingest, target).of_fold(0)
    return {
        int(each): Rows(matrix.X[year == each].astype(np.float64), target[year == each]) for each in np.unique(year)
    }
