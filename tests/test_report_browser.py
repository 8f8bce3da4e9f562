"""The report in a real browser: it works by mouse and keyboard, asks nothing of any network, and can be read by all."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Dialog, Page, sync_playwright

import hostile
from competitions import Ear
from houseprice import pipeline
from houseprice.plan import open_workspace
from houseprice.report.gather import gather
from houseprice.report.page import render

pytestmark = pytest.mark.long

QUIET = (
    *("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
SIZES = {"desk": (1280, 900), "phone": (390, 844)}

REAL = """\
name = "house-prices"
title = "House Prices"
id = "Id"
target = "SalePrice"
metric = "log_rmse"
entry = "both"

[folds.main]
k = 10
repeats = 2

[experiments.ridge]
kind = "ridge"
alpha = 20.0

[experiments.net]
kind = "mlp"
hidden = [16]
learning_rate = 3e-3
epochs = 5

[experiments.net-longer]
kind = "mlp"
hidden = [16]
learning_rate = 3e-3
epochs = 12

[ensembles.both]
runs = ["ridge", "net-longer"]
"""

# Text that can be seen, each with its contrast to what lies behind it (WCAG 2.2, 1.4.3); colours are read back from a
# canvas, because styles may name them in any colour space.
CONTRASTS = """() => {
  const context = Object.assign(document.createElement("canvas"), { width: 1, height: 1 })
    .getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = color;
    context.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const luminance = (color) => color.slice(0, 3)
    .map((level) => level / 255)
    .map((level) => (level <= 0.04045 ? level / 12.92 : ((level + 0.055) / 1.055) ** 2.4))
    .reduce((sum, level, i) => sum + level * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    const layers = [];
    for (let up = element; up; up = up.parentElement) layers.unshift(rgba(getComputedStyle(up).backgroundColor));
    return layers.reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (!text || element.closest("script, style, noscript, title, option")) continue;
    const box = element.getBoundingClientRect();
    const style = getComputedStyle(element);
    if (!element.checkVisibility() || box.width <= 1 || box.height <= 1) continue;
    const background = behind(element);
    const color = over(rgba(element instanceof SVGElement ? style.fill : style.color), background);
    const [dark, light] = [luminance(color), luminance(background)].sort((a, b) => a - b);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    found.push({ text: text.slice(0, 60), ratio: (light + 0.05) / (dark + 0.05), least: large ? 3 : 4.5 });
  }
  return found;
}"""

WATCH_SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.shifts.push(entry.value);
}).observe({ type: "layout-shift", buffered: true });
"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A headless Chromium with a fresh profile; where there is none the test is skipped, but never in CI."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        reason = "no Chromium here: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, chromium_sandbox=False, args=list(QUIET))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def real_report(tmp_path_factory: pytest.TempPathFactory, shared_house_prices: Path) -> Path:
    """The report of fifty runs on the real files."""
    root = tmp_path_factory.mktemp("real")
    folder = root / "data" / "house-prices"
    folder.mkdir(parents=True)
    (folder / "competition.toml").write_text(REAL, encoding="utf-8")
    shutil.copytree(shared_house_prices, folder / "raw")
    for number in range(48):
        alpha = f"ridge.alpha={1.2**number:.4g}"
        workspace = open_workspace(root, "house-prices", (alpha,), "cpu", Ear())
        pipeline.summarize_run(pipeline.make_plan(workspace), "ridge")
    plan = pipeline.make_plan(open_workspace(root, "house-prices", (), "cpu", Ear()))
    for name in ("net", "net-longer"):
        pipeline.summarize_run(plan, name)
    path = root / "report.html"
    path.write_text(render(gather(plan, "both")), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def hostile_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a competition whose texts would do something if they were taken for markup."""
    root = tmp_path_factory.mktemp("hostile")
    hostile.write_hostile_competition(root)
    plan = pipeline.make_plan(open_workspace(root, "tiny", (), "cpu", Ear()))
    pipeline.summarize_run(plan, "linear")
    path = root / "report.html"
    path.write_text(render(gather(plan, "blend")), encoding="utf-8")
    return path


