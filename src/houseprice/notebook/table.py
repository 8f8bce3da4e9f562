"""Tables that show themselves: as HTML in a notebook, as text in a terminal."""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from houseprice.errors import printable
from houseprice.plan import Plan

if TYPE_CHECKING:
    import pandas as pd

NOTHING, MORE = "–", "…"
MAX_COLUMNS = 20
_WIDEST_CELL = 80  # in a terminal


@dataclass(frozen=True, eq=False, repr=False)
class Table:
    """A table with its title and what is to be said beneath.

    Attributes
    ----------
    title
        One line.
    frame
        The table itself, to be worked with; its index is shown unless it merely counts.
    notes
        A sentence each.
    shares
        The columns that are shown as percentages.
    max_rows
        What is longer shows its first and last rows.
    """

    title: str
    frame: "pd.DataFrame"
    notes: tuple[str, ...] = ()
    shares: tuple[str, ...] = ()
    max_rows: int = 60

    def __repr__(self) -> str:
        lines = []
        columns = self._columns()
        widths = [min(_WIDEST_CELL, max(map(len, (head, *cells)))) for head, _, cells in columns]
        for row in zip(*((head, *cells) for head, _, cells in columns), strict=True):
            cut = [cell if len(cell) <= _WIDEST_CELL else f"{cell[: _WIDEST_CELL - 1]}{MORE}" for cell in row]
            padded = [
                cell.rjust(width) if is_number else cell.ljust(width)
                for cell, width, (_, is_number, _) in zip(cut, widths, columns, strict=True)
            ]
            lines.append("  ".join(padded).rstrip())
        return printable("\n".join([self.title, *lines, *self.notes]))

    def _repr_html_(self) -> str:
        """Numbers stand right-aligned; all text is escaped."""
        columns = self._columns()
        align = [f'style="text-align: {"right" if is_number else "left"}"' for _, is_number, _ in columns]

        def row(tag: str, cells: list[str]) -> str:
            made = (f"<{tag} {where}>{escape(cell)}</{tag}>" for where, cell in zip(align, cells, strict=True))
            return f"<tr>{''.join(made)}</tr>"

        head = row("th", [name for name, _, _ in columns])
        body = "".join(row("td", list(cells)) for cells in zip(*(cells for _, _, cells in columns), strict=True))
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        title = f"<p><strong>{escape(self.title)}</strong></p>"
        return f"{title}<table><thead>{head}</thead><tbody>{body}</tbody></table>{notes}"

    def _columns(self) -> list[tuple[str, bool, list[str]]]:
        """What is shown of each column: its name, whether it is a number, its cells as text."""
        import pandas as pd

        counts = isinstance(self.frame.index, pd.RangeIndex)
        frame = self.frame if counts else self.frame.reset_index(allow_duplicates=True)
        rows = _ends(len(frame), self.max_rows)
        shown: list[tuple[str, bool, list[str]]] = []
        for position in _ends(frame.shape[1], MAX_COLUMNS):
            if position is None:
                shown.append((MORE, False, [MORE] * len(rows)))
                continue
            name, values = str(frame.columns[position]), frame.iloc[:, position]
            is_number, write = _writer(values, name in self.shares)
            cells = [MORE if row is None else write(values.iloc[row]) for row in rows]
            shown.append((name, is_number, cells))
        return shown


class Shown:
    """What shows itself as a table."""

    def _shown(self) -> Table:
        raise NotImplementedError

    def __repr__(self) -> str:
        return repr(self._shown())

    def _repr_html_(self) -> str:
        return self._shown()._repr_html_()


def warnings_of(plan: Plan) -> tuple[str, ...]:
    """What a reader has to know of where the rows come from."""
    if plan.source != "sample":
        return ()
    return ("These houses are the built-in sample's, which are synthetic: scores say nothing of the real competition.",)


def _ends(length: int, limit: int) -> list[int | None]:
    """The places that are shown of so many: all, or the first and the last with None between them."""
    if length <= limit:
        return list(range(length))
    return [*range(limit - limit // 2), None, *range(length - limit // 2, length)]


def _writer(values: "pd.Series", is_share: bool) -> tuple[bool, Callable[[Any], str]]:
    """Whether a column is one of numbers, and how its cells are written.

    Whole numbers stand as they are, large ones without fractions, scores with five digits.
    """
    import numpy as np
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    if is_bool_dtype(values):
        return False, lambda value: "yes" if value else ""
    if not is_numeric_dtype(values):
        return False, lambda value: NOTHING if value is None or value != value else " ".join(str(value).split())
    known = values.to_numpy(float)
    known = known[np.isfinite(known)]
    whole = np.array_equal(known, np.round(known))
    decimals = 0 if whole or np.abs(known).max() >= 1000 else 5

    def write(value: float) -> str:
        if not np.isfinite(value):
            return NOTHING
        if is_share:
            return f"{value:.1%}"
        return f"{value:,.{decimals}f}" if abs(value) >= 10_000 else f"{value:.{decimals}f}"

    return True, write
