"""The decorator that turns a function into an entry of a catalogue. It only attaches what the function claims."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from verse_morph.tables import Column

Value = float | str
SUBJECTS = ("vertebra", "spine", "disc")


@dataclass(frozen=True)
class Measurement:
    """One number (or word) that we claim to measure.

    Parameters
    ----------
    compute : callable
        The function behind it: of what ``of`` says, returning a value, or raising NotMeasurable with the reason.
    column : Column
        Name with unit, frame, length power, mirror behaviour, definition and source.
    mirror_partner : str
        Name of the other side's column where mirroring swaps them.
    of : str
        What the function takes: ``vertebra``: a Vertebra alone; ``spine``: a Vertebra and the Spine it belongs to, for
        what only its neighbours can tell; ``disc``: a Disc.
    word : bool
        Whether the value is a word; a missing word is empty, a missing number NaN.
    counts : bool
        Whether its absence makes a row ``partial``: not for what needs a CT, or is defined at some levels only.
    """

    compute: Callable[..., Value]
    column: Column
    mirror_partner: str = ""
    of: str = "vertebra"
    word: bool = False
    counts: bool = True

    @property
    def name(self) -> str:
        """Column name, unit included."""
        return self.column.name

    def __call__(self, *subject: Any) -> Value:
        """Value for one subject; raises NotMeasurable with the reason where there is none."""
        return self.compute(*subject)


def measurement(  # noqa: PLR0913  each is one word of the claim
    *,
    unit: str,
    length_power: int | None,
    source: str,
    frame: str = "body",
    mirror: str = "keep",
    partner: str = "",
    of: str = "vertebra",
    word: bool = False,
    counts: bool = True,
) -> Callable[[Callable[..., Value]], Measurement]:
    """Declare a function as a measurement; the column is the function's name with the unit, if any, behind it unless
    the name holds it already, as ``trabecular_hu_mean`` does.

    Parameters
    ----------
    unit : str
        ``mm``, ``mm2``, ``cm2``, ``cm3``, ``deg``, ``pct``, ``hu``, ...; empty for grades, counts and words.
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
    of : str
        ``vertebra``, ``spine`` (vertebra and spine) or ``disc``: what the function takes.
    word, counts : bool
        Whether the function answers with a word; whether a row without the value is incomplete.

    Raises
    ------
    ValueError
        The function has no docstring to take its definition from, or ``of`` is something else.
    """
    if of not in SUBJECTS:
        raise ValueError(f"of={of!r}; one of {', '.join(SUBJECTS)}")

    def attach(compute: Callable[..., Value]) -> Measurement:
        if not compute.__doc__:
            raise ValueError(f"{compute.__name__} has no docstring; its first sentence is the published definition")
        definition = " ".join(compute.__doc__.strip().split("\n\n")[0].split())
        column = Column(
            name=_column_name(compute.__name__, unit),
            unit=unit,
            frame=frame,
            length_power=length_power,
            mirror=mirror,
            definition=definition,
            source=source,
        )
        return Measurement(compute, column, partner, of, word, counts)

    return attach


def _column_name(function: str, unit: str) -> str:
    return function if not unit or unit in function.split("_") else f"{function}_{unit}"
