"""Deepest places, node candidates, wedge angles and corners against surfaces and solids that are known."""

import functools
from dataclasses import replace

import numpy as np
import pytest

from verse_morph.anatomy import Level
from verse_morph.errors import NotMeasurable
from verse_morph.measure import endplates, measure
from verse_morph.measure.endplates import corners, deepest, nodes
from verse_morph.measure.measurement import Measurement
from verse_morph.phantom.solids import Body, Placement, Sampling, SolidVertebra, rotation, spine_labelmap
from verse_morph.shape import build_spine
from verse_morph.spine import Endplate, Plane, Spine

ENTRIES = tuple(e for e in vars(endplates).values() if isinstance(e, Measurement) and "tilt" not in e.name)
SOLID = Body(44, 34, 22, 26, right_minus_left=3.0, concavity_superior=1.5)


@functools.cache
def built():
    place = Placement(rotation(7, 4, 3), np.array([0.5, 0.5, 0.5]))
    solid = SolidVertebra(SOLID, spinous_length=8.0, transverse_length=6.0)
    return build_spine(spine_labelmap({Level.L3: (solid, place)}, Sampling(margin_mm=4)))["L3"]


def with_surface(depth_of, upper=True):
    """The solid vertebra with an endplate of our own: flat but for a depth (mm) below the rim over local (x, y)."""
    vertebra = built()
    frame, sign = vertebra.frame, 1 if upper else -1
    x, y = (a.ravel() for a in np.meshgrid(np.arange(-19, 19.1, 0.8), np.arange(-14, 14.1, 0.8), indexing="ij"))
    inside = (x / 19.5) ** 2 + (y / 14.5) ** 2 < 1
    x, y = x[inside], y[inside]
    points = frame.to_world(np.column_stack([x, y, sign * (12.0 - depth_of(x, y))]))
    plane = Plane(frame.to_world(np.array([0.0, 0.0, sign * 12.0])), sign * frame.superior)
    edge = 14.5 * (1 - np.sqrt((x / 19.5) ** 2 + (y / 14.5) ** 2))
    plate = Endplate(points, edge, plane, plane, 0.0)
    return replace(vertebra, **{"superior" if upper else "inferior": plate})


def pit(x, y, at, radius, depth):
    return np.where(np.hypot(x - at[0], y - at[1]) < radius, depth, 0.0)


@pytest.mark.parametrize("upper", [True, False])
def test_the_deepest_place_is_found_where_it_is(upper):
    def dish(x, y):
        return np.clip(3.0 * (1 - ((x - 6) / 8) ** 2 - ((y + 4) / 7) ** 2), 0, None)

    vertebra = with_surface(dish, upper)
    found = deepest(vertebra, upper)
    assert found.depth_mm == pytest.approx(3.0, abs=0.2)
    assert found.x_mm == pytest.approx(6, abs=0.3)
    assert found.y_mm == pytest.approx(-4, abs=0.3)
    row = measure(Spine((vertebra,)), ENTRIES).iloc[0]
    side = "superior" if upper else "inferior"
    assert row[f"endplate_{side}_deepest_width_pct"] > 10, "to the right"
    assert row[f"endplate_{side}_deepest_depth_pct"] > 55, "behind the middle"


def test_a_flat_plate_has_no_deepest_place():
    row = measure(Spine((with_surface(lambda x, y: 0 * x),)), ENTRIES).iloc[0]
    assert np.isnan(row["endplate_superior_deepest_depth_pct"])
    assert "flat" in row["endplate_superior_deepest_depth_pct_why"]


@pytest.mark.parametrize("upper", [True, False])
def test_nodes_are_counted_and_their_depth_is_below_the_plate_s_own_surface(upper):
    def surface(x, y):
        bowl = 2.0 - 2.0 * (x / 19.5) ** 2 - 2.0 * (y / 14.5) ** 2
        return bowl + pit(x, y, (-8, 3), 3.2, 5.0) + pit(x, y, (7, -2), 2.6, 4.0)

    vertebra = with_surface(surface, upper)
    found = sorted(node.depth_mm for node in nodes(vertebra, upper))
    assert found == pytest.approx([4.0, 5.0], abs=0.4)
    row = measure(Spine((vertebra,)), ENTRIES).iloc[0]
    side = "superior" if upper else "inferior"
    assert row[f"endplate_{side}_schmorl_count"] == 2
    assert row[f"endplate_{side}_schmorl_depth_mm"] == pytest.approx(5.0, abs=0.4)


@pytest.mark.parametrize(
    ("at", "radius", "depth"),
    [((0, 0), 3.0, 2.5), ((0, 0), 1.2, 6.0), ((2, 0), 8.5, 5.0)],
    ids=["shallow", "tiny", "wide"],
)
def test_what_is_no_candidate(at, radius, depth):
    vertebra = with_surface(lambda x, y: pit(x, y, at, radius, depth))
    assert nodes(vertebra, True) == ()
    with pytest.raises(NotMeasurable, match="no candidate"):
        endplates.endplate_superior_schmorl_depth(vertebra)


def test_a_deep_dish_is_no_node():
    def biconcave(x, y):
        return np.clip(9.0 * (1 - (x / 18) ** 2 - (y / 13) ** 2), 0, None)

    assert nodes(with_surface(biconcave), True) == ()


def test_wedge_angles_have_the_signs_of_lordosis_and_of_a_curve_to_the_right():
    row = measure(Spine((built(),)), ENTRIES).iloc[0]
    # Lower in front by 4 mm over 34, higher on the right by 3 mm over 44.
    assert row["body_wedge_sagittal_deg"] == pytest.approx(-np.degrees(2 * np.arctan(4 / 34 / 2)), abs=0.7)
    assert row["body_wedge_coronal_deg"] == pytest.approx(np.degrees(2 * np.arctan(3 / 44 / 2)), abs=0.7)


def test_corners_lie_on_the_rim_planes_at_the_walls():
    vertebra = built()
    found = {name: vertebra.frame.to_local(point) for name, point in corners(vertebra).items()}
    assert len(found) == 4
    for side, front, back in (("superior", 22, 26), ("inferior", -22, -26)):
        fore, aft = found[f"{side}_anterior"], found[f"{side}_posterior"]
        assert fore[1] - aft[1] == pytest.approx(34, abs=1.0)
        assert fore[2] == pytest.approx(front / 2, abs=0.6)
        assert aft[2] == pytest.approx(back / 2, abs=0.6)


def test_a_corner_does_not_follow_an_osteophyte(monkeypatch):
    vertebra = built()
    plain = {name: vertebra.frame.to_local(point)[1] for name, point in corners(vertebra).items()}
    extents = endplates.endplate_extents

    def with_lip(subject, upper):
        width, depth = extents(subject, upper)
        return width, replace(depth, high=depth.high + 9.0)

    monkeypatch.setattr(endplates, "endplate_extents", with_lip)
    lipped = {name: vertebra.frame.to_local(point)[1] for name, point in corners(vertebra).items()}
    assert lipped["superior_anterior"] - plain["superior_anterior"] <= 3.2
    assert lipped["superior_posterior"] == pytest.approx(plain["superior_posterior"])
