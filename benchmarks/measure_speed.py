"""Time and memory of `verse-morph measure` on a whole spine, its stages, and its ratio to only reading the same files.

The scan is a phantom, C1 to the last lumbar level at 1 mm with its simulated CT, written as the command reads it. Every
run is a process of its own, so that its peak memory and its CPU seconds are its own; the best of several runs is shown,
because a busy machine only adds.

Run: OMP_NUM_THREADS=1 .venv/bin/python benchmarks/measure_speed.py [--runs 3] [--calls]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np

READ = """
import sys
from pathlib import Path
from verse_morph.io import read_labels, read_scan, scan_on_grid
labels = read_labels(Path(sys.argv[1]))
scan_on_grid(read_scan(Path(sys.argv[2])), labels.grid)
"""


def write_phantom(folder: Path) -> tuple[Path, Path]:
    """Mask and CT of a whole spine at 1 mm; kept where they lie already."""
    from dataclasses import replace

    from verse_morph.anatomy import VERSE
    from verse_morph.io import write_labels, write_scan
    from verse_morph.phantom.ct import simulate_ct
    from verse_morph.phantom.draw import draw_parameters
    from verse_morph.phantom.parameters import PhantomOptions, View
    from verse_morph.phantom.presets import preset
    from verse_morph.phantom.render import render
    from verse_morph.phantom.tissues import draw_tissue
    from verse_morph.volume import LabelMap, Scan

    mask, ct = folder / "whole_seg-vert_msk.nii.gz", folder / "whole_ct.nii.gz"
    if mask.exists() and ct.exists():
        return mask, ct
    view = View("C1", "last", half_width_mm=125, front_mm=110, back_mm=60)
    case = render(draw_parameters(np.random.default_rng(1), PhantomOptions(view=view)), 1.0)
    scanner = replace(preset("siemens"), slice_thickness_mm=1.0, slice_distance_mm=1.0)
    tissue = draw_tissue(np.random.default_rng(2), 60, "F")
    image = simulate_ct(case.structures, case.bone_depth_mm, case.grid, tissue, scanner, np.random.default_rng(3))
    labels = np.ascontiguousarray(case.verse_labels.labels[image.slices])
    write_labels(LabelMap(labels, image.grid, VERSE, "whole"), mask)
    write_scan(Scan(image.hu, image.grid, "whole"), ct)
    return mask, ct


def command(arguments: list[str]) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak MB of one process."""
    start = time.perf_counter()
    child = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise SystemExit(f"{' '.join(arguments)} failed")
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def best(arguments: list[str], runs: int) -> tuple[float, float, float]:
    """The smallest of each figure over several runs."""
    wall, cpu, peak = zip(*(command(arguments) for _ in range(runs)), strict=True)
    return min(wall), min(cpu), min(peak)


def stages(mask: Path, ct: Path, folder: Path) -> list[tuple[str, float, float]]:
    """Wall and CPU seconds of each stage of the command, in this process."""
    from verse_morph.cli.run import build_results, write_results
    from verse_morph.io import read_labels, read_scan, scan_on_grid

    found: list[tuple[str, float, float]] = []

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        found.append((name, time.perf_counter() - wall, time.process_time() - cpu))

    clock: list[tuple[str, float, float]] = []
    now = "labels"

    def report(name: str, done: int, _total: int) -> None:
        # A stage reports each vertebra done, or only its own start: then what came before has ended.
        nonlocal now
        clock.append((name if done else now, time.perf_counter(), time.process_time()))
        now = name

    with stage("reading the mask"):
        labels = read_labels(mask)
    with stage("reading the CT"):
        scan = scan_on_grid(read_scan(ct), labels.grid)
    clock.append(("labels", time.perf_counter(), time.process_time()))
    results = build_results(labels, scan, report)
    clock.append((now, time.perf_counter(), time.process_time()))
    found += _between(clock)
    folder.mkdir()
    with stage("writing"):
        write_results(results, folder, meshes=True)
    return found


def _between(clock: list[tuple[str, float, float]]) -> list[tuple[str, float, float]]:
    """Seconds that passed up to each report, summed by its stage."""
    spent: dict[str, list[float]] = {}
    for (_, wall, cpu), (name, wall_end, cpu_end) in pairwise(clock):
        total = spent.setdefault(name, [0.0, 0.0])
        total[0] += wall_end - wall
        total[1] += cpu_end - cpu
    return [(name, wall, cpu) for name, (wall, cpu) in spent.items()]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="keep the phantom's files here")
    parser.add_argument("--calls", action="store_true", help="also list the costliest functions (cProfile)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        mask, ct = write_phantom(folder)
        base = [
            str(Path(sys.executable).with_name("verse-morph")),
            "measure",
            str(mask),
            "--ct",
            str(ct),
            "-o",
            scratch + "/out",
        ]
        rows = {
            "reading both files": best([sys.executable, "-c", READ, str(mask), str(ct)], options.runs),
            "`verse-morph measure MASK --ct CT`": best([*base, "--overwrite"], options.runs),
            "... --figures": best([*base, "--overwrite", "--figures"], options.runs),
        }
        print("| | wall s | CPU s | peak MB | CPU against reading |\n|---|---|---|---|---|")
        read = rows["reading both files"][1]
        for name, (wall, cpu, peak) in rows.items():
            print(f"| {name} | {wall:.1f} | {cpu:.1f} | {peak:.0f} | {cpu / read:.1f} |")
        print("\n| stage | wall s | CPU s |\n|---|---|---|")
        for name, wall, cpu in stages(mask, ct, Path(scratch) / "stages"):
            print(f"| {name} | {wall:.2f} | {cpu:.2f} |")
        if options.calls:
            _calls([*base[1:], "--overwrite"])


def _calls(arguments: list[str]) -> None:
    """The costliest functions of one run; work on threads is not seen by cProfile, so everything runs on one."""
    import cProfile
    import pstats

    from verse_morph.cli.commands import app
    from verse_morph.shape import draft

    draft.ThreadPoolExecutor = _OneThread  # type: ignore[assignment,misc]
    profile = cProfile.Profile(time.process_time)
    profile.enable()
    try:
        app(arguments, standalone_mode=False)
    finally:
        profile.disable()
        pstats.Stats(profile).sort_stats("tottime").print_stats(40)


class _OneThread:
    """Stands in for the pool of threads."""

    def __init__(self, workers: int) -> None:
        self.map = map

    def __enter__(self) -> _OneThread:
        return self

    def __exit__(self, *what: object) -> None:
        pass


if __name__ == "__main__":
    main()
