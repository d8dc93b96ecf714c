"""Every error a user can cause or meet; the command line prints the message as one line.

A message says what was asked, what was found and what to do about it.
"""

from __future__ import annotations


class VerseMorphError(Exception):
    """Base of all errors that are about the input or the request, not about a defect of ours."""


class InputError(VerseMorphError):
    """A file or folder cannot be read as what it was given for."""


class GridMismatch(VerseMorphError):
    """Two images do not lie on the same grid and cannot be brought together."""


class UnknownLabel(VerseMorphError):
    """A mask holds a value that its label scheme does not know."""


class OutputError(VerseMorphError):
    """A result cannot be written where it was asked for."""


class DownloadFailed(VerseMorphError):
    """A file cannot be fetched whole and unchanged from its public address."""


class WeightsMissing(VerseMorphError):
    """The trained networks that a stage needs are not there."""


class NotMeasurable(VerseMorphError):
    """A quantity has no trustworthy value here; the message is the reason shown in the table."""
