"""Result tables to CSV for people and Parquet for programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from verse_morph.errors import InputError, OutputError
from verse_morph.io.files import existing, replacing

if TYPE_CHECKING:
    import pandas as pd

# Six significant digits: finer than any measurement here, coarse enough to read and to compare between machines.
FLOAT_FORMAT = "%.6g"
# Keys that may look like numbers ("007") and must not be read as such.
_TEXT_COLUMNS = (
    "scan",
    "subject",
    "split",
    "dataset",
    "level",
    "upper_level",
    "lower_level",
    "name",
    "status",
    "flags",
)


def write_table(frame: pd.DataFrame, path: Path | str, parquet: bool = False) -> None:
    """Write a table as CSV, and beside it as Parquet.

    Parameters
    ----------
    frame : DataFrame
        Its index is not written.
    path : Path or str
        ``.csv``; floats get six significant digits, missing values stay empty.
    parquet : bool
        Also write ``.parquet`` of the same stem, with full precision.

    Raises
    ------
    OutputError
        The name does not end in ``.csv``, the folder is missing or cannot be written to.
    """
    target = Path(path)
    if target.suffix != ".csv":
        raise OutputError(f"cannot write {target}: tables are written as .csv")
    with replacing(target) as temporary:
        frame.to_csv(temporary, index=False, float_format=FLOAT_FORMAT, lineterminator="\n")
    if parquet:
        with replacing(target.with_suffix(".parquet")) as temporary:
            frame.to_parquet(temporary, index=False)


def read_table(path: Path | str) -> pd.DataFrame:
    """Read a table written by :func:`write_table`.

    Parameters
    ----------
    path : Path or str
        ``.csv`` or ``.parquet``; keys such as ``scan`` are read as text even when they look like numbers.

    Raises
    ------
    InputError
        Missing, empty or neither of the two formats.
    """
    import pandas as pd

    file = existing(path, "a table, .csv or .parquet")
    try:
        if file.suffix == ".parquet":
            return pd.read_parquet(file)
        return pd.read_csv(file, dtype=dict.fromkeys(_TEXT_COLUMNS, "str"), keep_default_na=False, na_values=[""])
    except (ValueError, OSError) as error:
        raise InputError(f"{file} cannot be read as a table: {str(error).splitlines()[0]}") from error
