"""What a member is: a multilayer perceptron; and a batch of members as one tensor program.

A `Network` holds the parameters of many equally shaped members, ``[member, in, out]``, and carries all of
them through one forward and one backward pass: a batched matrix product a layer. The backward pass is written
out by hand, as in D2L §5.3; the tests prove it against autograd.

Members whose matrices have fewer columns than the widest are padded with zeros. A padded input is 0 in every
row and its weights start at 0, so their gradients, decay and updates are 0 too: the padding never wakes up.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from houseprice.config import MLP, ActivationName, InitializationName, Linear
from houseprice.learn.functions import ACTIVATIONS, PRELU_START

Weights = dict[str, NDArray[np.float32]]
"""One member's parameters, oriented as in `torch.nn.Linear`: ``layers.0.weight`` [out, in], …"""

Parameters = dict[str, Tensor]
"""Those of all members: ``layers.0.weight`` [member, in, out], ``layers.0.bias`` [member, 1, out], …"""

SKIP = "skip.weight"
"""The linear model beside the layers: [out, in] of one member, [member, in, out] of all."""


def initial_weights(recipe: Linear, inputs: int, random: np.random.Generator) -> Weights:
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
    hidden, activation = hidden_layers(recipe)
    widths = (inputs, *hidden, recipe.outputs)
    weights: Weights = {}
    for layer, (i, o) in enumerate(pairwise(widths)):
        weights[f"layers.{layer}.weight"] = draw[recipe.initialization](i, o).astype(np.float32)
        bias = random.uniform(-1, 1, o) / math.sqrt(i) if recipe.initialization == "default" else np.zeros(o)
        weights[f"layers.{layer}.bias"] = bias.astype(np.float32)
        if activation == "prelu" and layer < len(hidden):
            weights[f"layers.{layer}.slope"] = np.full(1, PRELU_START, np.float32)
    if has_skip(recipe):
        weights[SKIP] = np.zeros((recipe.outputs, inputs), np.float32)
    return weights


def hidden_layers(recipe: Linear) -> tuple[tuple[int, ...], ActivationName]:
    """Widths and activation of the hidden layers; a linear model has none."""
    return (recipe.hidden, recipe.activation) if isinstance(recipe, MLP) else ((), "relu")


