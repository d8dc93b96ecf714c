"""Separable filters against closed forms; random fields against the moments they promise."""

import numpy as np
import pytest
from scipy import ndimage

from verse_morph.phantom.fields import (
    apply_axes,
    coloured_noise,
    gauss_matrix,
    occupancy,
    slice_matrices,
    smooth_field,
    spline_matrix,
)


def test_gauss_matrix_blurs_like_a_gaussian_filter():
    volume = np.random.default_rng(0).standard_normal((24, 25, 26)).astype(np.float32)
    ours = apply_axes(volume, [gauss_matrix(n, 1.2) for n in volume.shape])
    theirs = ndimage.gaussian_filter(volume, 1.2, truncate=8)
    inner = (slice(9, -9),) * 3
    np.testing.assert_allclose(ours[inner], theirs[inner], atol=1e-5)


def test_a_constant_stays_constant_under_every_matrix():
    down, up = slice_matrices(31, 3.4, 0.3)
    for matrix in (gauss_matrix(31, 0.0), gauss_matrix(31, 4.0), down, up, up @ down, spline_matrix(31, 7.0)):
        np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-6)


def test_slices_average_the_samples_they_cover():
    down, _ = slice_matrices(12, 3.0)
    np.testing.assert_allclose(down @ np.arange(12), [1, 4, 7, 10], atol=1e-6)


def test_axes_are_told_apart():
    volume = np.zeros((3, 4, 5), dtype=np.float32)
    volume[1, 2, 3] = 1
    only = apply_axes(volume, [None, np.ones((1, 4)), None])
    assert only.shape == (3, 1, 5)
    assert only[1, 0, 3] == 1


def test_fields_have_the_moments_they_promise():
    rng = np.random.default_rng(1)
    smooth = np.stack([smooth_field((24, 24, 24), 6, rng) for _ in range(40)])
    assert smooth.std() == pytest.approx(1, abs=0.05)
    noise = coloured_noise((48, 48, 48), (0.0, 1.0, 1.0), rng)
    assert noise.std() == pytest.approx(1, abs=0.05)
    along = [(noise * np.roll(noise, 1, axis)).mean() for axis in range(3)]
    assert abs(along[0]) < 0.05
    # Neighbours of white noise blurred by a Gaussian of SD 1 correlate by exp(-1 / 4).
    assert along[1] == pytest.approx(np.exp(-0.25), abs=0.05)


def test_occupancy_is_half_on_the_surface():
    np.testing.assert_allclose(occupancy(np.array([-1.0, -0.5, 0.0, 0.25, 2.0]), 1.0), [0, 0, 0.5, 0.75, 1])
