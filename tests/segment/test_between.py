"""Points on discs: the row moves to where its outlines are surer, as a row, or stays."""

import numpy as np
import pytest
import torch

from verse_morph.anatomy import Level
from verse_morph.segment.between import off_discs
from verse_morph.segment.outline import core, outline
from verse_morph.segment.patches import SPACING_MM
from verse_morph.segment.resample import reduced

from .stand_in import CPU, NearAndBright, ball_scan, scan_grid

HEIGHTS = (56.0, 28.0, 0.0, -28.0, -56.0)
PLACES = [np.array([4.0, -6.0, z]) for z in HEIGHTS]


class UnsureOffBone(NearAndBright):
    """Half as sure where the heatmap's peak lies on no bone, as the trained network is."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = super().forward(x)
        peak = x[0, 1].argmax()
        return logits if x[0, 0].flatten()[peak] > 0.2 else logits.clamp(max=1.2)


@pytest.fixture(scope="module")
def source():
    return reduced(ball_scan(scan_grid(size_mm=(70, 70, 170)), PLACES), SPACING_MM)


def heights_of(points: dict[Level, np.ndarray], source) -> list[float]:
    network = UnsureOffBone(reach_mm=20.0)
    first = outline(source, points, network, CPU, recentre=False)
    settled = off_discs(first, source, network, CPU)
    assert [each.level for each in settled] == sorted(points)
    return [float(core(each).centre_mm[2]) for each in settled]


def test_two_points_on_discs_move_to_where_the_row_is_even(source):
    between = [PLACES[0] - [0, 0, 14.0], PLACES[1] - [0, 0, 14.0]]
    points = dict(zip((Level.L1, Level.L2, Level.L3, Level.L4), [*between, *PLACES[3:]], strict=True))
    # Up as well as down both come to lie on bone; only down leaves no gap above L3.
    assert heights_of(points, source) == pytest.approx([28, 0, -28, -56], abs=2.5)


def test_a_sure_vertebra_above_a_gap_moves_with_its_row(source):
    # The second one has slid to the body above its own and is sure of it; below it lies a body that nobody has.
    points = dict(
        zip((Level.L1, Level.L2, Level.L3, Level.L4), [PLACES[0] - [0, 0, 14.0], PLACES[1], *PLACES[3:]], strict=True)
    )
    assert heights_of(points, source) == pytest.approx([28, 0, -28, -56], abs=2.5)


def test_names_keep_their_order_and_no_two_share_a_body(source):
    between = [place - np.array([0, 0, 14.0]) for place in PLACES[:4]]
    points = dict(zip((Level.L1, Level.L2, Level.L3, Level.L4), between, strict=True))
    found = heights_of(points, source)
    assert np.diff(found) == pytest.approx([-28] * 3, abs=3)
    assert found[0] == pytest.approx(56, abs=2.5) or found[0] == pytest.approx(28, abs=2.5)


def test_a_gap_is_no_reason_to_move_into_it(source):
    points = dict(zip((Level.T9, Level.T11, Level.T12), [PLACES[0], PLACES[2], PLACES[3]], strict=True))
    assert heights_of(points, source) == pytest.approx([56, 0, -28], abs=1.5)


def test_a_row_that_is_sure_is_the_same_object_for_object(source):
    network = NearAndBright()
    first = outline(source, dict(zip((Level.L1, Level.L2, Level.L3), PLACES[:3], strict=True)), network, CPU)
    assert all(a is b for a, b in zip(off_discs(first, source, network, CPU), first, strict=True))
