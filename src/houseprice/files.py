"""Writing and hashing files: the one place where bytes of ours reach the disk, and where processes make way.

Whatever is unfinished is locked by the process that works on it (``flock``). The system drops the lock when that
process ends, however it ends, so that others can tell what a killed one has left behind from what is in use.
"""

import errno
import fcntl
import glob
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from houseprice.errors import StorageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LARGE = 1 << 27
"""Bytes beyond which a value is left on the disk and mapped, rather than held in memory."""


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn an ``OSError`` of the block (full disk, read-only folder) into a `StorageError` that names ``path``."""
    try:
        yield
    except FileExistsError as error:  # a file, or a link that leads nowhere
        raise StorageError(
            f"{path}: cannot be written: {error.filename or path} is no folder, where one is needed. Move it away."
        ) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(
            f"{path}: cannot be written: {reason}; nothing was left behind. "
            "Free some space, make the folder writable, or choose another with --root."
        ) from error


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file under a temporary name in its own folder, flush it to the disk, then rename it.

    A reader sees the old content or the new, never a part; after an error only the old is there.

    Parameters
    ----------
    path
        The file to create or replace. Its folder is made.
    write
        Called with the open binary file.

    Raises
    ------
    StorageError
        If the disk is full or the folder can't be written.
    """
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(path.parent.glob(f".{glob.escape(path.name)}.????????.part"))
        with _part_of(path) as part:
            write(part)
            part.flush()
            os.fsync(part.fileno())
            Path(part.name).chmod(0o644)
            Path(part.name).replace(path)


@contextmanager
def _part_of(path: Path) -> Iterator[IO[bytes]]:
    """A temporary file beside ``path``, locked while it is written; removed if the block has not renamed it."""
    while True:
        with tempfile.NamedTemporaryFile(
            prefix=f".{path.name}.", suffix=".part", dir=path.parent, delete=False
        ) as part:
            if not _lock(part.fileno(), Path(part.name)):
                continue
            try:
                yield part
            except BaseException:
                Path(part.name).unlink(missing_ok=True)
                raise
            return


@contextmanager
def scratch_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A new folder for the block alone: locked meanwhile, and removed in the end unless the block has renamed it.

    What processes that were killed have left under the same prefix is removed, too.
    """
    remove_abandoned(parent.glob(f"{prefix}*"))
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        with locked(folder) as is_ours:
            if not is_ours:
                continue
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            return


@contextmanager
def locked(path: Path, *, wait: bool = True, on_wait: Callable[[], None] = lambda: None) -> Iterator[bool]:
    """Hold the lock of a file or folder within the block.

    Parameters
    ----------
    path
        What is locked; nothing is written.
    wait
        Whether to wait while another process holds it.
    on_wait
        Called before the waiting begins.

    Returns
    -------
    bool
        Whether it is held, and ``path`` still there. On a file system that knows no locks it counts as held by
        those who would wait, and as not held by those who wouldn't.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        yield False
        return
    except OSError:  # no right to read it
        yield wait
        return
    try:
        yield _lock(handle, path, wait, on_wait)
    finally:
        os.close(handle)


def _lock(handle: int, path: Path, wait: bool = True, on_wait: Callable[[], None] = lambda: None) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if not wait:
            return False
        on_wait()
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError:
        return wait
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def remove_abandoned(paths: Iterable[Path]) -> None:
    """Remove those of the files and folders that no process holds the lock of; best effort."""
    for path in paths:
        with suppress(OSError), locked(path, wait=False) as is_abandoned:
            if is_abandoned and path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif is_abandoned:
                path.unlink()


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically, with ``\\n`` line ends on every platform."""
    write_atomically(path, lambda file: file.write(text.encode()))


class HashedFile:
    """A binary file whose bytes are hashed as they are written.

    Parameters
    ----------
    file
        Open for writing, at its beginning.
    on_write
        Called with the number of bytes written so far.
    """

    def __init__(self, file: IO[bytes], on_write: Callable[[int], None]) -> None:
        self._file, self._on_write = file, on_write
        self._sha256, self._n_bytes = hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        """Write and hash some bytes."""
        self._sha256.update(data)
        self._n_bytes += self._file.write(data)
        self._on_write(self._n_bytes)
        return len(data)

    def tell(self) -> int:
        """How many bytes are written."""
        return self._n_bytes

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes so far, in hexadecimal."""
        return self._sha256.hexdigest()


def read_regular(path: Path) -> bytes:
    """The bytes of a file; of a pipe or a device, whose end might never come, nothing is read.

    Raises
    ------
    OSError
        If it can't be read, or is no file.
    """
    _check_regular(path)
    return path.read_bytes()


def _check_regular(path: Path) -> None:
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # of a folder the system says so itself
        raise OSError(errno.EINVAL, "Neither a file nor a folder", str(path))


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    _check_regular(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def scratch_matrix(
    folder: Path, shape: tuple[int, int], blocks: "Iterable[NDArray[np.float32]]"
) -> "NDArray[np.float32]":
    """Blocks of rows as one float32 matrix: in memory, or if it is large in a file without a name.

    The file is gone when nobody holds the matrix any more, or when the process ends, however it ends.

    Raises
    ------
    StorageError
        If the disk has no room for it.
    """
    import numpy as np

    n_bytes = 4 * shape[0] * shape[1]
    if n_bytes <= LARGE:
        return in_memory(shape, blocks)
    with storing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, n_bytes)  # a full disk shows itself here
            for block in blocks:
                file.write(np.ascontiguousarray(block).data)
            file.flush()
            return np.memmap(file, np.float32, "r+", shape=shape)


def in_memory(shape: tuple[int, int], blocks: "Iterable[NDArray[np.float32]]") -> "NDArray[np.float32]":
    """Blocks of rows as one float32 matrix."""
    import numpy as np

    matrix = np.empty(shape, np.float32)
    start = 0
    for block in blocks:
        matrix[start : start + len(block)] = block
        start += len(block)
    return matrix
