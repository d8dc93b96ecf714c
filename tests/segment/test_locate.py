"""Where the spine is: found, in line, or said not to be there. A stand-in network answers by intensity alone."""

import numpy as np
import pytest
import torch
from torch import nn

from verse_morph.segment.compute import Compute
from verse_morph.segment.locate import SPACING_MM, locate
from verse_morph.segment.networks import UNet3d, UNetShape
from verse_morph.space import Grid
from verse_morph.volume import Scan

CPU = Compute("cpu", False, 1)


class ByIntensity(UNet3d):
    """Bright is spine, very bright is rib, nothing is sacrum."""

    def __init__(self):
        super().__init__(UNetShape(1, 3, (8, 8)))

    def forward(self, x):
        hu = 400 * x + 200
        spine = torch.where((hu > 250) & (hu < 700), 6.0, -6.0)
        ribs = torch.where(hu >= 700, 6.0, -6.0)
        return torch.cat([spine, ribs, torch.full_like(x, -6.0)], dim=1)


def scan_with_bodies(middles_mm, affine=None, shape=(100, 100, 200)):
    """Blocks of 24 mm at world places in a 2 mm scan."""
    grid = Grid(shape, np.diag([2.0, 2.0, 2.0, 1.0]) if affine is None else affine)
    hu = np.full(shape, -80, dtype=np.int16)
    index = np.stack(np.indices(shape), axis=-1)
    world = grid.to_world(index)
    for middle in middles_mm:
        hu[(np.abs(world - middle) <= 12).all(axis=-1)] = 450
    return Scan(hu, grid)


SPINE = [(100.0, 90.0, z) for z in range(120, 281, 32)]


def test_the_box_holds_the_column_with_its_margin():
    found = locate(scan_with_bodies(SPINE), ByIntensity(), CPU)
    assert found.found
    low, high = found.box_mm
    assert (low < np.array([88, 78, 108])).all()
    assert (high > np.array([112, 102, 292])).all()
    assert (high - low < np.array([24, 24, 184]) + 60).all()


@pytest.mark.parametrize("turn", [np.diag([-1.0, -1, 1, 1]), np.eye(4)[[2, 0, 1, 3]]])
def test_orientation_of_the_file_does_not_matter(turn):
    plain = locate(scan_with_bodies(SPINE), ByIntensity(), CPU)
    affine = turn @ np.diag([2.0, 2.0, 2.0, 1.0])
    shape = (100, 100, 200) if turn[2, 2] else (100, 200, 100)
    if turn[0, 0] < 0:
        affine[:3, 3] = (198, 198, 0)
    same = locate(scan_with_bodies(SPINE, affine, shape), ByIntensity(), CPU)
    assert np.abs(same.box_mm - plain.box_mm).max() <= SPACING_MM


def test_a_far_piece_of_bone_is_not_part_of_the_column():
    stray = (30.0, 30.0, 40.0)
    found = locate(scan_with_bodies([*SPINE, stray]), ByIntensity(), CPU)
    assert found.box_mm[0, 2] > 80
    at = np.rint(found.grid.to_index(stray)).astype(int)
    assert found.spine[tuple(at)] == 0


def test_an_arm_beside_the_column_that_touches_it_is_left_out():
    arm = [(100.0 + x, 90.0, 248.0) for x in range(24, 97, 24)]
    found = locate(scan_with_bodies([*SPINE, *arm]), ByIntensity(), CPU)
    plain = locate(scan_with_bodies(SPINE), ByIntensity(), CPU)
    assert found.box_mm[1, 0] < 100 + 60 + 21
    inside = (found.line_mm[:, 2] > 120) & (found.line_mm[:, 2] < 280)
    # What lies within a transverse process's reach still pulls; the whole arm would by 31 mm.
    assert np.abs(found.line_mm[inside] - plain.line_mm[inside]).max() < 12


def test_no_spine_is_said_not_invented():
    found = locate(scan_with_bodies([]), ByIntensity(), CPU)
    assert not found.found
    assert "0.0 cm3" in found.reason


def test_the_course_runs_through_the_bodies():
    found = locate(scan_with_bodies(SPINE), ByIntensity(), CPU)
    for middle in SPINE[1:-1]:
        nearest = found.line_mm[np.abs(found.line_mm[:, 2] - middle[2]).argmin()]
        assert np.abs(nearest[:2] - middle[:2]).max() < 3


def test_long_scans_are_read_in_parts_without_a_seam():
    class Counting(ByIntensity):
        seen = 0

        def forward(self, x):
            type(self).seen += 1
            return super().forward(x)

    bodies = [(60.0, 60.0, float(z)) for z in range(30, 900, 32)]
    found = locate(scan_with_bodies(bodies, shape=(60, 60, 480)), Counting(), CPU)
    assert Counting.seen > 1
    inside = found.spine.max(axis=(0, 1)) > 0.5
    rows = found.grid.to_world(np.column_stack([np.zeros((len(inside), 2)), np.arange(len(inside))]))[:, 2]
    for body in bodies:
        assert inside[np.abs(rows - body[2]).argmin()]


def test_a_module_of_another_kind_is_refused():
    with pytest.raises(TypeError, match="no network of the cascade"):
        locate(scan_with_bodies(SPINE), nn.Identity(), CPU)
