"""Simulated CT of solid vertebrae: HU, noise, slices, kernels, findings, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from verse_morph.anatomy import Level
from verse_morph.errors import InputError
from verse_morph.phantom import solids
from verse_morph.phantom.ct import ScannerParameters, SimulatedCt, simulate_ct
from verse_morph.phantom.guide import find_guide
from verse_morph.phantom.tissues import Sclerosis, TissueParameters
from verse_morph.phantom.warp import signed_depth
from verse_morph.space import Grid, canonical

TISSUE = TissueParameters(vertebra_sd_hu=0.0)
QUIET = ScannerParameters(noise_sd_hu=0, edge_gain=0, streak=0)


@pytest.fixture(scope="module")
def lumbar():
    """L2 to L4, 36 mm apart, in a field of 16 cm; labels, depth and grid in RAS."""
    placed = {
        level: (solids.SolidVertebra(), solids.Placement(offset_mm=np.array([0, 0, -36.0 * i])))
        for i, level in enumerate((Level.L2, Level.L3, Level.L4))
    }
    made = solids.spine_labelmap(placed, solids.Sampling(1.0, margin_mm=30))
    labels, grid = canonical(made.labels, made.grid)
    labels = np.ascontiguousarray(labels).astype(np.uint8)
    return labels, np.clip(signed_depth(labels, (1.0, 1.0, 1.0)), -10, 20).astype(np.float16), grid


def scan(lumbar, tissue=TISSUE, scanner=QUIET, seed=0, keep=True) -> SimulatedCt:
    return simulate_ct(*lumbar, tissue, scanner, np.random.default_rng(seed), keep)


@pytest.fixture(scope="module")
def quiet(lumbar):
    return scan(lumbar)


def test_landmarks_lie_where_the_solids_were_put(lumbar):
    labels, depth, grid = lumbar
    marks = find_guide(labels, depth, grid.spacing_mm).landmarks
    assert [mark.label for mark in marks] == [21, 22, 23]
    canal_y = solids.SolidVertebra().canal_y
    for i, mark in enumerate(marks):
        np.testing.assert_allclose(grid.to_world(mark.body_mm), [0, 0, -36 * i], atol=3)
        assert grid.to_world(mark.canal_mm)[1] == pytest.approx(canal_y, abs=3)


def test_bone_and_air_have_their_hu(lumbar, quiet):
    labels, depth, _ = lumbar
    assert quiet.hu.dtype == np.int16
    for label, share in ((21, 0.97), (23, 0.97)):
        deep = (labels == label) & (depth > 8)
        assert quiet.hu[deep].mean() == pytest.approx(150 * share, abs=15)
    shell = (labels > 0) & (depth < 1)
    assert np.median(quiet.hu[shell]) > 350
    assert -1024 <= quiet.hu.min() <= -850
    soft = quiet.hu[(labels == 0) & (depth < -5)]
    assert ((soft > 0) & (soft < 100)).mean() > 0.3


def test_same_seed_same_scan(lumbar, quiet):
    np.testing.assert_array_equal(scan(lumbar).hu, quiet.hu)
    assert (scan(lumbar, seed=1).hu != quiet.hu).any()


def test_noise_has_the_asked_strength_and_no_bias(lumbar, quiet):
    noisy = scan(lumbar, scanner=replace(QUIET, noise_sd_hu=60))
    near = lumbar[0] > 0
    noise = noisy.hu[near].astype(float) - quiet.hu[near]
    # The noise about the spine, where rays are longest, is what was asked for within a third.
    assert 40 < noise.std() < 90
    assert abs(noise.mean()) < 3
    np.testing.assert_array_equal(noisy.noise_free, quiet.noise_free)


def test_noise_of_soft_kernels_is_coarser(lumbar, quiet):
    def neighbours(peak: float) -> float:
        noise = scan(lumbar, scanner=replace(QUIET, noise_sd_hu=60, noise_peak_per_mm=peak)).hu - quiet.noise_free
        return float(np.corrcoef(noise[:-1].ravel(), noise[1:].ravel())[0, 1])

    assert neighbours(0.12) > neighbours(0.45) + 0.2


def test_without_blur_the_noise_free_image_is_the_tissue(lumbar):
    sharp = scan(lumbar, scanner=replace(QUIET, psf_fwhm_mm=0.0))
    np.testing.assert_array_equal(sharp.noise_free, sharp.tissue_hu)


def test_blur_keeps_the_mean_and_lowers_the_cortex(lumbar, quiet):
    blurred = scan(lumbar, scanner=replace(QUIET, psf_fwhm_mm=2.5))
    assert blurred.noise_free.mean() == pytest.approx(quiet.noise_free.mean(), abs=2)
    shell = (lumbar[0] > 0) & (lumbar[1] < 1)
    assert blurred.noise_free[shell].mean() < quiet.noise_free[shell].mean() - 50


def test_an_edge_kernel_overshoots(lumbar, quiet):
    sharp = scan(lumbar, scanner=replace(QUIET, edge_gain=1.0))
    assert sharp.noise_free.max() > quiet.noise_free.max() + 100
    assert sharp.noise_free.min() < quiet.noise_free.min() - 20


@pytest.mark.parametrize(("axis", "thick"), [(2, 3.0), (0, 2.0), (2, 5.0)])
def test_thick_slices(lumbar, quiet, axis, thick):
    labels, _, grid = lumbar
    made = scan(lumbar, scanner=replace(QUIET, slice_axis=axis, slice_thickness_mm=thick, slice_distance_mm=thick))
    assert made.grid.spacing_mm[axis] == pytest.approx(thick)
    assert made.hu.shape == made.grid.shape == labels[made.slices].shape
    # A voxel of the thick image lies where its grid says.
    index = np.argwhere(labels[made.slices] == 22)[0]
    source = grid.to_index(made.grid.to_world(index))
    assert labels[tuple(np.rint(source).astype(int))] == 22
    assert np.abs(source - np.rint(source)).max() < 1e-9
    # Slices average: the tissue before and the image after agree in the mean.
    assert made.noise_free.mean() == pytest.approx(quiet.noise_free.mean(), abs=6)


def test_the_scale_error_moves_every_voxel(lumbar, quiet):
    other = scan(lumbar, scanner=replace(QUIET, hu_scale=1.1, hu_offset=5.0))
    inside = (quiet.hu > -800) & (quiet.hu < 1500)
    np.testing.assert_allclose(other.hu[inside], quiet.noise_free[inside] * 1.1 + 5, atol=1)
    np.testing.assert_array_equal(other.noise_free, quiet.noise_free)


def test_screws_are_metal_in_the_pedicles_with_streaks(lumbar, quiet):
    labels = lumbar[0]
    made = scan(lumbar, replace(TISSUE, screws=(21, 22)))
    metal = made.hu >= 2800
    assert 1000 < metal.sum() < 20_000
    assert metal[labels == 21].sum() > 150
    assert metal[labels == 22].sum() > 150
    assert not metal[labels == 23].any()
    sides = np.argwhere(metal & (labels == 22))[:, 0] - (labels.shape[0] - 1) / 2
    assert (sides > 3).sum() > 50
    assert (sides < -3).sum() > 50
    far = (labels == 0) & (lumbar[1] < -6)
    changed = np.abs(made.hu.astype(int) - quiet.hu)[far]
    assert (changed > 40).mean() > 0.01


def test_cement_stays_inside_its_vertebra(lumbar):
    made = scan(lumbar, replace(TISSUE, cement=(22,)))
    bright = made.tissue_hu > 1500
    assert bright[lumbar[0] == 22].sum() > 500
    assert not bright[lumbar[0] != 22].any()


def test_sclerosis_brightens_one_endplate(lumbar, quiet):
    labels, depth, grid = lumbar
    made = scan(lumbar, replace(TISSUE, sclerosis=(Sclerosis(22, True, 400.0, 5.0),)))
    added = made.tissue_hu - quiet.tissue_hu
    z = np.broadcast_to(
        grid.to_world(np.stack(np.meshgrid(0, 0, np.arange(labels.shape[2])), -1))[..., 2], labels.shape
    )
    body = (labels == 22) & (depth > 2)
    assert added[body & (z > -36 + 6)].mean() > 60
    assert abs(added[body & (z < -36 - 6)].mean()) < 20
    assert not added[labels == 21].any()


def test_contrast_shows_in_the_vessels(lumbar, quiet):
    made = scan(lumbar, replace(TISSUE, phase="arterial"))
    changed = (made.tissue_hu - quiet.tissue_hu)[lumbar[0] == 0]
    assert (changed > 150).sum() > 1000


def test_a_map_without_vertebrae_gets_a_trunk_too():
    labels = np.zeros((60, 60, 40), dtype=np.uint8)
    depth = np.full(labels.shape, -10, dtype=np.float16)
    made = simulate_ct(
        labels, depth, Grid(labels.shape, np.diag([3, 3, 3, 1.0])), TISSUE, QUIET, np.random.default_rng(0)
    )
    assert np.isfinite(made.hu).all()
    assert made.noise_free is None


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"slice_thickness_mm": 12.0}, "allowed are 0.4 to 10"),
        ({"noise_sd_hu": -1.0}, "allowed are 0 to 500"),
        ({"slice_axis": 3}, "allowed are 0"),
        ({"kvp": 20.0}, "allowed are 70 to 150"),
    ],
)
def test_impossible_scanners_are_refused_with_the_allowed_range(kwargs, message):
    with pytest.raises(InputError, match=message):
        ScannerParameters(**kwargs)
