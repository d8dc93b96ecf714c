"""From a CT scan to labelled vertebrae: locating, naming and outlining.

The package itself can be called, as ``verse_morph.measure`` can: ``vm.segment(scan)`` is
``verse_morph.segment.segment(scan)``. Nothing of torch is loaded before a scan is segmented.
"""

from __future__ import annotations

import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from verse_morph.segment.cascade import SegmentOptions
    from verse_morph.volume import LabelMap, Scan

__all__ = ["segment"]


def segment(
    scan: Scan, options: SegmentOptions | None = None, report: Callable[[str, int, int], None] | None = None
) -> LabelMap:
    """Labelled vertebrae of a CT.

    Parameters
    ----------
    scan : Scan
        Hounsfield units in any orientation and spacing.
    options : SegmentOptions, optional
        See :class:`verse_morph.segment.cascade.SegmentOptions`.
    report : callable, optional
        Called with a stage's name, the number done and the number of all.

    Returns
    -------
    LabelMap
        Scheme VerSe, on the scan's grid. Its notes say when the numbering is in doubt;
        :func:`verse_morph.segment.cascade.segment` tells everything else that is known about it.

    Raises
    ------
    VerseMorphError
        No CT, too small, no spine found, no weights, or too little memory.
    """
    from verse_morph.segment.cascade import segment as cascade

    return cascade(scan, options, report).labels


class _CallableRoom(types.ModuleType):
    """Python binds a subpackage's name to the module: ``vm.segment`` becomes this package once anything of it, such as
    ``verse_morph.segment.decode``, was imported. Called, it does what its function does, in any order of imports.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return segment(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableRoom
