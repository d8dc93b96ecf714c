"""The paper's tables and their contradictions, the phantom cohort, inclusion and splits, subsets."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from verse_morph.errors import InputError
from verse_morph.phantom.parameters import CASTELLVI
from verse_morph.stats.cohorts import phantom_cohort, phantom_measurements
from verse_morph.stats.paper import (
    castellvi_beside_paper,
    check_paper,
    contradictions,
    load_paper_table,
    paper_prevalence,
    side_by_side,
)
from verse_morph.stats.selection import check_inclusion, primary_attribute, stratified_split
from verse_morph.stats.study import study
from verse_morph.stats.subset import Filters, choices, method_text, subset

DATA = Path(__file__).resolve().parents[2] / "data"


# --- the paper --------------------------------------------------------------------------------------------------------


def test_the_contradictions_of_the_printed_tables_are_found():
    found = contradictions()
    sums = found[found["kind"] == "sum"]
    assert list(zip(sums["stated"], sums["added_up"], strict=True)) == [(85, 95), (252, 253)]
    assert "row lumbar_6" in sums["check"].iloc[0]
    assert "differ by 10" in sums["sentence"].iloc[0]
    compared = found[found["kind"] == "comparison"]
    assert {(161, 109), (77, 102)} <= set(zip(compared["stated"], compared["added_up"], strict=True))


def test_a_mended_table_and_a_broken_one():
    tables = {number: load_paper_table(number) for number in (1, 2)}
    tables[2].loc["lumbar_6", "validation"] = 28
    assert "row lumbar_6, all = sum of splits" not in set(contradictions(tables)["check"])
    tables[1].loc["cervical", "test"] = 194
    assert len(contradictions({1: tables[1]})) == 2, "its row and its column"


def test_shares_of_the_text_come_out():
    """Percentages in the paper's text: 13.3, 5.5, 4.1, 1.2, 33.7, 28.2."""
    shares = paper_prevalence().set_index("variant")["share_pct"].round(1)
    names = ["cervical_rib", "thoracic_11", "thoracic_13", "lumbar_4", "lumbar_6", "stump_rib"]
    assert list(shares[names]) == [13.3, 5.5, 4.1, 1.2, 33.7, 28.2]


def test_data_files_are_those_of_the_readme():
    text = (DATA / "README.md").read_text()
    for number in (1, 2):
        file = DATA / f"verse2020_table{number}.csv"
        assert hashlib.sha256(file.read_bytes()).hexdigest() in text
        assert (check_paper()["table"] == f"Table {number}").any()


def test_missing_paper_tables(tmp_path):
    with pytest.raises(InputError, match="tables are 1 and 2"):
        load_paper_table(3)
    with pytest.raises(InputError, match="no verse2020_table1"):
        load_paper_table(1, tmp_path)


def test_cohorts_beside_the_paper(phantoms, people):
    found = side_by_side({"phantoms": phantoms, "nobody": people(vendor=["GE"])})
    assert list(found["cohort"].iloc[:3]) == ["VerSe 2020 paper", "phantoms", "nobody"]
    nobody = found[found["cohort"] == "nobody"]
    assert nobody["share_pct"].isna().all()
    assert not found["outside_paper"].any(), "phantoms are drawn in the paper's proportions"
    counts = castellvi_beside_paper(phantoms)
    assert counts["paper"].sum() == 255
    assert counts["here"].sum() == phantoms.loc[phantoms["lumbosacral_in_view"], "castellvi"].notna().sum()


# --- phantoms ---------------------------------------------------------------------------------------------------------


def test_phantoms_are_reproducible_and_complete(phantoms):
    assert phantom_cohort(5, seed=1)["castellvi"].equals(phantoms["castellvi"].iloc[:5])
    assert phantoms["subject"].is_unique
    assert set(phantoms["castellvi"]) <= set(CASTELLVI)
    assert phantoms["split"].value_counts().max() - phantoms["split"].value_counts().min() <= 1
    assert ((phantoms["transitional_unlabelled"] == 1) == phantoms["castellvi"].isin(["3a", "3b", "4"])).all()
    assert len(phantom_cohort(0)) == 0


