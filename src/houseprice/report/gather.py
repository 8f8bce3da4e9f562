"""Gathering the report's contents, once, from the plan, the leaderboard and the artifacts."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go

from houseprice import inspection, pipeline
from houseprice.artifacts import installed_version
from houseprice.compete.leaderboard import Evidence, Row, evidence_of
from houseprice.compete.ledger import board_scores, recommend_finals
from houseprice.compete.submission import read_entry
from houseprice.data.tables import Tables
from houseprice.errors import ConfigError, nearest
from houseprice.learn.curves import Curves, curves_from_json
from houseprice.metrics import Metric, calibration_of, confusion_of
from houseprice.plan import Plan, ensemble_recipe
from houseprice.report import figures
from houseprice.report.columns import columns_of, number
from houseprice.report.contents import (
    ColumnShown,
    EnsembleRun,
    Entry,
    ImportanceShown,
    Ledger,
    LedgerLine,
    Report,
    WorstRow,
)
from houseprice.report.drawing import bars
from houseprice.report.groups import group_table, group_tables
from houseprice.report.panels import panels_of
from houseprice.report.standings import board_of, matrix_of
from houseprice.report.wording import (
    commands,
    data_lead,
    described,
    facts,
    headline,
    ledger_lead,
    tiles,
)
from houseprice.review import Residuals, decimals_for, notes, residuals_of, review

_Ranking = Sequence[Mapping[str, Any]]  # of `houseprice.inspection.summarize_importance`

WORST_ROWS = 15
WORST_COLUMNS = 4
BARS_OF_IMPORTANCE = 15


def gather(plan: Plan, entry: str, by: str | None = None) -> Report:
    """Bring whatever the report of an entry needs, and gather it.

    Parameters
    ----------
    plan
        The stages as they stand.
    entry
        An ensemble or experiment of the competition file; it is submitted if need be.
    by
        The column whose residuals are shown first.

    Raises
    ------
    ConfigError
        If there is no such column.
    HousePriceError
        Whatever the stages raise.
    """
    workspace, competition = plan.workspace, plan.workspace.competition
    metric = competition.scoring
    path = pipeline.submit(plan, entry)
    blend, tables = plan.summary(plan.blend(entry)), pipeline.tables(plan)
    if by is not None and by not in tables.train.columns:
        raise ConfigError(f"--by {by!r}: no such column; {nearest(by, list(map(str, tables.train.columns)))}")
    importance = {run: inspection.summarize_importance(plan, run) for run in _shares(blend)}
    found = review(workspace.board, metric, len(tables.test))
    row = next(row for row in found.rows if row.kind == "entry" and row.fingerprint == plan.entry(entry).fingerprint)
    evidence = evidence_of(workspace.board, row)
    assert evidence is not None  # submit has recorded it
    curves = _curves(plan, found.rows)
    residuals = residuals_of(evidence, tables, metric, worst=WORST_ROWS)
    panels = panels_of(found.rows, curves, metric.error_name, _keys_of_runs(plan, found.rows, blend["weights"]))
    decimals = decimals_for(next((r.std_error for r in found.rows if r.key == found.best), row.std_error))
    board = board_of(found, notes(found, decimals))
    columns = columns_of(tables)
    ledger = _ledger(workspace.board, len(tables.test), metric.greater_is_better)
    important = _by_importance(importance, _shares(blend))
    manifest = read_entry(path)[1]
    return Report(
        title=competition.title or competition.name,
        competition=competition.name,
        metric=metric.name,
        is_log=metric.needs_positive,
        task=competition.task,
        is_squared=metric.of_mean == "root",
        greater_is_better=metric.greater_is_better,
        target=competition.target,
        source=plan.source,
        is_sample=plan.source == "sample",
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=installed_version("houseprice"),
        n_train=len(tables.train),
        n_test=len(tables.test),
        decimals=decimals,
        headline=headline(board, decimals),
        tiles=tiles(found, board, decimals),
        board=board,
        matrix=matrix_of(found),
        panels=panels,
        without_curves=tuple(
            dict.fromkeys(row.name for row in found.rows if row.kind == "run" and row.key not in curves)
        ),
        entry=_entry(plan, entry, blend, manifest),
        bands=group_table("predicted price" if competition.task == "regression" else "probability", residuals.bands),
        by_column=group_tables(evidence, tables, metric, by),
        worst=_worst(residuals, tables, important[:WORST_COLUMNS]),
        worst_columns=tuple(important[:WORST_COLUMNS]),
        importances=tuple(
            ImportanceShown(run, 60 + 24 * min(BARS_OF_IMPORTANCE, len(each))) for run, each in importance.items()
        ),
        importance_table=_importance_table(importance, important),
        ledger=ledger,
        data_lead=data_lead(tables, sum(column.differs for column in columns)),
        columns=tuple(ColumnShown(column, tuple(bars(column.labels, column.train, column.test))) for column in columns),
        commands=commands(plan, entry, row),
        figures=_figures(evidence, residuals, metric, competition.target, tables.classes, blend, importance, ledger),
    )


def _curves(plan: Plan, rows: Sequence[Row]) -> dict[str, Curves]:
    """The learning curves of every run whose artifact is still there, from its summary: no weights are loaded."""
    found = {}
    for row in rows:
        record = plan.workspace.store.recorded(f"train/{row.name}", row.fingerprint) if row.kind == "run" else None
        if record and (curves := record.summary.get("curves")):
            found[row.key] = curves_from_json(curves)
    return found


def _keys_of_runs(plan: Plan, rows: Sequence[Row], runs: Iterable[str]) -> set[str]:
    """The keys of an entry's runs on the leaderboard."""
    fingerprints = {plan.run(run).fingerprint for run in runs}
    return {row.key for row in rows if row.fingerprint in fingerprints}


