"""Redrawn outlines: the same seed gives the same table, spreads are of the right size, missing ones have a reason."""

import functools

import numpy as np
import pandas as pd
import pytest

from verse_morph.anatomy import VERSE, Level
from verse_morph.errors import InputError, NotMeasurable
from verse_morph.measure import CATALOGUE, measure, measurement
from verse_morph.measure.uncertainty import redrawn, spread, uncertainties, uncertainty
from verse_morph.phantom.solids import Body, Placement, Sampling, SolidVertebra, spine_labelmap
from verse_morph.spine import Vertebra
from verse_morph.volume import LabelMap, Scan

SHORT = SolidVertebra(Body(40, 30, 24, 24), spinous_length=8.0, transverse_length=6.0)
DRAWS = 6


@functools.cache
def labels(spacing_mm=1.0):
    places = {Level.L2: (SHORT, Placement(offset_mm=np.array([0.2, 0.1, 0.3])))}
    return spine_labelmap(places, Sampling(spacing_mm, margin_mm=6))


@functools.cache
def scan():
    hu = np.where(labels().labels > 0, 150.0, 30.0) + np.random.default_rng(0).normal(0, 20, labels().grid.shape)
    return Scan(hu.astype(np.float32), labels().grid)


@functools.cache
def table():
    return uncertainty(labels(), scan(), draws=DRAWS)


def test_every_number_has_a_spread_or_a_reason():
    row = table().iloc[0]
    assert (row["scan"], row["level"], row["label"]) == ("solid", "L2", 21) or row["level"] == "L2"
    numbers = [entry.name for entry in CATALOGUE if not entry.word]
    for name in numbers:
        assert np.isnan(row[f"{name}_sd"]) == (row[f"{name}_sd_why"] != ""), name
    assert row["bmd_mg_cm3_sd_why"].startswith("L2: no calibration")
    assert list(table().columns[:3]) == ["scan", "level", "label"]


def test_spreads_are_those_of_half_a_voxel():
    """A height has two ends, each off by half a voxel (SD), averaged over patches wider than the noise is smooth."""
    row = table().iloc[0]
    for name in ("height_anterior_mm", "height_middle_mm", "height_posterior_mm"):
        assert 0.15 < row[f"{name}_sd"] < 1.3, name
    for axis in "xyz":
        assert 0.02 < row[f"body_{axis}_mm_sd"] < 0.5
    assert 0.01 < row["trabecular_hu_mean_sd"] < 3
    assert 0.005 < row["body_volume_cm3_sd"] / 20 < 0.1


def test_redrawn_bodies_stay_where_they_are():
    """The lattice moves, the anatomy does not."""
    centres = np.array([s.vertebrae[0].centre_mm for s in redrawn(labels(), None, 8, 1)])
    offset = centres.mean(axis=0) - measure_centre()
    assert np.abs(offset).max() < 0.4
    assert len({tuple(s.vertebrae[0].grid.affine[:3, 3] % 1) for s in redrawn(labels(), None, 2, 1)}) == 2


def measure_centre():
    from verse_morph.shape import build_spine

    return build_spine(labels()).vertebrae[0].centre_mm


def test_the_seed_decides():
    one, same, other = (uncertainty(labels(), None, 5, seed, narrow) for seed in (3, 3, 4))
    pd.testing.assert_frame_equal(one, same)
    assert not np.allclose(one["body_volume_cm3_sd"], other["body_volume_cm3_sd"])


def narrow(spine):
    return measure(spine, tuple(e for e in CATALOGUE if e.name == "body_volume_cm3"))


def test_several_tables_share_their_draws():
    seen = []
    found = uncertainties(labels(), None, {"a": narrow, "b": narrow}, 5, 3, lambda *words: seen.append(words))
    pd.testing.assert_frame_equal(found["a"], found["b"])
    assert seen[-1] == ("redrawing outlines", 5, 5)


def test_a_number_that_comes_and_goes_has_no_spread():
    here = pd.DataFrame({"level": ["L1"], "height_mm": [20.0], "height_mm_why": [""]})
    draws = [here.assign(height_mm=v) for v in (20.0, 21.0, np.nan, np.nan, 19.0)]
    row = spread(here, draws).iloc[0]
    assert np.isnan(row["height_mm_sd"])
    assert row["height_mm_sd_why"] == "measured in 3 of 5 redrawn outlines"


def test_a_number_that_is_missing_keeps_its_reason_and_a_lost_row_counts():
    here = pd.DataFrame({"level": ["L1", "L2"], "x_mm": [np.nan, 2.0], "x_mm_why": ["L1: cut", ""]})
    draws = [here.assign(x_mm=[1.0, 2.0 + d]) for d in (-1, 0, 1, 0, 0, 0, 0, 0, 0)] + [here.iloc[:1]]
    found = spread(here, draws).set_index("level")
    assert found.at["L1", "x_mm_sd_why"] == "L1: cut"
    assert found.at["L2", "x_mm_sd"] == pytest.approx(0.5)


def test_curves_are_matched_by_name_and_rank():
    """The end levels of a coronal curve may change from draw to draw."""
    columns = ["name", "upper_level", "angle_deg"]
    here = pd.DataFrame([("coronal_curve", "T5", 20.0), ("coronal_curve", "L1", -12.0)], columns=columns)
    draws = [
        pd.DataFrame([("coronal_curve", "T4", 20.0 + d), ("coronal_curve", "L1", -12.0 + 2 * d)], columns=columns)
        for d in (-1.0, 0.0, 1.0, 0.0, 0.0)
    ]
    found = spread(here, draws)["angle_deg_sd"]
    assert list(found) == pytest.approx([np.sqrt(0.5), 2 * np.sqrt(0.5)])


@pytest.mark.parametrize("draws", [0, 4])
def test_too_few_draws_are_refused(draws):
    with pytest.raises(InputError, match="at least 5"):
        uncertainty(labels(), None, draws)


def test_a_vertebra_at_the_border_stays_cut():
    whole = labels()
    top = int(whole.grid.to_index([0, 0, 8])[2])
    box = (slice(0, whole.grid.shape[0]), slice(0, whole.grid.shape[1]), slice(0, top))
    cut = LabelMap(np.array(whole.labels[box]), whole.grid.crop(box), VERSE)
    found = uncertainty(cut, None, 5, make=lambda spine: measure(spine, (height,)))
    assert found["height_mm_sd_why"].iloc[0] == "L2: the image border cuts the body"


@measurement(unit="mm", length_power=1, source="this test")
def height(vertebra: Vertebra) -> float:
    """Height of the box around a body."""
    if vertebra.body is None:
        raise NotMeasurable(str(vertebra.missing("body")))
    return float(np.ptp(np.argwhere(vertebra.body)[:, 2]))
