"""Which test is chosen, what is not tested and why, and that every row speaks."""

import numpy as np
import pandas as pd
import pytest

from verse_morph.errors import InputError, NotMeasurable
from verse_morph.stats.association import association, bootstrap_cramers_v, chi2_is_valid, cross_table, independence
from verse_morph.stats.equivalence import equivalence_of_means, equivalence_of_proportions
from verse_morph.stats.measurements import compare, gather, hedges_g
from verse_morph.stats.multiplicity import adjusted
from verse_morph.stats.rows import TEST_COLUMNS, as_table
from verse_morph.stats.stratified import cmh_general, cochran_armitage, over_strata, trend


def test_the_valid_test_is_chosen():
    assert "Fisher" in independence([[3, 4], [5, 1]])["method"]
    assert independence([[30, 20, 10], [20, 25, 15]])["method"] == "Pearson's chi2"
    assert "Freeman-Halton" in independence([[9, 1, 1], [8, 0, 2]])["method"]
    assert chi2_is_valid([[5, 5, 5], [5, 5, 4.9]])
    assert not chi2_is_valid([[50, 50, 50], [50, 50, 0.9]])
    assert not chi2_is_valid([[5, 5], [4, 5]])


def test_same_seed_same_p():
    table = [[9, 1, 1], [8, 0, 2]]
    assert independence(table, 7) == independence(table, 7)


def test_unknown_vendors_are_shown_and_not_tested(people):
    table = people(vendor=["GE"] * 10 + ["Siemens"] * 10 + [None] * 6, stump_ribs=[1, 0] * 13)
    counts, missing = cross_table(table, "stump_rib")
    assert list(counts.index) == ["Siemens", "GE", "unknown"]
    found = association(table, "stump_rib")
    assert (missing, found["n"], found["n_missing"]) == (0, 20, 6)


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"vendor": ["GE"] * 4, "stump_ribs": [0, 1, 0, 1]}, "only one group of vendor"),
        ({"vendor": ["GE", "Siemens"], "stump_ribs": [0, 0]}, "everybody has the same category"),
        ({"vendor": ["GE", "Siemens"], "stump_ribs": [None, None]}, "no known group of vendor"),
        ({"vendor": [None, None], "stump_ribs": [1, 0]}, "no known group of vendor"),
    ],
)
def test_what_cannot_be_tested_says_why(people, columns, why):
    found = association(people(**columns), "stump_rib")
    assert "p" not in found
    assert why in found["why"]
    assert why in found["sentence"]
    (within,) = over_strata(people(**columns), "stump_rib")
    assert within["method"] == "not tested"


@pytest.mark.parametrize("outcome", ["stump_rib", "castellvi"])
def test_nobody_at_all_is_not_tested(people, outcome):
    nobody = people(vendor=["GE"]).iloc[:0]
    rows = [association(nobody, outcome), *over_strata(nobody, outcome)]
    rows += compare(pd.DataFrame({"scan": [], "level": [], "height_mm": []}), nobody, "height_mm")
    if outcome != "castellvi":
        rows.append(trend(nobody, outcome))
    for row in rows:
        assert (row["method"], row["n"]) == ("not tested", 0)
        assert row["why"]


def test_an_empty_cell_is_tested_but_has_no_bootstrap_interval_where_a_category_is_rare(people):
    table = people(vendor=["GE"] * 20 + ["Siemens"] * 20, cervical_ribs=[0] * 20 + [0] * 18 + [1] * 2)
    found = association(table, "cervical_rib")
    assert 0 < found["p"] <= 1
    assert np.isnan(found["effect_low"])
    assert "no interval" in found["sentence"]
    with pytest.raises(NotMeasurable, match="fewer than 5"):
        bootstrap_cramers_v([[20, 0], [18, 2]])


def test_every_row_has_n_method_and_a_sentence(phantoms):
    outcomes = ("lumbar_6", "stump_rib", "castellvi", "half_vertebra", "thoracic_13")
    rows = [association(phantoms, outcome) for outcome in outcomes]
    rows += [row for outcome in outcomes for row in over_strata(phantoms, outcome)]
    rows += [trend(phantoms, outcome) for outcome in ("lumbar_6", "castellvi_3_4", "half_vertebra")]
    table = adjusted(as_table(rows))
    assert list(table.columns) == [*TEST_COLUMNS, "p_holm", "p_bh"]
    assert table[["n", "n_missing", "method", "sentence"]].notna().all(axis=None)
    assert (table["sentence"].str.len() > 20).all()
    untested = table["p"].isna() & table["effect"].isna()
    assert (table.loc[untested, "why"] != "").all()
    assert table.loc[table["outcome"] == "castellvi_3_4", "why"].iloc[0] == "it is defined by the grade itself"
    known = table["p"].notna()
    assert (table.loc[known, "p_holm"] >= table.loc[known, "p_bh"] - 1e-12).all()
    assert table.loc[~known, "p_holm"].isna().all()


def test_a_real_association_is_found(people):
    vendor, rng = ["GE"] * 60 + ["Siemens"] * 60, np.random.default_rng(0)
    ribs = (rng.random(120) < np.where(np.arange(120) < 60, 0.1, 0.6)).astype(int)
    split = ["training", "test"] * 60
    table = people(vendor=vendor, stump_ribs=ribs, split=split, sex=["F", "M"] * 60)
    assert association(table, "stump_rib")["p"] < 1e-4
    rows = as_table(over_strata(table, "stump_rib"))
    odds = rows[rows["effect_name"] == "odds ratio, Mantel-Haenszel"].iloc[0]
    assert odds["effect"] < 0.3, "of yes, GE against Siemens"
    assert rows.iloc[0]["p"] < 1e-4


