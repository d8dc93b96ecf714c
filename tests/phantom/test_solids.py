"""The truth is checked against the solids themselves: points counted inside them, never measurement code."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verse_morph.anatomy import Level
from verse_morph.errors import InputError
from verse_morph.phantom import solids
from verse_morph.phantom.solids import Body, Box, Ellipsoid, Placed, Placement, Sampling, SolidVertebra
from verse_morph.space import canonical

bodies = st.builds(
    Body,
    width=st.floats(30, 50),
    depth=st.floats(24, 38),
    height_front=st.floats(18, 30),
    height_back=st.floats(18, 30),
    right_minus_left=st.floats(-4, 4),
    concavity_superior=st.floats(0, 3),
    concavity_inferior=st.floats(0, 3),
    footprint=st.sampled_from(["ellipse", "box", "d"]),
)


def lattice(solid, step_mm):
    """Points inside a solid (N, 3) of a fine lattice turned against it; each stands for ``step_mm ** 3``."""
    place = Placement(solids.rotation(11, 17, 23))
    turned = Placed(solid, place)
    axes = [np.arange(a, b + step_mm, step_mm) for a, b in zip(*turned.bounds_mm(), strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    return place.to_own(points[turned.inside(points)])


def column_height(solid, x, y, step_mm=0.005):
    """Length of the part of the vertical line through (x, y) that lies in the solid."""
    z = np.arange(-30, 30, step_mm)
    return solid.inside(np.column_stack([np.full_like(z, x), np.full_like(z, y), z])).sum() * step_mm


@settings(max_examples=15, deadline=None)
@given(bodies)
def test_body_volume_and_centroid_are_those_of_the_points_inside(body):
    inside = lattice(body, 0.8)
    assert body.volume_mm3 == pytest.approx(len(inside) * 0.8**3, rel=0.003)
    np.testing.assert_allclose(body.centroid_mm, inside.mean(axis=0), atol=0.03)


@settings(max_examples=15, deadline=None)
@given(bodies)
def test_heights_are_those_of_columns_through_the_solid(body):
    x, truth = body.centroid_mm[0], body.heights_mm()
    # Medians over a window differ from the height at its middle only inside a dish, and there by little.
    assert truth["anterior"] == pytest.approx(column_height(body, x, 0.4 * body.depth), abs=0.06)
    assert truth["posterior"] == pytest.approx(column_height(body, x, -0.4 * body.depth), abs=0.06)
    assert truth["middle"] == pytest.approx(column_height(body, x, 0), abs=0.25)
    for name, side in (("left", -1), ("right", 1)):
        assert truth[name] == pytest.approx(column_height(body, x + side * 0.3 * body.width, 0), abs=0.06)


def test_ten_percent_heights_lie_between_the_rims():
    """Heights 20 in front and 30 at the back: 10 % of the depth from the front leaves 21, 90 % leaves 29."""
    heights = solids.wedge(40, 30, 20, 30).heights_mm()
    assert heights["anterior"] == pytest.approx(21)
    assert heights["middle"] == pytest.approx(25)
    assert heights["posterior"] == pytest.approx(29)


def test_plain_cylinder_by_hand():
    body = solids.elliptic_cylinder(40, 30, 25)
    assert body.volume_mm3 == pytest.approx(np.pi * 20 * 15 * 25)
    assert set(body.heights_mm().values()) == {25.0}
    np.testing.assert_allclose(body.centroid_mm, 0, atol=1e-12)


def test_concavity_is_the_depth_below_the_rim():
    body = solids.elliptic_cylinder(40, 30, 25, concavity=2)
    assert column_height(body, 0, 0) == pytest.approx(21, abs=0.01)
    assert column_height(body, 0, 0.36 * 30) == pytest.approx(25, abs=0.01)
    assert SolidVertebra(body).truth()["endplate_superior_concavity_mm"] == pytest.approx(2)


def test_ellipsoid_has_the_known_area_of_a_sphere_and_of_a_spheroid():
    assert Ellipsoid(10, 10, 10).area_mm2 == pytest.approx(400 * np.pi)
    e = np.sqrt(1 - 100 / 400)  # prolate spheroid, 10, 10, 20: 2 pi a² (1 + c / (a e) asin e)
    assert Ellipsoid(10, 10, 20).area_mm2 == pytest.approx(200 * np.pi * (1 + 2 / e * np.arcsin(e)))
    assert Ellipsoid(10, 12, 20).volume_mm3 == pytest.approx(solids.numeric_volume_mm3(Ellipsoid(10, 12, 20)), rel=2e-3)


def test_ellipsoid_area_is_the_integral_over_its_surface():
    """Midpoint rule over the sphere's angles of |dP/du x dP/dv|, P the point with semi-axes 8, 12, 20."""
    u, v = (np.arange(800) + 0.5) * np.pi / 800, (np.arange(800) + 0.5) * 2 * np.pi / 800
    u, v = np.meshgrid(u, v)
    a, b, c = 8, 12, 20
    normal = np.stack([b * c * np.sin(u) * np.cos(v), a * c * np.sin(u) * np.sin(v), a * b * np.cos(u)])
    area = (np.linalg.norm(normal, axis=0) * np.sin(u)).sum() * (np.pi / 800) * (2 * np.pi / 800)
    assert Ellipsoid(a, b, c).area_mm2 == pytest.approx(area, rel=1e-4)


