"""Where training samples come from: label maps with the centre of every vertebra, with or without their CT.

Three kinds: phantoms (any number, drawn and rendered here), label maps alone (CT is painted onto them), and label
maps with their CT (real pairs). All are brought to one form: axes to the right, front and top, VerSe numbers for
vertebrae and the numbers of the full phantom map for everything else.
"""

from __future__ import annotations

import csv
import hashlib
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from verse_morph import __version__
from verse_morph.anatomy import VERSE, Level
from verse_morph.errors import InputError
from verse_morph.io import find_cases, read_labels, read_scan, scan_on_grid
from verse_morph.io.files import replacing
from verse_morph.phantom.case import FIRST_SOFT, NAMES, SACRUM
from verse_morph.space import FloatArray, Grid, canonical, frozen
from verse_morph.volume import LabelMap

FINEST_MM = 0.6
FINE_ENOUGH = 1.9  # a source is thinned out until no axis can be halved without exceeding FINEST_MM times this
PHANTOM_SPACING_MM = 1.2
SMALLEST_CM3 = 1.5  # less of a vertebra in view is not shown to a network as a target
OTHER_BONE = 99
HELD_OUT_PHANTOMS = 4
DATASET_DEPTH = 3  # folders between a mask and the root of its data set: derivatives, one per patient
Report = Callable[[str, int, int], None]
_NUMBER_OF: Mapping[str, int] = {name: value for value, name in NAMES.items()}
# By these parts of their names other programs' bones are told from their organs.
_BONES = (
    *("bone", "sacrum", "coccyx", "rib_", "ribs", "hip_", "femur", "scapula", "clavic", "humer", "sternum", "skull"),
    *("mandib", "patella", "tibia", "fibula", "radius", "ulna"),
)
_TABLE_COLUMNS = {"mask", "ct", "weight", "levels"}


@dataclass(frozen=True, eq=False)
class Source:
    """One label map to make samples from.

    Parameters
    ----------
    name : str
    labels : array (i, j, k) of uint8
        Axes to the right, front and top; see the module.
    spacing_mm : array (3,)
    centres : Mapping[int, array (3,)]
        Voxel of the body's centre (C1: of the ring's) of each vertebra that may become a target.
    hu : array (i, j, k) of int16, optional
        The CT of a real pair.
    weight : float
        How often it is drawn, relative to the other sources.
    kind : str
        ``phantom``, ``map`` or ``pair``.
    """

    name: str
    labels: NDArray[np.uint8]
    spacing_mm: FloatArray
    centres: Mapping[int, FloatArray]
    hu: NDArray[np.int16] | None = None
    weight: float = 1.0
    kind: str = field(default="map")

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", frozen(self.labels))
        if self.hu is not None:
            object.__setattr__(self, "hu", frozen(self.hu))


def load_sources(data: Sequence[str], cache: Path, report: Report | None = None) -> tuple[Source, ...]:
    """All sources that a list of words names.

    Parameters
    ----------
    data : sequence of str
        ``phantoms:N`` or ``phantoms:N@W`` (N invented spines, total weight W), a CSV table with the columns ``mask``
        and, where wanted, ``ct``, ``weight`` and ``levels`` (which vertebrae are targets, all by default), a folder in
        VerSe's layout (``FOLDER@W``: of total weight W, else 1 for each case), or a mask file.
    cache : Path
        Folder for prepared sources; finding centres and rendering phantoms takes seconds each.
    report : callable, optional
        Called with a text, the number of sources prepared and the number of all.

    Raises
    ------
    InputError
        A word names nothing, or nothing in it holds a vertebra.
    """
    wanted = [item for word in data for item in (_phantoms(word) if word.startswith("phantoms:") else _rows(word))]
    cache.mkdir(parents=True, exist_ok=True)
    found: list[Source] = []
    for number, item in enumerate(wanted):
        if report is not None:
            report("preparing sources", number, len(wanted))
        found.append(item.source(cache))
    found = [source for source in found if source.centres]
    if not found:
        raise InputError(f"nothing to train on in {', '.join(data) or 'no --data'}; no whole vertebra was found there")
    return tuple(found)


