"""How far every number moves when the outlines it rests on are redrawn within half a voxel.

A mask is a decision about voxels. Each draw moves every boundary by a smooth random amount and samples the outlines on
another lattice; spine and tables are made anew; the spread of a number over the draws is its ±. It holds what
drawing and sampling add, nothing else: no bias, no doubt about levels, no disagreement between annotators that is
larger than a voxel, no noise of the scanner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from verse_morph.errors import InputError
from verse_morph.measure.tabulate import measure
from verse_morph.shape import build_spine
from verse_morph.shape.field import signed_distance
from verse_morph.space import Grid
from verse_morph.spine import Spine, Vertebra
from verse_morph.tables import WHY, why_column
from verse_morph.volume import LabelMap, Scan

if TYPE_CHECKING:
    import pandas as pd

DRAWS, LEAST_DRAWS = 20, 5
JITTER_VOXELS = 0.5
# Outlines err over stretches, not voxel by voxel: white noise would average out of any height.
JITTER_SIGMA_MM = 4.0
# A number that fails in more draws than this hangs by a thread: its spread would be that of the lucky draws.
LEAST_MEASURED = 0.8
MARGIN_VOXELS = 4
SUFFIX = "_sd"
WHAT_IT_IS = "±: standard deviation over outlines redrawn within half a voxel; no bias, no confidence interval"
KEYS = ("scan", "level", "label", "name", "upper_level", "lower_level")

TableMaker = Callable[[Spine], "pd.DataFrame"]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class _Outline:
    """One label's signed distance in voxels, within a box of the volume."""

    value: int
    box: tuple[slice, slice, slice]
    depth: NDArray[np.float32]


def uncertainty(
    labels: LabelMap, scan: Scan | None = None, draws: int = DRAWS, seed: int = 0, make: TableMaker = measure
) -> pd.DataFrame:
    """Standard deviation of every number of a table over redrawn outlines.

    Parameters
    ----------
    labels : LabelMap
    scan : Scan, optional
        CT on the same grid.
    draws : int
        At least 5; 20 give a standard deviation within a sixth of its own.
    seed : int
        The same seed gives the same table.
    make : callable
        Spine to table; the vertebra table by default.

    Returns
    -------
    DataFrame
        Keys of the table, ``<column>_sd`` for each number and its reason where there is none in ``<column>_sd_why``.

    Raises
    ------
    InputError
        Fewer than 5 draws, or a mask that makes no spine.

    Notes
    -----
    Boundaries move by half a voxel (SD, along each axis by that axis's voxel), smooth over 4 mm; the lattice moves by
    up to half a voxel. Misleads as a confidence interval: see docs/density.md for how often truth lies within two.
    """
    return uncertainties(labels, scan, {"table": make}, draws, seed)["table"]


def uncertainties(
    labels: LabelMap,
    scan: Scan | None,
    makers: Mapping[str, TableMaker],
    draws: int = DRAWS,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, pd.DataFrame]:
    """The same for several tables made from the same redrawn spines; see :func:`uncertainty`.

    Parameters
    ----------
    labels, scan, draws, seed
        As there.
    makers : Mapping of str to callable
        Each makes a table of a spine.
    progress : callable, optional
        Called with a stage's name, the number done and the number of all.
    """
    if draws < LEAST_DRAWS:
        raise InputError(f"{draws} draws say nothing about a spread; give at least {LEAST_DRAWS}")
    found: dict[str, list[pd.DataFrame]] = {name: [] for name in makers}
    for done, spine in enumerate(redrawn(labels, scan, draws, seed), start=1):
        for name, make in makers.items():
            found[name].append(make(spine))
        if progress is not None:
            progress("redrawing outlines", done, draws)
    here = build_spine(labels, scan)
    return {name: spread(make(here), found[name]) for name, make in makers.items()}


def redrawn(labels: LabelMap, scan: Scan | None, draws: int, seed: int) -> Iterator[Spine]:
    """Spines of the same mask with redrawn outlines.

    Notes
    -----
    The CT is interpolated linearly at the moved voxels, which smooths its noise a little: the spread of
    ``trabecular_hu_sd`` is too large.
    """
    outlines = _outlines(labels)
    for generator in np.random.default_rng(seed).spawn(draws):
        moved = _redraw(labels, outlines, generator)
        spine = build_spine(moved)
        if scan is not None:
            spine = replace(spine, vertebrae=tuple(_with_hu(vertebra, scan) for vertebra in spine))
        yield spine


def _outlines(labels: LabelMap) -> list[_Outline]:
    from scipy.ndimage import find_objects

    wanted = set(labels.scheme.levels)
    array = labels.labels
    out = []
    for value, tight in enumerate(find_objects(array), start=1):
        if tight is None or value not in wanted:
            continue
        box = tuple(
            slice(max(0, s.start - MARGIN_VOXELS), min(n, s.stop + MARGIN_VOXELS))
            for s, n in zip(tight, array.shape, strict=True)
        )
        depth = signed_distance(np.ascontiguousarray(array[box] == value), np.ones(3))
        out.append(_Outline(value, (box[0], box[1], box[2]), np.clip(depth, -MARGIN_VOXELS, 2 * MARGIN_VOXELS)))
    return out


