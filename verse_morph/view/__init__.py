"""Widgets to turn, slice and read a spine in a notebook, and pages that need no server; nothing published is computed.

The package itself can be called: ``vm.view(spine)`` is ``verse_morph.view.spine.view(spine)``.
"""

import sys
import types
from typing import Any

from verse_morph.view.needs import ViewerUnavailable
from verse_morph.view.page import write_page
from verse_morph.view.plain import PlainViewer
from verse_morph.view.results import Opened, open_results
from verse_morph.view.slices import SliceViewer
from verse_morph.view.spine import SpineViewer, view

__all__ = [
    "Opened",
    "PlainViewer",
    "SliceViewer",
    "SpineViewer",
    "ViewerUnavailable",
    "open_results",
    "view",
    "write_page",
]


class _CallableRoom(types.ModuleType):
    """Python binds a subpackage's name to the module; this keeps ``vm.view(spine)`` true after it was imported."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return view(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableRoom
