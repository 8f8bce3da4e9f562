"""Small images side by side, in the manner of the course's other figures."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from houseprice.report.figures import ACCENT, CONTRAST, empty_figure, plain

_PAPER = "rgba(128, 134, 144, 0.1)"


def image_grid(images: NDArray[Any], titles: Sequence[object], *, per_row: int = 10) -> go.Figure:
    """Grey images in rows, a title above each; where numbers are negative they have a colour of their own.

    Parameters
    ----------
    images
        [n_images, height, width], one at least; 0 is paper.
    titles
        Of each, in the same order.
    per_row
        How many images a row has.
    """
    count, height, width = images.shape
    tall, wide = height + 2, width + 1  # room for the title, and a gap
    sheet = np.full((-(-count // per_row) * tall, min(per_row, count) * wide), np.nan)
    figure = empty_figure(
        xaxis={"visible": False},
        yaxis={"visible": False, "autorange": "reversed", "scaleanchor": "x"},
        height=40 + 600 * sheet.shape[0] // sheet.shape[1],
    )
    for number, (image, title) in enumerate(zip(images, titles, strict=True)):
        top, left = number // per_row * tall, number % per_row * wide
        sheet[top + 2 : top + tall, left : left + width] = image
        figure.add_annotation(x=left + (width - 1) / 2, y=top + 0.5, text=plain(title), showarrow=False)
    is_signed = images.min() < 0
    limit = float(np.abs(images).max())
    figure.add_heatmap(
        z=sheet, zmin=-limit if is_signed else 0, zmax=limit, showscale=False, hoverongaps=False,
        colorscale=[[0, CONTRAST], [0.5, _PAPER], [1, ACCENT]] if is_signed else [[0, _PAPER], [1, ACCENT]],
    )  # fmt: skip
    return figure
