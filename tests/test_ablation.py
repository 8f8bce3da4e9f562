"""Ablation: parts found in the competition file, each left out alone, and the entry itself left as it was."""

import json
from pathlib import Path
from typing import Any

import pytest

from competitions import COMPETITION, Ear, files_below, open_plan, write_competition
from houseprice import pipeline
from houseprice.ablation import Outcome, ablate
from houseprice.compete.leaderboard import rows
from houseprice.compete.parts import parts_of
from houseprice.compete.statistics import Comparison
from houseprice.config import Competition
from houseprice.errors import TrainingError
from spies import CountedTree
from test_cli import fail, succeed

RICH = """\
missing_indicators = true
ordinal = [{ columns = ["Town"], order = ["North", "South", "Old Town, East"] }]
groups = [
    { by = "Town", columns = ["Total", "Upper"] },
    { by = "Town", columns = ["Ground"], deviation = false },
]
interactions = [
    ["Ground", "Upper"],
    ["Ground", "Total"],
    ["Upper - median(Upper) by Town", "Total - median(Total) by Town"],
    ["median(Ground) by Town", "Ground"],
]

[features.default.derived]
Total = "Ground + Upper"
TotalEast = "Total * Town"
"""

WILD = """\
[experiments.wild]
kind = "linear"
optimizer = "sgd"
learning_rate = 1e6
clip_norm = 1e-9
batch_size = 4
epochs = 20

[experiments.deep]
kind = "mlp"
hidden = [8]
dropout = [0.1]
epochs = 2

[ensembles.blend]"""


@pytest.fixture
def rich(tmp_path: Path) -> Path:
    """A project whose recipe has parts that need one another, and experiments that can't do without some."""
    start, end = COMPETITION.index("missing_indicators"), COMPETITION.index("[features.together]")
    toml = COMPETITION[:start] + RICH + "\n" + COMPETITION[end:].replace("[ensembles.blend]", WILD)
    write_competition(tmp_path / "rich", toml=toml)
    return tmp_path / "rich"


def names(competition: Competition, entry: str, deep: bool = False) -> list[str]:
    return [part.name for part in parts_of(competition, entry, deep)]


def outcomes_of(root: Path, *arguments: str) -> dict[str, Any]:
    document = json.loads(succeed(root, "ablate", *arguments, "--json"))
    return {outcome["part"]: outcome for outcome in document["outcomes"]}


# parts ------------------------------------------------------------------------------------------------------


def test_parts_are_what_the_file_says_beyond_the_defaults(house_prices: Competition) -> None:
    keys = {"seeds", "activation", "input_dropout", "loss", "schedule", "epochs"}
    assert {name for name in names(house_prices, "mlp") if name.startswith("mlp.")} == {f"mlp.{key}" for key in keys}
    of_recipe = [f"features.default.{key}" for key in ("ordinal", "derived", "groups", "clip")]
    assert names(house_prices, "svr") == [
        *of_recipe, "features.default.interactions", "svr.params.C", "svr.params.gamma"
    ]  # fmt: skip
    shipped = names(house_prices, "default")
    assert [name for name in shipped if name.startswith("default.")] == [
        f"default.runs.{run}" for run in house_prices.ensembles["default"].runs
    ]
    assert len(shipped) == len(set(shipped))
    assert all(part.without for part in parts_of(house_prices, "default", deep=True))


def test_what_needs_a_part_goes_with_it(rich: Path) -> None:
    competition = open_plan(rich).workspace.competition
    found = {part.name: part for part in parts_of(competition, "ridge", deep=True)}

    def without(part: str) -> Any:
        competition = found[f"features.default.{part}"].without
        assert competition
        return competition.features["default"]

    derived = without("derived")
    assert found["features.default.derived"].left_out == "all 2 + 1 group column + 2 interactions"
    assert [group.columns for group in derived.groups] == [("Upper",), ("Ground",)]
    assert derived.interactions == (("Ground", "Upper"), ("median(Ground) by Town", "Ground"))
    assert without("derived.Total").derived == {}
    assert without("derived.TotalEast").interactions == without("missing_indicators").interactions
    assert without("ordinal").derived == {"Total": "Ground + Upper"}  # Town is text, and groups rows as well as before
    assert len(without("ordinal").groups) == 2
    assert without("groups").interactions == (("Ground", "Upper"), ("Ground", "Total"))
    assert found["features.default.groups"].left_out == "all 2 + 2 interactions"
    assert without("groups.2").interactions[-1] == ("Upper - median(Upper) by Town", "Total - median(Total) by Town")
    assert len(without("interactions.2").interactions) == 3


# on the command line ----------------------------------------------------------------------------------------


def test_every_variant_of_a_recipe_can_be_trained(rich: Path) -> None:
    found = outcomes_of(rich, "ridge", "--deep")
    assert len(found) == 1 + 1 + (1 + 2) + (1 + 2) + (1 + 4) + 1
    assert {outcome["problem"] for outcome in found.values()} == {""}
    differences = [outcome["comparison"]["difference"] for outcome in found.values()]
    assert differences == sorted(differences, reverse=True)


