"""A results folder read back for looking at it: its tables, and its spine where the mask is still where it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from verse_morph.anatomy import Level
from verse_morph.errors import InputError, VerseMorphError
from verse_morph.io.results import MARK
from verse_morph.spine import Flag, Mesh, Spine, Vertebra
from verse_morph.view.scene import Scene, scene_of, scene_of_surfaces
from verse_morph.volume import LabelMap, Scan

if TYPE_CHECKING:
    import pandas as pd

    from verse_morph.view.plain import PlainViewer
    from verse_morph.view.slices import SliceViewer
    from verse_morph.view.spine import SpineViewer

PHANTOM = "built-in phantom"
CENTROID = ("body_x_mm", "body_y_mm", "body_z_mm")


@dataclass(frozen=True, eq=False)
class Opened:
    """What there is to see of one scan's results.

    Parameters
    ----------
    folder : Path
    table, curves : DataFrame
        ``vertebrae.csv`` and ``curves.csv`` as they were written; nothing is measured again.
    scene : Scene
        From the mask where it was found, else from the surfaces in the folder.
    labels, scan : LabelMap, Scan or None
    notes : tuple of str
        What is missing, and why.
    """

    folder: Path
    table: pd.DataFrame
    curves: pd.DataFrame | None
    scene: Scene
    labels: LabelMap | None
    scan: Scan | None
    notes: tuple[str, ...]

    def view(self) -> SpineViewer | PlainViewer:
        """The 3D viewer of these results, or still pictures where it cannot be used."""
        from verse_morph.view.spine import shown

        return shown([self.scene], [self.table], scan=self.scan)

    def slices(self) -> SliceViewer:
        """The slice viewer of these results; without the CT it shows the mask alone.

        Raises
        ------
        InputError
            Neither the CT nor the mask is where it was.
        """
        from verse_morph.view.slices import SliceViewer

        if self.scan is None and self.labels is None:
            raise InputError(f"{self.folder.name}: there is neither CT nor mask to show ({'; '.join(self.notes)})")
        return SliceViewer(self.scan, self.labels, self.scene.spine)


def results_of(folder: Path | str) -> Path:
    """The folder of one scan's finished results: the folder itself, or the only one in it.

    Raises
    ------
    InputError
        There is none, or several.
    """
    place = Path(folder)
    if (place / MARK).is_file():
        return place
    if not place.is_dir():
        raise InputError(f"no such folder: {place}")
    found = sorted(mark.parent for mark in place.glob(f"*/{MARK}"))
    if len(found) == 1:
        return found[0]
    if not found:
        raise InputError(f"{place} holds no finished results (no {MARK}); give the folder that measure or run wrote")
    names = ", ".join(one.name for one in found[:6])
    raise InputError(f"{place} holds the results of {len(found)} scans; give one of them: {names}")


def open_results(folder: Path | str) -> Opened:
    """Read the results of one scan.

    Parameters
    ----------
    folder : Path or str
        What `measure`, `run` or `demo` wrote: the scan's folder, or the one above it where that holds one scan.

    Raises
    ------
    InputError
        There are no results, or neither surfaces nor the mask.

    Notes
    -----
    The mask and the CT are looked for where the run found them. A mask that has changed since then is not used: its
    surfaces would not be those that were measured.
    """
    from verse_morph.io import read_table

    place = results_of(folder)
    record = json.loads((place / MARK).read_text(encoding="utf-8"))
    table = read_table(place / "vertebrae.csv")
    curves = read_table(place / "curves.csv") if (place / "curves.csv").is_file() else None
    notes: list[str] = []
    labels, scan = _volumes(place, record, notes)
    if labels is None:
        notes.append("without the mask there are no endplate planes, no canal and no angles, only surfaces")
        return Opened(place, table, curves, _surfaces(place, table), None, scan, tuple(notes))
    from verse_morph.shape import build_spine

    spine = _flagged(build_spine(labels, scan), table)
    return Opened(place, table, curves, scene_of(spine), labels, scan, tuple(notes))


def _flagged(spine: Spine, table: pd.DataFrame) -> Spine:
    """The spine with the flags of its table: what segmentation knew, the mask alone does not tell."""
    if "flags" not in table:
        return spine
    words = dict(zip(table["level"].astype(str), table["flags"].fillna("").astype(str), strict=True))
    known = {str(flag): flag for flag in Flag}

    def flagged(vertebra: Vertebra) -> Vertebra:
        found = {known[word] for word in words.get(str(vertebra.level), "").split(";") if word in known}
        return replace(vertebra, flags=vertebra.flags | found)

    return replace(spine, vertebrae=tuple(map(flagged, spine)))


def _volumes(place: Path, record: Mapping[str, Any], notes: list[str]) -> tuple[LabelMap | None, Scan | None]:
    from verse_morph.io import read_labels, read_scan, scan_on_grid

    settings = record.get("parameters", {})
    if settings.get("mask") == PHANTOM:
        from verse_morph.phantom.demo import demo_case

        return demo_case()[:2]
    own = sorted(place.glob("*_seg-vert_msk.nii.gz"))
    mask = own[0] if own else _unchanged(settings.get("mask"), record, notes)
    ct = _unchanged(settings.get("ct"), record, notes)
    made: LabelMap | None
    scan: Scan | None
    try:
        made = None if mask is None else read_labels(mask, settings.get("scheme"))
        scan = None if ct is None else read_scan(ct, settings.get("series"))
        if made is not None and scan is not None:
            scan = scan_on_grid(scan, made.grid)
    except VerseMorphError as error:
        notes.append(str(error))
        return None, None
    return made, scan


def _unchanged(path: str | None, record: Mapping[str, Any], notes: list[str]) -> Path | None:
    """The file of a run where it is still there and still the same."""
    from verse_morph.provenance import describe_input

    if not path:
        return None
    file = Path(path)
    if not file.exists():
        notes.append(f"{path} is not where it was when the results were made")
        return None
    known = {entry["name"]: entry["sha256"] for entry in record.get("inputs", [])}
    now = describe_input(file)
    if known.get(now.name) != now.sha256:
        notes.append(f"{path} has changed since the results were made and is not shown")
        return None
    return file


def _surfaces(place: Path, table: pd.DataFrame) -> Scene:
    import trimesh

    surfaces = {}
    for file in sorted((place / "meshes").glob("*.ply")):
        loaded: Any = trimesh.load(file, process=False)
        surfaces[Level(file.stem)] = Mesh(np.asarray(loaded.vertices), np.asarray(loaded.faces))
    rows = table.set_index("level")[list(CENTROID)].astype(float)
    centres = {Level(str(level)): row.to_numpy() for level, row in rows.iterrows() if np.isfinite(row.to_numpy()).all()}
    return scene_of_surfaces(place.name, surfaces, centres)
