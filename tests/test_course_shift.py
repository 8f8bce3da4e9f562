"""Data whose later rows differ, and fits that are weighted or go on from others."""

import numpy as np
import pytest

from conftest import REPOSITORY
from houseprice.competition import load_competition
from houseprice.course.fitting import fit
from houseprice.course.shift import covariate_shift, density_ratio, drift, houses_by_year, label_shift
from houseprice.data.sample import sample_files
from houseprice.data.tables import read_tables
from houseprice.errors import DataError

SGD = {"optimizer": "sgd", "learning_rate": 0.05, "batch_size": 100, "epochs": 10}


def test_the_density_ratio_turns_means_over_training_rows_into_means_over_test_rows() -> None:
    train, test = covariate_shift(0, noise=0.0, rows=(100_000, 1000))
    weights = density_ratio(train.X[:, 0])
    assert weights.mean() == pytest.approx(1, abs=0.02)
    assert (weights * train.X[:, 0]).mean() == pytest.approx(1.5, abs=0.05)
    np.testing.assert_allclose(test.y, test.X[:, 0] ** 2 / 2)


def test_labels_come_in_the_shares_that_are_asked_for() -> None:
    train, valid, test = label_shift(0, [4, 1, 1, 1, 1, 1, 1, 0, 0, 0])
    assert (len(train.y), len(valid.y), len(test.y)) == (700, 737, 2000)
    shares = np.bincount(test.y.astype(np.int64), minlength=10) / 2000
    np.testing.assert_allclose(shares, np.array([4, 1, 1, 1, 1, 1, 1, 0, 0, 0]) / 10, atol=0.03)
    assert np.bincount(valid.y.astype(np.int64)).min() > 50


def test_weights_turn_from_period_to_period() -> None:
    periods = drift(0, periods=3, turn=0.5, noise=0.0)
    found = [np.linalg.lstsq(X, y)[0] for X, y in periods]
    np.testing.assert_allclose(found, [[np.cos(a), np.sin(a)] for a in (0, 0.5, 1)], atol=1e-12)


def test_houses_of_later_years_are_nothing_to_the_preprocessor() -> None:
    competition = load_competition(REPOSITORY / "data" / "house-prices" / "competition.toml")
    files = {name: text.encode() for name, text in sample_files(300, 30).items()}
    tables = read_tables(files, competition)
    years = houses_by_year(competition, tables, 2007)
    assert list(years) == [2006, 2007, 2008, 2009, 2010]
    assert sum(len(rows.y) for rows in years.values()) == 300
    tables.train.loc[tables.train["YrSold"] > 2007, "LotArea"] *= 100
    tables.target[tables.train["YrSold"] > 2007] *= 2
    again = houses_by_year(competition, tables, 2007)
    np.testing.assert_array_equal(years[2006].X, again[2006].X)
    np.testing.assert_allclose(again[2009].y - years[2009].y, np.log(2))


def test_a_fit_is_weighted_by_any_multiple() -> None:
    train, test = covariate_shift(0)
    weights = np.arange(400.0)
    one, other, plain = (
        fit(train, test, SGD, weights=each)[0].weights["layers.0.weight"] for each in (weights, 3 * weights, None)
    )
    np.testing.assert_array_equal(one, other)
    assert not np.array_equal(one, plain)
    with pytest.raises(DataError, match=r"weights: shape \(3,\) and sum 3; give one for each of the 400 training rows"):
        fit(train, test, SGD, weights=np.ones(3))


def test_a_fit_goes_on_from_another() -> None:
    """With all rows in a batch, ten epochs and ten more are twenty."""
    train, test = covariate_shift(0, rows=(100, 10))
    (first,) = fit(train, test, SGD)
    (whole,) = fit(train, test, {**SGD, "epochs": 20})
    (both,) = fit(train, test, SGD, start=first)
    np.testing.assert_allclose(both.weights["layers.0.weight"], whole.weights["layers.0.weight"], rtol=1e-5)
