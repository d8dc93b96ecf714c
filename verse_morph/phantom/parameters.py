"""What can be asked of a phantom and what was drawn for one: plain frozen values that go to JSON and back."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from verse_morph.anatomy import Level
from verse_morph.errors import InputError
from verse_morph.phantom.primitives import Placement

Point = tuple[float, float, float]

CASTELLVI = ("0", "1", "2a", "2b", "3a", "3b", "4")
FRACTURES = ("wedge", "biconcave", "crush")
SIDES = ("left", "right")


@dataclass(frozen=True)
class Fracture:
    """Height lost by a vertebral body.

    Parameters
    ----------
    level : str
    kind : str
        ``wedge`` (front, half as much in the middle), ``biconcave`` (middle) or ``crush`` (everywhere alike).
    loss_pct : float
        Share of the height lost where the kind loses most, per cent of the height before, above 0 and at most 90.
    """

    level: str
    kind: str
    loss_pct: float


@dataclass(frozen=True)
class Schmorl:
    """A node: a round pit in an endplate, placed by its distance from the middle as a share of the half-axes."""

    level: str
    superior: bool = True
    depth_mm: float = 5.0
    radius_mm: float = 5.0
    right_share: float = 0.1
    front_share: float = -0.15


@dataclass(frozen=True)
class Osteophyte:
    """A lip at the front or side edge of an endplate, standing out by ``size_mm``; ``azimuth_deg`` 0 is the front, 90
    the right.
    """

    level: str
    superior: bool = True
    size_mm: float = 5.0
    azimuth_deg: float = 0.0


@dataclass(frozen=True)
class WornDisc:
    """The disc below a level, lower by ``loss_pct`` per cent of the height it would have had, as far as the bodies'
    edges allow.
    """

    level: str
    loss_pct: float


@dataclass(frozen=True)
class StumpRib:
    """A rib shorter than usual: last ribs or ribs on L1."""

    level: str
    side: str
    length_mm: float


@dataclass(frozen=True)
class Variants:
    """Numeric and transitional variants.

    Parameters
    ----------
    thoracic, lumbar : int
        Number of thoracic (11 to 13) and of lumbar-type (4 to 6) vertebrae, fused ones included.
    stump_ribs : tuple of StumpRib
    cervical_ribs : tuple of str
        Sides (``left``, ``right``) on which C7 carries a rib.
    castellvi : str
        0, 1, 2a, 2b, 3a, 3b or 4, of the last lumbar-type vertebra.
    castellvi_side : str
        Affected side of 2a and 3a, fused side of 4.
    half_vertebra : str or None
        Level at which only one half of the body formed (the missing side's height is nil).
    half_vertebra_side : str
        Side that is present.
    """

    thoracic: int = 12
    lumbar: int = 5
    stump_ribs: tuple[StumpRib, ...] = ()
    cervical_ribs: tuple[str, ...] = ()
    castellvi: str = "0"
    castellvi_side: str = "left"
    half_vertebra: str | None = None
    half_vertebra_side: str = "right"


@dataclass(frozen=True)
class Pathology:
    """Fractures and other changes."""

    fractures: tuple[Fracture, ...] = ()
    schmorl_nodes: tuple[Schmorl, ...] = ()
    osteophytes: tuple[Osteophyte, ...] = ()
    laminectomy: tuple[str, ...] = ()
    worn_discs: tuple[WornDisc, ...] = ()


@dataclass(frozen=True)
class Alignment:
    """What the pose must fulfil; None leaves it to chance.

    Parameters
    ----------
    kyphosis_T4_T12_deg, lordosis_L1_L5_deg, lordosis_C2_C7_deg : float, optional
        Cobb angles between rim planes, + = lordotic: a kyphosis is negative. The lower level is the region's last.
    coronal_curve_deg : float, optional
        Coronal Cobb angle between the end vertebrae of :attr:`coronal_ends`, + = convex to the right.
    coronal_ends : 2 str
    disc_heights_mm : Mapping of str to float
        Distance between the rim planes in the middle of the disc below a level.
    slips_mm : Mapping of str to float
        Forward shift of a level (and all above) on the one below, + = anterior.
    """

    kyphosis_T4_T12_deg: float | None = None  # noqa: N815
    lordosis_L1_L5_deg: float | None = None  # noqa: N815
    lordosis_C2_C7_deg: float | None = None  # noqa: N815
    coronal_curve_deg: float | None = None
    coronal_ends: tuple[str, str] = ("T5", "L1")
    disc_heights_mm: Mapping[str, float] = field(default_factory=dict)
    slips_mm: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class View:
    """Field of view of the default grid.

    Parameters
    ----------
    upper, lower : str
        First and last level wholly in the field; ``last`` is the last lumbar one, ``S`` includes the sacrum.
    cut_mm : 2 floats
        Moves the upper and the lower border into the anatomy, mm: positive values cut the first or last vertebra.
    half_width_mm : float or None
        Half extent of the field to both sides of the spine; None takes all that :attr:`PhantomOptions.ribs` and pelvis
        ask for.
    front_mm, back_mm : float
        Free space in front of the bodies and behind the spinous processes.
    """

    upper: str = "C7"
    lower: str = "last"
    cut_mm: tuple[float, float] = (-4.0, -4.0)
    half_width_mm: float | None = None
    front_mm: float = 40.0
    back_mm: float = 25.0


@dataclass(frozen=True)
class PhantomOptions:
    """What is asked of a phantom; everything that is None or not named here is drawn.

    Parameters
    ----------
    sex : str, optional
        ``F`` or ``M``.
    age : float, optional
        Years, 18 to 100.
    height_cm : float, optional
        Body height, 130 to 215.
    ribs, pelvis, neck : bool
        Which bones are rendered besides C7 to sacrum.
    variants, pathology, alignment, view
    """

    sex: str | None = None
    age: float | None = None
    height_cm: float | None = None
    ribs: bool = True
    pelvis: bool = True
    neck: bool = True
    variants: Variants = field(default_factory=Variants)
    pathology: Pathology = field(default_factory=Pathology)
    alignment: Alignment = field(default_factory=Alignment)
    view: View = field(default_factory=View)

    def __post_init__(self) -> None:
        if self.sex not in (None, "F", "M"):
            raise InputError(f"sex is F or M, got {self.sex!r}")
        _in_range("age", self.age, 18, 100, "years")
        _in_range("height_cm", self.height_cm, 130, 215, "cm")


def _in_range(name: str, value: float | None, low: float, high: float, unit: str) -> None:
    if value is not None and not low <= value <= high:
        raise InputError(f"{name} = {value:g} {unit} is impossible anatomy; allowed are {low:g} to {high:g} {unit}")


@dataclass(frozen=True)
class VertebraParameters:
    """One vertebra in its own coordinates: x right, y anterior, z superior, origin in the middle of the body between
    its rim planes.

    Lengths in mm, angles in degrees. ``height_front`` and ``height_back`` are the distances of the rim planes at the
    front and back of the middle depth; ``right_minus_left`` the same across. ``pre_*`` are the heights before any
    fracture. ``centre_mm`` and ``rotation`` place it in the world.
    """

    level: str
    width_superior: float
    width_middle: float
    width_inferior: float
    depth_superior: float
    depth_middle: float
    depth_inferior: float
    height_front: float
    height_back: float
    right_minus_left: float
    concavity_superior: float
    concavity_inferior: float
    back_concavity: float
    uncus: float
    canal_width: float
    canal_depth: float
    pedicle_separation: float
    pedicle_back: float
    pedicle_up: float
    pedicle_height: float
    pedicle_angle: float
    lamina_height: float
    lamina_thickness: float
    spinous_length: float
    spinous_drop: float
    spinous_height: float
    spinous_thickness: float
    transverse_half_span: float
    transverse_back: float
    transverse_up: float
    transverse_height: float
    facet_x: float
    facet_share: float
    facet_z: float
    body_point: Point = (0.0, 0.0, 0.0)
    centre_mm: Point = (0.0, 0.0, 0.0)
    rotation: tuple[Point, Point, Point] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))

    @property
    def placement(self) -> Placement:
        """Own coordinates to world."""
        return Placement(np.array(self.rotation), np.array(self.centre_mm))

    @property
    def rim_height(self) -> float:
        """Distance of the rim planes in the middle of the body, mm."""
        return (self.height_front + self.height_back) / 2


@dataclass(frozen=True)
class SacrumParameters:
    """The sacrum: size of its first endplate and bodies, and its place (own coordinates like a vertebra's, origin in
    S1's endplate).
    """

    width: float
    depth: float
    length: float
    half_span: float
    curve_deg: float
    centre_mm: Point = (0.0, 0.0, 0.0)
    rotation: tuple[Point, Point, Point] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))

    @property
    def placement(self) -> Placement:
        """Own coordinates to world."""
        return Placement(np.array(self.rotation), np.array(self.centre_mm))


@dataclass(frozen=True)
class RibParameters:
    """One rib: the vertebra that carries it, its number (0 = cervical rib), side and length along its axis, mm."""

    level: str
    number: int
    side: str
    length_mm: float
    thickness_mm: float = 6.5
    height_mm: float = 12.0


@dataclass(frozen=True)
class SpineParameters:
    """Everything that was drawn for one phantom.

    Parameters
    ----------
    sex, age, height_cm
        The patient.
    size : float
        Overall size in standard deviations.
    vertebrae : tuple of VertebraParameters
        Head to foot, all that the patient has, fused ones included, fractured ones as they are now.
    sacrum : SacrumParameters
    ribs : tuple of RibParameters
    thorax_width_mm, thorax_depth_mm : float
        Largest inner half-widths are half of these.
    options : PhantomOptions
        What was asked.
    before : Mapping of str to VertebraParameters
        The fractured vertebrae as they were before.
    """

    sex: str
    age: float
    height_cm: float
    size: float
    vertebrae: tuple[VertebraParameters, ...]
    sacrum: SacrumParameters
    ribs: tuple[RibParameters, ...]
    thorax_width_mm: float
    thorax_depth_mm: float
    options: PhantomOptions
    before: Mapping[str, VertebraParameters] = field(default_factory=dict)

    def __getitem__(self, level: Level | str) -> VertebraParameters:
        for vertebra in self.vertebrae:
            if vertebra.level == str(level):
                return vertebra
        raise KeyError(f"no {level} in this phantom; it has {' '.join(v.level for v in self.vertebrae)}")

    @property
    def levels(self) -> tuple[Level, ...]:
        """Levels of the patient, head to foot."""
        return tuple(Level(v.level) for v in self.vertebrae)

    @property
    def fused_levels(self) -> frozenset[Level]:
        """Levels fused with the sacrum, unlabelled in VerSe: the last lumbar-type one in Castellvi 3 and 4."""
        fused = self.options.variants.castellvi in ("3a", "3b", "4")
        return frozenset({self.levels[-1]}) if fused else frozenset()

    def to_json(self) -> str:
        """The parameters as JSON text."""
        return json.dumps(dataclasses.asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> SpineParameters:
        """Parameters from the text of :meth:`to_json`."""
        return _revive(cls, json.loads(text))


def _revive(kind: Any, value: Any) -> Any:
    """Rebuild dataclasses, tuples and mappings from JSON values by their type hints."""
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return kind(**{name: _revive(hints[name], item) for name, item in value.items()})  # type: ignore[operator]
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if value is None or origin is None:
        return value
    if origin is tuple:
        kinds = [inner[0]] * len(value) if inner[-1] is Ellipsis else inner
        return tuple(_revive(k, item) for k, item in zip(kinds, value, strict=True))
    if origin in (Mapping, dict) or getattr(origin, "__name__", "") == "Mapping":
        return {name: _revive(inner[1], item) for name, item in value.items()}
    return value