# --- learnt from, and held out ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Split:
    """Sources to learn from and sources of other people to validate on."""

    train: tuple[Source, ...]
    held_out: tuple[Source, ...]

    def words(self) -> str:
        """Names and kinds of the sources, for a model card."""
        return f"learnt from {_in_words(self.train)}; held out {_in_words(self.held_out)}"

    @property
    def only_phantoms(self) -> bool:
        """Whether nothing of a person is in it."""
        return all(source.kind == "phantom" for source in self.train)


def hold_out(sources: Sequence[Source], held_out: Sequence[Source] = ()) -> Split:
    """Take from ``sources`` whoever is held out: the given ones, or by default the first four phantoms.

    Raises
    ------
    InputError
        There is nothing to hold out, or nothing is left to learn from.
    """
    if not held_out:
        phantoms = dict.fromkeys(source.name for source in sources if source.kind == "phantom")
        names = list(phantoms)[:HELD_OUT_PHANTOMS]
        first = {s.name: s for s in reversed(sources) if s.kind == "phantom"}
        held_out = [first[name] for name in names]
    if not held_out:
        raise InputError("nothing is held out to validate on: give --validate WORD, or add phantoms:N to --data")
    people = {_person(source) for source in held_out}
    train = tuple(source for source in sources if _person(source) not in people)
    if not train:
        raise InputError(
            f"nothing is left to learn from: all of --data is held out ({_in_words(held_out)}); "
            f"give more --data, of phantoms more than {HELD_OUT_PHANTOMS}, or other sources to --validate"
        )
    return Split(train, tuple(held_out))


def fingerprint(sources: Sequence[Source]) -> str:
    """A short word that differs where sources differ: samples that are kept on disk belong to their sources."""
    digest = hashlib.sha256(__version__.encode())
    for source in sources:
        digest.update(f"|{source.name}|{source.kind}|{source.weight:.9g}|{sorted(source.centres)}|".encode())
        digest.update(zlib.crc32(source.labels.tobytes()).to_bytes(4, "big"))
    return digest.hexdigest()[:12]


def _person(source: Source) -> str:
    """Whose spine it is; scans of one person in BIDS names begin alike."""
    return source.name.split("_")[0] if source.name.startswith("sub-") else source.name


def _in_words(sources: Sequence[Source]) -> str:
    parts = []
    for kind, words in (("map", "label maps with painted CT"), ("pair", "CT scans with masks")):
        names = sorted({source.name for source in sources if source.kind == kind})
        if names:
            parts.append(f"{words}: {len(names)} ({', '.join(names)})")
    phantoms = {source.name for source in sources if source.kind == "phantom"}
    if phantoms:
        parts.append(f"phantoms, that is invented spines: {len(phantoms)}")
    return ", ".join(parts)


# --- files --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Files:
    """A mask, its CT where there is one, how often it is drawn, and its target levels in words (none: all)."""

    mask: Path
    ct: Path | None = None
    weight: float = 1.0
    levels: str = ""

    def source(self, cache: Path) -> Source:
        parts = (self.mask.absolute(), None if self.ct is None else self.ct.absolute(), self.levels)
        stored = cache / f"{_key(*parts)}.npz"
        read = [path for path in (self.mask, self.ct) if path is not None and path.is_file()]
        newest = max((path.stat().st_mtime for path in read), default=0.0)
        if not stored.is_file() or stored.stat().st_mtime < newest:
            _save(_prepared(self.mask, self.ct, self.levels), stored)
        found = _load(stored, self.weight)
        return replace(found, kind="phantom") if _in_simulated(self.mask) else found


def _rows(word: str) -> Iterator[_Files]:
    """Everything a path stands for."""
    path, total = Path(word), ""
    folder, at, weight = word.rpartition("@")
    if at and not path.exists() and Path(folder).is_dir():
        path, total = Path(folder), weight
    if not path.exists():
        raise InputError(f"{word}: no such file or folder (and not phantoms:N)")
    if path.is_dir():
        cases = [(case.mask, case.ct) for case in find_cases(path) if case.mask is not None]
        if not cases:
            raise InputError(f"{word}: no masks in VerSe's layout below this folder")
        each = _positive(total or str(len(cases)), f"{word}: the weight") / len(cases)
        yield from (_Files(mask, ct, each) for mask, ct in cases)
    elif path.suffix == ".csv":
        yield from _table_rows(path)
    else:
        yield _Files(path)


