"""Painted training patches: labels that fit the image, every border case, and the promised speed."""

from dataclasses import replace

import numpy as np
import pytest

from verse_morph.anatomy import Level
from verse_morph.phantom import solids
from verse_morph.phantom.paint import DeformationRange, PatchOptions, paint_patch
from verse_morph.phantom.warp import signed_depth
from verse_morph.space import canonical

RIGID = DeformationRange(rotation_deg=0, shear=0, bend_mm=0, scale=(1, 1), stretch=0, mirror=0)
STILL = PatchOptions(
    shape=(64, 64, 64), deformation=RIGID, noise_sd_hu=(1, 1.001), thickness_mm=1, extra_bone=0, foreign=0, cut=0
)


@pytest.fixture(scope="module")
def lumbar():
    """Labels of two solid vertebrae 36 mm apart, axes RAS, 1 mm."""
    bodies = {level: solids.SolidVertebra() for level in (Level.L2, Level.L3)}
    placed = {
        level: (vertebra, solids.Placement(offset_mm=np.array([0, 0, -36.0 * i])))
        for i, (level, vertebra) in enumerate(bodies.items())
    }
    labels = solids.spine_labelmap(placed, solids.Sampling(1.0))
    return np.ascontiguousarray(canonical(labels.labels, labels.grid)[0]).astype(np.uint8)


def test_same_seed_same_patch(lumbar):
    first, again, other = (paint_patch(lumbar, 1.0, np.random.default_rng(s)) for s in (3, 3, 4))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert (first[0] != other[0]).any()


@pytest.mark.parametrize("seed", range(12))
def test_patches_are_finite_ct_with_known_labels(lumbar, seed):
    ct, labels = paint_patch(lumbar, 1.0, np.random.default_rng(seed))
    assert ct.shape == labels.shape == (96, 96, 96)
    assert ct.dtype == np.float32
    assert labels.dtype == np.uint8
    assert np.isfinite(ct).all()
    assert ct.min() >= -1024
    assert ct.max() <= 3071
    assert set(np.unique(labels)) <= {0, 21, 22}
    assert (labels > 0).mean() > 0.02


def test_spurs_are_labelled_bone_near_the_surface_and_take_nothing_away(lumbar):
    spurred = replace(STILL, overgrowth=1.0)
    grown = []
    for seed in range(6):
        before = paint_patch(lumbar, 1.0, np.random.default_rng(seed), STILL)[1]
        ct, after = paint_patch(lumbar, 1.0, np.random.default_rng(seed), spurred)
        new = (after > 0) & (before == 0)
        # No vertebra gives bone to the other, none loses any.
        np.testing.assert_array_equal(after[before > 0], before[before > 0])
        assert signed_depth(before, (1.0,) * 3)[new].min() > -13
        # Spurs look like bone: denser than the soft tissue left around them.
        assert ct[new].mean() > ct[after == 0].mean() + 100
        grown.append(new.sum() / (before > 0).sum())
    assert 0.003 < np.mean(grown) < 0.2


def test_without_deformation_the_labels_stay(lumbar):
    centre = tuple((n - 1) / 2 + (0.5 if n % 2 else 0) for n in lumbar.shape)
    _, labels = paint_patch(lumbar, 1.0, np.random.default_rng(0), STILL, centre)
    start = [round(c - 31.5) for c in centre]
    seen = [slice(max(0, -a), min(64, n - a)) for a, n in zip(start, lumbar.shape, strict=True)]
    source = [slice(a + s.start, a + s.stop) for a, s in zip(start, seen, strict=True)]
    ours, theirs = labels[tuple(seen)], lumbar[tuple(source)]
    dice = 2 * ((ours == theirs) & (theirs > 0)).sum() / ((ours > 0).sum() + (theirs > 0).sum())
    assert dice > 0.97


def test_shell_is_denser_than_what_surrounds_it(lumbar):
    """Over many draws the cortex stands out against the tissue outside, or training would teach the contrary."""
    higher = 0
    for seed in range(20):
        ct, labels = paint_patch(lumbar, 1.0, np.random.default_rng(seed), replace(STILL, shape=(96, 96, 96)))
        depth = signed_depth(labels, (1.0, 1.0, 1.0))
        higher += np.median(ct[(depth > 0) & (depth < 1.2)]) > np.median(ct[(depth < -2.5) & (depth > -5)]) + 50
    assert higher >= 18


def test_what_lies_beyond_the_map_is_out_of_view(lumbar):
    corner = tuple(float(n - 1) for n in lumbar.shape)
    ct, labels = paint_patch(lumbar, 1.0, np.random.default_rng(0), STILL, corner)
    assert (ct[40:, 40:, 40:] == -1024).all()
    assert not labels[40:, 40:, 40:].any()
    assert (ct[:28, :28, :28] > -1024).any()


def test_mirroring_swaps_paired_bones():
    labels = np.zeros((40, 40, 40), dtype=np.uint8)
    labels[5:12, 15:25, 15:25] = 42  # rib_left_2 lies on the left: low first index
    options = replace(STILL, shape=(40, 40, 40), deformation=replace(RIGID, mirror=1.0))
    _, out = paint_patch(labels, 1.0, np.random.default_rng(0), options)
    assert set(np.unique(out)) == {0, 62}
    assert np.argwhere(out == 62)[:, 0].mean() > 25


def test_fused_labels_become_one_bone():
    labels = np.zeros((40, 40, 40), dtype=np.uint8)
    labels[10:30, 10:30, 10:20], labels[10:30, 10:30, 20:30] = 26, 29
    ct, out = paint_patch(labels, 1.0, np.random.default_rng(0), replace(STILL, shape=(40, 40, 40)))
    assert set(np.unique(out)) == {0, 26}
    apart, out = paint_patch(labels, 1.0, np.random.default_rng(0), replace(STILL, shape=(40, 40, 40), fused=()))
    assert set(np.unique(out)) == {0, 26, 29}
    middle = (slice(15, 25), slice(15, 25), slice(19, 21))
    assert np.median(apart[middle]) > np.median(ct[middle]) + 50


def test_a_coarser_source_keeps_its_size(lumbar):
    half = np.ascontiguousarray(lumbar[::2, ::2, ::2])
    options = replace(STILL, shape=(96, 96, 96))
    fine = paint_patch(lumbar, 1.0, np.random.default_rng(0), options)[1]
    coarse = paint_patch(half, 2.0, np.random.default_rng(0), options)[1]
    assert (coarse > 0).sum() == pytest.approx((fine > 0).sum(), rel=0.08)


def test_signed_depth_of_a_slab():
    """Eight voxels of 2 mm: faces lie 8 mm from the middle; the centres 1, 3, 5, 7 mm from the nearest face."""
    labels = np.zeros((20, 6, 6), dtype=np.uint8)
    labels[6:14] = 1
    line = signed_depth(labels, (2.0, 2.0, 2.0))[:, 3, 3]
    np.testing.assert_allclose(line[4:16], [-3, -1, 1, 3, 5, 7, 7, 5, 3, 1, -1, -3])
