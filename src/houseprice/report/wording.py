"""The report's sentences: what the figures come to, and how the entry is made again."""

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from houseprice.compete.leaderboard import Row
from houseprice.compete.ledger import ENTRIES_NEEDED
from houseprice.config import Ensemble
from houseprice.data.tables import Tables
from houseprice.plan import Plan
from houseprice.report.contents import Command, Tile
from houseprice.report.standings import Board
from houseprice.review import Review

_METHODS = {
    "mean": "weighted equally",
    "nnls": "weighted by non-negative least squares on out-of-fold predictions",
    "greedy": "weighted by greedy selection on out-of-fold predictions",
    "shrunk": "weighted by non-negative least squares, drawn towards equal weights",
}


def headline(board: Board, decimals: int) -> str:
    """Who leads, and how sure that is."""
    best = next((line.row for line in board.lines if line.verdict == "best"), None)
    if best is None:
        return "Nothing is on the leaderboard yet."
    verdicts = _verdicts(board)
    alike = verdicts.count("not distinguishable")
    leads = f"{best.name} leads with {best.score:,.{decimals}f} ± {best.std_error:,.{decimals}f}"
    if not verdicts:
        return f"{leads}; there is nothing to compare it with."
    if not alike:
        return f"{leads}; all {len(verdicts)} others are worse beyond noise."
    return f"{leads}; {alike} of {len(verdicts)} others are not distinguishable from it by these rows."


def tiles(found: Review, board: Board, decimals: int) -> tuple[Tile, ...]:
    """The figures at the head of the page."""
    best = next((line.row for line in board.lines if line.verdict == "best"), None)
    if best is None:
        return ()
    score, error = f"{best.score:,.{decimals}f}", f"{best.std_error:,.{decimals}f}"
    shown = [Tile("Best, out of fold", score, error, f"{best.name}, {best.kind}")]
    if found.luck:
        luck = f"{found.luck.optimism:,.{decimals + 1}f}"
        of = f"It is the best of {found.luck.experiments} on the same rows: luck is {luck} of its score."
        shown.append(Tile("With luck taken off", f"{found.luck.expected:,.{decimals}f}", "", of))
    one, difference = f"± {found.noise:,.{decimals}f}", f"± {found.noise_of_difference:,.{decimals}f}"
    rows = f"Noise of {found.n_test:,} test rows"
    if math.isnan(found.noise_of_difference):
        shown.append(Tile(rows, one, "", "One standard error of a leaderboard score."))
    else:
        what = f"One standard error of the difference between two such entries. A score by itself: {one}."
        shown.append(Tile(rows, difference, "", what))
    if verdicts := _verdicts(board):
        beyond = "Worse beyond noise over rows and folds, corrected for how many were compared."
        shown.append(Tile("Told apart from the best", f"{verdicts.count('worse')} of {len(verdicts)}", "", beyond))
    return tuple(shown)


def _verdicts(board: Board) -> list[str]:
    """Of the rows that can be compared with the best, one for each of the different predictions."""
    return [line.verdict for line in board.lines if line.verdict not in ("", "best", "same") and not line.repeats]


def described(name: str, recipe: Ensemble, blend: Mapping[str, Any]) -> str:
    """What an entry is, in a sentence."""
    if len(recipe.runs) == 1:
        return f"{name} is a single run."
    of_runs = f"{name} has {len(recipe.runs)} runs"
    if recipe.method == "stack":
        columns = " and the feature columns" if recipe.original_columns else ""
        return (
            f"{of_runs}, stacked: {recipe.estimator} learns from their predictions{columns}. Its score is nested: "
            "neither level has seen the rows that are scored; the naive score, on the rows that it was fitted on, is "
            "too good."
        )
    if recipe.rule == "mean":
        return f"{of_runs}, weighted equally, so that nothing is learnt from the rows."
    if recipe.select != "all":
        chosen = sum(weight != 0 for weight in blend["weights"].values())
        by = "one of each family," if recipe.select == "best_of_family" else "as few as do"
        of_runs = f"{name} takes {chosen} of {len(recipe.runs)} candidate runs, {by} by the one-standard-error rule"
    return (
        f"{of_runs}, {_METHODS[recipe.method]}. Its score is cross-fitted: for each fold the rule is learnt on the "
        "others; the naive score, on the rows that it was learnt on, is too good."
    )


