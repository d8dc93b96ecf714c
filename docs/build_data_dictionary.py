"""Write docs/data_dictionary.md from the catalogues of measurements (`make docs`)."""

from pathlib import Path

from verse_morph.measure import data_dictionaries
from verse_morph.tables import data_dictionary_markdown

PAGE = Path(__file__).with_name("data_dictionary.md")

if __name__ == "__main__":
    PAGE.write_text(data_dictionary_markdown(data_dictionaries()), encoding="utf-8")
    print(f"wrote {PAGE}")
