"""How Hounsfield units become network input: the same three lines in training and in use."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

AIR_HU = -1024.0
# Below is fat and air alike, above is cortex and metal alike.
WINDOW_HU = (-500.0, 1300.0)
CENTRE_HU, SPREAD_HU = 200.0, 400.0


def to_input(hu: NDArray) -> NDArray[np.float32]:
    """Network input of HU: clipped to the window, then centred and scaled."""
    clipped = np.clip(np.asarray(hu, dtype=np.float32), *WINDOW_HU)
    return (clipped - np.float32(CENTRE_HU)) / np.float32(SPREAD_HU)
