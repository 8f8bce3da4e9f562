"""The report's contents are those of the leaderboard, the predictions and the files; its page carries all it needs."""

import base64
import dataclasses
import hashlib
import html
import json
import re
import shutil
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import hostile
from competitions import COMPETITION, PACKAGE, Ear, houseprice_process, open_plan, submit, write_competition
from houseprice import pipeline
from houseprice.compete import leaderboard, ledger
from houseprice.data.tables import Tables
from houseprice.errors import ConfigError
from houseprice.report.columns import categories_differ, columns_of, numbers_differ
from houseprice.report.contents import Report
from houseprice.report.drawing import INTERVAL_WIDTH, bars, intervals, thumbnail
from houseprice.report.gather import gather
from houseprice.report.page import render
from houseprice.report.standings import own_overrides

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose experiments are all trained, with an older row of one of them."""
    folder = tmp_path_factory.mktemp("reported")
    write_competition(folder, toml=COMPETITION.replace('method = "nnls"', 'method = "mean"'))
    pipeline.summarize_run(open_plan(folder, overrides=("mlp.dropout=0.4", "ridge.alpha=3.0")), "mlp")
    for name in ("ridge", "mlp", "linear"):
        pipeline.summarize_run(open_plan(folder), name)
    submit(folder)
    return folder


@pytest.fixture(scope="module")
def report(root: Path) -> Report:
    return gather(open_plan(root), "blend")


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    return render(report)


class Elements(HTMLParser):
    """The elements of a page with their attributes, and its text outside of scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self._within = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._within = tag

    def handle_endtag(self, tag: str) -> None:
        self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within == "script":
            self.scripts.append(data)
        elif self._within != "style":
            self.texts.append(data)


# what it says ---------------------------------------------------------------------------------------------------


def test_lines_are_the_leaderboard_best_first(root: Path, report: Report) -> None:
    rows = leaderboard.rows(root / "data" / "tiny" / "leaderboard.db")
    assert [line.row.key for line in report.board.lines] == [row.key for row in rows]
    assert [line.row.score for line in report.board.lines] == sorted(row.score for row in rows)
    assert [line.verdict for line in report.board.lines].count("best") == 1


def test_a_difference_is_that_of_the_scores_and_lies_in_its_interval(report: Report) -> None:
    best = next(line.row for line in report.board.lines if line.verdict == "best")
    compared = 0
    for line in report.board.lines:
        if line.difference is not None and line.low is not None and line.high is not None:
            compared += 1
            assert line.difference == pytest.approx(line.row.score - best.score)
            assert line.low <= line.difference <= line.high
    assert compared >= 4


def test_an_entry_repeats_its_ensemble_and_is_not_compared_twice(report: Report) -> None:
    of_blend = [line for line in report.board.lines if line.row.name == "blend"]
    assert {line.row.kind for line in of_blend} == {"ensemble", "entry"}
    assert len([name for name in report.matrix.names if name.startswith("blend")]) == 1
    assert sorted(line.repeats for line in of_blend) == [False, True]
    others = len(report.matrix.names) - 1
    assert f"of {others} others" in report.headline or f"all {others} others" in report.headline


def test_the_matrix_is_antisymmetric_and_agrees_with_its_numbers(report: Report) -> None:
    codes, size = report.matrix.codes, len(report.matrix.names)
    opposite = {"b": "w", "w": "b", "o": "o", "x": "x", "s": "s"}
    pairs = iter(report.matrix.pairs)
    for i in range(size):
        assert codes[i][i] == "s"
        for j in range(i + 1, size):
            assert codes[j][i] == opposite[codes[i][j]]
            pair = next(pairs)
            if codes[i][j] in "bw":
                assert pair is not None
                assert (pair[0] < 0) == (codes[i][j] == "b")
    assert next(pairs, None) is None


def test_two_rows_of_one_name_are_told_apart(report: Report) -> None:
    of_mlp = [name for name in report.matrix.names if name.startswith("mlp")]
    assert len(of_mlp) == 2
    assert all(re.fullmatch(r"mlp@[0-9a-f]{8}", name) for name in of_mlp)


