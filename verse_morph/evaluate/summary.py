"""From one row per vertebra to one per scan and one per set, region, level or any other group."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from verse_morph.anatomy import Level
from verse_morph.errors import InputError
from verse_morph.evaluate.rules import Mode
from verse_morph.tables import why_column

if TYPE_CHECKING:
    import pandas as pd

COUNTS = ("n_true", "n_predicted", "n_hit", "n_misplaced", "n_missed", "n_false_positive", "n_dice", "n_surface")
RATES = ("id_rate_pct", "precision_pct")
MEANS = (
    "d_mean_mm",
    "dice_mean",
    "dice_mean_with_false_positives",
    "hausdorff_mean_mm",
    "hausdorff95_mean_mm",
    "assd_mean_mm",
    "nsd_mean",
    "nsd_mean_with_false_positives",
)
INTERVALS = (
    "id_rate_wilson_low_pct",
    "id_rate_wilson_high_pct",
    "id_rate_bootstrap_low_pct",
    "id_rate_bootstrap_high_pct",
)
SET_MEANS = ("id_rate_scan_mean_pct", "dice_scan_mean")
NOT_LISTED = "not in the participants table"
REPLICATES = 2000
Z95 = 1.959963984540054


def subject_of(scan: str) -> str:
    """Whom a scan shows, by VerSe's names: ``sub-verse401_split-verse253`` is of ``verse401``."""
    return scan.split("_")[0].removeprefix("sub-")


def scan_summary(vertebrae: pd.DataFrame, dice_binary: Mapping[str, float]) -> pd.DataFrame:
    """One row per scan and mode.

    Parameters
    ----------
    vertebrae : DataFrame
        Rows of :func:`verse_morph.evaluate.evaluate_scan`, of any number of scans.
    dice_binary : Mapping[str, float]
        By scan.
    """
    import pandas as pd

    rows = []
    for (scan, mode), part in vertebrae.groupby(["scan", "mode"], sort=False):
        row = {"scan": scan, "subject": subject_of(str(scan)), "mode": mode} | _aggregate(part, Mode(mode))
        row |= _with_whys({"dice_binary": dice_binary[str(scan)]}, {"dice_binary": "neither mask has a vertebra"})
        for outcome in ("misplaced", "missed", "false_positive"):
            row[f"{outcome}_levels"] = " ".join(part["level"][part["outcome"] == outcome])
        rows.append(row | {"rule": part["rule"].iloc[0]})
    names = (*RATES, *MEANS, "dice_binary")
    levels = ("misplaced_levels", "missed_levels", "false_positive_levels")
    return pd.DataFrame(
        rows, columns=["scan", "subject", "mode", *COUNTS, *names, *levels, *map(why_column, names), "rule"]
    )


def set_summary(
    vertebrae: pd.DataFrame, groups: Mapping[str, Mapping[str, str]] | None = None, seed: int = 0
) -> pd.DataFrame:
    """One row per mode and group: everything, each region, each level, each value of given groupings of scans.

    Parameters
    ----------
    vertebrae : DataFrame
        Rows of :func:`verse_morph.evaluate.evaluate_scan`, of any number of scans.
    groups : Mapping[str, Mapping[str, str]], optional
        Name of a grouping to the group of each scan, for example ``{"castellvi": {"sub-verse014": "0"}}``. Scans it
        does not list form a group of their own.
    seed : int
        Of the bootstrap.

    Notes
    -----
    ``id_rate_pct`` pools vertebrae, ``id_rate_scan_mean_pct`` gives each scan the same weight. The Wilson interval
    takes vertebrae as independent, which they are not: errors come in runs (a numbering shifted by one). The bootstrap
    interval draws whole subjects; trust it where there are enough of them.

    References
    ----------
    Wilson EB. J Am Stat Assoc 1927;22:209. Percentile bootstrap over subjects, 2000 replicates.
    """
    import pandas as pd

    keyed = vertebrae.assign(all="all")
    for name, of_scan in (groups or {}).items():
        if name in keyed.columns:
            raise InputError(f"cannot group by {name!r}: the evaluation has a column of that name; rename yours")
        keyed[name] = [of_scan.get(scan, NOT_LISTED) for scan in keyed["scan"]]
    rows = []
    for mode in Mode:
        of_mode = keyed[keyed["mode"] == str(mode)]
        for kind in ("all", "region", "level", *(groups or {})):
            for group, part in sorted(of_mode.groupby(kind), key=lambda item: _place(kind, str(item[0]))):
                row: dict[str, Any] = {"mode": str(mode), "group_by": kind, "group": str(group)}
                row |= {"n_scans": part["scan"].nunique(), "n_subjects": part["scan"].map(subject_of).nunique()}
                rows.append(row | _aggregate(part, mode) | _set_columns(part, seed) | {"rule": part["rule"].iloc[0]})
    names = (*RATES, *INTERVALS, *MEANS, *SET_MEANS)
    heads = ("mode", "group_by", "group", "n_scans", "n_subjects")
    return pd.DataFrame(rows, columns=[*heads, *COUNTS, *names, *map(why_column, names), "rule"])


