"""The decorator that turns a function of a vertebra into an entry of the catalogue. It only attaches what the
function claims.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from verse_morph.spine import Vertebra
from verse_morph.tables import Column


@dataclass(frozen=True)
class Measurement:
    """One number that we claim to measure on a vertebra.

    Parameters
    ----------
    compute : callable
        Function of a Vertebra returning a float, or raising NotMeasurable with the reason.
    column : Column
        Name with unit, frame, length power, mirror behaviour, definition and source.
    mirror_partner : str
        Name of the other side's column where mirroring swaps them.
    """

    compute: Callable[[Vertebra], float]
    column: Column
    mirror_partner: str = ""

    @property
    def name(self) -> str:
        """Column name, unit included."""
        return self.column.name

    def __call__(self, vertebra: Vertebra) -> float:
        """Value for one vertebra; raises NotMeasurable with the reason where there is none."""
        return self.compute(vertebra)


def measurement(
    *,
    unit: str,
    length_power: int | None,
    source: str,
    frame: str = "body",
    mirror: str = "keep",
    partner: str = "",
) -> Callable[[Callable[[Vertebra], float]], Measurement]:
    """Declare a function of a vertebra as a measurement; the column is the function's name with the unit behind it.

    Parameters
    ----------
    unit : str
        ``mm``, ``mm2``, ``cm2``, ``cm3`` or ``deg``.
    length_power : int or None
        Scaling the anatomy by s multiplies the value by s to this power.
    source : str
        Citation of the definition.
    frame : str
        ``body`` (unchanged by rigid motion) or ``world`` (moves along).
    mirror : str
        ``keep``, ``flip`` or ``swap`` when left and right are exchanged.
    partner : str
        For ``swap``: the other side's column.

    Raises
    ------
    ValueError
        The function has no docstring to take its definition from.
    """

    def attach(compute: Callable[[Vertebra], float]) -> Measurement:
        if not compute.__doc__:
            raise ValueError(f"{compute.__name__} has no docstring; its first sentence is the published definition")
        definition = " ".join(compute.__doc__.strip().split("\n\n")[0].split())
        column = Column(
            name=f"{compute.__name__}_{unit}",
            unit=unit,
            frame=frame,
            length_power=length_power,
            mirror=mirror,
            definition=definition,
            source=source,
        )
        return Measurement(compute, column, partner)

    return attach
