"""What fitted members say of rows that came later: networks by their weights; and the mean of members of any kind.

Other estimators are not kept: they are fitted again (`houseprice.learn.estimators.fit_members`), which gives the same
ones. A stored kernel machine would hold a copy of its training rows, and storing any would take a pickle.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from houseprice.learn.crossval import FoldScale
from houseprice.learn.estimators import AnyRecipe
from houseprice.learn.plain import Weights, predict_rows
from houseprice.metrics import Metric
from houseprice.recipes import Linear

Float = NDArray[np.float64]
_BLOCK = 8192
"""Rows that networks predict at one time."""


def predict_by_networks(recipe: Linear, weights: Sequence[Weights], X: NDArray[np.floating]) -> list[Float]:
    """What each of some networks says, float64 [n_rows] or [n_rows, n_outputs], on the fitted scale.

    Parameters
    ----------
    recipe
        Of the networks.
    weights
        Of each.
    X
        [n_rows, n_columns]. Products are taken in its precision: as the networks were trained in float32; in float64
        what is said of a row does not depend on the rows beside it, to all digits that are handed in.
    """
    rows = torch.from_numpy(X)
    with torch.inference_mode():
        found = [predict_rows(recipe, each, rows).numpy().astype(np.float64) for each in weights]
    return [values[:, 0] if values.shape[1] == 1 else values for values in found]


def predict_rows_by_networks(recipe: Linear, weights: Sequence[Weights], X: NDArray[np.float32]) -> list[Float]:
    """The same in float64, of any number of rows: some thousand at a time."""
    blocks = [
        predict_by_networks(recipe, weights, X[start : start + _BLOCK].astype(np.float64))
        for start in range(0, len(X), _BLOCK)
    ]
    return [np.concatenate(of_one) for of_one in zip(*blocks, strict=True)]


def mean_of_members(
    fitted: Mapping[int, Sequence[Float]],
    scales: Sequence[FoldScale],
    recipe: AnyRecipe,
    metric: Metric,
    name: str,
    rows: str,
) -> Float:
    """The mean of all members as a run has it of test rows: float64 [n_rows], on the link scale, or probabilities.

    Parameters
    ----------
    fitted
        By fold, what the members of each seed say, on the fitted scale.
    scales
        Of every fold.
    recipe, metric, name, rows
        See `houseprice.learn.crossval.FoldScale.mean_link`.
    """
    means = [scale.mean_link(fitted[scale.fold], recipe, metric, name, rows) / len(scales) for scale in scales]
    total: Float = sum(means[1:], start=means[0])
    return total
