"""Samples for locating and naming: whole scans of painted or simulated spines at low resolution.

A scan takes about a second to make and serves both stages many times, so scans are kept: on disk where a cache
folder is given, in memory otherwise. Number n of a seed is always the same scan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from verse_morph.anatomy import VERSE, Level
from verse_morph.io.files import replacing
from verse_morph.phantom.case import FIRST_RIB, FULL, SACRUM
from verse_morph.phantom.ct import ScannerParameters
from verse_morph.phantom.labelmap import MapOptions, from_labelmap_points
from verse_morph.phantom.paint import PatchOptions, paint_points
from verse_morph.phantom.presets import draw_scanner
from verse_morph.phantom.warp import DeformationRange
from verse_morph.segment.intensity import AIR_HU, to_input
from verse_morph.segment.train.kept import Kept
from verse_morph.segment.train.sacral import first_sacral_body
from verse_morph.segment.train.sources import Source
from verse_morph.segment.train.view_changes import draw_stretches, hide
from verse_morph.segment.views import CHANNELS, SIGMA_MM, SPACING_MM, WIDTH, course, project
from verse_morph.space import FloatArray, Grid
from verse_morph.volume import LabelMap

# Classes that the locating stage tells apart.
VERTEBRA, RIB, SACRAL = 1, 2, 3
LOCATE_SHAPE = (64, 64, 96)
RIB_GAIN = 2.5
# Height of the views: most batches are short, which costs half as much; the others see a whole spine.
ROWS, SHORT_ROWS, SHORT_OF_FOUR = 256, 128, 3
GROUP = 4  # samples in a row that have the same height, so that batches of 1, 2 and 4 can be stacked
# The first sacral body is a level like any other: it looks like a vertebra, and tells L5 from L6.
BACKGROUND = len(Level)
# It lies this far below the last vertebra, mm; one further away belongs to no row that is known.
SACRAL_STEP_MM = (12.0, 60.0)
_LEVEL_OF = {**VERSE.levels, SACRUM: Level.S1}
# Sources that show nothing but a few lumbar vertebrae cannot teach a level.
FEWEST_LEVELS = 6
SIMULATED = 0.5
LARGEST = (170, 130, 330)
# A bowed neck or chest leans by 45 degrees; a long spine that leaned so would leave the field of view.
LEAN_DEG, LEANING_BELOW_MM = 28.0, 320.0
_QUANTUM_HU = 10.0


@dataclass(frozen=True, eq=False)
class PaintedScan:
    """A made-up scan at 2 mm.

    Parameters
    ----------
    code : array (i, j, k) of uint8
        HU in steps of 10 above that of air.
    classes : array (i, j, k) of uint8
        0, VERTEBRA, RIB or SACRAL.
    points : array (n, 3)
        Body centres, voxels.
    ranks : array (n,)
        Their levels' ranks.
    """

    code: NDArray[np.uint8]
    classes: NDArray[np.uint8]
    points: NDArray[np.float64]
    ranks: NDArray[np.int64]

    @property
    def hu(self) -> NDArray[np.float32]:
        """Hounsfield units."""
        return self.code.astype(np.float32) * np.float32(_QUANTUM_HU) + np.float32(AIR_HU)


class ScanPool:
    """Painted scans by number."""

    def __init__(self, sources: Sequence[Source], seed: int, size: int, cache: Path | None = None) -> None:
        self.sources = tuple(s for s in sources if len(s.centres) >= FEWEST_LEVELS)
        weights = np.array([s.weight for s in self.sources])
        self.share = weights / weights.sum()
        self.seed, self.size, self.cache = seed, size, cache
        self._kept = Kept(self._get, 8 if cache else size)
        # Found in a tenth of a second each, and a source is shown many times.
        self._sacral = Kept(self._first_sacral_body, len(self.sources))

    def __call__(self, number: int) -> PaintedScan:
        """The scan of a number; numbers beyond the size begin again."""
        return self._kept(number % self.size)

    def _get(self, number: int) -> PaintedScan:
        if self.cache is None:
            return self._make(number)
        path = self.cache / f"scan-{self.seed}-{number}.npz"
        if not path.is_file():
            made = self._make(number)
            with replacing(path) as temporary:
                np.savez(temporary, code=made.code, classes=made.classes, points=made.points, ranks=made.ranks)
        with np.load(path, allow_pickle=False) as stored:
            return PaintedScan(stored["code"], stored["classes"], stored["points"], stored["ranks"])

    def _make(self, number: int) -> PaintedScan:
        rng = np.random.default_rng([self.seed, 2, number])
        chosen = int(rng.choice(len(self.sources), p=self.share))
        source, body = self.sources[chosen], self._sacral(chosen)
        if body is not None:
            source = replace(source, centres={**source.centres, SACRUM: body})
        source = _shown(source, rng)
        values = list(source.centres)
        points = np.array([source.centres[v] for v in values])
        make = _simulated if rng.random() < SIMULATED else _painted
        hu, labels, moved = make(source, points, rng)
        keep = _in_view(hu, moved)
        ranks = np.array([_LEVEL_OF[v].rank for v in values])[keep]
        moved = moved[keep]
        code = np.clip(np.rint((hu - AIR_HU) / _QUANTUM_HU), 0, 255).astype(np.uint8)
        return PaintedScan(code, _CLASSES[labels], moved, ranks)

    def _first_sacral_body(self, number: int) -> FloatArray | None:
        """Voxel of S1's middle in a source, where its mask shows it below the last vertebra."""
        source = self.sources[number]
        last = min(source.centres.values(), key=lambda point: float(point[2]))
        body = first_sacral_body(source.labels == SACRUM, source.spacing_mm, float(last[0]))
        if body is None:
            return None
        step = float(np.linalg.norm((body - last) * source.spacing_mm))
        return body if SACRAL_STEP_MM[0] <= step <= SACRAL_STEP_MM[1] else None


