"""The loop of one batch of members: their steps, epochs and schedules."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from houseprice.learn.checkpoint import Arrays, Checkpoints
from houseprice.learn.functions import loss_of
from houseprice.learn.layers import Parameters
from houseprice.learn.members import FittedMember, Health, Member, Score, Streams, dropped_of_65536
from houseprice.learn.network import Network, norm_by_member
from houseprice.learn.optimizer import Optimizer
from houseprice.learn.plain import as_mlp
from houseprice.recipes import MLP, Linear


def mask_steps(recipe: MLP) -> int:
    """For how many steps dropout masks are drawn at once; with TabM one step has many."""
    return max(1, 8 // max(1, recipe.tabm))


def steps_per_epoch(member: Member) -> int:
    """How many batches of rows an epoch has."""
    return math.ceil(len(member.split[0]) / member.recipe.batch_size)


def learning_rate_factor(recipe: Linear, step: int, steps: int) -> float:
    """What the learning rate is multiplied by at a step, counted from 0, with so many ``steps`` an epoch.

    A linear warm-up (Goyal et al. 2017); then, over the steps that remain: constant; or times ``step_factor``
    every ``step_epochs``; or half a cosine down to 0 (Loshchilov & Hutter 2017). See D2L §12.11.

    >>> recipe = Linear(kind="linear", schedule="cosine", warmup_epochs=2, epochs=10)
    >>> [round(learning_rate_factor(recipe, step, 2), 3) for step in (0, 3, 4, 12, 19)]
    [0.25, 1.0, 1.0, 0.5, 0.01]
    """
    warmup = recipe.warmup_epochs * steps
    if step < warmup:
        return (step + 1) / warmup
    if recipe.schedule == "step":
        return float(recipe.step_factor ** ((step - warmup) // (recipe.step_epochs * steps)))
    if recipe.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (recipe.epochs * steps - warmup)))
    return 1.0


class _Dropout:
    """What is dropped at one place of a network: drawn for some steps at once, made a mask at each.

    A draw is a byte, a mask has floats: made when it is wanted, it is still in the processor's cache when it is used.

    Parameters
    ----------
    place
        0 for the input, 1 for the first hidden layer, …
    members
        For each its streams, its rate, and where it has units at this place.
    mask
        Written anew at each step: [member, row, width], or [member, implicit, row, width].
    steps
        For how many steps there is room.
    """

    def __init__(
        self, place: int, members: Sequence[tuple[Streams, float, list[slice]]], mask: Tensor, steps: int
    ) -> None:
        self._place, self._members, self._mask = place, members, mask
        self._kept = np.ones((steps, *mask.shape), np.bool_)
        self._bytes = torch.from_numpy(self._kept.view(np.uint8))
        scales = [1 / (1 - dropped_of_65536(rate) / 65536) for _, rate, _ in members]  # the expectation stays
        self._scales = _by_member(scales, mask)

    def draw(self, steps: int) -> None:
        """Draw for the next steps."""
        for m, (streams, rate, parts) in enumerate(self._members):
            for part in parts if rate else ():
                streams.keep(self._place, rate, self._kept[:steps, m, ..., part])

    def mask(self, step: int) -> Tensor:
        """0 or 1 / (1 - rate) at a step that was drawn."""
        return self._mask.copy_(self._bytes[step]).mul_(self._scales)


class Batch:
    """Members that are trained as one tensor program, on rows of their own matrices."""

    def __init__(
        self,
        members: Sequence[Member],
        matrices: dict[int, Tensor],
        device: torch.device,
        health: bool,
        score: Score | None,
    ) -> None:
        self.members, self.device, self.score = members, device, score
        self.recipe = recipe = as_mlp(members[0].recipe)  # for what they share
        self.loss = loss_of(recipe)
        self.matrices = [matrices[id(member.data.X)] for member in members]
        self.test_matrices = [matrices[id(member.data.X_test)] for member in members]
        self.columns = [X.shape[1] for X in self.matrices]
        self.steps, self.epoch = steps_per_epoch(members[0]), 0
        embedded = max(len(member.embedded) for member in members)
        self.network = Network(recipe, max(self.columns), members=len(members), embedded=embedded, device=device)
        self.streams = [Streams.of(member, len(recipe.hidden)) for member in members]
        for m, streams in enumerate(self.streams):
            self.network.load(m, members[m].initial_weights(streams.initial))
        self.optimizer = Optimizer([member.recipe for member in members], self.network)
        copies = {name: value.clone() for name, value in self.network.parameters.items()}
        self.averaged: Parameters = copies if recipe.ema else self.network.parameters
        self.best = self.network.like_parameters() if recipe.patience else self.averaged
        curve, layers = (len(members), recipe.epochs), len(recipe.hidden) + 1
        self.records = {
            "train": np.full(curve, np.nan), "valid": np.full(curve, np.nan),
            "train_score": np.full(curve, np.nan), "valid_score": np.full(curve, np.nan),
            "norms": np.full((*curve, layers if health else 0), np.nan),
            "scales": np.full((*curve, layers if health else 0), np.nan),
            "best_loss": np.full(len(members), np.inf), "best_epoch": np.full(len(members), -1),
            "diverged": np.full(len(members), -1), "stopped": np.zeros(len(members), bool),
        }  # fmt: skip
        self.weighted = any(member.data.weights is not None for member in members)
        self.l1 = [member.recipe.l1 for member in members]
        self.noise = {m: member.recipe.input_noise for m, member in enumerate(members) if member.recipe.input_noise}
        self.mixup = {m: member.recipe.mixup for m, member in enumerate(members) if member.recipe.mixup}
        self.seen = self._seen() if any(member.recipe.column_share < 1 for member in members) else None
        self.dropout = [self._dropout(place) for place in range(len(recipe.hidden) + 1)]
        self._inputs: dict[int, tuple[Tensor, list[tuple[slice, Tensor, Tensor]]]] = {}  # by rows

    def run(self, advance: Callable[[int], None], store: Checkpoints | None, number: int) -> list[FittedMember]:
        """Train to the last epoch, or until every member has stopped.

        Parameters
        ----------
        advance
            Told the epochs done; what it raises ends the training.
        store, number
            Where the batch finds and leaves its state, and under which number.
        """
        if store and (saved := store.load(number)):
            self._restore(*saved)
        epochs = self.recipe.epochs
        advance(self.epoch)
        while self.epoch < epochs and not self.records["stopped"].all():
            self._train()
            self._look()
            self.epoch += 1
            if store and store.due(self.epoch, epochs):
                store.save(number, *self._state())
            advance(1)
        advance(epochs - self.epoch)
        return [self._result(m) for m in range(len(self.members))]

    def _tensors(self) -> Parameters:
        """All tensors that training changes, by name."""
        kinds = {
            "parameters": self.network.parameters,
            "momentum": self.optimizer.momentum,
            "square": self.optimizer.square,
            "averaged": self.averaged,
            "best": self.best,
        }
        named = {f"{kind}.{name}": t for kind, tensors in kinds.items() for name, t in tensors.items()}
        return {**named, "steps": self.optimizer.steps}

    def _state(self) -> tuple[Arrays, dict[str, Any]]:
        arrays = {name: tensor.cpu().numpy() for name, tensor in self._tensors().items()}
        streams = [streams.state() for streams in self.streams]
        return {**arrays, **self.records}, {"epoch": self.epoch, "streams": streams}

    def _restore(self, arrays: Arrays, header: dict[str, Any]) -> None:
        for name, tensor in self._tensors().items():
            tensor.copy_(torch.from_numpy(arrays[name]))
        self.records = {name: arrays[name] for name in self.records}
        for streams, state in zip(self.streams, header["streams"], strict=True):
            streams.restore(state)
        self.epoch = header["epoch"]

    def _train(self) -> None:
        size = self.recipe.batch_size
        order, targets, weights = self._draw_batches()
        left = torch.tensor([len(member.split[0]) - (self.steps - 1) * size for member in self.members])
        last = int(left.max())  # rows of the last step; who has fewer is padded
        real = (torch.arange(last) < left[:, None]).float() / left[:, None]  # 1/its rows, 0 for padding
        k = max(1, self.recipe.tabm)
        real = (real[:, :, None] if k == 1 else real[:, None, :, None] / k).to(self.device)  # [member, row, 1]
        mixing = self._draw_mixing(left.tolist()) if self.mixup else [None] * self.steps
        at_once = mask_steps(self.recipe)
        for step in range(self.steps):
            ahead = step % at_once
            if ahead == 0:
                for dropout in filter(None, self.dropout):
                    dropout.draw(min(at_once, self.steps - step))
            masks = [dropout.mask(ahead) if dropout else None for dropout in self.dropout]
            if step < self.steps - 1:
                share = 1 / (k * size) if weights is None else weights[step] / (k * size)
                self._step(step, order[step], targets[step], share, masks, mixing[step])
            else:
                share = real if weights is None else weights[step][..., :last, :] * real
                short = [mask if mask is None else mask[..., :last, :] for mask in masks]
                self._step(step, order[step][:, :last], targets[step][:, :last], share, short, mixing[step])

    def _draw_batches(self) -> tuple[Sequence[Tensor], Sequence[Tensor], Sequence[Tensor] | None]:
        """Shuffle: for each step rows of the matrices [member, row], targets [member, row, output], and if any member
        has them weights [member, row, 1], or [member, 1, row, 1] with TabM.
        """
        recipe, places = self.recipe, self.steps * self.recipe.batch_size
        order = np.zeros((len(self.members), places), np.int64)
        targets = np.zeros((len(self.members), places, recipe.outputs), np.float32)
        weights = np.ones((len(self.members), places), np.float32) if self.weighted else None
        for m, (member, streams) in enumerate(zip(self.members, self.streams, strict=True)):
            rows = streams.batch_rows(member.split[0])
            order[m, : len(rows)] = rows
            targets[m, : len(rows)] = targets_of(recipe, streams.noisy(member, member.data.y[rows]))
            if weights is not None and member.data.weights is not None:
                weights[m, : len(rows)] = member.data.weights[rows]

        def by_step(values: NDArray[Any], *axes: int) -> Sequence[Tensor]:
            shape = (len(self.members), self.steps, *axes, recipe.batch_size, *values.shape[2:])
            tensor = torch.from_numpy(values.reshape(shape)).transpose(0, 1).contiguous()
            return tensor.to(self.device).unbind()

        implicit = (1,) if recipe.tabm else ()
        of_rows = None if weights is None else by_step(weights[:, :, None], *implicit)
        return by_step(order), by_step(targets), of_rows

    def _draw_mixing(self, left: Sequence[int]) -> Sequence[tuple[Tensor, Tensor] | None]:
        """Draw whom each row is mixed with at each step, its place among [member · row], and that one's share
        [member, 1, 1]. Of the last step a member has ``left`` rows; padding is left as it is.
        """
        whole = [self.recipe.batch_size] * (self.steps - 1)
        others = [np.arange(len(left) * rows).reshape(len(left), rows) for rows in (*whole, max(left))]
        shares = np.zeros((self.steps, len(left), 1, 1), np.float32)
        for m, alpha in self.mixup.items():
            shares[:, m, 0, 0], permutations = self.streams[m].mixed(alpha, [*whole, left[m]])
            for other, permutation in zip(others, permutations, strict=True):
                other[m, : len(permutation)] = other[m, permutation]
        by_step = torch.from_numpy(shares).to(self.device).unbind()
        return [(torch.from_numpy(other).to(self.device), share) for other, share in zip(others, by_step, strict=True)]

    def _seen(self) -> Tensor:
        """1 where a member sees a column, else 0: [member, 1, column]."""
        seen = self.network.empty(len(self.members), 1, max(self.columns))
        for m, member in enumerate(self.members):
            seen[m, 0, : self.columns[m]] = torch.from_numpy(member.seen)
        return seen

    def _dropout(self, place: int) -> "_Dropout | None":
        """That of the input (place 0) or a hidden layer, if any member has it there.

        TabM's implicit members share that of the input, and have their own of hidden layers.
        """
        rates = [(one.recipe.input_dropout, *as_mlp(one.recipe).dropout_rates)[place] for one in self.members]
        if not any(rates):
            return None
        everything = [slice(None)]
        parts = [everything if place else self.network.own_inputs(m) for m in range(len(self.members))]
        rows = *(self.network.implicit if place else ()), self.recipe.batch_size
        mask = self.network.empty(len(self.members), *rows, self.network.widths[place])
        return _Dropout(place, list(zip(self.streams, rates, parts, strict=True)), mask, mask_steps(self.recipe))

    def _step(
        self,
        step: int,
        order: Tensor,
        targets: Tensor,
        share: float | Tensor,
        masks: list[Tensor | None],
        mixing: tuple[Tensor, Tensor] | None,
    ) -> None:
        """One step of all members: order [member, row], targets [member, row, output], and what each row's loss counts
        in the sum, [member, row, 1] where rows differ.
        """
        network, recipe = self.network, self.recipe
        inputs = self._gather(order)
        columns = inputs[..., : network.columns]
        if mixing is not None:
            others, shares = mixing
            columns.lerp_(columns.flatten(0, 1)[others], shares)
            targets = targets.lerp(targets.flatten(0, 1)[others], shares)
        if recipe.tabm:
            targets = targets.unsqueeze(1)  # the same for all implicit members
        for m, scale in self.noise.items():
            shape = recipe.batch_size, self.columns[m]  # a whole batch's: others may be ahead of a short one
            noise = torch.from_numpy(self.streams[m].input_noise.standard_normal(shape, np.float32))
            inputs[m, :, : shape[1]].add_(noise[: inputs.shape[1]].to(self.device), alpha=scale)
        if self.seen is not None:
            columns.mul_(self.seen)
        prediction = network.forward(inputs, masks)  # [member, row, output]: TabM's [member, implicit, row, output]

        def slope(out: Tensor) -> None:
            self.loss.slope(prediction, targets, out)
            out.mul_(share)  # a mean over each member's own rows

        network.backward(slope)
        if any(self.l1):
            for name, gradient in network.gradients.items():
                if name.endswith("weight"):
                    gradient.addcmul_(network.parameters[name].sign(), _by_member(self.l1, gradient))
        if recipe.clip_norm:
            norms = [norm_by_member(gradient) for gradient in network.gradients.values()]
            norm = torch.linalg.vector_norm(torch.stack(norms), dim=0)  # [member]
            factor = (recipe.clip_norm / (norm + 1e-6)).clamp(max=1)
            for gradient in network.gradients.values():
                gradient.mul_(_by_member(factor, gradient))
        self.optimizer.step(learning_rate_factor(recipe, self.epoch * self.steps + step, self.steps))
        if recipe.ema:
            for name, average in self.averaged.items():
                average.lerp_(network.parameters[name], 1 - recipe.ema)

    def _gather(self, order: Tensor) -> Tensor:
        """Fetch the rows of a step, [member, row, column], and places for embedded columns behind them.

        Neighbours with the same matrix are fetched in one call.
        """
        rows = order.shape[1]
        if rows not in self._inputs:
            inputs = self.network.empty(len(self.members), rows, self.network.widths[0])
            parts = [(part, X, inputs[part].flatten(0, 1)[:, : X.shape[1]]) for part, X in self._neighbours()]
            self._inputs[rows] = inputs, parts
        inputs, parts = self._inputs[rows]
        for part, X, wanted in parts:
            torch.index_select(X, 0, order[part].reshape(-1), out=wanted)
        return inputs

    def _neighbours(self) -> Iterator[tuple[slice, Tensor]]:
        for _, group in groupby(range(len(self.members)), lambda m: id(self.matrices[m])):
            run = list(group)
            yield slice(run[0], run[-1] + 1), self.matrices[run[0]]

    def _look(self) -> None:
        """Evaluate the members, remember the best weights, and stop those that are done."""
        recipe, records, epoch = self.recipe, self.records, self.epoch
        if records["norms"].size:
            records["norms"][:, epoch] = self.network.gradient_norms().cpu()
            records["scales"][:, epoch] = self.network.activation_scales().cpu()
        sums = [value.flatten(1).sum(1) for value in self.network.parameters.values()]  # [member] each
        finite = torch.stack(sums).isfinite().all(0).cpu().numpy()
        records["diverged"][(records["diverged"] < 0) & ~finite] = epoch
        for m, member in enumerate(self.members):
            if records["stopped"][m]:
                continue
            if (epoch + 1) % recipe.curve_every == 0 or epoch + 1 == recipe.epochs:
                prediction = self.network.predict(self.averaged, m, self.matrices[m])
                losses = self._losses(prediction, member.data.y)
                for name, rows in (("train", member.data.fit_rows), ("valid", member.data.valid_rows)):
                    records[name][m, epoch] = losses[rows].mean() if len(rows) else np.nan
                if self.score:
                    scores = self.score(member.data, self._as_float64(prediction))
                    records["train_score"][m, epoch], records["valid_score"][m, epoch] = scores
            if recipe.patience is not None:
                inner = member.split[1]
                X = self.matrices[m][torch.from_numpy(inner)]
                prediction = self.network.predict(self.averaged, m, X)
                losses = self._losses(prediction, member.data.y[inner])
                weights = member.data.weights  # what stops the training is what is minimised
                loss = (losses if weights is None else losses * weights[inner]).mean()
                if loss < records["best_loss"][m]:
                    records["best_loss"][m], records["best_epoch"][m] = loss, epoch
                    for name, best in self.best.items():
                        best[m] = self.averaged[name][m]
                records["stopped"][m] = epoch - records["best_epoch"][m] >= recipe.patience
            records["stopped"][m] |= not finite[m]

    def _losses(self, prediction: Tensor, y: NDArray[np.float32]) -> NDArray[np.float64]:
        """The loss of each row [row] of predictions [row, output]."""
        targets = torch.from_numpy(targets_of(self.recipe, y)).to(self.device)
        return self.loss.rows(prediction, targets).cpu().numpy().astype(np.float64)

    def _as_float64(self, prediction: Tensor) -> NDArray[np.float64]:
        """Predictions [row, output] as they are handed out: [row] where there is one output."""
        values = prediction.cpu().numpy().astype(np.float64)
        return values[:, 0] if self.recipe.outputs == 1 else values

    def _result(self, m: int) -> FittedMember:
        member, records = self.members[m], self.records

        def predictions(X: Tensor) -> NDArray[np.float64]:
            return self._as_float64(self.network.predict(self.best, m, X))

        return FittedMember(
            fold=member.data.fold,
            seed=member.seed,
            predictions=predictions(self.matrices[m]),
            test_predictions=predictions(self.test_matrices[m]),
            train_losses=records["train"][m],
            valid_losses=records["valid"][m],
            train_scores=records["train_score"][m],
            valid_scores=records["valid_score"][m],
            weights=self.network.weights_of(self.best, m),
            best_epoch=int(records["best_epoch"][m]) if self.recipe.patience else None,
            diverged_epoch=int(records["diverged"][m]) if records["diverged"][m] >= 0 else None,
            health=Health(records["norms"][m], records["scales"][m]) if records["norms"].size else None,
        )


def targets_of(recipe: Linear, y: NDArray[np.float32]) -> NDArray[np.float32]:
    """Targets as the loss takes them, [row, output]: numbers, or with softmax one-hot classes."""
    if recipe.outputs == 1:
        return np.asarray(y, np.float32)[:, None]
    return np.eye(recipe.outputs, dtype=np.float32)[y.astype(np.int64)]


def _by_member(values: Sequence[float] | Tensor, like: Tensor) -> Tensor:
    """Numbers [member] as [member, 1, …], with as many axes as ``like``."""
    return torch.as_tensor(values, device=like.device).view(-1, *[1] * (like.ndim - 1))
