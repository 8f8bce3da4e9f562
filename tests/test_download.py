"""Downloads: the mirror against a real local HTTP server, and the real Kaggle client against another."""

import hashlib
import io
import os
import socket
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from conftest import LoadTiny
from houseprice.data.ingest import ingest, read_raw
from houseprice.errors import NetworkError
from houseprice.online import download, kaggle_is_configured
from kaggle_server import Kaggle, point_the_client_at, serving
from mirrors import Mirror, answer

ZEROS = "0" * 40


def sha1(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


@pytest.fixture
def raw(tiny_root: Path) -> Path:
    return tiny_root / "data" / "tiny" / "raw"


def test_a_sound_file_arrives_in_one_request(mirror: Mirror) -> None:
    data = os.urandom(300_000)
    file = mirror.serve("/train.csv", data)
    assert download(file.url, file.sha1) == data
    assert mirror.requests == ["/train.csv"]


def test_a_wrong_checksum_is_refused_after_two_attempts(mirror: Mirror) -> None:
    file = mirror.serve("/train.csv", b"something else")
    with pytest.raises(NetworkError, match=rf"/train\.csv: .*SHA-1 is {file.sha1}, not {ZEROS} \(14 bytes arrived\)"):
        download(file.url, ZEROS)
    assert len(mirror.requests) == 2


def test_a_file_that_is_not_there_is_not_asked_for_again(mirror: Mirror) -> None:
    mirror.plans["/train.csv"] = lambda handler: answer(handler, 404)
    with pytest.raises(NetworkError, match=r"/train\.csv: download failed: .*404"):
        download(f"{mirror.url}/train.csv", ZEROS)
    assert len(mirror.requests) == 1


def test_a_server_that_stumbles_is_asked_again(mirror: Mirror) -> None:
    file = mirror.serve("/train.csv", b"good")

    def stumble(handler: BaseHTTPRequestHandler) -> None:
        answer(handler, 200 if len(mirror.requests) > 1 else 500, b"good")

    mirror.plans["/train.csv"] = stumble
    assert download(file.url, file.sha1) == b"good"
    assert len(mirror.requests) == 2


@pytest.mark.parametrize("attempts", [1, 3])
def test_attempts_are_bounded(attempts: int, mirror: Mirror) -> None:
    mirror.plans["/train.csv"] = lambda handler: answer(handler, 503)
    with pytest.raises(NetworkError, match="503"):
        download(f"{mirror.url}/train.csv", ZEROS, attempts=attempts)
    assert len(mirror.requests) == attempts


def test_a_truncated_file_is_refused(mirror: Mirror) -> None:
    data = b"x" * 1000
    file = mirror.serve("/train.csv", data)
    mirror.plans["/train.csv"] = lambda handler: answer(handler, 200, data[:400], length=1000)
    with pytest.raises(NetworkError, match=r"/train\.csv: download failed: .*\b(400|IncompleteRead)\b"):
        download(file.url, file.sha1)
    assert len(mirror.requests) == 2


def test_a_server_that_never_answers_is_given_up(mirror: Mirror) -> None:
    mirror.plans["/train.csv"] = lambda handler: (mirror.closing.wait(), None)[1]
    with pytest.raises(NetworkError, match=r"/train\.csv: download failed: .*timed out"):
        download(f"{mirror.url}/train.csv", ZEROS, timeout=0.1)
    assert len(mirror.requests) == 2


def test_a_drip_is_cut_off_at_the_deadline(mirror: Mirror) -> None:
    """Every byte comes in time, the file would not: the deadline holds for the whole."""
    data = b"x" * 200
    file = mirror.serve("/train.csv", data)

    dripped: list[int] = []

    def drip(handler: BaseHTTPRequestHandler) -> None:
        answer(handler, 200, length=len(data))
        for byte in data:
            handler.wfile.write(bytes([byte]))
            dripped.append(byte)
            mirror.closing.wait(0.02)

    mirror.plans["/train.csv"] = drip
    with pytest.raises(NetworkError, match="not complete after"):
        download(file.url, file.sha1, timeout=5, attempts=1, deadline=0.1)
    assert len(dripped) < len(data), "the deadline was looked at when all had arrived"


def test_a_host_that_refuses_is_offline_at_once(mirror: Mirror) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(NetworkError, match=r"offline\? 127\.0\.0\.1 cannot be reached: .*refused"):
        download(f"http://127.0.0.1:{port}/train.csv", ZEROS)


def test_a_host_that_says_nothing_is_offline_within_the_timeout(mirror: Mirror) -> None:
    """A full queue of connections drops further ones, as a firewall does."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, socket.socket() as first, socket.socket() as more:
        for client in (first, more):
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        with pytest.raises(NetworkError, match=r"offline\? .*(no answer within|timed out)"):
            download(f"http://127.0.0.1:{server.getsockname()[1]}/", ZEROS, timeout=0.2)


def test_an_unknown_host_is_offline(mirror: Mirror) -> None:
    with pytest.raises(NetworkError, match=r"offline\? nowhere\.invalid cannot be reached"):
        download("http://nowhere.invalid/train.csv", ZEROS)


def test_a_proxy_of_the_environment_is_used(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a proxy the mirror itself can't be reached, nor its name be looked up; that is not offline."""
    address = "http://nowhere.invalid/train.csv"
    mirror.plans[address] = lambda handler: answer(handler, 200, b"by proxy")
    monkeypatch.setenv("http_proxy", mirror.url)
    assert download(address, sha1(b"by proxy")) == b"by proxy"


def with_mirror(mirror: Mirror, files: dict[str, bytes]) -> str:
    """Serve files and return the override that makes them the competition's mirror."""
    served = {name: mirror.serve(f"/{name}", files[name]) for name in ("train.csv", "test.csv")}
    tables = ", ".join(f'"{name}"={{url="{file.url}", sha1="{file.sha1}"}}' for name, file in served.items())
    return f"ingest.mirror={{{tables}}}"


def test_the_mirror_fills_an_empty_raw(
    raw: Path, mirror: Mirror, tiny_files: dict[str, bytes], load_tiny: LoadTiny
) -> None:
    provenance = ingest(raw, load_tiny(with_mirror(mirror, tiny_files)), None, print)
    assert provenance.source == "mirror"
    assert provenance.origin == f"{mirror.url}/train.csv, {mirror.url}/test.csv"
    assert {name: data for name, data in read_raw(raw).items() if name in ("train.csv", "test.csv")} == {
        name: tiny_files[name] for name in ("train.csv", "test.csv")
    }


def test_nothing_is_written_when_the_second_file_fails(
    raw: Path, mirror: Mirror, tiny_files: dict[str, bytes], load_tiny: LoadTiny
) -> None:
    competition = load_tiny(with_mirror(mirror, tiny_files))
    mirror.plans["/test.csv"] = lambda handler: answer(handler, 404)
    with pytest.raises(NetworkError) as refusal:
        ingest(raw, competition, None, print)
    for word in ("'tiny'", "raw/ is empty", "/test.csv: download failed", "404", "houseprice ingest -c tiny --source"):
        assert word in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert [path.name for path in raw.parent.iterdir()] == ["competition.toml"]


# ------------------------------------------------------------------ the Kaggle client


@pytest.fixture
def kaggle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kaggle]:
    """A server that the real client takes for kaggle.com."""
    with serving() as kaggle:
        point_the_client_at(kaggle.url, tmp_path / "home", monkeypatch)
        yield kaggle


