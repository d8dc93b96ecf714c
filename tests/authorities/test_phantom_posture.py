"""Drawn spines against the posture of real ones."""

import numpy as np
import pytest

from verse_morph.phantom.draw import draw_parameters
from verse_morph.phantom.pose import rim_tilts
from verse_morph.phantom.sacrum import sacral_shape

N = 200


@pytest.fixture(scope="module")
def tilts():
    """Sagittal tilt of the upper endplates of 200 usual spines, degrees."""
    rows = []
    for seed in range(N):
        drawn = draw_parameters(np.random.default_rng(seed))
        tilt = {v.level: rim_tilts(v)["superior_sagittal"] for v in drawn.vertebrae}
        rows.append(tilt | {"S1": rim_tilts(sacral_shape(drawn))["superior_sagittal"]})
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


# Between upper endplates, mean and SD of 324 adults: Scientific Reports 2022, doi 10.1038/s41598-022-21840-x, table 2.
SEGMENTS = [
    ("L1", "L2", 1.2, 3.6),
    ("L2", "L3", 5.9, 4.1),
    ("L3", "L4", 9.1, 4.2),
    ("L4", "L5", 12.7, 5.1),
    ("L5", "S1", 21.6, 7.7),
    ("L1", "S1", 50.5, 11.4),
]


@pytest.mark.parametrize(("upper", "lower", "mean", "sd"), SEGMENTS)
def test_lordosis_of_each_segment(tilts, upper, lower, mean, sd):
    """Within half a standard deviation of the standing adults' mean; the spread is hardly wider than theirs."""
    drawn = tilts[upper] - tilts[lower]
    assert abs(drawn.mean() - mean) < 0.5 * sd
    assert 0.4 * sd < drawn.std() < 1.1 * sd


def test_recumbent_lordosis_below_l4(tilts):
    """L4 to S1 of 627 lying volunteers, 29.8 +- 8.0 degrees: Yukawa et al., Asian Spine J 2019;13:663."""
    assert abs((tilts["L4"] - tilts["S1"]).mean() - 29.8) < 8.0


def test_sacral_slope(tilts):
    """Of 274 lying adults, 44.5 +- 9.9 degrees: Okpala, Ann Med Health Sci Res 2014;4:757. Ours are flatter, by about
    one standard deviation: the lean of the lumbar spine comes from other scans, bent hips among them.
    """
    slope = -tilts["S1"]
    assert 44.5 - 1.2 * 9.9 < slope.mean() < 44.5
    assert 0.6 * 9.9 < slope.std() < 1.2 * 9.9
