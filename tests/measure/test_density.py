"""The trabecular region on solids with a painted CT: margins, vein, dense bone, refusals; averages and what follows."""

import functools

import numpy as np
import pandas as pd
import pytest

from verse_morph.anatomy import VERSE, Level
from verse_morph.errors import NotMeasurable
from verse_morph.measure import density, measure
from verse_morph.measure.density import Acquisition, histogram, lumbar_density
from verse_morph.measure.roi import eroded_body, roi_mask, slice_axes, trabecular_roi, vein_region
from verse_morph.phantom.solids import Body, Placement, Sampling, SolidVertebra, rotation, spine_labelmap
from verse_morph.shape import build_spine
from verse_morph.space import Grid
from verse_morph.volume import LabelMap, Scan

BONE_HU, SOFT_HU = 150.0, 40.0
FACES = (0.5, 0.5, 0.5)
BOX = SolidVertebra(Body(44, 34, 26, 26, footprint="box"))


@functools.cache
def labels(level=Level.L2, solid=BOX, spacing_mm=(1.0, 1.0, 1.0)):
    return spine_labelmap({level: (solid, Placement(offset_mm=np.array(FACES)))}, Sampling(spacing_mm, margin_mm=5))


def noise(hu, sd=60.0, seed=0):
    hu += np.random.default_rng(seed).normal(0, sd, hu.shape).astype(np.float32)


def ct(mask, paint=None):
    """Bone and soft tissue with a little noise; ``paint(hu, x, y, z)`` may change it."""
    hu = np.where(mask.labels > 0, BONE_HU, SOFT_HU).astype(np.float32)
    noise(hu, 4.0, seed=1)
    if paint is not None:
        x, y, z = np.moveaxis(mask.grid.to_world(np.moveaxis(np.indices(hu.shape), 0, -1)), -1, 0)
        paint(hu, x, y, z)
    return Scan(hu, mask.grid)


def vertebra(paint=None, **kwargs):
    mask = labels(**kwargs)
    return build_spine(mask, ct(mask, paint)).vertebrae[0]


@functools.cache
def plain():
    return vertebra()


def local(found, region):
    return found.frame.to_local(found.grid.to_world(np.argwhere(region)))


# --- the region ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("margin", [2.0, 3.0, 4.0])
def test_the_region_of_a_box_is_a_box_smaller_by_its_margin(margin):
    found = plain()
    deep = eroded_body(found, margin)
    size = np.ptp(found.grid.to_world(np.argwhere(deep)), axis=0) + found.grid.spacing_mm
    np.testing.assert_allclose(size[[0, 2]], [44 - 2 * margin, 26 - 2 * margin], atol=1.01)
    assert size[1] == pytest.approx(34 - 2 * margin, abs=1.5)
    at = found.grid.to_world(np.argwhere(deep))
    assert found.body_depth_at(at).min() >= margin - 0.15  # the smoothed field is rounded at the edges


@pytest.mark.parametrize("margin", [2.0, 3.0, 4.0])
def test_a_turned_box_is_eroded_by_the_margin_and_no_more(margin):
    """A distance between voxel centres reads a third of a voxel too shallow at this depth: 6 % of the region."""
    turned = Placement(rotation(14, -11, 17), np.array(FACES))
    mask = spine_labelmap({Level.L2: (BOX, turned)}, Sampling((1.0, 1.0, 1.0), margin_mm=5))
    found = build_spine(mask).vertebrae[0]
    inside = local(found, found.body)
    deep = local(found, eroded_body(found, margin))
    size, left = np.ptp(inside, axis=0), np.ptp(deep, axis=0)
    np.testing.assert_allclose(left, size - 2 * margin, atol=0.6)
    box = np.prod(np.array([44.0, size[1], 26.0]) - 2 * margin)
    assert len(deep) == pytest.approx(box, rel=0.04)


def test_in_the_neck_the_region_is_no_wider_than_the_lower_endplate():
    """Roots of transverse processes and the masses beside the dens belong to the mask in front of the canal."""

    def with_wings(mask):
        out = np.array(mask.labels)
        x, y, z = np.moveaxis(mask.grid.to_world(np.moveaxis(np.indices(out.shape), 0, -1)), -1, 0)
        out[(np.abs(x) < 20) & (np.abs(y - 1) < 6) & (np.abs(z) < 3.8)] = out.max()
        return LabelMap(out, mask.grid, VERSE)

    mask = with_wings(labels(level=Level.C5, solid=SolidVertebra(Body(20, 17, 16, 16, footprint="box"))))
    found = build_spine(mask, ct(mask)).vertebrae[0]
    assert np.abs(local(found, eroded_body(found, 3.0))[:, 0]).max() > 9
    assert np.abs(local(found, trabecular_roi(found).mask)[:, 0]).max() <= 7.6


