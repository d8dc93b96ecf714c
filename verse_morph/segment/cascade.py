"""From a CT to labelled vertebrae: locate the spine, name the vertebrae, outline each one, merge them.

This module and what it imports at the top are light; the networks and torch are loaded when a stage runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from verse_morph.anatomy import Level
from verse_morph.errors import InputError, VerseMorphError
from verse_morph.segment.flags import LEFT_OUT, MaskFlag, ScanFlag
from verse_morph.space import FloatArray, Grid, frozen
from verse_morph.volume import LabelMap, Scan

if TYPE_CHECKING:
    from torch import nn

    from verse_morph.segment.compute import Compute
    from verse_morph.segment.decode import Decoding
    from verse_morph.segment.identify import Identification
    from verse_morph.segment.locate import Location
    from verse_morph.segment.merge import Merged
    from verse_morph.segment.outline import Outlined
    from verse_morph.segment.resample import Reduced

Report = Callable[[str, int, int], None]

ENGINES = ("verse_morph", "totalsegmentator")
FEWEST_VOXELS = 8
SMALLEST_EXTENT_MM = 30.0
# Lung, bowel gas or the air around the patient: some of it is in every CT that was not cropped inside the trunk.
AIR_BELOW_HU = -300.0
# Cortical bone of a vertebra reaches this in every CT.
BONE_ABOVE_HU = 200.0
# Numbers beyond what the widest CT scale (metal) holds.
LARGEST_HU = 33000.0
MEANINGLESS = 0.95
LOOK = "look at figures/numbering.png (written by verse-morph segment), correct with --centroids"


@dataclass(frozen=True, eq=False)
class SegmentOptions:
    """How to segment.

    Parameters
    ----------
    weights : Path, optional
        Folder of the trained networks; those that ship with the package by default.
    points_mm : Mapping[Level, array (3,)], optional
        Middle of each body, world RAS mm. Where given, nothing is located or named: these are the vertebrae.
    device : str, optional
        ``cpu``, ``cuda``, ``cuda:N``, ``mps``; the best one by default.
    threads : int, optional
    deterministic : bool
        Same bits on every run on the same machine.
    force : bool
        Go on where the values do not look like Hounsfield units.
    add_missed : bool
        Also look for vertebrae between and beyond the named ones.
    engine : str
        ``verse_morph``, or ``totalsegmentator`` where that package is installed.

    Raises
    ------
    InputError
        Unknown engine, or points for an engine that takes none.
    """

    weights: Path | None = None
    points_mm: Mapping[Level, FloatArray] | None = None
    device: str | None = None
    threads: int | None = None
    deterministic: bool = False
    force: bool = False
    add_missed: bool = True
    engine: str = ENGINES[0]

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise InputError(f"no segmentation engine {self.engine!r}; there are {' and '.join(ENGINES)}")
        if self.points_mm is not None and self.engine != ENGINES[0]:
            raise InputError(f"the engine {self.engine} takes no centroids; leave them out or use {ENGINES[0]}")


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A label map and how it came about.

    Parameters
    ----------
    labels : LabelMap
        Scheme VerSe, on the scan's grid; its notes hold what is said about the numbering.
    points_mm : Mapping[Level, array (3,)]
        Middle of each body in the mask, world RAS mm, head to foot: of the outlined body where the point was found,
        the point itself where it was given.
    volumes_cm3 : Mapping[Level, float]
        Volume of each vertebra in the mask.
    decoding : Decoding, optional
        How the vertebrae were named, with the runner-up and the margin; None where the levels were given.
    location : Location, optional
        Where the spine was found.
    identification : Identification, optional
        What the vertebrae were named by: views, heatmaps, candidates, ribs.
    flags : tuple of ScanFlag
        About the numbering as a whole.
    level_flags : Mapping[Level, frozenset of MaskFlag]
        About each vertebra; also of those that were left out.
    notes : tuple of str
    seconds : Mapping[str, float]
        Wall time of each stage.
    compute : str
        On what the networks ran.
    weights : Mapping[str, str]
        Checksum (SHA-256) of the weights of each stage.
    """

    labels: LabelMap
    points_mm: Mapping[Level, FloatArray]
    volumes_cm3: Mapping[Level, float]
    decoding: Decoding | None = None
    location: Location | None = None
    identification: Identification | None = None
    flags: tuple[ScanFlag, ...] = ()
    level_flags: Mapping[Level, frozenset[MaskFlag]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    compute: str = ""
    weights: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        points = {level: frozen(self.points_mm[level], np.float64) for level in sorted(self.points_mm)}
        object.__setattr__(self, "points_mm", MappingProxyType(points))

    @property
    def in_doubt(self) -> bool:
        """Whether the numbering may be wrong as a whole."""
        return ScanFlag.IN_DOUBT in self.flags

    @property
    def runner_up(self) -> tuple[Level, ...]:
        """Levels of the next best numbering, head to foot; empty where there is none."""
        return () if self.decoding is None else tuple(sorted(self.decoding.runner_up))


def segment(scan: Scan, options: SegmentOptions | None = None, report: Report | None = None) -> Segmentation:
    """Labelled vertebrae of a CT, with the doubt about their numbering.

    Parameters
    ----------
    scan : Scan
        Hounsfield units in any orientation and spacing.
    options : SegmentOptions, optional
    report : callable, optional
        Called with a stage's name, the number done and the number of all.

    Raises
    ------
    InputError
        The scan is no CT, too small, or no spine was found in it.
    WeightsMissing
        The trained networks are not there.
    VerseMorphError
        The memory does not suffice.

    Notes
    -----
    Read ``flags`` before the levels: a numbering in doubt is stated, not corrected.
    """
    chosen = options or SegmentOptions()
    require_ct(scan, chosen.force)
    clock = _Clock(report or (lambda stage, done, total: None))
    with _memory_errors(scan):
        if chosen.engine != ENGINES[0]:
            return _with_engine(scan, chosen, clock)
        return _with_networks(scan, chosen, clock)


def require_ct(scan: Scan, force: bool = False) -> None:
    """Refuse what cannot be segmented before anything is computed.

    Parameters
    ----------
    scan : Scan
    force : bool
        Accept values that do not look like Hounsfield units.

    Raises
    ------
    InputError
    """
    grid = scan.grid
    if min(grid.shape) < FEWEST_VOXELS:
        raise InputError(
            f"scan {scan.name} has {'x'.join(map(str, grid.shape))} voxels; at least {FEWEST_VOXELS} are needed along "
            "each axis: give the whole volume, not single slices"
        )
    extent = np.array(grid.shape) * grid.spacing_mm
    if extent.min() < SMALLEST_EXTENT_MM:
        size = " x ".join(f"{e:.0f}" for e in extent)
        raise InputError(
            f"scan {scan.name} measures {size} mm; no vertebra fits into less than {SMALLEST_EXTENT_MM:.0f} mm. "
            "Is the voxel size in the header right?"
        )
    reason = _not_hounsfield(float(scan.hu.min()), float(scan.hu.max()))
    if reason and not force:
        raise InputError(
            f"scan {scan.name}: {reason}, so these are probably not Hounsfield units (an MR, or a rescaled CT); "
            "give --force if it is a CT"
        )


def _not_hounsfield(low: float, high: float) -> str:
    if low >= AIR_BELOW_HU:
        return f"no value lies below {AIR_BELOW_HU:g} (the lowest is {low:g})"
    if high < BONE_ABOVE_HU:
        return f"no value reaches {BONE_ABOVE_HU:g}, as bone does (the highest is {high:g})"
    if high > LARGEST_HU or low < -LARGEST_HU:
        return f"values run from {low:g} to {high:g}"
    return ""


class _Clock:
    """What one run keeps a record of: the time of each stage, which weights were used, how good they are."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.seconds: dict[str, float] = {}
        self.weights: dict[str, str] = {}
        self.metrics: dict[str, Mapping[str, Any]] = {}

    @contextmanager
    def stage(self, name: str, words: str) -> Iterator[None]:
        self.report(words, 0, 1)
        started = time.perf_counter()
        yield
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - started, 3)

    def network(self, stage: str, folder: Path | None) -> nn.Module:
        """The network of a stage."""
        from verse_morph.segment.weights import load_network

        with self.stage("load", "loading the networks"):
            model, card = load_network(stage, folder)
        self.weights[stage] = card.sha256
        self.metrics[stage] = card.metrics
        return model


@contextmanager
def _memory_errors(scan: Scan) -> Iterator[None]:
    """Memory that does not suffice becomes one sentence."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        words = str(error).lower()
        memory = isinstance(error, MemoryError) or any(w in words for w in ("out of memory", "allocate memory"))
        if not memory or isinstance(error, NotImplementedError):
            raise
        raise VerseMorphError(
            f"not enough memory to segment {scan.name} ({scan.grid.describe()}); close other programs, use "
            "--device cpu, or crop the scan to the spine"
        ) from error


@dataclass(frozen=True, eq=False)
class _Named:
    """Which vertebrae are to be outlined, and how that is known."""

    points_mm: Mapping[Level, FloatArray]
    decoding: Decoding | None = None
    location: Location | None = None
    identification: Identification | None = None
    sacrum_known: bool = False


def _with_networks(scan: Scan, options: SegmentOptions, clock: _Clock) -> Segmentation:
    import torch

    from verse_morph.segment.between import off_discs
    from verse_morph.segment.compute import choose_compute
    from verse_morph.segment.merge import merge
    from verse_morph.segment.outline import outline
    from verse_morph.segment.patches import SPACING_MM
    from verse_morph.segment.resample import reduced

    compute = choose_compute(options.device, options.threads, options.deterministic)
    model = clock.network("outline", options.weights)
    named = _named(scan, options, compute, clock)
    with clock.stage("outline", "outlining"):
        source = reduced(scan, SPACING_MM)
        # Points that somebody set stay where they are.
        found_here = named.decoding is not None
        outlined = outline(source, named.points_mm, model, compute, clock.report, recentre=found_here)
        if found_here:
            outlined = off_discs(outlined, source, model, compute)
    added: frozenset[Level] = frozenset()
    if options.add_missed and named.location is not None:
        with clock.stage("missed", "looking for missed vertebrae"):
            more = _missed(source, named, outlined, model, compute)
            added = frozenset(each.level for each in more)
            outlined = (*outlined, *more)
    with clock.stage("merge", "merging"):
        merged = merge(outlined, scan.grid, scan.name, found=named.decoding is not None)
    if not merged.volumes_cm3:
        raise InputError(f"no vertebra could be outlined in {scan.name}: {_at(merged, scan.grid)}")
    return _segmentation(named, outlined, merged, added, clock, f"{compute.describe()}, PyTorch {torch.__version__}")


def _named(scan: Scan, options: SegmentOptions, compute: Compute, clock: _Clock) -> _Named:
    """The points to outline from: given, or located and named by the networks."""
    if options.points_mm is not None:
        return _Named(_inside(options.points_mm, scan))
    return _located(scan, options, compute, clock)


def _located(scan: Scan, options: SegmentOptions, compute: Compute, clock: _Clock) -> _Named:
    """The first two stages; all that this module knows about them."""
    from verse_morph.segment.chain_prior import load_prior
    from verse_morph.segment.identify import identify, reliance
    from verse_morph.segment.locate import locate
    from verse_morph.segment.weights import has_weights

    # All before the first one runs: nobody waits for a stage that cannot be used.
    locating, naming = (clock.network(stage, options.weights) for stage in ("locate", "identify"))
    asking_ribs = clock.network("ribs", options.weights) if has_weights("ribs", options.weights) else None
    with clock.stage("locate", "locating the spine"):
        location = locate(scan, locating, compute)
    if not location.found:
        raise InputError(f"no spine found in {scan.name}: {location.reason}")
    with clock.stage("identify", "naming the vertebrae"):
        rely = reliance(*(clock.metrics.get(stage, {}) for stage in ("locate", "identify", "ribs")))
        identification = identify(scan, location, naming, load_prior(), compute, rely, asking_ribs)
    decoding = identification.decoding
    if not decoding.points_mm:
        raise InputError(f"no vertebra found in {scan.name}, although a spine seems to be in it; give --centroids")
    return _Named(decoding.points_mm, decoding, location, identification, rely.sacrum)


def _inside(points_mm: Mapping[Level, FloatArray], scan: Scan) -> dict[Level, FloatArray]:
    """Given points in head-to-foot order; the sacrum's is no vertebra.

    Raises
    ------
    InputError
        None is given, or one lies outside the scan.
    """
    points: dict[Level, FloatArray] = {
        level: np.asarray(points_mm[level], dtype=float) for level in sorted(points_mm) if level is not Level.S1
    }
    if not points:
        raise InputError("the given centroids hold no vertebra; leave them out to have the vertebrae found")
    for level, point in points.items():
        if not scan.grid.contains(point):
            where = ", ".join(f"{v:.0f}" for v in point)
            raise InputError(f"the centroid of {level} at ({where}) mm lies outside the scan; do both belong together?")
    return points


def _missed(
    source: Reduced, named: _Named, outlined: tuple[Outlined, ...], model: nn.Module, compute: Compute
) -> tuple[Outlined, ...]:
    from verse_morph.segment.counting import upper_sacrum
    from verse_morph.segment.missed import missed_points, vertebra_like
    from verse_morph.segment.outline import outline

    if named.location is None:
        return ()
    # Where the outlines are, not where the points were: one of them may have been moved.
    places = {each.level: each.point_mm for each in outlined}
    top = upper_sacrum(*_sacrum_of(named))
    proposed = missed_points(places, named.location.spine, named.location.grid, top, _seen_below(places, named))
    if not proposed:
        return ()
    found = outline(source, proposed, model, compute)
    return tuple(each for each in found if vertebra_like(each, outlined))


def _segmentation(
    named: _Named,
    outlined: tuple[Outlined, ...],
    merged: Merged,
    added: frozenset[Level],
    clock: _Clock,
    compute: str,
) -> Segmentation:
    """Everything that is to be known, with the words for it."""
    in_mask = tuple(merged.volumes_cm3)
    level_flags = {level: words | _how(level, named, added) for level, words in merged.flags.items()}
    points = {each.level: _middle(each, named, level_flags) for each in outlined if each.level in in_mask}
    count = _count_doubt(points, named, added)
    flags = scan_flags(in_mask, named.decoding, count)
    notes = tuple(_notes(named, merged, flags, count))
    return Segmentation(
        labels=replace(merged.labels, notes=notes),
        points_mm=points,
        volumes_cm3=merged.volumes_cm3,
        decoding=named.decoding,
        location=named.location,
        identification=named.identification,
        flags=flags,
        level_flags=MappingProxyType(level_flags),
        notes=notes,
        seconds=MappingProxyType(dict(clock.seconds)),
        compute=compute,
        weights=MappingProxyType(dict(clock.weights)),
    )


def _count_doubt(points_mm: Mapping[Level, FloatArray], named: _Named, added: frozenset[Level]) -> str:
    """Why the number of vertebrae is in doubt; empty where it is not, or somebody pointed at them."""
    from verse_morph.segment.counting import count_doubt

    if named.decoding is None:
        return ""
    if Level.L6 in added and Level.L6 in points_mm:
        return "L6 was not named but outlined in the room above the sacrum"
    return count_doubt(points_mm, *_sacrum_of(named))


def _sacrum_of(named: _Named) -> tuple[Location | None, FloatArray | None]:
    """What is known about the sacrum: the locating stage's outline where that is known well, and naming's point."""
    return (
        named.location if named.sacrum_known else None,
        None if named.identification is None else named.identification.sacral_body(),
    )


def _seen_below(points_mm: Mapping[Level, FloatArray], named: _Named) -> FloatArray | None:
    """What naming saw, and did not name, one step below the last vertebra."""
    from verse_morph.segment.counting import seen_below

    if named.identification is None:
        return None
    return seen_below(points_mm, *named.identification.named_from())


def _middle(outlined: Outlined, named: _Named, flags: Mapping[Level, frozenset[MaskFlag]]) -> FloatArray:
    """Middle of an outlined body; the point itself where it was given, is C1's (no body), or the body is cut."""
    from verse_morph.segment.outline import core

    level = outlined.level
    if named.decoding is None or level is Level.C1 or MaskFlag.BODY_CUT in flags[level]:
        return outlined.point_mm
    body = core(outlined)
    return outlined.point_mm if body is None else body.centre_mm


def scan_flags(levels: tuple[Level, ...], decoding: Decoding | None, count_doubt: str = "") -> tuple[ScanFlag, ...]:
    """What is to be known about the numbering of the levels found.

    Parameters
    ----------
    levels : tuple of Level
        Head to foot.
    decoding : Decoding, optional
        None where the levels were given or named by another program.
    count_doubt : str
        Why the number of vertebrae is in doubt, see :func:`~verse_morph.segment.counting.count_doubt`.
    """
    raised = []
    if (decoding is not None and decoding.in_doubt) or count_doubt:
        raised.append(ScanFlag.IN_DOUBT)
    # Counting ribs and thoracic vertebrae starts at T1; without it the lumbar numbers assume twelve of them.
    if levels and min(levels) > Level.T1:
        raised.append(ScanFlag.ASSUMED)
    if decoding is not None and any(flag.value == ScanFlag.ORIENTATION.value for flag in decoding.flags):
        raised.append(ScanFlag.ORIENTATION)
    return tuple(raised)


def _how(level: Level, named: _Named, added: frozenset[Level]) -> frozenset[MaskFlag]:
    words = {MaskFlag.ADDED} if level in added else set()
    if named.decoding is not None and level in named.decoding.interpolated:
        words.add(MaskFlag.INTERPOLATED)
    if named.decoding is not None and level in named.decoding.from_pedicles:
        words.add(MaskFlag.FROM_PEDICLES)
    return frozenset(words)


def _notes(named: _Named, merged: Merged, flags: tuple[ScanFlag, ...], count: str) -> Iterator[str]:
    if named.decoding is None:
        yield "the levels are those of the given centroids"
    elif named.decoding.in_doubt:
        yield doubt_sentence(named.decoding)
    if count:
        yield f"the number of vertebrae is in doubt: {count}; {LOOK}"
    if ScanFlag.ORIENTATION in flags:
        yield "the vertebrae do not lie as in a patient on the back: check the orientation of the scan"
    for flag, why in LEFT_OUT.items():
        levels = [str(level) for level, words in merged.flags.items() if flag in words]
        if levels:
            yield f"left out, {why}: {' '.join(levels)}"


def doubt_sentence(decoding: Decoding) -> str:
    """How sure the numbering is and what else it could be, in one sentence."""
    # A high margin in doubt comes from a network that is wrong too often for it to mean anything.
    posterior = decoding.posterior if decoding.posterior is not None and decoding.posterior < MEANINGLESS else None
    sure = "" if posterior is None else f" ({100 * posterior:.0f} % sure)"
    found, other = _span(decoding.points_mm), _span(decoding.runner_up)
    rival = f"; the next best reading is {other}" if other else ""
    return f"the numbering is in doubt: {found}{sure}{rival}; {LOOK}"


def _span(points_mm: Mapping[Level, FloatArray]) -> str:
    levels = sorted(points_mm)
    if not levels:
        return ""
    lacking = Level.T12 not in levels and levels[0] < Level.T12 < levels[-1]
    return f"{levels[0]}-{levels[-1]}{' with T13' if Level.T13 in levels else ''}{' without T12' if lacking else ''}"


def _at(merged: Merged, grid: Grid) -> str:
    """What became of the points, where no vertebra did."""
    counts = ((why, sum(flag in words for words in merged.flags.values())) for flag, why in LEFT_OUT.items())
    reasons = ", ".join(f"{count} of {len(merged.flags)} times {why}" for why, count in counts if count)
    return f"{reasons} in {grid.describe()}; check the scan, or give the vertebrae with --centroids"


def _with_engine(scan: Scan, options: SegmentOptions, clock: _Clock) -> Segmentation:
    from verse_morph.segment.engines import measured_bodies, run_totalsegmentator

    with clock.stage(options.engine, f"running {options.engine}"):
        labels = run_totalsegmentator(scan, options.device)
        points, volumes = measured_bodies(labels)
    return Segmentation(
        labels=labels,
        points_mm=points,
        volumes_cm3=volumes,
        flags=scan_flags(tuple(points), None),
        notes=labels.notes,
        seconds=MappingProxyType(dict(clock.seconds)),
        compute=options.engine,
    )
