"""From HU to mg/cm3: whose table fits which scan, internal calibration, and what is refused."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from verse_morph.errors import InputError, NotMeasurable
from verse_morph.measure import CATALOGUE
from verse_morph.measure.calibration import (
    Linear,
    Reference,
    choose_calibration,
    find_reference,
    internal_calibration,
    kvp_of,
    region_reference,
    with_calibration,
)
from verse_morph.space import Grid
from verse_morph.volume import Scan

META = {"Manufacturer": "Philips", "ManufacturerModelName": "Brilliance 64", "KVP": "120"}


def table(*rows):
    columns = ["scanner", "kvp", "kernel", "slope", "intercept", "source"]
    return pd.DataFrame([dict(zip(columns, row, strict=True)) for row in rows])


OURS = ("Brilliance 64", 120, "", 0.8, -3.0, "phantom of 2026-01-12")


def test_the_row_of_the_scan_is_chosen():
    other, low = ("Definition AS", 120, "", 0.7, 1.0, "x"), ("Brilliance 64", 80, "", 0.5, 1.0, "y")
    found, notes = choose_calibration(table(other, OURS, low), META)
    assert found.line == Linear(0.8, -3.0, "phantom of 2026-01-12")
    assert found.bmd_mg_cm3(100.0) == pytest.approx(77.0)
    assert notes == ("mg/cm3 by 0.8 HU -3 (phantom of 2026-01-12)",)


def test_numbers_read_from_a_file_as_floats_still_fit():
    rows = table(OURS).astype({"kvp": float})
    rows.loc[0, "kernel"] = np.nan
    assert choose_calibration(rows, META)[0].kernel == ""


def test_one_row_is_taken_on_the_users_word_where_the_scan_says_nothing():
    found, notes = choose_calibration(table(OURS), {})
    assert found.line.slope == 0.8
    assert notes[-1] == "the scan does not say its scanner, kvp: that the density table fits is the user's word"


@pytest.mark.parametrize(
    ("rows", "meta", "message"),
    [
        ([("Definition AS", 120, "", 0.7, 1.0, "x")], META, "no rows of the density table fit this scan"),
        ([("Brilliance 64", 100, "", 0.7, 1.0, "x")], META, "kvp 120"),
        ([OURS, OURS], META, "2 rows"),
        ([OURS, (*OURS[:2], "B", *OURS[3:])], {}, "no rows"),
        ([(*OURS[:3], "steep", 0.0, "x")], META, "slope is a positive number"),
        ([(*OURS[:3], -0.8, 0.0, "x")], META, "slope is a positive number"),
        ([(*OURS[:3], 0.8, np.nan, "x")], META, "intercept a number"),
        ([(*OURS[:3], 0.8, 0.0, "")], META, "source says"),
    ],
)
def test_a_table_that_does_not_say_what_to_do_is_refused(rows, meta, message):
    with pytest.raises(InputError, match=message):
        choose_calibration(table(*rows), meta)


def test_missing_columns_are_named():
    with pytest.raises(InputError, match="missing: kernel, source"):
        choose_calibration(table(OURS).drop(columns=["kernel", "source"]), META)


def test_an_example_says_so():
    found, notes = choose_calibration(table(("", "", "", 0.855, 1.172, "EXAMPLE: not traceable")), META)
    assert found.is_example
    assert any("is an example" in note for note in notes)


def test_corrections_come_before_and_after_the_table():
    found, _ = choose_calibration(table(OURS), META)
    assert found.hu_correction is None
    assert found.contrast_correction is None
    both = replace(found, hu_correction=Linear(1.1, 5.0, "air, fat"), contrast_correction=Linear(1.0, -8.0, "user"))
    assert both.bmd_mg_cm3(100.0) == pytest.approx(0.8 * 115 - 3 - 8)


def test_only_the_density_column_changes_in_the_catalogue():
    found, _ = choose_calibration(table(OURS), META)
    changed = [a.name for a, b in zip(CATALOGUE, with_calibration(CATALOGUE, found), strict=True) if a is not b]
    assert changed == ["bmd_mg_cm3"]


@pytest.mark.parametrize(("meta", "kvp"), [(META, 120.0), ({"KVP": "100.0"}, 100.0), ({}, None), ({"KVP": "?"}, None)])
def test_tube_voltage(meta, kvp):
    assert kvp_of(meta) == kvp


# --- internal calibration -----------------------------------------------------------------------------------------


def patient(scale=1.0, offset=0.0, noise=15.0, fat=True):
    """A cylinder of muscle with a layer of fat in air, whose HU scale is off."""
    x, y, _ = np.meshgrid(np.arange(-60, 60), np.arange(-60, 60), np.arange(24), indexing="ij")
    r = np.hypot(x, y) * 2.0
    hu = np.where(r > 105, -1000.0, np.where(r > 75, -102.0 if fat else 55.0, 55.0))
    hu = hu * scale + offset + np.random.default_rng(0).normal(0, noise, hu.shape)
    return Scan(hu.astype(np.float32), Grid(hu.shape, np.diag([2.0, 2.0, 2.0, 1.0])))


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (1.06, -8.0), (0.95, 12.0)])
def test_air_and_fat_bring_the_scale_back(scale, offset):
    scan = patient(scale, offset)
    line = internal_calibration([find_reference(scan, "air", -1000.0), find_reference(scan, "fat", -102.0)])
    assert line(150.0 * scale + offset) == pytest.approx(150.0, abs=2)
    assert line.source.startswith("internal calibration: air ")


def test_a_region_of_the_user():
    scan = patient(1.06, -8.0)
    muscle = np.zeros(scan.hu.shape, bool)
    muscle[50:70, 50:70] = True
    found = region_reference(scan, muscle, "muscle", 55.0)
    assert found.measured_hu == pytest.approx(55 * 1.06 - 8, abs=1)
    with pytest.raises(InputError, match="region of blood is empty"):
        region_reference(scan, np.zeros_like(muscle), "blood", 45.0)


def test_what_is_not_in_the_picture_is_not_invented():
    inside = patient()
    box = (slice(30, 90), slice(30, 90), slice(0, 24))
    cropped = Scan(inside.hu[box], inside.grid.crop(box))
    with pytest.raises(NotMeasurable, match="of air found in this scan"):
        find_reference(cropped, "air", -1000.0)
    with pytest.raises(NotMeasurable, match="of fat found in this scan"):
        find_reference(patient(fat=False), "fat", -102.0)


def test_padding_is_not_air():
    scan = patient(noise=0.0)
    with pytest.raises(NotMeasurable, match="padding"):
        find_reference(scan, "air", -1000.0)


def test_only_air_and_fat_are_found_by_value():
    with pytest.raises(InputError, match="draw a region"):
        find_reference(patient(), "blood", 45.0)


@pytest.mark.parametrize("references", [[], [Reference("air", -1000, -1000)], [Reference("air", -1000, -1000)] * 2])
def test_one_point_makes_no_line(references):
    with pytest.raises(InputError, match="two references"):
        internal_calibration(references)
