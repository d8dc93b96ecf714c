import functools

import numpy as np
import pytest

from verse_morph.anatomy import Level
from verse_morph.phantom.solids import Body, Placed, Placement, Sampling, SolidVertebra, rotation, spine_labelmap
from verse_morph.shape import build_spine
from verse_morph.shape.crop import crop_levels
from verse_morph.shape.field import signed_distance, smooth_field
from verse_morph.shape.split import core, find_ring, front_wall, local_frame, theil_sen

SOLID = SolidVertebra(Body(44, 34, 25, 26))
POSES = {"straight": (0, 0, 0), "tilted": (18, 6, -8)}


@functools.cache
def at(pose):
    place = Placement(rotation(*POSES[pose]), np.array([0.3, 0.2, 0.1]))
    labels = spine_labelmap({Level.L3: (SOLID, place)}, Sampling(margin_mm=5))
    crop = crop_levels(labels)[Level.L3]
    return place, labels, crop, smooth_field(crop.mask, crop.grid)


@pytest.mark.parametrize("pose", POSES)
def test_the_core_lies_in_the_body(pose):
    place, _, crop, _ = at(pose)
    found = core(crop, signed_distance(crop.mask, crop.grid.spacing_mm), np.array([0.0, 1.0, 0.0]))
    assert np.linalg.norm(place.to_own(found)) < 8


@pytest.mark.parametrize("pose", POSES)
def test_canal_and_front_wall_where_the_solid_has_them(pose):
    place, _, crop, field = at(pose)
    frame = local_frame(place.offset_mm, place.rotation[:, 2], place.rotation[:, 1])
    ring = find_ring(field, crop, frame)
    assert not ring.fallback
    np.testing.assert_allclose(place.to_own(ring.centre_mm)[:2], [0, SOLID.canal_y], atol=0.7)
    assert 2 * ring.half_depth_mm == pytest.approx(SOLID.canal_depth, abs=2)
    offset, slope = front_wall(field, crop, frame, ring)
    assert offset == pytest.approx(-SOLID.body.depth / 2, abs=0.6)
    assert abs(slope) < 0.06


def test_no_canal_in_a_body_alone():
    labels = spine_labelmap({Level.L3: (SOLID.body, Placement())}, Sampling(margin_mm=5))
    crop = crop_levels(labels)[Level.L3]
    frame = local_frame(np.zeros(3), np.array([0.0, 0, 1]), np.array([0.0, 1, 0]))
    assert find_ring(smooth_field(crop.mask, crop.grid), crop, frame) is None


@pytest.mark.parametrize("pose", POSES)
def test_body_volume_and_overlap_with_the_true_body(pose):
    place, _, _, _ = at(pose)
    vertebra = build_spine(at(pose)[1])["L3"]
    points = vertebra.grid.to_world(np.indices(vertebra.mask.shape).reshape(3, -1).T)
    truth = Placed(SOLID.body, place).inside(points).reshape(vertebra.mask.shape)
    assert vertebra.body.sum() == pytest.approx(truth.sum(), rel=0.015)
    assert truth.sum() * vertebra.grid.voxel_volume_mm3 == pytest.approx(SOLID.body.volume_mm3, rel=0.03)
    assert 2 * (vertebra.body & truth).sum() / (vertebra.body.sum() + truth.sum()) > 0.98
    assert not (vertebra.body & ~vertebra.mask).any()


@pytest.mark.parametrize("pose", POSES)
def test_canal_size(pose):
    place, labels, _, _ = at(pose)
    canal = build_spine(labels)["L3"].canal
    assert canal.width_mm == pytest.approx(SOLID.canal_width, abs=0.5)
    assert canal.depth_mm == pytest.approx(SOLID.canal_depth, abs=0.5)
    assert canal.area_mm2 == pytest.approx(np.pi * 24 * 18 / 4, rel=0.03)
    np.testing.assert_allclose(place.to_own(canal.centre_mm)[:2], [0, SOLID.canal_y], atol=0.7)


def test_theil_sen_ignores_outliers():
    x = np.arange(20.0)
    y = 2 - 0.3 * x
    y[[3, 8, 15]] += 50
    assert theil_sen(x, y) == pytest.approx(-0.3)
