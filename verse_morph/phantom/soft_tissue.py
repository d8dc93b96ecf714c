"""A plausible trunk around a spine: fat, muscle, lungs, organs, vessels, bowel, table, all from the spine's course.

Painted on a coarse grid by elliptic cross-sections whose place and size depend on the vertebral level; it is scenery
that makes a scan look like one and gives noise and contrast something to act on, never truth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verse_morph.phantom.fields import FloatVolume, smooth_field
from verse_morph.phantom.guide import Guide
from verse_morph.phantom.tissues import CONTRAST_HU, TissueParameters

FloatArray = NDArray[np.float64]
Box = tuple[slice, slice, slice]
Ellipse = tuple[FloatArray, FloatArray, FloatArray, FloatArray]
AIR_HU = -1000.0

# Trunk by level (C1 = 1, T1 = 8, L1 = 20, S1 = 26), mm: half width, body centre to front skin, canal to back skin.
_LEVELS = (1, 3, 5, 7, 8.5, 11, 15, 19, 22, 24, 27, 30)
_HALF_WIDTH = (74, 62, 60, 100, 165, 170, 163, 152, 147, 157, 172, 172)
_FRONT = (90, 60, 54, 58, 80, 120, 142, 132, 112, 108, 110, 104)
_BACK = (76, 66, 62, 66, 68, 60, 56, 58, 64, 68, 78, 84)


@dataclass(frozen=True, eq=False)
class Course:
    """The spine at every coarse slice.

    Parameters
    ----------
    body, canal : array (N, 2)
        x and y of the centres, mm.
    level : array (N,)
    half_width, front, back : array (N,)
        Of the trunk, mm, fat included.
    bone_half_width : array (N,)
        Reach of the bones to the sides, mm; 0 where unknown.
    """

    body: FloatArray
    canal: FloatArray
    level: FloatArray
    half_width: FloatArray
    front: FloatArray
    back: FloatArray
    bone_half_width: FloatArray

    def table(self, levels: tuple[float, ...], values: tuple[float, ...]) -> FloatArray:
        """Values given at levels, at every slice."""
        return np.interp(self.level, levels, values)

    def span(self, upper: float, lower: float) -> FloatArray:
        """Square root profile (N,) of an organ from one level to another: 0 outside, 1 in the middle."""
        u = (2 * self.level - upper - lower) / (lower - upper)
        return np.sqrt(np.clip(1 - u**2, 0, None))


@dataclass(frozen=True, eq=False)
class Canvas:
    """A coarse volume and the millimetres of its voxels along each axis."""

    hu: FloatVolume
    x: FloatArray
    y: FloatArray
    z: FloatArray

    def ellipse(
        self, cx: FloatArray, cy: FloatArray, a: FloatArray | float, b: FloatArray | float, hu: float | NDArray
    ) -> None:
        """Blend in a tube of elliptic cross-section; arguments may be given per slice. Slices with a or b <= 0 stay."""
        cx, cy, a, b = (np.broadcast_to(np.asarray(v, dtype=float), self.z.shape) for v in (cx, cy, a, b))
        used = np.flatnonzero((a > 0.5) & (b > 0.5))
        if not len(used):
            return
        box = (
            _range(self.x, (cx - a)[used].min(), (cx + a)[used].max()),
            _range(self.y, (cy - b)[used].min(), (cy + b)[used].max()),
            slice(int(used[0]), int(used[-1]) + 1),
        )
        k = box[2]
        present = ((a > 0.5) & (b > 0.5))[k].astype(np.float32)
        a, b = np.maximum(a[k], 1e-3).astype(np.float32), np.maximum(b[k], 1e-3).astype(np.float32)
        u = (self.x[box[0]][:, None] - cx[k]).astype(np.float32) / a
        v = (self.y[box[1]][:, None] - cy[k]).astype(np.float32) / b
        radius = np.sqrt(u[:, None] ** 2 + v[None] ** 2)
        voxel = np.float32(self.x[1] - self.x[0])
        share = np.clip((1 - radius) * np.minimum(a, b) / voxel + np.float32(0.5), 0, 1)
        self.blend(box, share * present, hu)

    def blend(self, box: Box, share: NDArray, hu: float | NDArray) -> None:
        """Replace a share of what lies in a box by a value or by the same box of a volume."""
        part = self.hu[box]
        value = hu[box] if isinstance(hu, np.ndarray) else np.float32(hu)
        part += (share * (value - part)).astype(np.float32)


def _range(axis: FloatArray, low: float, high: float) -> slice:
    start, stop = np.searchsorted(axis, (low - 3, high + 3))
    return slice(int(start), int(max(stop, start)))


def paint_soft_tissue(
    shape: tuple[int, int, int],
    spacing_mm: FloatArray,
    guide: Guide,
    bone: NDArray[np.bool_],
    tissue: TissueParameters,
    rng: np.random.Generator,
) -> FloatVolume:
    """Soft tissue in HU on a coarse grid whose first voxel's centre is the map's first voxel's.

    Parameters
    ----------
    shape : 3 int
    spacing_mm : array (3,)
        Of the coarse grid; x and y should agree.
    guide : Guide
    bone : array of ``shape``
        Bone on the coarse grid: the trunk is made wide enough for it.
    tissue : TissueParameters
    rng : Generator
    """
    x, y, z = (np.arange(n) * s for n, s in zip(shape, spacing_mm, strict=True))
    canvas = Canvas(np.full(shape, AIR_HU, dtype=np.float32), x, y, z)
    course = _course(guide, canvas, bone, tissue)
    fields = [smooth_field(shape, 11.0 / spacing_mm, rng) for _ in range(2)]
    _wall(canvas, course, tissue, fields)
    _chest(canvas, course, tissue, rng)
    _abdomen(canvas, course, tissue, fields, rng)
    _neck(canvas, course, tissue)
    _back_muscles(canvas, course, tissue, rng)
    _vessels(canvas, course, tissue, rng)
    _spine_column(canvas, course, guide, tissue)
    canvas.hu[:] += np.float32(3.0) * fields[1] * (canvas.hu > -200)
    _table_top(canvas, course)
    return canvas.hu


def _course(guide: Guide, canvas: Canvas, bone: NDArray[np.bool_], tissue: TissueParameters) -> Course:
    """Size of the trunk: usual for the level and the patient's build, larger where bone reaches further."""
    from scipy.ndimage import gaussian_filter1d, maximum_filter1d

    x, y, z = canvas.x, canvas.y, canvas.z
    body, canal, level = guide.at(z)
    window = max(3, round(40 / (z[1] - z[0]))) if len(z) > 1 else 1

    def reached(present: Any, distance_mm: FloatArray) -> FloatArray:
        farthest = np.where(present, distance_mm, 0).max(axis=0)
        return gaussian_filter1d(maximum_filter1d(farthest, window), window / 3, mode="nearest")

    reach = reached(np.any(bone, axis=1), np.abs(x[:, None] - body[:, 0]))
    ahead = reached(bone.any(axis=0), y[:, None] - body[:, 1])
    behind = reached(bone.any(axis=0), canal[:, 1] - y[:, None])
    usual = np.interp(level, _LEVELS, _HALF_WIDTH) * tissue.build
    # Below the shoulders the chest is as wide as its ribs and some muscle.
    usual = np.where((reach > 90) & (level > 10) & (level < 19), np.minimum(usual, reach + 18), usual)
    usual = gaussian_filter1d(usual, window / 2, mode="nearest")
    half = np.maximum(usual, reach + 6) + 0.6 * tissue.fat_mm
    # Bone off the midline must fit into an ellipse, which is flatter there.
    front = np.interp(level, _LEVELS, _FRONT) * tissue.build + tissue.fat_mm * np.interp(level, (8, 19), (0.4, 1.0))
    back = np.interp(level, _LEVELS, _BACK) * tissue.build**0.5 + 0.6 * tissue.fat_mm
    front, back = np.maximum(front, 1.05 * ahead + 8), np.maximum(back, behind + 8 + 0.4 * tissue.fat_mm)
    return Course(body, canal, level, half, front, back, np.where(reach > 60, reach, 0))


