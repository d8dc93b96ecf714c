"""What the integers of a mask mean: known label schemes, and how one is recognised."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

import numpy as np

from verse_morph.anatomy import VERSE, LabelScheme, Level
from verse_morph.errors import InputError, UnknownLabel
from verse_morph.space import FloatArray

_LEVEL_NAME = re.compile(r"(?:vertebrae?_)?([CTLS]\d{1,2})", re.IGNORECASE)
_ORGANS_V1 = (
    "spleen kidney_right kidney_left gallbladder liver stomach aorta inferior_vena_cava "
    "portal_vein_and_splenic_vein pancreas adrenal_gland_right adrenal_gland_left lung_upper_lobe_left "
    "lung_lower_lobe_left lung_upper_lobe_right lung_middle_lobe_right lung_lower_lobe_right"
)
_AFTER_SPINE_V1 = (
    "esophagus trachea heart_myocardium heart_atrium_left heart_ventricle_left heart_atrium_right "
    "heart_ventricle_right pulmonary_artery brain iliac_artery_left iliac_artery_right iliac_vena_left "
    "iliac_vena_right small_bowel duodenum colon"
)
_AFTER_RIBS_V1 = (
    "humerus_left humerus_right scapula_left scapula_right clavicula_left clavicula_right femur_left femur_right "
    "hip_left hip_right sacrum face gluteus_maximus_left gluteus_maximus_right gluteus_medius_left "
    "gluteus_medius_right gluteus_minimus_left gluteus_minimus_right autochthon_left autochthon_right "
    "iliopsoas_left iliopsoas_right urinary_bladder"
)
_ORGANS_V2 = (
    "spleen kidney_right kidney_left gallbladder liver stomach pancreas adrenal_gland_right adrenal_gland_left "
    "lung_upper_lobe_left lung_lower_lobe_left lung_upper_lobe_right lung_middle_lobe_right lung_lower_lobe_right "
    "esophagus trachea thyroid_gland small_bowel duodenum colon urinary_bladder prostate kidney_cyst_left "
    "kidney_cyst_right sacrum"
)
_AFTER_SPINE_V2 = (
    "heart aorta pulmonary_vein brachiocephalic_trunk subclavian_artery_right subclavian_artery_left "
    "common_carotid_artery_right common_carotid_artery_left brachiocephalic_vein_left brachiocephalic_vein_right "
    "atrial_appendage_left superior_vena_cava inferior_vena_cava portal_vein_and_splenic_vein iliac_artery_left "
    "iliac_artery_right iliac_vena_left iliac_vena_right humerus_left humerus_right scapula_left scapula_right "
    "clavicula_left clavicula_right femur_left femur_right hip_left hip_right spinal_cord gluteus_maximus_left "
    "gluteus_maximus_right gluteus_medius_left gluteus_medius_right gluteus_minimus_left gluteus_minimus_right "
    "autochthon_left autochthon_right iliopsoas_left iliopsoas_right brain skull"
)
_RIBS = " ".join(f"rib_{side}_{i}" for side in ("left", "right") for i in range(1, 13))
# Twelve thoracic and five lumbar vertebrae, from the foot up: the only spine these class maps know.
_UPWARD = " ".join(f"vertebrae_{r}{i}" for r, n in (("L", 5), ("T", 12), ("C", 7)) for i in range(n, 0, -1))


def scheme_from_names(name: str, names: Mapping[int, str]) -> LabelScheme:
    """A scheme from structure names such as ``vertebrae_T4``, ``T4`` or ``rib_left_1``; others are kept by name."""
    levels = {value: level for value, word in names.items() if value and (level := level_of(word)) is not None}
    others = {value: word for value, word in names.items() if value and value not in levels}
    return LabelScheme(name, levels, others)


def level_of(word: str) -> Level | None:
    """The level that a structure name stands for, or None."""
    match = _LEVEL_NAME.fullmatch(word.strip())
    code = match[1].upper() if match else ""
    return Level(code) if code in Level.__members__ else None


def _listed(name: str, words: str) -> LabelScheme:
    return scheme_from_names(name, dict(enumerate(words.split(), start=1)))


# Class maps of TotalSegmentator's task "total" (Wasserthal et al. 2023), version 2 with 117 and version 1 with 104
# structures.
TOTALSEGMENTATOR = _listed(
    "totalsegmentator", f"{_ORGANS_V2} vertebrae_S1 {_UPWARD} {_AFTER_SPINE_V2} {_RIBS} sternum costal_cartilages"
)
TOTALSEGMENTATOR_V1 = _listed(
    "totalsegmentator-v1", f"{_ORGANS_V1} {_UPWARD} {_AFTER_SPINE_V1} {_RIBS} {_AFTER_RIBS_V1}"
)

# In the order of preference where a mask fits several equally well.
SCHEMES: Mapping[str, LabelScheme] = MappingProxyType(
    {s.name: s for s in (VERSE, TOTALSEGMENTATOR, TOTALSEGMENTATOR_V1)}
)


@dataclass(frozen=True, eq=False)
class Extent:
    """Where one label lies: volume, centre in world RAS mm, spread (standard deviation) head to foot."""

    volume_cm3: float
    centre_mm: FloatArray
    spread_mm: float


# Median distance (mm) from one vertebral body's centre to the next, 60 to 1,881 adult CTs per pair (keypoints of the
# VID data set, MICCAI 2023); the 1st to 99th percentile lies within +-40 %. Steps from T13, S1 and the sacrum are
# rounder guesses.
_STEPS_MM: Mapping[str, float] = MappingProxyType(
    dict(C1=17, C2=24, C3=18, C4=17, C5=17, C6=17, C7=20)
    | dict(T1=21, T2=21, T3=21, T4=22, T5=22, T6=23, T7=23, T8=24, T9=25, T10=27, T11=30, T12=32, T13=33)
    | dict(L1=34, L2=36, L3=36, L4=36, L5=37, L6=37, S1=25, sacrum=70, coccyx=0)
)
_CHAIN = tuple(_STEPS_MM)
_COUNTED_IF_PRESENT = ("T13", "L6")

# Refusal limits, wide on purpose: they must catch a wrong scheme, never an unusual spine.
MAX_REVERSED_STEPS = 0.25
MAX_STEP_RATIO = 1.8
MAX_SPREAD_MM = 20.0  # a whole vertebra has 5 to 12 mm; a column of length n has n / 3.5
MAX_CERVICAL_VOLUME_CM3 = 45.0


def detect(extents: Mapping[int, Extent]) -> tuple[LabelScheme, str]:
    """The scheme in which a mask's labels make a spine, and one sentence saying why.

    Parameters
    ----------
    extents : Mapping[int, Extent]
        Where each label of the mask lies.

    Raises
    ------
    UnknownLabel
        No scheme knows all the values.
    InputError
        Under no scheme are the labels vertebrae in head-to-foot order, or one label covers several vertebrae.

    Notes
    -----
    Schemes overlap (22 is L3 in VerSe, L1 in TotalSegmentator 1). They are told apart by direction (VerSe counts from
    the head, TotalSegmentator from the foot) and by the distance between neighbours. One vertebra alone has neither:
    VerSe is preferred.
    """
    knowing = _knowing(extents)
    with_spine = [scheme for scheme in knowing if any(value in scheme.levels for value in extents)]
    if not with_spine:
        raise InputError(f"the mask holds no vertebrae: {_listing(extents)} are other structures in {_names(knowing)}")
    problems = {scheme.name: problem(scheme, extents) for scheme in with_spine}
    fitting = [scheme for scheme in with_spine if not problems[scheme.name]]
    if not fitting:
        strange = {s.name: s.unknown(extents) for s in SCHEMES.values() if s not in knowing}
        problems |= {name: f"does not know {', '.join(map(str, values))}" for name, values in strange.items()}
        reasons = "; ".join(f"{name}: {why}" for name, why in problems.items())
        raise InputError(
            f"the labels {_listing(extents)} make no spine in any known scheme ({reasons}); name it with --scheme"
        )
    best = min(fitting, key=lambda scheme: round(_misfit(scheme, extents), 1))
    return best, _sentence(best, with_spine, fitting, extents)


def named(name: str, extents: Mapping[int, Extent], sidecar: LabelScheme | None = None) -> tuple[LabelScheme, str]:
    """The scheme a user asked for, or a sidecar's, and one sentence saying so.

    Raises
    ------
    InputError
        No scheme has this name.
    UnknownLabel
        The mask holds values that the scheme does not know.
    """
    known = dict(SCHEMES) | ({sidecar.name: sidecar} if sidecar else {})
    if name not in known:
        raise InputError(f"no label scheme {name!r}; known are {', '.join(known)}")
    scheme = known[name]
    unknown = scheme.unknown(extents)
    if unknown:
        others = [s.name for s in known.values() if not s.unknown(unknown)]
        hint = f"known in {', '.join(others)}" if others else "in no other known scheme either"
        raise UnknownLabel(f"scheme {name!r} does not know label {_listing(unknown)}; {hint}")
    if not any(value in scheme.levels for value in extents):
        raise InputError(f"the mask holds no vertebrae: {_listing(extents)} are other structures in {name}")
    why = problem(scheme, extents)
    return scheme, f"label scheme {name!r} as asked" + (f", although {why}" if why else "")


def problem(scheme: LabelScheme, extents: Mapping[int, Extent]) -> str:
    """Why the labels cannot be a spine in this scheme, or an empty string."""
    for value, level in scheme.levels.items():
        extent = extents.get(value)
        if extent and extent.spread_mm > MAX_SPREAD_MM:
            length = extent.spread_mm * np.sqrt(12)
            reach = f"reaches over about {length:.0f} mm head to foot, like several vertebrae"
            return f"label {value} would be {level} but {reach}"
        if extent and level.region == "cervical" and extent.volume_cm3 > MAX_CERVICAL_VOLUME_CM3:
            size = f"measures {extent.volume_cm3:.0f} cm3, more than any cervical vertebra"
            return f"label {value} would be {level} but {size}"
    chain = _chain(scheme, extents)
    if len(chain) < 2:
        return ""
    falls = [upper.centre_mm[2] > lower.centre_mm[2] for (_, upper), (_, lower) in pairwise(chain)]
    if np.mean(falls) < 1 - MAX_REVERSED_STEPS:
        return f"{falls.count(False)} of {len(falls)} steps would run from foot to head"
    if _misfit(scheme, extents) > np.log(MAX_STEP_RATIO):
        return f"neighbours would lie {np.exp(_misfit(scheme, extents)):.1f} times too far apart or too close"
    return ""


def _knowing(values: Sequence[int] | Mapping[int, Extent]) -> list[LabelScheme]:
    knowing = [scheme for scheme in SCHEMES.values() if not scheme.unknown(values)]
    if not knowing:
        unknown = "; ".join(f"{s.name} does not know {_listing(s.unknown(values))}" for s in SCHEMES.values())
        raise UnknownLabel(
            f"no label scheme knows all of {_listing(values)}: {unknown}; put a JSON of value: name beside the mask"
        )
    return knowing


def _chain(scheme: LabelScheme, extents: Mapping[int, Extent]) -> list[tuple[str, Extent]]:
    words = {value: str(level) for value, level in scheme.levels.items()} | dict(scheme.others)
    present = [(words[value], extent) for value, extent in extents.items() if words.get(value) in _CHAIN]
    return sorted(present, key=lambda item: _CHAIN.index(item[0]))


def _misfit(scheme: LabelScheme, extents: Mapping[int, Extent]) -> float:
    # Median of |log(observed / expected)| over neighbours; one vertebra alone fits everywhere.
    chain = _chain(scheme, extents)
    ratios = [
        np.linalg.norm(upper.centre_mm - lower.centre_mm) / _expected_mm(above, below)
        for (above, upper), (below, lower) in pairwise(chain)
    ]
    return float(np.median(np.abs(np.log(np.maximum(ratios, 1e-3))))) if ratios else 0.0


def _expected_mm(above: str, below: str) -> float:
    first, last = _CHAIN.index(above), _CHAIN.index(below)
    between = [word for word in _CHAIN[first + 1 : last] if word not in _COUNTED_IF_PRESENT]
    return _STEPS_MM[above] + sum(_STEPS_MM[word] for word in between)


def _sentence(
    best: LabelScheme, with_spine: Sequence[LabelScheme], fitting: Sequence[LabelScheme], extents: Mapping[int, Extent]
) -> str:
    vertebrae = sorted(value for value in extents if value in best.levels)
    start = f"label scheme {best.name!r} detected: {len(vertebrae)} vertebrae with values {_listing(vertebrae)}"
    rivals = [scheme.name for scheme in with_spine if scheme is not best]
    if not rivals:
        return f"{start}; no other known scheme has vertebrae for them"
    if len(vertebrae) == 1 and len(_chain(best, extents)) == 1:
        return f"{start}; one vertebra alone also fits {' and '.join(rivals)}, {best.name} was preferred"
    close = [scheme.name for scheme in fitting if scheme is not best]
    if close:
        return f"{start}; the distances between them fit best, although {' and '.join(close)} could be meant"
    return f"{start}; under {' and '.join(rivals)} they would not run from head to foot at the distances of a spine"


def _names(schemes: Sequence[LabelScheme]) -> str:
    return " and ".join(scheme.name for scheme in schemes)


def _listing(values: Sequence[int] | Mapping[int, Extent]) -> str:
    """Values for messages, runs shortened: ``1-12, 28``."""
    runs: list[list[int]] = []
    for value in sorted(values):
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    words = [f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs]
    return ", ".join(words[:12]) + (", ..." if len(words) > 12 else "")
