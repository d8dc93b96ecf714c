"""Where training samples come from: label maps with the centre of every vertebra, with or without their CT.

Three kinds: phantoms (any number, drawn and rendered here), label maps alone (CT is painted onto them), and label maps
with their CT (real pairs). All are brought to one form: axes to the right, front and top, VerSe numbers for vertebrae and
the numbers of the full phantom map for everything else.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from verse_morph.anatomy import VERSE, Level
from verse_morph.errors import InputError
from verse_morph.io import find_cases, read_labels, read_scan, scan_on_grid
from verse_morph.phantom.case import FIRST_SOFT, NAMES, SACRUM
from verse_morph.space import FloatArray, Grid, canonical, frozen
from verse_morph.volume import LabelMap

FINEST_MM = 0.6
FINE_ENOUGH = 1.9  # a source is thinned out until no axis can be halved without exceeding FINEST_MM times this
PHANTOM_SPACING_MM = 1.2
SMALLEST_CM3 = 1.5  # less of a vertebra in view is not shown to a network as a target
OTHER_BONE = 99
_NUMBER_OF: Mapping[str, int] = {name: value for value, name in NAMES.items()}
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


def load_sources(data: Sequence[str], cache: Path) -> tuple[Source, ...]:
    """All sources that a list of words names.

    Parameters
    ----------
    data : sequence of str
        ``phantoms:N`` or ``phantoms:N@W`` (N invented spines, total weight W), a CSV table with the columns ``mask``
        and, where wanted, ``ct``, ``weight`` and ``levels`` (which vertebrae are targets, all by default), a folder in
        VerSe's layout, or a mask file.
    cache : Path
        Folder for prepared sources; finding centres and rendering phantoms takes seconds each.

    Raises
    ------
    InputError
        A word names nothing, or nothing in it holds a vertebra.
    """
    cache.mkdir(parents=True, exist_ok=True)
    found: list[Source] = []
    for word in data:
        if word.startswith("phantoms:"):
            found += _phantoms(word, cache)
        else:
            found += [_from_files(*row, cache=cache) for row in _rows(Path(word))]
    found = [source for source in found if source.centres]
    if not found:
        raise InputError(f"nothing to train on in {', '.join(data) or 'no --data'}; no whole vertebra was found there")
    return tuple(found)


def _rows(path: Path) -> Iterator[tuple[Path, Path | None, float, str]]:
    """Mask, CT, weight and target levels of everything a path stands for."""
    if not path.exists():
        raise InputError(f"--data {path}: no such file or folder (and not phantoms:N)")
    if path.is_dir():
        cases = [case for case in find_cases(path) if case.mask is not None]
        if not cases:
            raise InputError(f"--data {path}: no masks in VerSe's layout below this folder")
        yield from ((case.mask, case.ct, 1.0, "") for case in cases if case.mask is not None)
    elif path.suffix == ".csv":
        yield from _table_rows(path)
    else:
        yield path, None, 1.0, ""


def _table_rows(path: Path) -> Iterator[tuple[Path, Path | None, float, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(line for line in stream if not line.startswith("#"))
        unknown = set(reader.fieldnames or ()) - _TABLE_COLUMNS
        if "mask" not in (reader.fieldnames or ()) or unknown:
            raise InputError(f"{path}: columns are mask, ct, weight, levels; found {reader.fieldnames}")
        for row in reader:
            mask, ct = path.parent / row["mask"], row.get("ct") or ""
            if not mask.is_file():
                raise InputError(f"{path}: no such mask: {mask}")
            yield mask, (path.parent / ct if ct else None), float(row.get("weight") or 1), row.get("levels") or ""


# --- files --------------------------------------------------------------------------------------------------------


def _from_files(mask: Path, ct: Path | None, weight: float, levels: str, cache: Path) -> Source:
    key = _key(mask, ct, levels)
    stored = cache / f"{key}.npz"
    if not stored.is_file():
        _save(_prepared(mask, ct, levels), stored)
    return _load(stored, weight)


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
    wanted = {Level(word) for word in levels.split()} if levels else set(Level)
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
            number = _NUMBER_OF.get(labels.scheme.others.get(value, ""), OTHER_BONE)
            table[value] = number if number < FIRST_SOFT else OTHER_BONE
    return table[labels.labels]


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


def _phantoms(word: str, cache: Path) -> list[Source]:
    try:
        count, _, weight = word.removeprefix("phantoms:").partition("@")
        n, total = int(count), float(weight or 1)
    except ValueError as error:
        raise InputError(f"--data {word}: write phantoms:N or phantoms:N@WEIGHT, for example phantoms:60@2") from error
    out = []
    for index in range(n):
        stored = cache / f"phantom-{_key('fused', index)}.npz"
        if not stored.is_file():
            _save(_phantom(index), stored)
        out.append(_load(stored, total / n))
    return out


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
    temporary = path.with_suffix(".tmp.npz")
    arrays = {"labels": source.labels, "spacing": source.spacing_mm}
    if source.hu is not None:
        arrays["hu"] = source.hu
    np.savez_compressed(
        temporary,
        name=source.name,
        kind=source.kind,
        values=np.array(list(source.centres), dtype=int),
        points=np.array(list(source.centres.values()), dtype=float).reshape(-1, 3),
        **arrays,
    )
    temporary.rename(path)


def _load(path: Path, weight: float) -> Source:
    with np.load(path, allow_pickle=False) as stored:
        centres = {int(v): p for v, p in zip(stored["values"], stored["points"], strict=True)}
        hu = stored["hu"] if "hu" in stored.files else None
        name, kind = str(stored["name"]), str(stored["kind"])
        return Source(name, stored["labels"], stored["spacing"], centres, hu, weight, kind)
