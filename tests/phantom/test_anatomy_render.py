"""The rendered patient: labels, volumes and planes against the truth, contacts, cuts, VerSe's rules."""

import numpy as np
import pytest

from verse_morph.anatomy import VERSE, Level
from verse_morph.errors import InputError
from verse_morph.phantom.body import BodyPart
from verse_morph.phantom.case import FIRST_SOFT, NAMES, SACRUM, rib_label
from verse_morph.phantom.draw import draw_parameters
from verse_morph.phantom.parameters import Pathology, PhantomOptions, StumpRib, Variants, View
from verse_morph.phantom.render import render
from verse_morph.space import Grid


def draw(seed=0, **options):
    return draw_parameters(np.random.default_rng(seed), PhantomOptions(**options))


def own_grid(shape, spacing, half=(62.0, 70.0, 42.0)):
    """A grid along a vertebra's own axes, off its middle by a fraction of a voxel."""
    axes, size = np.array(shape.rotation), np.array(half)
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing
    affine[:3, 3] = (
        np.array(shape.centre_mm)
        - axes @ (size + np.array([0.0, 25.0, 5.0]))
        + axes @ (np.array([0.33, 0.52, 0.41]) * spacing)
    )
    return Grid(tuple(int(n) for n in 2 * size / spacing), affine)


@pytest.fixture(scope="module")
def lumbar():
    return render(draw(1, view=View("L1", "L5", half_width_mm=65.0)), 1.0)


def test_five_lumbar_vertebrae_and_their_names(lumbar):
    present = {int(v) for v in np.unique(lumbar.structures)} - {0}
    assert {20, 21, 22, 23, 24, 120, 121, 122, 123, 150} <= present
    assert present <= set(NAMES)
    assert lumbar.grid.axis_codes == "RAS"


def test_depth_and_labels_agree(lumbar):
    bone = (lumbar.structures > 0) & (lumbar.structures < FIRST_SOFT)
    assert np.array_equal(bone, lumbar.bone_depth_mm > 0)
    assert lumbar.bone_depth_mm.min() >= -10
    assert lumbar.bone_depth_mm.max() <= 20


def test_every_vertebra_is_one_piece(lumbar):
    import cc3d

    for label in range(20, 25):
        pieces = np.bincount(cc3d.connected_components(lumbar.structures == label, connectivity=26).ravel())[1:]
        assert pieces.max() > 0.99 * pieces.sum(), label


def test_facet_joints_stay_open(lumbar):
    for upper in range(20, 24):
        a, b = lumbar.structures == upper, lumbar.structures == upper + 1
        touching = sum(int((np.roll(a, shift, axis) & b).sum()) for axis in range(3) for shift in (-1, 1))
        # 1 mm voxels of a gap of 1.6 mm touch here and there.
        assert touching < 30, upper


def test_same_seed_same_voxels(lumbar):
    again = render(draw(1, view=View("L1", "L5", half_width_mm=65.0)), 1.0)
    assert np.array_equal(again.structures, lumbar.structures)
    assert again.bone_depth_mm.tobytes() == lumbar.bone_depth_mm.tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("level", ["C5", "T4", "T8", "L1", "L3"])
def test_volume_and_planes_at_fine_voxels(level):
    """Volume within 1 %, rim planes of the mask within 0.3 degrees of the truth."""
    patient = draw(4, ribs=False, pelvis=False)
    shape = patient[level]
    spacing = 0.4
    case = render(patient, own_grid(shape, spacing))
    mask = case.structures == VERSE.value_of(Level(level))
    truth = case.truth.vertebrae.set_index("level").loc[level]
    assert mask.sum() * spacing**3 / 1000 == pytest.approx(truth["vertebra_volume_cm3"], rel=0.01)
    for upper in (True, False):
        assert plane_error_deg(mask, case, shape, upper) < (1.5 if level.startswith("C") else 0.3)


def plane_error_deg(mask, case, shape, upper):
    """Angle between the rim plane of a mask whose axes are the vertebra's own and the true one."""
    from scipy import ndimage

    grid, depth = case.grid, case.bone_depth_mm
    middle, step = grid.to_index(np.array(shape.centre_mm)), grid.spacing_mm[0]
    x, y, z = ((np.arange(n) - c) * step for n, c in zip(mask.shape, middle, strict=True))
    body = mask & (y > -shape.depth_middle / 2 - 1)[None, :, None] & (np.abs(z) < shape.rim_height / 2 + 5)
    waist = body[:, :, np.argmin(np.abs(z))]
    waist = ndimage.binary_opening(waist, iterations=int(5 / step))
    near = ndimage.distance_transform_edt(~waist) * step < 1.5
    # Where the depth crosses zero between the last bone voxel and its neighbour (what a partial-volume image shows).
    order, deep = (body, depth) if not upper else (body[:, :, ::-1], depth[:, :, ::-1])
    first = order.argmax(axis=2)
    here = np.take_along_axis(deep, first[..., None], 2)[..., 0].astype(float)
    before = np.take_along_axis(deep, np.maximum(first - 1, 0)[..., None], 2)[..., 0].astype(float)
    out = step * here / np.maximum(here - before, 1e-6)
    height = z[first] - out if not upper else z[mask.shape[2] - 1 - first] + out
    inside = near & body.any(axis=2)
    edge = ndimage.distance_transform_edt(inside) * step
    rim = (edge > 2) & (edge < max(edge.max() / 4, 3.0))
    if shape.level.startswith("C"):
        rim &= (np.abs(x) < 0.3 * shape.width_middle)[:, None]
    at_x, at_y = np.meshgrid(x, y, indexing="ij")
    matrix = np.column_stack([at_x[rim], at_y[rim], np.ones(rim.sum())])
    weight = np.ones(rim.sum())
    for _ in range(30):
        root = np.sqrt(weight)
        fit = np.linalg.lstsq(matrix * root[:, None], height[rim] * root, rcond=None)[0]
        residual = height[rim] - matrix @ fit
        scale = 4.685 * 1.4826 * np.median(np.abs(residual)) + 1e-6
        weight = np.clip(1 - (residual / scale) ** 2, 0, None) ** 2
    gx, gy = BodyPart(shape).slopes
    sign = 1.0 if upper else -1.0
    wanted, found = np.array([-sign * gx / 2, -sign * gy / 2, 1]), np.array([-fit[0], -fit[1], 1])
    return np.degrees(np.arccos(np.clip(wanted @ found / np.linalg.norm(wanted) / np.linalg.norm(found), -1, 1)))


