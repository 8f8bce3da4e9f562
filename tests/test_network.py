"""What a member is: every derivative against autograd, every activation and loss against torch.nn."""

import math
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from houseprice.learn.functions import ACTIVATIONS, loss_of
from houseprice.learn.network import Network
from houseprice.learn.plain import EMBEDDED, SKIP, as_module, initial_weights
from houseprice.recipes import MLP, ActivationName, InitializationName, Linear, LossName

ACTIVATION_NAMES: tuple[ActivationName, ...] = get_args(ActivationName)
LOSS_NAMES: tuple[LossName, ...] = get_args(LossName)
SHAPES: list[dict[str, Any]] = [
    {},
    {"skip": True},
    {"tabm": 3},
    {"tabm": 3, "skip": True},
    {"embedding": "periodic", "embedding_frequencies": 2},
    {"embedding": "plr", "embedding_frequencies": 2, "embedding_width": 3, "skip": True},
    {"embedding": "plr", "embedding_frequencies": 2, "embedding_width": 2, "tabm": 2},
]


def embedded_by(recipe: MLP, *columns: int) -> NDArray[np.int64]:
    """The columns that a member embeds, if its recipe embeds any."""
    return np.array(columns if recipe.embedding != "none" else (), np.int64)


def mlp(**settings: Any) -> MLP:
    return MLP(kind="mlp", **{"hidden": (5, 4), **settings})


def targets_for(recipe: Linear, rows: tuple[int, ...], random: np.random.Generator) -> Tensor:
    """Targets [*rows, output] as the recipe's loss takes them."""
    if recipe.loss == "cross_entropy":
        return torch.from_numpy(np.eye(recipe.classes)[random.integers(recipe.classes, size=rows)])
    if recipe.loss == "binary_cross_entropy":
        return torch.from_numpy(random.integers(2, size=(*rows, 1)).astype(float))
    return torch.from_numpy(random.standard_normal((*rows, 1)))


EACH: list[tuple[ActivationName, LossName]] = [
    *((activation, "squared") for activation in ACTIVATION_NAMES),
    *(("tanh", loss) for loss in LOSS_NAMES),
]


@pytest.mark.parametrize(
    ("settings", "activation", "loss"),
    [(settings, *pair) for settings in SHAPES[:2] for pair in EACH]
    + [(settings, *pair) for settings in SHAPES[2:] for pair in (("prelu", "squared"), ("tanh", "cross_entropy"))],
    ids=str,
)
def test_the_backward_pass_is_the_gradient_in_float64(
    settings: dict[str, Any], activation: ActivationName, loss: LossName
) -> None:
    classes = 3 if loss == "cross_entropy" else 2
    recipe = mlp(activation=activation, loss=loss, classes=classes, quantile=0.3, **settings)
    random = np.random.default_rng(1)
    members, rows, inputs = 2, 6, 3
    chosen = [embedded_by(recipe, 0, 2), embedded_by(recipe, 0, 1)]
    network = Network(recipe, inputs, members=members, embedded=len(chosen[0]), dtype=torch.float64)
    for member in range(members):
        network.load(member, initial_weights(recipe, inputs, random, chosen[member]))
    x = torch.from_numpy(random.standard_normal((members, rows, network.widths[0])))
    y = targets_for(recipe, (members, rows), random)
    shape = members, *network.implicit, rows
    masks = [torch.from_numpy(random.integers(0, 2, (*shape, width)) * 2.0) for width in recipe.hidden]
    masks.insert(0, torch.from_numpy(random.integers(0, 2, x.shape) * 2.0))
    weight = torch.from_numpy(random.uniform(0, 1, (members, rows, 1)))  # 0 for padded rows, in earnest
    if recipe.tabm:
        y, weight = y.unsqueeze(1), weight.unsqueeze(1)
    names = list(network.parameters)
    functions = loss_of(recipe)

    class Engine(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *parameters: Tensor) -> Tensor:
            for name, value in zip(names, parameters, strict=True):
                network.parameters[name].copy_(value)
            prediction = network.forward(x.clone(), [mask.clone() for mask in masks])

            def slope(out: Tensor) -> None:
                functions.slope(prediction, y, out)
                out.mul_(weight)

            network.backward(slope)
            ctx.gradients = [network.gradients[name].clone() for name in names]
            return (functions.rows(prediction, y.expand_as(prediction)) * weight[..., 0]).sum()

        @staticmethod
        def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, ...]:
            return tuple(upstream[0] * gradient for gradient in ctx.gradients)

    start = []
    for value in network.parameters.values():
        drawn = torch.from_numpy(random.standard_normal(tuple(value.shape)))
        start.append(drawn.requires_grad_())
    if recipe.outputs == 1:  # the padded second output has no gradient, and autograd shall not look for one
        with torch.no_grad():
            start[names.index("layers.2.weight")][..., 1:] = 0
            start[names.index("layers.2.bias")][..., 1:] = 0
            if recipe.skip:
                start[names.index(SKIP)][..., 1:] = 0
    assert torch.autograd.gradcheck(Engine.apply, start)


