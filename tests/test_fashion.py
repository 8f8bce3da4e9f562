"""The Fashion-MNIST loader, on small idx files: from a folder, packed or not, and from a real local HTTP server."""

import gzip
import hashlib
import re
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import contents
from houseprice.course.fashion import CLASSES, FASHION_MNIST, Publication, load_fashion, parse_idx
from houseprice.course.fitting import fit
from houseprice.errors import DataError, NetworkError
from mirrors import Mirror, answer

IMAGES, LABELS, TEST_IMAGES, TEST_LABELS = FASHION_MNIST.md5
"""The names of the four files, as they are published."""


def idx(array: NDArray[np.uint8]) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def arrays() -> dict[str, NDArray[np.uint8]]:
    """Six images and four, of 3 × 2 pixels."""
    random = np.random.default_rng(0)
    pixels = random.integers(256, size=(10, 3, 2), dtype=np.uint8)
    labels = np.array([9, 0, 1, 2, 3, 4, 5, 6, 7, 8], np.uint8)
    return {IMAGES: pixels[:6], LABELS: labels[:6], TEST_IMAGES: pixels[6:], TEST_LABELS: labels[6:]}


def packed(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: gzip.compress(data, mtime=0) for name, data in files.items()}


def published(files: dict[str, bytes], url: str = "http://nowhere.invalid") -> Publication:
    return Publication(url, {name: hashlib.md5(data).hexdigest() for name, data in files.items()})


@pytest.fixture
def files() -> dict[str, bytes]:
    """The four files, unpacked."""
    return {name: idx(array) for name, array in arrays().items()}


def put(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def put_unpacked(folder: Path, files: dict[str, bytes]) -> Path:
    return put(folder, {name.removesuffix(".gz"): data for name, data in files.items()})


def serve(mirror: Mirror, files: dict[str, bytes]) -> Publication:
    for name, data in files.items():
        mirror.serve(f"/{name}", data)
    return published(files, mirror.url)


def assert_loaded(folder: Path, source: Publication) -> None:
    """Loads the arrays, with no need of the network."""
    train, test = load_fashion(folder, source=source, fetch=False)
    for found, name in (
        (train.pixels, IMAGES),
        (train.labels, LABELS),
        (test.pixels, TEST_IMAGES),
        (test.labels, TEST_LABELS),
    ):
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, arrays()[name])


def test_the_checksums_are_those_of_four_files() -> None:
    """Copied from the README of zalandoresearch/fashion-mnist; a slip of the pen would make one shorter."""
    assert (IMAGES, TEST_LABELS) == ("train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")
    assert len(set(FASHION_MNIST.md5.values())) == 4
    assert all(re.fullmatch("[0-9a-f]{32}", md5) for md5 in FASHION_MNIST.md5.values())
    assert len(CLASSES) == 10


def test_packed_files_of_a_folder(tmp_path: Path, files: dict[str, bytes]) -> None:
    assert_loaded(put(tmp_path, packed(files)), published(packed(files)))


def test_unpacked_files_of_a_folder_and_both_together(tmp_path: Path, files: dict[str, bytes]) -> None:
    assert_loaded(put_unpacked(tmp_path, files), published(packed(files)))
    assert_loaded(put(tmp_path, {IMAGES: packed(files)[IMAGES]}), published(packed(files)))


def test_rows_are_what_a_network_is_fitted_to(tmp_path: Path, files: dict[str, bytes]) -> None:
    train, test = load_fashion(put_unpacked(tmp_path, files), fetch=False)
    X, y = train.rows()
    assert X.shape == (6, 6)
    np.testing.assert_array_equal(np.rint(X[2] * 255), arrays()[IMAGES][2].ravel())
    assert [CLASSES[label] for label in y[:2]] == ["ankle boot", "t-shirt"]
    assert len(train.rows(at_most=4).y) == 4
    settings = {"loss": "cross_entropy", "hidden": [3], "epochs": 2, "classes": 10}
    (one,) = fit(train.rows(), test.rows(), settings)
    assert one.predict(test.rows().X).shape == (4, 10)


def test_absent_files_are_downloaded_once_and_kept(tmp_path: Path, files: dict[str, bytes], mirror: Mirror) -> None:
    source = serve(mirror, packed(files))
    folder = put(tmp_path / "new", {LABELS: packed(files)[LABELS]})
    load_fashion(folder, source=source)
    assert mirror.requests == [f"/{name}" for name in (IMAGES, TEST_IMAGES, TEST_LABELS)]
    assert contents(folder) == packed(files)
    assert_loaded(folder, source)
    load_fashion(folder, source=source)
    assert len(mirror.requests) == 3


def test_a_download_with_another_checksum_is_refused(tmp_path: Path, files: dict[str, bytes], mirror: Mirror) -> None:
    source = serve(mirror, packed(files))
    mirror.serve(f"/{LABELS}", b"something else")
    with pytest.raises(NetworkError, match=rf"/{LABELS}: .*its MD5 is [0-9a-f]+, not {source.md5[LABELS]}"):
        load_fashion(tmp_path, source=source)
    assert contents(tmp_path) == {IMAGES: packed(files)[IMAGES]}


