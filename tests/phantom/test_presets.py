"""Scanner presets: one table, declared fictions, drawn as often as in the paper."""

from collections import Counter

import numpy as np
import pytest

from verse_morph.errors import InputError
from verse_morph.phantom.presets import PRESETS, draw_preset, draw_scanner, preset, preset_table


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_scanner_and_says_that_it_is_invented(name):
    made = preset(name)
    assert made.name == name
    assert "simulated" in made.manufacturer
    assert "fiction" in made.model
    assert draw_scanner(np.random.default_rng(0), name).slice_axis == made.slice_axis


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="allowed are philips, siemens"):
        preset("acme")


def test_vendors_come_as_often_as_in_the_paper():
    """146 Philips, 103 Siemens (73 + 30), 20 GE, 20 Toshiba and 30 unknown of 319 series."""
    rng = np.random.default_rng(0)
    drawn = Counter(draw_preset(rng) for _ in range(4000))
    for name, count in (("philips", 146), ("siemens", 103), ("ge", 20), ("toshiba", 20), ("glocker", 30)):
        assert drawn[name] / 4000 == pytest.approx(count / 319, abs=0.03)
    assert set(drawn) == {"philips", "siemens", "ge", "toshiba", "glocker"}


def test_the_table_shows_what_the_presets_are():
    table = preset_table().set_index("preset")
    assert list(table.index) == list(PRESETS)
    for name in PRESETS:
        for column in table.columns.drop("series_in_paper"):
            assert table.loc[name, column] == getattr(preset(name), column)
