"""The axes of the last lumbar-type vertebra where a broad process pulls at its body."""

import numpy as np
import pytest

from verse_morph.anatomy import Level
from verse_morph.measure.body import Extent, MidSection
from verse_morph.space import Grid
from verse_morph.spine import Canal, Frame, Vertebra
from verse_morph.variants.last_lumbar import _straightened


@pytest.mark.parametrize("canal", [True, False])
def test_a_body_that_took_in_part_of_a_process_does_not_turn_the_axes(canal):
    # True axes are those of the world, the body's middle is zero, the canal lies 36 mm behind it; the centroid lies
    # 4.5 mm to the left, so that the axes look to the left of the front.
    lean = np.arctan2(4.5, 36.0)
    front, up = np.array([-np.sin(lean), np.cos(lean), 0.0]), np.array([0.0, 0.0, 1.0])
    frame = Frame(np.array([-4.5, 0.0, 0.0]), np.cross(front, up), front, up)
    middle = frame.to_local(np.zeros(3))
    section = MidSection(0.0, Extent(middle[0] - 25, middle[0] + 25), Extent(middle[1] - 17, middle[1] + 17))
    mask = np.ones((2, 2, 2), bool)
    found = Canal(np.array([0.0, -36.0, 0.0]), None, None, None) if canal else None
    vertebra = Vertebra(Level.L5, 24, Grid(mask.shape, np.eye(4)), mask, 8.0, frame=frame, canal=found)
    straight = _straightened(vertebra, frame, section)
    assert straight.superior == pytest.approx(up)
    if canal:
        assert straight.right == pytest.approx([1, 0, 0], abs=1e-6)
        assert straight.to_local(np.array([7.0, 0, 0]))[0] == pytest.approx(7, abs=0.1)
    else:
        assert straight.anterior == pytest.approx(front)
        assert straight.to_local(np.zeros(3))[0] == pytest.approx(0, abs=1e-6)
