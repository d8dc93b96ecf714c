"""Tables of participants: understood, checked as a whole, joined with nothing lost."""

import json

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from verse_morph.errors import InputError
from verse_morph.io.participant_files import read_participants, sidecar_facts, verse19_gradings
from verse_morph.io.participant_words import age_years, castellvi_grade, sex_word, vendor_name
from verse_morph.io.participants import COLUMNS, ParticipantsError, check_participants, join_participants


def frame(**columns):
    return pd.DataFrame(columns)


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "grade"),
    [
        *(("II", "2"), ("IIa", "2a"), ("2A", "2a"), ("type 2a", "2a"), ("Typ IIIb", "3b"), ("Castellvi IV", "4")),
        *(("4.0", "4"), (0, "0"), ("0/1", "0/1"), ("Ib", "1"), ("grade III", "3"), ("2 b", "2b"), ("II-a", "2a")),
    ],
)
def test_castellvi_spellings(text, grade):
    assert castellvi_grade(text) == grade


@pytest.mark.parametrize("text", ["V", "5", "2c", "4a", "sacralised", "IIab", "0b"])
def test_castellvi_words_that_are_none(text):
    with pytest.raises(ValueError, match="no Castellvi grade"):
        castellvi_grade(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        *(("Philips Healthcare", "Philips"), ("SIEMENS", "Siemens"), ("Siemens Healthineers", "Siemens")),
        *(("GE MEDICAL SYSTEMS", "GE"), ("General Electric", "GE"), ("TOSHIBA_MEC", "Toshiba"), ("Acme CT", "Acme CT")),
        *(("", "unknown"), (None, "unknown"), ("Glocker", "unknown"), ("Philips (simulated)", "Philips")),
    ],
)
def test_vendors(text, name):
    assert vendor_name(text) == name


@pytest.mark.parametrize("text", ["1953-02-01", "01.02.1953", "19530201", "1953", "12/31/60", "-4", "old", "150"])
def test_ages_that_are_none(text):
    with pytest.raises(ValueError, match="age"):
        age_years(text)


def test_numbers_are_not_guessed_to_be_a_sex():
    with pytest.raises(ValueError, match="mapping"):
        sex_word("1")


# --- one table --------------------------------------------------------------------------------------------------------


def test_missing_stays_missing_and_further_columns_stay():
    table = check_participants(frame(scan=["sub-a_ct.nii.gz", "sub-b"], cervical_ribs=["0", ""], ward=["x", "y"]))
    assert list(table.columns) == [*COLUMNS, "ward"]
    assert list(table["scan"]) == ["sub-a", "sub-b"]
    assert list(table["subject"]) == ["a", "b"]
    assert table["cervical_ribs"][0] == 0
    assert pd.isna(table["cervical_ribs"][1])
    assert table["castellvi"].isna().all()
    assert list(table["vendor"]) == ["unknown", "unknown"]


def test_all_problems_come_at_once():
    table = frame(
        scan=["sub-a", "sub-b", "sub-b", "sub-a_split-2", "sub-c"],
        age=["063Y", "1953-02-01", "44", "61", "50"],
        castellvi=["II", "V", "type 2a", None, "2z"],
        split=["train", "test", "test", "test", "holdout"],
        cervical_ribs=[-1, 1, 9, 2.5, 0],
        sex=["F", "M", "M", "M", "F"],
        lumbar_total=[5, 5, 5, 5, 4],
        lumbar_labelled=[5, 5, 5, 5, 5],
    )
    with pytest.raises(ParticipantsError) as error:
        check_participants(table, "mine.csv")
    found = error.value.problems
    assert sorted(set(found["column"])) == [
        *("age", "castellvi", "cervical_ribs", "lumbar_total", "scan", "sex", "split"),
    ]
    assert len(found) == 11
    text = str(error.value)
    assert text.startswith("11 problems in mine.csv")
    for part in ("1953-02-01", "'V'", "'2z'", "negative count", "is above 2", "rows 2, 3", "holdout", "test, training"):
        assert part in text
    assert "\n" not in text


def test_one_scan_in_two_data_sets_is_no_duplicate_and_their_splits_do_not_clash():
    table = frame(scan=["sub-v1", "sub-v1"], dataset=["verse19", "verse20"], split=["training", "test"])
    assert len(check_participants(table)) == 2


def test_a_table_without_a_key_is_refused():
    with pytest.raises(InputError, match="neither a column scan nor subject"):
        check_participants(frame(age=[3]))
    with pytest.raises(ParticipantsError, match="neither scan nor subject is given"):
        check_participants(frame(scan=["sub-a", None], subject=["a", None]))


def test_an_empty_table_is_a_table():
    assert len(check_participants(frame(scan=[]))) == 0


# --- joins ------------------------------------------------------------------------------------------------------------


