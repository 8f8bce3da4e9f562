"""The commands that look at the leaderboard: its rows beside the best, any of them beside one another, their errors."""

import csv
import io
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any

import typer

from houseprice.cli_options import NAME, ROOT, Json, Name, Root, make_plan, one_of, open_workspace
from houseprice.console import NO_VALUE, echo
from houseprice.errors import LeaderboardError, nearest

if TYPE_CHECKING:
    from houseprice.compete.leaderboard import Row
    from houseprice.metrics import Metric
    from houseprice.plan import Workspace
    from houseprice.review import Group, Review

app = typer.Typer()

KINDS = ("run", "ensemble", "entry")


@app.command()
def leaderboard(
    sort: Annotated[
        str | None,
        typer.Option("--sort", metavar="KEY", help="A key of --json, such as gap; -seconds for the largest first."),
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--kind", metavar="|".join(KINDS), callback=one_of(*KINDS), help="Show these alone.")
    ] = None,
    source: Annotated[
        str | None, typer.Option("--source", metavar="SOURCE", help="Show rows of these files: local, sample …")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="GLOB", help="Show rows so named: 'd2l-*', or name@fingerprint.")
    ] = None,
    record: Annotated[str | None, typer.Option("--record", metavar="ENTRY", help="Store an entry's --public.")] = None,
    public: Annotated[float | None, typer.Option("--public", metavar="X", help="Its score on the board.")] = None,
    private: Annotated[float | None, typer.Option("--private", metavar="Y", help="Its final score.")] = None,
    competition: Name = NAME,
    root: Root = ROOT,
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the same as CSV.")] = False,
) -> None:
    """Show all runs, ensembles and entries beside the best; or record what the competition said of an entry."""
    from houseprice.console import print_json

    if (record is None) != (public is None) or (private is not None and record is None):
        raise typer.BadParameter("--record ENTRY goes with --public X, and with --private Y once that is known")
    if as_json and as_csv:
        raise typer.BadParameter("--json or --csv, not both")
    workspace = open_workspace(root, competition)
    if record is not None and public is not None:
        _record_board_score(workspace, record, public, private)
        return
    found = _review(workspace)
    documents = {row.key: _document(row, found) for row in found.rows}
    shown = [
        row
        for row in (_sorted(found.rows, documents, sort) if sort else found.rows)
        if kind in (None, row.kind)
        and source in (None, row.source)
        and (name is None or fnmatchcase(row.name, name) or fnmatchcase(row.key, name))
    ]
    if as_json:
        print_json([documents[row.key] for row in shown])
    elif as_csv:
        _print_csv([documents[row.key] for row in shown], list(_document_keys()))
    else:
        _print_leaderboard(f"leaderboard of {competition}, {workspace.competition.metric}", shown, found)


def _review(workspace: "Workspace") -> "Review":
    from houseprice.review import review

    return review(workspace.board, workspace.competition.scoring, workspace.n_test)


_OF_COMPARISON = ("difference", "low", "high", "p_rows", "p_folds", "p_adjusted")
_OF_BEST = ("expected", "optimism", "noise", "noise_of_difference")


def _document_keys() -> Sequence[str]:
    from houseprice.compete.leaderboard import Row

    return ("key", *Row.__dataclass_fields__, "gap", *_OF_COMPARISON, "verdict", *_OF_BEST)


def _document(row: "Row", found: "Review") -> dict[str, Any]:
    """A row as JSON values: as stored, beside the best, and of the best what is said beneath the table."""
    beside = found.against_best(row)
    is_best = row.key == found.best
    of_best: tuple[float | None, ...] = (None,) * len(_OF_BEST)
    if is_best and found.luck:
        of_best = (found.luck.expected, found.luck.optimism, found.noise, found.noise_of_difference)
    document = {
        "key": row.key,
        **asdict(row),
        "gap": row.gap,
        **{name: getattr(beside, name, None) for name in _OF_COMPARISON},
        "verdict": "best" if is_best else beside.verdict if beside else None,
        **dict(zip(_OF_BEST, of_best, strict=True)),
    }
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in document.items()}


def _sorted(rows: "Sequence[Row]", documents: Mapping[str, Mapping[str, Any]], sort: str) -> "list[Row]":
    """The rows by a key, what has none last; rows that are equal by it stay the best first."""
    key, descending = sort.removeprefix("-"), sort.startswith("-")
    if key not in _document_keys():
        raise LeaderboardError(f"--sort {sort}: no such key; {nearest(key, list(_document_keys()))}")
    known = [row for row in rows if documents[row.key][key] is not None]
    ordered = sorted(known, key=lambda row: documents[row.key][key], reverse=descending)
    return [*ordered, *(row for row in rows if documents[row.key][key] is None)]


