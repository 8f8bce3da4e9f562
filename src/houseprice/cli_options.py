"""What commands have in common: their options, and how they open the competition."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from houseprice.console import ConsoleListener

if TYPE_CHECKING:
    from houseprice.plan import Plan, Workspace

Name = Annotated[str, typer.Option("--competition", "-c", metavar="NAME", help="The folder under data/.")]
Root = Annotated[Path, typer.Option("--root", metavar="DIR", help="The project's folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]


def one_of(*known: str) -> Callable[[str | None], str | None]:
    """The callback of an option that has one of some values, or is not given."""

    def check(value: str | None) -> str | None:
        if value is not None and value not in known:
            raise typer.BadParameter(f"{value!r} is not one of {', '.join(known)}")
        return value

    return check


Device = Annotated[
    str,
    typer.Option(
        "--device", metavar="auto|cpu|cuda", callback=one_of("auto", "cpu", "cuda"), help="Where networks are trained."
    ),
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

Weights = Annotated[
    str | None,
    typer.Option(
        "--weights", metavar="none|shift", callback=one_of("none", "shift"),
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
) -> "Workspace":
    """The competition in its folder, with a listener who tells a person (`houseprice.plan.open_workspace`)."""
    from houseprice import plan

    return plan.open_workspace(root, name, overrides or (), device, LISTENER, seeds=seeds)


def make_plan(
    root: Path, name: str, overrides: list[str] | None = None, device: str = "auto", seeds: int | None = None
) -> "Plan":
    """The stages as they stand; the arguments are those of `open_workspace`."""
    from houseprice import pipeline

    return pipeline.make_plan(open_workspace(root, name, overrides, device, seeds))
