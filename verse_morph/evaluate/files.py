"""Finding and reading what belongs together: one pair of masks, or two folders matched by scan name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from verse_morph.errors import InputError, UnknownLabel
from verse_morph.evaluate.scan import Points
from verse_morph.io import SCHEMES, find_cases, read_centroids, read_labels, scan_name
from verse_morph.io.files import existing, json_beside
from verse_morph.io.nifti import read_stored
from verse_morph.volume import LabelMap


@dataclass(frozen=True)
class Pair:
    """Files of one scan.

    Parameters
    ----------
    scan : str
    predicted, true : Path
        Masks.
    predicted_centroids, true_centroids : Path or None
        Used only where both are there: points of different kinds cannot be compared.
    """

    scan: str
    predicted: Path
    true: Path
    predicted_centroids: Path | None = None
    true_centroids: Path | None = None


@dataclass(frozen=True)
class Matching:
    """Two folders brought together.

    Parameters
    ----------
    pairs : tuple of Pair
        By scan name.
    without_prediction : tuple of Path
        True masks that nothing was predicted for.
    unmatched : tuple of str
        One sentence per file that has no partner or could not be told apart.
    """

    pairs: tuple[Pair, ...]
    without_prediction: tuple[Path, ...]
    unmatched: tuple[str, ...]


def is_set(path: Path) -> bool:
    """Whether a path is a folder of many scans, not one mask (or a folder of single-vertebra masks)."""
    return path.is_dir() and not any(path.glob("vertebrae_*.nii*"))


def match(predicted: Path, true: Path) -> Matching:
    """Pairs of masks with the same scan name in two folders, searched with everything below them.

    Parameters
    ----------
    predicted, true : Path
        Folders. A file is a mask by its name (``_seg-vert_msk``, ``_seg``, ``_seg-full_dseg``); in a folder where no
        file is named so, every NIfTI file not called ``_ct`` is.

    Raises
    ------
    InputError
        A folder is missing, holds no mask, or the two have no scan in common.
    """
    sides = [_masks(existing(folder, "a folder of masks")) for folder in (predicted, true)]
    (found, notes_predicted), (wanted, notes_true) = sides
    shared = [scan for scan in wanted if scan in found]
    if not shared:
        raise InputError(
            f"no scan in common: {predicted} has {_some(found)}; {true} has {_some(wanted)}; files are matched by name "
            "without _seg-vert_msk, _seg, _ct"
        )
    pairs = [Pair(scan, found[scan][0], wanted[scan][0], found[scan][1], wanted[scan][1]) for scan in shared]
    alone = [f"no true mask for the prediction {found[scan][0]}" for scan in found if scan not in wanted]
    missing = tuple(wanted[scan][0] for scan in wanted if scan not in found)
    alone += [f"no prediction for the true mask {file}" for file in missing]
    return Matching(tuple(pairs), missing, (*alone, *notes_predicted, *notes_true))


def read_pair(
    pair: Pair, scheme: str | None = None, predicted_scheme: str | None = None
) -> tuple[LabelMap, LabelMap, Points | None, tuple[str, ...]]:
    """The predicted and the true label map, their points where both centroid files exist, and notes.

    Parameters
    ----------
    pair : Pair
    scheme : str, optional
        What the true mask's integers mean; found out by default.
    predicted_scheme : str, optional
        The same for the prediction. By default a JSON beside it decides, else the true mask's scheme is taken: a
        prediction may be wrong in any way, so its scheme is never guessed from where its labels lie.

    Raises
    ------
    InputError
        A file cannot be read as a mask, or only one of two centroid files was given.
    UnknownLabel
        A value that the scheme does not know.
    """
    true = replace(read_labels(pair.true, scheme), name=pair.scan)
    predicted = replace(_prediction(pair.predicted, true, predicted_scheme), name=pair.scan)
    notes = [f"true mask: {note}" for note in true.notes] + [f"predicted mask: {note}" for note in predicted.notes]
    files = (pair.predicted_centroids, pair.true_centroids)
    if files[0] is None or files[1] is None:
        if any(files):
            side = "predicted" if files[0] is None else "true"
            notes.append(f"there is no centroid file of the {side} side, so the other one was not used")
        return predicted, true, None, tuple(notes)
    first, second = read_centroids(files[0], predicted.grid), read_centroids(files[1], true.grid)
    notes += [f"predicted {note}" for note in first.notes] + [f"true {note}" for note in second.notes]
    return predicted, true, (first.points_mm, second.points_mm), tuple(notes)


def _prediction(file: Path, true: LabelMap, scheme: str | None) -> LabelMap:
    existing(file, "a predicted mask")
    chosen = scheme or (None if file.is_dir() or _names_own_labels(file) else true.scheme.name)
    if chosen is not None and chosen not in SCHEMES and scheme is None:
        raise InputError(
            f"{file} needs a JSON of value: name beside it, as the true mask has, or --predicted-scheme: its numbers "
            f"mean nothing without one"
        )
    try:
        labels = read_labels(file, chosen)
    except UnknownLabel as error:
        raise UnknownLabel(f"{error}; name the scheme of the prediction with --predicted-scheme") from error
    except InputError:
        empty = _empty(file, true)
        if empty is None:
            raise
        return empty
    if scheme is None:
        labels = replace(labels, notes=tuple(note.replace("as asked", "as in the true mask") for note in labels.notes))
    return labels


def _names_own_labels(file: Path) -> bool:
    content = json_beside(file)
    return isinstance(content, dict) and ("labels" in content or all(str(key).isdigit() for key in content))


def _empty(file: Path, true: LabelMap) -> LabelMap | None:
    """An empty prediction is a bad prediction, not a bad file."""
    if file.is_dir():
        return None
    stored = read_stored(file)
    if stored.slope != 1 or stored.intercept != 0 or np.any(stored.raw):
        return None
    array = np.zeros(stored.raw.shape, dtype=np.uint8, order="F")
    return LabelMap(array, stored.grid, true.scheme, true.name, (*stored.notes, "the mask is empty"))


def _masks(folder: Path) -> tuple[dict[str, tuple[Path, Path | None]], list[str]]:
    """Mask and centroid file of each scan, and one sentence per file left aside."""
    cases = find_cases(folder)
    named = any(case.mask for case in cases)
    found: dict[str, tuple[Path, Path | None]] = {}
    twice: dict[str, list[Path]] = {}
    notes: list[str] = []
    for case in cases:
        file = case.mask if named else _plain(case.ct)
        if file is None:
            aside = _plain(case.ct)
            notes += [f"{aside} was not taken as a mask: others in {folder} are named as masks"] if aside else []
            continue
        if case.scan in found:
            twice.setdefault(case.scan, [found[case.scan][0]]).append(file)
        found[case.scan] = (file, case.centroids)
    for scan, files in twice.items():
        del found[scan]
        notes.append(f"{scan} occurs {len(files)} times and was left out: {', '.join(map(str, files))}")
    if not found:
        raise InputError(f"{folder} holds no mask (*_seg-vert_msk.nii.gz, *_seg.nii.gz or NIfTI files not called _ct)")
    return found, notes


def _plain(file: Path | None) -> Path | None:
    return None if file is None or "_ct" in file.name.lower().replace(scan_name(file).lower(), "") else file


def _some(names: dict[str, tuple[Path, Path | None]]) -> str:
    return ", ".join(list(names)[:3]) + (", ..." if len(names) > 3 else "")
