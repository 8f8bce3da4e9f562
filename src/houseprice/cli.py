"""The command line: every command opens the workspace, calls one stage of the pipeline and shows its result."""

import math
import sys
from collections.abc import Mapping, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from houseprice import cli_ablate, cli_audit, cli_bench, cli_board, cli_grid, cli_new, cli_predict, cli_shift
from houseprice.cli_options import (
    LISTENER,
    NAME,
    ROOT,
    Device,
    Entry,
    Experiments,
    Json,
    Memory,
    Name,
    Root,
    Seeds,
    Set,
    Weights,
    make_plan,
    open_workspace,
)
from houseprice.console import echo, open_closed_streams
from houseprice.errors import HousePriceError, printable

if TYPE_CHECKING:
    from houseprice.plan import Plan


class _Commands(TyperGroup):
    """Turns what a user can mend into one message and a status: 1 for an error, 130 for Ctrl-C."""

    def invoke(self, ctx: Any) -> Any:
        try:
            with LISTENER.never_silent():
                return super().invoke(ctx)
        except HousePriceError as error:
            typer.echo(printable(f"error: {error}"), err=True)
            raise typer.Exit(1) from error
        except MemoryError as error:
            typer.echo(printable(f"error: out of memory: {error}. Lower what needs so much, or close others"), err=True)
            raise typer.Exit(1) from error
        except KeyboardInterrupt as interrupt:
            typer.echo("interrupted; what is finished is kept, and the same command goes on from here", err=True)
            raise typer.Exit(130) from interrupt


app = typer.Typer(
    cls=_Commands,
    help="From a Kaggle competition's CSV files to a checked, reproducible submission.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(cli_board.app)
app.add_typer(cli_ablate.app)
app.add_typer(cli_audit.app)
app.add_typer(cli_grid.app)
app.add_typer(cli_shift.app)
app.add_typer(cli_new.app)
app.add_typer(cli_predict.app)
app.add_typer(cli_bench.app)


@app.command()
def ingest(
    source: Annotated[Path | None, typer.Option("--source", metavar="DIR", help="Folder with the CSV files.")] = None,
    competition: Name = NAME,
    root: Root = ROOT,
) -> None:
    """Bring the competition's CSV files into data/NAME/raw/, checked."""
    from houseprice import pipeline

    workspace = open_workspace(root, competition)
    provenance = pipeline.ingest(workspace, source, with_tables=True)
    echo(f"{workspace.raw}: {', '.join(provenance.files)} (source: {provenance.source}, {provenance.origin})")


@app.command()
def features(
    experiments: Experiments = None,
    overrides: Set = None,
    competition: Name = NAME,
    root: Root = ROOT,
    as_json: Json = False,
) -> None:
    """Build the feature matrices of experiments: one preprocessor a fold, fitted on its training rows."""
    from houseprice import pipeline
    from houseprice.console import print_json, print_table

    plan = make_plan(root, competition, overrides)
    rows = []
    for name in _chosen(plan, experiments):
        stage = plan.features(name)
        if not plan.workspace.store.find(stage):
            pipeline.features(plan, name)
        recipe = plan.workspace.competition.experiments[name]
        scope = plan.workspace.competition.features[recipe.features].scope
        columns = plan.summary(stage)["columns"]
        rows.append(
            {
                "experiment": name,
                "features": recipe.features,
                "folds": recipe.folds,
                "scope": scope,
                "columns": columns,
            }
        )
    if as_json:
        print_json(rows)
    else:
        cells = [(*list(row.values())[:4], "–".join(str(width) for width in sorted({*row["columns"]}))) for row in rows]
        print_table(f"features of {competition}", ("experiment", "features", "folds", "scope", "columns"), cells)


@app.command()
def train(
    experiments: Experiments = None,
    seeds: Seeds = None,
    device: Device = "auto",
    memory: Memory = None,
    weights: Weights = None,
    overrides: Set = None,
    competition: Name = NAME,
    root: Root = ROOT,
    as_json: Json = False,
) -> None:
    """Cross-validate experiments. Interrupted, it goes on where it was."""
    overrides = [*(overrides or ()), *([f"memory_mb={memory}"] if memory else ())]
    plan = make_plan(root, competition, overrides, device, seeds)
    if weights:
        overrides += [f"experiments.{name}.weights={weights}" for name in _chosen(plan, experiments)]
        plan = make_plan(root, competition, overrides, device, seeds)
    _evaluate(plan, experiments, as_json)


@app.command()
def evaluate(
    experiments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[EXPERIMENT]…", help="All of the file by default; see also --nested."),
    ] = None,
    nested: Annotated[
        bool,
        typer.Option(
            "--nested",
            help="Score the choice of the best of those named, experiments and ensembles (by default the entry), on "
            "folds that had no say in it.",
        ),
    ] = False,
    seeds: Seeds = None,
    device: Device = "auto",
    overrides: Set = None,
    competition: Name = NAME,
    root: Root = ROOT,
    as_json: Json = False,
) -> None:
    """Show experiments' scores by fold and out of fold, the gap to the training rows; of those named, the curves."""
    plan = make_plan(root, competition, overrides, device, seeds)
    if nested:
        _evaluate_nested(plan, experiments or [plan.workspace.competition.entry], as_json)
    else:
        _evaluate(plan, experiments, as_json, draws=bool(experiments))


