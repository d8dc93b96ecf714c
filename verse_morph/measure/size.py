"""Volumes, surface, position, widths and depths of a vertebra."""

from __future__ import annotations

import numpy as np

from verse_morph.measure.body import endplate_extents, mid_section
from verse_morph.measure.measurement import measurement
from verse_morph.spine import Vertebra

PANJABI = "Panjabi et al. 1992 (endplate and body dimensions); cross-sections defined in this dictionary"
VOXELS = "voxel count"


@measurement(unit="cm3", length_power=3, source=VOXELS)
def vertebra_volume(vertebra: Vertebra) -> float:
    """Volume of the whole label: body, arch and processes.

    Misleads where outlines stop short of the tips of the processes, which differs between annotators and networks.
    """
    if "whole" in vertebra.why:
        raise vertebra.missing("whole")
    return vertebra.volume_mm3 / 1000


@measurement(unit="cm3", length_power=3, source=VOXELS)
def body_volume(vertebra: Vertebra) -> float:
    """Volume of the vertebral body: the label in front of a plane through the canal's front wall, without lateral
    processes.

    Misleads at L5 and L6, where broad transverse processes start at the body itself, and with large osteophytes,
    which are included.
    """
    if vertebra.body is None:
        raise vertebra.missing("body")
    return float(vertebra.body.sum()) * vertebra.grid.voxel_volume_mm3 / 1000


@measurement(unit="cm2", length_power=2, source="area of the triangle mesh")
def surface_area(vertebra: Vertebra) -> float:
    """Area of the smoothed closed surface of the whole vertebra.

    Misleads when compared across voxel sizes: fine relief is lost at 1 mm and coarser.
    """
    if "whole" in vertebra.why:
        raise vertebra.missing("whole")
    if vertebra.mesh is None:
        raise vertebra.missing("mesh")
    corners = vertebra.mesh.vertices_mm[vertebra.mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return float(np.linalg.norm(normals, axis=1).sum() / 2 / 100)


def _centre(vertebra: Vertebra, axis: int) -> float:
    if vertebra.centre_mm is None:
        raise vertebra.missing("centre")
    return float(vertebra.centre_mm[axis])


@measurement(
    unit="mm", length_power=1, frame="world", mirror="flip", source="VerSe 2020 centroid convention (vertebral body)"
)
def body_x(vertebra: Vertebra) -> float:
    """Body centroid, towards the patient's right, world RAS."""
    return _centre(vertebra, 0)


@measurement(unit="mm", length_power=1, frame="world", source="VerSe 2020 centroid convention (vertebral body)")
def body_y(vertebra: Vertebra) -> float:
    """Body centroid, towards the front, world RAS."""
    return _centre(vertebra, 1)


@measurement(unit="mm", length_power=1, frame="world", source="VerSe 2020 centroid convention (vertebral body)")
def body_z(vertebra: Vertebra) -> float:
    """Body centroid, towards the head, world RAS."""
    return _centre(vertebra, 2)


@measurement(unit="mm", length_power=1, source=PANJABI)
def body_width_middle(vertebra: Vertebra) -> float:
    """Left-right width of the body half way between the endplates, at mid-depth (median over 2 mm)."""
    return mid_section(vertebra).width.length


@measurement(unit="mm", length_power=1, source=PANJABI)
def body_depth_middle(vertebra: Vertebra) -> float:
    """Front-back depth of the body half way between the endplates, at mid-width (median over 4 mm).

    Misleads where the outline follows the opening of the basivertebral vein into the back wall.
    """
    return mid_section(vertebra).depth.length


@measurement(unit="mm", length_power=1, source=PANJABI)
def endplate_superior_width(vertebra: Vertebra) -> float:
    """Left-right width in a section parallel to the upper rim plane and 2 mm below it, at mid-depth; osteophytes
    included.
    """
    return endplate_extents(vertebra, True)[0].length


@measurement(unit="mm", length_power=1, source=PANJABI)
def endplate_superior_depth(vertebra: Vertebra) -> float:
    """Front-back depth in a section parallel to the upper rim plane and 2 mm below it; osteophytes included."""
    return endplate_extents(vertebra, True)[1].length


@measurement(unit="mm", length_power=1, source=PANJABI)
def endplate_inferior_width(vertebra: Vertebra) -> float:
    """Left-right width in a section parallel to the lower rim plane and 2 mm above it, at mid-depth; osteophytes
    included.
    """
    return endplate_extents(vertebra, False)[0].length


@measurement(unit="mm", length_power=1, source=PANJABI)
def endplate_inferior_depth(vertebra: Vertebra) -> float:
    """Front-back depth in a section parallel to the lower rim plane and 2 mm above it; osteophytes included."""
    return endplate_extents(vertebra, False)[1].length


@measurement(unit="mm", length_power=1, source="bony canal; Panjabi et al. 1991, 1992")
def canal_width(vertebra: Vertebra) -> float:
    """Largest left-right width of the canal where this vertebra's bony ring is closed, median of those sections."""
    return _canal(vertebra, "width_mm")


@measurement(unit="mm", length_power=1, source="bony canal; Panjabi et al. 1991, 1992")
def canal_depth(vertebra: Vertebra) -> float:
    """Mid-line front-back depth of the canal where this vertebra's bony ring is closed, lower quartile of the
    sections.
    """
    return _canal(vertebra, "depth_mm")


@measurement(unit="mm2", length_power=2, source="bony canal; Panjabi et al. 1991, 1992")
def canal_area(vertebra: Vertebra) -> float:
    """Area of the canal where this vertebra's bony ring is closed, median of those sections."""
    return _canal(vertebra, "area_mm2")


def _canal(vertebra: Vertebra, name: str) -> float:
    value = None if vertebra.canal is None else getattr(vertebra.canal, name)
    if value is None:
        raise vertebra.missing("canal")
    return float(value)
