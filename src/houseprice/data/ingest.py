"""Where the raw files come from: raw/ itself, a folder, the public mirror, the Kaggle client, the built-in sample."""

import csv
import hashlib
import io
import json
import shutil
import stat
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from houseprice.config import Competition
from houseprice.data.form import SAMPLE
from houseprice.data.reading import Say
from houseprice.data.sample import sample_files
from houseprice.data.tables import Tables, read_tables
from houseprice.documents import parse_json
from houseprice.errors import DataError, NetworkError
from houseprice.files import (
    locked,
    read_regular,
    remove_abandoned,
    scratch_folder,
    storing,
    write_atomically,
    write_text,
)
from houseprice.online import call_kaggle, download, kaggle_is_configured

FILES = ("train.csv", "test.csv", SAMPLE)
SAMPLE_BANNER = (
    "*** BUILT-IN SAMPLE: synthetic houses, not the competition's data. Scores mean nothing and the entry can't be "
    "uploaded. For the real thing: houseprice ingest --source DIR ***"
)
_LARGEST_FILE = 4 * 2**30  # of an archive, unpacked: a small archive may hold a file that fills any memory

Source = Literal["local", "mirror", "kaggle", "sample"]
Keep = Callable[[Tables, float], object]


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


def ingest(
    raw: Path,
    competition: Competition,
    source: Path | None,
    say: Say,
    keep: Keep = lambda tables, seconds: None,
) -> Provenance:
    """Bring the competition's files into ``raw/``, checked, and say where they come from.

    In this order: ``source`` where given; files already in ``raw/``; the mirror; the Kaggle client; the sample.
    New files are read and checked in full before anything in ``raw/`` is replaced. Whoever wants the tables that they
    were read into is given them by ``keep``, with the seconds that it took.

    Raises
    ------
    DataError
        If the files break a rule (`houseprice.data.tables.read_tables`).
    NetworkError
        If nothing can be reached and the competition has no built-in sample.
    """
    _check_folder(raw)
    if raw.is_symlink():
        raw = raw.resolve()  # replaced where it lies
    with storing(raw):
        raw.parent.mkdir(parents=True, exist_ok=True)
    with locked(raw.parent, on_wait=lambda: say(f"{raw}: another process is at it; waiting")):
        return _ingest(raw, competition, source, say, keep)


def _check_folder(raw: Path) -> None:
    """Refuse what is no folder, nor leads to one, in the place of ``raw/``."""
    try:
        is_folder = stat.S_ISDIR(raw.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):  # it will be made, or that will fail
        return
    except OSError as error:
        raise DataError(f"{raw}: cannot be read: {error.strerror}. Remove it; ingest makes it anew.") from error
    if not is_folder:
        raise DataError(f"{raw}: is no folder, and the raw files lie in one of this name. Move it away.")


def _ingest(raw: Path, competition: Competition, source: Path | None, say: Say, keep: Keep) -> Provenance:
    """The same, alone at it: of two who replace a folder at once, the second would find it gone."""
    remove_abandoned(raw.parent.glob(".raw.*"))
    replaced = raw.with_name("raw.replaced")
    if replaced.exists():  # a run was killed in the middle of `_store`
        if raw.exists():
            shutil.rmtree(replaced, ignore_errors=True)
        else:
            with storing(raw):
                replaced.rename(raw)
    if source is not None:
        provenance = _store(raw, "local", source.resolve().name, _read_folder(source), competition, say, keep)
    elif any((raw / name).exists() for name in FILES):
        provenance = _found(raw, competition, say, keep)
    else:
        provenance = _store(raw, *_fetch(competition, say), competition, say, keep)
    if provenance.source == "sample":
        say(SAMPLE_BANNER)
    return provenance


def read_raw(raw: Path) -> dict[str, bytes]:
    """The bytes of the raw files, by name."""
    return _read_folder(raw)


