"""The vertebral body as functions: two endplate surfaces over a footprint that widens towards the rims.

Own coordinates: x right, y anterior, z superior, origin in the middle of the middle depth between the rim planes. Both
rim planes tilt by the same angle in opposite directions, so that z is the mean of their normals by construction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verse_morph.anatomy import Level
from verse_morph.phantom.implicit import Field, smooth_min
from verse_morph.phantom.parameters import Schmorl, VertebraParameters
from verse_morph.space import FloatArray

# Width of the plane rim outside an endplate's concavity: a share of the half-axis, at least some millimetres, at most
# half of it.
RIM_SHARE, RIM_LEAST_MM, RIM_MOST_SHARE = 0.24, 4.3, 0.5
# Where the concavity is deepest, as a share of the half depth behind the middle.
APEX = {"superior": 0.05, "inferior": 0.18}
RIM_RADIUS_MM = 1.6
# Exponents of the superellipse in front and behind: the back corners are squarer.
FRONT_POWER, BACK_POWER = 2.15, 2.7
# Uncinate processes begin at this share of the half width.
UNCUS_START = 0.68


def _smoothstep(share: NDArray) -> NDArray:
    p = np.clip(share, 0, 1)
    return p * p * (3 - 2 * p)


@dataclass(frozen=True, eq=False)
class BodyPart:
    """The body of one vertebra as a part (see :class:`verse_morph.phantom.implicit.Part`) and as surfaces."""

    shape: VertebraParameters
    nodes: Sequence[Schmorl] = ()

    @property
    def cervical(self) -> bool:
        """Whether uncinate processes and bevels shape the endplates."""
        return Level(self.shape.level).region == "cervical"

    @property
    def slopes(self) -> tuple[float, float]:
        """Growth of the rim planes' distance per mm to the right and to the front."""
        s = self.shape
        return s.right_minus_left / s.width_middle, (s.height_front - s.height_back) / s.depth_middle

    def half_axes(self, z: NDArray) -> tuple[NDArray, NDArray]:
        """Half width and half depth of the footprint at heights z, mm."""
        s = self.shape
        share = np.clip(2 * z / s.rim_height, -1.25, 1.25)
        bow = share * share
        upper = z > 0
        width = s.width_middle + bow * np.where(
            upper, s.width_superior - s.width_middle, s.width_inferior - s.width_middle
        )
        depth = s.depth_middle + bow * np.where(
            upper, s.depth_superior - s.depth_middle, s.depth_inferior - s.depth_middle
        )
        return width / 2, (depth + s.back_concavity) / 2

    def _dish(self, x: NDArray, y: NDArray, superior: bool) -> NDArray:
        s = self.shape
        half_width = (s.width_superior if superior else s.width_inferior) / 2
        half_depth = (s.depth_superior if superior else s.depth_inferior) / 2
        a, b = (
            half - min(max(RIM_SHARE * half, RIM_LEAST_MM), RIM_MOST_SHARE * half) for half in (half_width, half_depth)
        )
        apex = -APEX["superior" if superior else "inferior"] * b
        reach = np.where(y > apex, b - apex, b + apex)
        return _smoothstep(1 - (x / a) ** 2 - ((y - apex) / reach) ** 2)

    def _pits(self, x: NDArray, y: NDArray, superior: bool) -> NDArray | float:
        s = self.shape
        out: NDArray | float = 0.0
        for node in self.nodes:
            if node.superior == superior:
                dx = x - np.float32(node.right_share * s.width_middle / 2)
                dy = y - np.float32(node.front_share * s.depth_middle / 2)
                out = out + np.float32(node.depth_mm) * _smoothstep(1.6 * (1 - (dx * dx + dy * dy) / node.radius_mm**2))
        return out

    def _side(self, x: NDArray, superior: bool) -> NDArray | float:
        """Upward deviation of a cervical endplate at its sides: uncinate processes above, bevels below."""
        if not self.cervical or not self.shape.uncus:
            return 0.0
        width = self.shape.width_superior if superior else self.shape.width_inferior
        lift = _smoothstep((np.abs(x) / (width / 2) - UNCUS_START) / (1.05 - UNCUS_START))
        return lift * (self.shape.uncus if superior else 0.7 * self.shape.uncus)

    def top(self, x: NDArray, y: NDArray) -> NDArray:
        """Height of the upper endplate over (x, y), mm."""
        gx, gy = self.slopes
        plane = (self.shape.rim_height + gx * x + gy * y) / 2
        out = plane - self.shape.concavity_superior * self._dish(x, y, True)
        return out - self._pits(x, y, True) + self._side(x, True)

    def bottom(self, x: NDArray, y: NDArray) -> NDArray:
        """Height of the lower endplate over (x, y), mm."""
        gx, gy = self.slopes
        plane = -(self.shape.rim_height + gx * x + gy * y) / 2
        out = plane + self.shape.concavity_inferior * self._dish(x, y, False)
        return out + self._pits(x, y, False) + self._side(x, False)

    def flank(self, x: NDArray, y: NDArray, z: NDArray) -> NDArray:
        """Depth below the side and back walls, mm."""
        s = self.shape
        a, b = self.half_axes(z)
        yc = y + s.back_concavity / 2
        u, v = np.abs(x) / a, np.abs(yc) / b
        front = yc > 0
        power = np.where(front, np.float32(FRONT_POWER), np.float32(BACK_POWER))
        level = (u**power + v**power) ** (1 / power)
        radius = np.sqrt(x * x + yc * yc)
        level = np.maximum(level, np.float32(0.05))
        ring = np.minimum(radius * (1 - level) / level, np.float32(25)) if radius.size else radius
        ring = np.where(level <= 0.05, np.minimum(a, b), ring)
        wall = yc + b - s.back_concavity * np.clip(1 - (x / (0.55 * a)) ** 2, 0, 1)
        return smooth_min(ring, wall, 2.0)

    def depth(self, x: Field, y: Field, z: Field) -> Field:
        """See :class:`verse_morph.phantom.implicit.Part`."""
        gx, gy = self.slopes
        tilt = np.float32(1 / np.sqrt(1 + (gx * gx + gy * gy) / 4))
        across = x[:, :1, :1] if x.shape[1:] == (1, 1) else x
        top = (self.top(across, y) - z) * tilt
        bottom = (z - self.bottom(across, y)) * tilt
        plates = np.minimum(top, bottom)
        return smooth_min(plates, self.flank(x, y, z), RIM_RADIUS_MM).astype(np.float32)

    def bounds_mm(self) -> FloatArray:
        """See :class:`verse_morph.phantom.implicit.Part`."""
        s = self.shape
        half = np.array([max(s.width_superior, s.width_inferior), max(s.depth_superior, s.depth_inferior), 0]) / 2
        gx, gy = self.slopes
        half[2] = s.rim_height / 2 + (abs(gx) * half[0] + abs(gy) * half[1]) / 2 + s.uncus
        half[:2] += 0.6
        return np.stack([-half, half])
