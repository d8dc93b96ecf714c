"""The cascade as a whole, with stand-ins for its networks: what it joins, what it says, what it refuses."""

import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import verse_morph as vm
from verse_morph.anatomy import Level
from verse_morph.errors import InputError, VerseMorphError, WeightsMissing
from verse_morph.segment.cascade import SegmentOptions, require_ct, scan_flags, segment
from verse_morph.segment.decode import Decoding, DecodingFlag
from verse_morph.segment.flags import MaskFlag, ScanFlag
from verse_morph.segment.missed import missed_points
from verse_morph.space import Grid
from verse_morph.volume import LabelMap, Scan

from .stand_in import BRIGHT_HU, ball_scan, balls, centres, load_stand_in, scan_grid

GRID = scan_grid("PIR", (1.0, 1.0, 1.5))


@pytest.fixture(scope="module")
def scan():
    return ball_scan(GRID, centres().values())


@pytest.fixture
def networks(monkeypatch):
    """Stand-ins for the weights; a function that sets what is located and how it is named."""
    monkeypatch.setattr("verse_morph.segment.weights.load_network", load_stand_in)
    # Balls that fit the scan are smaller than any lumbar vertebra.
    monkeypatch.setattr("verse_morph.segment.merge.ADULT_CM3", {"lumbar": (1.0, 10.0), "thoracic": (1.0, 10.0)})

    def set_up(decoding, found=True, spine=1.0):
        where = SimpleNamespace(
            found=found, reason="2.0 cm3 look like vertebrae", spine=np.full(GRID.shape, spine, np.float32), grid=GRID
        )
        monkeypatch.setattr("verse_morph.segment.locate.locate", lambda *_: where)
        bodies = np.array(list(decoding.points_mm.values())).reshape(-1, 3)
        found_so = SimpleNamespace(
            decoding=decoding, named_from=lambda: (bodies, np.ones(len(bodies))), sacral_body=lambda: None
        )
        monkeypatch.setattr("verse_morph.segment.identify.identify", lambda *_: found_so)

    return set_up


def dice(labels, points):
    true = balls(GRID, points.values())
    scores = []
    for k, level in enumerate(points, start=1):
        a, b = labels.labels == labels.scheme.value_of(level), true == k
        scores.append(2 * (a & b).sum() / (a.sum() + b.sum()))
    return min(scores)


# --- what it joins -------------------------------------------------------------------------------------------------


def test_given_centroids_are_outlined_and_nothing_is_looked_for(scan, networks):
    told = []
    made = segment(scan, SegmentOptions(points_mm=centres(), threads=1), lambda *a: told.append(a))
    assert made.labels.levels() == (Level.L1, Level.L2, Level.L3)
    assert made.labels.grid is scan.grid
    assert made.labels.name == "balls"
    assert dice(made.labels, centres()) > 0.93
    assert made.decoding is None
    assert made.location is None
    assert made.flags == (ScanFlag.ASSUMED,)
    assert set(made.seconds) == {"load", "outline", "merge"}
    assert ("outlining", 1, 3) in told
    assert made.weights == {"outline": "0" * 64}
    assert "fp32" in made.compute or "bf16" in made.compute
    assert "PyTorch" in made.compute


def test_given_centroids_stay_where_they_are(scan, networks):
    points = centres()
    points[Level.L2] = points[Level.L2] + [0, 5.0, 5.0]
    made = segment(scan, SegmentOptions(points_mm=points))
    assert np.array_equal(made.points_mm[Level.L2], points[Level.L2])


def test_levels_come_from_the_decoding(scan, networks):
    networks(Decoding(centres(), margin=12.0, in_doubt=False))
    made = segment(scan)
    assert made.labels.levels() == (Level.L1, Level.L2, Level.L3)
    assert not made.in_doubt
    assert made.runner_up == ()
    assert set(made.weights) == {"locate", "identify", "ribs", "outline"}
    assert {"locate", "identify", "missed"} <= set(made.seconds)


