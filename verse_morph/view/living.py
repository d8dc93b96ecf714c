"""Phantom vertebrae and spines that change with a slider: their true numbers, and line drawings of them.

Numbers are the phantom's own, from the functions that define its surfaces; grades are those of
:mod:`verse_morph.measure.fracture`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from verse_morph.space import FloatArray

if TYPE_CHECKING:
    from verse_morph.phantom.parameters import SpineParameters, VertebraParameters

SEED = 1
PLACES = ("anterior", "middle", "posterior")
KINDS = ("wedge", "biconcave", "crush")
CURVES = {
    "coronal curve": ("coronal_curve_deg", "coronal_curve"),
    "thoracic kyphosis": ("kyphosis_T4_T12_deg", "kyphosis_T4_T12"),
    "lumbar lordosis": ("lordosis_L1_L5_deg", "lordosis_L1_L5"),
}
SCALE = 6.0
SECTION_STEP_MM = 0.5


@dataclass(frozen=True, eq=False)
class Deformed:
    """A vertebra before and after a loss of height.

    Parameters
    ----------
    before, after : VertebraParameters
    heights_before_mm, heights_mm, loss_pct : Mapping of str to float
        At ``anterior``, ``middle``, ``posterior``.
    grade : int
        Genant, by the largest loss.
    kind : str
        ``none``, ``wedge``, ``biconcave`` or ``crush``, told from the losses.
    """

    before: VertebraParameters
    after: VertebraParameters
    heights_before_mm: Mapping[str, float]
    heights_mm: Mapping[str, float]
    loss_pct: Mapping[str, float]
    grade: int
    kind: str


@lru_cache(maxsize=64)
def patient(curve: str = "", angle_deg: float = 0.0) -> SpineParameters:
    """The same invented patient every time, one of :data:`CURVES` bent to an angle.

    Parameters
    ----------
    curve : str
        Empty for the patient's own curves.
    angle_deg : float
        + = lordotic, or convex to the patient's right.
    """
    from verse_morph.phantom.draw import draw_parameters
    from verse_morph.phantom.parameters import Alignment, PhantomOptions

    alignment = Alignment(**{CURVES[curve][0]: angle_deg}) if curve else Alignment()  # type: ignore[arg-type]
    options = PhantomOptions(sex="F", age=35, height_cm=168, pelvis=False, alignment=alignment)
    return draw_parameters(np.random.default_rng(SEED), options)


def deformed(level: str, kind: str, loss_pct: float) -> Deformed:
    """A phantom vertebra that lost height.

    Parameters
    ----------
    level : str
        C3 to L5.
    kind : str
        ``wedge``, ``biconcave`` or ``crush``.
    loss_pct : float
        Where the kind loses most, per cent of the height before, 0 to 70.
    """
    from verse_morph.measure.fracture import grade_of, type_of
    from verse_morph.phantom.parameters import Fracture, Pathology
    from verse_morph.phantom.pathology import fractured
    from verse_morph.phantom.truth import body_of, heights

    before = patient()[level]
    lost = Pathology(fractures=(Fracture(level, kind, loss_pct),)) if loss_pct > 0 else Pathology()
    after = fractured(before, lost)
    up = np.array([0.0, 0.0, 1.0])
    old, new = (heights(body_of(shape, Pathology()), up) for shape in (before, after))
    # A slider at 20 means 20, not 19.9999.
    loss = {place: round(100 * (1 - new[place] / old[place]), 6) for place in PLACES}
    grade = grade_of(max(loss.values()))
    return Deformed(before, after, old, new, loss, grade, type_of(loss) if grade else "none")


# --- drawings ---------------------------------------------------------------------------------------------------------


def section(shape: VertebraParameters) -> list[FloatArray]:
    """Outlines (N, 2) of a vertebra cut in the middle: anterior and superior, mm from the middle of the body."""
    from skimage.measure import find_contours

    from verse_morph.phantom.implicit import Lattice
    from verse_morph.phantom.parameters import Pathology
    from verse_morph.phantom.vertebra import vertebra_bone

    bone = vertebra_bone(shape, None, None, Pathology())
    low, high = bone.bounds_mm()[:, 1:] + np.array([[-3.0], [3.0]])
    counts = np.ceil((high - low) / SECTION_STEP_MM).astype(int) + 1
    first = np.array([0.0, low[0], low[1]])
    depth = bone.depth(Lattice((1, int(counts[0]), int(counts[1])), first, np.eye(3) * SECTION_STEP_MM))[0]
    return [low + contour * SECTION_STEP_MM for contour in find_contours(depth, 0.0)]


def section_drawing(state: Deformed, numbers: bool = True) -> str:
    """SVG of the cut vertebra over its former outline, with the three heights drawn."""
    from verse_morph.phantom.parameters import Pathology
    from verse_morph.phantom.truth import SHARES, body_of

    now, old = section(state.after), section(state.before)
    corners = np.concatenate([*now, *old])
    low, high = corners.min(axis=0) - 4, corners.max(axis=0) + 7

    def place(point: NDArray) -> str:
        return f"{(high[0] - point[0]) * SCALE:.1f},{(high[1] - point[1]) * SCALE:.1f}"

    drawn = [_outline(now, place, 'fill="#ede6d6" stroke="#444" stroke-width="2"')]
    drawn.append(_outline(old, place, 'fill="none" stroke="#0072b2" stroke-width="2" stroke-dasharray="7 5"'))
    body = body_of(state.after, Pathology())
    for name, share in SHARES.items():
        y = np.array([state.after.depth_middle * (0.5 - share)])
        top, bottom = (np.array([y[0], float(face(np.zeros(1), y)[0])]) for face in (body.top, body.bottom))
        (x1, y1), (x2, y2) = (place(point).split(",") for point in (top, bottom))
        drawn.append(f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#d55e00" stroke-width="3"/>')
        if numbers:
            middle = place((top + bottom) / 2).split(",")
            words = f"{state.heights_mm[name]:.1f}"
            drawn.append(f'<text x="{float(middle[0]) + 4:.0f}" y="{middle[1]}" font-size="14">{words}</text>')
    told = ", ".join(f"{name} {state.heights_mm[name]:.1f} mm" for name in PLACES)
    alt = f"{state.after.level} cut in the middle, seen from the left, front on the left; heights {told}"
    return _svg((high - low) * SCALE, alt if numbers else f"{state.after.level} cut in the middle", "".join(drawn))


@dataclass(frozen=True, eq=False)
class Curve:
    """A curve of the phantom spine: its name in the table of curves, end levels and Cobb angle."""

    name: str
    upper: str
    lower: str
    angle_deg: float


def curve_of(parameters: SpineParameters, curve: str) -> Curve:
    """The true Cobb angle of one of :data:`CURVES`."""
    from verse_morph.phantom.truth import curve_rows

    wanted = CURVES[curve][1]
    row = next(row for row in curve_rows(parameters, set()) if row["name"] == wanted)
    return Curve(wanted, row["upper_level"], row["lower_level"], row["angle_deg"])


def spine_drawing(parameters: SpineParameters, found: Curve) -> str:
    """SVG of all bodies from the front (coronal) or the left, with the two lines of the Cobb angle."""
    front = found.name == "coronal_curve"
    bodies = {shape.level: _corners(shape, front) for shape in parameters.vertebrae if shape.level != "C1"}
    points = np.concatenate(list(bodies.values()))
    margin = np.array([75.0, 8.0])
    low, high = points.min(axis=0) - margin, points.max(axis=0) + margin
    scale = 1.15

    def place(point: NDArray) -> str:
        return f"{(high[0] - point[0]) * scale:.1f},{(high[1] - point[1]) * scale:.1f}"

    drawn = []
    for level, four in bodies.items():
        colour = "#e69f00" if level in (found.upper, found.lower) else "#ede6d6"
        drawn.append(f'<polygon points="{" ".join(map(place, four))}" fill="{colour}" stroke="#444"/>')
    # The upper plate of the upper vertebra, the lower plate of the lower one.
    for level, plate in ((found.upper, (0, 1)), (found.lower, (3, 2))):
        a, b = (bodies[level][k] for k in plate)
        along = (b - a) / np.linalg.norm(b - a)
        (x1, y1), (x2, y2) = (place(point).split(",") for point in (a - 45 * along, b + 45 * along))
        drawn.append(f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#0072b2" stroke-width="2"/>')
        drawn.append(f'<text x="{float(x2) - 14:.0f}" y="{float(y2) - 5:.0f}" font-size="12">{level}</text>')
    side = "front, patient's right on the left" if front else "left, front on the left"
    alt = (
        f"The spine from the {side}; Cobb angle between {found.upper} and {found.lower}: {found.angle_deg:.0f} degrees"
    )
    return _svg((high - low) * scale, alt, "".join(drawn))


def _corners(shape: VertebraParameters, front: bool) -> NDArray:
    """Upper and lower corners (4, 2) of a body on a picture: across (growing to the right or to the front), up."""
    if front:
        half, slope = shape.width_middle / 2, shape.right_minus_left / shape.width_middle
    else:
        half, slope = shape.depth_middle / 2, (shape.height_front - shape.height_back) / shape.depth_middle
    own = np.zeros((4, 3))
    own[:, 0 if front else 1] = [half, -half, -half, half]
    tall = (shape.rim_height + slope * np.array([half, -half, -half, half])) / 2
    own[:, 2] = tall * [1, 1, -1, -1]
    return shape.placement.to_world(own)[:, [0 if front else 1, 2]]


def _outline(contours: list[FloatArray], place: object, style: str) -> str:
    paths = " ".join("M" + " L".join(place(point) for point in contour) + "Z" for contour in contours)  # type: ignore[operator]
    return f'<path d="{paths}" fill-rule="evenodd" {style}/>'


def _svg(size: NDArray, alt: str, inside: str) -> str:
    from html import escape

    width, height = size
    return (
        f'<svg role="img" aria-label="{escape(alt, quote=True)}" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="sans-serif" style="max-width:100%">{inside}</svg>'
    )
