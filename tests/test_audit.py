"""The leak audit: planted leaks are found, and sound files and pipelines pass."""

import json
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from competitions import COMPETITION, Ear, houseprice_process, open_plan, write_competition
from houseprice import audit, pipeline
from houseprice.data.leaks import (
    adversarial_validation,
    giveaways,
    identifiers,
    look_at,
    order_of_rows,
    twins_across_folds,
    twins_in_test,
)
from houseprice.data.tables import Tables
from houseprice.plan import open_workspace

FOLDS = np.arange(200, dtype=np.int64)[None, :] % 5


def tables() -> Tables:
    """300 rows with a signal and much noise."""
    random = np.random.default_rng(4)
    ids = pd.Index([f"r{number}" for number in range(300)])
    size = random.normal(100, 20, 300)
    both = pd.DataFrame(
        {"Size": size, "Rooms": random.integers(1, 9, 300).astype(float), "Town": random.choice(list("abc"), 300)},
        index=ids,
    ).astype({"Town": "str"})
    target = pd.Series(size + random.normal(0, 20, 300), index=ids, name="Price")[:200]
    return Tables(both[:200].copy(), both[200:].copy(), target, ids[200:], ())


def with_columns(given: Tables, **columns: Any) -> Tables:
    """Columns of all 300 rows, train above test."""
    cut = len(given.train)
    return replace(
        given,
        train=given.train.assign(**{name: values[:cut] for name, values in columns.items()}),
        test=given.test.assign(**{name: values[cut:] for name, values in columns.items()}),
    )


def test_sound_files_pass() -> None:
    found = look_at(tables(), FOLDS)
    assert len(found) == 6
    assert {each.verdict for each in found} == {"fine"}


def test_a_column_that_names_rows_is_found() -> None:
    random = np.random.default_rng(0)
    numbers, names = random.permutation(1000)[:300], [f"case {number}" for number in range(300)]
    planted = identifiers(with_columns(tables(), Case=numbers.astype(float), Name=names))
    assert planted.verdict == "look"
    assert "Different in every row: Case, Name." in planted.said


def test_rows_in_the_order_of_the_target_are_found() -> None:
    given = tables()
    order = given.target.to_numpy().argsort()
    planted = order_of_rows(replace(given, train=given.train.iloc[order], target=given.target.iloc[order]))
    assert planted.verdict == "look"
    assert "Spearman's ρ +1.00" in planted.said


@pytest.mark.parametrize(("noise", "verdict"), [(0.0, "leak"), (12.0, "look"), (60.0, "fine")])
def test_a_column_that_tells_the_target_is_found(noise: float, verdict: str) -> None:
    given = tables()
    told = np.r_[given.target, np.zeros(100)] * -3 + np.random.default_rng(1).normal(0, noise, 300)
    planted = giveaways(with_columns(given, Tax=told))
    assert planted.verdict == verdict
    assert ("Is Tax known before the target is?" in planted.said) == (verdict != "fine")


def test_equal_rows_are_found_across_folds_and_in_the_test_file() -> None:
    given = tables()
    train, test = given.train.copy(), given.test.copy()
    train.iloc[7], train.iloc[15], test.iloc[3] = train.iloc[1], train.iloc[10], train.iloc[1]
    planted = replace(given, train=train, test=test)
    across = twins_across_folds(planted, FOLDS[0])  # rows 10 and 15 are in one fold
    assert across.verdict == "look"
    assert "2 of 200 training rows" in across.said
    assert "(ids r1, r7)" in across.said
    in_test = twins_in_test(planted)
    assert "1 of 100 test rows" in in_test.said
    assert "(ids r203)" in in_test.said


def test_a_test_file_from_elsewhere_is_found_with_the_columns_that_tell() -> None:
    given = tables()
    planted = adversarial_validation(replace(given, test=given.test.assign(Rooms=given.test["Rooms"] + 6)))
    assert planted.verdict == "look"
    assert planted.value is not None
    assert planted.value > 0.9
    assert "alone by Rooms" in planted.said


# an experiment's controls --------------------------------------------------------------------------------


def test_the_command_prints_what_it_found(tmp_path: Path) -> None:
    write_competition(tmp_path)
    shown = json.loads(houseprice_process(tmp_path, "audit", "ridge", "--json").stdout)
    verdicts = {each["check"]: each["verdict"] for each in shown["findings"]}
    assert len(verdicts) == 8
    assert verdicts["shuffled target"] == verdicts["preprocessing"] == "fine"
    assert houseprice_process(tmp_path, "audit", "ridge").stdout.count("fine") >= 2
    looked = json.loads(houseprice_process(tmp_path, "audit", "linear", "--json").stdout)["findings"][-1]
    assert looked["verdict"] == "look"
    assert "features.together is fitted on validation and test rows, too" in looked["said"]


def test_folds_in_time_are_audited_with_the_rows_that_none_validates(tmp_path: Path) -> None:
    toml = COMPETITION.replace("k = 3", 'k = 3\nscheme = "expanding"\nby = "Ground"')
    write_competition(tmp_path, toml=toml)
    done = houseprice_process(tmp_path, "audit", "ridge", "--json")
    assert done.returncode == 0, done.stderr
    assert "no fold validates" in done.stderr
    assert len(json.loads(done.stdout)["findings"]) == 8


@pytest.mark.parametrize("reports", [2, 5, 8])
def test_an_interrupted_audit_takes_no_member_of_other_targets_for_one_of_its_own(tmp_path: Path, reports: int) -> None:
    """Of its three cross-validations with three members each, the second has shuffled targets."""
    write_competition(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        audit.audit(open_plan(tmp_path, Ear(("audit/tree", reports)), ("threads=1",)), "tree")
    resumed = audit.audit(open_plan(tmp_path, overrides=("threads=1",)), "tree")
    write_competition(tmp_path / "undisturbed")
    assert resumed == audit.audit(open_plan(tmp_path / "undisturbed", overrides=("threads=1",)), "tree")


@pytest.mark.parametrize(("lucky", "verdict"), [({2}, "fine"), ({2, 3}, "fine"), ({2, 3, 4}, "leak")])
def test_who_was_lucky_with_one_deal_of_the_targets_did_not_see_them(
    lucky: set[int], verdict: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first cross-validation is of the targets as they are."""
    write_competition(tmp_path)
    honest, calls = pipeline.cross_validate, count(1)

    def sometimes_peeping(*arguments: Any) -> Any:
        run = honest(*arguments)
        return replace(run, oof=0.7 * run.oof + 0.3 * run.target) if next(calls) in lucky else run

    monkeypatch.setattr(pipeline, "cross_validate", sometimes_peeping)
    plan = pipeline.make_plan(open_workspace(tmp_path, "tiny"))
    control = next(each for each in audit.audit(plan, "ridge").findings if each.check == "shuffled target")
    assert control.verdict == verdict


def test_who_saw_the_shuffled_targets_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_competition(tmp_path)
    honest = pipeline.cross_validate

    def peeping(*arguments: Any) -> Any:
        run = honest(*arguments)
        return replace(run, oof=0.7 * run.oof + 0.3 * run.target)

    monkeypatch.setattr(pipeline, "cross_validate", peeping)
    plan = pipeline.make_plan(open_workspace(tmp_path, "tiny"))
    control = next(each for each in audit.audit(plan, "ridge").findings if each.check == "shuffled target")
    assert control.verdict == "leak"
    assert "it saw what it is scored on" in control.said
