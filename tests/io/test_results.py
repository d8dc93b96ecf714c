import json

import pytest

from verse_morph.errors import OutputError
from verse_morph.io.results import results_folder, write_json


def write_run(parent, scan="a", overwrite=False, mark="1"):
    with results_folder(parent, scan, overwrite) as folder:
        (folder / "vertebrae.csv").write_text(mark)
        (folder / "provenance.json").write_text("{}")


def test_nothing_is_seen_before_the_end(tmp_path):
    with results_folder(tmp_path / "new", "a") as folder:
        (folder / "vertebrae.csv").write_text("1")
        assert not (tmp_path / "new" / "a").exists()
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a"]


def test_an_error_leaves_no_trace_and_existing_folders_stay(tmp_path):
    (tmp_path / "old").mkdir()
    for parent in (tmp_path / "old", tmp_path / "new" / "deep"):
        with pytest.raises(TypeError):
            write_run(parent, mark=1)  # write_text wants a text: fails with the file already open
    assert [p.name for p in tmp_path.rglob("*")] == ["old"]


def test_only_a_finished_run_is_replaced(tmp_path):
    write_run(tmp_path)
    with pytest.raises(OutputError, match="--overwrite"):
        write_run(tmp_path)
    write_run(tmp_path, overwrite=True, mark="2")
    assert (tmp_path / "a" / "vertebrae.csv").read_text() == "2"
    (tmp_path / "a" / "my_notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"my_notes\.txt"):
        write_run(tmp_path, overwrite=True)
    assert (tmp_path / "a" / "my_notes.txt").read_text() == "mine"


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "a").mkdir()
    write_run(tmp_path)
    assert (tmp_path / "a" / "vertebrae.csv").exists()


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b"])
def test_names_that_would_lead_elsewhere_are_refused(name, tmp_path):
    with pytest.raises(OutputError, match="rename the input"):
        write_run(tmp_path, name)


def test_json_has_no_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json({"a": float("nan")}, tmp_path / "a.json")
    assert list(tmp_path.iterdir()) == []
    write_json({"a": "Löffler", "b": None}, tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"a": "Löffler", "b": None}