def test_a_server_without_the_file_and_the_way_out(tmp_path: Path, files: dict[str, bytes], mirror: Mirror) -> None:
    source = serve(mirror, packed(files))
    mirror.plans[f"/{IMAGES}"] = lambda handler: answer(handler, 404)
    with pytest.raises(NetworkError, match=rf"404.*Put {IMAGES}, .* into {tmp_path} by other means"):
        load_fashion(tmp_path, source=source)


def test_offline_is_told_at_once(tmp_path: Path, mirror: Mirror) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(NetworkError, match=r"offline\? 127\.0\.0\.1 cannot be reached.* by other means"):
        load_fashion(tmp_path, source=Publication(url, FASHION_MNIST.md5))
    assert contents(tmp_path) == {}


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match=rf"file/{IMAGES}: cannot be read: Not a directory"):
        load_fashion(tmp_path / "file")


# ------------------------------------------------------------------ files that are refused


def changed(name: str, array: NDArray[np.uint8]) -> Callable[[dict[str, bytes]], object]:
    return lambda files: files.update({name: idx(array)})


def cut(name: str, by: int) -> Callable[[dict[str, bytes]], object]:
    return lambda files: files.update({name: files[name][:-by]})


REFUSALS: dict[str, tuple[Callable[[dict[str, bytes]], object], str]] = {
    "bad magic": (
        lambda files: files.update({LABELS: b"\x89PNG\r\n"}),
        r"train-labels-idx1-ubyte: not an idx file: it begins with 89 50 4e 47, not with 00 00 08",
    ),
    "empty": (lambda files: files.update({LABELS: b""}), "not an idx file: it begins with nothing"),
    "floats": (
        lambda files: files.update({IMAGES: bytes([0, 0, 0x0D, 3]) + files[IMAGES][4:]}),
        "train-images-idx3-ubyte: its numbers are of idx type 0d; only unsigned bytes",
    ),
    "truncated": (
        cut(TEST_IMAGES, 1),
        r"t10k-images-idx3-ubyte: truncated: .* 4 × 3 × 2 numbers in 40 bytes, and it has 39\. Remove it",
    ),
    "truncated header": (lambda files: files.update({IMAGES: files[IMAGES][:9]}), "truncated: .* and it has 9"),
    "too long": (lambda files: files.update({LABELS: files[LABELS] + b"\0"}), "too long: .* 14 bytes, and it has 15"),
    "a label less": (
        changed(LABELS, np.zeros(5, np.uint8)),
        rf"{IMAGES} holds 6 × 3 × 2 numbers, {LABELS} 5; .* a label for each image",
    ),
    "labels for images": (changed(IMAGES, np.zeros(6, np.uint8)), rf"{IMAGES} holds 6 numbers"),
    "an eleventh class": (
        changed(TEST_LABELS, np.array([1, 10, 2, 99], np.uint8)),
        rf"{TEST_LABELS}: labels are 0 to 9, but rows 1, 3 have 10, 99",
    ),
    "other pixels": (
        changed(TEST_IMAGES, np.zeros((4, 5, 5), np.uint8)),
        "training images are 3 × 2, test images 5 × 5",
    ),
}


@pytest.mark.parametrize("fault", REFUSALS)
def test_a_faulty_file_is_refused(fault: str, tmp_path: Path, files: dict[str, bytes]) -> None:
    spoil, words = REFUSALS[fault]
    spoil(files)
    with pytest.raises(DataError, match=words) as refusal:
        load_fashion(put_unpacked(tmp_path, files), fetch=False)
    assert str(tmp_path) in str(refusal.value)


def test_a_packed_file_of_the_same_name_but_another_checksum(tmp_path: Path, files: dict[str, bytes]) -> None:
    """MNIST's own files have these very names."""
    put(tmp_path, packed(files))
    with pytest.raises(
        DataError, match=rf"{IMAGES}: its MD5 is [0-9a-f]{{32}}, not {FASHION_MNIST.md5[IMAGES]}: .*MNIST"
    ):
        load_fashion(tmp_path, fetch=False)


def test_a_packed_file_that_is_none(tmp_path: Path) -> None:
    files = dict.fromkeys(FASHION_MNIST.md5, b"not packed")
    with pytest.raises(DataError, match=rf"{IMAGES}: not a sound gzip file"):
        load_fashion(put(tmp_path, files), source=published(files), fetch=False)


def test_an_absent_file_is_named(tmp_path: Path, files: dict[str, bytes]) -> None:
    del files[TEST_LABELS]
    with pytest.raises(DataError, match=rf"{TEST_LABELS}: no such file, nor t10k-labels-idx1-ubyte\. Put it there"):
        load_fashion(put_unpacked(tmp_path, files), fetch=False)


def test_an_idx_file_of_nothing() -> None:
    assert parse_idx(idx(np.zeros((0, 28, 28), np.uint8)), "empty").shape == (0, 28, 28)