def has_skip(recipe: Linear) -> bool:
    """Whether a linear model of the inputs is added to the output."""
    return isinstance(recipe, MLP) and recipe.skip


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
    `torch.nn.Linear`.

    Its dropout layers are left out: in evaluation mode they do nothing. Predictions come out as [row,
    output].
    """
    hidden, activation = hidden_layers(recipe)
    modules: list[nn.Module] = []
    for layer in range(len(hidden) + 1):
        weight, bias = (torch.tensor(weights[f"layers.{layer}.{part}"]) for part in ("weight", "bias"))
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        linear.load_state_dict({"weight": weight, "bias": bias})
        modules.append(linear)
        if layer < len(hidden):
            module = ACTIVATIONS[activation].module()
            if isinstance(module, nn.PReLU):
                module.load_state_dict({"weight": torch.tensor(weights[f"layers.{layer}.slope"])})
            modules.append(module)
    layers = nn.Sequential(*modules)
    if not has_skip(recipe):
        return layers.eval()
    outputs, inputs = weights[SKIP].shape
    skip = nn.Linear(inputs, outputs, bias=False)
    skip.load_state_dict({"weight": torch.tensor(weights[SKIP])})
    return Sum(layers, skip).eval()


class Network:
    """A batch of equally shaped members.

    Parameters
    ----------
    inputs
        Columns of the widest member's matrix.
    hidden, activation, outputs
        What all members share.
    members
        How many there are.
    skip
        Whether a linear model of the inputs is added to the output.
    bfloat16
        Whether matrix products round their factors to bfloat16 (sums stay float32 where the device can).

    Notes
    -----
    A head of one output is computed two wide, the second column 0: matrix libraries treat a product with a
    vector differently in a batch of one, and company shall matter to a member as little as can be.
    """

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        outputs: int,
        activation: ActivationName,
        *,
        members: int,
        skip: bool = False,
        bfloat16: bool = False,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.widths = (inputs, *hidden, max(outputs, 2))
        self.outputs, self.members, self.skip, self.bfloat16 = outputs, members, skip, bfloat16
        self.activation: ActivationName = activation
        self._kind: dict[str, Any] = {"dtype": dtype, "device": device}
        self.parameters, self.gradients = self.like_parameters(), self.like_parameters()
        self._layers = [_Layer.of(self, layer) for layer in range(len(self.widths) - 1)]
        self._rooms: dict[int, _Workspace] = {}

    def empty(self, *shape: int) -> Tensor:
        """Zeros of the network's type, on its device."""
        return torch.zeros(shape, **self._kind)

    def like_parameters(self) -> Parameters:
        """Zeros of the shape of all parameters, [member, …] each."""
        named: Parameters = {}
        for layer, (i, o) in enumerate(pairwise(self.widths)):
            named[f"layers.{layer}.weight"] = self.empty(self.members, i, o)
            named[f"layers.{layer}.bias"] = self.empty(self.members, 1, o)
            if self.activation == "prelu" and layer < len(self.widths) - 2:
                named[f"layers.{layer}.slope"] = self.empty(self.members, 1, 1)
        if self.skip:
            named[SKIP] = self.empty(self.members, self.widths[0], self.widths[-1])
        return named

    def load(self, member: int, weights: Weights) -> None:
        """Set one member's parameters; inputs beyond its own stay 0."""
        for name, value in weights.items():
            mine = self.parameters[name][member].zero_()
            theirs = torch.as_tensor(np.atleast_2d(value)).T if value.ndim > 1 else torch.as_tensor(value)[None]
            mine[: theirs.shape[0], : theirs.shape[1]] = theirs  # [in, out], or [1, out]

    def forward(self, inputs: Tensor, masks: Sequence[Tensor | None]) -> Tensor:
        """Predict a batch of rows in training mode.

        Parameters
        ----------
        inputs
            [member, row, column], contiguous.
        masks
            For each hidden layer the dropout mask [member, row, hidden], 0 or 1 / (1 - rate), or None.

        Returns
        -------
        Tensor
            [member, row, output], valid until the next call.
        """
        if inputs.shape[1] not in self._rooms:
            self._rooms[inputs.shape[1]] = _Workspace(self, inputs.shape[1])
        self._room = room = self._rooms[inputs.shape[1]]
        activation = ACTIVATIONS[self.activation]
        self._masks, self._inputs = masks, [inputs]
        for layer, z, h, dropped, mask in zip(self._layers, room.z, room.h, room.dropped, masks, strict=False):
            self._affine(inputs, layer.bias, layer.weight, z)  # [member, row, out]
            activation.forward(z, h)
            if layer.slope is not None:
                h.addcmul_(layer.slope, z.clamp_max(0))
            inputs = h if mask is None else torch.mul(h, mask, out=dropped)
            self._inputs.append(inputs)
        self._affine(inputs, self._layers[-1].bias, self._layers[-1].weight, room.z[-1])
        if self.skip:
            self._affine(self._inputs[0], room.z[-1], self.parameters[SKIP], room.z[-1])
        return room.prediction

    def backward(self, slope: Callable[[Tensor], object]) -> None:
        """Write the gradients of the latest `forward` to ``self.gradients``.

        Parameters
        ----------
        slope
            Called with a tensor [member, row, output] to fill with dL/dprediction, L being a member's own
            loss.
        """
        room = self._room
        slope(room.output_delta)
        delta = room.delta[-1]  # [member, row, out]; the column of a padded output stays 0
        if self.skip:
            self._product(self._inputs[0].mT, delta, self.gradients[SKIP])
        for number in range(len(self._layers) - 1, -1, -1):
            layer = self._layers[number]
            self._product(self._inputs[number].mT, delta, layer.weight_gradient)
            torch.sum(delta, 1, keepdim=True, out=layer.bias_gradient)
            if number:
                delta = self._product(delta, layer.transposed, room.delta[number - 1])  # dL/dh of the layer below
                self._through_activation(number - 1, delta)

    def _through_activation(self, number: int, delta: Tensor) -> None:
        """From dL/d(dropped-out activation) to dL/dz, in place."""
        layer, mask, z, h = (
            self._layers[number],
            self._masks[number],
            self._room.z[number],
            self._room.h[number],
        )
        if mask is not None:
            delta.mul_(mask)
        if layer.slope is not None:
            torch.sum(delta * z.clamp_max(0), (1, 2), keepdim=True, out=layer.slope_gradient)
            delta.mul_(torch.where(z > 0, 1.0, layer.slope))
        else:
            ACTIVATIONS[self.activation].backward(delta, z, h)

    def _affine(self, inputs: Tensor, start: Tensor, weight: Tensor, out: Tensor) -> None:
        if self.bfloat16:
            torch.add(start, torch.bmm(inputs.bfloat16(), weight.bfloat16()), out=out)
        else:
            torch.baddbmm(start, inputs, weight, out=out)

    def _product(self, left: Tensor, right: Tensor, out: Tensor) -> Tensor:
        if self.bfloat16:
            return out.copy_(torch.bmm(left.bfloat16(), right.bfloat16()))
        return torch.bmm(left, right, out=out)

    def activation_scales(self) -> Tensor:
        """Root mean square of each layer's output in the latest `forward`, [member, layer]."""
        outputs = [*self._room.h, self._room.prediction]
        return torch.stack([h.square().mean((1, 2)).sqrt() for h in outputs], 1)

    def gradient_norms(self) -> Tensor:
        """Norm of each layer's weight gradient in the latest `backward`, [member, layer]."""
        gradients = [layer.weight_gradient for layer in self._layers]
        return torch.stack([torch.linalg.vector_norm(gradient, dim=(1, 2)) for gradient in gradients], 1)