def test_strata_that_say_nothing():
    with pytest.raises(NotMeasurable):
        cmh_general(np.zeros((2, 2, 2)))
    with pytest.raises(NotMeasurable):
        cmh_general([[[3, 4], [0, 0]]])
    with pytest.raises(NotMeasurable):
        cochran_armitage([0, 0], [5, 5])
    # A stratum without one group adds nothing.
    table = np.array([[5.0, 3], [2, 7]])
    assert cmh_general([table, [[4, 4], [0, 0]]]) == pytest.approx(cmh_general([table]))


# --- measurements -----------------------------------------------------------------------------------------------------


def heights(n, shift, rng, levels=("L1", "L2", "L3")):
    rows = []
    for i in range(n):
        own = rng.normal(0, 2) + shift[i]
        rows += [(f"sub-p{i}", level, 25 + k + own + rng.normal(0, 0.5)) for k, level in enumerate(levels)]
    return pd.DataFrame(rows, columns=["scan", "level", "height_mm"])


def test_a_shift_between_vendors_is_recovered(people):
    rng = np.random.default_rng(1)
    table = people(vendor=["Philips"] * 40 + ["GE"] * 30 + [None] * 5, castellvi=["0", "2a", "3b"] * 25)
    values = heights(75, [0.0] * 40 + [3.0] * 35, rng)
    values.loc[0, "height_mm"] = np.nan
    rows = as_table(compare(values, table, "height_mm", "vendor", margin=1.0))
    pair = rows[rows["contrast"] == "GE - Philips"].iloc[0]
    assert pair["effect_low"] < 3 < pair["effect_high"]
    assert pair["p"] < 0.001
    assert rows["n_missing"].iloc[0] == 1 + 5 * 3
    assert "mixed model" in pair["method"]
    equivalent = rows[rows["analysis"] == "equivalence"].iloc[0]
    assert "not shown" in equivalent["sentence"]
    graded = as_table(compare(values, table, "height_mm", "castellvi_type"))
    assert "per type" in set(graded["contrast"])


def test_one_value_per_subject_needs_no_mixed_model(people):
    table = people(vendor=["Philips"] * 20 + ["GE"] * 20)
    values = heights(40, [0.0] * 20 + [4.0] * 20, np.random.default_rng(2), ("L1",))
    rows = as_table(compare(values, table, "height_mm"))
    assert "one value per subject" in rows["method"].iloc[0]
    assert rows["p"].iloc[0] < 0.001


def test_levels_out_of_view_do_not_feign_a_difference(people):
    """GE scans show the large vertebrae only: adjusted for level there is no difference."""
    rng = np.random.default_rng(11)
    table = people(vendor=["Philips"] * 30 + ["GE"] * 30)
    values = heights(60, [0.0] * 60, rng, ("L1", "L2", "L3"))
    values["height_mm"] += values["level"].map({"L1": 0, "L2": 5, "L3": 10})
    shown = values[~(values["scan"].isin(table["scan"][30:]) & (values["level"] == "L1"))]
    rows = as_table(compare(shown, table, "height_mm"))
    pair = rows[rows["contrast"] == "GE - Philips"].iloc[0]
    plain = shown.groupby("scan")["height_mm"].mean()[table["scan"]].to_numpy()
    assert plain[30:].mean() - plain[:30].mean() > 2
    assert pair["effect_low"] < 0 < pair["effect_high"]


@pytest.mark.parametrize(
    ("vendors", "why"), [(["GE"] * 8, "fewer than two groups"), (["GE"] * 6 + ["Philips"] * 2, "fewer than two groups")]
)
def test_too_few_subjects_are_not_compared(people, vendors, why):
    (row,) = compare(heights(8, [0] * 8, np.random.default_rng(0)), people(vendor=vendors), "height_mm")
    assert why in row["why"]


def test_constant_and_missing_values_are_not_compared(people):
    table = people(vendor=["GE"] * 5 + ["Philips"] * 5)
    values = heights(10, [0] * 10, np.random.default_rng(0))
    (row,) = compare(values.assign(height_mm=3.0), table, "height_mm")
    assert "none that differ" in row["why"]
    (row,) = compare(values.assign(height_mm=np.nan), table, "height_mm")
    assert row["n"] == 0
    with pytest.raises(InputError, match="need the columns"):
        compare(values, table, "hight_mm")
    with pytest.raises(InputError, match="no column 'ward'"):
        gather(values, table, "height_mm", "ward")


def test_equivalence_needs_groups_and_a_margin():
    with pytest.raises(NotMeasurable):
        equivalence_of_means([1.0], [1.0, 2.0], 1)
    with pytest.raises(NotMeasurable):
        equivalence_of_proportions((0, 0), (1, 5), 0.1)
    with pytest.raises(ValueError, match="above 0"):
        equivalence_of_means([1.0, 2], [1.0, 2], 0)
    with pytest.raises(NotMeasurable):
        hedges_g([1.0], [2.0, 3.0])
    with pytest.raises(NotMeasurable):
        hedges_g([1.0, 1.0], [2.0, 2.0])
