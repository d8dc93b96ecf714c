"""Heatmaps, ribs and sacrum to named vertebrae; a stand-in network paints the heatmaps of known points."""

import numpy as np
import pytest
import torch
from torch import nn

from verse_morph.anatomy import Level
from verse_morph.errors import InputError
from verse_morph.segment.candidates import Candidates, find_candidates, with_one_of_each_end
from verse_morph.segment.chain_prior import load_prior
from verse_morph.segment.compute import Compute
from verse_morph.segment.identify import Reliance, identify, reliance, sacral_share
from verse_morph.segment.intensity import to_input
from verse_morph.segment.locate import Location
from verse_morph.segment.networks import Btrfly, BtrflyShape
from verse_morph.segment.numbering import LEVELS
from verse_morph.segment.own_ribs import level_log as rib_level_log
from verse_morph.segment.views import CHANNELS, WIDTH, Views
from verse_morph.space import Grid
from verse_morph.volume import Scan

CPU = Compute("cpu", False, 1)
GAP_MM = 32.0
BACKGROUND = len(LEVELS)
FIRST = Level.T10
SHAPE = (96, 80, 160)
GRID = Grid(SHAPE, np.diag([2.0, 2.0, 2.0, 1.0]))
SEEN = [level for level in LEVELS[LEVELS.index(FIRST) :] if level not in (Level.T13, Level.L6, Level.S1)]
POINTS = {level: np.array([94.0, 90.0, 280.0 - GAP_MM * k]) for k, level in enumerate(SEEN)}


def maps(points, rows, first, axis, called=None):
    """Shares (28, rows, WIDTH) as a perfect network gives them; ``called`` renames every level."""
    out = np.zeros((BACKGROUND + 1, rows, WIDTH), np.float32)
    for level, point in points.items():
        name = (called or {}).get(level, level)
        column, row = GRID.to_index(point)[[axis, 2]] - np.asarray(first)[[axis, 2]]
        across = np.exp(-0.5 * ((np.arange(WIDTH) - column) / 3) ** 2)
        down = np.exp(-0.5 * ((np.arange(rows) - row) / 3) ** 2)
        out[name.rank] = np.maximum(out[name.rank], down[:, None] * across)
    out[BACKGROUND] = 1 - out[:BACKGROUND].max(axis=0)
    return out / out.sum(axis=0)


class Knowing(Btrfly):
    """Answers with the heatmaps it was given."""

    def __init__(self, sagittal, coronal):
        super().__init__(BtrflyShape(CHANNELS, BACKGROUND + 1, (8, 8)))
        self.said = [torch.log(torch.from_numpy(m)[None] + 1e-4) for m in (sagittal, coronal)]

    def forward(self, sagittal, coronal):
        rows = sagittal.shape[2]
        out = []
        for said in self.said:
            padded = torch.full((1, BACKGROUND + 1, rows, WIDTH), -9.0)
            padded[:, BACKGROUND] = 0
            padded[:, :, : said.shape[2]] = said[:, :, :rows]
            out.append(padded)
        return tuple(out)


class BrightBeside(nn.Module):
    """Takes what is brighter than 200 HU at the height of the heatmap for the vertebra's own ribs."""

    def forward(self, x):
        height = x[:, 1:].amax(dim=(2, 3), keepdim=True)
        return 10.0 * ((x[:, :1] > float(to_input(np.array(200.0)))) & (height > 0.1)) - 5.0


def ribbed_scan(ribs_at=()):
    """Blocks of bone on both sides of the given levels."""
    hu = np.full(SHAPE, -50, np.int16)
    world = GRID.to_world(np.stack(np.indices(SHAPE), axis=-1))
    for level in ribs_at:
        away = np.abs(world - POINTS[level])
        hu[(away[..., 0] > 20) & (away[..., 0] < 44) & (away[..., 1] < 12) & (away[..., 2] < 6)] = 400
    return Scan(hu, GRID)


def location(sacrum=False, sacral_at=()):
    """A straight column, and given levels inside the sacrum."""
    grid = Grid((48, 40, 80), np.diag([4.0, 4.0, 4.0, 1.0]))
    spine, ribs, sacral = (np.zeros(grid.shape, np.float32) for _ in range(3))
    spine[20:28, 18:26, 2:76] = 1
    world = grid.to_world(np.stack(np.indices(grid.shape), axis=-1))
    for level in sacral_at:
        sacral[np.linalg.norm(world - POINTS[level], axis=-1) < 18] = 1
    if sacrum:
        sacral[18:30, 12:22, 0:4] = 1
    line = np.column_stack([np.full(80, 94.0), np.full(80, 90.0), np.arange(80) * 4.0])
    box = np.array([[60.0, 50, 2], [130.0, 130, 310]])
    return Location(True, "", grid, spine, ribs, sacral, box, line)


