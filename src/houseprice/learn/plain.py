"""What one member is: its first weights, and the plain modules of `torch.nn` that weights make."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from houseprice.config import MLP, InitializationName, Linear
from houseprice.learn.functions import ACTIVATIONS, PRELU_START

Weights = dict[str, NDArray[Any]]
"""One member's parameters, float32, oriented as in `torch.nn.Linear`: ``layers.0.weight`` [out, in], …

With ``tabm`` biases are [implicit, out], the last layer's weight [implicit, out, in], and the others have scales of
their inputs, ``layers.0.r`` [implicit, in], and outputs, ``layers.0.s`` [implicit, out].
"""

SKIP = "skip.weight"
"""The linear model beside the layers, [out, column]."""


def as_mlp(recipe: Linear) -> MLP:
    """Return the recipe, a linear model as the multilayer perceptron without hidden layers that it is."""
    if isinstance(recipe, MLP):
        return recipe
    return MLP(**{**dict(recipe), "kind": "mlp", "hidden": ()})


def initial_weights(recipe: Linear, columns: int, random: np.random.Generator) -> Weights:
    """Draw one member's parameters.

    ``default`` is what `torch.nn.Linear` does: weights and biases uniform in ±1/√in (Kaiming-uniform with a =
    √5, He et al. 2015). ``xavier_uniform`` ±√(6 / (in + out)) and ``xavier_normal`` with variance 2 / (in +
    out) (Glorot & Bengio 2010; D2L §5.4.2.2), ``normal`` with standard deviation ``initial_scale`` (D2L
    §3.4), and ``constant``, which shows what symmetry does (D2L §5.4.1.3).

    With ``tabm`` the scales of the first layer's inputs are ±1 at random and all others 1, the implicit members'
    biases start as one, and each head is drawn by itself, as in the paper.
    """
    draw: dict[InitializationName, Callable[[int, int], NDArray[np.float64]]] = {
        "default": lambda i, o: random.uniform(-1, 1, (o, i)) / math.sqrt(i),
        "xavier_uniform": lambda i, o: random.uniform(-1, 1, (o, i)) * math.sqrt(6 / (i + o)),
        "xavier_normal": lambda i, o: random.standard_normal((o, i)) * math.sqrt(2 / (i + o)),
        "normal": lambda i, o: random.standard_normal((o, i)) * recipe.initial_scale,
        "constant": lambda i, o: np.full((o, i), recipe.initial_scale),
    }
    mlp = as_mlp(recipe)
    weights: dict[str, NDArray[np.float64]] = {}

    def draw_layer(i: int, o: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        weight = draw[mlp.initialization](i, o)
        return weight, random.uniform(-1, 1, o) / math.sqrt(i) if mlp.initialization == "default" else np.zeros(o)

    for layer, (i, o) in enumerate(pairwise((columns, *mlp.hidden, mlp.outputs))):
        if mlp.tabm and layer == len(mlp.hidden):
            heads = [draw_layer(i, o) for _ in range(mlp.tabm)]
            weight, bias = (np.stack(parts) for parts in zip(*heads, strict=True))
        else:
            weight, bias = draw_layer(i, o)
        weights |= {f"layers.{layer}.weight": weight, f"layers.{layer}.bias": bias}
        if mlp.tabm and layer < len(mlp.hidden):
            weights[f"layers.{layer}.bias"] = np.tile(bias, (mlp.tabm, 1))
            weights[f"layers.{layer}.r"] = (
                np.ones((mlp.tabm, i)) if layer else random.choice([-1.0, 1.0], (mlp.tabm, i))
            )
            weights[f"layers.{layer}.s"] = np.ones((mlp.tabm, o))
        if mlp.activation == "prelu" and layer < len(mlp.hidden):
            weights[f"layers.{layer}.slope"] = np.full(1, PRELU_START)
    if mlp.skip:
        weights[SKIP] = np.zeros((mlp.outputs, columns))
    return {name: value.astype(np.float32) for name, value in weights.items()}


class Scaled(nn.Module):
    """A layer of TabM: one matrix, and each implicit member's own scales and bias (BatchEnsemble, Wen et al. 2020)."""

    def __init__(self, weight: Tensor, bias: Tensor, r: Tensor, s: Tensor) -> None:
        super().__init__()
        self.weight, self.bias, self.r, self.s = map(nn.Parameter, (weight, bias, r, s))

    def forward(self, inputs: Tensor) -> Tensor:
        """Map [row, in], or [implicit, row, in], to [implicit, row, out]."""
        return (inputs * self.r[:, None]) @ self.weight.T * self.s[:, None] + self.bias[:, None]


class Heads(nn.Module):
    """The last layer of TabM: each implicit member's own."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map [implicit, row, in] to [implicit, row, output]."""
        return torch.baddbmm(self.bias[:, None], inputs, self.weight.mT)


class Mean(nn.Module):
    """The mean of the implicit members."""

    def forward(self, outputs: Tensor) -> Tensor:
        """Average [implicit, row, output] to [row, output]."""
        return outputs.mean(0)


class Skip(nn.Linear):
    """The linear model beside the layers."""


class Sum(nn.Module):
    """The sum of what some modules make of the same inputs."""

    def __init__(self, *terms: nn.Module) -> None:
        super().__init__()
        self.terms = nn.ModuleList(terms)

    def forward(self, inputs: Tensor) -> Tensor:
        """Add up [row, output]."""
        first, *others = [term(inputs) for term in self.terms]
        total: Tensor = sum(others, start=first)
        return total


def as_module(recipe: Linear, weights: Weights) -> nn.Module:
    """Build one member of plain modules, in evaluation mode: a `torch.nn.Sequential`; with ``skip`` its `Sum` with a
    `Skip`.

    Its dropout layers are left out: in evaluation mode they do nothing. Predictions come out as [row,
    output].
    """
    mlp = as_mlp(recipe)
    modules: list[nn.Module] = []
    for layer in range(len(mlp.hidden) + 1):
        modules.append(_layer(weights, f"layers.{layer}"))
        if layer < len(mlp.hidden):
            module = ACTIVATIONS[mlp.activation].module()
            if isinstance(module, nn.PReLU):
                module.load_state_dict({"weight": torch.tensor(weights[f"layers.{layer}.slope"])})
            modules.append(module)
    if mlp.tabm:
        modules.append(Mean())
    layers = nn.Sequential(*modules)
    return (Sum(layers, _linear(Skip, weights, "skip")) if mlp.skip else layers).eval()


def _layer(weights: Weights, name: str) -> nn.Module:
    if f"{name}.r" in weights:
        return Scaled(*(torch.tensor(weights[f"{name}.{part}"]) for part in ("weight", "bias", "r", "s")))
    if weights[f"{name}.weight"].ndim == 3:
        return Heads(*(torch.tensor(weights[f"{name}.{part}"]) for part in ("weight", "bias")))
    return _linear(nn.Linear, weights, name)


def _linear(kind: type[nn.Linear], weights: Weights, name: str) -> nn.Linear:
    state = {
        part: torch.tensor(weights[f"{name}.{part}"]) for part in ("weight", "bias") if f"{name}.{part}" in weights
    }
    outputs, inputs = state["weight"].shape
    linear: nn.Linear = nn.utils.skip_init(kind, inputs, outputs, bias="bias" in state)  # type: ignore[no-untyped-call]
    linear.load_state_dict(state)
    return linear
