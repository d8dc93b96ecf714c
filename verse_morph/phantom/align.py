"""Makes a drawn pose fulfil what was asked: Cobb angles, disc heights, slips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from verse_morph.anatomy import Level
from verse_morph.errors import InputError
from verse_morph.phantom.parameters import Alignment, VertebraParameters
from verse_morph.phantom.pose import Chain, as_point, place, rim_tilts
from verse_morph.space import FloatArray

ROUNDS = 8
# No disc is thinner than this at any edge, mm.
LEAST_EDGE_MM = 1.0


def aligned(chain: Chain, shapes: Sequence[VertebraParameters], wanted: Alignment) -> tuple[VertebraParameters, ...]:
    """Placed vertebrae that fulfil the wanted alignment to within a few hundredths of a degree or millimetre."""
    origin = chain.levels.index(Level.L1)
    if wanted.coronal_curve_deg is not None:
        chain = _curved(chain, wanted)
    for _ in range(ROUNDS):
        vertebrae = place(chain, shapes, origin)
        chain = _cobb_step(chain, vertebrae, wanted)
        chain = _disc_step(chain, vertebrae, wanted)
        chain = _freed(chain, vertebrae, wanted)
    return _slipped(place(chain, shapes, origin), wanted)


def _freed(chain: Chain, vertebrae: Sequence[VertebraParameters], wanted: Alignment) -> Chain:
    """The chain with room at the narrowest edge of every disc whose height was not asked for.

    Raises
    ------
    InputError
        A wanted disc height lets the bodies meet.
    """
    distances = chain.distances_mm.copy()
    for i in range(1, len(vertebrae) - 1):
        least = narrowest(vertebrae[i], vertebrae[i + 1])
        if least >= LEAST_EDGE_MM - 0.05:
            continue
        name = vertebrae[i].level
        if name in wanted.disc_heights_mm:
            low = rim_gap(vertebrae[i], vertebrae[i + 1]) + LEAST_EDGE_MM - least
            raise InputError(
                f"a disc of {wanted.disc_heights_mm[name]:g} mm below {name} lets its bodies meet at this angle; "
                f"allowed are {low:.1f} to 20 mm"
            )
        distances[i] += LEAST_EDGE_MM - least
    return replace(chain, distances_mm=distances)


def narrowest(upper: VertebraParameters, lower: VertebraParameters) -> float:
    """Least gap between facing rim planes at the front, back, left and right end of the upper one's footprint, mm."""
    half_width, half_depth = 0.46 * upper.width_inferior, 0.48 * upper.depth_inferior
    gx = upper.right_minus_left / upper.width_middle
    gy = (upper.height_front - upper.height_back) / upper.depth_middle
    hx = lower.right_minus_left / lower.width_middle
    hy = (lower.height_front - lower.height_back) / lower.depth_middle
    gaps = []
    for x, y in ((0, half_depth), (0, -half_depth), (half_width, 0), (-half_width, 0)):
        above = upper.placement.to_world(np.array([x, y, -(upper.rim_height + gx * x + gy * y) / 2]))
        below = lower.placement.to_own(above)
        gaps.append(below[2] - (lower.rim_height + hx * below[0] + hy * below[1]) / 2)
    return float(min(gaps))


def _last(levels: Sequence[Level], region: str) -> Level:
    return max(level for level in levels if level.region == region)


def _cobb_step(chain: Chain, vertebrae: Sequence[VertebraParameters], wanted: Alignment) -> Chain:
    """One correction of the sagittal and coronal angles between end vertebrae."""
    levels = chain.levels
    tasks = [
        (wanted.lordosis_L1_L5_deg, Level.L1, _last(levels, "lumbar"), "superior"),
        (wanted.kyphosis_T4_T12_deg, Level.T4, _last(levels, "thoracic"), "superior"),
        (wanted.lordosis_C2_C7_deg, Level.C2, Level.C7, "inferior"),
    ]
    links = chain.sagittal_deg.copy()
    for value, upper, lower, plate in tasks:
        if value is None:
            continue
        first, last = levels.index(upper), levels.index(lower)
        found = rim_tilts(vertebrae[first])[f"{plate}_sagittal"] - rim_tilts(vertebrae[last])["inferior_sagittal"]
        links = _turned(links, first, last, value - found)
    # The whole keeps its balance: the link in the middle of the lumbar spine leans as before.
    middle = levels.index(Level.L3)
    links += chain.sagittal_deg[middle] - links[middle]
    bend = chain.coronal_deg
    if wanted.coronal_curve_deg is not None:
        first, last = (levels.index(Level(name)) for name in wanted.coronal_ends)
        found = rim_tilts(vertebrae[first])["superior_coronal"] - rim_tilts(vertebrae[last])["inferior_coronal"]
        bend = bend + (wanted.coronal_curve_deg - found) * _curve_shape(chain, wanted)
    return replace(chain, sagittal_deg=links, coronal_deg=bend)


