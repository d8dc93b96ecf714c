"""Data sets of phantoms in VerSe's layout with every true number beside them: reproducible, parallel, resumable."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import verse_morph
from verse_morph.anatomy import VERSE, Level
from verse_morph.errors import InputError, OutputError
from verse_morph.io.centroids import write_centroids
from verse_morph.io.files import replacing
from verse_morph.io.nifti import write_array
from verse_morph.io.tables import write_table
from verse_morph.phantom.case import NAMES, PhantomCase
from verse_morph.phantom.ct import ScannerParameters, SimulatedCt, simulate_ct
from verse_morph.phantom.draw import draw_parameters
from verse_morph.phantom.guide import Landmark, find_guide
from verse_morph.phantom.presets import draw_scanner, preset
from verse_morph.phantom.primitives import rotation
from verse_morph.phantom.recipe import MOST_VOXELS, VARIANTS, Recipe, draw_recipe
from verse_morph.phantom.render import field_of_view, render
from verse_morph.phantom.tissues import TissueParameters, draw_tissue
from verse_morph.space import FloatArray, Grid, direction_grid, restore

if TYPE_CHECKING:
    import pandas as pd

Report = Callable[[str, int, int], None]
MOST_CASES = 100_000
DESCRIPTION, SIMULATED = "dataset_description.json", "simulated"
# No bone that is left in the region reaches this.
FOREIGN_HU = 600
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class DatasetJob:
    """What data set is wanted.

    Parameters
    ----------
    output : Path
    n : int
        Number of cases, 1 to 100,000.
    seed : int
        0 or more; case k of one seed is the same whatever ``n`` and ``workers``.
    variant : str
        A key of :data:`verse_morph.phantom.recipe.VARIANTS`.
    preset : str, optional
        One scanner preset for all; by default vendors in the paper's proportions.
    workers : int
        Processes, 1 to 64.
    """

    output: Path
    n: int = 1
    seed: int = 0
    variant: str = "mixed"
    preset: str | None = None
    workers: int = 1

    def __post_init__(self) -> None:
        for name, value, low, high in (("n", self.n, 1, MOST_CASES), ("workers", self.workers, 1, 64)):
            if not low <= value <= high:
                raise InputError(f"{name} is {value}; allowed are {low} to {high}")
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}; allowed are whole numbers from 0 on")
        if self.variant not in VARIANTS:
            raise InputError(f"variant {self.variant!r} is unknown; allowed are {', '.join(VARIANTS)}")
        if self.preset is not None:
            preset(self.preset)

    def settings(self) -> dict[str, Any]:
        """What decides about the content of a case."""
        return {"seed": self.seed, "variant": self.variant, "preset": self.preset or "mixed"}


def write_dataset(job: DatasetJob, report: Report | None = None) -> pd.DataFrame:
    """Write a data set; cases that are finished already are kept.

    Parameters
    ----------
    job : DatasetJob
    report : callable, optional
        Called with a word, the number of finished cases and the number of all.

    Returns
    -------
    DataFrame
        The participants table: one row per finished case in the folder.

    Raises
    ------
    OutputError
        The folder cannot be written to, or holds a data set of other settings.
    """
    report = report or (lambda *_: None)
    _prepare(job)
    missing = [index for index in range(job.n) if not _folder(job, index).is_dir()]
    done = job.n - len(missing)
    report("phantoms", done, job.n)
    for _ in _each(job, missing):
        done += 1
        report("phantoms", done, job.n)
    table = participants(job.output)
    write_table(table, job.output / "participants.csv")
    return table


def case_name(index: int) -> str:
    """The scan's key.

    >>> case_name(7)
    'sub-phantom007'
    """
    return f"sub-phantom{index:03d}"


def _folder(job: DatasetJob, index: int) -> Path:
    """The folder that appears last: where it is, the case is complete."""
    return job.output / "derivatives" / case_name(index)


def _prepare(job: DatasetJob) -> None:
    """Make the folders, sweep what an interrupted run left behind, and refuse to mix two data sets."""
    try:
        for name in ("rawdata", "derivatives"):
            (job.output / name).mkdir(parents=True, exist_ok=True)
        for stale in job.output.glob(".making-*"):
            shutil.rmtree(stale)
    except OSError as error:
        raise OutputError(
            f"cannot write to {job.output}: {error.strerror or error}; choose a writable folder"
        ) from error
    file, wanted = job.output / DESCRIPTION, job.settings() | {"version": verse_morph.__version__}
    if file.is_file():
        found = json.loads(file.read_text(encoding="utf-8")).get("settings")
        if found != wanted:
            raise OutputError(f"{job.output} holds phantoms made with {found}, not {wanted}; choose another folder")
        return
    text = {
        "Name": "verse_morph phantoms",
        "DatasetType": SIMULATED,
        "Note": "Invented patients. Vendor names in the sidecars are fictions: no scanner was measured.",
        "settings": wanted,
    }
    _write_json(text, file)


def is_simulated(folder: Path) -> bool:
    """Whether a data set's description says that its patients are invented; False where it has none.

    Raises
    ------
    InputError
        The description cannot be read.
    """
    file = folder / DESCRIPTION
    try:
        return bool(json.loads(file.read_text(encoding="utf-8")).get("DatasetType") == SIMULATED)
    except FileNotFoundError:
        return False
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{file} cannot be read as a BIDS description: {error}") from error


# --- many cases ---------------------------------------------------------------------------------------------------


def _each(job: DatasetJob, indices: list[int]) -> Iterator[int]:
    """Make the cases in separate processes, and yield each as it is finished."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, as_completed

    if not indices:
        return
    # Even one worker is a process of its own: numbers must not depend on how many threads the caller's libraries use.
    with _single_threaded(), ProcessPoolExecutor(job.workers, multiprocessing.get_context("spawn")) as pool:
        waiting = [pool.submit(make_case, job, index) for index in indices]
        try:
            for finished in as_completed(waiting):
                yield finished.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Processes started inside use one thread for linear algebra."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


