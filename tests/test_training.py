"""The loop: a batched member against a plain PyTorch loop, itself alone, and itself never interrupted."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor, nn

from houseprice.errors import StorageError, TrainingError
from houseprice.learn import batch, checkpoint, training
from houseprice.learn.batch import learning_rate_factor, mask_steps, targets_of
from houseprice.learn.functions import loss_of
from houseprice.learn.members import FittedMember, FoldData, Member, Streams, dropped_of_65536
from houseprice.learn.network import Network
from houseprice.learn.plain import SKIP, Embedding, Heads, Mean, Scaled, Sum, as_module
from houseprice.learn.training import bytes_of_member, fit, train_members
from houseprice.recipes import MLP, ActivationName, Linear, LossName

HOUSE_PRICES = Path(__file__).parents[2] / "shared" / "house-prices"
Floats = NDArray[np.float64]


def mlp(**settings: Any) -> MLP:
    return MLP(kind="mlp", **{"hidden": (8, 5), "epochs": 20, "batch_size": 16, "dropout": 0.2, **settings})


def fold(number: int = 0, rows: int = 70, columns: int = 7, classes: int = 0, valid: int = 10) -> FoldData:
    """Some data with something to learn; the validation rows are the first."""
    random = np.random.default_rng([rows, columns, number])
    X = random.standard_normal((rows, columns)).astype(np.float32)
    y = np.sin(X[:, 0]) + 0.5 * X[:, 1] * X[:, 2] + 0.1 * random.standard_normal(rows)
    if classes:
        y = np.clip(np.digitize(y, np.linspace(-0.5, 0.5, classes - 1)), 0, classes - 1)
    test = random.standard_normal((9, columns)).astype(np.float32)
    return FoldData(number, X, y.astype(np.float32), np.arange(valid, rows), np.arange(valid), test)


def weighted(data: FoldData, seed: int = 0) -> FoldData:
    """The same data with weights; those of validation rows are none, and never looked at."""
    weights = np.random.default_rng(seed).exponential(size=len(data.X)).astype(np.float32)
    weights /= weights[data.fit_rows].mean()
    weights[data.valid_rows] = np.nan
    return dataclasses.replace(data, weights=weights)


def assert_close(one: FittedMember, other: FittedMember, tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(one.predictions, other.predictions, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(one.test_predictions, other.test_predictions, rtol=tolerance, atol=tolerance)
    for name, value in one.weights.items():
        np.testing.assert_allclose(value, other.weights[name], rtol=tolerance, atol=tolerance)


def assert_same_bits(one: FittedMember, other: FittedMember) -> None:
    for key in ("predictions", "test_predictions", "train_losses", "valid_losses"):
        np.testing.assert_array_equal(getattr(one, key), getattr(other, key))
    for name, value in one.weights.items():
        np.testing.assert_array_equal(value, other.weights[name])
    assert one.best_epoch == other.best_epoch


# against a plain loop -------------------------------------------------------------------------------------


class Dropout(nn.Module):
    """A dropout layer that is told its masks."""

    mask: Tensor

    def forward(self, h: Tensor) -> Tensor:
        return h * self.mask[..., : h.shape[-2], :] if self.training else h


def plain_masks(
    recipe: MLP, streams: Streams, place: int, rate: float, steps: int, widths: Sequence[int]
) -> Iterator[Tensor]:
    """The dropout masks of an epoch, one [row, width] a step, drawn as the engine draws them, part by part."""
    at_once, implicit = mask_steps(recipe), (recipe.tabm,) if recipe.tabm and place else ()
    for first in range(0, steps, at_once):
        kept = np.ones((min(at_once, steps - first), *implicit, recipe.batch_size, sum(widths)), np.bool_)
        for part in np.split(kept, np.cumsum(widths)[:-1], axis=-1):
            if rate:
                streams.keep(place, rate, part)
        yield from torch.from_numpy(kept).float() / (1 - dropped_of_65536(rate) / 65536)


def matrices(net: nn.Module) -> list[nn.Parameter]:
    """The weights: no biases, slopes and scales."""
    return [p for name, p in net.named_parameters() if name.endswith("weight") and p.ndim > 1]


def plain_optimizer(recipe: MLP, net: nn.Module) -> torch.optim.Optimizer:
    weights = matrices(net)
    others = [p for p in net.parameters() if not any(p is weight for weight in weights)]
    groups = [
        {"params": weights, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": recipe.weight_decay if recipe.decay_biases else 0.0},
    ]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum)
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, lr=recipe.learning_rate)


def plain_loop(recipe: MLP, data: FoldData, seed: int) -> nn.Module:
    """Train one member with `torch.nn`, autograd and `torch.optim`, from the streams that the engine uses."""
    member = Member(recipe, data, seed)
    streams = Streams.of(member, len(recipe.hidden))
    start = as_module(recipe, member.initial_weights(streams.initial))
    modules: list[nn.Module] = []
    embeddings = [module for module in start.modules() if isinstance(module, Embedding)]
    start = start[1] if isinstance(start, nn.Sequential) and embeddings else start
    for module in (start.terms[0] if isinstance(start, Sum) else start).children():
        if not isinstance(module, Mean):  # the loss is the mean of the implicit members', not that of their mean
            modules += [module] if isinstance(module, (nn.Linear, Scaled, Heads)) else [module, Dropout()]
    layers = nn.Sequential(*modules)
    net = nn.Sequential(*embeddings, Dropout(), Sum(layers, start.terms[1]) if isinstance(start, Sum) else layers)
    drops = [module for module in net.modules() if isinstance(module, Dropout)]
    optimizer, loss = plain_optimizer(recipe, net), loss_of(recipe)
    steps = math.ceil(len(data.fit_rows) / recipe.batch_size)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate_factor(recipe, step, steps))
    averaged = {name: value.detach().clone() for name, value in net.named_parameters()}
    rates, widths = (recipe.input_dropout, *recipe.dropout_rates), [(width,) for width in recipe.hidden]
    of_inputs = data.X.shape[1], len(member.embedded) * recipe.embedded_width
    for _ in range(recipe.epochs):
        net.train()
        order = streams.batch_rows(data.fit_rows)
        y = streams.noisy(member, data.y[order])
        sizes = [min(recipe.batch_size, len(order) - first) for first in range(0, len(order), recipe.batch_size)]
        shares, others = streams.mixed(recipe.mixup, sizes) if recipe.mixup else (None, None)
        masks = [
            plain_masks(recipe, streams, place, rate, steps, parts)
            for place, (rate, parts) in enumerate(zip(rates, [of_inputs, *widths], strict=True))
        ]
        for step in range(steps):
            rows = slice(step * recipe.batch_size, (step + 1) * recipe.batch_size)
            for drop, mask in zip(drops, masks, strict=True):
                drop.mask = next(mask)
            target = torch.from_numpy(targets_of(recipe, y[rows]))
            inputs = data.X[order[rows]]
            if shares is not None and others is not None:
                inputs = (1 - shares[step]) * inputs + shares[step] * inputs[others[step]]
                target = (1 - shares[step]) * target + shares[step] * target[others[step]]
            if recipe.input_noise:
                noise = streams.input_noise.standard_normal((recipe.batch_size, inputs.shape[1]), np.float32)
                inputs = inputs + np.float32(recipe.input_noise) * noise[: len(inputs)]
            prediction = net(torch.from_numpy(inputs * member.seen))
            losses = loss.rows(prediction, target.expand_as(prediction))
            if data.weights is not None:
                losses = losses * torch.from_numpy(data.weights[order[rows]])
            objective = losses.mean()
            objective = objective + recipe.l1 * sum(p.abs().sum() for p in matrices(net))
            optimizer.zero_grad()
            objective.backward()  # type: ignore[no-untyped-call]
            if recipe.clip_norm:
                nn.utils.clip_grad_norm_(net.parameters(), recipe.clip_norm)
            optimizer.step()
            scheduler.step()
            for name, value in net.named_parameters():
                averaged[name].lerp_(value.detach(), 1 - recipe.ema)
    if recipe.ema:
        net.load_state_dict(averaged, strict=False)  # the positions of embedded columns are no parameters
    return net.eval()


OPTIMIZERS: list[dict[str, Any]] = [
    {"optimizer": "sgd", "learning_rate": 0.05},
    {"optimizer": "sgd", "learning_rate": 0.02, "momentum": 0.9, "weight_decay": 0.01},
    {"optimizer": "adam", "weight_decay": 0.01},
    {"optimizer": "adamw", "weight_decay": 0.1},
    {"optimizer": "adamw", "weight_decay": 0.1, "decay_biases": True},
]
OTHERS: list[dict[str, Any]] = [
    {"input_dropout": 0.3, "dropout": (0.0, 0.5)},
    {"input_noise": 0.3, "input_dropout": 0.1},
    {"mixup": 0.4, "input_noise": 0.1},
    {"mixup": 1.0, "loss": "binary_cross_entropy", "label_noise": 0.1},
    {"mixup": 0.2, "loss": "cross_entropy", "classes": 3},
    {"column_share": 0.5},
    {"column_share": 0.3, "skip": True, "input_noise": 0.2, "input_dropout": 0.2, "mixup": 0.3, "weight_decay": 0.1},
    {"tabm": 4, "activation": "prelu"},
    {
        "tabm": 3,
        "skip": True,
        "optimizer": "adamw",
        "weight_decay": 0.1,
        "l1": 0.01,
        "loss": "cross_entropy",
        "classes": 3,
    },
    {"tabm": 2, "clip_norm": 0.1, "ema": 0.9, "decay_biases": True, "weight_decay": 0.01, "activation": "mish"},
    {"tabm": 3, "column_share": 0.5, "mixup": 0.2, "input_noise": 0.1, "input_dropout": 0.1, "dropout": (0.0, 0.3)},
    {"embedding": "periodic", "embedding_frequencies": 3, "input_dropout": 0.2, "input_noise": 0.1, "mixup": 0.2},
    {"embedding": "plr", "skip": True, "column_share": 0.6, "input_dropout": 0.1, "weight_decay": 0.1, "l1": 0.01},
    {"embedding": "plr", "tabm": 3, "skip": True, "input_dropout": 0.1, "clip_norm": 0.5, "ema": 0.9, "mixup": 0.2},
    {"embedding": "periodic", "hidden": (), "dropout": 0.0, "decay_biases": True, "weight_decay": 0.1},
    {"skip": True},
    {"skip": True, "optimizer": "adamw", "weight_decay": 0.1, "l1": 0.01, "loss": "cross_entropy", "classes": 3},
    {"l1": 0.01},
    {"clip_norm": 0.1, "optimizer": "sgd", "learning_rate": 0.1},
    {"ema": 0.9},
    {"label_noise": 0.3},
    {"schedule": "cosine", "warmup_epochs": 3},
    {"schedule": "step", "step_epochs": 4, "step_factor": 0.5},
    {"hidden": (), "dropout": 0.0},
    {"hidden": (6, 6, 6, 6), "activation": "selu"},
    {"initialization": "xavier_uniform"},
    {"loss": "cross_entropy", "classes": 3, "label_noise": 0.2},
]
EVERYTHING = (
    OPTIMIZERS
    + [{"activation": activation} for activation in get_args(ActivationName)]
    + [{"loss": loss, "quantile": 0.3} for loss in get_args(LossName)]
    + OTHERS
)


@pytest.mark.parametrize("settings", EVERYTHING, ids=str)
def test_a_member_equals_a_plain_loop_over_20_epochs(settings: dict[str, Any]) -> None:
    recipe = mlp(**settings)
    data = fold(classes=recipe.classes if "cross_entropy" in recipe.loss else 0)
    ours = train_members(recipe, [data], [3])[0]
    net = plain_loop(recipe, data, 3)
    names = [f"layers.{layer}.weight" for layer in range(len(recipe.hidden) + 1)] + [SKIP] * recipe.skip
    names = ["embedding.weight"] * (recipe.embedding == "plr") + names
    for name, weight in zip(names, matrices(net), strict=True):
        np.testing.assert_allclose(ours.weights[name], weight.detach().numpy(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ours.predictions, predictions_of(recipe, net, data.X), rtol=1e-5, atol=1e-5)


def predictions_of(recipe: MLP, net: nn.Module, X: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a plain network predicts, as the engine hands it out."""
    prediction: NDArray[np.float32] = net(torch.from_numpy(X)).detach().numpy()
    prediction = prediction.mean(0) if recipe.tabm else prediction
    return prediction[:, 0] if recipe.outputs == 1 else prediction


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"tabm": 3, "loss": "cross_entropy", "classes": 3, "skip": True},
        {"optimizer": "sgd", "learning_rate": 0.05, "clip_norm": 0.1, "label_noise": 0.2, "l1": 0.01},
        {"embedding": "plr", "column_share": 0.6, "input_noise": 0.1, "ema": 0.9},
    ],
    ids=str,
)
def test_a_member_with_weights_equals_a_plain_loop(settings: dict[str, Any]) -> None:
    recipe = mlp(**settings)
    data = weighted(fold(classes=recipe.classes if "cross_entropy" in recipe.loss else 0))
    ours, net = train_members(recipe, [data], [3])[0], plain_loop(recipe, data, 3)
    prediction = predictions_of(recipe, net, data.X)
    np.testing.assert_allclose(ours.predictions, prediction, rtol=1e-5, atol=1e-5)
    without = plain_loop(recipe, dataclasses.replace(data, weights=None), 3)
    assert np.abs(prediction - predictions_of(recipe, without, data.X)).max() > 1e-3