Open = Callable[..., Page]


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Open]:
    """Opens a page from the disk and waits for its figures; in the end it complained of nothing and asked nobody."""
    complaints: list[str] = []
    requests: list[str] = []
    contexts = []

    def refuse(dialog: Dialog) -> None:
        complaints.append(dialog.message)
        dialog.dismiss()

    def visit(path: Path, size: str = "desk", **options: Any) -> Page:
        width, height = SIZES[size]
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", refuse)
        page.on("request", lambda request: requests.append(request.url))
        page.add_init_script(WATCH_SHIFTS)
        page.goto(path.as_uri())
        if options.get("java_script_enabled", True):
            page.wait_for_selector("html[data-figures=drawn]", timeout=60_000)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert complaints == []
    assert {url for url in requests if not url.startswith("file:///")} == set()
    assert len(requests) == len(contexts)  # the page itself, and no file beside it


def column(page: Page, table: str, place: int, attribute: str = "data-value") -> list[str]:
    """The cells of a column, in the rows that are shown."""
    cells: list[str] = page.eval_on_selector_all(
        f"{table} tbody tr:not([hidden])",
        f"rows => rows.map((row) => row.cells[{place}].getAttribute('{attribute}'))",
    )
    return cells


def drawn_traces(page: Page) -> list[str]:
    names: list[str] = page.eval_on_selector(
        "[data-figure=curves] .plot", "plot => plot.data.filter((trace) => trace.mode).map((trace) => trace.name)"
    )
    return names


# it works -------------------------------------------------------------------------------------------------------


def test_the_table_is_sorted_by_its_headings(real_report: Path, visit: Open) -> None:
    page = visit(real_report)
    heading = page.locator("#board thead th").nth(2)
    heading.get_by_role("button").click()
    scores = [float(score) for score in column(page, "#board", 2)]
    assert len(scores) == 53  # 51 runs, the ensemble and the entry
    assert scores == sorted(scores)
    assert heading.get_attribute("aria-sort") == "ascending"
    heading.get_by_role("button").click()
    assert [float(score) for score in column(page, "#board", 2)] == sorted(scores, reverse=True)
    assert heading.get_attribute("aria-sort") == "descending"
    page.locator("#board thead th").nth(1).get_by_role("button").click()
    names = column(page, "#board", 1)
    assert names == sorted(names)
    assert page.locator("#board thead th[aria-sort]").count() == 1


def test_rows_without_a_value_stay_last_either_way(real_report: Path, visit: Open) -> None:
    page = visit(real_report)
    gap = page.locator("#board thead th", has_text="Gap")
    place = gap.evaluate("cell => cell.cellIndex")
    for _ in range(2):
        gap.get_by_role("button").click()
        values = column(page, "#board", place)
        assert values[-2:] == ["", ""]  # the ensemble and the entry
        assert "" not in values[:-2]


def test_the_table_is_filtered(real_report: Path, visit: Open) -> None:
    page = visit(real_report)
    board = page.locator("[data-controls=board]")
    board.get_by_label("Kind").select_option("run")
    assert len(column(page, "#board", 1)) == 51
    board.get_by_label("Find").fill("net")
    assert sorted(column(page, "#board", 1)) == ["net", "net-longer"]
    assert board.get_by_role("status").inner_text() == "2 of 53 rows"
    board.get_by_label("Find").fill("alpha=1.2")
    assert set(column(page, "#board", 1)) == {"ridge"}
    board.get_by_label("Find").fill("no such thing")
    assert page.locator("[data-empty=board]").is_visible()
    board.get_by_label("Find").fill("")
    assert not page.locator("[data-empty=board]").is_visible()
    page.locator("[data-controls=columns]").get_by_label("Find").fill("garage")
    assert len(column(page, "#columns", 0)) == 7


def test_an_experiment_is_toggled(real_report: Path, visit: Open) -> None:
    page = visit(real_report)
    both = drawn_traces(page)
    assert {name.strip("\u2068").split("\u2069")[0] for name in both} == {"net", "net-longer"}
    page.get_by_role("checkbox", name="net-longer").uncheck()
    page.wait_for_function("document.querySelector('[data-figure=curves] .plot').data.length === 3")
    assert all("net-longer" not in name for name in drawn_traces(page))
    page.get_by_role("checkbox", name="net-longer").check()
    page.wait_for_function("document.querySelector('[data-figure=curves] .plot').data.length === 6")
    assert sorted(drawn_traces(page)) == sorted(both)


