"""Files in, files out: everything that knows a format, a folder layout or LPS."""

from verse_morph.io.centroids import Centroids, detect_flip_slip, read_centroids, write_centroids
from verse_morph.io.grids import scan_on_grid
from verse_morph.io.labels import read_labels, write_labels
from verse_morph.io.meshes import write_glb, write_ply
from verse_morph.io.scans import read_scan, write_scan
from verse_morph.io.schemes import SCHEMES
from verse_morph.io.tables import read_table, write_table
from verse_morph.io.verse import Case, find_cases, scan_name

__all__ = [
    "SCHEMES",
    "Case",
    "Centroids",
    "detect_flip_slip",
    "find_cases",
    "read_centroids",
    "read_labels",
    "read_scan",
    "read_table",
    "scan_name",
    "scan_on_grid",
    "write_centroids",
    "write_glb",
    "write_labels",
    "write_ply",
    "write_scan",
    "write_table",
]