@pytest.mark.long
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
@pytest.mark.parametrize("activation", get_args(ActivationName))
@pytest.mark.parametrize("loss", get_args(LossName))
def test_a_member_equals_a_plain_loop_whatever_is_combined(
    loss: LossName, activation: ActivationName, optimizer: dict[str, Any]
) -> None:
    test_a_member_equals_a_plain_loop_over_20_epochs({"loss": loss, "activation": activation, **optimizer})


def test_schedules_are_torchs() -> None:
    """Against `torch.optim.lr_scheduler`: a step every 3 epochs, and a cosine over 40 steps."""
    weight = nn.Parameter(torch.zeros(1))
    steps = 4
    pairs: list[tuple[Linear, Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler]]] = [
        (
            Linear(kind="linear", epochs=10, schedule="step", step_epochs=3, step_factor=0.5),
            lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 3 * steps, 0.5),
        ),
        (
            Linear(kind="linear", epochs=10, schedule="cosine"),
            lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10 * steps),
        ),
    ]
    for recipe, scheduler_of in pairs:
        optimizer = torch.optim.SGD([weight], lr=1.0)
        scheduler = scheduler_of(optimizer)
        for step in range(10 * steps):
            assert learning_rate_factor(recipe, step, steps) == pytest.approx(scheduler.get_last_lr()[0])
            optimizer.step()
            scheduler.step()


