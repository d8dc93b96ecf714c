"""Where a result comes from: which program and versions, from which files, with which parameters, when."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import verse_morph
from verse_morph.errors import InputError

# The libraries whose version can move a number.
PACKAGES = ("numpy", "scipy", "nibabel", "scikit-image", "edt")


@dataclass(frozen=True)
class InputFile:
    """One input as it was read.

    Parameters
    ----------
    name : str
        File or folder name; the hash, not the place, says which one it was.
    sha256 : str
        Of the bytes of a file; of the relative names and hashes of all files in a folder.
    size_bytes : int
    """

    name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Provenance:
    """What one result was made from.

    Parameters
    ----------
    program, version
        Name and version of the package.
    python, platform
        Interpreter version and operating system.
    command : tuple of str
        The program's arguments as they were given.
    inputs : tuple of InputFile
    parameters : Mapping[str, Any]
        Every setting that was in force, defaults included; plain JSON values.
    started_utc : str
        ISO 8601, UTC.
    seconds : float
        Wall time from the start until this record was made.
    packages : Mapping[str, str]
        Versions of the numerical libraries.
    """

    program: str
    version: str
    python: str
    platform: str
    command: tuple[str, ...]
    inputs: tuple[InputFile, ...]
    parameters: Mapping[str, Any]
    started_utc: str
    seconds: float
    packages: Mapping[str, str]


def provenance(inputs: Iterable[Path | str], parameters: Mapping[str, Any], started: datetime) -> Provenance:
    """The record of a run that ends now.

    Parameters
    ----------
    inputs : iterable of Path or str
        Files and folders that were read.
    parameters : Mapping[str, Any]
        Plain JSON values.
    started : datetime
        With its time zone, for example ``datetime.now(timezone.utc)``.

    Raises
    ------
    InputError
        An input cannot be read.
    ValueError
        ``started`` has no time zone.
    """
    if started.tzinfo is None:
        raise ValueError("started has no time zone; use datetime.now(timezone.utc)")
    return Provenance(
        program=verse_morph.__name__,
        version=verse_morph.__version__,
        python=platform.python_version(),
        platform=platform.platform(),
        command=tuple(sys.argv),
        inputs=tuple(describe_input(Path(path)) for path in inputs),
        parameters=dict(parameters),
        started_utc=started.astimezone(UTC).isoformat(timespec="seconds"),
        seconds=round((datetime.now(UTC) - started).total_seconds(), 3),
        packages={name: importlib.metadata.version(name) for name in PACKAGES},
    )


def as_dict(record: Provenance) -> dict[str, Any]:
    """The record as plain values for JSON."""
    return asdict(record)


def describe_input(path: Path) -> InputFile:
    """Name, hash and size of a file, or of a folder with everything below it.

    Raises
    ------
    InputError
        It does not exist or cannot be read.
    """
    try:
        if not path.is_dir():
            return InputFile(path.name, _sha256(path), path.stat().st_size)
        files = sorted(file for file in path.rglob("*") if file.is_file())
        listing = "\n".join(f"{_sha256(file)}  {file.relative_to(path).as_posix()}" for file in files)
        digest = hashlib.sha256(listing.encode()).hexdigest()
        return InputFile(path.resolve().name, digest, sum(file.stat().st_size for file in files))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
