"""The networks: shapes, which way round they pack voxels, and who sees what."""

import numpy as np
import pytest
import torch

from verse_morph.errors import InputError
from verse_morph.segment.networks import (
    BtrflyShape,
    UNetShape,
    build,
    describe,
    shape_from,
    shuffle3d,
    unshuffle3d,
)

UNET, BTRFLY = UNetShape(2, 3, (8, 16)), BtrflyShape(2, 5, (8, 16, 16))


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(1)


@pytest.mark.parametrize("sides", [(8, 8, 8), (12, 4, 16)])
def test_a_unet_answers_on_the_grid_it_reads(sides):
    with torch.no_grad():
        assert build(UNET)(torch.zeros(1, 2, *sides)).shape == (1, 3, *sides)
    assert UNET.divisor == 4


def test_both_views_are_answered_and_may_differ_in_width():
    with torch.no_grad():
        sagittal, coronal = build(BTRFLY)(torch.zeros(1, 2, 32, 16), torch.zeros(1, 2, 32, 24))
    assert (sagittal.shape, coronal.shape) == ((1, 5, 32, 16), (1, 5, 32, 24))
    assert BTRFLY.divisor == 8


def test_packing_keeps_neighbours_together_and_can_be_undone():
    x = torch.arange(2 * 4 * 6 * 8, dtype=torch.float32).reshape(1, 2, 4, 6, 8)
    packed = unshuffle3d(x)
    assert packed.shape == (1, 16, 2, 3, 4)
    assert torch.equal(shuffle3d(packed), x)
    assert set(packed[0, :8, 1, 2, 3].tolist()) == set(x[0, 0, 2:4, 4:6, 6:8].flatten().tolist())


def test_each_view_sees_the_same_height_of_the_other_one():
    """A change in one view changes the other one's answer, wherever in the row it lies: by its mean only."""
    model = build(BTRFLY).eval()
    left, right, other = torch.zeros(1, 2, 32, 16), torch.zeros(1, 2, 32, 16), torch.randn(1, 2, 32, 16)
    left[..., 8:16, 0:8], right[..., 8:16, 8:16] = 1, 1
    with torch.no_grad():
        blank, one = (model(view, other)[1] for view in (torch.zeros_like(left), left))
    assert float((blank - one).abs().max()) > 1e-4


@pytest.mark.parametrize("shape", [UNET, BTRFLY])
def test_a_size_survives_its_description(shape):
    assert shape_from(describe(shape)) == shape
    built = [sum(p.numel() for p in build(s).parameters()) for s in (shape, shape_from(describe(shape)))]
    assert np.ptp(built) == 0


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ({"kind": "cube"}, "of kind 'cube'; this version has unet3d, btrfly"),
        ({}, "of kind None"),
        ({"kind": "unet3d", "inputs": 1, "outputs": 1}, "a unet3d of another version"),
        ({"kind": "btrfly", "widths": [8], "depth": 3}, "a btrfly of another version"),
    ],
)
def test_descriptions_of_other_versions(description, words):
    with pytest.raises(InputError, match=words):
        shape_from(description)