# independent of company ------------------------------------------------------------------------------------

SHAPES: list[dict[str, Any]] = [{}, {"tabm": 3}, {"embedding": "periodic"}, {"embedding": "plr", "tabm": 2}]


def company(**shape: Any) -> list[Member]:
    """30 members that differ in fold, columns, rows, seed and settings; the layers are the same."""
    folds = [fold(0, 70, 7), fold(1, 71, 9), fold(2, 75, 7)]
    settings: list[dict[str, Any]] = [
        {},
        {"learning_rate": 0.01, "weight_decay": 0.1},
        {"dropout": 0.0, "l1": 0.01},
        {"input_dropout": 0.1, "dropout": (0.5, 0.1), "label_noise": 0.2, "input_noise": 0.1},
        {"mixup": 0.3, "column_share": 0.5},
    ]
    return [Member(mlp(skip=True, **one, **shape), data, seed) for data in folds for one in settings for seed in (0, 5)]


@pytest.fixture(scope="module")
def together() -> list[FittedMember]:
    return fit(company())


@pytest.mark.parametrize("position", [0, 3, 5, 8, 16, 29])
def test_a_member_alone_equals_itself_in_company(together: list[FittedMember], position: int) -> None:
    assert_close(fit([company()[position]])[0], together[position])


@pytest.mark.parametrize("shape", SHAPES[1:], ids=str)
def test_whatever_a_network_is_company_changes_nothing(shape: dict[str, Any]) -> None:
    members = company(**shape)
    together = fit(members)
    for position in (2, 9, 17, 28):
        assert_close(fit([members[position]])[0], together[position])


