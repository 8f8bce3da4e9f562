"""CSV files in memory, cell by cell as they stand: fast where their lines are regular, with clear words where not."""

import csv
import io
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from houseprice.errors import DataError, listing, nearest

Say = Callable[[str], None]
Cells = NDArray[Any]

NAMELESS = "Unnamed: 0"
"""What pandas calls a first column without a name."""
_BOM = b"\xef\xbb\xbf"
_HEAD_ROWS = 1000
_CHUNK_CELLS = 5_000_000
_BLOCK = 1 << 22  # bytes that are looked at together
_LONGEST_LINE = csv.field_size_limit()


@dataclass(frozen=True)
class CsvFile:
    """A file whose header is checked.

    Attributes
    ----------
    data, name
        Its bytes, in UTF-8, and its name for messages.
    header
        The columns' names: none is empty, none stands twice.
    likely_numbers
        The columns whose first cells are numbers, or gaps beside numbers.
    is_regular
        Whether every line has as many cells as the header and quotes stand at the edges of cells alone. Then pandas'
        parser reads the file as Python's would.
    """

    data: bytes
    name: str
    header: tuple[str, ...]
    likely_numbers: frozenset[str]
    is_regular: bool

    def read(self, numbers: Collection[str], missing: Sequence[str], say: Say) -> dict[str, Cells]:
        """All columns in their order: text as it stands, object [n_rows], or float64 [n_rows] with NaN for a gap.

        Parameters
        ----------
        numbers
            The columns that may be read as numbers; one is, if all of its cells are numbers or ``missing``.
        missing
            The cells of numbers that are gaps.
        say
            Told of the progress, chunk by chunk.

        Raises
        ------
        DataError
            If a line has more or fewer cells than the header, or a quote is not closed, naming the line.
        """
        if not self.is_regular:
            _, *rows = _rows(self.data, self.name)
            columns = pd.DataFrame(rows, columns=list(self.header), dtype=object)
            return {name: columns[name].to_numpy() for name in self.header}
        numbers = set() if any(map(_is_number, missing)) else set(numbers)  # pandas would take -999.0 for -999
        found = self._parse(list(self.header), numbers, missing, say)
        text = [name for name, cells in found.items() if name in numbers and cells.dtype != np.float64]
        return found | (self.text_of(text, say) if text else {})

    def text_of(self, columns: Sequence[str], say: Say) -> dict[str, Cells]:
        """Some columns as text, object [n_rows]."""
        if not self.is_regular:
            found = self.read((), (), say)
            return {name: found[name] for name in columns}
        return self._parse(columns, set(), (), say)

    def _parse(self, columns: Sequence[str], numbers: set[str], missing: Sequence[str], say: Say) -> dict[str, Cells]:
        """Columns by pandas' parser, a chunk of rows at a time; of ``numbers`` those of other cells are not usable."""
        places = {self.header.index(name): name for name in columns}
        numeric = {place for place, name in places.items() if name in numbers}
        chunks = pd.read_csv(
            io.BytesIO(self.data),
            names=list(range(len(self.header))),
            header=0,
            index_col=False,
            usecols=list(places),
            dtype={place: object for place in places if place not in numeric},
            keep_default_na=False,
            na_values={place: list(missing) for place in numeric},
            chunksize=max(1, _CHUNK_CELLS // len(self.header)),
            low_memory=False,
            **_exact_floats(),
        )
        parts: dict[str, list[Cells]] = {name: [] for name in columns}
        n_rows = 0
        for chunk in chunks:
            for place, name in places.items():
                cells = chunk[place].to_numpy()
                is_number = place in numeric and cells.dtype.kind in "iuf"
                parts[name].append(cells.astype(np.float64) if is_number else cells.astype(object))
            n_rows += len(chunk)
            say(f"{self.name}: {n_rows:,} rows read")
        return {name: np.concatenate(parts.pop(name)) for name in columns}


def open_csv(
    data: bytes, name: str, id_column: str | None, say: Say = lambda text: None, has_names: bool = False
) -> CsvFile:
    """Check the bytes and the header of a file; ``say`` is told of the progress, block by block.

    Parameters
    ----------
    id_column
        That the file must have; None if it need have none.
    has_names
        Whether the first column must have a name, too. Else it gets pandas' own for the row numbers that it writes.

    Raises
    ------
    DataError
        If it is no CSV text in UTF-8, has no rows, no id column, or columns without a name or with the same one.
    """
    check_text(data, name)
    rows = _rows(data, name)
    header = next(rows, [])
    if len(header) > 1 and not header[0] and not has_names:
        header = [NAMELESS, *header[1:]]
    _check_header(header, name, id_column)
    head = list(islice(rows, _HEAD_ROWS))
    if not head:
        raise DataError(f"{name}: a header and no rows. Put the competition's whole file there.")
    likely = {column for column, cells in zip(header, zip(*head, strict=True), strict=True) if _are_numbers(cells)}
    return CsvFile(data, name, tuple(header), frozenset(likely), _is_regular(data, name, len(header), say))


def check_text(data: bytes, name: str) -> None:
    """Refuse what is no text in UTF-8, or empty, with a `DataError`."""
    if b"\0" in data:
        raise DataError(f"{name}: binary data or UTF-16, not CSV text. Unpack it, or save it as CSV in UTF-8.")
    for start, block in _line_blocks(data):
        try:
            block.decode("utf-8")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, start + error.start) + 1
            raise DataError(
                f"{name}: line {line} is not UTF-8 (byte 0x{block[error.start]:02x}). "
                f"Unpack it if it is an archive; or convert it: iconv -f latin1 -t utf-8 {name}"
            ) from error
    if not re.search(rb"\S", data[len(_BOM) :] if data.startswith(_BOM) else data):
        raise DataError(f"{name}: the file is empty. Put the competition's file there.")


