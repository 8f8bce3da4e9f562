"""The course's rooms: data that is what the course says, the engine on plain arrays, and figures of what was given."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from houseprice.course import figures
from houseprice.course.data import Rows, digits, k_folds, linear, many_inputs, polynomial, powers
from houseprice.course.fitting import Fit, fit, fit_each
from houseprice.errors import ConfigError, DataError, HousePriceError, TrainingError
from houseprice.learn.plain import weights_of

SGD = {"optimizer": "sgd", "learning_rate": 0.03, "batch_size": 10, "epochs": 5}


# data -------------------------------------------------------------------------------------------------------


def test_linear_rows_are_their_model_s_but_for_the_noise() -> None:
    (X, y), valid = linear(3, w=(2.0, -3.4), b=4.2, noise=0.01, rows=(4000, 10))
    assert (X.shape, y.shape, valid.X.shape, valid.y.shape) == ((4000, 2), (4000,), (10, 2), (10,))
    noise = y - (X @ [2.0, -3.4] + 4.2)
    assert noise.std() == pytest.approx(0.01, rel=0.1)
    assert noise.mean() == pytest.approx(0, abs=0.001)


def test_the_cubic_has_the_course_s_coefficients_and_the_same_rows_for_every_degree() -> None:
    (X, y), _ = polynomial(1, 3, noise=0.0)
    x = X[:, 0]
    np.testing.assert_allclose(y, 5 + 1.2 * x - 3.4 * x**2 / 2 + 5.6 * x**3 / 6)
    (wide, same), _ = polynomial(1, 20, noise=0.0)
    assert wide.shape == (100, 20)
    np.testing.assert_array_equal(wide[:, :3], X)
    np.testing.assert_array_equal(same, y)
    (plain, _), _ = polynomial(1, 20, factorials=False)
    np.testing.assert_allclose(plain[:, 19], wide[:, 19] * math.factorial(20))
    np.testing.assert_allclose(powers(np.array([3.0]), 2, factorials=False), [[3, 9]])


def test_a_seed_is_one_draw() -> None:
    for make in (linear, many_inputs, polynomial, digits):
        first, again, other = make(0), make(0), make(1)
        np.testing.assert_array_equal(first[0].X, again[0].X)
        assert not np.array_equal(first[1].y, other[1].y)


def test_few_rows_of_many_inputs() -> None:
    train, valid = many_inputs(0)
    assert (train.X.shape, valid.X.shape) == ((20, 200), (100, 200))


def test_digits_have_all_classes_on_both_sides() -> None:
    train, valid = digits(0)
    assert (train.X.shape, valid.X.shape) == ((1437, 64), (360, 64))
    assert (train.X.min(), train.X.max()) == (0, 1)
    for rows in (train, valid):
        shares = np.bincount(rows.y.astype(np.int64)) / len(rows.y)
        assert shares == pytest.approx(np.full(10, 0.1), abs=0.01)


def test_every_row_is_validated_once() -> None:
    rows = Rows(np.arange(23.0)[:, None], np.arange(23.0))
    folds = k_folds(rows, 5, seed=2)
    assert sorted(np.concatenate([valid.y for _, valid in folds])) == list(range(23))
    for train, valid in folds:
        assert sorted([*train.y, *valid.y]) == list(range(23))
        np.testing.assert_array_equal(train.X[:, 0], train.y)


# fitting ----------------------------------------------------------------------------------------------------


def test_gradient_descent_finds_the_linear_model() -> None:
    train, valid = linear(0, w=(2.0, -3.4), b=4.2)
    (found,) = fit(train, valid, SGD)
    np.testing.assert_allclose(found.weights["layers.0.weight"], [[2.0, -3.4]], atol=0.01)
    np.testing.assert_allclose(found.weights["layers.0.bias"], [4.2], atol=0.01)
    assert found.weight_norm == pytest.approx(math.hypot(2.0, 3.4), abs=0.01)
    assert found.train_losses.shape == found.valid_losses.shape == (5,)
    assert found.valid_losses[-1] == pytest.approx(np.mean((found.predict(valid.X) - valid.y) ** 2), rel=1e-4)


def test_results_are_ordered_by_setting_draw_and_seed() -> None:
    train, _ = linear(0, rows=(60, 10))
    settings = [{**SGD, "weight_decay": decay, "hidden": [hidden]} for decay, hidden in ((0.0, 4), (1.0, 3))]
    fits = fit_each(k_folds(train, 3), settings, seeds=(5, 7))
    told = [(one.settings["weight_decay"], one.fold, one.seed) for one in fits]
    assert told == [(decay, fold, seed) for decay in (0.0, 1.0) for fold in range(3) for seed in (5, 7)]


def test_a_network_is_the_same_alone_and_among_others() -> None:
    train, valid = linear(0, rows=(50, 20))
    settings = [{**SGD, "hidden": [6], "dropout": rate} for rate in (0.0, 0.5)]
    together = fit(train, valid, settings, seeds=range(3))
    (alone,) = fit(train, valid, settings[1], seeds=[2])
    np.testing.assert_allclose(alone.valid_losses, together[5].valid_losses, rtol=1e-5)


def test_validation_rows_teach_nothing() -> None:
    train, valid = linear(0, rows=(50, 20))
    settings = {**SGD, "hidden": [6]}
    (honest,) = fit(train, valid, settings)
    (other,) = fit(train, (valid.X + 1, -valid.y), settings)
    np.testing.assert_array_equal(honest.train_losses, other.train_losses)
    for name, weights in honest.weights.items():
        np.testing.assert_array_equal(weights, other.weights[name])


def test_a_classifier_predicts_a_logit_for_each_class() -> None:
    train, valid = digits(0, rows=(400, 100))
    (found,) = fit(train, valid, {"hidden": [32], "loss": "cross_entropy", "learning_rate": 0.01, "epochs": 15})
    logits = found.predict(valid.X)
    assert logits.shape == (100, 10)
    assert np.mean(logits.argmax(axis=1) == valid.y) > 0.8
    module = found.module()
    assert isinstance(module, nn.Sequential)
    assert [type(layer) for layer in module] == [nn.Linear, nn.ReLU, nn.Linear]
    with torch.inference_mode():
        np.testing.assert_allclose(module(torch.tensor(valid.X, dtype=torch.float32)), logits, atol=1e-5)
    loss = nn.functional.cross_entropy(torch.tensor(logits), torch.tensor(valid.y))
    assert found.valid_losses[-1] == pytest.approx(float(loss), rel=1e-4)


def test_who_diverges_is_marked_and_the_others_go_on() -> None:
    train, valid = many_inputs(0)
    settings = {"optimizer": "sgd", "learning_rate": 0.003, "batch_size": 5, "epochs": 60}
    small, large = fit(train, valid, [{**settings, "weight_decay": decay} for decay in (3.0, 1000.0)])
    assert small.diverged_epoch is None
    assert 0 < small.valid_losses[-1] < 1
    assert large.diverged_epoch is not None
    assert f"diverged in epoch {large.diverged_epoch + 1}" in repr(large)
    assert "because step size × weight decay = 3 is above 2" in repr(large)
    with pytest.raises(TrainingError, match=r"weight_decay=1000, seed=0\): diverged in epoch"):
        fit(train, valid, {**settings, "weight_decay": 1000.0}, must_converge=True)
    (steep,) = fit(train, valid, {**settings, "learning_rate": 1.0})
    assert repr(steep).endswith("diverged in epoch " + str((steep.diverged_epoch or 0) + 1))  # no reason that is none


def test_numbers_of_numpy_and_lists_are_settings_too() -> None:
    train, valid = linear(0, rows=(30, 10))
    settings = {**SGD, "weight_decay": np.float64(0.1), "epochs": np.int64(2), "hidden": [np.int64(3)]}
    (found,) = fit(train, valid, settings, record_health=True)
    assert (found.recipe.hidden, found.recipe.epochs) == ((3,), 2)
    assert found.health is not None
    assert found.health.gradient_norms.shape == (2, 2)


@pytest.mark.parametrize(
    ("ask", "error", "complaint"),
    [
        ({"weigth_decay": 1.0}, ConfigError, "unknown setting 'weigth_decay'; did you mean 'weight_decay'?"),
        ({"standardize_target": True}, ConfigError, "unknown setting 'standardize_target'"),
        ({"learning_rate": 0.0}, ConfigError, "learning_rate: Input should be greater than 0"),
        ({"hidden": [3], "dropout": [0.1, 0.1]}, ConfigError, "2 rates for 1 hidden layers"),
        ({"loss": "binary_cross_entropy"}, TrainingError, "needs targets 0 to 1"),
    ],
)
def test_wrong_settings_are_told(ask: dict[str, Any], error: type[HousePriceError], complaint: str) -> None:
    train, valid = linear(0, rows=(30, 10))
    with pytest.raises(error) as caught:
        fit(train, valid, ask)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("X", "y", "complaint"),
    [
        (np.ones(3), np.ones(3), r"training rows: X has shape \(3,\), y \(3,\)"),
        (np.ones((3, 2)), np.ones(2), r"training rows: X has shape \(3, 2\), y \(2,\)"),
        (np.ones((3, 3)), np.ones(3), "training rows have 3 columns, validation rows 2"),
        (np.array([[1.0, 2.0], [1e300, 0.0], [np.nan, 0.0]]), np.ones(3), r"training rows 1, 2 \(from 0\) hold NaN"),
    ],
)
def test_wrong_rows_are_told(X: Any, y: Any, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        fit((X, y), linear(0, rows=(5, 5))[1], SGD)


def test_an_interrupted_fit_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    (train, valid), settings = linear(0, rows=(60, 20)), {**SGD, "momentum": 0.9, "epochs": 30}
    (whole,) = fit(train, valid, settings)

    def interrupt(done: int, total: int) -> None:
        if done == 25:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(train, valid, settings, checkpoints=tmp_path, on_epoch=interrupt)
    epochs: list[int] = []
    (resumed,) = fit(train, valid, settings, checkpoints=tmp_path, on_epoch=lambda done, total: epochs.append(done))
    assert len(epochs) <= 11
    np.testing.assert_array_equal(resumed.weights["layers.0.weight"], whole.weights["layers.0.weight"])
    np.testing.assert_array_equal(resumed.valid_losses, whole.valid_losses)


def test_a_plain_network_s_weights_are_the_engine_s_again() -> None:
    train, valid = linear(0, rows=(60, 20))
    settings = {**SGD, "hidden": [4, 3], "activation": "prelu"}
    (one,) = fit(train, valid, settings)
    module = one.module()
    assert isinstance(module, nn.Sequential)
    weights = weights_of(module)
    assert set(weights) == set(one.weights)
    for name, value in one.weights.items():
        np.testing.assert_array_equal(weights[name], value)
    (still,) = fit(train, valid, {**settings, "epochs": 1, "learning_rate": 1e-12}, start=weights)
    assert still.valid_losses[-1] == pytest.approx(one.valid_losses[-1], rel=1e-5)
    with torch.no_grad():
        module[0].weight.zero_()  # type: ignore[operator]
    assert weights["layers.0.weight"].any()  # they are copies


def test_a_layer_that_the_engine_does_not_know_is_named() -> None:
    with pytest.raises(TrainingError, match="layer 1, BatchNorm1d: the engine knows no such parameters; use"):
        weights_of(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)))


# figures ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fits() -> list[Fit]:
    return fit(*linear(0, rows=(30, 10)), SGD, seeds=range(3))


def test_loss_curves_hold_every_fit(fits: list[Fit]) -> None:
    figure = figures.loss_curves({"one": fits[:1], "three": fits})
    assert figure.layout.yaxis.type == "log"
    assert list(figure.layout.yaxis.tickvals) == sorted(figure.layout.yaxis.tickvals)
    names = [trace.name for trace in figure.data if trace.mode == "lines" and trace.showlegend is not False]
    assert [name.replace("\u2068", "").replace("\u2069", "") for name in names] == [
        *("one, train", "one, validation", "three, train", "three, validation")
    ]
    np.testing.assert_allclose(figure.data[-1].y, np.mean([one.valid_losses for one in fits], axis=0))


def test_what_diverged_is_drawn_as_far_as_it_goes() -> None:
    train, valid = many_inputs(0)
    (lost,) = fit(train, valid, {**SGD, "learning_rate": 1.0, "epochs": 40})
    drawn = figures.loss_curves({"lost": [lost]}).data
    assert all(np.isfinite(trace.y).all() for trace in drawn)


def test_lines_have_a_band_where_there_are_several_draws() -> None:
    x = np.array([1.0, 2.0])
    several = np.array([[1.0, 2.0], [3.0, 6.0]])
    figure = figures.lines(
        x, {"a": several, "b": x}, x_name="x", y_name="y", points={"rows": (x, x)}, log_x=True, log_y=True
    )
    assert (figure.layout.xaxis.type, figure.layout.yaxis.type) == ("log", "log")
    points, band, mean, line = figure.data
    assert points.mode == "markers"
    assert list(band.y) == [3, 6, 2, 1]
    assert list(mean.y) == [2, 4]
    assert list(line.y) == [1, 2]


def test_groups_of_points_have_signs_of_their_own() -> None:
    x = np.array([1.0, 2.0])
    groups = {"one": (x, x), "two": (x, x), "three": (x, x), "four": (np.zeros(500), np.zeros(500))}
    one, two, three, four = figures.lines(x, {}, x_name="x", y_name="y", points=groups).data
    assert len({group.marker.symbol for group in (one, two, three, four)}) == 4
    assert one.marker.size > four.marker.size  # which are many


def test_a_heat_map_shows_its_grid_from_below() -> None:
    values = np.array([[1.0, np.nan, 3.0], [4.0, 5.0, 6.0]])
    figure = figures.heat_map(values, [0.0, 0.1, 0.2], ["a", "b"], x_name="x", y_name="y", value_name="loss")
    np.testing.assert_array_equal(figure.data[0].z, values)
    assert [label[1:-1] for label in figure.data[0].x] == ["0.0", "0.1", "0.2"]
    assert figure.layout.yaxis.range is None  # the first row at the bottom, as Plotly has it
    assert figure.data[0].xgap == 1
    fine = figures.heat_map(values, range(3), range(2), x_name="x", y_name="y", value_name="loss", text_format="")
    assert fine.data[0].texttemplate is None
    assert fine.data[0].xgap == 0


def test_histograms_share_their_bins_and_count_what_is_finite() -> None:
    figure = figures.histogram({"a": np.array([0.0, 1.0, np.inf]), "b": np.array([4.0])}, x_name="x", bins=4)
    first, second = figure.data
    assert list(first.x) == list(second.x) == [0.5, 1.5, 2.5, 3.5]
    assert (list(first.y), list(second.y)) == ([1, 1, 0, 0], [0, 0, 0, 1])
    assert figure.layout.yaxis.dtick == 1
    assert figures.histogram({"a": np.zeros(100)}, x_name="x").layout.yaxis.dtick is None
