"""Ribs of one vertebra as evidence for its level."""

import numpy as np
import pytest
import torch
from torch import nn

from verse_morph.anatomy import Level
from verse_morph.segment.compute import Compute
from verse_morph.segment.own_ribs import in_view, level_log, rib_log_odds, rib_volumes
from verse_morph.segment.resample import Reduced
from verse_morph.space import Grid

CPU = Compute("cpu", half=False, threads=1)
LEVELS = [level for level in Level if level is not Level.S1]
GRID = Grid((150, 120, 120), np.diag([1.0, 1.0, 1.0, 1.0]))
BODY = np.array([75.0, 80.0, 60.0])


class Bright(nn.Module):
    """Everything bright is taken for a rib."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :1]


def scan(right_mm: float | None = None, left_mm: float | None = None) -> Reduced:
    """Cubes of 10 mm of bone at a distance to the right and to the left of the body."""
    hu = np.full(GRID.shape, -100, np.int16)
    for away in (right_mm, None if left_mm is None else -left_mm):
        if away is not None:
            i, j, k = (BODY + np.array([away, -10.0, 0.0])).astype(int)
            hu[i - 5 : i + 5, j - 5 : j + 5, k - 5 : k + 5] = 700
    return Reduced(hu, GRID)


def of(log: np.ndarray, word: str) -> float:
    return float(log[LEVELS.index(Level(word))])


def test_volumes_are_told_by_side():
    right, left = (rib_volumes(scan(**at), BODY[None], Bright(), CPU)[0] for at in ({"right_mm": 30}, {"left_mm": 30}))
    # A cube of 1 cm3; between its voxels and the patch's, half a voxel counts as bright.
    assert right == pytest.approx([0.0, 1.0], abs=0.3)
    assert left == pytest.approx([1.0, 0.0], abs=0.3)
    assert right[0] == left[1] == 0


def test_a_side_out_of_view_says_nothing():
    at_the_edge = BODY - [60.0, 0.0, 0.0]
    left, right = rib_volumes(scan(), at_the_edge[None], Bright(), CPU)[0]
    assert np.isnan(left)
    assert right == 0
    assert not in_view(GRID, at_the_edge, -1.0)
    assert in_view(GRID, at_the_edge, 1.0)


def test_odds_grow_with_the_volume_and_have_limits():
    odds = rib_log_odds(np.array([0.0, 0.1, 0.3, 2.0, 50.0, np.nan]))
    assert (np.diff(odds[:5]) >= 0).all()
    assert odds[0] < 0 < odds[2]
    assert odds[3] == odds[4]
    assert odds[5] == 0


def test_what_was_not_looked_for_tells_no_levels_apart():
    assert np.allclose(level_log(np.full((1, 2), np.nan)), 0.0)


def test_two_ribs_speak_for_thoracic_levels_and_none_for_lumbar_ones():
    both, none, one = level_log(np.array([[1.5, 1.5], [0.0, 0.0], [1.5, 0.0]]))
    assert of(both, "T11") > of(both, "T12") > of(both, "L1") + 1.5 > of(both, "L2")
    assert of(none, "L2") > of(none, "L1") > of(none, "T12") > of(none, "T11")
    # One side of two is weaker evidence than both, either way.
    gains = [of(log, "T12") - of(log, "L1") for log in (both, one, none)]
    assert gains[0] > gains[1] > gains[2]
