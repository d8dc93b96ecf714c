"""Changes of views: what is seen and where it is said to be must move together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verse_morph.segment.train.view_changes import STRETCH, UNEVEN, UNEVEN_ROWS, draw_stretches, hide

ROWS, COLUMNS = 128, 96


def _spot(column: float, row: float) -> np.ndarray:
    down = np.exp(-0.5 * ((np.arange(ROWS) - row) / 3) ** 2)
    across = np.exp(-0.5 * ((np.arange(COLUMNS) - column) / 3) ** 2)
    return (down[:, None] * across[None, :])[None].astype(np.float32)


@given(st.integers(0, 10_000), st.floats(40, 56), st.floats(45, 85))
def test_a_spot_moves_to_where_its_point_moves(seed: int, column: float, row: float) -> None:
    pair = draw_stretches(ROWS, np.random.default_rng(seed))
    if pair is None:
        return
    for stretch in pair:
        seen = stretch.view(_spot(column, row))[0]
        weight = np.maximum(seen, 0)  # outside is air, which the network's scale makes negative
        rows, columns = np.mgrid[:ROWS, :COLUMNS]
        centre = np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()
        said = stretch.points(np.array([[column, row]]), (COLUMNS - 1) / 2)[0]
        assert np.abs(centre - said).max() < 0.35


def test_both_views_keep_their_heights_in_common() -> None:
    pairs = [draw_stretches(ROWS, np.random.default_rng(seed)) for seed in range(40)]
    drawn = [pair for pair in pairs if pair is not None]
    assert 20 < len(drawn) < 40
    low, high = STRETCH[0] * (1 - UNEVEN), STRETCH[1] * (1 + UNEVEN)
    for sagittal, coronal in drawn:
        assert np.array_equal(sagittal.rows, coronal.rows)
        # Nothing is turned over, and nowhere stretched beyond what both limits allow.
        steps = np.diff(sagittal.rows)
        assert low <= steps.min() <= steps.max() <= high


def test_heights_change_unevenly_and_ends_stay_where_they_belong() -> None:
    pairs = [draw_stretches(ROWS, np.random.default_rng(seed)) for seed in range(60)]
    rows = np.stack([pair[0].rows for pair in pairs if pair is not None])
    steps = np.diff(rows, axis=1)
    assert np.median(steps.max(axis=1) / steps.min(axis=1)) > 1.15
    # Enlarged, a view still begins and ends near the borders of the old one; made smaller, it holds the old one.
    whole = (rows[:, -1] - rows[:, 0]) / (ROWS - 1)
    swell = UNEVEN * UNEVEN_ROWS[1] / (2 * np.pi)
    assert (np.where(whole > 1, rows[:, 0], -rows[:, 0]) <= swell).all()


def test_hiding_leaves_the_given_view_alone_and_most_of_it_visible() -> None:
    rng = np.random.default_rng(0)
    view = rng.normal(size=(3, ROWS, COLUMNS)).astype(np.float32)
    before = view.copy()
    changed = [float((hide(view, np.random.default_rng(seed)) != before).mean()) for seed in range(60)]
    assert (view == before).all()
    assert 0.2 < np.mean(np.array(changed) == 0) < 0.9
    assert np.mean(changed) == pytest.approx(0.1, abs=0.08)