def _evaluate(plan: "Plan", experiments: list[str] | None, as_json: bool, draws: bool = False) -> None:
    from houseprice import pipeline
    from houseprice.console import print_json, print_table

    chosen = _chosen(plan, experiments)
    plan.workspace.listener.say(f"device: {plan.workspace.device}")
    rows = []
    for name in chosen:
        summary = pipeline.summarize_run(plan, name)
        known = [score for score in summary["fold_scores"] if not math.isnan(score)]  # a fold may lack a class
        fold_mean = sum(known) / len(known) if known else math.nan
        rows.append({"name": name, "source": plan.source, **summary, "fold_mean": fold_mean})
    for row in rows:
        row["gap"] = row["fold_mean"] - row["train_score"]
    if as_json:
        print_json(rows)
        return
    keys = ("name", "score", "std_error", "fold_mean", "train_score", "gap", "columns", "members")
    heads = ("experiment", "OOF", "± s.e.", "mean of folds", "train", "gap", "columns", "members", "fold by fold")
    cells = [(*(row[key] for key in keys), " ".join(f"{score:.4f}" for score in row["fold_scores"])) for row in rows]
    competition = plan.workspace.competition
    title = f"{competition.metric} of {competition.name}, all training rows (source: {plan.source})"
    print_table(title, heads, cells, ("columns", "members", "mean of folds"))
    if draws:
        _draw_curves(rows, competition.scoring.error_name)


def _evaluate_nested(plan: "Plan", names: Sequence[str], as_json: bool) -> None:
    from dataclasses import asdict

    from houseprice import inspection
    from houseprice.console import print_json, print_notes, print_table
    from houseprice.review import decimals_for

    found = inspection.choice(plan, names)
    rules = plan.workspace.competition
    if as_json:
        told = {key: value for key, value in asdict(found).items() if key != "predictions"}
        print_json({"metric": rules.metric, "source": plan.source, **told})
        return
    digits = decimals_for(found.std_error) + 1
    cells = [(each.fold, each.chosen, each.inner_score, each.score) for each in found.folds]
    title = f"nested {rules.metric} of {rules.name}: the best of {', '.join(found.candidates)} (source: {plan.source})"
    print_table(title, ("without fold", "chosen", "by its score", "score of the fold"), cells)
    luck = f"{found.optimism:.{digits}f} too good" if found.optimism > 0 else "not too good"
    print_notes(
        (
            f"Nested: {found.score:.{digits}f} ± {found.std_error:.{digits}f}, on folds that had no say in the choice.",
            f"Naive: {found.winner} wins with {found.naive_score:.{digits}f} on the folds that chose it, {luck}.",
        )
    )


def _draw_curves(rows: Sequence[Mapping[str, Any]], metric: str) -> None:
    from houseprice.learn.curves import curves_from_json
    from houseprice.sketch import sketch

    for row in rows:
        if row["curves"]:
            title = f"{row['name']}, {metric} by epoch, log axis, mean of folds"
            echo("\n".join(sketch(title, curves_from_json(row["curves"]))))


@app.command()
def importance(
    experiment: Annotated[
        str | None, typer.Argument(metavar="[EXPERIMENT]", help="By default the first behind the entry.")
    ] = None,
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="Show so many columns.")] = 20,
    seeds: Seeds = None,
    device: Device = "auto",
    overrides: Set = None,
    competition: Name = NAME,
    root: Root = ROOT,
    as_json: Json = False,
) -> None:
    """Show how much an experiment needs each column: the rise of its error when the column's cells are exchanged."""
    from houseprice import inspection
    from houseprice.console import print_json, print_table

    plan = make_plan(root, competition, overrides, device, seeds)
    rules = plan.workspace.competition
    name = rules.experiment_name(experiment)
    ranking = inspection.summarize_importance(plan, name)
    if as_json:
        print_json([{"experiment": name, "source": plan.source, **row} for row in ranking])
        return
    cells = [(row["column"], row["increase"], row["std_error"]) for row in ranking[:top]]
    heads = ("column", f"rise of {rules.scoring.error_name}", "± s.e.")
    print_table(f"importance for {name} (source: {plan.source})", heads, cells)


