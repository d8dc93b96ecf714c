"""Colours say what the table says; what is missing is grey and says so."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from verse_morph.errors import InputError
from verse_morph.view.colours import BOTH_SIGNS, GRADES, MISSING, REGIONS, choices, colouring, key_html, title_of

from .blocks import block_spine, block_table

LEVELS = ["L1", "L2", "L3", "L4", "L5"]


@pytest.fixture
def table():
    return block_table(block_spine())


def luminance(colour):
    return np.dot([int(colour[k : k + 2], 16) for k in (1, 3, 5)], [0.2126, 0.7152, 0.0722])


def test_neighbours_never_share_a_colour():
    whole = [f"C{k}" for k in range(1, 8)] + [f"T{k}" for k in range(1, 14)] + [f"L{k}" for k in range(1, 7)]
    colours = colouring("level", whole).colours
    assert all(colours[a] != colours[b] for a, b in pairwise(whole))


def test_regions():
    shown = colouring("region", ["C7", "T1", "L6"])
    assert shown.colours == {"C7": REGIONS["cervical"], "T1": REGIONS["thoracic"], "L6": REGIONS["lumbar"]}


def test_larger_numbers_are_lighter_and_missing_ones_grey(table):
    shown = colouring("height_anterior_mm", LEVELS, table)
    assert shown.scale == (20.0, 24.0)
    assert shown.missing == ("L3",)
    assert shown.colours["L3"] == MISSING
    brightness = [luminance(shown.colours[level]) for level in ("L1", "L2", "L4", "L5")]
    assert brightness == sorted(brightness)
    assert len(set(brightness)) == 4


def test_a_scale_with_both_signs_is_symmetrical_about_zero(table):
    table["tilt_deg"] = [-3.0, 0.0, np.nan, 6.0, 3.0]
    shown = colouring("tilt_deg", LEVELS, table)
    assert shown.scale == (-6.0, 6.0)
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    assert shown.colours["L2"] == to_hex(colormaps[BOTH_SIGNS](0.5))


def test_equal_numbers_have_one_colour(table):
    table["same_mm"] = 4.0
    assert len(set(colouring("same_mm", LEVELS, table).colours.values())) == 1


def test_grades_have_fixed_colours_and_not_assessed_is_not_grade_0(table):
    shown = colouring("genant_grade", LEVELS, table)
    assert shown.colours["L1"] == GRADES[0]
    assert shown.colours["L4"] == GRADES[3]
    assert shown.colours["L3"] == MISSING
    assert ("not measured", MISSING) in shown.entries


def test_flags(table):
    table["flags"] = ["", "thick_slices", np.nan, "body_cut;thick_slices", ""]
    colours = colouring("flags", LEVELS, table).colours
    assert len({colours[level] for level in ("L1", "L3", "L5")}) == 1
    assert len(set(colours.values())) == 3


def test_words_of_a_table(table):
    table["genant_type"] = ["wedge", "", "crush", "wedge", None]
    shown = colouring("genant_type", LEVELS, table)
    assert shown.colours["L1"] == shown.colours["L4"] != shown.colours["L3"]
    assert shown.missing == ("L2", "L5")


def test_a_level_without_a_row_is_grey(table):
    assert colouring("height_anterior_mm", [*LEVELS, "L6"], table).colours["L6"] == MISSING


def test_only_columns_with_values_are_offered(table):
    table["empty_mm"] = np.nan
    offered = choices(table)
    assert offered[:3] == ["level", "region", "flags"]
    assert "height_anterior_mm" in offered
    assert not {"empty_mm", "scan", "level_why", "height_anterior_mm_why", "label"} & set(offered)
    with pytest.raises(InputError, match="'empty_mm'"):
        colouring("empty_mm", LEVELS, table)
    assert choices(None) == ["level", "region"]


def test_the_key_has_ends_and_unit_and_is_spoken(table):
    text = key_html(colouring("height_anterior_mm", LEVELS, table))
    assert "height anterior (mm)" in text
    assert ">20<" in text
    assert ">24<" in text
    assert "aria-label='Colour key: height anterior (mm) from 20 to 24'" in text
    assert "not measured" in text


def test_names_of_columns_are_escaped():
    frame = pd.DataFrame({"level": ["L1"], "<b>_mm": [1.0]})
    assert "<b>_" not in key_html(colouring("<b>_mm", ["L1"], frame))
    assert "<script" not in key_html(colouring("<b>_mm", ["L1"], frame))


@pytest.mark.parametrize(
    ("column", "title"),
    [
        ("height_anterior_mm", "height anterior (mm)"),
        ("body_volume_cm3", "body volume (cm³)"),
        ("bmd_mg_cm3", "bmd (mg/cm³)"),
        ("trabecular_hu_mean", "trabecular hu mean (HU)"),
        ("my_own_deg", "my own (degrees)"),
        ("status", "status"),
    ],
)
def test_titles_carry_the_unit(column, title):
    assert title_of(column) == title
