"""Ranges of addresses: which rows lie in one of many?

Ranges with the same prefix length are looked up together, so that a thousand addresses take about
as long as ten.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from api.proto.flow.flow_pb2 import IPVersion
from observer.filters.condition import Mask

Words = NDArray[np.uint64]
"""uint64 (n, 2): the network-order bytes read in native order, as the address columns hold them."""
Pair = tuple[int, int]

MAPPED_PREFIX: Final = bytes(10) + b"\xff\xff"
"""Of IPv4 addresses."""
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)


def words_of(packed: bytes) -> Pair:
    """Return 16 bytes as the columns hold them."""
    high, low = np.frombuffer(packed, np.uint64).tolist()
    return high, low


_MAPPED_MASK: Final = np.uint64(words_of(bytes(8) + b"\xff" * 4 + bytes(4))[1])
_MAPPED_WORD: Final = np.uint64(words_of(MAPPED_PREFIX + bytes(4))[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressRange:
    """Addresses of one version that agree in some bits."""

    network: Pair
    mask: Pair
    v6: bool

    @property
    def holds_others(self) -> bool:
        """Whether rows without an address, or with an IPv4 one, have these bits too: near ::/0."""
        return self.v6 and self.network[0] == 0


class AddressRanges:
    """Any number of them."""

    def __init__(self, ranges: Sequence[AddressRange]) -> None:
        by_mask: dict[tuple[Pair, bool], set[Pair]] = {}
        for each in ranges:
            by_mask.setdefault((each.mask, each.holds_others), set()).add(each.network)
        self._groups = [
            _Group(mask=mask, networks=networks, only_v6=only_v6)
            for (mask, only_v6), networks in by_mask.items()
        ]

    def contain(self, words: Words, ip_version: NDArray[np.uint8]) -> Mask:
        """Judge addresses with their flow.IPVersion, uint8 (n,)."""
        result = np.zeros(len(words), np.bool_)
        for group in self._groups:
            result |= group.contains(words, ip_version)
        return result


class _Group:
    """Networks of one prefix length."""

    def __init__(self, *, mask: Pair, networks: set[Pair], only_v6: bool) -> None:
        self._mask = np.array(mask, np.uint64)
        found = np.array(sorted(networks), np.uint64).reshape(-1, 2)
        keys = _keys(found)
        order = np.argsort(keys)
        self._keys, self._networks = keys[order], found[order]
        self._only_v6 = only_v6

    def contains(self, words: Words, ip_version: NDArray[np.uint8]) -> Mask:
        masked = words & self._mask
        if len(self._networks) == 1:
            result = _equal(masked, self._networks[0])
        else:
            at = np.searchsorted(self._keys, _keys(masked))
            result = _equal(masked, self._networks.take(at, 0, mode="clip"))
        if self._only_v6:
            result &= (ip_version == IPVersion.IPv6) & ~_mapped(words)
        return result


def _keys(words: Words) -> NDArray[np.uint64]:
    """Return one number for each address; different ones for different addresses, nearly always."""
    keys: NDArray[np.uint64] = words[:, 0] * _MIX ^ words[:, 1]
    return keys


def _equal(words: Words, others: Words) -> Mask:
    result: Mask = words[:, 0] == others[..., 0]
    result &= words[:, 1] == others[..., 1]
    return result


def _mapped(words: Words) -> Mask:
    result: Mask = words[:, 0] == 0
    result &= (words[:, 1] & _MAPPED_MASK) == _MAPPED_WORD
    return result
