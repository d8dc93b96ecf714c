"""pyproject.toml, constraints.txt and environment.yml say the same, and what runs here satisfies them."""

import importlib.metadata
import itertools
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENTS = [
    Requirement(text) for text in itertools.chain(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
]
FIXED_BY_THE_USERS = {"jupyterlab", "nibabel", "torch", "trimesh", "pandas", "seaborn", "ipywidgets"}


def constraint_lines() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


PINS = {canonicalize_name(Requirement(line).name): Requirement(line) for line in constraint_lines()}


def conda_environment() -> tuple[list[str], list[str]]:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["name"] == PROJECT["name"]
    plain = [item for item in environment["dependencies"] if isinstance(item, str)]
    (pip_part,) = [item["pip"] for item in environment["dependencies"] if isinstance(item, dict)]
    return plain, pip_part


def test_the_fixed_packages_are_runtime_dependencies():
    names = {canonicalize_name(Requirement(text).name) for text in PROJECT["dependencies"]}
    assert names >= FIXED_BY_THE_USERS


def test_ipywidgets_stays_at_version_8():
    assert importlib.metadata.version("ipywidgets").split(".")[0] == "8"


@pytest.mark.parametrize("line", constraint_lines())
def test_constraints_are_plain_pins(line):
    assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line)


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_each_requirement_is_pinned_within_its_range_and_installed(requirement):
    pin = PINS[canonicalize_name(requirement.name)]
    (specifier,) = pin.specifier
    assert requirement.specifier.contains(specifier.version)
    assert requirement.specifier.contains(importlib.metadata.version(requirement.name))


def test_environment_yml_agrees_with_pyproject():
    plain, pip_part = conda_environment()
    versions = dict(item.split("=", 1) for item in plain if "=" in item)
    assert PROJECT["requires-python"] == f">={versions['python']}"
    assert "pip" in plain
    assert set(versions) == {"python"}, "versions of packages belong into pyproject.toml and constraints.txt"
    assert pip_part == ["-c constraints.txt", "-e .[dev]"]
    assert "dev" in PROJECT["optional-dependencies"]


def test_python_fits():
    assert Version("{}.{}".format(*sys.version_info)) >= Version(PROJECT["requires-python"].removeprefix(">="))


@pytest.mark.slow
def test_the_pip_part_of_environment_yml_resolves(tmp_path):
    """What conda hands to pip: a requirements file in the repository's folder."""
    requirements = tmp_path / "requirements.txt"
    _, pip_part = conda_environment()
    lines = [item.replace("-c ", f"-c {ROOT}/").replace("-e .", f"-e {ROOT}") for item in pip_part]
    requirements.write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--disable-pip-version-check"]
    done = subprocess.run([*command, "-r", str(requirements)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
