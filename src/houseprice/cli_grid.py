"""The command that tries every pair of dropout rates."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from houseprice.cli_options import NAME, ROOT, Device, Json, Name, Root, Set, make_plan
from houseprice.console import NO_VALUE, echo

if TYPE_CHECKING:
    from houseprice.course.grid import Grid
    from houseprice.plan import Plan

app = typer.Typer()


@app.command()
def grid(
    experiment: Annotated[
        str | None, typer.Argument(metavar="[EXPERIMENT]", help="By default the first network of two hidden layers.")
    ] = None,
    folds: Annotated[int, typer.Option("--folds", metavar="N", min=1, help="Validate on so many of its folds.")] = 1,
    seeds: Annotated[int, typer.Option("--seeds", metavar="N", min=1, help="Networks of each setting and fold.")] = 1,
    device: Device = "auto",
    overrides: Set = None,
    competition: Name = NAME,
    root: Root = ROOT,
    as_json: Json = False,
) -> None:
    """Try all pairs of dropout rates, without and with weight decay, and draw them. Interrupted, it goes on."""
    from houseprice.console import print_json
    from houseprice.grid import grid, grid_name

    plan = make_plan(root, competition, overrides, device, seeds)
    rules = plan.workspace.competition
    name = grid_name(rules, experiment)
    found = grid(plan, name, folds)
    page = _write(plan, name, found)
    if as_json:
        told = {
            "experiment": name,
            "source": plan.source,
            "metric": rules.scoring.error_name,
            "folds": folds,
            "seeds": seeds,
        }
        numbers = {key: value.tolist() for key, value in (("train", found.train), ("valid", found.valid))}
        print_json({**told, "weight_decays": found.decays, "dropout": found.rates, **numbers, "page": str(page)})
        return
    _print(found, f"{rules.scoring.error_name} of {name} by dropout, {folds} of its folds (source: {plan.source})")
    echo(f"{page}  heat maps, opens with no network")


def _write(plan: "Plan", name: str, found: "Grid") -> Path:
    """Draw the grid as a page beside the entries."""
    from houseprice.course.figures import dropout_maps
    from houseprice.files import write_text

    figure = dropout_maps(found, plan.workspace.competition.scoring.error_name)
    path = plan.workspace.entry_path(f"grid-{name}").with_suffix(".html")
    write_text(path, figure.to_html(include_plotlyjs=True))
    return path


def _print(found: "Grid", title: str) -> None:
    from houseprice.console import print_notes, print_table

    heads = ("weight decay", "lowest", "dropout 1", "dropout 2", "without dropout")
    print_table(title, heads, [_row(found, number) for number in range(len(found.decays))])
    print_notes(
        [
            f"The lowest of {found.valid.size} is so by chance, too, and too good. Write its rates into an experiment "
            "of its own, train that on all folds, and compare it with the other: houseprice compare."
        ]
    )


def _row(found: "Grid", number: int) -> tuple[str | float, ...]:
    """A weight decay, the lowest value with it and its dropout rates, and the value without dropout."""
    place, values = found.lowest(number), found.valid[number]
    if place is None:
        return (f"{found.decays[number]:g}", *[NO_VALUE] * 4)
    first, second = (f"{found.rates[position]:g}" for position in place)
    return f"{found.decays[number]:g}", float(values[place]), first, second, float(values[0, 0])
