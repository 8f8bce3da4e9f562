"""The command that begins a competition."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from houseprice.cli_options import ROOT, Json, Root, open_workspace

app = typer.Typer()


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the competition: its folder under data/.")],
    train: Annotated[Path, typer.Option("--train", metavar="CSV", help="Rows with the target.")],
    test: Annotated[Path, typer.Option("--test", metavar="CSV", help="Rows to predict.")],
    sample: Annotated[Path | None, typer.Option("--sample", metavar="CSV", help="The sample submission.")] = None,
    id_column: Annotated[str | None, typer.Option("--id", metavar="COLUMN", help="That names the rows.")] = None,
    target: Annotated[str | None, typer.Option("--target", metavar="COLUMN", help="To be predicted.")] = None,
    task: Annotated[
        str | None, typer.Option("--task", metavar="TASK", help="regression, binary or multiclass.")
    ] = None,
    metric: Annotated[str | None, typer.Option("--metric", metavar="METRIC", help="One of the task's.")] = None,
    folds: Annotated[
        str | None, typer.Option("--folds", metavar="SCHEME", help="shuffled, stratified, grouped, expanding, …")
    ] = None,
    by: Annotated[str | None, typer.Option("--by", metavar="COLUMN", help="Of the folds' groups or times.")] = None,
    root: Root = ROOT,
    as_json: Json = False,
) -> None:
    """Write a competition file for your CSV files, saying what it guessed and why; then submit runs as it is."""
    from houseprice import pipeline
    from houseprice.console import print_json, print_notes, print_table
    from houseprice.scaffold import Files, scaffold

    told = {"id": id_column, "target": target, "task": task, "metric": metric, "folds": folds, "by": by}
    path, found = scaffold(root, name, Files(train, test, sample), told)
    pipeline.ingest(open_workspace(root, name))
    if as_json:
        print_json({"file": str(path), **asdict(found)})
        return
    keys = {"id": found.id, "target": found.target, "task": found.task, "metric": found.metric}
    rows = [(key, value, found.reasons.get(key, "told")) for key, value in keys.items()]
    scheme = f"{found.scheme} by {found.by}" if found.by else found.scheme
    why = "; ".join(found.reasons[key] for key in ("folds", "scheme") if key in found.reasons)
    rows.append(("folds", f"{scheme}, {found.k} × {found.repeats}", why))
    if found.sentences:
        rows.append(("text", ", ".join(found.sentences), "sentences: their words are hashed"))
    if found.codes:
        rows.append(("category", ", ".join(found.codes), "called so: numbers that name something, and don't measure"))
    print_table(f"{path}: guessed from the files", ["key", "value", "why"], rows)
    print_notes([f"Change there what is wrong. Next: make submit COMPETITION={name}, or houseprice submit -c {name}"])
