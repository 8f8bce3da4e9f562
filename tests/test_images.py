"""Images side by side: every pixel at its place, under its title."""

import numpy as np

from houseprice.course.images import image_grid


def test_images_lie_in_rows_beneath_their_titles() -> None:
    images = np.arange(1.0, 31.0).reshape(5, 3, 2)
    figure = image_grid(images, "abcde", per_row=2)
    sheet = np.asarray(figure.data[0].z)
    assert sheet.shape == (3 * (3 + 2), 2 * (2 + 1))
    np.testing.assert_array_equal(sheet[2:5, 0:2], images[0])
    np.testing.assert_array_equal(sheet[7:10, 3:5], images[3])
    assert np.isfinite(sheet).sum() == images.size
    assert [title.text[1:-1] for title in figure.layout.annotations] == list("abcde")
    assert figure.layout.annotations[3].x == 3.5
    assert figure.layout.annotations[3].y < 7
    assert (figure.data[0].zmin, figure.data[0].zmax) == (0, 30)


def test_signs_have_a_colour_each_and_zero_is_paper() -> None:
    (heat,) = image_grid(np.array([[[-1.0, 0.0, 4.0]]]), ["<b>"]).data
    assert (heat.zmin, heat.zmax) == (-4, 4)
    assert heat.colorscale[1][0] == 0.5
    assert heat.colorscale[0][1] != heat.colorscale[2][1]
