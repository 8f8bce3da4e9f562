"""What the report says, as one frozen value."""

from collections.abc import Mapping
from dataclasses import dataclass

from houseprice.report.columns import Column
from houseprice.report.drawing import Bar
from houseprice.report.groups import GroupTable
from houseprice.report.panels import Panel
from houseprice.report.standings import Board, Matrix


@dataclass(frozen=True)
class Tile:
    """A figure at the head of the page: its name, value and spread, and what it means."""

    name: str
    value: str
    spread: str
    explained: str


@dataclass(frozen=True)
class EnsembleRun:
    """A run of the entry: its weight, score and standard error. A second level that is not linear has no weights."""

    name: str
    weight: float | None
    score: float
    std_error: float


@dataclass(frozen=True)
class Entry:
    """The entry that the report is about: what its manifest and its ensemble say."""

    name: str
    described: str
    runs: tuple[EnsembleRun, ...]
    weights_height: int
    score: float
    std_error: float
    naive_score: float
    mean_score: float
    facts: tuple[tuple[str, str], ...]
    manifest: str


@dataclass(frozen=True)
class ImportanceShown:
    """The importance of columns to one run of the entry, and how high its figure is."""

    run: str
    height: int


@dataclass(frozen=True)
class WorstRow:
    """A training row with a large residual: natural units, residual on the link scale, some of its cells."""

    id: str
    target: float
    prediction: float
    residual: float
    share: float
    cells: tuple[str, ...]


@dataclass(frozen=True)
class ColumnShown:
    """A column of the data page with its drawing."""

    about: Column
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class LedgerLine:
    """An entry that the competition has scored."""

    name: str
    fingerprint: str
    oof: float
    public: float
    private: float | None
    expected: float | None
    recommended: bool


@dataclass(frozen=True)
class Ledger:
    """What the competition said of entries, and the sentence above it."""

    lead: str
    entries: tuple[LedgerLine, ...]


@dataclass(frozen=True)
class Command:
    """A command that is part of making the entry again, and why."""

    why: str
    text: str


@dataclass(frozen=True)
class Report:
    """Everything that the page shows. Texts are as they stand in the files: whoever renders them escapes them.

    Attributes
    ----------
    figures
        Plotly's JSON of every figure, by its place in the page.
    decimals
        Digits after the point of scores, so that the best one's standard error has two of its own.
    """

    title: str
    competition: str
    metric: str
    is_log: bool
    task: str
    is_squared: bool
    greater_is_better: bool
    target: str
    source: str
    is_sample: bool
    made: str
    version: str
    n_train: int
    n_test: int
    decimals: int
    headline: str
    tiles: tuple[Tile, ...]
    board: Board
    matrix: Matrix
    panels: tuple[Panel, ...]
    without_curves: tuple[str, ...]
    entry: Entry
    bands: GroupTable
    by_column: tuple[GroupTable, ...]
    worst: tuple[WorstRow, ...]
    worst_columns: tuple[str, ...]
    importances: tuple[ImportanceShown, ...]
    importance_table: tuple[tuple[str, tuple[float | None, ...]], ...]
    ledger: Ledger | None
    data_lead: str
    columns: tuple[ColumnShown, ...]
    commands: tuple[Command, ...]
    figures: Mapping[str, str]