def named(called=None, rely=None, ribs_at=(), points=POINTS, **seen):
    """Identification of the test scan by a network that calls levels as ``called`` says."""
    scan = ribbed_scan(ribs_at)
    there = location(**seen)
    probe = identify(scan, there, Knowing(*[maps({}, 160, np.zeros(3), a) for a in (1, 0)]), load_prior(), CPU)
    shift = probe.grid.to_world([0, 0, 0]) / 2
    first = probe.views.first + shift
    network = Knowing(*[maps(points, 160, first, axis, called) for axis in (1, 0)])
    return identify(scan, there, network, load_prior(), CPU, rely or Reliance(), BrightBeside())


def test_points_and_levels_of_a_perfect_network_are_found():
    found = named(ribs_at=(Level.T10, Level.T11, Level.T12)).decoding.points_mm
    assert set(found) == set(POINTS)
    for level, point in POINTS.items():
        assert np.linalg.norm(found[level] - point) < 2.0


def test_nothing_in_the_heatmaps_is_nothing_found():
    scan = Scan(np.full(SHAPE, -50, np.int16), GRID)
    network = Knowing(*[maps({}, 160, np.zeros(3), axis) for axis in (1, 0)])
    found = identify(scan, location(), network, load_prior(), CPU)
    assert not found.decoding.points_mm
    assert found.decoding.in_doubt


def test_ribs_are_looked_for_about_the_last_ones_only():
    found = named(ribs_at=(Level.T12,))
    volumes = dict(zip(map(int, found.detections.bodies_mm[:, 2]), found.rib_cm3, strict=False))
    of = {level: volumes[min(volumes, key=lambda z: abs(z - point[2]))] for level, point in POINTS.items()}
    assert (of[Level.T12] > 2).all()
    assert (of[Level.L1] == 0).all()
    assert np.isnan(of[max(POINTS)]).all()


def test_ribs_that_nobody_vouches_for_decide_nothing():
    found = named(ribs_at=(Level.T12,), rely=Reliance(ribs=False))
    assert np.isnan(found.rib_cm3).all()


def test_ribs_speak_against_a_shifted_reading():
    """A network one level too low, ribs on the true three: the wrong reading loses certainty."""
    order = list(POINTS)
    shifted = dict(zip(order, [*order[1:], Level.L6], strict=True))
    ribs = tuple(order[:3])
    with_ribs, without = named(shifted, ribs_at=ribs), named(shifted, ribs_at=())
    # Candidates run from foot to head.
    gain = with_ribs.detections.level_log[-1] - without.detections.level_log[-1]
    assert gain[Level.T12.rank] > gain[Level.L1.rank] + 1
    assert gain[Level.T10.rank] > gain[Level.L2.rank] + 2
    # Ribs are evidence of their own: they count in full, whatever votes on levels are worth.
    said = [rib_level_log(found.rib_cm3[-1:])[0] for found in (with_ribs, without)]
    assert np.allclose(gain[: len(LEVELS)], said[0] - said[1], atol=1e-6)


def test_a_sacrum_in_view_is_a_point_of_its_own():
    with_sacrum, without = named(sacrum=True), named()
    assert len(with_sacrum.detections) == len(without.detections) + 1
    assert with_sacrum.detections.level_log[-1].argmax() == Level.S1.rank


def test_the_sacrum_is_none_of_the_candidates_that_naming_chose_from():
    found = named(sacrum=True)
    bodies, confidence = found.named_from()
    assert len(bodies) == len(confidence) == len(found.detections) - 1
    assert np.array_equal(bodies, found.detections.bodies_mm[:-1])


def test_the_first_sacral_body_is_seen_and_no_vertebra():
    """Naming sees S1 below L5; what the locating stage thinks of the sacrum is then not asked."""
    below = POINTS[Level.L5] - [0.0, 0.0, 30.0]
    found = named(points=POINTS | {Level.S1: below}, sacrum=True)
    assert set(found.decoding.points_mm) == set(POINTS)
    assert np.linalg.norm(found.sacral_body() - below) < 2.0
    assert len(found.detections) == len(POINTS) + 1
    assert np.linalg.norm(found.named_from()[0] - below, axis=1).min() > 20
    assert named(sacrum=True).sacral_body() is None


def test_there_is_one_sacrum_and_nothing_below_it():
    """An L6 that looks half like S1 stands above the real one; below lies a false peak."""
    bodies = np.array([[0.0, 0, 20], [0, 0, 60], [0, 0, 95], [0, 0, 130]])
    share = np.full((4, len(LEVELS)), 0.01)
    for row, level, value in ((0, Level.S1, 0.6), (1, Level.S1, 0.9), (2, Level.S1, 0.5), (2, Level.L6, 0.3)):
        share[row, level.rank] = value
    share[3, Level.L5.rank] = 0.9
    found = with_one_of_each_end(Candidates(bodies, np.log(share), np.array([0.5, 1.0, 1.0, 1.0])))
    assert np.array_equal(found.bodies_mm, bodies[1:])
    assert [LEVELS[k] for k in found.level_log.argmax(axis=1)] == [Level.S1, Level.L6, Level.L5]
    alone = Candidates(bodies[3:], np.log(share[3:]), np.ones(1))
    assert with_one_of_each_end(alone) is alone


