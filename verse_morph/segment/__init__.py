"""From a CT scan to labelled vertebrae: locating, naming and outlining."""
