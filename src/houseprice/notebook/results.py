"""Runs, ensembles and entries, as a notebook shows them."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from houseprice import inspection, pipeline
from houseprice.artifacts import Stage
from houseprice.compete import leaderboard
from houseprice.notebook.table import Shown, Table, warnings_of
from houseprice.plan import Plan

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import plotly.graph_objects as go
    from numpy.typing import NDArray

    from houseprice.compete.ensemble import Blend
    from houseprice.learn.crossval import Run as RunResult
    from houseprice.learn.curves import Curves
    from houseprice.metrics import Metric
    from houseprice.review import Residuals


_SHARE = ("share of error",)


class Scored(Shown):
    """A run or an ensemble: its scores, its predictions and where it errs.

    Attributes
    ----------
    name
        As in the competition file.
    summary
        Everything that is known without loading the result: scores, seconds, sizes.
    """

    _stage: Stage

    def __init__(self, plan: Plan, name: str, summary: Mapping[str, Any]) -> None:
        self._plan, self.name, self.summary = plan, name, summary

    @property
    def key(self) -> str:
        """``name@fingerprint``, by which the leaderboard tells it from others of its name."""
        return f"{self.name}@{self._stage.fingerprint[:8]}"

    @property
    def score(self) -> float:
        """The metric over all training rows, each predicted by members that did not see it."""
        return float(self.summary["score"])

    @property
    def std_error(self) -> float:
        """Standard error of `score` over the draw of rows."""
        return float(self.summary["std_error"])

    @property
    def result(self) -> "RunResult | Blend":
        """The stored result itself: `houseprice.learn.crossval.Run`, `houseprice.compete.ensemble.Blend`."""
        raise NotImplementedError

    @property
    def oof(self) -> "pd.Series | pd.DataFrame":
        """Out-of-fold predictions in natural units, by training id; of more classes than two a column for each."""
        return self._series(self.result.oof, self.result.train_ids)

    @property
    def test(self) -> "pd.Series | pd.DataFrame":
        """Predictions of the test rows in natural units, by id."""
        return self._series(self.result.test, self.result.test_ids)

    def worst(self, n: int = 10) -> Table:
        """The training rows that are predicted worst."""
        import pandas as pd

        rows = [
            {"id": row.id, "true": row.target, "predicted": row.prediction, "residual": row.residual,
             "share of error": row.share}
            for row in self._residuals(worst=n).worst
        ]  # fmt: skip
        notes = ("Residual: prediction less truth on the link scale. Share: of the loss of all rows.",)
        return Table(f"worst rows of {self.name}", pd.DataFrame(rows).set_index("id"), notes, _SHARE)

    def residuals(self, by: str | None = None) -> Table:
        """Where the error lives: by predicted price band, or by the values of a column.

        Raises
        ------
        ConfigError
            If there is no such column.
        """
        import pandas as pd

        found = self._residuals(by)
        what = "predicted " + self._target if by is None else by
        rows = [
            {what: group.value, "rows": group.count, self._metric.name: group.score, "mean residual": group.mean,
             "± s.e.": group.std_error, "share of error": group.share}
            for group in (found.bands if by is None else found.by)
        ]  # fmt: skip
        return Table(f"residuals of {self.name} by {what}", pd.DataFrame(rows).set_index(what), shares=_SHARE)

    def plot_predictions(self) -> "go.Figure":
        """Out-of-fold predictions beside the truth; of classes the confusion matrix."""
        from houseprice.metrics import confusion_of
        from houseprice.report import figures

        result = self.result
        if result.classes:
            return figures.confusion_matrix(confusion_of(self._metric, result), result.classes)
        true, predicted = self._natural(self.result.target), self._natural(self.result.oof)
        log = self._metric.needs_positive
        return figures.predicted_against_true(true, predicted, self.result.train_ids, self._target, log=log)

    def plot_residuals(self, by: str | None = None) -> "go.Figure":
        """Residuals over the predicted price, of classes the calibration; or their means by the values of a column."""
        import numpy as np

        from houseprice.metrics import calibration_of
        from houseprice.report import figures

        found, metric = self._residuals(by), self._metric
        if by is not None:
            values, counts = [group.value for group in found.by], [group.count for group in found.by]
            mean, error = (np.array([getattr(group, key) for group in found.by]) for key in ("mean", "std_error"))
            return figures.residuals_by_column(by, values, mean, error, counts)
        classes = self.result.classes
        if classes:
            what = classes[1] if len(classes) == 2 else "the most probable class"
            return figures.calibration(*calibration_of(self.result.target, self.result.oof), what)
        bands = tuple(np.array([getattr(band, key) for band in found.bands]) for key in ("middle", "mean"))
        residual = self.result.oof - self.result.target
        return figures.residuals_by_price(
            self._natural(self.result.oof),
            residual,
            self.result.train_ids,
            self._target,
            bands=(bands[0], bands[1]),
            log=metric.needs_positive,
        )

    @property
    def _metric(self) -> "Metric":

        return self._plan.workspace.competition.scoring

    @property
    def _target(self) -> str:
        return self._plan.workspace.competition.target

    def _residuals(self, by: str | None = None, worst: int = 10) -> "Residuals":
        from houseprice.compete.leaderboard import Evidence
        from houseprice.review import residuals_of

        result = self.result
        evidence = Evidence(result.train_ids, result.target, result.oof, result.fold_of_row, result.in_time)
        return residuals_of(evidence, pipeline.tables(self._plan), self._metric, by=by, worst=worst)

    def _natural(self, link: "NDArray[np.float64]") -> "NDArray[np.float64]":
        return self._metric.from_link(link)

    def _series(self, link: "NDArray[np.float64]", ids: tuple[str, ...]) -> "pd.Series | pd.DataFrame":
        import pandas as pd

        index = pd.Index(ids, name=self._plan.workspace.competition.id)
        if link.ndim == 2:
            return pd.DataFrame(link, index=index, columns=list(self.result.classes))
        return pd.Series(self._natural(link), index=index, name=self._target)

    def _table(self, kind: str, columns: Mapping[str, Any], notes: tuple[str, ...]) -> Table:
        import pandas as pd

        from houseprice.report.standings import own_overrides

        title = f"{kind} {self.name} (source: {self._plan.source})"
        scores = {"OOF": self.score, "± s.e.": self.std_error, **columns}
        frame = pd.DataFrame([scores], index=pd.Index([self.name], name=self._metric.name))
        overrides = own_overrides(leaderboard.named(leaderboard.rows(self._plan.workspace.board), self.key))
        told = (f"Overrides: {' '.join(overrides)}",) if overrides else ()
        return Table(title, frame, (*notes, *told, *warnings_of(self._plan)))


class Run(Scored):
    """A cross-validated experiment."""

    def __init__(self, plan: Plan, name: str) -> None:
        super().__init__(plan, name, pipeline.summarize_run(plan, name))
        self._stage = plan.run(name)

    @cached_property
    def result(self) -> "RunResult":
        """The stored run, with the weights of its networks."""
        return pipeline.train(self._plan, self.name)

    @property
    def curves(self) -> "Curves | None":
        """The learning curves of networks; None for estimators that have none."""
        from houseprice.learn.curves import curves_from_json

        stored = self.summary.get("curves")
        return curves_from_json(stored) if stored else None

    def importance(self) -> Table:
        """How much the run needs each column of the raw files (`houseprice.learn.importance`)."""
        import pandas as pd

        rows = inspection.summarize_importance(self._plan, self.name)
        metric = self._metric.error_name
        frame = pd.DataFrame(rows).rename(columns={"increase": f"rise of {metric}", "std_error": "± s.e."})
        note = (
            f"By how much {metric} rises, on rows that the members did not see, when a column's cells are exchanged. "
            "Columns that say the same share what they are worth."
        )
        return Table(f"importance for {self.name}", frame.set_index("column"), (note,), max_rows=30)

    def plot_curves(self) -> "go.Figure":
        """The metric of training and validation rows over the epochs.

        Raises
        ------
        TrainingError
            If the experiment has no epochs.
        """
        from houseprice.errors import TrainingError
        from houseprice.report import figures

        curves = self.curves
        if curves is None:
            raise TrainingError(f"experiment {self.name!r} has no learning curves: it is not trained in epochs")
        return figures.learning_curves(self.name, curves.epochs, curves.train, curves.valid, self._metric.error_name)

    def plot_importance(self, top: int = 15) -> "go.Figure":
        """The most important columns."""
        import numpy as np

        from houseprice.report import figures

        rows = inspection.summarize_importance(self._plan, self.name)[:top]
        increase, error = (np.array([row[key] for row in rows]) for key in ("increase", "std_error"))
        return figures.importance([row["column"] for row in rows], increase, error, self._metric.error_name)

    def _shown(self) -> Table:
        from houseprice.learn.curves import diagnose

        summary, folds = self.summary, self.summary["fold_scores"]
        mean = sum(folds) / len(folds)
        columns = {
            "mean of folds": mean,
            "train": summary["train_score"],
            "gap": mean - summary["train_score"],
            "columns": summary["columns"],
            "members": summary["members"],
            "seconds": round(summary["seconds"]),
        }
        curves = self.curves
        said = diagnose(curves) if curves else None
        return self._table("run", columns, (f"{said.verdict.capitalize()}: {said.reason}.",) if said else ())


class Ensemble(Scored):
    """Runs weighted, or stacked, by their out-of-fold predictions and scored by cross-fitting."""

    def __init__(self, plan: Plan, name: str) -> None:
        super().__init__(plan, name, pipeline.summarize_ensemble(plan, name))
        self._stage = plan.blend(name)

    @cached_property
    def result(self) -> "Blend":
        """The stored ensemble."""
        return pipeline.ensemble(self._plan, self.name)

    @property
    def weights(self) -> "pd.Series":
        """Of its runs; NaN of a stack whose second level is not linear."""
        import pandas as pd

        return pd.Series(self.summary["weights"], name="weight", dtype=float)

    def plot_weights(self) -> "go.Figure":
        """One bar a run.

        Raises
        ------
        ConfigError
            If it has no weights: a stack whose second level is not linear.
        """
        from houseprice.errors import ConfigError
        from houseprice.report import figures

        weights = self.weights
        if weights.isna().any():
            raise ConfigError(f"ensemble {self.name!r} has no weights to draw: its second level is not linear")
        return figures.ensemble_weights(list(weights.index), weights.to_numpy())

    def _shown(self) -> Table:
        from houseprice.review import weight_text

        columns = {"naive": self.summary["naive_score"], "plain mean": self.summary["mean_score"]}
        columns |= {
            f"weight of {run}": weight or weight_text(weight) for run, weight in self.summary["weights"].items()
        }
        return self._table("ensemble", columns, ())


class Entry(Shown):
    """A submission with its manifest.

    Attributes
    ----------
    name
        Of the ensemble or experiment.
    path
        Of the CSV.
    """

    def __init__(self, plan: Plan, name: str, out: Path | None = None) -> None:
        self._plan, self.name = plan, name
        self.path = pipeline.submit(plan, name, out)

    @property
    def manifest(self) -> dict[str, Any]:
        """What it was made of."""
        from houseprice.compete.submission import read_entry

        return dict(read_entry(self.path)[1])

    @property
    def frame(self) -> "pd.DataFrame":
        """The CSV, by id."""
        import pandas as pd

        column = self._plan.workspace.competition.id
        return pd.read_csv(self.path, dtype={column: str}).set_index(column)

    def _shown(self) -> Table:
        score, metric = self.manifest["score"], self._plan.workspace.competition.metric
        note = f"Out-of-fold {metric} {score['score']:.5f} ± {score['std_error']:.5f}; manifest: {self.path.stem}.json"
        return Table(
            f"entry {self.path} (source: {self._plan.source})",
            self.frame,
            (note, *warnings_of(self._plan)),
            max_rows=6,
        )