def test_numeric_volume_of_a_box():
    assert solids.numeric_volume_mm3(Box(20, 10, 30)) == pytest.approx(6000, rel=2e-3)


@pytest.mark.parametrize(("angles", "direction"), [((90, 0, 0), "z"), ((0, 0, 90), "-x")])
def test_rotation_turns_the_front_where_it_says(angles, direction):
    turned = solids.rotation(*angles) @ np.array([0, 1, 0])
    np.testing.assert_allclose(turned, {"z": [0, 0, 1], "-x": [-1, 0, 0]}[direction], atol=1e-12)


def test_tilt_is_positive_when_the_anterior_or_right_edge_is_higher():
    vertebra = SolidVertebra(Body(40, 30, 25, 25))
    lifted_front = vertebra.truth(Placement(solids.rotation(right_deg=10)))
    lowered_right = vertebra.truth(Placement(solids.rotation(anterior_deg=10)))
    for side in ("superior", "inferior"):
        assert lifted_front[f"endplate_{side}_tilt_sagittal_deg"] == pytest.approx(10)
        assert lifted_front[f"endplate_{side}_tilt_coronal_deg"] == pytest.approx(0)
        assert lowered_right[f"endplate_{side}_tilt_coronal_deg"] == pytest.approx(-10)


def test_tilt_of_a_wedge_is_half_its_opening_on_either_side():
    truth = SolidVertebra(Body(40, 30, 20, 26)).truth()
    half = np.degrees(np.arctan(6 / 30 / 2))
    assert truth["endplate_superior_tilt_sagittal_deg"] == pytest.approx(-half)
    assert truth["endplate_inferior_tilt_sagittal_deg"] == pytest.approx(half)


def test_a_tilted_plate_is_longer_than_the_body_is_deep():
    """Over 30 mm the plate rises by 3 mm: sqrt(30² + 3²)."""
    truth = SolidVertebra(Body(40, 30, 20, 26, footprint="box")).truth()
    assert truth["endplate_inferior_depth_mm"] == pytest.approx(np.sqrt(909))
    assert truth["endplate_superior_width_mm"] == pytest.approx(40)
    assert truth["body_depth_middle_mm"] == pytest.approx(30)


@pytest.mark.parametrize(("footprint", "curved_ends"), [("box", 0), ("d", 1), ("ellipse", 2)])
def test_depth_and_width_are_medians_over_a_few_lines(footprint, curved_ends):
    """Half of the 4 mm lie within 1 mm of the mid-plane: there an ellipse has sqrt(1 - (1/20)²) of its half depth.

    Of the 2 mm about half depth, half lie within 0.5 mm of it.
    """
    truth = SolidVertebra(Body(40, 30, 25, 25, footprint=footprint)).truth()
    assert truth["body_depth_middle_mm"] == pytest.approx(30 - curved_ends * 15 * (1 - np.sqrt(1 - 0.05**2)), abs=1e-3)
    lost = 40 * (1 - np.sqrt(1 - (0.5 / 15) ** 2)) if footprint == "ellipse" else 0
    assert truth["body_width_middle_mm"] == pytest.approx(40 - lost, abs=2e-3)


