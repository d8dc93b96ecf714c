"""Ribs beside the labelled vertebrae: found as labels or as bone in the CT, followed from head to tip, classed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from verse_morph.anatomy import Level, rib_number
from verse_morph.shape.crop import crop_box
from verse_morph.space import FloatArray, Grid
from verse_morph.spine import Flag, Frame, Spine, Vertebra
from verse_morph.variants.neighbourhood import Neighbourhood, Surroundings, rib_code
from verse_morph.variants.rules import Rules
from verse_morph.variants.trace import Trace, trace

SIDES = ("left", "right")
# The mask's own surface blurs beyond the mask: this much, and this share of the largest voxel, around vertebrae is not
# taken for other bone.
PEEL_MM, PEEL_VOXELS = 0.7, 0.8
# Organs and vessels full of contrast medium are as bright as bone, but thicker than any rib: radius, and what is
# cleared about them, mm.
ORGAN_MM, ORGAN_RIM_MM = 6.5, 1.5
# Noise of an organ exceeds the threshold of bone here and there where its mean exceeds this share of it.
ORGAN_SHARE = 0.6
# How much brighter than organs a rib's cortex is.
CORTEX_HU = 130.0
# Near an organ the threshold lies this much above it, but not above the cortex of ribs.
ORGAN_NOISE_HU, HIGHEST_HU, ORGAN_REACH_MM = 60.0, 350.0, 20.0
# Where noise may exceed the threshold of bone (this many standard deviations above soft tissue), voxels of bone are
# bright in an image smoothed this much too, at this share of the threshold, air counted as water: ribs border the
# lungs. Chosen on one noisy image.
NOISE_SDS, SOFT_HU, LEAST_SOFT_HU, CLEAR_MM, CLEAR_SHARE = 4.0, 40.0, -150.0, 2.0, 0.7
# A rib begins this near to its vertebra, and is a neighbour's if that one has much more of it as near.
CONTACT_MM = {"cervical": 6.0, "thoracic": 9.0, "lumbar": 6.0}
# ... and what has no voxel this near beyond the peel only passes by: the first rib C7, the last one L1.
JOINT_MM = {"cervical": 2.5, "thoracic": 6.0, "lumbar": 2.5}
# Joints lie between these heights, counted from the body's middle.
JOINT_Z_MM = (-15.0, 18.0)
# A rib of L1 begins nearer to the midline than this, below the joint processes, beside which the rib above passes.
PASSING_MM, FLOATING_Z_MM = 30.0, 12.0
SMALLEST_MM3 = 60.0
# From head to tip a rib leads this far to its side or backwards, and if backwards no farther than this to the middle.
AWAY_MM, INWARDS_MM = 3.0, 8.0
# A rib longer than this may end no farther out than it began.
LONG_MM = 100.0
# No rib is longer (the longest of one patient's labelled 24 measures 299 mm): such a line runs on into collarbone, arm
# or breastbone.
LONGEST_MM = 400.0
# No rib is thicker; bone that merges with others is.
THICKEST_MM2 = 260.0
# Ribs descend this far below their vertebra.
DESCENT_MM = 160.0
# Without this much view beside the vertebra an absent rib says nothing.
VIEW_MM = 15.0
# Ribs touch vertebrae beside the body's middle and behind its front.
BESIDE_MM, FRONT_MM = 9.0, 9.0
# A tubercle lies this near to the tip of its transverse process.
TUBERCLE_MM = 10.0
# A vertebra without a second joint claims a piece of bone when it has this share of the first one's contact.
CLAIM_SHARE = 0.1
# The first rib passes below C7's process, a rib of C7 begins at its height; the eleventh rib passes behind T12's
# process, a rib of T12 begins in front of it: mm above and before the middle of the body.
CERVICAL_Z_MM, FLOATING_Y_MM = -4.0, -20.0
# Where ribs touch, the border runs where the bone is darkest; above this all of it is bright.
BRIGHT_HU = 450.0
# Ribs that touch over more than this, some sections of a rib, are not told apart by that.
TOUCH_MM2 = 200.0
# A rib whose tip lies this near to the border with another one ends there only because they were parted.
TIP_MM = 8.0
# A rib may be interrupted where its neck is thin: bone of no other rib this near to a stump may be the rest of it.
GAP_MM = 10.0

Place = tuple[Level, str]


@dataclass(frozen=True, eq=False)
class Rib:
    """One side of one vertebra.

    Parameters
    ----------
    level : Level
    side : str
        ``left`` or ``right``, the patient's.
    kind : str
        ``rib``, ``stump``, ``none`` (in view and no rib there) or ``not_assessable``.
    length_mm : float or None
        From the middle of the head to the tip along the middle line; at least this where ``truncated``.
    truncated : bool
        The rib meets the border of the image, the outline of a vertebra, or another rib that it merges with.
    borderline : bool
        The length lies in the band where stump and rib are a matter of taste.
    why : str
        Why there is no length, or no class.
    points_mm : array (N, 3) or None
        The middle line, world RAS mm.
    source : str
        ``mask`` (a labelled rib) or ``ct``; empty where nothing was looked at.
    """

    level: Level
    side: str
    kind: str
    length_mm: float | None = None
    truncated: bool = False
    borderline: bool = False
    why: str = ""
    points_mm: FloatArray | None = None
    source: str = ""


def find_ribs(around: Surroundings, rules: Rules) -> tuple[Rib, ...]:
    """Both sides of C7, every thoracic vertebra and L1.

    Parameters
    ----------
    around : Surroundings
    rules : Rules

    Notes
    -----
    Misleads when vessels full of contrast medium touch the ribs, when a rib's tip is all cartilage, and when the mask
    takes part of the rib for the vertebra.
    """
    carriers = [v for v in around.spine if v.level is Level.C7 or v.level.region == "thoracic" or v.level is Level.L1]
    if not carriers:
        return ()
    if around.hu is None and not around.has_ribs:
        return tuple(_nothing(v.level, side, "needs a CT or a mask with ribs") for v in carriers for side in SIDES)
    near = around.box(*_thorax(around, carriers), finest_mm=0.9)
    pieces = None if around.has_ribs else _bony(near, rules)
    found = _named(near, around.spine) if pieces is None else _assigned(near, pieces, around)
    out = []
    for vertebra in carriers:
        frame = frame_of(vertebra, around.spine)
        for side in SIDES:
            piece = found.get((vertebra.level, side))
            out.append(_rib(vertebra, side, piece, near, frame, rules))
    return tuple(out) if pieces is None else _interrupted(out, found, pieces, near)


def frame_of(vertebra: Vertebra, spine: Spine) -> Frame | None:
    """A vertebra's frame, or where it has none (a cut body, C1) the next vertebra's, moved here."""
    if vertebra.frame is not None:
        return vertebra.frame
    framed = [v for v in spine if v.frame is not None]
    if not framed:
        return None
    next_one = min(framed, key=lambda v: abs(v.level.rank - vertebra.level.rank)).frame
    assert next_one is not None
    middle = vertebra.grid.to_world(np.argwhere(vertebra.mask)).mean(axis=0)
    if vertebra.centre_mm is not None:
        middle = vertebra.centre_mm
    return Frame(middle, next_one.right, next_one.anterior, next_one.superior)


def _thorax(around: Surroundings, carriers: Sequence[Vertebra]) -> tuple[FloatArray, FloatArray]:
    ends = around.grid.to_world(np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in around.grid.shape])).reshape(3, -1).T)
    low, high = ends.min(axis=0), ends.max(axis=0)
    heights = [v.grid.to_world(np.argwhere(v.mask))[:, 2] for v in carriers]
    low[2] = max(low[2], min(float(h.min()) for h in heights) - DESCENT_MM)
    high[2] = min(high[2], max(float(h.max()) for h in heights) + 25.0)
    return low, high


# --- candidates -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Piece:
    """One piece of bone in its own box."""

    box: tuple[slice, ...]
    mask: NDArray[np.bool_]
    # Where it merges with another vertebra's rib, world mm.
    joint_mm: FloatArray | None = None


def _bony(near: Neighbourhood, rules: Rules) -> NDArray:
    """Numbered pieces of bone outside the mask."""
    import cc3d
    import edt

    assert near.hu is not None
    spacing = tuple(near.grid.spacing_mm)
    away = edt.edt(near.levels == 0, anisotropy=spacing, black_border=False)
    bone = _brighter_than_organs(near, rules) & (away > _peel_mm(near)) & (near.named == 0)
    pieces = cc3d.connected_components(bone, connectivity=26)
    sizes = np.bincount(pieces.ravel())
    small = sizes * near.grid.voxel_volume_mm3 < SMALLEST_MM3
    small[0] = True
    return np.where(small, 0, np.cumsum(~small))[pieces]


def _peel_mm(near: Neighbourhood) -> float:
    return PEEL_MM + PEEL_VOXELS * float(near.grid.spacing_mm.max())


def _brighter_than_organs(near: Neighbourhood, rules: Rules) -> NDArray[np.bool_]:
    """Voxels above the threshold of bone that do not belong to bright regions thicker than a rib."""
    import cc3d
    import edt
    from scipy.ndimage import find_objects, gaussian_filter

    assert near.hu is not None
    spacing = tuple(near.grid.spacing_mm)
    # Smoothed once more: noise must not tear an organ, and a rib's spongy core must not thicken it.
    smooth = gaussian_filter(near.hu, CLEAR_MM / near.grid.spacing_mm, truncate=2)
    bright = smooth > ORGAN_SHARE * rules.bone_hu
    core = edt.edt(bright & (near.levels == 0), anisotropy=spacing, black_border=False) > ORGAN_MM
    out = near.hu > rules.bone_hu
    if NOISE_SDS * _noise_hu(near, smooth, bright) > rules.bone_hu - SOFT_HU:
        # Else specks of noise would tie the ribs together.
        clear = gaussian_filter(np.maximum(near.hu, 0.0), CLEAR_MM / near.grid.spacing_mm, truncate=2)
        out &= clear > CLEAR_SHARE * rules.bone_hu
    pieces = cc3d.connected_components(core, connectivity=26)
    for number, tight in enumerate(find_objects(pieces), start=1):
        box = crop_box(tight, near.grid, ORGAN_REACH_MM)
        mine, hu = pieces[box] == number, near.hu[box]
        usual, high = np.percentile(hu[mine], [50, 90])
        away = edt.edt(~mine, anisotropy=spacing, black_border=False)
        # A rib may lie against the organ: its cortex is brighter and stays.
        out[box] &= (away >= ORGAN_MM + ORGAN_RIM_MM) | (hu > usual + CORTEX_HU)
        # Thin parts of the same organ (the kidney about its pelvis) escape a rule of thickness: a higher threshold.
        out[box] &= (away >= ORGAN_REACH_MM) | (hu > min(high + ORGAN_NOISE_HU, HIGHEST_HU))
    return out


def _noise_hu(near: Neighbourhood, smooth: NDArray[np.float32], bright: NDArray[np.bool_]) -> float:
    """Standard deviation of what smoothing takes away well inside soft tissue."""
    import edt

    assert near.hu is not None
    soft = ~bright & (smooth > LEAST_SOFT_HU)
    inner = edt.edt(soft, anisotropy=tuple(near.grid.spacing_mm), black_border=False) > 2 * CLEAR_MM
    return float((near.hu - smooth)[inner].std()) if inner.any() else 0.0


def _named(near: Neighbourhood, spine: Spine) -> dict[Place, Piece]:
    """Labelled ribs. The number at the vertebra decides whose rib it is: a network's numbers may change along a rib."""
    import cc3d
    from scipy.ndimage import find_objects

    pieces = cc3d.connected_components(near.named >= rib_code(0, "left"), connectivity=26)
    whole, own = find_objects(pieces), find_objects(near.named)
    starts: dict[Place, tuple[int, int]] = {}
    last = max((v.level for v in spine if v.level.region == "thoracic"), default=Level.T12)
    for vertebra in spine:
        number, frame = rib_number(vertebra.level, last), frame_of(vertebra, spine)
        for side in SIDES:
            code = 0 if number is None else rib_code(number, side)
            box = own[code - 1] if 0 < code <= len(own) else None
            if box is None or frame is None:
                continue
            voxels = np.argwhere(near.named[box] == code)
            away = np.linalg.norm(near.grid.crop(box).to_world(voxels) - _start(frame, side), axis=1)
            first = voxels[away.argmin()] + [part.start for part in box]
            starts[vertebra.level, side] = code, int(pieces[tuple(first)])
    claims = [piece for _, piece in starts.values()]
    out: dict[Place, Piece] = {}
    for place, (code, piece) in starts.items():
        box = whole[piece - 1]
        mask = pieces[box] == piece
        # Ribs that touch are told apart by their numbers.
        if claims.count(piece) > 1:
            mask = _largest(near.named[box] == code)
        out[place] = Piece(box, mask)
    return out


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    import cc3d

    pieces, count = cc3d.connected_components(mask, connectivity=26, return_N=True)
    if count < 2:
        return mask
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return np.asarray(pieces == sizes.argmax())


