"""Who enters a study, and into which part: the paper's inclusion criteria and a stratified random split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from verse_morph.errors import InputError
from verse_morph.stats.variants import one_per_subject, pooled_grades

if TYPE_CHECKING:
    import pandas as pd

LEAST_VERTEBRAE = 7
# Largest distance of voxels, mm: craniocaudal, front to back, left to right.
LARGEST_MM: Mapping[str, tuple[float, str]] = {
    "spacing_cc_mm": (1.5, "craniocaudal"),
    "spacing_ap_mm": (1.0, "anterior-posterior"),
    "spacing_lr_mm": (3.0, "left-right"),
}
# Headers store 0.9999 and 1.0000001 for 1 mm.
TOLERANCE_MM = 0.005
# Rarest first by the paper's Table 2: a subject with several variants is placed by the rarest.
PRIMARY_ORDER = (
    "lumbar_4",
    "thoracic_13",
    "castellvi_4",
    "thoracic_11",
    "castellvi_3a",
    "cervical_rib",
    "castellvi_2b",
    "castellvi_3b",
    "castellvi_2a",
    "lumbar_6",
    "stump_rib",
)
NO_VARIANT = "none"


def check_inclusion(participants: pd.DataFrame) -> pd.DataFrame:
    """Which scans meet the paper's criteria: at least 7 whole vertebrae, and voxels of at most 1.5 mm craniocaudally,
    1 mm front to back and 3 mm left to right.

    Parameters
    ----------
    participants : DataFrame
        With ``n_vertebrae`` and the three spacings, as far as known.

    Returns
    -------
    DataFrame
        ``scan, verdict, why``: ``included``, ``excluded`` (each criterion that fails), or ``not assessable`` (what is
        not known, where nothing that is known fails).
    """
    import pandas as pd

    rows = []
    for record in participants.to_dict("records"):
        fails, unknown = [], []
        count = record.get("n_vertebrae")
        if pd.isna(count):
            unknown.append("number of whole vertebrae")
        elif count < LEAST_VERTEBRAE:
            fails.append(f"{int(count)} whole vertebrae, {LEAST_VERTEBRAE} are asked for")
        for column, (largest, words) in LARGEST_MM.items():
            spacing = record.get(column)
            if pd.isna(spacing):
                unknown.append(f"{words} spacing")
            elif spacing > largest + TOLERANCE_MM:
                fails.append(f"{words} spacing {spacing:.2f} mm, at most {largest:g} is allowed")
        verdict = "excluded" if fails else "not assessable" if unknown else "included"
        why = "; ".join(fails) if fails else "not known: " + ", ".join(unknown) if unknown else ""
        rows.append({"scan": record["scan"], "verdict": verdict, "why": why})
    return pd.DataFrame(rows, columns=["scan", "verdict", "why"])


def primary_attribute(participants: pd.DataFrame) -> pd.Series:
    """The rarest variant of each subject by :data:`PRIMARY_ORDER`, ``none`` where it has none; by subject."""
    import pandas as pd

    table = one_per_subject(participants).table.set_index("subject")
    grades = pooled_grades(table["castellvi"])
    has = {f"castellvi_{grade}": (grades == grade) for grade in ("2a", "2b", "3a", "3b", "4")}
    has |= {f"lumbar_{count}": (table["lumbar_total"] == count) for count in (4, 6)}
    has |= {f"thoracic_{count}": (table["thoracic"] == count) for count in (11, 13)}
    has |= {"cervical_rib": table["cervical_ribs"] > 0, "stump_rib": table["stump_ribs"] > 0}
    made = pd.Series(NO_VARIANT, index=table.index, name="primary_attribute")
    for name in reversed(PRIMARY_ORDER):
        made[has[name].fillna(False).astype(bool)] = name
    return made


def stratified_split(
    participants: pd.DataFrame,
    rng: np.random.Generator | int = 0,
    parts: Sequence[str] = ("training", "validation", "test"),
) -> pd.DataFrame:
    """A random split by subject into equal parts, stratified by the primary attribute.

    Parameters
    ----------
    participants : DataFrame
    rng : Generator or int
        The same seed gives the same split, whatever the order of the rows.
    parts : sequence of str
        Two or more.

    Returns
    -------
    DataFrame
        ``subject, primary_attribute, split``. Parts differ by at most one subject within an attribute, and by at most
        one in all.

    Raises
    ------
    InputError
        Fewer than two parts.

    Notes
    -----
    The paper says that it split at random, stratified by a primary attribute. The order in which several attributes of
    one subject count is not taken from it but is ours: rarest first.
    """
    import pandas as pd

    if len(parts) < 2:
        raise InputError(f"a split has two parts or more, got {len(parts)}")
    attribute = primary_attribute(participants).sort_index()
    generator = np.random.default_rng(rng)
    rows = []
    turn = 0
    order = generator.permutation(len(parts))
    for name in (*PRIMARY_ORDER, NO_VARIANT):
        # Subjects are dealt out like cards, going on where the last attribute stopped.
        for subject in generator.permutation(np.array(attribute.index[attribute == name], dtype=object)):
            rows.append((subject, name, parts[order[turn % len(parts)]]))
            turn += 1
    return pd.DataFrame(rows, columns=["subject", "primary_attribute", "split"])
