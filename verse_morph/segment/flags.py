"""Words about a segmentation, per vertebra and per scan; those that tables share are spelled as there."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType

from verse_morph.spine import Flag


class MaskFlag(enum.StrEnum):
    """What to know about the mask of one vertebra."""

    BODY_CUT = Flag.BODY_CUT.value
    PROCESSES_CUT = Flag.PROCESSES_CUT.value
    SPECKS_REMOVED = Flag.SPECKS_REMOVED.value
    POINT_MOVED = "point_moved"
    ADDED = "added_by_outline"
    TOO_SMALL = "left_out_too_small"
    TOO_LARGE = "left_out_too_large"
    INTERPOLATED = "level_interpolated"
    FROM_PEDICLES = "body_from_pedicles"


# Why what was outlined is not in the mask, in words.
LEFT_OUT: Mapping[MaskFlag, str] = MappingProxyType(
    {
        MaskFlag.TOO_SMALL: "too small an outline for a vertebra",
        MaskFlag.TOO_LARGE: "too large an outline for a vertebra",
    }
)


class ScanFlag(enum.StrEnum):
    """What to know about the numbering of a whole scan."""

    IN_DOUBT = Flag.NUMBERING_IN_DOUBT.value
    ASSUMED = Flag.NUMBERING_ASSUMED.value
    ORIENTATION = "orientation_implausible"
