"""Numbers from a spine: the catalogue of measurements and the table they make.

The package itself can be called: ``vm.measure(spine)`` is ``verse_morph.measure.measure(spine)``.
"""

import sys
import types
from typing import Any

from verse_morph.measure.catalogue import CATALOGUE, DISC_CATALOGUE
from verse_morph.measure.measurement import Measurement, measurement
from verse_morph.measure.tabulate import (
    curve_dictionary,
    data_dictionaries,
    data_dictionary,
    disc_dictionary,
    measure,
    measure_curves,
    measure_discs,
)

__all__ = [
    "CATALOGUE",
    "DISC_CATALOGUE",
    "Measurement",
    "curve_dictionary",
    "data_dictionaries",
    "data_dictionary",
    "disc_dictionary",
    "measure",
    "measure_curves",
    "measure_discs",
    "measurement",
]


class _CallableRoom(types.ModuleType):
    """Python binds a subpackage's name to the module; this keeps ``vm.measure(spine)`` true after it was imported."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return measure(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableRoom
