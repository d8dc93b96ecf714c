"""What each stage of the cascade saw and said, to look at before believing a numbering."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from verse_morph.errors import NotMeasurable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from verse_morph.segment.cascade import Segmentation
    from verse_morph.segment.decode import Decoding
    from verse_morph.segment.identify import Identification

BACKGROUND = "#101014"
SURE, OTHER, SACRAL = "#ffd23f", "#ff5d5d", "#b8b8b8"
INPUT_RANGE = (-1.7, 2.6)


def stages_figure(found: Segmentation) -> Figure:
    """Both views of the spine with the named points, the heatmaps behind them, and the runner-up beside.

    Parameters
    ----------
    found : Segmentation
        Of the networks, not of given centroids.

    Returns
    -------
    matplotlib.figure.Figure
        Belongs to no window; use ``savefig``.

    Raises
    ------
    NotMeasurable
        The levels were given, so there is nothing to show.
    """
    from matplotlib.figure import Figure

    seen = found.identification
    if seen is None:
        raise NotMeasurable(f"{found.labels.name}: the levels were given, no network named them")
    rows = seen.grid.shape[2]
    figure = Figure(figsize=(13, max(3.5, 13 * rows / 420)), facecolor=BACKGROUND, layout="constrained")
    panels = figure.subplots(1, 4)
    pictures = (
        ("sagittal: as the network reads it", seen.views.sagittal[0], None),
        ("sagittal: any vertebra", seen.views.sagittal[1], seen.sagittal),
        ("coronal: any vertebra", seen.views.coronal[1], seen.coronal),
        ("coronal, whole depth: ribs", seen.views.coronal[2], None),
    )
    for axes, (title, image, heat) in zip(panels, pictures, strict=True):
        axes.imshow(image[:rows], origin="lower", cmap="gray", vmin=INPUT_RANGE[0], vmax=INPUT_RANGE[1])
        if heat is not None:
            _heat(axes, 1 - heat[-1, :rows])
        axes.set_title(title, color="white", fontsize=9)
        axes.set_axis_off()
    _names(panels[0], seen.decoding, seen, axis=1)
    _names(panels[3], seen.decoding, seen, axis=0)
    return figure


def _heat(axes: Axes, values: np.ndarray) -> None:
    shown = np.ma.masked_less(values, 0.15)
    axes.imshow(shown, origin="lower", cmap="inferno", vmin=0, vmax=1, alpha=0.7)


def _names(axes: Axes, decoding: Decoding, seen: Identification, axis: int) -> None:
    """Levels at their points, S1 where it was seen; in red beside them what the runner-up would call them."""
    sacrum = seen.sacral_body()
    if sacrum is not None:
        index = seen.grid.to_index(sacrum) - seen.views.first
        _word(axes, index[axis] + 3, index[2], "S1", SACRAL)
    # Both numberings name the same points, before any of them is moved for outlining.
    rival = {tuple(point): level for level, point in decoding.runner_up.items()}
    for level, point in decoding.points_mm.items():
        index = seen.grid.to_index(point) - seen.views.first
        axes.plot(index[axis], index[2], ".", color=SURE, markersize=4)
        _word(axes, index[axis] + 3, index[2], str(level), SURE)
        other = rival.get(tuple(point))
        if decoding.in_doubt and other is not None and other is not level:
            _word(axes, index[axis] - 3, index[2], f"{other}?", OTHER)


def _word(axes: Axes, x: float, y: float, text: str, colour: str) -> None:
    from matplotlib.patheffects import withStroke

    side = "right" if colour == OTHER else "left"
    outline = [withStroke(linewidth=1.5, foreground="black")]
    axes.text(x, y, text, color=colour, fontsize=8, va="center", ha=side, path_effects=outline)
