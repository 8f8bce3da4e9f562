"""A competition in which every text that comes from a file would do something if a page took it for markup."""

import csv
import json
from pathlib import Path

import numpy as np

SCRIPT = "<script>window.pwned = 'script'</script>"
IMAGE = "<img src=x onerror=\"window.pwned = 'image'\">"
BREAKOUT = "</script></title><svg onload='window.pwned = 1'>"
QUOTES = "\"' onmouseover='window.pwned = 2' x=\""
TEMPLATE = "{{ 7 * 7 }}{% raw %} %{x} ${1} $x^2$"
RIGHT_TO_LEFT = "\u202eשלום עולם مرحبا"
LONG = "Very long category " * 15 + "end"

TITLE = f"Houses {SCRIPT} & {QUOTES} {RIGHT_TO_LEFT}"
TARGET = f"Price {IMAGE}"
ID = "Id <b>bold</b>"
NUMBER = f"Ground {SCRIPT}"
TOWN = f"Town {BREAKOUT} {RIGHT_TO_LEFT}"
KINDS = f"Kinds {TEMPLATE}"
TOWNS = (SCRIPT, IMAGE, BREAKOUT, QUOTES, TEMPLATE, RIGHT_TO_LEFT, LONG)
TEXTS = (SCRIPT, IMAGE, BREAKOUT, QUOTES, TEMPLATE, RIGHT_TO_LEFT, LONG.strip(), ID, NUMBER, TOWN, KINDS, TARGET)

COMPETITION = f"""\
name = "tiny"
title = {json.dumps(TITLE)}
id = {json.dumps(ID)}
target = {json.dumps(TARGET)}
metric = "log_rmse"
entry = "blend"

[folds.main]
k = 3

[experiments.ridge]
kind = "ridge"

[experiments.mlp]
kind = "mlp"
hidden = [8]
learning_rate = 0.02
epochs = 6

[experiments.linear]
kind = "linear"
learning_rate = 0.05
epochs = 5

[ensembles.blend]
runs = ["ridge", "mlp"]
method = "nnls"
"""


def row_id(number: int) -> str:
    """The id of a row, from 0: markup, too."""
    return f"<i>{number}</i>"


def write_hostile_competition(root: Path, n_train: int = 90, n_test: int = 30) -> None:
    """Write ``data/tiny`` with raw files as hostile as CSV allows."""
    folder = root / "data" / "tiny"
    (folder / "raw").mkdir(parents=True)
    (folder / "competition.toml").write_text(COMPETITION, encoding="utf-8")
    random = np.random.default_rng(3)
    rows = []
    for number in range(n_train + n_test):
        ground, town, kind = random.integers(40, 160), int(random.integers(len(TOWNS))), random.integers(3)
        price = np.exp(11 + 0.006 * ground + 0.05 * town + 0.05 * random.standard_normal())
        rows.append((row_id(number), ground, TOWNS[town], f"{TEMPLATE} {kind}", round(price)))
    header = (ID, NUMBER, TOWN, KINDS, TARGET)
    for name, lines in (
        ("train.csv", [header, *rows[:n_train]]),
        ("test.csv", [row[:-1] for row in (header, *rows[n_train:])]),
        ("sample_submission.csv", [(ID, TARGET), *((row[0], 1) for row in rows[n_train:])]),
    ):
        with (folder / "raw" / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(lines)