@app.command()
def ensemble(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[ENSEMBLE]…", help="All of the file by default.")
    ] = None,
    device: Device = "auto",
    overrides: Set = None,
    seeds: Seeds = None,
    competition: Name = NAME,
    root: Root = ROOT,
    as_json: Json = False,
) -> None:
    """Show ensembles' cross-fitted, naive and plain-mean scores, and how much each run counts."""
    from houseprice import pipeline
    from houseprice.console import print_json, print_table
    from houseprice.plan import ensemble_recipe
    from houseprice.review import weight_text

    plan = make_plan(root, competition, overrides, device, seeds)
    rows = []
    for name in names or list(plan.workspace.competition.ensembles):
        recipe = ensemble_recipe(plan.workspace.competition, name)
        summary = pipeline.summarize_ensemble(plan, name)
        told = {"method": recipe.method, "select": recipe.select, "rule": recipe.rule}
        rows.append({"name": name, "source": plan.source, **told, **summary})
    if as_json:
        print_json(rows)
        return
    keys = ("name", "rule", "score", "std_error", "naive_score", "mean_score")
    heads = ("ensemble", "method", "cross-fitted", "± s.e.", "naive", "plain mean", "weights")
    cells = [
        (*(row[key] for key in keys), ", ".join(f"{run} {weight_text(w)}" for run, w in row["weights"].items()))
        for row in rows
    ]
    print_table(f"ensembles of {competition} (source: {plan.source})", heads, cells)


@app.command()
def submit(
    name: Entry = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write the entry there.")] = None,
    upload: Annotated[bool, typer.Option("--upload", help="Hand it in to Kaggle, and record its score.")] = False,
    device: Device = "auto",
    overrides: Set = None,
    seeds: Seeds = None,
    competition: Name = NAME,
    root: Root = ROOT,
) -> None:
    """Write a checked submission with its manifest, bringing all that it needs."""
    from houseprice import handing_in, pipeline
    from houseprice.plan import ensemble_recipe

    workspace = open_workspace(root, competition, overrides, device, seeds)
    entry = name or workspace.competition.entry
    ensemble_recipe(workspace.competition, entry)
    plan = pipeline.make_plan(workspace)
    said = handing_in.upload(plan, entry, out) if upload else None
    path = pipeline.submit(plan, entry, out)
    summary = plan.summary(plan.blend(entry))
    metric = workspace.competition.metric
    echo(f"{path}  out-of-fold {metric} {summary['score']:.5f} ± {summary['std_error']:.5f} (source: {plan.source})")
    if said:
        of_boards = (("public", said.public), ("private", said.private))
        scores = ", ".join(f"{what} {score:.5f}" for what, score in of_boards if score is not None)
        pending = "pending; the same command asks for its score, and hands it in no second time"
        unscored = pending if said.pending else "scored, but the competition does not show the score"
        echo(f"submission {said.ref} to {workspace.competition.ingest.kaggle}: {scores or unscored}")


@app.command()
def report(
    name: Entry = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="COLUMN", help="Whose residuals are shown first; all can be chosen.")
    ] = None,
    device: Device = "auto",
    overrides: Set = None,
    seeds: Seeds = None,
    competition: Name = NAME,
    root: Root = ROOT,
) -> None:
    """Write submissions/NAME/report.html: one page that opens with no network, bringing all that it needs."""
    from houseprice.files import write_text
    from houseprice.plan import ensemble_recipe
    from houseprice.report.gather import gather
    from houseprice.report.page import render

    plan = make_plan(root, competition, overrides, device, seeds)
    rules = plan.workspace.competition
    entry = name or rules.entry
    ensemble_recipe(rules, entry)
    page = render(gather(plan, entry, by))
    path = plan.workspace.entry_path("report").with_suffix(".html")
    write_text(path, page)
    echo(f"{path}  {len(page.encode()) / 1e6:.1f} MB, opens with no network (source: {plan.source})")


@app.command()
def explain(
    name: Entry = None,
    device: Device = "auto",
    overrides: Set = None,
    seeds: Seeds = None,
    competition: Name = NAME,
    root: Root = ROOT,
    as_json: Json = False,
) -> None:
    """Say which stages would run, and why: which input, key, module or version changed."""
    from houseprice import pipeline
    from houseprice.console import print_json, print_table

    workspace = open_workspace(root, competition, overrides, device, seeds)
    answers = pipeline.explain(workspace, name or workspace.competition.entry)
    if as_json:
        print_json(answers)
        return
    cells = [(a["stage"], "runs" if a["runs"] else "up to date", "\n".join(a["reasons"])) for a in answers]
    print_table(f"stages of {competition}", ("stage", "state", "because"), cells)


@app.command()
def reproduce(
    entry: Annotated[
        str | None, typer.Argument(metavar="[ENTRY.csv]", help="Its file, with the manifest beside it, or its name.")
    ] = None,
    competition: Name = NAME,
    root: Root = ROOT,
) -> None:
    """Rebuild an entry from its manifest, from the raw files up, and compare the bytes."""
    from houseprice import reproduction

    workspace = open_workspace(root, competition)
    name = entry or workspace.competition.entry
    echo(reproduction.reproduce(workspace, Path(name) if name.endswith(".csv") else workspace.entry_path(name)))


def _chosen(plan: "Plan", experiments: list[str] | None) -> list[str]:
    competition = plan.workspace.competition
    return [competition.experiment_name(name) for name in experiments or competition.experiments]


def main() -> None:
    """Run the command line."""
    open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that knows no "±" or "→" shows "?"
    app()


if __name__ == "__main__":
    main()
