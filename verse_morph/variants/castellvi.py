"""A Castellvi grade that the measured processes suggest, with the evidence it rests on. Never a diagnosis."""

from __future__ import annotations

from dataclasses import dataclass

from verse_morph.variants.last_lumbar import LastLumbar
from verse_morph.variants.rules import Rules
from verse_morph.variants.transverse import BRIDGE_MM2, JOINT_MM2, Process

NOTHING = "not assessable"


@dataclass(frozen=True)
class Suggestion:
    """What the processes look like in Castellvi's terms.

    Parameters
    ----------
    grade : str or None
        ``0/1``, ``2a``, ``2b``, ``3a``, ``3b`` or ``4``; types 0 and 1 are not told apart, as in the dataset paper.
    side : str
        Affected side of 2a and 3a, fused side of 4.
    confidence : str
        ``high``, ``moderate`` or ``low``; empty without a grade.
    evidence : str
        The measurements it rests on, in words.
    why : str
        Why there is no grade, or why the confidence is low.
    """

    grade: str | None
    side: str = ""
    confidence: str = ""
    evidence: str = ""
    why: str = ""


def suggest(processes: tuple[Process, Process], last: LastLumbar, thickest_mm: float, rules: Rules) -> Suggestion:
    """The grade of the last lumbar-type vertebra (Castellvi et al. 1984).

    1: a process of 19 mm or more; 2: a pseudo-articulation with the sacrum; 3: fusion; 4: fusion on one side and a
    pseudo-articulation on the other; a on one side, b on both.

    Parameters
    ----------
    processes : (left, right) Process
    last : LastLumbar
    thickest_mm : float
        Largest voxel size of the image.
    rules : Rules

    Notes
    -----
    Misleads where the level is misnumbered, where a joint is too narrow for the slices, and beside arthrosis.
    """
    missing = [p for p in processes if p.contact == "not_assessable"]
    if missing:
        why = "; ".join(dict.fromkeys(p.why_contact or f"{p.side} side not in view" for p in missing))
        return Suggestion(None, why=why, evidence=_evidence(processes, rules))
    fused = [p.side for p in processes if p.contact == "fusion"]
    joint = [p.side for p in processes if p.contact == "articulation"]
    grade, side = "0/1", ""
    if fused and joint:
        grade, side = "4", fused[0]
    elif fused:
        grade, side = ("3b", "") if len(fused) == 2 else ("3a", fused[0])
    elif joint:
        grade, side = ("2b", "") if len(joint) == 2 else ("2a", joint[0])
    if last.unlabelled and not fused:
        why = "a vertebra below the last label is not fused: the mask is incomplete or S1 is taken for a vertebra"
        return Suggestion(None, evidence=_evidence(processes, rules), why=why)
    word, why = _confidence(processes, last, thickest_mm)
    return Suggestion(grade, side, word, _evidence(processes, rules), why)


def _evidence(processes: tuple[Process, Process], rules: Rules) -> str:
    return "; ".join(f"{p.side}: {_words(p, rules)}" for p in processes)


def _words(process: Process, rules: Rules) -> str:
    parts = []
    if process.height_mm is not None:
        high = " (19 mm or more)" if process.height_mm >= rules.high_process_mm else ""
        parts.append(f"process {process.height_mm:.0f} mm high{high}")
    if process.contact in ("articulation", "fusion"):
        parts.append({"articulation": "articulates", "fusion": "bony bridge"}[process.contact])
    if process.gap_mm is not None and process.contact != "fusion":
        parts.append(f"gap {process.gap_mm:.1f} mm")
    if process.evidence is not None:
        parts.append(f"cleft {process.evidence.joint_mm2:.0f} mm2, bridge {process.evidence.bridge_mm2:.0f} mm2")
    elif process.touching_mm2 is not None:
        parts.append(f"labels touch over {process.touching_mm2:.0f} mm2")
    return ", ".join(parts) or NOTHING


def _confidence(processes: tuple[Process, Process], last: LastLumbar, thickest_mm: float) -> tuple[str, str]:
    if any(p.evidence is None for p in processes):
        return "low", "without a CT a joint and a bridge look alike where the labels touch"
    if thickest_mm > 2.0:
        return "low", f"voxels of {thickest_mm:.1f} mm may hide a joint's cleft"
    # Between a third above and a third below a threshold the case is not clear.
    for process in processes:
        seen = process.evidence
        assert seen is not None
        for value, limit in ((seen.joint_mm2, JOINT_MM2), (seen.bridge_mm2, BRIDGE_MM2)):
            if 0.67 * limit < value < 1.33 * limit:
                return "moderate", f"{process.side}: an area of {value:.0f} mm2 against a limit of {limit:.0f} mm2"
    if last.unlabelled and (last.contrast or 0) < 0.6:
        return "moderate", "the disc below the unlabelled vertebra is faint"
    return "high", ""
