"""The competition file: what it means, its overrides, and every fault refused with its key and the nearest known."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import TINY_TOML, LoadTiny
from houseprice.competition import competition_from_json, load_competition
from houseprice.config import Competition
from houseprice.errors import ConfigError
from houseprice.recipes import MLP, Linear

CONFIG_FAULTS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    # what is wrong: text of the good file, what stands there instead, what the message says
    "unknown key": ("hidden", "hiden", ("experiments.mlp", "unknown key 'hiden'", "did you mean 'hidden'?")),
    "unknown table": ("[folds.main]", "[fold.main]", ("unknown key 'fold'", "did you mean 'folds'?")),
    "unknown ingest key": ("none_columns", "none_colums", ("ingest", "did you mean 'none_columns'?")),
    "unknown kind": ('kind = "mlp"', 'kind = "mpl"', ("experiments.mlp", "unknown kind 'mpl'", "did you mean 'mlp'?")),
    "no kind": ('kind = "mlp"', "", ("experiments.mlp", "kind", "required")),
    "no key": ('target = "Price"', "", ("target", "required")),
    "text for a number": ("epochs = 2", 'epochs = "2"', ("experiments.mlp.epochs", "integer", "it is '2'")),
    "part for a whole": ("epochs = 2", "epochs = 2.5", ("experiments.mlp.epochs", "integer", "it is 2.5")),
    "truth for a number": ("epochs = 2", "epochs = true", ("experiments.mlp.epochs", "integer", "it is True")),
    "number for a list": ("hidden = [8]", "hidden = 8", ("experiments.mlp.hidden", "list", "it is 8")),
    "number for text": ('id = "Id"', "id = 1", ("id", "string", "it is 1")),
    "number for a table": ('[experiments.ridge]\nkind = "ridge"', "[experiments]\nridge = 1", ("ridge", "table", "1")),
    "loss of classes": ("epochs = 2", 'loss = "cross_entropy"', ("experiments.mlp.loss", "is of classes", "numbers")),
    "no finite parameter": (
        '[experiments.ridge]\nkind = "ridge"',
        '[experiments.ridge]\nkind = "sklearn"\nestimator = "a.B"\nparams = { tol = -inf }',
        ("experiments.ridge.params", "use finite numbers"),
    ),
    "number for a recipe": (
        "[features.default]",
        "[features]\ndefault = 3",
        ("features.default: Input should be a table",),
    ),
    "too small": ("k = 4", "k = 1", ("folds.main.k", "greater than or equal to 2", "it is 1")),
    "too large": ("epochs = 2", "dropout = 1.0", ("experiments.mlp.dropout", "less than 1", "it is 1.0")),
    "infinite": ("epochs = 2", "learning_rate = inf", ("experiments.mlp.learning_rate", "finite", "it is inf")),
    "rates for other layers": ("epochs = 2", "dropout = [0.1, 0.2]", ("experiments.mlp", "2 rates for 1 hidden layer")),
    "unknown choice": ("epochs = 2", 'schedule = "sine"', ("experiments.mlp.schedule", "or 'cosine'", "it is 'sine'")),
    "unknown metric": ('metric = "log_rmse"', 'metric = "logrmse"', ("metric", "'logrmse' is unknown", "'log_rmse'")),
    "metric of another task": ('metric = "log_rmse"', 'metric = "auc"', ("'auc' is of task binary, not regression",)),
    "own metric": ('metric = "log_rmse"', 'metric = "my.own"', ("metric_reads and metric_greater_is_better",)),
    "unknown features": ("epochs = 2", 'features = "defualt"', ("experiments.mlp.features", "did you mean 'default'")),
    "unknown folds": ("epochs = 2", 'folds = "mian"', ("experiments.mlp.folds", "did you mean 'main'")),
    "unknown run": ('runs = ["ridge"', 'runs = ["rigde"', ("ensembles.both.runs", "did you mean 'ridge'")),
    "unknown entry": ('entry = "both"', 'entry = "bth"', ("entry", "unknown name 'bth'", "did you mean 'both'")),
    "a stack that chooses": (
        'runs = ["ridge", "mlp"]',
        'runs = ["ridge", "mlp"]\nmethod = "stack"\nselect = "one_standard_error"',
        ("ensembles.both", "select: 'one_standard_error', but a stack weights all of its runs"),
    ),
    "a stack of two folds": (
        "k = 4",
        'k = 2\n[ensembles.pile]\nruns = ["ridge"]\nmethod = "stack"',
        ("ensembles.pile.method", "two folds at a time", "k ≥ 3"),
    ),
    "families that nobody asks for": (
        'runs = ["ridge", "mlp"]',
        'runs = ["ridge", "mlp"]\nfamilies = [["ridge", "mlp"]]',
        ("ensembles.both", "families: of no use with select = 'all'"),
    ),
    "a family of a stranger": (
        'runs = ["ridge", "mlp"]',
        'runs = ["ridge", "mlp"]\nselect = "best_of_family"\nfamilies = [["rigde"]]',
        ("ensembles.both", "families: 'rigde' is none of the runs; did you mean 'ridge'?"),
    ),
    "a run of two families": (
        'runs = ["ridge", "mlp"]',
        'runs = ["ridge", "mlp"]\nselect = "best_of_family"\nfamilies = [["ridge"], ["mlp", "ridge"]]',
        ("ensembles.both", "families: 'ridge' is named twice"),
    ),
    "like a stranger": (
        "[ensembles.both]",
        '[experiments.deep]\nlike = "mpl"\n\n[ensembles.both]',
        ("experiments.deep.like", "unknown name 'mpl'", "did you mean 'mlp'?"),
    ),
    "like a list": (
        "[ensembles.both]",
        '[experiments.deep]\nlike = ["mlp"]\n\n[ensembles.both]',
        ("experiments.deep.like",),
    ),
    "like oneself": (
        "[ensembles.both]",
        '[experiments.one]\nlike = "other"\n[experiments.other]\nlike = "one"\n\n[ensembles.both]',
        ("experiments.one.like", "one → other → one"),
    ),
    "shrunk too far": (
        'runs = ["ridge", "mlp"]',
        'runs = ["ridge", "mlp"]\nshrink = 1.5',
        ("ensembles.both.shrink", "less than or equal to 1", "it is 1.5"),
    ),
    "no runs": ('runs = ["ridge", "mlp"]', "runs = []", ("ensembles.both.runs", "at least 1")),
    "one name for two": ("[ensembles.both]", "[ensembles.mlp]", ("ensembles.mlp", "an experiment has this name")),
    "name of a path": ("[experiments.ridge]", '[experiments."../ridge"]', ("'../ridge'", "use letters")),
    "name of another": ('name = "tiny"', 'name = "tinny"', ("'tinny'", "its folder is 'tiny'", "make them equal")),
    "id as target": ('target = "Price"', 'target = "Id"', ("id and target name the same column", "'Id'")),
    "contiguous repeats": ("k = 4", 'scheme = "contiguous"\nrepeats = 2', ("folds.main", "use repeats = 1")),
    "two roles": (
        "[features.default]",
        '[features.default]\nnumber = ["Rooms"]\ncategory = ["Rooms"]',
        ("features.default", "'Rooms' is named twice: under number and category"),
    ),
    "an order with a label twice": (
        "[features.default]",
        '[features.default]\nordinal = [{ columns = ["Street"], order = ["Pave", "Grvl", "Pave"] }]',
        ("features.default.ordinal.0.order", "twice in the order: Pave"),
    ),
    "half a mirror": (
        "[folds.main]",
        f'[ingest.mirror."train.csv"]\nurl = "http://localhost/"\nsha1 = "{"0" * 40}"\n[folds.main]',
        ("ingest.mirror", "both train.csv and test.csv"),
    ),
    "mirror elsewhere": (
        "[folds.main]",
        f'[ingest.mirror."train.csv"]\nurl = "file:///etc/passwd"\nsha1 = "{"0" * 40}"\n[folds.main]',
        ("ingest.mirror.train.csv.url", "not an http or https address"),
    ),
    "not TOML": ("k = 4", "k == 4", ("cannot be read as TOML", "line 11")),
}


@pytest.mark.parametrize(("good", "bad", "words"), CONFIG_FAULTS.values(), ids=CONFIG_FAULTS)
def test_a_fault_in_the_competition_file_is_named_with_its_key(
    good: str, bad: str, words: tuple[str, ...], tiny_root: Path
) -> None:
    assert TINY_TOML.count(good) >= 1
    path = tiny_root / "data" / "tiny" / "competition.toml"
    path.write_text(TINY_TOML.replace(good, bad, 1), encoding="utf-8")
    with pytest.raises(ConfigError) as refusal:
        load_competition(path)
    message = str(refusal.value)
    assert str(path) in message
    missing = [word for word in words if word not in message]
    assert not missing, f"not in the message {message!r}: {missing}"


@pytest.mark.parametrize("data", [b"\xff\xfe", b"name = \x00", b"\x89PNG\r\n"], ids=["UTF-16", "NUL", "binary"])
def test_a_file_that_is_no_text_is_named(data: bytes, tiny_root: Path) -> None:
    path = tiny_root / "data" / "tiny" / "competition.toml"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=re.escape(f"{path}: cannot be read as TOML")):
        load_competition(path)


def test_an_absent_competition_is_refused_with_those_that_are_there(tiny_root: Path) -> None:
    with pytest.raises(ConfigError, match=r"no competition file .*tinny.*; competitions here: tiny \(choose with -c\)"):
        load_competition(tiny_root / "data" / "tinny" / "competition.toml")


def test_a_wrong_root_is_refused_with_the_option(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="choose the project's folder with --root"):
        load_competition(tmp_path / "data" / "tiny" / "competition.toml")


def test_every_fault_is_told_at_once(tiny_root: Path) -> None:
    path = tiny_root / "data" / "tiny" / "competition.toml"
    path.write_text(TINY_TOML.replace("k = 4", "k = 1").replace("epochs = 2", "epochs = 0"))
    with pytest.raises(ConfigError) as refusal:
        load_competition(path)
    first, second = str(refusal.value).splitlines()
    assert "folds.main.k" in first
    assert "experiments.mlp.epochs" in second


LIKES = """
[experiments.deep]
like = "mlp"
[experiments.deeper]
like = "deep"
input_dropout = 0.1
[experiments.other]
like = "mlp"
kind = "ridge"