def _place(kind: str, group: str) -> tuple[int, str]:
    """Regions and levels head to foot, other groups by name."""
    if kind == "level":
        return Level(group).rank, ""
    return (min(level.rank for level in Level if level.region == group) if kind == "region" else 0), group


def wilson_interval(successes: int, total: int) -> tuple[float, float]:
    """The 95 % Wilson score interval of a proportion, as two fractions.

    >>> [round(bound, 4) for bound in wilson_interval(8, 10)]
    [0.4902, 0.9433]

    Raises
    ------
    ValueError
        Nothing was tried, or more succeeded than were tried.
    """
    if not 0 <= successes <= total or total == 0:
        raise ValueError(f"no proportion: {successes} of {total}")
    share, z2 = successes / total, Z95**2
    middle = share + z2 / (2 * total)
    half = Z95 * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    low, high = (middle - half) / (1 + z2 / total), (middle + half) / (1 + z2 / total)
    return (0.0 if successes == 0 else low), (1.0 if successes == total else high)


def bootstrap_interval(hits: Sequence[int], totals: Sequence[int], seed: int = 0) -> tuple[float, float]:
    """The 95 % percentile interval of a pooled proportion when whole subjects are drawn with replacement.

    Parameters
    ----------
    hits, totals : sequence of int
        Successes and trials of each subject, at least two subjects.
    seed : int
    """
    n = len(hits)
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=REPLICATES)
    total = draws @ np.asarray(totals)
    rates = (draws @ np.asarray(hits))[total > 0] / total[total > 0]
    low, high = np.percentile(rates, (2.5, 97.5))
    return float(low), float(high)


def mean(values: Iterable[float]) -> float:
    """Mean with an exactly rounded sum, so that it does not depend on the order; NaN of nothing."""
    listed = [float(v) for v in values]
    return math.fsum(listed) / len(listed) if listed else math.nan


def _aggregate(part: pd.DataFrame, mode: Mode) -> dict[str, Any]:
    outcome, mask = part["outcome"], part["mask_outcome"]
    hit, misplaced, missed, invented = (
        int((outcome == word).sum()) for word in ("hit", "misplaced", "missed", "false_positive")
    )
    true, predicted = hit + misplaced + missed, hit + misplaced + invented
    of_true = part[mask.isin(["both", "missed"])]
    free = "challenge mode: false positives cost nothing"
    no_pair = "no vertebra is present in both"
    values = {
        "id_rate_pct": 100 * hit / true if true else math.nan,
        "precision_pct": 100 * hit / predicted if predicted and mode is Mode.STRICT else math.nan,
        "d_mean_mm": mean(part["centroid_distance_mm"].dropna()),
        "dice_mean": mean(of_true["dice"].dropna()),
        "dice_mean_with_false_positives": mean(part["dice"].dropna()) if mode is Mode.STRICT else math.nan,
        "hausdorff_mean_mm": mean(part["hausdorff_mm"].dropna()),
        "hausdorff95_mean_mm": mean(part["hausdorff95_mm"].dropna()),
        "assd_mean_mm": mean(part["assd_mm"].dropna()),
        "nsd_mean": mean(of_true["nsd"].dropna()),
        "nsd_mean_with_false_positives": mean(part["nsd"].dropna()) if mode is Mode.STRICT else math.nan,
    }
    whys = dict.fromkeys(values, no_pair) | {"id_rate_pct": "no true vertebra"}
    whys["precision_pct"] = "nothing was predicted" if mode is Mode.STRICT else free
    if mode is Mode.CHALLENGE:
        whys |= {"dice_mean_with_false_positives": free, "nsd_mean_with_false_positives": free}
    else:
        whys |= {"dice_mean": "no true vertebra", "nsd_mean": "no true vertebra"}
    counts = (true, predicted, hit, misplaced, missed, invented)
    numbers = dict(
        zip(COUNTS, (*counts, int(of_true["dice"].notna().sum()), int(part["assd_mm"].notna().sum())), strict=True)
    )
    return numbers | _with_whys(values, whys)