def test_phantom_measurements_belong_to_the_cohort(phantoms):
    values = phantom_measurements(20, seed=1)
    assert set(values["scan"]) <= set(phantoms["scan"])
    assert values["height_posterior_mm"].between(17, 35).all()
    fused = phantoms.set_index("scan")["transitional_unlabelled"]
    last = phantoms.set_index("scan")["last_lumbar"]
    assert not any(fused[row.scan] and last[row.scan] == row.level for row in values.itertuples())


# --- selection --------------------------------------------------------------------------------------------------------


def test_inclusion_of_the_paper(people):
    table = people(
        n_vertebrae=[7, 6, 12, None, 9],
        spacing_cc_mm=[1.5, 1.0, 1.6, 1.0, 1.00001],
        spacing_ap_mm=[1.0, 1.0, 1.2, 0.5, 1.00001],
        spacing_lr_mm=[3.0, 1.0, 1.0, 1.0, None],
    )
    found = check_inclusion(table)
    assert list(found["verdict"]) == ["included", "excluded", "excluded", "not assessable", "not assessable"]
    assert found["why"][1] == "6 whole vertebrae, 7 are asked for"
    assert re.search(r"craniocaudal spacing 1.60 mm.*anterior-posterior spacing 1.20 mm", found["why"][2])
    assert found["why"][4] == "not known: left-right spacing"


def test_the_split_is_stratified_seeded_and_by_subject(phantoms):
    found = stratified_split(phantoms, 3)
    again = stratified_split(phantoms.sample(frac=1, random_state=0), 3)
    assert found.set_index("subject").sort_index().equals(again.set_index("subject").sort_index())
    other = stratified_split(phantoms, 4)
    assert not found.set_index("subject")["split"].sort_index().equals(other.set_index("subject")["split"].sort_index())
    assert found["subject"].is_unique
    counts = pd.crosstab(found["primary_attribute"], found["split"])
    assert (counts.max(axis=1) - counts.min(axis=1)).max() <= 1
    with pytest.raises(InputError, match="two parts"):
        stratified_split(phantoms, 0, ("all",))


def test_the_rarest_variant_is_the_primary_attribute(people):
    table = people(castellvi=["4", "2a", "0", None], lumbar_total=[6, 4, 6, 5], stump_ribs=[1, 1, 1, 0])
    assert list(primary_attribute(table)) == ["castellvi_4", "lumbar_4", "lumbar_6", "none"]


# --- subsets ----------------------------------------------------------------------------------------------------------


def test_filters_keep_what_they_say(phantoms):
    filters = Filters(vendors=("GE", "Siemens"), sexes=("F",), age=(40, 70))
    kept = subset(phantoms, filters)
    assert set(kept["vendor"]) <= {"GE", "Siemens"}
    assert kept["age"].between(40, 70).all()
    assert (
        len(kept)
        == (
            phantoms["vendor"].isin(["GE", "Siemens"]) & (phantoms["sex"] == "F") & phantoms["age"].between(40, 70)
        ).sum()
    )
    assert subset(phantoms, Filters()).equals(phantoms)
    assert len(subset(phantoms, Filters(grades=("unknown",)))) == (~phantoms["lumbosacral_in_view"]).sum()
    assert "0/1" in choices(phantoms, "castellvi")
    text = method_text(phantoms, filters)
    assert f"{len(kept)} scans; vendor GE or Siemens; sex F; age 40 to 70 years" in text
    assert "no prevalences" in text


def test_a_study_of_one_vendor_without_grades(people):
    found = study(people(vendor=["GE"] * 6, stump_ribs=[1, 0, 0, 1, 0, 0]))
    assert found.outcomes == ("stump_rib",)
    assert found.tables["castellvi"].empty
    assert (found.tables["tests"]["method"] == "not tested").all()
    assert found.tables["vendor_by_castellvi"].empty


def test_a_study_of_nobody_that_was_assessed(people):
    found = study(people(vendor=[None, None]))
    assert found.outcomes == ()
    assert found.tables["prevalence"].empty
    assert found.tables["tests"].empty
    assert np.isnan(found.tables["beside_paper"].query("cohort == 'this cohort'")["share_pct"]).all()


def test_a_study_of_an_empty_table(people):
    found = study(people(vendor=["GE"]).iloc[:0])
    assert found.outcomes == ()
    for name in ("prevalence", "castellvi", "tests", "vendor_by_castellvi", "inclusion", "series_contradictions"):
        assert found.tables[name].empty, name
