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

from houseprice.learn.embedding import BIAS, FREQUENCIES, WEIGHT, Embedding
from houseprice.learn.functions import ACTIVATIONS
from houseprice.learn.layers import Dense, Heads, Parameters, Products, Scaled, Skip
from houseprice.learn.plain import EMBEDDED, SKIP, Weights, predict_rows
from houseprice.recipes import MLP


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
    embedded
        How many columns the member embeds that embeds most.

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
        embedded: int = 0,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.recipe, self.members = recipe, members
        self.implicit = (recipe.tabm,) if recipe.tabm else ()  # an axis before that of rows
        self.columns, self.embedded = columns, embedded
        self.widths = (columns + embedded * recipe.embedded_width, *recipe.hidden, max(recipe.outputs, 2))
        self._kind: dict[str, Any] = {"dtype": dtype, "device": device}
        self.parameters, self.gradients = self.like_parameters(), self.like_parameters()
        tensors, products = (self.parameters, self.gradients), Products(recipe.precision == "bfloat16")
        kinds = [Scaled if recipe.tabm else Dense] * len(recipe.hidden) + [Heads if recipe.tabm else Dense]
        self._layers = [
            kind(*tensors, f"layers.{layer}", products, 0 if layer else columns) for layer, kind in enumerate(kinds)
        ]
        self._embedding = Embedding(*tensors, columns, products) if embedded else None
        self._skip = Skip(self.parameters[SKIP], self.gradients[SKIP], products) if recipe.skip else None
        slopes = [f"layers.{layer}.slope" for layer in range(len(recipe.hidden))]
        self._slopes = [[kind.get(slope) for kind in tensors] for slope in slopes]
        if recipe.tabm:
            self._slopes = [[one if one is None else one.unsqueeze(3) for one in pair] for pair in self._slopes]
        self._own_columns, self._own_embedded = [columns] * members, [embedded] * members
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
            named[SKIP] = self.empty(self.members, self.columns, self.widths[-1])
        if self.embedded:
            shape, width = (self.members, self.embedded), self.recipe.embedding_width
            named[FREQUENCIES] = self.empty(*shape, self.recipe.embedding_frequencies)
            if self.recipe.embedding == "plr":
                named[WEIGHT] = self.empty(*shape, 2 * self.recipe.embedding_frequencies, width)
                named[BIAS] = self.empty(*shape, width)
        return named

    def load(self, member: int, weights: Weights) -> None:
        """Set one member's parameters; inputs beyond its own stay 0."""
        chosen = weights.get(EMBEDDED, np.arange(0))
        self._own_embedded[member] = len(chosen)
        self._own_columns[member] = weights["layers.0.weight"].shape[1] - len(chosen) * self.recipe.embedded_width
        if self._embedding:
            self._embedding.choose(member, chosen)
        for name, value in weights.items():
            if name == EMBEDDED:
                continue
            mine = self.parameters[name][member].zero_()
            theirs = torch.as_tensor(value, dtype=mine.dtype, device=mine.device)  # [out] broadcasts to [1, out]
            mine[self._own(name, member)] = theirs.mT if name.endswith("weight") else theirs

    def weights_of(self, parameters: Mapping[str, Tensor], member: int) -> Weights:
        """One member's part of some parameters, without its padding, as `torch.nn.Linear` orients them."""
        weights: Weights = {}
        for name, value in parameters.items():
            embeds = name in (FREQUENCIES, WEIGHT, BIAS)
            if embeds and not self._own_embedded[member]:
                continue
            mine = value[member][self._own(name, member)]  # [in, out], [1, out or 1], [implicit, …], [embedded, …]
            theirs = mine.mT if name.endswith("weight") else mine[0] if len(mine) == 1 and not embeds else mine
            weights[name] = np.ascontiguousarray(theirs.cpu().numpy())
        if self._embedding and self._own_embedded[member]:
            weights[EMBEDDED] = self._embedding.chosen(member)
        return weights

    def _own(self, name: str, member: int) -> tuple[Any, ...]:
        """Where a member's part of a parameter lies, behind the axis of members."""
        if name in (FREQUENCIES, WEIGHT, BIAS):
            return (slice(self._own_embedded[member]),)
        outputs = slice(self.recipe.outputs if name.startswith((f"layers.{len(self.widths) - 2}.", SKIP)) else None)
        inputs: slice | Tensor = slice(self._own_columns[member] if name == SKIP else None)
        if name in ("layers.0.weight", "layers.0.r"):
            raw, *more = self.own_inputs(member)
            inputs = torch.from_numpy(np.r_[raw, *more]) if more else raw
        return (..., inputs) if name.endswith(".r") else (..., inputs, outputs)

    def own_inputs(self, member: int) -> list[slice]:
        """Where a member's inputs lie among the first layer's: its columns, and behind all columns the embedded."""
        width = self._own_embedded[member] * self.recipe.embedded_width
        behind = [slice(self.columns, self.columns + width)] if self._embedding else []
        return [slice(0, self._own_columns[member]), *behind]

    def forward(self, inputs: Tensor, masks: Sequence[Tensor | None]) -> Tensor:
        """Predict a batch of rows in training mode.

        Parameters
        ----------
        inputs
            [member, row, column + embedded], contiguous; the embedded columns are written, the mask is applied.
        masks
            For the inputs and each hidden layer the dropout mask [member, row, width], 0 or 1 / (1 - rate), or None;
            with TabM [member, implicit, row, width] for hidden layers. They may be overwritten.

        Returns
        -------
        Tensor
            [member, row, output], with TabM [member, implicit, row, output]; valid until the next call.
        """
        if inputs.shape[1] not in self._rooms:
            self._rooms[inputs.shape[1]] = _Workspace(self, inputs.shape[1])
        self._room = room = self._rooms[inputs.shape[1]]
        activation = ACTIVATIONS[self.recipe.activation]
        if self._embedding:
            self._embedding.forward(inputs)
        if masks[0] is not None:
            inputs.mul_(masks[0])
        columns = inputs[..., : self.columns] if self._embedding else inputs
        inputs = inputs.unsqueeze(1) if self.implicit else inputs
        self._masks, self._columns, self._inputs = masks, columns, [inputs]
        hidden = zip(self._layers, self._slopes, room.z, room.h, room.dropped, masks[1:], strict=False)
        for layer, (slope, _), z, h, dropped, mask in hidden:
            layer.forward(inputs, z)  # [member, row, out]
            if mask is not None and activation.homogeneous:  # h(z) · mask = z · (h'(z) · mask): a factor of both passes
                activation.backward(mask, z, z)
                inputs = z.mul_(mask)
            else:
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
            below = room.delta[number - 1] if number else room.embedded_delta
            self._layers[number].backward(self._inputs[number], room.delta[number], below)
            if number:
                self._through_activation(number - 1, room.delta[number - 1])
        if self._embedding and room.embedded_delta is not None:
            if self._masks[0] is not None:
                room.embedded_delta.mul_(self._masks[0][..., self.columns :])
            self._embedding.backward(room.embedded_delta)

    def _through_activation(self, number: int, delta: Tensor) -> None:
        """From dL/d(dropped-out activation) to dL/dz, in place."""
        (slope, slope_gradient), mask = self._slopes[number], self._masks[number + 1]
        z, h = self._room.z[number], self._room.h[number]
        activation = ACTIVATIONS[self.recipe.activation]
        if mask is not None:
            delta.mul_(mask)
            if activation.homogeneous:
                return
        if slope is not None:
            torch.sum(delta * z.clamp_max(0), _within(z), keepdim=True, out=slope_gradient)
            delta.mul_(torch.where(z > 0, 1.0, slope))
        else:
            activation.backward(delta, z, h)

    def activation_scales(self) -> Tensor:
        """Root mean square of what each layer handed on, behind its dropout, in `forward`, [member, layer]."""
        outputs = [*self._inputs[1:], self._room.prediction]
        return torch.stack([h.square().mean(_within(h)).sqrt() for h in outputs], 1)

    def gradient_norms(self) -> Tensor:
        """Norm of each layer's weight gradient in the latest `backward`, [member, layer]."""
        return torch.stack([norm_by_member(layer.weight_gradient) for layer in self._layers], 1)

    def predict(self, parameters: Mapping[str, Tensor], member: int, X: Tensor) -> Tensor:
        """Predict all rows with one member of some parameters in evaluation mode: X [row, column] → [row, output].

        A member at a time and some thousand rows at once: the products are large, and nothing of them depends on
        whom the member was trained beside. Answers are written where they stay: a small tensor kept of each block
        would lie amid the large ones, whose memory then could not be used again.
        """
        if self.implicit or self._embedding:
            return predict_rows(self.recipe, self.weights_of(parameters, member), X)
        mine = {name: value[member] for name, value in parameters.items()}
        mine["layers.0.weight"] = mine["layers.0.weight"][: X.shape[1]]
        predicted = X.new_empty(len(X), self.recipe.outputs)
        for inputs, answers in zip(torch.split(X, 4096), torch.split(predicted, 4096), strict=True):  # [row, in or out]
            h = inputs
            for layer in range(len(self.recipe.hidden) + 1):
                z = torch.addmm(mine[f"layers.{layer}.bias"], h, mine[f"layers.{layer}.weight"])
                if layer == len(self.recipe.hidden):
                    if self.recipe.skip:
                        z.addmm_(inputs, mine[SKIP][: X.shape[1]])
                    answers.copy_(z[:, : self.recipe.outputs])
                    break
                h = torch.empty_like(z)
                ACTIVATIONS[self.recipe.activation].forward(z, h)
                if self.recipe.activation == "prelu":
                    h += mine[f"layers.{layer}.slope"] * z.clamp_max(0)
        return predicted


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
        embedded = network.widths[0] - network.columns
        self.embedded_delta = network.empty(network.members, rows, embedded) if embedded else None
        self.prediction = self.z[-1][..., : network.recipe.outputs]
        self.output_delta = self.delta[-1][..., : network.recipe.outputs]
