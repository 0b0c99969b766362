"""Texts kept by the bytes they are made of: most of what a flow says was said before."""

from collections.abc import Callable
from typing import Generic, TypeVar

_K = TypeVar("_K")
_T = TypeVar("_T")
_KEPT = 8192


class Kept(dict[_K, _T], Generic[_K, _T]):
    """What a function made of bytes; at most 8,192 answers, then it begins anew."""

    def __init__(self, make: Callable[[_K], _T]) -> None:
        """Take the function; what it raises passes through, and nothing is kept."""
        self._make = make

    def __missing__(self, key: _K) -> _T:
        """Make the answer to bytes that were not met before."""
        value = self._make(key)
        if len(self) >= _KEPT:
            self.clear()
        self[key] = value
        return value
