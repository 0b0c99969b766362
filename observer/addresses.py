"""The address book: what is known of addresses, interfaces and rules now, ready for columns.

In: changes from the cluster state, one by one; each takes effect with the next batch. Out: refs
of interned values for whole columns. Rows keep the values they were given: a change makes new
values, it does not touch old rows.

An address has an *entry*, a small number: the arrays below are indexed by it. Entry 0 is every
unknown address, which is the world; entry 1 is the address that is none.
"""

import struct
from collections import Counter
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from observer.entities import (
    WORLD_IDENTITY,
    Endpoint,
    Interface,
    PolicyRef,
    Service,
    reserved_labels,
)
from observer.hash_index import HashIndex
from observer.overrides import Overrides
from observer.pinned_index import PinnedIndex
from observer.table.interns import Interns

U64 = np.uint64
Scalar = TypeVar("Scalar", bound=np.generic)

_UNKNOWN: Final = 0
_NONE: Final = 1
_FIRST_LENGTH: Final = 256
_MAX_NAMED_INTERFACE: Final = 1 << 20  # bounds the array; the kernel counts up from 1

_WORLD: Final = Endpoint(
    endpoint_id=0,
    identity=WORLD_IDENTITY,
    cluster_name="",
    namespace="",
    labels=reserved_labels(WORLD_IDENTITY),
    pod_name="",
    workloads=(),
)


