"""What one member is: its first weights, and the plain modules of `torch.nn` that weights make."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from houseprice.errors import TrainingError
from houseprice.learn.functions import ACTIVATIONS, PRELU_START
from houseprice.recipes import MLP, InitializationName, Linear

Weights = dict[str, NDArray[Any]]
"""One member's parameters, float32, oriented as in `torch.nn.Linear`: ``layers.0.weight`` [out, in], …

With ``tabm`` biases are [implicit, out], the last layer's weight [implicit, out, in], and the others have scales of
their inputs, ``layers.0.r`` [implicit, in], and outputs, ``layers.0.s`` [implicit, out].

With an ``embedding`` there are ``embedding.columns`` [embedded], the positions of the embedded columns, int64;
``embedding.frequencies`` [embedded, frequency]; and of ``plr`` ``embedding.weight`` [embedded, out, 2 · frequency] and
``embedding.bias`` [embedded, out]. The first layer sees the columns, then each embedded column's outputs.
"""

EMBEDDED = "embedding.columns"

SKIP = "skip.weight"
"""The linear model beside the layers, [out, column]."""


def as_mlp(recipe: Linear) -> MLP:
    """Return the recipe, a linear model as the multilayer perceptron without hidden layers that it is."""
    if isinstance(recipe, MLP):
        return recipe
    return MLP(**{**dict(recipe), "kind": "mlp", "hidden": ()})


def initial_weights(
    recipe: Linear, columns: int, random: np.random.Generator, embedded: NDArray[np.int64] | None = None
) -> Weights:
    """Draw the parameters of one member that has some columns, and embeds some of them.

    ``default`` is what `torch.nn.Linear` does: weights and biases uniform in ±1/√in (Kaiming-uniform with a =
    √5, He et al. 2015). ``xavier_uniform`` ±√(6 / (in + out)) and ``xavier_normal`` with variance 2 / (in +
    out) (Glorot & Bengio 2010; D2L §5.4.2.2), ``normal`` with standard deviation ``initial_scale`` (D2L
    §3.4), and ``constant``, which shows what symmetry does (D2L §5.4.1.3).

    With ``tabm`` the scales of the first layer's inputs are ±1 at random and all others 1, the implicit members'
    biases start as one, and each head is drawn by itself, as in the paper. Frequencies of an ``embedding`` are normal
    with standard deviation ``embedding_scale``; its linear maps are drawn as `torch.nn.Linear` does.
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

    embedded = np.arange(0) if embedded is None else embedded
    inputs = columns + len(embedded) * mlp.embedded_width
    for layer, (i, o) in enumerate(pairwise((inputs, *mlp.hidden, mlp.outputs))):
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
    if not len(embedded):
        return {name: value.astype(np.float32) for name, value in weights.items()}
    shape, waves = (len(embedded), mlp.embedding_width), 2 * mlp.embedding_frequencies
    weights["embedding.frequencies"] = random.normal(0, mlp.embedding_scale, (len(embedded), mlp.embedding_frequencies))
    if mlp.embedding == "plr":
        weights["embedding.weight"] = random.uniform(-1, 1, (*shape, waves)) / math.sqrt(waves)
        weights["embedding.bias"] = random.uniform(-1, 1, shape) / math.sqrt(waves)
    return {**{name: value.astype(np.float32) for name, value in weights.items()}, EMBEDDED: embedded}


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
    """The linear model beside the layers, of the raw columns alone."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Map [row, column + …] to [row, output]."""
        return super().forward(inputs[..., : self.in_features])


class Embedding(nn.Module):
    """Numbers as sines and cosines of trained frequencies, and with a weight as ReLUs of a linear map of these."""

    columns: Tensor

    def __init__(
        self, columns: Tensor, frequencies: Tensor, weight: Tensor | None = None, bias: Tensor | None = None
    ) -> None:
        super().__init__()
        self.register_buffer("columns", columns)
        self.frequencies = nn.Parameter(frequencies)
        self.weight = None if weight is None else nn.Parameter(weight)
        self.bias = None if bias is None else nn.Parameter(bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """Put the embedded columns [row, embedded · out] behind the columns [row, column]."""
        angles = inputs[:, self.columns, None] * (2 * math.pi * self.frequencies)
        h = torch.cat([angles.sin(), angles.cos()], 2)
        if self.weight is not None and self.bias is not None:
            h = torch.relu(torch.einsum("rei,eoi->reo", h, self.weight) + self.bias)
        return torch.cat([inputs, h.flatten(1)], 1)


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
    `Skip`; with an ``embedding`` behind an `Embedding`.

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
    network = Sum(layers, _linear(Skip, weights, "skip")) if mlp.skip else layers
    if EMBEDDED in weights:
        parts = {name.split(".")[1]: torch.tensor(weights[name]) for name in weights if name.startswith("embedding.")}
        network = nn.Sequential(Embedding(**parts), network)
    return network.eval()


def weights_of(module: nn.Sequential) -> Weights:
    """Take the weights of a plain network as the engine has them: `as_module`, backwards.

    Parameters
    ----------
    module
        Layers in a row: `torch.nn.Linear`, `torch.nn.PReLU`, and functions without parameters.

    Raises
    ------
    TrainingError
        If another layer has parameters.
    """
    weights: Weights = {}
    layer = -1
    for place, each in enumerate(module):
        layer += isinstance(each, nn.Linear)
        if not isinstance(each, nn.Linear | nn.PReLU) and any(True for _ in each.parameters()):
            raise TrainingError(
                f"layer {place}, {type(each).__name__}: the engine knows no such parameters; "
                "use torch.nn.Linear, torch.nn.PReLU and functions without parameters"
            )
        for name, value in each.named_parameters():
            part = "slope" if isinstance(each, nn.PReLU) else name
            weights[f"layers.{layer}.{part}"] = value.detach().cpu().numpy().astype(np.float32)
    return weights


def predict_rows(recipe: Linear, weights: Weights, X: Tensor) -> Tensor:
    """Predict with one member of plain modules, X [row, column] → [row, output], in the precision of ``X``.

    Where implicit members or embeddings make much of each row, some thousand are predicted at once.
    """
    module, tabm = as_module(recipe, weights).to(X), as_mlp(recipe).tabm
    at_once = max(1, 4096 // max(1, tabm)) if tabm or EMBEDDED in weights else max(1, len(X))
    predicted = X.new_empty(len(X), recipe.outputs)
    for start in range(0, len(X), at_once):
        predicted[start : start + at_once] = module(X[start : start + at_once])
    return predicted


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
