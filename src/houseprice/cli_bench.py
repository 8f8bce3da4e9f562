"""The command that measures how fast the engine is, and what large tables take."""

from typing import Annotated, Any

import typer

from houseprice.cli_options import LISTENER, NAME, ROOT, Device, Json, Name, Root, make_plan
from houseprice.console import echo, print_json, print_table

app = typer.Typer()


@app.command()
def bench(
    names: Annotated[list[str] | None, typer.Argument(metavar="[RATIO]…", help="All by default.")] = None,
    size: Annotated[bool, typer.Option("--size", help="Instead: what large tables take, made up for it.")] = False,
    device: Device = "auto",
    competition: Name = NAME,
    root: Root = ROOT,
    as_json: Json = False,
) -> None:
    """Measure how fast the engine is, as ratios to the course's loop, scikit-learn and a plain matrix product."""
    if size and names:
        raise typer.BadParameter("a RATIO or --size, not both")
    if size:
        from houseprice.bench_size import run_size

        with LISTENER.moving():
            result = run_size(LISTENER.say)
        _show("ratios to what is allowed", result, as_json)
        return
    from houseprice import pipeline
    from houseprice.bench import course_case, run_benchmarks

    plan = make_plan(root, competition, None, device)
    rules = plan.workspace.competition
    case = course_case(pipeline.tables(plan), rules.ingest, rules.scoring, plan.workspace.device)
    result = run_benchmarks(names or (), case, LISTENER.say)
    _show("ratios", result, as_json)
    if not as_json:
        echo(f"on {result['machine']['processor']}; of 16 seeds the other side is timed on one, and scaled")


def _show(title: str, result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(result)
    else:
        print_table(title, ("ratio", "value"), list(result["ratios"].items()))
