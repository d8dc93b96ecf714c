"""Free space, a joint's cleft and a bridge beside a disc, as blocks of bone."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from verse_morph.spine import Frame
from verse_morph.variants.contact import contact_of
from verse_morph.variants.neighbourhood import Neighbourhood
from verse_morph.variants.transverse import BRIDGE_MM2, JOINT_MM2

from .scene import AXES, Scene

FRAME = Frame(np.array([0.0, 0.0, 15.0]), *AXES)


def seen(gap_mm, spongy=150, noise=30.0):
    """Process above and wing below on the left, each with a cortex, ``gap_mm`` apart; None makes them one bone."""
    scene = Scene(shape=(130, 80, 90), spacing=1.0)
    fine = np.repeat(scene.points[..., 2:], 1, axis=-1)[..., 0]
    x, y = scene.points[..., 0], scene.points[..., 1]
    inside = (x < -24) & (x > -55) & (np.abs(y + 6) < 14)
    hu = np.full(scene.hu.shape, 40.0)
    if gap_mm is None:
        hu[inside & (np.abs(fine) < 24)] = spongy
    else:
        half = gap_mm / 2
        for sign in (1, -1):
            depth = np.minimum(sign * fine - half, 24 - sign * fine)
            share = np.clip(depth + 0.5, 0, 1) * inside
            shell = np.clip(depth + 0.5, 0, 1) * np.clip(2.0 - depth, 0, 1) * inside
            hu = hu * (1 - share) + spongy * share
            hu += shell * 700
    hu = gaussian_filter(hu, 0.5) + np.random.default_rng(0).normal(0, noise, hu.shape)
    nothing = np.zeros(hu.shape, dtype=np.uint8)
    near = Neighbourhood(scene.grid, nothing, nothing, hu.astype(np.float32), hu, np.ones((3, 2), dtype=bool))
    return contact_of(near, FRAME, np.zeros(3), 22.0, "left", 90.0)


def test_a_wide_gap_is_neither_joint_nor_bridge():
    contact = seen(8.0)
    assert contact.joint_mm2 < JOINT_MM2 / 2
    assert contact.bridge_mm2 < BRIDGE_MM2 / 2


def test_a_narrow_cleft_is_a_joint():
    contact = seen(1.6)
    assert contact.joint_mm2 > 2 * JOINT_MM2
    assert contact.bridge_mm2 < BRIDGE_MM2
    assert contact.cleft_mm == pytest.approx(1.6, abs=1.0)


@pytest.mark.parametrize("spongy", [140, 220])
def test_bone_without_a_cleft_is_a_bridge(spongy):
    contact = seen(None, spongy)
    assert contact.bridge_mm2 > 2 * BRIDGE_MM2
    assert contact.joint_mm2 < JOINT_MM2


def test_out_of_view():
    nothing = np.zeros((20, 20, 20), dtype=np.uint8)
    grid = Scene(shape=(20, 20, 20)).grid
    hu = np.zeros((20, 20, 20), dtype=np.float32)
    near = Neighbourhood(grid, nothing, nothing, hu, hu, np.ones((3, 2), dtype=bool))
    assert contact_of(near, FRAME, np.zeros(3), 22.0, "left", 90.0) is None
