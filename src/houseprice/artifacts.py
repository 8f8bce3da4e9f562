"""Stage outputs under a content fingerprint, and the reasons why a stage would run again.

A stage is up to date when an artifact lies under its fingerprint: the SHA-256 over everything that determines its
output. Clocks play no part. `joblib.Memory` is not enough here: it sees the source of the decorated function alone,
so that an edited helper returns a stale value.
"""

import ast
import hashlib
import importlib.util
import io
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import metadata
from pathlib import Path
from typing import IO, Any

from houseprice.documents import parse_json
from houseprice.errors import StorageError
from houseprice.files import (
    LARGE,
    HashedFile,
    locked,
    remove_abandoned,
    scratch_folder,
    sha256_of,
    storing,
    write_atomically,
)
from houseprice.machine import peak_memory_mb
from houseprice.pace import Paced
from houseprice.unfinished import MemberFolder

PACKAGES = ("torch", "numpy", "pandas", "scikit-learn")
PACKAGE_FOLDER = Path(__file__).parent
_DAYS_KEPT = 14  # of the members of a run that nobody has gone on with


@dataclass(frozen=True)
class Stage:
    """One step of the pipeline with everything that determines its output.

    Attributes
    ----------
    slot
        Its place in the pipeline, whatever its content: ``train/mlp``. Artifacts of one slot are each other's history.
    inputs
        Content hash, or fingerprint, of each input by name.
    config
        The slice of the configuration that it reads; JSON values.
    modules
        The modules that do its work: ``houseprice.data.features``.
    packages
        Importable packages or modules of others whose code matters, beside `PACKAGES`.
    """

    slot: str
    inputs: Mapping[str, str]
    config: Mapping[str, Any]
    modules: tuple[str, ...]
    packages: tuple[str, ...] = ()

    @cached_property
    def components(self) -> dict[str, str]:
        """Everything that the fingerprint is made of, flat: what it is → its value or hash."""
        flat = {f"input {name}": digest for name, digest in self.inputs.items()}
        flat |= {f"key {name}": json.dumps(value) for name, value in _flatten(self.config)}
        flat |= {f"module {name}": digest for name, digest in source_hashes(self.modules).items()}
        flat |= {"version of python": f"{sys.version_info.major}.{sys.version_info.minor}"}
        flat |= {f"version of {name}": installed_version(name) for name in PACKAGES}
        flat |= {f"version of {name}": version_of_import(name) for name in self.packages}
        return flat

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the components, in hexadecimal."""
        return hashlib.sha256(json.dumps(self.components, sort_keys=True).encode()).hexdigest()


@lru_cache
def installed_version(package: str) -> str:
    """Version of an installed package, without importing it."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"


@lru_cache
def version_of_import(name: str) -> str:
    """Version of what a top-level import brings: of its distribution, or the SHA-256 of a module of the user's own."""
    if distributions := metadata.packages_distributions().get(name):
        return ", ".join(f"{each} {installed_version(each)}" for each in sorted(set(distributions)))
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        return "absent"
    folder = Path(found.origin).parent
    files = sorted(folder.rglob("*.py")) if found.submodule_search_locations else [Path(found.origin)]
    return hashlib.sha256("".join(sha256_of(file) for file in files).encode()).hexdigest()


@lru_cache  # a stage asks for it whenever it is planned
def source_hashes(modules: tuple[str, ...], folder: Path = PACKAGE_FOLDER) -> dict[str, str]:
    """Hash the source of modules and of all modules of the package that they reach by imports.

    The source is normalised through its syntax tree: comments, layout and docstrings don't count. A package's
    ``__init__`` holds no logic here and is left out.

    Parameters
    ----------
    modules
        Dotted names within the package.
    folder
        The package's folder, whose name is the package's.

    Returns
    -------
    dict
        Module → SHA-256, sorted by module.
    """
    found: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module in found:
            continue
        digest, imports = _read_source(_file_of(module, folder), folder.name)
        found[module] = digest
        waiting += [name for name in imports if _file_of(name, folder).is_file()]
    return dict(sorted(found.items()))


def _file_of(module: str, folder: Path) -> Path:
    return folder.parent.joinpath(*module.split(".")).with_suffix(".py")


@lru_cache
def _read_source(path: Path, package: str) -> tuple[str, frozenset[str]]:
    """The hash of a module's normalised source, and the names of the package that it imports, at whatever depth."""
    tree = ast.parse(path.read_bytes())
    imports = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imports |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    digest = hashlib.sha256(ast.dump(_WithoutDocstrings().visit(tree)).encode()).hexdigest()
    return digest, frozenset(name for name in imports if name.startswith(f"{package}."))


