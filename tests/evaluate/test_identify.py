"""Hits, misses and the quirk of the published rule."""

import numpy as np
import pytest

from verse_morph.anatomy import Level
from verse_morph.evaluate import Mode, Rules, identify

L1, L2, L3 = Level.L1, Level.L2, Level.L3
COLUMN = {L1: (0, 0, 60), L2: (0, 0, 30), L3: (0, 0, 0)}


def outcomes(predicted, mode, true=COLUMN, **rules):
    return {str(lv): found.outcome for lv, found in identify(predicted, true, mode, Rules(**rules)).items()}


def rate(predicted, mode):
    found = identify(predicted, COLUMN, mode)
    return sum(f.outcome == "hit" for f in found.values()) / len(COLUMN)


@pytest.mark.parametrize("mode", Mode)
def test_exact_points_are_hits(mode):
    assert set(outcomes(COLUMN, mode).values()) == {"hit"}


def test_predicting_fewer_labels_scores_higher_by_the_challenge_rule_and_not_by_the_strict_one():
    """All points 18 mm too high: L2's point is nearer to L1, so both rules refuse it, as long as L1 is predicted."""
    high = {level: (0, 0, z + 18) for level, (_, _, z) in COLUMN.items()}
    fewer = {L2: high[L2]}
    assert outcomes(high, Mode.CHALLENGE) == {"L1": "hit", "L2": "misplaced", "L3": "misplaced"}
    assert outcomes(fewer, Mode.CHALLENGE) == {"L1": "missed", "L2": "hit", "L3": "missed"}
    assert outcomes(fewer, Mode.STRICT) == {"L1": "missed", "L2": "misplaced", "L3": "missed"}
    half = {L1: high[L1], L3: high[L3]}
    assert rate(half, Mode.CHALLENGE) == pytest.approx(2 / 3)
    assert rate(half, Mode.CHALLENGE) > rate(high, Mode.CHALLENGE)
    assert rate(half, Mode.STRICT) == rate(high, Mode.STRICT) == pytest.approx(1 / 3)


@pytest.mark.parametrize("seed", range(20))
def test_strict_leaving_out_a_level_never_helps(seed):
    rng = np.random.default_rng(seed)
    predicted = {level: np.add(point, rng.normal(0, 15, 3)) for level, point in COLUMN.items()}
    for level in COLUMN:
        fewer = {lv: p for lv, p in predicted.items() if lv is not level}
        assert rate(fewer, Mode.STRICT) <= rate(predicted, Mode.STRICT)
        assert rate(predicted, Mode.STRICT) <= rate(predicted, Mode.CHALLENGE)


@pytest.mark.parametrize("mode", Mode)
def test_the_limit_belongs_to_the_hit(mode):
    true = {L1: (0, 0, 0)}
    assert outcomes({L1: (0, 0, 20)}, mode, true) == {"L1": "hit"}
    assert outcomes({L1: (0, 0, np.nextafter(20, 21))}, mode, true) == {"L1": "misplaced"}
    assert outcomes({L1: (0, 0, 20)}, mode, true, limit_mm=10) == {"L1": "misplaced"}


@pytest.mark.parametrize("mode", Mode)
def test_swapped_labels_are_no_hits_and_name_the_nearest(mode):
    swapped = {L1: COLUMN[L2], L2: COLUMN[L1], L3: COLUMN[L3]}
    found = identify(swapped, COLUMN, mode)
    assert [f.outcome for f in found.values()] == ["misplaced", "misplaced", "hit"]
    assert found[L1].nearest is L2
    assert found[L1].distance_mm == 30


@pytest.mark.parametrize("mode", Mode)
def test_a_shift_by_one_hits_nothing(mode):
    shifted = {L2: COLUMN[L1], L3: COLUMN[L2]}
    assert outcomes(shifted, mode) == {"L1": "missed", "L2": "misplaced", "L3": "misplaced"}


@pytest.mark.parametrize("mode", Mode)
def test_empty_sides(mode):
    assert outcomes({}, mode) == dict.fromkeys(("L1", "L2", "L3"), "missed")
    assert outcomes(COLUMN, mode, true={}) == dict.fromkeys(("L1", "L2", "L3"), "false_positive")
    assert identify({}, {}, mode) == {}


def test_no_level_in_common():
    found = identify({Level.T12: (0, 0, 61)}, COLUMN, Mode.STRICT)
    assert found[Level.T12].outcome == "false_positive"
    assert found[Level.T12].nearest is L1
    assert identify({Level.T12: (0, 0, 61)}, COLUMN, Mode.CHALLENGE)[Level.T12].nearest is None


def test_levels_come_head_to_foot_with_t13_before_l1():
    points = {lv: (0, 0, -lv.rank) for lv in (L1, Level.T13, Level.T12)}
    assert list(identify(points, points, Mode.STRICT)) == [Level.T12, Level.T13, L1]


def test_equally_near_goes_to_the_lower_verse_label():
    """T13 has the label 28, so L1 (20) wins a tie against it, as the published code's argmin does."""
    true = {Level.T13: (0, 0, 10), L1: (0, 0, -10)}
    for mode in Mode:
        found = identify({Level.T13: (0, 0, 0), L1: (0, 0, 0)}, true, mode)
        assert [f.outcome for f in found.values()] == ["misplaced", "hit"]


@pytest.mark.parametrize("point", [(1, 2), (1, 2, np.nan), (1, 2, np.inf)])
def test_points_must_be_numbers(point):
    with pytest.raises(ValueError, match="three finite numbers"):
        identify({L1: point}, COLUMN, Mode.STRICT)


def test_s1_is_refused():
    with pytest.raises(ValueError, match="S1"):
        identify({Level.S1: (0, 0, 0)}, COLUMN, Mode.STRICT)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_rules_refuse_nonsense(value):
    with pytest.raises(ValueError, match="limit_mm"):
        Rules(limit_mm=value)
    with pytest.raises(ValueError, match="tolerance_mm"):
        Rules(tolerance_mm=value)


def test_each_rule_is_stated_with_its_limit():
    for mode in Mode:
        assert Rules(limit_mm=17).sentence(mode).startswith(f"{mode}: ")
        assert "17 mm" in Rules(limit_mm=17).sentence(mode)
