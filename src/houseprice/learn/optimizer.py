"""Optimisers over the members of a batch, each with its own settings."""

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor

from houseprice.learn.network import Network
from houseprice.recipes import Linear


class Optimizer:
    """SGD with momentum, Adam or AdamW over the members of a network, with each one's own settings.

    torch's fused kernels pass over the memory once. They know one learning rate and one weight decay, so
    neighbours with equal settings share a call.
    """

    def __init__(self, recipes: Sequence[Linear], network: Network) -> None:
        self._recipe = recipes[0]  # for what they share
        self.momentum, self.square = network.like_parameters(), network.like_parameters()
        self.steps = network.empty()
        self._calls: list[tuple[float, float, list[list[Tensor]]]] = []
        names = set(network.parameters)
        decayed = {name for name in names if self._recipe.decay_biases or name.endswith("weight")}
        for (rate, decay), group in groupby(enumerate(recipes), lambda one: _settings(one[1])):
            run = [m for m, _ in group]
            for some, its_decay in ((decayed, decay), (names - decayed, 0.0)) if decay else ((names, 0.0),):
                kinds = (network.parameters, network.gradients, self.momentum, self.square)
                tensors = [[kind[name][run[0] : run[-1] + 1] for name in sorted(some)] for kind in kinds]
                if some:
                    self._calls.append((rate, its_decay, tensors))

    def step(self, factor: float) -> None:
        """Update all parameters from their gradients, the learning rates multiplied by ``factor``."""
        self.steps += 1
        for rate, decay, (parameters, gradients, momentum, square) in self._calls:
            if self._recipe.optimizer == "sgd":
                torch._fused_sgd_(
                    parameters, gradients, momentum if self._recipe.momentum else [],
                    lr=rate * factor, weight_decay=decay, momentum=self._recipe.momentum, dampening=0.0,
                    nesterov=False, maximize=False, is_first_step=False,
                )  # fmt: skip
            else:
                update = torch._fused_adam_ if self._recipe.optimizer == "adam" else torch._fused_adamw_
                update(
                    parameters, gradients, momentum, square, [], [self.steps] * len(parameters),
                    lr=rate * factor, weight_decay=decay, beta1=0.9, beta2=0.999, eps=1e-8,
                    amsgrad=False, maximize=False,
                )  # fmt: skip


def _settings(recipe: Linear) -> tuple[float, float]:
    return recipe.learning_rate, recipe.weight_decay