def test_the_points_are_the_middles_of_what_was_outlined(scan, networks):
    """The naming network's points lie some millimetres off; what a reader gets is the body itself."""
    off = {level: point + np.array([3.0, -2.0, 4.0]) for level, point in centres().items()}
    networks(Decoding(off, margin=12.0, in_doubt=False))
    made = segment(scan, SegmentOptions(add_missed=False))
    for level, point in centres().items():
        assert np.linalg.norm(made.points_mm[level] - point) < 1.5, level


def test_the_doubt_reaches_flags_and_notes(scan, networks):
    other = dict(zip((Level.T12, Level.L1, Level.L2), centres().values(), strict=True))
    flags = (DecodingFlag.IN_DOUBT, DecodingFlag.ORIENTATION, DecodingFlag.INTERPOLATED)
    decoding = Decoding(centres(), other, 0.4, True, frozenset({Level.L2}), flags=flags)
    networks(decoding)
    made = segment(scan, SegmentOptions(add_missed=False))
    assert set(made.flags) == set(ScanFlag)
    assert made.in_doubt
    assert made.runner_up == (Level.T12, Level.L1, Level.L2)
    (doubt,) = [note for note in made.labels.notes if "in doubt" in note]
    assert "L1-L3" in doubt
    assert "60 % sure" in doubt
    assert "T12-L2" in doubt
    assert MaskFlag.INTERPOLATED in made.level_flags[Level.L2]
    assert MaskFlag.INTERPOLATED not in made.level_flags[Level.L1]


def test_room_for_a_vertebra_nobody_named_puts_the_numbering_in_doubt(networks):
    """Five in the scan, of which four were found and named one after the other, with a margin beyond doubt."""
    up = np.array([0.0, 0.0, 26.0])
    five = [point + up for point in centres(5).values()]
    scan = ball_scan(scan_grid("PIR", (1.0, 1.0, 1.5), (70, 70, 180)), five)
    levels = (Level.L1, Level.L2, Level.L3, Level.L4)
    four = dict(zip(levels, [*five[:3], five[4]], strict=True))
    networks(Decoding(four, margin=12.0, in_doubt=False))
    made = segment(scan)
    assert made.labels.levels() == levels
    assert ScanFlag.IN_DOUBT in made.flags
    (why,) = [note for note in made.labels.notes if "in doubt" in note]
    assert "between L3 and L4 there is room for another vertebra" in why
    # Whoever points at them knows what lies between.
    pointed = segment(scan, SegmentOptions(points_mm=four))
    assert ScanFlag.IN_DOUBT not in pointed.flags


def test_a_gap_is_filled_only_by_what_looks_like_a_vertebra(scan, networks):
    ends = {level: point for level, point in centres().items() if level is not Level.L2}
    networks(Decoding(ends, margin=12.0, in_doubt=False))
    assert segment(scan, SegmentOptions(add_missed=False)).labels.levels() == (Level.L1, Level.L3)
    made = segment(scan)
    # The ends go on as far as the stand-in says there is spine, yet nothing is outlined there.
    assert made.labels.levels() == (Level.L1, Level.L2, Level.L3)
    assert MaskFlag.ADDED in made.level_flags[Level.L2]
    assert dice(made.labels, centres()) > 0.93
    rod = np.array(ball_scan(GRID, ends.values()).hu)
    rod[30:34, :, 30:34] = BRIGHT_HU
    assert segment(Scan(rod, GRID)).labels.levels() == (Level.L1, Level.L3)


def test_ends_are_looked_for_only_where_the_spine_goes_on():
    points, everywhere = centres(), np.ones(GRID.shape, np.float32)
    beyond = missed_points(points, everywhere, GRID)
    assert set(beyond) == {Level.T12, Level.L4}
    upper = GRID.crop([slice(0, 70), slice(0, 100), slice(0, 47)])
    assert set(missed_points(points, everywhere[:, :100], upper)) == {Level.T12}, "no L4 outside of the image"
    assert np.allclose(beyond[Level.T12], 2 * points[Level.L1] - points[Level.L2])
    assert missed_points(points, 0 * everywhere, GRID) == {}
    close = {Level.L1: points[Level.L1], Level.L3: points[Level.L2], Level.L4: points[Level.L3]}
    assert Level.L2 not in missed_points(close, everywhere, GRID), "no room between L1 and L3"


