"""Counts only where a region is in view, and the reason where it is not."""

import numpy as np
import pytest

from verse_morph.anatomy import VERSE, Level
from verse_morph.space import Grid
from verse_morph.spine import Flag, Spine, Vertebra
from verse_morph.variants.enumeration import enumerate_vertebrae
from verse_morph.variants.last_lumbar import LastLumbar

GRID, MASK = Grid((2, 2, 2), np.eye(4)), np.ones((2, 2, 2), dtype=bool)


def spine(names, cut=(), step=30.0, wide=None):
    made, height = [], 0.0
    for name in names:
        flags = frozenset({Flag.BODY_CUT}) if name in cut else frozenset()
        centre = None if name in cut else np.array([0.0, 0.0, height])
        level = Level(name)
        made.append(Vertebra(level, VERSE.value_of(level), GRID, MASK, 8.0, centre_mm=centre, flags=flags))
        height -= 2 * step if name == wide else step
    return Spine(tuple(made))


def names(first, thoracic, lumbar):
    whole = [f"C{i}" for i in range(1, 8)] + [f"T{i}" for i in range(1, thoracic + 1)]
    whole += [f"L{i}" for i in range(1, lumbar + 1)]
    return whole[whole.index(first) :]


SACRUM = LastLumbar(Level.L5, True, 0)


@pytest.mark.parametrize("thoracic", [11, 12, 13])
@pytest.mark.parametrize("lumbar", [4, 5, 6])
def test_every_count(thoracic, lumbar):
    found = enumerate_vertebrae(spine(names("C7", thoracic, lumbar)), SACRUM)
    assert (found.thoracic.value, found.lumbar_total.value) == (thoracic, lumbar)
    assert not found.numbering_assumed


def test_a_fused_vertebra_counts_in_the_total_only():
    found = enumerate_vertebrae(spine(names("T1", 12, 4)), LastLumbar(Level.L4, True, 1))
    assert (found.lumbar_labelled.value, found.transitional_unlabelled.value, found.lumbar_total.value) == (4, 1, 5)


def test_without_t1_no_thoracic_count_but_a_lumbar_one():
    found = enumerate_vertebrae(spine(names("T2", 12, 5)), SACRUM)
    assert found.thoracic.value is None
    assert "twelve" in found.thoracic.why
    assert found.numbering_assumed
    assert found.lumbar_total.value == 5


@pytest.mark.parametrize(
    ("made", "region", "reason"),
    [
        (spine(names("T1", 12, 5), cut=["T1"]), "thoracic", "cuts T1"),
        (spine([*names("T1", 12, 0), "L1"], cut=["L1"]), "thoracic", "cuts L1"),
        (spine(names("T1", 12, 0)), "thoracic", "L1 is not in the mask"),
        (spine([n for n in names("T1", 12, 5) if n != "T7"]), "thoracic", "T7"),
        (spine(names("T1", 12, 5), wide="T12"), "thoracic", "60 mm between T12 and L1"),
        (spine(names("L1", 12, 5), cut=["L1"]), "lumbar_labelled", "cuts L1"),
        (spine(names("L2", 12, 5)), "lumbar_labelled", "L1 is not in the mask"),
        (spine([n for n in names("L1", 12, 5) if n != "L3"]), "lumbar_labelled", "L3"),
    ],
)
def test_not_assessable_says_why(made, region, reason):
    found = getattr(enumerate_vertebrae(made, SACRUM), region)
    assert found.value is None
    assert reason in found.why


def test_c7_above_a_cut_t1_keeps_the_count():
    assert enumerate_vertebrae(spine(names("C7", 12, 5), cut=["C7"]), SACRUM).thoracic.value == 12


def test_labels_alone_count_what_is_labelled_but_not_the_total():
    found = enumerate_vertebrae(spine(names("L1", 12, 5)), LastLumbar(Level.L5, True, None, "needs a CT"))
    assert found.lumbar_labelled.value == 5
    assert found.lumbar_total.value is None
    assert found.lumbar_total.why == "needs a CT"
