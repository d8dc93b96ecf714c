"""Time and memory of evaluating one large pair: 512 x 512 x 600 voxels, 24 vertebrae, prediction uneven everywhere.

Vertebrae are an elliptic body with a canal ring and three processes, in voxels of 0.75 x 0.75 x 1 mm. Two predictions:
one with an uneven surface, as a network's, and the worst case, every label named after its neighbour.

Run: .venv/bin/python benchmarks/evaluation.py
"""

from __future__ import annotations

import resource
import time

import numpy as np
from numpy.typing import NDArray

from verse_morph.anatomy import VERSE
from verse_morph.evaluate import evaluate_scan
from verse_morph.evaluate.summary import scan_summary
from verse_morph.space import Grid
from verse_morph.volume import LabelMap

SPACING = np.array([0.75, 0.75, 1.0])
SHAPE = (512, 512, 600)
CENTRE = np.array([192.0, 200.0])


def vertebra(x: NDArray, y: NDArray, z: NDArray) -> NDArray[np.bool_]:
    """Millimetres from the middle of the body; about 45 mm wide and 20 mm high."""
    body = ((x / 23) ** 2 + (y / 17) ** 2 < 1) & (abs(z) < 10 - 1.5 * np.cos(x / 7))
    canal = (x / 14) ** 2 + ((y + 25) / 12) ** 2
    ring = (canal < 1) & ((x / 10) ** 2 + ((y + 25) / 8) ** 2 > 1) & (abs(z) < 8)
    sides = (abs(x) < 38) & (abs(y + 25) < 4 + x**2 / 400) & (abs(z - 2) < 4) & (abs(x) > 11)
    spine = (abs(x) < 3.5) & (y < -34) & (y > -62) & (abs(z + 4 + (y + 34) / 5) < 7)
    return body | ring | sides | spine


def painted(uneven: bool) -> LabelMap:
    """The whole column; with ``uneven`` every surface is moved by a smooth pattern of about a voxel."""
    out = np.zeros(SHAPE, dtype=np.uint8, order="F")
    for place in range(24):
        middle = np.array([*CENTRE, 588 - 24.4 * place])
        low = np.maximum(np.floor((middle - [42, 66, 16]) / SPACING).astype(int), 0)
        high = np.minimum(np.ceil((middle - [-42, -22, -16]) / SPACING).astype(int), SHAPE)
        axes = [np.arange(a, b) * s - m for a, b, s, m in zip(low, high, SPACING, middle, strict=True)]
        x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
        if uneven:
            x, y, z = x + np.sin(y / 3 + z), y + np.cos(z / 4 + x / 5), z + 0.8 * np.sin(x / 4 + y / 6)
        view = out[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        view[vertebra(x, y, z) & (view == 0)] = place + 1
    return LabelMap(out, Grid(SHAPE, np.diag([*SPACING, 1.0])), VERSE, "column")


def main() -> None:
    true, uneven = painted(uneven=False), painted(uneven=True)
    names = np.roll(np.arange(1, 25, dtype=np.uint8), 1)
    shifted = LabelMap(np.r_[np.uint8(0), names][true.labels], true.grid, true.scheme, true.name)
    for name, predicted in (("uneven surfaces", uneven), ("every label shifted by one", shifted)):
        before, wall = time.process_time(), time.perf_counter()
        found = evaluate_scan(predicted, true)
        cpu, wall = time.process_time() - before, time.perf_counter() - wall
        strict = scan_summary(found.vertebrae, {true.name: found.dice_binary}).set_index("mode").loc["strict"]
        values = ", ".join(
            f"{k} {strict[k]:.4g}" for k in ("id_rate_pct", "dice_mean", "hausdorff_mean_mm", "assd_mean_mm")
        )
        print(f"{name}: {cpu:.1f} s of CPU, {wall:.1f} s on the clock; {values}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {peak:.0f} MB, of which the three masks take {3 * true.labels.nbytes / 2**20:.0f} MB")


if __name__ == "__main__":
    main()
