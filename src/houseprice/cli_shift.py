"""The command that looks for distribution shift."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from houseprice.cli_options import NAME, ROOT, Device, Json, Name, Root, Seeds, Set, make_plan

if TYPE_CHECKING:
    from houseprice.data.shift import Apart
    from houseprice.shift import Shift

app = typer.Typer()


@app.command()
def shift(
    experiment: Annotated[str | None, typer.Argument(help="By default the first behind the entry.")] = None,
    seeds: Seeds = None,
    device: Device = "auto",
    overrides: Set = None,
    competition: Name = NAME,
    root: Root = ROOT,
    as_json: Json = False,
) -> None:
    """Tell test rows from training rows, and say whether an experiment gains by weights for the difference."""
    from houseprice.console import print_json
    from houseprice.shift import shift

    plan = make_plan(root, competition, overrides, device, seeds)
    rules = plan.workspace.competition
    found = shift(plan, rules.experiment_name(experiment))
    if as_json:
        print_json({"competition": rules.name, "source": plan.source, "metric": rules.metric, **asdict(found)})
    else:
        _print(
            found,
            f"{rules.name} by {found.experiment} (source: {plan.source})",
            rules.metric,
            rules.scoring.better_side,
        )


def _print(found: "Shift", what: str, metric: str, better_side: str) -> None:
    from houseprice.console import print_notes, print_table

    of_files, by = "too few rows to tell", "–"
    if found.of_files:
        of_files = _area(found.of_files)
        by = ", ".join(f"{name} {auc:.2f}" for name, auc in found.of_files.columns)
    rows = [
        ("told apart by trees, AUC on the files' columns", of_files),
        ("columns that tell the most alone", by),
        ("told apart by what weights come from, AUC", _area(found.of_weights)),
        ("rows of a fold, and what they count with weights", f"{found.fit_rows:.0f}, {found.effective_size:.0f}"),
    ]
    print_table(f"train against test of {what}", ("", "found"), rows)
    heads = ("validation rows counted", "without weights", "with", "change", "95 % interval", "with weights")
    cells = [
        (
            each.counted,
            f"{each.without:.5f}",
            f"{each.weighted:.5f}",
            f"{each.comparison.difference:+.5f}",
            f"{each.comparison.low:+.4f} … {each.comparison.high:+.4f}",
            each.comparison.in_words,
        )
        for each in found.judged
    ]
    print_table(f"{metric} of {found.experiment}, with and without weights", heads, cells)
    print_notes([f"AUC 0.5: not at all. Change: {better_side} 0 weights help; as test rows is the row that tells."])


def _area(apart: "Apart") -> str:
    return f"{apart.auc:.3f} [{apart.low:.3f}, {apart.high:.3f}]"