def test_overrides_are_those_that_bear_on_the_run(report: Report) -> None:
    (line,) = (line for line in report.board.lines if line.row.overrides)
    assert line.row.overrides == ("mlp.dropout=0.4", "ridge.alpha=3.0")
    assert line.overrides == ("dropout=0.4",)
    seeds = tuple(f"experiments.{name}.seeds=3" for name in ("ridge", "mlp"))
    assert own_overrides(dataclasses.replace(line.row, overrides=(*seeds, "folds.main.k=5"))) == (
        "seeds=3",
        "folds.main.k=5",
    )


def test_curves_are_shown_of_every_network_and_no_run_is_loaded(root: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(root, tmp_path / "project"))
    plan = open_plan(copy)
    gather(plan, "blend")  # importance is computed from the runs
    for value in (copy / "data" / "tiny" / "artifacts").glob("train-*/value.joblib"):
        value.unlink()
    ear = Ear()
    report = gather(open_plan(copy, ear), "blend")
    assert ear.lines == []
    assert sorted(panel.name for panel in report.panels) == ["linear", "mlp", "mlp"]
    assert set(report.without_curves) == {"ridge", "tree"}


def test_a_panel_ends_where_its_run_ended(root: Path, report: Report) -> None:
    plan = open_plan(root)
    run = pipeline.train(plan, "linear")
    (panel,) = (panel for panel in report.panels if panel.name == "linear")
    assert panel.last_epoch == 3
    assert panel.valid_end == pytest.approx(np.mean([member.valid_scores[-1] for member in run.members]), rel=1e-5)
    assert panel.train_end == pytest.approx(np.mean([member.train_scores[-1] for member in run.members]), rel=1e-5)


def test_the_worst_rows_are_the_worst_and_shown_with_their_own_cells(root: Path, report: Report) -> None:
    plan = open_plan(root)
    blend, tables = pipeline.ensemble(plan, "blend"), pipeline.tables(plan)
    residual = dict(zip(blend.train_ids, blend.oof - blend.target, strict=True))
    worst = sorted(residual, key=lambda row: -abs(residual[row]))
    assert [row.id for row in report.worst] == worst[: len(report.worst)]
    town = report.worst_columns.index("Town")
    for row in report.worst:
        assert row.residual == pytest.approx(residual[row.id])
        assert row.target == pytest.approx(tables.target[row.id])
        assert row.cells[town] == tables.train.loc[row.id, "Town"]


def test_groups_of_a_column_hold_every_row_and_the_whole_error(report: Report) -> None:
    assert {table.name for table in report.by_column} == {"Ground", "Upper", "Garden", "Town"}
    for table in (*report.by_column, report.bands):
        assert sum(group.count for group in table.groups) == report.n_train
        assert sum(group.share for group in table.groups) == pytest.approx(1)


def test_a_chosen_column_comes_first_and_an_unknown_one_is_refused(root: Path) -> None:
    assert gather(open_plan(root), "blend", by="Garden").by_column[0].name == "Garden"
    with pytest.raises(ConfigError, match="did you mean 'Garden'"):
        gather(open_plan(root), "blend", by="Gardem")


def test_importance_is_of_the_files_columns(report: Report) -> None:
    assert [item.run for item in report.importances] == ["ridge", "mlp", "tree"]
    assert {name for name, _ in report.importance_table} == {"Ground", "Upper", "Garden", "Town"}


def test_the_entry_is_what_its_manifest_says(root: Path, report: Report) -> None:
    manifest = json.loads((root / "submissions" / "tiny" / "blend.json").read_text(encoding="utf-8"))
    assert json.loads(report.entry.manifest) == manifest
    assert {run.name: run.weight for run in report.entry.runs} == manifest["weights"]
    assert report.entry.score == manifest["score"]["score"]
    assert dict(report.entry.facts)["SHA-256 of the CSV"] == manifest["sha256"]