def test_the_sacrum_is_never_guessed():
    names = (Level.L4, Level.L5)
    points = dict(zip(names, ([0, 0, 30.0], [0, 0, 0.0]), strict=True))
    proposed = missed_points({k: np.array(v) for k, v in points.items()}, np.ones(GRID.shape, np.float32), GRID)
    assert set(proposed) == {Level.L3}


def test_an_added_l6_is_found_and_in_doubt(networks, monkeypatch):
    """The network of naming stopped at L5; below lies another body, and then the sacrum."""
    up = np.array([0.0, 0.0, 26.0])
    levels = (Level.L2, Level.L3, Level.L4, Level.L5, Level.L6)
    five = dict(zip(levels, [point + up for point in centres(5).values()], strict=True))
    scan = ball_scan(scan_grid("PIR", (1.0, 1.0, 1.5), (70, 70, 200)), five.values())
    networks(Decoding({level: five[level] for level in levels[:4]}, margin=12.0, in_doubt=False), spine=0.0)
    top = five[Level.L6] - [0.0, 0.0, 26.0]
    monkeypatch.setattr("verse_morph.segment.counting.sacrum_top", lambda _location: top)
    monkeypatch.setattr("verse_morph.segment.identify.reliance", lambda *_: SimpleNamespace(sacrum=True))
    made = segment(scan)
    assert made.labels.levels() == levels
    assert MaskFlag.ADDED in made.level_flags[Level.L6]
    assert made.in_doubt
    assert any("L6 was not named" in note for note in made.notes)


@pytest.mark.parametrize(("away_mm", "lowest"), [(70.0, Level.L6), (35.0, None)])
def test_an_l6_is_proposed_where_the_sacrum_leaves_room_for_it(away_mm, lowest):
    names = (Level.L2, Level.L3, Level.L4, Level.L5)
    points = {level: np.array([0.0, 0.0, 50.0 - 30.0 * k]) for k, level in enumerate(names)}
    top = points[Level.L5] - [0.0, 0.0, away_mm]
    proposed = missed_points(points, np.zeros(GRID.shape, np.float32), GRID, top)
    assert list(proposed) == ([] if lowest is None else [lowest])
    if lowest is not None:
        assert np.allclose(proposed[lowest], points[Level.L5] - [0.0, 0.0, 30.0])


def test_a_vertebra_of_a_neck_is_missed_in_a_row_with_the_long_steps_of_a_loin():
    levels = [level for level in Level if level not in (Level.C1, Level.C2, Level.T13, Level.L6, Level.S1)]
    depths = np.cumsum([0.0] + [15.0] * 5 + [24.0] * 12 + [34.0] * 4)
    points = {level: np.array([0.0, 0.0, 200.0 - depth]) for level, depth in zip(levels, depths, strict=True)}
    c5 = points.pop(Level.C5)
    proposed = missed_points(points, np.zeros(GRID.shape, np.float32), GRID)
    assert list(proposed) == [Level.C5]
    assert np.allclose(proposed[Level.C5], c5)


def test_an_l6_is_looked_for_where_naming_saw_something():
    names = (Level.L2, Level.L3, Level.L4, Level.L5)
    points = {level: np.array([0.0, 0.0, 50.0 - 30.0 * k]) for k, level in enumerate(names)}
    top, seen = points[Level.L5] - [0.0, 0.0, 39.0], points[Level.L5] - [0.0, 5.0, 28.0]
    nowhere = np.zeros(GRID.shape, np.float32)
    assert missed_points(points, nowhere, GRID, top) == {}
    proposed = missed_points(points, nowhere, GRID, top, seen)
    assert list(proposed) == [Level.L6]
    assert np.allclose(proposed[Level.L6], seen)


@pytest.mark.parametrize(
    ("levels", "assumed"),
    [((Level.C7, Level.T2), False), ((Level.T1,), False), ((Level.T2, Level.L1), True), ((), False)],
)
def test_numbering_is_assumed_where_the_first_rib_is_out_of_view(levels, assumed):
    assert (ScanFlag.ASSUMED in scan_flags(levels, None)) == assumed