def _trunk(course: Course, inside_mm: tuple[float, ...]) -> Ellipse:
    """Centre x, y and semi-axes of the trunk's ellipse, smaller by some mm at the sides, in front and behind."""
    side, front, back = inside_mm
    upper = course.body[:, 1] + course.front - front
    lower = course.canal[:, 1] - course.back + back
    return course.body[:, 0], (upper + lower) / 2, course.half_width - side, (upper - lower) / 2


def _wall(canvas: Canvas, course: Course, tissue: TissueParameters, fields: list[FloatVolume]) -> None:
    fat = np.float32(tissue.fat_hu) + np.float32(6) * fields[0]
    thick = tissue.fat_mm
    canvas.ellipse(*_trunk(course, (0, 0, 0)), 20.0)
    canvas.ellipse(*_trunk(course, (2, 2, 2)), fat)
    muscle = np.float32(tissue.muscle_hu) + np.float32(5) * fields[1]
    canvas.ellipse(*_trunk(course, (2 + 0.6 * thick, 2 + 0.8 * thick, 2 + 0.6 * thick)), muscle)
    # A layer of fat between the muscles of the flank.
    inner = (9 + 0.6 * thick, 9 + 0.8 * thick, 14 + 0.6 * thick)
    flank = (course.level > 18.5).astype(float)
    for deeper, hu in ((0.0, tissue.fat_hu * 0.6), (2.5, tissue.muscle_hu)):
        cx, cy, a, b = _trunk(course, tuple(v + deeper for v in inner))
        canvas.ellipse(cx, cy, a * flank, b, hu)


