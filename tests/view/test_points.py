"""Points as a value: every change, the counts of vertebrae, what became of them, undo."""

import numpy as np
import pytest

from verse_morph.anatomy import Level
from verse_morph.errors import InputError
from verse_morph.view.points import (
    History,
    Numbering,
    add,
    difference,
    move,
    numbering_of,
    points_from,
    problems,
    relabel,
    remove,
    shift,
)


def state_of(*names):
    return points_from({Level(name): (0.0, 0.0, -30.0 * Level(name).rank) for name in names})


def names(state):
    return [str(level) for level in state.levels]


def test_each_change_gives_a_new_value_and_leaves_the_old_one():
    start = state_of("T12", "L1", "L2")
    moved = move(start, "L1", (1, 2, 3))
    assert moved["L1"].mm == (1.0, 2.0, 3.0)
    assert start["L1"].mm != moved["L1"].mm
    assert names(remove(start, "L1")) == ["T12", "L2"]
    assert names(add(start, "T11", (0, 0, 9))) == ["T11", "T12", "L1", "L2"]
    assert names(relabel(start, "L2", "L3")) == ["T12", "L1", "L3"]
    assert names(start) == ["T12", "L1", "L2"]


def test_a_name_that_is_taken_is_swapped():
    start = state_of("L1", "L2")
    swapped = relabel(start, "L1", "L2")
    assert swapped["L2"].mm == start["L1"].mm
    assert swapped["L1"].mm == start["L2"].mm


@pytest.mark.parametrize(
    ("before", "steps", "numbering", "after"),
    [
        ("T11 T12 L1 L2", 1, None, "T12 L1 L2 L3"),
        ("T12 L1 L2 L3", -1, None, "T11 T12 L1 L2"),
        ("T11 T12 L1 L2", 1, Numbering(13, 5), "T12 T13 L1 L2"),
        ("T11 T12 L1 L2", 0, Numbering(13, 5), "T11 T12 T13 L1"),
        ("T11 T12 T13 L1", 0, Numbering(12, 5), "T11 T12 L1 L2"),
        ("T11 T12 L1 L2", 0, Numbering(11, 5), "T11 L1 L2 L3"),
        ("T11 L1 L2", 0, Numbering(12, 5), "T11 T12 L1"),
        ("T12 L1 L5", 1, Numbering(12, 6), "L1 L2 L6"),
        ("T10 T12 L2", 1, None, "T11 L1 L3"),
        ("C6 C7 T1", 1, None, "C7 T1 T2"),
    ],
)
def test_all_names_are_shifted_by_one_with_the_counts_asked_for(before, steps, numbering, after):
    start = state_of(*before.split())
    shifted = shift(start, steps, numbering)
    assert " ".join(names(shifted)) == after
    assert [p.mm for p in shifted.points] == [p.mm for p in start.points]


def test_there_and_back_again():
    start = state_of("T8", "T9", "T12", "L4")
    assert shift(shift(start, 1), -1) == start


@pytest.mark.parametrize(("level", "steps"), [("C1", -1), ("L5", 1)])
def test_nothing_is_shifted_off_the_spine(level, steps):
    with pytest.raises(InputError, match="would lie"):
        shift(state_of(level), steps)


def test_what_the_levels_say_about_the_count():
    assert numbering_of([Level.T12, Level.T13]) == Numbering(13, 5)
    assert numbering_of([Level.T11, Level.L1, Level.L6]) == Numbering(11, 6)
    assert numbering_of([Level.L1]) == Numbering(12, 5)
    with pytest.raises(InputError, match="11 to 13"):
        Numbering(14, 5)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda s: add(s, "L1", (0, 0, 0)),
        lambda s: add(s, "S1", (0, 0, 0)),
        lambda s: add(s, "X9", (0, 0, 0)),
        lambda s: add(s, "L3", (0, 0)),
        lambda s: move(s, "L1", (0, np.nan, 0)),
        lambda s: move(s, "L4", (0, 0, 0)),
        lambda s: remove(s, "L4"),
        lambda s: relabel(s, "L1", "S1"),
    ],
)
def test_impossible_changes_are_refused(wrong):
    with pytest.raises(InputError):
        wrong(state_of("L1", "L2"))


def test_what_looks_wrong_is_said():
    assert problems(state_of("T12", "L1", "L2")) == ()
    assert "no point for L2" in problems(state_of("L1", "L3"))[0]
    assert "lies below" in problems(move(state_of("L1", "L2"), "L1", (0, 0, -900)))[0]
    crowded = move(state_of("L1", "L2"), "L1", (0, 0, -30.0 * Level.L2.rank + 2))
    assert "one vertebra?" in problems(crowded)[0]


def test_a_renamed_vertebra_needs_no_new_outline_a_moved_one_does():
    start = state_of("T12", "L1", "L2", "L3")
    after = add(remove(move(relabel(start, "L3", "L4"), "L1", (5, 0, 0)), "L2"), "L3", (9, 9, 9))
    what = difference(start, after)
    assert what.outline == (Level.L1, Level.L3)
    assert what.renamed == {Level.L3: Level.L4}
    assert what.gone == (Level.L1, Level.L2)
    assert difference(start, start).nothing
    assert difference(start, shift(start, 1)).outline == ()


def test_undo_and_redo():
    start = state_of("L1", "L2")
    history = History(start).done(remove(start, "L1")).done(remove(start, "L1"))
    assert len(history.past) == 1
    assert history.undone().now == start
    assert history.undone().undone().now == start
    assert history.undone().redone().now == history.now
    assert history.redone() is history