@given(st.floats(-25, 25), st.floats(-25, 25), st.floats(-25, 25))
def test_tilts_are_the_slopes_of_the_turned_plate(a, b, c):
    """Slope of a plane between points of the placed rim, in world axes."""
    body = Body(40, 30, 20, 26, right_minus_left=3)
    place = Placement(solids.rotation(a, b, c), np.array([5, -7, 100]))
    x, y = np.array([-19.0, 19.0, 0.0]), np.array([0.0, 0.0, -14.0])
    points = place.to_world(np.column_stack([x, y, body.rim_distance(x, y) / 2]))
    gx, gy, _ = np.linalg.solve(np.column_stack([points[:, :2], np.ones(3)]), points[:, 2])
    truth = SolidVertebra(body).truth(place)
    assert truth["endplate_superior_tilt_sagittal_deg"] == pytest.approx(np.degrees(np.arctan(gy)))
    assert truth["endplate_superior_tilt_coronal_deg"] == pytest.approx(np.degrees(np.arctan(gx)))


@pytest.mark.parametrize("footprint", ["ellipse", "box", "d"])
def test_vertebra_is_one_piece_with_a_closed_canal(footprint):
    from scipy import ndimage

    vertebra = SolidVertebra(Body(44, 34, 26, 26, footprint=footprint))
    mask, grid = solids.voxelise(vertebra, 1.0)
    assert ndimage.label(mask)[1] == 1
    level = round(float(grid.to_index([0, 0, 3])[2]))
    hole = ndimage.binary_fill_holes(mask[:, :, level]) & ~mask[:, :, level]
    assert hole.sum() == pytest.approx(vertebra.truth()["canal_area_mm2"], rel=0.04)
    widths = [np.ptp(np.nonzero(hole)[axis]) + 1 for axis in (0, 1)]
    np.testing.assert_allclose(widths, [vertebra.canal_width, vertebra.canal_depth], atol=1.01)


def test_the_body_of_the_vertebra_is_what_lies_before_the_canal():
    """With a straight back, bone in front of the plane through the canal's front is the body and nothing else."""
    vertebra = SolidVertebra(Body(46, 35, 27, 26))
    inside = lattice(vertebra, 0.7)
    assert (inside[:, 1] > -35 / 2).sum() * 0.7**3 == pytest.approx(vertebra.body.volume_mm3, rel=0.003)


def test_voxel_volume_converges_to_the_closed_form():
    body = Body(44, 34, 22, 27, concavity_superior=2)
    errors = {}
    for spacing in (2.0, 1.0, 0.5):
        generator = np.random.default_rng(3)
        relative = []
        for _ in range(4):
            turn = solids.rotation(*generator.uniform(-25, 25, 3))
            mask, grid = solids.voxelise(body, spacing, turn, generator.uniform(-1, 1, 3), supersample=3)
            relative.append(mask.sum() * grid.voxel_volume_mm3 / body.volume_mm3 - 1)
        errors[spacing] = np.sqrt(np.mean(np.square(relative)))
    assert errors[0.5] < errors[1.0] < errors[2.0] < 0.01
    assert errors[0.5] < 0.002


def test_centroid_of_the_mask_is_the_placed_centroid():
    vertebra = SolidVertebra(Body(44, 34, 20, 27, concavity_inferior=2))
    place = Placement(solids.rotation(10, -8, 15), np.array([12.3, -40.2, 77.7]))
    truth = vertebra.truth(place)
    labels = solids.spine_labelmap({Level.L2: (vertebra.body, place)}, Sampling(0.8, axes="PIR"))
    found = labels.grid.to_world(np.argwhere(labels.labels)).mean(axis=0)
    np.testing.assert_allclose(found, [truth[f"body_{axis}_mm"] for axis in "xyz"], atol=0.04)


def test_storage_order_and_oblique_grid_change_the_file_not_the_anatomy():
    spine = {Level.L3: (SolidVertebra(), Placement(solids.rotation(4, 6, -5), np.array([0.3, 0.1, -0.4])))}
    straight = solids.spine_labelmap(spine, Sampling((1.0, 0.8, 2.0)))
    turned = solids.spine_labelmap(spine, Sampling((1.0, 0.8, 2.0), axes="PIR"))
    assert turned.grid.axis_codes == "PIR"
    np.testing.assert_array_equal(canonical(turned.labels, turned.grid)[0], straight.labels)
    oblique = solids.spine_labelmap(spine, Sampling((1.0, 0.8, 2.0), turn=(12.0, -9.0, 5.0)))
    centre = [m.grid.to_world(np.argwhere(m.labels)).mean(axis=0) for m in (straight, oblique)]
    np.testing.assert_allclose(centre[0], centre[1], atol=0.1)


