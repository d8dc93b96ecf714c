"""Refuses impossible anatomy with one line that names the allowed range."""

from __future__ import annotations

from collections.abc import Iterable

from verse_morph.errors import InputError
from verse_morph.phantom.parameters import CASTELLVI, FRACTURES, SIDES, PhantomOptions, Variants

LOSS_PCT = (1.0, 90.0)
RIB_MM = (5.0, 150.0)
COBB_DEG = {
    "kyphosis_T4_T12_deg": (-90.0, 15.0),
    "lordosis_L1_L5_deg": (-20.0, 85.0),
    "lordosis_C2_C7_deg": (-40.0, 60.0),
    "coronal_curve_deg": (-70.0, 70.0),
}
SLIP_MM = (-15.0, 25.0)
DISC_MM = (1.5, 20.0)


def check_options(options: PhantomOptions) -> None:
    """Raise InputError for the first thing that no patient can have."""
    levels = _check_counts(options.variants)
    _check_variants(options, levels)
    _check_pathology(options, levels)
    _check_alignment(options, levels)
    for name in (options.view.upper, options.view.lower):
        if name not in ("S", "last"):
            _present("the view", name, levels)


def _check_counts(variants: Variants) -> list[str]:
    if variants.thoracic not in (11, 12, 13):
        raise InputError(f"{variants.thoracic} thoracic vertebrae are impossible anatomy; allowed are 11, 12 and 13")
    if variants.lumbar not in (4, 5, 6):
        raise InputError(f"{variants.lumbar} lumbar vertebrae are impossible anatomy; allowed are 4, 5 and 6")
    thoracic = [f"T{i}" for i in range(1, variants.thoracic + 1)]
    return [f"C{i}" for i in range(1, 8)] + thoracic + [f"L{i}" for i in range(1, variants.lumbar + 1)]


def _present(what: str, level: str, levels: Iterable[str]) -> None:
    names = list(levels)
    if level not in names:
        raise InputError(
            f"{what} names {level}, which this patient does not have; "
            f"allowed are {names[0]} to {names[-1]}: {' '.join(names)}"
        )


def _word(what: str, value: str, allowed: Iterable[str]) -> None:
    words = list(allowed)
    if value not in words:
        raise InputError(f"{what} is {value!r}; allowed are {', '.join(words)}")


def _range(what: str, value: float, limits: tuple[float, float], unit: str) -> None:
    if not limits[0] <= value <= limits[1]:
        raise InputError(f"{what} of {value:g} {unit} is impossible; allowed are {limits[0]:g} to {limits[1]:g} {unit}")


def _check_variants(options: PhantomOptions, levels: list[str]) -> None:
    variants = options.variants
    _word("Castellvi grade", variants.castellvi, CASTELLVI)
    _word("castellvi_side", variants.castellvi_side, SIDES)
    _word("half_vertebra_side", variants.half_vertebra_side, SIDES)
    for side in variants.cervical_ribs:
        _word("side of a cervical rib", side, SIDES)
    reach = options.view.half_width_mm or RIB_MM[1] + 25.0
    for rib in variants.stump_ribs:
        _word("side of a stump rib", rib.side, SIDES)
        _word(
            "level of a stump rib", rib.level, ["T11", "T12", "L1"] if variants.thoracic < 13 else ["T12", "T13", "L1"]
        )
        _present("a stump rib", rib.level, levels)
        # The rib starts about 25 mm beside the midline.
        _range(
            f"a stump rib on {rib.level}",
            rib.length_mm,
            (RIB_MM[0], min(RIB_MM[1], reach - 25.0)),
            "mm in this field of view",
        )
    if variants.half_vertebra is not None:
        allowed = [name for name in levels if name not in ("C1", "C2", levels[-1])]
        _word("half_vertebra", variants.half_vertebra, allowed)


def _check_pathology(options: PhantomOptions, levels: list[str]) -> None:
    pathology = options.pathology
    for fracture in pathology.fractures:
        _present("a fracture", fracture.level, levels[2:])
        _word("kind of fracture", fracture.kind, FRACTURES)
        _range(f"a height loss at {fracture.level}", fracture.loss_pct, LOSS_PCT, "%")
    for node in pathology.schmorl_nodes:
        _present("a Schmorl node", node.level, levels[2:])
        _range(f"depth of the Schmorl node at {node.level}", node.depth_mm, (0.5, 10.0), "mm")
        _range(f"radius of the Schmorl node at {node.level}", node.radius_mm, (1.5, 10.0), "mm")
    for lip in pathology.osteophytes:
        _present("an osteophyte", lip.level, levels[2:])
        _range(f"size of the osteophyte at {lip.level}", lip.size_mm, (1.0, 12.0), "mm")
    for level in pathology.laminectomy:
        _present("a laminectomy", level, levels[2:])
    for disc in pathology.worn_discs:
        _present("a worn disc", disc.level, levels[2:])
        _range(f"a height loss of the disc below {disc.level}", disc.loss_pct, LOSS_PCT, "%")


def _check_alignment(options: PhantomOptions, levels: list[str]) -> None:
    wanted = options.alignment
    for name, limits in COBB_DEG.items():
        value = getattr(wanted, name)
        if value is not None:
            _range(name.removesuffix("_deg"), value, limits, "degrees")
    for name in wanted.coronal_ends:
        _present("a coronal curve", name, levels)
    if levels.index(wanted.coronal_ends[1]) - levels.index(wanted.coronal_ends[0]) < 3:
        raise InputError(
            f"a coronal curve from {' to '.join(wanted.coronal_ends)} is too short; "
            "allowed are ends at least 3 levels apart, head first"
        )
    for level, value in wanted.disc_heights_mm.items():
        _present("a disc height", level, levels[1:-1])
        _range(f"a disc below {level}", value, DISC_MM, "mm")
    for level, value in wanted.slips_mm.items():
        _present("a slip", level, levels[2:-1])
        _range(f"a slip of {level}", value, SLIP_MM, "mm")
