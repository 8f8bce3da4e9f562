"""An executed notebook as a page to look at: prose, code, and outputs; its figures need ``plotly.min.js`` beside it."""

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

PLOTLY = "application/vnd.plotly.v1+json"


def render(notebook: Any) -> str:
    """Render a notebook (`nbformat`); all text but the prose and HTML that cells show is escaped."""
    markdown = MarkdownIt("commonmark").enable("table")
    cells: list[dict[str, Any]] = []
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            cells.append({"prose": Markup(markdown.render(cell.source)), "outputs": []})
        else:
            code = Markup(highlight(cell.source, PythonLexer(), HtmlFormatter()))
            shown = [{**_shown(output), "number": f"{number}-{place}"} for place, output in enumerate(cell.outputs)]
            cells.append({"prose": None, "code": code, "outputs": shown})
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, undefined=StrictUndefined
    )
    return environment.get_template("page.html").render(
        title=title_of(notebook),
        cells=cells,
        light_code=Markup(HtmlFormatter(style="friendly", nobackground=True).get_style_defs(".highlight")),
        dark_code=Markup(HtmlFormatter(style="github-dark", nobackground=True).get_style_defs(".highlight")),
    )


def title_of(notebook: Any) -> str:
    """The heading that a notebook begins with."""
    return str(notebook.cells[0].source.splitlines()[0].removeprefix("# "))


def figures_of(cell: Any) -> list[Any]:
    """The Plotly figures that a cell shows, as plain values."""
    return [output.data[PLOTLY] for output in cell.get("outputs", []) if PLOTLY in output.get("data", {})]


def _shown(output: Any) -> dict[str, Any]:
    data = output.get("data", {})
    if PLOTLY in data:
        document = json.dumps(data[PLOTLY]).replace("&", "\\u0026").replace("<", "\\u003c")
        return {"figure": Markup(document), "height": data[PLOTLY]["layout"].get("height"), "html": None, "text": None}
    if "text/html" in data:
        return {"figure": None, "html": Markup(data["text/html"]), "text": None}
    if output.output_type == "error":
        return {"figure": None, "html": None, "text": f"{output.ename}: {output.evalue}"}
    return {"figure": None, "html": None, "text": output.get("text") or data.get("text/plain", "")}
