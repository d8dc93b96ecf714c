"""A hand-made image: box vertebrae with axes along the world, and rods of bone about them."""

import itertools

import numpy as np

from verse_morph.anatomy import VERSE, Level
from verse_morph.space import Grid
from verse_morph.spine import Flag, Frame, Spine, Vertebra
from verse_morph.volume import LabelMap, Scan

AXES = (np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), np.array([0, 0, 1.0]))
BONE_HU, SOFT_HU = 500, 40


class Scene:
    """World zero lies in the middle of the grid."""

    def __init__(self, shape=(160, 90, 120), spacing=1.0):
        affine = np.diag([spacing, spacing, spacing, 1.0])
        affine[:3, 3] = -(np.array(shape) - 1) / 2 * spacing
        self.grid = Grid(shape, affine)
        self.points = self.grid.to_world(np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1))
        self.hu = np.full(shape, SOFT_HU, dtype=np.int16)
        self.labels = np.zeros(shape, dtype=np.uint8)
        self.vertebrae = []

    def vertebra(self, name, centre, half=(16, 22, 12), flags=()):
        """A block whose body is its middle; processes are part of the block."""
        level = Level(name)
        inside = (np.abs(self.points - np.array(centre)) <= np.array(half)).all(axis=-1)
        self.labels[inside] = VERSE.value_of(level)
        self.hu[inside] = BONE_HU
        frame = Frame(np.array(centre, dtype=float), *AXES)
        flags = frozenset(Flag(word) for word in flags)
        made = Vertebra(
            level, VERSE.value_of(level), self.grid, inside, float(inside.sum()), centre_mm=frame.origin_mm, frame=frame
        )
        self.vertebrae.append(made if not flags else Vertebra(**{**vars(made), "flags": flags}))

    def rod(self, line, radius=4.0, hu=BONE_HU, label=0):
        """A round rod along points."""
        line = np.asarray(line, dtype=float)
        away = np.full(self.hu.shape, np.inf)
        for a, b in itertools.pairwise(line):
            share = np.clip(((self.points - a) @ (b - a)) / ((b - a) @ (b - a)), 0, 1)
            away = np.minimum(away, np.linalg.norm(self.points - (a + share[..., None] * (b - a)), axis=-1))
        inside = (away <= radius) & (self.labels == 0)
        self.hu[inside] = hu
        if label:
            self.labels[inside] = label

    def block(self, low, high, hu=BONE_HU):
        """A block of bone between two corners."""
        inside = ((self.points >= np.array(low)) & (self.points <= np.array(high))).all(axis=-1)
        self.hu[inside & (self.labels == 0)] = hu

    def spine(self):
        return Spine(tuple(self.vertebrae), "scene", grid=self.grid)

    def scan(self):
        return Scan(self.hu, self.grid, "scene")

    def mask(self, scheme=VERSE):
        return LabelMap(self.labels, self.grid, scheme, "scene")
