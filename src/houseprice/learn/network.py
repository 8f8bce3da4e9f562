"""A batch of members as one tensor program.

A `Network` holds the parameters of many equally shaped members, ``[member, in, out]``, and carries all of
them through one forward and one backward pass: a batched matrix product a layer. The backward pass is written
out by hand, as in D2L §5.3; the tests prove it against autograd.

Members whose matrices have fewer columns than the widest are padded with zeros. A padded input is 0 in every
row and its weights start at 0, so their gradients, decay and updates are 0 too: the padding never wakes up.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from houseprice.config import MLP
from houseprice.learn.functions import ACTIVATIONS
from houseprice.learn.layers import Dense, Heads, Parameters, Products, Scaled, Skip
from houseprice.learn.plain import SKIP, Weights, as_module


class Network:
    """A batch of equally shaped members.

    Parameters
    ----------
    recipe
        What all members share: layers, outputs, precision.
    columns
        Columns of the widest member's matrix.
    members
        How many there are.

    Notes
    -----
    A head of one output is computed two wide, the second column 0: matrix libraries treat a product with a
    vector differently in a batch of one, and company shall matter to a member as little as can be.
    """

    def __init__(
        self,
        recipe: MLP,
        columns: int,
        *,
        members: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.recipe, self.members = recipe, members
        self.implicit = (recipe.tabm,) if recipe.tabm else ()  # an axis before that of rows
        self.widths = (columns, *recipe.hidden, max(recipe.outputs, 2))
        self._kind: dict[str, Any] = {"dtype": dtype, "device": device}
        self.parameters, self.gradients = self.like_parameters(), self.like_parameters()
        tensors, products = (self.parameters, self.gradients), Products(recipe.precision == "bfloat16")
        kinds = [Scaled if recipe.tabm else Dense] * len(recipe.hidden) + [Heads if recipe.tabm else Dense]
        self._layers = [kind(*tensors, f"layers.{layer}", products) for layer, kind in enumerate(kinds)]
        self._skip = Skip(self.parameters[SKIP], self.gradients[SKIP], products) if recipe.skip else None
        slopes = [f"layers.{layer}.slope" for layer in range(len(recipe.hidden))]
        self._slopes = [[kind.get(slope) for kind in tensors] for slope in slopes]
        if recipe.tabm:
            self._slopes = [[one if one is None else one.unsqueeze(3) for one in pair] for pair in self._slopes]
        self._own_columns = [columns] * members
        self._rooms: dict[int, _Workspace] = {}

    def empty(self, *shape: int) -> Tensor:
        """Zeros of the network's type, on its device."""
        return torch.zeros(shape, **self._kind)

    def like_parameters(self) -> Parameters:
        """Zeros of the shape of all parameters, [member, …] each."""
        named: Parameters = {}
        implicit = self.implicit
        for layer, (i, o) in enumerate(pairwise(self.widths)):
            last = layer == len(self.recipe.hidden)
            named[f"layers.{layer}.weight"] = self.empty(self.members, *(implicit if last else ()), i, o)
            named[f"layers.{layer}.bias"] = self.empty(self.members, *(implicit or (1,)), o)
            if implicit and not last:
                named[f"layers.{layer}.r"] = self.empty(self.members, *implicit, i)
                named[f"layers.{layer}.s"] = self.empty(self.members, *implicit, o)
            if self.recipe.activation == "prelu" and not last:
                named[f"layers.{layer}.slope"] = self.empty(self.members, 1, 1)
        if self.recipe.skip:
            named[SKIP] = self.empty(self.members, self.widths[0], self.widths[-1])
        return named

    def load(self, member: int, weights: Weights) -> None:
        """Set one member's parameters; inputs beyond its own stay 0."""
        self._own_columns[member] = weights["layers.0.weight"].shape[1]
        for name, value in weights.items():
            theirs = torch.as_tensor(value)
            mine = self.parameters[name][member].zero_()
            mine[self._own(name, member)] = (
                theirs.mT if name.endswith("weight") else theirs
            )  # [out] broadcasts to [1, out]

    def weights_of(self, parameters: Mapping[str, Tensor], member: int) -> Weights:
        """One member's part of some parameters, without its padding, as `torch.nn.Linear` orients them."""
        weights: Weights = {}
        for name, value in parameters.items():
            mine = value[member][self._own(name, member)]  # [in, out], [1, out or 1], [implicit, …]
            theirs = mine.mT if name.endswith("weight") else mine[0] if len(mine) == 1 else mine
            weights[name] = np.ascontiguousarray(theirs.cpu().numpy())
        return weights

    def _own(self, name: str, member: int) -> tuple[Any, ...]:
        """Where a member's part of a parameter lies, behind the axis of members."""
        outputs = slice(self.recipe.outputs if name.startswith((f"layers.{len(self.widths) - 2}.", SKIP)) else None)
        inputs = slice(self._own_columns[member] if name in ("layers.0.weight", "layers.0.r", SKIP) else None)
        return (..., inputs) if name.endswith(".r") else (..., inputs, outputs)

    def forward(self, inputs: Tensor, masks: Sequence[Tensor | None]) -> Tensor:
        """Predict a batch of rows in training mode.

        Parameters
        ----------
        inputs
            [member, row, column], contiguous.
        masks
            For each hidden layer the dropout mask [member, row, hidden], 0 or 1 / (1 - rate), or None; with TabM
            [member, implicit, row, hidden].

        Returns
        -------
        Tensor
            [member, row, output], with TabM [member, implicit, row, output]; valid until the next call.
        """
        if inputs.shape[1] not in self._rooms:
            self._rooms[inputs.shape[1]] = _Workspace(self, inputs.shape[1])
        self._room = room = self._rooms[inputs.shape[1]]
        activation = ACTIVATIONS[self.recipe.activation]
        columns, inputs = inputs, inputs.unsqueeze(1) if self.implicit else inputs
        self._masks, self._columns, self._inputs = masks, columns, [inputs]
        hidden = zip(self._layers, self._slopes, room.z, room.h, room.dropped, masks, strict=False)
        for layer, (slope, _), z, h, dropped, mask in hidden:
            layer.forward(inputs, z)  # [member, row, out]
            activation.forward(z, h)
            if slope is not None:
                h.addcmul_(slope, z.clamp_max(0))
            inputs = h if mask is None else torch.mul(h, mask, out=dropped)
            self._inputs.append(inputs)
        self._layers[-1].forward(inputs, room.z[-1])
        if self._skip:
            self._skip.forward(columns, room.z[-1])
        return room.prediction

    def backward(self, slope: Callable[[Tensor], object]) -> None:
        """Write the gradients of the latest `forward` to ``self.gradients``.

        Parameters
        ----------
        slope
            Called with a tensor of the prediction's shape to fill with dL/dprediction, L being a member's own
            loss.
        """
        room = self._room
        slope(room.output_delta)  # the column of a padded output stays 0
        if self._skip:
            self._skip.backward(self._columns, room.delta[-1])
        for number in range(len(self._layers) - 1, -1, -1):
            below = room.delta[number - 1] if number else None  # first dL/dh of the layer below, then its dL/dz
            self._layers[number].backward(self._inputs[number], room.delta[number], below)
            if below is not None:
                self._through_activation(number - 1, below)

    def _through_activation(self, number: int, delta: Tensor) -> None:
        """From dL/d(dropped-out activation) to dL/dz, in place."""
        (slope, slope_gradient), mask = self._slopes[number], self._masks[number]
        z, h = self._room.z[number], self._room.h[number]
        if mask is not None:
            delta.mul_(mask)
        if slope is not None:
            torch.sum(delta * z.clamp_max(0), _within(z), keepdim=True, out=slope_gradient)
            delta.mul_(torch.where(z > 0, 1.0, slope))
        else:
            ACTIVATIONS[self.recipe.activation].backward(delta, z, h)

    def activation_scales(self) -> Tensor:
        """Root mean square of each layer's output in the latest `forward`, [member, layer]."""
        outputs = [*self._room.h, self._room.prediction]
        return torch.stack([h.square().mean(_within(h)).sqrt() for h in outputs], 1)

    def gradient_norms(self) -> Tensor:
        """Norm of each layer's weight gradient in the latest `backward`, [member, layer]."""
        return torch.stack([norm_by_member(layer.weight_gradient) for layer in self._layers], 1)

    def predict(self, parameters: Mapping[str, Tensor], member: int, X: Tensor) -> Tensor:
        """Predict all rows with one member of some parameters in evaluation mode: X [row, column] → [row, output].

        A member at a time and some thousand rows at once: the products are large, and nothing of them depends on
        whom the member was trained beside.
        """
        if self.implicit:
            module = as_module(self.recipe, self.weights_of(parameters, member)).to(X.device)
            return torch.cat([module(rows) for rows in torch.split(X, max(1, 4096 // self.recipe.tabm))])
        mine = {name: value[member] for name, value in parameters.items()}
        mine["layers.0.weight"] = mine["layers.0.weight"][: X.shape[1]]
        blocks = []
        for inputs in torch.split(X, 4096):  # [row, in]
            h = inputs
            for layer in range(len(self.recipe.hidden) + 1):
                z = torch.addmm(mine[f"layers.{layer}.bias"], h, mine[f"layers.{layer}.weight"])
                if layer == len(self.recipe.hidden):
                    if self.recipe.skip:
                        z.addmm_(inputs, mine[SKIP][: X.shape[1]])
                    blocks.append(z[:, : self.recipe.outputs])
                    break
                h = torch.empty_like(z)
                ACTIVATIONS[self.recipe.activation].forward(z, h)
                if self.recipe.activation == "prelu":
                    h += mine[f"layers.{layer}.slope"] * z.clamp_max(0)
        return torch.cat(blocks)


def norm_by_member(values: Tensor) -> Tensor:
    """Euclidean norm over all axes but the first, [member]."""
    norms: Tensor = torch.linalg.vector_norm(values, dim=_within(values))
    return norms


def _within(values: Tensor) -> tuple[int, ...]:
    """All axes but that of members."""
    return tuple(range(1, values.ndim))


class _Workspace:
    """What the passes over batches of one size write to: made once, used at every step."""

    def __init__(self, network: Network, rows: int) -> None:
        def tensors(widths: Sequence[int]) -> list[Tensor]:
            return [network.empty(network.members, *network.implicit, rows, width) for width in widths]

        self.z = tensors(network.widths[1:])  # [member, row, out] of each layer, or [member, implicit, row, out]
        in_place = ACTIVATIONS[network.recipe.activation].in_place
        self.h = self.z[:-1] if in_place else tensors(network.widths[1:-1])  # behind the activation
        self.dropped = tensors(network.widths[1:-1])  # behind the dropout
        self.delta = tensors(network.widths[1:])  # dL/dz
        self.prediction = self.z[-1][..., : network.recipe.outputs]
        self.output_delta = self.delta[-1][..., : network.recipe.outputs]