def _in_view(hu: NDArray, points: FloatArray) -> NDArray[np.bool_]:
    """Which points (n, 3) lie in the image: a turned field of view leaves corners empty."""
    inside = np.asarray(((points >= 0) & (points <= np.array(hu.shape) - 1)).all(axis=1))
    index = np.rint(points[inside]).astype(int)
    inside[inside] = hu[tuple(index.T)] > AIR_HU + _QUANTUM_HU
    return inside


def _class_table() -> NDArray[np.uint8]:
    table = np.zeros(256, dtype=np.uint8)
    table[list(VERSE.levels)] = VERTEBRA
    for first in FIRST_RIB.values():
        table[first : first + 14] = RIB
    table[[90, 91]] = RIB
    table[[SACRUM, SACRUM + 1]] = SACRAL
    return table


_CLASSES = _class_table()


def _painted(
    source: Source, points: FloatArray, rng: np.random.Generator
) -> tuple[NDArray, NDArray[np.uint8], FloatArray]:
    """Random contrast on a strongly deformed map."""
    extent = np.array(source.labels.shape) * source.spacing_mm / SPACING_MM
    shape = tuple(int(n) for n in np.minimum(np.maximum(extent * 1.1, 40), LARGEST))
    options = PatchOptions(
        shape=(shape[0], shape[1], shape[2]),
        spacing_mm=SPACING_MM,
        deformation=DeformationRange(
            rotation_deg=12, scale=(0.75, 1.25), stretch=0.12, bend_mm=3.0, lean_deg=_lean_deg(source)
        ),
        noise_sd_hu=(5.0, 120.0),
        extra_bone=0.0,
        foreign=0.04,
        cut=0.0,
    )
    spacing = (float(source.spacing_mm[0]), float(source.spacing_mm[1]), float(source.spacing_mm[2]))
    return paint_points(source.labels, spacing, rng, points, options)


def _lean_deg(source: Source) -> float:
    return LEAN_DEG if source.labels.shape[2] * source.spacing_mm[2] < LEANING_BELOW_MM else 0.0


def _coarse(scanner: ScannerParameters) -> ScannerParameters:
    """A scanner with slices of 2 mm at least: finer ones would be averaged again."""
    least = max(SPACING_MM, scanner.slice_distance_mm)
    return replace(scanner, slice_distance_mm=least, slice_thickness_mm=max(SPACING_MM, scanner.slice_thickness_mm))


