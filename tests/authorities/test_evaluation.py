"""Evaluation against published numbers and formulas, and on real masks."""

import itertools
import math

import numpy as np
import pytest

from verse_morph.anatomy import VERSE, Level
from verse_morph.evaluate import Mode, evaluate_scan, identify, mask_surface, surface_distances, wilson_interval
from verse_morph.io import read_centroids, read_labels
from verse_morph.space import Grid
from verse_morph.volume import LabelMap


@pytest.mark.parametrize(
    ("successes", "total", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval_of_newcombe(successes, total, low, high):
    """Newcombe RG. Stat Med 1998;17:857, table I, method 3 (score interval without continuity correction)."""
    assert wilson_interval(successes, total) == pytest.approx((low, high), abs=5e-5)


def published_identification(true, predicted, limit_mm=20.0):
    """The rule of the VerSe challenge's published evaluation, written down from its description on arrays of 28 rows.

    Rows predicted, columns true, labels present in both only; per row all but the smallest distance are struck out;
    what is left on the diagonal and not above the limit is a hit.
    """
    shared = np.flatnonzero(~np.isnan(true[:, 0]) & ~np.isnan(predicted[:, 0]))
    hits = np.zeros(len(true), dtype=bool)
    if len(shared):
        matrix = np.array([[math.dist(predicted[row], true[column]) for column in shared] for row in shared])
        for place, label in enumerate(shared):
            hits[label] = matrix[place].argmin() == place and matrix[place, place] <= limit_mm
    return hits


@pytest.mark.parametrize("seed", range(100))
def test_challenge_mode_is_the_published_rule(seed):
    rng = np.random.default_rng(seed)
    true, predicted = np.full((28, 3), np.nan), np.full((28, 3), np.nan)
    first, count = rng.integers(0, 15), rng.integers(3, 14)
    labels = np.arange(first, first + count)
    if rng.random() < 0.3 and 19 in labels:
        labels = np.append(labels, 27)
    true[labels] = np.column_stack([rng.normal(0, 5, (len(labels), 2)), -25.0 * np.arange(len(labels))])
    predicted[labels] = true[labels] + rng.normal(0, 8, (len(labels), 3)) + [0, 0, rng.choice([0, 12, 25])]
    predicted[rng.choice(labels, len(labels) // 4, replace=False)] = np.nan
    predicted[rng.integers(0, 28)] = rng.normal(0, 50, 3)
    as_points = [
        {
            VERSE.levels[row + 1]: points[row]
            for row in range(28)
            if row + 1 in VERSE.levels and points[row, 0] == points[row, 0]
        }
        for points in (predicted, true)
    ]
    # Values 26 and 27 are no vertebrae; the published code does not know that.
    predicted[25:27] = np.nan
    expected = published_identification(true, predicted)
    found = identify(*as_points, Mode.CHALLENGE)
    assert {level for level, one in found.items() if one.outcome == "hit"} == {
        VERSE.levels[row + 1] for row in np.flatnonzero(expected)
    }


def test_hausdorff_distance_of_the_definition():
    """max over a of min over b, both ways (Huttenlocher 1993), on the elements themselves."""
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 8, 9, 7)) < 0.3
    a, b = (mask_surface(mask, np.diag([0.7, 1.0, 1.9])) for mask in (first, second))
    matrix = np.linalg.norm(a.points_mm[:, None] - b.points_mm[None], axis=2)
    expected = max(matrix.min(axis=1).max(), matrix.min(axis=0).max())
    assert surface_distances(a, b).hausdorff_mm == pytest.approx(expected, rel=1e-12)


def test_a_real_mask_against_itself_moved_by_one_slice(real_data):
    """VerSe19 sub-verse014 has slices of 2 mm: every level is 2 mm away, and nothing else happens.

    The levels touch the border, so a margin is added first: a vertebra that leaves the image is another matter.
    """
    file = next(real_data.rglob("sub-verse014_seg-vert_msk.nii.gz"))
    read = read_labels(file)
    wide = np.pad(read.labels, 1)
    true = LabelMap(wide, Grid(wide.shape, read.grid.affine), read.scheme, read.name)
    thick = int(np.argmax(true.grid.spacing_mm))
    affine = np.array(true.grid.affine)
    affine[:3, 3] += affine[:3, thick]
    moved = LabelMap(true.labels, Grid(true.grid.shape, affine), true.scheme, true.name)
    found = evaluate_scan(moved, true).vertebrae
    strict = found[found["mode"] == "strict"]
    assert list(strict["level"]) == ["L1", "L2", "L3", "L4", "L5"]
    assert set(strict["outcome"]) == {"hit"}
    np.testing.assert_allclose(strict["hausdorff_mm"], 2.0, rtol=1e-5)
    np.testing.assert_allclose(strict["centroid_distance_mm"], 2.0, rtol=1e-5)
    assert strict["dice"].between(0.85, 0.97).all()


def test_real_centroids_shifted_by_one_level_hit_nothing(real_data):
    """VerSe20 sub-gl003: C1 to T5, each named after its upper neighbour."""
    mask = read_labels(next(real_data.rglob("sub-gl003_dir-ax_seg-vert_msk.nii.gz")))
    points = read_centroids(next(real_data.rglob("sub-gl003_dir-ax_seg-subreg_ctd.json")), mask.grid).points_mm
    levels = list(points)
    shifted = {upper: points[lower] for upper, lower in itertools.pairwise(levels)}
    for mode in Mode:
        exact = identify(points, points, mode)
        # The file's C1 lies on C2, so that these two are nearly the same point, but not quite.
        assert all(one.outcome == "hit" for level, one in exact.items() if level > Level.C2)
        wrong = identify(shifted, points, mode)
        assert not any(one.outcome == "hit" for level, one in wrong.items() if level > Level.C2)