[ensembles.both]"""


@pytest.mark.parametrize("wrong", ["epohcs = 2", 'epochs = "two"', "epochs = 0"])
def test_a_fault_in_a_table_that_others_are_like_is_told_once_where_it_stands(tiny_root: Path, wrong: str) -> None:
    path = tiny_root / "data" / "tiny" / "competition.toml"
    likes = LIKES.replace('kind = "ridge"', "")
    path.write_text(TINY_TOML.replace("epochs = 2", wrong).replace("\n[ensembles.both]", likes), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"competition\.toml: experiments\.mlp[.:]") as refusal:
        load_competition(path)
    assert len(str(refusal.value).splitlines()) == 1


def test_a_fault_of_the_table_that_is_like_another_is_told_of_it(tiny_root: Path) -> None:
    path = tiny_root / "data" / "tiny" / "competition.toml"
    toml = TINY_TOML.replace("epochs = 2", "epochs = 0").replace("\n[ensembles.both]", LIKES)
    path.write_text(toml.replace("dropout = 0.1", "dropout = 1.1"), encoding="utf-8")
    with pytest.raises(ConfigError) as refusal:
        load_competition(path)
    told = str(refusal.value).splitlines()
    assert [line.split(": ")[1] for line in told] == [
        "experiments.mlp.epochs",
        "experiments.deeper.input_dropout",
        "experiments.other",
    ]
    assert "unknown key 'hidden'" in told[2]  # which only a ridge doesn't know


ENORMOUS = {
    "experiments.mlp.epochs": "less than or equal to 1000000",
    "experiments.mlp.seeds": "less than or equal to 10000",
    "experiments.mlp.batch_size": "less than or equal to 1000000",
    "experiments.mlp.tabm": "less than or equal to 4096",
    "folds.main.k": "less than or equal to 10000",
    "folds.main.repeats": "less than or equal to 1000",
    "features.default.pieces": "less than or equal to 4096",
    "features.default.max_columns": "less than or equal to 1000000",
    "threads": "less than or equal to 1024",
}


@pytest.mark.parametrize(("key", "words"), ENORMOUS.items(), ids=ENORMOUS)
def test_enormous_numbers_are_refused_with_their_bound(key: str, words: str, load_tiny: LoadTiny) -> None:
    with pytest.raises(ConfigError, match=rf"{re.escape(key)}: .*{words} \(it is 1000000000\)"):
        load_tiny(f"{key}=1000000000")


def test_enormous_networks_are_refused(load_tiny: LoadTiny) -> None:
    with pytest.raises(ConfigError, match=r"experiments\.mlp\.hidden\.0: .*less than or equal to 65536"):
        load_tiny("mlp.hidden=[1000000000]")
    with pytest.raises(ConfigError, match=r"experiments\.mlp\.hidden: .*at most 64 items"):
        load_tiny(f"mlp.hidden={[8] * 65}")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            ("mlp.seeds=1000", "folds.main.repeats=100"),
            "k = 4 × repeats = 100 × seeds = 1000: 400,000 members, and 100,000",
        ),
        (("mlp.seeds=1000", "mlp.epochs=100000"), "4,000 members, of 400,000,000 epochs in all, and 100,000,000"),
    ],
)
def test_what_is_enormous_as_a_product_is_refused(overrides: tuple[str, ...], words: str, load_tiny: LoadTiny) -> None:
    with pytest.raises(ConfigError, match=f"experiments.mlp: .*{words} are the most. Lower"):
        load_tiny(*overrides)


def whole_numbers(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All that a JSON schema says of whole numbers, at whatever depth."""
    if schema.get("type") == "integer":
        yield schema
    for value in schema.values():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                yield from whole_numbers(each)


