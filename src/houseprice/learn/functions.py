"""Activations and losses: functions and their derivatives, written to tensors that are there already."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from houseprice.recipes import ActivationName, Linear

aten: Any = torch.ops.aten  # the derivatives that autograd itself calls, with an `out` to write to

PRELU_START = 0.25
"""Where PReLU's learned slopes start, as in `torch.nn.PReLU`."""


@dataclass(frozen=True)
class Activation:
    """An elementwise function and its derivative, both writing into tensors that are there already.

    Attributes
    ----------
    forward
        ``forward(z, h)`` writes the activation of ``z`` to ``h``.
    backward
        ``backward(delta, z, h)`` turns dL/dh into dL/dz, in place.
    module
        The same as a module of `torch.nn`.
    in_place
        Whether ``z`` and ``h`` may be one tensor: the derivative can be told from ``h``.
    homogeneous
        Whether h(z) = z · h'(z): linear on either side of 0.
    """

    forward: Callable[[Tensor, Tensor], object]
    backward: Callable[[Tensor, Tensor, Tensor], object]
    module: Callable[[], nn.Module]
    in_place: bool = False
    homogeneous: bool = False


_SELU = (1.6732632423543772, 1.0507009873554805, 1.0)  # alpha, scale, input scale: as `torch.nn.SELU`
_LEAK = 0.01

ACTIVATIONS: dict[ActivationName, Activation] = {
    # max(z, 0): Nair & Hinton 2010; D2L §5.1.2.1
    "relu": Activation(
        lambda z, h: torch.clamp_min(z, 0, out=h),
        lambda delta, z, h: aten.threshold_backward.grad_input(delta, h, 0, grad_input=delta),
        nn.ReLU,
        in_place=True,
        homogeneous=True,
    ),
    # max(z, 0) + slope · min(z, 0), the slope learned: He et al. 2015; D2L §5.1.2.1 (see `Network`)
    "prelu": Activation(
        lambda z, h: torch.clamp_min(z, 0, out=h),
        lambda delta, z, h: None,
        lambda: nn.PReLU(init=PRELU_START),
    ),
    # the same, the slope fixed at 0.01: Maas et al. 2013
    "leaky_relu": Activation(
        lambda z, h: aten.leaky_relu.out(z, _LEAK, out=h),
        lambda delta, z, h: aten.leaky_relu_backward.grad_input(delta, z, _LEAK, False, grad_input=delta),
        lambda: nn.LeakyReLU(_LEAK),
        homogeneous=True,
    ),
    # 1 / (1 + exp(-z)): D2L §5.1.2.2
    "sigmoid": Activation(
        lambda z, h: torch.sigmoid(z, out=h),
        lambda delta, z, h: aten.sigmoid_backward.grad_input(delta, h, grad_input=delta),
        nn.Sigmoid,
        in_place=True,
    ),
    # D2L §5.1.2.3
    "tanh": Activation(
        lambda z, h: torch.tanh(z, out=h),
        lambda delta, z, h: aten.tanh_backward.grad_input(delta, h, grad_input=delta),
        nn.Tanh,
        in_place=True,
    ),
    # z · Φ(z), Φ the normal distribution function: Hendrycks & Gimpel 2016; D2L §5.1.2
    "gelu": Activation(
        lambda z, h: aten.gelu.out(z, out=h),
        lambda delta, z, h: aten.gelu_backward.grad_input(delta, z, grad_input=delta),
        nn.GELU,
    ),
    # z · sigmoid(z), also called Swish: Ramachandran et al. 2017; D2L §5.1.2
    "silu": Activation(
        lambda z, h: aten.silu.out(z, out=h),
        lambda delta, z, h: aten.silu_backward.grad_input(delta, z, grad_input=delta),
        nn.SiLU,
    ),
    # scale · (z, or alpha · (exp(z) - 1) where z < 0): Klambauer et al. 2017
    "selu": Activation(
        lambda z, h: aten.elu.out(z, *_SELU, out=h),
        lambda delta, z, h: aten.elu_backward.grad_input(delta, *_SELU, True, h, grad_input=delta),
        nn.SELU,
        in_place=True,
    ),
    # z · tanh(log(1 + exp(z))): Misra 2019
    "mish": Activation(
        lambda z, h: aten.mish.out(z, out=h),
        lambda delta, z, h: delta.copy_(aten.mish_backward(delta, z)),
        nn.Mish,
    ),
}


@dataclass(frozen=True)
class Loss:
    """A loss of every row and its derivative.

    Attributes
    ----------
    rows
        ``rows(prediction, target)`` → [..., row], of two tensors [..., row, output].
    slope
        ``slope(prediction, target, out)`` writes the derivative of each row's loss to ``out`` [..., row,
        output].
    """

    rows: Callable[[Tensor, Tensor], Tensor]
    slope: Callable[[Tensor, Tensor, Tensor], object]


def loss_of(recipe: Linear) -> Loss:
    """Return the loss that a recipe minimises, as a mean over rows.

    ``squared`` (p - y)² (D2L §3.1), ``absolute`` |p - y|, ``huber`` (Huber 1964, as `torch.nn.HuberLoss`),
    ``pinball`` max(q (y - p), (q - 1)(y - p)) (Koenker & Bassett 1978), ``binary_cross_entropy`` with one
    logit, ``cross_entropy`` with softmax over one logit a class, the target one-hot (D2L §4.1).
    """
    delta, q = recipe.huber_delta, recipe.quantile

    def pinball(p: Tensor, y: Tensor, out: Tensor) -> None:
        torch.sub(p, y, out=out).sign_().add_(1 - 2 * q).mul_(0.5)  # 1 - q above the target, -q below

    losses = {
        "squared": Loss(lambda p, y: torch.square(p - y).sum(-1), lambda p, y, out: torch.sub(p, y, out=out).mul_(2)),
        "absolute": Loss(lambda p, y: torch.abs(p - y).sum(-1), lambda p, y, out: torch.sub(p, y, out=out).sign_()),
        "huber": Loss(
            lambda p, y: nn.functional.huber_loss(p, y, reduction="none", delta=delta).sum(-1),
            lambda p, y, out: torch.sub(p, y, out=out).clamp_(-delta, delta),
        ),
        "pinball": Loss(lambda p, y: torch.maximum(q * (y - p), (q - 1) * (y - p)).sum(-1), pinball),
        "binary_cross_entropy": Loss(
            lambda p, y: (nn.functional.softplus(p) - y * p).sum(-1),
            lambda p, y, out: torch.sigmoid(p, out=out).sub_(y),
        ),
        "cross_entropy": Loss(
            lambda p, y: torch.logsumexp(p, -1) - (y * p).sum(-1),
            lambda p, y, out: torch.softmax(p, -1, out=out).sub_(y),
        ),
    }
    return losses[recipe.loss]
