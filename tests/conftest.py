"""Shared fixtures: where the real data lie, and a small spine made of blocks."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from verse_morph import cli

REAL_DATA = Path(os.environ.get("VERSE_MORPH_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))

# A busy machine is not a defect: no test fails for being slow. The same examples every time: a failure can be repeated.
settings.register_profile("untimed", deadline=None, derandomize=True)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with real scans and masks; they are not part of the repository."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"no real data at {REAL_DATA}; set VERSE_MORPH_TEST_DATA to a folder that has them")
    return REAL_DATA


@pytest.fixture
def command_line(capsys, monkeypatch) -> Callable[..., tuple[int, str, str]]:
    """Exit code, standard output and standard error of one call of `verse-morph` in this process."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["verse-morph", *map(str, arguments)])
        monkeypatch.setattr(signal, "signal", lambda *_: None)
        monkeypatch.setattr("warnings.showwarning", None)
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        captured = capsys.readouterr()
        return exit_.value.code or 0, captured.out, captured.err

    return run
