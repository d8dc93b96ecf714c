"""Write docs/data_dictionary.md from the catalogue of measurements (`make docs`)."""

from pathlib import Path

from verse_morph.measure import data_dictionary
from verse_morph.tables import data_dictionary_markdown

PAGE = Path(__file__).with_name("data_dictionary.md")

if __name__ == "__main__":
    PAGE.write_text(data_dictionary_markdown(data_dictionary()), encoding="utf-8")
    print(f"wrote {PAGE}")
