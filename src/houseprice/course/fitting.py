"""Fitting networks to plain arrays: the engine with no competition around it, for the course's experiments.

A setting is a dictionary of keys of `houseprice.recipes.MLP`; with no ``hidden`` the model is linear. All settings,
draws and seeds go to the engine in one call, which trains what it can as one tensor program. It computes in float32.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import nn

from houseprice.errors import ConfigError, DataError, TrainingError, listing, nearest
from houseprice.learn.members import FittedMember, FoldData, Health, Member
from houseprice.learn.plain import Weights, as_module, predict_rows
from houseprice.learn.training import fit as fit_members
from houseprice.recipes import MLP, Experiment

Float = NDArray[np.float64]
Rows = tuple[NDArray[Any], NDArray[Any]]
"""Inputs [n_rows, n_columns] and targets [n_rows]: numbers, or with a cross-entropy classes 0, 1, …"""
Settings = Mapping[str, Any]


@dataclass(frozen=True, eq=False, repr=False)
class Fit:
    """One fitted network.

    Attributes
    ----------
    settings
        As they were given.
    recipe
        The same with the defaults of all other keys.
    fold, seed
        Which of the draws it was fitted to, from 0, and what its random streams started from.
    train_losses, valid_losses
        float64 [n_epochs], the loss after each epoch as a mean over the rows; squared losses are (prediction - y)²,
        not half of it. NaN: not asked for (``curve_every``), or stopped.
    weights
        ``layers.0.weight`` [out, in], ``layers.0.bias`` [out], …, float32.
    diverged_epoch
        The epoch, from 0, in which a parameter became infinite or NaN; None: in none.
    health
        Norms of gradients and scales of activations, if they were asked for.
    """

    settings: dict[str, Any]
    recipe: MLP
    fold: int
    seed: int
    train_losses: Float
    valid_losses: Float
    weights: Weights
    diverged_epoch: int | None = None
    health: Health | None = None

    @property
    def weight_norm(self) -> float:
        """Euclidean norm of all weights of the layers, biases not counted."""
        matrices = [w for name, w in self.weights.items() if name.startswith("layers.") and name.endswith("weight")]
        return math.sqrt(sum(float(np.square(w, dtype=np.float64).sum()) for w in matrices))

    def module(self) -> nn.Module:
        """The network as plain modules of `torch.nn` in evaluation mode: a `torch.nn.Sequential`."""
        return as_module(self.recipe, self.weights)

    def predict(self, X: NDArray[Any]) -> Float:
        """Predict rows [n_rows, n_columns]: numbers [n_rows], or the logits of the classes [n_rows, n_classes]."""
        with torch.inference_mode():
            outputs = predict_rows(self.recipe, self.weights, torch.tensor(np.asarray(X), dtype=torch.float32))
        values = outputs.numpy().astype(np.float64)
        return values[:, 0] if self.recipe.outputs == 1 else values

    def __repr__(self) -> str:
        told = {**self.settings, "seed": self.seed}
        named = ", ".join(
            f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}" for key, value in told.items()
        )
        if self.diverged_epoch is not None:
            return f"Fit({named}): diverged in epoch {self.diverged_epoch + 1}{self._reason()}"
        return f"Fit({named}): loss {self.train_losses[-1]:.4g} in training, {self.valid_losses[-1]:.4g} in validation"

    def _reason(self) -> str:
        """Weight decay multiplies weights by 1 - step size × λ at each step: beyond 2 they swing ever wider."""
        recipe = self.recipe
        product = recipe.learning_rate * recipe.weight_decay
        if recipe.optimizer == "adam" or recipe.momentum or product <= 2:
            return ""
        return f", because step size × weight decay = {product:.3g} is above 2"


def fit(
    train: Rows,
    valid: Rows,
    settings: Settings | Sequence[Settings],
    *,
    seeds: Sequence[int] = (0,),
    weights: NDArray[Any] | None = None,
    start: Fit | Weights | None = None,
    must_converge: bool = False,
    **engine: Any,
) -> list[Fit]:
    """Fit networks to training rows, and follow their losses on validation rows, from which nothing is learnt.

    Parameters
    ----------
    train, valid
        Of the same columns.
    settings
        One or several. ``classes`` may be left out: there are as many as the rows have.
    seeds
        A network each.
    weights
        How much each training row counts, [n_rows], not negative; they are divided by their mean. Losses that are shown
        count all rows the same.
    start
        Weights that training goes on from, or the fit that has them, in place of drawn ones; the optimiser begins anew.
    must_converge
        Whether a network that diverges is an error; else it is marked, and the others go on.
    engine
        Further options of `houseprice.learn.training.fit`: ``device``, ``threads``, ``on_epoch``; ``checkpoints``, a
        folder from which the same call goes on if it was interrupted; ``record_health``, for results with ``health``.

    Returns
    -------
    list of Fit
        One for each setting and seed, the seeds of a setting together.

    Raises
    ------
    ConfigError
        If a key is unknown, or its value is out of bounds.
    DataError
        If shapes don't fit, or a number is infinite or NaN.
    TrainingError
        If the rows can't be fitted; or a network diverges that must not.
    """
    return fit_each(
        [(train, valid)],
        settings,
        seeds=seeds,
        weights=None if weights is None else [weights],
        start=start,
        must_converge=must_converge,
        **engine,
    )


def fit_each(
    draws: Sequence[tuple[Rows, Rows]],
    settings: Settings | Sequence[Settings],
    *,
    seeds: Sequence[int] = (0,),
    weights: Sequence[NDArray[Any]] | None = None,
    start: Fit | Weights | None = None,
    must_converge: bool = False,
    **engine: Any,
) -> list[Fit]:
    """Fit networks to each of several pairs of training and validation rows: other draws, or folds of the same rows.

    Parameters and errors are those of `fit`, but for ``draws``, the pairs, and ``weights``, one array a draw;
    results have an entry for each setting, draw and seed, in this order.
    """
    folds = [_fold_data(number, train, valid) for number, (train, valid) in enumerate(draws)]
    if weights is not None:
        folds = [_weighted(fold, of_fold) for fold, of_fold in zip(folds, weights, strict=True)]
    first = start.weights if isinstance(start, Fit) else start
    given = [settings] if isinstance(settings, Mapping) else settings
    n_classes = max(2, *(int(fold.y.max()) + 1 for fold in folds))
    recipes = [_recipe(one, n_classes) for one in given]
    members = [Member(recipe, fold, seed, first) for recipe in recipes for fold in folds for seed in seeds]
    fitted = fit_members(members, **engine)
    named = [(dict(one), recipe) for one, recipe in zip(given, recipes, strict=True) for _ in folds for _ in seeds]
    fits = [_as_fit(*names, member) for names, member in zip(named, fitted, strict=True)]
    diverged = [one for one in fits if one.diverged_epoch is not None]
    if diverged and must_converge:
        raise TrainingError(f"{listing(diverged)}. Lower learning_rate or weight_decay, or scale the inputs.")
    return fits


def _fold_data(number: int, train: Rows, valid: Rows) -> FoldData:
    (X_train, y_train), (X_valid, y_valid) = _checked(train, "training rows"), _checked(valid, "validation rows")
    if X_train.shape[1] != X_valid.shape[1]:
        raise DataError(
            f"training rows have {X_train.shape[1]} columns, validation rows {X_valid.shape[1]}; give both the same"
        )
    rows = np.arange(len(y_train) + len(y_valid))
    return FoldData(
        fold=number,
        X=np.concatenate([X_train, X_valid]),
        y=np.concatenate([y_train, y_valid]),
        fit_rows=rows[: len(y_train)],
        valid_rows=rows[len(y_train) :],
        X_test=X_valid[:0],
    )


def _weighted(fold: FoldData, weights: NDArray[Any]) -> FoldData:
    """The same data, its training rows counted by weights."""
    given = np.asarray(weights, np.float64)
    if given.shape != fold.fit_rows.shape or not (given.sum() > 0):
        raise DataError(
            f"weights: shape {given.shape} and sum {given.sum():g}; give one for each of the {len(fold.fit_rows)} "
            "training rows, not negative and not all 0"
        )
    of_all = np.zeros(len(fold.y), np.float32)
    of_all[fold.fit_rows] = given / given.mean()
    return replace(fold, weights=of_all)


def _checked(rows: Rows, name: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The rows as the engine takes them."""
    with np.errstate(over="ignore"):  # what float32 can't hold becomes infinite
        X, y = (np.asarray(values, np.float32) for values in rows)
    if X.ndim != 2 or y.shape != X.shape[:1]:
        raise DataError(f"{name}: X has shape {X.shape}, y {y.shape}; make them [rows, columns] and [rows]")
    bad = np.flatnonzero(~(np.isfinite(X).all(1) & np.isfinite(y)))
    if len(bad):
        raise DataError(f"{name} {listing(bad)} (from 0) hold NaN, or more than float32 can; mend or drop them")
    return X, y


