"""Two label maps on one lattice, the true one's, without ever resampling a whole volume."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verse_morph.anatomy import Level
from verse_morph.space import FloatArray, Grid, canonical
from verse_morph.volume import LabelMap, require_overlap

Box = tuple[slice, slice, slice]

# Lattices whose voxel centres coincide this well (in voxels, over the whole grid) are one lattice.
LATTICE_TOLERANCE = 0.02
# A centre halfway between two voxels belongs to the one further right, anterior, superior: rounding noise of the
# affines, which depends on the files' axis order, must not decide.
TIE = 1e-6
BACKGROUND = "background"


@dataclass(frozen=True, eq=False)
class Side:
    """One label map in nearest-RAS axis order, and where each level lies in it.

    Parameters
    ----------
    labels : array (i, j, k)
        A view of the label map's array.
    grid : Grid
    values : Mapping[Level, int]
        Label of each level present, head to foot; S1 is no vertebra and left out.
    boxes : Mapping[Level, tuple of 3 slice]
        Bounding box of each level.
    """

    labels: NDArray
    grid: Grid
    values: Mapping[Level, int]
    boxes: Mapping[Level, Box]

    def mask(self, level: Level) -> NDArray[np.bool_]:
        """The level's voxels inside its box."""
        return np.asarray(self.labels[self.boxes[level]] == self.values[level])

    def centre_mm(self, level: Level) -> FloatArray:
        """Centre of mass of the level's voxels, world RAS mm."""
        box, mask = self.boxes[level], self.mask(level)
        axes = (0, 1, 2)
        counts = [mask.sum(axis=tuple(a for a in axes if a != axis), dtype=np.int64) for axis in axes]
        total = int(counts[0].sum())
        # Integers up to the division: the crop's place must not show in the last digit.
        mean = [int(n @ np.arange(b.start, b.stop)) / total for n, b in zip(counts, box, strict=True)]
        return self.grid.to_world(mean)


def side(labels: LabelMap) -> Side:
    """A label map ready for comparison."""
    turned, grid = canonical(labels.labels, labels.grid)
    boxes = dict(_boxes(turned))
    levels: dict[Level, int] = {
        level: value for value, level in labels.scheme.levels.items() if value in boxes and level is not Level.S1
    }
    ordered = {level: levels[level] for level in sorted(levels)}
    return Side(turned, grid, ordered, {level: boxes[value] for level, value in ordered.items()})


def steps_mm(grid: Grid) -> FloatArray:
    """Steps of one voxel along each axis, in mm and free of the grid's rotation where its axes are at right angles."""
    matrix = grid.affine[:3, :3]
    gram = matrix.T @ matrix
    if np.abs(gram - np.diag(np.diag(gram))).max() < 1e-6 * gram.max():
        return np.diag(grid.spacing_mm)
    return np.asarray(matrix)


@dataclass(frozen=True, eq=False)
class Pairing:
    """A predicted side seen from the true side's lattice.

    Parameters
    ----------
    predicted, true : Side
    step : array (4, 4)
        Index on the true lattice to index in the prediction.
    """

    predicted: Side
    true: Side
    step: FloatArray

    @property
    def same_lattice(self) -> bool:
        """Whether voxel centres coincide, so that nothing is resampled (extents may differ)."""
        return bool(
            np.abs((self.step - np.rint(self.step)) @ _corners(self.true.grid.shape)).max() <= LATTICE_TOLERANCE
        ) and (np.array_equal(np.rint(self.step[:3, :3]), np.eye(3)))

    def predicted_labels(self, box: Box) -> NDArray:
        """The prediction's label at the centre of every true voxel of a box; outside the prediction 0."""
        turn = self.step[:3, :3]
        ranges = [np.arange(part.start, part.stop) for part in box]
        spread = np.abs(turn - np.diag(np.diag(turn))) @ np.array(self.true.grid.shape)
        if (spread > LATTICE_TOLERANCE).any():
            points = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1)
            return self._look_up(_nearest(points @ turn.T + self.step[:3, 3]))
        along = [_nearest(turn[a, a] * steps + self.step[a, 3]) for a, steps in enumerate(ranges)]
        inside = [(i >= 0) & (i < n) for i, n in zip(along, self.predicted.labels.shape, strict=True)]
        out = np.zeros([len(steps) for steps in ranges], dtype=self.predicted.labels.dtype)
        out[np.ix_(*inside)] = self.predicted.labels[np.ix_(*(i[ok] for i, ok in zip(along, inside, strict=True)))]
        return out

    def _look_up(self, index: NDArray[np.intp]) -> NDArray:
        shape = np.array(self.predicted.labels.shape)
        outside = ((index < 0) | (index >= shape)).any(axis=-1)
        found = self.predicted.labels[tuple(np.moveaxis(np.clip(index, 0, shape - 1), -1, 0))]
        found[outside] = 0
        return found

    def predicted_box(self, level: Level) -> Box | None:
        """Where a predicted level can lie on the true lattice; None where that is outside the true image."""
        first, last = self._faces(level)
        low = np.maximum(np.floor(first).astype(int), 0)
        high = np.minimum(np.ceil(last).astype(int) + 1, self.true.grid.shape)
        if (low >= high).any():
            return None
        return (slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2]))

    def reaches_beyond(self, level: Level) -> bool:
        """Whether a predicted level's box sticks out of the true image by more than half a voxel."""
        first, last = self._faces(level)
        return bool((first < -1).any() or (last > self.true.grid.shape).any())

    def _faces(self, level: Level) -> tuple[FloatArray, FloatArray]:
        """First and last face of a predicted level's box along each axis of the true lattice."""
        edges = [(part.start - 0.5, part.stop - 0.5) for part in self.predicted.boxes[level]]
        index = (np.linalg.inv(self.step) @ np.array(np.meshgrid(*edges, [1])).reshape(4, -1))[:3]
        return index.min(axis=1), index.max(axis=1)