def _turned(links: FloatArray, first: int, last: int, more_deg: float) -> FloatArray:
    """Links with ``more_deg`` of lordosis spread evenly between two vertebrae; what lies below stays."""
    out = links.copy()
    count = last - first
    for i in range(len(links)):
        share = float(np.clip((last - 0.5 - i) / max(count - 1, 1), 0, 1)) if i >= first else 1.0
        out[i] -= more_deg * share
    return out


def _curve_shape(chain: Chain, wanted: Alignment) -> FloatArray:
    """Lean of the links for a coronal curve of one degree: -1/2 to +1/2 between the ends, fading beyond them."""
    first, last = (chain.levels.index(Level(name)) for name in wanted.coronal_ends)
    i = np.arange(len(chain.coronal_deg))
    inside = (i + 0.5 - first) / (last - first) - 0.5
    above = -0.5 * np.clip(1 - (first - i - 0.5) / 4, 0, 1)
    below = 0.5 * np.clip(1 - (i + 0.5 - last) / 4, 0, 1)
    return np.where(i < first, above, np.where(i >= last, below, np.clip(inside, -0.5, 0.5)))


def _curved(chain: Chain, wanted: Alignment) -> Chain:
    """A chain with a coronal curve; bodies turn towards the convexity by a third of the angle at the apex."""
    angle = wanted.coronal_curve_deg or 0.0
    first, last = (chain.levels.index(Level(name)) for name in wanted.coronal_ends)
    i = np.arange(len(chain.turn_deg))
    bell = np.clip(1 - np.abs((2 * i - first - last) / max(last - first, 1)) ** 2, 0, 1)
    smooth = 0.25 * chain.coronal_deg + angle * _curve_shape(chain, wanted)
    return replace(chain, coronal_deg=smooth, turn_deg=chain.turn_deg - angle / 3 * bell)


def _disc_step(chain: Chain, vertebrae: Sequence[VertebraParameters], wanted: Alignment) -> Chain:
    distances = chain.distances_mm.copy()
    for name, value in wanted.disc_heights_mm.items():
        i = chain.levels.index(Level(name))
        if i + 1 < len(vertebrae):
            distances[i] += value - rim_gap(vertebrae[i], vertebrae[i + 1])
    return replace(chain, distances_mm=distances)


def rim_gap(upper: VertebraParameters, lower: VertebraParameters) -> float:
    """Distance along the disc's middle normal between the middles of the facing rim planes, mm."""
    above = upper.placement.to_world(np.array([0, 0, -upper.rim_height / 2]))
    below = lower.placement.to_world(np.array([0, 0, lower.rim_height / 2]))
    normal = np.array(upper.rotation)[:, 2] + np.array(lower.rotation)[:, 2]
    return float((above - below) @ normal / np.linalg.norm(normal))


def slip_of(upper: VertebraParameters, lower: VertebraParameters) -> float:
    """Forward shift of the upper vertebra's lower back corner over the lower one's upper back corner, mm.

    Along the front-back axis of the lower vertebra's upper rim plane; corners are those of the rim planes in the mid-
    sagittal plane.
    """
    corner_above = back_corner(upper, superior=False)
    corner_below = back_corner(lower, superior=True)
    slope = (lower.height_front - lower.height_back) / lower.depth_middle / 2
    axis = np.array(lower.rotation) @ np.array([0, 1.0, slope]) / np.hypot(1, slope)
    return float((corner_above - corner_below) @ axis)


def back_corner(shape: VertebraParameters, superior: bool) -> FloatArray:
    """World position of the corner between an endplate's rim plane and the back wall in the mid-sagittal plane."""
    sign = 1.0 if superior else -1.0
    depth = shape.depth_superior if superior else shape.depth_inferior
    y = -shape.back_concavity / 2 - (depth + shape.back_concavity) / 2 + shape.back_concavity
    gy = (shape.height_front - shape.height_back) / shape.depth_middle
    return shape.placement.to_world(np.array([0, y, sign * (shape.rim_height + gy * y) / 2]))


def _slipped(vertebrae: tuple[VertebraParameters, ...], wanted: Alignment) -> tuple[VertebraParameters, ...]:
    """Shifts each named vertebra, with all above it, to its wanted slip."""
    out = list(vertebrae)
    for name, value in wanted.slips_mm.items():
        i = next(k for k, v in enumerate(out) if v.level == name)
        if i + 1 == len(out):
            continue
        axis = np.array(out[i + 1].rotation)[:, 1]
        for _ in range(3):
            shift = axis * (value - slip_of(out[i], out[i + 1]))
            for k in range(i + 1):
                out[k] = replace(out[k], centre_mm=as_point(np.array(out[k].centre_mm) + shift))
    return tuple(out)
