"""The editor without a browser: messages of its pictures, its buttons, its file, and outlines that change alone."""

import numpy as np
import pytest

from verse_morph.anatomy import VERSE, Level
from verse_morph.errors import GridMismatch, InputError
from verse_morph.io import read_centroids
from verse_morph.space import Grid
from verse_morph.view.editor import CentroidEditor
from verse_morph.view.points import Numbering, difference, points_from
from verse_morph.view.projection import Projection, projected
from verse_morph.view.redo import redone
from verse_morph.volume import LabelMap, Scan

LEVELS = (Level.T12, Level.L1, Level.L2, Level.L3)
AFFINE = np.array([[0, -1.0, 0, 40], [1.5, 0, 0, -30], [0, 0, -2.0, 60], [0, 0, 0, 1]])


def places():
    return {level: np.array([2.0, 5.0, 45.0 - 30 * k]) for k, level in enumerate(LEVELS)}


def ball(grid, centre, radius=9.0):
    world = grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1))
    return np.linalg.norm(world - centre, axis=-1) <= radius


@pytest.fixture(scope="module")
def case():
    grid = Grid((50, 80, 70), AFFINE)
    labels = np.zeros(grid.shape, dtype=np.uint8)
    for level, centre in places().items():
        labels[ball(grid, centre)] = VERSE.value_of(level)
    hu = np.where(labels > 0, 600, -50).astype(np.int16)
    return Scan(hu, grid, "balls"), LabelMap(labels, grid, VERSE, "balls")


def fake_outliner(scan, points_mm):
    labels = np.zeros(scan.grid.shape, dtype=np.uint8)
    for level, centre in points_mm.items():
        labels[ball(scan.grid, centre)] = VERSE.value_of(level)
    return LabelMap(labels, scan.grid, VERSE, scan.name)


@pytest.fixture
def editor(case):
    return CentroidEditor(*case[:1], places(), case[1], fake_outliner)


def levels(editor):
    return " ".join(str(level) for level in editor.state.levels)


@pytest.mark.parametrize("plane", ["sagittal", "coronal"])
def test_a_point_is_seen_where_the_scan_is_bright(case, plane):
    scan, _ = case
    from verse_morph.space import canonical

    hu, grid = canonical(scan.hu, scan.grid)
    on = Projection(plane, grid)
    picture = projected(hu, on, [tuple(p) for p in places().values()], "brightest")
    for point in places().values():
        x, y = on.shares(point)
        assert picture[int(y * picture.shape[0]), int(x * picture.shape[1])].min() > 100
        assert np.allclose(on.moved(point, (x, y)), point)
    with pytest.raises(InputError, match="brightest"):
        projected(hu, on, [], "darkest")


def test_a_drag_on_one_picture_leaves_the_third_coordinate(editor):
    key = editor.state["L1"].key
    on = editor.projections["sagittal"]
    target = on.shares((99, 9.0, 12.0))
    editor._heard("sagittal", {"pick": key})
    editor._heard("sagittal", {"drop": key, "at": target})
    assert editor.state["L1"].mm == pytest.approx((2.0, 9.0, 12.0))
    editor._heard("coronal", {"nudge": [5, 0]})
    # To the right on the screen is the patient's left.
    assert editor.state["L1"].mm == pytest.approx((-3.0, 9.0, 12.0))
    assert [dot["changed"] for dot in editor.panels["coronal"].dots] == [False, True, False, False]
    editor._heard("sagittal", {"undo": True})
    editor._heard("sagittal", {"undo": True})
    assert editor.state == editor.start
    editor._heard("sagittal", {"redo": True})
    assert editor.state["L1"].mm == pytest.approx((2.0, 9.0, 12.0))


def test_keys_choose_and_remove_and_a_double_click_adds(editor):
    editor.choose("L2")
    editor._heard("sagittal", {"next": 1})
    assert editor.controls["level"].value == "L3"
    editor._heard("sagittal", {"remove": True})
    assert levels(editor) == "T12 L1 L2"
    editor.controls["add_level"].value = "L3"
    editor._heard("coronal", {"add": editor.projections["coronal"].shares((4.0, 0, -44.0))})
    assert editor.state["L3"].mm == pytest.approx((4.0, 5.0, -44.0))