# --- one case -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Made:
    """One case before it is written: phantom, image, and what they were made with."""

    case: PhantomCase
    ct: SimulatedCt
    recipe: Recipe
    tissue: TissueParameters
    scanner: ScannerParameters


def make_case(job: DatasetJob, index: int) -> int:
    """Make and write one case; it depends on the job's settings and the index alone.

    Returns
    -------
    int
        The index.
    """
    made = _make(job, index)
    making = Path(tempfile.mkdtemp(prefix=".making-", dir=job.output))
    try:
        raw, derived = making / "rawdata", making / "derivatives"
        raw.mkdir()
        derived.mkdir()
        _write_images(made, raw, derived)
        _write_truth(made, derived)
        name = case_name(index)
        shutil.rmtree(job.output / "rawdata" / name, ignore_errors=True)
        raw.rename(job.output / "rawdata" / name)
        derived.rename(_folder(job, index))
    except OSError as error:
        raise OutputError(f"cannot write {case_name(index)} to {job.output}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return index


def _make(job: DatasetJob, index: int) -> Made:
    # The child that spawn() would give at this place, whatever the number of children.
    sequence = np.random.SeedSequence(job.seed, spawn_key=(index,))
    recipe_rng, anatomy_rng, tissue_rng, image_rng = (np.random.default_rng(s) for s in sequence.spawn(4))
    recipe = draw_recipe(index, job.seed, job.variant, job.preset, recipe_rng)
    scanner = draw_scanner(recipe_rng, recipe.preset)
    parameters = draw_parameters(anatomy_rng, recipe.options)
    case = render(parameters, _fine_grid(field_of_view(parameters, 4.0), recipe, scanner), case_name(index))
    levels = tuple(VERSE.value_of(Level(str(level))) for level in case.truth.vertebrae["level"])
    tissue = draw_tissue(tissue_rng, recipe.options.age, recipe.options.sex, levels)
    ct = simulate_ct(case.structures, case.bone_depth_mm, case.grid, tissue, scanner, image_rng, keep_noise_free=True)
    return Made(case, ct, recipe, tissue, scanner)


def _fine_grid(coarse: Grid, recipe: Recipe, scanner: ScannerParameters) -> Grid:
    """The grid on which anatomy is rendered: whole numbers of voxels per slice, turned about its middle."""
    extent = np.array(coarse.shape) * coarse.spacing_mm
    spacing = np.full(3, recipe.spacing_mm)
    spacing *= max(1.0, float(np.cbrt((extent / spacing).prod() / MOST_VOXELS)))
    distance = scanner.slice_distance_mm
    spacing[scanner.slice_axis] = distance / max(1, round(distance / 1.0))
    shape = np.maximum(np.ceil(extent / spacing), 8).astype(int)
    turned = rotation(*recipe.turn_deg)
    affine = np.eye(4)
    affine[:3, :3] = turned * spacing
    middle = coarse.to_world((np.array(coarse.shape) - 1) / 2)
    affine[:3, 3] = middle - affine[:3, :3] @ ((shape - 1) / 2)
    return Grid((shape[0], shape[1], shape[2]), affine)


def _write_images(made: Made, raw: Path, derived: Path) -> None:
    name, pick = made.case.name, made.ct.slices
    grid = direction_grid(made.ct.grid, made.recipe.orientation)

    def write(array: NDArray, path: Path) -> None:
        write_array(restore(array, grid), grid.affine, path)

    write(made.ct.hu, raw / f"{name}_ct.nii.gz")
    verse = made.case.verse_labels.labels[pick]
    write(verse, derived / f"{name}_seg-vert_msk.nii.gz")
    write(made.case.structures[pick], derived / f"{name}_seg-full_dseg.nii.gz")
    sidecar = {
        "KVP": f"{made.scanner.kvp:g}",
        "Manufacturer": made.scanner.manufacturer,
        "ManufacturerModelName": made.scanner.model,
        "SliceThickness": made.scanner.slice_thickness_mm,
        "Simulated": True,
    }
    _write_json(sidecar, raw / f"{name}_ct.json")
    present = np.flatnonzero(np.bincount(made.case.structures[pick].ravel(), minlength=256))
    _write_json({str(v): NAMES[int(v)] for v in present if v}, derived / f"{name}_seg-full_dseg.json")
    write_centroids(_centroids(made, verse), derived / f"{name}_seg-subreg_ctd.json", grid)


def _centroids(made: Made, verse: NDArray) -> dict[Level, FloatArray]:
    """True body centres of the labelled vertebrae whose centre is in view."""
    labelled = np.bincount(verse.ravel(), minlength=256) > 0
    limits = np.array(made.ct.grid.shape) - 0.5
    points = {}
    for row in made.case.truth.vertebrae.itertuples():
        level, centre = Level(str(row.level)), np.array([row.body_x_mm, row.body_y_mm, row.body_z_mm], dtype=float)
        index = made.ct.grid.to_index(centre)
        if np.isfinite(centre).all() and labelled[VERSE.value_of(level)] and ((index > -0.5) & (index < limits)).all():
            points[level] = centre
    return points


def _write_truth(made: Made, derived: Path) -> None:
    case = made.case
    for kind in ("vertebrae", "discs", "curves"):
        table = getattr(case.truth, kind).copy()
        table.insert(0, "scan", case.name)
        write_table(table, derived / f"{case.name}_truth-{kind}.csv")
    hu = true_hu(made)
    hu.insert(0, "scan", case.name)
    write_table(hu, derived / f"{case.name}_truth-hu.csv")
    whole = {
        "scan": dict(case.truth.scan),
        "preset": made.recipe.preset,
        "scanner": asdict(made.scanner),
        "tissue": asdict(made.tissue),
        "grid": made.ct.grid.describe(),
        "obliqueness_deg": list(made.recipe.turn_deg),
        "parameters": json.loads(case.parameters.to_json()),
    }
    _write_json(whole, derived / f"{case.name}_truth.json")


def true_hu(made: Made) -> pd.DataFrame:
    """HU of the trabecular bone in each labelled body: of the tissue, and of the noise-free image over the same region.

    Returns
    -------
    DataFrame
        ``level, trabecular_volume_cm3, tissue_hu_mean, noise_free_hu_mean, blur_bias_hu, flags``. The region lies at
        least 3 mm (slice thickness + 2 mm where slices are thick) below the bone's surface and in front of the canal,
        without the basivertebral region, cement and metal. A flag names what is within or near it all the same.
    """
    import pandas as pd

    ct, case = made.ct, made.case
    if ct.tissue_hu is None or ct.noise_free is None:
        raise ValueError("the image was simulated without keep_noise_free=True")
    guide = find_guide(case.structures, case.bone_depth_mm, case.grid.spacing_mm)
    rows = []
    for mark in guide.landmarks:
        box, region = _trabecular_region(made, mark)
        if region.any():
            tissue, image = (float(v[box][region].mean(dtype=np.float64)) for v in (ct.tissue_hu, ct.noise_free))
            volume = float(region.sum() * ct.grid.voxel_volume_mm3 / 1000)
            rows.append(
                (str(VERSE.levels[mark.label]), volume, tissue, image, image - tissue, _flags(made, mark.label))
            )
    columns = ["level", "trabecular_volume_cm3", "tissue_hu_mean", "noise_free_hu_mean", "blur_bias_hu", "flags"]
    return pd.DataFrame(rows, columns=columns)


def _trabecular_region(made: Made, mark: Landmark) -> tuple[tuple[slice, ...], NDArray[np.bool_]]:
    """A box about one body, and the voxels in it that are trabecular bone by the definition of the region."""
    ct, spacing = made.ct, made.ct.grid.spacing_mm
    # Landmarks count from the first voxel of the fine grid, which need not be the first slice.
    first = np.array([part.start or 0 for part in ct.slices]) * made.case.grid.spacing_mm
    low = np.maximum(np.floor((mark.body_mm - first - 32) / spacing), 0).astype(int)
    high = np.minimum(np.ceil((mark.body_mm - first + 32) / spacing), ct.grid.shape).astype(int)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    x, y, z = np.ix_(*[np.arange(a, b) * s + f for a, b, s, f in zip(low, high, spacing, first, strict=True)])
    thickness = made.scanner.slice_thickness_mm
    # Thick slices take in what lies above and below: go deeper everywhere rather than along one axis only.
    least = thickness + 2 if thickness > 1.5 else 3.0
    front = y - mark.canal_mm[1]
    region = (made.case.structures[ct.slices][box] == mark.label) & (made.case.bone_depth_mm[ct.slices][box] >= least)
    near_vein = (np.abs(x - mark.body_mm[0]) <= 4) & (np.abs(z - mark.body_mm[2]) <= mark.radius_mm / 3)
    region &= (front > 10) & ~(near_vein & (front < 8 + 2 * mark.radius_mm / 3))
    if ct.tissue_hu is not None:
        region &= ct.tissue_hu[box] < FOREIGN_HU
    return box, region


def _flags(made: Made, label: int) -> str:
    tissue = made.tissue
    present = {
        "sclerosis": any(focus.label == label for focus in tissue.sclerosis),
        "cement": label in tissue.cement,
        "screws": label in tissue.screws,
    }
    return ";".join(name for name, here in present.items() if here)


def _write_json(content: Mapping[str, Any], path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, default=_plain), encoding="utf-8")


