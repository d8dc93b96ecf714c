"""What every command that reads files was asked for."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from verse_morph.errors import InputError


@dataclass(frozen=True)
class Job:
    """A request; each command has one of its own with its options as fields."""

    def inputs(self) -> list[Path]:
        """The files and folders that are read."""
        raise NotImplementedError

    def parameters(self) -> dict[str, Any]:
        """Every setting, as plain values."""
        return {key: str(value) if isinstance(value, os.PathLike) else value for key, value in asdict(self).items()}

    def require_inputs(self) -> None:
        """Refuse before any work what is not there.

        Raises
        ------
        InputError
            An input does not exist.
        """
        for path in self.inputs():
            if not path.exists():
                raise InputError(f"no such file or folder: {path}")
