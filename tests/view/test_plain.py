"""Still pictures take the 3D viewer's place where it cannot be used, and say why in one sentence."""

import io

import numpy as np
import pytest
from PIL import Image

from verse_morph.errors import InputError
from verse_morph.view import PlainViewer, SpineViewer, needs, view
from verse_morph.view.plain import still
from verse_morph.view.scene import scene_of

from .blocks import block_spine, block_table

FOUND = {"ipywidgets": "8.1.5", "anywidget": "0.9.13", "k3d": "2.17.0"}


@pytest.fixture
def spine():
    return block_spine()


def without(monkeypatch, **versions):
    """Pretend that other versions are installed."""
    known = FOUND | versions
    monkeypatch.setattr(needs.importlib.metadata, "version", lambda name: known[name])


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def colour(png, rgb):
    """Share of the picture in the hue of one colour channel."""
    picture = pixels(png)
    others = [k for k in range(3) if k != rgb]
    return (picture[..., rgb] > picture[..., others].max(axis=2) + 60).mean()


def test_another_version_of_k3d_shows_still_pictures_and_says_why(monkeypatch, spine):
    without(monkeypatch)
    shown = view(spine, block_table(spine))
    assert isinstance(shown, PlainViewer)
    words = shown.widget.children[0].value
    assert "this viewer needs k3d 3.x and version 2.17.0 is installed: pip install" in words
    before = shown._image.value
    shown.controls["key"].value = "height_anterior_mm"
    assert shown._image.value != before
    assert "height anterior (mm)" in shown._words.value
    shown.select("L3")
    assert "L3: cut" in shown._words.value
    before = shown._image.value
    shown.camera("left")
    assert shown._image.value != before
    with pytest.raises(InputError, match="choose from anterior"):
        shown.camera("below")


def test_without_widgets_the_cell_is_plain_html(monkeypatch, spine):
    without(monkeypatch, ipywidgets="7.8.1")
    shown = view(spine, block_table(spine))
    shown.select("L2")
    bundle = shown._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    assert "needs ipywidgets 8.x and version 7.8.1" in bundle["text/html"]
    assert "data:image/png;base64," in bundle["text/html"]
    assert ">L2</b>" in bundle["text/html"]


@pytest.mark.parametrize(("preset", "nearest"), [("anterior", 0), ("posterior", 2)])
def test_what_is_nearer_covers_what_is_farther(preset, nearest):
    from verse_morph.anatomy import Level
    from verse_morph.spine import Spine

    from .blocks import block

    red_in_front = Spine((block(Level.L1, (0, 60.0, 0)), block(Level.L2, (0, -60.0, -0.1))))
    picture = still([scene_of(red_in_front)], {(0, "L1"): "#ff0000", (0, "L2"): "#0000ff"}, preset)
    assert colour(picture, nearest) > 0.05
    assert colour(picture, 2 - nearest) < 0.01


def test_two_spines_are_coloured_by_their_own_tables(monkeypatch, spine):
    without(monkeypatch)
    other, table = block_spine(), block_table(spine)
    alike = view(spine, table, other, table)
    alike.colour_by("height_anterior_mm")
    apart = view(spine, table, other, table.assign(height_anterior_mm=table["height_anterior_mm"] + 30))
    apart.colour_by("height_anterior_mm")
    left, right = np.array_split(pixels(apart.picture()), 2, axis=1)
    assert np.abs(left.mean(axis=(0, 1)) - right.mean(axis=(0, 1))).max() > 3
    assert pixels(alike.picture()).shape == pixels(apart.picture()).shape


def test_a_page_without_webgl_gets_still_pictures_as_they_were_set(spine):
    viewer = view(spine, block_table(spine))
    assert isinstance(viewer, SpineViewer)
    viewer.colour_by("height_anterior_mm")
    viewer.camera("left")
    viewer.select("L4")
    probe = viewer.widget.children[-1]
    assert not probe.missing
    probe.missing = True
    (plain,) = viewer.widget.children
    text = "".join(child.value for child in (plain.children[0],))
    assert "cannot draw in 3D (no WebGL 2)" in text
    boxes = plain.children[1].children[1].children
    assert [box.value for box in boxes[:3]] == ["height_anterior_mm", "left", "L4"]