@pytest.mark.parametrize(
    ("settings", "said", "cells", "important", "is_drawn"),
    [
        (("method=mean",), "blend has 3 runs, weighted equally", {"0.333"}, {"ridge", "mlp", "tree"}, True),
        (
            ("select=one_standard_error",),
            "blend takes 1 of 3 candidate runs, as few as do by the one-standard-error rule",
            {"1.000", "not chosen"},
            {"ridge"},
            True,
        ),
        (
            ("method=stack", "estimator=sklearn.tree.DecisionTreeRegressor", "original_columns=true"),
            "sklearn.tree.DecisionTreeRegressor learns from their predictions and the feature columns",
            {"–"},
            {"ridge", "mlp", "tree"},
            False,
        ),
    ],
)
def test_the_ensemble_is_told_as_it_is(
    settings: tuple[str, ...],
    said: str,
    cells: set[str],
    important: set[str],
    is_drawn: bool,
    root: Path,
    tmp_path: Path,
) -> None:
    copy = Path(shutil.copytree(root, tmp_path / "project"))
    report = gather(open_plan(copy, overrides=tuple(f"blend.{setting}" for setting in settings)), "blend")
    assert said in report.entry.described
    assert {each.run for each in report.importances} == important
    page = render(report)
    table = page[page.index('aria-label="Scores of the ensemble and its runs"') :]
    shown = re.findall(
        r'<th scope="row"><bdi>\w+</bdi></th><td class="n">([^<]+)</td>', table[: table.index("</table>")]
    )
    assert len(shown) == 3
    assert set(shown) == cells
    assert ('data-figure="weights"' in page) == is_drawn


def test_the_commands_bring_the_entry_again(root: Path, report: Report, tmp_path: Path) -> None:
    submitted, reproduced = (command.text for command in report.commands[-2:])
    copy = Path(shutil.copytree(root, tmp_path / "project"))
    entry = copy / "submissions" / "tiny" / "blend.csv"
    before = entry.read_bytes()
    entry.unlink()
    for text in (submitted, reproduced):
        program, command, *arguments = text.split()
        assert program == ".venv/bin/houseprice"
        where = [str(copy / argument) if argument.endswith(".csv") else argument for argument in arguments]
        done = houseprice_process(copy, command, *where)
        assert done.returncode == 0, done.stderr
    assert entry.read_bytes() == before


def test_overrides_are_part_of_the_command_as_a_shell_reads_them(root: Path) -> None:
    plan = open_plan(root, overrides=("ridge.alpha=3.5", 'mlp.activation="relu"'))
    texts = [command.text for command in gather(plan, "ridge").commands]
    assert any("--set ridge.alpha=3.5 --set 'mlp.activation=\"relu\"'" in text for text in texts)


def test_the_ledger_is_shown_once_the_competition_has_spoken(root: Path, report: Report, tmp_path: Path) -> None:
    assert report.ledger is None
    copy = Path(shutil.copytree(root, tmp_path / "project"))
    board = copy / "data" / "tiny" / "leaderboard.db"
    for place, alpha in enumerate((1.0, 2.0, 4.0, 8.0, 16.0)):
        plan = open_plan(copy, overrides=(f"ridge.alpha={alpha}",))
        pipeline.submit(plan, "ridge")
        newest = leaderboard.named(leaderboard.rows(board), f"ridge@{plan.entry('ridge').fingerprint}", ("entry",))
        ledger.record_board_score(board, newest, 0.2 + place / 100)
    scored = gather(open_plan(copy), "blend")
    assert scored.ledger is not None
    assert [line.public for line in scored.ledger.entries] == pytest.approx([0.2, 0.21, 0.22, 0.23, 0.24])
    assert sum(line.recommended for line in scored.ledger.entries) == 2
    assert 'id="public"' in render(scored)


def test_the_sample_is_announced(report: Report, page: str) -> None:
    assert "Synthetic sample" not in page
    announced = render(dataclasses.replace(report, source="sample", is_sample=True))
    assert '<div class="banner" role="note">' in announced
    assert "source: sample" in announced


# the page -------------------------------------------------------------------------------------------------------