def _redraw(labels: LabelMap, outlines: Sequence[_Outline], rng: np.random.Generator) -> LabelMap:
    """The mask with every boundary moved by a smooth random amount, on a lattice moved by up to half a voxel."""
    from scipy.ndimage import shift

    offset = rng.uniform(-0.5, 0.5, 3)
    array = np.zeros(labels.grid.shape, labels.labels.dtype)
    best = np.zeros(labels.grid.shape, np.float16)
    for outline in outlines:
        depth = shift(outline.depth, -offset, order=1, mode="nearest")
        depth += np.float32(JITTER_VOXELS) * _smooth_noise(depth.shape, labels.grid.spacing_mm, rng)
        deeper = depth > best[outline.box]
        array[outline.box][deeper] = outline.value
        np.maximum(best[outline.box], depth, out=best[outline.box], casting="same_kind")
    affine = np.array(labels.grid.affine)
    affine[:3, 3] = labels.grid.to_world(offset)
    return LabelMap(array, Grid(labels.grid.shape, affine), labels.scheme, labels.name, labels.notes)


def _smooth_noise(shape: tuple[int, ...], spacing_mm: NDArray, rng: np.random.Generator) -> NDArray[np.float32]:
    """A smooth random field of unit standard deviation."""
    from scipy.ndimage import gaussian_filter

    sigma = JITTER_SIGMA_MM / spacing_mm
    field = gaussian_filter(rng.standard_normal(shape, dtype=np.float32), sigma, mode="wrap", truncate=3.0)
    return field / np.float32(field.std())


def _with_hu(vertebra: Vertebra, scan: Scan) -> Vertebra:
    """The vertebra with the CT interpolated at its own voxels."""
    from scipy.ndimage import map_coordinates

    index = scan.grid.to_index(vertebra.grid.to_world(np.moveaxis(np.indices(vertebra.grid.shape), 0, -1)))
    low = np.clip(np.floor(index.min(axis=(0, 1, 2))).astype(int) - 1, 0, None)
    high = np.ceil(index.max(axis=(0, 1, 2))).astype(int) + 2
    part = scan.hu[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    values = map_coordinates(part, np.moveaxis(index - low, -1, 0), order=1, mode="nearest", output=np.float32)
    return replace(vertebra, hu=values)


def spread(table: pd.DataFrame, redrawn_tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Standard deviation of each number of a table over the same tables of redrawn outlines.

    Parameters
    ----------
    table : DataFrame
        As measured; says which rows and columns there are.
    redrawn_tables : sequence of DataFrame
    """
    import pandas as pd

    keys = [name for name in KEYS if name in table.columns]
    numbers = [name for name in table.columns if name not in keys and table[name].dtype == np.float64]
    rows = _row_names(table)
    values = np.stack(
        [other[numbers].set_axis(_row_names(other), axis=0).reindex(rows).to_numpy(float) for other in redrawn_tables]
    )
    known = np.isfinite(values).sum(axis=0)
    out: dict[str, Any] = {name: table[name] for name in keys}
    reasons: dict[str, Any] = {}
    for column, name in enumerate(numbers):
        here = np.isfinite(table[name].to_numpy())
        use = here & (known[:, column] >= LEAST_MEASURED * len(values))
        sd = np.full(len(table), np.nan)
        sd[use] = np.nanstd(values[:, use, column], axis=0, ddof=1)
        lost = [f"measured in {n} of {len(values)} redrawn outlines" for n in known[:, column]]
        own = table[name + WHY] if name + WHY in table.columns else "not measured"
        out[name + SUFFIX], reasons[why_column(name + SUFFIX)] = sd, np.where(use, "", np.where(here, lost, own))
    return pd.DataFrame(out | reasons, index=table.index)


def with_spread(table: pd.DataFrame, spreads: pd.DataFrame | None) -> pd.DataFrame:
    """A table with ``<column>_sd`` of its spread beside it, for printing and drawing; the table itself without one.

    Parameters
    ----------
    table : DataFrame
    spreads : DataFrame or None
        As :func:`uncertainty` made it of this table: one row for each of its rows, in the same order.
    """
    if spreads is None:
        return table
    return table.join(spreads[[name for name in map(str, spreads.columns) if name.endswith(SUFFIX)]])


def plus_minus(value: float, sd: float, digits: int = 1) -> str:
    """A number with its standard deviation in words; alone where it has none.

    >>> plus_minus(23.44, 0.31), plus_minus(23.44, float("nan")), plus_minus(23.44, 0.02)
    ('23.4 ± 0.3', '23.4', '23.4 ± <0.1')
    """
    said = f"{value:.{digits}f}"
    if not np.isfinite(sd):
        return said
    least = 10.0**-digits
    return f"{said} ± {sd:.{digits}f}" if sd >= least / 2 else f"{said} ± <{least:.{digits}f}"


def spread_of(row: Mapping[Any, Any] | pd.Series, column: str) -> float:
    """Standard deviation beside a number of a row, see :func:`with_spread`; NaN where there is none."""
    return float(row.get(f"{column}{SUFFIX}", np.nan))


def spoken(row: Mapping[Any, Any] | pd.Series, column: str, digits: int = 1) -> str:
    """A number of a row, with its ± where the row has one."""
    return plus_minus(float(row[column]), spread_of(row, column), digits)


def _row_names(table: pd.DataFrame) -> list[str]:
    """What a row is called in every draw: a curve by its name and rank (the ends of a coronal curve may change), all
    else by its levels.
    """
    names = ["name"] if "name" in table.columns else [k for k in KEYS[1:] if k in table.columns]
    words = ["|".join(map(str, row)) for row in table[names].itertuples(index=False)]
    return [f"{word}|{words[:i].count(word)}" for i, word in enumerate(words)]