@pytest.mark.parametrize(("spacing", "axis"), [((3.0, 1.0, 1.0), 0), ((1.0, 1.0, 3.0), 2)])
def test_along_the_slices_the_margin_is_their_thickness_and_2_mm(spacing, axis):
    found = vertebra(spacing_mm=spacing)
    assert slice_axes(found.grid) == (axis,)
    deep = eroded_body(found, 3.0)
    size = np.ptp(found.grid.to_world(np.argwhere(deep)), axis=0)[axis] + 3.0
    assert size <= (44, 34, 26)[axis] - 2 * 5.0 + 3.0  # centres at least 5 mm inside, voxels reach 1.5 mm further
    across = 2 - axis
    assert np.ptp(found.grid.to_world(np.argwhere(deep)), axis=0)[across] > (44, 34, 26)[across] - 2 * 3 - 2


def test_cubes_may_be_stacked_along_any_axis():
    assert slice_axes(Grid((4, 4, 4), np.diag([1, 1.02, 1, 1]))) == (0, 1, 2)


def test_the_vein_lies_in_the_middle_of_the_back_third():
    found = plain()
    at = local(found, vein_region(found))
    assert np.abs(at[:, 0]).max() <= 4
    assert np.ptp(at[:, 1]) + 1 == pytest.approx(34 / 3, abs=1.2)
    assert np.ptp(at[:, 2]) + 1 == pytest.approx(26 / 3, abs=1.2)
    body = local(found, found.body)
    assert at[:, 1].min() == pytest.approx(body[:, 1].min(), abs=1.2)
    assert abs(at[:, 2].mean()) < 1
    assert not (trabecular_roi(found).mask & vein_region(found)).any()


def test_what_lies_outside_the_region_does_not_count():
    """Cortex, marrow of the vein and soft tissue may have any value."""
    base = measure(build_spine(labels(), ct(labels()))).iloc[0]

    def bright_shell(hu, x, y, z):
        shell = (labels().labels > 0) & ~eroded_like(2.6)
        hu[shell] = 550

    def eroded_like(margin):
        found = plain()
        out = np.zeros(labels().grid.shape, bool)
        start = np.rint(labels().grid.to_index(found.grid.to_world([0, 0, 0]))).astype(int)
        out[tuple(slice(a, a + n) for a, n in zip(start, found.mask.shape, strict=True))] = eroded_body(found, margin)
        return out

    row = measure(build_spine(labels(), ct(labels(), bright_shell))).iloc[0]
    assert base["trabecular_hu_mean"] == row["trabecular_hu_mean"] == pytest.approx(BONE_HU, abs=0.2)
    assert row["trabecular_hu_sd"] == pytest.approx(4, abs=0.1)
    assert row["trabecular_hu_margin_2mm"] > BONE_HU + 20
    assert row["trabecular_hu_margin_4mm"] == pytest.approx(BONE_HU, abs=0.2)


def test_noise_changes_the_sd_and_hardly_the_mean():
    found = vertebra(lambda hu, x, y, z: noise(hu))
    assert density.trabecular_hu_mean(found) == pytest.approx(BONE_HU, abs=2)
    assert density.trabecular_hu_median(found) == pytest.approx(BONE_HU, abs=3)
    assert density.trabecular_hu_sd(found) == pytest.approx(60, abs=3)
    assert density.trabecular_dense(found) == 0  # single bright voxels are noise


def test_a_sclerotic_focus_is_left_out_and_told():
    def focus(hu, x, y, z):
        noise(hu)
        hu[(x - 10) ** 2 + (y - 6) ** 2 + z**2 < 25] = 900

    found = vertebra(focus)
    assert density.trabecular_hu_mean(found) == pytest.approx(BONE_HU, abs=3)
    assert 3 < density.trabecular_dense(found) < 15
    assert not trabecular_roi(found).metal


