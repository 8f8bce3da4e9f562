"""One member: what it is fitted on, which random streams are its own, and what became of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from houseprice.errors import TrainingError, listing
from houseprice.learn.plain import EMBEDDED, Weights, as_mlp, initial_weights
from houseprice.recipes import PER_MEMBER, Linear


@dataclass(frozen=True)
class FoldData:
    """What the members of one fold are fitted on and asked about."""

    fold: int
    X: NDArray[np.float32]
    """[n_rows, n_columns], all training rows of the competition, as this fold's preprocessor sees them."""
    y: NDArray[np.float32]
    """[n_rows], the target as fitted: standardised by the caller, or the classes 0, 1, …"""
    fit_rows: NDArray[np.int64]
    """[n_fit]"""
    valid_rows: NDArray[np.int64]
    """[n_valid]"""
    X_test: NDArray[np.float32]
    """[n_test, n_columns]"""
    n_classes: int = 0
    """How many classes the competition has, whichever of them the fit rows have; 0: the target is a number."""
    weights: NDArray[np.float32] | None = None
    """[n_rows], how much each row counts in the loss that is minimised: of mean 1 over the fit rows, no other counts at
    all. None: all fit rows count the same."""


Score = Callable[[FoldData, NDArray[np.float64]], tuple[float, float]]
"""Turns a member's predictions of all rows, on the fitted scale, into its metric over the fit and validation rows, as
something to be lowered (`houseprice.metrics.Metric.error`)."""


@dataclass(frozen=True)
class Health:
    """How a member's gradients and activations fared (D2L §5.4), at the last step of every epoch."""

    gradient_norms: NDArray[np.float64]
    """[n_epochs, n_layers], norm of each layer's weight gradient, before clipping"""
    activation_scales: NDArray[np.float64]
    """[n_epochs, n_layers], root mean square of what each layer hands on, behind its dropout"""


@dataclass(frozen=True)
class FittedMember:
    """What became of a member.

    Predictions are on the fitted scale, in evaluation mode, float64. With cross-entropies they are logits;
    softmax has one for each class, [n_rows, n_classes]. Classifiers of other packages predict probabilities in their
    place.
    """

    fold: int
    seed: int
    predictions: NDArray[np.float64]
    """[n_rows], of all training rows"""
    test_predictions: NDArray[np.float64]
    """[n_test]"""
    train_losses: NDArray[np.float64]
    """[n_epochs], mean loss over the fit rows after each epoch, in evaluation mode; NaN: not asked for"""
    valid_losses: NDArray[np.float64]
    """[n_epochs], the same over the validation rows"""
    train_scores: NDArray[np.float64]
    """[n_epochs], what `Score` says of the fit rows at the same epochs; NaN without one"""
    valid_scores: NDArray[np.float64]
    """[n_epochs], the same over the validation rows"""
    weights: Weights
    """``layers.0.weight`` [out, in], ``layers.0.bias`` [out], … (`houseprice.learn.plain.as_module`)"""
    best_epoch: int | None = None
    """With early stopping: the epoch, from 0, after which the weights were these."""
    diverged_epoch: int | None = None
    """The epoch, from 0, in which a parameter became infinite or NaN."""
    health: Health | None = None