def test_the_matrix_tells_of_the_cell_that_is_pointed_at(real_report: Path, visit: Open) -> None:
    page = visit(real_report)
    cell = page.locator("#matrix td.b").first
    assert cell.inner_text() == "▲"
    row, place = cell.evaluate("cell => [cell.parentElement.rowIndex - 1, cell.cellIndex - 1]")
    cell.hover()
    told = page.locator("#readout").inner_text()
    assert " is better than " in told
    assert "difference −0." in told
    page.locator("#matrix tbody tr").nth(place).locator("td").nth(row).hover()
    assert " is worse than " in page.locator("#readout").inner_text()
    assert "difference +0." in page.locator("#readout").inner_text()


def test_a_column_is_chosen_for_the_residuals(real_report: Path, visit: Open) -> None:
    page = visit(real_report)
    page.locator("#by-column").select_option(label="Neighborhood")
    shown = page.locator("#by-column-tables table:visible")
    assert shown.count() == 1
    assert shown.locator("tbody tr").count() == 25
    assert "NridgHt" in shown.inner_text()


def test_every_figure_is_drawn(real_report: Path, visit: Open) -> None:
    page = visit(real_report)
    figures = page.locator("[data-figure]")
    assert figures.count() >= 6
    for place in range(figures.count()):
        assert figures.nth(place).locator(".main-svg .trace").count() > 0


def test_it_works_by_keyboard_alone(real_report: Path, visit: Open) -> None:
    page = visit(real_report)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.locator(".skip").bounding_box()["x"] >= 0  # type: ignore[index]
    page.locator("#board thead button").nth(2).focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Space")
    scores = [float(score) for score in column(page, "#board", 2)]
    assert scores == sorted(scores, reverse=True)
    page.locator("#matrix-box").focus()
    page.keyboard.press("ArrowRight")
    first = page.locator("#readout").inner_text()
    page.keyboard.press("ArrowRight")
    assert page.locator("#readout").inner_text() != first
    assert page.locator("#matrix .active").count() == 1
    page.get_by_role("checkbox", name="net-longer").focus()
    page.keyboard.press("Space")
    page.wait_for_function("document.querySelector('[data-figure=curves] .plot').data.length === 3")


def test_whatever_takes_the_focus_shows_it(real_report: Path, visit: Open) -> None:
    page = visit(real_report)
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        focus = page.evaluate(
            "() => { const e = document.activeElement, s = getComputedStyle(e);"
            " return [e.tagName, e.className, s.outlineStyle, parseFloat(s.outlineWidth)]; }"
        )
        assert focus[2] != "none", focus
        assert focus[3] >= 1, focus
        reached.add(focus[0])
    assert {"A", "BUTTON", "INPUT", "SELECT", "DIV"} <= reached


def test_the_theme_is_kept_for_the_next_visit(real_report: Path, visit: Open) -> None:
    page = visit(real_report, color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Theme: auto").click()
    page.get_by_role("button", name="Theme: light").click()
    assert page.get_by_role("button", name="Theme: dark").is_visible()
    assert page.evaluate(ground) != light
    dark = page.evaluate("localStorage.getItem('houseprice-theme')")
    assert dark == "dark"


# it asks nobody and obeys no one --------------------------------------------------------------------------------


def test_hostile_texts_are_shown_and_not_run(hostile_report: Path, visit: Open) -> None:
    for size in SIZES:
        page = visit(hostile_report, size)
        assert page.evaluate("window.pwned") is None
        assert page.locator("img, i, b").count() == 0
        text = " ".join(page.locator("body").inner_text().split())
        for shown in (hostile.SCRIPT, hostile.IMAGE, hostile.BREAKOUT):
            assert shown in text
        cells = page.locator("bdi", has_text=hostile.RIGHT_TO_LEFT.strip())
        assert cells.count() > 0
        assert page.locator("bdi", has_text=hostile.LONG.strip()).count() > 0
        ticks = page.locator("[data-figure=importance-0] .ytick").all_text_contents()
        assert any("<script>" in tick for tick in ticks)  # shown by Plotly, too


def test_hostile_labels_stay_text_under_the_pointer(hostile_report: Path, visit: Open) -> None:
    page = visit(hostile_report)
    for name in ("importance-0", "predicted", "residuals", "curves"):
        figure = page.locator(f"[data-figure={name}]")
        figure.scroll_into_view_if_needed()
        box = figure.bounding_box()
        assert box is not None
        for x in (0.3, 0.45, 0.6, 0.75):
            for y in (0.25, 0.4, 0.55, 0.7):
                page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
    assert page.evaluate("window.pwned") is None
    assert page.locator("img").count() == 0


def test_the_policy_stops_what_is_not_the_pages_own(real_report: Path, chromium: Browser) -> None:
    page = chromium.new_page()
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    page.goto(real_report.as_uri())
    page.evaluate(
        "() => { const s = document.createElement('script'); s.textContent = 'window.pwned = 3';"
        " document.head.append(s); }"
    )
    answer = page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'let through', () => 'stopped')")
    assert page.evaluate("window.pwned") is None
    assert answer == "stopped"
    assert any("Content Security Policy" in text for text in refused)
    page.context.close()


