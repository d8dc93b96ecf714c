"""Names and folder layouts of the VerSe data sets, as they are found in the wild."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from verse_morph.io.files import existing, strip_nifti

# What a file of a case is, by the end of its name; the first match counts. Case matters: MICCAI names end in
# ``_CT-ax``.
_ROLES: tuple[tuple[str, str], ...] = (
    ("centroids", r"_seg-(subreg|vb|vert)_ctd\.json|[_-]iso[_-]ctd\.json|_ctd\.json"),
    ("snapshot", r"_seg-vert_snp\.png|[_-]iso[_-]snp\.png|_snp\.png|_snapshot\.png|(?<!-w)\.png"),
    ("sidecar", r"_ct\.json"),
    ("mask", r"(_seg-vert_msk|_seg-full_dseg|_seg)\.nii(\.gz)?"),
    ("ct", r"(_ct)?\.nii(\.gz)?"),
)
_STEM_ENDS = re.compile(r"(_seg-vert_msk|_seg-subreg_msk|_seg-full_dseg|_seg|_ct)$")
# Some releases write ``_CT_ax`` and ``_CT_iso`` where the others write ``_CT-ax`` and ``_CT-iso``.
_ORIENTATION = re.compile(r"_CT_(ax|sag|cor|iso)\b")
_DATASET = re.compile(r"dataset-(verse\d\d)_?(training|validation|test)", re.IGNORECASE)
_SPLIT = re.compile(r"(?:0[123]_)?(training|validation|test)", re.IGNORECASE)
_YEAR = re.compile(r"verse_?-?(?:20)?(19|20)(?=$|\D)", re.IGNORECASE)


@dataclass(frozen=True)
class Case:
    """One scan of a VerSe data set and the files that belong to it.

    Parameters
    ----------
    scan : str
        The scan's key in every table.
    subject : str
        ``verse014``; several scans may share a subject.
    split : str or None
        ``training``, ``validation`` or ``test``.
    dataset : str or None
        ``verse19`` or ``verse20``; 86 subjects are in both.
    ct, mask, centroids, sidecar, snapshot : Path or None
        None where the data set has no such file.
    """

    scan: str
    subject: str
    split: str | None = None
    dataset: str | None = None
    ct: Path | None = None
    mask: Path | None = None
    centroids: Path | None = None
    sidecar: Path | None = None
    snapshot: Path | None = None


def scan_name(path: Path | str) -> str:
    """The key of a scan in every table: its file stem without ``_ct``, ``_seg-vert_msk``, ``_seg`` and extension.

    >>> scan_name("derivatives/sub-verse014/sub-verse014_seg-vert_msk.nii.gz")
    'sub-verse014'
    >>> scan_name("GL017_CT_ax_seg.nii.gz")
    'GL017_CT-ax'
    """
    stem = _STEM_ENDS.sub("", strip_nifti(Path(path).name))
    return _ORIENTATION.sub(r"_CT-\1", stem)


def find_cases(root: Path | str) -> tuple[Case, ...]:
    """Every scan below a folder, with the files that belong to it.

    Parameters
    ----------
    root : Path or str
        A data set as it was unpacked, or any folder above or inside it. Subject-based releases (``rawdata``,
        ``derivatives``, the zip's top folder once or twice) and challenge releases (``verse000_CT-ax.nii.gz``) may be
        mixed.

    Returns
    -------
    tuple of Case
        Ordered by data set, split and scan. Cases without a CT or without a mask are kept: what is missing is None.

    Raises
    ------
    InputError
        The folder does not exist.

    Notes
    -----
    Files are grouped by name within one data set and split, not by folder. The same scan in VerSe19 and VerSe20 is two
    cases.
    """
    top = existing(root, "a VerSe data set")
    found: dict[tuple[str, str, str], dict[str, Path]] = {}
    for file in _files(top):
        role, scan = _role(file.name)
        if role is not None:
            dataset, split = _origin(file)
            # The shortest name of a role wins: a full-anatomy mask never replaces the vertebra mask.
            files = found.setdefault((dataset or "", split or "", scan), {})
            if role not in files or _rank(file) < _rank(files[role]):
                files[role] = file
    cases = []
    for (dataset, split, scan), files in sorted(found.items()):
        if {"ct", "mask", "centroids"} & files.keys():
            cases.append(Case(scan, _subject(scan), split or None, dataset or None, **files))
    return tuple(cases)


def _files(top: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(top):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder) / name for name in sorted(names) if not name.startswith("."))


def _role(name: str) -> tuple[str | None, str]:
    for role, ending in _ROLES:
        match = re.search(f"(?:{ending})$", name)
        if match:
            return role, scan_name(name[: match.start()])
    return None, ""


def _rank(file: Path) -> tuple[bool, int, str]:
    return ("_dseg" in file.name, len(file.name), file.name)


def _subject(scan: str) -> str:
    first = re.split(r"_", scan)[0]
    return first.removeprefix("sub-")


def _origin(file: Path) -> tuple[str | None, str | None]:
    dataset = split = None
    for part in file.absolute().parts[:-1]:
        named = _DATASET.fullmatch(part)
        if named:
            dataset, split = named[1].lower(), named[2].lower()
        elif _SPLIT.fullmatch(part):
            split = part.split("_")[-1].lower()
        elif _YEAR.search(part):
            dataset = f"verse{_YEAR.search(part)[1]}"  # type: ignore[index]
    return dataset, split