def pair(predicted: LabelMap, true: LabelMap) -> Pairing:
    """Bring a prediction and the truth together by their world coordinates.

    Raises
    ------
    GridMismatch
        The two images share no space.
    """
    require_overlap(predicted.grid, true.grid, f"the predicted and the true mask of {true.name}")
    first, second = side(predicted), side(true)
    return Pairing(first, second, np.linalg.inv(first.grid.affine) @ second.grid.affine)


@dataclass(frozen=True, eq=False)
class Overlap:
    """Voxel counts of one level on the true lattice.

    Parameters
    ----------
    true, predicted, shared : int
        Voxels of the level in the truth, in the prediction, in both.
    true_in_prediction : int
        Voxels of the true level that the prediction gives to any vertebra.
    covered_by : str
        What the prediction calls most of the true level's voxels: a level, ``background`` or another structure; empty
        where the level is not true.
    """

    true: int
    predicted: int
    shared: int
    true_in_prediction: int
    covered_by: str

    @property
    def dice(self) -> float:
        """Twice the shared voxels over the sum of both; 0 where only one side has any."""
        return 2.0 * self.shared / (self.true + self.predicted)


def overlap(pairing: Pairing, level: Level, others: Mapping[int, str]) -> Overlap:
    """Count the voxels of one level that at least one side has."""
    true, predicted = pairing.true, pairing.predicted
    value = predicted.values.get(level)
    box = pairing.predicted_box(level) if value is not None else None
    n_predicted = 0 if box is None else int(np.count_nonzero(pairing.predicted_labels(box) == value))
    if level not in true.values:
        return Overlap(0, n_predicted, 0, 0, "")
    covering = pairing.predicted_labels(true.boxes[level])[true.mask(level)]
    found, counts = np.unique(covering, return_counts=True)
    names = {v: str(lv) for lv, v in predicted.values.items()} | {0: BACKGROUND}
    most = int(found[counts.argmax()])
    in_vertebrae = int(counts[np.isin(found, list(predicted.values.values()))].sum())
    shared = 0 if value is None else int(counts[found == value].sum())
    return Overlap(len(covering), n_predicted, shared, in_vertebrae, names.get(most) or others.get(most, str(most)))


def _boxes(labels: NDArray) -> Iterator[tuple[int, Box]]:
    from scipy.ndimage import find_objects

    # In the order of memory it is several times faster.
    order = np.argsort([-abs(stride) for stride in labels.strides], kind="stable")
    back = np.argsort(order)
    for value, box in enumerate(find_objects(labels.transpose(order)), start=1):
        if box is not None:
            yield value, (box[back[0]], box[back[1]], box[back[2]])


def _nearest(index: FloatArray) -> NDArray[np.intp]:
    return np.floor(index + (0.5 + TIE)).astype(np.intp)


def _corners(shape: tuple[int, int, int]) -> FloatArray:
    return np.array(np.meshgrid(*[(0, n - 1) for n in shape], [1]), dtype=np.float64).reshape(4, -1)
