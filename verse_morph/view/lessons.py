"""What the teaching notebook says: regions, what tells them apart, variants. Plain words, one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Region:
    """A part of the spine.

    Parameters
    ----------
    name : str
        ``cervical``, ``thoracic``, ``lumbar`` or ``sacral``.
    levels : str
    example : str
        A typical vertebra, whose plates are shown; empty where there are none.
    signs : tuple of str
        What tells it from its neighbours.
    """

    name: str
    levels: str
    example: str
    signs: tuple[str, ...]


@dataclass(frozen=True)
class Variant:
    """A numeric or transitional variant.

    Parameters
    ----------
    title : str
    group : str
        Variants that can be mistaken for each other.
    plate : str
    coloured : tuple of int
        Labels of the bones that make the variant.
    hint : str
        What a reader needs to know to name it.
    seen : str
        The picture in words, without the name of the variant.
    text : str
        What it is, and what it does to numbering.
    """

    title: str
    group: str
    plate: str
    coloured: tuple[int, ...]
    hint: str
    seen: str
    text: str


REGIONS = (
    Region(
        "cervical",
        "C1 to C7",
        "C4",
        (
            "a hole in each transverse process, for the vertebral artery",
            "small bodies, wider than deep, with a raised lip on both sides of the upper endplate",
            "a wide, triangular canal; spinous processes of C2 to C6 often forked",
            "C1 is a ring without a body, C2 carries the peg (dens) that the ring turns on",
        ),
    ),
    Region(
        "thoracic",
        "T1 to T12",
        "T7",
        (
            "ribs: each of these vertebrae carries a pair",
            "heart-shaped bodies, a round and narrow canal",
            "long spinous processes that point down and cover each other in the middle of the chest",
        ),
    ),
    Region(
        "lumbar",
        "L1 to L5",
        "L3",
        (
            "no ribs; slender transverse processes that stand out to the sides",
            "the largest bodies, kidney-shaped, wider than deep",
            "short, tall spinous processes, like an axe",
        ),
    ),
    Region(
        "sacral",
        "S1 to S5, one bone",
        "",
        (
            "five vertebrae grown together, with wings that carry the pelvis",
            "in a mask of vertebrae it is no row of its own; its first endplate closes the last disc",
        ),
    ),
)

COUNT = "The topmost vertebra in the picture is T10."
LAST = "Look at the transverse processes of the lowest lumbar-type vertebra and at the wings of the sacrum."
LOWER = "The lower spine from T10 to the sacrum with its ribs"

VARIANTS = (
    Variant(
        "no variant, lower spine",
        "lower",
        "lower_normal",
        (),
        COUNT,
        f"{LOWER}: three pairs of ribs, then five bones.",
        "T10, T11 and T12 carry ribs, the last pair is short, then come five lumbar vertebrae.",
    ),
    Variant(
        "T13: a thirteenth thoracic vertebra",
        "lower",
        "lower_t13",
        (28, 53, 73),
        COUNT,
        f"{LOWER}: four pairs of ribs, then five bones.",
        "a fourth pair of ribs below T10: one more vertebra that carries ribs, with five lumbar ones below it. Whoever "
        "counts upwards from the sacrum does not notice it; whoever counts downwards calls L1 what is T13. VerSe gives "
        "it the number 28, between 19 (T12) and 20 (L1).",
    ),
    Variant(
        "L6: a sixth lumbar vertebra",
        "lower",
        "lower_l6",
        (25,),
        COUNT,
        f"{LOWER}: three pairs of ribs, then six bones.",
        "ribs end at T12 as usual, and six vertebrae without ribs follow. Whoever counts upwards from the sacrum is "
        "one level off all the way up.",
    ),
    Variant(
        "stump ribs at T12",
        "lower",
        "lower_stump_rib",
        (52, 72),
        COUNT,
        f"{LOWER}: three pairs of ribs, the last one very short, then five bones.",
        "the last ribs are shorter than 38 mm, which VerSe calls stump ribs. They are easily taken for transverse "
        "processes, and T12 for L1.",
    ),
    Variant(
        "no variant, neck",
        "neck",
        "neck_normal",
        (),
        "The topmost vertebra in the picture is C5.",
        "C5 to T2 from the front: ribs begin at the fourth vertebra.",
        "C5, C6 and C7 carry no ribs; the first pair belongs to T1.",
    ),
    Variant(
        "cervical ribs at C7",
        "neck",
        "neck_cervical_rib",
        (90, 91),
        "The topmost vertebra in the picture is C5.",
        "C5 to T2 from the front: ribs begin at the third vertebra.",
        "C7 carries a pair of ribs. Whoever takes the first rib for that of T1 counts one level too high.",
    ),
    Variant(
        "Castellvi 0: no transition",
        "castellvi",
        "castellvi_0",
        (),
        LAST,
        "L4, L5 and sacrum: slender transverse processes, far from the sacrum.",
        "slender transverse processes, well above the wings of the sacrum.",
    ),
    Variant(
        "Castellvi 1: tall transverse processes",
        "castellvi",
        "castellvi_1",
        (24,),
        LAST,
        "L4, L5 and sacrum: tall transverse processes that touch nothing.",
        "a transverse process at least 19 mm tall that does not reach the sacrum; 1a on one side, 1b on both (here).",
    ),
    Variant(
        "Castellvi 2a: a false joint on one side",
        "castellvi",
        "castellvi_2a",
        (24,),
        LAST,
        "L4, L5 and sacrum: on the patient's left the process meets the wing, with a gap between them.",
        "the process meets the wing of the sacrum in a false joint, with a gap between the bones, on one side "
        "(the patient's left, on your right).",
    ),
    Variant(
        "Castellvi 2b: false joints on both sides",
        "castellvi",
        "castellvi_2b",
        (24,),
        LAST,
        "L4, L5 and sacrum: on both sides the process meets the wing, with a gap between them.",
        "a false joint on both sides.",
    ),
    Variant(
        "Castellvi 3a: grown together on one side",
        "castellvi",
        "castellvi_3a",
        (24,),
        LAST,
        "L4, L5 and sacrum: on the patient's left process and wing are one bone.",
        "process and wing are one bone on one side. VerSe does not label a vertebra that is fused with the sacrum: in "
        "such a mask it is missing, and the lumbar count is one short.",
    ),
    Variant(
        "Castellvi 3b: grown together on both sides",
        "castellvi",
        "castellvi_3b",
        (24,),
        LAST,
        "L4, L5 and sacrum: on both sides process and wing are one bone.",
        "process and wing are one bone on both sides; not labelled in VerSe.",
    ),
    Variant(
        "Castellvi 4: one side grown together, the other with a joint",
        "castellvi",
        "castellvi_4",
        (24,),
        LAST,
        "L4, L5 and sacrum: on the patient's left one bone, on the right a gap.",
        "type 2 on one side and type 3 on the other; not labelled in VerSe.",
    ),
)
