"""The middle of S1 from a mask of the whole sacrum."""

import numpy as np
import pytest

from verse_morph.anatomy import VERSE, Level
from verse_morph.phantom.case import SACRUM
from verse_morph.phantom.draw import draw_parameters
from verse_morph.phantom.parameters import PhantomOptions, View
from verse_morph.phantom.render import field_of_view, render
from verse_morph.phantom.sacrum import sacral_shape
from verse_morph.segment.train import spine_samples
from verse_morph.segment.train.sacral import first_sacral_body
from verse_morph.segment.train.sources import Source
from verse_morph.segment.train.spine_samples import IdentifySamples, ScanPool

SPACING = np.full(3, 1.5)


def block(depth_mm=30.0):
    """A body with wings and joint processes, some 60 mm high, in voxels of 1.5 mm."""
    out = np.zeros((80, 60, 60), bool)
    half = round(depth_mm / 1.5 / 2)
    out[24:56, 30 - half : 30 + half, 30:46] = True
    out[10:24, 20:28, 20:40] = out[56:70, 20:28, 20:40] = True
    out[26:30, 14:18, 44:54] = True
    return out


@pytest.mark.parametrize("seed", [3, 4])
def test_s1_of_a_phantom_is_where_its_geometry_puts_it(seed):
    parameters = draw_parameters(np.random.default_rng(seed), PhantomOptions(view=View("L3", "S")))
    case = render(parameters, field_of_view(parameters, 1.5), "lumbar")
    true = case.grid.to_index(np.array(sacral_shape(parameters).centre_mm))
    found = first_sacral_body(case.structures == SACRUM, case.grid.spacing_mm, float(true[0]))
    assert found is not None
    assert np.linalg.norm((found - true) * case.grid.spacing_mm) < 3.5


def test_wings_and_joint_processes_are_no_body():
    found = first_sacral_body(block(), SPACING, 39.5)
    assert found is not None
    assert np.abs((found - [39.5, 29.5, 37.5]) * SPACING).max() < 2.5


def test_what_is_cut_or_absent_has_no_middle():
    assert first_sacral_body(np.zeros((20, 20, 20), bool), SPACING, 10.0) is None
    assert first_sacral_body(block(depth_mm=9.0), SPACING, 39.5) is None, "a thin slice of a body"
    assert first_sacral_body(block(), SPACING, 200.0) is None, "nothing near the midline"


def test_naming_learns_s1_below_the_last_lumbar_vertebra(monkeypatch):
    monkeypatch.setattr(spine_samples, "FEWEST_LEVELS", 1)
    labels = np.zeros((80, 60, 100), np.uint8)
    labels[:, :, :60][block()] = SACRUM
    last = VERSE.value_of(Level.L5)
    labels[24:56, 22:40, 58:76] = last
    source = Source("made", labels, SPACING, {last: np.array([39.5, 31.0, 66.5])})
    pool = ScanPool([source], 3, 8)
    scans = [pool(n) for n in range(8)]
    both = [dict(zip(scan.ranks, scan.points, strict=True)) for scan in scans if len(scan.ranks) == 2]
    assert len(both) > 3
    assert all(set(points) == {Level.L5.rank, Level.S1.rank} for points in both)
    assert all(points[Level.S1.rank][2] < points[Level.L5.rank][2] for points in both)
    targets = [IdentifySamples(pool, 3)(n)["sagittal_target"] for n in range(12)]
    assert max(target[Level.S1.rank].max() for target in targets) > 0.9
    alone = Source("made", np.where(labels == SACRUM, 0, labels).astype(np.uint8), SPACING, source.centres)
    assert list(ScanPool([alone], 3, 1)(0).ranks) in ([Level.L5.rank], [])
