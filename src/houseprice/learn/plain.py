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
"""One member's parameters, float32, oriented as in `torch.nn.Linear`: ``layers.0.weight`` [out, in], …"""

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
    for layer, (i, o) in enumerate(pairwise((columns, *mlp.hidden, mlp.outputs))):
        weights[f"layers.{layer}.weight"] = draw[mlp.initialization](i, o)
        bias = random.uniform(-1, 1, o) / math.sqrt(i) if mlp.initialization == "default" else np.zeros(o)
        weights[f"layers.{layer}.bias"] = bias
        if mlp.activation == "prelu" and layer < len(mlp.hidden):
            weights[f"layers.{layer}.slope"] = np.full(1, PRELU_START)
    if mlp.skip:
        weights[SKIP] = np.zeros((mlp.outputs, columns))
    return {name: value.astype(np.float32) for name, value in weights.items()}


class Skip(nn.Linear):
    """The linear model beside the layers."""


class Sum(nn.Module):
    """The sum of what some modules make of the same inputs."""

    def __init__(self, *terms: nn.Module) -> None:
        super().__init__()
        self.terms = nn.ModuleList(terms)

    def forward(self, inputs: Tensor) -> Tensor:
        """Add up [row, output]."""
        return torch.stack([term(inputs) for term in self.terms]).sum(0)


def as_module(recipe: Linear, weights: Weights) -> nn.Module:
    """Build one member of plain modules, in evaluation mode: a `torch.nn.Sequential`; with ``skip`` its `Sum` with a
    `Skip`.

    Its dropout layers are left out: in evaluation mode they do nothing. Predictions come out as [row,
    output].
    """
    mlp = as_mlp(recipe)
    modules: list[nn.Module] = []
    for layer in range(len(mlp.hidden) + 1):
        modules.append(_linear(nn.Linear, weights, f"layers.{layer}"))
        if layer < len(mlp.hidden):
            module = ACTIVATIONS[mlp.activation].module()
            if isinstance(module, nn.PReLU):
                module.load_state_dict({"weight": torch.tensor(weights[f"layers.{layer}.slope"])})
            modules.append(module)
    layers = nn.Sequential(*modules)
    return (Sum(layers, _linear(Skip, weights, "skip")) if mlp.skip else layers).eval()


def _linear(kind: type[nn.Linear], weights: Weights, name: str) -> nn.Linear:
    state = {
        part: torch.tensor(weights[f"{name}.{part}"]) for part in ("weight", "bias") if f"{name}.{part}" in weights
    }
    outputs, inputs = state["weight"].shape
    linear: nn.Linear = nn.utils.skip_init(kind, inputs, outputs, bias="bias" in state)  # type: ignore[no-untyped-call]
    linear.load_state_dict(state)
    return linear