def test_nothing_in_the_page_points_outside(page: str) -> None:
    for tag, attributes in Elements(page).elements:
        for name in ("src", "href", "action", "data", "srcset", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:")), (tag, name, value)
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


def test_the_security_policy_names_the_pages_own_scripts_and_no_others(page: str) -> None:
    parsed = Elements(page)
    policy = next(a["content"] for _, a in parsed.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    allowed = re.findall(r"'(sha256-[^']+)'", policy)
    run = [text for (tag, a), text in zip(_scripts(parsed), parsed.scripts, strict=True) if not a.get("type")]
    hashes = [f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}" for text in run]
    assert len(run) == 2
    assert set(hashes) < set(allowed)
    assert len(allowed) == 3  # and Plotly's, which is carried packed
    assert "unsafe" not in re.sub(r"style-src 'unsafe-inline'", "", policy)


def _scripts(parsed: Elements) -> list[tuple[str, dict[str, str | None]]]:
    return [element for element in parsed.elements if element[0] == "script"]


def test_figures_in_the_page_have_their_place_and_their_data(report: Report, page: str) -> None:
    parsed = Elements(page)
    figures = json.loads(next(text for text in parsed.scripts if text.startswith('{"figures"')))
    places = {a["data-figure"] for _, a in parsed.elements if "data-figure" in a}
    assert places == {*figures["figures"], "curves"}
    assert set(figures["curves"]) == {panel.key for panel in report.panels}
    assert all("--height" in str(a["style"]) for _, a in parsed.elements if "data-figure" in a)


def test_every_id_is_there_once_and_every_link_ends_somewhere(page: str) -> None:
    elements = Elements(page).elements
    ids = [a["id"] for _, a in elements if "id" in a]
    assert len(ids) == len(set(ids))
    for _, attributes in elements:
        if (target := attributes.get("href") or "").startswith("#"):
            assert target[1:] in ids
        if labelled := attributes.get("aria-labelledby"):
            assert labelled in ids


def test_fifty_runs_stay_within_five_megabytes(root: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(root, tmp_path / "project"))
    board = copy / "data" / "tiny" / "leaderboard.db"
    (row, *_) = (row for row in leaderboard.rows(board) if row.kind == "run")
    evidence = leaderboard.evidence_of(board, row)
    assert evidence is not None
    random = np.random.default_rng(0)
    for number in range(50):
        noisy = dataclasses.replace(evidence, oof=evidence.oof + 0.02 * random.standard_normal(len(evidence.ids)))
        score = float(np.sqrt(np.square(noisy.oof - noisy.target).mean()))
        fingerprint = hashlib.sha256(str(number).encode()).hexdigest()
        leaderboard.record(board, dataclasses.replace(row, score=score, fingerprint=fingerprint), noisy)
    report = gather(open_plan(copy), "blend")
    assert len(report.matrix.names) >= 50
    assert len(render(report).encode()) < 3_500_000


def test_the_command_writes_the_page_beside_the_entries(root: Path) -> None:
    done = houseprice_process(root, "report")
    assert done.returncode == 0, done.stderr
    path = root / "submissions" / "tiny" / "report.html"
    assert str(path) in done.stdout
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_wheels_carry_the_templates() -> None:
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    carried = {
        path
        for package, patterns in settings["package-data"].items()
        for pattern in patterns
        for path in (PACKAGE.parent / package.replace(".", "/")).glob(pattern)
    }
    templates = PACKAGE / "report" / "templates"
    assert {path for path in templates.rglob("*") if path.is_file()} <= carried


# hostile texts --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("hostile")
    hostile.write_hostile_competition(folder)
    return render(gather(open_plan(folder), "blend"))


def test_hostile_texts_are_shown_in_full(hostile_page: str) -> None:
    shown = html.unescape(" ".join(" ".join(Elements(hostile_page).texts).split()))
    for text in hostile.TEXTS:
        if text not in (hostile.ID, hostile.TARGET):  # these head no table
            assert " ".join(text.split()) in shown


def test_hostile_texts_make_no_elements(hostile_page: str) -> None:
    elements = Elements(hostile_page).elements
    assert not [tag for tag, _ in elements if tag in ("img", "i", "b")]
    assert not [name for _, attributes in elements for name in attributes if name.startswith("on")]
    for text in (hostile.SCRIPT, hostile.IMAGE, hostile.BREAKOUT):
        assert text not in hostile_page


# its parts ------------------------------------------------------------------------------------------------------


def test_missing_values_and_types_are_those_of_the_files(house_prices_tables: Tables) -> None:
    columns = {column.name: column for column in columns_of(house_prices_tables)}
    assert len(columns) == 79
    assert columns["LotFrontage"].missing_train == pytest.approx(259 / 1460)
    assert columns["LotFrontage"].missing_test == pytest.approx(227 / 1459)
    assert columns["YearBuilt"].is_number
    assert not columns["Neighborhood"].is_number
    assert columns["Neighborhood"].distinct == 25
    for column in columns.values():
        assert column.train.sum() == pytest.approx(1)
        assert column.test.sum() == pytest.approx(1)
        assert len(column.labels) == len(column.train) == len(column.test)
    assert not any(column.differs for column in columns.values())  # Kaggle drew them alike


def test_p_values_are_those_of_scipy() -> None:
    from scipy import stats

    random = np.random.default_rng(0)
    for shift in (0.0, 0.1, 0.3):
        train, test = random.normal(size=400), random.normal(size=300) + shift
        distance, p_value = numbers_differ(train, test)
        exact = stats.ks_2samp(train, test)
        assert distance == pytest.approx(exact.statistic)
        assert p_value == pytest.approx(exact.pvalue, abs=0.02)
    for shares in ([0.5, 0.5], [0.2, 0.3, 0.5], [0.05] * 20):
        counts = [random.multinomial(500, shares), random.multinomial(400, shares)]
        distance, p_value = categories_differ(*counts)
        assert p_value == pytest.approx(stats.chi2_contingency(counts, correction=False).pvalue, abs=0.01)
        assert distance == pytest.approx(np.abs(counts[0] / 500 - counts[1] / 400).sum() / 2)


def test_columns_that_differ_are_found() -> None:
    random = np.random.default_rng(0)
    assert numbers_differ(random.normal(size=500), random.normal(size=500) + 0.5)[1] < 1e-6
    assert categories_differ(np.array([400, 100]), np.array([250, 250]))[1] < 1e-6
    assert numbers_differ(np.empty(0), np.ones(3)) == (0.0, 1.0)
    assert categories_differ(np.array([3, 4]), np.array([0, 0])) == (0.0, 1.0)


def test_intervals_keep_their_order_and_one_that_is_far_off_is_cut() -> None:
    values = np.array([0.0, 0.001, 0.002, 0.003, 5.0])
    drawn, zero = intervals(values, values - 0.001, values + 0.001, zero=0.0, reach=3)
    places = [each.value for each in drawn[:4]]
    assert None not in places
    assert places == sorted(places)  # type: ignore[type-var]
    assert places[0] == zero
    assert drawn[3].high - drawn[0].low > INTERVAL_WIDTH / 2
    assert drawn[4].value is None
    assert drawn[4].goes_on_right
    whole, _ = intervals(values, values - 0.001, values + 0.001)
    assert not whole[4].goes_on_right


def test_equal_values_can_be_drawn() -> None:
    same = np.zeros(3)
    drawn, zero = intervals(same, same, same, zero=0.0, reach=3)
    assert {each.value for each in drawn} == {zero}


def test_bars_are_as_high_as_their_shares() -> None:
    drawn = bars(["a", "b"], np.array([0.25, 0.75]), np.array([0.5, 0.5]))
    assert drawn[0].train * 3 == pytest.approx(drawn[1].train, abs=0.2)
    assert drawn[0].label == "a: train 25.0%, test 50.0%"


def test_a_thumbnail_has_no_points_where_nothing_is_known() -> None:
    scores = np.array([[np.nan, 0.5, 0.25]])
    drawn = thumbnail(scores, scores, (0.25, 0.5))
    assert drawn.valid.count("L") == 1
    assert "nan" not in drawn.valid + drawn.train + drawn.band
    nothing = np.full((1, 3), np.nan)
    assert thumbnail(nothing, nothing, (0.25, 0.5)).band == ""