def test_order_and_absence_of_others_change_nothing(together: list[FittedMember]) -> None:
    chosen = [20, 3, 11, 0, 17]
    members = company()
    for fitted, position in zip(fit([members[i] for i in chosen]), chosen, strict=True):
        assert_close(fitted, together[position])


def test_threads_change_nothing_and_are_put_back(together: list[FittedMember]) -> None:
    threads = torch.get_num_threads()
    try:
        for number in (1, 3):
            torch.set_num_threads(number)
            for one, other in zip(fit(company()), together, strict=True):
                assert_close(one, other)
            assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(threads)


def test_a_call_is_deterministic_to_the_bit(together: list[FittedMember]) -> None:
    for one, other in zip(fit(company()), together, strict=True):
        assert_same_bits(one, other)


def test_memory_bounds_the_batch_and_nothing_else(
    together: list[FittedMember], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def counted(*arguments: Any, **options: Any) -> Network:
        sizes.append(options["members"])
        return Network(*arguments, **options)

    monkeypatch.setattr(batch, "Network", counted)
    bounded = fit(company(), memory=45_000 * torch.get_num_threads())
    assert max(sizes) <= 2 < len(sizes)
    for one, other in zip(bounded, together, strict=True):
        assert_close(one, other)
    with pytest.raises(TrainingError, match=r"memory: 1000 bytes can't hold \d+ members"):
        fit(company(), memory=1000)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_members_parameters_are_counted_exactly(shape: dict[str, Any]) -> None:
    """With a gradient and two moments each."""
    recipe = mlp(loss="cross_entropy", classes=3, **shape)
    embedded = 4 if recipe.embedding != "none" else 0
    parameters = Network(recipe, 7, members=1, embedded=embedded).parameters.values()
    assert bytes_of_member(recipe, 7, embedded)[0] == 16 * sum(value.numel() for value in parameters)


def test_results_are_ordered_by_fold_then_seed() -> None:
    fitted = train_members(mlp(epochs=1), [fold(0), fold(1)], [4, 2])
    assert [(one.fold, one.seed) for one in fitted] == [(0, 4), (0, 2), (1, 4), (1, 2)]


def test_folds_that_share_a_matrix_do_not_copy_it() -> None:
    data = fold()
    folds = [dataclasses.replace(data, fold=number) for number in range(3)]
    matrices = training._matrices([Member(mlp(), one, 0) for one in folds], torch.device("cpu"))
    assert len(matrices) == 2  # training and test rows
    assert matrices[id(data.X)].data_ptr() == data.X.ctypes.data


@pytest.mark.parametrize("rows", [1, 2, 15, 16, 17, 33])
def test_every_row_of_a_ragged_fold_is_fitted_once_an_epoch(rows: int) -> None:
    """The first step of plain gradient descent on a linear model is the mean over all rows."""
    data = dataclasses.replace(fold(), fit_rows=np.arange(10, 10 + rows))
    recipe = Linear(
        kind="linear", optimizer="sgd", learning_rate=0.1, epochs=1, batch_size=64, initialization="constant"
    )
    weights = train_members(recipe, [data, fold(1)], [0])[0].weights
    X, y = data.X[data.fit_rows].astype(float), data.y[data.fit_rows]
    slope = 2 * (X.sum(1) * 0.01 - y)
    expected = 0.01 - 0.1 * (X * slope[:, None]).mean(0)
    np.testing.assert_allclose(weights["layers.0.weight"][0], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(weights["layers.0.bias"], -0.1 * slope.mean(), rtol=1e-5, atol=1e-6)


def test_padded_inputs_stay_zero() -> None:
    fitted = fit([Member(mlp(weight_decay=0.1), fold(n, columns=c), 0) for n, c in ((0, 3), (1, 9))])
    assert fitted[0].weights["layers.0.weight"].shape == (8, 3)
    assert_close(fitted[0], fit([Member(mlp(weight_decay=0.1), fold(0, columns=3), 0)])[0])


# from the course -------------------------------------------------------------------------------------------


def test_dropout_leaves_the_expectation_unchanged() -> None:
    streams = Streams.of(Member(mlp(), fold(), 0), 2)
    for rate in (0.1, 0.5, 0.77):
        kept = np.empty((50, 64, 64), np.bool_)
        streams.keep(1, rate, kept)
        scaled = kept / (1 - dropped_of_65536(rate) / 65536)
        assert scaled.mean() == pytest.approx(1, abs=5 * math.sqrt(rate / (1 - rate) / kept.size))
        assert 1 - kept.mean() == pytest.approx(rate, abs=5e-3)


def test_constant_weights_never_break_their_symmetry() -> None:
    fitted = train_members(mlp(hidden=(6,), initialization="constant", dropout=0.0), [fold()], [0])[0]
    units = fitted.weights["layers.0.weight"]
    np.testing.assert_allclose(units, np.broadcast_to(units[0], units.shape), rtol=1e-5)
    assert np.ptp(train_members(mlp(hidden=(6,), dropout=0.0), [fold()], [0])[0].weights["layers.0.weight"][:, 0]) > 0.1


def test_sigmoids_let_gradients_vanish() -> None:
    """A chapter of the course, in the records: deep sigmoid layers, D2L §5.4.1.1."""
    recipe = mlp(hidden=(10,) * 5, activation="sigmoid", dropout=0.0, epochs=3)
    health = train_members(recipe, [fold()], [0], record_health=True)[0].health
    assert health is not None
    assert health.gradient_norms.shape == health.activation_scales.shape == (3, 6)
    assert (health.gradient_norms[:, 0] < 0.01 * health.gradient_norms[:, -1]).all()
    assert train_members(recipe, [fold()], [0])[0].health is None


def test_early_stopping_returns_the_best_epoch_of_its_inner_split() -> None:
    recipe = mlp(epochs=200, patience=5, learning_rate=0.02, dropout=0.0, inner_fraction=0.25)
    data = fold(rows=60)
    fitted = train_members(recipe, [data], [1])[0]
    ran = int(np.isfinite(fitted.train_losses).sum())
    assert fitted.best_epoch is not None
    assert ran == fitted.best_epoch + 1 + 5 < 200
    trained, inner = Member(recipe, data, 1).split
    assert sorted([*trained, *inner]) == list(data.fit_rows)
    assert len(inner) == round(0.25 * len(data.fit_rows))
    # the same training, ended right after the best epoch, with nothing set to stop it
    ended = mlp(epochs=fitted.best_epoch + 1, learning_rate=0.02, dropout=0.0)
    until = train_members(ended, [dataclasses.replace(data, fit_rows=trained)], [1])[0]
    assert_close(until, fitted)


def test_early_stopping_never_looks_at_the_validation_fold() -> None:
    recipe = mlp(epochs=60, patience=3, learning_rate=0.02)
    data = fold()
    y = data.y.copy()
    y[data.valid_rows] = 1e6
    honest, changed = (train_members(recipe, [one], [0])[0] for one in (data, dataclasses.replace(data, y=y)))
    np.testing.assert_array_equal(honest.predictions, changed.predictions)
    assert honest.best_epoch == changed.best_epoch


def test_members_stop_each_on_its_own() -> None:
    recipe = mlp(epochs=60, patience=2, learning_rate=0.02)
    members = [Member(recipe, fold(), seed) for seed in range(4)]
    fitted = fit(members)
    assert len({one.best_epoch for one in fitted}) > 1
    for member, one in zip(members, fitted, strict=True):
        assert_close(fit([member])[0], one)


@pytest.mark.parametrize(("share", "seen"), [(0.5, 4), (0.3, 2), (0.01, 1), (1.0, 7)])
def test_a_member_never_feels_the_columns_that_it_does_not_see(share: float, seen: int) -> None:
    recipe = mlp(column_share=share, skip=True, input_noise=0.1, mixup=0.3, optimizer="adamw", l1=0.001)
    data = fold()
    members = [Member(recipe, data, seed) for seed in range(4)]
    for member, one in zip(members, fit(members), strict=True):
        assert member.seen.sum() == seen
        for name in ("layers.0.weight", SKIP):
            assert (one.weights[name].any(0) == member.seen).all()
    assert len({member.seen.tobytes() for member in members}) > 1 or share == 1
    changed = dataclasses.replace(data, X=np.where(members[0].seen, data.X, data.X + 100).astype(np.float32))
    np.testing.assert_array_equal(fit(members[:1])[0].predictions, fit([Member(recipe, changed, 0)])[0].predictions)


def test_numbers_are_embedded_and_indicators_are_not() -> None:
    """What counts is the fit rows: a third value among the validation rows changes nothing."""
    data = fold()
    X = data.X.copy()
    X[:, 2] = X[:, 2] > 0
    X[:, 4] = 1.0
    X[data.valid_rows, 2] = 0.5
    data = dataclasses.replace(data, X=X)
    member = Member(mlp(embedding="periodic", embedding_frequencies=2), data, 0)
    assert list(member.embedded) == [0, 1, 3, 5, 6]
    (fitted,) = fit([member])
    assert list(fitted.weights["embedding.columns"]) == [0, 1, 3, 5, 6]
    assert fitted.weights["layers.0.weight"].shape == (8, 7 + 5 * 4)
    flat = dataclasses.replace(data, X=(X > 0).astype(np.float32))
    assert_same_bits(*(fit([Member(mlp(embedding=kind), flat, 0)])[0] for kind in ("plr", "none")))


def test_losses_are_those_of_the_predictions() -> None:
    data = fold()
    fitted = train_members(mlp(curve_every=7), [data], [0])[0]
    asked = np.isfinite(fitted.train_losses)
    assert list(np.flatnonzero(asked) + 1) == [7, 14, 20]
    assert (asked == np.isfinite(fitted.valid_losses)).all()
    for rows, losses in ((data.fit_rows, fitted.train_losses), (data.valid_rows, fitted.valid_losses)):
        assert losses[-1] == pytest.approx(np.square(fitted.predictions - data.y)[rows].mean(), rel=1e-5)


# weights of rows, and weights to start from -----------------------------------------------------------------


@pytest.mark.parametrize("shape", [{}, {"tabm": 3}], ids=str)
def test_weights_of_some_members_are_nothing_to_others(shape: dict[str, Any]) -> None:
    data = [fold(0), weighted(fold(1, 71), 1), weighted(fold(2, 75), 2)]
    members = [Member(mlp(**shape), one, seed) for one in data for seed in (0, 5)]
    for member, together in zip(members, fit(members), strict=True):
        assert_close(fit([member])[0], together)


@pytest.mark.parametrize("settings", [{}, {"tabm": 3}, {"patience": 3, "learning_rate": 0.02}], ids=str)
def test_weights_of_1_are_none_to_the_bit(settings: dict[str, Any]) -> None:
    ones = dataclasses.replace(fold(), weights=np.ones(70, np.float32))
    with_ones, without = (train_members(mlp(**settings), [one], [0, 1]) for one in (ones, fold()))
    for one, other in zip(with_ones, without, strict=True):
        assert_same_bits(one, other)


def test_curves_are_of_unweighted_losses() -> None:
    data = weighted(fold())
    (fitted,) = train_members(mlp(), [data], [0])
    squares = np.square(fitted.predictions - data.y)
    assert fitted.train_losses[-1] == pytest.approx(squares[data.fit_rows].mean(), rel=1e-5)
    assert fitted.valid_losses[-1] == pytest.approx(squares[data.valid_rows].mean(), rel=1e-5)


def test_early_stopping_counts_the_rows_of_its_inner_split_by_their_weights() -> None:
    recipe, data = mlp(epochs=60, patience=3, learning_rate=0.02), weighted(fold())
    member = Member(recipe, data, 0)
    assert data.weights is not None
    heavy = data.weights.copy()
    inner = member.split[1]
    heavy[inner[0]] = heavy[inner].sum()
    heavy[inner[1:]] = 0  # one row alone stops the training
    one_row = Member(recipe, dataclasses.replace(data, weights=heavy), 0)
    first, second = (fit([each])[0] for each in (member, one_row))
    assert first.best_epoch != second.best_epoch


@pytest.mark.parametrize(
    ("weights", "complaint"),
    [
        (np.full(70, 2), r"mean 1 over the fit rows; these are from 2 to 2 with mean 2\. Divide"),
        (np.r_[np.full(69, 70 / 69), np.nan], "these are from nan"),
        (np.r_[np.full(68, 61 / 58), -1, 0], "these are from -1"),
    ],
)
def test_weights_that_are_none_are_refused(weights: Floats, complaint: str) -> None:
    data = dataclasses.replace(fold(), weights=weights.astype(np.float32))
    with pytest.raises(TrainingError, match=f"fold 0: weights of rows must be ≥ 0 .*{complaint}"):
        train_members(mlp(), [data], [0])
    with pytest.raises(TrainingError, match="fold 0: mixup: a mixture of two rows has no weight; use mixup = 0"):
        train_members(mlp(mixup=0.2), [weighted(fold())], [0])


def test_a_training_goes_on_from_given_weights() -> None:
    """Twice 10 steps over all rows are 20, where steps have no memory and rows no order."""
    once = mlp(optimizer="sgd", learning_rate=0.05, dropout=0.0, batch_size=60)
    half = once.model_copy(update={"epochs": 10})
    whole = train_members(once, [fold()], [0, 1])
    first = {(one.fold, one.seed): one.weights for one in train_members(half, [fold()], [0, 1])}
    before = {key: {name: value.copy() for name, value in weights.items()} for key, weights in first.items()}
    for one, other in zip(train_members(half, [fold()], [0, 1], start=first), whole, strict=True):
        assert_close(one, other)
    for key, weights in first.items():
        for name, value in weights.items():
            np.testing.assert_array_equal(value, before[key][name])


@pytest.mark.parametrize(
    "settings", [{"tabm": 2}, {"embedding": "plr"}, {"skip": True, "activation": "prelu"}], ids=str
)
def test_stored_weights_are_where_the_next_training_starts(tmp_path: Path, settings: dict[str, Any]) -> None:
    data = fold()
    (fitted,) = train_members(mlp(epochs=2, **settings), [data], [4])
    checkpoint.save_weights(tmp_path / "weights.safetensors", mlp(epochs=2, **settings), {(0, 4): fitted.weights})
    recipe, start = checkpoint.load_weights(tmp_path / "weights.safetensors")
    still = recipe.model_copy(update={"epochs": 1, "learning_rate": 1e-12})
    new = dataclasses.replace(data, X=data.X.copy())
    new.X[:, 3] = 0  # a column that can't be told from an indicator any more
    (again,) = train_members(still, [new], [4], start=start)
    for name, value in fitted.weights.items():
        np.testing.assert_allclose(again.weights[name], value, rtol=1e-6, atol=1e-6)


def test_weights_of_another_network_are_no_start() -> None:
    (fitted,) = train_members(mlp(epochs=1), [fold()], [0])
    start = {(0, 0): fitted.weights}
    with pytest.raises(TrainingError, match=r"or of other columns than these 9: layers\.0\.weight differ"):
        train_members(mlp(), [fold(0, 70, 9)], [0], start=start)
    with pytest.raises(TrainingError, match=r"fold 0 seed 0: .* another network.*: layers\.0\.bias, .* differ"):
        train_members(mlp(hidden=(6,)), [fold()], [0], start=start)
    with pytest.raises(TrainingError, match=r"no weights to start from for \(fold, seed\) \(0, 1\); there are those"):
        train_members(mlp(), [fold()], [0, 1], start=start)


# trouble ---------------------------------------------------------------------------------------------------


def test_a_diverged_member_is_named_and_takes_nobody_down() -> None:
    calm = Member(mlp(optimizer="sgd", dropout=0.0), fold(), 0)
    wild = Member(mlp(optimizer="sgd", dropout=0.0, learning_rate=1e12), fold(), 7)
    first, second, third = fit([calm, wild, Member(calm.recipe, fold(), 1)])
    assert second.diverged_epoch is not None
    assert second.diverged_epoch < 3
    assert first.diverged_epoch is third.diverged_epoch is None
    assert_close(fit([calm])[0], first)
    with pytest.raises(TrainingError, match=r"1 of 1 members .* fold 0 seed 7 \(learning_rate 1000000000000.0"):
        train_members(wild.recipe, [fold()], [7])


def test_absent_devices_and_unfit_data_are_named() -> None:
    with pytest.raises(TrainingError, match="device cuda:99: this machine has"):
        train_members(mlp(), [fold()], [0], device="cuda:99")
    with pytest.raises(TrainingError, match="device gpu0"):
        train_members(mlp(), [fold()], [0], device="gpu0")
    with pytest.raises(TrainingError, match="fold 0: 0 rows to fit"):
        train_members(mlp(), [dataclasses.replace(fold(), fit_rows=np.arange(0))], [0])
    with pytest.raises(TrainingError, match=r"cross_entropy needs targets 0 to 2, but rows 0, 1, .* have"):
        train_members(mlp(loss="cross_entropy", classes=3), [fold()], [0])


@pytest.mark.parametrize(
    "settings",
    [
        {"learning_rate": 0},
        {"quantile": 1.0},
        {"input_dropout": 1.0},
        {"mixup": -0.1},
        {"column_share": 0.0},
        {"tabm": 1},
        {"embedding": "plr", "embedding_scale": 0.0},
        {"tabm": 4, "hidden": ()},
        {"dropout": (0.1, 0.2, 0.3)},
        {"warmup_epochs": 20},
        {"loss": "binary_cross_entropy", "classes": 3},
        {"activation": "softplus"},
        {"clip_norm": float("inf")},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        mlp(**settings)


def test_a_member_without_validation_rows_has_no_validation_curve() -> None:
    data = dataclasses.replace(fold(), valid_rows=np.arange(0))
    fitted = train_members(mlp(epochs=2), [data], [0])[0]
    assert np.isnan(fitted.valid_losses).all()
    assert np.isfinite(fitted.train_losses).all()


def test_read_only_matrices_are_taken_as_they_are() -> None:
    data = fold()
    for array in (data.X, data.y, data.X_test):
        array.setflags(write=False)
    train_members(mlp(epochs=1), [data], [0])


def test_progress_counts_the_epochs_of_all_batches() -> None:
    seen: list[tuple[int, int]] = []
    train_members(mlp(epochs=3), [fold(0), fold(1)], [0, 1], on_epoch=lambda *done: seen.append(done))
    total = seen[0][1]
    assert seen == [(done, total) for done in range(1, total + 1)]


# checkpoints -----------------------------------------------------------------------------------------------


class Interruption:
    """Interrupts a training after some epochs, as a user or a scheduler would."""

    def __init__(self, after: int) -> None:
        self.after = after

    def __call__(self, done: int, total: int) -> None:
        if done >= self.after:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    "settings",
    [
        {"weight_decay": 0.01, "input_dropout": 0.1, "label_noise": 0.1, "schedule": "cosine"},
        {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.02, "ema": 0.9},
        {"patience": 8, "activation": "prelu", "learning_rate": 0.01},
        {"mixup": 0.3, "column_share": 0.5},
        {"tabm": 3, "patience": 8, "learning_rate": 0.01},
        {"embedding": "plr", "column_share": 0.5, "input_dropout": 0.1, "patience": 8, "learning_rate": 0.01},
    ],
    ids=str,
)
def test_an_interrupted_training_resumes_to_the_same_bits(tmp_path: Path, settings: dict[str, Any]) -> None:
    recipe, folds, seeds = mlp(**settings), [fold(0), fold(1, 71)], [0, 1, 2]
    whole = train_members(recipe, folds, seeds)
    again: dict[str, Any] = {"checkpoints": tmp_path, "checkpoint_every": 3}
    for after in (9, 25):
        with pytest.raises(KeyboardInterrupt):
            train_members(recipe, folds, seeds, on_epoch=Interruption(after), **again)
        assert list(tmp_path.glob("*.safetensors"))
    seen: list[int] = []
    resumed = train_members(recipe, folds, seeds, on_epoch=lambda done, total: seen.append(done), **again)
    assert seen[0] > 1  # it did not begin anew
    for one, other in zip(resumed, whole, strict=True):
        assert_same_bits(one, other)
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_serves_its_own_training_alone(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_members(mlp(), [fold()], [0, 1], on_epoch=Interruption(20), checkpoints=tmp_path, checkpoint_every=1)
    changed = dataclasses.replace(fold(), y=fold().y + 1)
    for recipe, data in ((mlp(learning_rate=0.01), fold()), (mlp(), changed), (mlp(), weighted(fold()))):
        expected = train_members(recipe, [data], [0, 1])
        fitted = train_members(recipe, [data], [0, 1], checkpoints=tmp_path)
        for one, other in zip(fitted, expected, strict=True):
            assert_same_bits(one, other)
    assert list(tmp_path.glob("*.safetensors"))  # that of the interrupted one, untouched


def test_a_damaged_checkpoint_is_named_and_the_batch_begins_anew(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_members(mlp(), [fold()], [0], on_epoch=Interruption(9), checkpoints=tmp_path, checkpoint_every=1)
    (path,) = tmp_path.glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.warns(UserWarning, match=f"{path.name}: can't be read"):
        (fitted,) = train_members(mlp(), [fold()], [0], checkpoints=tmp_path)
    assert_same_bits(fitted, train_members(mlp(), [fold()], [0])[0])


def test_running_out_of_memory_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("houseprice.learn.training.memory_bytes", lambda: 10**13)  # else it is refused beforehand
    with pytest.raises(TrainingError, match=r"out of memory with 1 members at a time: .* Lower batch_size or hidden"):
        train_members(mlp(batch_size=10**6, hidden=(65536,), dropout=0.5), [fold()], [0])


@pytest.mark.parametrize(
    "settings",
    [
        {"activation": "prelu"},
        {"skip": True},
        {"loss": "cross_entropy", "classes": 3},
        {"tabm": 3, "skip": True, "activation": "prelu"},
        {"embedding": "plr", "skip": True},
    ],
    ids=str,
)
def test_stored_weights_load_into_plain_modules(tmp_path: Path, settings: dict[str, Any]) -> None:
    recipe = mlp(**settings)
    folds = [fold(0, classes=3), fold(1, columns=9, classes=3)]
    fitted = train_members(recipe, folds, [0, 1])
    path = tmp_path / "weights.safetensors"
    checkpoint.save_weights(path, recipe, {(one.fold, one.seed): one.weights for one in fitted})
    loaded_recipe, weights = checkpoint.load_weights(path)
    assert loaded_recipe == recipe
    for one in fitted:
        net = as_module(loaded_recipe, weights[one.fold, one.seed])
        plain = net(torch.from_numpy(folds[one.fold].X_test)).detach().numpy()
        ours = one.test_predictions if recipe.outputs > 1 else one.test_predictions[:, None]
        np.testing.assert_allclose(plain, ours, rtol=1e-5, atol=1e-6)


def test_files_that_hold_no_weights_are_named(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    with pytest.raises(StorageError, match=r"weights\.safetensors: can't be read"):
        checkpoint.load_weights(path)
    path.write_bytes(b"no such thing")
    with pytest.raises(StorageError, match=r"weights\.safetensors: can't be read"):
        checkpoint.load_weights(path)


# real data, other devices ----------------------------------------------------------------------------------


def house_prices(k: int, target: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Sequence[FoldData]:
    """D2L's 330 columns: train and test standardised together, gaps 0, an indicator of each category."""
    if not HOUSE_PRICES.exists():
        pytest.skip("the House Prices files are not at hand")
    train, test = (pd.read_csv(HOUSE_PRICES / name) for name in ("train.csv", "test.csv"))
    features = pd.concat([train.drop(columns=["Id", "SalePrice"]), test.drop(columns="Id")])
    numbers = features.select_dtypes("number").columns
    features[numbers] = ((features[numbers] - features[numbers].mean()) / features[numbers].std()).fillna(0)
    X = pd.get_dummies(features, dummy_na=True).to_numpy(np.float32)
    assert X.shape == (2919, 330)
    y = target(train["SalePrice"].to_numpy(np.float64)).astype(np.float32)
    X_train, X_test, rows = X[: len(train)].copy(), X[len(train) :].copy(), np.arange(len(train))
    return [
        FoldData(number, X_train, y, np.setdiff1d(rows, valid), valid, X_test)
        for number, valid in enumerate(np.array_split(rows, k))
    ]


def test_d2l_linear_shows_its_figures() -> None:
    """D2L §5.7.5: k = 5, Adam with rate 5 on raw prices; predictions are raised to 1 before the logarithm."""
    folds = house_prices(5, lambda prices: prices)
    fitted = train_members(Linear(kind="linear", learning_rate=5.0, curve_every=100), folds, [0])

    def log_rmse(one: FittedMember, data: FoldData, rows: NDArray[np.int64]) -> float:
        gaps = np.log(np.maximum(one.predictions[rows], 1)) - np.log(data.y[rows])
        return float(np.sqrt(np.square(gaps).mean()))

    pairs = list(zip(fitted, folds, strict=True))
    assert np.mean([log_rmse(one, data, data.fit_rows) for one, data in pairs]) == pytest.approx(0.165, abs=3e-3)
    assert np.mean([log_rmse(one, data, data.valid_rows) for one, data in pairs]) == pytest.approx(0.171, abs=3e-3)


def test_d2l_mlp_shows_its_figures() -> None:
    """256-256 ReLU, dropout 0.2, standardised log price, Adam 1e-3, weight decay 1e-4, 100 epochs."""
    deviation = 1.0

    def standardised(prices: NDArray[np.float64]) -> NDArray[np.float64]:
        nonlocal deviation
        deviation = float(np.log(prices).std())
        return np.asarray((np.log(prices) - np.log(prices).mean()) / deviation)

    folds = house_prices(5, standardised)
    recipe = MLP(kind="mlp", dropout=0.2, weight_decay=1e-4, curve_every=100)
    fitted = train_members(recipe, folds, [0])
    scores = [deviation * math.sqrt(one.valid_losses[-1]) for one in fitted]
    assert np.mean(scores) <= 0.133


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_cuda_device_gives_the_same(shape: dict[str, Any]) -> None:
    members = company(**shape)
    for one, other in zip(fit(members, device="cuda"), fit(members), strict=True):
        assert_close(one, other)


def test_bfloat16_products_are_near_and_not_the_same() -> None:
    data, recipe = fold(rows=200), mlp()
    exact, rounded = (
        train_members(recipe.model_copy(update={"precision": precision}), [data], [0])[0].valid_losses[-1]
        for precision in ("float32", "bfloat16")
    )
    assert 0 < abs(rounded - exact) < 0.05 * exact


def test_curves_show_the_metric_that_is_asked_for() -> None:
    data, recipe = fold(), mlp(epochs=6, curve_every=3)

    def score(of: FoldData, predictions: Floats) -> tuple[float, float]:
        errors = np.abs(predictions - of.y)
        return float(errors[of.fit_rows].mean()), float(errors[of.valid_rows].mean())

    (fitted,) = train_members(recipe, [data], [0], score=score)
    assert np.isfinite(fitted.valid_scores).tolist() == [False, False, True, False, False, True]
    assert (fitted.train_scores[-1], fitted.valid_scores[-1]) == score(data, fitted.predictions)