def _table_rows(path: Path) -> Iterator[_Files]:
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(line for line in stream if not line.startswith("#"))
        unknown = set(reader.fieldnames or ()) - _TABLE_COLUMNS
        if "mask" not in (reader.fieldnames or ()) or unknown:
            raise InputError(f"{path}: columns are mask, ct, weight, levels; found {reader.fieldnames}")
        for row in reader:
            mask, ct = path.parent / (row["mask"] or ""), row.get("ct") or ""
            if not mask.is_file():
                raise InputError(f"{path}: no such mask: {mask}")
            if ct and not (path.parent / ct).exists():
                raise InputError(f"{path}: no such CT: {path.parent / ct}")
            _levels(row.get("levels") or "", path)
            weight = _positive(row.get("weight") or "1", f"{path}: weight of {mask.name}")
            words, scan = row.get("levels") or "", path.parent / ct if ct else None
            yield _Files(mask, scan, weight, words)


def _in_simulated(mask: Path) -> bool:
    """Whether a mask lies in a data set of invented patients."""
    from verse_morph.phantom.dataset import is_simulated

    return any(is_simulated(folder) for folder in mask.absolute().parents[:DATASET_DEPTH])


def _positive(text: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value < float("inf"):
        raise InputError(f"{what} is {text!r}; a number above 0 is needed")
    return value


def _levels(words: str, asked_in: Path) -> frozenset[Level]:
    """Target levels from words with blanks between; all for none."""
    try:
        return frozenset(Level(word) for word in words.split()) or frozenset(Level)
    except ValueError as error:
        raise InputError(f"{asked_in}: levels {words!r}: {error}; write for example L1 L2 L3") from error


def _key(*parts: object) -> str:
    text = "|".join(str(part) for part in (*parts, FINEST_MM, PHANTOM_SPACING_MM))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _prepared(mask: Path, ct: Path | None, levels: str) -> Source:
    labels = read_labels(mask)
    hu = None if ct is None else scan_on_grid(read_scan(ct), labels.grid).hu
    array, grid = canonical(_renumbered(labels), labels.grid)
    volume = None if hu is None else canonical(np.asarray(hu), labels.grid)[0]
    steps = [max(1, int(FINEST_MM * FINE_ENOUGH / s)) if s < FINEST_MM else 1 for s in grid.spacing_mm]
    thin = tuple(slice(None, None, step) for step in steps)
    affine = np.array(grid.affine)
    affine[:3, :3] *= steps
    array = np.ascontiguousarray(array[thin])
    grid = Grid(array.shape, affine)
    if volume is not None:
        volume = np.clip(np.nan_to_num(volume[thin], nan=-1024), -1024, 3071).astype(np.int16)
    wanted = _levels(levels, mask)
    centres = {v: c for v, c in _centres(array, grid).items() if VERSE.levels[v] in wanted}
    return Source(labels.name, array, grid.spacing_mm, centres, volume, 1.0, "map" if ct is None else "pair")


def _renumbered(labels: LabelMap) -> NDArray[np.uint8]:
    table = np.zeros(max((*labels.values(), 1)) + 1, dtype=np.uint8)
    for value in labels.values():
        level = labels.scheme.levels.get(value)
        if level is Level.S1:
            table[value] = SACRUM
        elif level is not None:
            table[value] = VERSE.value_of(level)
        else:
            table[value] = _bone_number(labels.scheme.others.get(value, ""))
    return table[labels.labels]


def _bone_number(name: str) -> int:
    """Number of a structure that is no vertebra; 0 for discs, organs and whatever else must not be painted as bone."""
    if name in _NUMBER_OF:
        return _NUMBER_OF[name] if _NUMBER_OF[name] < FIRST_SOFT else 0
    # What has no name in a mask of vertebrae is more often a bone than not.
    return OTHER_BONE if not name or any(word in name.lower() for word in _BONES) else 0


def _centres(labels: NDArray[np.uint8], grid: Grid) -> dict[int, FloatArray]:
    """Voxel of each vertebra's body centre: measured where the body is whole, else its thickest part's."""
    from verse_morph.shape import build_spine

    only = np.where(np.isin(labels, list(VERSE.levels)), labels, np.uint8(0))
    spine = build_spine(LabelMap(only, grid, VERSE, "source"))
    out = {}
    for vertebra in spine:
        if vertebra.volume_mm3 < 1000 * SMALLEST_CM3:
            continue
        centre = vertebra.centre_mm
        if centre is None:
            centre = _thickest(vertebra.mask, vertebra.grid) if vertebra.level is not Level.C1 else None
        if centre is None:
            centre = vertebra.grid.to_world(np.argwhere(vertebra.mask).mean(axis=0))
        out[VERSE.value_of(vertebra.level)] = grid.to_index(centre)
    return out


def _thickest(mask: NDArray[np.bool_], grid: Grid) -> FloatArray:
    import edt

    spacing = tuple(float(s) for s in grid.spacing_mm)
    depth = edt.edt(mask.astype(np.uint8), anisotropy=spacing, black_border=False, parallel=1)
    return grid.to_world(np.argwhere(depth > 0.75 * depth.max()).mean(axis=0))


# --- phantoms -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Invented:
    """The phantom of a number."""

    index: int
    weight: float

    def source(self, cache: Path) -> Source:
        stored = cache / f"phantom-{_key('fused', self.index)}.npz"
        if not stored.is_file():
            _save(_phantom(self.index), stored)
        return _load(stored, self.weight)


def _phantoms(word: str) -> Iterator[_Invented]:
    count, _, weight = word.removeprefix("phantoms:").partition("@")
    if not count.isdecimal() or int(count) < 1:
        raise InputError(f"{word}: write phantoms:N or phantoms:N@WEIGHT, for example phantoms:60@2")
    total = _positive(weight or "1", f"{word}: the weight")
    yield from (_Invented(index, total / int(count)) for index in range(int(count)))


def _phantom(index: int) -> Source:
    """The invented spine of a number; the training seeds lie far from those of evaluation sets."""
    from verse_morph.phantom.draw import draw_parameters
    from verse_morph.phantom.recipe import draw_recipe
    from verse_morph.phantom.render import field_of_view, render

    seed = 900_000
    rng = np.random.default_rng([seed, index])
    recipe = draw_recipe(index, seed, "mixed", None, rng)
    parameters = draw_parameters(rng, recipe.options)
    case = render(parameters, field_of_view(parameters, PHANTOM_SPACING_MM), f"phantom{index}")
    structures = np.where(case.structures < FIRST_SOFT, case.structures, np.uint8(0))
    # Under VerSe's rules a vertebra fused to the sacrum is part of it.
    fused = [VERSE.value_of(level) for level in parameters.fused_levels]
    structures = np.where(np.isin(structures, fused), np.uint8(SACRUM), structures)
    centres = {}
    for row in case.truth.vertebrae.to_dict("records"):
        value = VERSE.value_of(Level(str(row["level"])))
        if value in fused:
            continue
        where = np.argwhere(structures == value)
        if len(where) * case.grid.voxel_volume_mm3 < 1000 * SMALLEST_CM3:
            continue
        point = case.grid.to_index(np.array([row[f"body_{axis}_mm"] for axis in "xyz"], dtype=float))
        centres[value] = point if np.isfinite(point).all() else where.mean(axis=0)
    return Source(f"phantom{index}", structures, case.grid.spacing_mm, centres, None, 1.0, "phantom")


# --- store --------------------------------------------------------------------------------------------------------


def _save(source: Source, path: Path) -> None:
    arrays: dict[str, NDArray] = {
        "name": np.array(source.name),
        "kind": np.array(source.kind),
        "values": np.array(list(source.centres), dtype=int),
        "points": np.array(list(source.centres.values()), dtype=float).reshape(-1, 3),
        "labels": source.labels,
        "spacing": source.spacing_mm,
    }
    if source.hu is not None:
        arrays["hu"] = source.hu
    with replacing(path) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **arrays)


def _load(path: Path, weight: float) -> Source:
    with np.load(path, allow_pickle=False) as stored:
        centres = {int(v): p for v, p in zip(stored["values"], stored["points"], strict=True)}
        hu = stored["hu"] if "hu" in stored.files else None
        name, kind = str(stored["name"]), str(stored["kind"])
        return Source(name, stored["labels"], stored["spacing"], centres, hu, weight, kind)