def _assigned(near: Neighbourhood, pieces: NDArray, around: Surroundings) -> dict[Place, Piece]:
    """The piece of bone that belongs to each side of each vertebra: the one it touches most, if no other does more."""
    from scipy.ndimage import find_objects

    contact: dict[int, dict[Place, FloatArray]] = {}
    for vertebra in around.spine:
        # A neck vertebra above C7 keeps what touches it (vessels, the clavicle) from being taken for a rib of C7.
        if vertebra.level >= Level.C5:
            for side, piece, points in _contacts(near, pieces, vertebra, frame_of(vertebra, around.spine)):
                contact.setdefault(piece, {})[vertebra.level, side] = points
    boxes = find_objects(pieces)
    out: dict[Place, Piece] = {}
    for number, mine in sorted(contact.items()):
        box = boxes[number - 1]
        for place, part in _shares(Piece(box, pieces[box] == number), near, mine, around.spine):
            if place not in out or part.mask.sum() > out[place].mask.sum():
                out[place] = part
    return out


def _contacts(
    near: Neighbourhood, pieces: NDArray, vertebra: Vertebra, frame: Frame | None
) -> Iterator[tuple[str, int, FloatArray]]:
    """Which pieces lie near a vertebra, beside or behind its body: side, number, points of contact (world mm)."""
    import edt

    inside = near.levels == vertebra.level.rank + 1
    region = vertebra.level.region
    box = _box_of(inside, near.grid, CONTACT_MM[region] + 1)
    if box is None or frame is None:
        return
    away = edt.edt(~inside[box], anisotropy=tuple(near.grid.spacing_mm), black_border=False)
    close = np.argwhere((away <= CONTACT_MM[region]) & (pieces[box] > 0))
    points = near.grid.crop(box).to_world(close)
    at = frame.to_local(points)
    beside = (
        (np.abs(at[:, 0]) > BESIDE_MM) & (at[:, 1] < FRONT_MM) & (at[:, 2] > JOINT_Z_MM[0]) & (at[:, 2] < JOINT_Z_MM[1])
    )
    numbers = pieces[box][tuple(close.T)]
    distance = away[tuple(close.T)]
    joint_mm = _peel_mm(near) + JOINT_MM[region]
    own = beside & _at_its_own_joint(vertebra.level, at)
    for side, mask in (("left", at[:, 0] < 0), ("right", at[:, 0] > 0)):
        here = mask & own
        for number in np.unique(numbers[here]):
            mine = here & (numbers == number)
            # The twelfth rib passes L1's process farther out, or at a distance; a rib with a joint does not.
            low = at[mine, 2] < FLOATING_Z_MM
            passes = vertebra.level is Level.L1 and not (low & (np.abs(at[mine, 0]) < PASSING_MM)).any()
            if distance[mine].min() <= joint_mm and not passes:
                yield side, int(number), points[mine]


