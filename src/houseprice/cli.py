"""The command line: every command opens the workspace, calls one stage of the pipeline and shows its result."""

import sys
from dataclasses import asdict, replace
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from houseprice.errors import HousePriceError


class _Commands(TyperGroup):
    """Turns what a user can mend into one message and a status: 1 for an error, 130 for Ctrl-C."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except HousePriceError as error:
            typer.echo(f"error: {error}", err=True)
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

Name = Annotated[str, typer.Option("--competition", "-c", metavar="NAME", help="The folder under data/.")]
Root = Annotated[Path, typer.Option("--root", metavar="DIR", help="The project's folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]


def _known_device(device: str) -> str:
    if device not in ("auto", "cpu", "cuda"):
        raise typer.BadParameter(f"{device!r} is not one of auto, cpu, cuda")
    return device


Device = Annotated[
    str,
    typer.Option("--device", metavar="auto|cpu|cuda", callback=_known_device, help="Where networks are trained."),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the competition file: mlp.weight_decay=0.01"),
]
Seeds = Annotated[
    int | None, typer.Option("--seeds", metavar="N", min=1, help="Members of each fold, for all experiments.")
]
Memory = Annotated[
    int | None,
    typer.Option("--memory", metavar="MB", min=1, help="Bound on the networks trained at one time: memory_mb."),
]
Experiments = Annotated[list[str] | None, typer.Argument(metavar="[EXPERIMENT]…", help="All of the file by default.")]
Entry = Annotated[str | None, typer.Argument(metavar="[NAME]", help="An ensemble or experiment.")]

_NAME, _ROOT = "house-prices", Path()


def _open(
    root: Path, name: str, overrides: list[str] | None = None, device: str = "auto", seeds: int | None = None
) -> Any:
    from houseprice.console import ConsoleListener
    from houseprice.plan import open_workspace

    return open_workspace(root, name, overrides or (), device, ConsoleListener(), seeds=seeds)


def _plan(*arguments: Any) -> Any:
    from houseprice.pipeline import make_plan

    return make_plan(_open(*arguments))


@app.command()
def ingest(
    source: Annotated[Path | None, typer.Option("--source", metavar="DIR", help="Folder with the CSV files.")] = None,
    competition: Name = _NAME,
    root: Root = _ROOT,
) -> None:
    """Bring the competition's CSV files into data/NAME/raw/, checked."""
    from houseprice import pipeline

    workspace = _open(root, competition)
    provenance = pipeline.ingest(workspace, source)
    pipeline.tables(pipeline.make_plan(workspace))
    typer.echo(f"{workspace.raw}: {', '.join(provenance.files)} (source: {provenance.source}, {provenance.origin})")


@app.command()
def features(
    experiments: Experiments = None,
    overrides: Set = None,
    competition: Name = _NAME,
    root: Root = _ROOT,
    as_json: Json = False,
) -> None:
    """Build the feature matrices of experiments: one preprocessor a fold, fitted on its training rows."""
    from houseprice import pipeline
    from houseprice.console import print_json, print_table

    plan = _plan(root, competition, overrides)
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
    overrides: Set = None,
    competition: Name = _NAME,
    root: Root = _ROOT,
    as_json: Json = False,
) -> None:
    """Cross-validate experiments. Interrupted, it goes on where it was."""
    overrides = [*(overrides or ()), *([f"memory_mb={memory}"] if memory else ())]
    _evaluate(_plan(root, competition, overrides, device, seeds), experiments, as_json)


@app.command()
def evaluate(
    experiments: Experiments = None,
    seeds: Seeds = None,
    device: Device = "auto",
    overrides: Set = None,
    competition: Name = _NAME,
    root: Root = _ROOT,
    as_json: Json = False,
) -> None:
    """Show experiments' scores by fold, out of fold with standard error, and the gap to the training rows."""
    _evaluate(_plan(root, competition, overrides, device, seeds), experiments, as_json)