def test_buttons_do_what_they_say(editor):
    c = editor.controls
    c["down"].click()
    assert levels(editor) == "L1 L2 L3 L4"
    c["thoracic"].value = 13
    c["up"].click()
    assert levels(editor) == "T12 L1 L2 L3"
    c["thoracic"].value = 13
    c["count"].click()
    assert levels(editor) == "T12 T13 L1 L2"
    c["to"].value = "T11"
    c["rename"].click()
    assert levels(editor) == "T11 T13 L1 L2"
    assert "T12" in c["problems"].value
    c["add_level"].value = "T12"
    c["add"].click()
    assert editor.state["T12"].mm == pytest.approx((2, 5, 30))
    c["z"].value = 31
    assert editor.state["T12"].mm[2] == 31
    c["remove"].click()
    c["undo"].click()
    assert "T12" in levels(editor)


def test_a_refused_change_is_said_and_changes_nothing(editor):
    for _ in range(2):
        editor.controls["down"].click()
    before = editor.state
    editor.controls["down"].click()
    assert editor.state == before
    assert "would lie below L5" in editor.controls["said"].value


def test_the_file_is_the_one_that_verse_uses(editor, tmp_path):
    editor.move("L1", (1.0, 2.0, 3.0))
    editor.controls["path"].value = str(tmp_path / "x_ctd.json")
    editor.controls["save"].click()
    read = read_centroids(tmp_path / "x_ctd.json", editor.scan.grid)
    assert set(read.points_mm) == set(LEVELS)
    assert read.points_mm[Level.L1] == pytest.approx((1, 2, 3), abs=0.002)


def test_points_come_from_the_mask_where_none_are_given(case):
    editor = CentroidEditor(case[0], labels=case[1])
    assert levels(editor) == "T12 L1 L2 L3"
    assert editor.state["L1"].mm == pytest.approx(places()[Level.L1], abs=1.5)


def test_only_changed_vertebrae_are_outlined_again(editor, case):
    asked = []

    def spying(scan, points_mm):
        asked.append(set(points_mm))
        return fake_outliner(scan, points_mm)

    editor.outliner = spying
    editor.move("L1", (2.0, 9.0, 17.0))
    report = editor.redo_outlines()
    assert asked == [{Level.L1}]
    old, new = case[1].labels, editor.labels.labels
    others = [VERSE.value_of(level) for level in LEVELS if level is not Level.L1]
    assert all(((old == value) == (new == value)).all() for value in others)
    assert report.summary == "changed: L1"
    editor.redo_outlines()
    assert len(asked) == 1, "nothing has changed since"


def test_a_shift_renumbers_without_any_network(editor, case):
    editor.outliner = None
    editor.shift(1, Numbering(13, 5))
    editor.redo_outlines()
    assert levels(editor) == "T13 L1 L2 L3"
    wanted = case[1].labels.copy()
    wanted[case[1].labels == VERSE.value_of(Level.T12)] = VERSE.value_of(Level.T13)
    assert (editor.labels.labels == wanted).all()


def test_a_removed_vertebra_leaves_the_mask_and_a_neighbour_keeps_its_voxels(case):
    scan, labels = case
    start = points_from(places())
    from verse_morph.view.points import move, remove

    after = move(remove(start, "L3"), "L2", tuple(places()[Level.L1] + [0, 0, -6]))
    made = redone(scan, labels, difference(start, after), after.points_mm(), fake_outliner).labels
    assert not (made == VERSE.value_of(Level.L3)).any()
    assert ((made == VERSE.value_of(Level.L1)) == (labels.labels == VERSE.value_of(Level.L1))).all()
    assert (made == VERSE.value_of(Level.L2)).any()


def test_without_a_mask_or_on_another_grid_nothing_is_outlined(case):
    with pytest.raises(InputError, match="no mask"):
        CentroidEditor(case[0], places()).redo_outlines()
    start = points_from(places())
    other = Scan(np.zeros((3, 3, 3), dtype=np.int16), Grid((3, 3, 3), np.eye(4)))
    with pytest.raises(GridMismatch):
        redone(other, case[1], difference(start, start), {}, fake_outliner)


def test_an_empty_editor_can_be_filled(case):
    editor = CentroidEditor(case[0])
    editor.add("L1")
    editor._heard("sagittal", {"nudge": [0, 3]})
    assert levels(editor) == "L1"
    assert editor.widget is not None