@dataclass(frozen=True)
class Member:
    """One network to fit: its recipe, its fold's data, its seed."""

    recipe: Linear
    data: FoldData
    seed: int
    start: Weights | None = None
    """What it starts from instead of drawing its first parameters; the optimiser starts anew."""

    def __str__(self) -> str:
        settings = {key: getattr(self.recipe, key) for key in PER_MEMBER if hasattr(self.recipe, key)}
        named = ", ".join(f"{key} {value}" for key, value in settings.items())
        return f"fold {self.data.fold} seed {self.seed} ({named})"

    @cached_property
    def split(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The fit rows in two: those that are trained on, and those that early stopping watches."""
        rows = np.asarray(self.data.fit_rows, np.int64)
        if self.recipe.patience is None:
            return rows, rows[:0]
        inner = min(len(rows) - 1, max(1, round(len(rows) * self.recipe.inner_fraction)))
        shuffled = Streams.of(self).inner_split.permutation(rows)
        return np.sort(shuffled[inner:]), np.sort(shuffled[:inner])

    @cached_property
    def seen(self) -> NDArray[np.bool_]:
        """Which columns the member sees, [column]."""
        columns = self.data.X.shape[1]
        chosen = Streams.of(self).columns.permutation(columns)[: max(1, round(self.recipe.column_share * columns))]
        return np.isin(np.arange(columns), chosen)

    @cached_property
    def embedded(self) -> NDArray[np.int64]:
        """Positions of the columns that the member embeds: it sees them, and its fit rows have more than two values; or
        those that its ``start`` embeds.
        """
        if self.start is not None:
            return np.asarray(self.start.get(EMBEDDED, np.arange(0)))
        if as_mlp(self.recipe).embedding == "none":
            return np.arange(0)
        fitted = self.data.X[self.data.fit_rows]
        between = (fitted > fitted.min(0)) & (fitted < fitted.max(0))
        return np.flatnonzero(between.any(0) & self.seen)

    def initial_weights(self, random: np.random.Generator) -> Weights:
        """Draw the member's first parameters, or take its ``start``; the weights of columns that it doesn't see are 0.

        In training these columns are 0 too, so the weights stay 0, and predictions need no mask.
        """
        weights = initial_weights(self.recipe, self.data.X.shape[1], random, self.embedded)
        if self.start is not None:
            weights = {name: value.copy() for name, value in self.start.items()}
        weights["layers.0.weight"][:, np.flatnonzero(~self.seen)] = 0
        return weights

    def check(self) -> None:
        """Raise a `TrainingError` for data that can't be fitted: no rows, no columns, no classes; for weights of rows
        that are none; for a ``start`` of another shape.
        """
        data, recipe = self.data, self.recipe
        if len(data.fit_rows) < (1 if recipe.patience is None else 2) or data.X.shape[1] < 1:
            raise TrainingError(
                f"fold {data.fold}: {len(data.fit_rows)} rows to fit and {data.X.shape[1]} columns are "
                "too few; use fewer folds, or look at exclude_from_fit and the features"
            )
        if "cross_entropy" in recipe.loss:
            bad = np.flatnonzero(~np.isin(data.y, np.arange(recipe.classes)))
            if len(bad):
                raise TrainingError(
                    f"fold {data.fold}: loss {recipe.loss} needs targets 0 to {recipe.classes - 1}, but rows "
                    f"{listing(bad)} have {listing(data.y[bad])}; correct the target, `classes` or `loss`"
                )
        if data.weights is not None:
            self._check_weights(data.weights)
        if self.start is not None:
            self._check_start(self.start)

    def _check_weights(self, weights: NDArray[np.float32]) -> None:
        of_fit = weights[self.data.fit_rows]
        if not (np.isfinite(of_fit).all() and (of_fit >= 0).all() and abs(of_fit.mean() - 1) < 1e-3):
            raise TrainingError(
                f"fold {self.data.fold}: weights of rows must be ≥ 0 with mean 1 over the fit rows; these are from "
                f"{of_fit.min():g} to {of_fit.max():g} with mean {of_fit.mean():g}. Divide them by their mean."
            )
        if self.recipe.mixup:
            raise TrainingError(f"fold {self.data.fold}: mixup: a mixture of two rows has no weight; use mixup = 0")

    def _check_start(self, start: Weights) -> None:
        columns = self.data.X.shape[1]
        own = initial_weights(self.recipe, columns, np.random.default_rng(0), self.embedded)
        wanted, given = ({name: value.shape for name, value in each.items()} for each in (own, start))
        if wrong := [name for name in sorted({*wanted, *given}) if wanted.get(name) != given.get(name)]:
            raise TrainingError(
                f"fold {self.data.fold} seed {self.seed}: the weights to start from are of another network, or of "
                f"other columns than these {columns}: {listing(wrong)} differ; give those that this recipe learnt"
            )


def dropped_of_65536(rate: float) -> int:
    """How many of 65,536 units a dropout rate drops on average; those that stay are scaled by exactly its
    inverse.

    >>> dropped_of_65536(0.2)
    13107
    """
    return min(round(rate * 65536), 65535)


@dataclass(frozen=True)
class Streams:
    """A member's random streams, derived from its seed and fold alone; a stream for each purpose.

    Two recipes with the same seed and fold thus start from the same weights and see the same batches: their
    difference is the recipe's.
    """

    initial: np.random.Generator
    inner_split: np.random.Generator
    order: np.random.Generator
    label_noise: np.random.Generator
    input_noise: np.random.Generator
    mixup: np.random.Generator
    columns: np.random.Generator
    dropout: tuple[np.random.Generator, ...]
    """For the input, then for each hidden layer."""

    @classmethod
    def of(cls, member: Member, hidden_layers: int = 0) -> "Streams":
        """Start the streams of a member (SFC64: the fastest of numpy's, and bits are drawn in bulk)."""
        seed = [member.seed, member.data.fold]
        purposes = [(0,), (1,), (2,), (3,), (4,), (0, 1), (0, 2), *((5 + place,) for place in range(1 + hidden_layers))]
        initial, inner_split, order, label_noise, input_noise, mixup, columns, *dropout = (
            np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed, spawn_key=purpose)))
            for purpose in purposes
        )
        return cls(initial, inner_split, order, label_noise, input_noise, mixup, columns, tuple(dropout))

    def batch_rows(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Shuffle rows for one epoch; batches are taken from the front."""
        return self.order.permutation(rows)

    def noisy(self, member: Member, y: NDArray[np.float32]) -> NDArray[np.float32]:
        """Disturb the fitted targets [row], numbers or classes, by the member's ``label_noise``."""
        recipe = member.recipe
        if not recipe.label_noise:
            return y
        if "cross_entropy" in recipe.loss:
            anew = self.label_noise.random(len(y)) < recipe.label_noise
            return np.where(anew, self.label_noise.integers(recipe.classes, size=len(y)), y).astype(np.float32)
        noise = self.label_noise.standard_normal(len(y), dtype=np.float32)
        return y + np.float32(recipe.label_noise) * noise

    def mixed(self, alpha: float, sizes: Sequence[int]) -> tuple[NDArray[np.float32], list[NDArray[np.int64]]]:
        """Draw who is mixed with whom in the batches of one epoch, and how much.

        Parameters
        ----------
        alpha
            The member's ``mixup``.
        sizes
            Rows of each batch, padding not counted.

        Returns
        -------
        shares
            [step], the part of the other row, 1 - λ.
        others
            For each step a permutation of the batch's rows, [row].
        """
        shares = 1 - self.mixup.beta(alpha, alpha, len(sizes))
        return shares.astype(np.float32), [self.mixup.permutation(size) for size in sizes]

    def keep(self, place: int, rate: float, kept: NDArray[np.bool_]) -> None:
        """Draw which units stay, for some steps at once.

        Parameters
        ----------
        place
            0 for the input, 1 for the first hidden layer, …
        rate
            Share that is dropped; 16 random bits decide about a unit (`dropped_of_65536`).
        kept
            Filled: [step, row, width].
        """
        bits = self.dropout[place].integers(0, 2**64 - 1, -(-kept.size // 4), dtype=np.uint64, endpoint=True)
        halves = bits.view(np.uint16)[: kept.size].reshape(kept.shape)
        np.greater_equal(halves, np.uint16(dropped_of_65536(rate)), out=kept)

    def state(self) -> list[dict[str, Any]]:
        """Where the streams stand, for a checkpoint."""
        return [_plain(stream.bit_generator.state) for stream in self._all()]

    def restore(self, state: list[dict[str, Any]]) -> None:
        """Continue from a `state`."""
        for stream, saved in zip(self._all(), state, strict=True):
            stream.bit_generator.state = saved

    def _all(self) -> list[np.random.Generator]:
        once = [self.initial, self.inner_split, self.columns]
        return [*once, self.order, self.label_noise, self.input_noise, self.mixup, *self.dropout]


def _plain(state: Mapping[str, Any]) -> dict[str, Any]:
    """A bit generator's state as JSON can hold it."""
    words = [int(word) for word in state["state"]["state"]]
    return {**state, "state": {"state": words}}
