"""Rendering the report: one self-contained HTML page, which asks nothing of any network."""

import base64
import gzip
import hashlib
import json
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from houseprice.report.columns import number
from houseprice.report.contents import Report
from houseprice.review import weight_text

_SECTIONS = {
    "summary": "At a glance",
    "leaderboard": "Leaderboard",
    "comparisons": "Comparisons",
    "curves": "Learning curves",
    "residuals": "Residuals",
    "ensemble": "Ensemble",
    "public": "Public scores",
    "importance": "Importance",
    "data": "Data",
    "entry": "The entry",
}


def render(report: Report) -> str:
    """Render the page.

    Every text of the report is escaped (Jinja's autoescape), and a content security policy names the page's own
    scripts by their hashes: nothing else is run, and no request can leave the page.

    Plotly's code is carried compressed, a third of its size, and unpacked by the browser.
    """
    templates = files("houseprice.report") / "templates"
    css, theme_js, js = (
        (templates / name).read_text(encoding="utf-8") for name in ("report.css", "theme.js", "report.js")
    )
    plotly = get_plotlyjs()
    environment = Environment(
        loader=PackageLoader("houseprice.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {
        "number": fixed,
        "signed": signed,
        "percent": percent,
        "duration": duration,
        "natural": number,
        "weight": weight_text,
    }
    return environment.get_template("report.html").render(
        report=report,
        sections=[(key, name) for key, name in _SECTIONS.items() if key != "public" or report.ledger],
        css=Markup(css),
        theme_js=Markup(theme_js),
        js=Markup(js),
        script_sources=Markup(" ".join(_hash(script) for script in (theme_js, js, plotly))),
        figures=_script_json(_figures(report)),
        pairs=_script_json(_pairs(report)),
        plotly_gz=base64.b64encode(gzip.compress(plotly.encode(), 9, mtime=0)).decode(),
    )


def _hash(script: str) -> str:
    """How a content security policy names a script: the SHA-256 of its text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _script_json(document: str) -> Markup:
    """JSON that can stand in a ``<script>`` element: no text in it can end the element or open a comment."""
    return Markup(document.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def _figures(report: Report) -> str:
    """The figures as one JSON object; they are JSON texts already."""
    curves = {panel.key: panel.figure for panel in report.panels}
    joined = {
        name: "{" + ",".join(f"{json.dumps(key)}:{value}" for key, value in group.items()) + "}"
        for name, group in (("figures", report.figures), ("curves", curves))
    }
    return "{" + ",".join(f"{json.dumps(name)}:{group}" for name, group in joined.items()) + "}"


def _pairs(report: Report) -> str:
    """The comparison matrix's numbers, for its readout."""
    document = {"names": report.matrix.names, "pairs": report.matrix.pairs, "decimals": report.decimals + 1}
    return json.dumps(document, ensure_ascii=False)


def fixed(value: float | None, decimals: int) -> str:
    """A number with a fixed count of digits after the point; a dash for none.

    >>> fixed(12345.678, 1), fixed(None, 2)
    ('12,345.7', '–')
    """
    return "–" if value is None or value != value else f"{value:,.{decimals}f}"


def signed(value: float | None, decimals: int) -> str:
    """The same with its sign, a true minus.

    >>> signed(-0.0123, 3), signed(0.00001, 3)
    ('−0.012', '0.000')
    """
    if value is None or value != value:
        return "–"
    text = f"{value:+,.{decimals}f}"
    return text[1:] if not float(text.replace(",", "")) else text.replace("-", "−")


def percent(share: float, decimals: int = 0) -> str:
    r"""A share as a percentage; what is there but rounds to nothing is "< 1 %".

    >>> percent(0.123, 1), percent(0.0001)
    ('12.3\u202f%', '<\u202f1\u202f%')
    """
    least = 10**-decimals
    if 0 < 100 * share < least / 2:
        return f"<\u202f{least:.{decimals}f}\u202f%"
    return f"{100 * share:.{decimals}f}\u202f%"


def duration(seconds: float) -> str:
    """Wall time for people.

    >>> [duration(seconds) for seconds in (0.04, 75.2, 4020)]
    ['0.0 s', '1 min 15 s', '1 h 07 min']
    """
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
