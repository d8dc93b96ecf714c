import numpy as np
import pytest

from verse_morph.shape.curve import WORLD_SUPERIOR, perpendicular, smooth_anterior, tangents


def arc(count, radius=150.0, step_deg=12.0):
    """Points head to foot on a circle in the sagittal plane, and their true tangents towards the head."""
    angle = np.radians((np.arange(count) - (count - 1) / 2) * step_deg)
    points = np.column_stack([np.zeros(count), radius * np.cos(angle), -radius * np.sin(angle)])
    return points, np.column_stack([np.zeros(count), np.sin(angle), np.cos(angle)])


def angle_deg(a, b):
    return np.degrees(np.arccos(np.clip((a * b).sum(axis=1), -1, 1)))


def test_tangents_of_a_circle():
    points, truth = arc(7)
    found = tangents(points, np.ones(7, bool))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1)
    assert angle_deg(found, truth).max() < 2
    assert angle_deg(found, truth)[1:-1].max() < 1


def test_a_point_that_must_not_shape_the_line_only_receives_a_tangent():
    points, truth = arc(7)
    use = np.ones(7, bool)
    use[3] = False
    bent = points.copy()
    bent[3] += [10, 0, 0]
    assert angle_deg(tangents(bent, use), truth).max() < 2
    assert angle_deg(tangents(bent, np.ones(7, bool)), truth).max() > 3


def test_two_points_give_their_line_and_one_gives_the_worlds():
    points = np.array([[0, 10.0, 30], [0, 0, 0]])
    np.testing.assert_allclose(tangents(points, np.array([True, True]))[0], [0, 0.3162, 0.9487], atol=1e-4)
    np.testing.assert_allclose(tangents(points, np.array([True, False])), [WORLD_SUPERIOR] * 2)


def test_anterior_of_an_outlier_follows_its_neighbours():
    up = np.tile(WORLD_SUPERIOR, (5, 1))
    own = [np.array([0.0, 1.0, 0.0])] * 5
    own[2] = np.array([np.sin(np.radians(20)), np.cos(np.radians(20)), 0])
    smoothed, outlier = smooth_anterior(own, up)
    assert outlier == [False, False, True, False, False]
    turn = np.degrees(np.arctan2(smoothed[2][0], smoothed[2][1]))
    assert turn == pytest.approx(5, abs=1.5)


def test_anterior_of_a_vertebra_without_canal_is_its_neighbours():
    up = np.tile(WORLD_SUPERIOR, (3, 1))
    front = perpendicular(np.array([0.2, 1.0, 0.0]), WORLD_SUPERIOR)
    smoothed, outlier = smooth_anterior([front, None, front], up)
    np.testing.assert_allclose(smoothed, [front] * 3, atol=1e-9)
    assert outlier == [False] * 3


def test_anterior_without_any_canal_is_the_worlds():
    smoothed, _ = smooth_anterior([None, None], np.tile(WORLD_SUPERIOR, (2, 1)))
    np.testing.assert_allclose(smoothed, [[0, 1, 0]] * 2)