def _line_blocks(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Blocks of whole lines, each with its place, so that no character is cut."""
    start = 0
    while start < len(data):
        end = data.find(b"\n", start + _BLOCK) + 1 or len(data)
        yield start, data[start:end]
        start = end


def _rows(data: bytes, name: str) -> Iterator[list[str]]:
    """The header and the rows by Python's reader, each known to be as long as the header. Blank lines are skipped."""
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline=""), strict=True)
    header: list[str] = []
    line = 1  # where the row begins; quoted cells may hold line ends
    try:
        for row in reader:
            header = header or row
            if row and len(row) != len(header):
                way_out = "Quote cells that hold commas; complete or delete the line."
                if len(row) == len(header) + 1 and not row[-1]:
                    way_out = "It ends with a comma: delete that, in all lines."
                raise DataError(
                    f"{name}: line {line} has {len(row)} cells where the header has {len(header)}. {way_out}"
                )
            elif row:
                yield row
            line = reader.line_num + 1
    except csv.Error as error:
        or_cell = ", or shorten its cells" if "limit" in str(error) else ""
        raise DataError(f"{name}: line {line}: {error}. Mend the quotes of that line{or_cell}.") from error


def _check_header(header: list[str], name: str, id_column: str | None) -> None:
    if nameless := [number for number, column in enumerate(header, 1) if not column.strip()]:
        raise DataError(
            f"{name}: columns without a name in the header: number {listing(nameless)}. Name them, or delete them."
        )
    if repeated := sorted({column for column in header if header.count(column) > 1}):
        raise DataError(f"{name}: the header names columns twice: {listing(repeated)}. Rename or delete one of each.")
    if id_column is not None and id_column not in header:
        separators = [mark for mark in ";\t|" if len(header) == 1 and mark in header[0]]
        hint = f" The separator seems to be {separators[0]!r}: save with commas." if separators else ""
        raise DataError(
            f"{name}: no id column {id_column!r} (files without ids: [ingest].numbered); "
            f"{nearest(id_column, header)}{hint}"
        )


def _are_numbers(cells: Sequence[str]) -> bool:
    """Whether a good part of some cells are numbers; the rest may be gaps."""
    return sum(map(_is_number, cells)) > len(cells) / 10


def _is_number(cell: str) -> bool:
    try:
        return not np.isnan(float(cell))
    except ValueError:
        return False


def _is_regular(data: bytes, name: str, n_columns: int, say: Say) -> bool:
    """Whether all lines have so many cells, or none, and quotes stand at the edges of cells alone.

    The bytes are looked at block by block, as arrays: a loop over lines would take longer than to parse them.
    """
    if n_columns < 2 or not _ends_are_plain(data):
        return False
    cells = np.frombuffer(data, np.uint8)
    inside, n_commas, line_start = 0, 0, 0  # of the line in which a block ends, carried to the next
    for start in range(0, len(cells), _BLOCK):
        block = cells[start : start + _BLOCK]
        quotes = np.flatnonzero(block == ord('"'))
        if not _quotes_are_at_edges(cells, quotes + start, inside):
            return False
        if len(quotes) or inside:
            marks = np.zeros(len(block), np.int8)
            marks[quotes] = 1
            outside = (np.cumsum(marks, dtype=np.int32) + inside) % 2 == 0
            block = np.where(outside, block, ord(" "))  # commas and line ends within quotes are text
            inside = (inside + len(quotes)) % 2
        ends, commas = (np.flatnonzero(block == ord(mark)) for mark in "\n,")
        before_end = n_commas + np.searchsorted(commas, ends)
        of_line = np.diff(before_end, prepend=0)
        lengths = np.diff(ends + start, prepend=line_start - 1) - 1
        is_blank = (of_line == 0) & ((lengths == 0) | ((lengths == 1) & (cells[ends + start - 1] == ord("\r"))))
        if not ((of_line == n_columns - 1) | is_blank).all() or (lengths > _LONGEST_LINE).any():
            return False
        n_commas += len(commas) - (int(before_end[-1]) if len(ends) else 0)
        line_start = start + int(ends[-1]) + 1 if len(ends) else line_start
        say(f"{name}: {(start + len(block)) / 1e6:,.0f} of {len(data) / 1e6:,.0f} MB checked")
    rest = len(cells) - line_start
    return not inside and rest <= _LONGEST_LINE and (rest == 0 or n_commas == n_columns - 1)


def _ends_are_plain(data: bytes) -> bool:
    """Whether a carriage return stands nowhere but before a line feed."""
    return b"\r" not in data or data.count(b"\r") == data.count(b"\r\n")


def _quotes_are_at_edges(cells: NDArray[np.uint8], quotes: NDArray[np.int64], inside: int) -> bool:
    """Whether quotes open behind a comma, a line's end or a closing quote, and close before one of them."""
    edges = np.frombuffer(b',\n\r"', np.uint8)
    opening, closing = quotes[inside::2], quotes[1 - inside :: 2]
    before = cells[opening[opening > 0] - 1]
    behind = cells[closing[closing < len(cells) - 1] + 1]
    return bool(np.isin(before, edges).all() and np.isin(behind, edges).all())


def _exact_floats() -> dict[str, Any]:
    """The option by which older pandas reads numbers to the last bit, as later ones always do."""
    version = tuple(int(part) for part in pd.__version__.split(".")[:2])
    return {"float_precision": "round_trip"} if version < (3, 1) else {}
