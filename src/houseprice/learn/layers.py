"""The layers of a batch of members: each one's pass forward, and its pass backward, written out by hand (D2L §5.3)."""

from dataclasses import dataclass

import torch
from torch import Tensor

Parameters = dict[str, Tensor]
"""Those of all members: ``layers.0.weight`` [member, in, out], ``layers.0.bias`` [member, 1 or implicit, out], …"""


@dataclass(frozen=True)
class Products:
    """Batched matrix products, their factors rounded to bfloat16 or not (sums stay float32 where the device can)."""

    bfloat16: bool

    def affine(self, start: Tensor, inputs: Tensor, weight: Tensor, out: Tensor) -> None:
        """Write ``start + inputs @ weight``."""
        if self.bfloat16:
            torch.add(start, torch.bmm(inputs.bfloat16(), weight.bfloat16()), out=out)
        else:
            torch.baddbmm(start, inputs, weight, out=out)

    def product(self, left: Tensor, right: Tensor, out: Tensor) -> Tensor:
        """Write ``left @ right``, and return it."""
        if self.bfloat16:
            return out.copy_(torch.bmm(left.bfloat16(), right.bfloat16()))
        return torch.bmm(left, right, out=out)


class Dense:
    """``inputs @ weight + bias``, its tensors looked up once instead of at every step.

    Parameters
    ----------
    parameters, gradients
        Of the network: what the layer reads, and where it writes.
    name
        What its parameters begin with: ``layers.0``.
    products
        How matrices are multiplied.
    since
        From which input on dL/d(inputs) is wanted, when it is.
    """

    def __init__(
        self, parameters: Parameters, gradients: Parameters, name: str, products: Products, since: int = 0
    ) -> None:
        self.products, self.since = products, since
        self.weight, self.bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
        self.weight_gradient, self.bias_gradient = gradients[f"{name}.weight"], gradients[f"{name}.bias"]
        self.transposed = self.weight[..., since:, :].mT  # [member, out, in], a view

    def forward(self, inputs: Tensor, out: Tensor) -> None:
        """Write [member, row, out] from inputs [member, row, in]."""
        self.products.affine(self.bias, inputs, self.weight, out)

    def backward(self, inputs: Tensor, delta: Tensor, below: Tensor | None) -> None:
        """Write the gradients from dL/d(output), which may be lost, and dL/d(inputs) to ``below`` if it is wanted."""
        self.products.product(inputs.mT, delta, self.weight_gradient)
        torch.sum(delta, 1, keepdim=True, out=self.bias_gradient)
        if below is not None:
            self.products.product(delta, self.transposed, below)


class Scaled(Dense):
    """A hidden layer of TabM: (inputs · r) @ weight · s + bias, the weight shared by a member's implicit members.

    These are more rows of one product: [member, implicit · row, in] @ [member, in, out].
    """

    def __init__(
        self, parameters: Parameters, gradients: Parameters, name: str, products: Products, since: int = 0
    ) -> None:
        super().__init__(parameters, gradients, name, products, since)
        self.r, self.s = (
            parameters[f"{name}.{part}"].unsqueeze(2) for part in "rs"
        )  # [member, implicit, 1, in or out]
        self.r_gradient, self.s_gradient = gradients[f"{name}.r"], gradients[f"{name}.s"]
        self._rooms: dict[int, tuple[Tensor, Tensor]] = {}  # by rows

    def _room(self, rows: int) -> tuple[Tensor, Tensor]:
        """What the passes write between input and output: [member, implicit, row, in], and the same of out."""
        if rows not in self._rooms:
            inputs, outputs = ((*one.shape[:2], rows, one.shape[3]) for one in (self.r, self.s))
            self._rooms[rows] = self.r.new_zeros(inputs), self.r.new_zeros(outputs)
        return self._rooms[rows]

    def forward(self, inputs: Tensor, out: Tensor) -> None:
        """Write [member, implicit, row, out] from inputs [member, implicit, row, in], or [member, 1, row, in]."""
        scaled, product = self._room(inputs.shape[2])
        torch.mul(inputs, self.r, out=scaled)
        self.products.product(scaled.flatten(1, 2), self.weight, product.flatten(1, 2))
        torch.addcmul(self.bias.unsqueeze(2), product, self.s, out=out)

    def backward(self, inputs: Tensor, delta: Tensor, below: Tensor | None) -> None:
        """As of `Dense`, and the gradients of the scales; what `forward` wrote between is used up."""
        scaled, product = self._room(inputs.shape[2])
        torch.sum(delta, 2, out=self.bias_gradient)
        torch.sum(product.mul_(delta), 2, out=self.s_gradient)
        rows = delta.mul_(self.s).flatten(1, 2)
        self.products.product(scaled.flatten(1, 2).mT, rows, self.weight_gradient)
        self.products.product(rows, self.weight.mT, scaled.flatten(1, 2))  # dL/d(inputs · r)
        if below is not None and inputs.shape[1] == 1:  # the same inputs for all
            torch.sum(scaled[..., self.since :] * self.r[..., self.since :], 1, out=below)
        elif below is not None:
            torch.mul(scaled, self.r, out=below)
        torch.sum(scaled.mul_(inputs), 2, out=self.r_gradient)


class Heads(Dense):
    """The last layer of TabM: each implicit member has its own weight, [member, implicit, in, out]."""

    def forward(self, inputs: Tensor, out: Tensor) -> None:
        """Write [member, implicit, row, out] from inputs [member, implicit, row, in]."""
        bias, weight = self.bias.flatten(0, 1).unsqueeze(1), self.weight.flatten(0, 1)
        self.products.affine(bias, inputs.flatten(0, 1), weight, out.flatten(0, 1))

    def backward(self, inputs: Tensor, delta: Tensor, below: Tensor | None) -> None:
        """As of `Dense`, the implicit members' deltas and inputs being so many members of their own."""
        deltas = delta.flatten(0, 1)
        self.products.product(inputs.flatten(0, 1).mT, deltas, self.weight_gradient.flatten(0, 1))
        torch.sum(delta, 2, out=self.bias_gradient)
        if below is not None:
            self.products.product(deltas, self.transposed.flatten(0, 1), below.flatten(0, 1))


class Skip:
    """The linear model beside the layers; TabM's implicit members share it."""

    def __init__(self, weight: Tensor, gradient: Tensor, products: Products) -> None:
        self.weight, self.gradient, self.products = weight, gradient, products

    def forward(self, inputs: Tensor, out: Tensor) -> None:
        """Add to the layers' output [member, row, out] or [member, implicit, row, out]."""
        if out.ndim == 3:
            self.products.affine(out, inputs, self.weight, out)
        else:
            shape = out.shape[0], *out.shape[2:]
            out.add_(self.products.product(inputs, self.weight, out.new_empty(shape)).unsqueeze(1))

    def backward(self, inputs: Tensor, delta: Tensor) -> None:
        """Write the gradient from dL/d(output)."""
        self.products.product(inputs.mT, delta if delta.ndim == 3 else delta.sum(1), self.gradient)
