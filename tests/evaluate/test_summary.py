"""Summaries: rates, means, intervals and groups against sums done by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from verse_morph.errors import InputError
from verse_morph.evaluate import Mode, Rules, set_summary, wilson_interval
from verse_morph.evaluate.scan import COLUMNS
from verse_morph.evaluate.summary import (
    bootstrap_interval,
    mean,
    participants_groups,
    scan_summary,
    subject_of,
)


def vertebrae(*rows):
    """Rows of (scan, level, outcome, dice) in both modes, as one scan's evaluation gives them."""
    out = []
    regions = {"C": "cervical", "T": "thoracic", "L": "lumbar"}
    for mode in Mode:
        for scan, level, outcome, dice in rows:
            pair = outcome in ("hit", "misplaced")
            row = dict.fromkeys(COLUMNS, "") | dict.fromkeys(
                ("hausdorff_mm", "hausdorff95_mm"), 2.0 if pair else math.nan
            )
            row |= {"scan": scan, "level": level, "region": regions[level[0]], "mode": str(mode), "outcome": outcome}
            row |= {"mask_outcome": "both" if pair else outcome, "rule": Rules().sentence(mode)}
            row |= {"centroid_distance_mm": 3.0 if pair else math.nan, "assd_mm": 0.5 if pair else math.nan}
            value = dice if pair or mode is Mode.STRICT else math.nan
            out.append(row | {"dice": value, "nsd": value})
    return pd.DataFrame(out)


TABLE = vertebrae(
    ("sub-a", "T12", "hit", 0.9),
    ("sub-a", "L1", "hit", 0.8),
    ("sub-a", "L2", "misplaced", 0.1),
    ("sub-a", "L3", "missed", 0.0),
    ("sub-b_split-x", "T12", "hit", 0.7),
    ("sub-b_split-x", "T13", "false_positive", 0.0),
)
DICE = {"sub-a": 0.85, "sub-b_split-x": math.nan}


def line(frame, **where):
    for name, value in where.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1
    return frame.iloc[0]


def test_scan_rows():
    frame = scan_summary(TABLE, DICE)
    assert len(frame) == 4
    strict = line(frame, scan="sub-a", mode="strict")
    counts = [
        strict[name] for name in ("n_true", "n_predicted", "n_hit", "n_misplaced", "n_missed", "n_false_positive")
    ]
    assert counts == [4, 3, 2, 1, 1, 0]
    assert strict["id_rate_pct"] == 50
    assert strict["precision_pct"] == pytest.approx(200 / 3)
    assert strict["dice_mean"] == pytest.approx(1.8 / 4)
    assert (strict["n_dice"], strict["n_surface"]) == (4, 3)
    assert (strict["misplaced_levels"], strict["missed_levels"]) == ("L2", "L3")
    challenge = line(frame, scan="sub-a", mode="challenge")
    assert challenge["id_rate_pct"] == 50
    assert challenge["dice_mean"] == pytest.approx(1.8 / 3)
    assert np.isnan(challenge["precision_pct"])
    assert challenge["precision_pct_why"] == "challenge mode: false positives cost nothing"


def test_false_positives_lower_the_strict_means_that_are_named_after_them():
    frame = scan_summary(TABLE, DICE)
    strict = line(frame, scan="sub-b_split-x", mode="strict")
    assert (strict["dice_mean"], strict["dice_mean_with_false_positives"]) == (0.7, 0.35)
    assert strict["precision_pct"] == 50
    assert strict["false_positive_levels"] == "T13"
    assert np.isnan(strict["dice_binary"])
    assert strict["dice_binary_why"]


def test_groups():
    frame = set_summary(TABLE, {"variant": {"sub-a": "none"}})
    everything = line(frame, mode="strict", group_by="all")
    assert (everything["n_scans"], everything["n_subjects"], everything["n_true"], everything["n_hit"]) == (2, 2, 5, 3)
    assert everything["id_rate_pct"] == 60
    assert everything["id_rate_scan_mean_pct"] == 75
    assert everything["dice_scan_mean"] == pytest.approx((1.8 / 4 + 0.7) / 2)
    low, high = wilson_interval(3, 5)
    assert (everything["id_rate_wilson_low_pct"], everything["id_rate_wilson_high_pct"]) == (100 * low, 100 * high)
    assert line(frame, mode="strict", group_by="region", group="thoracic")["id_rate_pct"] == 100
    assert line(frame, mode="strict", group_by="region", group="lumbar")["id_rate_pct"] == pytest.approx(100 / 3)
    assert line(frame, mode="challenge", group_by="level", group="L1")["n_true"] == 1
    assert line(frame, mode="strict", group_by="variant", group="none")["n_true"] == 4
    assert line(frame, mode="strict", group_by="variant", group="not in the participants table")["n_true"] == 1
    alone = line(frame, mode="strict", group_by="level", group="T13")
    assert np.isnan(alone["id_rate_pct"])
    assert alone["id_rate_pct_why"] == "no true vertebra"
    assert np.isnan(alone["id_rate_bootstrap_low_pct"])
    assert alone["id_rate_bootstrap_low_pct_why"] == "fewer than two subjects"


