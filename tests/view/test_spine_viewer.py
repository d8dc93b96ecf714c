"""The 3D viewer in the kernel: every control changes what it says and nothing else."""

import numpy as np
import pytest

import verse_morph as vm
from verse_morph.errors import InputError, NotMeasurable
from verse_morph.view import PlainViewer, SpineViewer, ViewerUnavailable, needs, view
from verse_morph.view.colours import MISSING
from verse_morph.view.scene import scene_of
from verse_morph.view.surfaces import CAMERAS, LAYERS, camera

from .blocks import STEP_MM, block_spine, block_table


@pytest.fixture
def spine():
    return block_spine()


@pytest.fixture
def viewer(spine):
    return view(spine, block_table(spine))


def colours(viewer):
    return {level: f"#{surface.color:06x}" for (_, level), surface in viewer.drawn.surfaces.items()}


def shown(viewer):
    return [level for (_, level), surface in viewer.drawn.surfaces.items() if surface.visible]


def test_the_public_name_is_the_function_and_the_package(spine):
    import verse_morph.view

    assert isinstance(vm.view(spine, block_table(spine)), SpineViewer)
    assert callable(verse_morph.view)


def test_all_vertebrae_are_drawn(viewer, spine):
    assert shown(viewer) == [str(level) for level in spine.levels()]
    for (_, level), surface in viewer.drawn.surfaces.items():
        assert surface.vertices == pytest.approx(spine[level].mesh.vertices_mm)


def test_colour_by_a_column(viewer):
    before = colours(viewer)
    viewer.colour_by("height_anterior_mm")
    now = colours(viewer)
    assert now != before
    assert now["L3"] == MISSING
    assert "height anterior (mm)" in viewer.controls["key"].value
    with pytest.raises(InputError, match="choose from level"):
        viewer.colour_by("nonsense")


def test_levels_hide_with_all_that_belongs_to_them(viewer):
    for layer in LAYERS:
        viewer.layer(layer)
    viewer.show(["L1", "L2"])
    assert shown(viewer) == ["L1", "L2"]
    for name, things in viewer.drawn.layers.items():
        assert all(thing.visible == (level in ("L1", "L2", "")) for (_, level), thing in things.items()), name
    viewer.controls["all"].click()
    assert len(shown(viewer)) == 5
    with pytest.raises(InputError, match="no T1 here"):
        viewer.show(["T1"])


def test_layers_are_made_when_asked_for(viewer):
    assert set(viewer.drawn.layers) == {"names"}
    viewer.layer("canal")
    viewer.layer("canal", False)
    assert all(not thing.visible for thing in viewer.drawn.layers["canal"].values())
    with pytest.raises(InputError, match="endplate planes"):
        viewer.layer("ribs")


def test_opacity(viewer):
    viewer.opacity(0.3)
    assert {surface.opacity for surface in viewer.drawn.surfaces.values()} == {0.3}


def test_apart_keeps_the_middle_and_opens_gaps(viewer):
    viewer.layer("endplate planes")
    before = np.array(viewer.drawn.plot.camera[:3])
    viewer.explode(1.0)
    shifts = {level: thing.model_matrix[:3, 3] for (_, level), thing in viewer.drawn.surfaces.items()}
    assert shifts["L3"] == pytest.approx(np.zeros(3))
    assert shifts["L1"][2] == pytest.approx(2 * STEP_MM)
    assert viewer.drawn.layers["endplate planes"][0, "L1"].model_matrix[:3, 3] == pytest.approx(shifts["L1"])
    target = np.array(viewer.drawn.plot.camera[3:6])
    assert np.linalg.norm(viewer.drawn.plot.camera[:3] - target) == pytest.approx(2 * np.linalg.norm(before - target))
    viewer.explode(0.0)
    assert viewer.drawn.surfaces[0, "L1"].model_matrix == pytest.approx(np.eye(4))


@pytest.mark.parametrize(("preset", "axis", "sign"), [("anterior", 1, 1), ("posterior", 1, -1), ("left", 0, -1)])
def test_cameras_stand_on_the_side_they_name(viewer, preset, axis, sign):
    viewer.controls["cameras"][preset].click()
    place, target, up = np.array(viewer.drawn.plot.camera).reshape(3, 3)
    assert np.sign((place - target)[axis]) == sign
    assert up == pytest.approx([0, 0, 1])


@pytest.mark.parametrize("preset", CAMERAS)
def test_cameras_see_the_whole_box(preset):
    """Its corners project into the picture, whose height is given by the field of view."""
    bounds = np.array([[-40.0, -60, -300], [40, 30, 100]])
    place, target, up = np.array(camera(bounds, preset)).reshape(3, 3)
    ahead = (target - place) / np.linalg.norm(target - place)
    corners = np.array(np.meshgrid(*bounds.T)).reshape(3, -1).T - place
    above = up - (up @ ahead) * ahead
    above /= np.linalg.norm(above)
    assert np.degrees(np.arctan2(np.abs(corners @ above), corners @ ahead)).max() < 25.0 / 2


