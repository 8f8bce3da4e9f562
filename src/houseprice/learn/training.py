"""The training loop: minibatches, an optimiser, the losses of every epoch."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from houseprice.config import MLP, Linear
from houseprice.learn.network import build_network, stream_seed


@dataclass(frozen=True)
class FoldData:
    """What the members of one fold are fitted on and asked about.

    Attributes
    ----------
    fold
        Number of the fold.
    X
        float32 [n_rows, n_columns], all training rows as this fold's preprocessor sees them.
    y
        float32 [n_rows], the target as fitted.
    fit_rows, valid_rows
        int64 [n_fit] and [n_valid], positions in ``X``.
    X_test
        float32 [n_test, n_columns].
    """

    fold: int
    X: NDArray[np.float32]
    y: NDArray[np.float32]
    fit_rows: NDArray[np.int64]
    valid_rows: NDArray[np.int64]
    X_test: NDArray[np.float32]


@dataclass(frozen=True)
class FittedMember:
    """One member after its training; predictions are on the scale of ``FoldData.y``.

    Attributes
    ----------
    fold, seed
        Which member it is.
    predictions, test_predictions
        float64 [n_rows] and [n_test].
    train_losses, valid_losses
        float64 [n_epochs], the loss in evaluation mode over the fit and the validation rows after each epoch; empty
        where an estimator has no epochs.
    weights
        float32 arrays by name, ``0.weight`` [out, in] and ``0.bias`` [out], as `torch.nn.Sequential` names them.
    """

    fold: int
    seed: int
    predictions: NDArray[np.float64]
    test_predictions: NDArray[np.float64]
    train_losses: NDArray[np.float64]
    valid_losses: NDArray[np.float64]
    weights: dict[str, NDArray[np.float32]]


def train_member(
    recipe: Linear | MLP,
    data: FoldData,
    seed: int,
    *,
    device: str = "cpu",
    threads: int = 1,
    on_epoch: Callable[[], None] = lambda: None,
) -> FittedMember:
    """Train one network on the fit rows of one fold (D2L §3.4, §5.6.2).

    Parameters
    ----------
    recipe
        Layers, optimiser, epochs.
    data
        The fold's rows.
    seed
        With the fold's number it determines initialisation, shuffling and dropout.
    device
        ``cpu`` or ``cuda``.
    threads
        Processor threads of torch, for the length of the call.
    on_epoch
        Called after every epoch.
    """
    with _threads(threads), torch.random.fork_rng():
        torch.manual_seed(stream_seed(seed, data.fold, "training"))
        network = build_network(recipe, data.X.shape[1]).to(device)
        optimizer = build_optimizer(recipe, network)
        X, y = torch.from_numpy(data.X).to(device), torch.from_numpy(data.y).to(device)[:, None]
        fit_rows, valid_rows = (torch.from_numpy(rows).to(device) for rows in (data.fit_rows, data.valid_rows))
        train_losses, valid_losses = [], []
        for _ in range(recipe.epochs):
            network.train()
            for batch in torch.split(fit_rows[torch.randperm(len(fit_rows)).to(device)], recipe.batch_size):
                optimizer.zero_grad()
                loss = nn.functional.mse_loss(network(X[batch]), y[batch])
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            network.eval()
            with torch.no_grad():
                losses = torch.square(network(X) - y)
            train_losses.append(losses[fit_rows].mean().item())
            valid_losses.append(losses[valid_rows].mean().item())
            on_epoch()
        with torch.no_grad():
            predictions, test_predictions = network(X), network(torch.from_numpy(data.X_test).to(device))
    return FittedMember(
        fold=data.fold,
        seed=seed,
        predictions=predictions[:, 0].cpu().numpy().astype(np.float64),
        test_predictions=test_predictions[:, 0].cpu().numpy().astype(np.float64),
        train_losses=np.array(train_losses),
        valid_losses=np.array(valid_losses),
        weights={name: value.cpu().numpy() for name, value in network.state_dict().items()},
    )


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def build_optimizer(recipe: Linear | MLP, network: nn.Module) -> torch.optim.Optimizer:
    """Build the recipe's optimiser; weight decay acts on weight matrices alone, never on biases (D2L §3.7)."""
    weights = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    biases = [parameter for parameter in network.parameters() if parameter.ndim == 1]
    groups = [
        {"params": weights, "weight_decay": recipe.weight_decay},
        {"params": biases, "weight_decay": 0.0},
    ]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum)
    optimizer = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return optimizer(groups, lr=recipe.learning_rate)