# it can be read -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_contrast_is_enough_everywhere(real_report: Path, visit: Open, size: str, scheme: str) -> None:
    page = visit(real_report, size, color_scheme=scheme)
    found = page.evaluate(CONTRASTS)
    assert len(found) > 500
    assert [text for text in found if text["ratio"] < text["least"]] == []


@pytest.mark.parametrize("size", SIZES)
def test_nothing_moves_while_it_loads(real_report: Path, visit: Open, size: str) -> None:
    page = visit(real_report, size)
    page.get_by_role("checkbox", name="net-longer").uncheck()
    page.wait_for_function("document.querySelector('[data-figure=curves] .plot').data.length === 3")
    assert sum(page.evaluate("window.shifts")) < 0.005


@pytest.mark.parametrize("report", ["real_report", "hostile_report"])
@pytest.mark.parametrize("widened", [False, True])
def test_a_phone_scrolls_downwards_only(
    report: str, widened: bool, visit: Open, request: pytest.FixtureRequest
) -> None:
    page = visit(request.getfixturevalue(report), "phone")
    if widened:
        page.get_by_role("checkbox", name="all columns").check()
        for details in page.locator("details:visible").all():
            details.evaluate("element => { element.open = true; }")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    for place in page.locator("main h2, main h3, main p:visible, .panel").all()[:80]:
        box = place.bounding_box()
        assert box is None or box["x"] + box["width"] <= 391


def test_numbers_stand_right_aligned_with_digits_of_one_width(real_report: Path, visit: Open) -> None:
    page = visit(real_report)
    styles = page.eval_on_selector_all(
        "td.n", "cells => cells.map((c) => getComputedStyle(c)).map((s) => [s.textAlign, s.fontVariantNumeric])"
    )
    assert len(styles) > 500
    assert all(align == "right" and "tabular-nums" in numeric for align, numeric in styles)


def test_it_prints_whole_and_without_its_controls(real_report: Path, visit: Open, tmp_path: Path) -> None:
    page = visit(real_report)
    page.pdf(path=tmp_path / "report.pdf", format="A4")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    page.emulate_media(media="print", color_scheme="dark")
    assert not page.locator("nav").is_visible()
    assert not page.locator(".controls:visible").count()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    cut = page.eval_on_selector_all(
        ".scroller", "boxes => boxes.filter((box) => box.scrollHeight > box.clientHeight + 1).length"
    )
    assert cut == 0


def test_without_scripts_the_tables_are_there_and_the_page_says_what_is_not(real_report: Path, visit: Open) -> None:
    page = visit(real_report, java_script_enabled=False)
    assert page.locator("#board tbody tr").count() == 53
    assert page.locator("#matrix tbody tr").count() > 50
    assert "JavaScript is off" in page.locator("main").inner_text()
    assert not page.locator(".controls:visible").count()


def test_a_browser_that_can_not_unpack_says_so(real_report: Path, chromium: Browser) -> None:
    page = chromium.new_page()
    page.add_init_script("delete window.DecompressionStream")
    page.goto(real_report.as_uri())
    page.wait_for_selector("html[data-figures=absent]")
    assert page.locator("#no-figures").is_visible()
    page.locator("#board thead button").nth(2).click()
    assert page.locator("#board thead th").nth(2).get_attribute("aria-sort") == "ascending"
    page.context.close()


def test_the_page_has_names_for_those_who_hear_it(real_report: Path, visit: Open) -> None:
    page = visit(real_report)
    assert page.get_by_role("main").count() == 1
    assert page.get_by_role("navigation", name="Sections").count() == 1
    assert page.get_by_role("heading", level=1).count() == 1
    nameless = page.eval_on_selector_all(
        "button, input, select, [role=img], [role=region], th[scope]",
        "all => all.filter((e) => !(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length)).length",
    )
    assert nameless == 0


def test_fifty_real_runs_stay_within_five_megabytes(real_report: Path) -> None:
    assert real_report.stat().st_size <= 5_000_000
