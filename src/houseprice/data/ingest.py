"""Where the raw files come from: raw/ itself, a folder, the public mirror, the Kaggle client, the built-in sample."""

import csv
import hashlib
import http.client
import io
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from houseprice.config import Competition, MirrorFile
from houseprice.data.sample import sample_files
from houseprice.data.tables import read_tables
from houseprice.errors import DataError, DownloadError, HousePriceError
from houseprice.files import sha256_of, storing, write_text

FILES = ("train.csv", "test.csv", "sample_submission.csv")
SAMPLE_BANNER = (
    "*** BUILT-IN SAMPLE: synthetic houses, not the competition's data. Scores mean nothing and the entry can't be "
    "uploaded. For the real thing: houseprice ingest --source DIR ***"
)

Source = Literal["local", "mirror", "kaggle", "sample"]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Provenance:
    """Where the files in ``raw/`` come from.

    Attributes
    ----------
    source
        ``local``, ``mirror``, ``kaggle`` or ``sample``.
    origin
        The folder's name, the URLs or the competition's name there.
    files
        For each file its ``size`` in bytes and its ``sha256``.
    """

    source: Source
    origin: str
    files: Mapping[str, Mapping[str, Any]]

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 by file name."""
        return {name: str(entry["sha256"]) for name, entry in self.files.items()}


def ingest(raw: Path, competition: Competition, source: Path | None, say: Say) -> Provenance:
    """Bring the competition's files into ``raw/``, checked, and say where they come from.

    In this order: ``source`` where given; files already in ``raw/``; the mirror; the Kaggle client; the sample.
    New files are read and checked in full before anything in ``raw/`` is replaced.

    Raises
    ------
    DataError
        If the files break a rule (`houseprice.data.tables.read_tables`).
    DownloadError
        If nothing can be reached and the competition has no built-in sample.
    """
    replaced = raw.with_name("raw.replaced")
    if replaced.exists() and not raw.exists():  # a run was killed between the two renames of `_store`
        replaced.rename(raw)
    if source is not None:
        return _store(raw, "local", source.resolve().name, _read_folder(source), competition, say)
    if (raw / "train.csv").exists():
        return _recorded(raw, say)
    return _store(raw, *_fetch(competition, say), competition, say)


def read_raw(raw: Path) -> dict[str, bytes]:
    """The bytes of the three raw files, by name."""
    return _read_folder(raw)


def _read_folder(folder: Path) -> dict[str, bytes]:
    """The three files of a folder; a sample submission is made where there is none, as the mirror has none."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder. Give --source the folder that holds {', '.join(FILES)}.")
    files = {}
    for name in FILES[:2]:
        path = folder / name
        try:
            files[name] = path.read_bytes()
        except FileNotFoundError as error:
            raise DataError(
                f"{path}: no such file. Put the competition's {name} there, or give another --source."
            ) from error
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}. Make it a readable file.") from error
    sample = folder / FILES[2]
    if sample.exists():
        files[FILES[2]] = sample.read_bytes()
    return files


def _recorded(raw: Path, say: Say) -> Provenance:
    """The provenance of files that lie in ``raw/``; files put there by hand are recorded as local."""
    path = raw / "provenance.json"
    hashes = {name: sha256_of(raw / name) for name in FILES if (raw / name).exists()}
    if absent := [name for name in FILES[:2] if name not in hashes]:
        raise DataError(
            f"{raw / absent[0]}: no such file. Put the competition's {absent[0]} there, or give --source DIR."
        )
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        provenance = Provenance(document["source"], document["origin"], document["files"])
        if provenance.hashes == hashes:
            return provenance
        say(f"{raw}: its files are not those that provenance.json records; taken as local files")
    except FileNotFoundError:
        say(f"{raw}: files found without provenance.json; taken as local files")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        say(f"{path}: not readable ({error!r}); the files are taken as local files")
    sizes = {name: (raw / name).stat().st_size for name in hashes}
    files = {name: {"size": sizes[name], "sha256": hashes[name]} for name in hashes}
    provenance = Provenance("local", "found in raw/", files)
    write_text(path, _as_json(provenance))
    return provenance


def _store(
    raw: Path, source: Source, origin: str, files: dict[str, bytes], competition: Competition, say: Say
) -> Provenance:
    """Check new files, then put them in the place of ``raw/`` as a whole."""
    if FILES[2] not in files:
        files[FILES[2]] = _blank_submission(files, competition)
        say(f"{FILES[2]}: not found; made from the ids of test.csv")
    for notice in read_tables(files, competition).notices:
        say(notice)
    entries = {name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()}
    provenance = Provenance(source, origin, entries)
    if (raw / "train.csv").exists():
        before = _recorded(raw, say)
        if before == provenance:
            return provenance
        if before.hashes != provenance.hashes:
            say(f"{raw}: replacing the files that came from {before.source} ({before.origin})")
    with storing(raw):
        raw.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=".raw.", dir=raw.parent))
        try:
            staged.chmod(0o755)
            for name, data in {**files, "provenance.json": _as_json(provenance).encode()}.items():
                (staged / name).write_bytes(data)
            replaced = raw.with_name("raw.replaced")
            if raw.exists():
                raw.rename(replaced)
            staged.rename(raw)
            shutil.rmtree(replaced, ignore_errors=True)
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise
    return provenance