class _WithoutDocstrings(ast.NodeTransformer):
    """Drops strings that stand as a statement: docstrings, also those of attributes."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else node


def _flatten(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


@dataclass(frozen=True)
class Record:
    """What is known of an artifact without loading it.

    Attributes
    ----------
    slot, fingerprint, components
        Of the stage that made it.
    sha256
        Of the stored value.
    summary
        JSON values for the leaderboard and for tables.
    order
        When it was stored, in nanoseconds; orders the history of a slot and decides nothing else.
    """

    slot: str
    fingerprint: str
    components: Mapping[str, str]
    sha256: str
    summary: Mapping[str, Any]
    order: int

    @property
    def check(self) -> str:
        """SHA-256 over all of it: what is stored as something else was damaged."""
        return hashlib.sha256(json.dumps(self.__dict__, sort_keys=True).encode()).hexdigest()


def _parse_record(data: bytes) -> Record:
    """Read a stored record.

    Raises
    ------
    StorageError
        If it is none, is damaged, or was written by an older version.
    """
    try:
        document = parse_json(data)
        check = document.pop("check", None)
        record = Record(**document)
    except (ValueError, TypeError, AttributeError) as error:
        raise StorageError(str(error)) from error
    if check != record.check:
        raise StorageError("its content is not what was stored" if check else "written by an older version")
    return record


class ArtifactStore:
    """Artifacts in a folder, one sub-folder a fingerprint: ``value.joblib`` and ``record.json``.

    Parameters
    ----------
    folder
        Where they lie; made when the first is stored.
    say
        Told about artifacts that are corrupt, and about stages that were computed.
    """

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder = folder
        self.say = say

    def find(self, stage: Stage) -> Record | None:
        """The record of the stage's artifact, or None if the stage has to run."""
        return self.recorded(stage.slot, stage.fingerprint)

    def recorded(self, slot: str, fingerprint: str) -> Record | None:
        """The record of the artifact that a slot's stage made under a fingerprint, whatever the stage is now."""
        record = self._read_record(self._folder(slot, fingerprint))
        return record if record and record.fingerprint == fingerprint else None

    def load(self, stage: Stage) -> Any:
        """Load a stage's value, if its hash is the recorded one.

        Returns
        -------
        The value; None if there is no artifact, or a corrupt one, which is reported and removed.
        """
        import joblib

        place, record = self.place(stage), self.find(stage)
        if record is None:
            return None
        path, reason = place / "value.joblib", "its bytes are not those that were stored"
        try:
            if path.stat().st_size > LARGE:
                if sha256_of(path) == record.sha256:
                    return joblib.load(path, mmap_mode="c")
            elif hashlib.sha256(data := path.read_bytes()).hexdigest() == record.sha256:
                return joblib.load(io.BytesIO(data))
        except OSError as error:
            reason = error.strerror or str(error)
        self.say(f"{place}: corrupt artifact ({reason}); computed again")
        shutil.rmtree(place, ignore_errors=True)
        return None

    def cached(
        self,
        stage: Stage,
        compute: Callable[..., Any],
        summarize: Callable[[Any], Mapping[str, Any]],
        inputs: Callable[[], tuple[Any, ...]] = tuple,
    ) -> Any:
        """The stage's value: from a sound artifact, else computed from its inputs, stored and told of.

        One process computes a stage; others that need it wait for it. The members of an interrupted run are kept
        for the next; once they are part of a stored value they are removed.

        Parameters
        ----------
        stage
            What is asked for.
        compute
            Makes the value of the inputs.
        summarize
            What the record says of it, beside ``seconds`` and ``peak_memory_mb``: JSON values.
        inputs
            Brings the inputs, if they are needed; the time that it takes is not the stage's.
        """
        value = self.load(stage)
        if value is not None:
            remove_abandoned([self.members_of(stage).folder])
            return value
        arguments = inputs()
        with self._alone_at(stage):
            value = self.load(stage)
            if value is None:
                start = time.perf_counter()
                value = compute(*arguments)
                del arguments  # a large table need not be held while the value is written
                self._save_new(stage, value, summarize(value), time.perf_counter() - start)
            self.members_of(stage).remove()
        return value

    def keep(self, stage: Stage, value: Any, summary: Mapping[str, Any], seconds: float) -> None:
        """Store the value of a stage that was computed outside of it, in so many seconds, unless it has one."""
        if self.find(stage):
            return
        with self._alone_at(stage):
            if not self.find(stage):
                self._save_new(stage, value, summary, seconds)

    def _save_new(self, stage: Stage, value: Any, summary: Mapping[str, Any], seconds: float) -> None:
        whole = {**summary, "seconds": seconds, "peak_memory_mb": peak_memory_mb()}
        self.save(stage, value, whole, time.time_ns())
        self.say(f"{stage.slot}: done in {seconds:.1f} s")

    @contextmanager
    def _alone_at(self, stage: Stage) -> Iterator[None]:
        """Within the block no other process computes the stage; the folder of its members is the lock."""
        folder = self.members_of(stage).folder

        def on_wait() -> None:
            self.say(f"{stage.slot}: another process is at it; waiting for its result")

        with storing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        others = (left for left in self.folder.glob("members-*") if left != folder)
        remove_abandoned(left for left in others if _age_in_days(left) > _DAYS_KEPT)
        while True:
            with storing(self.folder):
                folder.mkdir(exist_ok=True)
            with locked(folder, on_wait=on_wait) as is_ours:
                if is_ours:
                    try:
                        yield
                    finally:
                        with suppress(OSError):
                            folder.rmdir()  # if it holds nothing to go on with
                    return

    def save(self, stage: Stage, value: Any, summary: Mapping[str, Any], order: int) -> Record:
        """Store a stage's value: written beside its place, flushed, then renamed into it.

        Raises
        ------
        StorageError
            If the disk is full or the folder can't be written; nothing is left behind.
        """
        place = self.place(stage)
        with storing(place):
            self.folder.mkdir(parents=True, exist_ok=True)
            with scratch_folder(self.folder, ".part-") as staged:
                digest = self._write_value(staged / "value.joblib", stage, value)
                record = Record(stage.slot, stage.fingerprint, stage.components, digest, summary, order)
                text = json.dumps({**record.__dict__, "check": record.check}, indent=1)
                write_atomically(staged / "record.json", lambda file: file.write(text.encode()))
                try:
                    self._put(staged, place, stage)
                except OSError:
                    if not self.find(stage):  # another process may have been first: its value is as good as ours
                        raise
        return record

    def _write_value(self, path: Path, stage: Stage, value: Any) -> str:
        """Write a value, and return the SHA-256 of its bytes, hashed as they are written: they are not read again."""
        import joblib

        say, digest = Paced(self.say), ""

        def write(file: IO[bytes]) -> None:
            nonlocal digest
            hashed = HashedFile(file, lambda n_bytes: say(f"{stage.slot}: {n_bytes / 1e6:,.0f} MB written"))
            joblib.dump(value, hashed)
            digest = hashed.sha256

        write_atomically(path, write)
        return digest

    def _put(self, staged: Path, place: Path, stage: Stage) -> None:
        """Rename a whole artifact into its place."""
        try:
            os.rename(staged, place)  # noqa: PTH104  (fails, rather than replaces, if somebody was first)
        except OSError:
            if self.find(stage) or not place.exists():
                raise
            with scratch_folder(self.folder, ".part-") as garbled:
                place.rename(garbled)  # in one step: a sound one that came meanwhile is never half removed
                staged.rename(place)

    def why(self, stage: Stage) -> list[str]:
        """Why the stage would run: one reason a line, ``what: old → new``; empty if it is up to date."""
        if self.find(stage):
            return []
        history = [record for record in self._records() if record.slot == stage.slot]
        if not history:
            return ["no artifact yet"]
        old, new = max(history, key=lambda record: record.order).components, stage.components
        changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
        reasons = [f"{name}: {_short(old.get(name))} → {_short(new.get(name))}" for name in changed]
        return reasons or ["its artifact is gone"]

    def members_of(self, stage: Stage) -> MemberFolder:
        """The finished members of a stage that has not ended yet."""
        return MemberFolder(self.folder / f"members-{stage.fingerprint[:16]}", self.say)

    def place(self, stage: Stage) -> Path:
        """The folder of a stage's artifact, whether or not it is there."""
        return self._folder(stage.slot, stage.fingerprint)

    def _folder(self, slot: str, fingerprint: str) -> Path:
        return self.folder / f"{slot.replace('/', '-')}-{fingerprint[:16]}"

    def _records(self) -> list[Record]:
        """Those that can be read, the history of all slots."""
        found = []
        for path in self.folder.glob("*/record.json"):
            with suppress(OSError, StorageError):
                found.append(_parse_record(path.read_bytes()))
        return found

    def _read_record(self, place: Path) -> Record | None:
        path = place / "record.json"
        try:
            return _parse_record(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, StorageError) as error:
            self.say(f"{path}: not readable ({error}); the artifact counts as absent")
            return None


def _age_in_days(folder: Path) -> float:
    """Since its content last changed; 0 if it is gone, and less where a clock was put back."""
    try:
        return (time.time() - folder.stat().st_mtime) / 86_400
    except FileNotFoundError:
        return 0.0


def _short(value: str | None) -> str:
    """A component's value for a message: hashes cut to what tells them apart."""
    if value is None:
        return "absent"
    return value[:10] if len(value) == 64 else value
