"""Every number of one scan against a second, plain computation that shares no code with the package."""

import math

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from skimage.measure import marching_cubes

from verse_morph.anatomy import VERSE
from verse_morph.evaluate import Mode, Rules, evaluate_scan
from verse_morph.evaluate.summary import scan_summary
from verse_morph.space import Grid
from verse_morph.volume import LabelMap

LABELS = (1, 2, 5, 7, 8, 12, 18, 19, 28, 20, 21, 22, 24, 25)
LIMIT, TOLERANCE = 20.0, 1.0


def random_case(seed):
    """Blocks of random size and label on a random grid; the prediction moves, renames, drops and adds some."""
    rng = np.random.default_rng(seed)
    true = np.zeros((22, 20, 60), dtype=np.uint8)
    predicted = np.zeros_like(true)
    spacing = rng.choice([0.5, 0.75, 1.0, 1.25, 2.0, 3.0], 3)
    first = rng.integers(0, len(LABELS) - 5)
    run = list(LABELS[first : first + rng.integers(1, 6)])
    named = list(run)
    if rng.random() < 0.4:
        rng.shuffle(named)
    top = 1
    for label, name in zip(run, named, strict=True):
        size = rng.integers(3, 10, 3)
        corner = np.array([*rng.integers(0, 8, 2), top])
        top += int(size[2]) + 1
        true[tuple(slice(a, a + n) for a, n in zip(corner, size, strict=True))] = label
        if rng.random() < 0.2:
            continue
        moved = np.clip(corner + rng.integers(-1, 2, 3), 0, None)
        blob = predicted[tuple(slice(a, a + n) for a, n in zip(moved, size + rng.integers(0, 2, 3), strict=True))]
        blob[rng.random(blob.shape) < 0.97] = name
    if rng.random() < 0.4:
        predicted[18:21, 2:9, 50:57] = rng.choice(LABELS)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = rng.integers(-100, 100, 3)
    return predicted, true, spacing, affine


def plain_centres(array, affine):
    out = {}
    for label in sorted(set(array[array > 0].tolist())):
        where = np.argwhere(array == label)
        middle = [int(where[:, axis].sum()) / len(where) for axis in range(3)]
        out[label] = [affine[axis, axis] * middle[axis] + affine[axis, 3] for axis in range(3)]
    return out