def _recipe(settings: Settings, n_classes: int) -> MLP:
    known = sorted(set(MLP.model_fields) - set(Experiment.model_fields) - {"kind"})
    for key in settings:
        if key not in known:
            raise ConfigError(f"unknown setting {key!r}; {nearest(key, known)}")
    table = {"hidden": (), **{key: _plain(value) for key, value in settings.items()}, "kind": "mlp"}
    if settings.get("loss") == "cross_entropy":
        table = {"classes": n_classes, **table}
    try:
        return MLP.model_validate(table)
    except ValidationError as error:
        complaints = [(*detail["loc"][:1], detail["msg"].removeprefix("Value error, ")) for detail in error.errors()]
        raise ConfigError(
            f"settings: {listing(dict.fromkeys(': '.join(map(str, each)) for each in complaints))}"
        ) from error


def _plain(value: Any) -> Any:
    """A value as the recipes take it: lists and arrays as tuples, numpy's numbers as Python's."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    return tuple(_plain(item) for item in value) if isinstance(value, list | tuple) else value


def _as_fit(settings: dict[str, Any], recipe: MLP, member: FittedMember) -> Fit:
    return Fit(
        settings=settings,
        recipe=recipe,
        fold=member.fold,
        seed=member.seed,
        train_losses=member.train_losses,
        valid_losses=member.valid_losses,
        weights=member.weights,
        diverged_epoch=member.diverged_epoch,
        health=member.health,
    )