def _set_columns(part: pd.DataFrame, seed: int) -> dict[str, Any]:
    counted = part[part["outcome"].isin(["hit", "misplaced", "missed"])]
    hit = counted["outcome"] == "hit"
    values = dict.fromkeys((*INTERVALS, *SET_MEANS), math.nan)
    whys = dict.fromkeys(values, "no true vertebra")
    if len(counted):
        low, high = wilson_interval(int(hit.sum()), len(counted))
        values["id_rate_wilson_low_pct"], values["id_rate_wilson_high_pct"] = 100 * low, 100 * high
        by_scan = hit.groupby(counted["scan"], sort=False)
        values["id_rate_scan_mean_pct"] = mean(100 * by_scan.sum() / by_scan.count())
    by_subject = hit.groupby(counted["scan"].map(subject_of), sort=False)
    if by_subject.ngroups > 1:
        low, high = bootstrap_interval(list(by_subject.sum()), list(by_subject.count()), seed)
        values["id_rate_bootstrap_low_pct"], values["id_rate_bootstrap_high_pct"] = 100 * low, 100 * high
    else:
        whys |= dict.fromkeys(INTERVALS[2:], "fewer than two subjects")
    of_true = part[part["mask_outcome"].isin(["both", "missed"])].dropna(subset=["dice"])
    values["dice_scan_mean"] = mean(mean(dice) for _, dice in of_true.groupby("scan", sort=False)["dice"])
    whys["dice_scan_mean"] = "no vertebra with a Dice value"
    return _with_whys(values, whys)


def _with_whys(values: Mapping[str, float], whys: Mapping[str, str]) -> dict[str, Any]:
    reasons = {why_column(name): whys[name] if math.isnan(value) else "" for name, value in values.items()}
    return dict(values) | reasons


def participants_groups(table: pd.DataFrame, columns: Sequence[str], scans: Iterable[str]) -> dict[str, dict[str, str]]:
    """The group of each scan by columns of a table of participants.

    Parameters
    ----------
    table : DataFrame
        One row per ``scan``, ``subject`` or ``participant_id`` (with or without ``sub-``).
    columns : sequence of str
        What to group by.
    scans : iterable of str
        The scans evaluated.

    Raises
    ------
    InputError
        No such column, no key column, or two rows of one key that disagree.
    """
    key = next((name for name in ("scan", "subject", "participant_id") if name in table.columns), None)
    if key is None:
        raise InputError(
            f"the participants table has no column scan, subject or participant_id; it has {', '.join(table.columns)}"
        )
    groups: dict[str, dict[str, str]] = {}
    for column in columns:
        if column not in table.columns:
            raise InputError(f"the participants table has no column {column!r}; it has {', '.join(table.columns)}")
        known = table.dropna(subset=[key, column])
        pairs = known[[key, column]].astype(str).drop_duplicates()
        pairs[key] = pairs[key].str.removeprefix("" if key == "scan" else "sub-")
        twice = pairs[key][pairs[key].duplicated()]
        if len(twice):
            raise InputError(f"the participants table gives {twice.iloc[0]} two values of {column!r}; keep one")
        of_key = dict(zip(pairs[key], pairs[column], strict=True))
        wanted = {scan: scan if key == "scan" else subject_of(scan) for scan in scans}
        groups[column] = {scan: of_key[name] for scan, name in wanted.items() if name in of_key}
    return groups
