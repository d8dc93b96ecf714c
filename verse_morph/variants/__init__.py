"""Variant features of one scan: counts of vertebrae, ribs, transverse processes, a Castellvi suggestion.

Suggestions with the evidence they rest on, for research: never a diagnosis.
"""

from verse_morph.variants.features import COLUMNS, VariantFeatures, scan_variants
from verse_morph.variants.rules import Rules

__all__ = ["COLUMNS", "Rules", "VariantFeatures", "scan_variants"]