def _evaluate(plan: Any, experiments: list[str] | None, as_json: bool) -> None:
    from houseprice import pipeline
    from houseprice.console import print_json, print_table

    chosen = _chosen(plan, experiments)
    plan.workspace.listener.say(f"device: {plan.workspace.device}")
    rows = []
    for name in chosen:
        summary = pipeline.summarize_run(plan, name)
        folds = summary["fold_scores"]
        rows.append({"name": name, "source": plan.source, **summary, "fold_mean": sum(folds) / len(folds)})
    for row in rows:
        row["gap"] = row["fold_mean"] - row["train_score"]
    if as_json:
        print_json(rows)
        return
    keys = ("name", "score", "std_error", "fold_mean", "train_score", "gap", "columns", "members")
    heads = ("experiment", "OOF", "± s.e.", "mean of folds", "train", "gap", "columns", "members", "fold by fold")
    cells = [(*(row[key] for key in keys), " ".join(f"{score:.4f}" for score in row["fold_scores"])) for row in rows]
    competition = plan.workspace.competition
    print_table(f"{competition.metric} of {competition.name}, all training rows (source: {plan.source})", heads, cells)


@app.command()
def ensemble(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[ENSEMBLE]…", help="All of the file by default.")
    ] = None,
    device: Device = "auto",
    overrides: Set = None,
    seeds: Seeds = None,
    competition: Name = _NAME,
    root: Root = _ROOT,
    as_json: Json = False,
) -> None:
    """Show ensembles' weights and their cross-fitted, naive and plain-mean scores."""
    from houseprice import pipeline
    from houseprice.console import print_json, print_table
    from houseprice.plan import ensemble_recipe

    plan = _plan(root, competition, overrides, device, seeds)
    rows = []
    for name in names or list(plan.workspace.competition.ensembles):
        recipe = ensemble_recipe(plan.workspace.competition, name)
        summary = pipeline.summarize_ensemble(plan, name)
        rows.append({"name": name, "source": plan.source, "method": recipe.method, **summary})
    if as_json:
        print_json(rows)
        return
    keys = ("name", "method", "score", "std_error", "naive_score", "mean_score")
    heads = ("ensemble", "method", "cross-fitted", "± s.e.", "naive", "plain mean", "weights")
    cells = [
        (*(row[key] for key in keys), ", ".join(f"{run} {w:.2f}" for run, w in row["weights"].items())) for row in rows
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
    competition: Name = _NAME,
    root: Root = _ROOT,
) -> None:
    """Write a checked submission with its manifest, bringing all that it needs."""
    from houseprice import pipeline
    from houseprice.plan import ensemble_recipe

    workspace = _open(root, competition, overrides, device, seeds)
    entry = name or workspace.competition.entry
    ensemble_recipe(workspace.competition, entry)
    plan = pipeline.make_plan(workspace)
    said = pipeline.upload(plan, entry, out) if upload else None
    path = pipeline.submit(plan, entry, out)
    summary = plan.summary(plan.blend(entry))
    metric = workspace.competition.metric
    typer.echo(
        f"{path}  out-of-fold {metric} {summary['score']:.5f} ± {summary['std_error']:.5f} (source: {plan.source})"
    )
    if said:
        of_boards = (("public", said.public), ("private", said.private))
        scores = ", ".join(f"{what} {score:.5f}" for what, score in of_boards if score is not None)
        pending = "pending; the same command asks for its score, and hands it in no second time"
        unscored = pending if said.pending else "scored, but the competition does not show the score"
        typer.echo(f"submission {said.ref} to {workspace.competition.ingest.kaggle}: {scores or unscored}")