def test_joins_report_every_unmatched_row():
    first = frame(scan=["sub-a", "sub-b"], vendor=["GE", None], age=[50, 60])
    second = frame(scan=["sub-b", "sub-c"], castellvi=["2a", "0"], vendor=["Siemens", "GE"], age=[60.4, 70])
    people = frame(subject=["a", "z"], sex=["F", "M"])
    joined = join_participants({"people": people, "first": first, "second": second})
    table = joined.table.set_index("subject")
    assert list(table.index) == ["a", "b", "c", "z"]
    assert table.loc["b", "vendor"] == "Siemens"
    assert table.loc["a", "sex"] == "F"
    assert joined.conflicts.empty
    listed = joined.unmatched.set_index("subject")
    assert listed.loc["a", "not_in"] == "second"
    assert listed.loc["z", "not_in"] == "first; second"
    assert set(listed.index) == {"a", "b", "c", "z"}


def test_contradictions_are_kept_from_the_first_and_listed():
    joined = join_participants({"one": frame(scan=["s"], castellvi=["2a"]), "two": frame(scan=["s"], castellvi=["3a"])})
    assert joined.table["castellvi"][0] == "2a"
    assert joined.conflicts.to_dict("records") == [
        {"scan": "s", "column": "castellvi", "kept": "2a", "kept_from": "one", "dropped": "3a", "dropped_from": "two"}
    ]


def test_a_list_without_entities_finds_the_one_scan_of_its_subject():
    listed = frame(scan=["sub-verse500", "sub-verse501"], castellvi=["2a", "0"])
    files = frame(scan=["sub-verse500_dir-ax", "sub-verse501_dir-ax", "sub-verse501_dir-sag"], vendor=["GE"] * 3)
    table = join_participants({"list": listed, "files": files}).table.set_index("scan")
    assert table.loc["sub-verse500_dir-ax", "castellvi"] == "2a"
    # Two scans: which one was graded is not said.
    assert table["castellvi"].isna().sum() == 2
    assert len(table) == 4


def test_problems_of_several_tables_come_together():
    with pytest.raises(ParticipantsError) as error:
        join_participants({"one": frame(scan=["s"], age=["2001-01-01"]), "two": frame(scan=["s"], castellvi=["X"])})
    assert list(error.value.problems["column"]) == ["one: age", "two: castellvi"]


# --- files ------------------------------------------------------------------------------------------------------------

VERSE19 = """\
verse_ID,subject_ID,dataset,age_ct,CT_device,Res,BMD,DXA T-value,CT_image_series,N_vertebrae,L1_fx-g,L1_fx-s
20,20,test secret,85.8,1,2.0,0.0,-2.1,1 of 1,17,2.0,1.0
241,414,training,38.4,5,3.0,155.0,,1 of 2,9,,
273,414,training,38.4,5,3.0,155.0,,2 of 2,18,x,x
"""


def test_verse19_patients(tmp_path):
    (tmp_path / "patients.csv").write_text(VERSE19)
    table = read_participants(tmp_path / "patients.csv").table
    assert list(table["scan"]) == ["sub-verse020", "sub-verse414_split-verse241", "sub-verse414_split-verse273"]
    assert list(table["vendor"]) == ["Philips", "Siemens", "Siemens"]
    assert list(table["split"]) == ["test", "training", "training"]
    assert table["bmd_mg_cm3"].isna()[0], "0 stands for missing there"
    assert table["fractures"][0] == 1
    assert table["fractures"].isna().tolist() == [False, True, True], "not graded is not unfractured"
    grades = verse19_gradings(tmp_path / "patients.csv")
    assert list(grades["why"]) == ["", "foreign material"]
    assert grades["genant_shape"][0] == "wedge"


def test_castellvi_list(tmp_path):
    (tmp_path / "grades.csv").write_text(
        "id,scan,castellvi,side_2a_3a,sacrum_segmented,last_lumbar,comment\n1,sub-x,2a,L,1,L6,\n2,sub-y,0,,1,L5,cage\n"
    )
    table = read_participants(tmp_path / "grades.csv").table
    assert list(table["lumbar_total"]) == [6, 5]
    assert table["castellvi_side"][0] == "left"
    assert table["castellvi_comment"][1] == "cage"


