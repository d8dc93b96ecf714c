"""The published data dictionary is the one that the catalogue gives."""

from pathlib import Path

from verse_morph.measure import data_dictionaries
from verse_morph.tables import data_dictionary_markdown

PAGE = Path(__file__).resolve().parents[1] / "docs" / "data_dictionary.md"


def test_the_page_is_current():
    assert PAGE.read_text(encoding="utf-8") == data_dictionary_markdown(data_dictionaries()), "run `make docs`"