def _as_json(provenance: Provenance) -> str:
    return json.dumps(asdict(provenance), indent=2) + "\n"


def _blank_submission(files: Mapping[str, bytes], competition: Competition) -> bytes:
    """A sample submission for a source that has none: the ids of test.csv, each with 0."""
    rows = csv.DictReader(io.StringIO(files["test.csv"].decode("utf-8-sig", errors="replace"), newline=""))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([competition.id, competition.target])
    writer.writerows([row[competition.id], 0] for row in rows if competition.id in row)
    return text.getvalue().encode()


def _fetch(competition: Competition, say: Say) -> tuple[Source, str, dict[str, bytes]]:
    """The files from the first source of the network that answers, or the built-in sample."""
    rules, reasons = competition.ingest, []
    if rules.mirror:
        try:
            files: dict[str, bytes] = {name: download(file) for name, file in rules.mirror.items()}
            return "mirror", ", ".join(file.url for file in rules.mirror.values()), files
        except DownloadError as error:
            reasons.append(str(error))
    if rules.kaggle and _kaggle_is_configured():
        try:
            return "kaggle", rules.kaggle, _download_with_kaggle(rules.kaggle)
        except HousePriceError as error:
            reasons.append(str(error))
    if not rules.sample:
        raise DownloadError(
            f"no data for competition {competition.name!r}: raw/ is empty"
            + "".join(f"; {reason}" for reason in reasons)
            + f". Give the folder that holds {', '.join(FILES)}: houseprice ingest -c {competition.name} --source DIR"
        )
    for reason in reasons:
        say(reason)
    say(SAMPLE_BANNER)
    return "sample", "houseprice.data.sample", {name: text.encode() for name, text in sample_files().items()}


def download(file: MirrorFile, *, timeout: float = 4.0, attempts: int = 2, deadline: float = 120.0) -> bytes:
    """Download one file and check its SHA-1.

    Parameters
    ----------
    file
        URL and expected SHA-1.
    timeout
        Seconds to wait for a connection, and for each piece of the answer.
    attempts
        How often to try; being offline is final at once.
    deadline
        Seconds that the whole of one attempt may take.

    Raises
    ------
    DownloadError
        One line with the URL, the reason and what arrived.
    """
    _check_online(file.url, timeout)
    reason = ""
    for _ in range(attempts):
        try:
            data = _get(file.url, timeout, deadline)
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
            if isinstance(error, urllib.error.HTTPError) and error.code < 500:
                break
            continue
        digest = hashlib.sha1(data).hexdigest()
        if digest == file.sha1:
            return data
        reason = f"its SHA-1 is {digest}, not {file.sha1} ({len(data)} bytes arrived)"
    raise DownloadError(f"{file.url}: download failed: {reason}")


def _get(url: str, timeout: float, deadline: float) -> bytes:
    start, pieces = time.monotonic(), []
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        while piece := answer.read(1 << 16):
            pieces.append(piece)
            if time.monotonic() - start > deadline:
                raise TimeoutError(f"not complete after {deadline:.0f} s")
    return b"".join(pieces)


def _check_online(url: str, timeout: float) -> None:
    """Find out within ``timeout`` whether the host can be reached; a name look-up alone may hang far longer."""
    parts = urllib.parse.urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    outcome: list[str] = []

    def connect() -> None:
        try:
            socket.create_connection((host, port), timeout=timeout).close()
            outcome.append("")
        except OSError as error:
            outcome.append(error.strerror or str(error))

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(timeout)
    reason = outcome[0] if outcome else f"no answer within {timeout:.0f} s"
    if reason:
        raise DownloadError(f"offline? {host} cannot be reached: {reason}")


def _kaggle_is_configured() -> bool:
    folder = Path(os.environ.get("KAGGLE_CONFIG_DIR", Path.home() / ".kaggle"))
    credentials = "KAGGLE_KEY" in os.environ or (folder / "kaggle.json").exists()
    return credentials and shutil.which("kaggle") is not None


def _download_with_kaggle(name: str) -> dict[str, bytes]:
    """The files of a competition through the Kaggle client, which is a program of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["kaggle", "competitions", "download", "-c", name, "-p", folder]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DownloadError(f"kaggle: {error}") from error
        archives = list(Path(folder).glob("*.zip"))
        if done.returncode or not archives:
            said = (done.stderr or done.stdout).strip().splitlines() or ["no archive arrived"]
            raise DownloadError(f"kaggle: competition {name!r}: {said[-1]}")
        try:
            with zipfile.ZipFile(archives[0]) as archive:
                return {member: archive.read(member) for member in FILES if member in archive.namelist()}
        except (zipfile.BadZipFile, OSError) as error:
            raise DownloadError(f"kaggle: {archives[0].name}: {error}") from error