def _read_folder(folder: Path) -> dict[str, bytes]:
    """The files of a folder; the sample submission may be absent, as it is on the mirror."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder. Give --source the folder that holds {', '.join(FILES)}.")
    files = {}
    for name in FILES:
        path = folder / name
        try:
            files[name] = read_regular(path)
        except FileNotFoundError as error:
            if name != SAMPLE:
                raise DataError(
                    f"{path}: no such file. Put the competition's {name} there, or give another --source."
                ) from error
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}. Make it a readable file.") from error
    return files


def _found(raw: Path, competition: Competition, say: Say, keep: Keep) -> Provenance:
    """The provenance of the files that lie in ``raw/``, checked; files put there by hand are recorded as local."""
    lying = _read_folder(raw)
    files = _completed(lying, competition, say, keep)
    if SAMPLE not in lying:
        write_atomically(raw / SAMPLE, lambda file: file.write(files[SAMPLE]))
    path = raw / "provenance.json"
    found = _provenance("local", "found in raw/", files)
    try:
        document = parse_json(read_regular(path))
        recorded = Provenance(document["source"], document["origin"], document["files"])
        if recorded.files == found.files:
            return recorded
        say(f"{raw}: its files are not those that provenance.json records; taken as local files")
    except FileNotFoundError:
        say(f"{raw}: files found without provenance.json; taken as local files")
    except (OSError, ValueError, KeyError, TypeError) as error:
        say(f"{path}: not readable ({error!r}); the files are taken as local files")
    write_text(path, _as_json(found))
    return found


def _store(
    raw: Path,
    source: Source,
    origin: str,
    files: Mapping[str, bytes],
    competition: Competition,
    say: Say,
    keep: Keep,
) -> Provenance:
    """Check new files, then put them in the place of ``raw/`` as a whole; what else lies there is kept."""
    files = _completed(files, competition, say, keep)
    provenance = _provenance(source, origin, files)
    new = {**files, "provenance.json": _as_json(provenance).encode()}
    old = {name: (raw / name).read_bytes() for name in new if (raw / name).is_file()}
    if old == new:
        return provenance
    if changed := [name for name in files if name in old and old[name] != new[name]]:
        say(f"{raw}: replacing {', '.join(changed)} by those of {origin}")
    with storing(raw), scratch_folder(raw.parent, ".raw.") as staged:
        if raw.is_dir():
            left_out = shutil.ignore_patterns(*new, ".*.part")
            shutil.copytree(raw, staged, symlinks=True, ignore=left_out, dirs_exist_ok=True)
        staged.chmod(0o755)
        for name, data in new.items():
            (staged / name).write_bytes(data)
        replaced = raw.with_name("raw.replaced")
        if raw.exists():
            raw.rename(replaced)
        try:
            staged.rename(raw)
        except OSError:
            replaced.rename(raw)
            raise
        shutil.rmtree(replaced, ignore_errors=True)
    return provenance


def _completed(files: Mapping[str, bytes], competition: Competition, say: Say, keep: Keep) -> dict[str, bytes]:
    """The files, checked in full; a sample submission is made from the ids of the test file where there is none."""
    start = time.perf_counter()
    tables = read_tables(files, competition, say)
    seconds = time.perf_counter() - start
    for notice in tables.notices:
        say(notice)
    keep(tables, seconds)
    if SAMPLE in files:
        return dict(files)
    say(f"{SAMPLE}: not found; made from the ids of test.csv")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([competition.id, *tables.sample_columns])
    writer.writerows([row_id, *(0 for _ in tables.sample_columns)] for row_id in tables.sample_ids)
    return {**files, SAMPLE: text.getvalue().encode()}


def _provenance(source: Source, origin: str, files: Mapping[str, bytes]) -> Provenance:
    """Describe files; those of a folder are the built-in sample if their houses are, however they came there."""
    if source == "local" and _is_sample(files["train.csv"]):
        source = "sample"
    sizes_and_sums = {
        name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()
    }
    return Provenance(source, origin, sizes_and_sums)


def _is_sample(train: bytes) -> bool:
    """Whether a file is the built-in sample's, however it was saved again: its mark and its line ends don't count."""
    text = sample_files()["train.csv"]
    return len(train) < 2 * len(text.encode()) and train.decode("utf-8-sig").replace("\r\n", "\n") == text


def _as_json(provenance: Provenance) -> str:
    return json.dumps(asdict(provenance), indent=2) + "\n"


def _fetch(competition: Competition, say: Say) -> tuple[Source, str, dict[str, bytes]]:
    """The files from the first source of the network that answers, or the built-in sample."""
    rules, reasons = competition.ingest, []
    if rules.mirror:
        try:
            files: dict[str, bytes] = {name: download(file.url, file.sha1) for name, file in rules.mirror.items()}
            return "mirror", ", ".join(file.url for file in rules.mirror.values()), files
        except NetworkError as error:
            reasons.append(str(error))
    if rules.kaggle and kaggle_is_configured():
        try:
            return "kaggle", rules.kaggle, _download_with_kaggle(rules.kaggle)
        except NetworkError as error:
            reasons.append(str(error))
    if not rules.sample:
        raise NetworkError(
            f"no data for competition {competition.name!r}: raw/ is empty"
            + "".join(f"; {reason}" for reason in reasons)
            + f". Give the folder that holds {', '.join(FILES)}: houseprice ingest -c {competition.name} --source DIR"
        )
    for reason in reasons:
        say(reason)
    return "sample", "houseprice.data.sample", {name: text.encode() for name, text in sample_files().items()}


def _unpacked(archive: zipfile.ZipFile) -> dict[str, bytes]:
    """The files that are wanted, by their very names and into memory: whatever else is in the archive stays there."""
    members = {member.filename: member for member in archive.infolist() if member.filename in FILES}
    if too_large := [name for name, member in members.items() if member.file_size > _LARGEST_FILE]:
        raise zipfile.BadZipFile(f"{', '.join(too_large)} would take more than {_LARGEST_FILE} bytes")
    return {name: archive.read(member) for name, member in members.items()}


def _download_with_kaggle(name: str) -> dict[str, bytes]:
    """The files of a competition through the Kaggle client."""
    with tempfile.TemporaryDirectory() as folder:
        call_kaggle("download", name, 300.0, folder=folder)
        archives = list(Path(folder).glob("*.zip"))
        if not archives:
            raise NetworkError(f"kaggle: competition {name!r}: no archive arrived")
        try:
            with zipfile.ZipFile(archives[0]) as archive:
                files = _unpacked(archive)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:  # RuntimeError: encrypted
            raise NetworkError(f"kaggle: {archives[0].name}: not a sound archive: {error}") from error
    if absent := [member for member in FILES[:2] if member not in files]:
        raise NetworkError(f"kaggle: competition {name!r}: no {' and no '.join(absent)} in {archives[0].name}")
    return files
