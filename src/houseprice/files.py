"""Writing and hashing files: the one place where bytes of ours reach the disk."""

import hashlib
import mmap
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically, with ``\\n`` line ends on every platform."""
    write_atomically(path, lambda file: file.write(text.encode()))


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def scratch_matrix(folder: Path, shape: tuple[int, int]) -> "NDArray[np.float32]":
    """An empty float32 matrix: in memory, or if it is large in a file without a name.

    The file is gone when nobody holds the matrix any more, or when the process ends, however it ends.

    Raises
    ------
    StorageError
        If the disk has no room for it.
    """
    import numpy as np

    n_bytes = 4 * shape[0] * shape[1]
    if n_bytes <= LARGE:
        return np.empty(shape, np.float32)
    with storing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, n_bytes)  # a full disk shows itself here, not at a write
            return np.memmap(file, np.float32, "r+", shape=shape)


def leave_on_disk(matrix: "NDArray[np.float32]") -> None:
    """Give back the memory that a matrix in a file takes; what is looked at later is read again."""
    pages = getattr(matrix, "_mmap", None)  # of numpy.memmap
    if pages is not None:
        pages.madvise(mmap.MADV_DONTNEED)
