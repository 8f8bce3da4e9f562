"""Training: members in batches, batches on threads or a device.

`train_members` fits one recipe on every (fold, seed); `fit` takes any list of members. Members of equal layer
shapes are trained as one `Network`, one thread a batch of them. What becomes of a member depends on its
recipe, its fold's data and its seed alone; its batch and the number of threads reach the last bits of sums at
most, and those are the same whenever the same members are trained with the same threads.
"""

import math
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from houseprice.errors import TrainingError, listing
from houseprice.learn.batch import Batch, mask_steps, steps_per_epoch
from houseprice.learn.checkpoint import Checkpoints
from houseprice.learn.members import FittedMember, FoldData, Member, Score
from houseprice.learn.plain import Weights, as_mlp
from houseprice.machine import memory_bytes
from houseprice.recipes import MLP, PER_MEMBER, Experiment, Linear


def train_members(
    recipe: Linear,
    folds: Sequence[FoldData],
    seeds: Sequence[int],
    *,
    device: str = "cpu",
    threads: int | None = None,
    on_epoch: Callable[[int, int], None] | None = None,
    memory: int | None = None,
    checkpoints: Path | None = None,
    checkpoint_every: int = 10,
    record_health: bool = False,
    score: Score | None = None,
    start: Mapping[tuple[int, int], Weights] | None = None,
) -> list[FittedMember]:
    """Train every (fold, seed) of one recipe; results are ordered by fold, then seed.

    The other parameters and errors are those of `fit`.

    Parameters
    ----------
    start
        Weights by (fold, seed), as `houseprice.learn.checkpoint.load_weights` reads them, that training goes on from:
        so a trained model learns of new rows. Where rows come from a world that moves slowly this is better than what
        was trained once, and cheaper than to train anew (D2L §4.7.3); the learning rate should be small, for what new
        rows don't speak of is forgotten with every step. Optimisers and schedules start anew.

    Raises
    ------
    TrainingError
        If members diverged, after all have been trained, naming each with its settings; or if ``start`` lacks one of
        them.
    """
    keys = [(data.fold, seed) for data in folds for seed in seeds]
    if start is not None and (absent := [key for key in keys if key not in start]):
        raise TrainingError(
            f"no weights to start from for (fold, seed) {listing(absent)}; there are those of {listing(start)}"
        )
    members = [
        Member(recipe, data, seed, None if start is None else start[data.fold, seed])
        for data in folds
        for seed in seeds
    ]
    fitted = fit(
        members,
        device=device,
        threads=threads,
        on_epoch=on_epoch,
        memory=memory,
        checkpoints=checkpoints,
        checkpoint_every=checkpoint_every,
        record_health=record_health,
        score=score,
    )
    diverged = [
        f"{member} in epoch {one.diverged_epoch + 1}"
        for member, one in zip(members, fitted, strict=True)
        if one.diverged_epoch is not None
    ]
    if diverged:
        raise TrainingError(
            f"{len(diverged)} of {len(members)} members became infinite or NaN: {listing(diverged)}. "
            "Lower learning_rate, set clip_norm, or look for extreme values among the features."
        )
    return fitted


