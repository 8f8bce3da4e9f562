"""Where piecewise linear networks bend: a network of ReLUs is a polyline, and this finds its corners."""

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from houseprice.errors import TrainingError, listing

Float = NDArray[np.float64]

BENDS = (nn.ReLU, nn.LeakyReLU, nn.PReLU)
"""Activations that are linear on either side of 0."""


def corners(network: nn.Sequential, low: float, high: float) -> Float:
    """Find all places between two ends where a network of one input may change its slope, exactly.

    Between the corners of the layers before it, what a unit is given is linear in the input; so where its sign changes
    is one point, and a corner for the layers behind (Montúfar, Pascanu, Cho & Bengio 2014 count them).

    Parameters
    ----------
    network
        Of linear layers and `BENDS`.
    low, high
        The ends.

    Returns
    -------
    float64 [n_corners + 2], rising
        The ends and what lies between: the network is the polyline through its values there.

    Raises
    ------
    TrainingError
        If the network has a module that is not piecewise linear, or more than one input.

    >>> hat = nn.Sequential(nn.Linear(1, 1), nn.ReLU())
    >>> with torch.no_grad():
    ...     _ = hat[0].weight.fill_(2), hat[0].bias.fill_(-1)
    >>> corners(hat, 0, 1)
    array([0. , 0.5, 1. ])
    """
    others = [type(module).__name__ for module in network if not isinstance(module, (nn.Linear, *BENDS))]
    if others:
        known = listing(bend.__name__ for bend in BENDS)
        raise TrainingError(f"corners: {listing(others)} is not piecewise linear; use networks of Linear, {known}")
    inputs = next((module.in_features for module in network if isinstance(module, nn.Linear)), 1)
    if inputs != 1:
        raise TrainingError(
            f"corners: the network has {inputs} inputs; use one with 1, or walk along a line through them"
        )
    exact = copy.deepcopy(network).double()
    x = np.array([low, high], np.float64)
    for place, module in enumerate(exact):
        if isinstance(module, BENDS):
            with torch.inference_mode():
                z = exact[:place](torch.from_numpy(x)[:, None])  # [point, unit], linear between two points
            x = np.union1d(x, _crossings(x, z.numpy()))
    return x


def _crossings(x: Float, z: Float) -> Float:
    """Where straight lines through values [n_points, n_units] at some points cross 0 between two of them."""
    before, after = z[:-1], z[1:]
    piece, unit = np.nonzero(before * after < 0)
    share = before[piece, unit] / (before[piece, unit] - after[piece, unit])
    return np.asarray(x[piece] + share * (x[piece + 1] - x[piece]))