@pytest.mark.parametrize("kind", ["yaml", "csv"])
def test_any_csv_by_a_mapping(tmp_path, kind):
    (tmp_path / "their.csv").write_text("Serie;Geschlecht;LSTV\nsub-1;1;IIa\nsub-2;2;0\n", encoding="utf-8-sig")
    rule = tmp_path / f"rule.{kind}"
    if kind == "yaml":
        rule.write_text("columns: {scan: Serie, sex: Geschlecht, castellvi: LSTV}\nvalues:\n  sex: {1: M, 2: F}\n")
    else:
        rows = "scan,Serie,,\nsex,Geschlecht,,\ncastellvi,LSTV,,\nsex,,1,M\nsex,,2,F\n"
        rule.write_text("column,source,value,means\n" + rows)
    table = read_participants(tmp_path / "their.csv", mapping=rule).table
    assert list(table["sex"]) == ["M", "F"]
    assert list(table["castellvi"]) == ["2a", "0"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("columns: {scan: Nope}", "asks for Nope"),
        ("columns: {scann: Serie}", "maps to scann"),
        ("scan: Serie", "is no mapping"),
        ("columns: [", "not valid YAML"),
        ("values: {sex: {1: M}}", "names no column"),
    ],
)
def test_bad_mappings(tmp_path, text, message):
    (tmp_path / "their.csv").write_text("Serie\nsub-1\n")
    (tmp_path / "rule.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        read_participants(tmp_path / "their.csv", mapping=tmp_path / "rule.yaml")


def test_unknown_tables_and_folders_are_refused(tmp_path):
    (tmp_path / "their.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="give a mapping file"):
        read_participants(tmp_path / "their.csv")
    with pytest.raises(InputError, match="no such file"):
        read_participants(tmp_path / "none.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no scan"):
        read_participants(tmp_path / "empty")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match="is no table"):
        read_participants(tmp_path / "notes.txt")


def test_a_data_set_folder(tmp_path):
    raw = tmp_path / "dataset-verse19training" / "rawdata" / "sub-verse014"
    derived = tmp_path / "dataset-verse19training" / "derivatives" / "sub-verse014"
    raw.mkdir(parents=True)
    derived.mkdir(parents=True)
    affine = np.array([[0, 0, 2.5, 0], [0, -0.9, 0, 0], [-1.4, 0, 0, 0], [0, 0, 0, 1]], dtype=float)
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.int16), affine), raw / "sub-verse014_ct.nii.gz")
    (raw / "sub-verse014_ct.json").write_text('{"KVP": "120", "Manufacturer": "Philips", "PatientAge": "072Y"}')
    points = [{"direction": ["P", "I", "R"]}] + [{"label": label, "X": 1, "Y": 1, "Z": 1} for label in range(7, 25)]
    (derived / "sub-verse014_seg-subreg_ctd.json").write_text(json.dumps(points))
    (row,) = read_participants(tmp_path).table.to_dict("records")
    assert (row["dataset"], row["split"], row["vendor"], row["age"], row["kvp"]) == (
        *("verse19", "training", "Philips", 72, 120),
    )
    assert [round(row[f"spacing_{way}_mm"], 3) for way in ("cc", "ap", "lr")] == [1.4, 0.9, 2.5]
    assert (row["n_vertebrae"], row["thoracic"], row["lumbar_labelled"]) == (18, 12, 5)
    assert row["lower_neck_in_view"] is True
    assert pd.isna(row["lumbar_total"]), "the last one may be fused and unlabelled"


def test_a_sidecar_that_is_none(tmp_path):
    (tmp_path / "x_ct.json").write_text("[1]")
    with pytest.raises(InputError, match="is no sidecar"):
        sidecar_facts(tmp_path / "x_ct.json")


def test_the_participants_table_of_phantoms(tmp_path):
    (tmp_path / "participants.csv").write_text(
        "scan,subject,preset,manufacturer,kvp,sex,age,thoracic,lumbar_labelled,lumbar_total,transitional_unlabelled,"
        "castellvi,castellvi_side,half_vertebra,cervical_ribs,stump_ribs,fractures\n"
        "sub-phantom000,phantom000,philips,Philips (simulated),120,F,60.1,12,4,5,1,3a,left,,left;right,"
        "T12 left 23;T12 right 20,L1 wedge 30\n"
        "sub-phantom001,phantom001,glocker,verse_morph (simulated),120,M,50,11,5,5,0,0,,T8,,,\n"
    )
    table = read_participants(tmp_path / "participants.csv").table
    assert list(table["vendor"]) == ["Philips", "unknown"]
    assert list(table["cervical_ribs"]) == [2, 0]
    assert list(table["stump_ribs"]) == [2, 0]
    assert table["stump_rib_levels"][0] == "T12"
    assert list(table["half_vertebrae"]) == [0, 1]
    assert list(table["fractures"]) == [1, 0]
    assert list(table["dataset"]) == ["phantom", "phantom"]


# --- real tables ------------------------------------------------------------------------------------------------------


def test_the_real_tables_of_verse(real_data):
    """Counts that docs/statistics.md states."""
    files = [real_data / "tables" / name for name in ("verse19_patients.csv", "verse_castellvi.csv")]
    for file in files:
        if not file.is_file():
            pytest.skip(f"no {file}")
    joined = read_participants(*files)
    table = joined.table
    assert (len(table), table["subject"].nunique(), len(joined.unmatched)) == (324, 305, 39 + 166)
    assert table["castellvi"].value_counts().to_dict() == {"0": 180, "2a": 35, "2b": 25, "3b": 24, "3a": 14, "4": 7}
    raw = pd.read_csv(files[0])
    graded = table["fractures"].notna()
    assert table.loc[graded, "fractures"].sum() == raw["N_Fx"].sum()
    assert joined.conflicts.empty
