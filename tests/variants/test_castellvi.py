"""From contacts to a grade."""

import pytest

from verse_morph.anatomy import Level
from verse_morph.variants.castellvi import suggest
from verse_morph.variants.contact import Contact
from verse_morph.variants.last_lumbar import LastLumbar
from verse_morph.variants.rules import Rules
from verse_morph.variants.transverse import Process

SEEN = {
    "free": Contact(0.0, None, 0.0),
    "near": Contact(0.0, None, 0.0),
    "articulation": Contact(300.0, 1.5, 5.0),
    "fusion": Contact(40.0, 2.5, 450.0),
}
LAST = LastLumbar(Level.L5, True, 0)


def sides(left, right, ct=True):
    return tuple(
        Process(side, 25.0, 22.0, 0.0, contact, SEEN[contact] if ct else None, None if ct else 50.0)
        for side, contact in (("left", left), ("right", right))
    )


@pytest.mark.parametrize(
    ("left", "right", "grade", "side"),
    [
        ("free", "near", "0/1", ""),
        ("articulation", "free", "2a", "left"),
        ("near", "articulation", "2a", "right"),
        ("articulation", "articulation", "2b", ""),
        ("free", "fusion", "3a", "right"),
        ("fusion", "fusion", "3b", ""),
        ("articulation", "fusion", "4", "right"),
        ("fusion", "articulation", "4", "left"),
    ],
)
def test_grade_and_side(left, right, grade, side):
    found = suggest(sides(left, right), LAST, 1.0, Rules())
    assert (found.grade, found.side, found.confidence) == (grade, side, "high")
    assert "process 25 mm high (19 mm or more)" in found.evidence


def test_one_side_out_of_view_is_no_grade():
    pair = (sides("fusion", "free")[0], Process("right", why_contact="the image ends"))
    found = suggest(pair, LAST, 1.0, Rules())
    assert found.grade is None
    assert found.why == "the image ends"


def test_without_ct_and_on_thick_slices_the_confidence_is_low():
    assert suggest(sides("fusion", "free", ct=False), LAST, 1.0, Rules()).confidence == "low"
    assert suggest(sides("fusion", "free"), LAST, 3.0, Rules()).confidence == "low"


def test_an_unlabelled_vertebra_that_is_not_fused_is_no_grade():
    found = suggest(sides("free", "articulation"), LastLumbar(Level.L4, True, 1), 1.0, Rules())
    assert found.grade is None
    assert "mask is incomplete" in found.why
