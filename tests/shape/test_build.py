"""Cut, fused, lonely, odd and missing vertebrae: flagged, and not measured where no number can be trusted."""

import functools
from types import SimpleNamespace

import numpy as np
import pytest

from verse_morph.anatomy import VERSE, Level
from verse_morph.errors import InputError, NotMeasurable
from verse_morph.measure import CATALOGUE, measure
from verse_morph.phantom.solids import Body, Placement, Sampling, SolidVertebra, spine_labelmap
from verse_morph.shape import build_spine, numbering_assumed
from verse_morph.shape.build import _gap_notes
from verse_morph.space import Grid
from verse_morph.spine import Flag
from verse_morph.volume import LabelMap, Scan

SOLID = SolidVertebra(Body(40, 30, 22, 22), spinous_length=18, transverse_length=14)
STEP_MM = 31.0


@functools.cache
def column(*levels, spacing_mm=1.5):
    places = {Level(name): (SOLID, Placement(offset_mm=[0.2, 0, -STEP_MM * i])) for i, name in enumerate(levels)}
    return spine_labelmap(places, Sampling(spacing_mm, margin_mm=5))


def test_a_spine_upside_down_is_refused():
    labels = np.zeros((60, 60, 60), np.uint8)
    labels[20:40, 20:40, 5:20], labels[20:40, 20:40, 30:45] = 22, 23
    with pytest.raises(InputError, match="L3 to L4 run from foot to head"):
        build_spine(LabelMap(labels, Grid(labels.shape, np.eye(4)), VERSE))


def cropped(labels, axis, low=None, high=None):
    """The image between two world positions along one axis."""
    start, stop = 0, labels.grid.shape[axis]
    at = np.zeros(3)
    if low is not None:
        at[axis] = low
        start = int(np.ceil(labels.grid.to_index(at)[axis]))
    if high is not None:
        at[axis] = high
        stop = int(np.floor(labels.grid.to_index(at)[axis])) + 1
    box = [slice(0, n) for n in labels.grid.shape]
    box[axis] = slice(start, stop)
    return LabelMap(labels.labels[tuple(box)], labels.grid.crop(box), labels.scheme)


def row(labels, level):
    return measure(build_spine(labels)).set_index("level").loc[level]


def missing(found, entry):
    """Whether a row has no value of an entry: NaN for a number, nothing for a word."""
    return found[entry.name] == "" if entry.word else bool(np.isnan(found[entry.name]))


# --- cut ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("axis", "low", "high"),
    [(2, None, 5), (2, None, 10.5), (2, -5, None), (2, -10.5, None), (0, -10, None), (0, None, 17), (1, None, 8)],
    ids=["half above", "rim above", "half below", "rim below", "left", "right", "front"],
)
def test_a_border_through_the_body_leaves_no_body_value(axis, low, high):
    found = row(cropped(column("L3"), axis, low, high), "L3")
    assert "body_cut" in found["flags"]
    for entry in CATALOGUE:
        assert missing(found, entry), entry.name
        assert found[entry.name + "_why"].startswith("L3: "), entry.name
        if entry.counts:
            assert found[entry.name + "_why"].startswith("L3: the "), entry.name


@pytest.mark.parametrize(
    ("axis", "low", "high"), [(0, -24, None), (0, -24, 24), (1, -45, None)], ids=["left", "both", "spinous"]
)
def test_cut_processes_leave_the_body_and_take_the_whole(axis, low, high):
    whole, found = row(column("L3"), "L3"), row(cropped(column("L3"), axis, low, high), "L3")
    flags = found["flags"].split(";")
    assert "processes_cut" in flags
    assert "body_cut" not in flags
    for name in ("vertebra_volume_cm3", "surface_area_cm2"):
        assert np.isnan(found[name])
        assert found[name + "_why"] == "L3: the image border cuts the vertebra"
    for name in ("height_anterior_mm", "height_posterior_mm", "body_width_middle_mm", "body_x_mm", "body_z_mm"):
        assert found[name] == pytest.approx(whole[name], abs=0.3), name


def test_a_body_cut_from_behind_has_no_numbers():
    """The canal is out of view then, and where the body ends cannot be told."""
    found = row(cropped(column("L3"), 1, -10, None), "L3")
    assert all(missing(found, entry) for entry in CATALOGUE)


def test_a_sliver_of_a_neighbour_does_not_stop_the_others():
    """One layer of voxels of L2 at the upper border."""
    labels = cropped(column("L2", "L3", "L4"), 2, None, -11)
    array = np.array(labels.labels)
    array[..., :-1][array[..., :-1] == 21] = 0
    if not (array == 21).any():
        array[30:40, 30:40, -1] = 21
    table = measure(build_spine(LabelMap(array, labels.grid, VERSE))).set_index("level")
    assert np.isnan(table.loc["L2", "height_middle_mm"])
    assert table.loc["L3", "height_middle_mm"] == pytest.approx(22, abs=0.6)


# --- levels -------------------------------------------------------------------------------------------------------


