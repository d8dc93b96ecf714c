"""Tables written and read back."""

import numpy as np
import pandas as pd
import pytest

from verse_morph.errors import InputError, OutputError
from verse_morph.io import read_table, write_table

FRAME = pd.DataFrame(
    {
        "scan": ["007", "NA"],
        "level": ["L1", "L2"],
        "height_mm": [25.123456789, np.nan],
        "height_mm_why": ["", "body touches the border; cut"],
        "label": [20, 21],
    }
)


def test_csv_round_trip(tmp_path):
    write_table(FRAME, tmp_path / "vertebrae.csv", parquet=True)
    again = read_table(tmp_path / "vertebrae.csv")
    assert list(again["scan"]) == ["007", "NA"]
    assert again["height_mm"][0] == pytest.approx(25.1235, abs=1e-9)
    assert np.isnan(again["height_mm"][1])
    assert list(again["label"]) == [20, 21]
    assert read_table(tmp_path / "vertebrae.parquet")["height_mm"][0] == 25.123456789
    assert (
        (tmp_path / "vertebrae.csv")
        .read_bytes()
        .startswith(b"scan,level,height_mm,height_mm_why,label\n007,L1,25.1235,,20\n")
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["vertebrae.csv", "vertebrae.parquet"]


def test_problems(tmp_path):
    with pytest.raises(OutputError, match=r"written as \.csv"):
        write_table(FRAME, tmp_path / "a.xlsx")
    with pytest.raises(OutputError, match="does not exist"):
        write_table(FRAME, tmp_path / "none" / "a.csv")
    with pytest.raises(InputError, match="no such file"):
        read_table(tmp_path / "gone.csv")
    (tmp_path / "empty.csv").touch()
    (tmp_path / "bad.parquet").write_text("no")
    for name in ("empty.csv", "bad.parquet"):
        with pytest.raises(InputError, match="cannot be read as a table"):
            read_table(tmp_path / name)
