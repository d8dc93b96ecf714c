"""Notebooks are stored without outputs, ask a question first and end in a check."""

import json
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_a_clean_document(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)
    assert "?" in "".join(cells[0]["source"]).splitlines()[0], "the title is a question"
    assert "".join(cells[-2]["source"]).startswith("## Check")
    assert "assert " in "".join(cells[-1]["source"])
    assert not any("def " in "".join(cell["source"]) for cell in code), "no algorithm inside a notebook"
