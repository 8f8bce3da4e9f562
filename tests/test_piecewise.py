"""Corners of piecewise linear networks: between them the network is a straight line, and no corner is missed."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from houseprice.course.piecewise import corners
from houseprice.errors import TrainingError


def random_network(seed: int, widths: list[int], activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    torch.manual_seed(seed)
    modules: list[nn.Module] = []
    for i, o in zip([1, *widths[:-1]], widths, strict=True):
        modules += [nn.Linear(i, o), activation()]
    return nn.Sequential(*modules, nn.Linear(widths[-1], 1))


def values(network: nn.Sequential, x: NDArray[np.float64]) -> NDArray[np.float64]:
    with torch.inference_mode():
        return np.asarray(network.double()(torch.from_numpy(x)[:, None])[:, 0])


@pytest.mark.parametrize("activation", [nn.ReLU, nn.LeakyReLU, nn.PReLU])
@pytest.mark.parametrize("widths", [[1], [16], [8, 8], [5, 7, 6]])
def test_a_network_is_the_polyline_through_its_corners(widths: list[int], activation: type[nn.Module]) -> None:
    for seed in range(5):
        network = random_network(seed, widths, activation)
        x = corners(network, -5, 5)
        assert (x[0], x[-1]) == (-5, 5)
        assert (np.diff(x) > 0).all()
        grid = np.linspace(-5, 5, 2001)
        np.testing.assert_allclose(values(network, grid), np.interp(grid, x, values(network, x)), atol=1e-9)


def test_one_hidden_layer_has_a_corner_a_unit() -> None:
    network = random_network(0, [16])
    weight, bias = (parameter.detach().double().numpy() for parameter in network[0].parameters())
    exact = np.sort(-bias / weight[:, 0])
    np.testing.assert_allclose(corners(network, -1e6, 1e6)[1:-1], exact)


def test_layers_multiply_corners() -> None:
    """The tent map folded onto itself: two units a layer, and twice as many pieces with each (Telgarsky 2016)."""
    up, down = nn.Linear(1, 2), nn.Linear(2, 1)
    with torch.no_grad():
        for parameter, numbers in zip(
            (up.weight, up.bias, down.weight, down.bias),
            ([[2.0], [4.0]], [0.0, -2.0], [[1.0, -1.0]], [0.0]),
            strict=True,
        ):
            parameter.copy_(torch.tensor(numbers))
    for depth in range(1, 7):
        assert len(corners(nn.Sequential(*[up, nn.ReLU(), down] * depth), 0, 1)) == 2**depth + 1


def test_the_network_stays_as_it_is() -> None:
    network = random_network(0, [4])
    corners(network, 0, 1)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


def test_other_networks_are_refused() -> None:
    with pytest.raises(TrainingError, match="corners: Tanh is not piecewise linear"):
        corners(nn.Sequential(nn.Linear(1, 2), nn.Tanh(), nn.Linear(2, 1)), 0, 1)
    with pytest.raises(TrainingError, match="the network has 3 inputs"):
        corners(nn.Sequential(nn.Linear(3, 1)), 0, 1)
