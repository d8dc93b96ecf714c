import pytest

from verse_morph.tables import Column, Status, data_dictionary_markdown, why_column

HEIGHT = Column("height_mm", "mm", "body", 1, "keep", "Distance of the\n endplates | rims.", "Brett 2009")


def test_status_words():
    assert [str(s) for s in Status] == ["measured", "partial", "not_measurable"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("frame", "scanner", "frame is one of body, world, none"),
        ("mirror", "invert", "mirror is one of keep, flip, swap"),
        ("definition", " ", "has no definition"),
    ],
)
def test_a_column_with_an_unknown_word_is_refused(field, value, message):
    with pytest.raises(ValueError, match=message):
        Column(**{"name": "x", "definition": "A length.", field: value})


def test_why_column():
    assert why_column("a_mm") == "a_mm_why"


def test_the_dictionary_has_one_row_per_column_in_order():
    page = data_dictionary_markdown({"a.csv": [HEIGHT, Column("level", definition="Vertebral level.")]})
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert rows == [
        r"| `height_mm` | mm | body | 1 | keep | Distance of the endplates \| rims. | Brett 2009 |",
        "| `level` |  | none |  | keep | Vertebral level. |  |",
    ]


def test_every_row_has_as_many_cells_as_the_head():
    lines = [line for line in data_dictionary_markdown({"a.csv": [HEIGHT]}).splitlines() if line.startswith("|")]
    assert len({line.replace(r"\|", "").count("|") for line in lines}) == 1


def test_two_columns_of_one_name_are_refused():
    with pytest.raises(ValueError, match="height_mm"):
        data_dictionary_markdown({"a.csv": [HEIGHT, HEIGHT]})
