"""A whole simulated scan painted onto a real label map: real shapes, invented tissue."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from verse_morph.anatomy import VERSE, LabelScheme, Level
from verse_morph.errors import InputError
from verse_morph.phantom.ct import ScannerParameters, simulate_ct
from verse_morph.phantom.fields import FloatVolume, smooth_field
from verse_morph.phantom.guide import Guide, find_guide, level_number
from verse_morph.phantom.presets import draw_scanner
from verse_morph.phantom.tissues import SACRUM, TissueParameters, draw_tissue
from verse_morph.phantom.warp import Deformation, DeformationRange, draw_deformation, signed_depth
from verse_morph.space import Grid, canonical
from verse_morph.volume import LabelMap, Scan

FIRST_OTHER, UNLABELLED = 34, 99
SLAB = 32
MOST_VOXELS = 250_000_000


@dataclass(frozen=True)
class MapOptions:
    """How a label map becomes a scan.

    Parameters
    ----------
    spacing_mm : float
        Voxel size within slices; slices follow the scanner.
    deformation : DeformationRange
    outline_mm : float
        SD by which hand-drawn outlines wander about the bone's edge.
    neighbours : bool
        Whether the column goes on as unlabelled bone beyond the first and last vertebra of the mask.
    tissue, scanner : optional
        Drawn at random by default.
    """

    spacing_mm: float = 1.0
    deformation: DeformationRange = field(
        default_factory=lambda: DeformationRange(
            rotation_deg=8, shear=0.05, scale=(0.88, 1.14), stretch=0.06, bend_mm=1.5
        )
    )
    outline_mm: float = 0.35
    neighbours: bool = True
    tissue: TissueParameters | None = None
    scanner: ScannerParameters | None = None

    def __post_init__(self) -> None:
        if not 0.3 <= self.spacing_mm <= 4:
            raise InputError(f"spacing_mm is {self.spacing_mm:g}; allowed are 0.3 to 4 mm")


def from_labelmap(
    labels: LabelMap, rng: np.random.Generator, options: MapOptions | None = None
) -> tuple[Scan, LabelMap]:
    """A simulated CT with the bones of a real label map, deformed at random.

    Parameters
    ----------
    labels : LabelMap
        Every label is bone. Vertebrae by the map's scheme; S1 belongs to the sacrum.
    rng : Generator
        Decides over everything that ``options`` leaves open.
    options : MapOptions, optional

    Returns
    -------
    scan : Scan
        In nearest-RAS order.
    labels : LabelMap
        On the scan's grid, with the numbers of the map that was given; invented neighbours are unlabelled.

    Raises
    ------
    InputError
        The map holds no vertebra, more than 60 other structures, or would give more than 250 million voxels.

    Notes
    -----
    The shapes are real as far as the mask is; intensities and everything but bone are invented.
    """
    scan, painted, _ = from_labelmap_points(labels, rng, np.zeros((0, 3)), options)
    return scan, painted


def from_labelmap_points(
    labels: LabelMap, rng: np.random.Generator, points_mm: NDArray, options: MapOptions | None = None
) -> tuple[Scan, LabelMap, NDArray[np.float64]]:
    """As :func:`from_labelmap`, and where points (N, 3) of the map's world come to lie in the scan's, mm."""
    options = options or MapOptions()
    numbers, values, swap = _renumbered(labels)
    array, grid = canonical(labels.labels, labels.grid)
    source = numbers[array]
    scanner = options.scanner or draw_scanner(rng)
    target, deformation = _target(grid, scanner, rng, options)
    structures = _sampled(source, grid, deformation, swap)
    if options.neighbours:
        # Half the resolution is enough to find the ends of the column.
        half = np.ascontiguousarray(structures[::2, ::2, ::2])
        sizes = 2 * target.spacing_mm
        guide = find_guide(half, signed_depth(half, (sizes[0], sizes[1], sizes[2])), sizes)
        _continue_column(structures, guide, target.spacing_mm)
    depth = _smooth_depth(structures, grid, target, rng, options.outline_mm)
    tissue = options.tissue or draw_tissue(rng, labels=_vertebrae(structures))
    ct = simulate_ct(structures, depth, target, tissue, scanner, rng)
    out = values[structures[ct.slices]]
    meta = {"Manufacturer": scanner.manufacturer, "ManufacturerModelName": scanner.model, "KVP": f"{scanner.kvp:g}"}
    notes = ("simulated CT painted onto a label map: shapes from the map, everything else invented",)
    moved = deformation.moved(grid.to_index(points_mm), grid.spacing_mm, (np.array(grid.shape) - 1) / 2)
    scan = Scan(ct.hu, ct.grid, labels.name, meta, notes)
    painted = LabelMap(out, ct.grid, labels.scheme, labels.name, notes)
    return scan, painted, target.to_world(moved)


def _vertebrae(structures: NDArray[np.uint8]) -> tuple[int, ...]:
    present = np.bincount(structures.ravel(), minlength=256) > 0
    return tuple(value for value in VERSE.levels if present[value])


def _renumbered(labels: LabelMap) -> tuple[NDArray[np.uint8], NDArray, NDArray[np.uint8]]:
    """Tables from the map's numbers to the simulation's (VerSe for vertebrae), back, and to the other side."""
    found, scheme = labels.values(), labels.scheme
    if not labels.levels():
        raise InputError(f"the mask {labels.name} holds no vertebra of scheme {scheme.name}; it has {found}")
    twins = {value: _twin(scheme, value) for value in found if value not in scheme.levels}
    others = sorted(twins.keys() | set(twins.values()))
    if len(others) > UNLABELLED - 3 - FIRST_OTHER:
        raise InputError(f"the mask {labels.name} holds {len(others)} other structures; at most 60 can be painted")
    forward = np.zeros(max(*found, *others, 0) + 1, dtype=np.uint8)
    back = np.zeros(256, dtype=labels.labels.dtype)
    for value in sorted({*found, *others}):
        forward[value] = _number(scheme, value, FIRST_OTHER + others.index(value) if value in others else 0)
        # Where two structures are one bone the first one's number stands for both.
        back[forward[value]] = back[forward[value]] or value
    swap = np.arange(256, dtype=np.uint8)
    for value, twin in twins.items():
        swap[forward[value]], swap[forward[twin]] = forward[twin], forward[value]
    return forward, back, swap


def _twin(scheme: LabelScheme, value: int) -> int:
    """The number of the same structure on the other side, or its own."""
    name = scheme.others.get(value, "")
    for one, other in (("left", "right"), ("right", "left")):
        if one in name:
            wanted = name.replace(one, other)
            return next((v for v, n in scheme.others.items() if n == wanted), value)
    return value


def _number(scheme: LabelScheme, value: int, other: int) -> int:
    level = scheme.levels.get(value)
    if level is Level.S1 or "sacrum" in scheme.others.get(value, ""):
        return SACRUM
    return other if level is None else VERSE.value_of(level)


def _sizes(grid: Grid) -> tuple[float, float, float]:
    x, y, z = (float(s) for s in grid.spacing_mm)
    return x, y, z


def _target(
    grid: Grid, scanner: ScannerParameters, rng: np.random.Generator, options: MapOptions
) -> tuple[Grid, Deformation]:
    """The grid on which tissue is painted, about the middle of the map, and the deformation onto it."""
    spacing = np.full(3, options.spacing_mm)
    thin = min(options.spacing_mm, max(scanner.slice_distance_mm, 0.4))
    # Slices must be whole numbers of voxels apart.
    spacing[scanner.slice_axis] = scanner.slice_distance_mm / max(1, round(scanner.slice_distance_mm / thin))
    extent = np.array(grid.shape) * grid.spacing_mm
    shape = np.maximum(np.rint(extent / spacing), 8).astype(int)
    if shape.prod() > MOST_VOXELS:
        raise InputError(f"{'x'.join(map(str, shape))} voxels are too many; use a larger spacing_mm or crop the mask")
    affine = np.array(grid.affine)
    affine[:3, :3] *= spacing / grid.spacing_mm
    middle = grid.to_world((np.array(grid.shape) - 1) / 2)
    affine[:3, 3] = middle - affine[:3, :3] @ ((shape - 1) / 2)
    target = Grid((shape[0], shape[1], shape[2]), affine)
    return target, draw_deformation(target.shape, _sizes(target), rng, options.deformation)


def _sampled(
    source: NDArray[np.uint8], grid: Grid, deformation: Deformation, swap: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """The deformed labels, slab by slab; beyond the source there is nothing."""
    source = np.ascontiguousarray(source)
    centre = (np.array(source.shape) - 1) / 2
    out = np.empty(deformation.shape, dtype=np.uint8)
    for start in range(0, out.shape[2], SLAB):
        part = slice(start, min(start + SLAB, out.shape[2]))
        warped, _ = deformation.sample(source, deformation.places(grid.spacing_mm, centre, part), swap)
        out[:, :, part] = warped
    return out


def _continue_column(structures: NDArray[np.uint8], guide: Guide, spacing: NDArray) -> None:
    """Copy the first and the last vertebra onwards as unlabelled bone, in place, unless the mask goes on there."""
    marks = sorted(guide.landmarks, key=lambda mark: level_number(mark.label))
    if len(marks) < 2:
        return
    ends = [(marks[0], marks[1]), (marks[-1], marks[-2])]
    sacrum = (structures == SACRUM).any()
    for end, inner in ends:
        if end.label <= 2 or (end is marks[-1] and sacrum):
            continue
        step = np.rint((end.body_mm - inner.body_mm) / spacing).astype(int)
        where = np.argwhere(structures == end.label)
        for count in (1, 2, 3):
            moved = where + count * step
            moved = moved[((moved >= 0) & (moved < structures.shape)).all(axis=1)]
            at = tuple(moved.T)
            structures[at] = np.where(structures[at] == 0, UNLABELLED - count, structures[at])


def _smooth_depth(
    structures: NDArray[np.uint8], source: Grid, target: Grid, rng: np.random.Generator, outline_mm: float
) -> FloatVolume:
    """Signed depth without the stairs of the source's voxels, and with an edge that wanders about the outline."""
    from scipy.ndimage import gaussian_filter1d

    depth = signed_depth(structures, _sizes(target))
    np.clip(depth, -10, 20, out=depth)
    for axis in range(3):
        own = float(target.spacing_mm[axis])
        sigma = 0.75 * max(float(source.spacing_mm[axis]), own) / own
        gaussian_filter1d(depth, sigma, axis=axis, output=depth, mode="nearest", truncate=3)
    if outline_mm > 0:
        depth += smooth_field(depth.shape, 7.0 / target.spacing_mm, rng) * np.float32(outline_mm)
        depth += np.float32(rng.normal(-0.1, 0.6 * outline_mm))
    return depth
