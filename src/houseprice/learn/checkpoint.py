"""Networks on disk: weights to keep, and the state of an unfinished training.

Both are safetensors files with a JSON header: loading one runs no code, unlike pickle.
"""

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from houseprice.documents import from_plain, parse_json, to_plain
from houseprice.errors import StorageError
from houseprice.files import storing, write_atomically
from houseprice.learn.members import Member
from houseprice.learn.plain import Weights
from houseprice.learn.targets import TargetScale
from houseprice.recipes import MLP, Linear

Arrays = dict[str, np.ndarray[Any, Any]]

_HEADER, _DIGEST = "houseprice", "sha256"


@dataclass(frozen=True)
class Networks:
    """The networks of a run: all that it takes to predict by them.

    Attributes
    ----------
    recipe
        What they were trained by.
    weights
        Of each member, by (fold, seed), ordered.
    scales
        The scale of the target that each fold's members predict on; empty where it is not known.
    """

    recipe: Linear
    weights: dict[tuple[int, int], Weights]
    scales: tuple[TargetScale, ...]


def save_weights(
    path: Path, recipe: Linear, weights: Mapping[tuple[int, int], Weights], scales: Sequence[TargetScale] = ()
) -> None:
    """Store the weights of a recipe's members, by (fold, seed), in one file.

    Tensors are named ``fold0.seed0.layers.0.weight`` [out, in] …, float32; the header holds the recipe, and the scale
    of the target of each fold.

    Raises
    ------
    StorageError
        If the file can't be written.
    """
    tensors = {
        f"fold{fold}.seed{seed}.{name}": value
        for (fold, seed), member in weights.items()
        for name, value in member.items()
    }
    _write(
        path,
        tensors,
        {"recipe": recipe.model_dump(mode="json"), "scales": [to_plain(TargetScale, each) for each in scales]},
    )


def load_weights(path: Path) -> tuple[Linear, dict[tuple[int, int], Weights]]:
    """Read the recipe and the weights; `houseprice.learn.plain.as_module` makes a plain network of them.

    Raises
    ------
    StorageError
        If the file is absent, is no such file, or is damaged.
    """
    networks = load_networks(path)
    return networks.recipe, networks.weights


def load_networks(path: Path) -> Networks:
    """Read all that `save_weights` stored.

    Raises
    ------
    StorageError
        If the file is absent, is no such file, or is damaged.
    """
    tensors, header = _read(path)
    try:
        kind = MLP if header["recipe"]["kind"] == "mlp" else Linear
        recipe = kind.model_validate(header["recipe"], strict=False)  # JSON knows no tuples
        weights: dict[tuple[int, int], Weights] = {}
        for name, value in tensors.items():
            fold, seed, parameter = name.split(".", 2)
            key = int(fold.removeprefix("fold")), int(seed.removeprefix("seed"))
            weights.setdefault(key, {})[parameter] = value
        scales = tuple(from_plain(TargetScale, each) for each in header.get("scales", []))
    except (KeyError, TypeError, ValueError) as error:
        raise StorageError(f"{path}: holds no weights of this program ({error}); train again") from error
    return Networks(recipe, dict(sorted(weights.items())), scales)


class Checkpoints:
    """The states of unfinished batches in a folder.

    Files are named by a digest of all that a result depends on: members, data, batches, versions. So a
    training never takes up the state of another one.

    Parameters
    ----------
    folder
        Where the files lie; it is made when the first is written.
    members, shares
        All members, and the batches that they are trained in, as positions.
    every
        Epochs between two checkpoints.
    """

    def __init__(self, folder: Path, members: Sequence[Member], shares: Sequence[Sequence[int]], every: int) -> None:
        self._folder, self._every = folder, every
        digest = hashlib.sha256(json.dumps([list(share) for share in shares]).encode())
        digest.update(f"torch {version('torch')} numpy {version('numpy')}".encode())
        hashes: dict[int, bytes] = {}  # of each array once, however many members share it
        for member in members:
            data = member.data
            digest.update(f"{member.recipe.model_dump_json()} fold {data.fold} seed {member.seed}".encode())
            arrays: list[np.ndarray[Any, Any]] = [data.X, data.y, data.fit_rows, data.valid_rows, data.X_test]
            arrays += [] if data.weights is None else [data.weights]
            arrays += [value for _, value in sorted((member.start or {}).items())]
            for array in arrays:
                if id(array) not in hashes:
                    described = f"{array.shape} {array.dtype}".encode()
                    hashes[id(array)] = hashlib.sha256(described + np.ascontiguousarray(array).data).digest()
                digest.update(hashes[id(array)])
        self._name = digest.hexdigest()[:16]

    def _path(self, batch: int) -> Path:
        return self._folder / f"{self._name}-{batch:04d}.safetensors"

    def due(self, epoch: int, epochs: int) -> bool:
        """Whether a batch that has done ``epoch`` of its ``epochs`` shall be saved now."""
        return epoch % self._every == 0 or epoch == epochs

    def save(self, batch: int, arrays: Arrays, header: Mapping[str, Any]) -> None:
        """Write a batch's state atomically, in place of its former one."""
        _write(self._path(batch), arrays, header)

    def load(self, batch: int) -> tuple[Arrays, dict[str, Any]] | None:
        """Read a batch's state; None if there is none, or a damaged one, of which a warning tells."""
        path = self._path(batch)
        if not path.exists():
            return None
        try:
            return _read(path)
        except StorageError as error:
            warnings.warn(f"{error}: the batch is trained from its first epoch", stacklevel=2)
            path.unlink(missing_ok=True)
            return None

    def clear(self) -> None:
        """Remove this training's states: it has ended."""
        for path in self._folder.glob(f"{self._name}-*.safetensors"):
            with storing(path):
                path.unlink(missing_ok=True)


def _write(path: Path, arrays: Mapping[str, np.ndarray[Any, Any]], header: Mapping[str, Any]) -> None:
    from safetensors.numpy import save

    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    content = save(contiguous, metadata={_HEADER: json.dumps(header), _DIGEST: _digest(contiguous, header)})
    write_atomically(path, lambda file: file.write(content))


def _read(path: Path) -> tuple[Arrays, dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            header = parse_json(metadata[_HEADER])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        if metadata[_DIGEST] != _digest(arrays, header):
            raise ValueError("its content is not what was stored")
        return arrays, header
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise StorageError(f"{path}: can't be read ({error}); delete it, and train again") from error


def _digest(arrays: Mapping[str, np.ndarray[Any, Any]], header: Mapping[str, Any]) -> str:
    """SHA-256 over all that a file holds; safetensors itself would not notice a flipped bit of a weight."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
