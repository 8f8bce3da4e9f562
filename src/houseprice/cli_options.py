"""What commands have in common: their options, and how they open the competition."""

from pathlib import Path
from typing import Annotated, Any

import typer

from houseprice.console import ConsoleListener

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


def _known_weights(weights: str | None) -> str | None:
    if weights not in (None, "none", "shift"):
        raise typer.BadParameter(f"{weights!r} is not one of none, shift")
    return weights


Weights = Annotated[
    str | None,
    typer.Option(
        "--weights", metavar="none|shift", callback=_known_weights,
        help="How much rows count: shift, as the test rows have more or fewer of their like.",
    ),
]  # fmt: skip
Experiments = Annotated[list[str] | None, typer.Argument(metavar="[EXPERIMENT]…", help="All of the file by default.")]
Entry = Annotated[str | None, typer.Argument(metavar="[NAME]", help="An ensemble or experiment.")]

NAME, ROOT = "house-prices", Path()
LISTENER = ConsoleListener()
"""Who tells the person in front of the terminal."""


def open_workspace(
    root: Path, name: str, overrides: list[str] | None = None, device: str = "auto", seeds: int | None = None
) -> Any:
    """The competition in its folder, with a listener who tells a person (`houseprice.plan.open_workspace`)."""
    from houseprice import plan

    return plan.open_workspace(root, name, overrides or (), device, LISTENER, seeds=seeds)


def make_plan(*arguments: Any) -> Any:
    """Its stages as they stand; the arguments are those of `open_workspace`."""
    from houseprice import pipeline

    return pipeline.make_plan(open_workspace(*arguments))