def test_what_lies_above_the_atlas_is_no_vertebra():
    """A speck of skull that looks somewhat like C1, and C1 itself."""
    bodies = np.array([[0.0, 0, 40], [0, 0, 17], [0, 0, 0]])
    share = np.full((3, len(LEVELS)), 0.01)
    for row, level, value in ((0, Level.C1, 0.6), (1, Level.C1, 0.7), (1, Level.C2, 0.3), (2, Level.C2, 0.5)):
        share[row, level.rank] = value
    found = with_one_of_each_end(Candidates(bodies, np.log(share), np.array([0.8, 1.0, 1.0])))
    assert np.array_equal(found.bodies_mm, bodies[1:])
    assert [LEVELS[k] for k in found.level_log.argmax(axis=1)] == [Level.C1, Level.C2]


def test_a_first_sacral_body_speaks_against_an_l6():
    """A network that calls every lumbar vertebra one too low: with S1 right below the last one, less believed."""
    order = list(POINTS)
    shifted = dict(zip(order, [*order[1:], Level.L6], strict=True))
    below = POINTS[Level.L5] - [0.0, 0.0, 30.0]
    with_s1 = named(shifted, points=POINTS | {Level.S1: below})
    assert with_s1.decoding.margin < named(shifted).decoding.margin


def test_a_network_that_does_not_know_s1_is_refused():
    network = Btrfly(BtrflyShape(CHANNELS, BACKGROUND, (8, 8)))
    with pytest.raises(InputError, match="28 outputs"):
        identify(ribbed_scan(), location(), network, load_prior(), CPU)


def test_what_lies_inside_the_sacrum_is_no_candidate():
    lowest = max(POINTS)
    found, all_of_them = named(sacral_at=[lowest]), named(sacral_at=[lowest], rely=Reliance(sacrum=False))
    assert len(found.rib_cm3) == len(POINTS) - 1
    assert len(all_of_them.rib_cm3) == len(POINTS)
    assert sacral_share(location(sacral_at=[lowest]), np.array(list(POINTS.values()))).round(2)[-2:].tolist() == [0, 1]


@pytest.mark.parametrize("offset", [0.0, 0.4])
def test_candidates_are_finer_than_the_views(offset):
    point = np.array([94.0 + offset, 90.0 + offset, 150.0 + offset])
    views = Views(np.zeros((3, 160, WIDTH), np.float32), np.zeros((3, 160, WIDTH), np.float32), np.zeros(3))
    pictures = [maps({Level.L3: point}, 160, np.zeros(3), axis) for axis in (1, 0)]
    seen = find_candidates(*pictures, views, np.tile([47.0, 45.0], (160, 1)), GRID)
    assert len(seen) == 1
    assert np.abs(seen.bodies_mm[0] - point).max() < 0.6
    assert seen.level_log[0].argmax() == Level.L3.rank
    assert seen.confidence[0] > 0.7


@pytest.mark.parametrize(("rates", "weak"), [((0.95, 0.9), False), ((0.95, 0.3), True), ((), False)])
def test_a_naming_network_that_is_often_wrong_is_not_relied_on(rates, weak):
    metrics = {f"held_out_level_right_{view}": rate for view, rate in zip(("sagittal", "coronal"), rates, strict=False)}
    assert reliance({}, {**metrics, "held_out_loss": 0.1}).least_margin == (np.inf if weak else 0)
    # What was seen on whole scans counts more than what was seen on single views.
    assert reliance({}, {**metrics, "doubt_margin": 6.5}).least_margin == 6.5


def test_ribs_and_sacrum_are_relied_on_where_they_were_found():
    dice = {"held_out_dice_ribs": 0.7, "held_out_dice_sacrum": 0.2}
    assert reliance(dice, {}) == Reliance(ribs=False, sacrum=False, least_margin=0.0)
    assert reliance({"held_out_dice_sacrum": 0.6}, {}, {"held_out_sides_right": 0.95}) == Reliance(True, True, 0.0)


def test_below_the_margin_that_is_relied_on_the_same_numbering_is_in_doubt():
    ribs = (Level.T10, Level.T11, Level.T12)
    sure = named(ribs_at=ribs).decoding
    assert not sure.in_doubt
    for least, doubt in ((sure.margin - 0.01, False), (sure.margin + 0.01, True), (np.inf, True)):
        again = named(ribs_at=ribs, rely=Reliance(least_margin=least)).decoding
        assert again.in_doubt is doubt
        assert ("numbering_in_doubt" in again.flags) is doubt
        assert set(again.points_mm) == set(sure.points_mm)
