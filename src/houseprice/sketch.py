"""Learning curves drawn small in a terminal: Braille dots, the score on a log axis."""

import numpy as np

from houseprice.learn.curves import Curves, diagnose, mean_of_numbers

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # of a Braille cell, [row, column]


def sketch(title: str, curves: Curves, width: int = 60, height: int = 8) -> list[str]:
    """Draw the mean curves over the folds: validation as a line, train as every third dot of one.

    Parameters
    ----------
    title
        Stands before what the curves say (`houseprice.learn.curves.diagnose`).
    curves
        Of a run.
    width, height
        Of the drawing in characters, each of 2 × 4 dots.

    Returns
    -------
    list of str
        Lines: the title, the drawing with the scores at its ends, the epochs.
    """
    dots = np.zeros((4 * height, 2 * width), np.bool_)
    places = np.linspace(curves.epochs[0], curves.epochs[-1], dots.shape[1])  # the epoch of every column of dots
    drawn = {"validation": mean_of_numbers(curves.valid), "train": mean_of_numbers(curves.train)}
    logs = {
        name: np.interp(places, curves.epochs[known], np.log(scores[known]), left=np.nan)
        for name, scores in drawn.items()
        if (known := np.isfinite(scores) & (scores > 0)).any()
    }  # [column of dots]; NaN before the first epoch with a score
    if not logs:  # no score, or none above 0
        found = diagnose(curves)
        return [f"{title}: {found.verdict}; {found.reason}"]
    low, high = float(np.nanmin(list(logs.values()))), float(np.nanmax(list(logs.values())))
    ends: dict[int, list[str]] = {}
    for name, log in logs.items():
        columns = np.flatnonzero(np.isfinite(log))
        rows = np.round((high - log[columns]) / ((high - low) or 1.0) * (len(dots) - 1)).astype(int)
        if name == "train":
            dots[rows[::3], columns[::3]] = True
        else:
            for column, before, row in zip(columns, [rows[0], *rows], rows, strict=False):
                dots[min(before, row) : max(before, row) + 1, column] = True
        ends.setdefault(int(rows[-1]) // 4, []).append(f"{name} {np.exp(log[-1]):.4g}")
    marks = {0: f"{np.exp(high):.4g}", height - 1: f"{np.exp(low):.4g}"}
    margin = max(map(len, marks.values()))
    found = diagnose(curves)
    lines = [f"{title}: {found.verdict}; {found.reason}"]
    for row in range(height):
        block = dots[4 * row : 4 * row + 4].reshape(4, width, 2)
        text = "".join(chr(0x2800 + int((block[:, cell] * _DOTS).sum())) for cell in range(width))
        lines.append(f"{marks.get(row, ''):>{margin}} ┤{text} {', '.join(ends.get(row, []))}".rstrip())
    first, last_epoch = str(curves.epochs[0]), f"epoch {curves.epochs[-1]}"
    lines.append(f"{' ' * margin}  {first}{last_epoch:>{width - len(first)}}")
    return lines