def test_every_whole_number_of_the_file_has_bounds() -> None:
    found = list(whole_numbers(Competition.model_json_schema()))
    assert len(found) > 20
    assert [each for each in found if not ({"maximum", "exclusiveMaximum"} & each.keys() and "minimum" in each)] == []


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(tiny_root: Path, load_tiny: LoadTiny) -> None:
    expected = load_tiny()
    path = tiny_root / "data" / "tiny" / "competition.toml"
    path.write_bytes(b"\xef\xbb\xbf" + TINY_TOML.replace("\n", "\r\n").encode())
    assert load_tiny() == expected


# ------------------------------------------------------------------ --set


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("mlp.weight_decay=0.01", "weight_decay", 0.01),
        ("experiments.mlp.weight_decay=1", "weight_decay", 1.0),
        ("mlp.hidden=[3, 4]", "hidden", (3, 4)),
        ("mlp.activation=tanh", "activation", "tanh"),
        ('mlp.activation="tanh"', "activation", "tanh"),
        (" mlp.seeds = 3 ", "seeds", 3),
        ("mlp.standardize_target=false", "standardize_target", False),
    ],
)
def test_an_override_is_the_key_of_an_experiment(override: str, key: str, value: object, load_tiny: LoadTiny) -> None:
    changed, before = load_tiny(override), load_tiny()
    assert getattr(changed.experiments["mlp"], key) == value
    assert changed.experiments["ridge"] == before.experiments["ridge"]
    assert changed.folds == before.folds


