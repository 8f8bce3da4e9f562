"""The leaderboard, as a notebook shows it."""

from collections.abc import Sequence
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING

from houseprice.notebook.results import Scored
from houseprice.notebook.table import Shown, Table, warnings_of
from houseprice.plan import Plan

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from houseprice.compete.leaderboard import Row
    from houseprice.review import Review


class Leaderboard(Shown):
    """All runs, ensembles and entries of a competition, the best first, each beside the best."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    @cached_property
    def review(self) -> "Review":
        """The rows and what they say of each other (`houseprice.review`)."""
        from houseprice.review import review

        workspace = self._plan.workspace
        return review(workspace.board, workspace.competition.scoring, workspace.n_test)

    @property
    def frame(self) -> "pd.DataFrame":
        """One row each: scores, and the difference from the best with its 95 % interval and verdict."""
        import pandas as pd

        found = self.review
        rows = []
        for row, overrides in zip(found.rows, _apart(found.rows)[0], strict=True):
            beside = found.against_best(row)
            rows.append(
                {
                    "name": row.name,
                    "kind": row.kind,
                    "OOF": row.score,
                    "± s.e.": row.std_error,
                    "train": row.train_score,
                    "gap": row.gap,
                    "from best": beside and beside.difference,
                    "low": beside and beside.low,
                    "high": beside and beside.high,
                    "verdict": "best" if row.key == found.best else beside and beside.in_words,
                    "columns": row.columns,
                    "members": row.members,
                    "seconds": round(row.seconds),
                    "sees test": row.sees_test,
                    "overrides": " ".join(overrides),
                    "source": row.source,
                    "fingerprint": row.fingerprint[:8],
                }
            )
        return pd.DataFrame(rows)

    def compare(self, first: "str | Scored", second: "str | Scored", *others: "str | Scored") -> Table:
        """Compare rows in pairs (`Competition.compare`)."""
        import pandas as pd

        from houseprice.compete.leaderboard import named

        found = self.review
        asked = [each.key if isinstance(each, Scored) else each for each in (first, second, *others)]
        rows = [named(found.rows, name) for name in asked]
        name_of = dict(zip((row.key for row in rows), labels(rows), strict=True))
        pairs = [(a, b, found.compared(a, b)) for a, b in combinations(rows, 2)]
        frame = pd.DataFrame(
            [
                {
                    "first": name_of[a.key],
                    "second": name_of[b.key],
                    "difference": pair.difference,
                    "low": pair.low,
                    "high": pair.high,
                    "p, rows": pair.p_rows,
                    "p, folds": pair.p_folds,
                    "p, adjusted": pair.p_adjusted,
                    "first is": pair.in_words,
                }
                for a, b, pair in pairs
            ]
        )
        side = self._plan.workspace.competition.scoring.better_side
        note = (
            f"Difference: score of the first less the second's, with its 95 % interval; {side} 0 the first is better."
        )
        return Table(f"{self._metric} compared on the same rows", frame, (note, *warnings_of(self._plan)))

    def plot(self) -> "go.Figure":
        """The scores with an interval of 1.96 standard errors each, coloured by what can be told from the best."""
        import numpy as np

        from houseprice.report import figures

        frame = self.frame
        scores, error = frame["OOF"].to_numpy(np.float64), 1.96 * frame["± s.e."].to_numpy(np.float64)
        verdicts = [verdict or "" for verdict in frame["verdict"]]
        return figures.score_intervals(
            labels(self.review.rows), scores, scores - error, scores + error, self._metric, verdicts
        )

    def plot_comparisons(self) -> "go.Figure":
        """Who beats whom: every row beside every other."""
        import numpy as np

        from houseprice.report import figures

        found = self.review
        pairs = [[found.comparisons.get((a.key, b.key)) for b in found.rows] for a in found.rows]
        differences = np.array([[np.nan if pair is None else pair.difference for pair in line] for line in pairs])
        verdicts = [[pair and pair.verdict for pair in line] for line in pairs]
        greater = self._plan.workspace.competition.scoring.greater_is_better
        return figures.comparison_matrix(labels(found.rows), differences, verdicts, greater)

    @property
    def _metric(self) -> str:
        return self._plan.workspace.competition.metric

    def _shown(self) -> Table:
        from houseprice.review import decimals_for, notes

        found = self.review
        best = next((row for row in found.rows if row.key == found.best), None)
        said = notes(found, decimals_for(best.std_error)) if best else ("No experiment has been evaluated yet.",)
        title = f"leaderboard of {self._plan.workspace.competition.name}, {self._metric}"
        shared = _apart(found.rows)[1]
        told = (f"Overrides of all: {' '.join(shared)}",) if shared else ()
        return Table(title, self.frame, (*said, *told, *warnings_of(self._plan)))


def labels(rows: "Sequence[Row]") -> list[str]:
    """What tells rows from one another: the name, and among rows of one name what not all of them override.

    Of a run, and of the same with ``mlp.epochs=20``: ``mlp`` and ``mlp epochs=20``. If that is not enough, the
    fingerprint.
    """
    found: dict[str, str] = {}
    for row in rows:
        namesakes = [other for other in rows if other.name == row.name]
        own = _apart(namesakes)[0]
        told = {other.key: " ".join([row.name, *each]) for other, each in zip(namesakes, own, strict=True)}
        alike = list(told.values()).count(told[row.key]) > 1
        found[row.key] = f"{told[row.key]} @{row.fingerprint[:8]}" if alike else told[row.key]
    return [found[row.key] for row in rows]


def _apart(rows: "Sequence[Row]") -> tuple[list[list[str]], list[str]]:
    """The overrides of each row that not all have, and those that all have."""
    from houseprice.report.standings import own_overrides

    overrides = [own_overrides(row) for row in rows]
    shared = [each for each in overrides[0] if all(each in own for own in overrides)] if overrides else []
    return [[each for each in own if each not in shared] for own in overrides], shared
