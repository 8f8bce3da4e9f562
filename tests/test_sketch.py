"""Learning curves in the terminal say what the curves say."""

import numpy as np
import pytest

from houseprice.learn.curves import Curves
from houseprice.sketch import sketch

EPOCHS = np.arange(1, 41)
TRAIN = 0.1 + 0.4 / EPOCHS
VALID = 0.2 + 0.4 / EPOCHS


def dots(line: str) -> str:
    """The Braille characters of a line that are not empty."""
    return "".join(character for character in line if "\u2801" <= character <= "\u28ff")


def curves(train: np.ndarray, valid: np.ndarray) -> Curves:
    return Curves(EPOCHS[: len(train)], np.stack([train, train]), np.stack([valid - 0.01, valid + 0.01]))


def test_the_scores_stand_at_the_ends_of_axis_and_curves() -> None:
    title, *drawn, epochs = sketch("mlp", curves(TRAIN, VALID), width=40, height=6)
    assert title.startswith("mlp: ")
    assert len(drawn) == 6
    assert drawn[0].startswith(" 0.6 ┤")  # the mean over folds
    assert drawn[-1].startswith("0.11 ┤")
    assert drawn[-1].endswith("train 0.11")
    (end,) = (line for line in drawn if "validation" in line)
    assert end.endswith("validation 0.21")
    assert epochs.split() == ["1", "epoch", "40"]
    assert epochs.index("1") == drawn[0].index("┤") + 1
    assert len(epochs) == drawn[0].index("┤") + 1 + 40


def test_the_axis_is_logarithmic() -> None:
    """Halved scores are as far apart at the top as at the bottom: a straight line."""
    halving = 0.5 ** np.arange(4.0)
    *_, a, b, c, _ = sketch("net", Curves(np.arange(1, 5), halving[None], halving[None]), width=6, height=3)
    assert [len(dots(line)) for line in (a, b, c)] == [3, 3, 2]


def test_validation_is_a_line_and_train_is_dotted() -> None:
    _, *drawn, _ = sketch("mlp", curves(np.full(40, 0.1), np.full(40, 0.2)), width=30, height=4)
    assert (len(dots(drawn[0])), len(dots(drawn[-1]))) == (30, 20)
    assert set(dots(drawn[0])) == {"⠉"}


@pytest.mark.parametrize("height", [1, 8])
def test_a_flat_curve_and_a_single_point_are_drawn(height: int) -> None:
    for n in (1, 40):
        flat = np.full(n, 0.2)
        _, *drawn, _ = sketch("mlp", Curves(EPOCHS[:n], flat[None], flat[None]), height=height)
        assert any(line.endswith("validation 0.2, train 0.2") for line in drawn)
        assert any(dots(line) for line in drawn)


def test_epochs_without_a_score_are_left_out() -> None:
    """Early predictions may be outside the metric's domain, and train losses not asked for."""
    valid = VALID.copy()
    valid[:20] = np.nan
    _, *drawn, _ = sketch("linear", Curves(EPOCHS, np.full((1, 40), np.nan), valid[None]), width=40, height=4)
    columns = [place for line in drawn for place, character in enumerate(line.partition("┤")[2]) if dots(character)]
    assert min(columns) >= 19
    assert "train" not in "".join(drawn)
