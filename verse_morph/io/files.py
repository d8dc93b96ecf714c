"""Writing a file whole or not at all, and telling what a path is."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from verse_morph.errors import InputError, OutputError


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the block ends without an error.

    The temporary name ends like the target, because writers choose the format by extension.

    Raises
    ------
    OutputError
        The folder is missing or cannot be written to, or the disk is full.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise OutputError(f"cannot write {target}: the folder {target.parent} does not exist; create it first")
    if target.is_dir():
        raise OutputError(f"cannot write {target}: a folder of this name exists; choose another name")
    temporary = target.with_name(f".{secrets.token_hex(4)}.{target.name}")
    try:
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def existing(path: Path | str, what: str) -> Path:
    """The path, or :class:`InputError` when nothing lies there."""
    found = Path(path)
    if not found.exists():
        raise InputError(f"no such file or folder: {found} (wanted: {what})")
    return found


def strip_nifti(name: str) -> str:
    """A file name without ``.nii`` or ``.nii.gz``."""
    for ending in (".nii.gz", ".nii"):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return name


def read_json(path: Path) -> Any:
    """The content of a JSON file, or :class:`InputError` when it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON: {error}") from error


def json_beside(file: Path) -> Any:
    """The content of the JSON file of the same stem as an image, or None where there is none."""
    path = file.with_name(f"{strip_nifti(file.name)}.json")
    return read_json(path) if path.is_file() else None
