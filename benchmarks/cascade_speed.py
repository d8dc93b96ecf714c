"""Time and memory of the cascade, and its ratio to sliding-window inference, in one run on one machine.

    python benchmarks/cascade_speed.py [--weights DIR] [--threads 2]

The scan is a phantom: C1 to sacrum at 1 mm, padded with air to 400 x 400 x 700 mm, and a crop of five lumbar vertebrae
of it. The cascade runs in a process of its own, so that the peak memory is its own. The share of the ceiling is the
arithmetic of the networks' convolutions over their time, against the fastest convolution this machine was measured
to do.
The baseline is inference of a plain U-Net as large as nnU-Net makes them (six levels, 32 to 320 channels, 26
outputs, random weights) on the same scan at 1.5 mm, in blocks of 128 with half overlap: the time of some blocks
times their number.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import torch
from torch import nn

from verse_morph.anatomy import VERSE
from verse_morph.io import read_scan, write_scan
from verse_morph.segment.cascade import SegmentOptions, segment
from verse_morph.space import Grid
from verse_morph.volume import Scan

SIZE_MM = (400, 400, 700)
SLIDING_MM, BLOCK, STEP = 1.5, 128, 64
MEASURED_BLOCKS = 2
NNUNET_WIDTHS = (32, 64, 128, 256, 320, 320)


def whole_spine() -> tuple[Scan, tuple[int, ...]]:
    """The phantom's CT, padded, and its labels from head to foot."""
    from dataclasses import replace

    from verse_morph.phantom.ct import simulate_ct
    from verse_morph.phantom.draw import draw_parameters
    from verse_morph.phantom.parameters import PhantomOptions, View
    from verse_morph.phantom.presets import preset
    from verse_morph.phantom.render import render
    from verse_morph.phantom.tissues import draw_tissue

    view = View("C1", "S", half_width_mm=125, front_mm=110, back_mm=40)
    case = render(draw_parameters(np.random.default_rng(1), PhantomOptions(view=view)), 1.0)
    scanner = replace(preset("siemens"), slice_thickness_mm=1.0, slice_distance_mm=1.0)
    tissue = draw_tissue(np.random.default_rng(2), 60, "F")
    ct = simulate_ct(case.structures, case.bone_depth_mm, case.grid, tissue, scanner, np.random.default_rng(3))
    hu = np.full(SIZE_MM, -1000, dtype=np.int16)
    start = [max(0, (n - m) // 2) for n, m in zip(SIZE_MM, ct.hu.shape, strict=True)]
    part = ct.hu[tuple(slice(0, n) for n in SIZE_MM)]
    hu[tuple(slice(s, s + n) for s, n in zip(start, part.shape, strict=True))] = part
    affine = np.array(ct.grid.affine)
    affine[:3, 3] = ct.grid.to_world(-np.array(start, dtype=float))
    present = set(np.unique(np.asarray(case.verse_labels.labels)))
    return Scan(hu, Grid(SIZE_MM, affine), "whole_spine"), tuple(v for v in VERSE.levels if v in present)


def five_vertebrae(scan: Scan) -> Scan:
    """The lowest 240 mm of the column, 160 mm wide and deep."""
    hu = np.asarray(scan.hu)
    bone = np.argwhere(hu[::4, ::4, ::4] > 250) * 4
    x, y = np.median(bone[:, 0]), np.median(bone[:, 1])
    low = np.array([x - 80, y - 80, bone[:, 2].min() + 60]).astype(int)
    box = tuple(slice(int(max(a, 0)), int(a + n)) for a, n in zip(low, (160, 160, 240), strict=True))
    part = np.ascontiguousarray(hu[box])
    affine = np.array(scan.grid.affine)
    affine[:3, 3] = scan.grid.to_world([s.start for s in box])
    return Scan(part, Grid(part.shape, affine), "five_vertebrae")


def run_once(path: Path, weights: Path | None, threads: int) -> None:
    """Segment one file and print what it took, as JSON."""
    started = time.perf_counter()
    scan = read_scan(path)
    reading = time.perf_counter() - started
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    work = Arithmetic()
    with work:
        found = segment(scan, SegmentOptions(weights=weights, threads=threads))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    said = {"reading": reading, "total": time.perf_counter() - started, "stages": dict(found.seconds)}
    said |= {"peak_gb": peak / 1e6, "before_gb": before / 1e6, "levels": len(found.labels.levels())}
    print(json.dumps(said | {"gflop": work.gflop, "convolution_seconds": work.seconds}))


class Arithmetic:
    """Counts the multiplications of convolutions, twice each, and the time spent in them."""

    def __init__(self) -> None:
        self.gflop, self.seconds, self._began = 0.0, 0.0, 0.0

    def __enter__(self) -> None:
        self._handles = [
            nn.modules.module.register_module_forward_pre_hook(self._before),
            nn.modules.module.register_module_forward_hook(self._after),
        ]

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _before(self, module: nn.Module, _: object) -> None:
        if isinstance(module, nn.modules.conv._ConvNd):
            self._began = time.perf_counter()

    def _after(self, module: nn.Module, given: tuple, out: torch.Tensor) -> None:
        if isinstance(module, nn.modules.conv._ConvNd):
            self.seconds += time.perf_counter() - self._began
            places = given[0].numel() if module.transposed else out.numel()
            other = module.out_channels if module.transposed else module.in_channels
            self.gflop += 2e-9 * places * other * np.prod(module.kernel_size) / module.groups


def ceiling(threads: int) -> float:
    """GFLOP/s of the fastest of some convolutions."""
    torch.set_num_threads(threads)
    best = 0.0
    with torch.inference_mode():
        for channels, side in ((32, 48), (64, 24), (64, 48)):
            layer = nn.Conv3d(channels, channels, 3, padding=1).to(memory_format=torch.channels_last_3d)
            given = torch.randn(1, channels, side, side, side).to(memory_format=torch.channels_last_3d)
            layer(given)
            started = time.perf_counter()
            for _ in range(3):
                layer(given)
            best = max(best, 3 * 2e-9 * 27 * channels**2 * side**3 / (time.perf_counter() - started))
    return best


class Plain(nn.Module):
    """A U-Net with two convolutions per level and concatenated skips."""

    def __init__(self, outputs: int = 26) -> None:
        super().__init__()
        widths = NNUNET_WIDTHS
        self.down = nn.ModuleList([self._two(1, widths[0])])
        self.down += [self._two(a, b, stride=2) for a, b in pairwise(widths)]
        self.up = nn.ModuleList([nn.ConvTranspose3d(b, a, 2, stride=2) for a, b in pairwise(widths)])
        self.merge = nn.ModuleList([self._two(2 * a, a) for a in widths[:-1]])
        self.head = nn.Conv3d(widths[0], outputs, 1)

    @staticmethod
    def _two(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
        first = nn.Conv3d(inputs, outputs, 3, stride=stride, padding=1)
        second = nn.Conv3d(outputs, outputs, 3, padding=1)
        norms = [nn.InstanceNorm3d(outputs, affine=True) for _ in range(2)]
        return nn.Sequential(first, norms[0], nn.LeakyReLU(inplace=True), second, norms[1], nn.LeakyReLU(inplace=True))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
        for up, block, skip in zip(reversed(self.up), reversed(self.merge), reversed(skips[:-1]), strict=True):
            x = block(torch.cat([up(x), skip], dim=1))
        return self.head(x)


def sliding_seconds(threads: int) -> tuple[float, int]:
    """Estimated time of the baseline on the whole scan, and its number of blocks."""
    torch.set_num_threads(threads)
    shape = [round(n / SLIDING_MM) for n in SIZE_MM]
    count = sum(1 for _ in product(*[range(max(1, -(-(n - BLOCK) // STEP) + 1)) for n in shape]))
    model = Plain().eval().to(memory_format=torch.channels_last_3d)
    given = torch.randn(1, 1, BLOCK, BLOCK, BLOCK)
    started = time.perf_counter()
    with torch.inference_mode():
        for _ in range(MEASURED_BLOCKS):
            model(given)
    return (time.perf_counter() - started) / MEASURED_BLOCKS * count, count


def measured(path: Path, weights: Path | None, threads: int) -> dict:
    command = [sys.executable, __file__, "--one", str(path), "--threads", str(threads)]
    command += ["--weights", str(weights)] if weights else []
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        run_once(given.one, given.weights, given.threads)
        return
    scan, levels = whole_spine()
    top = ceiling(given.threads)
    print(
        f"fastest convolution: {top:.0f} GFLOP/s with {given.threads} threads; {len(levels)} vertebrae in the phantom"
    )
    total = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for volume in (five_vertebrae(scan), scan):
            path = Path(folder) / f"{volume.name}_ct.nii.gz"
            write_scan(volume, path)
            said = measured(path, given.weights, given.threads)
            total = said["total"]
            stages = ", ".join(f"{name} {seconds:.1f}" for name, seconds in said["stages"].items())
            share = said["gflop"] / said["convolution_seconds"] / top
            print(f"{volume.name}: {total:.1f} s with reading ({said['reading']:.1f} s), {said['peak_gb']:.2f} GB; "
                  f"{stages} s; {said['levels']} vertebrae; {said['gflop']:.0f} GFLOP in convolutions, "
                  f"{said['convolution_seconds']:.1f} s, {100 * share:.0f} % of the fastest")  # fmt: skip
    seconds, count = sliding_seconds(given.threads)
    print(f"sliding window: {count} blocks, {seconds:.0f} s; the cascade takes 1/{seconds / total:.1f} of it")


if __name__ == "__main__":
    main()
