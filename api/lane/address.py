"""Addresses as people write them, for listening and for dialling.

================================  ==========================================
``127.0.0.1:4245``, ``[::1]:0``   TCP; port 0 listens on any free one
``:4244``                         TCP on all addresses, IPv6 and IPv4
``relay.example:4245``            TCP, the name is looked up
``unix:///run/hubble.sock``       unix socket; ``unix:/run/x`` and ``unix:x`` too
``dns:///relay.example:4245``     as without the scheme; ``passthrough:///`` too
================================  ==========================================
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_MAX_PORT = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpAddress:
    """A host (name, IP address or empty for all) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnixAddress:
    """The path of a unix socket."""

    path: Path

    def __str__(self) -> str:
        return f"unix://{self.path}"


Address = TcpAddress | UnixAddress


def parse_address(text: str) -> Address:
    """Return the address that a text names.

    Raises:
        ValueError: no port, a port out of range, or an unknown scheme.
    """
    if text.startswith("unix:"):
        path = text.removeprefix("unix:").removeprefix("//")
        if not path:
            raise ValueError(f"parse address: no path: {text!r}")
        return UnixAddress(path=Path(path))
    for scheme in ("dns:", "passthrough:"):
        if text.startswith(scheme):
            # An authority between the slashes names a DNS server; the system's own is used.
            return _parse_tcp(text.removeprefix(scheme).rpartition("/")[2], text)
    if "://" in text:
        raise ValueError(f"parse address: unknown scheme: {text!r}")
    return _parse_tcp(text, text)


def _parse_tcp(host_port: str, text: str) -> TcpAddress:
    host, colon, port = host_port.rpartition(":")
    if not colon or port.endswith("]"):
        raise ValueError(f"parse address: missing port: {text!r}")
    bracketed = host.startswith("[") and host.endswith("]")
    if ":" in host and not bracketed:
        raise ValueError(f"parse address: too many colons: {text!r}")
    if not (port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) <= _MAX_PORT):
        raise ValueError(f"parse address: port {port!r} not in 0..{_MAX_PORT}: {text!r}")
    return TcpAddress(host=host[1:-1] if bracketed else host, port=int(port))