def test_majority_of_points_equals_a_fine_grid():
    """The refined border must give what looking closely at every voxel gives."""
    body = Placed(Body(20, 16, 9, 12), Placement(solids.rotation(12, 7, 20)))
    mask, grid = solids.voxelise(body, 2.0, supersample=3)
    index = np.argwhere(np.ones(grid.shape, bool))
    step = np.array([-1, 0, 1]) / 3
    shifts = np.stack(np.meshgrid(step, step, step), axis=-1).reshape(-1, 3)
    count = sum(body.inside(grid.to_world(index + shift)).astype(int) for shift in shifts)
    np.testing.assert_array_equal(mask.ravel(), count > 13)


def test_overlapping_solids_are_refused_by_name():
    here = (SolidVertebra(), Placement())
    with pytest.raises(InputError, match="L2 overlaps L1"):
        solids.spine_labelmap({Level.L1: here, Level.L2: here})


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [({"footprint": "round"}, "footprint is"), ({"concavity_superior": 30.0}, "endplates .* meet")],
)
def test_impossible_bodies_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        Body(40, 30, 20, 20, **kwargs)


def test_placement_refuses_a_mirror():
    with pytest.raises(ValueError, match="rotation matrix"):
        Placement(np.diag([-1.0, 1, 1]))


@pytest.fixture(scope="module")
def demo():
    return solids.solid_case(seed=0)


def test_demo_is_the_same_every_time_and_noise_follows_the_seed(demo):
    labels, scan, truth = demo
    again = solids.solid_case(seed=0)
    np.testing.assert_array_equal(labels.labels, again[0].labels)
    np.testing.assert_array_equal(scan.hu, again[1].hu)
    assert truth.equals(again[2])
    other = solids.solid_case(seed=1)
    np.testing.assert_array_equal(labels.labels, other[0].labels)
    assert (scan.hu != other[1].hu).any()


def test_demo_looks_like_a_lumbar_spine(demo):
    labels, _, truth = demo
    assert [str(level) for level in labels.levels()] == ["L1", "L2", "L3", "L4", "L5"]
    assert (truth["body_z_mm"].diff().dropna() < -28).all()
    first, last = truth.iloc[0], truth.iloc[-1]
    lordosis = first["endplate_superior_tilt_sagittal_deg"] - last["endplate_inferior_tilt_sagittal_deg"]
    assert 15 < lordosis < 40
    assert first["height_anterior_mm"] < 0.8 * first["height_posterior_mm"]
    assert (truth["height_anterior_mm"][1:] > 0.95 * truth["height_posterior_mm"][1:]).all()


def test_demo_discs_are_eight_to_eleven_millimetres():
    spine = list(solids.solid_spine().values())
    for (upper, above), (lower, below) in itertools.pairwise(spine):
        foot = above.to_world([0, 0, -upper.body.rim_height / 2])
        head = below.to_world([0, 0, lower.body.rim_height / 2])
        assert 7.9 < np.linalg.norm(foot - head) < 11.1


def test_demo_canal_is_open_from_end_to_end():
    spine = solids.solid_spine()
    centres = [place.to_world([0, v.canal_y, 0]) for v, place in spine.values()]
    line = np.concatenate([np.linspace(a, b, 100) for a, b in itertools.pairwise(centres)])
    assert not any(Placed(v, place).inside(line).any() for v, place in spine.values())


def test_demo_ct_shows_what_its_mask_says(demo):
    from scipy import ndimage

    labels, scan, _ = demo
    bone = labels.labels > 0
    deep = ndimage.binary_erosion(bone, iterations=5)
    assert scan.hu[deep].mean() == pytest.approx(150, abs=3)
    assert scan.hu[deep].std() == pytest.approx(20, abs=2)
    edge = bone & ~ndimage.binary_erosion(bone)
    assert scan.hu[edge].mean() > 300
    far = ~ndimage.binary_dilation(bone, iterations=6)
    values, counts = np.unique(np.round(scan.hu[far] / 100), return_counts=True)
    assert values[counts.argmax()] == 0
    assert scan.hu.min() <= -1000
