"""Projections along the course of the spine."""

import numpy as np
import pytest

from verse_morph.segment.intensity import AIR_HU, to_input
from verse_morph.segment.views import CHANNELS, WIDTH, course, project


def column(shape=(70, 60, 80), slope=0.2):
    """A bright column that leans to the right, its mask and its course."""
    hu = np.full(shape, -100.0, dtype=np.float32)
    x, y, z = np.indices(shape)
    middle = 30 + slope * (z - 40)
    mask = (np.abs(x - middle) <= 6) & (np.abs(y - 25) <= 6)
    hu[mask] = 500
    return hu, mask.astype(np.float32)


def test_the_course_follows_a_leaning_column():
    _, mask = column()
    line = course(mask, smooth=2.0)
    rows = np.arange(10, 70)
    assert np.abs(line[rows, 0] - (30 + 0.2 * (rows - 40))).max() < 0.6
    assert np.abs(line[:, 1] - 25).max() < 0.1


def test_the_course_goes_on_where_the_column_ends():
    _, mask = column(slope=0.0)
    mask[:, :, :50] = 0
    line = course(mask, smooth=3.0)
    assert line.shape == (80, 2)
    assert line[0] == pytest.approx([30, 25], abs=0.5)


def test_no_column_has_no_course():
    assert course(np.zeros((5, 5, 5))) is None


def test_views_are_localised_but_for_one_channel():
    hu, mask = column(slope=0.0)
    hu[60:66, 40:50, 20:30] = 900  # bone far to the right and in front: beyond both bands
    views = project(hu, course(mask), 96)
    assert views.sagittal.shape == views.coronal.shape == (CHANNELS, 96, WIDTH)
    bright = to_input(np.array(890.0))
    assert views.sagittal[0].max() < bright
    assert views.coronal[2].max() > bright


def test_rows_and_columns_are_heights_and_places():
    hu, mask = column(slope=0.0)
    hu[:] = -100
    hu[33, 21, 47] = 1000
    views = project(hu, course(mask), 80)
    row, y = np.unravel_index(views.sagittal[0].argmax(), views.sagittal[0].shape)
    assert (y + views.first[1], row + views.first[2]) == (21, 47)
    row, x = np.unravel_index(views.coronal[0].argmax(), views.coronal[0].shape)
    assert (x + views.first[0], row + views.first[2]) == (33, 47)


def test_what_lies_beyond_the_volume_is_air():
    hu, mask = column()
    views = project(hu, course(mask), 96)
    assert (views.sagittal[:, 80:] == to_input(np.array(AIR_HU))).all()
