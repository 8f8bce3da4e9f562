"""What a member is: a multilayer perceptron, and the random streams that belong to it alone."""

import hashlib

from torch import nn

from houseprice.config import MLP, Linear

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}


def build_network(recipe: Linear | MLP, n_columns: int) -> nn.Sequential:
    """Build a network with one output: hidden layers, each followed by its activation and dropout.

    Weights and biases start uniform in ±1/√fan-in, torch's default for linear layers (He et al. 2015 with a = √5),
    drawn from torch's global stream.

    Parameters
    ----------
    recipe
        ``linear`` has no hidden layer; ``mlp`` those of its ``hidden`` (D2L §5.1, §5.6).
    n_columns
        Number of input columns.

    Examples
    --------
    >>> build_network(MLP(kind="mlp", hidden=(8,), dropout=0.5), 3)
    Sequential(
      (0): Linear(in_features=3, out_features=8, bias=True)
      (1): ReLU()
      (2): Dropout(p=0.5, inplace=False)
      (3): Linear(in_features=8, out_features=1, bias=True)
    )
    """
    layers: list[nn.Module] = []
    width = n_columns
    if isinstance(recipe, MLP):
        for size, rate in zip(recipe.hidden, recipe.dropout_rates, strict=True):
            layers += [nn.Linear(width, size), ACTIVATIONS[recipe.activation](), nn.Dropout(rate)]
            width = size
    return nn.Sequential(*layers, nn.Linear(width, 1))


def stream_seed(seed: int, fold: int, purpose: str) -> int:
    """Derive the seed of one of a member's random streams from (seed, fold) alone: an integer below 2³².

    >>> stream_seed(0, 3, "training") == stream_seed(0, 3, "training") != stream_seed(3, 0, "training")
    True
    """
    digest = hashlib.sha256(f"{seed}/{fold}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:4], "big")
