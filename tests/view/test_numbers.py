"""What a reader reads of a vertebra: rounded, explained, and what is missing folded away by its reason."""

import numpy as np
import pytest

from verse_morph.spine import Flag
from verse_morph.tables import Status
from verse_morph.view.numbers import SAID, doubt_html, first_with_numbers, flags_of, numbers_html, spoken_number

from .blocks import block_spine, block_table


@pytest.fixture
def table():
    return block_table(block_spine())


@pytest.mark.parametrize(
    ("value", "words"),
    [
        *((193.672, "194"), (-193.672, "-194"), (99.96, "100"), (24.2719, "24.3"), (9.996, "10.0"), (6.0296, "6.03")),
        *((-0.0937, "-0.09"), (0.00352, "0.004"), (7.0, "7"), (0.0, "0"), (1234.5, "1234")),
    ],
)
def test_numbers_are_rounded_as_people_read_them(value, words):
    assert spoken_number(value) == words


def test_flags_and_status_are_explained(table):
    text = numbers_html("L2", table)
    assert f"title='{SAID['processes_cut']}'>processes cut</span>" in text
    assert "title='Every number" in text


def test_every_word_of_a_vertebra_has_an_explanation():
    scan_wide = {Flag.LAST_LEVEL_SUBSTITUTED, Flag.LEVELS_MISSING, Flag.BELOW_10_DEG, Flag.BODIES_TOUCH}
    assert {str(flag) for flag in set(Flag) - scan_wide} | {str(word) for word in Status} == set(SAID)


def test_many_missing_columns_are_folded_under_their_reason(table):
    for k in range(5):
        table[f"more_{k}_mm"] = np.nan
        table[f"more_{k}_mm_why"] = "L1: cut"
    text = numbers_html("L1", table)
    assert "<summary style='cursor:pointer'><i>L1: cut</i>: 5 columns</summary>" in text
    assert "Not measured: 5" in text
    assert "<details>" not in numbers_html("L3", table.drop(columns=[f"more_{k}_mm" for k in range(5)]))


def test_the_first_level_is_one_that_says_something(table):
    levels = list(table["level"])
    table["status"] = ["not_measurable", "partial", "measured", "measured", "partial"]
    assert first_with_numbers(levels, table) == "L3"
    table["status"] = ["not_measurable", "partial", "partial", "not_measurable", "partial"]
    assert first_with_numbers(levels, table) == "L2"
    table["status"] = "not_measurable"
    assert first_with_numbers(levels, table) == "L1"
    assert first_with_numbers(levels, None) == "L1"


def test_a_numbering_in_doubt_is_said_above_all_names(table):
    assert doubt_html(flags_of(table)) == ""
    assert doubt_html(flags_of(None)) == ""
    table.loc[1, "flags"] = "thick_slices;numbering_in_doubt"
    assert "may be off by a level" in doubt_html(flags_of(table))