def test_a_screw_is_metal_and_left_out():
    def screw(hu, x, y, z):
        hu[((x - 12) ** 2 + z**2 < 9) & (y > -15)] = 3071

    found = vertebra(screw)
    roi = trabecular_roi(found)
    assert roi.metal
    assert roi.dense_pct > 3
    assert density.trabecular_hu_mean(found) == pytest.approx(BONE_HU, abs=1)


# --- refusals -----------------------------------------------------------------------------------------------------


def test_without_a_ct_there_is_a_reason():
    row = measure(build_spine(labels())).iloc[0]
    assert np.isnan(row["trabecular_hu_mean"])
    assert row["trabecular_hu_mean_why"] == "L2: no CT was given"
    assert row["bmd_mg_cm3_why"] == "L2: no CT was given"


def test_without_a_calibration_there_are_no_mg():
    row = measure(build_spine(labels(), ct(labels()))).iloc[0]
    assert row["trabecular_hu_mean"] == pytest.approx(BONE_HU, abs=0.2)
    assert np.isnan(row["bmd_mg_cm3"])
    assert "no calibration" in row["bmd_mg_cm3_why"]


def test_a_cut_body_has_no_density():
    whole = labels()
    top = int(whole.grid.to_index([0, 0, 9])[2])
    box = (slice(0, whole.grid.shape[0]), slice(0, whole.grid.shape[1]), slice(0, top))
    cut = LabelMap(np.array(whole.labels[box]), whole.grid.crop(box), VERSE)
    row = measure(build_spine(cut, ct(cut))).iloc[0]
    assert row["trabecular_hu_mean_why"] == "L2: the image border cuts the body"
    assert row["trabecular_volume_cm3_why"] == "L2: the image border cuts the body"


SMALL = SolidVertebra(Body(17, 15, 12, 12, footprint="box"))


def test_a_body_too_small_is_refused_in_the_back_and_measured_in_the_neck():
    with pytest.raises(NotMeasurable, match=r"0\.\d+ cm3 of trabecular bone left 3 mm below the surface, less than 1"):
        trabecular_roi(vertebra(level=Level.T6, solid=SMALL))
    assert 0.3 < trabecular_roi(vertebra(level=Level.C5, solid=SMALL)).volume_cm3 < 1


def test_a_thresholded_image_is_no_ct():
    found = vertebra(lambda hu, x, y, z: np.copyto(hu, np.where(hu > BONE_HU, hu, 0)))
    with pytest.raises(NotMeasurable, match="hold the value 0: this is no CT"):
        trabecular_roi(found)


# --- the region as a mask, the histogram --------------------------------------------------------------------------


def test_the_saved_mask_covers_the_region_in_any_storage_order():
    mask = labels()
    order = (2, 0, 1)
    affine = np.array(mask.grid.affine)
    affine[:, :3] = affine[:, list(order)]
    stored = LabelMap(mask.labels.transpose(order), Grid(tuple(np.array(mask.grid.shape)[list(order)]), affine), VERSE)
    spine = build_spine(stored, ct(stored))
    saved = roi_mask(spine, stored)
    assert saved.grid is stored.grid
    assert saved.values() == (21,)
    roi = trabecular_roi(spine.vertebrae[0])
    assert (saved.labels > 0).sum() == roi.mask.sum()
    inside = spine.vertebrae[0].body_depth_at(stored.grid.to_world(np.argwhere(saved.labels)))
    assert inside.min() >= 3 - 0.15


def test_the_saved_mask_of_a_fine_image_covers_pairs_of_voxels():
    mask = labels(solid=SMALL, level=Level.C5, spacing_mm=(0.35, 0.35, 1.0))
    spine = build_spine(mask, ct(mask))
    saved, roi = roi_mask(spine, mask), trabecular_roi(spine.vertebrae[0])
    assert (saved.labels > 0).sum() == 4 * roi.mask.sum()
    inside = spine.vertebrae[0].body_depth_at(mask.grid.to_world(np.argwhere(saved.labels)))
    # Voxels of 0.7 x 0.7 x 1 mm: half of their diagonal.
    assert inside.min() >= 3 - 0.75 - 0.15


def test_a_histogram_holds_every_voxel():
    spine = build_spine(labels(), ct(labels(), lambda hu, x, y, z: noise(hu)))
    table = histogram(spine)
    assert table["share"].sum() == pytest.approx(1)
    middle = 0.5 * (table["low_hu"] + table["high_hu"])
    assert (middle * table["share"]).sum() == pytest.approx(BONE_HU, abs=3)
    assert list(histogram(build_spine(labels())).columns) == ["scan", "level", "low_hu", "high_hu", "share"]