def test_c1_has_no_body_and_says_so():
    found = row(column("C1"), "C1")
    assert found["flags"] == "no_body"
    assert found["height_middle_mm_why"] == "C1: C1 has no body"
    assert found["vertebra_volume_cm3"] > 30


def test_c2_has_no_superior_endplate():
    found = row(column("C2"), "C2")
    for name in ("endplate_superior_tilt_sagittal_deg", "endplate_superior_width_mm", "height_anterior_mm"):
        assert np.isnan(found[name])
        assert found[name + "_why"] == "C2: C2 has a dens and no superior endplate"
    assert found["endplate_inferior_width_mm"] == pytest.approx(40, abs=1.5)


def test_one_vertebra_alone():
    spine = build_spine(column("L3"))
    assert len(spine) == 1
    assert spine["L3"].frame is not None
    np.testing.assert_allclose(spine["L3"].frame.axes, np.eye(3), atol=0.04)


def test_a_missing_level_is_noted():
    notes = build_spine(column("L1", "L3", "L4")).notes
    assert any("between L1 and L3: L2" in note for note in notes)


def test_eleven_thoracic_vertebrae_are_no_gap():
    assert not any("not in the mask" in note for note in build_spine(column("T11", "L1")).notes)


def test_t13_lies_between_t12_and_l1():
    spine = build_spine(column("T12", "T13", "L1"))
    assert [str(level) for level in spine.levels()] == ["T12", "T13", "L1"]
    assert not any("not in the mask" in note for note in spine.notes)
    heights = [spine[level].centre_mm[2] for level in ("T12", "T13", "L1")]
    assert heights == sorted(heights, reverse=True)


def test_numbering_is_assumed_unless_the_neck_or_t1_is_in_view():
    assert numbering_assumed([Level.T2, Level.L1])
    assert not numbering_assumed([Level.T1, Level.T2])
    spine = build_spine(column("L3"))
    assert all(Flag.NUMBERING_ASSUMED in vertebra.flags for vertebra in spine)
    assert any("T1 is out of view" in note for note in spine.notes)
    assert Flag.NUMBERING_ASSUMED not in build_spine(column("C1"))["C1"].flags


# --- labels that are not what they should be ----------------------------------------------------------------------


def test_fused_neighbours_are_flagged_and_have_no_endplates():
    """L3 and L4 labelled through the disc until they touch."""
    labels = column("L3", "L4")
    array = np.array(labels.labels)
    x, y, z = labels.grid.to_world(np.indices(array.shape).reshape(3, -1).T).T.reshape(3, *array.shape)
    disc = (x**2 / 20**2 + y**2 / 15**2 < 1) & (z < 0) & (z > -STEP_MM) & (array == 0)
    array[disc & (z > -STEP_MM / 2)] = 22
    array[disc & (z <= -STEP_MM / 2)] = 23
    found = row(LabelMap(array, labels.grid, VERSE), "L3")
    assert "neighbour_overlap" in found["flags"]
    assert np.isnan(found["height_middle_mm"])
    assert "fused with its neighbour" in found["height_middle_mm_why"]


def test_specks_and_pieces_are_flagged():
    labels = column("L3")
    speck, piece = np.array(labels.labels), np.array(labels.labels)
    speck[0:2, 0, 0] = 22
    middle = int(labels.grid.to_index([0, -51, 0])[1])
    piece[:, middle - 1 : middle + 1] = 0
    assert Flag.SPECKS_REMOVED in build_spine(LabelMap(speck, labels.grid, VERSE))["L3"].flags
    assert Flag.SPECKS_REMOVED not in build_spine(labels)["L3"].flags
    cut_off = build_spine(LabelMap(piece, labels.grid, VERSE))["L3"].flags
    assert Flag.SEPARATED_PIECES in cut_off or Flag.SPECKS_REMOVED in cut_off


def block(shape, *box):
    array = np.zeros(shape, np.uint8)
    array[tuple(slice(*b) for b in box)] = 22
    return array


ODD = {
    "one voxel": block((30, 30, 30), (15, 16), (15, 16), (15, 16)),
    "one voxel in a corner": block((30, 30, 30), (0, 1), (0, 1), (0, 1)),
    "axial slice": block((30, 30, 30), (5, 25), (5, 25), (15, 16)),
    "coronal slice": block((30, 30, 30), (5, 25), (15, 16), (5, 25)),
    "sagittal slice": block((30, 30, 30), (15, 16), (5, 25), (5, 25)),
    "plate": block((30, 30, 30), (5, 25), (5, 25), (14, 17)),
    "the whole image": np.full((30, 30, 30), 22, np.uint8),
    "an image of one voxel": np.full((1, 1, 1), 22, np.uint8),
    "an image of one slice": np.full((30, 30, 1), 22, np.uint8),
    "salt": 22 * (np.random.default_rng(0).random((30, 30, 30)) < 0.05).astype(np.uint8),
}


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.3, 0.3, 3.0)], ids=["1 mm", "0.3 x 3 mm"])
@pytest.mark.parametrize("shape", ODD)
@pytest.mark.parametrize("value", [1, 2, 22])
def test_labels_that_are_no_vertebra_never_get_a_height(shape, spacing, value):
    array = np.where(ODD[shape] > 0, value, 0).astype(np.uint8)
    labels = LabelMap(array, Grid(array.shape, np.diag([*spacing, 1.0])), VERSE)
    found = measure(build_spine(labels)).iloc[0]
    for entry in CATALOGUE:
        assert missing(found, entry) == bool(found[entry.name + "_why"])
        if entry.name not in ("vertebra_volume_cm3", "surface_area_cm2"):
            assert missing(found, entry), entry.name


