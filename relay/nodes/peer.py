"""A node as the peer service tells it, and how it is dialled."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from api.lane.address import TcpAddress, UnixAddress, parse_address

if TYPE_CHECKING:
    from api.proto.peer.peer_pb2 import ChangeNotification

HUBBLE_PORT: Final = 4244
"""What an address without a port means."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """What a notification says of a node."""

    name: str
    address: str
    """IP address, with or without a port, host:port, unix socket; empty: none is known."""
    server_name: str | None
    """The name that its certificate must carry; None: it speaks no TLS."""

    @classmethod
    def of(cls, change: ChangeNotification) -> Peer:
        """Read a notification."""
        server_name = change.tls.server_name if change.HasField("tls") else None
        return cls(name=change.name, address=change.address, server_name=server_name)


def target_of(address: str) -> str | None:
    """Return where to dial: `host:port` or a unix address; None if the text says nothing usable."""
    if address.startswith("/"):
        return f"unix://{address}"
    try:
        ip = ip_address(address.strip("[]"))
    except ValueError:
        return _parsed(address)
    return str(TcpAddress(host=str(ip), port=HUBBLE_PORT))


def _parsed(address: str) -> str | None:
    try:
        found = parse_address(address)
    except ValueError:
        return None
    if isinstance(found, UnixAddress):
        return str(found)
    return str(found) if found.host and found.port else None
