"""What a node's pinned maps hold, as rows of texts and numbers for `hubble-server get`.

In: the folder of pins of this version's layout. Out: rows by column. Reads, changes nothing, and
needs no server; but root, as pins do. What the programs change meanwhile may be missed or read old.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any

import numpy as np

from observer.kernel import abi, layout, syscall
from observer.kernel.errors import KernelError
from observer.kernel.hold import node_folder
from observer.kernel.tables import Table
from policy.entries import ANY_IDENTITY, ANY_PROTOCOL, NO_RULE, Direction
from policy.words import protocol_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

Row = dict[str, Any]
"""Column → text, number or list of texts."""
_PORT_BITS = 16


class PinnedMaps:
    """The maps of one node, by name; close it in the end."""

    def __init__(self, *, node: str, bpffs: Path) -> None:
        """Find the folder; KernelError where this version has nothing pinned there."""
        self._folder = node_folder(node=node, bpffs=bpffs) / abi.folder_name() / "maps"
        self._opened = ExitStack()
        if not self._folder.is_dir():
            text = f"read pins: nothing of this version for node {node}: {self._folder}"
            raise KernelError(f"{text}: has its server run? --node-name and --bpffs say which")

    def close(self) -> None:
        """Let go."""
        self._opened.close()

    def endpoints(self) -> Iterator[Row]:
        """Yield the node's pods."""
        entries = [0] * (1 << 16)
        for row in self.policymap():
            entries[row["endpoint"]] += 1
        for value in sorted(self._read("devices").values(), key=_endpoint_id):
            fields = np.frombuffer(value, layout.ENDPOINT)[0]
            found = int(fields["endpoint_id"])
            if not found:
                continue  # an interface that is only observed
            flags = int(fields["flags"])
            addresses = (_address(fields[name]) for name in ("ipv4", "ipv6"))
            yield {
                "endpoint": found,
                "identity": int(fields["identity"]),
                "addresses": [each for each in addresses if each],
                "interface": int(fields["ifindex"]),
                "ingress": _enforced(flags & layout.ENDPOINT_ENFORCE_INGRESS),
                "egress": _enforced(flags & layout.ENDPOINT_ENFORCE_EGRESS),
                "entries": entries[found],
            }

    def policymap(self) -> Iterator[Row]:
        """Yield the entries of all endpoints, as the datapath looks them up."""
        for key, value in sorted(self._read("policy").items(), key=lambda each: _rule_key(each[0])):
            place = np.frombuffer(key, layout.POLICY_KEY)[0]
            said = np.frombuffer(value, layout.POLICY_VALUE)[0]
            yield {
                "endpoint": int(place["endpoint_id"]),
                "direction": Direction(int(place["direction"])).name.lower(),
                "peer": _peer(int(place["identity"])),
                "port": _port(place, int(said["prefix_bits"])),
                "action": _action(int(said["flags"])),
                "cookie": int(said["cookie"]),
            }

    def ipcache(self) -> Iterator[Row]:
        """Yield networks and their identities."""
        found = {layout.ipcache_network(key): value for key, value in self._read("ipcache").items()}
        for network in sorted(found, key=lambda each: (each.version, each.network_address)):
            identity = int(np.frombuffer(found[network], np.uint32)[0])
            yield {"network": str(network), "identity": identity}

    def conntrack(self) -> Iterator[Row]:
        """Yield the connections, from the side that began each."""
        for key, value in sorted(self._read("connections").items()):
            ends = np.frombuffer(key, layout.CONNECTION_KEY)[0]
            entry = np.frombuffer(value, layout.CONNECTION)[0]
            names = ("low", "high") if not entry["origin"] else ("high", "low")
            sides = entry["side"] if not entry["origin"] else entry["side"][::-1]
            yield {
                "protocol": protocol_name(int(ends["protocol"])),
                "source": _end(ends, names[0]),
                "destination": _end(ends, names[1]),
                "identities": f"{int(sides[0]['identity'])} -> {int(sides[1]['identity'])}",
                "packets": int(sides[0]["packets"]),
                "replies": int(sides[1]["packets"]),
                "state": "refused" if entry["flags"] & layout.CONNECTION_REFUSED else "open",
            }

    def _read(self, name: str) -> Mapping[bytes, bytes]:
        shape = abi.layouts()[name]
        try:
            fd = syscall.open_pin(self._folder / name)
        except OSError as error:
            raise KernelError(f"read map {name}: {error.strerror}: {self._folder}") from error
        self._opened.callback(os.close, fd)
        return Table(name=name, fd=fd, key=shape.key, value=shape.value).read()


def _endpoint_id(value: bytes) -> int:
    return int(np.frombuffer(value, layout.ENDPOINT)[0]["endpoint_id"])


def _rule_key(key: bytes) -> tuple[int, ...]:
    place = np.frombuffer(key, layout.POLICY_KEY)[0]
    names = ("endpoint_id", "direction", "identity", "protocol", "port", "prefix_bits")
    return tuple(int(place[name]) for name in names)


def _enforced(flag: int) -> str:
    return "enforced" if flag else "open"


def _peer(identity: int) -> str:
    if identity == NO_RULE:
        return "unmatched"
    return "any" if identity == ANY_IDENTITY else str(identity)


def _port(place: np.void, prefix_bits: int) -> str:
    """Write ports as `80/TCP`, `8080-8087/TCP`, `TCP` or `any`."""
    protocol = int(place["protocol"])
    if protocol == ANY_PROTOCOL:
        return "any"
    free_bits = _PORT_BITS - max(prefix_bits - 8, 0)
    if free_bits == _PORT_BITS:
        return protocol_name(protocol)
    first = int(place["port"])
    last = first + (1 << free_bits) - 1
    return f"{first if first == last else f'{first}-{last}'}/{protocol_name(protocol)}"


def _action(flags: int) -> str:
    if not flags & layout.POLICY_DENY:
        return "allow"
    return "audit" if flags & layout.POLICY_AUDIT else "deny"


def _address(data: np.ndarray[Any, np.dtype[np.uint8]]) -> str:
    if not data.any():
        return ""
    address = IPv6Address(data.tobytes())
    return str(address.ipv4_mapped or address)


def _end(ends: np.void, name: str) -> str:
    address, port = _address(ends[name]), int(ends[f"{name}_port"])
    shown = f"[{address}]" if ":" in address else address
    return f"{shown}:{port}" if port else address
