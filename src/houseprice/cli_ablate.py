"""The command that leaves out an entry's parts, one at a time."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from houseprice.cli_options import NAME, ROOT, Device, Entry, Json, Name, Root, Seeds, Set, make_plan
from houseprice.console import NO_VALUE

if TYPE_CHECKING:
    from houseprice.ablation import Ablation

app = typer.Typer()


@app.command()
def ablate(
    name: Entry = None,
    parts: Annotated[
        list[str] | None,
        typer.Option("--parts", metavar="GLOB", help="Leave out these alone: 'features.*', mlp.dropout. Repeatable."),
    ] = None,
    deep: Annotated[bool, typer.Option("--deep", help="Also each group, interaction, derived column … alone.")] = False,
    device: Device = "auto",
    overrides: Set = None,
    seeds: Seeds = None,
    competition: Name = NAME,
    root: Root = ROOT,
    as_json: Json = False,
) -> None:
    """Leave out an entry's parts, one at a time, and say which of them earn their place. Interrupted, it goes on."""
    from houseprice.ablation import ablate
    from houseprice.console import print_json

    plan = make_plan(root, competition, overrides, device, seeds)
    rules = plan.workspace.competition
    found = ablate(plan, name or rules.entry, parts or (), deep)
    if as_json:
        documents = [{**asdict(each), "verdict": each.verdict} for each in found.outcomes]
        whole = {"source": plan.source, "metric": rules.metric, "configurations": found.configurations}
        print_json({**asdict(found), **whole, "outcomes": documents})
    else:
        title = f"{rules.metric} of {found.entry} without one part at a time (source: {plan.source})"
        _print(found, title, rules.scoring.better_side)


def _print(found: "Ablation", title: str, better_side: str) -> None:
    from houseprice.console import aligned, print_notes, print_table
    from houseprice.review import decimals_for

    digits = decimals_for(found.std_error)
    beside = [each.comparison for each in found.outcomes]
    columns = {
        "without": [each.part for each in found.outcomes],
        "left out": [each.left_out for each in found.outcomes],
        "score": aligned(NO_VALUE if each.score is None else f"{each.score:.{digits + 1}f}" for each in found.outcomes),
        "change": aligned(f"{each.difference:+.{digits + 1}f}" if each else NO_VALUE for each in beside),
        "95 % interval": aligned(
            f"{each.low:+.{digits}f} … {each.high:+.{digits}f}" if each else NO_VALUE for each in beside
        ),
        "p": aligned(_p(each.p_adjusted) if each else NO_VALUE for each in beside),
        "the part": [each.verdict for each in found.outcomes],
        "s": [round(each.seconds) for each in found.outcomes],
    }
    print_table(title, list(columns), list(zip(*columns.values(), strict=True)), ("s", "p", "left out"))
    print_notes(_notes(found, digits, better_side))


def _p(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else "<0.001"


def _notes(found: "Ablation", digits: int, better_side: str) -> list[str]:
    from houseprice.errors import listing

    said = [f"Without {each.part}: {each.problem}" for each in found.outcomes if each.problem]
    said.append(
        f"The whole: {found.score:.{digits + 1}f} ± {found.std_error:.{digits}f}. Change: without the part less the "
        f"whole; {'below' if better_side == 'above' else 'above'} 0 the part helps."
    )
    said.append(
        "p: the larger of the paired bootstrap over rows and the corrected t-test over folds, after Benjamini-Hochberg "
        f"for all {found.configurations} configurations; a part earns its place, or harms, at 5\N{NO-BREAK SPACE}%. "
        "What they leave open the one-standard-error rule decides: a part can go if the entry without it is worse by "
        "no more than one standard error of the difference."
    )
    if loose := [each.part for each in found.outcomes if each.verdict.endswith("can go")]:
        said.append(
            f"{listing(loose, len(loose))} can go, each of them alone: parts stand in for one another, so that leaving "
            "out several at once needs a new ablation of what is left."
        )
    said.append(
        f"{found.configurations} configurations beside the whole were looked at on these folds: a score chosen among "
        "them is too good."
    )
    return said
