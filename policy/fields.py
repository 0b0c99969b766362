"""A value inside a parsed YAML or JSON document that knows its path.

In: what a YAML parser returned (dicts, lists, scalars), of which nothing can be trusted. Out: typed
values, or a FieldError that names path and value. A field that is absent or null is a Field too, so
that readers walk down without asking at each step and only the leaf decides what absence means.
Does not know Kubernetes. Readers: policy.networkpolicy and the typed objects of `server`.
"""

from __future__ import annotations

import ipaddress
import reprlib
from typing import TYPE_CHECKING

from policy.errors import FieldError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterator

SHOWN_CHARACTERS = 80


LONGEST_NUMBER_BITS = 4_000
"""Python refuses to write numbers of more than 4,300 digits."""


class _Brief(reprlib.Repr):
    """Writes no more of a value than an error could show: aliases in YAML can make it endless."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 4
        self.maxlist = self.maxdict = self.maxtuple = self.maxset = self.maxfrozenset = 8
        self.maxstring = self.maxother = self.maxlong = 1_000

    def repr_int(self, x: int, level: int) -> str:
        """Write a number, or how large it is."""
        bits = x.bit_length()
        return repr(x) if bits < LONGEST_NUMBER_BITS else f"a number of {bits} bits"


_BRIEF = _Brief()


def shown(value: object) -> str:
    """Write the value as an error shows it: one line, bounded, whatever it is."""
    text = _BRIEF.repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


class Field:
    """A value and where it was found; `field["name"]` walks into a mapping."""

    __slots__ = ("path", "value")

    def __init__(self, value: object, path: str = "") -> None:
        self.value = value
        self.path = path

    def __getitem__(self, name: str) -> Field:
        """Walk to the member of that name, absent when there is none.

        Raises:
            FieldError: The value is neither a mapping nor absent.
        """
        path = f"{self.path}.{name}" if self.path else name
        return Field(self._mapping().get(name), path)

    @property
    def present(self) -> bool:
        """Whether there is a value; null counts as none, as it does for Kubernetes."""
        return self.value is not None

    def text(self, default: str | None = None) -> str:
        """Read a string; a missing one is the default, an error without one."""
        if self.value is None and default is not None:
            return default
        if not isinstance(self.value, str):
            raise self.error("text")
        return self.value

    def name(self) -> str:
        """Read a string that is not empty."""
        if not self.text():
            raise self.error("a name that is not empty")
        return self.text()

    def number(self, first: int, last: int) -> int:
        """Read a whole number within first..last."""
        value = self.value
        if isinstance(value, bool) or not isinstance(value, int) or not first <= value <= last:
            raise self.error(f"a number within {first}..{last}")
        return value

    def truth(self, *, default: bool) -> bool:
        """Read true or false; a missing one is the default."""
        if self.value is None:
            return default
        if not isinstance(self.value, bool):
            raise self.error("true or false")
        return self.value

    def choice(self, *allowed: str) -> str:
        """Read one of the strings allowed."""
        value = self.value
        if not isinstance(value, str) or value not in allowed:
            raise self.error(f"one of {', '.join(allowed)}")
        return value

    def address(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
        """Read an IP address; an IPv4 address in IPv6 clothes is the IPv4 address."""
        try:
            address = ipaddress.ip_address(self.text())
        except ValueError:
            raise self.error("an IP address") from None
        if isinstance(address, ipaddress.IPv6Address):
            return address.ipv4_mapped or address
        return address

    def items(self) -> Iterator[Field]:
        """Yield the elements of a list; none when it is absent."""
        if self.value is None:
            return
        if not isinstance(self.value, list):
            raise self.error("a list")
        for index, value in enumerate(self.value):
            yield Field(value, f"{self.path}[{index}]")

    def string_map(self) -> dict[str, str]:
        """Read a mapping of strings to strings, as labels are; empty when absent."""
        return {name: self[name].text() for name in self._mapping()}

    def only(self, *names: str) -> None:
        """Refuse members that are not among the names: they would be ignored in silence.

        Raises:
            UnsupportedError: Naming the first such member.
        """
        for name in self._mapping():
            if name not in names:
                raise self[name].unsupported("is not supported")

    def error(self, needed: str) -> FieldError:
        """Make the error of a value that is not what is needed."""
        if self.value is None:
            return FieldError(self.path, f"is missing, need {needed}")
        return FieldError(self.path, f"need {needed}, found {shown(self.value)}")

    def unsupported(self, reason: str) -> UnsupportedError:
        """Make the error of a value that cannot be honoured."""
        return UnsupportedError(self.path, f"{reason}: {shown(self.value)}")

    def _mapping(self) -> dict[str, object]:
        if self.value is None:
            return {}
        if not isinstance(self.value, dict):
            raise self.error("a mapping")
        for key in self.value:
            if not isinstance(key, str):
                raise FieldError(self.path or "document", f"need text as key, found {shown(key)}")
        return self.value
