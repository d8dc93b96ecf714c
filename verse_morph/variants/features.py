"""All variant features of one scan, as values, as a record for JSON, and as one row of a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from verse_morph.anatomy import Level
from verse_morph.errors import NotMeasurable
from verse_morph.spine import Spine
from verse_morph.tables import Column, why_column
from verse_morph.variants.bodies import HalfVertebrae, find_half_vertebrae, squareness
from verse_morph.variants.castellvi import Suggestion, suggest
from verse_morph.variants.enumeration import Count, Enumeration, enumerate_vertebrae
from verse_morph.variants.last_lumbar import LastLumbar, find_last_lumbar
from verse_morph.variants.neighbourhood import Surroundings, surroundings
from verse_morph.variants.ribs import SIDES, Rib, find_ribs, frame_of
from verse_morph.variants.rules import Rules
from verse_morph.variants.transverse import Process, measure_processes
from verse_morph.volume import LabelMap, Scan

if TYPE_CHECKING:
    import pandas as pd

# Levels whose ribs have columns of their own; all others stand in the record.
RIB_LEVELS = (Level.C7, Level.T11, Level.T12, Level.T13, Level.L1)
LIEBL = "Liebl et al. 2021"
CASTELLVI = "Castellvi et al. 1984"


@dataclass(frozen=True, eq=False)
class VariantFeatures:
    """What one scan shows of numeric and transitional variants. Suggestions with their evidence, never a diagnosis.

    Parameters
    ----------
    scan : str
        The scan's key.
    enumeration : Enumeration
    ribs : tuple of Rib
        Both sides of C7, every thoracic vertebra and L1 in the mask.
    c7_longer_mm : Mapping of str to float or str
        By side: how much farther C7's transverse process reaches than T1's, or why that is unknown.
    process_level : str
        The last lumbar-type vertebra: its level, or ``below L4`` where it is not labelled; empty where unknown.
    processes : (left, right) Process
        Of that vertebra.
    castellvi : Suggestion
    half_vertebrae : HalfVertebrae
    squareness : float or None
    why_squareness : str
    sources : tuple of str
        What was looked at: ``mask``, ``CT``, ``sacrum label``, ``rib labels``.
    notes : tuple of str
        Contradictions between labels and findings.
    rules : Rules
    """

    scan: str
    enumeration: Enumeration
    ribs: tuple[Rib, ...]
    c7_longer_mm: Mapping[str, float | str]
    process_level: str
    processes: tuple[Process, Process]
    castellvi: Suggestion
    half_vertebrae: HalfVertebrae
    squareness: float | None
    why_squareness: str
    sources: tuple[str, ...]
    notes: tuple[str, ...] = ()
    rules: Rules = field(default_factory=Rules)

    def rib(self, level: Level | str, side: str) -> Rib:
        """The rib of one side of one level; a level out of view gives one that says so."""
        wanted = Level(level) if isinstance(level, str) else level
        for rib in self.ribs:
            if rib.level is wanted and rib.side == side:
                return rib
        return Rib(wanted, side, "not_assessable", why=f"no {wanted} in the mask")

    def row(self) -> pd.DataFrame:
        """One row; every empty cell has its reason in the column of the same name with ``_why`` behind it."""
        import pandas as pd

        cells: dict[str, Any] = {"scan": self.scan}
        for name, value, why in _cells(self):
            cells[name] = value
            cells[why_column(name)] = why if value is None else ""
        frame = pd.DataFrame([cells])
        for column in COLUMNS:
            if column.unit:
                frame[column.name] = frame[column.name].astype(float)
        return frame

    def record(self) -> dict[str, Any]:
        """Plain values for JSON: the row's cells and all ribs."""
        cells = {name: _plain(value) if value is not None else None for name, value, _ in _cells(self)}
        reasons = {name: why for name, value, why in _cells(self) if value is None}
        ribs = [
            {
                "level": str(rib.level),
                "side": rib.side,
                "kind": rib.kind,
                "length_mm": None if rib.length_mm is None else round(rib.length_mm, 2),
                "truncated": rib.truncated,
                "borderline": rib.borderline,
                "why": rib.why,
            }
            for rib in self.ribs
        ]
        return {"sources": list(self.sources), **cells, "why": reasons, "ribs": ribs, "notes": list(self.notes)}