# --- the scan as a whole ------------------------------------------------------------------------------------------


def rows(**changes):
    """L1 to L4 with 100, 110, 120, 130 HU and mg/cm3 of 80 % of that; ``L1={...}`` changes a row."""
    out = []
    for i, level in enumerate(("L1", "L2", "L3", "L4")):
        row = {"level": level, "trabecular_hu_mean": 100.0 + 10 * i, "trabecular_hu_mean_why": ""}
        row |= {"bmd_mg_cm3": 80.0 + 8 * i, "trabecular_dense_pct": 0.0, "genant_grade": 0.0}
        out.append(row | changes.get(level, {}))
    return pd.DataFrame(out)


KNOWN = Acquisition(kvp=120.0, contrast="none", calibrated=True)


def test_averages_of_sound_levels():
    found = lumbar_density(rows(), KNOWN)
    assert [found[name]["hu"] for name in ("L1", "L1_L3", "L1_L4")] == [100, 110, 115]
    assert found["L1_L4"]["bmd_mg_cm3"] == 92
    assert found["acr_category"]["word"] == "low bone mass"
    assert found["l1_band"]["word"] == "at most 110 HU"


def test_fractured_dense_and_missing_levels_are_skipped_with_their_reason():
    table = rows(
        L1={"genant_grade": 2.0},
        L2={"trabecular_hu_mean": np.nan, "trabecular_hu_mean_why": "L2: the image border cuts the body"},
        L3={"trabecular_dense_pct": 12.0},
    )
    found = lumbar_density(table, KNOWN)
    assert found["L1_L4"]["levels"] == ["L4"]
    assert "Genant grade 2" in found["L1_L4"]["skipped"]["L1"]
    assert found["L1_L4"]["skipped"]["L2"] == "L2: the image border cuts the body"
    assert found["L1_L4"]["skipped"]["L3"].startswith("12 % of the body is sclerotic")
    assert found["L1"]["hu"] is None
    assert found["acr_category"] == {
        "word": "not classified",
        "why": "1 lumbar levels known to be unfractured, 2 are needed",
    }
    assert found["l1_band"]["word"] == "not classified"


def test_levels_that_are_not_there():
    found = lumbar_density(rows().iloc[:0], KNOWN)
    assert found["L1_L4"]["hu"] is None
    assert found["L1_L4"]["skipped"]["L1"] == "not in the mask"


def test_a_level_that_was_not_graded_is_averaged_named_and_classifies_nobody():
    found = lumbar_density(rows().drop(columns="genant_grade"), KNOWN)
    assert found["grades"] == "not assessed"
    assert found["L1_L4"]["hu"] == 115
    assert found["L1_L4"]["grade_not_assessed"] == ["L1", "L2", "L3", "L4"]
    assert found["acr_category"]["word"] == found["l1_band"]["word"] == "not classified"


@pytest.mark.parametrize(
    ("known", "acr", "band"),
    [
        (Acquisition(), "HU are not calibrated", "tube voltage unknown"),
        (Acquisition(120.0, "none", False), "HU are not calibrated", ""),
        (Acquisition(100.0, "none", True), "", "100 kVp"),
        (Acquisition(120.0, "venous", True), "contrast medium: venous", "contrast medium: venous"),
        (Acquisition(120.0, "unknown", True), "contrast medium: unknown", "contrast medium: unknown"),
        (Acquisition(120.0, "corrected", True), "", "contrast medium: corrected"),
    ],
)
def test_nothing_is_classified_that_may_not_be(known, acr, band):
    found = lumbar_density(rows(), known)
    for key, reason in (("acr_category", acr), ("l1_band", band)):
        assert (found[key]["word"] == "not classified") == bool(reason), key
        assert reason in found[key]["why"]


@pytest.mark.parametrize(
    ("density_mg", "word"),
    [(79.9, "osteoporosis"), (80, "low bone mass"), (120, "low bone mass"), (120.1, "normal")],
)
def test_categories_at_their_thresholds(density_mg, word):
    table = rows().assign(bmd_mg_cm3=density_mg)
    assert lumbar_density(table, KNOWN)["acr_category"]["word"] == word


def test_an_unknown_word_on_contrast_is_refused():
    with pytest.raises(ValueError, match="unknown, none, arterial, venous, corrected"):
        Acquisition(contrast="portal")