def plain_distance(a, b):
    return math.sqrt((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 + (a[2] - b[2]) ** 2)


def plain_outcomes(predicted, true, mode):
    """Label to (outcome, distance): the published rule and the strict one, written as loops."""
    out = {}
    for label in {*predicted, *true}:
        if label not in predicted:
            out[label] = ("missed", None)
        elif label not in true:
            out[label] = ("false_positive", None)
        else:
            best, nearest = math.inf, None
            for other in sorted(true):
                if mode == "challenge" and other not in predicted:
                    continue
                distance = plain_distance(predicted[label], true[other])
                if distance < best:
                    best, nearest = distance, other
            own = plain_distance(predicted[label], true[label])
            out[label] = ("hit" if nearest == label and own <= LIMIT else "misplaced", own)
    return out


_PATCHES = {}


def plain_patch(cell, spacing):
    """Area and centroid (mm from the cell's first voxel) of the marching-cubes patch of eight voxels."""
    vertices, faces, _, _ = marching_cubes(cell.astype(float), 0.5, spacing=tuple(spacing))
    area, moment = 0.0, np.zeros(3)
    for a, b, c in vertices[faces].astype(float):
        part = np.linalg.norm(np.cross(b - a, c - a)) / 2
        area += part
        moment += part * (a + b + c) / 3
    return area, moment / area


def plain_surface(mask, spacing):
    """One element per cell of unlike voxels."""
    padded = np.pad(mask, 1)
    points, areas = [], []
    for i, j, k in np.ndindex(*(n + 1 for n in mask.shape)):
        cell = padded[i : i + 2, j : j + 2, k : k + 2]
        if cell.any() and not cell.all():
            key = (cell.tobytes(), tuple(spacing))
            if key not in _PATCHES:
                _PATCHES[key] = plain_patch(cell, spacing)
            area, centroid = _PATCHES[key]
            points.append(np.array([i - 1, j - 1, k - 1]) * spacing + centroid)
            areas.append(area)
    return np.array(points), np.array(areas)


def plain_surface_distances(first, second, spacing):
    (p, a), (q, b) = plain_surface(first, spacing), plain_surface(second, spacing)
    matrix = cdist(p, q)
    forth, back = matrix.min(axis=1), matrix.min(axis=0)

    def percentile(values, weights):
        reached = 0.0
        for value, weight in sorted(zip(values, weights, strict=True)):
            reached += weight
            if reached >= 0.95 * weights.sum() * (1 - 1e-12):
                return value
        raise AssertionError

    total = a.sum() + b.sum()
    near = a[forth <= TOLERANCE + 1e-4].sum() + b[back <= TOLERANCE + 1e-4].sum()
    return {
        "hausdorff_mm": max(forth.max(), back.max()),
        "hausdorff95_mm": max(percentile(forth, a), percentile(back, b)),
        "assd_mm": ((forth * a).sum() + (back * b).sum()) / total,
        "nsd": near / total,
    }


@pytest.mark.parametrize("seed", range(50))
def test_both_modes_agree_with_the_plain_computation(seed):
    predicted, true, spacing, affine = random_case(seed)
    grid = Grid(true.shape, affine)
    found = evaluate_scan(LabelMap(predicted, grid, VERSE, "s"), LabelMap(true, grid, VERSE, "s"), Rules())
    summary = scan_summary(found.vertebrae, {"s": found.dice_binary}).set_index("mode")
    p, t = predicted > 0, true > 0
    assert found.dice_binary == 2.0 * (p & t).sum() / (p.sum() + t.sum())
    points = plain_centres(predicted, affine), plain_centres(true, affine)
    for mode in ("challenge", "strict"):
        rows = found.vertebrae[found.vertebrae["mode"] == mode].set_index("level")
        outcomes = plain_outcomes(*points, mode)
        assert set(rows.index) == {str(VERSE.levels[label]) for label in outcomes}
        dices, distances = [], []
        for label, (outcome, distance) in outcomes.items():
            row = rows.loc[str(VERSE.levels[label])]
            assert row["outcome"] == outcome
            a, b = predicted == label, true == label
            dice = 2.0 * (a & b).sum() / (a.sum() + b.sum())
            if outcome in ("hit", "misplaced"):
                assert row["centroid_distance_mm"] == distance
                assert row["dice"] == dice
                distances.append(distance)
                dices.append(dice)
                for name, value in plain_surface_distances(a, b, spacing).items():
                    assert row[name] == pytest.approx(value, rel=1e-12, abs=1e-12), (label, name)
            else:
                assert np.isnan(row["centroid_distance_mm"])
                assert row["centroid_distance_mm_why"]
                assert np.isnan(row["hausdorff_mm"])
                if mode == "strict":
                    assert row["dice"] == row["nsd"] == 0
                else:
                    assert np.isnan(row["dice"])
                    assert row["dice_why"]
                if mode == "strict" and outcome == "missed":
                    dices.append(0.0)
        hits = sum(outcome == "hit" for outcome, _ in outcomes.values())
        line = summary.loc[mode]
        assert line["id_rate_pct"] == 100 * hits / len(points[1])
        assert line["n_false_positive"] == len(set(points[0]) - set(points[1]))
        for name, values in (("dice_mean", dices), ("d_mean_mm", distances)):
            if values:
                assert line[name] == math.fsum(values) / len(values)
            else:
                assert np.isnan(line[name])
                assert line[f"{name}_why"]


def test_the_random_cases_hold_what_they_are_for():
    """Hits, misses, misplaced and invented levels all occur, and the two modes differ somewhere."""
    seen, differ = set(), 0
    for seed in range(50):
        predicted, true, _, affine = random_case(seed)
        points = plain_centres(predicted, affine), plain_centres(true, affine)
        both = [plain_outcomes(*points, str(mode)) for mode in Mode]
        seen |= {outcome for outcome, _ in both[0].values()}
        differ += both[0] != both[1]
    assert seen == {"hit", "misplaced", "missed", "false_positive"}
    assert differ > 0
