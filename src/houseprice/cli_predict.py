"""The command that predicts rows which come later."""

from pathlib import Path
from typing import Annotated

import typer

from houseprice.cli_options import NAME, ROOT, Device, Entry, Json, Name, Root, Seeds, Set, open_workspace
from houseprice.console import echo

app = typer.Typer()


@app.command()
def predict(
    source: Annotated[Path, typer.Option("--input", metavar="CSV", help="The rows, with the columns of test.csv.")],
    name: Entry = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="CSV", help="Write there instead.")] = None,
    device: Device = "auto",
    overrides: Set = None,
    seeds: Seeds = None,
    competition: Name = NAME,
    root: Root = ROOT,
    as_json: Json = False,
) -> None:
    """Predict rows that came later by an entry, in the form of a submission; what is not trained yet is trained.

    Writes submissions/COMPETITION/predictions/NAME-INPUT.csv.
    """
    from houseprice import pipeline
    from houseprice.console import print_json
    from houseprice.plan import ensemble_recipe
    from houseprice.prediction import predict

    workspace = open_workspace(root, competition, overrides, device, seeds)
    entry = name or workspace.competition.entry
    ensemble_recipe(workspace.competition, entry)
    plan = pipeline.make_plan(workspace)
    found = predict(plan, entry, source, out)
    if as_json:
        document = {"path": str(found.path), "entry": found.entry, "rows": found.rows, "weights": dict(found.weights)}
        print_json({**document, "source": plan.source})
    else:
        echo(f"{found.path}  {found.rows} rows by {found.entry} (source: {plan.source})")
