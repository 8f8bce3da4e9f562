"""The grid of dropout rates: what it is of arrays, what of a competition, and the command that draws it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from competitions import COMPETITION, open_plan, write_competition
from houseprice import pipeline
from houseprice.course import figures
from houseprice.course.data import linear
from houseprice.course.fitting import fit
from houseprice.course.grid import Grid, dropout_grid, last_losses, mean_grid
from houseprice.errors import ConfigError
from houseprice.grid import grid, grid_name
from houseprice.learn.training import fit as fit_members
from test_cli import fail, succeed

DEEP = COMPETITION.replace("hidden = [8]", "hidden = [8, 6]").replace("dropout = 0.1", "dropout = 0.0")
SETTINGS = {"hidden": (4, 3), "epochs": 3, "batch_size": 10, "learning_rate": 0.01}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with a network of two hidden layers."""
    write_competition(tmp_path, toml=DEEP)
    return tmp_path


# of arrays --------------------------------------------------------------------------------------------------


def test_each_cell_is_the_network_of_its_settings() -> None:
    train, valid = linear(0, rows=(40, 20))
    rates, decays = (0.0, 0.3, 0.8), (0.0, 2.0)
    found = dropout_grid([(train, valid)], SETTINGS, rates=rates, decays=decays, seeds=(0, 1))
    assert found.valid.shape == found.train.shape == (2, 3, 3)
    for decay, first, second in ((0, 1, 2), (1, 2, 0)):
        settings = {**SETTINGS, "weight_decay": decays[decay], "dropout": (rates[first], rates[second])}
        losses = [last_losses(one) for one in fit(train, valid, settings, seeds=(0, 1))]
        cell = found.train[decay, first, second], found.valid[decay, first, second]
        assert cell == pytest.approx(np.mean(losses, axis=0), rel=1e-5)


def test_the_whole_grid_is_one_call_of_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, engine = [], fit_members

    def counted(members: Any, **options: Any) -> Any:
        sizes.append(len(members))
        return engine(members, **options)

    monkeypatch.setattr("houseprice.course.fitting.fit_members", counted)
    dropout_grid([linear(0, rows=(10, 5))], {**SETTINGS, "epochs": 1})
    assert sizes == [300]


def test_who_diverges_is_a_gap() -> None:
    pair = linear(0, rows=(40, 20))
    settings = {**SETTINGS, "optimizer": "sgd", "learning_rate": 0.1, "epochs": 300}
    found = dropout_grid([pair], settings, rates=(0.0, 0.5), decays=(0.0, 1e3))
    assert found.lowest(0) is not None
    assert np.isnan(found.valid[1]).all()
    assert found.lowest(1) is None
    assert "no value" in figures.dropout_maps(found).layout.annotations[1].text


@pytest.mark.parametrize("hidden", [(), (4,), (4, 4, 4)])
def test_two_rates_need_two_layers(hidden: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"needs two hidden layers: \[256, 256\]"):
        dropout_grid([linear(0, rows=(10, 5))], {**SETTINGS, "hidden": hidden})


def test_the_lowest_and_the_mean_pass_over_gaps() -> None:
    values = np.array([[[3.0, np.nan], [1.0, 2.0]]])
    found = Grid((0.0,), (0.0, 0.5), values, values)
    assert found.lowest(0) == (1, 0)
    np.testing.assert_array_equal(mean_grid([found, Grid((0.0,), (0.0, 0.5), values, values + 2)]).valid, values + 1)


def test_the_maps_show_every_number() -> None:
    values = np.arange(8.0).reshape(2, 2, 2)
    figure = figures.dropout_maps(Grid((0.0, 3.0), (0.0, 0.5), values, values), "rmse")
    assert [trace.type for trace in figure.data] == ["heatmap", "heatmap"]
    for trace, one in zip(figure.data, values, strict=True):
        np.testing.assert_array_equal(trace.z, one)
    assert [(trace.xaxis, trace.yaxis) for trace in figure.data] == [("x", "y"), ("x2", "y2")]
    title = figure.layout.annotations[1].text
    assert "weight decay 3" in title
    assert "lowest rmse 4" in title


