"""How much each row of a fold counts in fitting, as an experiment has it."""

from dataclasses import replace

import numpy as np

from houseprice.data.shift import Discriminator, discriminate
from houseprice.errors import ConfigError
from houseprice.learn.estimators import AnyRecipe, takes_weights
from houseprice.learn.members import FoldData


def with_weights(name: str, recipe: AnyRecipe, data: FoldData) -> FoldData:
    """The same data with the weights that an experiment gives its fit rows.

    They come from these rows and the test rows alone; no validation row and no target is looked at.

    Parameters
    ----------
    name, recipe
        The experiment.
    data
        Of one fold.

    Raises
    ------
    ConfigError
        If there are too few rows to learn weights from, or the estimator takes none.
    """
    if recipe.weights == "none":
        return data
    if not takes_weights(recipe):
        raise ConfigError(
            f"experiments.{name}: weights: the estimator's fit takes no sample_weight; use 'none', or another estimator"
        )
    weights = np.zeros(len(data.X), np.float32)
    weights[data.fit_rows] = discriminator_of(name, data).weights(recipe.weight_ceiling)
    return replace(data, weights=weights)


def discriminator_of(name: str, data: FoldData) -> Discriminator:
    """What tells the fit rows of a fold from the test rows."""
    return discriminate(data.X[data.fit_rows], data.X_test, f"experiments.{name}")