def _print_csv(documents: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(keys)
    for document in documents:
        values = (document[key] for key in keys)
        writer.writerow(" ".join(map(str, value)) if isinstance(value, tuple) else value for value in values)
    sys.stdout.write(text.getvalue())


def _print_leaderboard(title: str, rows: "Sequence[Row]", found: "Review") -> None:
    from houseprice.console import aligned, print_notes, print_table
    from houseprice.review import decimals_for, notes

    digits = decimals_for(next((row.std_error for row in found.rows if row.key == found.best), 0.0))
    compared = [found.against_best(row) for row in rows]
    beside = [None if each is None or each.is_same else each for each in compared]
    columns: dict[str, Sequence[object]] = {
        "name": [row.name for row in rows],
        "kind": [row.kind for row in rows],
        "OOF": aligned(f"{row.score:.{digits + 1}f}" for row in rows),
        "± s.e.": aligned(f"{row.std_error:.{digits}f}" for row in rows),
        "from best": aligned(f"{each.difference:+.{digits}f}" if each else NO_VALUE for each in beside),
        "95 % interval": aligned(
            f"{each.low:+.{digits}f} … {each.high:+.{digits}f}" if each else NO_VALUE for each in beside
        ),
        "verdict": [_verdict(row, found) for row in rows],
        "sees test": ["sees test" if row.sees_test else "" for row in rows],
        "naive": aligned(_score(row.naive_score, digits + 1) for row in rows),
        "plain mean": aligned(_score(row.mean_score, digits + 1) for row in rows),
        "train": aligned(_score(row.train_score, digits) for row in rows),
        "gap": aligned(NO_VALUE if row.gap is None else f"{row.gap:+.{digits}f}" for row in rows),
        "source": [row.source for row in rows],
        "overrides": [" ".join(row.overrides) for row in rows],
        "fingerprint": [row.fingerprint[:8] for row in rows],
        "s": [round(row.seconds) for row in rows],
        "columns": [row.columns for row in rows],
        "members": [row.members for row in rows],
        "MB": [round(row.peak_memory_mb) for row in rows],
        "commit": [f"{row.git_commit[:8]}{'+' * bool(row.git_dirty)}" if row.git_commit else "" for row in rows],
        "time (UTC)": [row.created[:16].replace("T", " ") for row in rows],
    }
    columns = {head: cells for head, cells in columns.items() if not rows or any(cell != "" for cell in cells)}
    least = ("time (UTC)", "commit", "MB", "members", "columns", "train", "s", "fingerprint", "plain mean", "naive")
    cells = list(zip(*columns.values(), strict=True))
    left_out = print_table(
        title, list(columns), cells, (*least, "overrides", "source", "gap", "from best", "± s.e.", "kind")
    )
    hidden = f"Left out for want of width: {', '.join(left_out)}; --json and --csv have all."
    print_notes([*notes(found, digits), *([hidden] if left_out else [])])


def _score(value: float | None, digits: int) -> str:
    return NO_VALUE if value is None else f"{value:.{digits}f}"


def _verdict(row: "Row", found: "Review") -> str:
    if row.key == found.best:
        return "best"
    beside = found.against_best(row)
    return beside.in_words if beside else NO_VALUE


def _record_board_score(workspace: "Workspace", name: str, public: float, private: float | None) -> None:
    from houseprice import handing_in, pipeline
    from houseprice.compete.leaderboard import named, rows
    from houseprice.compete.ledger import ENTRIES_NEEDED, board_scores, record_board_score

    entry = named(rows(workspace.board), name, ("entry",))
    greater_is_better = workspace.competition.scoring.greater_is_better
    record_board_score(workspace.board, entry, public, private, may_be_negative=greater_is_better)
    said = f"public {public:.5f}" + ("" if private is None else f", private {private:.5f}")
    echo(f"{entry.key}: {said}; out-of-fold {entry.score:.5f} ± {entry.std_error:.5f}")
    enough = len(board_scores(workspace.board)) >= ENTRIES_NEEDED
    if enough and (found := handing_in.recommend_finals(pipeline.make_plan(workspace))):
        echo(found.sentence)


@app.command()
def compare(
    names: Annotated[
        list[str],
        typer.Argument(metavar="A B…", help="Rows of the leaderboard: the newest so named, or name@fingerprint."),
    ],
    competition: Name = NAME,
    root: Root = ROOT,
    as_json: Json = False,
) -> None:
    """Compare rows of the leaderboard in pairs: difference on the same rows, interval, tests, a verdict in words."""
    from itertools import combinations

    from houseprice.compete.leaderboard import named
    from houseprice.console import aligned, print_json, print_notes, print_table
    from houseprice.review import decimals_for, decisive_rows

    if len(names) < 2:
        raise typer.BadParameter("compare takes two names or more")
    workspace = open_workspace(root, competition)
    metric = workspace.competition.scoring
    found = _review(workspace)
    rows = [named(found.rows, name) for name in names]
    pairs = [(first, second, found.compared(first, second)) for first, second in combinations(rows, 2)]
    hanging_on = [decisive_rows(workspace.board, first, second, metric) for first, second, _ in pairs]
    if as_json:
        documents = zip(pairs, hanging_on, strict=True)
        print_json([{**asdict(pair), "decisive_rows": rows} for (*_, pair), rows in documents])
        return
    digits = decimals_for(min(row.std_error for row in rows))
    columns: dict[str, Sequence[object]] = {
        "pair": [_pair(first, second) for first, second, _ in pairs],
        "difference": aligned(f"{pair.difference:+.{digits}f}" for *_, pair in pairs),
        "95 % interval": aligned(f"{pair.low:+.{digits}f} … {pair.high:+.{digits}f}" for *_, pair in pairs),
        "p rows": aligned(f"{pair.p_rows:.2g}" for *_, pair in pairs),
        "p folds": aligned(NO_VALUE if pair.p_folds is None else f"{pair.p_folds:.2g}" for *_, pair in pairs),
        "p": aligned(f"{pair.p_adjusted:.2g}" for *_, pair in pairs),
        "first is": [pair.in_words for *_, pair in pairs],
    }
    title = (
        f"{metric.name} of {competition} on the same rows, first - second: {metric.better_side} 0 the first is better"
    )
    cells = list(zip(*columns.values(), strict=True))
    print_table(title, list(columns), cells, ("p rows", "p folds"))
    said = [f"p: the larger of both tests, corrected for all {found.n_pairs} pairs of the leaderboard's predictions."]
    if any(pair.p_folds is None and not pair.is_same for *_, pair in pairs):
        said.append(f"{NO_VALUE}: not on the same folds, so that the rows alone decide.")
    hanging: dict[tuple[str, ...], list[str]] = {}
    for (first, second, pair), ids in zip(pairs, hanging_on, strict=True):
        if len(ids) <= _A_HANDFUL and not pair.is_same:
            hanging.setdefault(ids, []).append(_pair(first, second))
    for ids, of_pairs in hanging.items():
        few = "one row" if len(ids) == 1 else f"{len(ids)} rows"
        said.append(f"Half of the variance of {', '.join(of_pairs)} hangs on {few}: id {', '.join(ids)}.")
    print_notes(said)


def _pair(first: "Row", second: "Row") -> str:
    return f"{first.key} - {second.key}" if first.name == second.name else f"{first.name} - {second.name}"


_A_HANDFUL = 5


@app.command()
def residuals(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A row of the leaderboard; the best by default.")
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="COLUMN", help="Show the error by a column's values.")
    ] = None,
    worst: Annotated[int, typer.Option("--worst", metavar="N", min=0, help="Show so many rows.")] = 10,
    competition: Name = NAME,
    root: Root = ROOT,
    as_json: Json = False,
) -> None:
    """Show where a row's errors lie: the worst rows, and the error by predicted price and by a column's values."""
    from houseprice import pipeline
    from houseprice.compete.leaderboard import evidence_of, named
    from houseprice.console import print_json, print_table
    from houseprice.review import residuals_of

    plan = make_plan(root, competition)
    workspace, metric = plan.workspace, plan.workspace.competition.scoring
    found = _review(workspace)
    wanted = name or found.best
    if wanted is None:
        raise LeaderboardError("nothing is on the leaderboard yet: houseprice evaluate, ensemble and submit fill it")
    row = named(found.rows, wanted)
    evidence = evidence_of(workspace.board, row)
    if evidence is None:
        raise LeaderboardError(f"{row.key}: no out-of-fold predictions are stored. Evaluate it again.")
    shown = residuals_of(evidence, pipeline.tables(plan), metric, by, worst)
    if as_json:
        print_json({"row": row.key, **asdict(shown)})
        return
    price = workspace.competition.target
    title = f"worst rows of {row.name} (source: {row.source})"
    cells = [
        (each.id, _natural(each.target), _natural(each.prediction), each.residual, f"{each.share:6.1%}")
        for each in shown.worst
    ]
    print_table(title, (workspace.competition.id, price, "predicted", "residual", _share_of(metric)), cells)
    predicted = price if workspace.competition.task == "regression" else "probability"
    _print_groups(f"by predicted {predicted}", predicted, shown.bands, metric)
    if by is not None:
        _print_groups(f"by {by}", by, shown.by, metric)
    echo(_RESIDUAL[workspace.competition.task])


_RESIDUAL = {
    "regression": "Residual: out-of-fold prediction less target on the metric's scale; above 0 is predicted too high.",
    "binary": "Residual: out-of-fold probability of the positive class less 1, or 0 where the row has the other.",
    "multiclass": "Predicted: the out-of-fold probability of the row's own class. Residual: that less 1.",
}


def _share_of(metric: "Metric") -> str:
    return "share of squared error" if metric.of_mean == "root" else "share of the loss"


def _print_groups(title: str, column: str, groups: "Sequence[Group]", metric: "Metric") -> None:
    from houseprice.console import print_table

    heads = (column, "rows", metric.name, "mean residual", "± s.e.", _share_of(metric))
    cells = [
        (g.value, g.count, g.score, g.mean, None if math.isnan(g.std_error) else g.std_error, f"{g.share:6.1%}")
        for g in groups
    ]
    print_table(title, heads, cells)


def _natural(value: float) -> int | float:
    """Prices without cents; what is small with its digits."""
    return round(value) if abs(value) >= 1000 else value
