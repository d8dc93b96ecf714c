"""Changes of a drawn vertebra: fractures of given loss, half-vertebrae, lips at the rims."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from verse_morph.phantom.implicit import Blob, Step
from verse_morph.phantom.parameters import Pathology, Variants, VertebraParameters

# Position of the anterior and posterior height as a share of the middle depth from the middle.
FRONT = 0.4


def fractured(shape: VertebraParameters, pathology: Pathology) -> VertebraParameters:
    """The vertebra after its fractures, the same object when it has none.

    A wedge takes the wanted share of the height at 10 % of the depth and nothing at 90 %, a biconcave fracture that
    share of the height in the middle and nothing of the rims, a crush fracture that share of every height.
    """
    for fracture in pathology.fractures:
        if fracture.level == shape.level:
            shape = _one(shape, fracture.kind, fracture.loss_pct / 100)
    return shape


def _one(shape: VertebraParameters, kind: str, loss: float) -> VertebraParameters:
    front, back = shape.height_front, shape.height_back
    dishes = shape.concavity_superior + shape.concavity_inferior
    if kind == "crush":
        keep = 1 - loss
        return replace(
            shape,
            height_front=front * keep,
            height_back=back * keep,
            right_minus_left=shape.right_minus_left * keep,
            concavity_superior=shape.concavity_superior * keep,
            concavity_inferior=shape.concavity_inferior * keep,
            pedicle_up=_lowered(shape, keep),
        )
    if kind == "biconcave":
        more = loss * (shape.rim_height - dishes) / 2
        return replace(
            shape,
            concavity_superior=shape.concavity_superior + more,
            concavity_inferior=shape.concavity_inferior + more,
        )
    at_front = shape.rim_height + FRONT * (front - back)
    at_back = shape.rim_height - FRONT * (front - back)
    slope = ((1 - loss) * at_front - at_back) / (2 * FRONT)
    middle = ((1 - loss) * at_front + at_back) / 2
    # A collapsed front has no room for the old concavity: the endplates flatten.
    flat = min(1.0, 0.35 * middle / max(dishes, 0.1))
    return replace(
        shape,
        height_front=middle + slope / 2,
        height_back=middle - slope / 2,
        concavity_superior=shape.concavity_superior * flat,
        concavity_inferior=shape.concavity_inferior * flat,
    )


def _lowered(shape: VertebraParameters, keep: float) -> float:
    """Height of the pedicles above the middle of a crushed body: their upper edge stays at the upper rim."""
    return min(shape.pedicle_up, max(keep * shape.rim_height / 2 + 1.0 - shape.pedicle_height / 2, 0.0))


def half_formed(shape: VertebraParameters, variants: Variants) -> VertebraParameters:
    """A half-vertebra: one side of the body tapers to a tenth of the height; the same object for every other level."""
    if shape.level != variants.half_vertebra:
        return shape
    side = 1.0 if variants.half_vertebra_side == "right" else -1.0
    full = shape.rim_height
    # The present side keeps its height at the edge, the other side a tenth.
    middle = 0.55 * full
    share = middle / full
    return replace(
        shape,
        height_front=shape.height_front * share,
        height_back=shape.height_back * share,
        right_minus_left=side * 0.9 * full,
        concavity_superior=0.3 * shape.concavity_superior,
        concavity_inferior=0.3 * shape.concavity_inferior,
        pedicle_up=min(shape.pedicle_up, 2.0),
    )


def osteophyte_steps(shape: VertebraParameters, pathology: Pathology) -> tuple[Step, ...]:
    """Lips at the rim of a vertebra: flat ellipsoids at the edge of an endplate, pointing outwards and slightly towards
    the disc.
    """
    steps = []
    for lip in pathology.osteophytes:
        if lip.level != shape.level:
            continue
        angle = np.radians(lip.azimuth_deg)
        outward = np.array([np.sin(angle), np.cos(angle), 0.0])
        width, depth = (
            (shape.width_superior, shape.depth_superior)
            if lip.superior
            else (shape.width_inferior, shape.depth_inferior)
        )
        sign = 1.0 if lip.superior else -1.0
        edge = outward * np.array([width / 2, depth / 2, 0])
        gy = (shape.height_front - shape.height_back) / shape.depth_middle
        edge[2] = sign * ((shape.rim_height + gy * edge[1]) / 2 - 0.3 * lip.size_mm - 1.0)
        along = np.array([outward[1], -outward[0], 0.0])
        axes = np.stack([outward, along, [0, 0, 1.0]])
        steps.append(Step(Blob(edge, (lip.size_mm, 1.8 * lip.size_mm, 0.55 * lip.size_mm), axes), 2.0))
    return tuple(steps)