# --- what it refuses -----------------------------------------------------------------------------------------------


def test_no_spine_is_no_mask(scan, networks):
    networks(Decoding({}), found=False)
    with pytest.raises(InputError, match=r"no spine found in balls: 2\.0 cm3"):
        segment(scan)
    networks(Decoding({}))
    with pytest.raises(InputError, match="no vertebra found"):
        segment(scan)
    with pytest.raises(InputError, match="no vertebra could be outlined"):
        segment(scan, SegmentOptions(points_mm={Level.T5: np.array([-25.0, 25.0, 60.0])}))


def test_what_is_no_ct_is_refused_unless_forced():
    values = np.random.default_rng(0).integers(0, 900, (40, 40, 40)).astype(np.int16)
    mr = Scan(values, Grid(values.shape, np.eye(4)))
    with pytest.raises(InputError, match="--force"):
        segment(mr)
    require_ct(mr, force=True)
    for array, word in (
        (values / 900.0, "no value lies below"),
        (values - 1000, "no value reaches"),
        (values * 40.0 - 1000, "run from"),
    ):
        with pytest.raises(InputError, match=word):
            require_ct(Scan(array.astype(np.float32), mr.grid))


def test_slices_and_crumbs_are_refused(scan):
    with pytest.raises(InputError, match="single slices"):
        require_ct(Scan(scan.hu[:, :, :4], scan.grid.crop([slice(0, n) for n in (*GRID.shape[:2], 4)])), force=True)
    with pytest.raises(InputError, match="voxel size"):
        require_ct(Scan(scan.hu, Grid(scan.grid.shape, np.diag([0.1, 0.1, 0.1, 1.0]))))


@pytest.mark.parametrize(
    ("points", "word"),
    [
        ({}, "no vertebra"),
        ({Level.S1: np.zeros(3)}, "no vertebra"),
        ({Level.L1: np.full(3, 500.0)}, "outside the scan"),
    ],
)
def test_centroids_that_do_not_belong_are_refused(scan, networks, points, word):
    with pytest.raises(InputError, match=word):
        segment(scan, SegmentOptions(points_mm=points))


def test_missing_weights_say_so(scan, tmp_path):
    with pytest.raises(WeightsMissing, match="outline"):
        segment(scan, SegmentOptions(weights=tmp_path, points_mm=centres()))


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory"), RuntimeError("CUDA out of memory.")],
)
def test_too_little_memory_is_one_sentence(scan, networks, monkeypatch, error):
    def full(*_, **__):
        raise error

    monkeypatch.setattr("verse_morph.segment.outline.outline", full)
    with pytest.raises(VerseMorphError, match="not enough memory to segment balls") as raised:
        segment(scan, SegmentOptions(points_mm=centres()))
    assert "\n" not in str(raised.value)


def test_other_errors_stay_what_they_are(scan, networks, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr("verse_morph.segment.outline.outline", broken)
    with pytest.raises(RuntimeError, match="mat1"):
        segment(scan, SegmentOptions(points_mm=centres()))


def test_unknown_engines_are_refused():
    with pytest.raises(InputError, match="totalsegmentator"):
        SegmentOptions(engine="magic")


# --- how it is reached ---------------------------------------------------------------------------------------------


def test_importing_the_cascade_loads_no_torch():
    code = "import sys, verse_morph as vm, verse_morph.segment.cascade; vm.segment; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_story_in_the_readme_holds_in_any_order_of_imports(scan, networks):
    """``vm.segment`` is the package after anything of it was imported, as in this file; it has to work all the same."""
    options = SegmentOptions(points_mm=centres())
    labels = vm.segment(scan, options)
    assert isinstance(labels, LabelMap)
    assert np.array_equal(labels.labels, vm.segment.segment(scan, options).labels)


def test_the_same_bits_twice(scan, networks):
    options = replace(SegmentOptions(), points_mm=centres(), deterministic=True)
    first, second = (segment(scan, options) for _ in range(2))
    assert np.array_equal(first.labels.labels, second.labels.labels)
    assert "deterministic" in first.compute
