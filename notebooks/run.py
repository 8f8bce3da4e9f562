"""Run the notebooks of this folder top to bottom, and write them as pages to ``html/``.

``make notebooks`` calls it. With ``--pictures`` it also renews the pictures of the table of contents; with ``--seeds``
it runs each notebook that has a seed, the cell tagged ``parameters``, with so many, and counts those whose assertions
hold.
"""

import base64
import shutil
from contextlib import chdir
from pathlib import Path
from typing import Annotated, Any

import nbformat
import typer
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError
from plotly.offline import get_plotlyjs

from page import figures_of, render

HERE = Path(__file__).parent
SIZE = {"format": "png", "width": 640, "height": 360, "scale": 1}
SHARE_THAT_HOLDS = 0.95
QUIET = ["--log-level=ERROR"]  # a kernel warns of each socket that is not encrypted; these are local


def main(
    names: Annotated[list[str] | None, typer.Argument(help="Which notebooks, by how they begin: 04; else all.")] = None,
    out: Annotated[Path, typer.Option(help="Where the pages go.")] = HERE / "html",
    pictures: Annotated[bool, typer.Option("--pictures", help="Renew the table of contents' pictures.")] = False,
    seeds: Annotated[int, typer.Option(help="Run with so many seeds, and count those that hold.")] = 0,
    timeout: Annotated[int | None, typer.Option(help="Seconds after which a cell hangs.")] = None,
) -> None:
    """Run notebooks top to bottom; exit 1 if an assertion fails, or too few seeds hold."""
    paths = [path for path in sorted(HERE.glob("*.ipynb")) if path.name.startswith(tuple(names or [""]))]
    if not paths:
        raise typer.BadParameter(f"no notebook begins with {' or '.join(names or [])}")
    if seeds:
        well = [_enough_seeds_hold(path, seeds) for path in paths]
    else:
        out.mkdir(parents=True, exist_ok=True)
        (out / "plotly.min.js").write_text(get_plotlyjs(), encoding="utf-8")
        well = [_write_page(path, out, pictures, timeout) for path in paths]
    raise typer.Exit(int(not all(well)))


def _write_page(path: Path, out: Path, with_picture: bool, timeout: int | None) -> bool:
    """Run a notebook and write it as a page; whether nothing failed."""
    notebook, complaint = execute(path, timeout)
    page = out / f"{path.stem}.html"
    page.write_text(render(notebook), encoding="utf-8")
    print(f"{page}: {complaint or 'done'}", flush=True)
    if with_picture and not complaint:
        _draw(picture_of(notebook), HERE / "pictures" / f"{path.stem}.png")
    return complaint is None


def execute(path: Path, timeout: int | None = None) -> tuple[Any, str | None]:
    """Run a notebook in a kernel of its own, in its folder.

    Parameters
    ----------
    path
        It stays as it is.
    timeout
        Seconds that a cell may take.

    Returns
    -------
    The notebook with its outputs, and what went wrong in it.
    """
    notebook = read(path)
    where = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(notebook, timeout=timeout, kernel_name="python3", resources=where, extra_arguments=QUIET)
    try:
        client.execute()
    except CellExecutionError as error:
        return notebook, f"{error.ename}: {error.evalue}"
    except CellTimeoutError:
        return notebook, f"a cell takes more than {timeout} s"
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


def _enough_seeds_hold(path: Path, seeds: int) -> bool:
    """Count the seeds with which a notebook's assertions hold; one without a seed is passed over."""
    if not tagged(read(path), "parameters"):
        return True
    failed = {seed: complaint for seed in range(seeds) if (complaint := _complaint(path, seed))}
    print(f"{path.stem}: {seeds - len(failed)} of {seeds} seeds hold", flush=True)
    for seed, complaint in failed.items():
        print(f"  seed {seed}: {complaint}", flush=True)
    return seeds - len(failed) >= SHARE_THAT_HOLDS * seeds


def _complaint(path: Path, seed: int) -> str | None:
    """What goes wrong in a notebook with a seed; its cells are run here, which spares many seeds as many kernels."""
    cells = [cell for cell in read(path).cells if cell.cell_type == "code"]
    sources = [f"SEED = {seed}" if "parameters" in cell.metadata.get("tags", []) else cell.source for cell in cells]
    names: dict[str, Any] = {"__name__": path.stem}
    with chdir(path.parent):
        for source in sources:
            try:
                exec(source, names)
            except Exception as error:
                return f"{type(error).__name__}: {error} in\n{source}"
    return None


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
