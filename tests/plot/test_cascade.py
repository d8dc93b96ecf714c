"""The picture of a numbering: names at their points, and the runner-up's where there is a doubt."""

from types import SimpleNamespace

import numpy as np
import pytest

from verse_morph.anatomy import Level
from verse_morph.errors import NotMeasurable
from verse_morph.plot.cascade import stages_figure
from verse_morph.segment.decode import Decoding
from verse_morph.segment.views import WIDTH, Views
from verse_morph.space import Grid

GRID = Grid((96, 96, 64), np.diag([2.0, 2.0, 2.0, 1.0]))
POINTS = [np.array([90.0, 100.0, 96.0]), np.array([92.0, 104.0, 64.0])]


def segmentation(in_doubt=True, sacrum=None):
    decoding = Decoding(
        dict(zip((Level.L1, Level.L2), POINTS, strict=True)),
        dict(zip((Level.T12, Level.L1), POINTS, strict=True)),
        margin=0.5,
        in_doubt=in_doubt,
    )
    views = Views(np.zeros((3, 64, WIDTH), np.float32), np.zeros((3, 64, WIDTH), np.float32), np.array([4.0, 6.0, 0.0]))
    heat = np.full((28, 64, WIDTH), 1 / 28, np.float32)
    seen = SimpleNamespace(decoding=decoding, views=views, sagittal=heat, coronal=heat, grid=GRID)
    seen.sacral_body = lambda: sacrum
    return SimpleNamespace(identification=seen, decoding=decoding, labels=SimpleNamespace(name="scan"))


def words(axes):
    return {text.get_text(): text.get_position() for text in axes.texts}


def test_names_stand_at_their_points():
    sagittal, _, _, coronal = stages_figure(segmentation()).axes
    # The column of the view is the voxel less that of its first column; words stand three samples aside.
    assert words(sagittal)["L1"] == pytest.approx((100 / 2 - 6 + 3, 96 / 2))
    assert words(coronal)["L2"] == pytest.approx((92 / 2 - 4 + 3, 64 / 2))


def test_the_sacrum_is_named_where_it_was_seen():
    said = words(stages_figure(segmentation(sacrum=np.array([90.0, 90.0, 30.0]))).axes[0])
    assert said["S1"] == pytest.approx((90 / 2 - 6 + 3, 30 / 2))
    assert "S1" not in words(stages_figure(segmentation()).axes[0])


def test_the_runner_up_is_shown_where_there_is_a_doubt():
    assert {"T12?", "L1?"} <= words(stages_figure(segmentation()).axes[0]).keys()
    assert not any("?" in word for word in words(stages_figure(segmentation(in_doubt=False)).axes[0]))


def test_given_levels_have_no_picture():
    given = SimpleNamespace(identification=None, labels=SimpleNamespace(name="scan"))
    with pytest.raises(NotMeasurable, match="the levels were given"):
        stages_figure(given)
