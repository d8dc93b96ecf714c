"""What is drawn lies where it was measured: surfaces, planes, lines, angles."""

import numpy as np
import pytest

from verse_morph.anatomy import Level
from verse_morph.errors import InputError, NotMeasurable
from verse_morph.spine import Mesh, Spine
from verse_morph.view.angle import construction
from verse_morph.view.scene import aligned, scene_of, scene_of_surfaces, simplified, smooth_line, stretches

from .blocks import HALF_MM, STEP_MM, block_spine, box


def ball(radius=20.0, steps=6):
    import trimesh

    made = trimesh.creation.icosphere(steps, radius)
    return Mesh(made.vertices, made.faces)


def test_a_large_surface_is_thinned_without_moving():
    made = simplified(ball(), 2000)
    assert 1500 < len(made.faces) <= 2000
    assert np.abs(np.linalg.norm(made.vertices_mm, axis=1) - 20.0).max() < 0.1


def test_a_small_surface_stays_as_it_is():
    mesh = box((0, 0, 0))
    assert simplified(mesh, 100) is mesh


def test_plates_lie_in_their_planes():
    for bone in scene_of(block_spine()).bones:
        for name, outline in bone.plates.items():
            plane = bone.planes[name]
            assert np.abs((outline - plane.point_mm) @ plane.normal).max() < 1e-9
            assert np.ptp(outline[:, 0]) == pytest.approx(46.0, abs=1.0)


def test_the_canal_ring_has_the_measured_width_and_depth():
    ring = scene_of(block_spine()).bones[0].ring_mm
    assert np.ptp(ring[:, 0]) == pytest.approx(22.0, abs=0.1)
    assert np.ptp(ring[:, 1]) == pytest.approx(16.0, abs=0.1)


def test_a_spine_without_vertebrae_is_refused():
    with pytest.raises(NotMeasurable, match="no vertebra to show"):
        scene_of(Spine((), "empty"))


def test_surfaces_alone_make_a_scene_in_order():
    made = scene_of_surfaces("scan", {Level.L1: box((0, 0, 0)), Level.T13: box((0, 0, 40))}, {})
    assert made.levels() == ["T13", "L1"]
    assert made["T13"].centre_mm[2] == pytest.approx(40)
    with pytest.raises(InputError, match="no surface to show"):
        scene_of_surfaces("scan", {}, {})


def test_missing_levels_break_the_centre_line():
    spine = block_spine()
    gap = Spine(tuple(v for v in spine if str(v.level) != "L3"))
    assert [[str(b.level) for b in run] for run in stretches(scene_of(gap).bones)] == [["L1", "L2"], ["L4", "L5"]]


def test_the_line_goes_through_its_points():
    points = np.array([[0, 0, 0], [0, 5, -30], [3, 6, -60.0]])
    line = smooth_line(points)
    assert all(np.linalg.norm(line - point, axis=1).min() < 1.0 for point in points)
    assert np.linalg.norm(np.diff(line, axis=0), axis=1).max() < 2.5


def test_overlaying_undoes_a_rigid_motion():
    scene = scene_of(block_spine())
    turn = np.radians(25)
    rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1.0]])
    back = aligned(scene.moved(rotation, np.array([30.0, -10.0, 200.0])), scene)
    for bone, there in zip(scene.bones, back.bones, strict=True):
        assert there.surface.vertices_mm == pytest.approx(bone.surface.vertices_mm, abs=1e-6)
        assert there.planes["superior"].normal == pytest.approx(bone.planes["superior"].normal, abs=1e-9)


def test_overlaying_needs_three_shared_levels():
    with pytest.raises(NotMeasurable, match="share L2, L3"):
        aligned(scene_of(block_spine("L1", 3)), scene_of(block_spine("L2", 2)))


# --- angles -------------------------------------------------------------------------------------------------------


def test_the_angle_is_that_of_the_table():
    """Blocks tip forward by 10 degrees more per level downwards: kyphotic, negative."""
    made = construction(scene_of(block_spine()), "L1", "L4", "sagittal")
    assert made.angle_deg == pytest.approx(-30.0, abs=1e-6)
    assert "kyphotic" in made.words
    assert construction(scene_of(block_spine()), "L1", "L4", "coronal").angle_deg == pytest.approx(0.0, abs=1e-6)


def test_drawn_lines_lie_in_the_planes_and_meet_at_the_angle():
    scene = scene_of(block_spine())
    first, last, corner = construction(scene, "L1", "L5", "sagittal").lines_mm
    for line, plane in ((first, scene["L1"].planes["superior"]), (last, scene["L5"].planes["inferior"])):
        assert np.abs((line - plane.point_mm) @ plane.normal).max() < 1e-9
    arms = np.diff(corner, axis=0)
    arms /= np.linalg.norm(arms, axis=1, keepdims=True)
    between = np.degrees(np.arccos(np.clip(arms[0] @ arms[1], -1, 1)))
    assert min(between, 180 - between) == pytest.approx(40.0, abs=0.1)


def test_nearly_parallel_planes_get_no_corner():
    assert len(construction(scene_of(block_spine()), "L1", "L5", "coronal").lines_mm) == 2


@pytest.mark.parametrize(("upper", "lower"), [("L3", "L2"), ("L2", "L2")])
def test_the_upper_level_must_be_above(upper, lower):
    with pytest.raises(NotMeasurable, match="not above"):
        construction(scene_of(block_spine()), upper, lower, "sagittal")


def test_no_plane_no_angle():
    scene = scene_of_surfaces("scan", {level: box((0, 0, -STEP_MM * level.rank)) for level in (Level.L1, Level.L3)}, {})
    with pytest.raises(NotMeasurable, match="L1: no superior rim plane"):
        construction(scene, "L1", "L3", "sagittal")


def test_the_box_holds_every_surface():
    low, high = scene_of(block_spine()).bounds_mm()
    assert high == pytest.approx(HALF_MM + np.array([0, 8, 0]))
    assert low == pytest.approx(-HALF_MM - [0, 0, 4 * STEP_MM])