@pytest.mark.parametrize("activation", ACTIVATION_NAMES)
@pytest.mark.parametrize("settings", SHAPES, ids=str)
def test_an_exported_member_predicts_as_plain_modules(activation: ActivationName, settings: dict[str, Any]) -> None:
    recipe = mlp(activation=activation, **settings)
    random = np.random.default_rng(2)
    network = Network(recipe, 7, members=3, embedded=len(embedded_by(recipe, 1, 4, 6)))
    for member in range(3):
        start = initial_weights(recipe, 7, random, embedded_by(recipe, 1, 4, 6)[:member])
        drawn = {name: random.standard_normal(v.shape).astype(np.float32) for name, v in start.items()}
        network.load(member, {**drawn, EMBEDDED: start[EMBEDDED]} if EMBEDDED in start else drawn)
    X = torch.from_numpy(random.standard_normal((50, 7)).astype(np.float32))
    for member in range(3):
        weights = network.weights_of(network.parameters, member)
        plain = as_module(recipe, weights)
        ours = network.predict(network.parameters, member, X)
        torch.testing.assert_close(ours, plain(X).detach(), rtol=1e-5, atol=1e-6)
        x = torch.zeros(3, 50, network.widths[0])
        x[..., :7] = X
        training = network.forward(x, [None, None, None])
        mean = training[member].mean(0) if recipe.tabm else training[member]
        torch.testing.assert_close(ours, mean, rtol=1e-5, atol=1e-6)


def test_activations_are_torchs() -> None:
    z = torch.linspace(-4, 4, 101)
    for name, activation in ACTIVATIONS.items():
        h = torch.empty_like(z)
        activation.forward(z, h)
        if name != "prelu":  # which has a parameter: see the test above
            torch.testing.assert_close(h, activation.module()(z))


@pytest.mark.parametrize(
    ("settings", "reference"),
    [
        ({"loss": "squared"}, nn.MSELoss()),
        ({"loss": "absolute"}, nn.L1Loss()),
        ({"loss": "huber", "huber_delta": 0.7}, nn.HuberLoss(delta=0.7)),
        ({"loss": "binary_cross_entropy"}, nn.BCEWithLogitsLoss()),
        ({"loss": "cross_entropy", "classes": 4}, nn.CrossEntropyLoss()),
    ],
)
def test_losses_are_torchs(settings: dict[str, Any], reference: Callable[[Tensor, Tensor], Tensor]) -> None:
    recipe = mlp(**settings)
    random = np.random.default_rng(3)
    prediction = torch.from_numpy(random.standard_normal((20, recipe.outputs)))
    target = targets_for(recipe, (20,), random)
    rows = loss_of(recipe).rows(prediction, target)
    assert rows.shape == (20,)
    torch.testing.assert_close(rows.mean(), reference(prediction, target))


