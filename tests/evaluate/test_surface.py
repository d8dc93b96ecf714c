"""Surface distances of boxes and spheres, whose values are known in closed form."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from verse_morph.evaluate import mask_surface, surface_distances

FIELDS = ("hausdorff_mm", "hausdorff95_mm", "assd_mm", "nsd")


def box(shape, corner, size):
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(a, a + n) for a, n in zip(corner, size, strict=True))] = True
    return mask


def sphere(radius_mm, centre_mm, spacing, half_mm=32.0):
    axes = [np.arange(-half_mm, half_mm, step) - c for step, c in zip(spacing, centre_mm, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return x**2 + y**2 + z**2 <= radius_mm**2


def compare(first, second, spacing=(1, 1, 1), tolerance_mm=1.0):
    steps = np.diag(np.asarray(spacing, dtype=float))
    return surface_distances(mask_surface(first, steps), mask_surface(second, steps), tolerance_mm)


@pytest.mark.parametrize("spacing", [(1, 1, 1), (0.5, 0.5, 2), (0.3, 0.7, 1.1)])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shift", [1, 2, 5])
def test_hausdorff_of_a_shifted_box_is_the_shift(spacing, axis, shift):
    corner = np.array([3, 3, 3])
    moved = corner.copy()
    moved[axis] += shift
    found = compare(box((30, 30, 30), corner, (18, 16, 14)), box((30, 30, 30), moved, (18, 16, 14)), spacing)
    assert found.hausdorff_mm == pytest.approx(shift * spacing[axis], abs=1e-12)


def test_a_larger_box_around_a_smaller_one():
    """From the outer corner to the inner one: the space diagonal of the margin."""
    found = compare(box((30, 30, 30), (2, 2, 2), (20, 20, 20)), box((30, 30, 30), (5, 5, 5), (14, 14, 14)))
    assert found.hausdorff_mm == pytest.approx(3 * math.sqrt(3))


def test_average_distance_and_surface_dice_of_a_shifted_box():
    """Box a x b x c moved by s along a. On each of the two surfaces: the face left behind lies s away, the strips of
    the sides 0 to s, the face now inside the other box min(s, distance to its sides): together 2 b c s + 4 s^3 / 3.
    """
    n, step, shift = (60, 48, 40), 0.5, 8
    a, b, c, s = n[0] * step, n[1] * step, n[2] * step, shift * step
    shape = (n[0] + shift + 2, n[1] + 2, n[2] + 2)
    tolerance = 2.0
    found = compare(box(shape, (1, 1, 1), n), box(shape, (1 + shift, 1, 1), n), (step,) * 3, tolerance)
    area = 2 * (a * b + b * c + c * a)
    assert found.assd_mm == pytest.approx((2 * b * c * s + 4 * s**3 / 3) / area, rel=0.02)
    far = b * c + (b - 2 * tolerance) * (c - 2 * tolerance) + 2 * (b + c) * (s - tolerance)
    assert found.nsd == pytest.approx(1 - far / area, abs=0.015)


@pytest.mark.parametrize("spacing", [(1, 1, 1), (0.5, 1, 1), (0.8, 0.8, 1.5)])
def test_concentric_spheres(spacing):
    found = compare(sphere(20, (0, 0, 0), spacing), sphere(25, (0, 0, 0), spacing), spacing, tolerance_mm=4)
    voxel = max(spacing)
    assert found.hausdorff_mm == pytest.approx(5, abs=voxel)
    assert found.hausdorff95_mm == pytest.approx(5, abs=0.6 * voxel)
    assert found.assd_mm == pytest.approx(5, abs=0.13 * voxel)
    assert found.nsd < 0.1


@pytest.mark.parametrize("shift", [2.0, 4.0, 8.0])
def test_a_moved_sphere(shift):
    """|distance to the other centre - r| has mean s / 2 over a sphere: the squared distance is uniform there."""
    spacing = (0.8, 0.8, 0.8)
    found = compare(sphere(20, (0, 0, 0), spacing), sphere(20, (0, shift, 0), spacing), spacing)
    assert found.hausdorff_mm == pytest.approx(shift, abs=0.8)
    assert found.assd_mm == pytest.approx(shift / 2, rel=0.05)
    # At angle u from the shift's direction the distance is about s |cos u|, uniform in area.
    assert found.hausdorff95_mm == pytest.approx(0.95 * shift, abs=0.5)


@pytest.mark.parametrize("spacing", [(1, 1, 1), (0.5, 0.5, 1.5)])
def test_the_area_of_a_sphere(spacing):
    """Patches of binary voxels overestimate a curved surface by 8 to 16 %; counted faces would by a half."""
    area = mask_surface(sphere(20, (0, 0, 0), spacing), np.diag(spacing)).areas_mm2.sum()
    assert 1.0 < area / (4 * math.pi * 20**2) < 1.17


def test_a_single_voxel_is_an_octahedron():
    """Its six face centres are half a voxel away; the eight patches are the faces of the octahedron between them."""
    surface = mask_surface(np.ones((1, 1, 1), dtype=bool), np.diag([1.0, 2.0, 3.0]))
    expected = sorted((x / 3, y / 3, z / 3) for x in (-0.5, 0.5) for y in (-1.0, 1.0) for z in (-1.5, 1.5))
    np.testing.assert_allclose(sorted(map(tuple, surface.points_mm)), expected, rtol=1e-6)
    one = np.linalg.norm(np.cross([0.5, -1, 0], [0.5, 0, -1.5])) / 2
    assert surface.areas_mm2 == pytest.approx(np.full(8, one))


def test_the_surface_of_a_box_lies_on_the_faces_of_its_voxels():
    surface = mask_surface(box((9, 9, 9), (2, 2, 2), (5, 5, 5)), np.eye(3))
    assert surface.points_mm.min() == pytest.approx(1.5)
    assert surface.points_mm.max() == pytest.approx(6.5)


def test_offset_puts_crops_into_one_frame():
    mask = box((20, 20, 20), (4, 5, 6), (7, 8, 9))
    whole = mask_surface(mask, np.eye(3))
    crop = mask_surface(mask[4:11, 5:13, 6:15], np.eye(3), np.array([4, 5, 6]))
    np.testing.assert_array_equal(np.sort(whole.points_mm, axis=0), np.sort(crop.points_mm, axis=0))
    assert whole.areas_mm2.sum() == pytest.approx(crop.areas_mm2.sum())


def test_nothing_has_no_distance():
    empty = mask_surface(np.zeros((3, 3, 3), dtype=bool), np.eye(3))
    full = mask_surface(np.ones((3, 3, 3), dtype=bool), np.eye(3))
    for pair in ((empty, full), (full, empty), (empty, empty)):
        with pytest.raises(ValueError, match="without elements"):
            surface_distances(*pair)


def test_a_surface_at_exactly_the_tolerance_is_within_it():
    """Also with a voxel size that a float32 header rounded."""
    for step in (0.1, 0.3, 0.7, 1.0, 1.0000005):
        first, second = box((40, 12, 12), (2, 2, 2), (20, 8, 8)), box((40, 12, 12), (5, 2, 2), (20, 8, 8))
        assert compare(first, second, (step,) * 3, tolerance_mm=3 * round(step, 3)).nsd == 1.0


MASKS = arrays(bool, (5, 6, 4)).filter(lambda mask: mask.any())


@settings(max_examples=60, deadline=None)
@given(MASKS, MASKS, st.permutations((0, 1, 2)))
def test_laws(first, second, order):
    spacing = np.array([0.5, 1.0, 2.5])
    there, back = compare(first, second, spacing), compare(second, first, spacing)
    turned = compare(first.transpose(order), second.transpose(order), spacing[list(order)])
    doubled = compare(first, second, 2 * spacing, tolerance_mm=2.0)
    for name in FIELDS:
        assert getattr(there, name) == pytest.approx(getattr(back, name), rel=1e-12, abs=1e-12)
        # Masks of single voxels have cells that marching cubes may triangulate in two ways, and a percentile may take
        # the
        # next element when areas are summed in another order.
        slack = 0.05 if name == "hausdorff95_mm" else 0.01
        assert getattr(there, name) == pytest.approx(getattr(turned, name), rel=slack, abs=1e-9)
        factor = 1 if name == "nsd" else 2
        assert getattr(doubled, name) == pytest.approx(factor * getattr(there, name), rel=1e-9)
    assert 0 <= there.assd_mm <= there.hausdorff_mm
    assert there.hausdorff95_mm <= there.hausdorff_mm
    assert 0 <= there.nsd <= 1
    same = compare(first, first, spacing)
    assert (same.hausdorff_mm, same.hausdorff95_mm, same.assd_mm, same.nsd) == (0, 0, 0, 1)
