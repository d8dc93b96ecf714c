"""The folder of one scan's results: written whole or not at all, and never over files that are not ours."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from verse_morph.errors import OutputError
from verse_morph.io.files import replacing

# The last file written is the mark of a finished run.
MARK = "provenance.json"
# All that a run may leave; anything else in a folder belongs to someone and is not thrown away.
OURS = (
    *("*.csv", "*.parquet", "scan.json", MARK, "spine.glb", "viewer.html", "meshes/*.ply", "figures/*.png"),
    *("*_seg-vert_msk.nii.gz", "*_seg-roi_msk.nii.gz", "*_seg-subreg_ctd.json", "segmentation.json"),
    *("figures/*.svg", "summary.html", "methods.txt"),
)


@contextmanager
def results_folder(parent: Path | str, scan: str, overwrite: bool = False) -> Iterator[Path]:
    """A temporary folder beside ``parent/scan`` that takes its place when the block ends without an error.

    Parameters
    ----------
    parent : Path or str
        Made where it is missing, and removed again when nothing was written.
    scan : str
        The scan's key: the name of the folder.
    overwrite : bool
        Replace the results of a finished run.

    Raises
    ------
    OutputError
        A finished run is there and ``overwrite`` was not given, the folder holds files that no run of ours wrote, or it
        cannot be written to.
    """
    if not scan or scan.startswith(".") or Path(scan).name != scan:
        raise OutputError(f"{scan!r} cannot be the name of a results folder; rename the input file")
    target = Path(parent) / scan
    _check_free(target, overwrite)
    partial = target.with_name(f".{scan}.partial-{os.getpid()}")
    made = [folder for folder in (target.parent, *target.parent.parents) if not folder.exists()]
    try:
        partial.mkdir(parents=True)
        yield partial
        _check_free(target, overwrite)
        _swap(partial, target)
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        _remove_empty(made)


def write_json(content: Mapping[str, Any], path: Path | str) -> None:
    """Write plain values as JSON that every reader accepts.

    Raises
    ------
    OutputError
        The folder is missing or cannot be written to.
    ValueError
        A value is NaN or infinite; write None where there is no number.
    """
    text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _check_free(target: Path, overwrite: bool) -> None:
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise OutputError(f"cannot write {target}: something else of this name exists; choose another output folder")
    files = [file for file in target.rglob("*") if not file.is_dir()]
    ours = {file for pattern in OURS for file in target.glob(pattern)}
    foreign = sorted(set(files) - ours)
    if foreign or (files and not (target / MARK).is_file()):
        stranger = (foreign or sorted(files))[0].relative_to(target)
        raise OutputError(f"{target} holds files that are not results ({stranger}); choose another output folder")
    if files and not overwrite:
        raise OutputError(f"{target} holds a finished run; give --overwrite to replace it, or another output folder")


def _swap(partial: Path, target: Path) -> None:
    """Put ``partial`` in the place of ``target``; should that fail, the old results stay."""
    if not target.exists():
        os.replace(partial, target)
        return
    old = target.with_name(f".{target.name}.old-{os.getpid()}")
    os.replace(target, old)
    try:
        os.replace(partial, target)
    except OSError:
        os.replace(old, target)
        raise
    shutil.rmtree(old)


def _remove_empty(made: list[Path]) -> None:
    for folder in made:
        if not folder.is_dir() or any(folder.iterdir()):
            return
        folder.rmdir()