def _simulated(
    source: Source, points: FloatArray, rng: np.random.Generator
) -> tuple[NDArray, NDArray[np.uint8], FloatArray]:
    """A plausible trunk, scanned, on a mildly deformed map."""
    from scipy.ndimage import map_coordinates

    grid = Grid(source.labels.shape, np.diag([*source.spacing_mm, 1.0]))
    labels = LabelMap(source.labels, grid, FULL, source.name)
    options = MapOptions(
        spacing_mm=SPACING_MM,
        deformation=DeformationRange(
            rotation_deg=10, shear=0.05, scale=(0.82, 1.2), stretch=0.08, bend_mm=2.5, lean_deg=_lean_deg(source)
        ),
        neighbours=False,
        scanner=_coarse(draw_scanner(rng)),
    )
    scan, painted, moved = from_labelmap_points(labels, rng, grid.to_world(points), options)
    step = scan.grid.spacing_mm / SPACING_MM
    shape = [max(1, int(n * s)) for n, s in zip(scan.hu.shape, step, strict=True)]
    places = np.meshgrid(*[np.arange(n) / s for n, s in zip(shape, step, strict=True)], indexing="ij", sparse=False)
    hu = map_coordinates(scan.hu.astype(np.float32), places, order=1, mode="nearest")
    out = map_coordinates(np.asarray(painted.labels), places, order=0, mode="nearest")
    return hu, out.astype(np.uint8), scan.grid.to_index(moved) * step


def _shown(source: Source, rng: np.random.Generator) -> Source:
    """A random field of view of a source: mostly cut in height, sometimes narrow, never wider than a trunk."""
    low, high = np.zeros(3), np.array(source.labels.shape, dtype=float)
    points = np.array(list(source.centres.values()))
    spacing = source.spacing_mm
    if rng.random() < 0.8:
        centre, half = rng.choice(points[:, 2]), rng.uniform(50, 220) / spacing[2]
        low[2], high[2] = centre - half * rng.uniform(0.6, 1.4), centre + half * rng.uniform(0.6, 1.4)
    half = rng.uniform(35, 80) if rng.random() < 0.25 else rng.uniform(120, 170)
    middle = np.median(points[:, 0])
    low[0], high[0] = middle - half / spacing[0], middle + half / spacing[0]
    start = np.maximum(np.floor(low), 0).astype(int)
    stop = np.minimum(np.ceil(high), source.labels.shape).astype(int)
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    centres = {v: p - start for v, p in source.centres.items()}
    return replace(source, labels=np.ascontiguousarray(source.labels[box]), centres=centres, hu=None)


# --- locating -----------------------------------------------------------------------------------------------------


class LocateSamples:
    """Blocks of scans at 4 mm with the shares of vertebrae, ribs and sacrum in every voxel."""

    def __init__(self, pool: ScanPool, seed: int) -> None:
        self.pool, self.seed = pool, seed

    def __call__(self, index: int) -> dict[str, NDArray[np.float32]]:
        """Arrays ``image`` (1, i, j, k) and ``target`` (3, i, j, k)."""
        rng = np.random.default_rng([self.seed, 3, index])
        scan = self.pool(int(rng.integers(self.pool.size)))
        hu = halved(scan.hu)
        shares = np.stack([halved((scan.classes == c).astype(np.float32)) for c in (VERTEBRA, RIB, SACRAL)])
        # A rib is thinner than a voxel: a good third of one makes it a rib's voxel.
        shares[1] = np.minimum(shares[1] * RIB_GAIN, 1)
        if rng.random() < 0.5:
            hu, shares = hu[::-1], shares[:, ::-1]
        hu = hu * np.float32(rng.uniform(0.9, 1.1)) + np.float32(rng.normal(0, 20))
        start = [
            int(rng.integers(min(0, n - m), max(0, n - m) + 1)) for n, m in zip(hu.shape, LOCATE_SHAPE, strict=True)
        ]
        image = _cropped(hu, start, AIR_HU)
        target = np.stack([_cropped(share, start, 0.0) for share in shares])
        return {"image": to_input(image)[None], "target": target}


