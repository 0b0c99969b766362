"""Endpoints whose identity is the datapath's, not the address book's.

The datapath judged by the identity that it knew; where that differs from what the address book
says about the address, the flow shows the address's metadata with the datapath's identity and
the labels of that identity. Such endpoints are made when they are first seen and forgotten with
their last row, or when what they are made of changes.
"""

from collections import defaultdict
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from observer.entities import FIRST_CLUSTER_IDENTITY, Endpoint, reserved_labels
from observer.hash_index import HashIndex
from observer.table.interns import InternTable

U64 = np.uint64

_Key = tuple[int, int]

NOBODY: Final = Endpoint(
    endpoint_id=0,
    identity=0,
    cluster_name="",
    namespace="",
    labels=(),
    pod_name="",
    workloads=(),
)


class Overrides:
    """Refs of endpoints by (entry of the address book, identity)."""

    def __init__(self, endpoints: InternTable[Endpoint], *, cluster_name: str) -> None:
        self._endpoints = endpoints
        self._cluster_name = cluster_name
        self._labels: dict[int, tuple[str, ...]] = {}
        self._index = HashIndex()
        # How to find what must be forgotten. Two keys may lead to one ref.
        self._keys_by_ref: dict[int, set[_Key]] = defaultdict(set)
        self._keys_by_entry: dict[int, set[_Key]] = defaultdict(set)
        self._keys_by_identity: dict[int, set[_Key]] = defaultdict(set)
        endpoints.on_freed(self._forget_refs)

    def set_identity(self, identity: int, labels: tuple[str, ...]) -> None:
        """Learn an identity's labels."""
        self._labels[identity] = labels
        self._forget(self._keys_by_identity.pop(identity, set()))

    def remove_identity(self, identity: int) -> None:
        """Forget an identity's labels."""
        self._labels.pop(identity, None)
        self._forget(self._keys_by_identity.pop(identity, set()))

    def forget_entry(self, entry: int) -> None:
        """Make an entry's endpoints anew when they are next seen."""
        self._forget(self._keys_by_entry.pop(entry, set()))

    def refs(
        self,
        entries: NDArray[np.int32],
        identities: NDArray[np.uint32],
        bases: dict[int, Endpoint],
    ) -> NDArray[np.int32]:
        """Find or make the endpoints of k (entry, identity) pairs.

        Args:
            entries: int32, shape (k,): entries of the address book.
            identities: uint32, shape (k,): what the datapath said.
            bases: what the address book knows by entry; an entry that is not in it is nobody.
        """
        high, low = entries.astype(U64), identities.astype(U64)
        found = self._index.find(high, low)
        missing = (found == 0).nonzero()[0]
        if missing.size:
            pairs = zip(entries[missing].tolist(), identities[missing].tolist(), strict=True)
            for key in set(pairs):
                self._make(key, bases.get(key[0], NOBODY))
            found[missing] = self._index.find(high[missing], low[missing])
        return found

    def _make(self, key: _Key, base: Endpoint) -> None:
        entry, identity = key
        labels = self._labels.get(identity)
        cluster_name = base.cluster_name
        if labels is None:
            # A local endpoint keeps its labels while nobody told us those of the new identity.
            labels = reserved_labels(identity) or (base.labels if base.endpoint_id else ())
        elif identity >= FIRST_CLUSTER_IDENTITY:
            cluster_name = cluster_name or self._cluster_name
        endpoint = replace(base, identity=identity, labels=labels, cluster_name=cluster_name)
        ref = self._endpoints.ref(endpoint)
        self._index.set(key, ref)
        self._keys_by_ref[ref].add(key)
        self._keys_by_entry[entry].add(key)
        self._keys_by_identity[identity].add(key)

    def _forget(self, keys: set[_Key]) -> None:
        for key in keys:
            ref = self._index.get(key)
            self._index.remove(key)
            for by, at in (
                (self._keys_by_ref, ref),
                (self._keys_by_entry, key[0]),
                (self._keys_by_identity, key[1]),
            ):
                if at in by:
                    by[at].discard(key)
                    if not by[at]:
                        del by[at]

    def _forget_refs(self, refs: list[int]) -> None:
        for ref in refs:
            if ref in self._keys_by_ref:
                self._forget(self._keys_by_ref.pop(ref))
