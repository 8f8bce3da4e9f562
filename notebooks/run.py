"""Run the notebooks of this folder top to bottom, and write them as pages to ``html/``.

``make notebooks`` calls it. With ``--pictures`` it also renews the pictures of the table of contents; with ``--seeds``
it runs each notebook that has a seed with so many of them, and counts those whose assertions hold.
"""

import base64
import shutil
from pathlib import Path
from typing import Annotated, Any

import nbformat
import typer
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from plotly.offline import get_plotlyjs

from page import figures_of, render

HERE = Path(__file__).parent
SIZE = {"format": "png", "width": 640, "height": 360, "scale": 1.5}
SHARE_THAT_HOLDS = 0.95


def main(
    names: Annotated[list[str] | None, typer.Argument(help="Which notebooks, by how they begin: 04; else all.")] = None,
    out: Annotated[Path, typer.Option(help="Where the pages go.")] = HERE / "html",
    pictures: Annotated[bool, typer.Option("--pictures", help="Renew the table of contents' pictures.")] = False,
    seeds: Annotated[int, typer.Option(help="Run with so many seeds, and count those that hold.")] = 0,
    first_seed: Annotated[int, typer.Option(help="The first of them.")] = 0,
    timeout: Annotated[int | None, typer.Option(help="Seconds after which a cell hangs.")] = None,
) -> None:
    """Run notebooks top to bottom; exit 1 if an assertion fails, or too few seeds hold."""
    paths = [path for path in sorted(HERE.glob("*.ipynb")) if path.name.startswith(tuple(names or [""]))]
    if seeds:
        held = [_count(path, range(first_seed, first_seed + seeds), timeout) for path in paths]
        raise typer.Exit(int(any(count < SHARE_THAT_HOLDS * seeds for count in held if count is not None)))
    out.mkdir(parents=True, exist_ok=True)
    (out / "plotly.min.js").write_text(get_plotlyjs(), encoding="utf-8")
    failed = False
    for path in paths:
        notebook, complaint = execute(path, timeout=timeout)
        page = out / f"{path.stem}.html"
        page.write_text(render(notebook), encoding="utf-8")
        print(f"{page}: {complaint or 'done'}", flush=True)
        failed |= complaint is not None
        if pictures and not complaint:
            _draw(picture_of(notebook), HERE / "pictures" / f"{path.stem}.png")
    raise typer.Exit(int(failed))


def execute(path: Path, seed: int | None = None, timeout: int | None = None) -> tuple[Any, str | None]:
    """Run a notebook in a kernel of its own, in its folder.

    Parameters
    ----------
    path
        It stays as it is.
    seed
        Replaces that of the cell tagged ``parameters``, which says ``SEED = 0``.
    timeout
        Seconds that a cell may take.

    Returns
    -------
    The notebook with its outputs, and what went wrong in it.
    """
    notebook = read(path)
    if seed is not None:
        (cell,) = tagged(notebook, "parameters")
        cell.source = f"SEED = {seed}"
    where = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(notebook, timeout=timeout, kernel_name="python3", resources=where)
    try:
        client.execute()
    except CellExecutionError as error:
        return notebook, f"{error.ename}: {error.evalue}"
    return notebook, None


def read(path: Path) -> Any:
    """The notebook in a file."""
    return nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)  # type: ignore[no-untyped-call]


def tagged(notebook: Any, tag: str) -> list[Any]:
    """The cells of a notebook that have a tag."""
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def picture_of(notebook: Any) -> Any:
    """The figure for the table of contents: that of the cell tagged ``picture``, or the first of all."""
    cells = tagged(notebook, "picture") or notebook.cells
    return next(figure for cell in cells for figure in figures_of(cell))


def _count(path: Path, seeds: range, timeout: int | None) -> int | None:
    """With how many seeds a notebook's assertions hold; None for one without a seed."""
    if not tagged(read(path), "parameters"):
        return None
    complaints = {seed: execute(path, seed, timeout)[1] for seed in seeds}
    failed = {seed: complaint for seed, complaint in complaints.items() if complaint}
    print(f"{path.stem}: {len(seeds) - len(failed)} of {len(seeds)} seeds hold", flush=True)
    for seed, complaint in failed.items():
        print(f"  seed {seed}: {complaint}", flush=True)
    return len(seeds) - len(failed)


def _draw(figure: Any, path: Path) -> None:
    """Draw a figure in a headless Chromium."""
    from playwright.sync_api import sync_playwright

    path.parent.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=chromium, chromium_sandbox=False)
        page = browser.new_page()
        page.add_script_tag(content=get_plotlyjs())
        image = page.evaluate("([figure, size]) => Plotly.toImage(figure, size)", [figure, SIZE])
        browser.close()
    path.write_bytes(base64.b64decode(image.split(",", 1)[1]))


if __name__ == "__main__":
    typer.run(main)
