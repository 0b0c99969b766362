"""What user space writes into the maps: endpoints and identities (policy: `policytable`).

Knows what each map holds, so that a change writes only what differs and a removal finds all that
belongs to it; after a takeover it is read back from the maps. Addresses and rules change in an
order that never lets less be enforced than before or after. Nothing here bumps the revision:
`observer.kernel.datapath` does, once per change.
"""

import errno
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

import numpy as np

from observer.kernel import layout, syscall
from observer.kernel.errors import KernelError

_BATCH: Final = 4096
_NO_SPACE: Final = (errno.ENOSPC, errno.E2BIG, errno.ENOMEM)
MAX_ENDPOINT_ID: Final = 0xFFFF
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointEntry:
    """A pod of this node, as the programs have to know it."""

    endpoint_id: int
    """1..65535, unique on the node."""
    identity: int
    ifindex: int
    """Host side of the pod's interface."""
    ipv4: IPv4Address | None
    ipv6: IPv6Address | None
    mac: bytes
    """Of the pod's side, 6 bytes."""
    host_mac: bytes
    """Of the host side: what the pod sees as its gateway."""
    enforce_ingress: bool
    enforce_egress: bool

    def value(self) -> bytes:
        """The bytes of struct endpoint."""
        flags = layout.ENDPOINT_ENFORCE_INGRESS if self.enforce_ingress else 0
        flags |= layout.ENDPOINT_ENFORCE_EGRESS if self.enforce_egress else 0
        value = np.zeros((), layout.ENDPOINT)
        value["ipv4"] = list(layout.address_bytes(self.ipv4))
        value["ipv6"] = list(layout.address_bytes(self.ipv6))
        value["ifindex"] = self.ifindex
        value["identity"] = self.identity
        value["endpoint_id"] = self.endpoint_id
        value["flags"] = flags
        value["mac"] = list(self.mac)
        value["host_mac"] = list(self.host_mac)
        return value.tobytes()


class Table:
    """A pinned hash or trie: single and batched writes, errors that name the map."""

    def __init__(
        self, *, name: str, fd: int, key: np.dtype[np.generic], value: np.dtype[np.generic]
    ) -> None:
        self.name = name
        self.fd = fd
        self._key = key
        self._value = value

    def put(self, key: bytes, value: bytes) -> None:
        """Create or replace one entry."""
        try:
            syscall.update(self.fd, key, value)
        except OSError as error:
            raise self._refused(error) from error

    def put_all(self, entries: Mapping[bytes, bytes]) -> None:
        """Create or replace many entries, some thousands a call."""
        keys = list(entries)
        for start in range(0, len(keys), _BATCH):
            part = keys[start : start + _BATCH]
            values = b"".join(entries[key] for key in part)
            try:
                syscall.update_batch(self.fd, b"".join(part), values, len(part))
            except OSError as error:
                raise self._refused(error) from error

    def drop(self, keys: Iterable[bytes]) -> None:
        """Delete entries; those that are not there do not matter."""
        for key in keys:
            syscall.delete(self.fd, key)

    def read(self) -> dict[bytes, bytes]:
        """Read all entries. For a map that nobody else writes meanwhile."""
        entries: dict[bytes, bytes] = {}
        keys = np.zeros(_BATCH, self._key)
        values = np.zeros(_BATCH, self._value)
        position: bytes | None = None
        while True:
            count, position = syscall.lookup_batch(self.fd, position, keys, values)
            for key, value in zip(keys[:count], values[:count], strict=True):
                entries[key.tobytes()] = value.tobytes()
            if position is None:
                return entries

    def _refused(self, error: OSError) -> KernelError:
        if error.errno in _NO_SPACE:
            size = syscall.map_info(self.fd).max_entries
            return KernelError(f"write map {self.name}: it is full: {size} entries")
        return KernelError(f"write map {self.name}: {error.strerror}")