@app.command()
def leaderboard(
    record: Annotated[str | None, typer.Option("--record", metavar="ENTRY", help="Store an entry's --public.")] = None,
    public: Annotated[float | None, typer.Option("--public", metavar="X", help="Its score on the board.")] = None,
    private: Annotated[float | None, typer.Option("--private", metavar="Y", help="Its final score.")] = None,
    competition: Name = _NAME,
    root: Root = _ROOT,
    as_json: Json = False,
) -> None:
    """Show all runs, ensembles and entries, the best first; or record what the competition said of an entry."""
    from houseprice.compete.leaderboard import rows
    from houseprice.console import print_json, print_table

    if (record is None) != (public is None) or (private is not None and record is None):
        raise typer.BadParameter("--record ENTRY goes with --public X, and with --private Y once that is known")
    if record is not None:
        _record_board_score(_open(root, competition), record, public, private)
        return
    found = rows(_open(root, competition).board)
    if as_json:
        print_json([asdict(row) for row in found])
        return
    keys = ("name", "kind", "score", "std_error", "train_score", "columns", "members", "seconds", "source", "sees_test")
    heads = (*keys[:2], "OOF", "± s.e.", "train", *keys[5:9], "sees test", "overrides", "fingerprint")
    cells = [
        (*(getattr(row, key) for key in keys), " ".join(row.overrides), row.fingerprint[:8])
        for row in (replace(row, seconds=round(row.seconds)) for row in found)
    ]
    print_table(f"leaderboard of {competition}", heads, cells)


def _record_board_score(workspace: Any, name: str, public: Any, private: float | None) -> None:
    from houseprice import pipeline
    from houseprice.compete.leaderboard import named, rows
    from houseprice.compete.ledger import ENTRIES_NEEDED, board_scores, record_board_score

    entry = named(rows(workspace.board), name, ("entry",))
    record_board_score(workspace.board, entry, public, private)
    said = f"public {public:.5f}" + ("" if private is None else f", private {private:.5f}")
    typer.echo(f"{entry.key}: {said}; out-of-fold {entry.score:.5f} ± {entry.std_error:.5f}")
    enough = len(board_scores(workspace.board)) >= ENTRIES_NEEDED
    if enough and (found := pipeline.recommend_finals(pipeline.make_plan(workspace))):
        typer.echo(found.sentence)


@app.command()
def explain(
    name: Entry = None,
    device: Device = "auto",
    overrides: Set = None,
    seeds: Seeds = None,
    competition: Name = _NAME,
    root: Root = _ROOT,
    as_json: Json = False,
) -> None:
    """Say which stages would run, and why: which input, key, module or version changed."""
    from houseprice import pipeline
    from houseprice.console import print_json, print_table

    workspace = _open(root, competition, overrides, device, seeds)
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
    competition: Name = _NAME,
    root: Root = _ROOT,
) -> None:
    """Rebuild an entry from its manifest, from the raw files up, and compare the bytes."""
    from houseprice import pipeline

    workspace = _open(root, competition)
    name = entry or workspace.competition.entry
    typer.echo(pipeline.reproduce(workspace, Path(name) if name.endswith(".csv") else workspace.entry_path(name)))


@app.command()
def bench(
    names: Annotated[list[str] | None, typer.Argument(metavar="[RATIO]…", help="All by default.")] = None,
    device: Device = "auto",
    competition: Name = _NAME,
    root: Root = _ROOT,
    as_json: Json = False,
) -> None:
    """Measure how fast the engine is, as ratios to the course's loop, scikit-learn and a plain matrix product."""
    from houseprice import pipeline
    from houseprice.bench import course_case, run_benchmarks
    from houseprice.console import print_json, print_table
    from houseprice.metrics import METRICS

    plan = _plan(root, competition, None, device)
    rules = plan.workspace.competition
    case = course_case(pipeline.tables(plan), rules.ingest, METRICS[rules.metric], plan.workspace.device)
    result = run_benchmarks(names or (), case, plan.workspace.listener.say)
    if as_json:
        print_json(result)
    else:
        print_table("ratios", ("ratio", "value"), list(result["ratios"].items()))
        typer.echo(f"on {result['machine']['processor']}; of 16 seeds the other side is timed on one, and scaled")


def _chosen(plan: Any, experiments: list[str] | None) -> list[str]:
    competition = plan.workspace.competition
    return [competition.experiment_name(name) for name in experiments or competition.experiments]


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that knows no "±" or "→" shows "?"
    app()


if __name__ == "__main__":
    main()