def _at_its_own_joint(level: Level, at: FloatArray) -> NDArray[np.bool_]:
    """Which points of contact (N, 3), in the vertebra's axes, cannot be those of a neighbour's rib that passes."""
    if level is Level.C7:
        return np.asarray(at[:, 2] > CERVICAL_Z_MM)
    if level >= Level.T11 and level.region == "thoracic":
        return np.asarray(at[:, 1] > FLOATING_Y_MM)
    return np.ones(len(at), dtype=bool)


def _box_of(mask: NDArray[np.bool_], grid: Grid, margin_mm: float) -> tuple[slice, ...] | None:
    lines = [np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    if not all(len(line) for line in lines):
        return None
    more = np.ceil(margin_mm / grid.spacing_mm).astype(int)
    return tuple(
        slice(max(0, int(line[0]) - m), min(n, int(line[-1]) + 1 + m))
        for line, m, n in zip(lines, more, mask.shape, strict=True)
    )


def _shares(
    piece: Piece, near: Neighbourhood, contact: Mapping[Place, FloatArray], spine: Spine
) -> Iterator[tuple[Place, Piece]]:
    """One piece of bone, or its parts where ribs of several vertebrae merge farther out."""
    from scipy.ndimage import binary_dilation
    from scipy.spatial import cKDTree
    from skimage.segmentation import watershed

    most = max(contact, key=lambda place: len(contact[place]))
    seeds = {place: _seed(spine, place, points, len(contact[most])) for place, points in contact.items()}
    own = {place: points for place, points in seeds.items() if points is not None}
    if any(level >= Level.T11 and level is not Level.L1 for level, _ in own):
        # The last thoracic rib passes close behind L1's joint processes: one piece with both is that rib.
        own = {place: points for place, points in own.items() if place[0] is not Level.L1}
    if len(own) < 2:
        yield next(iter(own), most), piece
        return
    assert near.hu is not None
    mask, here = piece.mask, near.grid.crop(piece.box)
    voxels = np.argwhere(mask)
    tree = cKDTree(here.to_world(voxels))
    marks = np.zeros(mask.shape, dtype=np.int32)
    for number, points in enumerate(own.values(), start=1):
        marks[tuple(voxels[tree.query(points)[1]].T)] = number
    parts = watershed(-np.minimum(near.hu[piece.box], BRIGHT_HU), marks, mask=mask, connectivity=3)
    for number, place in enumerate(own, start=1):
        mine = parts == number
        joint = np.argwhere(binary_dilation(mine, np.ones((3, 3, 3))) & mask & ~mine)
        yield place, Piece(piece.box, mine, here.to_world(joint) if len(joint) else None)


def _seed(spine: Spine, place: Place, points: FloatArray, most: int) -> FloatArray | None:
    """Where a piece of bone is this vertebra's own: in front of its transverse process; or, from T11 on, where ribs
    have no second joint, wherever it lies at the vertebra. A head at the body may be the next rib's.
    """
    if place[0] >= Level.T11 or place[0] <= Level.C7:
        return points if len(points) >= CLAIM_SHARE * most else None
    tip = _process_tip(spine, *place)
    if tip is None:
        return None
    near = points[np.linalg.norm(points - tip, axis=1) < TUBERCLE_MM]
    return near if len(near) else None


def _process_tip(spine: Spine, level: Level, side: str) -> FloatArray | None:
    """The tip of a vertebra's transverse process: its outermost voxels behind the body's middle."""
    vertebra = spine[level]
    frame = frame_of(vertebra, spine)
    if frame is None:
        return None
    points = vertebra.grid.to_world(np.argwhere(vertebra.mask))
    local = frame.to_local(points)
    outwards = local[:, 0] * (1 if side == "right" else -1)
    behind = local[:, 1] < 0
    if not behind.any():
        return None
    tip = points[behind & (outwards > outwards[behind].max() - 2.0)].mean(axis=0)
    return np.asarray(tip, dtype=np.float64)


# --- one rib ----------------------------------------------------------------------------------------------------------


def _rib(
    vertebra: Vertebra, side: str, piece: Piece | None, near: Neighbourhood, frame: Frame | None, rules: Rules
) -> Rib:
    level, source = vertebra.level, "mask" if near.hu is None or near.has_ribs else "ct"
    if frame is None:
        return _nothing(level, side, "no vertebra in view has axes of its own")
    if piece is None:
        return _absent(vertebra, side, near, frame, source)
    strength = near.hu[piece.box] if near.hu is not None and source == "ct" else None
    line = trace(piece.mask, near.grid.crop(piece.box), _start(frame, side), strength)
    if line.section_mm2 > THICKEST_MM2:
        why = f"the bone beside it is {line.section_mm2:.0f} mm2 thick: it merges with other bone"
        return Rib(level, side, "not_assessable", why=why, source=source)
    if line.length_mm > LONGEST_MM:
        why = f"its bone goes on for {line.length_mm:.0f} mm, longer than any rib: it merges with other bone"
        return Rib(level, side, "not_assessable", why=why, source=source)
    if not _is_rib(line, frame, (level, side), rules):
        if piece.joint_mm is not None:
            return Rib(level, side, "not_assessable", why="bone beside it merges with another's rib", source=source)
        return _absent(vertebra, side, near, frame, source)
    rib = Rib(level, side, "rib", line.length_mm, points_mm=line.points_mm, source=source)
    return _classed(rib, piece, near, rules)


def _classed(rib: Rib, piece: Piece, near: Neighbourhood, rules: Rules) -> Rib:
    length = rib.length_mm or 0.0
    truncated = _meets_border(piece, near)
    low, high = rules.stump_band_mm
    borderline = low <= length <= high and not truncated
    kind, why = "rib" if length >= rules.stump_mm else "stump", ""
    if truncated and kind == "stump":
        kind, why = "not_assessable", f"the border of the image cuts the rib after {length:.0f} mm"
    if rib.source == "ct" and _ends_at_an_outline(rib, near):
        truncated, borderline = True, False
        why = why or f"its bone ends at the outline of a vertebra after {length:.0f} mm"
        if kind == "stump" and rib.level is not Level.C7:
            kind, why = "not_assessable", f"{why}, which may have taken in the rest"
    if piece.joint_mm is not None and rib.points_mm is not None:
        free = float(np.linalg.norm(piece.joint_mm - rib.points_mm[0], axis=1).min())
        # A short rib that was parted from another may be the first part of a long one.
        doubtful = kind == "stump" and rib.level is not Level.C7
        if doubtful or not _parted(rib, piece.joint_mm, near):
            if rib.level is Level.C7:
                # Long ones often join the first rib: there is a rib of C7, at least this long.
                why = f"a rib of C7 that joins another vertebra's after {free:.0f} mm"
                return replace(rib, length_mm=free, truncated=True, why=why)
            truncated = True
            if free < high:
                why = f"the rib merges with another vertebra's after {free:.0f} mm"
                return replace(rib, kind="not_assessable", length_mm=None, why=why)
        elif not why:
            why = f"it touches another vertebra's rib {free:.0f} mm from its head, parted where the bone is darkest"
    return replace(rib, kind=kind, why=why, truncated=truncated, borderline=borderline)


def _interrupted(
    ribs: Sequence[Rib], found: Mapping[Place, Piece], pieces: NDArray, near: Neighbourhood
) -> tuple[Rib, ...]:
    """The ribs, without a class where a stump may be the head of a longer rib whose neck is too thin to be seen."""
    if not any(rib.kind == "stump" for rib in ribs):
        return tuple(ribs)
    loose = pieces.copy()
    for piece in found.values():
        loose[piece.box][piece.mask] = 0
    sizes, out = np.bincount(pieces.ravel()), []
    for rib in ribs:
        if rib.kind == "stump" and rib.points_mm is not None and rib.level is not Level.C7:
            voxels, apart = _within(loose, near.grid, rib.points_mm[-1], GAP_MM)
            own = found[rib.level, rib.side].mask.sum()
            if len(voxels) and sizes[loose[tuple(voxels.T)]].max() > own:
                why = f"it ends after {rib.length_mm:.0f} mm, {apart.min():.0f} mm from larger bone: it may go on"
                rib = replace(rib, kind="not_assessable", why=why, truncated=True, borderline=False)
        out.append(rib)
    return tuple(out)


def _ends_at_an_outline(rib: Rib, near: Neighbourhood) -> bool:
    """Whether the tip lies where bone beside the mask begins not to be looked at: a mask that takes part of a rib for
    a process cuts it in two.
    """
    assert rib.points_mm is not None
    reach = _peel_mm(near) + float(near.grid.spacing_mm.max())
    return bool(len(_within(near.levels, near.grid, rib.points_mm[-1], reach)[0]))


def _within(labels: NDArray, grid: Grid, place_mm: FloatArray, reach_mm: float) -> tuple[NDArray, FloatArray]:
    """Labelled voxels (N, 3) that lie this near to a place, and how near, mm."""
    middle, more = grid.to_index(place_mm), reach_mm / grid.spacing_mm
    low = np.maximum(np.floor(middle - more), 0).astype(int)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, np.ceil(middle + more) + 1, strict=True))
    voxels = np.argwhere(labels[box] > 0) + low
    apart = np.linalg.norm(grid.to_world(voxels) - place_mm, axis=1)
    return voxels[apart <= reach_mm], apart[apart <= reach_mm]


