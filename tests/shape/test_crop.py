import numpy as np
import pytest

from verse_morph.anatomy import VERSE, Level
from verse_morph.shape.crop import MARGIN_MM, crop_levels, crop_values
from verse_morph.space import Grid
from verse_morph.volume import LabelMap


def labelmap(array, spacing_mm=(1.0, 1.0, 1.0)):
    return LabelMap(array.astype(np.uint8), Grid(array.shape, np.diag([*spacing_mm, 1.0])), VERSE)


def with_block(shape=(60, 60, 60)):
    array = np.zeros(shape, np.uint8)
    array[20:40, 20:40, 20:40] = 22
    return array


def test_a_speck_is_dropped_and_counted():
    array = with_block()
    array[50:52, 50, 50] = 22
    crop = crop_levels(labelmap(array))[Level.L3]
    assert crop.mask.sum() == 20**3
    assert crop.volume_mm3 == 20**3
    assert (crop.removed_voxels, crop.pieces) == (2, 1)


def test_a_large_second_piece_stays_and_is_counted():
    array = with_block()
    array[45:55, 20:40, 20:40] = 22
    crop = crop_levels(labelmap(array))[Level.L3]
    assert crop.mask.sum() == 20**3 + 10 * 20 * 20
    assert (crop.removed_voxels, crop.pieces) == (0, 2)


def test_the_crop_reaches_five_millimetres_beyond_the_label_or_to_the_border():
    array = with_block()
    array[20:40, 20:40, 0:20] = 22
    crop = crop_levels(labelmap(array))[Level.L3]
    assert crop.mask.shape == (30, 30, 45)
    assert MARGIN_MM == 5.0
    assert crop.border.tolist() == [[False, False], [False, False], [True, False]]
    assert len(crop.on_border(crop.mask)) == 20 * 20
    np.testing.assert_allclose(crop.grid.to_world(np.argwhere(crop.mask)).mean(axis=0), [29.5, 29.5, 19.5])


def test_neighbours_are_told_from_what_is_no_vertebra():
    array = with_block()
    array[20:40, 20:40, 41:44] = 23
    array[20:40, 41:44, 20:40] = 26
    crop = crop_levels(labelmap(array))[Level.L3]
    assert crop.others.sum() == 20 * 20 * 3


@pytest.mark.parametrize("spacing", [(0.25, 0.25, 1.0), (0.3, 0.35, 0.39), (0.1, 1.0, 1.0)])
def test_halving_fine_voxels_keeps_volume_and_place(spacing):
    index = np.indices((90, 80, 60)).reshape(3, -1).T - [41.3, 38.2, 29.1]
    ball = ((index / [30, 25, 20]) ** 2).sum(axis=1) < 1
    labels = labelmap(22 * ball.reshape(90, 80, 60), spacing)
    crop = crop_levels(labels)[Level.L3]
    assert crop.grid.spacing_mm.min() >= 0.4
    assert crop.volume_mm3 == pytest.approx(ball.sum() * np.prod(spacing))
    assert crop.mask.sum() * crop.grid.voxel_volume_mm3 == pytest.approx(crop.volume_mm3, rel=0.01)
    truth = labels.grid.to_world(np.argwhere(labels.labels)).mean(axis=0)
    np.testing.assert_allclose(crop.grid.to_world(np.argwhere(crop.mask)).mean(axis=0), truth, atol=0.05)


def test_levels_come_head_to_foot():
    array = np.zeros((10, 10, 40), np.uint8)
    for value, k in ((20, 2), (28, 10), (19, 20), (1, 30)):
        array[2:6, 2:6, k : k + 4] = value
    assert [str(level) for level in crop_levels(labelmap(array))] == ["C1", "T12", "T13", "L1"]


def test_the_order_in_memory_changes_nothing():
    array = with_block()
    array[5:15, 20:30, 41:50] = 23
    array[50:52, 50, 50] = 22
    crops = [crop_levels(labelmap(order(array))) for order in (np.ascontiguousarray, np.asfortranarray)]
    assert list(crops[0]) == list(crops[1]) == [Level.L3, Level.L4]
    for level, crop in crops[0].items():
        assert np.array_equal(crop.mask, crops[1][level].mask)
        assert np.array_equal(crop.others, crops[1][level].others)
        assert np.array_equal(crop.grid.affine, crops[1][level].grid.affine)


def test_labels_taken_as_one_keep_all_their_voxels():
    array = with_block()
    array[20:40, 20:40, 10:20] = 24
    crop = crop_values(labelmap(array), [22, 24, 99])
    assert crop.mask.sum() == 20 * 20 * 30
    assert not crop.others.any()
    assert crop_values(labelmap(array), [99]) is None
