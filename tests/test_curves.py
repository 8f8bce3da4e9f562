"""Learning curves of a run: what is kept of them, and what they say."""

import json

import numpy as np
import pytest

from houseprice.learn.curves import Curves, curves_from_json, curves_of, diagnose
from houseprice.learn.members import FittedMember

NONE = np.empty(0)


def member(fold: int, seed: int, scores: list[float]) -> FittedMember:
    curve = np.array(scores)
    return FittedMember(fold, seed, NONE, NONE, curve, curve, curve, curve + 1, {})


def test_a_fold_is_the_mean_of_its_members_at_the_epochs_asked_about() -> None:
    nan = float("nan")
    curves = curves_of(
        [member(0, 0, [nan, 3.0, nan, 1.0]), member(0, 1, [nan, 5.0, nan, nan]), member(1, 0, [nan] * 4)]
    )
    assert curves is not None
    assert curves.epochs.tolist() == [2, 4]
    assert curves.train[0].tolist() == [4.0, 1.0]  # a member that stopped early does not count afterwards
    assert curves.valid[0].tolist() == [5.0, 2.0]
    assert np.isnan(curves.train[1]).all()


def test_estimators_have_no_curves() -> None:
    assert curves_of([member(0, 0, [])]) is None
    assert curves_of([member(0, 0, [float("nan")])]) is None


def test_curves_survive_json() -> None:
    curves = Curves(np.array([1, 3]), np.array([[0.123456789, np.nan]]), np.array([[0.5, 0.25]]))
    text = json.dumps(curves.to_json(), allow_nan=False)
    again = curves_from_json(json.loads(text))
    np.testing.assert_allclose(again.train, curves.train, rtol=1e-5)
    assert again.valid.tolist() == curves.valid.tolist()
    assert again.epochs.tolist() == [1, 3]


EPOCHS = np.arange(1, 41)


@pytest.mark.parametrize(
    ("train", "valid", "verdict", "reason"),
    [
        (1 / EPOCHS, np.where(EPOCHS < 10, 1 / EPOCHS, 0.11 + 0.002 * EPOCHS), "overfitting", "best at epoch 9 and"),
        (np.full(40, 0.05), np.full(40, 0.12), "overfitting", "58% below"),
        (np.exp(-EPOCHS / 30), np.exp(-EPOCHS / 30) + 0.1, "underfitting", "still falls"),
        (np.full(40, 0.119), np.full(40, 0.12), "underfitting", "hardly below"),
        (np.full(40, 0.04), 0.12 + 0.004 * (EPOCHS % 2), "overfitting", "67% below"),  # noise is no fall
        (np.full(40, 0.10), np.full(40, 0.12), "balanced", "17% below"),
    ],
)
def test_curves_of_known_shape_are_named(train: np.ndarray, valid: np.ndarray, verdict: str, reason: str) -> None:
    found = diagnose(Curves(EPOCHS, train[None], valid[None]))
    assert found.verdict == verdict
    assert reason in found.reason
