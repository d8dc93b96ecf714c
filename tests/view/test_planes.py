"""CT planes stand where their slices were taken, and little travels."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from verse_morph.errors import GridMismatch, InputError
from verse_morph.space import Grid
from verse_morph.view import view
from verse_morph.view.page import page_html
from verse_morph.view.planes import MOST_PX, PLANES, packed, surroundings, thinned
from verse_morph.view.scene import scene_of
from verse_morph.view.slices import CUTS, WINDOWS_HU
from verse_morph.volume import Scan

from .blocks import block_spine, block_table

BONE = WINDOWS_HU["bone"]


def tilted(shape=(60, 170, 80)):
    """Axes stored as P, S, L, turned by some degrees."""
    a, b = np.radians([8.0, -5.0])
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1.0]])
    turn = turn @ np.array([[1.0, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.array([[0, 0, -1.5], [-2.0, 0, 0], [0, 1.4, 0]])
    middle = np.array([0.0, 4.0, -68.0])
    affine[:3, 3] = middle - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid(shape, affine)


def value_at(world):
    """HU that differ along every direction, within the bone window."""
    return 300 + 4 * world[..., 0] + 2.5 * world[..., 1] - 1.5 * (world[..., 2] + 68)


@pytest.fixture(scope="module")
def scan():
    grid = tilted()
    world = grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1))
    return Scan(value_at(world).astype(np.float32), grid, "tilted")


@pytest.fixture(scope="module")
def around(scan):
    return surroundings(scan, scene_of(block_spine()).bounds_mm(), 10.0)


def grey(hu):
    return (np.clip((hu - BONE[0]) / (BONE[1] - BONE[0]), 0, 1)) * 255


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("share", [0.2, 0.7])
def test_a_plane_stands_where_its_slice_was_taken(around, plane, share):
    index = int(share * around.grid.shape[CUTS[plane].fixed])
    shades, matrix = around.shades(plane, index, BONE), around.matrix(plane, index)
    height, width = shades.shape
    rows, columns = np.indices(shades.shape)
    square = np.stack([(columns + 0.5) / width - 0.5, (rows + 0.5) / height - 0.5], axis=-1)
    world = square @ matrix[:3, :2].T + matrix[:3, 3]
    assert np.abs(shades - grey(value_at(world))).max() < 1.01


@pytest.mark.parametrize("plane", PLANES)
def test_positions_are_those_of_the_middles(around, plane):
    axis = CUTS[plane].fixed
    places = around.positions_mm(plane)
    assert (np.diff(places) > 0).all()
    assert places[7] == pytest.approx(around.matrix(plane, 7)[axis, 3])


def test_the_point_lies_on_its_planes(around):
    point = np.array([6.0, 9.0, -40.0])
    index = around.index_at(point)
    for plane in PLANES:
        matrix = around.matrix(plane, int(index[CUTS[plane].fixed]))
        away = abs((point - matrix[:3, 3]) @ matrix[:3, 2])
        assert away <= around.grid.spacing_mm[CUTS[plane].fixed] / 2 + 1e-6


def test_only_the_neighbourhood_is_kept(scan, around):
    world = around.grid.to_world(np.moveaxis(np.indices(around.grid.shape), 0, -1).reshape(-1, 3))
    low, high = scene_of(block_spine()).bounds_mm()
    assert (world.min(axis=0) < low).all()
    assert (world.max(axis=0) > high).all()
    assert around.hu.size < 0.6 * scan.hu.size
    assert np.shares_memory(around.hu, scan.hu)


def test_a_large_slice_travels_thinned():
    hu = np.broadcast_to(np.int16(200), (512, 512, 600))
    large = surroundings(Scan(hu, Grid(hu.shape, np.diag([0.7, 0.7, 0.7, 1])), "large"), np.array([[0] * 3, [400] * 3]))
    for plane in PLANES:
        assert max(large.shades(plane, 100, BONE).shape) <= MOST_PX


def test_a_scan_of_another_place_is_refused(scan):
    with pytest.raises(GridMismatch, match="does not show where the surfaces are"):
        surroundings(scan, np.array([[500.0, 500, 500], [550, 560, 600]]))


def test_the_page_holds_the_same_values_thinned(around):
    small = thinned(around, 20_000)
    assert np.prod(small.grid.shape) <= 20_000
    assert np.ptp(small.grid.spacing_mm) < 0.7 * small.grid.spacing_mm.max()
    made = packed(small)
    mosaic = np.asarray(Image.open(io.BytesIO(base64.b64decode(made["png"]))))
    nx, ny, nz = made["shape"]
    for x, y, z in ((0, 0, 0), (nx - 1, 2, nz - 1), (nx // 2, ny - 1, nz // 3)):
        row, column = divmod(z, made["columns"])
        world = np.array(made["affine"])[:3] @ [x, y, z, 1]
        assert mosaic[row * ny + y, column * nx + x] == pytest.approx(grey(value_at(world)), abs=1.5)


# --- in the viewer ----------------------------------------------------------------------------------------------------


@pytest.fixture
def viewer(scan):
    spine = block_spine()
    return view(spine, block_table(spine), scan=scan)


def test_planes_are_made_shown_moved_and_hidden(viewer, scan):
    assert viewer.planes.drawn == {}
    viewer.ct_plane("sagittal")
    plane = viewer.planes.drawn["sagittal"]
    assert plane in viewer.drawn.plot.objects
    # As bytes, which are shares of 255 on the other side.
    assert plane.attribute.dtype == np.uint8
    before = plane.model_matrix.copy()
    viewer.ct_plane("sagittal", point_mm=(12.0, 0, -60))
    moved = plane.model_matrix - before
    assert moved[:3, 3] @ before[:3, 2] == pytest.approx(12.0, abs=1.6)
    viewer.ct_plane("sagittal", False)
    assert not plane.visible
    assert set(viewer.planes.drawn) == {"sagittal"}


def test_planes_go_through_the_vertebra_that_is_read(viewer):
    viewer.select("L5")
    viewer.planes.controls["through"].click()
    assert viewer.planes.controls["at"]["axial"].value == pytest.approx(-4 * 34.0, abs=8)
    viewer.select("L2")
    viewer.planes.controls["through"].click()
    assert viewer.planes.controls["at"]["axial"].value == pytest.approx(-34.0, abs=8)


def test_planes_hide_while_vertebrae_are_not_in_their_places(viewer):
    viewer.ct_plane("axial")
    viewer.explode(0.4)
    assert not viewer.planes.drawn["axial"].visible
    viewer.explode(0.0)
    assert viewer.planes.drawn["axial"].visible


def test_the_window_changes_the_shades(viewer):
    viewer.ct_plane("coronal")
    before = viewer.planes.drawn["coronal"].attribute.copy()
    viewer.planes.controls["window"].value = "wide"
    assert (viewer.planes.drawn["coronal"].attribute != before).any()


def test_without_a_scan_the_reader_is_told(viewer):
    spine = block_spine()
    with pytest.raises(InputError, match="scan="):
        view(spine, block_table(spine)).ct_plane("axial")
    with pytest.raises(InputError, match="there are sagittal, coronal, axial"):
        viewer.ct_plane("oblique")


def test_a_page_without_a_scan_offers_no_planes(scan):
    spine = block_spine()
    assert "CT planes" not in page_html(scene_of(spine), block_table(spine))
    assert "CT planes" in page_html(scene_of(spine), block_table(spine), scan)
