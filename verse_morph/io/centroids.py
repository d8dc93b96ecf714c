"""VerSe centroid files: three conventions in, world RAS millimetres out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from verse_morph.anatomy import VERSE, Level
from verse_morph.errors import InputError, UnknownLabel
from verse_morph.io.files import existing, read_json, replacing
from verse_morph.space import FloatArray, Grid, direction_grid, frozen
from verse_morph.volume import LabelMap

# Challenge files count millimetres from a corner of the image: 2019 from superior-right-anterior with X towards the
# feet, 2020 from anterior-superior-left with X towards the back.
_CHALLENGE_DIRECTIONS = {"miccai2019": "IPL", "miccai2020": "PIR"}
CONVENTIONS = ("subject", *_CHALLENGE_DIRECTIONS)
_OPPOSITE = dict(zip("RLAPSI", "LRPAIS", strict=True))


@dataclass(frozen=True, eq=False)
class Centroids:
    """One point per vertebra, about the middle of its body.

    Parameters
    ----------
    points_mm : Mapping[Level, array (3,)]
        World RAS millimetres, head to foot.
    convention : str
        ``subject``, ``miccai2019`` or ``miccai2020``.
    direction : str
        Anatomical direction in which the file's X, Y and Z grow, for example ``PIR``.
    notes : tuple of str
        What a reader should know about how the file was understood.
    """

    points_mm: Mapping[Level, FloatArray]
    convention: str
    direction: str
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        ordered = {level: frozen(self.points_mm[level], np.float64) for level in sorted(self.points_mm)}
        object.__setattr__(self, "points_mm", MappingProxyType(ordered))


def read_centroids(path: Path | str, image_grid: Grid, convention: str | None = None) -> Centroids:
    """Read a VerSe centroid file.

    Parameters
    ----------
    path : Path or str
        ``*_ctd.json``.
    image_grid : Grid
        Grid of the CT (or mask) that the file belongs to; the numbers in the file mean nothing without it.
    convention : str, optional
        ``subject`` (0-based voxels of the image with its axes turned to ``direction``), ``miccai2019`` or
        ``miccai2020`` (1 mm steps from a corner). By default a ``direction`` entry means ``subject``, else the name
        decides: ``*iso-ctd.json`` is 2020.

    Raises
    ------
    InputError
        Missing, not JSON, not a list of centroids, or a vertebra listed twice.
    UnknownLabel
        A label that VerSe does not have.

    Notes
    -----
    The three conventions cannot be told apart from the numbers. Challenge files rest on a 1 mm resampling whose exact
    placement is not documented: their points are good to about one voxel.
    """
    file = existing(path, "a centroid file, *_ctd.json")
    entries = _entries(file)
    stated = next((entry["direction"] for entry in entries if "direction" in entry), None)
    chosen = convention or ("subject" if stated else _by_name(file))
    if chosen not in CONVENTIONS:
        raise InputError(f"no centroid convention {chosen!r}; known are {', '.join(CONVENTIONS)}")
    direction = "".join(stated or image_grid.axis_codes) if chosen == "subject" else _CHALLENGE_DIRECTIONS[chosen]
    grid = _turned(image_grid, direction, file)
    unit = np.ones(3) if chosen == "subject" else 1.0 / grid.spacing_mm
    points, notes = {}, [_how(chosen, direction, stated, convention)]
    for level, xyz in _labelled(entries, file, notes):
        if level in points:
            raise InputError(f"{file} lists {level} twice; remove one entry")
        points[level] = grid.to_world(xyz * unit)
    notes += _outside(points, image_grid)
    return Centroids(points, chosen, direction, tuple(notes))


def write_centroids(
    points_mm: Mapping[Level, FloatArray], path: Path | str, grid: Grid, direction: str | None = None
) -> None:
    """Write a subject-based VerSe centroid file.

    Parameters
    ----------
    points_mm : Mapping[Level, array (3,)]
        World RAS millimetres.
    path : Path or str
        Usually ``<scan>_seg-subreg_ctd.json``.
    grid : Grid
        Grid of the image whose voxels the file counts.
    direction : str, optional
        Axes of the file; the image's own by default.

    Raises
    ------
    UnknownLabel
        A level that VerSe has no number for (S1).
    OutputError
        The folder is missing or cannot be written to.
    """
    codes = direction or grid.axis_codes
    turned = direction_grid(grid, codes)
    entries: list[dict[str, Any]] = [{"direction": list(codes)}]
    for level in sorted(points_mm):
        try:
            label = VERSE.value_of(level)
        except KeyError as error:
            raise UnknownLabel(f"cannot write {path}: VerSe has no number for {level}; leave it out") from error
        xyz = np.round(turned.to_index(points_mm[level]), 3).tolist()
        entries.append({"label": label, **dict(zip("XYZ", xyz, strict=True))})
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(entries), encoding="utf-8")


def detect_flip_slip(centroids: Centroids, labels: LabelMap) -> tuple[str, ...]:
    """One sentence for every axis along which the points seem to lie one voxel off.

    Parameters
    ----------
    centroids : Centroids
        Points read for this mask.
    labels : LabelMap
        The mask; its label centres are what the points are compared with.

    Notes
    -----
    Tools that turned an axis with ``size - c`` in place of ``size - 1 - c`` leave their points one voxel off along it.
    Only axes that run against the image's are examined. Left-right, body and whole vertebra share their middle, so
    every file can be judged; along the other axes only files whose points are the masks' own centres can. Nothing is
    moved.
    """
    from verse_morph.io.labels import label_extents

    extents = label_extents(labels.labels, labels.grid)
    centres = {labels.scheme.levels[v]: e.centre_mm for v, e in extents.items() if v in labels.scheme.levels}
    shared = [level for level in centroids.points_mm if level in centres]
    if len(shared) < 3 or centroids.convention != "subject":
        return ()
    turned = direction_grid(labels.grid, centroids.direction)
    apart = np.array([turned.to_index(centroids.points_mm[lv]) - turned.to_index(centres[lv]) for lv in shared])
    middle = np.median(apart, axis=0)
    error = 1.4826 * np.median(np.abs(apart - middle), axis=0) / np.sqrt(len(shared))
    found = []
    for axis, code in enumerate(centroids.direction):
        slip = float(np.sign(middle[axis]))
        better = abs(middle[axis] - slip) + 2 * error[axis] < min(0.5, abs(middle[axis]))
        others_agree = (np.abs(np.delete(middle, axis)) < 0.5).all()
        if better and _OPPOSITE[code] in labels.grid.axis_codes and (code in "LR" or others_agree):
            found.append(
                f"centroids lie {middle[axis]:+.2f} voxels off the mask along the flipped axis {code}: probably "
                f"turned with size - c in place of size - 1 - c; shift them by {-slip:+.0f} voxel there"
            )
    return tuple(found)


def _entries(file: Path) -> list[dict[str, Any]]:
    content = read_json(file)
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise InputError(f"{file} is not a VerSe centroid file: expected a list of entries with label, X, Y and Z")
    return content


def _by_name(file: Path) -> str:
    return "miccai2020" if file.name.endswith(("iso-ctd.json", "iso_ctd.json")) else "miccai2019"


def _turned(grid: Grid, direction: str, file: Path) -> Grid:
    axes = {frozenset((code, _OPPOSITE.get(code, "?"))) for code in direction}
    if len(direction) != 3 or len(axes) != 3 or any("?" in pair for pair in axes):
        raise InputError(f"{file} gives the direction {direction!r}; three of R/L, A/P, S/I are needed, one of each")
    return direction_grid(grid, direction)


def _how(chosen: str, direction: str, stated: Sequence[str] | None, asked: str | None) -> str:
    why = "as asked" if asked else ("by its direction entry" if stated else "by its file name")
    unit = "voxels of the image" if chosen == "subject" else "1 mm steps from the image's corner"
    return f"centroids read as {chosen!r} {why}: {unit} along {direction}"


def _labelled(entries: Sequence[Mapping[str, Any]], file: Path, notes: list[str]) -> list[tuple[Level, FloatArray]]:
    found = []
    for entry in entries:
        if "direction" in entry:
            continue
        try:
            label, xyz = int(entry["label"]), np.array([entry[axis] for axis in "XYZ"], dtype=float)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{file}: the entry {dict(entry)} needs a label and numbers X, Y and Z") from error
        if label in VERSE.others:
            notes.append(f"the centroid of the {VERSE.others[label]} was left out")
        elif label not in VERSE.levels:
            raise UnknownLabel(f"{file} has a centroid with label {label}; VerSe knows 1-28")
        elif not np.isfinite(xyz).all():
            notes.append(f"the centroid of {VERSE.levels[label]} is not a number and was left out")
        else:
            found.append((VERSE.levels[label], xyz))
    return found


def _outside(points: Mapping[Level, FloatArray], grid: Grid) -> list[str]:
    out = [str(level) for level, point in points.items() if not grid.contains(point)]
    return [f"centroids of {', '.join(out)} lie outside the image; is the convention right?"] if out else []
