"""What tissues measure on CT: parameters, how they are drawn, and bone painted by its depth."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from verse_morph.errors import InputError
from verse_morph.phantom.fields import FloatVolume, occupancy
from verse_morph.phantom.guide import Guide, level_number

FIRST_SOFT = 100
SACRUM = 26
PHASES = ("none", "arterial", "venous")
# Blood and organs in HU by contrast phase: aorta, vena cava, kidney cortex, liver and spleen, heart.
CONTRAST_HU = {
    "none": (42.0, 40.0, 32.0, 55.0, 42.0),
    "arterial": (310.0, 95.0, 190.0, 75.0, 260.0),
    "venous": (165.0, 150.0, 195.0, 110.0, 150.0),
}


@dataclass(frozen=True)
class Sclerosis:
    """Dense bone along an endplate of one vertebra: ``added_hu`` at the endplate, fading over ``reach_mm``."""

    label: int
    superior: bool = True
    added_hu: float = 300.0
    reach_mm: float = 6.0


@dataclass(frozen=True)
class TissueParameters:
    """HU and thicknesses of one patient's tissues.

    Parameters
    ----------
    age : float
        Years: fat in the muscles, calcified arteries.
    trabecular_hu : float
        Mean of L1's trabecular bone at 120 kVp, unenhanced.
    vertebra_sd_hu : float
        Scatter of single vertebrae about the course over the levels.
    texture : float
        SD of the trabecular pattern as a share of its HU, before any blur.
    subcortical_hu, subcortical_mm : float
        Denser struts below the cortex: what they add at the surface, and over which depth that fades.
    cortical_hu : float
        Compact bone without blur.
    wall_mm, endplate_mm, arch_mm : float
        Thickness of the cortex of body walls, of endplates, and of pedicles, laminae, processes and other bones.
    disc_hu, muscle_hu, fat_hu, sac_hu : float
    phase : str
        Contrast medium: one of :data:`PHASES`.
    build : float
        Size of the trunk, 1 = average.
    fat_mm : float
        Thickness of the fat below the skin at the belly.
    muscle_fat : float
        Share of fat in the back muscles.
    bowel_gas : float
        Share of the bowel that holds gas.
    calcification : float
        Share of the aortic wall that is calcified.
    sclerosis : tuple of Sclerosis
    cement, screws : tuple of int
        Labels of vertebrae with cement in the body and with a pair of pedicle screws.
    """

    age: float = 55.0
    trabecular_hu: float = 150.0
    vertebra_sd_hu: float = 10.0
    texture: float = 0.22
    subcortical_hu: float = 280.0
    subcortical_mm: float = 2.0
    cortical_hu: float = 1250.0
    wall_mm: float = 0.45
    endplate_mm: float = 0.65
    arch_mm: float = 1.0
    disc_hu: float = 85.0
    muscle_hu: float = 55.0
    fat_hu: float = -102.0
    sac_hu: float = 22.0
    phase: str = "none"
    build: float = 1.0
    fat_mm: float = 22.0
    muscle_fat: float = 0.1
    bowel_gas: float = 0.12
    calcification: float = 0.1
    sclerosis: tuple[Sclerosis, ...] = ()
    cement: tuple[int, ...] = ()
    screws: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.phase not in PHASES:
            raise InputError(f"contrast phase {self.phase!r} is unknown; one of {', '.join(PHASES)}")
        _within("trabecular_hu", self.trabecular_hu, -100, 600)
        _within("cortical_hu", self.cortical_hu, 200, 2500)
        _within("build", self.build, 0.5, 2.0)


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InputError(f"{name} is {value:g}; allowed are {low:g} to {high:g}")


def draw_tissue(
    rng: np.random.Generator, age: float | None = None, sex: str | None = None, labels: tuple[int, ...] = ()
) -> TissueParameters:
    """Tissues of a random patient.

    Parameters
    ----------
    rng : Generator
    age : float, optional
        Years; 20 to 90 at random by default.
    sex : str, optional
        ``F`` or ``M``; decides over build and fat.
    labels : tuple of int
        Vertebrae that may carry sclerosis, cement or screws (the last two are rare).

    Notes
    -----
    Trabecular HU follow L1(age) = 226 - 2.5 (age - 25), SD 40 (after Jang et al. 2019, 20,374 adults at 120 kVp).
    """
    years = float(rng.uniform(20, 90)) if age is None else age
    female = rng.random() < 0.5 if sex is None else sex == "F"
    phase = str(rng.choice(PHASES, p=(0.45, 0.15, 0.4)))
    mean = 226 - 2.5 * (years - 25)
    drawn = TissueParameters(
        age=years,
        trabecular_hu=float(np.clip(rng.normal(mean, 40), 5, 380)),
        vertebra_sd_hu=float(rng.uniform(4, 16)),
        texture=float(rng.uniform(0.14, 0.32)),
        subcortical_hu=float(rng.uniform(150, 350)),
        subcortical_mm=float(rng.uniform(1.4, 2.6)),
        cortical_hu=float(np.clip(rng.normal(1300 - 3 * max(years - 50, 0), 120), 800, 1700)),
        wall_mm=float(rng.uniform(0.3, 0.6)),
        endplate_mm=float(rng.uniform(0.45, 0.9)),
        arch_mm=float(rng.uniform(0.7, 1.4)),
        disc_hu=float(rng.normal(85, 12)),
        muscle_hu=float(rng.normal(56 - 0.1 * max(years - 50, 0), 5)),
        phase=phase,
        build=float(rng.normal(0.95 if female else 1.03, 0.08)),
        fat_mm=float(np.clip(rng.gamma(5, 4.5 if female else 3.8), 6, 60)),
        muscle_fat=float(np.clip(rng.normal(0.03 + 0.003 * (years - 20), 0.06), 0.01, 0.5)),
        bowel_gas=float(rng.uniform(0.03, 0.25)),
        calcification=float(np.clip(rng.normal((years - 50) / 120, 0.08), 0, 0.5)),
    )
    return _with_findings(drawn, rng, labels)


def _with_findings(tissue: TissueParameters, rng: np.random.Generator, labels: tuple[int, ...]) -> TissueParameters:
    """Sclerosis in one of five, cement in one of thirty, screws in one of twenty-five patients."""
    free = [label for label in labels if 8 <= label <= 25 or label == 28]
    if not free:
        return tissue
    if rng.random() < 0.2:
        foci = rng.choice(free, size=min(len(free), int(rng.integers(1, 4))), replace=False)
        scleroses = [
            Sclerosis(int(label), bool(rng.random() < 0.5), float(rng.uniform(100, 500)), float(rng.uniform(3, 9)))
            for label in foci
        ]
        tissue = replace(tissue, sclerosis=tuple(scleroses))
    if rng.random() < 1 / 30:
        tissue = replace(tissue, cement=(int(rng.choice(free)),))
    lumbar = sorted((label for label in free if label >= 19), key=level_number)
    if len(lumbar) > 1 and rng.random() < 0.04:
        first = int(rng.integers(0, len(lumbar) - 1))
        tissue = replace(tissue, screws=tuple(lumbar[first : first + int(rng.integers(2, 4))]))
    return tissue


def trabecular_by_label(tissue: TissueParameters, rng: np.random.Generator) -> NDArray[np.float32]:
    """Mean trabecular HU (256,) of every bone label: dense in the neck, falling towards L3, low in ribs and pelvis."""
    table = np.full(256, 0.65 * tissue.trabecular_hu + 40, dtype=np.float32)
    level = np.array([1, 4, 7, 8, 13, 17, 19, 20, 22, 24, 25, 26], dtype=float)
    share = np.array([1.75, 1.75, 1.5, 1.35, 1.2, 1.1, 1.04, 1.0, 0.96, 0.98, 1.0, 0.85])
    scatter = rng.normal(0, tissue.vertebra_sd_hu, 256)
    for label in (*range(1, 27), 28):
        table[label] = tissue.trabecular_hu * np.interp(level_number(label), level, share) + scatter[label]
    if tissue.phase != "none":
        table += 8.0  # enhanced marrow
    return table


def periodic_pattern(
    rng: np.random.Generator, spacing_mm: NDArray, sigma_mm: tuple[float, float, float], size: int = 64
) -> FloatVolume:
    """A periodic random tile (size, size, size) of mean 0 and unit SD, as coarse as Gaussians of these sigmas."""
    spectrum = np.fft.rfftn(rng.standard_normal((size,) * 3, dtype=np.float32))
    axes = [np.fft.fftfreq(size, d) for d in spacing_mm[:2]] + [np.fft.rfftfreq(size, spacing_mm[2])]
    squared = sum((f * s) ** 2 for f, s in zip(np.ix_(*axes), sigma_mm, strict=True))
    tile = np.fft.irfftn(spectrum * np.exp(-2 * np.pi**2 * squared), s=(size,) * 3, axes=(0, 1, 2))
    return ((tile - tile.mean()) / tile.std()).astype(np.float32)


@dataclass(frozen=True, eq=False)
class BonePainter:
    """Everything that painting bone in slabs needs, drawn once.

    Parameters
    ----------
    tissue : TissueParameters
    guide : Guide
    spacing_mm : array (3,)
    trabecular : array (256,)
        See :func:`trabecular_by_label`.
    tile, slow_tile : array (n, n, n)
        Periodic patterns of struts and of larger unevenness, see :func:`periodic_pattern`.
    """

    tissue: TissueParameters
    guide: Guide
    spacing_mm: NDArray
    trabecular: NDArray[np.float32]
    tile: FloatVolume
    slow_tile: FloatVolume

    def paint(self, hu: FloatVolume, structures: NDArray[np.uint8], depth_mm: NDArray, first: int) -> None:
        """Paint the bone of one slab into ``hu``, in place.

        Parameters
        ----------
        hu, structures : array (i, j, k)
            A slab of whole slices.
        depth_mm : array (i, j, k + 2)
            With one more slice on either side, for its slope.
        first : int
            The slab's first slice in the whole map.
        """
        voxel = float(np.cbrt(self.spacing_mm.prod()))
        inner = depth_mm[:, :, 1:-1]
        i, j, k = np.nonzero(inner > -voxel / 2)
        if not len(i):
            return
        depth = inner[i, j, k].astype(np.float32)
        slope = (depth_mm[i, j, k + 2].astype(np.float32) - depth_mm[i, j, k]) / np.float32(2 * self.spacing_mm[2])
        label = structures[i, j, k]
        fine, slow = self._patterns(label, i, j, k + first)
        thickness, ahead, basivertebral = self._cortex(label, slope, i, j, k + first)
        trabecular = self._trabecular(label, depth, ahead, fine, slow)
        trabecular += basivertebral * (np.float32(-20) - trabecular)
        # A cortex as thick everywhere as in a drawing would not look like bone.
        thickness *= np.clip(1 + np.float32(0.45) * slow, 0.25, 2) * (1 - basivertebral)
        outer, core = occupancy(depth, voxel), occupancy(depth - thickness, voxel)
        soft = hu[i, j, k] * (1 - outer)
        hu[i, j, k] = soft + np.float32(self.tissue.cortical_hu) * (outer - core) + trabecular * core

    def _patterns(self, label: NDArray, i: NDArray, j: NDArray, k: NDArray) -> tuple[NDArray, NDArray]:
        n = self.tile.shape[0]
        # Another piece of the tiles for every bone, so that no pattern recurs from level to level.
        at = ((i + 17 * label) % n, (j + 29 * label) % n, (k + 5 * label) % n)
        return self.tile[at], self.slow_tile[at]

    def _trabecular(
        self, label: NDArray, depth: NDArray, ahead: NDArray, fine: NDArray, slow: NDArray
    ) -> NDArray[np.float32]:
        tissue, mean = self.tissue, self.trabecular[label]
        # Struts stand closer below the cortex; in arches and processes there is little else.
        reach = np.where(ahead > 0.5, np.float32(tissue.subcortical_mm), np.float32(1.6 * tissue.subcortical_mm))
        near = np.float32(tissue.subcortical_hu) * (1 + np.float32(0.3) * slow)
        near = near * np.where(ahead > 0.5, 1, np.float32(1.1)) * np.exp(-np.maximum(depth, 0) / reach)
        spread = np.float32(tissue.texture) * np.clip(np.abs(mean) + 30, 40, 250)
        return mean + near + spread * (fine + np.float32(0.5) * slow)

    def _cortex(
        self, label: NDArray, slope: NDArray, i: NDArray, j: NDArray, k: NDArray
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Thickness of the cortex in mm, share of body (not arch), and share of the basivertebral vein's opening."""
        tissue = self.tissue
        body, canal, level = self.guide.at(np.arange(int(k.max()) + 1) * self.spacing_mm[2])
        dx = i * np.float32(self.spacing_mm[0]) - body[k, 0].astype(np.float32)
        dy = j * np.float32(self.spacing_mm[1]) - canal[k, 1].astype(np.float32)
        # In front of the canal lies the body (not in a rib); behind its middle the arch.
        ahead = np.clip((dy - 3) / 4, 0, 1) * (np.abs(dx) < 38) * ((label <= SACRUM) | (label == 28))
        plate = np.clip((np.abs(slope) - 0.55) / 0.3, 0, 1)
        of_body = tissue.wall_mm + plate * (tissue.endplate_mm - tissue.wall_mm)
        # Neck vertebrae are smaller throughout, ribs have thin walls.
        arch = tissue.arch_mm * np.interp(level, (1, 7, 12), (0.7, 0.75, 1.0))[k]
        arch = np.where(label >= 41, 0.8 * arch, arch)
        thickness = (arch + ahead * (of_body - arch)).astype(np.float32)
        return thickness, ahead, self._basivertebral(dx, dy, i, k, body, canal)

    def _basivertebral(
        self, dx: NDArray, dy: NDArray, i: NDArray, k: NDArray, body: NDArray, canal: NDArray
    ) -> NDArray[np.float32]:
        """Share of the vein's foramen: a flat funnel in the middle of each body's back wall."""
        out = np.zeros(len(i), dtype=np.float32)
        z = k * np.float32(self.spacing_mm[2])
        for mark in self.guide.landmarks:
            if mark.label < 8:
                continue
            near = np.flatnonzero(np.abs(z - mark.body_mm[2]) < 4)
            depth = dy[near] - np.float32(8.0)
            reach = ((depth - 1) / 7) ** 2 + (dx[near] / 3.5) ** 2 + ((z[near] - mark.body_mm[2]) / 2.5) ** 2
            out[near] = np.maximum(out[near], np.clip((1 - reach) * 1.5, 0, 0.9))
        return out