def _cavity(course: Course, tissue: TissueParameters) -> Ellipse:
    """Ellipse of the chest or belly: inside the ribs where they are known, reaching back beside the spine."""
    known = course.bone_half_width > 0
    ribs = np.where(known & (course.level < 20), course.bone_half_width - 8, np.inf)
    half = np.minimum(course.half_width - 0.6 * tissue.fat_mm - 20, ribs)
    upper = course.body[:, 1] + course.front - 16 - tissue.fat_mm * 0.8
    lower = course.canal[:, 1] - course.table((8, 12, 18, 20, 26), (0, 32, 30, -2, -8))
    return course.body[:, 0], (upper + lower) / 2, half, (upper - lower) / 2


def _abdomen(
    canvas: Canvas, course: Course, tissue: TissueParameters, fields: list[FloatVolume], rng: np.random.Generator
) -> None:
    _, _, kidney, organ, _ = CONTRAST_HU[tissue.phase]
    cx, cy, a, b = _cavity(course, tissue)
    inside = np.clip((course.level - 18.9) * 2, 0, 1)
    content = np.full_like(canvas.hu, tissue.fat_hu + 4)
    loops = np.clip((0.9 - np.abs(fields[0] + 0.1)) * 5, 0, 1)
    content += loops * (np.float32(38) - content)
    gas = np.quantile(fields[1][::4, ::4, ::4], 1 - tissue.bowel_gas)
    content += np.clip((fields[1] - np.float32(gas)) * 8, 0, 1) * (np.float32(-900) - content)
    canvas.ellipse(cx, cy + 0.1 * b, a * inside, b * 0.92, content)
    # Behind the bowel lies fat: kidneys and great vessels run in it.
    retroperitoneum = np.clip((course.level - 18.6) * 2, 0, 1) * np.clip(25.5 - course.level, 0, 1)
    canvas.ellipse(cx, course.body[:, 1] + 2, 0.8 * a * retroperitoneum, 48, tissue.fat_hu)
    by = course.body[:, 1]
    liver = course.span(16.3, 21.8)
    canvas.ellipse(cx + 0.47 * a, cy, 0.5 * a * liver, 0.86 * b * liver, organ)
    spleen = course.span(17.3, 20.5)
    canvas.ellipse(cx - 0.72 * a, cy - 0.35 * b, 0.22 * a * spleen, 0.42 * b * spleen, organ + 3)
    stomach = course.span(17.0, 20.8)
    canvas.ellipse(cx - 0.42 * a, cy + 0.35 * b, 0.3 * a * stomach, 0.35 * b * stomach, 30.0)
    air = course.span(17.6, 19.6)
    canvas.ellipse(cx - 0.42 * a, cy + 0.5 * b, 0.22 * a * air, 0.17 * b * air, -920.0)
    bladder = course.span(27.0, 30.5)
    canvas.ellipse(cx, by + 70, 42 * bladder, 34 * bladder, 6.0)
    for side, top in ((-1, 18.9), (1, 19.3)):
        shape = course.span(top + rng.normal(0, 0.2), top + 3.1)
        tilt = 5.0 * (course.level - top - 1.5)
        canvas.ellipse(cx + side * (58 + tilt), by - 12, 29 * shape, 24 * shape, kidney)
        canvas.ellipse(cx + side * (48 + tilt), by - 8, 12 * shape - 4, 10 * shape - 3, tissue.fat_hu + 40)