# of a competition -------------------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few settings, for tests of what is around them."""
    monkeypatch.setattr(dropout_grid, "__kwdefaults__", {**(dropout_grid.__kwdefaults__ or {}), "rates": (0.0, 0.5)})


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("weights", ["none", "shift"])
def test_without_dropout_and_decay_it_is_the_experiment_itself(root: Path, weights: str) -> None:
    path = root / "data" / "tiny" / "raw" / "test.csv"
    elsewhere = pd.read_csv(path)
    elsewhere.assign(Ground=elsewhere["Ground"] + 60).to_csv(path, index=False)
    plan = open_plan(root, seeds=1, overrides=(f"mlp.weights={weights}",))
    found, run = grid(plan, "mlp", 1), pipeline.train(plan, "mlp")
    assert found.valid[0, 0, 0] == pytest.approx(run.fold_scores[0], rel=1e-5)
    assert found.train[0, 0, 0] == pytest.approx(run.train_scores[0], rel=1e-5)
    assert np.isfinite(found.valid).all()


@pytest.mark.usefixtures("small")
def test_its_page_and_numbers(root: Path) -> None:
    told = json.loads(succeed(root, "grid", "--folds", "2", "--json"))
    assert {**told, "valid": 0, "train": 0, "page": 0} == {
        **{"experiment": "mlp", "source": "local", "metric": "log_rmse", "folds": 2, "seeds": 1},
        **{"weight_decays": [0.0, 1e-3, 3.0], "dropout": [0.0, 0.5], "valid": 0, "train": 0, "page": 0},
    }
    assert np.array(told["valid"]).shape == (3, 2, 2)
    page = Path(told["page"])
    assert page == root / "submissions" / "tiny" / "grid-mlp.html"
    assert "lowest log_rmse" in page.read_text(encoding="utf-8")
    shown = succeed(root, "grid", "mlp", "--folds", "2")
    assert f"{np.min(told['valid'][0]):.5f}" in shown
    assert str(page) in shown


@pytest.mark.usefixtures("small")
def test_what_is_finished_is_not_fitted_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, engine = [], fit_members

    def interrupted(members: Any, **options: Any) -> Any:
        calls.append(len(members))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return engine(members, **options)

    monkeypatch.setattr("houseprice.course.fitting.fit_members", interrupted)
    plan = open_plan(root)
    with pytest.raises(KeyboardInterrupt):
        grid(plan, "mlp", 3)
    assert np.isfinite(grid(plan, "mlp", 3).valid).all()
    assert len(calls) == 4  # the first fold once, the second again, and the third
    grid(plan, "mlp", 3)
    assert len(calls) == 4


@pytest.mark.usefixtures("small")
def test_classes_have_a_grid_too(tmp_path: Path) -> None:
    mlp = DEEP[DEEP.index("[experiments.mlp]") : DEEP.index("[experiments.tree]")]
    toml = DEEP[: DEEP.index("[experiments.ridge]")].replace("log_rmse", "accuracy").replace("blend", "mlp")
    raw = write_competition(tmp_path, toml=f'task = "multiclass"\n{toml}{mlp}') / "raw"
    train, submission = (pd.read_csv(raw / name) for name in ("train.csv", "sample_submission.csv"))
    train.assign(Price=train.Ground.map(lambda size: "ABC"[size // 60])).to_csv(raw / "train.csv", index=False)
    submission.assign(Price="A").to_csv(raw / "sample_submission.csv", index=False)
    found, run = grid(open_plan(tmp_path, seeds=1), "mlp"), pipeline.train(open_plan(tmp_path, seeds=1), "mlp")
    assert found.valid[0, 0, 0] == pytest.approx(1 - run.fold_scores[0])


def test_which_experiment_it_is_of(root: Path) -> None:
    assert grid_name(open_plan(root).workspace.competition) == "mlp"
    said = fail(root, "grid", "ridge")
    assert "experiments.ridge has 0 of them. Those that fit: mlp." in said
    assert "did you mean 'mlp'" in fail(root, "grid", "mpl")
    said = fail(root, "grid", "mlp", "--set", "mlp.hidden=[8]")
    assert "experiments.mlp has 1 of them. Use --set mlp.hidden=[256,256]." in said
    assert "no experiment has two" in fail(root, "grid", "--set", "mlp.hidden=[8]")
    assert "--folds 4: experiments.mlp has 3 folds" in fail(root, "grid", "--folds", "4")


def test_all_pairs_are_there(root: Path) -> None:
    told = json.loads(succeed(root, "grid", "--set", "mlp.epochs=1", "--json"))
    assert told["dropout"] == [step / 10 for step in range(10)]
    assert np.size(told["valid"]) == 300
