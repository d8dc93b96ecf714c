"""Measurements of the human spine on CT: read a scan and a mask, build the spine, get one table row per vertebra.

>>> import verse_morph as vm
>>> vm.Level.T13 < vm.Level.L1
True

Names are loaded when first used, so that importing the package stays quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verse_morph.anatomy import Level
    from verse_morph.io import read_labels, read_scan
    from verse_morph.measure import measure, measure_curves, measure_discs
    from verse_morph.segment import segment
    from verse_morph.shape import build_spine
    from verse_morph.variants import scan_variants
    from verse_morph.view import view
    from verse_morph.view.cohort import CohortExplorer
    from verse_morph.view.editor import CentroidEditor

__version__ = "0.1.0"

__all__ = [
    "CentroidEditor",
    "CohortExplorer",
    "Level",
    "__version__",
    "build_spine",
    "measure",
    "measure_curves",
    "measure_discs",
    "read_labels",
    "read_scan",
    "scan_variants",
    "segment",
    "view",
]

_HOME = {
    "CentroidEditor": "verse_morph.view.editor",
    "CohortExplorer": "verse_morph.view.cohort",
    "Level": "verse_morph.anatomy",
    "build_spine": "verse_morph.shape",
    "measure": "verse_morph.measure",
    "measure_curves": "verse_morph.measure",
    "measure_discs": "verse_morph.measure",
    "read_labels": "verse_morph.io",
    "read_scan": "verse_morph.io",
    "scan_variants": "verse_morph.variants",
    "segment": "verse_morph.segment",
    "view": "verse_morph.view",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'verse_morph' has no attribute {name!r}; it offers {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
