"""Every error that a user can cause or mend, in one tree.

::

    HousePriceError          caught by the command line: one short message, exit status 1
    ├── ConfigError          the competition file or a --set override is wrong
    ├── DataError            a CSV file breaks a rule: missing column, duplicate id, text target …
    │   └── MetricError      targets or predictions outside the metric's domain
    ├── NetworkError         a host can't be reached; the mirror or the Kaggle client does not do what it is asked
    ├── TrainingError        an experiment can't be trained: diverged member, absent device, bad estimator
    ├── StorageError         a file can't be written or read: full disk, read-only folder, corrupt artifact
    ├── LeaderboardError     the leaderboard has no such row, or does not take what is to be recorded
    └── SubmissionError      an entry fails its checks, can't be reproduced, or is not taken by the competition

A message says what is wrong (file, column or key, offending values), where, and the way out.
"""

from collections.abc import Iterable, Sequence


class HousePriceError(Exception):
    """Base of all errors that are the user's to mend."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of a traceback: the message alone, as the command line does."""
        return [printable(f"error: {self}")]


class ConfigError(HousePriceError):
    """The competition file, or an override of it, is wrong."""


class DataError(HousePriceError):
    """A data file breaks a rule of the competition."""


class MetricError(DataError):
    """Targets or predictions lie outside the metric's domain."""


class NetworkError(HousePriceError):
    """A host cannot be reached, or does not do what it is asked."""


class TrainingError(HousePriceError):
    """An experiment could not be trained."""


class StorageError(HousePriceError):
    """A file of ours could not be written or read back."""


class LeaderboardError(HousePriceError):
    """The leaderboard has not what is asked for, or refuses what it is told."""


class SubmissionError(HousePriceError):
    """An entry fails its checks, does not reproduce, or is not taken by the competition."""


def listing(values: Iterable[object], limit: int = 5) -> str:
    """Write the first few of many values for a message.

    >>> listing([1, 2, 3, 4, 5, 6, 7])
    '1, 2, 3, 4, 5, … (7 in all)'
    """
    shown = [str(value) for value in values]
    text = ", ".join(shown[:limit])
    return text if len(shown) <= limit else f"{text}, … ({len(shown)} in all)"


_CONTROLS = {*range(32), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)} - {*map(ord, "\n\t")}
_ESCAPES = {code: chr(code).encode("unicode_escape").decode() for code in _CONTROLS}


def printable(text: str) -> str:
    r"""Text for a terminal, whatever it quotes of a file: control characters stand as their escapes.

    So no column name moves the cursor, sets a title or runs right to left over what is beside it; line ends and tabs
    remain.

    >>> printable("column '\x1b[2J\x07' in train.csv")
    "column '\\x1b[2J\\x07' in train.csv"
    """
    return text.translate(_ESCAPES)


def nearest(name: str, known: Sequence[str]) -> str:
    """Suggest the known name that is nearest to a wrong one, as the end of a message.

    >>> nearest("weigth_decay", ["weight_decay", "epochs"])
    "did you mean 'weight_decay'?"
    >>> nearest("zzz", ["b", "a"])
    'known: a, b'
    """
    from difflib import get_close_matches

    close = get_close_matches(name, known, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"known: {listing(sorted(known), 12)}"