def test_cut_vertebrae_are_flagged():
    case = render(draw(1, ribs=False, view=View("L2", "L3", cut_mm=(12.0, 12.0), half_width_mm=30.0)), 1.5)
    flags = case.truth.vertebrae.set_index("level")["flags"]
    assert flags["L2"] == "body_cut" or flags["L1"] == "body_cut"
    assert (flags[["L2", "L3"]] != "").all()


def test_verse_leaves_fused_vertebrae_and_the_sacrum_unlabelled():
    options = {"ribs": False, "pelvis": False, "view": View("L4", "S", half_width_mm=70.0)}
    fused = render(draw(4, variants=Variants(castellvi="3a"), **options), 2.0)
    assert 24 in np.unique(fused.structures)
    assert SACRUM in np.unique(fused.structures)
    assert {23, 24} & set(np.unique(fused.verse_labels.labels)) == {23}
    assert SACRUM not in np.unique(fused.verse_labels.labels)
    free = render(draw(4, variants=Variants(castellvi="2a"), **options), 2.0)
    assert 24 in np.unique(free.verse_labels.labels)


@pytest.mark.parametrize(("grade", "sides"), [("2b", (False, False)), ("3a", (True, False)), ("3b", (True, True))])
def test_transitional_bone_contact(grade, sides):
    """Fusion is bone without a gap between the last vertebra and the wing; an articulation keeps its gap."""
    patient = draw(
        4, ribs=False, pelvis=False, variants=Variants(castellvi=grade), view=View("L5", "S", half_width_mm=70.0)
    )
    case = render(patient, 0.8)
    last, sacrum = case.structures == 24, case.structures == SACRUM
    touching = np.zeros(last.shape, dtype=bool)
    for axis in range(3):
        for shift in (-1, 1):
            touching |= np.roll(sacrum, shift, axis) & last
    x = case.grid.to_world(np.argwhere(touching))[:, 0] - patient["L5"].centre_mm[0]
    fused = (int((x < -15).sum()) > 60, int((x > 15).sum()) > 60)
    assert fused == sides


def test_laminectomy_opens_the_canal():
    options = {"ribs": False, "view": View("L3", "L3", half_width_mm=65.0)}
    closed = render(draw(2, **options), 1.0)
    opened = render(draw(2, pathology=Pathology(laminectomy=("L3",)), **options), 1.0)
    volumes = [case.truth.vertebrae.set_index("level").loc["L3", "vertebra_volume_cm3"] for case in (closed, opened)]
    assert volumes[1] < volumes[0] - 5


def test_stump_rib_has_its_length():
    from verse_morph.phantom.ribs import axis_of

    patient = draw(3, variants=Variants(stump_ribs=(StumpRib("T12", "right", 25.0), StumpRib("L1", "left", 31.0))))
    for rib in patient.ribs:
        if (rib.level, rib.side) in (("T12", "right"), ("L1", "left")):
            line = axis_of(patient, rib)
            assert np.linalg.norm(np.diff(line, axis=0), axis=1).sum() == pytest.approx(rib.length_mm, rel=0.03)


def test_ribs_and_cervical_ribs_are_rendered():
    patient = draw(
        3,
        variants=Variants(cervical_ribs=("left", "right")),
        view=View("C7", "T2", half_width_mm=120.0, front_mm=110.0),
    )
    found = set(np.unique(render(patient, 2.0).structures))
    assert {90, 91, rib_label("left", 1), rib_label("right", 2)} <= found


def test_other_axis_orders_are_refused():
    with pytest.raises(InputError, match="RAS"):
        render(draw(0), Grid((10, 10, 10), np.diag([-1.0, 1, 1, 1])))


@pytest.mark.parametrize("spacing", [0.0, -1.0, 50.0, float("nan")])
def test_voxel_size_out_of_range(spacing):
    with pytest.raises(InputError, match=r"0\.2 to 10 mm"):
        render(draw(0), spacing)
