"""Fashion-MNIST: 70,000 articles of clothing, 28 × 28 grey pixels each, in ten classes (Xiao, Rasul & Vollgraf 2017).

The four files are in the idx format of MNIST (LeCun, Cortes & Burges 1998): two zero bytes, one that tells the type
(8: unsigned bytes), the number of dimensions, their lengths as big-endian 32-bit integers, then the numbers themselves.
The course uses them in D2L §4.2.
"""

import gzip
import hashlib
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from houseprice.course.data import Rows
from houseprice.errors import DataError, NetworkError, listing
from houseprice.files import write_atomically
from houseprice.online import download

CLASSES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")

_UNSIGNED_BYTES = 8


@dataclass(frozen=True)
class Publication:
    """Where a data set in MNIST's four files is published.

    Attributes
    ----------
    url
        The folder that holds them.
    md5
        By the file's name, ``train-images-idx3-ubyte.gz`` and so on, the MD5 of the packed file.
    """

    url: str
    md5: Mapping[str, str]


FASHION_MNIST = Publication(
    url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    md5={
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    },
)
"""As https://github.com/zalandoresearch/fashion-mnist publishes it, 31 MB in all."""


@dataclass(frozen=True)
class Images:
    """Images uint8 [n_images, height, width], 0 is black, with their labels uint8 [n_images], indices of `CLASSES`."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    def rows(self, at_most: int | None = None) -> Rows:
        """The first images, or all, as a network takes them: grey levels from 0 to 1, and classes."""
        chosen = self.pixels[:at_most]
        return Rows(chosen.reshape(len(chosen), -1) / 255, self.labels[:at_most].astype(np.int64))


def load_fashion(
    folder: str | Path, *, fetch: bool = True, source: Publication = FASHION_MNIST
) -> tuple[Images, Images]:
    """Load the training and the test images from a folder; files that it lacks are downloaded to it first.

    Parameters
    ----------
    folder
        Holds the files as they are published (``.gz``), or unpacked under the same names without the ending. A packed
        file is compared with its published checksum before it is unpacked; an unpacked one has none.
    fetch
        Whether to download what is not there.
    source
        What is loaded.

    Returns
    -------
    training and test images

    Raises
    ------
    DataError
        If a file is absent and not to be downloaded, is not the published one, is no sound idx file, or if images and
        labels don't belong together.
    NetworkError
        If the download fails.
    StorageError
        If what was downloaded can't be written.
    """
    folder = Path(folder).expanduser()
    arrays = {name: _load_file(folder, name, source, fetch) for name in source.md5}
    images = [
        _paired(arrays, folder, *(f"{part}-{kind}.gz" for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")))
        for part in ("train", "t10k")
    ]
    (_, *train), (_, *test) = (part.pixels.shape for part in images)
    if train != test:
        raise DataError(
            f"{folder}: training images are {_times(train)}, test images {_times(test)}; take them from one source"
        )
    return images[0], images[1]


def parse_idx(data: bytes, name: str) -> NDArray[np.uint8]:
    """Read the bytes of an idx file of unsigned bytes, uint8 with the shape that its header tells.

    Raises
    ------
    DataError
        If it is another kind of file, or shorter or longer than its header tells; ``name`` stands in the message.

    >>> parse_idx(bytes([0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 3, 7, 8, 9]), "tiny")
    array([[7, 8, 9]], dtype=uint8)
    """
    kind, dimensions = data[2:3], data[3] if len(data) > 3 else 0
    if data[:2] != b"\0\0" or not dimensions:
        raise DataError(f"{name}: not an idx file: it begins with {data[:4].hex(' ') or 'nothing'}, not with 00 00 08")
    if kind != bytes([_UNSIGNED_BYTES]):
        raise DataError(f"{name}: its numbers are of idx type {kind.hex()}; only unsigned bytes, 08, are read")
    shape = [int.from_bytes(data[at : at + 4], "big") for at in range(4, 4 + 4 * dimensions, 4)]
    expected, found = 4 + 4 * dimensions + math.prod(shape), len(data)
    if found != expected:
        what = "truncated" if found < expected else "too long"
        raise DataError(
            f"{name}: {what}: by its header it holds {_times(shape)} numbers in {expected} bytes, and it has {found}. "
            "Remove it and download it again."
        )
    return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def _load_file(folder: Path, name: str, source: Publication, fetch: bool) -> NDArray[np.uint8]:
    packed, unpacked = folder / name, folder / name.removesuffix(".gz")
    for path in (packed, unpacked):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}. Make it a readable file.") from error
        return parse_idx(_unpacked(data, path, source.md5[name]) if path == packed else data, str(path))
    if not fetch:
        raise DataError(
            f"{packed}: no such file, nor {unpacked.name}. Put it there, or let it be downloaded (fetch=True)."
        )
    data = _download(name, folder, source)
    write_atomically(packed, lambda file: file.write(data))
    return parse_idx(_unpacked(data, packed, source.md5[name]), str(packed))


def _download(name: str, folder: Path, source: Publication) -> bytes:
    try:
        return download(f"{source.url}/{name}", source.md5[name], "md5", deadline=600.0)
    except NetworkError as error:
        raise NetworkError(f"{error}. Put {listing(source.md5)} into {folder} by other means.") from error


def _unpacked(data: bytes, path: Path, md5: str) -> bytes:
    """The content of a packed file that is the published one: nothing else is unpacked."""
    found = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if found != md5:
        raise DataError(
            f"{path}: its MD5 is {found}, not {md5}: it is damaged, or another file of the same name, as MNIST's are. "
            "Remove it and download it again."
        )
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not a sound gzip file: {error}. Remove it and download it again.") from error


def _paired(arrays: Mapping[str, NDArray[np.uint8]], folder: Path, images: str, labels: str) -> Images:
    pixels, classes = arrays[images], arrays[labels]
    if pixels.ndim != 3 or classes.ndim != 1 or len(pixels) != len(classes):
        raise DataError(
            f"{folder}: {images} holds {_times(pixels.shape)} numbers, {labels} {_times(classes.shape)}; they must be "
            "images × height × width, and a label for each image"
        )
    bad = np.flatnonzero(classes >= len(CLASSES))
    if len(bad):
        raise DataError(
            f"{folder}: {labels}: labels are 0 to {len(CLASSES) - 1}, but rows {listing(bad)} have "
            f"{listing(classes[bad])}. Take the published file."
        )
    return Images(pixels, classes)


def _times(shape: tuple[int, ...] | list[int]) -> str:
    return " × ".join(map(str, shape)) or "no"