def ledger_lead(n_entries: int, finals: Sequence[str]) -> str:
    """What the ledger says: the entries to finish with, or how many it takes to recommend some."""
    if finals:
        return (
            f"To finish with: {' and '.join(finals)}. Of {n_entries} scored entries they have the best expected final "
            "score, from the out-of-fold and the public score, each by its rows."
        )
    what = "entry" if n_entries == 1 else "entries"
    return f"{n_entries} scored {what}; two to finish with are recommended from {ENTRIES_NEEDED} on."


def data_lead(tables: Tables, n_differing: int) -> str:
    """What the data page shows, and what is found there."""
    differing = (
        "no column’s test values differ from the training values by more than chance would explain (p < 0.001)"
        if not n_differing
        else f"in {n_differing} columns the test values differ from the training values beyond chance (p < 0.001)"
    )
    return (
        f"{len(tables.train):,} training and {len(tables.test):,} test rows, {len(tables.train.columns)} columns; "
        f"{differing}. Bars are training rows, lines test rows."
    )


def facts(manifest: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """What a manifest says first, as names and values."""
    runs = manifest.get("runs", {})
    seeds = ", ".join(f"{name} {len(run['seeds'])}" for name, run in runs.items())
    platform = manifest.get("platform", {})
    found = {
        "SHA-256 of the CSV": manifest.get("sha256"),
        "Fingerprint": manifest.get("fingerprint"),
        "Source of the data": manifest.get("source"),
        "Overrides": " ".join(manifest.get("overrides", [])) or "none",
        "Seeds a fold": seeds,
        "Device, threads": f"{manifest.get('device')}, {manifest.get('threads')}",
        "Versions": ", ".join(f"{name} {version}" for name, version in manifest.get("versions", {}).items()),
        "Platform": ", ".join(str(value) for value in platform.values()),
        "Competition file": manifest.get("competition_sha256"),
        "Package source": manifest.get("package_sha256"),
        **{f"Raw {name}": digest for name, digest in manifest.get("raw_sha256", {}).items()},
    }
    return tuple((name, str(value)) for name, value in found.items() if value)


def commands(plan: Plan, entry: str, row: Row) -> tuple[Command, ...]:
    """The commands that bring the same entry, from a clone of the project.

    Parameters
    ----------
    plan
        Its source says how the raw files were brought; its overrides are repeated.
    entry
        Its name.
    row
        Of the entry on the leaderboard: the commit it was made at.
    """
    workspace = plan.workspace
    on = shlex.join(["-c", workspace.competition.name])
    houseprice = ".venv/bin/houseprice"
    found = []
    if row.git_commit:
        why = "The source that made it" + (
            "; there were changes that this commit does not have." if row.git_dirty else "."
        )
        found.append(Command(why, f"git checkout {shlex.quote(row.git_commit)}"))
    found.append(Command("The pinned packages.", "make setup"))
    if plan.source == "local":
        found.append(
            Command(
                "The competition’s files, from the folder where you have them; the manifest has their SHA-256.",
                f"{houseprice} ingest {on} --source FOLDER",
            )
        )
    else:
        found.append(Command(f"The files, from the {plan.source}.", f"{houseprice} ingest {on}"))
    overrides = [part for override in workspace.overrides for part in ("--set", override)]
    found.append(
        Command(
            "The entry, with all that it needs.",
            f"{houseprice} "
            + shlex.join(["submit", entry, "-c", workspace.competition.name, *overrides, "--device", workspace.device]),
        )
    )
    csv = f"submissions/{workspace.competition.name}/{entry}.csv"
    found.append(
        Command(
            "Or from its manifest: everything anew, and the bytes compared.",
            f"{houseprice} " + shlex.join(["reproduce", csv, "-c", workspace.competition.name]),
        )
    )
    return tuple(found)
