"""What each case of a phantom data set is: variants in the proportions of the VerSe paper, findings, field of view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from verse_morph.errors import InputError
from verse_morph.phantom.parameters import (
    Alignment,
    Fracture,
    Osteophyte,
    Pathology,
    PhantomOptions,
    Schmorl,
    StumpRib,
    Variants,
    View,
    WornDisc,
)
from verse_morph.phantom.presets import draw_preset, preset

# Liebl et al. 2021, Table 2, column "all": series that show each variant. The text's denominators do not quite add up
# (253 series with lumbar counts, 255 with a grade); shares are taken of each block's own sum.
THORACIC = {12: 131, 11: 8, 13: 6}
LUMBAR = {5: 165, 4: 3, 6: 85}
CASTELLVI = {"0": 146, "2a": 35, "2b": 25, "3a": 14, "3b": 28, "4": 7}
CERVICAL_RIBS = {0: 135 - 18, 1: 12, 2: 6}
STUMP_RIB = {"": 319 - 90, "T12": 37, "T13": 5, "L1": 48}

VARIANTS: Mapping[str, str] = {
    "mixed": "all variants in the proportions of the paper",
    "none": "12 thoracic, 5 lumbar vertebrae, nothing else",
    "thoracic-11": "eleven thoracic vertebrae",
    "thoracic-13": "thirteen thoracic vertebrae",
    "lumbar-4": "four lumbar vertebrae",
    "lumbar-6": "six lumbar vertebrae",
    "cervical-rib": "one or two cervical ribs",
    "stump-rib": "a stump rib at T12 or L1",
    "half-vertebra": "a half-vertebra",
    "castellvi-1": "Castellvi grade 1",
    "castellvi-2a": "Castellvi grade 2a",
    "castellvi-2b": "Castellvi grade 2b",
    "castellvi-3a": "Castellvi grade 3a",
    "castellvi-3b": "Castellvi grade 3b",
    "castellvi-4": "Castellvi grade 4",
    "fracture": "one or two fractured vertebrae",
}
# First and last level in view, and how often.
_REGIONS: tuple[tuple[str, str, float], ...] = (
    ("T10", "S", 0.34),
    ("L1", "S", 0.10),
    ("T4", "S", 0.16),
    ("C7", "S", 0.16),
    ("C1", "S", 0.04),
    ("T1", "L2", 0.10),
    ("C1", "T4", 0.10),
)
_ORIENTATIONS = ("PIR", "LPS", "LAS", "RAS")
# Share of people without complaints in whom imaging finds a disc that lost height, and a slipped vertebra, at 25, 35,
# ... 85 years: Brinjikji et al. 2015, AJNR 36:811, table 2.
_DECADES = np.arange(25, 95, 10)
_WORN_DISC = (0.24, 0.34, 0.45, 0.56, 0.67, 0.76, 0.84)
_SLIP = (0.03, 0.05, 0.08, 0.14, 0.23, 0.35, 0.50)
# Largest number of voxels of a case before slices are taken out.
MOST_VOXELS = 48e6
# Irrational steps: the n-th case of every factor falls into the gaps left by those before it.
_STEPS = np.sqrt([2, 3, 5, 7, 11, 13, 17, 19])


@dataclass(frozen=True)
class Recipe:
    """Everything that is decided about a case before anything random is drawn for its anatomy.

    Parameters
    ----------
    options : PhantomOptions
    preset : str
    spacing_mm : float
        Voxel size within slices.
    orientation : str
        Axes of the stored file.
    turn_deg : 3 floats
        Obliqueness: angles about the right, anterior and superior axis.
    """

    options: PhantomOptions
    preset: str
    spacing_mm: float
    orientation: str
    turn_deg: tuple[float, float, float]


def draw_recipe(index: int, seed: int, variant: str, preset_name: str | None, rng: np.random.Generator) -> Recipe:
    """The recipe of the ``index``-th case.

    Parameters
    ----------
    index, seed : int
        Shares of variants are met evenly along the index (a Kronecker sequence), for every seed.
    variant : str
        A key of :data:`VARIANTS`.
    preset_name : str or None
        None draws in the proportions of the paper's vendors.
    rng : Generator
        Of the case.

    Raises
    ------
    InputError
        Unknown variant or preset.
    """
    if variant not in VARIANTS:
        raise InputError(f"variant {variant!r} is unknown; allowed are {', '.join(VARIANTS)}")
    start = np.random.default_rng(seed).random(len(_STEPS))
    even = (start + index * _STEPS) % 1.0
    variants = _variants(variant, even, rng)
    chosen = preset_name or draw_preset(rng)
    scanner = preset(chosen)
    view = _view(variant, variants, sagittal=scanner.slice_axis == 0, share=float(even[5]), rng=rng)
    age = float(np.clip(rng.normal(56.2, 17.6), 18, 92))
    pathology = _pathology(variant, variants, age, rng)
    alignment = _alignment(view, rng)
    if variant != "none":
        # Of its own, so that everything else about a case stays whether or not it is worn.
        discs, slips = _wear(variants, age, rng.spawn(1)[0])
        pathology, alignment = replace(pathology, worn_discs=discs), replace(alignment, slips_mm=slips)
    options = PhantomOptions(
        sex="F" if even[6] < 156 / 300 else "M",
        age=age,
        ribs=True,
        pelvis=view.lower == "S",
        neck=view.upper.startswith("C"),
        variants=variants,
        pathology=pathology,
        alignment=alignment,
        view=view,
    )
    turn = rng.normal(0, (5, 3, 3)) if rng.random() < 0.3 else np.zeros(3)
    orientation = "PIR" if scanner.slice_axis == 0 else str(rng.choice(_ORIENTATIONS))
    return Recipe(options, chosen, float(rng.uniform(0.7, 1.0)), orientation, (turn[0], turn[1], turn[2]))


def _pick(counts: Mapping, share: float) -> object:
    """The entry in which a share of the whole falls."""
    weights = np.array(list(counts.values()), dtype=float)
    place = int(np.searchsorted(np.cumsum(weights) / weights.sum(), share, side="right"))
    return list(counts)[min(place, len(weights) - 1)]


def _variants(variant: str, even: np.ndarray, rng: np.random.Generator) -> Variants:
    side = str(rng.choice(("left", "right")))
    one = Variants(castellvi_side=side)
    if variant == "mixed":
        thoracic, lumbar = int(str(_pick(THORACIC, even[0]))), int(str(_pick(LUMBAR, even[1])))
        return Variants(
            thoracic=thoracic,
            lumbar=lumbar,
            castellvi=str(_pick(CASTELLVI, even[2])),
            castellvi_side=side,
            cervical_ribs=_sides(int(str(_pick(CERVICAL_RIBS, even[3]))), side),
            stump_ribs=_stumps(str(_pick(STUMP_RIB, even[4])), thoracic, rng),
        )
    if variant.startswith("thoracic-"):
        return replace(one, thoracic=int(variant.removeprefix("thoracic-")))
    if variant.startswith("lumbar-"):
        return replace(one, lumbar=int(variant.removeprefix("lumbar-")))
    if variant.startswith("castellvi-"):
        return replace(one, castellvi=variant.removeprefix("castellvi-"))
    if variant == "cervical-rib":
        return replace(one, cervical_ribs=_sides(int(rng.integers(1, 3)), side))
    if variant == "stump-rib":
        return replace(one, stump_ribs=_stumps(str(rng.choice(("T12", "L1"))), 12, rng))
    if variant == "half-vertebra":
        level = str(rng.choice(("T8", "T9", "T10", "T11", "L2", "L3")))
        return replace(one, half_vertebra=level, half_vertebra_side=side)
    return one


def _sides(count: int, side: str) -> tuple[str, ...]:
    return ("left", "right") if count == 2 else (side,) * count


def _stumps(level: str, thoracic: int, rng: np.random.Generator) -> tuple[StumpRib, ...]:
    """Ribs shorter than 38 mm on one or both sides; where a level does not exist, at the last thoracic one."""
    if not level:
        return ()
    wanted = level if level == "L1" else f"T{thoracic}"
    sides = ("left", "right") if rng.random() < 0.6 else (str(rng.choice(("left", "right"))),)
    return tuple(StumpRib(wanted, side, float(rng.uniform(12, 37))) for side in sides)


def _view(variant: str, variants: Variants, sagittal: bool, share: float, rng: np.random.Generator) -> View:
    place = str(_pick({f"{first} {last}": weight for first, last, weight in _REGIONS}, share))
    upper, lower = place.split()
    if variants.cervical_ribs and variant == "cervical-rib":
        upper, lower = "C5", "T4"
    elif variant not in ("mixed", "none", "fracture", "cervical-rib"):
        upper, lower = ("T6", "S") if lower != "S" else (upper, lower)
    cut = tuple(float(c) for c in np.where(rng.random(2) < 0.25, rng.uniform(2, 18, 2), rng.uniform(-12, -2, 2)))
    half: float | None = None
    if sagittal:
        half = 66.0 if variants.stump_ribs else float(rng.uniform(38, 50))
    front, back = (float(rng.uniform(30, 60)), 25.0) if sagittal else (float(rng.uniform(50, 110)), 45.0)
    return View(upper=upper, lower=lower, cut_mm=(cut[0], cut[1]), half_width_mm=half, front_mm=front, back_mm=back)


def _levels(variants: Variants) -> list[str]:
    return [f"T{i}" for i in range(4, variants.thoracic + 1)] + [f"L{i}" for i in range(1, variants.lumbar)]


def _pathology(variant: str, variants: Variants, age: float, rng: np.random.Generator) -> Pathology:
    """Fractures and degeneration, more of both with age."""
    levels = _levels(variants)
    count = (
        int(rng.integers(1, 3)) if variant == "fracture" or rng.random() < np.clip((age - 45) / 90, 0.03, 0.4) else 0
    )
    if variant == "none":
        count = 0
    # Most fractures lie about the thoracolumbar junction and in the middle of the kyphosis.
    weights = np.array([3.0 if level in ("T11", "T12", "L1", "L2") else 1.0 for level in levels])
    where = rng.choice(levels, size=count, replace=False, p=weights / weights.sum())
    kinds: Sequence[str] = ("wedge", "biconcave", "crush")
    fractures = tuple(
        Fracture(str(level), str(rng.choice(kinds, p=(0.6, 0.3, 0.1))), float(rng.uniform(21, 55))) for level in where
    )
    worn = rng.choice(levels, size=rng.binomial(6, np.clip((age - 30) / 100, 0, 0.5)), replace=False)
    lips = tuple(
        Osteophyte(str(level), bool(rng.random() < 0.5), float(rng.uniform(2, 6)), float(rng.normal(0, 60)))
        for level in worn
    )
    pits = tuple(
        Schmorl(str(level), bool(rng.random() < 0.5), float(rng.uniform(2, 5)), float(rng.uniform(3, 6)))
        for level in rng.choice(levels, size=rng.binomial(3, 0.08), replace=False)
    )
    return Pathology(fractures=fractures, osteophytes=lips, schmorl_nodes=pits)


def _alignment(view: View, rng: np.random.Generator) -> Alignment:
    if rng.random() < 0.12 and view.lower == "S":
        return Alignment(coronal_curve_deg=float(rng.choice((-1, 1)) * rng.uniform(10, 30)))
    return Alignment()


def _wear(variants: Variants, age: float, rng: np.random.Generator) -> tuple[tuple[WornDisc, ...], dict[str, float]]:
    """Worn discs and at most one slipped vertebra, on a worn disc; most of both in the lower lumbar spine."""
    levels = [*_levels(variants), f"L{variants.lumbar}"]
    if variants.castellvi in ("3a", "3b", "4"):
        levels = levels[:-1]
    above_sacrum = np.arange(len(levels), 0, -1)
    count, slipped = 0, rng.random() < np.interp(age, _DECADES, _SLIP)
    if rng.random() < np.interp(age, _DECADES, _WORN_DISC):
        count = 1 + int(rng.binomial(4, np.clip((age - 30) / 100, 0, 0.5)))
    weights = 1.0 / above_sacrum
    where = rng.choice(levels, size=count, replace=False, p=weights / weights.sum())
    losses = {str(level): float(rng.uniform(20, 85)) for level in where}
    slips: dict[str, float] = {}
    if slipped:
        # L4 mostly, or what is the last but one; the very last is held by the pelvis.
        level = f"L{variants.lumbar - int(rng.choice((1, 2, 3), p=(0.75, 0.18, 0.07)))}"
        forward = rng.random() < 0.8
        slips[level] = float(rng.uniform(3, 10) if forward else rng.uniform(-5, -2))
        losses.setdefault(level, float(rng.uniform(20, 85)))
    return tuple(WornDisc(level, loss) for level, loss in losses.items()), slips