def halved(volume: NDArray) -> NDArray[np.float32]:
    """Mean of 2 x 2 x 2 voxels; an odd last layer is left out."""
    i, j, k = (2 * (n // 2) for n in volume.shape)
    v = np.asarray(volume[:i, :j, :k], dtype=np.float32)
    v = v[0::2] + v[1::2]
    v = v[:, 0::2] + v[:, 1::2]
    return (v[:, :, 0::2] + v[:, :, 1::2]) * np.float32(0.125)


def _cropped(volume: NDArray, start: list[int], outside: float) -> NDArray[np.float32]:
    out = np.full(LOCATE_SHAPE, outside, dtype=np.float32)
    source = tuple(slice(max(s, 0), s + n) for s, n in zip(start, LOCATE_SHAPE, strict=True))
    part = volume[source]
    target = tuple(slice(max(-s, 0), max(-s, 0) + n) for s, n in zip(start, part.shape, strict=True))
    out[target] = part
    return out


# --- naming -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Seen:
    """A scan at 2 mm as one sample sees it: HU, classes, body centres (n, 3) in voxels and their levels' ranks."""

    hu: NDArray
    classes: NDArray[np.uint8]
    points: FloatArray
    ranks: NDArray[np.int64]


class IdentifySamples:
    """Views of the spine with a heatmap per level and view."""

    def __init__(self, pool: ScanPool, seed: int) -> None:
        self.pool, self.seed = pool, seed

    def __call__(self, index: int) -> dict[str, NDArray[np.float32]]:
        """Arrays ``sagittal``, ``coronal`` (3, rows, WIDTH), their ``_target`` (28, rows, WIDTH)."""
        height = SHORT_ROWS if index // GROUP % 4 < SHORT_OF_FOUR else ROWS
        rng = np.random.default_rng([self.seed, 4, index])
        whole = self.pool(int(rng.integers(self.pool.size)))
        scan = _Seen(whole.hu, whole.classes, whole.points, whole.ranks)
        if rng.random() < 0.5:
            scan = _mirrored(scan)
        if scan.hu.shape[2] > height or rng.random() < 0.3:
            scan = _shorter(scan, height, rng)
        views = project(scan.hu, _course_seen(scan.classes, rng), height)
        shown = {"sagittal": views.sagittal, "coronal": views.coronal}
        points = {"sagittal": scan.points[:, [1, 2]] - views.first[[1, 2]]}
        points["coronal"] = scan.points[:, [0, 2]] - views.first[[0, 2]]
        stretches = draw_stretches(height, rng)
        if stretches is not None:
            for name, stretch in zip(shown, stretches, strict=True):
                shown[name] = stretch.view(shown[name])
                points[name] = stretch.points(points[name], (WIDTH - 1) / 2)
        sample = {name: hide(_jittered(view, rng), rng) for name, view in shown.items()}
        return sample | {f"{name}_target": _heatmaps(p, scan.ranks, height) for name, p in points.items()}


def _mirrored(scan: _Seen) -> _Seen:
    points = np.column_stack([scan.hu.shape[0] - 1 - scan.points[:, 0], scan.points[:, 1:]])
    return replace(scan, hu=scan.hu[::-1], classes=scan.classes[::-1], points=points)


def _shorter(scan: _Seen, height: int, rng: np.random.Generator) -> _Seen:
    """A part of the scan of at most ``height`` rows."""
    count = scan.hu.shape[2]
    rows = int(rng.integers(min(60, count), min(count, height) + 1))
    low = int(rng.integers(0, count - rows + 1))
    points = scan.points - [0, 0, low]
    kept = (points[:, 2] >= 0) & (points[:, 2] <= rows - 1)
    part = slice(low, low + rows)
    return _Seen(scan.hu[:, :, part], scan.classes[:, :, part], points[kept], scan.ranks[kept])


def _course_seen(classes: NDArray[np.uint8], rng: np.random.Generator) -> FloatArray:
    """The spine's course as the locating stage would see it: a little off, smooth."""
    line = course(classes == VERTEBRA)
    if line is None:
        line = np.tile((np.array(classes.shape[:2]) - 1) / 2, (classes.shape[2], 1))
    return line + rng.normal(0, 1.5, 2)


def _heatmaps(points: FloatArray, ranks: NDArray[np.int64], rows: int) -> NDArray[np.float32]:
    """Gaussians (28, rows, WIDTH) of points (n, 2: column, row); the background is what they leave."""
    out = np.zeros((BACKGROUND + 1, rows, WIDTH), dtype=np.float32)
    for (column, row), rank in zip(points, ranks, strict=True):
        across = np.exp(-0.5 * ((np.arange(WIDTH) - column) * SPACING_MM / SIGMA_MM) ** 2)
        down = np.exp(-0.5 * ((np.arange(rows) - row) * SPACING_MM / SIGMA_MM) ** 2)
        out[rank] = down[:, None] * across[None, :]
    out[BACKGROUND] = 1 - out[:BACKGROUND].max(axis=0)
    return out


def _jittered(view: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    gain = rng.uniform(0.85, 1.15, (CHANNELS, 1, 1)).astype(np.float32)
    shift = rng.normal(0, 0.08, (CHANNELS, 1, 1)).astype(np.float32)
    out = view * gain + shift
    if rng.random() < 0.4:
        out = out + rng.normal(0, rng.uniform(0.02, 0.2), view.shape).astype(np.float32)
    return out
