"""The variants command: what it writes, and one line with everything that is wrong."""

import json
from functools import partial

import pandas as pd
import pytest

from verse_morph.io import read_table
from verse_morph.stats.cohorts import phantom_cohort, phantom_measurements


@pytest.fixture
def call(command_line):
    return partial(command_line, "variants")


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    phantom_cohort(50, seed=4).to_csv(folder / "people.csv", index=False)
    phantom_measurements(50, seed=4).to_csv(folder / "vertebrae.csv", index=False)
    return folder


def test_tables_figures_and_one_page(call, tables, tmp_path):
    given = ("--measurements", tables / "vertebrae.csv", "--measure", "trabecular_hu_mean")
    margin = ("--margin", "trabecular_hu_mean=10")
    code, out, err = call(tables / "people.csv", "-o", tmp_path / "out", *given, *margin)
    assert (code, err) == (0, "")
    assert "50 subjects, 50 scans" in out
    assert "warning: Invented patients" in out
    made = tmp_path / "out"
    for name in ("prevalence", "castellvi", "tests", "beside_paper", "measurements_compared", "unmatched", "inclusion"):
        assert (made / f"{name}.csv").is_file()
        assert len(pd.read_parquet(made / f"{name}.parquet")) == len(read_table(made / f"{name}.csv"))
    assert (read_table(made / "prevalence.csv")["warning"].str.len() > 20).all()
    for ending in ("svg", "png"):
        assert (made / "figures" / f"variants_by_vendor.{ending}").stat().st_size > 5000
    text = (made / "summary.html").read_text(encoding="utf-8")
    assert "Read this first" in text
    assert 'src="http' not in text
    assert "85 is stated, 29 + 38 + 28 = 95" in text
    assert json.loads((made / "provenance.json").read_text())["parameters"]["unit"] == "subject"
    code, _, err = call(tables / "people.csv", "-o", made)
    assert code == 2
    assert "--overwrite" in err


def test_everything_wrong_is_said_in_one_line(call, tmp_path):
    (tmp_path / "bad.csv").write_text("scan,age,castellvi,cervical_ribs\ns1,1950-01-01,IIc,-1\ns1,60,2a,0\n")
    code, out, err = call(tmp_path / "bad.csv", "-o", tmp_path / "out")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    for part in ("4 problems", "is a date", "'IIc'", "negative count", "is listed in rows 1, 2"):
        assert part in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--unit", "vertebra"), "--unit is subject or scan"),
        (("--measure", "x"), "need --measurements"),
        (("--mapping", "nowhere.yaml"), "no such file"),
    ],
)
def test_bad_requests(call, tables, tmp_path, arguments, message):
    code, _, err = call(tables / "people.csv", "-o", tmp_path / "out", *arguments)
    assert code == 2
    assert message in err
    assert not (tmp_path / "out").exists()
