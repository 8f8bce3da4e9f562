"""Rows that came after the competition's own: read as its test file is, by what is known of the tables."""

from dataclasses import dataclass

import pandas as pd
from pandas.api.types import is_numeric_dtype

from houseprice.config import Competition
from houseprice.data.reading import Say, open_csv
from houseprice.data.tables import Tables, as_number, check_columns, needed_id, normalized, read_frame, with_id
from houseprice.errors import listing
from houseprice.pace import Paced


@dataclass(frozen=True)
class Layout:
    """What further rows must be like, and their predictions, in plain values: the tables without their rows.

    Attributes
    ----------
    columns
        The feature columns in their order, each with whether it is a number.
    classes, sample_columns
        As of `houseprice.data.tables.Tables`.
    target_range
        The least and the largest target of the training rows, natural units; of classes their codes.
    """

    columns: tuple[tuple[str, bool], ...]
    classes: tuple[str, ...]
    sample_columns: tuple[str, ...]
    target_range: tuple[float, float]


def layout_of(tables: Tables) -> Layout:
    """The layout of the competition's tables."""
    return Layout(
        columns=tuple((name, is_numeric_dtype(tables.train[name])) for name in tables.train.columns),
        classes=tables.classes,
        sample_columns=tables.sample_columns,
        target_range=(float(tables.target.min()), float(tables.target.max())),
    )


def read_new_rows(data: bytes, name: str, competition: Competition, layout: Layout, say: Say) -> pd.DataFrame:
    """Read a file of further rows: the columns and types of the tables, indexed by id, in the file's order.

    The checks are those of ``test.csv`` (`houseprice.data.tables.read_tables`). Columns that the tables don't have are
    left out, and told; a target is one of them.

    Parameters
    ----------
    data, name
        The bytes of the file, and its name for messages.
    competition
        Names the id, the target and the rules for missing values.
    layout
        Of the tables.
    say
        Told of the progress, and of what is left out.

    Raises
    ------
    DataError
        Naming the file, the column, the offending values with their ids, and the way out.
    """
    rules = competition.ingest
    told = {competition.target, *rules.none_columns, *rules.normalize_text}
    numbers = [column for column, is_number in layout.columns if is_number and column not in told]
    progress = Paced(say)
    needed = needed_id("test.csv", competition)
    frame = with_id(read_frame(open_csv(data, name, needed, progress), competition, numbers, progress), competition)
    wanted = [column for column, _ in layout.columns]
    check_columns(frame, wanted, name, "Add them: the entry was trained on them.")
    if competition.target in frame:
        say(f"{name}: has the target column {competition.target!r}, which is ignored")
    if surplus := [column for column in frame.columns if column not in {*wanted, competition.target}]:
        say(f"{name}: ignored columns that are no features: {listing(surplus)}")
    for column, is_number in layout.columns:
        if is_number:
            frame[column] = as_number(frame[column], name)
    for column in frame.columns.intersection(list(rules.normalize_text)):
        frame[column] = normalized(frame[column], rules)
    return frame[wanted]
