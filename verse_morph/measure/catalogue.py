"""Everything we claim to measure on a vertebra, in column order. Listing a measurement here is what publishes and
tests it.
"""

from verse_morph.measure import centre_line, density, discs, endplates, heights, size, slip
from verse_morph.measure.measurement import Measurement

CATALOGUE: tuple[Measurement, ...] = (
    size.body_x,
    size.body_y,
    size.body_z,
    size.vertebra_volume,
    size.body_volume,
    size.surface_area,
    heights.height_anterior,
    heights.height_middle,
    heights.height_posterior,
    heights.height_left,
    heights.height_right,
    size.body_width_middle,
    size.body_depth_middle,
    size.endplate_superior_width,
    size.endplate_superior_depth,
    size.endplate_inferior_width,
    size.endplate_inferior_depth,
    endplates.endplate_superior_tilt_sagittal,
    endplates.endplate_superior_tilt_coronal,
    endplates.endplate_inferior_tilt_sagittal,
    endplates.endplate_inferior_tilt_coronal,
    endplates.endplate_superior_concavity,
    endplates.endplate_inferior_concavity,
    size.canal_width,
    size.canal_depth,
    size.canal_area,
    centre_line.axial_rotation,
    centre_line.axial_rotation_on_next,
    centre_line.centre_line_curvature,
    centre_line.centre_line_torsion,
    centre_line.offset_front_of_lowest,
    centre_line.offset_right_of_lowest,
    density.trabecular_hu_mean,
    density.trabecular_hu_median,
    density.trabecular_hu_sd,
    density.trabecular_volume,
    density.trabecular_dense,
    density.trabecular_hu_margin_2mm,
    density.trabecular_hu_margin_4mm,
    density.bmd,
)

DISC_CATALOGUE: tuple[Measurement, ...] = (
    discs.height_anterior,
    discs.height_middle,
    discs.height_posterior,
    discs.height_left,
    discs.height_right,
    discs.height_dabbs,
    discs.farfan_index,
    discs.height_volumetric,
    discs.wedge_sagittal,
    discs.wedge_coronal,
    slip.slip_mm,
    slip.slip_pct,
    slip.meyerding,
    slip.slip_lateral,
)
"""Everything we claim to measure on a disc, in column order."""
