"""Results of a function of a number, the latest of them kept; worker processes receive the function without them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """A function whose latest results are kept. Unlike :func:`functools.lru_cache` it can be sent to other processes.

    Parameters
    ----------
    function : callable
        From an integer to a result that nobody changes.
    size : int
        Results kept at most.
    """

    def __init__(self, function: Callable[[int], T], size: int) -> None:
        self.function, self.size = function, size
        self._cached = functools.lru_cache(maxsize=size)(function)

    def __call__(self, number: int) -> T:
        """The result for a number, made or remembered."""
        return self._cached(number)

    def __reduce__(self) -> tuple[Any, ...]:
        return Kept, (self.function, self.size)