def _chest(canvas: Canvas, course: Course, tissue: TissueParameters, rng: np.random.Generator) -> None:
    *_, heart = CONTRAST_HU[tissue.phase]
    cx, cy, a, b = _cavity(course, tissue)
    profile = course.table((7.9, 8.4, 9.5, 11, 15, 17.2, 18.6, 18.9), (0, 0.35, 0.7, 0.9, 1, 1, 0.85, 0))
    canvas.ellipse(cx, cy, a * (profile > 0.5), b, tissue.muscle_hu - 15)
    vessels = smooth_field(
        canvas.hu.shape, 4.5 / np.array([ax[1] - ax[0] for ax in (canvas.x, canvas.y, canvas.z)]), rng
    )
    lung = np.float32(-865) + np.clip((vessels - np.float32(1.8)) * 2500, 0, 900)
    for side in (-1, 1):
        canvas.ellipse(cx + side * 0.54 * a, cy, 0.455 * a * profile, 0.95 * b * profile**0.5, lung)
        # Beside and behind the vertebrae the lung reaches inward.
        canvas.ellipse(cx + side * 0.42 * a, cy - 0.45 * b, 0.3 * a * (profile > 0.6), 0.45 * b, lung)
    size = course.span(12.3, 18.6)
    canvas.ellipse(cx - 0.16 * a, cy + 0.36 * b, 0.47 * a * size, 0.57 * b * size, tissue.fat_hu + 10)
    canvas.ellipse(cx - 0.18 * a, cy + 0.35 * b, 0.42 * a * size, 0.5 * b * size, heart)
    # The diaphragm's domes: liver on the right, spleen and stomach lower on the left.
    for side, top in ((1, 16.0), (-1, 16.7)):
        up = (19.2 - course.level) / (19.2 - top)
        dome = np.sqrt(np.clip(1 - up**2, 0, None)) * (up > 0)
        organ = CONTRAST_HU[tissue.phase][3]
        canvas.ellipse(
            cx + side * 0.5 * a, cy + 0.02 * b, 0.48 * a * dome, 0.93 * b * dome, organ if side > 0 else 45.0
        )


def _neck(canvas: Canvas, course: Course, tissue: TissueParameters) -> None:
    aorta, vein, *_ = CONTRAST_HU[tissue.phase]
    x, front = course.body[:, 0], course.body[:, 1] + course.table((2, 8, 12), (9, 9, 15))
    here = (course.level < 8.5).astype(float)
    for side in (-1, 1):
        canvas.ellipse(x + side * 27, front + 12, 9 * here, 12, tissue.fat_hu + 20)
        canvas.ellipse(x + side * 25, front + 13, 3.5 * here, 3.5, aorta)
        canvas.ellipse(x + side * 33, front + 9, 5.5 * here, 5, vein)
        thyroid = course.span(6.2, 8.2)
        canvas.ellipse(x + side * 16, front + 20, 8 * thyroid, 10 * thyroid, 110.0)
    airway = course.table((0, 2, 4, 6, 8, 11.8, 12), (9, 9, 10, 8, 8.5, 9, 0))
    forward = course.table((1, 5, 8, 12), (12, 14, 22, 24))
    canvas.ellipse(x, front + forward, airway, 0.85 * airway, -1000.0)


def _back_muscles(canvas: Canvas, course: Course, tissue: TissueParameters, rng: np.random.Generator) -> None:
    """Muscle beside spine and canal with streaks of fat, psoas, quadratus lumborum."""
    spacing = np.array([ax[1] - ax[0] for ax in (canvas.x, canvas.y, canvas.z)])
    fibres = smooth_field(canvas.hu.shape, np.array([5.0, 5.0, 30.0]) / spacing, rng)
    limit = np.quantile(fibres[::3, ::3, ::5], 1 - min(0.45, tissue.muscle_fat + 0.04))
    muscle = np.float32(tissue.muscle_hu) + np.float32(4) * fibres
    muscle += np.clip((fibres - np.float32(limit)) * 4, 0, 1) * (np.float32(tissue.fat_hu + 15) - muscle)
    x, canal, body = course.body[:, 0], course.canal[:, 1], course.body[:, 1]
    a = course.table((1, 5, 8, 11, 19, 22, 26, 28), (26, 24, 27, 24, 30, 31, 27, 12))
    b = course.table((1, 5, 8, 11, 19, 22, 26, 28), (24, 22, 20, 15, 19, 24, 22, 8))
    behind = canal - course.table((1, 8, 19, 24), (24, 24, 25, 33))
    for side in (-1, 1):
        rim = 2.0 * np.clip(course.level - 10, 0, 1)
        canvas.ellipse(x + side * (a - 1), behind, (a + rim) * (rim > 0), b + rim, tissue.fat_hu + 30)
        canvas.ellipse(x + side * a, behind, a, b, muscle)
        canvas.ellipse(x + side * 14, behind + 12, 0.45 * a, 0.5 * b, muscle)
        psoas = course.table((19.3, 20, 22, 24, 26, 29), (0, 6, 15, 20, 20, 14))
        away = course.table((20, 22, 24, 26, 29), (24, 33, 41, 50, 70))
        canvas.ellipse(x + side * away, body - course.table((20, 24, 27), (8, 4, -25)), psoas, 1.2 * psoas, muscle)
        lumborum = course.table((19.5, 20.5, 23.5, 25), (0, 9, 16, 0))
        canvas.ellipse(x + side * 62, canal - 6, lumborum, 9, muscle)
        neck = course.table((1, 2, 7, 8.5, 9), (9, 11, 12, 9, 0))
        canvas.ellipse(x + side * 30, canal + 4, neck, 1.1 * neck, muscle)