@dataclass(frozen=True)
class _Layer:
    """The tensors of one layer, looked up once instead of at every step."""

    weight: Tensor  # [member, in, out]
    transposed: Tensor  # [member, out, in], a view
    bias: Tensor  # [member, 1, out]
    weight_gradient: Tensor
    bias_gradient: Tensor
    slope: Tensor | None  # [member, 1, 1], of PReLU
    slope_gradient: Tensor | None

    @classmethod
    def of(cls, network: Network, number: int) -> "_Layer":
        parameters, gradients = network.parameters, network.gradients
        weight, bias, slope = (f"layers.{number}.{part}" for part in ("weight", "bias", "slope"))
        return cls(
            parameters[weight],
            parameters[weight].mT,
            parameters[bias],
            gradients[weight],
            gradients[bias],
            parameters.get(slope),
            gradients.get(slope),
        )


class _Workspace:
    """What the passes over batches of one size write to: made once, used at every step."""

    def __init__(self, network: Network, rows: int) -> None:
        def tensors(widths: Sequence[int]) -> list[Tensor]:
            return [network.empty(network.members, rows, width) for width in widths]

        self.z = tensors(network.widths[1:])  # [member, row, out] of each layer
        in_place = ACTIVATIONS[network.activation].in_place
        self.h = self.z[:-1] if in_place else tensors(network.widths[1:-1])  # behind the activation
        self.dropped = tensors(network.widths[1:-1])  # behind the dropout
        self.delta = tensors(network.widths[1:])  # dL/dz
        self.prediction = self.z[-1][..., : network.outputs]
        self.output_delta = self.delta[-1][..., : network.outputs]


def weights_of(parameters: Mapping[str, Tensor], member: int, inputs: int, outputs: int) -> Weights:
    """One member's parameters without its padding, as `torch.nn.Linear` orients them."""
    last = f"layers.{_depth(parameters)}."
    weights: Weights = {}
    for name, value in parameters.items():
        mine = value[member].cpu().numpy()  # [in, out], or [1, out or 1]
        if name in ("layers.0.weight", SKIP):
            mine = mine[:inputs]
        if name.startswith((last, SKIP)):
            mine = mine[:, :outputs]
        weights[name] = np.ascontiguousarray(mine.T if name.endswith(".weight") else mine[0])
    return weights


def _depth(parameters: Mapping[str, Tensor]) -> int:
    """How many hidden layers there are."""
    return max(int(name.split(".")[1]) for name in parameters if name != SKIP)


def predict(
    parameters: Mapping[str, Tensor], member: int, X: Tensor, outputs: int, activation: ActivationName
) -> Tensor:
    """Predict all rows with one member in evaluation mode: X [row, column] → [row, output].

    A member at a time and some thousand rows at once: the products are large, and nothing of them depends on
    whom the member was trained beside.
    """
    depth = _depth(parameters)
    mine = {name: value[member] for name, value in parameters.items()}
    mine["layers.0.weight"] = mine["layers.0.weight"][: X.shape[1]]
    blocks = []
    for inputs in torch.split(X, 4096):  # [row, in]
        h = inputs
        for layer in range(depth + 1):
            z = torch.addmm(mine[f"layers.{layer}.bias"], h, mine[f"layers.{layer}.weight"])
            if layer == depth:
                if SKIP in mine:
                    z.addmm_(inputs, mine[SKIP][: X.shape[1]])
                blocks.append(z[:, :outputs])
                break
            h = torch.empty_like(z)
            ACTIVATIONS[activation].forward(z, h)
            if activation == "prelu":
                h += mine[f"layers.{layer}.slope"] * z.clamp_max(0)
    return torch.cat(blocks)