def test_an_override_is_any_path_of_the_file_and_the_last_one_counts(load_tiny: LoadTiny) -> None:
    competition = load_tiny(
        "folds.main.k=5", "folds.main.k=6", "features.wide.rare=2", "entry=ridge", "both.method=nnls"
    )
    assert competition.folds["main"].k == 6
    assert competition.features["wide"].rare == 2
    assert competition.entry == "ridge"
    assert competition.ensembles["both"].method == "nnls"


def test_a_table_like_another_has_its_keys_but_for_its_own(tiny_root: Path, load_tiny: LoadTiny) -> None:
    path = tiny_root / "data" / "tiny" / "competition.toml"
    more = """
[experiments.tree]
kind = "sklearn"
estimator = "sklearn.tree.DecisionTreeRegressor"
params = { max_depth = 3, max_leaf_nodes = 5 }

[experiments.stump]
like = "tree"
params = { max_depth = 1 }

[experiments.deep]
like = "deeper"
seeds = 2

[experiments.deeper]
like = "mlp"
hidden = [8, 8]
"""
    path.write_text(TINY_TOML + more)
    experiments = load_tiny("mlp.epochs=7", "deep.activation=tanh").experiments
    mlp = experiments["mlp"]
    assert experiments["deeper"] == mlp.model_copy(update={"hidden": (8, 8)})
    assert experiments["deep"] == mlp.model_copy(update={"hidden": (8, 8), "seeds": 2, "activation": "tanh"})
    assert experiments["deeper"].model_dump()["epochs"] == 7  # an override reaches those that are like it
    assert experiments["stump"].model_dump()["params"] == {"max_depth": 1, "max_leaf_nodes": 5}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("mlp.weigth_decay=1", ("--set mlp.weigth_decay=1", "experiments.mlp", "did you mean 'weight_decay'?")),
        ("mpl.epochs=1", ("--set mpl.epochs=1", "unknown name 'mpl'", "did you mean 'mlp'?")),
        ("mlp.epochs=many", ("--set mlp.epochs=many", "experiments.mlp.epochs", "integer", "it is 'many'")),
        ("mlp.hidden=[1,", ("--set mlp.hidden=[1,", "experiments.mlp.hidden", "list", "it is '[1,'")),
        ("mlp.epochs", ("--set mlp.epochs", "write key=value, such as")),
        ("=1", ("--set =1", "write key=value")),
        ("mlp..epochs=1", ("--set mlp..epochs=1", "write key=value")),
        ("mlp.epochs.x=1", ("--set mlp.epochs.x=1", "'epochs' is a value, not a table")),
        ("mlp=1", ("--set mlp=1", "experiments.mlp", "table")),
        ("folds.main.kk=3", ("--set folds.main.kk=3", "folds.main", "unknown key 'kk'")),
        ("folds.main.k=1", ("--set folds.main.k=1", "folds.main.k", "greater than or equal to 2", "it is 1")),
    ],
)
def test_a_wrong_override_is_quoted(override: str, words: tuple[str, ...], load_tiny: LoadTiny) -> None:
    with pytest.raises(ConfigError) as refusal:
        load_tiny(override)
    missing = [word for word in words if word not in str(refusal.value)]
    assert not missing, f"not in the message {str(refusal.value)!r}: {missing}"