def test_groups_come_head_to_foot():
    frame = set_summary(TABLE)
    strict = frame[frame["mode"] == "strict"]
    assert list(strict["group"][strict["group_by"] == "level"]) == ["T12", "T13", "L1", "L2", "L3"]
    assert list(strict["group"][strict["group_by"] == "region"]) == ["thoracic", "lumbar"]


@pytest.mark.parametrize("make", [lambda: scan_summary(TABLE, DICE), lambda: set_summary(TABLE)])
def test_every_missing_number_has_a_reason_and_every_row_its_rule(make):
    frame = make()
    for name in [column for column in frame.columns if f"{column}_why" in frame.columns]:
        assert (frame[name].isna() == (frame[f"{name}_why"] != "")).all(), name
    assert {rule.split(":")[0] for rule in frame["rule"]} == {"challenge", "strict"}


def test_a_grouping_may_not_hide_a_column():
    with pytest.raises(InputError, match="cannot group by 'level'"):
        set_summary(TABLE, {"level": {}})


def test_bootstrap_is_reproducible_and_brackets_the_rate():
    rng = np.random.default_rng(1)
    totals = rng.integers(5, 20, 60)
    hits = rng.binomial(totals, 0.9)
    low, high = bootstrap_interval(hits, totals)
    assert (low, high) == bootstrap_interval(hits, totals)
    assert low < hits.sum() / totals.sum() < high
    # Scans fail independently here, so it must be near the interval for independent vertebrae.
    wilson = wilson_interval(int(hits.sum()), int(totals.sum()))
    assert (low, high) == pytest.approx(wilson, abs=0.01)


def test_bootstrap_of_whole_subjects_is_wider_when_errors_come_in_runs():
    hits, totals = [10] * 18 + [0] * 2, [10] * 20
    low, high = bootstrap_interval(hits, totals)
    wilson = wilson_interval(180, 200)
    assert high - low > 1.5 * (wilson[1] - wilson[0])


def test_wilson_refuses_nonsense():
    for successes, total in ((0, 0), (3, 2), (-1, 2)):
        with pytest.raises(ValueError, match="no proportion"):
            wilson_interval(successes, total)


def test_mean_does_not_depend_on_order():
    values = [1e16, 1.0, -1e16, 3.0]
    assert mean(values) == mean(reversed(values)) == 1.0
    assert math.isnan(mean([]))


def test_subjects():
    assert subject_of("sub-verse401_split-verse253") == "verse401"
    assert subject_of("GL017_CT-ax") == "GL017"


def test_participants_by_scan_or_subject():
    scans = ["sub-a", "sub-b_split-x"]
    by_subject = pd.DataFrame({"participant_id": ["sub-a", "b"], "castellvi": ["2a", "0"]})
    assert participants_groups(by_subject, ["castellvi"], scans) == {"castellvi": {"sub-a": "2a", "sub-b_split-x": "0"}}
    by_scan = pd.DataFrame({"scan": ["sub-a"], "n": [3]})
    assert participants_groups(by_scan, ["n"], scans) == {"n": {"sub-a": "3"}}


@pytest.mark.parametrize(
    ("table", "column", "message"),
    [
        ({"who": ["a"], "x": [1]}, "x", "no column scan, subject or participant_id; it has who, x"),
        ({"scan": ["a"], "x": [1]}, "y", "no column 'y'; it has scan, x"),
        ({"subject": ["a", "sub-a"], "x": [1, 2]}, "x", "gives a two values of 'x'"),
    ],
)
def test_participants_tables_that_cannot_be_used(table, column, message):
    with pytest.raises(InputError, match=message):
        participants_groups(pd.DataFrame(table), [column], ["a"])