def _entry(plan: Plan, entry: str, blend: Mapping[str, Any], manifest: Mapping[str, Any]) -> Entry:
    runs = tuple(
        EnsembleRun(name, weight, blend["runs"][name]["score"], blend["runs"][name]["std_error"])
        for name, weight in blend["weights"].items()
    )
    return Entry(
        name=entry,
        described=described(entry, ensemble_recipe(plan.workspace.competition, entry), blend),
        runs=runs,
        weights_height=70 + 44 * len(runs),
        score=blend["score"],
        std_error=blend["std_error"],
        naive_score=blend["naive_score"],
        mean_score=blend["mean_score"],
        facts=facts(manifest),
        manifest=json.dumps(manifest, indent=2, ensure_ascii=False),
    )


def _shares(blend: Mapping[str, Any]) -> dict[str, float]:
    """How much each run counts: its weight's size, but for runs without any; all alike where there are no weights."""
    weights = blend["weights"]
    return {run: abs(weight) for run, weight in weights.items() if weight} or dict.fromkeys(weights, 1.0)


def _by_importance(importance: Mapping[str, _Ranking], weights: Mapping[str, float]) -> list[str]:
    """All columns, the most important to the entry first: runs count by their weights."""
    total: dict[str, float] = {}
    for run, ranking in importance.items():
        for column in ranking:
            total[column["column"]] = total.get(column["column"], 0.0) + weights[run] * column["increase"]
    return sorted(total, key=lambda name: -total[name])


def _ledger(board: Path, n_test: int, greater_is_better: bool) -> Ledger | None:
    """What the competition said, and the entries to finish with; None before it said anything."""
    scores, recommended = board_scores(board), recommend_finals(board, n_test, greater_is_better)
    if not scores:
        return None
    expected = dict(zip(recommended.scores, recommended.expected, strict=True)) if recommended else {}
    finals = recommended.finals if recommended else ()
    lines = tuple(
        LedgerLine(
            name=score.entry.name,
            fingerprint=score.entry.fingerprint[:8],
            oof=score.entry.score,
            public=score.public,
            private=score.private,
            expected=expected.get(score),
            recommended=score.entry in finals,
        )
        for score in scores
    )
    return Ledger(ledger_lead(len(lines), [row.name for row in finals]), lines)


def _importance_table(
    importance: Mapping[str, _Ranking], columns: Sequence[str]
) -> tuple[tuple[str, tuple[float | None, ...]], ...]:
    """The importance of every column to every run, in the order given."""
    of_runs = [{column["column"]: column["increase"] for column in ranking} for ranking in importance.values()]
    return tuple((name, tuple(of_run.get(name) for of_run in of_runs)) for name in columns)


def _worst(residuals: Residuals, tables: Tables, columns: Sequence[str]) -> tuple[WorstRow, ...]:
    """The worst rows with their cells of some columns, joined by id."""
    cells = tables.train[list(columns)]

    def text(cell: object) -> str:
        return number(cell) if isinstance(cell, float) and np.isfinite(cell) else "–" if cell != cell else str(cell)

    return tuple(
        WorstRow(
            id=row.id,
            target=row.target,
            prediction=row.prediction,
            residual=row.residual,
            share=row.share,
            cells=tuple(text(cell) for cell in cells.loc[row.id].tolist()),
        )
        for row in residuals.worst
    )


def _figures(
    evidence: Evidence,
    residuals: Residuals,
    metric: Metric,
    target: str,
    classes: Sequence[str],
    blend: Mapping[str, Any],
    importance: Mapping[str, _Ranking],
    ledger: Ledger | None,
) -> dict[str, str]:
    """Plotly's JSON of every figure that is drawn in the page, but for the learning curves."""
    drawn = _of_classes(evidence, metric, classes) if classes else _of_numbers(evidence, residuals, metric, target)
    if None not in blend["weights"].values():
        weights = np.array(list(blend["weights"].values()))
        drawn["weights"] = figures.ensemble_weights(list(blend["weights"]), weights)
    for place, ranking in enumerate(importance.values()):
        top = ranking[:BARS_OF_IMPORTANCE]
        increase, error = (np.array([column[key] for column in top]) for key in ("increase", "std_error"))
        names = [column["column"] for column in top]
        drawn[f"importance-{place}"] = figures.importance(names, increase, error, metric.error_name)
    if ledger:
        oof, public = (np.array([getattr(line, name) for line in ledger.entries]) for name in ("oof", "public"))
        names = [line.name for line in ledger.entries]
        finals = [line.recommended for line in ledger.entries]
        drawn["ledger"] = figures.board_against_oof(names, oof, public, metric.name, finals)
    return {name: figure.to_json() for name, figure in drawn.items()}


def _of_numbers(evidence: Evidence, residuals: Residuals, metric: Metric, target: str) -> dict[str, go.Figure]:
    log = metric.needs_positive
    true, predicted = metric.from_link(evidence.target), metric.from_link(evidence.oof)
    bands = tuple(np.array([getattr(band, name) for band in residuals.bands]) for name in ("middle", "mean"))
    return {
        "predicted": figures.predicted_against_true(true, predicted, evidence.ids, target, log=log),
        "residuals": figures.residuals_by_price(
            predicted, evidence.oof - evidence.target, evidence.ids, target, bands=(bands[0], bands[1]), log=log
        ),
    }


def _of_classes(evidence: Evidence, metric: Metric, classes: Sequence[str]) -> dict[str, go.Figure]:
    counts = confusion_of(metric, evidence)
    what = classes[1] if len(classes) == 2 else "the most probable class"
    return {
        "predicted": figures.confusion_matrix(counts, classes),
        "residuals": figures.calibration(*calibration_of(evidence.target, evidence.oof), what),
    }
