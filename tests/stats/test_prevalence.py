"""Who is counted, in which denominator, and what is said where nobody is."""

import numpy as np
import pytest

from verse_morph.errors import InputError, NotMeasurable
from verse_morph.stats.prevalence import PHANTOM_WARNING, VERSE_WARNING, enrichment_warning, grade_shares, prevalence
from verse_morph.stats.proportions import proportion
from verse_morph.stats.variants import SEVERAL, one_per_subject


def row(table, variant, group="all"):
    (found,) = table[(table["variant"] == variant) & (table["group"] == group)].to_dict("records")
    return found


def test_a_region_out_of_view_is_not_counted_and_not_missing(people):
    table = people(cervical_ribs=[1, 0, 0, None, 0], lower_neck_in_view=[True, True, False, True, None])
    found = row(prevalence(table, variants=["cervical_rib"]), "cervical_rib")
    # The third does not show it, the fourth shows it but nobody looked; view unknown counts as it is recorded.
    assert (found["n"], found["positive"], found["n_missing"], found["n_not_in_view"]) == (3, 1, 1, 1)
    assert found["share_pct"] == pytest.approx(100 / 3)
    assert "1 of 3 subjects" in found["sentence"]


def test_nobody_assessed_is_no_share(people):
    found = row(prevalence(people(vendor=["GE", "GE"]), "vendor", ["thoracic_11"]), "thoracic_11", "GE")
    assert np.isnan(found["share_pct"])
    assert np.isnan(found["wilson_high_pct"])
    assert found["n"] == 0
    assert "nobody was assessed" in found["share_pct_why"]
    with pytest.raises(NotMeasurable, match="nobody"):
        proportion(0, 0)
    with pytest.raises(ValueError, match="no proportion"):
        proportion(3, 2)


def test_an_empty_table_and_all_missing(people):
    for table in (people(vendor=["GE"]).iloc[:0], people(vendor=["GE"] * 3)):
        found = prevalence(table, "vendor")
        assert (found["n"] == 0).all()
        assert (found["share_pct_why"] != "").all()


def test_two_series_of_one_subject_are_one(people):
    table = people(
        subject=["a", "a", "b", "b", "c"],
        castellvi=["2a", None, "0", "3b", "0"],
        fractures=[0, 2, None, None, 1],
        vendor=["GE", "GE", "GE", "Siemens", None],
        age=[50, 50.5, 60, 60, 70],
    )
    found = one_per_subject(table)
    made = found.table.set_index("subject")
    assert list(made["n_scans"]) == [2, 2, 1]
    assert made.loc["a", "castellvi"] == "2a"
    assert made["castellvi"].isna()["b"], "two series that contradict each other"
    assert found.contradictions.to_dict("records") == [{"subject": "b", "column": "castellvi", "values": "0, 3b"}]
    assert made.loc["a", "fractures"] == 2
    assert made.loc["b", "vendor"] == SEVERAL
    assert made.loc["a", "age"] == pytest.approx(50.25)
    by_subject = row(prevalence(table, variants=["castellvi_2_to_4"]), "castellvi_2_to_4")
    by_scan = row(prevalence(table, variants=["castellvi_2_to_4"], unit="scan"), "castellvi_2_to_4")
    assert (by_subject["positive"], by_subject["n"]) == (1, 2)
    assert (by_scan["positive"], by_scan["n"]) == (2, 4)


def test_order_of_rows_changes_nothing(phantoms):
    first = prevalence(phantoms, "vendor")
    second = prevalence(phantoms.sample(frac=1, random_state=3), "vendor")
    assert first.equals(second)


def test_groups_add_up_and_unknown_is_one(phantoms):
    table = phantoms.copy()
    table.loc[:9, "sex"] = None
    found = prevalence(table, "sex")
    assert set(found["group"]) == {"all", "F", "M", "unknown"}
    whole, parts = found[found["by"] == "all"], found[found["by"] == "sex"].groupby("variant")
    for name in ("n", "positive", "n_missing", "n_not_in_view"):
        assert parts[name].sum().to_dict() == whole.set_index("variant")[name].to_dict()


def test_grades_are_pooled_as_in_the_paper(people):
    found = grade_shares(people(castellvi=["0", "1", "2a", "0/1", None]))
    assert dict(zip(found["variant"], found["positive"], strict=True)) == {"castellvi_0/1": 3, "castellvi_2a": 1}
    assert set(found["n"]) == {4}


def test_the_warning_stands_on_verse_and_phantoms_only(people, phantoms):
    assert enrichment_warning(phantoms) == PHANTOM_WARNING
    assert enrichment_warning(people(vendor=["GE"])) == ""
    for subject in ("verse014", "gl003"):
        table = people(subject=[subject], stump_ribs=[1])
        assert enrichment_warning(table) == VERSE_WARNING
        assert (prevalence(table)["warning"] == VERSE_WARNING).all()


def test_bad_requests(phantoms):
    with pytest.raises(InputError, match="no variant 'tail'"):
        prevalence(phantoms, variants=["tail"])
    with pytest.raises(InputError, match="no column 'ward'"):
        prevalence(phantoms, "ward")
    with pytest.raises(InputError, match="unit is subject or scan"):
        prevalence(phantoms, unit="vertebra")