def fit(
    members: Sequence[Member],
    *,
    device: str = "cpu",
    threads: int | None = None,
    on_epoch: Callable[[int, int], None] | None = None,
    memory: int | None = None,
    checkpoints: Path | None = None,
    checkpoint_every: int = 10,
    record_health: bool = False,
    score: Score | None = None,
) -> list[FittedMember]:
    """Train any members, those of equal layer shapes as one tensor program.

    Results are in the members' order. A member that diverges is marked (``diverged_epoch``); others go on.

    Parameters
    ----------
    members
        In any order. Batches take neighbours, so members that share a matrix are best kept together.
    device
        ``cpu``, ``cuda`` or ``cuda:1`` …
    threads
        How many batches are trained at one time on a processor; by default as many as torch uses threads.
    on_epoch
        Called after each epoch of each batch with the epochs done and their total, over all batches.
    memory
        Bytes that the members trained at one time may take, beyond the data. Without it a batch is as large as is
        fast on a processor, and as large as fits on a CUDA device.
    checkpoints
        A folder for the state of unfinished batches. A call with the same members, data and batches takes up
        what it finds there, and ends with the bits that an undisturbed call ends with; then it clears what it
        stored.
    checkpoint_every
        Epochs between two checkpoints of a batch.
    record_health
        Whether results have their `Health`.
    score
        Gives the metric for the learning curves; called from the threads that train.

    Raises
    ------
    TrainingError
        If the device is absent, a fold can't be fitted, a target is no class, weights of rows or a start don't fit, or
        a member exceeds ``memory``.
    StorageError
        If a checkpoint can't be written or read.
    """
    place = _device(device)
    for member in members:
        member.check()
    torch_threads = torch.get_num_threads()
    workers = (threads or torch_threads) if place.type == "cpu" else 1
    matrices = _matrices(members, place)
    shares = _shares(members, workers, place, memory)
    progress = _Progress(sum(members[share[0]].recipe.epochs for share in shares), on_epoch)
    store = Checkpoints(checkpoints, members, shares, checkpoint_every) if checkpoints else None
    results: dict[int, FittedMember] = {}

    def work(number: int, share: list[int]) -> None:
        torch.set_num_threads(1)  # a thread a batch: the products of one step are too small to be shared out
        torch.set_flush_denormal(True)  # of this thread alone: fading moments would slow it down
        try:
            with torch.inference_mode():
                batch = Batch([members[i] for i in share], matrices, place, record_health, score)
                fitted = batch.run(progress.advance, store, number)
        except (MemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            raise TrainingError(
                f"out of memory with {len(share)} members at a time: {_first_line(error)}. "
                "Lower batch_size or hidden, or bound the members at a time by memory_mb."
            ) from error
        results.update(zip(share, fitted, strict=True))

    try:
        with ThreadPoolExecutor(max_workers=workers) as pool:
            jobs = [pool.submit(work, number, share) for number, share in enumerate(shares)]
            try:
                for job in as_completed(jobs):
                    job.result()
            except BaseException:
                progress.stop.set()
                pool.shutdown(cancel_futures=True)
                raise
    finally:
        torch.set_num_threads(torch_threads)
    if store:
        store.clear()
    return [results[i] for i in range(len(members))]


def _out_of_memory(error: Exception) -> bool:
    """Of torch's errors, a CUDA device has one of its own; a processor's are known by their words alone."""
    words = ("can't allocate memory", "Storage size calculation overflowed")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(each in str(error) for each in words)


def _first_line(error: Exception) -> str:
    """What torch says, without the frames of its stack; Python's own errors may say nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)


class _StoppedError(Exception):
    """Another batch failed, or the user interrupted: give up quietly."""


class _Progress:
    """Counts the epochs of all batches, and tells them when to stop."""

    def __init__(self, total: int, on_epoch: Callable[[int, int], None] | None) -> None:
        self.stop, self._lock = threading.Event(), threading.Lock()
        self._done, self._total, self._on_epoch = 0, total, on_epoch

    def advance(self, epochs: int) -> None:
        if self.stop.is_set():
            raise _StoppedError
        with self._lock:
            self._done += epochs
            if self._on_epoch and epochs:
                self._on_epoch(self._done, self._total)


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise TrainingError(f"device {name}: unknown; use auto, cpu, cuda or cuda:1") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise TrainingError(f"device {name}: this machine has {torch.cuda.device_count()} of them; use cpu or auto")
    return device


def _matrices(members: Sequence[Member], device: torch.device) -> dict[int, Tensor]:
    """The members' matrices on the device, each distinct one once, by the id of its array."""
    arrays = {id(X): X for member in members for X in (member.data.X, member.data.X_test)}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # we don't write
        return {key: torch.from_numpy(np.ascontiguousarray(X, np.float32)).to(device) for key, X in arrays.items()}


_CACHE = 24 * 2**20
"""Bytes of parameters, gradients and moments of a batch. More would leave the processor's caches between two steps;
with fewer members a batch, the threads wait for each other's turn at the interpreter more often than they compute."""


_SHARE_OF_DEVICE = 0.8
"""Of a CUDA device's memory; the rest is for its libraries. What is free just now would make batches differ."""


def bytes_of_member(recipe: MLP, columns: int, embedded: int) -> tuple[int, int, int]:
    """Estimate what a member takes beyond the data: its parameters, gradients and moments; what a step writes to; and
    its dropout masks.
    """
    implicit, frequencies = max(1, recipe.tabm), recipe.embedding_frequencies
    widths = (columns + embedded * recipe.embedded_width, *recipe.hidden, recipe.outputs)
    numbers = sum((i + 1) * o for i, o in pairwise(widths))
    if recipe.tabm:  # scales, biases and heads of their own
        numbers += sum(implicit * (i + 2 * o) - o for i, o in pairwise(widths[:-1]))
        numbers += (implicit - 1) * (widths[-2] + 1) * widths[-1]
    if recipe.embedding == "plr":
        numbers += embedded * (2 * frequencies + 1) * recipe.embedding_width
    if recipe.embedding != "none":
        numbers += embedded * frequencies
    rows = recipe.batch_size * implicit * sum(widths)
    waves = recipe.batch_size * embedded * (5 * frequencies + 2 * recipe.embedded_width)
    written = rows * (6 if recipe.tabm else 4) + waves
    return 4 * 4 * numbers, 4 * written, rows * (4 + 3 * mask_steps(recipe))  # a mask, and its bytes from 16 bits each


def _check_memory(each: int, n_members: int) -> None:
    """Refuse what can't be held before it is allocated: the system would end the process without a word."""
    if each * n_members > memory_bytes():
        raise TrainingError(
            f"out of memory: {n_members} members at a time, of {each / 1e9:.3g} GB each, and this machine has "
            f"{memory_bytes() / 1e9:.3g} GB. Lower hidden, batch_size or threads."
        )


def _shares(members: Sequence[Member], threads: int, device: torch.device, memory: int | None) -> list[list[int]]:
    """Group the members that can be one tensor program, and cut each group into batches.

    The members of a batch have the same recipe (but for `PER_MEMBER`) and as many steps an epoch. On a
    processor a batch fits the cache, and there are enough for all threads; on a CUDA device it is as much of
    the group as fits.
    """

    def program(i: int) -> tuple[str, int]:
        apart = {*PER_MEMBER, *Experiment.model_fields}
        return members[i].recipe.model_dump_json(exclude=apart), steps_per_epoch(members[i])

    if memory is None and device.type == "cuda":
        memory = round(_SHARE_OF_DEVICE * torch.cuda.get_device_properties(device).total_memory)
    shares: list[list[int]] = []
    for _, group in groupby(sorted(range(len(members)), key=program), program):
        indices = list(group)
        recipe = as_mlp(members[indices[0]].recipe)
        columns = max(members[i].data.X.shape[1] for i in indices)
        embedded = max(len(members[i].embedded) for i in indices)
        state, written, masks = bytes_of_member(recipe, columns, embedded)
        size = len(indices)
        if device.type == "cpu":  # a plain network's step writes to little; others' to more than their state
            cached = state + (written if recipe.tabm or embedded else 0)
            _check_memory(state + written, min(threads, len(indices)))
            size = max(1, min(math.ceil(size / threads), _CACHE // cached))
        if memory is not None:
            each = 2 * state + written + masks  # the state twice: there are averaged and best weights, too
            size = min(size, memory // (each * threads))
            if size < 1:
                raise TrainingError(
                    f"memory: {memory} bytes can't hold {threads} members of {each} bytes at a time; "
                    "allow more, use fewer threads, or narrower layers"
                )
        count = math.ceil(len(indices) / size)
        count = min(len(indices), threads * math.ceil(count / threads))  # no thread shall idle
        shares += [[int(i) for i in share] for share in np.array_split(indices, count)]
    return shares
