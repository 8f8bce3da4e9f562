"""The data of a competition, as a notebook shows it."""

from typing import TYPE_CHECKING

from houseprice import pipeline
from houseprice.notebook.table import Shown, Table, warnings_of
from houseprice.plan import Plan

if TYPE_CHECKING:
    import pandas as pd


class Data(Shown):
    """The training and test rows: shows its columns, with what is missing and what they hold.

    Attributes
    ----------
    train, test
        The feature columns, indexed by id.
    target
        Natural units, indexed like ``train``.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan, self._tables = plan, pipeline.tables(plan)
        self.train: pd.DataFrame = self._tables.train
        self.test: pd.DataFrame = self._tables.test
        self.target: pd.Series = self._tables.target

    def columns(self) -> Table:
        """Every column: its type, the share of missing cells, what it holds, and whether test differs from train."""
        import pandas as pd

        from houseprice.report.columns import columns_of

        rows = [
            {
                "column": column.name,
                "type": "number" if column.is_number else "text",
                "missing, train": column.missing_train,
                "missing, test": column.missing_test,
                "distinct": column.distinct,
                "values": " · ".join(column.summary or (f"{label} {share:.0%}" for label, share in column.frequent)),
                "test differs": column.differs,
            }
            for column in columns_of(self._tables)
        ]
        title = f"{len(self.train)} training and {len(self.test)} test rows, {len(rows)} columns"
        notes = (
            "Values: the smallest, middle and largest number, or the most frequent texts with their shares.",
            *self._tables.notices,
            *warnings_of(self._plan),
        )
        title, shares = f"{title} (source: {self._plan.source})", ("missing, train", "missing, test")
        return Table(title, pd.DataFrame(rows).set_index("column"), notes, shares, max_rows=100)

    def missing(self) -> Table:
        """The columns with gaps, the emptiest first. A category "none of it" is no gap."""
        import pandas as pd

        gaps = pd.DataFrame({"train": self.train.isna().mean(), "test": self.test.isna().mean()})
        gaps = gaps[gaps.any(axis=1)].sort_values("train", ascending=False)
        gaps.index.name = "column"
        title = f"share of missing cells in {len(gaps)} of {len(self.train.columns)} columns"
        return Table(title, gaps, shares=("train", "test"))

    def _shown(self) -> Table:
        return self.columns()