def scan_variants(
    spine: Spine, scan: Scan | None = None, labels: LabelMap | None = None, rules: Rules | None = None
) -> VariantFeatures:
    """Variant features of one scan: counts, ribs, transverse processes, a Castellvi suggestion, half-vertebrae.

    Parameters
    ----------
    spine : Spine
    scan : Scan, optional
        CT on the spine's grid; without it only what the mask labels (sacrum, ribs) can be looked at.
    labels : LabelMap, optional
        The mask that the spine was built from; its sacrum and ribs are used.
    rules : Rules, optional

    Raises
    ------
    InputError
        Scan or mask lie on another grid than the spine.
    """
    rules = rules or Rules()
    around = surroundings(spine, scan, labels)
    last = find_last_lumbar(around)
    processes = measure_processes(around, last, rules)
    enumeration = enumerate_vertebrae(spine, last)
    ribs = find_ribs(around, rules)
    square, why = None, ""
    try:
        square = squareness(spine)
    except NotMeasurable as error:
        why = str(error)
    return VariantFeatures(
        scan=spine.name,
        enumeration=enumeration,
        ribs=ribs,
        c7_longer_mm={side: _c7_longer(spine, side) for side in SIDES},
        process_level=_process_level(last),
        processes=processes,
        castellvi=suggest(processes, last, float(around.grid.spacing_mm.max()), rules),
        half_vertebrae=find_half_vertebrae(spine, rules),
        squareness=square,
        why_squareness=why,
        sources=_sources(around),
        notes=_notes(spine, ribs, rules),
        rules=rules,
    )


def _process_level(last: LastLumbar) -> str:
    if last.unlabelled is None:
        return ""
    return f"below {last.level}" if last.unlabelled else str(last.level)


def _sources(around: Surroundings) -> tuple[str, ...]:
    found = {"mask": True, "CT": around.hu is not None}
    found |= {"sacrum label": around.has_sacrum, "rib labels": around.has_ribs}
    return tuple(name for name, here in found.items() if here)


def _c7_longer(spine: Spine, side: str) -> float | str:
    """How much farther C7's transverse process reaches from the midline than T1's, mm, or why that is unknown."""
    reach = []
    for level in (Level.C7, Level.T1):
        if level not in spine.levels():
            return f"no {level} in the mask"
        vertebra = spine[level]
        frame = frame_of(vertebra, spine)
        if frame is None:
            return f"{level}: no axes"
        points = vertebra.grid.to_world(np.argwhere(vertebra.mask))
        out = frame.to_local(points)[:, 0] * (1 if side == "right" else -1)
        index = spine.grid.to_index(points[out.argmax()]) if spine.grid is not None else np.ones(3)
        if spine.grid is not None and ((index < 0.51) | (index > np.array(spine.grid.shape) - 1.51)).any():
            return f"the image border cuts {level}"
        reach.append(float(out.max()))
    return reach[0] - reach[1]


def _notes(spine: Spine, ribs: tuple[Rib, ...], rules: Rules) -> tuple[str, ...]:
    """Where the rule of the dataset paper (a rib of 38 mm makes a thoracic vertebra) contradicts the labels."""
    notes = []
    for rib in ribs:
        if rib.level is Level.L1 and rib.kind == "rib":
            notes.append(f"L1 carries a {rib.side} rib of {rib.length_mm:.0f} mm: by the rule it would be thoracic")
    thoracic = [v.level for v in spine if v.level.region == "thoracic" and v.level >= Level.T11]
    if thoracic:
        kinds = [rib.kind for rib in ribs if rib.level is thoracic[-1]]
        if kinds and all(kind in ("stump", "none") for kind in kinds):
            notes.append(f"both ribs of {thoracic[-1]} are shorter than {rules.stump_mm:g} mm: it could be lumbar")
    return tuple(notes)


# --- the row ----------------------------------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def _cells(features: VariantFeatures) -> Iterator[tuple[str, Any, str]]:
    """Name, value (None where missing) and reason of every cell, in column order."""
    counts = features.enumeration
    for name in ("thoracic", "lumbar_labelled", "transitional_unlabelled", "lumbar_total"):
        count: Count = getattr(counts, name)
        yield name, count.value, count.why
    yield "numbering_assumed", counts.numbering_assumed, ""
    yield from _rib_summary(features)
    for level in RIB_LEVELS:
        for side in SIDES:
            rib = features.rib(level, side)
            yield f"rib_{level}_{side}", None if rib.kind == "not_assessable" else _kind(rib), rib.why
            yield f"rib_{level}_{side}_mm", rib.length_mm, rib.why
    for side in SIDES:
        longer = features.c7_longer_mm[side]
        known = not isinstance(longer, str)
        yield f"c7_process_longer_{side}_mm", longer if known else None, str(longer)
    yield from _process_cells(features)
    halves = features.half_vertebrae
    words = ";".join(f"{level} {side}" for level, side in zip(halves.levels, halves.sides, strict=True))
    yield "half_vertebrae", (words or "none") if halves.looked_at else None, halves.why
    yield "last_body_squareness", features.squareness, features.why_squareness
    yield "notes", "; ".join(features.notes) or "none", ""


def _kind(rib: Rib) -> str:
    extra = [word for word, here in (("truncated", rib.truncated), ("borderline", rib.borderline)) if here]
    return " ".join([rib.kind, *extra])


