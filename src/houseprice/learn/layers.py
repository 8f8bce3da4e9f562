"""The layers of a batch of members: each one's pass forward, and its pass backward, written out by hand (D2L §5.3)."""

from dataclasses import dataclass

import torch
from torch import Tensor

Parameters = dict[str, Tensor]
"""Those of all members: ``layers.0.weight`` [member, in, out], ``layers.0.bias`` [member, 1, out], …"""


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
    """

    def __init__(self, parameters: Parameters, gradients: Parameters, name: str, products: Products) -> None:
        self.products = products
        self.weight, self.bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
        self.weight_gradient, self.bias_gradient = gradients[f"{name}.weight"], gradients[f"{name}.bias"]
        self.transposed = self.weight.mT  # [member, out, in], a view

    def forward(self, inputs: Tensor, out: Tensor) -> None:
        """Write [member, row, out] from inputs [member, row, in]."""
        self.products.affine(self.bias, inputs, self.weight, out)

    def backward(self, inputs: Tensor, delta: Tensor, below: Tensor | None) -> None:
        """Write the gradients from dL/d(output), and dL/d(inputs) to ``below`` where it is asked for."""
        self.products.product(inputs.mT, delta, self.weight_gradient)
        torch.sum(delta, 1, keepdim=True, out=self.bias_gradient)
        if below is not None:
            self.products.product(delta, self.transposed, below)


class Skip:
    """The linear model beside the layers."""

    def __init__(self, weight: Tensor, gradient: Tensor, products: Products) -> None:
        self.weight, self.gradient, self.products = weight, gradient, products

    def forward(self, inputs: Tensor, out: Tensor) -> None:
        """Add to the layers' output [member, row, out]."""
        self.products.affine(out, inputs, self.weight, out)

    def backward(self, inputs: Tensor, delta: Tensor) -> None:
        """Write the gradient from dL/d(output)."""
        self.products.product(inputs.mT, delta, self.gradient)