def test_an_override_of_a_broken_file_is_refused_too(tiny_root: Path, load_tiny: LoadTiny) -> None:
    path = tiny_root / "data" / "tiny" / "competition.toml"
    path.write_text(TINY_TOML[: TINY_TOML.index("[")] + "experiments = 3\n")
    with pytest.raises(ConfigError, match=r"--set mlp\.epochs=1: unknown name 'mlp'"):
        load_tiny("mlp.epochs=1")


# ------------------------------------------------------------------ what the models promise


def test_the_shipped_competition_says_what_the_design_says(house_prices: Competition) -> None:
    assert (house_prices.id, house_prices.target, house_prices.metric) == ("Id", "SalePrice", "log_rmse")
    assert {"d2l-linear", "d2l-mlp", "ridge", "mlp"} <= house_prices.experiments.keys()
    d2l = house_prices.experiments["d2l-linear"]
    assert isinstance(d2l, Linear)
    assert (d2l.learning_rate, d2l.weight_decay, d2l.epochs, d2l.batch_size, d2l.floor) == (5, 0, 100, 64, 1)
    assert (d2l.target_scale, d2l.standardize_target) == ("natural", False)
    assert (house_prices.folds[d2l.folds].scheme, house_prices.folds[d2l.folds].k) == ("contiguous", 5)
    assert house_prices.features[d2l.features].scope == "all"
    assert house_prices.ingest.mirror["train.csv"].sha1 == "585e9cc93e70b39160e7921475f9bcd7d31219ce"
    assert house_prices.ingest.mirror["test.csv"].sha1 == "fa19780a7b011d9b009e8bff8e99922a8ee2eb90"