def test_the_pinball_loss_is_least_at_the_quantile() -> None:
    y = torch.arange(101.0)[:, None]
    rows = loss_of(mlp(loss="pinball", quantile=0.9)).rows
    means = [float(rows(torch.full_like(y, guess), y).mean()) for guess in range(101)]
    assert np.argmin(means) == 90


@pytest.mark.parametrize(
    ("name", "deviation"),
    [
        ("default", 1 / math.sqrt(3 * 300)),
        ("xavier_uniform", math.sqrt(2 / 500)),
        ("xavier_normal", math.sqrt(2 / 500)),
        ("normal", 0.05),
        ("constant", 0.0),
    ],
)
def test_initialisations_have_their_spread(name: InitializationName, deviation: float) -> None:
    recipe = mlp(hidden=(200,), initialization=name, initial_scale=0.05)
    weights = initial_weights(recipe, 300, np.random.default_rng(0))
    assert weights["layers.0.weight"].shape == (200, 300)
    assert weights["layers.0.weight"].std() == pytest.approx(deviation, rel=0.02, abs=1e-8)
    if name != "default":
        assert not weights["layers.0.bias"].any()


def test_the_default_initialisation_is_torchs() -> None:
    """The same distribution, drawn from streams of our own: equal bounds, nearly reached."""
    layer = nn.Linear(300, 200)
    ours = initial_weights(mlp(hidden=(200,)), 300, np.random.default_rng(0))

    def bound(values: NDArray[np.float32]) -> float:
        return float(np.abs(values).max())

    assert bound(ours["layers.0.weight"]) == pytest.approx(bound(layer.weight.detach().numpy()), rel=1e-3)
    assert bound(ours["layers.0.bias"]) == pytest.approx(bound(layer.bias.detach().numpy()), rel=0.05)


@pytest.mark.parametrize("settings", SHAPES, ids=str)
def test_a_member_does_not_feel_the_padding(settings: dict[str, Any]) -> None:
    """A member of 3 columns among one of 6: all that it doesn't take back as its own has gradients of exactly 0."""
    recipe = mlp(**settings)
    random = np.random.default_rng(4)
    chosen = [embedded_by(recipe, 1), embedded_by(recipe, 0, 3, 5)]
    network = Network(recipe, 6, members=2, embedded=len(chosen[1]))
    starts = [initial_weights(recipe, columns, random, chosen[m]) for m, columns in enumerate((3, 6))]
    for member, start in enumerate(starts):
        network.load(member, start)
    x = torch.randn(2, 8, network.widths[0])
    x[0, :, 3:6] = 0
    network.forward(x, [None, None, None])
    network.backward(lambda out: out.fill_(1.0))
    for member, start in enumerate(starts):
        weights, gradients = (network.weights_of(kind, member) for kind in (network.parameters, network.gradients))
        for name, value in start.items():
            np.testing.assert_array_equal(weights[name], value)
        for name, gradient in network.gradients.items():
            assert gradients[name].any()
            assert np.count_nonzero(gradients[name]) == torch.count_nonzero(gradient[member])


def test_bfloat16_products_are_near() -> None:
    weights = initial_weights(mlp(hidden=(16,)), 9, np.random.default_rng(5))
    x = torch.randn(1, 32, 9)
    results = []
    for precision in ("float32", "bfloat16"):
        network = Network(mlp(hidden=(16,), precision=precision), 9, members=1)
        network.load(0, weights)
        prediction = network.forward(x, [None, None]).clone()
        network.backward(lambda out: out.fill_(1 / 32))
        results.append((prediction, network.gradients["layers.0.weight"].clone()))
    for exact, rounded_one in zip(*results, strict=True):
        assert not torch.equal(exact, rounded_one)
        torch.testing.assert_close(exact, rounded_one, rtol=0.05, atol=0.02)
