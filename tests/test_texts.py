"""Free text: left out unless it is asked for, then hashed into as many columns as are asked for."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import HashingVectorizer

from cells import build
from houseprice.errors import ConfigError

WORDS = ("a sunny house", "with a garden", "near the old river", "Ωραίο σπίτι", "close to every shop")
TEXTS = [f"{WORDS[n % 5]} and {WORDS[n % 3]}, number {n}" for n in range(40)]
PLAIN = [str(n % 7) for n in range(40)]
TRAIN, TEST = {"Remarks": TEXTS, "odd": PLAIN}, {"Remarks": ["a garden by the sea", "NA"], "odd": ["1", "2"]}


def test_free_text_is_left_out_with_a_notice() -> None:
    found = build(TRAIN, TEST)
    assert found.of_fold(0).columns == ("odd",)
    assert "column 'Remarks' is left out: it is free text, 40 different cells in 40 rows" in found.notices[0]


def test_text_that_is_asked_for_is_hashed_by_scikit_learn() -> None:
    matrix = build(TRAIN, TEST, text={"Remarks": 16}, drop_constant=False).of_fold(0)
    assert matrix.columns == ("odd", *(f"Remarks#{place}" for place in range(16)))
    hashed = HashingVectorizer(n_features=16)
    np.testing.assert_array_equal(matrix.X[:, 1:], hashed.transform(TEXTS).toarray().astype(np.float32))
    np.testing.assert_array_equal(matrix.X_test[0, 1:], hashed.transform(TEST["Remarks"][:1]).toarray()[0].astype("f4"))
    assert not matrix.X_test[1, 1:].any(), "a gap has no words"


def test_hashed_text_counts_for_the_bound_of_the_width() -> None:
    town = {"Town": [f"T{n % 20}" for n in range(40)]}
    found = build({**TRAIN, **town}, {**TEST, "Town": ["T1", "T2"]}, text={"Remarks": 16}, max_columns=24)
    assert found.n_columns[1] <= 24
    assert any("rarest labels are lumped" in notice for notice in found.notices)


def test_unseen_words_and_texts_are_no_unseen_labels() -> None:
    assert build(TRAIN, TEST, text={"Remarks": 4}).notices == ()


def test_numbers_may_be_hashed_as_text() -> None:
    codes = {"Code": [str(10 + n % 5) for n in range(40)], "odd": PLAIN}
    matrix = build(codes, {"Code": ["10"], "odd": ["1"]}, text={"Code": 8}).of_fold(0)
    assert len(matrix.columns) > 2
    assert {name for name in matrix.columns if not name.startswith("Code#")} == {"odd"}


def test_a_text_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"text: no column 'Remark' in train\.csv.*did you mean 'Remarks'"):
        build(TRAIN, TEST, text={"Remark": 8})
