"""The command that looks for leaks."""

from dataclasses import asdict
from typing import Annotated

import typer

from houseprice.cli_options import NAME, ROOT, Device, Json, Name, Root, Set, make_plan

app = typer.Typer()


@app.command()
def audit(
    experiment: Annotated[str | None, typer.Argument(help="By default the first behind the entry.")] = None,
    device: Device = "auto",
    overrides: Set = None,
    competition: Name = NAME,
    root: Root = ROOT,
    as_json: Json = False,
) -> None:
    """Look for leaks: in the files, and in how an experiment is cross-validated."""
    from houseprice.audit import audit
    from houseprice.console import print_json, print_table

    plan = make_plan(root, competition, overrides, device)
    rules = plan.workspace.competition
    found = audit(plan, rules.experiment_name(experiment))
    if as_json:
        print_json({"competition": rules.name, "source": plan.source, **asdict(found)})
        return
    rows = [(each.check, each.verdict, each.said) for each in found.findings]
    print_table(
        f"leak audit of {rules.name} by {found.experiment} (source: {plan.source})", ["check", "", "found"], rows
    )