def zipped(files: dict[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return archive.getvalue()


def test_the_kaggle_client_delivers_an_archive(
    kaggle: Kaggle, raw: Path, tiny_files: dict[str, bytes], load_tiny: LoadTiny
) -> None:
    kaggle.archive = zipped({**tiny_files, "data_description.txt": b"not needed"})
    provenance = ingest(raw, load_tiny("ingest.kaggle=tiny-houses"), None, print)
    assert (provenance.source, provenance.origin) == ("kaggle", "tiny-houses")
    assert read_raw(raw) == tiny_files
    assert kaggle.calls == [("DownloadDataFiles", {"competitionName": "tiny-houses"})]


@pytest.mark.parametrize(
    ("archive", "words"),
    [
        (None, "accept this competition's rules. Join the competition and accept its rules: https://www.kaggle.com/"),
        (b"no archive", "tiny-houses.zip: not a sound archive"),
        (zipped({"train.csv": b"Id"}), "no test.csv in tiny-houses.zip"),
        (zipped({"../train.csv": b"Id", "/test.csv": b"Id", "raw/test.csv": b"Id"}), "no train.csv and no test.csv in"),
        (zipped({"train.csv": b"0" * 3_000_000, "test.csv": b"Id"}), "train.csv would take more than 2000000 bytes"),
    ],
    ids=["forbidden", "not a zip", "half a zip", "other places", "a bomb"],
)
def test_a_kaggle_client_that_fails_is_quoted_and_nothing_is_written(
    archive: bytes | None,
    words: str,
    kaggle: Kaggle,
    raw: Path,
    load_tiny: LoadTiny,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("houseprice.data.ingest._LARGEST_FILE", 2_000_000)
    if archive is None:
        kaggle.refusals["DownloadDataFiles"] = 403, "You must accept this competition's rules."
    else:
        kaggle.archive = archive
    with pytest.raises(NetworkError) as refusal:
        ingest(raw, load_tiny("ingest.kaggle=tiny-houses"), None, print)
    assert "kaggle: " in str(refusal.value)
    assert words in str(refusal.value)
    assert "houseprice ingest -c tiny --source DIR" in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert [path.name for path in raw.parent.iterdir()] == ["competition.toml"]


def test_without_credentials_the_kaggle_client_is_left_alone(
    kaggle: Kaggle, raw: Path, load_tiny: LoadTiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KAGGLE_KEY")
    with pytest.raises(NetworkError, match="raw/ is empty"):
        ingest(raw, load_tiny("ingest.kaggle=tiny-houses"), None, print)
    assert kaggle.calls == []


@pytest.mark.parametrize("file", [".kaggle/kaggle.json", ".kaggle/access_token", ".config/kaggle/kaggle.json"])
def test_credentials_are_found_wherever_the_client_keeps_them(
    file: str, kaggle: Kaggle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KAGGLE_KEY")
    assert not kaggle_is_configured()
    path = tmp_path / "home" / file
    path.parent.mkdir(parents=True)
    path.write_text("a secret", encoding="utf-8")
    assert kaggle_is_configured()