def _plain(value: object) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray | tuple | set | frozenset):
        return list(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


# --- participants -------------------------------------------------------------------------------------------------

_FACTS = (
    "sex",
    "age",
    "height_cm",
    "thoracic",
    "lumbar_labelled",
    "lumbar_total",
    "transitional_unlabelled",
    "castellvi",
    "castellvi_side",
    "half_vertebra",
)


def participants(folder: Path) -> pd.DataFrame:
    """One row per finished case of a data set: patient, scanner and variants, read back from the cases."""
    import pandas as pd

    rows = []
    for file in sorted((folder / "derivatives").glob("sub-phantom*/*_truth.json")):
        name = file.parent.name
        whole = json.loads(file.read_text(encoding="utf-8"))
        facts = whole["scan"]
        row = {"scan": name, "subject": name.removeprefix("sub-"), "preset": whole["preset"]}
        row |= {"manufacturer": whole["scanner"]["manufacturer"], "kvp": whole["scanner"]["kvp"]}
        row |= {key: facts.get(key) for key in _FACTS}
        row["cervical_ribs"] = ";".join(facts.get("cervical_ribs", ()))
        row["stump_ribs"] = ";".join(f"{level} {side} {mm:.0f}" for level, side, mm in facts.get("stump_ribs", ()))
        row["fractures"] = ";".join(f"{level} {kind} {loss:.0f}" for level, kind, loss in facts.get("fractures", ()))
        row |= {"phase": whole["tissue"]["phase"], "cement": len(whole["tissue"]["cement"])}
        row |= {"screws": len(whole["tissue"]["screws"])}
        rows.append(row)
    return pd.DataFrame(rows)