def _rib_summary(features: VariantFeatures) -> Iterator[tuple[str, Any, str]]:
    cervical = [features.rib(Level.C7, side) for side in SIDES]
    sides = [rib.side for rib in cervical if rib.kind in ("rib", "stump")]
    unknown = next((rib.why for rib in cervical if rib.kind == "not_assessable"), None)
    yield "cervical_ribs", None if unknown is not None else len(sides), unknown or ""
    yield "cervical_rib_sides", ";".join(sides) or (None if unknown is not None else "none"), unknown or ""
    stumps = [rib for rib in features.ribs if rib.kind == "stump" and rib.level >= Level.T11]
    looked = [rib for rib in features.ribs if rib.level >= Level.T11]
    why = next((f"{rib.level} {rib.side}: {rib.why}" for rib in looked if rib.kind == "not_assessable"), None)
    if not looked:
        why = "neither T11, T12, T13 nor L1 in the mask"
    known = bool(stumps) or why is None
    levels = ";".join(dict.fromkeys(str(rib.level) for rib in stumps))
    yield "stump_ribs", len(stumps) if known else None, why or ""
    yield "stump_rib_levels", (levels or "none") if known else None, why or ""


def _process_cells(features: VariantFeatures) -> Iterator[tuple[str, Any, str]]:
    yield "process_level", features.process_level or None, features.processes[0].why_contact
    for process in features.processes:
        side = process.side
        yield f"process_height_{side}_mm", process.height_mm, process.why_shape
        yield f"process_width_{side}_mm", process.width_mm, process.why_shape
        yield f"process_gap_{side}_mm", process.gap_mm, process.why_gap
        known = process.contact != "not_assessable"
        yield f"process_contact_{side}", process.contact if known else None, process.why_contact
    grade = features.castellvi
    yield "castellvi_suggested", grade.grade, grade.why
    yield "castellvi_suggested_side", (grade.side or "both or none") if grade.grade else None, grade.why
    yield "castellvi_confidence", grade.confidence or None, grade.why
    yield "castellvi_evidence", grade.evidence or None, grade.why


def _columns() -> Iterator[Column]:
    def column(name: str, definition: str, unit: str = "", mirror: str = "keep", source: str = LIEBL) -> Column:
        power, frame = (1, "body") if unit == "mm" else (None, "none")
        return Column(name, unit, frame, power, mirror, definition, source)

    yield column("thoracic", "Thoracic vertebrae from T1 to L1, both in view.", "count")
    yield column("lumbar_labelled", "Lumbar levels that the mask labels, down to the sacrum.", "count")
    yield column("transitional_unlabelled", "Vertebrae fused to the sacrum, below the last label.", "count")
    yield column("lumbar_total", "Lumbar-type vertebrae, fused ones included.", "count")
    yield column("numbering_assumed", "T1 is out of view: twelve thoracic vertebrae are taken for granted.")
    yield column("cervical_ribs", "Ribs on C7.", "count")
    yield column("cervical_rib_sides", "Their sides, `;` between them.")
    yield column("stump_ribs", "Ribs of T11 to L1 shorter than the limit (38 mm).", "count")
    yield column("stump_rib_levels", "Their levels, `;` between them.")
    for level in RIB_LEVELS:
        for side in SIDES:
            words = f"Rib of {level} on the {side}: rib, stump or none, with `truncated` or `borderline` behind it."
            yield column(f"rib_{level}_{side}", words, mirror="swap")
            words = (
                f"Length of the {side} rib of {level} along its middle line, from the middle of its head to its tip."
            )
            yield column(f"rib_{level}_{side}_mm", words, "mm", "swap")
    for side in SIDES:
        words = f"How much farther C7's {side} transverse process reaches from the midline than T1's."
        yield column(f"c7_process_longer_{side}_mm", words, "mm", "swap", "own definition")
    yield column("process_level", "The last lumbar-type vertebra; `below L4` where it is not labelled.")
    for side in SIDES:
        words = f"Largest craniocaudal extent of the {side} transverse process, 5 mm or more beside the body."
        yield column(f"process_height_{side}_mm", words, "mm", "swap", CASTELLVI)
        words = (
            f"How far the {side} transverse process of the last lumbar-type vertebra reaches beyond the body's edge."
        )
        yield column(f"process_width_{side}_mm", words, "mm", "swap", "own definition")
        words = f"Smallest distance from the {side} process to the bone below; a joint's cleft; 0 at a bridge."
        yield column(f"process_gap_{side}_mm", words, "mm", "swap", CASTELLVI)
        words = f"free, near, articulation or fusion of the {side} process with the bone below."
        yield column(f"process_contact_{side}", words, mirror="swap", source=CASTELLVI)
    yield column("castellvi_suggested", "Castellvi grade that the processes suggest; no diagnosis.", source=CASTELLVI)
    yield column("castellvi_suggested_side", "Affected side of 2a and 3a, fused side of 4.", "", "swap", CASTELLVI)
    yield column("castellvi_confidence", "high, moderate or low.", source="own rule")
    yield column("castellvi_evidence", "The measurements the suggestion rests on, in words.", source="own rule")
    yield column("half_vertebrae", "Levels with a half-formed body and the side that is present.", source="own rule")
    yield column("last_body_squareness", "Depth of the last body's upper endplate over its lower one.", "1")
    yield column("notes", "Where ribs contradict the labels.")


COLUMNS: tuple[Column, ...] = tuple(_columns())