class AddressBook:
    """What rows' addresses, identities, interfaces and rules stand for."""

    def __init__(self, interns: Interns, *, cluster_name: str) -> None:
        self._interns = interns
        self._index = HashIndex()
        self._size = 2
        self._free: list[int] = []
        # By entry. Entries that only a service uses are not in _endpoints.
        self._endpoints: dict[int, Endpoint] = {}
        self._refs = np.zeros(_FIRST_LENGTH, np.int32)
        self._identities = np.zeros(_FIRST_LENGTH, np.uint32)
        self._endpoint_ids = np.zeros(_FIRST_LENGTH, np.uint16)
        self._has_service = np.zeros(_FIRST_LENGTH, np.bool_)
        self._service_counts: Counter[int] = Counter()
        self._overrides = Overrides(interns.endpoints, cluster_name=cluster_name)
        self._services = PinnedIndex(interns.services)
        self._interface_refs = np.zeros(_FIRST_LENGTH, np.int32)
        self._rules = PinnedIndex(interns.policies)
        self._world_ref = interns.endpoints.ref(_WORLD)
        interns.endpoints.pin(self._world_ref)
        self._fill(_UNKNOWN, self._world_ref, _WORLD)
        self._index.set((0, 0), _NONE)

    def set_endpoint(self, address: bytes, endpoint: Endpoint) -> None:
        """Say what is at an address (16 bytes, IPv4 mapped)."""
        entry = self._entry(address)
        ref = self._interns.endpoints.ref(endpoint)
        self._interns.endpoints.pin(ref)
        self._let_go(entry)
        self._endpoints[entry] = endpoint
        self._fill(entry, ref, endpoint)

    def remove(self, address: bytes) -> None:
        """Forget what is at an address: it is the world's again."""
        entry = self._index.get(_key(address))
        if entry in self._endpoints:
            self._let_go(entry)
            del self._endpoints[entry]
            self._fill(entry, self._world_ref, _WORLD)
            self._drop_unused(address, entry)

    def set_identity(self, identity: int, labels: tuple[str, ...]) -> None:
        """Say which labels an identity stands for, for sides known by that alone."""
        self._overrides.set_identity(identity, labels)

    def remove_identity(self, identity: int) -> None:
        """Forget the labels of an identity."""
        self._overrides.remove_identity(identity)

    def set_service(self, address: bytes, port: int, proto: int, service: Service) -> None:
        """Say which service is at an address; port 0 and proto 0 (IP protocol) stand for any."""
        entry = self._entry(address)
        key = (entry, port << 8 | proto)
        self._service_counts[entry] += key not in self._services
        self._has_service[entry] = True
        self._services.set(key, service)

    def remove_service(self, address: bytes, port: int, proto: int) -> None:
        """Forget a service, named as it was set."""
        entry = self._index.get(_key(address))
        key = (entry, port << 8 | proto)
        if key in self._services:
            self._services.remove(key)
            self._service_counts[entry] -= 1
            self._has_service[entry] = self._service_counts[entry] > 0
            self._drop_unused(address, entry)

    def set_interface(self, index: int, name: str) -> None:
        """Name a network device; ValueError if its number is not below 2**20."""
        if not 0 < index < _MAX_NAMED_INTERFACE:
            raise ValueError(f"name interface {name}: index out of range, got {index}")
        while index + 1 >= len(self._interface_refs):
            self._interface_refs = _doubled(self._interface_refs)
        ref = self._interns.interfaces.ref(Interface(index=index, name=name))
        self._interns.interfaces.pin(ref)
        self.remove_interface(index)
        self._interface_refs[index] = ref

    def remove_interface(self, index: int) -> None:
        """Forget a network device's name."""
        ref = int(self._interface_refs[index]) if index < len(self._interface_refs) else 0
        if ref:
            self._interface_refs[index] = 0
            self._interns.interfaces.unpin(ref)

    def set_rule(self, cookie: int, policies: tuple[PolicyRef, ...]) -> None:
        """Say which policies a rule cookie stands for."""
        self._rules.set((cookie, 0), policies)

    def remove_rule(self, cookie: int) -> None:
        """Forget a rule cookie."""
        self._rules.remove((cookie, 0))

    def entries(self, addresses: NDArray[U64]) -> NDArray[np.int32]:
        """Find the entries of addresses, uint64 of shape (n, 2); int32 of shape (n,)."""
        columns = addresses.T.copy()
        return self._index.find(columns[0], columns[1])

    def endpoint_refs(
        self, entries: NDArray[np.int32], identities: NDArray[np.uint32]
    ) -> NDArray[np.int32]:
        """Find the endpoints of n entries, where the datapath's identity (0 unknown) wins.

        Returns:
            int32, shape (n,): refs of Interns.endpoints, 0 where neither address nor identity is.
        """
        refs = self._refs.take(entries)
        other = self._identities.take(entries) != identities
        other &= identities != 0
        rows = other.nonzero()[0]
        if rows.size:
            refs[rows] = self._overrides.refs(entries[rows], identities[rows], self._endpoints)
        return refs

    def endpoint_ids(self, entries: NDArray[np.int32]) -> NDArray[np.uint16]:
        """Give the local endpoint numbers of n entries, 0 where it is not on this node."""
        return self._endpoint_ids.take(entries)

    def local_refs(self, endpoint_ids: NDArray[np.uint16]) -> NDArray[np.int32]:
        """Find the endpoints of this node by their numbers; int32 refs, 0 where unknown.

        For events that name no address: it looks through all entries, 10 µs for each endpoint.
        """
        unique, inverse = np.unique(endpoint_ids, return_inverse=True)
        refs = np.zeros(len(unique), np.int32)
        for place, endpoint_id in enumerate(unique.tolist()):
            found = (self._endpoint_ids[: self._size] == endpoint_id).nonzero()[0]
            if endpoint_id and found.size:
                refs[place] = self._refs[found[0]]
        return refs[inverse]

    def service_refs(
        self, entries: NDArray[np.int32], ports: NDArray[np.uint16], protos: NDArray[np.uint8]
    ) -> NDArray[np.int32]:
        """Find the services at n entries, exact port first, then any; int32 refs, 0 none."""
        refs = np.zeros(len(entries), np.int32)
        rows = self._has_service.take(entries).nonzero()[0]
        if rows.size:
            high = entries[rows].astype(U64)
            low = ports[rows].astype(U64) << U64(8) | protos[rows].astype(U64)
            found = self._services.find(high, low)
            any_port = (found == 0).nonzero()[0]
            found[any_port] = self._services.find(high[any_port], np.zeros(len(any_port), U64))
            refs[rows] = found
        return refs

    def interface_refs(self, indexes: NDArray[np.uint32]) -> NDArray[np.int32]:
        """Find the devices of n numbers; those without a name appear with their number alone."""
        refs = self._interface_refs.take(indexes, mode="clip")  # the last one is never named
        rows = ((refs == 0) & (indexes != 0)).nonzero()[0]
        if rows.size:
            unique, inverse = np.unique(indexes[rows], return_inverse=True)
            nameless = [Interface(index=index, name="") for index in unique.tolist()]
            made = np.array([self._interns.interfaces.ref(one) for one in nameless], np.int32)
            refs[rows] = made[inverse]
        return refs

    def policy_refs(self, cookies: NDArray[np.uint32]) -> NDArray[np.int32]:
        """Find the policies of n rule cookies; int32 refs, 0 where unknown."""
        high = cookies.astype(U64)
        return self._rules.find(high, np.zeros_like(high))

    def _entry(self, address: bytes) -> int:
        entry = self._index.get(_key(address))
        if not entry:
            entry = self._free.pop() if self._free else self._grow()
            self._index.set(_key(address), entry)
            self._fill(entry, self._world_ref, _WORLD)
        return entry

    def _grow(self) -> int:
        entry = self._size
        self._size += 1
        if self._size > len(self._refs):
            self._refs = _doubled(self._refs)
            self._identities = _doubled(self._identities)
            self._endpoint_ids = _doubled(self._endpoint_ids)
            self._has_service = _doubled(self._has_service)
        return entry

    def _fill(self, entry: int, ref: int, endpoint: Endpoint) -> None:
        self._refs[entry] = ref
        self._identities[entry] = endpoint.identity
        self._endpoint_ids[entry] = endpoint.endpoint_id
        self._overrides.forget_entry(entry)

    def _let_go(self, entry: int) -> None:
        if entry in self._endpoints:
            self._interns.endpoints.unpin(int(self._refs[entry]))

    def _drop_unused(self, address: bytes, entry: int) -> None:
        if entry not in self._endpoints and not self._service_counts[entry]:
            self._index.remove(_key(address))
            self._free.append(entry)
            del self._service_counts[entry]


def _key(address: bytes) -> tuple[int, int]:
    """Give an address as the two words that rows have."""
    high, low = struct.unpack("=QQ", address)
    return high, low


def _doubled(column: NDArray[Scalar]) -> NDArray[Scalar]:
    return np.concatenate([column, np.zeros_like(column)])
