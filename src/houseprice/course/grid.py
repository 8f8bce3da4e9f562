"""Every pair of dropout rates behind two hidden layers, without and with weight decay (D2L §5.6, its exercises).

All settings of the grid go to the engine in one call: they differ in nothing but what the networks of one tensor
program may differ in (`houseprice.recipes.PER_MEMBER`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from houseprice.course.fitting import Fit, Rows, Settings, fit_each
from houseprice.errors import ConfigError

Float = NDArray[np.float64]

RATES = tuple(step / 10 for step in range(10))
DECAYS = (0.0, 1e-3, 3.0)


@dataclass(frozen=True, eq=False)
class Grid:
    """What became of every setting.

    Attributes
    ----------
    decays, rates
        The weight decays and the dropout rates.
    train, valid
        float64 [n_decays, n_rates, n_rates], means over the draws and seeds, of training and validation rows: the
        second axis is the rate behind the first hidden layer, the third that behind the second. NaN where a network
        diverged, or could not be scored.
    """

    decays: tuple[float, ...]
    rates: tuple[float, ...]
    train: Float
    valid: Float

    @property
    def has_numbers(self) -> bool:
        """Whether any setting has a validation value."""
        return bool(np.isfinite(self.valid).any())

    def lowest(self, decay: int) -> tuple[int, int] | None:
        """Where the validation value of the weight decay of this number is lowest; None if there is none at all."""
        if not np.isfinite(self.valid[decay]).any():
            return None
        first, second = np.unravel_index(np.nanargmin(self.valid[decay]), self.valid[decay].shape)
        return int(first), int(second)


def last_losses(one: Fit) -> tuple[float, float]:
    """The training and the validation loss after the last epoch."""
    return float(one.train_losses[-1]), float(one.valid_losses[-1])


def dropout_grid(
    draws: Sequence[tuple[Rows, Rows]],
    settings: Settings,
    *,
    rates: Sequence[float] = RATES,
    decays: Sequence[float] = DECAYS,
    seeds: Sequence[int] = (0,),
    device: str = "cpu",
    score: Callable[[Fit], tuple[float, float]] = last_losses,
    **engine: Any,
) -> Grid:
    """Fit a network of two hidden layers with every weight decay and pair of dropout rates.

    Parameters
    ----------
    draws, seeds, device, engine
        As of `houseprice.course.fitting.fit_each`.
    settings
        What all share, as of `houseprice.course.fitting.fit`; ``hidden`` has two layers.
    rates, decays
        To be combined.
    score
        What is told of a network: a number of the training rows, and one of the validation rows.

    Raises
    ------
    ConfigError
        If there are not two hidden layers, or a setting is wrong.
    """
    hidden = tuple(settings.get("hidden", ()))
    if len(hidden) != 2:
        raise ConfigError(f"hidden: {list(hidden)}; a grid of two dropout rates needs two hidden layers: [256, 256]")
    asked = [
        {**settings, "weight_decay": decay, "dropout": pair}
        for decay, pair in product(decays, product(rates, repeat=2))
    ]
    fits = fit_each(draws, asked, seeds=seeds, device=device, **engine)
    scores = np.array([score(one) if one.diverged_epoch is None else (np.nan, np.nan) for one in fits])
    means = scores.reshape(len(decays), len(rates), len(rates), -1, 2).mean(axis=3)
    return Grid(tuple(decays), tuple(rates), means[..., 0], means[..., 1])


def mean_grid(grids: Sequence[Grid]) -> Grid:
    """The mean of grids of the same settings: of several folds."""
    train, valid = (np.mean([getattr(grid, name) for grid in grids], axis=0) for name in ("train", "valid"))
    return Grid(grids[0].decays, grids[0].rates, train, valid)