def test_a_click_shows_the_numbers_with_reasons(viewer):
    viewer.drawn.surfaces[0, "L3"].click_callback({})
    text = viewer.controls["numbers"].value
    assert "<b style='font-size:1.2em'>L3</b>" in text
    assert "L3: cut" in text
    assert viewer.controls["vertebra"].value == (0, "L3")


def test_the_angle_in_words_and_lines(viewer):
    before = len(viewer.drawn.plot.objects)
    assert "-30.0°" in viewer.angle("L1", "L4")
    assert len(viewer.drawn.plot.objects) == before + 3
    assert "not above" in viewer.angle("L4", "L2")
    assert len(viewer.drawn.plot.objects) == before


def test_a_spine_without_a_table_is_measured(monkeypatch, spine):
    monkeypatch.setattr("verse_morph.measure.measure", lambda given: block_table(given).assign(height_anterior_mm=7.0))
    assert ">7</td>" in view(spine).controls["numbers"].value


# --- two spines ---------------------------------------------------------------------------------------------------


def test_two_spines_beside_each_other_share_one_scale(spine):
    other = block_spine("L1", 4, "second")
    table = block_table(other)
    table["height_anterior_mm"] += 20
    viewer = view(spine, block_table(spine), other, table)
    viewer.colour_by("height_anterior_mm")
    assert ">20<" in viewer.controls["key"].value
    assert ">43<" in viewer.controls["key"].value
    for preset, axis in (("anterior", 0), ("left", 1)):
        viewer.camera(preset)
        first, second = (viewer.drawn.surfaces[k, "L1"].model_matrix[:3, 3] for k in (0, 1))
        assert np.abs(second - first)[axis] > 60
    viewer.select("L3", 1)
    assert "L3: cut" in viewer.controls["numbers"].value


def test_two_spines_laid_over_each_other_lie_in_one_place(spine):
    other = block_spine("L1", 5, "second")
    viewer = view(spine, block_table(spine), other, block_table(other), arrange="over")
    first, second = (viewer.drawn.surfaces[k, "L5"] for k in (0, 1))
    assert first.vertices == pytest.approx(second.vertices, abs=1e-3)
    assert first.color != second.color
    assert "second" in viewer.controls["key"].value


def test_wrong_words_are_refused(spine):
    with pytest.raises(InputError, match="'beside' or 'over'"):
        view(spine, block_table(spine), spine, block_table(spine), arrange="under")
    with pytest.raises(NotMeasurable, match="three levels"):
        view(spine, block_table(spine), block_spine("C1", 3), block_table(block_spine("C1", 3)), arrange="over")


# --- what is needed -----------------------------------------------------------------------------------------------


def test_another_major_version_gives_one_sentence(monkeypatch, spine):
    monkeypatch.setattr(needs.importlib.metadata, "version", lambda name: "7.8.1" if name == "ipywidgets" else "3.2.0")
    with pytest.raises(ViewerUnavailable, match=r"needs ipywidgets 8\.x and version 7\.8\.1 is installed: pip install"):
        SpineViewer([scene_of(spine)], [block_table(spine)])


@pytest.mark.parametrize("name", ["k3d", "anywidget", "ipywidgets"])
def test_each_package_of_the_3d_viewer_is_looked_at(monkeypatch, spine, name):
    real = needs.importlib.metadata.version
    monkeypatch.setattr(needs.importlib.metadata, "version", lambda one: "99.1" if one == name else real(one))
    with pytest.raises(ViewerUnavailable, match=rf"needs {name} \d\.x and version 99\.1 is installed: pip install"):
        needs.require(needs.SURFACES)
    # In its place: still pictures with the same sentence.
    shown = view(spine, block_table(spine))
    assert isinstance(shown, PlainViewer)
    assert f"needs {name}" in shown.html()


def test_a_notebook_shows_the_sentence_and_no_code(monkeypatch):
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.io import capture_output

    monkeypatch.setattr(needs.importlib.metadata, "version", lambda _name: "7.8.1")
    shell = InteractiveShell()
    with capture_output() as out:
        shell.run_cell("from verse_morph.view import SliceViewer; SliceViewer(None)")
    said = out.stdout.strip() + out.stderr.strip()
    assert said.startswith("ViewerUnavailable: this viewer needs ipywidgets 8.x and version 7.8.1 is installed")
    assert len(said.splitlines()) == 1


def test_a_missing_package_gives_one_sentence(monkeypatch):
    def missing(_name):
        raise needs.importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(needs.importlib.metadata, "version", missing)
    with pytest.raises(ViewerUnavailable, match=r"it is not installed: pip install 'ipywidgets>=8,<9'"):
        needs.require(needs.SURFACES)


def test_a_page_without_widgets_shows_a_sentence(viewer):
    bundle = viewer._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert "open the notebook in JupyterLab 4 with ipywidgets 8" in bundle["text/html"]
    viewer._repr_mimebundle_()
    assert [child.value.count("has no anywidget") for child in viewer.widget.children if hasattr(child, "value")] == [
        1,
        0,
    ]
