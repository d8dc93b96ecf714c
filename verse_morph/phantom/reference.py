"""Mean sizes, positions and their spread per level: the numbers a phantom is drawn from.

Sources. Bodies, canal depth: Panjabi et al. 1991, 1992 (12 cadavers). Pedicle width and height: Zindrick et al. 1987.
Distances between body points, turning angles and pedicle positions: trimmed mean and robust standard deviation over
1,943 CT scans (vertebral keypoints of the VID data set, ImFusion, MICCAI 2023; CC BY-SA 4.0; summary statistics only).
Processes, facets: typical values of anatomy textbooks, adjusted by eye on CT masks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from verse_morph.anatomy import Level

# Cadaver to living CT.
PANJABI_SCALE = 1.05


@dataclass(frozen=True)
class BodyRow:
    """Mean body of a level, mm: upper and lower endplate width and depth, height at the back, front height as a share
    of it.
    """

    width_superior: float
    depth_superior: float
    width_inferior: float
    depth_inferior: float
    height_back: float
    front_share: float


# Columns as in BodyRow.
_BODIES = """
C3 15.8 15.0 17.2 15.6 11.6 0.94
C4 17.2 15.3 17.0 15.9 11.4 0.94
C5 17.5 15.2 19.4 17.9 11.4 0.92
C6 18.5 16.4 22.0 18.5 10.9 0.93
C7 21.8 18.1 23.4 16.8 12.8 0.95
T1 24.5 18.5 27.8 19.7 14.1 0.97
T2 24.9 19.6 27.4 21.6 15.6 0.97
T3 24.6 22.7 25.9 23.3 15.7 0.96
T4 24.5 23.3 26.0 24.5 16.2 0.95
T5 24.9 24.3 27.0 25.8 16.2 0.95
T6 26.2 26.0 28.2 26.9 17.4 0.94
T7 27.8 27.4 29.1 28.5 18.2 0.94
T8 29.5 27.9 30.5 29.4 18.7 0.95
T9 30.6 29.3 33.0 31.0 19.3 0.96
T10 31.9 30.5 35.4 31.6 20.2 0.95
T11 34.9 31.9 39.1 31.8 21.3 0.93
T12 39.0 32.8 42.1 33.4 22.7 0.92
L1 41.2 34.1 43.3 35.3 23.8 0.92
L2 42.6 34.6 45.5 34.9 24.3 0.95
L3 44.1 35.2 48.0 34.8 23.8 0.99
L4 46.6 35.5 49.5 33.9 24.1 1.03
L5 47.3 34.7 49.4 33.2 22.9 1.13
"""


def _bodies() -> dict[Level, BodyRow]:
    text = _BODIES.split()
    rows = {Level("C2"): BodyRow(15.0, 13.0, 17.0, 15.6, 18.0, 1.0)}
    for i in range(0, len(text), 7):
        rows[Level(text[i])] = BodyRow(*(float(v) for v in text[i + 1 : i + 7]))
    rows[Level.T13] = rows[Level.T12]
    rows[Level.L6] = rows[Level.L5]
    return rows


BODIES: Mapping[Level, BodyRow] = _bodies()


@dataclass(frozen=True)
class PointRow:
    """Mean and standard deviation of what body and pedicle points say about a level.

    Parameters
    ----------
    distance : (mean, sd)
        Distance to the next body point below, mm.
    turn : (mean, sd)
        Sagittal turning angle of the line of body points here, degrees, + = lordotic.
    separation, back, up : (mean, sd)
        Distance between the pedicle points; distance of their midpoint behind and above the body point, mm. The points
        of C7 fall into two groups, one in the pedicle (about 10 mm behind), one in the articular pillar (about 16 mm);
        the numbers span both.
    """

    distance: tuple[float, float]
    turn: tuple[float, float]
    separation: tuple[float, float]
    back: tuple[float, float]
    up: tuple[float, float]


# Mean and standard deviation of distance, turn, separation, back, up.
_POINTS = """
C1 17.2 1.9 0.0 5.0 44.0 2.8 2.0 1.5 0.0 1.5
C2 24.3 2.5 -9.9 7.4 33.9 2.8 11.7 1.3 -8.9 1.6
C3 17.7 1.9 3.9 4.9 34.4 3.6 10.7 2.4 1.0 1.6
C4 17.3 1.5 2.5 5.1 33.7 4.5 9.4 2.1 3.1 1.5
C5 16.7 1.4 0.0 7.7 30.3 5.0 8.2 2.0 4.0 1.1
C6 17.7 1.8 5.6 7.0 32.3 5.0 9.8 2.1 5.0 1.3
C7 19.6 1.6 7.6 5.6 32.2 5.4 14.2 4.0 3.0 2.2
T1 20.7 1.8 -0.7 4.7 29.1 3.5 10.6 1.3 5.0 1.3
T2 21.1 1.7 -1.7 3.5 25.0 2.1 12.2 1.1 5.7 1.0
T3 21.1 1.5 -4.9 3.4 22.6 1.5 13.4 1.3 5.7 0.9
T4 21.7 1.6 -5.0 3.1 21.4 1.5 14.4 1.3 5.8 0.9
T5 22.1 1.6 -5.6 2.6 21.4 1.6 15.8 1.4 6.3 0.8
T6 22.6 1.9 -6.2 2.8 21.5 1.8 17.0 1.5 6.8 0.9
T7 23.4 1.7 -5.8 3.1 22.0 1.4 18.6 1.7 7.5 1.1
T8 24.0 1.9 -2.8 3.6 22.6 1.9 20.5 2.8 8.0 1.4
T9 25.4 2.1 -1.4 4.1 23.4 1.6 21.5 3.1 8.1 1.4
T10 27.3 2.3 -0.8 4.0 24.7 2.0 22.4 3.3 8.1 1.3
T11 29.7 2.3 -0.6 4.0 27.2 2.3 23.8 3.3 7.3 1.4
T12 32.3 2.4 -0.6 3.8 29.5 2.5 24.9 3.2 6.3 1.3
L1 34.5 2.4 -1.0 3.5 29.9 2.4 24.8 2.9 6.4 1.3
L2 35.8 2.7 2.6 4.1 30.3 2.3 24.7 2.8 7.2 1.3
L3 36.6 2.5 7.5 4.2 32.9 2.7 24.7 2.7 6.5 1.3
L4 36.3 2.9 12.8 5.0 36.4 3.5 24.4 2.8 5.3 1.4
L5 36.7 2.7 20.6 7.2 40.8 4.3 27.3 4.5 2.8 2.2
"""


def _points() -> dict[Level, PointRow]:
    text = _POINTS.split()
    rows = {}
    for i in range(0, len(text), 11):
        v = [float(t) for t in text[i + 1 : i + 11]]
        rows[Level(text[i])] = PointRow((v[0], v[1]), (v[2], v[3]), (v[4], v[5]), (v[6], v[7]), (v[8], v[9]))
    rows[Level.T13] = rows[Level.T12]
    rows[Level.L6] = rows[Level.L5]
    return rows


POINTS: Mapping[Level, PointRow] = _points()

# The vertebra that stands on the sacrum, whatever its number: from the 1,623 scans that end with L5, in the frame of a
# line that turns there by as much as at L5 in the 45 that end with L6.
LAST = replace(POINTS[Level.L5], separation=(48.3, 5.9), back=(22.8, 2.8), up=(3.4, 1.9))

# Sagittal tilt of the line of body points at L1, degrees, + = leaning forward (upwards), and its spread.
TILT_AT_L1 = (-15.1, 6.1)

# Spread of the tilt at further levels, degrees, and its correlation with the level named before it (the first: with
# L1). Independent turning angles alone would let the spine lean far out of balance.
TILT_ANCHORS = (((Level.T6, 6.0, 0.0), (Level.T1, 9.6, 0.4), (Level.C3, 14.0, 0.0)), ((Level.L4, 7.4, 0.3),))

# Share of the variance of a distance (and, second, of a pedicle position) that is the person's size, a smooth trend
# along the spine, or the level's own; and how fast the smooth part changes from level to level. From the correlations
# between levels of the same 1,943 scans.
DISTANCE_SHARES = (0.50, 0.30, 0.20)
PEDICLE_SHARES = (0.35, 0.50, 0.15)
SMOOTHNESS = 0.85
TURN_NEIGHBOUR_CORRELATION = 0.15


@dataclass(frozen=True)
class ArchRow:
    """Mean posterior elements of a level (mm, degrees)."""

    canal_width: float
    canal_depth: float
    pedicle_height: float
    pedicle_angle: float
    lamina_height: float
    lamina_thickness: float
    spinous_length: float
    spinous_drop: float
    spinous_height: float
    spinous_thickness: float
    transverse_half_span: float
    transverse_back: float
    transverse_up: float
    transverse_height: float
    facet_x: float
    facet_share: float
    facet_z: float


# Columns: canal width, depth | pedicle height, angle | lamina height, thickness | spinous length, drop, height,
# thickness | transverse half span, how far its tip lies behind the body's middle, above it, height | facet joint below:
# x, depth as share of the canal, z from the disc.
_ARCHES = """
C2 23.0 16.5  8.0 40  13.5 5.5  20.0 24 10.0 8.0  26.0  7.0 -3.0 5.0  19.5 0.55 -1.0
C3 23.0 14.2  7.0 42  14.0 4.4  15.0 22  6.5 5.0  26.5  6.0 -1.0 5.0  20.0 0.60 -1.0
C4 23.5 14.0  7.0 42  14.0 4.4  15.0 20  6.5 5.0  27.0  6.0 -1.0 5.0  20.5 0.60 -1.0
C5 24.0 14.0  7.0 40  14.0 4.5  17.0 20  7.0 5.0  28.0  6.5 -1.0 5.0  20.5 0.60 -1.0
C6 24.5 14.2  7.2 38  14.8 4.8  23.0 18  8.0 5.0  29.5  7.5 -1.0 5.5  20.0 0.65 -1.0
C7 24.0 14.5  7.5 35  17.5 5.6  31.0 22 10.0 6.5  34.0 13.0  1.0 8.0  18.0 0.75 -1.0
T1 21.0 15.5  9.6 27  18.5 6.5  33.0 27 11.0 7.0  36.5 22.0  6.0 10.5 15.5 0.95  0.0
T2 18.0 15.5 11.0 20  19.5 6.8  33.0 34 11.0 6.8  33.5 26.0  7.0 10.5 13.5 1.05  0.0
T3 17.0 15.5 11.5 14  20.5 7.0  33.0 40 10.5 6.6  32.0 30.0  7.5 10.5 12.8 1.05  0.0
T4 16.7 15.8 11.5 12  21.0 7.0  34.0 45 10.0 6.2  31.0 32.0  7.5 11.0 12.4 1.05  0.0
T5 16.8 16.0 11.4 10  21.5 7.0  35.0 49 10.0 6.0  31.0 34.0  7.5 11.0 12.2 1.05  0.0
T6 16.5 16.0 11.4  9  22.0 7.0  36.0 51 10.0 6.0  30.5 36.0  7.5 11.5 12.2 1.05  0.0
T7 16.8 16.0 12.0  8  22.5 7.0  36.0 51 10.0 6.0  30.0 37.0  7.5 11.5 12.2 1.05  0.0
T8 17.0 16.0 12.5  7  23.0 7.0  35.0 47 10.5 6.0  29.0 38.0  7.5 11.5 12.2 1.05  0.0
T9 17.5 16.0 13.5  6  23.5 7.0  33.0 41 11.5 6.0  28.0 38.5  7.5 11.5 12.4 1.05  0.0
T10 18.4 16.0 14.8 4  24.0 7.2  31.0 34 13.5 6.2  26.5 38.0  6.5 11.0 12.6 1.05  0.0
T11 19.6 16.5 16.0 2  25.0 7.4  29.0 27 16.0 6.4  24.5 36.0  5.0 11.0 13.0 1.05  0.0
T12 21.5 17.5 16.0 2  25.0 7.4  29.5 21 18.5 6.6  23.0 35.0  2.0 10.0 13.3 0.95  0.0
L1 22.5 18.2 15.8 6 24.5 8.3 33.0 16 20.5 8.8 35.0 31.0 1.0 10.0 14.0 0.90 -1.2
L2 22.5 17.8 15.6 8 24.5 8.3 34.0 16 22.0 9.0 40.0 31.0 1.0 10.5 14.5 0.88 -1.2
L3 23.2 17.5 15.4 12 23.5 8.3 34.0 16 22.0 9.2 46.0 30.5 2.0 10.5 16.0 0.86 -1.2
L4 24.2 17.8 15.2 17 20.5 8.3 31.0 15 19.0 9.4 45.5 28.0 6.0 11.5 18.5 0.84 -1.2
L5 26.5 18.5 15.0 26 16.5 8.3 26.0 15 14.0 9.4 47.0 24.0 7.0 16.0 21.5 0.82 -1.2
"""


def _arches() -> dict[Level, ArchRow]:
    rows = {}
    for line in _ARCHES.strip().splitlines():
        name, *values = line.split()
        rows[Level(name)] = ArchRow(*(float(v) for v in values))
    rows[Level.T13] = rows[Level.T12]
    rows[Level.L6] = rows[Level.L5]
    return rows


ARCHES: Mapping[Level, ArchRow] = _arches()

# Between-person coefficient of variation of widths and depths, of process lengths, and the level's own part.
SIZE_CV, PROCESS_CV, LEVEL_CV = 0.065, 0.10, 0.02

# Living bodies are a little higher than the cadaver's beyond the common scale (so that discs are what remains of the
# distances above).
HEIGHT_SCALE = 1.03
# Width and depth at mid-height as a share of the mean of both endplates; depth of both endplates' concavity, mm.
WAIST = {"cervical": (0.97, 0.95), "thoracic": (0.89, 0.92), "lumbar": (0.865, 0.91)}
CONCAVITY = {"cervical": (0.3, 1.0), "thoracic": (1.1, 1.4), "lumbar": (1.6, 2.2)}
# The drawn turning angles spread by this share of the observed spread, part of which is the annotators'.
TURN_SPREAD = 0.85
# VerSe's point of C2 lies between the middle of its body and the dens.
BODY_POINT_UP = {Level.C1: 0.0, Level.C2: 2.5}
# Least distance between neighbouring endplates anywhere, mm.
LEAST_DISC_MM = 1.5

# Length along the axis of ribs 1 to 13, mm, and its coefficient of variation.
RIB_LENGTHS = (95, 165, 215, 245, 265, 280, 290, 285, 265, 230, 180, 110, 60)
RIB_CV = (0.07,) * 10 + (0.10, 0.22, 0.3)
