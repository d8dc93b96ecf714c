"""Importing the package must stay light: nothing heavy before it is needed."""

import subprocess
import sys

import pytest

import verse_morph

HEAVY = (
    "torch",
    "vtk",
    "matplotlib",
    "pandas",
    "scipy",
    "skimage",
    "trimesh",
    "SimpleITK",
    "pydicom",
    "typer",
    "IPython",
)


def modules_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_loads_nothing_heavy():
    assert not modules_after("import verse_morph") & set(HEAVY)


def test_command_line_starts_without_numerics():
    assert not modules_after("import verse_morph.cli") & {
        "torch",
        "pandas",
        "scipy",
        "matplotlib",
        "skimage",
        "trimesh",
    }


@pytest.mark.parametrize("name", [n for n in verse_morph.__all__ if n != "__version__"])
def test_every_public_name_loads_without_torch_or_a_viewer(name):
    loaded = modules_after(f"import verse_morph; verse_morph.{name}")
    assert not loaded & {"torch", "vtk", "matplotlib"}


@pytest.mark.parametrize("name", verse_morph.__all__)
def test_public_names_are_there(name):
    assert getattr(verse_morph, name) is not None
    assert name in dir(verse_morph)


def test_measure_is_callable_even_after_its_package_was_imported():
    """``verse_morph.measure`` is a package and the public function: importing the first must not hide the second."""
    code = "import verse_morph.measure; from verse_morph import measure; assert callable(measure)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_name_is_an_attribute_error_that_lists_the_known():
    with pytest.raises(AttributeError, match=r"it offers .*Level"):
        _ = verse_morph.measurement
