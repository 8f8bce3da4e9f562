"""Numbers as more than one input: embeddings with trained frequencies, of a batch of members.

An embedded column x becomes [sin 2πcx, cos 2πcx] for its frequencies c (``periodic``), or ReLU of its own linear map
of these (``plr``): Gorishniy, Rubachev & Babenko 2022, "On embeddings for numerical features in tabular deep
learning". They stand behind the columns, which stay (RealMLP: Holzmüller, Grinsztajn & Steinwart 2024).

Members that embed fewer columns than others have places left over. Of these the outputs are 0 (``periodic``), or the
linear map is (``plr``), and so are the gradients: like other padding they never wake up.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from houseprice.learn.layers import Parameters, Products

FREQUENCIES, WEIGHT, BIAS = "embedding.frequencies", "embedding.weight", "embedding.bias"
"""[member, embedded, frequency]; of ``plr`` [member, embedded, 2 · frequency, out] and [member, embedded, out]."""


class Embedding:
    """The embeddings of a batch of members, with their passes forward and backward.

    Parameters
    ----------
    parameters, gradients
        Of the network: what is read, and where gradients are written.
    columns
        Where the embedded columns begin, behind the raw ones.
    products
        How matrices are multiplied.
    """

    def __init__(self, parameters: Parameters, gradients: Parameters, columns: int, products: Products) -> None:
        self.columns, self.products = columns, products
        self.frequencies, self.frequencies_gradient = parameters[FREQUENCIES], gradients[FREQUENCIES]
        self.weight, self.bias = parameters.get(WEIGHT), parameters.get(BIAS)
        self.weight_gradient, self.bias_gradient = gradients.get(WEIGHT), gradients.get(BIAS)
        members, embedded, _ = self.frequencies.shape
        self._sources = self.frequencies.new_zeros((members, embedded, 1), dtype=torch.int64)
        self._used = self.frequencies.new_zeros((members, 1, embedded, 1))  # 1, or 0 where a place is left over
        self._rooms: dict[int, _Workspace] = {}

    def choose(self, member: int, columns: NDArray[np.int64]) -> None:
        """Set which columns a member embeds; the places behind them are left over."""
        self._sources[member] = self._used[member] = 0
        self._sources[member, : len(columns), 0] = torch.as_tensor(columns)
        self._used[member, 0, : len(columns)] = 1

    def chosen(self, member: int) -> NDArray[np.int64]:
        """Which columns a member embeds, [embedded]."""
        used: NDArray[np.int64] = self._sources[member, self._used[member, 0, :, 0] > 0, 0].cpu().numpy()
        return used

    def forward(self, inputs: Tensor) -> None:
        """Write the embedded columns of inputs [member, row, column + embedded · out] behind the others."""
        rows = inputs.shape[1]
        if rows not in self._rooms:
            self._rooms[rows] = _Workspace.of(self, rows)
        self._room = room = self._rooms[rows]
        sources = self._sources.expand(-1, -1, rows)
        torch.gather(inputs[..., : self.columns].mT, 1, sources, out=room.x)
        torch.mul(room.x.unsqueeze(3), (2 * math.pi * self.frequencies).unsqueeze(2), out=room.angles)
        sines, cosines = room.waves.chunk(2, 3)
        torch.sin(room.angles, out=sines)
        torch.cos(room.angles, out=cosines)
        places = inputs[..., self.columns :].view(*inputs.shape[:2], self.frequencies.shape[1], -1)
        if self.weight is None or self.bias is None:
            torch.mul(room.waves.transpose(1, 2), self._used, out=places)
        else:
            bias, weight = self.bias.flatten(0, 1).unsqueeze(1), self.weight.flatten(0, 1)
            self.products.affine(bias, room.waves.flatten(0, 1), weight, room.h.flatten(0, 1))
            places.copy_(room.h.clamp_min_(0).transpose(1, 2))

    def backward(self, delta: Tensor) -> None:
        """Write the gradients of the latest `forward` from dL/d(embedded columns), [member, row, embedded · out]."""
        room = self._room
        deltas = delta.view(*delta.shape[:2], self.frequencies.shape[1], -1).transpose(
            1, 2
        )  # [member, embedded, row, out]
        if self.weight is not None and self.weight_gradient is not None and self.bias_gradient is not None:
            torch.mul(deltas, room.h > 0, out=room.h)
            rows = room.h.flatten(0, 1)
            torch.sum(room.h, 2, out=self.bias_gradient)
            self.products.product(room.waves.flatten(0, 1).mT, rows, self.weight_gradient.flatten(0, 1))
            self.products.product(rows, self.weight.flatten(0, 1).mT, room.deltas.flatten(0, 1))
            deltas = room.deltas
        (of_sines, of_cosines), (sines, cosines) = deltas.chunk(2, 3), room.waves.chunk(2, 3)
        torch.mul(of_sines, cosines, out=room.angles).addcmul_(of_cosines, sines, value=-1)  # dL/d(angle)
        torch.sum(room.angles.mul_(room.x.unsqueeze(3)), 2, out=self.frequencies_gradient).mul_(2 * math.pi)


@dataclass(frozen=True)
class _Workspace:
    """What the passes over batches of one size write to: made once, used at every step."""

    x: Tensor  # [member, embedded, row]
    angles: Tensor  # [member, embedded, row, frequency]
    waves: Tensor  # [member, embedded, row, 2 · frequency], sines then cosines
    deltas: Tensor  # dL/d(waves)
    h: Tensor  # [member, embedded, row, out] of ``plr``

    @classmethod
    def of(cls, embedding: Embedding, rows: int) -> "_Workspace":
        members, embedded, frequencies = embedding.frequencies.shape
        out = 0 if embedding.bias is None else embedding.bias.shape[2]
        shape = members, embedded, rows
        widths = frequencies, 2 * frequencies, 2 * frequencies, out
        return cls(*(embedding.frequencies.new_zeros(one) for one in (shape, *((*shape, width) for width in widths))))