def test_a_variant_scores_what_the_entry_scores_with_that_part_overridden(root: Path) -> None:
    found = outcomes_of(
        root, "--parts", "tree.*", "--parts", "mlp.epochs", "--parts", "blend.*", "--parts", "features*"
    )
    assert set(found) == {
        *("tree.params.max_depth", "mlp.epochs", "blend.method", "blend.runs.ridge", "blend.runs.mlp"),
        *("blend.runs.tree", "features.default.derived", "features.default.missing_indicators"),
    }
    for part, override in (
        ("mlp.epochs", "mlp.epochs=100"),
        ("blend.method", "blend.method=mean"),
        ("blend.runs.mlp", 'blend.runs=["ridge", "tree"]'),
        ("features.default.missing_indicators", "features.default.missing_indicators=false"),
    ):
        (expected,) = json.loads(succeed(root, "ensemble", "blend", "--set", override, "--json"))
        assert found[part]["score"] == expected["score"]
    (whole,) = json.loads(succeed(root, "ensemble", "blend", "--json"))
    for outcome in found.values():
        assert outcome["comparison"]["difference"] == pytest.approx(outcome["score"] - whole["score"], abs=1e-12)


def test_the_entry_stays_as_it_was_and_a_second_time_nothing_runs(root: Path) -> None:
    board = root / "data/tiny/leaderboard.db"
    before = rows(board)
    first = succeed(root, "ablate")
    assert CountedTree.fits
    assert rows(board) == before
    assert not any(answer["runs"] for answer in pipeline.explain(open_plan(root).workspace, "blend"))
    trials = [path for path in (root / "data/tiny/artifacts").iterdir() if path.name.startswith("ablation-train-")]
    assert trials
    assert not any((path / "weights.safetensors").exists() for path in trials)
    CountedTree.fits.clear()
    files = files_below(root)
    assert succeed(root, "ablate") == first
    assert CountedTree.fits == []
    assert files_below(root) == files


def test_the_table_says_it_in_words(root: Path) -> None:
    text = " ".join(succeed(root, "ablate").split())
    for words in ("log_rmse of blend without one part at a time (source: local)", "mlp.epochs 4 → 100", "the run",
                  "3 → the estimator's", "can go, each of them alone", "needs a new ablation",
                  "14 configurations beside the whole were looked at"):  # fmt: skip
        assert words in text


@pytest.mark.parametrize(
    ("cost", "p_adjusted", "verdict"),
    [
        (0.02, 0.01, "earns its place"),
        (0.02, 0.4, "stays, unproven"),
        (0.01, 0.4, "can go"),
        (-0.02, 0.4, "can go"),
        (-0.02, 0.01, "harms"),
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_what_the_tests_leave_open_one_standard_error_decides(
    cost: float, p_adjusted: float, verdict: str, sign: int
) -> None:
    side: Any = "not distinguishable" if p_adjusted > 0.05 else "worse" if cost > 0 else "better"
    difference = sign * cost
    beside = Comparison("without", "whole", difference, 0.01, difference - 0.02, difference + 0.02,
                        p_adjusted, None, p_adjusted, side)  # fmt: skip
    assert Outcome("mlp.epochs", "40 → 100", 0.1, beside, cost).verdict == verdict


def test_a_part_costs_what_the_entry_is_worse_without_it(root: Path) -> None:
    for outcome in outcomes_of(root, "mlp").values():
        assert outcome["cost"] == outcome["comparison"]["difference"]
        assert outcome["comparison"]["std_error"] > 0
    accurate = outcomes_of(root, "mlp", "--set", 'metric="r2"')
    for outcome in accurate.values():
        assert outcome["cost"] == -outcome["comparison"]["difference"]
    costs = [outcome["cost"] for outcome in accurate.values()]
    assert costs == sorted(costs, reverse=True)


def test_an_interrupted_ablation_goes_on(root: Path) -> None:
    title, ear = "ablation/train/mlp", Ear()
    ablate(open_plan(root, ear), "mlp", ["mlp.dropout"])
    n_epochs = len(ear.reports[title])
    interrupted = Ear(interrupt=(title, n_epochs + 1))  # in the second variant
    with pytest.raises(KeyboardInterrupt):
        ablate(open_plan(root, interrupted), "mlp")
    assert interrupted.ran == [title]
    again = Ear()
    found = ablate(open_plan(root, again), "mlp")
    assert again.ran == [title] * (len(found.outcomes) - 2) + ["ablation/mlp"]


def test_a_variant_that_cannot_be_trained_is_a_row(rich: Path) -> None:
    wild = outcomes_of(rich, "wild", "--parts", "wild.*")
    assert wild["wild.clip_norm"]["verdict"] == "can't be trained"
    assert "members became infinite or NaN" in wild["wild.clip_norm"]["problem"]
    assert wild["wild.learning_rate"]["comparison"]
    assert [*wild][-1] == "wild.clip_norm"
    deep = outcomes_of(rich, "deep", "--parts", "deep.hidden")
    assert "dropout: 1 rates for 2 hidden layers" in deep["deep.hidden"]["problem"]
    text = " ".join(succeed(rich, "ablate", "wild", "--parts", "wild.*").split())
    assert "wild.clip_norm 1e-09 → none – – – – can't be trained" in text
    assert f"Without wild.clip_norm: {wild['wild.clip_norm']['problem']}" in text


def test_an_entry_that_cannot_be_trained_whole_is_an_error(rich: Path) -> None:
    with pytest.raises(TrainingError, match="members became infinite or NaN"):
        ablate(open_plan(rich, overrides=("mlp.learning_rate=1e30",)), "blend")


def test_parts_that_are_not_there_are_one_line(root: Path) -> None:
    assert "--parts mlp.epoch: the entry has no such part; did you mean 'mlp.epochs'?" in fail(
        root, "ablate", "--parts", "mlp.epoch"
    )
    assert "did you mean 'blend'?" in fail(root, "ablate", "blnd")
    assert "'blend' is a stack" in fail(root, "ablate", "blend", "--set", "blend.method=stack")