# --- what build_spine asks for ------------------------------------------------------------------------------------


def test_an_empty_mask_is_refused():
    with pytest.raises(InputError, match="no vertebra in this mask"):
        build_spine(LabelMap(np.zeros((5, 5, 5), np.uint8), Grid((5, 5, 5), np.eye(4)), VERSE))


def test_a_scan_on_another_grid_is_refused():
    labels = column("L3")
    shifted = np.array(labels.grid.affine)
    shifted[0, 3] += 1
    scan = Scan(np.zeros(labels.grid.shape, np.int16), Grid(labels.grid.shape, shifted))
    with pytest.raises(InputError, match="another grid"):
        build_spine(labels, scan)


def test_the_scan_goes_along_with_each_vertebra():
    labels = column("L3")
    vertebra = build_spine(labels, Scan(labels.labels.astype(np.int16) * 10, labels.grid))["L3"]
    np.testing.assert_array_equal(vertebra.hu == 220, vertebra.mask)


def test_progress_reaches_the_end_of_every_stage():
    calls = []
    build_spine(column("L3", "L4"), progress=lambda *call: calls.append(call))
    stages = {stage for stage, _, _ in calls}
    assert len(stages) >= 3
    for stage in stages:
        assert [call[1:] for call in calls if call[0] == stage][-1] == (2, 2)


def test_a_missing_part_says_why():
    with pytest.raises(NotMeasurable, match="C1: C1 has no body"):
        raise build_spine(column("C1"))["C1"].missing("frame")


# --- heights among neighbours -------------------------------------------------------------------------------------


def stacked(heights):
    """Lumbar solids of given heights with gaps of 9 mm."""
    places, foot = {}, 0.0
    for number, height in enumerate(heights, 1):
        solid = SolidVertebra(Body(40, 30, height, height), spinous_length=18, transverse_length=14)
        places[Level(f"L{number}")] = (solid, Placement(offset_mm=[0.2, 0, foot - height / 2]))
        foot -= height + 9.0
    return spine_labelmap(places, Sampling(1.5, margin_mm=5))


@pytest.mark.parametrize(("last", "flagged"), [(24.0, False), (26.0, False), (31.0, True)])
def test_a_body_much_higher_than_its_neighbours_is_flagged(last, flagged):
    """Of the highest of its neighbours a quarter: 31 mm beside 22 and 23 may be a vertebra with its disc."""
    spine = build_spine(stacked([22.0, 22.0, 23.0, last]))
    flags = [Flag.HIGHER_THAN_NEIGHBOURS in vertebra.flags for vertebra in spine]
    assert flags == [False, False, False, flagged]


def test_one_neighbour_says_too_little_about_a_height():
    spine = build_spine(stacked([22.0, 31.0]))
    assert not any(Flag.HIGHER_THAN_NEIGHBOURS in vertebra.flags for vertebra in spine)


# --- room in a row -----------------------------------------------------------------------------------------------


def row_of(first, steps):
    """Vertebrae from a level downwards whose centres lie these steps apart."""
    levels = [level for level in Level if level is not Level.T13]
    depths = np.concatenate([[0.0], np.cumsum(steps)])
    start = levels.index(Level(first))
    return [SimpleNamespace(level=levels[start + k], centre_mm=np.array([0, 0, -d])) for k, d in enumerate(depths)]


def test_the_long_steps_of_the_loin_below_a_neck_and_chest_are_no_gap():
    """A step of 38 mm at L3 is usual there and 1.7 times the median of the whole row."""
    neck, chest = [16.0] * 5, np.linspace(18, 30, 13)
    assert not _gap_notes(row_of("C3", [*neck, *chest, 33.0, 35.0, 38.0, 37.0]))


def test_a_step_with_room_for_a_chest_vertebra_is_told_below_which_the_loin_is_long():
    notes = _gap_notes(row_of("T6", [22.0, 22.0, 44.0, 24.0, 25.0, 27.0, 30.0, 33.0, 35.0, 36.0, 36.0]))
    assert notes == ["44 mm between T8 and T9, 1.8 times the usual step: one may be missing"]


def test_a_level_left_out_by_name_is_told_and_its_step_is_that_of_two():
    vertebrae = [v for v in row_of("T10", [25.0, 27.0, 30.0, 33.0, 35.0]) if v.level is not Level.T11]
    assert _gap_notes(vertebrae) == ["not in the mask between T10 and T12: T11"]