class EndpointTable:
    """Endpoints by address and by interface."""

    def __init__(self, *, by_address: Table, by_device: Table) -> None:
        self._by_address = by_address
        self._by_device = by_device
        self._keys: dict[int, dict[bytes, bytes]] = {}
        for key, value in by_device.read().items():
            self._keys[_endpoint_id(value)] = _keys(key, value)

    def ids(self) -> frozenset[int]:
        """Endpoints that the maps hold, those of an earlier process included."""
        return frozenset(self._keys)

    def addresses(self) -> dict[bytes, int]:
        """Give the endpoint of each address of 16 bytes."""
        return {key: i for i, keys in self._keys.items() for key in keys if len(key) == 16}

    def interfaces(self) -> dict[int, int]:
        """Give the endpoint behind each interface, by its index."""
        return {
            int.from_bytes(key, sys.byteorder): i
            for i, keys in self._keys.items()
            for key in keys
            if len(key) == 4
        }

    def put(self, entry: EndpointEntry) -> None:
        """Add an endpoint, or change it to this.

        Raises:
            KernelError: A value is out of range, or a map is full.
        """
        _check(entry)
        value = entry.value()
        device = np.uint32(entry.ifindex).tobytes()
        before = self._keys.get(entry.endpoint_id, {})
        now = _keys(device, value)
        self._by_address.put_all({key: value for key in now if len(key) > len(device)})
        self._by_device.put(device, value)
        self._keys[entry.endpoint_id] = now
        self._forget(entry.endpoint_id, set(before) - set(now))

    def drop(self, endpoint_id: int) -> None:
        """Remove an endpoint; an unknown one is no error."""
        self._forget(endpoint_id, self._keys.pop(endpoint_id, {}))

    def _forget(self, endpoint_id: int, keys: Iterable[bytes]) -> None:
        """Delete what is still this endpoint's: an address may be another's by now."""
        for key in keys:
            table = self._by_device if len(key) == 4 else self._by_address
            taken = any(key in other for i, other in self._keys.items() if i != endpoint_id)
            if not taken:
                table.drop([key])


def _keys(device: bytes, value: bytes) -> dict[bytes, bytes]:
    """The keys under which an endpoint stands: its device and its addresses."""
    fields = np.frombuffer(value, layout.ENDPOINT)[0]
    addresses = (fields["ipv4"].tobytes(), fields["ipv6"].tobytes())
    return dict.fromkeys([device, *filter(any, addresses)], value)


def _endpoint_id(value: bytes) -> int:
    return int(np.frombuffer(value, layout.ENDPOINT)[0]["endpoint_id"])


def _check(entry: EndpointEntry) -> None:
    if not 1 <= entry.endpoint_id <= MAX_ENDPOINT_ID:
        raise KernelError(f"write endpoint: id not in 1..{MAX_ENDPOINT_ID}: {entry.endpoint_id}")
    if len(entry.mac) != 6 or len(entry.host_mac) != 6:
        raise KernelError(f"write endpoint {entry.endpoint_id}: a MAC is not 6 bytes")
    if entry.ipv4 is None and entry.ipv6 is None:
        raise KernelError(f"write endpoint {entry.endpoint_id}: it has no address")


class IdentityTable:
    """Networks and the identities of what has an address in them."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def put_all(self, identities: Mapping[Network, int]) -> None:
        """Add networks or change their identities."""
        self._table.put_all(
            {layout.ipcache_key(n): np.uint32(i).tobytes() for n, i in identities.items()}
        )

    def drop(self, networks: Iterable[Network]) -> None:
        """Remove networks; those that are not there do not matter."""
        self._table.drop(map(layout.ipcache_key, networks))

    def networks(self) -> dict[Network, int]:
        """Read which networks there are, with their identities: 20,000 take about 100 ms."""
        return {
            layout.ipcache_network(key): int.from_bytes(value, sys.byteorder)
            for key, value in self._table.read().items()
        }