def _parted(rib: Rib, joint_mm: FloatArray, near: Neighbourhood) -> bool:
    """Whether the border with another rib is small and not where this one ends, so that its length is its own."""
    assert rib.points_mm is not None
    small = len(joint_mm) * near.grid.voxel_volume_mm3 ** (2 / 3) <= TOUCH_MM2
    return small and float(np.linalg.norm(joint_mm - rib.points_mm[-1], axis=1).min()) > TIP_MM


def _start(frame: Frame, side: str) -> FloatArray:
    """Where a head lies nearest to: the side of the body, towards its back."""
    return frame.to_world(np.array([8.0 if side == "right" else -8.0, -4.0, 3.0]))


def _is_rib(line: Trace, frame: Frame, place: Place, rules: Rules) -> bool:
    """Long enough, and leading away from the vertebra: to its own side, or, as a short floating rib, backwards."""
    level, side = place
    floating = level >= Level.T11 and level.region == "thoracic"
    way = frame.to_local(line.points_mm) * (1 if side == "right" else -1, -1, 1)
    outwards, backwards, _ = way[-1] - way[0]
    if line.length_mm > LONG_MM:
        # The upper ribs come back to the breastbone.
        outwards = (way[:, 0] - way[0, 0]).max()
    back = floating and backwards > AWAY_MM and outwards > -INWARDS_MM
    leads_away = outwards > AWAY_MM or back
    return line.length_mm >= rules.shortest_rib_mm and bool(leads_away)


def _meets_border(piece: Piece, near: Neighbourhood) -> bool:
    for axis in range(3):
        part, size = piece.box[axis], near.grid.shape[axis]
        if part.start == 0 and bool(np.take(piece.mask, 0, axis=axis).any()):
            return True
        if part.stop == size and bool(np.take(piece.mask, -1, axis=axis).any()):
            return True
    return False


def _absent(vertebra: Vertebra, side: str, near: Neighbourhood, frame: Frame, source: str) -> Rib:
    points = vertebra.grid.to_world(np.argwhere(vertebra.mask))
    outwards = frame.to_local(points)[:, 0] * (1 if side == "right" else -1)
    tip = points[outwards.argmax()] + (frame.right if side == "right" else -frame.right) * VIEW_MM
    if not bool(near.grid.contains(tip)):
        return _nothing(vertebra.level, side, "the image ends beside the vertebra", source)
    if Flag.BODY_CUT in vertebra.flags:
        return _nothing(vertebra.level, side, "the image border cuts the vertebra", source)
    return Rib(vertebra.level, side, "none", why="no rib in view beside the vertebra", source=source)


def _nothing(level: Level, side: str, why: str, source: str = "") -> Rib:
    return Rib(level, side, "not_assessable", why=why, source=source)