def test_a_competition_survives_json(house_prices: Competition) -> None:
    """A manifest records the competition, and `reproduce` reads it back."""
    assert competition_from_json(house_prices.model_dump(mode="json"), "manifest") == house_prices


def test_dropout_is_one_rate_for_all_layers_or_one_for_each() -> None:
    assert MLP(kind="mlp", hidden=(4, 3), dropout=0.5).dropout_rates == (0.5, 0.5)
    assert MLP(kind="mlp", hidden=(4, 3), dropout=(0.5, 0.0)).dropout_rates == (0.5, 0.0)


def test_an_entry_is_an_ensemble_or_one_experiment(load_tiny: LoadTiny) -> None:
    assert load_tiny().runs_of("both") == ("ridge", "mlp")
    assert load_tiny().runs_of("mlp") == ("mlp",)


def test_models_are_frozen(load_tiny: LoadTiny) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_tiny().name = "other"  # type: ignore[misc]


# tasks ----------------------------------------------------------------------------------------------------


CLASSES = TINY_TOML.replace('metric = "log_rmse"', 'task = "binary"\nmetric = "auc"').replace(
    'kind = "ridge"', 'kind = "linear"'
)


def load_classes(root: Path, *changes: tuple[str, str]) -> Competition:
    text = CLASSES
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = root / "data" / "tiny" / "competition.toml"
    path.write_text(text, encoding="utf-8")
    return load_competition(path)


def test_networks_take_the_loss_of_the_task(tiny_root: Path) -> None:
    two = load_classes(tiny_root)
    more = load_classes(tiny_root, ('"binary"', '"multiclass"'), ('"auc"', '"accuracy"'))
    for competition, loss in ((two, "binary_cross_entropy"), (more, "cross_entropy")):
        assert [getattr(recipe, "loss", None) for recipe in competition.experiments.values()] == [loss, loss]
    said = load_classes(tiny_root, ("epochs = 2", 'epochs = 2\nloss = "cross_entropy"'))
    assert isinstance(mlp := said.experiments["mlp"], MLP)
    assert mlp.loss == "cross_entropy"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ((('kind = "linear"', 'kind = "ridge"'),), "experiments.ridge.kind: ridge predicts numbers"),
        (
            (("epochs = 2", 'loss = "huber"'),),
            "loss: huber does not fit task binary; use cross_entropy or binary_cross",
        ),
        ((("epochs = 2", "floor = 1.0"),), "floor: of numbers, and task binary has classes"),
        ((('"auc"', '"rmse"'),), "'rmse' is of task regression, not binary"),
        ((('"auc"', '"acuracy"'),), "'acuracy' is unknown; did you mean 'accuracy'?"),
        ((('"auc"', '"auc"\nmetric_reads = "label"'),), "'auc' says so itself"),
        (
            (('"auc"', '"my.own"\nmetric_reads = "value"\nmetric_greater_is_better = true'),),
            "task binary has classes; use 'probability' or 'label'",
        ),
        ((('"binary"', '"multiclass"\npositive = "a"'), ('"auc"', '"accuracy"')), "positive: of task binary alone"),
    ],
)
def test_what_does_not_fit_the_task_is_refused(
    changes: tuple[tuple[str, str], ...], message: str, tiny_root: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_classes(tiny_root, *changes)
    assert message in str(caught.value)


def test_a_users_metric_is_code_of_others(tiny_root: Path) -> None:
    own = '"sklearn.metrics.roc_auc_score"\nmetric_reads = "probability"\nmetric_greater_is_better = true'
    competition = load_classes(tiny_root, ('"auc"', own))
    assert competition.import_paths == {"sklearn.metrics.roc_auc_score"}
    assert competition.scoring.greater_is_better
