"""The command line: parse, call, print. Exit codes: 0 done, 2 bad usage or bad input, 1 a defect of ours."""

from verse_morph.cli.commands import main

__all__ = ["main"]
