"""How people write vendors, grades, sides, sexes, splits and ages, and the one word that our tables use for each."""

from __future__ import annotations

import math
import re
from datetime import date

UNKNOWN_VENDOR = "unknown"
GRADES = ("0", "0/1", "1", "2", "2a", "2b", "3", "3a", "3b", "4")
SPLITS = ("training", "validation", "test")
SIDES = ("left", "right", "both")

_MISSING = frozenset({"", "nan", "na", "n/a", "<na>", "not assessed", "not assessable", "missing", "-", "?"})
_VENDORS = (
    (r"philips", "Philips"),
    (r"siemens", "Siemens"),
    (r"\bge\b|general electric", "GE"),
    (r"toshiba", "Toshiba"),
    (r"canon", "Canon"),
    (r"hitachi", "Hitachi"),
    # VerSe has no scanner facts for the scans of the Glocker collection; phantoms "of" it carry our own name.
    (r"unknown|glocker|anonym|verse_morph", UNKNOWN_VENDOR),
)
_ROMAN = {"iv": "4", "iii": "3", "ii": "2", "i": "1"}
_DATE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}.*|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}|(19|20)\d{6}")
_AGE = re.compile(r"(\d+(?:[.,]\d+)?)\s*(y|yr|yrs|years?|m|months?|w|weeks?|d|days?)?\.?", re.IGNORECASE)
_PER_YEAR = {"y": 1.0, "m": 12.0, "w": 52.1775, "d": 365.25}
OLDEST = 120.0


def is_missing(value: object) -> bool:
    """Whether a cell says nothing.

    >>> [is_missing(v) for v in (None, float("nan"), " n/a ", "0", 0)]
    [True, True, True, False, False]
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True
    return str(value).strip().lower() in _MISSING


def plain(value: object) -> str:
    """A cell as text; whole numbers lose the ``.0`` that tables give them.

    >>> plain(4.0), plain(" IIa ")
    ('4', 'IIa')
    """
    text = str(value).strip()
    return text[:-2] if re.fullmatch(r"-?\d+\.0", text) else text


def vendor_name(value: object) -> str:
    """One name per maker; ``unknown`` is a category of its own, and makers we do not know keep their name.

    >>> vendor_name("PHILIPS MEDICAL SYSTEMS"), vendor_name("GE MEDICAL SYSTEMS"), vendor_name(None)
    ('Philips', 'GE', 'unknown')
    """
    if is_missing(value):
        return UNKNOWN_VENDOR
    text = " ".join(str(value).split())
    for pattern, name in _VENDORS:
        if re.search(pattern, text, re.IGNORECASE):
            return name
    return text


def castellvi_grade(value: object) -> str:
    """Castellvi grade as ``0, 0/1, 1, 2, 2a, 2b, 3, 3a, 3b`` or ``4``.

    >>> [castellvi_grade(text) for text in ("II", "IIa", "2A", "type 2a", "Castellvi IV", "0-1", 3.0)]
    ['2', '2a', '2a', '2a', '4', '0/1', '3']

    Raises
    ------
    ValueError
        Not understood.
    """
    text = re.sub(r"castellvi|type|typ|grade|[\s._()]", "", plain(value).lower())
    pair = re.fullmatch(r"0[/\-]?(?:1|i)", text)
    if pair:
        return "0/1"
    match = re.fullmatch(r"(iv|iii|ii|i|[0-4])[-/]?([ab]?)", text)
    if not match:
        raise ValueError("is no Castellvi grade; understood are 0, 1, 2a, 2b, 3a, 3b, 4, I to IV and the like")
    number, letter = _ROMAN.get(match[1], match[1]), match[2]
    if letter and number in ("0", "4"):
        raise ValueError(f"is no Castellvi grade: {number} has no a or b")
    # 1a and 1b differ by the side of a broad process only, which is of no clinical weight.
    return number if number == "1" else number + letter


def sex_word(value: object) -> str:
    """``F`` or ``M``.

    Raises
    ------
    ValueError
        Not understood; 0, 1 and 2 are not guessed at.
    """
    text = plain(value).lower()
    if text in ("f", "female", "w", "woman"):
        return "F"
    if text in ("m", "male", "man"):
        return "M"
    raise ValueError("is no sex; write F or M (numbers are not guessed at: give a mapping)")


def split_word(value: object) -> str:
    """``training``, ``validation`` or ``test``.

    >>> split_word("validation public"), split_word("test secret"), split_word("01_train")
    ('validation', 'test', 'training')

    Raises
    ------
    ValueError
        None of the three.
    """
    text = plain(value).lower()
    for start, word in (("train", "training"), ("val", "validation"), ("test", "test"), ("hidden", "test")):
        if re.search(rf"(^|[^a-z]){start}", text):
            return word
    raise ValueError(f"is no split; understood are {', '.join(SPLITS)}")


def side_word(value: object) -> str:
    """``left``, ``right`` or ``both``, of the patient.

    Raises
    ------
    ValueError
        None of the three.
    """
    text = plain(value).lower()
    for word in SIDES:
        if text in (word, word[0]):
            return word
    if text == "bilateral":
        return "both"
    raise ValueError("is no side; understood are left, right, both, L, R")


def age_years(value: object) -> float:
    """Age in years, from a number or a DICOM age such as ``063Y``.

    >>> age_years("63"), age_years("063Y"), age_years("018M")
    (63.0, 63.0, 1.5)

    Raises
    ------
    ValueError
        A date, a year of birth, negative, above 120, or not understood.
    """
    text = plain(value)
    if isinstance(value, date) or _DATE.fullmatch(text):
        raise ValueError("is a date, not an age in years")
    if re.fullmatch(r"-\d+(\.\d+)?", text):
        raise ValueError("is a negative age")
    match = _AGE.fullmatch(text)
    if not match:
        raise ValueError("is no age in years")
    years = float(match[1].replace(",", ".")) / _PER_YEAR[(match[2] or "y")[0].lower()]
    if 1880 <= years <= 2100:
        raise ValueError("is a year, not an age in years")
    if years > OLDEST:
        raise ValueError(f"is an age above {OLDEST:g} years")
    return years


def count(value: object) -> int:
    """A count: a whole number, 0 or more.

    Raises
    ------
    ValueError
        Negative, broken or no number.
    """
    number = _number(value)
    if number < 0:
        raise ValueError("is a negative count")
    if number != round(number):
        raise ValueError("is no whole number")
    return int(number)


def measure(value: object) -> float:
    """A finite number.

    Raises
    ------
    ValueError
        No number, or infinite.
    """
    return _number(value)


def flag(value: object) -> bool:
    """Yes or no.

    Raises
    ------
    ValueError
        Neither.
    """
    text = plain(value).lower()
    if text in ("1", "true", "yes", "y"):
        return True
    if text in ("0", "false", "no", "n"):
        return False
    raise ValueError("is neither yes nor no; write true or false")


def _number(value: object) -> float:
    try:
        number = float(str(value).strip())
    except ValueError as error:
        raise ValueError("is no number") from error
    if not math.isfinite(number):
        raise ValueError("is not finite")
    return number
