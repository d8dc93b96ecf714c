"""Tissue parameters and bone painted by its depth."""

import numpy as np
import pytest

from verse_morph.errors import InputError
from verse_morph.phantom.guide import find_guide
from verse_morph.phantom.tissues import (
    BonePainter,
    TissueParameters,
    draw_tissue,
    periodic_pattern,
    trabecular_by_label,
)


def test_drawn_tissue_follows_age():
    rng = np.random.default_rng(0)
    young, old = ([draw_tissue(rng, age=a).trabecular_hu for _ in range(200)] for a in (25, 85))
    assert np.mean(young) == pytest.approx(226, abs=10)
    assert np.mean(old) == pytest.approx(226 - 2.5 * 60, abs=12)
    assert np.std(young) == pytest.approx(40, abs=8)


def test_findings_stay_on_vertebrae_that_exist():
    rng = np.random.default_rng(1)
    drawn = [draw_tissue(rng, labels=(19, 20, 21, 22)) for _ in range(400)]
    named = {label for t in drawn for label in (*t.cement, *t.screws, *(f.label for f in t.sclerosis))}
    assert named == {19, 20, 21, 22}
    assert 3 <= sum(bool(t.screws) for t in drawn) <= 40
    assert not any(draw_tissue(rng).screws for _ in range(50))


def test_the_neck_is_denser_than_the_lumbar_spine():
    table = trabecular_by_label(TissueParameters(vertebra_sd_hu=0), np.random.default_rng(0))
    assert table[20] == pytest.approx(150)
    assert table[4] > 1.5 * table[20]
    assert table[1:8].min() > table[8] > table[19] > table[22]
    assert table[19] > table[28] > table[20]  # T13 lies between T12 and L1


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"phase": "late"}, "one of none, arterial, venous"),
        ({"trabecular_hu": 900.0}, "allowed are -100 to 600"),
        ({"build": 3.0}, "allowed are 0.5 to 2"),
    ],
)
def test_impossible_tissue_is_refused_with_the_allowed_range(kwargs, message):
    with pytest.raises(InputError, match=message):
        TissueParameters(**kwargs)


def test_patterns_are_periodic_and_standardised():
    tile = periodic_pattern(np.random.default_rng(0), np.array([1.0, 1.0, 1.0]), (2.0, 2.0, 4.0), 32)
    assert tile.mean() == pytest.approx(0, abs=1e-4)
    assert tile.std() == pytest.approx(1, abs=1e-3)
    steps = [np.abs(tile - np.roll(tile, 1, axis)).mean(axis=tuple({0, 1, 2} - {axis})) for axis in range(3)]
    for step in steps:  # the step over the border is like any other
        assert step[0] == pytest.approx(step[1:].mean(), rel=0.6)
    assert steps[2].mean() < 0.7 * steps[0].mean()  # longer along the body's axis


@pytest.fixture(scope="module")
def ball():
    """A ball of bone, radius 14 mm, labelled L1, with its exact depth; and what the painter makes of it."""
    n, spacing = 48, np.ones(3)
    axes = np.ix_(*[np.arange(n) - (n - 1) / 2] * 3)
    depth = (14 - np.sqrt(sum(a**2 for a in axes))).astype(np.float32)
    labels = np.where(depth > 0, 20, 0).astype(np.uint8)
    tissue = TissueParameters(vertebra_sd_hu=0, texture=0, wall_mm=0.6, endplate_mm=0.6, arch_mm=0.6)
    rng = np.random.default_rng(0)
    flat = np.zeros((8, 8, 8), dtype=np.float32)
    guide = find_guide(labels, depth, spacing)
    painter = BonePainter(tissue, guide, spacing, trabecular_by_label(tissue, rng), flat, flat)
    hu = np.full((n, n, n), 50, dtype=np.float32)
    ring = np.clip(np.arange(-1, n + 1), 0, n - 1)
    painter.paint(hu, labels, depth[:, :, ring], 0)
    return hu, depth


def test_deep_bone_is_trabecular_and_far_tissue_is_untouched(ball):
    hu, depth = ball
    assert hu[depth > 11].mean() == pytest.approx(150, abs=3)
    assert (hu[depth < -0.5] == 50).all()


def test_the_cortex_keeps_its_mass(ball):
    """Integral of HU over the shell: 0.6 mm of 1250 HU and what fades below it, whatever the voxels."""
    hu, depth = ball
    near = np.abs(depth) < 9
    expected = 0.0
    for r in np.arange(5, 23, 0.02):
        d = 14 - r
        value = 50 if d < 0 else 1250 if d < 0.6 else 150 + 280 * np.exp(-d / 2.0)
        expected += (value - 50) * 4 * np.pi * r**2 * 0.02
    assert (hu[near] - 50).sum() == pytest.approx(expected, rel=0.03)
