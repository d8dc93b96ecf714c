"""Scanner presets, named after the vendors of the VerSe paper.

**These are declared fictions.** No vendor's kernel or noise was measured for them and no model name refers to a
product: the numbers are round values in the range of clinical spine CT (edge-enhancing kernels, 0.6 to 5 mm slices),
different enough that a program which depends on the scanner shows it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from verse_morph.errors import InputError
from verse_morph.phantom.ct import ScannerParameters

if TYPE_CHECKING:
    import pandas as pd

# name: kVp, PSF FWHM mm, slice axis, thickness mm, distance mm, edge gain, edge sigma mm, noise SD HU, noise peak 1/mm,
# streak share, HU scale, HU offset, series in the paper's Table 1
_TABLE: dict[str, tuple[float, ...]] = {
    "philips": (120, 1.3, 0, 2.0, 2.0, 0.50, 1.1, 105, 0.22, 0.5, 1.00, 0, 146),
    "siemens": (120, 1.1, 2, 1.0, 1.0, 0.70, 0.9, 75, 0.30, 0.4, 1.00, -3, 103),
    "ge": (120, 1.2, 2, 1.25, 1.25, 0.60, 1.0, 60, 0.26, 0.6, 0.98, 4, 20),
    "toshiba": (135, 1.4, 2, 2.0, 2.0, 0.35, 1.2, 45, 0.20, 0.5, 0.95, 0, 20),
    "glocker": (120, 1.2, 2, 1.25, 1.25, 0.30, 1.0, 50, 0.22, 0.8, 1.00, 0, 30),
    "sharp": (120, 0.8, 2, 0.6, 0.6, 1.00, 0.8, 140, 0.45, 0.5, 1.00, 0, 0),
    "smooth": (120, 1.6, 2, 3.0, 3.0, 0.00, 1.0, 18, 0.14, 0.4, 1.00, 0, 0),
    "thick": (120, 1.4, 2, 5.0, 5.0, 0.10, 1.0, 15, 0.16, 0.4, 1.00, 0, 0),
    "low-kvp": (80, 1.2, 2, 1.0, 1.0, 0.40, 1.0, 95, 0.25, 1.2, 1.18, 0, 0),
    "standard": (120, 1.1, 2, 1.0, 1.0, 0.50, 1.0, 50, 0.25, 0.5, 1.00, 0, 0),
}
_FIELDS = (
    "kvp",
    "psf_fwhm_mm",
    "slice_axis",
    "slice_thickness_mm",
    "slice_distance_mm",
    "edge_gain",
    "edge_sigma_mm",
    "noise_sd_hu",
    "noise_peak_per_mm",
    "streak",
    "hu_scale",
    "hu_offset",
)
_MAKER = {"philips": "Philips", "siemens": "Siemens", "ge": "GE", "toshiba": "Toshiba"}
PRESETS = tuple(_TABLE)


def preset(name: str) -> ScannerParameters:
    """One preset by name.

    Raises
    ------
    InputError
        There is none of this name.

    >>> preset("philips").slice_thickness_mm
    2.0
    """
    if name not in _TABLE:
        raise InputError(f"preset {name!r} is unknown; allowed are {', '.join(PRESETS)}")
    numbers = dict(zip(_FIELDS, _TABLE[name], strict=False))
    maker = _MAKER.get(name)
    return ScannerParameters(
        name=name,
        manufacturer=f"{maker} (simulated)" if maker else "verse_morph (simulated)",
        model=f"verse_morph phantom preset {name!r}, a fiction",
        slice_axis=int(numbers.pop("slice_axis")),
        **numbers,
    )


def preset_table() -> pd.DataFrame:
    """All presets, one row each; ``series_in_paper`` is how often the vendor is drawn by default."""
    import pandas as pd

    table = pd.DataFrame.from_dict(_TABLE, orient="index", columns=[*_FIELDS, "series_in_paper"])
    return table.rename_axis("preset").reset_index().astype({"slice_axis": int, "series_in_paper": int})


def draw_preset(rng: np.random.Generator) -> str:
    """A preset's name, drawn in the proportions of the series per vendor in the paper's Table 1."""
    weights = np.array([row[-1] for row in _TABLE.values()], dtype=float)
    return str(rng.choice(PRESETS, p=weights / weights.sum()))


def draw_scanner(rng: np.random.Generator, name: str | None = None) -> ScannerParameters:
    """A protocol about a preset (any by default): dose, sharpness and HU scale differ from scan to scan."""
    base = preset(str(rng.choice(PRESETS)) if name is None else name)
    return replace(
        base,
        psf_fwhm_mm=float(np.clip(base.psf_fwhm_mm * rng.normal(1, 0.08), 0.6, 3)),
        edge_gain=float(np.clip(base.edge_gain * rng.normal(1, 0.15), 0, 2)),
        noise_sd_hu=float(np.clip(base.noise_sd_hu * np.exp(rng.normal(0, 0.3)), 5, 300)),
        hu_scale=float(base.hu_scale * rng.normal(1, 0.01)),
        hu_offset=float(base.hu_offset + rng.normal(0, 3)),
    )
