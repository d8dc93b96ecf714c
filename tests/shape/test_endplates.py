import numpy as np
import pytest

from verse_morph.anatomy import Level
from verse_morph.phantom.solids import Body, Placement, Sampling, SolidVertebra, rotation, spine_labelmap
from verse_morph.shape import build_spine
from verse_morph.shape.endplates import Columns, endplate, tukey_plane
from verse_morph.spine import Frame
from verse_morph.volume import LabelMap


def test_a_schmorl_node_does_not_tilt_the_plane():
    """A pit of 6 mm under a seventh of the plate: least squares would tilt by several degrees."""
    x, y = (a.ravel() for a in np.meshgrid(np.arange(-18, 19.0), np.arange(-14, 15.0)))
    z = 3 + 0.1 * x - 0.05 * y + np.random.default_rng(0).normal(0, 0.1, x.size)
    z[np.hypot(x - 10, y - 6) < 6.5] -= 6
    design = np.column_stack([np.ones_like(x), x, y])
    plain = np.linalg.lstsq(design, z, rcond=None)[0]
    fit, scatter = tukey_plane(design, z)
    np.testing.assert_allclose(fit, [3, 0.1, -0.05], atol=0.01)
    assert np.abs(plain - fit).max() > 0.05
    assert scatter == pytest.approx(0.1, rel=0.3)


def test_an_exact_plane_is_found_exactly():
    x = np.linspace(-1, 1, 30)
    fit, scatter = tukey_plane(np.column_stack([np.ones_like(x), x]), 2 - 0.3 * x)
    np.testing.assert_allclose(fit, [2, -0.3], atol=1e-9)
    assert scatter == pytest.approx(0, abs=1e-9)


def plates(body, turn_deg):
    place = Placement(rotation(*turn_deg), [0.3, 0.2, 0.1])
    labels = spine_labelmap({Level.L3: (SolidVertebra(body), place)}, Sampling(margin_mm=4))
    return labels, build_spine(labels)["L3"], [place.rotation @ normal for normal in body.normals()]


@pytest.mark.parametrize("turn_deg", [(0, 0, 0), (15, 8, 0), (-20, -5, 10)])
def test_normals_of_tilted_plates_point_out_of_the_body(turn_deg):
    _, vertebra, (upper, lower) = plates(Body(44, 34, 22, 26, right_minus_left=2), turn_deg)
    for plate, true in ((vertebra.superior, upper), (vertebra.inferior, -lower)):
        assert np.degrees(np.arccos(plate.rim.normal @ true)) < 1.2
        assert np.degrees(np.arccos(plate.whole.normal @ true)) < 1.2
        assert plate.rim_residual_mm < 0.4


def test_the_frame_is_the_mean_of_the_plates_and_looks_away_from_the_canal():
    turn = (12, 6, 8)
    _, vertebra, _ = plates(Body(44, 34, 22, 26), turn)
    for axis, true in zip(vertebra.frame.axes, rotation(*turn).T, strict=True):
        assert np.degrees(np.arccos(axis @ true)) < 1.0


def test_a_pit_in_the_mask_leaves_the_rim_plane():
    labels, before, _ = plates(Body(44, 34, 25, 25), (5, 3, 0))
    points = labels.grid.to_world(np.indices(labels.labels.shape).reshape(3, -1).T)
    local = before.frame.to_local(points)
    pit = (np.hypot(local[:, 0] - 6, local[:, 1] - 2) < 5) & (local[:, 2] > 6)
    array = np.where(pit.reshape(labels.labels.shape), 0, labels.labels).astype(np.uint8)
    after = build_spine(LabelMap(array, labels.grid, labels.scheme))["L3"]
    assert (labels.labels > 0).sum() - (array > 0).sum() > 300
    assert np.degrees(np.arccos(after.superior.rim.normal @ before.superior.rim.normal)) < 0.5


@pytest.mark.parametrize("upper", [True, False])
def test_the_roots_of_the_transverse_processes_are_no_part_of_a_cervical_plate(upper):
    """Bars that leave both sides of the body behind its middle and fall away from the plate."""
    x, y = np.arange(-16, 16.1, 0.8), np.arange(-8, 8.1, 0.8)
    right, front = np.meshgrid(x, y, indexing="ij")
    body = (np.abs(right) <= 8) & (np.abs(front) <= 7)
    root = (np.abs(right) > 8) & (front < -1.5) & (front > -7)
    plate = 7 + 0.1 * front - 0.8 * np.clip(np.abs(right) - 5, 0, None) * (front < 0)
    height = np.where(body | root, plate, np.nan)
    cols = Columns(x, y, height, -height, np.isfinite(height))
    found = endplate(cols, Frame(np.zeros(3), *np.eye(3)), upper, Level.C4)
    true = np.array([0, -0.1, 1.0]) / np.hypot(1, 0.1) * [1, 1, 1 if upper else -1]
    assert np.degrees(np.arccos(np.clip(found.rim.normal @ true, -1, 1))) < 0.5
