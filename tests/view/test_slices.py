"""Slices show the voxel under the crosshair, on the reader's side of the body that their letters say."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from verse_morph.anatomy import VERSE
from verse_morph.errors import InputError, NotMeasurable
from verse_morph.space import Grid
from verse_morph.spine import Flag
from verse_morph.view.panel import grey, overlaid, png
from verse_morph.view.slices import CUTS, SliceViewer
from verse_morph.view.straighten import sample, straight
from verse_morph.volume import LabelMap, Scan

from .blocks import STEP_MM, block_scan, block_spine

SHAPE = (20, 24, 30)
PLACE = (15, 18, 25)  # right, front, high


def affine(spacing=(2.0, 2.0, 3.0), turned=False):
    made = np.diag([*spacing, 1.0])
    made[:3, 3] = (-10.0, 5.0, 100.0)
    if turned:  # first array axis runs to the left, from the patient's right
        made[0, 0] *= -1
        made[0, 3] = -10.0 + (SHAPE[0] - 1) * spacing[0]
    return made


def scan_of(turned=False):
    """Air with one bright voxel."""
    hu = np.full(SHAPE, -1000, dtype=np.int16)
    hu[PLACE] = 1000
    return Scan(hu[::-1] if turned else hu, Grid(SHAPE, affine(turned=turned)), "one-voxel")


def labels_of(value=22):
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[13:18, 16:21, 22:28] = value
    return LabelMap(labels, Grid(SHAPE, affine()), VERSE, "one-voxel")


@pytest.fixture(params=[False, True], ids=["RAS", "LAS"])
def viewer(request):
    made = SliceViewer(scan_of(request.param))
    made.go_to(Grid(SHAPE, affine()).to_world(PLACE))
    return made


def bright(pixels):
    rows, columns = np.nonzero(pixels[..., 0] > 200)
    return [(int(r), int(c)) for r, c in zip(rows, columns, strict=True)]


def test_the_bright_voxel_is_under_the_crosshair(viewer):
    for name in CUTS:
        pixels = viewer.picture(name)
        x, y = viewer.panels[name].cross
        (found,) = bright(pixels)
        assert (int(y * pixels.shape[0]), int(x * pixels.shape[1])) == found


def test_right_and_front_are_on_the_readers_left_and_the_head_is_up(viewer):
    for name, letters in (("axial", "RLAP"), ("sagittal", "APSI"), ("coronal", "RLSI")):
        ((row, column),) = bright(viewer.picture(name))
        height, width = viewer.picture(name).shape[:2]
        assert column < width / 2
        assert row < height / 2
        assert "".join(viewer.panels[name].letters) == letters


def test_the_position_is_in_ras_millimetres(viewer):
    assert viewer.position_mm == pytest.approx([20.0, 41.0, 175.0])
    assert "R 20.0, A 41.0, S 175.0 mm · 1000 HU" in viewer.controls["where"].value
    viewer.go_to(np.array([-8.0, 41.0, 175.0]))
    assert "L 8.0, A 41.0, S 175.0 mm" in viewer.controls["where"].value
    assert viewer.panels["sagittal"].title == "sagittal, L 8.0 mm"


def test_a_click_moves_all_crosshairs_there():
    viewer = SliceViewer(scan_of(), labels_of())
    viewer.close_to_spine(False)
    viewer._heard(CUTS["sagittal"], {"at": [1 - 18.5 / 24, 1 - 25.5 / 30]})
    viewer._heard(CUTS["axial"], {"at": [1 - 15.5 / 20, 1 - 18.5 / 24]})
    assert viewer.position_mm == pytest.approx([20.0, 41.0, 175.0])
    assert "L3" in viewer.controls["where"].value
    before = viewer.panels["coronal"].png
    viewer._heard(CUTS["coronal"], {"step": [0, 0, 1]})
    assert viewer.position_mm == pytest.approx([20.0, 43.0, 175.0])
    assert viewer.panels["coronal"].png != before
    viewer._heard(CUTS["coronal"], {"step": [1, 1, 0]})
    assert viewer.position_mm == pytest.approx([18.0, 43.0, 172.0])


def test_close_to_the_spine_shows_less_in_the_same_places():
    """40 mm about labels from 166 mm up: the lower third is left out of two pictures, and clicks still mean voxels."""
    viewer = SliceViewer(scan_of(), labels_of())
    viewer.go_to(Grid(SHAPE, affine()).to_world(PLACE))
    viewer.overlay(0.0)
    whole = {}
    for close in (True, False):
        viewer.close_to_spine(close)
        for name, cut in CUTS.items():
            pixels = viewer.picture(name)
            x, y = viewer.panels[name].cross
            assert bright(pixels) == [(int(y * pixels.shape[0]), int(x * pixels.shape[1]))]
            before = viewer.position_mm
            viewer._heard(cut, {"at": [x, y]})
            assert viewer.position_mm == pytest.approx(before)
        whole[close] = viewer.picture("sagittal").shape[0], viewer.panels["sagittal"].size_px
    assert whole[False][0] == SHAPE[2]
    assert whole[True][0] == SHAPE[2] - int(22 - 40 / 3)
    assert whole[True][1][0] / whole[True][1][1] > 1.3 * whole[False][1][0] / whole[False][1][1]


def test_what_is_asked_for_outside_is_shown_all_the_same():
    viewer = SliceViewer(scan_of(), labels_of())
    assert viewer.controls["close"].value
    low = int(viewer._box()[0][2])
    for _ in range(40):
        viewer._heard(CUTS["axial"], {"step": [0, 0, -1]})
    assert viewer.controls["close"].value
    assert viewer.position_mm[2] == pytest.approx(100.0 + 3 * low)
    viewer.go_to(np.array([0.0, 20.0, 100.0]))
    assert not viewer.controls["close"].value
    assert viewer.position_mm[2] == pytest.approx(100.0)


def test_nothing_to_come_close_to():
    viewer = SliceViewer(scan_of())
    assert not viewer.controls["close"].value
    assert SliceViewer(scan_of(), labels_of(0)).picture("coronal").shape == (30, 20, 3)


def test_labels_without_a_scan_are_shown_alone():
    viewer = SliceViewer(None, labels_of())
    viewer.go_to(Grid(SHAPE, affine()).to_world((14, 17, 24)))
    assert "HU" not in viewer.controls["where"].value
    assert viewer.controls["where"].value.endswith("· L3</b>")
    coloured = np.ptp(viewer.picture("axial").astype(int), axis=2) > 20
    assert coloured.sum() == 25
    with pytest.raises(InputError, match="a scan, or labels"):
        SliceViewer(None)


def test_where_the_ct_has_no_value_no_number_is_said():
    hu = np.full(SHAPE, np.nan, dtype=np.float32)
    assert "outside the CT" in SliceViewer(Scan(hu, Grid(SHAPE, affine()))).controls["where"].value


def test_names_stand_at_the_height_of_their_bodies():
    spine = block_spine()
    viewer = SliceViewer(block_scan(spine), spine=spine)
    for name, share in viewer.panels["sagittal"].marks:
        viewer._heard(CUTS["sagittal"], {"at": [0.5, share]})
        assert viewer.position_mm[2] == pytest.approx(spine[name].centre_mm[2], abs=1.01)
    assert [name for name, _ in viewer.panels["sagittal"].marks] == ["L1", "L2", "L3", "L4", "L5"]
    assert viewer.panels["axial"].marks == []


def test_a_numbering_in_doubt_is_said():
    spine = block_spine()
    assert "in doubt" not in words_of(SliceViewer(block_scan(spine), spine=spine))
    doubted = replace(spine, vertebrae=tuple(replace(v, flags=frozenset({Flag.NUMBERING_IN_DOUBT})) for v in spine))
    assert "in doubt" in words_of(SliceViewer(block_scan(spine), spine=doubted))


def words_of(viewer):
    return "".join(part.value for part in viewer.widget.children if hasattr(part, "value"))


def test_outside_the_scan_the_border_is_shown():
    viewer = SliceViewer(scan_of())
    viewer.go_to(np.array([1e4, -1e4, 0.0]))
    assert viewer.position_mm == pytest.approx([28.0, 5.0, 100.0])


def test_only_what_changes_is_sent():
    viewer = SliceViewer(scan_of())
    before = {name: viewer.panels[name].png for name in CUTS}
    viewer._heard(CUTS["axial"], {"step": [0, 0, 1]})
    assert viewer.panels["sagittal"].png is before["sagittal"]
    assert viewer.panels["axial"].png is not before["axial"]


def test_windows_change_the_greys():
    viewer = SliceViewer(scan_of())
    viewer.window((-1020.0, -980.0))
    assert viewer.picture("axial")[0, 0, 0] == 127
    assert viewer.controls["window"].value == "other"
    viewer.controls["window"].value = "soft tissue"
    assert viewer.picture("axial")[0, 0, 0] == 0
    with pytest.raises(InputError, match="soft tissue, wide"):
        viewer.window("lung")


def test_labels_are_drawn_and_can_be_taken_away():
    viewer = SliceViewer(scan_of(), labels_of())
    viewer.go_to(Grid(SHAPE, affine()).to_world((14, 17, 24)))
    coloured = np.ptp(viewer.picture("axial").astype(int), axis=2) > 0
    assert coloured.sum() == 25
    viewer.overlay(0.0)
    assert np.ptp(viewer.picture("axial").astype(int), axis=2).max() == 0


def test_a_large_scan_sends_pictures_only():
    """Everything that the browser gets of a 512 x 512 x 600 scan, against 300 MB."""
    hu = np.zeros((512, 512, 600), dtype=np.int16)
    hu[::7] = 300
    viewer = SliceViewer(Scan(hu, Grid(hu.shape, np.diag([0.7, 0.7, 1.0, 1.0]))))
    assert sum(len(panel.png) for panel in viewer.panels.values()) < 1_500_000
    assert np.shares_memory(viewer._hu, hu)


def test_overlay_borders_are_at_full_strength():
    labels = np.zeros((6, 6), dtype=int)
    labels[1:5, 1:5] = 1
    colours = np.array([[0, 0, 0], [200, 100, 0]], dtype=np.uint8)
    made = overlaid(grey(np.zeros((6, 6)), (0.0, 1.0)), labels, colours, 0.5)
    assert made[2, 2].tolist() == [100, 50, 0]
    assert made[4, 4].tolist() == [200, 100, 0]
    assert made[0, 0].tolist() == [0, 0, 0]


def test_a_label_that_the_scheme_does_not_know_is_no_error():
    assert SliceViewer(scan_of(), labels_of(200)).picture("axial").shape == (24, 20, 3)


def test_png_round_trip():
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(pixels)))), pixels)


# --- laid straight ------------------------------------------------------------------------------------------------


def test_points_in_the_straightened_picture_are_found_again():
    on = straight(block_spine(), "sagittal")
    points = on.points_mm()
    for row, column in ((60, 30), (100, 100), (150, 10)):
        found = on.pixel(points[row, column])[0]
        assert found == pytest.approx([column, row], abs=1.5)


def test_beyond_its_ends_nothing_is_drawn():
    on = straight(block_spine(), "coronal")
    assert np.isnan(on.pixel(np.array([0.0, 0.0, 500.0]))).all()


def test_a_curved_column_becomes_straight():
    """A bright tube along the bodies' line lies in one column of both pictures."""
    spine = block_spine()
    grid = Grid((40, 60, 240), np.array([[1, 0, 0, -20], [0, 1, 0, -25], [0, 0, 1, -190], [0, 0, 0, 1.0]]))
    world = grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1))
    middle = np.interp(world[..., 2], [-4 * STEP_MM, 0], [8.0, 0.0])
    tube = ((world[..., 0] ** 2 + (world[..., 1] - middle) ** 2) < 9).astype(np.float32)
    for plane in ("sagittal", "coronal"):
        on = straight(spine, plane)
        values = np.nan_to_num(sample(tube, grid, on))
        columns = [np.average(on.columns_mm, weights=row) for row in values[50:-50] if row.sum() > 1]
        assert len(columns) > 80
        assert np.abs(columns).max() < 0.8


def test_too_few_bodies_for_a_line():
    with pytest.raises(NotMeasurable, match="two whole bodies"):
        straight(block_spine("L1", 1), "sagittal")
    viewer = SliceViewer(scan_of(), spine=block_spine("L1", 1))
    assert set(viewer.panels) == set(CUTS)
    with pytest.raises(NotMeasurable, match="two whole bodies"):
        viewer.straight_picture("sagittal")


def test_going_to_a_level():
    spine = block_spine()
    grid = Grid((30, 30, 90), np.diag([2, 2, -2, 1.0]))
    viewer = SliceViewer(Scan(np.zeros(grid.shape, np.int16), grid), spine=spine)
    viewer.controls["level"].value = "L2"
    assert viewer.position_mm == pytest.approx(spine["L2"].centre_mm, abs=1.01)
    with pytest.raises(InputError, match="no spine was given"):
        SliceViewer(scan_of()).go_to_level("L2")
