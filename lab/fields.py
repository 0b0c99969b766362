"""A place in a parsed YAML tree that knows its own name.

`pod["status"]["podIPs"]` walks down whatever YAML was written; a missing key is not an error until
somebody asks for its text or address. So every complaint can name file, object, field and value:

    empire.yaml: Pod default/xwing: status.podIPs[0].ip: want an IP address, got '10.244.1'
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from lab.errors import ObjectError
from policy.fields import shown

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One value of an object in YAML, present or not."""

    owner: str
    """File and object, as messages begin: `empire.yaml: Pod default/xwing`."""

    path: str
    """Where in the object: `status.podIPs[0].ip`; empty for the object itself."""

    value: object
    """What YAML gave; None when the field is absent."""

    def __getitem__(self, key: str) -> Field:
        """Step into a mapping. ObjectError if this is something else than a mapping or absent."""
        if self.value is None:
            child = None
        elif isinstance(self.value, dict):
            child = self.value.get(key)
        else:
            raise self.error("want a mapping")
        path = f"{self.path}.{key}" if self.path else key
        return Field(owner=self.owner, path=path, value=child)

    def each(self) -> list[Field]:
        """Give the entries of a list; an absent list has none."""
        if self.value is None:
            return []
        if not isinstance(self.value, list):
            raise self.error("want a list")
        return [
            Field(owner=self.owner, path=f"{self.path}[{index}]", value=entry)
            for index, entry in enumerate(self.value)
        ]

    def text(self, default: str | None = None) -> str:
        """Give a non-empty string; an absent field gives the default if there is one."""
        if self.value is None and default is not None:
            return default
        if not isinstance(self.value, str) or not self.value:
            raise self.error("want a non-empty string")
        return self.value

    def flag(self) -> bool | None:
        """Give true, false or, for an absent field, None."""
        if self.value is None or isinstance(self.value, bool):
            return self.value
        raise self.error("want true or false")

    def port(self) -> int:
        """Give a port number, 1..65535."""
        # By type: True is an int in Python, and `port: yes` a mistake in YAML.
        if type(self.value) is int and 1 <= self.value <= 65535:
            return self.value
        raise self.error("want a port from 1 to 65535")

    def address(self) -> Address:
        """Give an IPv4 or IPv6 address."""
        try:
            return ip_address(self.text())
        except ValueError:
            raise self.error("want an IP address") from None

    def texts(self) -> dict[str, str]:
        """Give a mapping of strings, such as labels; an absent one is empty."""
        if self.value is None:
            return {}
        if not isinstance(self.value, dict):
            raise self.error("want a mapping")
        return {str(key): self[str(key)].text() for key in self.value}

    def error(self, problem: str) -> ObjectError:
        """Build the error that names this field."""
        text = (
            f"missing, {problem}" if self.value is None else f"{problem}, got {shown(self.value)}"
        )
        return ObjectError(": ".join(part for part in (self.owner, self.path, text) if part))
