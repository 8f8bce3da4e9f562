"""What is finished of a stage that is not: its members, kept until they are part of a run."""

import hashlib
import io
import shutil
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

from houseprice.files import write_atomically


class MemberFolder(MutableMapping[tuple[int, int], Any]):
    """Finished members by (fold, seed), one file each, named after its own hash: ``3-0.<sha256>.joblib``.

    Each is on the disk before the next is fitted, so that an interrupted run loses none. The folder is locked by the
    process that fits them.
    """

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder = folder
        self.say = say

    def __getitem__(self, key: tuple[int, int]) -> Any:
        import joblib

        for path in self._files(key):
            try:
                data = path.read_bytes()
            except FileNotFoundError:  # another process has ended, and removed what its run is made of
                continue
            if hashlib.sha256(data).hexdigest() == path.name.split(".")[1]:
                return joblib.load(io.BytesIO(data))
            self.say(f"{path}: corrupt member; fitted again")
            path.unlink(missing_ok=True)
        raise KeyError(key)

    def __setitem__(self, key: tuple[int, int], member: Any) -> None:
        import joblib

        buffer = io.BytesIO()
        joblib.dump(member, buffer)
        data = buffer.getvalue()
        name = f"{key[0]}-{key[1]}.{hashlib.sha256(data).hexdigest()}.joblib"
        write_atomically(self.folder / name, lambda file: file.write(data))

    def __delitem__(self, key: tuple[int, int]) -> None:
        for path in self._files(key):
            path.unlink()

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for path in sorted(self.folder.glob("*.joblib")):
            fold, seed = path.name.split(".")[0].split("-")
            yield int(fold), int(seed)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def clear(self) -> None:
        """Remove the members, but not the folder, by whose lock others know that somebody works here."""
        for key in list(self):
            del self[key]

    def remove(self) -> None:
        """Remove the folder, once the members are part of a run."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _files(self, key: tuple[int, int]) -> list[Path]:
        return sorted(self.folder.glob(f"{key[0]}-{key[1]}.*.joblib"))