def _vessels(canvas: Canvas, course: Course, tissue: TissueParameters, rng: np.random.Generator) -> None:
    aorta, cava, *_ = CONTRAST_HU[tissue.phase]
    radius = 9.5 + 0.05 * tissue.age
    front = course.body[:, 1] + course.table((8, 12, 19, 24), (11, 13, 16, 18))
    x = course.body[:, 0]
    size = course.table((11.2, 11.8, 19, 23.4, 23.6), (0, 1.1, 1.0, 0.8, 0)) * radius
    beside = course.table((11, 14, 18, 22), (-22, -20, -10, -6))
    ahead = course.table((11, 14, 18, 22), (4, 4, 8, 10))
    plaque = smooth_field(
        canvas.hu.shape, 6.0 / np.array([ax[1] - ax[0] for ax in (canvas.x, canvas.y, canvas.z)]), rng
    )
    limit = np.quantile(plaque[::4, ::4, ::4], 1 - min(0.9, tissue.calcification + 0.005))
    wall = np.where(plaque > limit, np.float32(650), np.float32(50))
    canvas.ellipse(x + beside, front + ahead, size, size, wall)
    canvas.ellipse(x + beside, front + ahead, size - 1.6, size - 1.6, aorta)
    vein = course.table((15.5, 16.5, 23.5, 24, 24.2), (0, 11, 11, 11, 0))
    canvas.ellipse(x + 16, front + 10, vein, 0.8 * vein, cava)
    spread = course.table((23.4, 29), (8, 60))
    branch = course.table((23.3, 23.5, 28), (0, 6.5, 5))
    for side in (-1, 1):
        canvas.ellipse(x + side * spread, front + 8 + 0.3 * spread, branch, branch, wall)
        canvas.ellipse(x + side * spread, front + 8 + 0.3 * spread, branch - 1.2, branch - 1.2, aorta)
        canvas.ellipse(x + side * (spread + 3), front - 2 + 0.25 * spread, 1.1 * branch, branch, cava)


def _spine_column(canvas: Canvas, course: Course, guide: Guide, tissue: TissueParameters) -> None:
    """Discs and ligaments between the bodies, and the canal with epidural fat, thecal sac and cord."""
    x, y = course.canal.T
    half = course.table((1, 7, 8, 15, 22, 26, 30), (11, 12, 11, 10, 12.5, 15, 8))
    canvas.ellipse(x, y - 1, half, 0.78 * half, tissue.fat_hu + 40)
    canvas.ellipse(x, y, 0.75 * half, 0.62 * half, tissue.sac_hu)
    cord = course.table((1, 6, 12, 19, 20.5, 20.6), (6, 7, 4.5, 5, 2, 0))
    canvas.ellipse(x, y, cord, 0.7 * cord, tissue.sac_hu + 14)
    if not guide.landmarks:
        return
    marks = sorted(guide.landmarks, key=lambda mark: mark.body_mm[2])
    radius = np.interp(canvas.z, [m.body_mm[2] for m in marks], [m.radius_mm for m in marks])
    between = (canvas.z > marks[0].body_mm[2] - 12) & (canvas.z < marks[-1].body_mm[2])
    canvas.ellipse(course.body[:, 0], course.body[:, 1], 1.5 * radius * between, 1.15 * radius, tissue.disc_hu)


def _table_top(canvas: Canvas, course: Course) -> None:
    """A curved table of thin shells under the lowest point of the back; no other object lies in the air."""
    under = float((course.canal[:, 1] - course.back).min()) - 4
    sag = (canvas.x - canvas.x.mean()) ** 2 / 2600
    below = (under + sag[:, None] - 2) - canvas.y[None, :]
    shell = np.clip(2.2 - np.abs(below - 2.2), 0, 1) + np.clip(2.2 - np.abs(below - 30), 0, 1)
    foam = (below > 2.2) & (below < 30)
    hu = np.where(foam, np.float32(-940), np.float32(AIR_HU)) + (800 * shell).astype(np.float32)
    part = canvas.hu
    np.copyto(part, np.maximum(part, hu[:, :, None]))
