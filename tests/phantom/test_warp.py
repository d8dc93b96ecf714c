"""Random deformations."""

import numpy as np

from verse_morph.phantom.warp import DeformationRange, draw_deformation

STIFF = {"rotation_deg": 0.0, "shear": 0.0, "scale": (1.0, 1.0), "stretch": 0.0, "bend_mm": 0.0, "mirror": 0.0}


def drawn(seed, **limits):
    rng = np.random.default_rng(seed)
    return draw_deformation((20, 20, 20), (2.0, 2.0, 2.0), rng, DeformationRange(**(STIFF | limits)))


def test_leaning_turns_about_the_left_right_axis_alone():
    angles = []
    for seed in range(60):
        matrix = drawn(seed, lean_deg=30).matrix
        np.testing.assert_allclose(matrix[0], [1, 0, 0], atol=1e-12)
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
        angles.append(np.degrees(np.arctan2(matrix[2, 1], matrix[1, 1])))
    assert -30 <= min(angles) < -20
    assert 20 < max(angles) <= 30


def test_who_does_not_ask_for_a_lean_gets_the_deformations_of_before():
    # The same random numbers in the same order.
    rng = np.random.default_rng(3)
    limits = DeformationRange()
    first = draw_deformation((20, 20, 20), (2.0, 2.0, 2.0), rng, limits)
    np.testing.assert_allclose(
        np.diag(first.matrix), [-1.022741746851065, 0.9524713657809553, 0.9304595259531528], rtol=1e-9
    )
