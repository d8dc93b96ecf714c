"""From a label map to a spine: what is cut, where the body ends, each vertebra's frame, endplates and surface."""

from verse_morph.shape.build import build_spine, numbering_assumed

__all__ = ["build_spine", "numbering_assumed"]
